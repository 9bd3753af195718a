//! The mark of a `/perm` that is being made anew: in the first sector of its partition, which ext4 leaves alone. While it is
//! there, what lies behind it is half a filesystem, and nobody mounts it. It says where on the partition what was saved of
//! the old filesystem lies: a cut on the way costs nothing.
use crate::{SECTOR, crc32};

/// Bytes of the mark: a disk writes a sector whole or not at all.
pub const BYTES: usize = SECTOR as usize;
const MAGIC: &[u8; 16] = b"weir mending 1\n\0";
const SUMMED: usize = 36;

/// What the mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// Offset of the first byte of what was saved, on the partition.
    pub offset: u64,
    /// Its length; 0 when nothing is kept there.
    pub length: u64,
    /// Its CRC-32.
    pub sum: u32,
}

impl Mark {
    /// As it is written.
    pub fn sector(&self) -> [u8; BYTES] {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.offset.to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.sum.to_le_bytes());
        bytes.extend(crc32(&bytes).to_le_bytes());
        let mut sector = [0; BYTES];
        sector.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        sector
    }

    /// Reads the first sector of a partition; none when it is not being made anew.
    pub fn read(sector: &[u8]) -> Option<Mark> {
        let number = |at: usize| sector.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let sum = |at: usize| sector.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let whole = sector.starts_with(MAGIC) && sum(SUMMED)? == crc32(sector.get(..SUMMED)?);
        whole.then(|| Some(Mark { offset: number(16)?, length: number(24)?, sum: sum(32)? }))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_and_nothing_else_is_one() {
        let mark = Mark { offset: 70 << 20, length: 12_345, sum: 0xdead_beef };
        let sector = mark.sector();
        assert_eq!(Mark::read(&sector), Some(mark));
        for at in 0..SUMMED + 4 {
            let mut other = sector;
            other[at] ^= 1;
            assert_eq!(Mark::read(&other), None, "byte {at}");
            assert_eq!(Mark::read(&sector[..at]), None, "cut at {at}");
        }
        assert_eq!(Mark::read(&[0; BYTES]), None);
    }
}
