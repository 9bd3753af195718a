//! What stands on a disk, for a person who is asked whether it may be lost. A guess by the first bytes of each filesystem,
//! as they are known; nothing is decided by it but words.
use crate::disks::{Disk, Holds};
use layout::{BOOT, FAT_MARK, SECTOR};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Bytes at a place, and what they mean. The first that is found is the filesystem's; those that others begin with come
/// last.
const MARKS: &[(u64, &[u8], &str)] = &[
    (3, b"NTFS    ", "NTFS (Windows)"),
    (3, b"-FVE-FS-", "BitLocker (Windows)"),
    (3, b"EXFAT   ", "exFAT"),
    (0, b"LUKS\xba\xbe", "LUKS (an encrypted Linux)"),
    (512, b"LABELONE", "LVM (Linux)"),
    (0x1_0040, b"_BHRfS_M", "btrfs (Linux)"),
    (0, b"XFSB", "XFS (Linux)"),
    (4086, b"SWAPSPACE2", "swap (Linux)"),
    (1080, b"\x53\xef", "ext4 (Linux)"),
    (32, b"NXSB", "APFS (macOS)"),
    (1024, b"H+", "HFS+ (macOS)"),
    (32_769, b"CD001", "an ISO image"),
    (0, b"hsqs", "SquashFS (Linux)"),
    (82, b"FAT32", "FAT"),
    (54, b"FAT1", "FAT"),
];

/// In a few words, what is on the disk: empty when nothing is. `starts` are the first sectors of its partitions.
pub fn of(disk: &Disk, file: &File, starts: &[u64]) -> String {
    match disk.holds {
        Holds::Nothing => String::new(),
        Holds::Unreadable => "nothing that can be read".into(),
        Holds::Ours if at(file, BOOT.offset() + 3, FAT_MARK.len()).as_deref() == Some(&FAT_MARK) => "weir".into(),
        Holds::Ours => "router7".into(),
        Holds::Others => {
            let mut found: Vec<&str> = Vec::new();
            for start in std::iter::once(0).chain(starts.iter().map(|sector| sector * SECTOR)) {
                let is_there = |(place, bytes, _): &&(u64, &[u8], &str)| {
                    at(file, start + place, bytes.len()).as_deref() == Some(*bytes)
                };
                let name = MARKS.iter().find(is_there).map(|(.., name)| *name);
                found.extend(name.filter(|name| !found.contains(name)));
            }
            match (found.is_empty(), starts.is_empty()) {
                (false, _) => found.join(", "),
                (true, false) => "partitions of something unknown".into(),
                (true, true) => "something unknown".into(),
            }
        }
    }
}

fn at(file: &File, place: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, place).ok().map(|()| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::tests::Folder;

    fn file(folder: &Folder, name: &str, marks: &[(u64, &[u8])]) -> File {
        let path = folder.0.join(name);
        let file = File::options().create_new(true).read(true).write(true).open(path).unwrap();
        file.set_len(8 << 20).unwrap();
        marks.iter().for_each(|(place, bytes)| file.write_all_at(bytes, *place).unwrap());
        file
    }

    fn words(folder: &Folder, name: &str, holds: Holds, starts: &[u64], marks: &[(u64, &[u8])]) -> String {
        let disk = Disk { name: "sda".into(), model: String::new(), sectors: 1 << 14, removable: false, holds };
        of(&disk, &file(folder, name, marks), starts)
    }

    #[test]
    fn what_is_on_a_disk_is_said() {
        let folder = Folder::new("contents");
        let others = |name, starts: &[u64], marks: &[(u64, &[u8])]| words(&folder, name, Holds::Others, starts, marks);
        let windows: &[(u64, &[u8])] = &[(1 << 20, b"\xeb\x52\x90NTFS    "), ((2 << 20) + 82, b"FAT32   ")];
        assert_eq!(others("windows", &[2048, 4096], windows), "NTFS (Windows), FAT");
        assert_eq!(others("whole", &[], &[(1080, b"\x53\xef")]), "ext4 (Linux)");
        assert_eq!(others("locked", &[2048], &[(1 << 20, b"LUKS\xba\xbe")]), "LUKS (an encrypted Linux)");
        assert_eq!(others("twice", &[2048, 4096], &[(1 << 20, b"XFSB"), (2 << 20, b"XFSB")]), "XFS (Linux)");
        assert_eq!(others("table", &[2048], &[(510, b"\x55\xaa")]), "partitions of something unknown");
        assert_eq!(others("rubbish", &[1 << 40], &[(510, b"\x55\xaa")]), "partitions of something unknown");
        assert_eq!(others("none", &[], &[(510, b"\x55\xaa")]), "something unknown");
        let mark = [(BOOT.offset() + 3, &FAT_MARK[..])];
        assert_eq!(words(&folder, "weir", Holds::Ours, &[], &mark), "weir");
        assert_eq!(words(&folder, "router7", Holds::Ours, &[], &[]), "router7");
        assert_eq!(words(&folder, "blank", Holds::Nothing, &[], &[]), "");
    }
}
