//! Where things lie on the disk: router7's geometry, so that installing over a router7 keeps its `/perm`.
//!
//! PID 1 knows its disk by exactly this geometry (`docs/ARCHITECTURE.md`).

/// Bytes in a sector.
pub const SECTOR: u64 = 512;
/// Sectors of `disk.img`, 1.25 GiB; a larger disk has a larger `/perm`.
pub const DISK_SECTORS: u64 = 1280 * 1024 * 1024 / SECTOR;
/// Bytes of the empty `/perm` filesystem.
pub const PERM_BYTES: u64 = 64 * 1024 * 1024;
/// GUID of the disk; a partition's GUID has its number in the last byte. The scheme is router7's: the last part begins
/// with the FNV-1a hash of the host name, here `weir`.
pub const DISK_GUID: &str = "60c24cc1-f3f9-427a-8199-d4a87fb60000";

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Boot files, FAT.
    Boot,
    /// Root A or B, SquashFS.
    Root,
    /// `/perm`, ext4.
    Perm,
}

/// One partition.
#[derive(Debug, Clone, Copy)]
pub struct Partition {
    /// What it is for.
    pub role: Role,
    /// Its name in the table.
    pub name: &'static str,
    /// First sector.
    pub first: u64,
    /// Last sector.
    pub last: u64,
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

/// The partitions in the order of their numbers, from 1 on.
pub const PARTITIONS: [Partition; 4] = [
    Partition { role: Role::Boot, name: "weir boot", first: 8192, last: 212_991 },
    ROOT_A,
    Partition { role: Role::Root, name: "weir root B", first: 1_236_992, last: 2_260_991 },
    PERM,
];

/// Root A, the slot that a fresh image boots.
pub const ROOT_A: Partition = Partition { role: Role::Root, name: "weir root A", first: 212_992, last: 1_236_991 };
/// `/perm`, to the end of the disk; router7 leaves one sector between it and the backup table.
pub const PERM: Partition =
    Partition { role: Role::Perm, name: "weir perm", first: 2_260_992, last: DISK_SECTORS - 35 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_follow_each_other() {
        for pair in PARTITIONS.windows(2) {
            assert_eq!(pair[0].last + 1, pair[1].first, "{} and {}", pair[0].name, pair[1].name);
        }
        assert_eq!(ROOT_A.bytes(), 500 * 1024 * 1024);
        assert!(PERM.bytes() > PERM_BYTES);
    }

    #[test]
    fn the_guid_holds_the_hash_of_the_name() {
        let hash =
            b"weir".iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        assert_eq!(DISK_GUID, format!("60c24cc1-f3f9-427a-8199-{hash:08x}0000"));
    }
}
