//! What is not ours to mend.
use super::view::{SUPERBLOCK, Superblock};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Whose filesystem it is, and what it has at which offset.
const OTHERS: &[(&str, u64, &[u8])] = &[
    ("LUKS", 0, b"LUKS\xba\xbe"),
    ("XFS", 0, b"XFSB"),
    ("SquashFS", 0, b"hsqs"),
    ("NTFS", 3, b"NTFS    "),
    ("FAT", 0x36, b"FAT1"),
    ("FAT", 0x52, b"FAT32"),
    ("F2FS", 0x400, b"\x10\x20\xf5\xf2"),
    ("Btrfs", 0x1_0040, b"_BHRfS_M"),
];

/// Whether this partition is to be left as it is.
///
/// # Errors
/// In words, when it is.
pub fn look(partition: &File, room: u64) -> Result<(), String> {
    for (name, at, magic) in OTHERS {
        let mut there = vec![0; magic.len()];
        if partition.read_exact_at(&mut there, *at).is_ok() && there == *magic {
            return Err(format!("it is left as it is: a filesystem of another kind, {name}"));
        }
    }
    let mut bytes = [0; SUPERBLOCK];
    let ours = partition.read_exact_at(&mut bytes, 1024).ok().and_then(|()| Superblock::read(&bytes, room));
    match ours.map_or(0, |sb| sb.unknown()) {
        0 => Ok(()),
        features => Err(format!("it is left as it is: ext4 of a newer version (features {features:#x})")),
    }
}
