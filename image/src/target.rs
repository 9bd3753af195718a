//! A disk that is being written, as a file or a device: only what differs is written, so holes stay holes.
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};

/// What is equal in pieces of this size is left alone.
const PIECE: usize = 4096;
/// Read and written at once.
const AT_ONCE: usize = 1 << 20;

/// The disk.
#[derive(Debug)]
pub struct Target {
    file: File,
    path: PathBuf,
    /// Bytes that had to be written.
    pub written: u64,
}

impl Target {
    /// Over a file that is open for reading and writing.
    pub fn new(file: File, path: &Path) -> Self {
        Self { file, path: path.to_owned(), written: 0 }
    }

    /// Makes these bytes be there.
    ///
    /// # Errors
    /// When they cannot be read or written.
    pub fn put(&mut self, mut offset: u64, mut bytes: &[u8]) -> Result<()> {
        let mut found = vec![0; AT_ONCE];
        while !bytes.is_empty() {
            // Up to the next whole piece first.
            let most = AT_ONCE - usize::try_from(offset % PIECE as u64).unwrap_or(0);
            let (now, rest) = bytes.split_at(most.min(bytes.len()));
            let there = &mut found[..now.len()];
            self.file.read_exact_at(there, offset).cannot(|| self.doing("read", offset))?;
            let mut at = 0;
            while at < now.len() {
                let to_edge = PIECE - usize::try_from((offset + at as u64) % PIECE as u64).unwrap_or(0);
                let end = (at + to_edge).min(now.len());
                if now[at..end] != there[at..end] {
                    let place = offset + at as u64;
                    self.file.write_all_at(&now[at..end], place).cannot(|| self.doing("write", place))?;
                    self.written += (end - at) as u64;
                }
                at = end;
            }
            offset += now.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    /// Reads some bytes.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn get(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).cannot(|| self.doing("read", offset))?;
        Ok(bytes)
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// The disk's own.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().cannot(|| self.doing("write", 0))
    }

    /// The file under it.
    pub fn file(&self) -> &File {
        &self.file
    }

    fn doing(&self, verb: &str, offset: u64) -> String {
        format!("{verb} {} at byte {offset}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn only_what_differs_is_written() {
        let scratch = Scratch::new("target").unwrap();
        let path = scratch.path().join("disk");
        let file = File::options().create_new(true).read(true).write(true).open(&path).unwrap();
        file.set_len(8 << 20).unwrap();
        let mut target = Target::new(file, &path);
        let mut bytes = vec![0; 3 << 20];
        bytes[2 << 20] = 9;
        target.put(100, &bytes).unwrap();
        assert_eq!(target.written, 4096);
        assert_eq!(target.get(100, 3 << 20).unwrap(), bytes);
        assert!(target.file().metadata().unwrap().blocks() <= 16);
        target.put(100, &bytes).unwrap();
        assert_eq!(target.written, 4096, "nothing differs any more");
        target.put(5 << 20, &[3; 10]).unwrap();
        assert_eq!(target.written, 4106);
        assert!(target.put((8 << 20) - 5, &[1; 10]).unwrap_err().to_string().contains("cannot read"));
    }
}
