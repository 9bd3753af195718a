//! The machine's disk as a file, and what a test does to it while the machine is off.
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// First byte of `/perm`, the fourth partition.
const PERM: u64 = 2_260_992 * 512;

/// A disk of its own for one test.
#[derive(Debug)]
pub struct Disk {
    /// The image.
    pub path: PathBuf,
}

fn run(program: &str, words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

impl Disk {
    /// A sparse copy of the image's disk in `folder`.
    pub fn copy(folder: &Path) -> Disk {
        let path = folder.join("disk.img");
        let from = crate::images().join("disk.img");
        let (code, text) = run("cp", &["--sparse=always", from.to_str().unwrap(), path.to_str().unwrap()]);
        assert_eq!(code, Some(0), "cp: {text}");
        Disk { path }
    }

    fn length(&self) -> u64 {
        // The table's backup takes the last 33 sectors; whole MiB lie before it.
        (std::fs::metadata(&self.path).unwrap().len() - PERM - 34 * 512) & !0xf_ffff
    }

    /// Takes `/perm` out as a file of its own, lets `change` work on it, and puts it back.
    pub fn perm<T>(&self, change: impl FnOnce(&str) -> T) -> T {
        let part = self.path.with_extension("perm");
        let mut bytes = vec![0; self.length() as usize];
        let mut disk = OpenOptions::new().read(true).write(true).open(&self.path).unwrap();
        disk.seek(SeekFrom::Start(PERM)).unwrap();
        disk.read_exact(&mut bytes).unwrap();
        std::fs::write(&part, &bytes).unwrap();
        let result = change(part.to_str().unwrap());
        bytes.clear();
        File::open(&part).unwrap().read_to_end(&mut bytes).unwrap();
        disk.seek(SeekFrom::Start(PERM)).unwrap();
        disk.write_all(&bytes).unwrap();
        std::fs::remove_file(&part).unwrap();
        result
    }

    /// Writes a file into `/perm`.
    pub fn write(&self, name: &str, text: &[u8]) {
        let source = self.path.with_extension("file");
        std::fs::write(&source, text).unwrap();
        self.perm(|part| {
            // Removing first: debugfs does not overwrite. That it says "not found" is no failure.
            run("debugfs", &["-w", "-R", &format!("rm {name}"), part]);
            let (code, text) = run("debugfs", &["-w", "-R", &format!("write {} {name}", source.display()), part]);
            assert!(code == Some(0) && !text.contains("Could not"), "debugfs: {text}");
        });
    }

    /// Reads a file of `/perm` as it is on the disk, after the journal has been replayed.
    pub fn read(&self, name: &str) -> String {
        self.perm(|part| {
            run("e2fsck", &["-p", part]);
            run("debugfs", &["-R", &format!("cat {name}"), part]).1
        })
    }

    /// What a full check finds: 0 = clean.
    pub fn check(&self) -> (Option<i32>, String) {
        self.perm(|part| run("e2fsck", &["-fn", part]))
    }

    /// Overwrites the first MiB of `/perm` with `byte`: its superblock and group descriptors are gone.
    pub fn spoil(&self, byte: u8) {
        self.perm(|part| {
            let mut file = OpenOptions::new().write(true).open(part).unwrap();
            file.write_all(&vec![byte; 1 << 20]).unwrap();
        });
    }
}
