//! `sums-a` and `sums-b`: what a slot's kernel and initramfs are, so that GRUB reads no more than there is and boots
//! nothing that is damaged.
//!
//! Two sectors are an environment block of GRUB's with the runs of sectors that hold something (`kernel=10240+10200`), the
//! third is a list for its `hashsum`, the first line of which is for the environment block: no bit is without a sum.
use crate::{Extent, SECTOR, Slot, crc32, environment, initrd_of, kernel_of, sums_of};

/// Where something of a slot's lies, to its last whole sector, and the CRC-32 of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Where.
    pub extent: Extent,
    /// The sum.
    pub sum: u32,
}

/// What the sums of a slot say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runs {
    /// Of the kernel.
    pub kernel: Run,
    /// Of the initramfs.
    pub initrd: Run,
}

/// Reads the sums of a slot; `None` when they are damaged, taken away, or name a place that is not the slot's.
pub fn read(slot: Slot, bytes: &[u8]) -> Option<Runs> {
    let (runs, list) = bytes.get(..BYTES)?.split_at_checked(environment::BYTES)?;
    let mut lines = std::str::from_utf8(list).ok()?.trim_start().lines().filter_map(|line| line.split_once("  "));
    let mut sum = |of: &str| {
        let (sum, name) = lines.next()?;
        if name == of { u32::from_str_radix(sum, 16).ok() } else { None }
    };
    if sum(&format!("{}+2", sums_of(slot).first))? != crc32(runs) {
        return None;
    }
    let runs = environment::Environment::read(runs)?;
    let mut run = |name, room: Extent| {
        let text = runs.get(name)?;
        let (first, sectors) = text.split_once('+')?;
        let extent = Extent { first: first.parse().ok()?, sectors: sectors.parse().ok()? };
        let inside = extent.first == room.first && extent.sectors <= room.sectors;
        inside.then_some(Run { extent, sum: sum(text)? })
    };
    Some(Runs { kernel: run("kernel", kernel_of(slot))?, initrd: run("initrd", initrd_of(slot))? })
}

/// Bytes of such a file.
pub const BYTES: usize = 3 * SECTOR as usize;

/// Why there are no sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge {
    /// What does not fit.
    pub what: &'static str,
    /// Its size.
    pub bytes: u64,
    /// The room for it.
    pub room: u64,
}

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the {} has {} bytes, more than the {} that there is room for", self.what, self.bytes, self.room)
    }
}

impl std::error::Error for TooLarge {}

/// Bytes, filled up with zeros to whole sectors, as they are on the disk and in the sums.
pub fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(SECTOR as usize), 0);
    padded
}

/// The sums of a kernel and an initramfs in a slot.
///
/// # Errors
/// When one of them is too large.
pub fn of(slot: Slot, kernel: &[u8], initrd: &[u8]) -> Result<[u8; BYTES], TooLarge> {
    let run = |what, bytes: &[u8], extent: Extent| {
        let bytes = padded(bytes);
        if bytes.len() as u64 > extent.bytes() {
            return Err(TooLarge { what, bytes: bytes.len() as u64, room: extent.bytes() });
        }
        Ok((format!("{}+{}", extent.first, bytes.len() as u64 / SECTOR), crc32(&bytes)))
    };
    let (kernel, kernel_sum) = run("kernel", kernel, kernel_of(slot))?;
    let (initrd, initrd_sum) = run("initramfs", initrd, initrd_of(slot))?;
    let mut runs = environment::Environment::default();
    runs.set("kernel", &kernel);
    runs.set("initrd", &initrd);
    let runs = runs.block();
    let first = sums_of(slot).first;
    let list = format!("{:08x}  {first}+2\n{kernel_sum:08x}  {kernel}\n{initrd_sum:08x}  {initrd}\n", crc32(&runs));
    let mut bytes = [b' '; BYTES];
    let (head, tail) = bytes.split_at_mut(runs.len());
    head.copy_from_slice(&runs);
    // GRUB skips blanks before a sum, and takes nothing else for padding.
    let blanks = tail.len().saturating_sub(list.len());
    if let Some(place) = tail.get_mut(blanks..) {
        place.copy_from_slice(list.as_bytes().get(..place.len()).unwrap_or_default());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_sum() {
        let bytes = of(Slot::B, &[7; 1000], b"initramfs").unwrap();
        let (runs, list) = bytes.split_at(1024);
        let runs = environment::Environment::read(runs).unwrap();
        assert_eq!((runs.get("kernel"), runs.get("initrd")), (Some("43008+2"), Some("108544+1")));
        let list = std::str::from_utf8(list).unwrap();
        assert_eq!(list.len(), 512);
        let lines: Vec<&str> = list.trim_start().lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], format!("{:08x}  2064+2", crc32(&bytes[..1024])));
        let kernel = [&[7; 1000][..], &[0; 24]].concat();
        assert_eq!(lines[1], format!("{:08x}  43008+2", crc32(&kernel)));
        let read_back = read(Slot::B, &bytes).unwrap();
        assert_eq!(read_back.kernel, Run { extent: Extent { first: 43_008, sectors: 2 }, sum: crc32(&kernel) });
        assert_eq!(read_back.initrd.extent, Extent { first: 108_544, sectors: 1 });
        assert_eq!(read(Slot::A, &bytes), None, "the places are the other slot's");
        for at in [30, 800, 1_530] {
            let mut damaged = bytes;
            damaged[at] ^= 0x10;
            assert_ne!(read(Slot::B, &damaged), Some(read_back), "{at}");
        }
        assert_eq!(read(Slot::B, &[0; BYTES]), None);
    }

    #[test]
    fn what_is_too_large_is_named() {
        let error = of(Slot::A, &vec![0; (16 << 20) + 1], b"").unwrap_err().to_string();
        assert_eq!(error, "the kernel has 16777728 bytes, more than the 16777216 that there is room for");
    }
}
