//! ext4's superblock is two sectors, of which a power cut may write one: then its sum does not fit, and the kernel does not
//! even look at the journal, which has the whole of it. With a sum that fits it does, and every other thing on the disk has
//! a sum of its own.
use layout::SECTOR;
use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt;

const PLACE: u64 = 1024;
const BYTES: usize = 1024;
const MAGIC_AT: usize = 0x38;
const MAGIC: [u8; 2] = 0xef53_u16.to_le_bytes();
const FEATURES_AT: usize = 0x64;
/// `metadata_csum`, one of the features that only who writes has to know.
const HAS_SUMS: u32 = 0x400;
const SUM_AT: usize = 0x3fc;

/// CRC-32C without the last inversion, as ext4 has it.
fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 })
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The sum that a superblock should have; none when it has that, or is no superblock with a sum.
fn right_sum(block: &[u8; BYTES]) -> Option<u32> {
    let is_ours = block.get(MAGIC_AT..MAGIC_AT + 2)? == MAGIC && u32_at(block, FEATURES_AT)? & HAS_SUMS != 0;
    let right = crc32c(block.get(..SUM_AT)?);
    (is_ours && u32_at(block, SUM_AT)? != right).then_some(right)
}

/// Gives a superblock that was half written a sum that fits, by writing its second sector; false when that was not it.
///
/// # Errors
/// The disk's.
pub fn mend(path: &str) -> Result<bool> {
    let device = File::options().read(true).write(true).open(path)?;
    let mut block = [0; BYTES];
    device.read_exact_at(&mut block, PLACE)?;
    let Some(sum) = right_sum(&block) else { return Ok(false) };
    if let Some(place) = block.get_mut(SUM_AT..) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    device.write_all_at(block.get(BYTES / 2..).unwrap_or_default(), PLACE + SECTOR)?;
    device.sync_all()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sum_that_does_not_fit_is_made_to() {
        assert_eq!(!crc32c(b"123456789"), 0xe306_9283);
        let path = std::env::temp_dir().join(format!("weir-superblock-{}", std::process::id()));
        let name = path.to_str().unwrap();
        let mut bytes = vec![0x5a; 8192];
        std::fs::write(&path, &bytes).unwrap();
        assert!(!mend(name).unwrap() && std::fs::read(&path).unwrap() == bytes, "it is none");
        bytes[1024 + MAGIC_AT..][..2].copy_from_slice(&MAGIC);
        bytes[1024 + FEATURES_AT..][..4].copy_from_slice(&0x46a_u32.to_le_bytes());
        std::fs::write(&path, &bytes).unwrap();
        assert!(mend(name).unwrap());
        let after = std::fs::read(&path).unwrap();
        assert_eq!(after[..1024 + SUM_AT], bytes[..1024 + SUM_AT]);
        assert_eq!(after[2048..], bytes[2048..]);
        assert!(!mend(name).unwrap() && std::fs::read(&path).unwrap() == after, "once");
        bytes[1024 + FEATURES_AT + 1] = 0;
        std::fs::write(&path, &bytes).unwrap();
        assert!(!mend(name).unwrap(), "it has no sum");
        std::fs::remove_file(path).unwrap();
    }
}
