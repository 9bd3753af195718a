//! Who made a network interface, by the IEEE's list of address blocks in `/etc/oui`: looked up in the file, which is not
//! held in memory.
//!
//! The file, all numbers little-endian: the text `weiroui1`; of the blocks of 24, 28 and 36 bits how many there are (4
//! bytes each); then those blocks in this order, sorted, each as its first bytes (3, 4 and 5, what is not of the block
//! zero) and where its name begins (3 bytes, from the first name on); then the names, each with its length before it.
use crate::perm::Mac;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: &[u8; 8] = b"weiroui1";
/// Bits of a block, and the bytes in which it stands.
const KINDS: [(u32, usize); 3] = [(24, 3), (28, 4), (36, 5)];
/// Bytes of a name's place.
const PLACE: usize = 3;
const HEAD: u64 = 20;

/// The list.
#[derive(Debug, Default)]
pub struct Vendors {
    file: Option<File>,
    /// How many blocks there are of each kind.
    counts: [u64; 3],
}

impl Vendors {
    /// Opens it; without it nobody's maker is known.
    pub fn open(path: &Path) -> Vendors {
        let Ok(file) = File::open(path) else { return Vendors::default() };
        let mut head = [0; HEAD as usize];
        let read = file.read_exact_at(&mut head, 0);
        if read.is_err() || head[..8] != *MAGIC {
            log::warn!("{}: is no list of makers", path.display());
            return Vendors::default();
        }
        let count = |at: usize| u64::from(u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
        Vendors { file: Some(file), counts: [count(8), count(12), count(16)] }
    }

    /// The maker; empty when unknown, as for addresses that their device made up itself.
    pub fn of(&self, mac: Mac) -> String {
        if mac.0[0] & 2 != 0 {
            return String::new();
        }
        // A longer block lies within a shorter one and says more.
        (0..KINDS.len()).rev().find_map(|kind| self.find(kind, mac)).unwrap_or_default()
    }

    fn begin(&self, kind: usize) -> u64 {
        let size = |kind: usize| self.counts[kind] * (KINDS[kind].1 + PLACE) as u64;
        HEAD + (0..kind).map(size).sum::<u64>()
    }

    fn find(&self, kind: usize, mac: Mac) -> Option<String> {
        let file = self.file.as_ref()?;
        let (bits, bytes) = KINDS[kind];
        let number =
            mac.0.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte)) >> (48 - bits) << (48 - bits);
        let wanted = &number.to_be_bytes()[2..2 + bytes];
        let (begin, size) = (self.begin(kind), bytes + PLACE);
        let (mut low, mut high) = (0, self.counts[kind]);
        while low < high {
            let middle = low + (high - low) / 2;
            let mut entry = [0; 8];
            file.read_exact_at(&mut entry[..size], begin + middle * size as u64).ok()?;
            match entry[..bytes].cmp(wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let place = [entry[bytes], entry[bytes + 1], entry[bytes + 2], 0];
                    return self.name(file, u64::from(u32::from_le_bytes(place)));
                }
            }
        }
        None
    }

    fn name(&self, file: &File, place: u64) -> Option<String> {
        let at = self.begin(KINDS.len()) + place;
        let (mut length, mut text) = ([0], [0; 255]);
        file.read_exact_at(&mut length, at).ok()?;
        let text = &mut text[..usize::from(length[0])];
        file.read_exact_at(text, at + 1).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    #[test]
    fn the_longest_block_counts() {
        let folder = Folder::new();
        let mut bytes = MAGIC.to_vec();
        for count in [2u32, 1, 1] {
            bytes.extend(count.to_le_bytes());
        }
        bytes.extend([0x00, 0x11, 0x22, 0, 0, 0]);
        bytes.extend([0x70, 0xb3, 0xd5, 2, 0, 0]);
        bytes.extend([0x70, 0xb3, 0xd5, 0x10, 4, 0, 0]);
        bytes.extend([0x70, 0xb3, 0xd5, 0x12, 0x30, 6, 0, 0]);
        bytes.extend(b"\x01A\x01B\x01C\x02DE");
        let path = folder.0.join("oui");
        std::fs::write(&path, &bytes).unwrap();
        let vendors = Vendors::open(&path);
        let of = |text: &str| vendors.of(text.parse().unwrap());
        assert_eq!(of("00:11:22:33:44:55"), "A");
        assert_eq!(of("70:b3:d5:ff:00:00"), "B");
        assert_eq!(of("70:b3:d5:1f:ff:ff"), "C");
        assert_eq!(of("70:b3:d5:12:3f:ff"), "DE");
        assert_eq!((of("02:11:22:33:44:55"), of("00:11:23:00:00:00")), (String::new(), String::new()));
        for end in 0..bytes.len() {
            std::fs::write(&path, &bytes[..end]).unwrap();
            let _ = Vendors::open(&path).of("70:b3:d5:12:3f:ff".parse().unwrap());
        }
        assert_eq!(Vendors::open(&folder.0.join("none")).of("00:11:22:33:44:55".parse().unwrap()), "");
    }
}
