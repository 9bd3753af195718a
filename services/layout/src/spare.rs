//! The spare partition: the last good copy of what `/perm` holds, twice. The halves are written in turn, so that a cut
//! while one is written leaves the other.
//!
//! A half is a head (magic, number of the copy, length, CRC-32 of number, length and what follows) and the files: length
//! of the path, path, length, bytes. All numbers are little-endian.
use crate::{SPARE, crc32};

/// Bytes of a half.
pub const HALF: usize = (SPARE.bytes() / 2) as usize;
const MAGIC: &[u8; 8] = b"weircopy";
const HEAD: usize = 24;

/// A copy that has its sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Counts up from copy to copy.
    pub number: u64,
    /// Paths and contents.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Copy {
    /// As it is written. Files from the first that does not fit on are left out.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (path, bytes) in &self.files {
            if HEAD + body.len() + 8 + path.len() + bytes.len() > HALF {
                break;
            }
            for part in [path.as_bytes(), bytes] {
                body.extend((part.len() as u32).to_le_bytes());
                body.extend(part);
            }
        }
        let mut summed = self.number.to_le_bytes().to_vec();
        summed.extend((body.len() as u32).to_le_bytes());
        summed.extend(body);
        let sum = crc32(&summed);
        let (head, body) = summed.split_at(12);
        [&MAGIC[..], head, &sum.to_le_bytes(), body].concat()
    }

    /// Reads a half; `None` when there is no copy, or not a whole one.
    pub fn read(half: &[u8]) -> Option<Copy> {
        let (magic, rest) = half.split_at_checked(MAGIC.len())?;
        let (head, rest) = rest.split_at_checked(12)?;
        let (sum, rest) = rest.split_at_checked(4)?;
        let (number, length) = head.split_at_checked(8)?;
        let body = rest.get(..u32::from_le_bytes(length.try_into().ok()?) as usize)?;
        let summed = [head, body].concat();
        if magic != MAGIC || crc32(&summed).to_le_bytes() != sum {
            return None;
        }
        let (mut files, mut left) = (Vec::new(), body);
        while !left.is_empty() {
            let path = std::str::from_utf8(take(&mut left)?).ok()?.to_owned();
            files.push((path, take(&mut left)?.to_vec()));
        }
        Some(Copy { number: u64::from_le_bytes(number.try_into().ok()?), files })
    }
}

fn take<'a>(left: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = left.split_at_checked(4)?;
    let (part, rest) = rest.split_at_checked(u32::from_le_bytes(length.try_into().ok()?) as usize)?;
    *left = rest;
    Some(part)
}

/// The newest copy of the two halves, and the number of the half that is to be written next.
pub fn newest(halves: [&[u8]; 2]) -> (Option<Copy>, usize) {
    match halves.map(Copy::read) {
        [Some(first), Some(second)] if second.number > first.number => (Some(second), 0),
        [Some(first), _] => (Some(first), 1),
        [None, second] => (second, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(number: u64) -> Copy {
        let files = [("/perm/interfaces.json", "{}"), ("/perm/firewall.json", "")];
        Copy { number, files: files.map(|(path, text)| (path.to_owned(), text.into())).to_vec() }
    }

    #[test]
    fn a_copy_is_read_back_and_a_damaged_one_is_none() {
        let mut half = copy(7).bytes();
        let length = half.len();
        half.resize(HALF, 0xff);
        assert_eq!(Copy::read(&half), Some(copy(7)), "what lies behind it does not count");
        for at in 0..length {
            let mut damaged = half.clone();
            damaged[at] ^= 1;
            assert_eq!(Copy::read(&damaged), None, "byte {at}");
        }
        for length in [0, 10, HEAD, length - 1] {
            assert_eq!(Copy::read(&half[..length]), None);
        }
        assert_eq!(Copy::read(&[0; HALF]), None);
    }

    #[test]
    fn the_newest_counts_and_the_other_half_is_next() {
        let (old, new) = (copy(1).bytes(), copy(2).bytes());
        assert_eq!(newest([&old, &new]), (Some(copy(2)), 0));
        assert_eq!(newest([&new, &old]), (Some(copy(2)), 1));
        assert_eq!(newest([&new, &[]]), (Some(copy(2)), 1));
        assert_eq!(newest([&[], &old]), (Some(copy(1)), 0));
        assert_eq!(newest([&[], &[]]), (None, 0));
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut large = copy(1);
        large.files.push(("/perm/large".into(), vec![1; HALF]));
        assert_eq!(Copy::read(&large.bytes()), Some(copy(1)));
    }
}
