//! What is saved of a damaged filesystem, as one stream: a line of JSON for each thing, a file's bytes behind its line. What
//! matters most comes first; a stream that breaks off is worth what came before.
use layout::crc32;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Head {
    /// A folder.
    Folder(About),
    /// A file, with its length and the CRC-32 of its bytes.
    File {
        #[serde(flatten)]
        about: About,
        length: usize,
        sum: u32,
    },
    /// Something that could not be read, and why.
    Lost { path: String, why: String },
    /// It was all.
    End,
}

/// Whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Path from `/perm` on, without a slash before it.
    pub path: String,
    /// Permissions, 12 bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl About {
    /// Whether it stays inside `/perm`.
    fn is_inside(&self) -> bool {
        let part = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
        self.path.split('/').all(part)
    }
}

/// All that was saved.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Saved {
    pub folders: Vec<About>,
    pub files: Vec<(About, Vec<u8>)>,
    pub lost: Vec<(String, String)>,
    /// Whether the end was reached.
    pub whole: bool,
}

/// Writes one thing.
///
/// # Errors
/// The stream's.
pub fn write(into: &mut impl Write, head: &Head, bytes: &[u8]) -> io::Result<()> {
    let mut line = serde_json::to_vec(head)?;
    line.push(b'\n');
    into.write_all(&line)?;
    into.write_all(bytes)
}

/// A file as a thing of the stream.
pub fn file(about: About, bytes: &[u8]) -> Head {
    Head::File { about, length: bytes.len(), sum: crc32(bytes) }
}

impl Saved {
    /// Reads a stream as far as it is whole.
    pub fn read(mut stream: &[u8]) -> Saved {
        let mut saved = Saved::default();
        while let Some(end) = stream.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = stream.split_at(end);
            stream = rest.get(1..).unwrap_or_default();
            match serde_json::from_slice(line) {
                Ok(Head::Folder(about)) if about.is_inside() => saved.folders.push(about),
                Ok(Head::File { about, length, sum }) if about.is_inside() => {
                    let Some((bytes, rest)) = stream.split_at_checked(length) else { return saved };
                    if crc32(bytes) != sum {
                        return saved;
                    }
                    saved.files.push((about, bytes.to_vec()));
                    stream = rest;
                }
                Ok(Head::Lost { path, why }) => saved.lost.push((path, why)),
                Ok(Head::End) => {
                    saved.whole = true;
                    return saved;
                }
                _ => return saved,
            }
        }
        saved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(path: &str) -> About {
        About { path: path.into(), mode: 0o640, uid: 107, gid: 107 }
    }

    #[test]
    fn what_is_written_is_read_and_a_cut_loses_only_what_follows() {
        let mut stream = Vec::new();
        write(&mut stream, &Head::Folder(about("dhcp4d")), b"").unwrap();
        write(&mut stream, &file(about("dhcp4d/leases.json"), b"[\n]"), b"[\n]").unwrap();
        let first = stream.len();
        write(&mut stream, &Head::Lost { path: "x\ny".into(), why: "gone".into() }, b"").unwrap();
        write(&mut stream, &Head::End, b"").unwrap();
        let saved = Saved::read(&stream);
        assert!(saved.whole && saved.lost == [("x\ny".into(), "gone".into())]);
        assert_eq!(saved.files, [(about("dhcp4d/leases.json"), b"[\n]".to_vec())]);
        for end in 0..stream.len() {
            let cut = Saved::read(&stream[..end]);
            assert!(!cut.whole && cut.files.len() == usize::from(end >= first), "cut at {end}");
        }
    }

    #[test]
    fn nothing_leaves_the_folder() {
        for path in ["/etc/passwd", "../x", "a/../b", "", "a//b", "."] {
            let mut stream = Vec::new();
            write(&mut stream, &file(about(path), b"x"), b"x").unwrap();
            assert!(Saved::read(&stream).files.is_empty(), "{path}");
        }
    }
}
