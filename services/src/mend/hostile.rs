//! What the reader of a damaged disk may have said, for `fuzz/`: a disk can make it say anything.
use super::saved::Saved;

/// The stream.
pub fn stream(bytes: &[u8]) {
    let saved = Saved::read(bytes);
    let length: usize = saved.files.iter().map(|(_, content)| content.len()).sum();
    assert!(length <= bytes.len());
}
