//! The machine's disk as a file, and what a test does to it while the machine is off.
use layout::environment::{BYTES, Environment};
use layout::{BOOT, GRUBENV, PERM};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Bytes of a block of `/perm`.
const BLOCK: u64 = 4096;

/// A disk of its own for one test.
#[derive(Debug)]
pub struct Disk {
    /// The image.
    pub path: PathBuf,
    /// First byte of `/perm` in it.
    perm: u64,
}

fn run(program: &str, words: &[&str]) -> Output {
    Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Disk {
    /// A sparse copy of the image's disk in `folder`.
    pub fn copy(folder: &Path) -> Disk {
        Disk::copy_of(&crate::images().join("disk.img"), &folder.join("disk.img"))
    }

    /// A sparse copy of a disk.
    pub fn copy_of(from: &Path, path: &Path) -> Disk {
        let output = run("cp", &["--sparse=always", from.to_str().unwrap(), path.to_str().unwrap()]);
        assert!(output.status.success(), "cp: {}", text(&output.stderr));
        Disk::at(path)
    }

    /// A disk that a test has made itself.
    pub fn at(path: &Path) -> Disk {
        Disk { path: path.to_owned(), perm: PERM.offset() }
    }

    /// `/perm` inside the image, as the programs of e2fsprogs take it.
    fn perm(&self) -> String {
        format!("{}?offset={}", self.path.display(), self.perm)
    }

    /// One command of debugfs that changes `/perm`; what it said.
    fn change(&self, command: &str) -> String {
        let output = run("debugfs", &["-w", "-R", command, &self.perm()]);
        assert!(output.status.success(), "debugfs {command}: {}", text(&output.stderr));
        text(&output.stderr)
    }

    /// `/perm` as a disk of its own after a power cut, with its journal taken in as by the next mount. The machine's
    /// disk stays as it is.
    pub fn settled(&self) -> Disk {
        let path = self.path.with_extension("perm");
        let (from, to) = (format!("if={}", self.path.display()), format!("of={}", path.display()));
        let words = [&from, &to, "bs=1M", &format!("skip={}", PERM.offset() >> 20), "conv=sparse", "status=none"];
        let output = run("dd", &words);
        assert!(output.status.success(), "dd: {}", text(&output.stderr));
        let output = run("e2fsck", &["-p", path.to_str().unwrap()]);
        assert!(matches!(output.status.code(), Some(0 | 1)), "e2fsck -p: {}", text(&output.stdout));
        Disk { path, perm: 0 }
    }

    /// Writes a file into `/perm`.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        let source = self.path.with_extension("file");
        std::fs::write(&source, bytes).unwrap();
        if let Some((folder, _)) = name.rsplit_once('/') {
            // That it is there already is no failure.
            self.change(&format!("mkdir {folder}"));
        }
        // Removing first: debugfs does not overwrite. That it says "not found" is no failure.
        self.change(&format!("rm {name}"));
        let said = self.change(&format!("write {} {name}", source.display()));
        std::fs::remove_file(&source).unwrap();
        assert!(said.lines().all(|line| line.starts_with("debugfs ")), "debugfs write {name}: {said}");
    }

    /// Reads a file of `/perm` as it is on the disk; `None` when there is none.
    pub fn read(&self, name: &str) -> Option<String> {
        let output = run("debugfs", &["-R", &format!("cat {name}"), &self.perm()]);
        let missing = text(&output.stderr).contains("File not found");
        (!missing).then(|| text(&output.stdout))
    }

    /// A file's mode, owner and group, as numbers.
    pub fn owner(&self, name: &str) -> String {
        let text = text(&run("debugfs", &["-R", &format!("stat {name}"), &self.perm()]).stdout);
        let word = |after: &str| {
            let rest = text.split(after).nth(1).unwrap_or_else(|| panic!("debugfs stat {name}: {text}"));
            rest.split_whitespace().next().unwrap_or_default().to_owned()
        };
        format!("{} {} {}", word("Mode:"), word("User:"), word("Group:"))
    }

    /// Names in a folder of `/perm`, without `.` and `..`.
    pub fn list(&self, folder: &str) -> Vec<String> {
        let output = run("debugfs", &["-R", &format!("ls -p {folder}"), &self.perm()]);
        // A line is /INODE/MODE/UID/GID/NAME/SIZE/
        let names = text(&output.stdout).lines().filter_map(|line| Some(line.split('/').nth(5)?.to_owned())).collect();
        let own = |name: &String| !matches!(name.as_str(), "" | "." | "..");
        Vec::into_iter(names).filter(own).collect()
    }

    /// What a full check says is wrong; `None` when all is well.
    pub fn faults(&self) -> Option<String> {
        let output = run("e2fsck", &["-fn", &self.perm()]);
        (!output.status.success()).then(|| text(&output.stdout))
    }

    /// Blocks of `/perm`, as its superblock has them.
    pub fn blocks(&self) -> u64 {
        let head = text(&run("dumpe2fs", &["-h", &self.perm()]).stdout);
        let count = head.lines().find_map(|line| line.strip_prefix("Block count:"));
        count.unwrap_or_else(|| panic!("dumpe2fs: {head}")).trim().parse().unwrap()
    }

    /// Fills `/perm` to the last block that anybody may take.
    pub fn fill(&self) {
        let head = text(&run("dumpe2fs", &["-h", &self.perm()]).stdout);
        let free = head.lines().find_map(|line| line.strip_prefix("Free blocks:"));
        let free: u64 = free.unwrap_or_else(|| panic!("dumpe2fs: {head}")).trim().parse().unwrap();
        // A few are for the file's own list of blocks.
        self.write("filler", &vec![1; usize::try_from(free.saturating_sub(8) * BLOCK).unwrap()]);
    }

    /// Overwrites the first MiB of `/perm` with `byte`: its superblock and group descriptors are gone.
    pub fn spoil(&self, byte: u8) {
        self.overwrite(self.perm, &vec![byte; 1 << 20]);
    }

    /// Overwrites bytes of the disk.
    pub fn overwrite(&self, offset: u64, bytes: &[u8]) {
        OpenOptions::new().write(true).open(&self.path).unwrap().write_all_at(bytes, offset).unwrap();
    }

    /// Bytes of the disk.
    pub fn bytes(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        File::open(&self.path).unwrap().read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    /// Gives `/perm` a feature that nobody may mount it without knowing.
    pub fn add_feature(&self, bits: u32) {
        let mut superblock = self.bytes(self.perm + 1024, 1024);
        let features = u32::from_le_bytes(superblock[0x60..0x64].try_into().unwrap()) | bits;
        superblock[0x60..0x64].copy_from_slice(&features.to_le_bytes());
        let mut sum = !0_u32;
        for byte in &superblock[..0x3fc] {
            sum = (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0x82f6_3b78 * (sum & 1)));
        }
        superblock[0x3fc..].copy_from_slice(&sum.to_le_bytes());
        self.overwrite(self.perm + 1024, &superblock);
    }

    /// The same disk with one sector that cannot be written.
    pub fn refusing(&self, sector: u64) -> Disk {
        let rules = self.path.with_extension("blkdebug");
        let rule =
            format!("[inject-error]\nevent = \"none\"\niotype = \"write\"\nerrno = \"5\"\nsector = \"{sector}\"\n");
        std::fs::write(&rules, rule).unwrap();
        Disk::at(Path::new(&format!("blkdebug:{}:{}", rules.display(), self.path.display())))
    }

    /// Turns one bit of the disk round.
    pub fn flip(&self, offset: u64) {
        self.overwrite(offset, &[self.bytes(offset, 1)[0] ^ 0x10]);
    }

    /// Makes the disk larger, as when it was copied to one that is.
    pub fn enlarge(&self, bytes: u64) {
        OpenOptions::new().write(true).open(&self.path).unwrap().set_len(bytes).unwrap();
    }

    /// What GRUB finds in its environment; `None` when it is rubbish.
    pub fn environment(&self) -> Option<Environment> {
        Environment::read(&self.bytes(BOOT.offset() + GRUBENV.offset(), BYTES))
    }

    /// Sets variables of GRUB's environment.
    pub fn set_environment(&self, variables: &[(&str, &str)]) {
        let mut environment = self.environment().unwrap_or_default();
        assert!(variables.iter().all(|(name, value)| environment.set(name, value)), "{variables:?}");
        self.overwrite(BOOT.offset() + GRUBENV.offset(), &environment.block());
    }
}
