//! Writes a newc cpio archive, the format of the initramfs.
//!
//! One record per entry: a header of fixed hexadecimal fields, the name, the content, each padded to four bytes. Inode
//! numbers count up and every entry has the same time, so the same tree always gives the same bytes.

const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive being written.
pub struct Archive {
    bytes: Vec<u8>,
    mtime: u32,
    entries: u32,
}

impl Archive {
    /// An empty archive whose entries all carry `mtime`, in seconds since 1970.
    pub fn new(mtime: u32) -> Self {
        Self { bytes: Vec::new(), mtime, entries: 0 }
    }

    /// Adds a folder; its parents come first.
    pub fn folder(&mut self, name: &str, mode: u32) {
        self.entry(name, FOLDER | mode, 2, (0, 0), &[]);
    }

    /// Adds a file.
    pub fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entry(name, FILE | mode, 1, (0, 0), content);
    }

    /// Adds a character device.
    pub fn character_device(&mut self, name: &str, mode: u32, major: u32, minor: u32) {
        self.entry(name, CHARACTER_DEVICE | mode, 1, (major, minor), &[]);
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.mtime = 0;
        self.entries = u32::MAX; // the trailer has inode 0
        self.entry("TRAILER!!!", 0, 1, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, links: u32, device: (u32, u32), content: &[u8]) {
        self.entries = self.entries.wrapping_add(1);
        let (uid, gid, on_major, on_minor, check) = (0, 0, 0, 0, 0);
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        self.bytes.extend(b"070701");
        for field in [
            self.entries,
            mode,
            uid,
            gid,
            links,
            self.mtime,
            size,
            on_major,
            on_minor,
            device.0,
            device.1,
            name_size,
            check,
        ] {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_padded_and_end_with_the_trailer() {
        let mut archive = Archive::new(7);
        archive.folder("dev", 0o755);
        archive.character_device("dev/console", 0o600, 5, 1);
        archive.file("init", 0o755, b"hello");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(bytes.len() % 4, 0);
        assert!(text.starts_with("0707010000000100"), "{text}");
        assert_eq!(text.matches("070701").count(), 4);
        assert!(text.contains("init\0") && text.contains("hello\0\0\x00070701"), "{text}");
        assert!(text.ends_with("TRAILER!!!\0\0\0\0"), "{text:?}");
    }

    /// The `cpio` program, where there is one, reads the same names back.
    #[test]
    fn the_cpio_program_reads_it() {
        use std::io::Write;
        let mut archive = Archive::new(0);
        archive.folder("a", 0o755);
        archive.file("a/b", 0o644, &[1; 4097]);
        let bytes = archive.finish();
        let Ok(mut child) = std::process::Command::new("cpio")
            .arg("-it")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
        else {
            return;
        };
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stdout), "a\na/b\n");
    }
}
