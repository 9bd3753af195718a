//! Reading what can be read. It runs in a process of its own that may do nothing else: whatever a damaged disk does to it,
//! what it had said before counts.
use super::saved::{About, Head, file, write};
use super::view;
use ext4_view::{Ext4, Metadata};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};

/// Bytes of all files together, and entries looked at.
pub const BUDGET: u64 = 16 << 20;
const MOST: usize = 10_000;
const DEEPEST: usize = 12;
const CHUNK: usize = 64 * 1024;
/// Folders of what can be done without, the least important last.
const LAST: [&str; 2] = ["logd", "captured"];
const PERM: &str = "/perm/";
/// fsck's own.
const LOST_AND_FOUND: &str = "lost+found";
/// What an earlier mending has left.
pub const REPORT: &str = "mended";

/// An empty `/perm`'s superblock and first descriptor.
pub type Fresh<'a> = (&'a [u8], &'a [u8]);

/// Reads the partition, of so many bytes, and says what it finds.
///
/// # Errors
/// The stream's.
pub fn read(partition: &File, room: u64, fresh: Option<Fresh<'_>>, out: &mut impl Write) -> io::Result<()> {
    let mut reader = Reader { out, had: BTreeSet::new(), left: BUDGET };
    for sb in view::superblocks(partition, room, fresh.map(|fresh| fresh.0)) {
        let Some(ext4) = view::open(partition, &sb, fresh.map(|fresh| fresh.1)) else { continue };
        // First by name: nothing that is found on the way through the folders can come between.
        for path in rights::WRITTEN.iter().chain(rights::SPARED).filter_map(|path| path.strip_prefix(PERM)) {
            if let Ok(about) = ext4.symlink_metadata(format!("/{path}").as_str()) {
                reader.file(&ext4, path, &about)?;
            }
        }
        reader.walk(&ext4)?;
        return write(reader.out, &Head::End, b"");
    }
    reader.lose("/", "no superblock, or nothing behind it, can be read")?;
    write(reader.out, &Head::End, b"")
}

struct Reader<'a, W> {
    out: &'a mut W,
    /// Paths that were said already.
    had: BTreeSet<String>,
    left: u64,
}

fn about(path: &str, of: &Metadata) -> About {
    About { path: path.to_owned(), mode: u32::from(of.mode()) & 0o7777, uid: of.uid(), gid: of.gid() }
}

impl<W: Write> Reader<'_, W> {
    fn lose(&mut self, path: &str, why: &str) -> io::Result<()> {
        write(self.out, &Head::Lost { path: path.to_owned(), why: why.to_owned() }, b"")
    }

    fn walk(&mut self, ext4: &Ext4) -> io::Result<()> {
        let (mut waiting, mut files, mut seen) = (vec![(String::new(), 0)], Vec::new(), 0);
        while let Some((folder, depth)) = waiting.pop() {
            let entries = match ext4.read_dir(format!("/{folder}").as_str()) {
                Ok(entries) => entries,
                Err(error) => {
                    self.lose(&folder, &error.to_string())?;
                    continue;
                }
            };
            for entry in entries {
                seen += 1;
                if seen > MOST {
                    self.lose(&folder, "there are too many files")?;
                    break;
                }
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(error) => {
                        self.lose(&folder, &error.to_string())?;
                        // Where one entry is damaged, nobody knows where the next one begins.
                        break;
                    }
                };
                let name = entry.file_name();
                let Ok(name) = name.as_str() else {
                    self.lose(&format!("{folder}/{}", name.display()), "its name is no text")?;
                    continue;
                };
                if matches!(name, "." | "..") || (depth == 0 && matches!(name, LOST_AND_FOUND | REPORT)) {
                    continue;
                }
                let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                match entry.metadata() {
                    Ok(of) if of.is_dir() && depth < DEEPEST => {
                        write(self.out, &Head::Folder(about(&path, &of)), b"")?;
                        waiting.push((path, depth + 1));
                    }
                    Ok(of) if of.file_type().is_regular_file() => files.push((path, of)),
                    Ok(_) => self.lose(&path, "is neither a file nor a folder")?,
                    Err(error) => self.lose(&path, &error.to_string())?,
                }
            }
        }
        let rank =
            |path: &str| LAST.iter().position(|folder| path.split('/').next() == Some(folder)).map_or(0, |at| at + 1);
        files.sort_by(|a, b| (rank(&a.0), a.1.len(), &a.0).cmp(&(rank(&b.0), b.1.len(), &b.0)));
        files.iter().try_for_each(|(path, of)| self.file(ext4, path, of))
    }

    fn file(&mut self, ext4: &Ext4, path: &str, of: &Metadata) -> io::Result<()> {
        if !of.file_type().is_regular_file() || !self.had.insert(path.to_owned()) {
            return Ok(());
        }
        if of.len() > self.left {
            return self.lose(path, &format!("there is no room for its {} bytes", of.len()));
        }
        match content(ext4, path, of.len()) {
            Ok(bytes) => {
                self.left -= bytes.len() as u64;
                write(self.out, &file(about(path, of), &bytes), &bytes)
            }
            Err(error) => self.lose(path, &error.to_string()),
        }
    }
}

fn content(ext4: &Ext4, path: &str, length: u64) -> Result<Vec<u8>, ext4_view::Ext4Error> {
    let mut file = ext4.open(format!("/{path}").as_str())?;
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    while (bytes.len() as u64) < length {
        let count = file.read_bytes(&mut chunk)?;
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
    }
    Ok(bytes)
}
