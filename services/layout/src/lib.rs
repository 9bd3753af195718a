//! Where everything lies on the disk: router7's geometry, so that installing over a router7 keeps its `/perm`, and the
//! places of what the boot loader reads.
//!
//! Data and pure functions only, without dependencies: `weir` on the host writes a disk by it, PID 1 and the services
//! overwrite single extents of a running one. FAT metadata is written once, with the image, and never again: whoever
//! renews a slot overwrites its files in place, so no cut can touch the other slot.
#![forbid(unsafe_code)]

pub mod environment;
pub mod gpt;
pub mod mending;
pub mod runs;
pub mod spare;
mod sum;
pub mod sums;

pub use sum::crc32;

/// Bytes in a sector.
pub const SECTOR: u64 = 512;
/// Sectors of `disk.img`, 1.25 GiB; a larger disk has a larger `/perm`.
pub const DISK_SECTORS: u64 = 1280 * 1024 * 1024 / SECTOR;
/// Bytes of the empty `/perm` filesystem.
pub const PERM_BYTES: u64 = 64 * 1024 * 1024;
/// Sectors of the smallest disk.
pub const LEAST_SECTORS: u64 = PERM.first + PERM_BYTES / SECTOR + 35;
/// GUID of the disk, as it stands in the table; a partition's has its number in the last byte. The scheme is router7's:
/// 60c24cc1-f3f9-427a-8199-HHHHHHHH0000 with the FNV-1a hash of the host name, here `weir`.
pub const DISK_GUID: [u8; 16] = *b"\xc1\x4c\xc2\x60\xf9\xf3\x7a\x42\x81\x99\xd4\xa8\x7f\xb6\x00\x00";

/// One of the two sets of kernel, initramfs and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Slot {
    /// Root on partition 2.
    #[default]
    A,
    /// Root on partition 3.
    B,
}

impl Slot {
    /// Both.
    pub const ALL: [Slot; 2] = [Slot::A, Slot::B];

    /// The other one.
    pub const fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }

    /// Its letter, for people, file names and the kernel's command line.
    pub const fn letter(self) -> &'static str {
        match self {
            Slot::A => "a",
            Slot::B => "b",
        }
    }

    /// The one with this letter.
    pub fn of(letter: &str) -> Option<Slot> {
        Slot::ALL.into_iter().find(|slot| slot.letter() == letter)
    }

    /// The number of its root's partition.
    pub const fn partition(self) -> u32 {
        match self {
            Slot::A => 2,
            Slot::B => 3,
        }
    }

    /// Its root's partition.
    pub const fn root(self) -> Partition {
        match self {
            Slot::A => ROOT_A,
            Slot::B => ROOT_B,
        }
    }
}

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Its name in the table.
    pub name: &'static str,
    /// First sector.
    pub first: u64,
    /// Last sector.
    pub last: u64,
    /// GUID of its type, as it stands in the table.
    pub kind: [u8; 16],
}

impl Partition {
    /// Offset of its first byte on the disk.
    pub const fn offset(&self) -> u64 {
        self.first * SECTOR
    }

    /// Its size in bytes.
    pub const fn bytes(&self) -> u64 {
        (self.last - self.first + 1) * SECTOR
    }
}

/// C12A7328-F81F-11D2-BA4B-00A0C93EC93B.
const EFI: [u8; 16] = *b"\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b";
/// 4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709.
const LINUX_ROOT: [u8; 16] = *b"\xe3\xbc\x68\x4f\xcd\xe8\xb1\x4d\x96\xe7\xfb\xca\xf9\x84\xb7\x09";
/// 0FC63DAF-8483-4772-8E79-3D69D8477DE4.
const LINUX: [u8; 16] = *b"\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4";
/// 21686148-6449-6E6F-744E-656564454649.
const BIOS_BOOT: [u8; 16] = *b"Hah!IdontNeedEFI";

/// FAT: boot loader, kernels, initramfses.
pub const BOOT: Partition = Partition { name: "weir boot", first: 8192, last: 212_991, kind: EFI };
/// Root A, SquashFS.
pub const ROOT_A: Partition = Partition { name: "weir root A", first: 212_992, last: 1_236_991, kind: LINUX_ROOT };
/// Root B, SquashFS.
pub const ROOT_B: Partition = Partition { name: "weir root B", first: 1_236_992, last: 2_260_991, kind: LINUX };
/// `/perm`, ext4, to the end of the disk; router7 leaves one sector between it and the backup table.
pub const PERM: Partition =
    Partition { name: "weir perm", first: 2_260_992, last: perm_last(DISK_SECTORS), kind: LINUX };
