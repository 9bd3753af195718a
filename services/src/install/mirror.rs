//! Makes one folder hold what another holds: files, folders and symbolic links, with modes, owners and times. What is equal
//! already stays, what the other does not have goes; a file is whole or as it was.
use ring::digest::{Context, Digest, SHA256};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs::{DirBuilder, File, FileTimes, Metadata, Permissions, set_permissions, symlink_metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

/// What belongs to this start or this disk, at the top of `/perm`: kept randomness, of which no bit may count twice; a wish
/// for the next start; the filesystem's own folder.
const OWN: [&str; 3] = ["random.seed", "factory-reset", "lost+found"];
/// A file while it is being written.
const PARTIAL: &str = ".weir-install";
/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// Folders in folders that are followed.
const DEEPEST: usize = 32;

/// What was copied.
#[derive(Debug, Default)]
pub struct Copied {
    /// Each file, its bytes and their sum.
    files: Vec<(PathBuf, u64, Digest)>,
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: u64 = self.files.iter().map(|(_, bytes, _)| bytes).sum();
        write!(f, "{} files, {} KB", self.files.len(), bytes.div_ceil(1000))
    }
}

/// Copies all of `from` into `to`.
///
/// # Errors
/// In words: the first thing that could not be read or written.
pub fn copy(from: &Path, to: &Path) -> Result<Copied, String> {
    let mut copied = Copied::default();
    folder(from, to, Path::new(""), &mut copied, 0)?;
    // The filesystem as a whole: each file by itself would take a commit of the journal.
    let synced = File::open(to).and_then(|folder| Ok(nix::unistd::syncfs(folder)?));
    synced.map_err(|error| format!("{}: {error}", to.display()))?;
    Ok(copied)
}

/// Whether `to` holds what was copied.
///
/// # Errors
/// The first file that does not.
pub fn check(to: &Path, copied: &Copied) -> Result<(), String> {
    for (path, bytes, sum) in &copied.files {
        let found = File::open(to.join(path)).and_then(|mut file| summed(&mut file, &mut io::sink()));
        let (length, found) = found.map_err(|error| format!("/perm/{}: {error}", path.display()))?;
        if length != *bytes || found.as_ref() != sum.as_ref() {
            let path = path.display();
            return Err(format!("/perm/{path} is not what was written there: the disk is failing, take another one"));
        }
    }
    Ok(())
}

fn folder(from: &Path, to: &Path, path: &Path, copied: &mut Copied, depth: usize) -> Result<(), String> {
    let words = |path: &Path, error: io::Error| match error.kind() {
        io::ErrorKind::StorageFull => format!("the new /perm has no room for {}: take a larger disk", path.display()),
        _ => format!("/perm/{}: {error}", path.display()),
    };
    if depth > DEEPEST {
        return Err(format!("/perm/{}: folders in folders without an end", path.display()));
    }
    let here = from.join(path);
    let mut names: BTreeSet<OsString> = BTreeSet::new();
    for entry in std::fs::read_dir(&here).map_err(|error| words(path, error))? {
        let name = entry.map_err(|error| words(path, error))?.file_name();
        if depth > 0 || !OWN.iter().any(|own| name == *own) {
            names.insert(name);
        }
    }
    for entry in std::fs::read_dir(to.join(path)).map_err(|error| words(path, error))? {
        let entry = entry.map_err(|error| words(path, error))?;
        let (name, own) = (entry.file_name(), depth == 0 && OWN.iter().any(|own| entry.file_name() == *own));
        if !own && !names.contains(&name) {
            remove(&entry.path()).map_err(|error| words(&path.join(&name), error))?;
        }
    }
    for name in names {
        let path = path.join(name);
        let Ok(there) = symlink_metadata(from.join(&path)) else { continue };
        let done = if there.is_dir() {
            make(&to.join(&path)).map_err(|error| words(&path, error))?;
            folder(from, to, &path, copied, depth + 1)?;
            // A folder's access list does not come along: where there was one, the mode says so, and the next boot makes
            // both anew.
            let mode = if there.mode() & 0o1000 == 0 { there.mode() & 0o777 } else { 0o750 };
            give(&to.join(&path), &there, mode)
        } else if there.is_file() {
            file(&from.join(&path), &to.join(&path), &there)
                .map(|found| copied.files.extend(found.map(|(bytes, sum)| (path.clone(), bytes, sum))))
        } else if there.is_symlink() {
            link(&from.join(&path), &to.join(&path), &there)
        } else {
            // Sockets and pipes are of the processes that have made them.
            Ok(())
        };
        done.map_err(|error| words(&path, error))?;
    }
    Ok(())
}

fn make(path: &Path) -> io::Result<()> {
    match symlink_metadata(path) {
        Ok(there) if there.is_dir() => return Ok(()),
        Ok(_) => remove(path)?,
        Err(_) => {}
    }
    DirBuilder::new().mode(0o700).create(path)
}

/// A file that goes away meanwhile is none.
fn file(from: &Path, to: &Path, there: &Metadata) -> io::Result<Option<(u64, Digest)>> {
    let mut source = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        source => source?,
    };
    if symlink_metadata(to).is_ok_and(|old| !old.is_file()) {
        remove(to)?;
    }
    let partial = to.with_file_name(PARTIAL);
    let written = File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial);
    let written = written.and_then(|mut new| {
        let found = summed(&mut source, &mut new)?;
        new.set_times(FileTimes::new().set_modified(there.modified()?))?;
        Ok(found)
    });
    let done = written.and_then(|found| {
        give(&partial, there, there.mode() & 0o7777)?;
        std::fs::rename(&partial, to)?;
        Ok(Some(found))
    });
    if done.is_err() {
        // Half a file takes the room of another.
        let _ = std::fs::remove_file(&partial);
    }
    done
}

fn summed(from: &mut impl Read, to: &mut impl Write) -> io::Result<(u64, Digest)> {
    let (mut sum, mut length, mut chunk) = (Context::new(&SHA256), 0, vec![0; CHUNK]);
    loop {
        let count = from.read(&mut chunk)?;
        let Some(part) = chunk.get(..count).filter(|part| !part.is_empty()) else { return Ok((length, sum.finish())) };
        sum.update(part);
        to.write_all(part)?;
        length += count as u64;
    }
}

fn link(from: &Path, to: &Path, there: &Metadata) -> io::Result<()> {
    let target = std::fs::read_link(from)?;
    if std::fs::read_link(to).is_ok_and(|old| old == target) {
        return Ok(());
    }
    if symlink_metadata(to).is_ok() {
        remove(to)?;
    }
    symlink(target, to)?;
    lchown(to, Some(there.uid()), Some(there.gid()))
}

fn give(path: &Path, there: &Metadata, mode: u32) -> io::Result<()> {
    lchown(path, Some(there.uid()), Some(there.gid()))?;
    set_permissions(path, Permissions::from_mode(mode))
}

fn remove(path: &Path) -> io::Result<()> {
    if symlink_metadata(path)?.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
}
