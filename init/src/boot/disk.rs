//! Finding the boot disk by the partition table's geometry, which is router7's, as sysfs tells it.
use layout::{PERM, ROOT_A, partition_of};
use std::path::Path;

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

/// Looks for the boot disk in `/sys/block`.
pub fn scan(wanted: Option<&str>) -> Option<Disk> {
    scan_in(Path::new("/sys/block"), wanted)
}

/// The wanted disk once it has a root partition; without a wish, the first by name that has our geometry, a disk
/// that also has `/perm` before one that lacks it.
fn scan_in(block: &Path, wanted: Option<&str>) -> Option<Disk> {
    let start = |disk: &str, number: u32| -> Option<u64> {
        let file = block.join(disk).join(partition_of(disk, number)).join("start");
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    };
    if let Some(name) = wanted {
        start(name, 2)?;
        return Some(Disk { name: name.to_owned(), has_perm: start(name, 4).is_some() });
    }
    let mut names: Vec<String> =
        std::fs::read_dir(block).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    let mut found: Option<Disk> = None;
    for name in names {
        if start(&name, 2) == Some(ROOT_A.first) {
            let has_perm = start(&name, 4) == Some(PERM.first);
            if has_perm {
                return Some(Disk { name, has_perm });
            }
            found.get_or_insert(Disk { name, has_perm });
        }
    }
    found
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

    #[test]
    fn every_kind_of_name() {
        for (disk, second) in [("sda", "sda2"), ("vda", "vda2"), ("nvme0n1", "nvme0n1p2"), ("mmcblk0", "mmcblk0p2")] {
            let block = Block::new(disk);
            std::fs::create_dir_all(block.0.join("loop0")).unwrap();
            block.ours(disk);
            let found = scan_in(&block.0, None).unwrap();
            assert_eq!(found, Disk { name: disk.into(), has_perm: true });
            assert_eq!(found.partition(2), second);
        }
    }

    #[test]
    fn foreign_disks_are_passed_over() {
        let block = Block::new("foreign");
        block.partition("sda", "sda2", 2048);
        block.partition("sda", "sda4", 2_260_992);
        assert_eq!(scan_in(&block.0, None), None);
        block.ours("sdb");
        assert_eq!(scan_in(&block.0, None).unwrap().name, "sdb");
    }

    #[test]
    fn a_disk_without_perm_is_the_second_choice() {
        let block = Block::new("second");
        block.partition("sda", "sda2", 212_992);
        assert_eq!(scan_in(&block.0, None), Some(Disk { name: "sda".into(), has_perm: false }));
        block.ours("sdb");
        assert_eq!(scan_in(&block.0, None), Some(Disk { name: "sdb".into(), has_perm: true }));
    }

    #[test]
    fn a_named_disk_may_have_any_geometry_but_must_be_there() {
        let block = Block::new("named");
        block.ours("sda");
        assert_eq!(scan_in(&block.0, Some("vda")), None);
        block.partition("vda", "vda2", 2048);
        assert_eq!(scan_in(&block.0, Some("vda")), Some(Disk { name: "vda".into(), has_perm: false }));
    }

    #[test]
    fn no_sysfs_no_disk() {
        assert_eq!(scan_in(Path::new("/nonexistent"), None), None);
    }
}
