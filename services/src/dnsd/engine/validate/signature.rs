//! Whether an RRset is signed by a key of its zone (RFC 4034 3.1, RFC 4035 5.3, RFC 6840).
use super::super::answer::Note;
use super::super::name;
use super::keys::Key;
use super::limits::{self, Budget};
use super::records::{Set, labels, suffix};
use domain::base::iana::Rtype;

/// By so much, in seconds, a clock that is right may still differ from the signer's.
const SKEW: u32 = 3_600;

/// An RRSIG record.
#[derive(Debug, Clone)]
pub struct Signature {
    /// The type of what it signs.
    pub covered: Rtype,
    algorithm: u8,
    labels: u8,
    ttl: u32,
    expiration: u32,
    inception: u32,
    tag: u16,
    /// The zone whose key has signed.
    pub signer: Box<[u8]>,
    // All of it before the signature itself.
    head: Box<[u8]>,
    signature: Box<[u8]>,
}

/// What a signature that holds says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// How long its records may be kept at most, in seconds.
    pub ttl: u32,
    /// They come of the wildcard below the owner's last so many labels (RFC 4035 5.3.4).
    pub wildcard: Option<usize>,
}

impl Signature {
    /// Of a record's data in canonical form.
    pub fn parse(data: &[u8]) -> Option<Signature> {
        let (fixed, rest) = data.split_first_chunk::<18>()?;
        let (length, _) = name::measure(rest)?;
        let (signer, signature) = rest.split_at_checked(length)?;
        let [t0, t1, algorithm, labels, o0, o1, o2, o3, e0, e1, e2, e3, i0, i1, i2, i3, k0, k1] = *fixed;
        Some(Signature {
            covered: Rtype::from_int(u16::from_be_bytes([t0, t1])),
            algorithm,
            labels,
            ttl: u32::from_be_bytes([o0, o1, o2, o3]),
            expiration: u32::from_be_bytes([e0, e1, e2, e3]),
            inception: u32::from_be_bytes([i0, i1, i2, i3]),
            tag: u16::from_be_bytes([k0, k1]),
            signer: signer.into(),
            head: data.get(..18 + length)?.into(),
            signature: signature.into(),
        })
    }

    // What of its time is left, in seconds, when `wall` is known (in seconds since 1970, as RFC 4034 3.1.5 counts).
    fn remaining(&self, wall: Option<u32>) -> Result<u32, Note> {
        let Some(wall) = wall else { return Ok(u32::MAX) };
        let since = |one: u32, other: u32| one.wrapping_sub(other) as i32;
        if since(self.expiration, self.inception) < 0 || since(wall, self.expiration.wrapping_add(SKEW)) > 0 {
            return Err(Note::SignatureExpired);
        }
        if since(wall.wrapping_add(SKEW), self.inception) < 0 {
            return Err(Note::SignatureNotYetValid);
        }
        // At its end, or past it by no more than clocks differ, once more.
        Ok(u32::try_from(since(self.expiration, wall)).unwrap_or_default().max(1))
    }
}

/// Checks that one of a zone's keys has signed an RRset.
///
/// # Errors
/// Says what is wrong with the signature that came nearest.
pub fn check(set: &Set, zone: &[u8], keys: &[Key], wall: Option<u32>, budget: &mut Budget) -> Result<Signed, Note> {
    let mut wrong = Note::RrsigsMissing;
    let mut worse = |note: Note| wrong = if note.rank() > wrong.rank() { note } else { wrong };
    let (depth, is_wildcard) = (labels(&set.owner), set.owner.starts_with(b"\x01*"));
    for signature in set.signatures.iter().filter(|signature| *signature.signer == *zone).take(limits::SIGNATURES) {
        let signed = usize::from(signature.labels);
        // A wildcard's own asterisk is not counted (RFC 4034 3.1.3).
        let own = depth - usize::from(is_wildcard);
        if signed > own || signed < labels(zone) || !name::is_below(&set.owner, zone) {
            worse(Note::Bogus);
            continue;
        }
        let remaining = match signature.remaining(wall) {
            Ok(remaining) => remaining,
            Err(note) => {
                worse(note);
                continue;
            }
        };
        let fits = |key: &&Key| key.tag == signature.tag && key.algorithm == signature.algorithm;
        let mut fitting = keys.iter().filter(fits).take(limits::KEYS_OF_ONE_TAG).peekable();
        if fitting.peek().is_none() {
            worse(Note::DnskeyMissing);
            continue;
        }
        let message = message(signature, set, own);
        for key in fitting {
            if !budget.check() {
                return Err(Note::Bogus);
            }
            if key.verifies(&message, &signature.signature) {
                let wildcard = (signed < own).then_some(signed);
                return Ok(Signed { ttl: set.ttl.min(signature.ttl).min(remaining), wildcard });
            }
            budget.failed();
            worse(Note::Bogus);
        }
    }
    Err(wrong)
}

// What was signed (RFC 4034 3.1.8.1): the RRSIG's fields, then each record once and in order.
fn message(signature: &Signature, set: &Set, own: usize) -> Vec<u8> {
    let signed = usize::from(signature.labels);
    let mut owner = set.owner.to_vec();
    if signed < own {
        owner = [b"\x01*", suffix(&set.owner, signed)].concat();
    }
    let mut data: Vec<&[u8]> = set.data.iter().map(|data| &**data).collect();
    data.sort_unstable();
    data.dedup();
    let mut message = signature.head.to_vec();
    for data in data {
        message.extend_from_slice(&owner);
        message.extend_from_slice(&set.rtype.to_int().to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        message.extend_from_slice(&signature.ttl.to_be_bytes());
        // Data came out of a message and have 65,535 bytes at most; names written out could make them longer.
        message.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
        message.extend_from_slice(data);
    }
    message
}
