//! An initramfs of programs of the host's: what a small machine beside the router, or in its place, is made of.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use weir::cpio::Archive;

/// One that is being filled. Paths are absolute; their folders are made.
pub struct Initramfs {
    archive: Archive,
    folders: BTreeSet<PathBuf>,
    libraries: BTreeSet<String>,
}

impl Default for Initramfs {
    fn default() -> Self {
        let mut archive = Archive::new(0);
        let folders = ["/dev", "/proc", "/sys", "/run", "/tmp", "/var"].map(PathBuf::from);
        folders.iter().for_each(|folder| archive.folder(folder.to_str().unwrap().trim_start_matches('/'), 0o755));
        archive.character_device("dev/console", 0o600, 5, 1);
        Initramfs { archive, folders: folders.into(), libraries: BTreeSet::new() }
    }
}

impl Initramfs {
    /// Puts a file in.
    pub fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        let parents: Vec<&Path> = Path::new(path).ancestors().skip(1).collect();
        for parent in parents.into_iter().rev().filter(|parent| *parent != Path::new("/")) {
            if self.folders.insert(parent.to_owned()) {
                self.archive.folder(parent.to_str().unwrap().trim_start_matches('/'), 0o755);
            }
        }
        self.archive.file(path.trim_start_matches('/'), mode, bytes);
    }

    /// Puts a program of the host's in at a place of its own, with the libraries that it is linked with.
    pub fn program_at(&mut self, place: &str, program: &str) {
        let read = |path: &str| std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        self.file(place, 0o755, &read(program));
        let output = Command::new("ldd").arg(program).output().expect("ldd");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
            if self.libraries.insert(library.to_owned()) {
                self.file(library, 0o755, &read(library));
            }
        }
    }

    /// The same at the place where the host has it.
    pub fn program(&mut self, program: &str) {
        self.program_at(program, program);
    }

    /// The archive.
    pub fn finish(self) -> Vec<u8> {
        self.archive.finish()
    }
}
