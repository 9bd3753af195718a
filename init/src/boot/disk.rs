//! Finding the boot disk by the partition table's geometry, which is router7's, as sysfs tells it.
use crate::cmdline::Words;
use crate::disk::Count;
use layout::{PERM, ROOT_A, partition_of};
use std::path::Path;

/// How long the kernel may still be announcing partition 4, which comes after the root's.
const PERM_SETTLES_MS: u64 = 1_000;
/// How long the disk that the boot loader was on may take to show itself beside another one: a stick needs seconds.
pub const OTHER_SETTLES_MS: u64 = 10_000;

/// A disk to boot from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its name under `/dev`.
    pub name: String,
    /// Whether partition 4 is there.
    pub has_perm: bool,
}

impl Disk {
    /// The name of a partition under `/dev`: `sda4`, `nvme0n1p4`.
    pub fn partition(&self, number: u32) -> String {
        partition_of(&self.name, number)
    }
}

/// A disk to boot from, and how long to wait for a better one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The disk.
    pub disk: Disk,
    /// Since the first one was found; 0 where there is none better.
    pub settles_ms: u64,
}

/// Looks for the boot disk in `/sys/block`.
pub fn scan(words: &Words) -> Option<Found> {
    let id = |disk: &Disk| Count::open(disk).map(|count| count.id()).unwrap_or_default();
    scan_in(Path::new("/sys/block"), words, id)
}

/// The wanted disk once it has a root partition. Without a wish, of those with our geometry the one whose `id` is what the
/// boot loader has read on its own, a disk that also has `/perm` before one that lacks it, the first by name.
fn scan_in(block: &Path, words: &Words, id: impl Fn(&Disk) -> String) -> Option<Found> {
    let start = |disk: &str, number: u32| -> Option<u64> {
        let file = block.join(disk).join(partition_of(disk, number)).join("start");
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    };
    let found = |name: &str, has_perm: bool, is_loaders: &dyn Fn(&Disk) -> bool| {
        let disk = Disk { name: name.to_owned(), has_perm };
        let settles_ms = match (is_loaders(&disk), has_perm) {
            (true, true) => 0,
            (true, false) => PERM_SETTLES_MS,
            (false, true) => OTHER_SETTLES_MS,
            (false, false) => OTHER_SETTLES_MS + PERM_SETTLES_MS,
        };
        Found { disk, settles_ms }
    };
    if let Some(name) = &words.disk {
        start(name, 2)?;
        return Some(found(name, start(name, 4).is_some(), &|_| true));
    }
    let mut names: Vec<String> =
        std::fs::read_dir(block).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    let is_loaders = |disk: &Disk| words.id.as_ref().is_none_or(|wanted| *wanted == id(disk));
    let ours = names.iter().filter(|name| start(name, 2) == Some(ROOT_A.first));
    ours.map(|name| found(name, start(name, 4) == Some(PERM.first), &is_loaders)).min_by_key(|found| found.settles_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A `/sys/block` of files, removed at the end.
    struct Block(PathBuf);

    impl Block {
        fn new(name: &str) -> Block {
            let path = std::env::temp_dir().join(format!("weir-init-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Block(path)
        }

        fn partition(&self, disk: &str, partition: &str, start: u64) {
            let folder = self.0.join(disk).join(partition);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("start"), format!("{start}\n")).unwrap();
        }

        fn ours(&self, disk: &str) {
            for (number, start) in [(1, 8192), (2, 212_992), (3, 1_236_992), (4, 2_260_992)] {
                self.partition(disk, &partition_of(disk, number), start);
            }
        }
    }

    impl Drop for Block {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn look(block: &Block, words: &Words) -> Option<Found> {
        scan_in(&block.0, words, |_| String::new())
    }

    #[test]
    fn every_kind_of_name() {
        for (disk, second) in [("sda", "sda2"), ("vda", "vda2"), ("nvme0n1", "nvme0n1p2"), ("mmcblk0", "mmcblk0p2")] {
            let block = Block::new(disk);
            std::fs::create_dir_all(block.0.join("loop0")).unwrap();
            block.ours(disk);
            let found = look(&block, &Words::default()).unwrap();
            assert_eq!((&*found.disk.name, found.disk.has_perm, found.settles_ms), (disk, true, 0));
            assert_eq!(found.disk.partition(2), second);
        }
    }

    #[test]
    fn foreign_disks_are_passed_over() {
        let block = Block::new("foreign");
        block.partition("sda", "sda2", 2048);
        block.partition("sda", "sda4", 2_260_992);
        assert_eq!(look(&block, &Words::default()), None);
        block.ours("sdb");
        assert_eq!(look(&block, &Words::default()).unwrap().disk.name, "sdb");
    }

    #[test]
    fn a_disk_without_perm_is_the_second_choice() {
        let block = Block::new("second");
        block.partition("sda", "sda2", 212_992);
        let disk = Disk { name: "sda".into(), has_perm: false };
        assert_eq!(look(&block, &Words::default()), Some(Found { disk, settles_ms: PERM_SETTLES_MS }));
        block.ours("sdb");
        let disk = Disk { name: "sdb".into(), has_perm: true };
        assert_eq!(look(&block, &Words::default()), Some(Found { disk, settles_ms: 0 }));
    }

    #[test]
    fn of_two_disks_the_boot_loaders_own_is_taken() {
        let block = Block::new("two");
        for disk in ["sda", "sdb"] {
            block.ours(disk);
        }
        let look = |wanted: &str| {
            let words = Words { id: Some(wanted.to_owned()), ..Words::default() };
            // The one that was never started has no name yet.
            let found = scan_in(&block.0, &words, |disk| if disk.name == "sda" { "ab".into() } else { String::new() });
            found.map(|found| (found.disk.name, found.settles_ms)).unwrap()
        };
        assert_eq!(look("ab"), ("sda".into(), 0));
        assert_eq!(look(""), ("sdb".into(), 0));
        assert_eq!(look("cd"), ("sda".into(), OTHER_SETTLES_MS), "it may still come");
        block.partition("sdc", "sdc2", 212_992);
        assert_eq!(look("ab"), ("sda".into(), 0), "though another one has no /perm");
    }

    #[test]
    fn a_named_disk_may_have_any_geometry_but_must_be_there() {
        let block = Block::new("named");
        block.ours("sda");
        let words = Words { disk: Some("vda".into()), ..Words::default() };
        assert_eq!(look(&block, &words), None);
        block.partition("vda", "vda2", 2048);
        let disk = Disk { name: "vda".into(), has_perm: false };
        assert_eq!(look(&block, &words), Some(Found { disk, settles_ms: PERM_SETTLES_MS }));
    }

    #[test]
    fn no_sysfs_no_disk() {
        assert_eq!(scan_in(Path::new("/nonexistent"), &Words::default(), |_| String::new()), None);
    }
}
