//! The cache as bytes, to be kept over a restart: a mark, then of each answer its length (two bytes), its flags, what is
//! left of its life (four bytes) and the message with its TTLs counted down; a sum of all at the end. Whatever does not
//! read as that is not believed.
use super::cache::Cache;
use super::name;
use super::query::HEADER;
use super::stored::{self, Reply};
use netstack::time::Instant;

/// The mark: the form's name and number.
const MARK: &[u8; 8] = b"weirdns1";
/// Length, flags, life.
const HEAD: usize = 7;

/// Everything that may still be of use, the newest first.
pub fn write(cache: &Cache, now: Instant) -> Vec<u8> {
    let mut bytes = MARK.to_vec();
    for (stored, age, left) in cache.each(now) {
        let message = stored.message();
        let Ok(length) = u16::try_from(message.len()) else { continue };
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.push(stored.key().last().copied().unwrap_or_default());
        bytes.extend_from_slice(&left.to_be_bytes());
        let start = bytes.len();
        bytes.extend_from_slice(message);
        for place in stored.ttls() {
            let Some(field) = bytes.get_mut(start + place..start + place + 4) else { continue };
            if let Some(ttl) = field.first_chunk_mut::<4>() {
                *ttl = u32::from_be_bytes(*ttl).saturating_sub(age).to_be_bytes();
            }
        }
    }
    let sum = sum(&bytes);
    bytes.extend_from_slice(&sum.to_be_bytes());
    bytes
}

/// Takes back what was written so many seconds ago; how many answers it was. What has run out meanwhile is kept for the
/// case that nobody can be asked.
pub fn read(cache: &mut Cache, now: Instant, bytes: &[u8], seconds: u32) -> usize {
    let Some((body, end)) = bytes.split_last_chunk::<8>() else { return 0 };
    let Some(mut rest) = body.strip_prefix(MARK).filter(|_| sum(body) == u64::from_be_bytes(*end)) else { return 0 };
    let mut answers = Vec::new();
    while let &[a, b, flags, l0, l1, l2, l3, ..] = rest {
        let length = usize::from(u16::from_be_bytes([a, b]));
        let Some(message) = rest.get(HEAD..HEAD + length) else { break };
        answers.push((message, flags, u32::from_be_bytes([l0, l1, l2, l3])));
        rest = rest.get(HEAD + length..).unwrap_or_default();
    }
    let mut count = 0;
    // The newest comes last, as it did.
    for (message, flags, left) in answers.into_iter().rev() {
        let Some((length, _)) = message.get(HEADER..).and_then(name::measure) else { continue };
        let Some(question) = message.get(HEADER..HEADER + length + 4) else { continue };
        let mut key = question.to_vec();
        key.get_mut(..length).unwrap_or_default().make_ascii_lowercase();
        key.push(flags);
        let id = message.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id));
        let wanted = stored::Wanted { id, question, guarded: false };
        if let Reply::Answer(mut stored, _) = stored::judge(message, &wanted, true, &key) {
            if flags & super::CHECKED != 0 && message.get(3).is_some_and(|bits| bits & 0x20 != 0) {
                stored.set_secure();
            }
            stored.age(seconds);
            cache.insert(now, cache.hash(&key), stored, left.saturating_sub(seconds), false);
            count += 1;
        }
    }
    count
}

// FNV-1a: against damage, not against malice; who can write the file can write all of /perm.
pub(in crate::dnsd) fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
