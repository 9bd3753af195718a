//! What a machine that is installed from the network writes: pieces of `disk.img`, each once with all the places where it
//! belongs, and each with its sum.
//!
//! A piece is its length, its CRC-32, the number of its places (4 bytes each), the places (8 bytes each, offsets on the
//! disk), and its bytes, all little-endian; pieces of nothing but zeros come without their bytes. A length of 0 is the end.
use crate::{PERM, SPARE, crc32};
use std::fmt;
use std::io::{self, Read};

/// The first bytes of the file.
pub const MAGIC: [u8; 16] = *b"weir runs 1\n\0\0\0\0";
/// Bytes of the longest piece.
pub const LONGEST: usize = 1 << 20;
/// No piece has more places.
const PLACES: usize = 8;
/// In the number of places: the bytes are all zero, and left out.
const ZEROS: u32 = 1 << 31;

/// A piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where on the disk it belongs, in bytes.
    pub places: Vec<u64>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Piece {
    /// Its places on a disk whose `/perm` stays as it is, with the copies beside it; or all.
    pub fn places_beside_perm(&self, kept: bool) -> impl Iterator<Item = u64> + '_ {
        let is_perm =
            |place: u64| place >= PERM.offset() || (SPARE.offset()..SPARE.offset() + SPARE.bytes()).contains(&place);
        self.places.iter().copied().filter(move |place| !(kept && is_perm(*place)))
    }
}

/// Why a file of runs cannot be used.
#[derive(Debug)]
pub enum Damage {
    /// It cannot be read.
    Read(io::Error),
    /// It is another kind of file.
    Foreign,
    /// It ends before its end.
    Cut(usize),
    /// The piece of this number, from 0 on, is not what it was.
    Changed(usize),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Read(error) => write!(f, "cannot be read: {error}"),
            Damage::Foreign => f.write_str("is no installation of weir's"),
            Damage::Cut(piece) => write!(f, "ends in piece {piece}, before its end"),
            Damage::Changed(piece) => write!(f, "piece {piece} is damaged"),
        }
    }
}

impl std::error::Error for Damage {}

fn sum(places: &[u64], bytes: &[u8]) -> u32 {
    let places: Vec<u8> = places.iter().flat_map(|place| place.to_le_bytes()).collect();
    crc32(&places) ^ crc32(bytes)
}

/// Appends a piece of 1 to [`LONGEST`] bytes with at most 8 places.
pub fn push(into: &mut Vec<u8>, places: &[u64], bytes: &[u8]) {
    let zeros = bytes.iter().all(|byte| *byte == 0);
    let count = places.len() as u32 | if zeros { ZEROS } else { 0 };
    for number in [bytes.len() as u32, sum(places, bytes), count] {
        into.extend_from_slice(&number.to_le_bytes());
    }
    places.iter().for_each(|place| into.extend_from_slice(&place.to_le_bytes()));
    if !zeros {
        into.extend_from_slice(bytes);
    }
}

/// Appends the end.
pub fn finish(into: &mut Vec<u8>) {
    into.extend_from_slice(&[0; 12]);
}

/// Reads piece after piece.
#[derive(Debug)]
pub struct Runs<R> {
    from: R,
    count: usize,
}

impl<R: Read> Runs<R> {
    /// Of a file that begins here.
    ///
    /// # Errors
    /// When it is no such file.
    pub fn open(mut from: R) -> Result<Runs<R>, Damage> {
        let mut magic = [0; MAGIC.len()];
        let read = from.read_exact(&mut magic);
        match read {
            Ok(()) if magic == MAGIC => Ok(Runs { from, count: 0 }),
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(Damage::Read(error)),
            _ => Err(Damage::Foreign),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Damage> {
        self.from.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Damage::Cut(self.count),
            _ => Damage::Read(error),
        })
    }

    /// The next piece, whole; none at the end.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn piece(&mut self) -> Result<Option<Piece>, Damage> {
        let length = u32::from_le_bytes(self.take()?) as usize;
        let (wanted, count) = (u32::from_le_bytes(self.take()?), u32::from_le_bytes(self.take()?));
        if (length, wanted, count) == (0, 0, 0) {
            return Ok(None);
        }
        let places = (count & !ZEROS) as usize;
        if length > LONGEST || places > PLACES {
            return Err(Damage::Changed(self.count));
        }
        let places = (0..places).map(|_| Ok(u64::from_le_bytes(self.take()?))).collect::<Result<Vec<u64>, Damage>>()?;
        let mut bytes = vec![0; length];
        if count & ZEROS == 0 {
            self.fill(&mut bytes)?;
        }
        if sum(&places, &bytes) != wanted {
            return Err(Damage::Changed(self.count));
        }
        self.count += 1;
        Ok(Some(Piece { places, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (Vec<u8>, Vec<Piece>) {
        let pieces = [
            Piece { places: vec![PERM.offset(), 0], bytes: b"the first".to_vec() },
            Piece { places: vec![SPARE.offset() + 7], bytes: vec![0; 5_000] },
        ];
        let mut bytes = MAGIC.to_vec();
        pieces.iter().for_each(|piece| push(&mut bytes, &piece.places, &piece.bytes));
        finish(&mut bytes);
        (bytes, pieces.to_vec())
    }

    fn read(bytes: &[u8]) -> Result<Vec<Piece>, Damage> {
        let mut runs = Runs::open(bytes)?;
        let mut pieces = Vec::new();
        while let Some(piece) = runs.piece()? {
            pieces.push(piece);
        }
        Ok(pieces)
    }

    #[test]
    fn what_is_written_is_read_and_zeros_take_no_room() {
        let (bytes, pieces) = file();
        assert!(bytes.len() < 120, "{}", bytes.len());
        assert_eq!(read(&bytes).unwrap(), pieces);
        let kept: Vec<u64> = pieces.iter().flat_map(|piece| piece.places_beside_perm(true)).collect();
        assert_eq!(kept, [0]);
        assert_eq!(pieces.iter().flat_map(|piece| piece.places_beside_perm(false)).count(), 3);
    }

    #[test]
    fn whatever_is_cut_or_turned_is_noticed() {
        let (bytes, _) = file();
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "cut at {end}");
            let mut turned = bytes.clone();
            turned[end] ^= 0x10;
            assert!(read(&turned).is_err(), "turned at {end}");
        }
    }
}
