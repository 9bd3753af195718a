//! Keys of zones (RFC 4034 2), what their parents say of them (5), and which of both can be used.
use super::super::answer::Note;
use super::limits::{self, Budget};
use super::records::Set;
use super::signature;
use domain::base::iana::SecurityAlgorithm;
use domain::crypto::common::{DigestBuilder, DigestType, PublicKey};
use domain::rdata::Dnskey;

/// Flags: it is a key of a zone; it is revoked (RFC 5011).
const ZONE: u16 = 0x0100;
const REVOKED: u16 = 0x0080;

/// A key of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its tag (RFC 4034, appendix B).
    pub tag: u16,
    /// Its algorithm's number.
    pub algorithm: u8,
    // The whole record's data.
    data: Box<[u8]>,
}

impl Key {
    /// A key that may sign, by its record's data.
    pub fn of(data: &[u8]) -> Option<Key> {
        let &[f0, f1, protocol, algorithm, _, ..] = data else { return None };
        let flags = u16::from_be_bytes([f0, f1]);
        let usable = flags & ZONE != 0 && flags & REVOKED == 0 && protocol == 3;
        usable.then(|| Key { tag: tag(data), algorithm, data: data.into() })
    }

    /// Whether a signature is its own.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some((&[f0, f1, protocol, algorithm], public)) = self.data.split_first_chunk::<4>() else { return false };
        let algorithm = SecurityAlgorithm::from_int(algorithm);
        let key = Dnskey::new(u16::from_be_bytes([f0, f1]), protocol, algorithm, public).ok();
        let key = key.and_then(|key| PublicKey::from_dnskey(&key).ok());
        key.is_some_and(|key| key.verify(message, signature).is_ok())
    }

    /// What a parent would say of it, by SHA-256; `owner` is the zone.
    pub fn ds(&self, owner: &[u8]) -> Ds {
        let digest = digest(DigestType::Sha256, owner, &self.data);
        Ds { tag: self.tag, algorithm: self.algorithm, kind: 2, digest }
    }
}

/// A DS record: the sum of a key, as the zone's parent knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ds {
    /// The key's tag.
    pub tag: u16,
    /// The key's algorithm.
    pub algorithm: u8,
    /// The digest's kind.
    pub kind: u8,
    /// The digest.
    pub digest: Box<[u8]>,
}

impl Ds {
    /// By its record's data.
    pub fn of(data: &[u8]) -> Option<Ds> {
        let (&[t0, t1, algorithm, kind], digest) = data.split_first_chunk::<4>()?;
        Some(Ds { tag: u16::from_be_bytes([t0, t1]), algorithm, kind, digest: digest.into() })
    }

    fn is_of(&self, owner: &[u8], key: &Key) -> bool {
        let kind = match self.kind {
            1 => DigestType::Sha1,
            2 => DigestType::Sha256,
            4 => DigestType::Sha384,
            _ => return false,
        };
        self.tag == key.tag && self.algorithm == key.algorithm && *digest(kind, owner, &key.data) == *self.digest
    }
}

/// Whether signatures of an algorithm can be checked (RFC 8624, without Ed448, which ring lacks).
pub fn is_known(algorithm: u8) -> bool {
    matches!(algorithm, 5 | 7 | 8 | 10 | 13 | 14 | 15)
}

/// Those of a delegation that can be used; SHA-1 only where there is nothing better (RFC 4509 3).
///
/// # Errors
/// When there is none: then the zone is as good as unsigned, and why.
pub fn usable(records: impl Iterator<Item = Ds>) -> Result<Vec<Ds>, Note> {
    let (mut usable, mut wrong) = (Vec::new(), Note::UnsupportedDsDigest);
    for ds in records.take(limits::DELEGATIONS) {
        let algorithm = is_known(ds.algorithm);
        if algorithm && matches!(ds.kind, 1 | 2 | 4) {
            usable.push(ds);
        } else if !algorithm {
            wrong = Note::UnsupportedAlgorithm;
        }
    }
    if usable.iter().any(|ds| ds.kind != 1) {
        usable.retain(|ds| ds.kind != 1);
    }
    if usable.is_empty() { Err(wrong) } else { Ok(usable) }
}

