//! `/perm` to the end of the disk: both copies of the partition table, the kernel's idea of the partition, the filesystem.
//!
//! Each step is looked at by itself and done if need be, so that it does not matter where a cut fell. The second copy of
//! the table is whole on the disk before the first is touched, and the kernel's word `gpt` lets the second count when the
//! first is damaged: at every moment there is one that names a `/perm` in which its filesystem fits.
use crate::boot::disk::Disk;
use crate::sys;
use layout::gpt::{self, Table};
use layout::{PERM, SECTOR, perm_last};
use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::FileExt;

const COPY: usize = (gpt::SECTORS * SECTOR) as usize;

/// Does what is left to do; the filesystem's new size, if it has grown.
pub fn grow(disk: &Disk) -> Result<Option<u64>> {
    let attribute = |path: String| -> Option<u64> { std::fs::read_to_string(path).ok()?.trim().parse().ok() };
    let of_disk = |name: &str| attribute(format!("/sys/block/{}/{name}", disk.name));
    let of_perm = |name: &str| attribute(format!("/sys/class/block/{}/{name}", disk.partition(4)));
    let (Some(sectors), Some(SECTOR)) = (of_disk("size"), of_disk("queue/logical_block_size")) else {
        return Ok(None);
    };
    if of_disk("ro") == Some(1) || of_perm("start") != Some(PERM.first) || perm_last(sectors) <= PERM.first {
        return Ok(None);
    }
    let whole = File::options().read(true).write(true).open(format!("/dev/{}", disk.name))?;
    if !tables(&whole, sectors)? {
        return Ok(None);
    }
    let wanted = perm_last(sectors) + 1 - PERM.first;
    if of_perm("size").is_some_and(|size| size < wanted) {
        sys::resize_partition(&whole, 4, PERM.first * SECTOR, wanted * SECTOR)?;
    }
    let blocks = wanted * SECTOR / BLOCK;
    let before = sizes(&File::open(format!("/dev/{}", disk.partition(4)))?)?;
    if before.is_none_or(|(size, count)| size != BLOCK || count >= blocks) {
        return Ok(None);
    }
    sys::resize_ext4(&File::open("/perm")?, blocks)?;
    Ok(Some(blocks * BLOCK))
}

/// Of a filesystem of weir's or router7's.
const BLOCK: u64 = 4096;

/// Bytes of a block and number of blocks, as ext4's superblock has them.
fn sizes(partition: &File) -> Result<Option<(u64, u64)>> {
    let mut superblock = [0; 1024];
    partition.read_exact_at(&mut superblock, 1024)?;
    let u32_at = |at: usize| superblock.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    let sizes = || {
        let (low, shift, wide, high) = (u32_at(0x4)?, u32_at(0x18)?, u32_at(0x60)? & 0x80 != 0, u32_at(0x150)?);
        let high = if wide { u64::from(high) } else { 0 };
        Some((1024_u64.checked_shl(shift)?, high << 32 | u64::from(low)))
    };
    Ok(sizes())
}

