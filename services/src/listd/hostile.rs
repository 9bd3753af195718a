//! What web servers may answer, for `fuzz/`.
use super::engine::http::{Answer, Reading, elsewhere};
use crate::perm::blocklists::Url;

/// An answer, in two pieces.
pub fn http(bytes: &[u8]) {
    let (mut reading, mut given) = (Reading::default(), 0);
    let mut give = |part: &[u8]| {
        given += part.len();
        Ok(())
    };
    let (first, second) = bytes.split_at(bytes.first().map_or(0, |at| usize::from(*at)).min(bytes.len()));
    let mut held = first.to_vec();
    let mut said = reading.read(&mut held, false, &mut give);
    if matches!(said, Ok(None)) {
        held.extend_from_slice(second);
        said = reading.read(&mut held, true, &mut give);
    }
    if let Ok(Some(Answer::Elsewhere(to))) = said
        && let Ok(from) = Url::parse("https://lists.example/a/b")
    {
        let _ = elsewhere(&from, &to);
    }
    assert!(given <= bytes.len());
}
