//! A folder as `tar.gz`, made piece by piece while somebody takes it: one file open at a time, nothing held whole.
use crate::web::{Flow, Source};
use flate2::Compression;
use flate2::write::GzEncoder;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tar::{EntryType, Header};

/// Bytes that are read in one go, and in one turn.
const PIECE: usize = 32 << 10;
const TURN: usize = 256 << 10;
const BLOCK: usize = 512;
/// Not in any backup, at any depth: router7's names.
const LEFT_OUT: [&str; 2] = ["nobackup", "srv"];

struct Folder {
    path: PathBuf,
    names: std::vec::IntoIter<OsString>,
}

struct Current {
    path: PathBuf,
    file: File,
    left: u64,
    padding: usize,
}

/// The archive in the making.
pub struct Archive {
    root: OwnedFd,
    open: Vec<Folder>,
    current: Option<Current>,
    gzip: GzEncoder<Vec<u8>>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").finish_non_exhaustive()
    }
}

impl Archive {
    /// Of everything in a folder, in the order of the names, as router7 has it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(root: &Path) -> io::Result<Archive> {
        let root = OwnedFd::from(File::open(root)?);
        let gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let mut archive = Archive { root, open: Vec::new(), current: None, gzip };
        archive.enter(PathBuf::new())?;
        Ok(archive)
    }

    /// Does some of the work: how many bytes of the archive that was; none = it is over.
    fn step(&mut self) -> io::Result<Option<usize>> {
        if self.current.is_some() {
            return self.go_on().map(Some);
        }
        let Some(folder) = self.open.last_mut() else {
            // The end of an archive is two empty blocks.
            self.gzip.write_all(&[0; 2 * BLOCK])?;
            self.gzip.try_finish()?;
            return Ok(None);
        };
        let Some(name) = folder.names.next() else {
            self.open.pop();
            return Ok(Some(0));
        };
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            return Ok(Some(0));
        }
        let path = folder.path.join(name);
        self.entry(path).map(Some)
    }

    fn entry(&mut self, path: PathBuf) -> io::Result<usize> {
        // Looked at before it is opened: a pipe or a device is not even opened. What has gone meanwhile is left out.
        let look = self.open_at(&path, OFlag::O_PATH).map(File::from).and_then(|file| file.metadata());
        let about = match look {
            Ok(about) if about.is_file() || about.is_dir() => about,
            Ok(_) => return Ok(BLOCK),
            Err(error) if is_gone(&error) => return Ok(BLOCK),
            Err(error) => return Err(named(&path, &error)),
        };
        if about.is_dir() {
            let head = self.head(&path, &about, EntryType::Directory, 0)?;
            self.enter(path)?;
            return Ok(head);
        }
        let file = match self.open_at(&path, OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
            Ok(file) => File::from(file),
            Err(error) if is_gone(&error) => return Ok(BLOCK),
            Err(error) => return Err(named(&path, &error)),
        };
        // Replaced between the two looks: this one counts.
        let about = file.metadata().map_err(|error| named(&path, &error))?;
        if !about.is_file() {
            return Ok(BLOCK);
        }
        let head = self.head(&path, &about, EntryType::Regular, about.len())?;
        let padding = (BLOCK - (about.len() % BLOCK as u64) as usize) % BLOCK;
        self.current = Some(Current { path, file, left: about.len(), padding });
        Ok(head)
    }

    fn go_on(&mut self) -> io::Result<usize> {
        let Some(current) = &mut self.current else { return Ok(0) };
        let mut bytes = [0; PIECE];
        let wanted = usize::try_from(current.left).unwrap_or(PIECE).min(PIECE);
        if wanted == 0 {
            self.gzip.write_all(&bytes[..current.padding])?;
            self.current = None;
            return Ok(BLOCK);
        }
        let count = current.file.read(&mut bytes[..wanted]).map_err(|error| named(&current.path, &error))?;
        if count == 0 {
            // Its head has said more; an archive that lies is worse than none.
            return Err(named(&current.path, &io::Error::other("became shorter while it was read")));
        }
        self.gzip.write_all(&bytes[..count])?;
        current.left -= count as u64;
        Ok(count)
    }

    fn head(&mut self, path: &Path, about: &Metadata, kind: EntryType, size: u64) -> io::Result<usize> {
        let mut head = Header::new_ustar();
        if head.set_path(path).is_err() {
            // GNU's way for a name that has no room in the head.
            let name = path.as_os_str().as_bytes();
            let mut long = Header::new_gnu();
            long.set_path("././@LongLink")?;
            long.set_entry_type(EntryType::GNULongName);
            long.set_size(name.len() as u64 + 1);
            long.set_cksum();
            self.gzip.write_all(long.as_bytes())?;
            self.gzip.write_all(name)?;
            self.gzip.write_all(&vec![0; BLOCK - name.len() % BLOCK])?;
            head = Header::new_gnu();
            head.set_path(Path::new(OsStr::from_bytes(&name[..name.len().min(60)])))?;
        }
        // As Go's FileInfoHeader has it: no slash behind a folder's name.
        head.set_entry_type(kind);
        head.set_mode(about.mode() & 0o7777);
        head.set_uid(about.uid().into());
        head.set_gid(about.gid().into());
        head.set_mtime(u64::try_from(about.mtime()).unwrap_or(0));
        head.set_size(size);
        head.set_cksum();
        self.gzip.write_all(head.as_bytes())?;
        Ok(BLOCK)
    }

    fn enter(&mut self, path: PathBuf) -> io::Result<()> {
        let here = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
        let listed = self.open_at(here, OFlag::O_RDONLY | OFlag::O_DIRECTORY).and_then(|folder| {
            let mut names = Vec::new();
            for entry in Dir::from_fd(folder)?.iter() {
                let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
                if name != "." && name != ".." {
                    names.push(name);
                }
            }
            names.sort_unstable();
            Ok(names)
        });
        match listed {
            Ok(names) => self.open.push(Folder { path, names: names.into_iter() }),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(named(&path, &error)),
        }
        Ok(())
    }

    /// Never by a link and never out of the folder, whatever its owner does meanwhile.
    fn open_at(&self, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV);
        Ok(openat2(self.root.as_fd(), path, how)?)
    }
}

impl Source for Archive {
    fn more(&mut self, into: &mut Vec<u8>) -> io::Result<Flow> {
        let mut done = 0;
        let mut more = true;
        while more && done < TURN && self.gzip.get_ref().len() < PIECE {
            match self.step() {
                // A folder that is left out is work as well.
                Ok(Some(count)) => done += count.max(1),
                Ok(None) => more = false,
                Err(error) => {
                    log::error!("{error}: the backup is broken off");
                    return Err(error);
                }
            }
        }
        into.append(self.gzip.get_mut());
        Ok(if more { Flow::More } else { Flow::End })
    }
}

/// It has gone since its folder was read, or became a link.
fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::ENOENT, Errno::ENOTDIR, Errno::ELOOP, Errno::EXDEV];
    gone.iter().any(|gone| error.raw_os_error() == Some(*gone as i32))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}