/// GRUB's own, which a BIOS starts.
pub const BIOS: Partition = Partition { name: "weir bios", first: 2048, last: 4095, kind: BIOS_BOOT };
/// Room for the last good copy of what `/perm` holds, in two halves.
pub const SPARE: Partition = Partition { name: "weir spare", first: 4096, last: 8191, kind: LINUX };

/// The partitions in the order of their numbers, from 1 on. The first four are router7's.
pub const PARTITIONS: [Partition; 6] = [BOOT, ROOT_A, ROOT_B, PERM, BIOS, SPARE];

/// The last sector of `/perm` on a disk of this many sectors.
pub const fn perm_last(sectors: u64) -> u64 {
    sectors.saturating_sub(35)
}

/// The name of a disk's partition under `/dev`: `sda4`, `nvme0n1p4`. A disk whose own name ends in a digit has a `p` before
/// the number.
pub fn partition_of(disk: &str, number: u32) -> String {
    let between = if disk.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{between}{number}")
}

/// A run of sectors of [`BOOT`], counted from its first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First sector.
    pub first: u64,
    /// How many.
    pub sectors: u64,
}

impl Extent {
    /// Offset of its first byte in the partition.
    pub const fn offset(&self) -> u64 {
        self.first * SECTOR
    }

    /// Its size in bytes.
    pub const fn bytes(&self) -> u64 {
        self.sectors * SECTOR
    }
}

/// First sector of FAT's data: what lies before is metadata.
pub const FAT_DATA: u64 = 2048;
/// What stands at offset 3 of [`BOOT`]'s first sector: this FAT has the extents below.
pub const FAT_MARK: [u8; 8] = *b"WEIRBOOT";

/// `grubenv`: see [`environment`].
pub const GRUBENV: Extent = Extent { first: FAT_DATA, sectors: 2 };
/// Room for files of the boot loader that never change.
pub const LOADER: Extent = Extent { first: 2072, sectors: 8168 };

/// `sums-a` and `sums-b`: see [`sums`].
pub const fn sums_of(slot: Slot) -> Extent {
    match slot {
        Slot::A => Extent { first: 2056, sectors: 3 },
        Slot::B => Extent { first: 2064, sectors: 3 },
    }
}

/// `vmlinuz-a` and `vmlinuz-b`.
pub const fn kernel_of(slot: Slot) -> Extent {
    match slot {
        Slot::A => Extent { first: 10_240, sectors: 32_768 },
        Slot::B => Extent { first: 43_008, sectors: 32_768 },
    }
}

/// `initrd-a` and `initrd-b`.
pub const fn initrd_of(slot: Slot) -> Extent {
    match slot {
        Slot::A => Extent { first: 75_776, sectors: 32_768 },
        Slot::B => Extent { first: 108_544, sectors: 32_768 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_follow_each_other() {
        let mut all = PARTITIONS;
        all.sort_by_key(|partition| partition.first);
        for pair in all.windows(2) {
            assert_eq!(pair[0].last + 1, pair[1].first, "{} and {}", pair[0].name, pair[1].name);
        }
        assert_eq!(ROOT_A.bytes(), 500 * 1024 * 1024);
        assert_eq!(ROOT_A.bytes(), ROOT_B.bytes());
        assert!(PERM.bytes() > PERM_BYTES);
    }

    #[test]
    fn extents_are_apart_whole_pages_and_inside() {
        let slots = Slot::ALL.into_iter().flat_map(|slot| [sums_of(slot), kernel_of(slot), initrd_of(slot)]);
        let mut all: Vec<Extent> = [GRUBENV, LOADER].into_iter().chain(slots).collect();
        all.sort_by_key(|extent| extent.first);
        for pair in all.windows(2) {
            assert!(pair[0].first + pair[0].sectors <= pair[1].first, "{pair:?}");
        }
        assert!(all.iter().all(|extent| (BOOT.first + extent.first).is_multiple_of(8)), "a disk writes 4 KiB at once");
        let last = all.last().unwrap();
        assert!((last.first + last.sectors) * SECTOR <= BOOT.bytes());
    }

    #[test]
    fn the_guid_holds_the_hash_of_the_name() {
        let hash =
            b"weir".iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        assert_eq!(DISK_GUID[10..14], hash.to_be_bytes());
    }

    #[test]
    fn slots_have_letters() {
        assert_eq!(Slot::ALL.map(Slot::letter), ["a", "b"]);
        assert_eq!((Slot::of("b"), Slot::of("c"), Slot::A.other()), (Some(Slot::B), None, Slot::B));
        assert_eq!((Slot::B.root(), Slot::B.partition()), (ROOT_B, 3));
    }
}
