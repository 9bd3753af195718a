//! The partition table, UEFI's GPT: made for a disk of any size, read with all its sums, and grown to a larger disk.
use crate::{DISK_GUID, PARTITIONS, PERM, SECTOR, crc32, perm_last};

const SECTOR_BYTES: usize = SECTOR as usize;
/// Bytes of one entry, and how many there are.
const ENTRY: usize = 128;
const COUNT: usize = 128;
const ENTRIES: usize = ENTRY * COUNT;
/// Sectors of the entries.
const ENTRY_SECTORS: u64 = (ENTRIES / SECTOR_BYTES) as u64;
const HEADER: usize = 92;
/// Sectors of a header with its entries: each of the two copies.
pub const SECTORS: u64 = 1 + ENTRY_SECTORS;
/// The first copy's first sector, behind the protective MBR.
pub const PRIMARY: u64 = 1;
/// Where the four partitions of the old kind stand in sector 0.
pub const PROTECTIVE: std::ops::Range<usize> = 446..512;

/// The second copy's first sector, on a disk of this many.
pub const fn backup(sectors: u64) -> u64 {
    sectors.saturating_sub(SECTORS)
}

/// A partition table that had all its sums, or was made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    disk: [u8; 16],
    entries: Vec<u8>,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(u64::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    number(bytes, at).map(u32::from_le_bytes)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

impl Table {
    /// weir's six partitions on a disk of this many sectors.
    pub fn fresh(sectors: u64) -> Table {
        let mut entries = vec![0; ENTRIES];
        for (place, (number, partition)) in entries.chunks_mut(ENTRY).zip((1_u8..).zip(&PARTITIONS)) {
            let last = if *partition == PERM { perm_last(sectors) } else { partition.last };
            let mut guid = DISK_GUID;
            guid[15] = number;
            put(place, 0, &partition.kind);
            put(place, 16, &guid);
            put(place, 32, &partition.first.to_le_bytes());
            put(place, 40, &last.to_le_bytes());
            let name: Vec<u8> = partition.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
            put(place, 56, &name);
        }
        Table { disk: DISK_GUID, entries }
    }

    /// weir's partitions on a disk of this many sectors that had the table `old`, whose `/perm` stays: it is never made
    /// shorter, whoever made it a sector too long.
    pub fn keeping(old: Option<&Table>, sectors: u64) -> Table {
        let fresh = Table::fresh(sectors);
        match old.and_then(|table| table.partition(4)) {
            Some((_, last)) if last > perm_last(sectors) && last < backup(sectors) => fresh.with_perm_to(last),
            _ => fresh,
        }
    }

    /// The copy in the sectors from [`PRIMARY`] on. `None` when a sum is wrong, or it is laid out as nobody does.
    pub fn read_primary(bytes: &[u8]) -> Option<Table> {
        let (header, entries) = bytes.split_at_checked(SECTOR_BYTES)?;
        Table::read(header, PRIMARY, entries, PRIMARY + 1)
    }

    /// The copy in the last sectors of a disk of this many.
    pub fn read_backup(bytes: &[u8], sectors: u64) -> Option<Table> {
        let (entries, header) = bytes.split_at_checked(ENTRIES)?;
        Table::read(header, sectors.checked_sub(1)?, entries, backup(sectors))
    }

    fn read(header: &[u8], at: u64, entries: &[u8], entries_at: u64) -> Option<Table> {
        let mut plain = header.get(..HEADER)?.to_vec();
        put(&mut plain, 16, &[0; 4]);
        let right = header.starts_with(b"EFI PART")
            && u32_at(header, 12)? as usize == HEADER
            && u32_at(header, 16)? == crc32(&plain)
            && u64_at(header, 24)? == at
            && u64_at(header, 72)? == entries_at
            && (u32_at(header, 80)? as usize, u32_at(header, 84)? as usize) == (COUNT, ENTRY)
            && u32_at(header, 88)? == crc32(entries.get(..ENTRIES)?);
        right.then(|| Some(Table { disk: number(header, 56)?, entries: entries.get(..ENTRIES)?.to_vec() }))?
    }

    /// First and last sector of a partition, by its number from 1 on.
    pub fn partition(&self, number: usize) -> Option<(u64, u64)> {
        let entry = self.entries.chunks(ENTRY).nth(number.checked_sub(1)?)?;
        let used = entry.iter().take(16).any(|byte| *byte != 0);
        used.then(|| Some((u64_at(entry, 32)?, u64_at(entry, 40)?)))?
    }

    /// Whether router7's four partitions, which are also weir's, are there: whose `/perm` can be kept.
    pub fn is_ours(&self) -> bool {
        let same = |(at, partition): (usize, &crate::Partition)| {
            let last = |last| *partition == PERM || last == partition.last;
            self.partition(at).is_some_and(|(first, end)| first == partition.first && last(end))
        };
        (1..).zip(PARTITIONS.iter().take(4)).all(same)
    }

    /// The same with `/perm` up to the end of a disk of this many sectors. `None` when this is not weir's table, or is
    /// larger than the disk: nothing is ever made smaller.
    pub fn grown(&self, sectors: u64) -> Option<Table> {
        let (_, last) = self.partition(4).filter(|_| self.is_ours())?;
        (perm_last(sectors) >= last).then(|| self.clone().with_perm_to(perm_last(sectors)))
    }

    /// The same with `/perm` up to this sector.
    #[must_use]
    pub fn with_perm_to(mut self, last: u64) -> Table {
        put(&mut self.entries, 3 * ENTRY + 40, &last.to_le_bytes());
        self
    }

    fn header(&self, at: u64, other: u64, entries_at: u64, sectors: u64) -> [u8; SECTOR_BYTES] {
        let mut header = [0; SECTOR_BYTES];
        put(&mut header, 0, b"EFI PART\x00\x00\x01\x00");
        put(&mut header, 12, &(HEADER as u32).to_le_bytes());
        for (place, value) in [(24, at), (32, other), (40, 34), (48, backup(sectors) - 1), (72, entries_at)] {
            put(&mut header, place, &value.to_le_bytes());
        }
        put(&mut header, 56, &self.disk);
        for (place, value) in [(80, COUNT as u32), (84, ENTRY as u32), (88, crc32(&self.entries))] {
            put(&mut header, place, &value.to_le_bytes());
        }
        let sum = crc32(header.get(..HEADER).unwrap_or_default());
        put(&mut header, 16, &sum.to_le_bytes());
        header
    }

    /// The copy for the sectors from [`PRIMARY`] on.
    pub fn primary_bytes(&self, sectors: u64) -> Vec<u8> {
        let header = self.header(PRIMARY, sectors - 1, PRIMARY + 1, sectors);
        [&header[..], &self.entries].concat()
    }

    /// The copy for the sectors from [`backup`] on.
    pub fn backup_bytes(&self, sectors: u64) -> Vec<u8> {
        let header = self.header(sectors - 1, PRIMARY, backup(sectors), sectors);
        [&self.entries[..], &header].concat()
    }
}

/// What [`PROTECTIVE`] holds on a disk of this many sectors: one partition over all of it, for who knows no GPT.
pub fn protective(sectors: u64) -> [u8; 66] {
    let mut bytes = [0; 66];
    put(&mut bytes, 0, &[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
    put(&mut bytes, 12, &u32::try_from(sectors - 1).unwrap_or(u32::MAX).to_le_bytes());
    put(&mut bytes, 64, &[0x55, 0xaa]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DISK_SECTORS;

    #[test]
    fn both_copies_are_read_back() {
        let table = Table::fresh(DISK_SECTORS);
        let (primary, backup) = (table.primary_bytes(DISK_SECTORS), table.backup_bytes(DISK_SECTORS));
        assert_eq!((primary.len() as u64, backup.len() as u64), (SECTORS * SECTOR, SECTORS * SECTOR));
        assert_eq!(Table::read_primary(&primary), Some(table.clone()));
        assert_eq!(Table::read_backup(&backup, DISK_SECTORS), Some(table.clone()));
        assert_eq!(Table::read_backup(&backup, DISK_SECTORS + 1), None, "another disk's");
        for at in [0, 20, 60, 511 + 1, 511 + 17_000 - 1_000] {
            let mut damaged = primary.clone();
            damaged[at] ^= 4;
            assert_eq!(Table::read_primary(&damaged), None, "byte {at}");
        }
        assert_eq!(Table::read_primary(&primary[..9000]), None);
        assert_eq!(table.partition(5), Some((2048, 4095)));
        assert_eq!((table.partition(7), table.partition(0), table.partition(129)), (None, None, None));
    }

    #[test]
    fn only_perm_grows_and_nothing_shrinks() {
        let (table, large) = (Table::fresh(DISK_SECTORS), DISK_SECTORS * 3);
        assert!(table.is_ours());
        assert_eq!(table.grown(DISK_SECTORS), Some(table.clone()), "as large as it can be");
        assert_eq!(table.grown(large), Some(Table::fresh(large)));
        assert_eq!(Table::fresh(large).grown(DISK_SECTORS), None);
        let mut foreign = table;
        put(&mut foreign.entries, 32, &2048_u64.to_le_bytes());
        assert!(!foreign.is_ours());
        assert_eq!(foreign.grown(large), None);
    }
}