/// Brings both copies of the table and the protective one up to the disk's size. False when they are not weir's.
fn tables(whole: &File, sectors: u64) -> Result<bool> {
    let read = |first: u64| -> Result<Vec<u8>> {
        let mut bytes = vec![0; COPY];
        whole.read_exact_at(&mut bytes, first * SECTOR)?;
        Ok(bytes)
    };
    let (primary, backup) = (read(gpt::PRIMARY)?, read(gpt::backup(sectors))?);
    let good = Table::read_primary(&primary).or_else(|| Table::read_backup(&backup, sectors));
    let Some(grown) = good.and_then(|table| table.grown(sectors)) else { return Ok(false) };
    let put = |first: u64, there: &[u8], wanted: Vec<u8>| -> Result<()> {
        if there == wanted {
            return Ok(());
        }
        whole.write_all_at(&wanted, first * SECTOR)?;
        whole.sync_all()
    };
    put(gpt::backup(sectors), &backup, grown.backup_bytes(sectors))?;
    put(gpt::PRIMARY, &primary, grown.primary_bytes(sectors))?;

    let mut first = [0; SECTOR as usize];
    whole.read_exact_at(&mut first, 0)?;
    let before = first;
    let protective = first.get_mut(gpt::PROTECTIVE).ok_or_else(|| Error::other("a sector is too short"))?;
    protective.copy_from_slice(&gpt::protective(sectors));
    // router7's own first sector has partitions of its own, which its boot code and its tools read.
    let is_protective = before.get(gpt::PROTECTIVE.start + 4) == Some(&0xee) && before.get(462 + 4) == Some(&0);
    if is_protective {
        put(0, &before, first.to_vec())?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use layout::DISK_SECTORS;

    const LARGE: u64 = DISK_SECTORS * 2;

    /// A disk of the image's size in the place of a larger one.
    fn disk(name: &str) -> File {
        let path = std::env::temp_dir().join(format!("weir-grow-{}-{name}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.set_len(LARGE * SECTOR).unwrap();
        let small = Table::fresh(DISK_SECTORS);
        file.write_all_at(&small.primary_bytes(DISK_SECTORS), SECTOR).unwrap();
        file.write_all_at(&gpt::protective(DISK_SECTORS), gpt::PROTECTIVE.start as u64).unwrap();
        file
    }

    fn read(file: &File, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    fn assert_grown(file: &File, what: &str) {
        let grown = Table::fresh(LARGE);
        assert!(read(file, SECTOR, COPY) == grown.primary_bytes(LARGE), "{what}: first copy");
        assert!(read(file, gpt::backup(LARGE) * SECTOR, COPY) == grown.backup_bytes(LARGE), "{what}: second copy");
        assert_eq!(read(file, 446, 66), gpt::protective(LARGE), "{what}");
    }

    #[test]
    fn a_cut_anywhere_in_the_tables_is_made_good() {
        let (grown, small) = (Table::fresh(LARGE), Table::fresh(DISK_SECTORS));
        let (new, old) = (grown.primary_bytes(LARGE), small.primary_bytes(DISK_SECTORS));
        let whole = disk("whole");
        assert!(tables(&whole, LARGE).unwrap());
        assert_grown(&whole, "in one go");

        for sectors in 0..=33 {
            // The second copy was being written, sector by sector; then the first, which is damaged meanwhile.
            let file = disk("cut");
            let backup = grown.backup_bytes(LARGE);
            file.write_all_at(&backup[..sectors * 512], gpt::backup(LARGE) * SECTOR).unwrap();
            assert!(tables(&file, LARGE).unwrap());
            assert_grown(&file, &format!("second copy, {sectors} sectors"));
            let file = disk("cut");
            file.write_all_at(&backup, gpt::backup(LARGE) * SECTOR).unwrap();
            file.write_all_at(&[&new[..sectors * 512], &old[sectors * 512..]].concat(), SECTOR).unwrap();
            assert!(tables(&file, LARGE).unwrap());
            assert_grown(&file, &format!("first copy, {sectors} sectors"));
        }
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let file = disk("foreign");
        file.write_all_at(&[0; COPY], SECTOR).unwrap();
        assert!(!tables(&file, LARGE).unwrap());
        assert!(read(&file, gpt::backup(LARGE) * SECTOR, COPY).iter().all(|byte| *byte == 0));
    }

    #[test]
    fn the_superblock_says_how_large_it_is() {
        let file = disk("superblock");
        file.write_all_at(&16_384_u32.to_le_bytes(), 1024 + 4).unwrap();
        file.write_all_at(&2_u32.to_le_bytes(), 1024 + 0x18).unwrap();
        file.write_all_at(&7_u32.to_le_bytes(), 1024 + 0x150).unwrap();
        assert_eq!(sizes(&file).unwrap(), Some((4096, 16_384)), "no 64-bit counts: the upper half means nothing");
        file.write_all_at(&0x80_u32.to_le_bytes(), 1024 + 0x60).unwrap();
        assert_eq!(sizes(&file).unwrap(), Some((4096, 7 << 32 | 16_384)));
    }
}