/// A zone's keys, when one that its parent knows has signed them; and for how long they may be kept, in seconds.
///
/// # Errors
/// Says what is wrong.
pub fn trusted(set: &Set, delegation: &[Ds], wall: Option<u32>, budget: &mut Budget) -> Result<(Vec<Key>, u32), Note> {
    let keys: Vec<Key> = set.data.iter().filter_map(|data| Key::of(data)).take(limits::KEYS).collect();
    if keys.is_empty() && !set.data.is_empty() {
        return Err(Note::NoZoneKeyBitSet);
    }
    let mut wrong = Note::DnskeyMissing;
    for ds in delegation {
        let fits = |key: &&Key| key.tag == ds.tag && key.algorithm == ds.algorithm;
        for key in keys.iter().filter(fits).take(limits::KEYS_OF_ONE_TAG) {
            if !ds.is_of(&set.owner, key) {
                continue;
            }
            match signature::check(set, &set.owner, std::slice::from_ref(key), wall, budget) {
                Ok(signed) => return Ok((keys, signed.ttl)),
                Err(note) => wrong = note,
            }
        }
    }
    Err(wrong)
}

fn digest(kind: DigestType, owner: &[u8], data: &[u8]) -> Box<[u8]> {
    let mut digest = DigestBuilder::new(kind);
    digest.update(owner);
    digest.update(data);
    digest.finish().as_ref().into()
}

// RFC 4034, appendix B.
fn tag(data: &[u8]) -> u16 {
    let sum = data.chunks(2).fold(0u32, |sum, pair| {
        let low = pair.get(1).copied().map_or(0, u32::from);
        sum.wrapping_add(u32::from(pair[0]) << 8 | low)
    });
    (sum + (sum >> 16 & 0xffff)) as u16
}

#[cfg(test)]
mod tests {
    use super::super::records::Parsed;
    use super::*;
    use domain::base::iana::Rtype;

    // Keys of one tag, each with as many signatures (KeyTrap, CVE-2023-50387).
    #[test]
    fn work_is_bounded_whatever_a_zone_has() {
        let mut message = vec![0, 0, 0x81, 0x80, 0, 1, 0, 200, 0, 0, 0, 0, 0, 0, 48, 0, 1];
        let mut push = |rtype: u16, data: &[u8]| {
            message.extend_from_slice(&[0]);
            message.extend_from_slice(&rtype.to_be_bytes());
            message.extend_from_slice(&[0, 1, 0, 0, 1, 44]);
            message.extend_from_slice(&(data.len() as u16).to_be_bytes());
            message.extend_from_slice(data);
        };
        let mut first = None;
        for number in 0..100u8 {
            // Two bytes that cancel each other in the sum.
            let mut key = [&[1, 1, 3, 15][..], &[0; 32]].concat();
            (key[8], key[10]) = (number, 200 - number);
            first = first.or(Key::of(&key));
            push(48, &key);
        }
        let first = first.unwrap();
        for number in 0..100u8 {
            let [t0, t1] = first.tag.to_be_bytes();
            let fixed = [0, 48, 15, 0, 0, 0, 1, 44, 0xff, 0, 0, 0, 0, 0, 0, 0, t0, t1, 0];
            push(46, &[&fixed[..], &[number; 64]].concat());
        }
        let parsed = Parsed::of(&message).unwrap();
        let (_, set) = parsed.answer(&[0], Rtype::DNSKEY).unwrap();
        let keys: Vec<Key> = set.data.iter().filter_map(|data| Key::of(data)).collect();
        assert!(keys.len() == 100 && keys.iter().all(|key| key.tag == first.tag), "all have one tag");
        let mut budget = Budget::default();
        let delegation: Vec<Ds> = keys.iter().map(|key| key.ds(&[0])).collect();
        assert_eq!(trusted(set, &delegation, None, &mut budget), Err(Note::Bogus));
        assert!(!budget.check(), "it stops where its budget ends");
        let mut budget = Budget::default();
        assert_eq!(signature::check(set, &[0], &keys, None, &mut budget), Err(Note::Bogus));
        assert!(!budget.check());
    }

    #[test]
    fn of_digests_the_better_ones_are_used_and_none_that_are_unknown() {
        let ds = |algorithm, kind| Ds { tag: 1, algorithm, kind, digest: Box::default() };
        let kinds =
            |records: &[Ds]| usable(records.iter().cloned()).map(|ds| ds.iter().map(|ds| ds.kind).collect::<Vec<_>>());
        assert_eq!(kinds(&[ds(13, 1), ds(13, 2), ds(8, 4)]), Ok(vec![2, 4]));
        assert_eq!(kinds(&[ds(13, 1)]), Ok(vec![1]));
        assert_eq!(kinds(&[ds(13, 3), ds(13, 200)]), Err(Note::UnsupportedDsDigest));
        assert_eq!(kinds(&[ds(16, 2), ds(13, 3)]), Err(Note::UnsupportedAlgorithm));
    }
}
