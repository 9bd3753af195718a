//! The page in gzip (RFC 1952), its standing parts compressed once: between them goes what is new each time.
//!
//! A deflate stream (RFC 1951) that was flushed ends on a whole byte and may be followed by another that refers only to itself.
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// An empty last block.
const END: [u8; 2] = [3, 0];

/// A standing part.
#[derive(Debug)]
pub struct Packed {
    bytes: Vec<u8>,
    text: &'static str,
}

impl Packed {
    /// Compresses a text.
    pub fn new(text: &'static str) -> Packed {
        Packed { bytes: pack(text.as_bytes(), Compression::best()), text }
    }
}

/// A piece of a page.
#[derive(Debug)]
pub enum Piece<'a> {
    /// One that stands.
    Standing(&'a Packed),
    /// One that is new.
    New(&'a str),
}

/// All pieces as one gzip file.
pub fn gzip(pieces: &[Piece<'_>]) -> Vec<u8> {
    let (mut bytes, mut sum) = (HEAD.to_vec(), Crc::new());
    for piece in pieces {
        match piece {
            Piece::Standing(packed) => {
                bytes.extend_from_slice(&packed.bytes);
                sum.update(packed.text.as_bytes());
            }
            Piece::New(text) => {
                bytes.extend_from_slice(&pack(text.as_bytes(), Compression::fast()));
                sum.update(text.as_bytes());
            }
        }
    }
    bytes.extend_from_slice(&END);
    bytes.extend_from_slice(&sum.sum().to_le_bytes());
    bytes.extend_from_slice(&sum.amount().to_le_bytes());
    bytes
}

/// The same as it is.
pub fn plain(pieces: &[Piece<'_>]) -> Vec<u8> {
    let texts = pieces.iter().map(|piece| match piece {
        Piece::Standing(packed) => packed.text,
        Piece::New(text) => text,
    });
    texts.collect::<String>().into_bytes()
}

fn pack(text: &[u8], level: Compression) -> Vec<u8> {
    let mut deflate = Compress::new(level, false);
    let mut bytes = Vec::with_capacity(text.len() / 2 + 64);
    loop {
        let taken = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let rest = text.get(taken..).unwrap_or_default();
        bytes.reserve(256);
        let status = deflate.compress_vec(rest, &mut bytes, FlushCompress::Full);
        let all = usize::try_from(deflate.total_in()).is_ok_and(|taken| taken >= text.len());
        // Room is left over: everything is out.
        let done = all && bytes.len() < bytes.capacity();
        if done || !matches!(status, Ok(Status::Ok | Status::BufError)) {
            return bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    fn unpacked(bytes: &[u8]) -> String {
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn pieces_are_one_file() {
        let long: &'static str = Box::leak((0..20_000).map(|n| format!("{n},")).collect::<String>().into_boxed_str());
        let (one, two) = (Packed::new(long), Packed::new("<p>b</p>"));
        let pieces = [Piece::New("<a>"), Piece::Standing(&one), Piece::New(""), Piece::Standing(&two)];
        let bytes = gzip(&pieces);
        assert_eq!(unpacked(&bytes).into_bytes(), plain(&pieces));
        assert!(bytes.len() < long.len() / 2);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in ".{0,3000}") {
            prop_assert_eq!(unpacked(&gzip(&[Piece::New(&text), Piece::New(&text)])), format!("{text}{text}"));
        }
    }
}
