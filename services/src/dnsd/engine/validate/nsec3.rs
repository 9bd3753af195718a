//! NSEC3: the same for sums of names, so that nobody can read the zone off them (RFC 5155, RFC 9276).
use super::super::answer::Note;
use super::super::name;
use super::denial::{Border, Proven, Types};
use super::limits::{self, Budget};
use super::records::{labels, parent, suffix, wildcard};
use domain::base::iana::Rtype;
use domain::crypto::common::{DigestBuilder, DigestType};

/// SHA-1, the only kind there is.
const SHA1: u8 = 1;
/// Names between the link's ends may be other zones that are not signed.
const OPT_OUT: u8 = 1;

type Sum = [u8; 20];

/// The NSEC3 records of a zone in one message.
#[derive(Debug)]
pub struct Nsec3 {
    zone: Box<[u8]>,
    // Of the first record: a zone has one set of them that is whole.
    iterations: u16,
    salt: Box<[u8]>,
    links: Vec<Link>,
    known: Vec<(Box<[u8]>, Sum)>,
}

#[derive(Debug, Clone)]
struct Link {
    sum: Sum,
    next: Sum,
    opt_out: bool,
    types: Types,
}

impl Nsec3 {
    /// None yet.
    pub fn new(zone: &[u8]) -> Nsec3 {
        Nsec3 { zone: zone.into(), iterations: 0, salt: Box::default(), links: Vec::new(), known: Vec::new() }
    }

    /// One whose signature holds, by its data; what is no NSEC3 that can be used proves nothing.
    pub fn add(&mut self, owner: &[u8], data: &[u8]) {
        if *parent(owner) == *self.zone && self.read(owner, data).is_none() {
            log::debug!("an NSEC3 record that cannot be used");
        }
    }

    fn read(&mut self, owner: &[u8], data: &[u8]) -> Option<()> {
        let (&[kind, flags, i0, i1, length], rest) = data.split_first_chunk::<5>()?;
        let (salt, rest) = rest.split_at_checked(usize::from(length))?;
        let (&length, rest) = rest.split_first()?;
        let (next, types) = rest.split_at_checked(usize::from(length))?;
        // RFC 5155 8.1, 8.2: what is of an unknown kind is not there.
        if kind != SHA1 || flags & !OPT_OUT != 0 {
            return None;
        }
        let iterations = u16::from_be_bytes([i0, i1]);
        if self.links.is_empty() {
            (self.iterations, self.salt) = (iterations, salt.into());
        } else if (self.iterations, &*self.salt) != (iterations, salt) {
            return None;
        }
        let sum = base32(owner.get(1..1 + usize::from(*owner.first()?))?)?;
        let link = Link { sum, next: next.try_into().ok()?, opt_out: flags & OPT_OUT != 0, types: Types(types.into()) };
        self.links.push(link);
        Some(())
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    fn is_too_much(&self) -> bool {
        !self.links.is_empty() && self.iterations > limits::ITERATIONS
    }

    // A name's sum; none when that has been too much work.
    fn sum(&mut self, name: &[u8], budget: &mut Budget) -> Option<Sum> {
        if let Some((_, sum)) = self.known.iter().find(|(known, _)| **known == *name) {
            return Some(*sum);
        }
        if !budget.hash() || self.iterations > limits::ITERATIONS {
            return None;
        }
        let once = |data: &[u8]| -> Option<Sum> {
            let mut digest = DigestBuilder::new(DigestType::Sha1);
            digest.update(data);
            digest.update(&self.salt);
            digest.finish().as_ref().try_into().ok()
        };
        let mut sum = once(name)?;
        for _ in 0..self.iterations {
            sum = once(&sum)?;
        }
        self.known.push((name.into(), sum));
        Some(sum)
    }

    fn matching(&mut self, name: &[u8], budget: &mut Budget) -> Option<Link> {
        let sum = self.sum(name, budget)?;
        self.links.iter().find(|link| link.sum == sum).cloned()
    }

    fn covering(&mut self, name: &[u8], budget: &mut Budget) -> Option<Link> {
        let sum = self.sum(name, budget)?;
        let covers = |link: &&Link| match link.sum < link.next {
            true => link.sum < sum && sum < link.next,
            // The last one's next is the first.
            false => link.sum < sum || sum < link.next,
        };
        self.links.iter().find(|link| covers(link) && link.sum != sum).cloned()
    }

    // The nearest name above that exists, and what covers the one between (RFC 5155 8.3).
    fn closest<'a>(&mut self, name: &'a [u8], budget: &mut Budget) -> Option<(&'a [u8], Link)> {
        let top = labels(&self.zone);
        for depth in (top..labels(name)).rev() {
            let above = suffix(name, depth);
            if let Some(link) = self.matching(above, budget) {
                if link.types.hide_below() {
                    return None;
                }
                return Some((above, self.covering(suffix(name, depth + 1), budget)?));
            }
        }
        None
    }

    fn starts(&self, name: &[u8]) -> Option<Proven> {
        if self.links.is_empty() || !name::is_below(name, &self.zone) {
            return Some(Proven::Not);
        }
        self.is_too_much().then_some(Proven::Insecure(Some(Note::UnsupportedIterations)))
    }

    /// See [`super::denial::Proofs::no_name`].
    pub fn no_name(&mut self, name: &[u8], budget: &mut Budget) -> Proven {
        if let Some(proven) = self.starts(name) {
            return proven;
        }
        let Some((closest, next)) = self.closest(name, budget) else { return Proven::Not };
        // One that is too long to exist does not.
        if let Some(star) = wildcard(closest)
            && self.covering(&star, budget).is_none()
        {
            return Proven::Not;
        }
        if next.opt_out { Proven::Insecure(None) } else { Proven::Secure }
    }

    /// See [`super::denial::Proofs::no_data`].
    pub fn no_data(&mut self, name: &[u8], rtype: Rtype, budget: &mut Budget) -> Proven {
        if let Some(proven) = self.starts(name) {
            return proven;
        }
        let lacks = |link: &Link| if link.types.lack(rtype, name == [0]) { Proven::Secure } else { Proven::Not };
        if let Some(link) = self.matching(name, budget) {
            return lacks(&link);
        }
        let Some((closest, next)) = self.closest(name, budget) else { return Proven::Not };
        let star = wildcard(closest).and_then(|star| self.matching(&star, budget));
        match star {
            Some(link) if !next.opt_out => lacks(&link),
            Some(link) if lacks(&link) == Proven::Not => Proven::Not,
            _ if next.opt_out => Proven::Insecure(None),
            _ => Proven::Not,
        }
    }

    /// See [`super::denial::Proofs::no_closer`].
    pub fn no_closer(&mut self, name: &[u8], closest: usize, budget: &mut Budget) -> Proven {
        if let Some(proven) = self.starts(name) {
            return proven;
        }
        match self.covering(suffix(name, closest + 1), budget) {
            Some(link) if link.opt_out => Proven::Insecure(None),
            Some(_) => Proven::Secure,
            None => Proven::Not,
        }
    }

    /// See [`super::denial::Proofs::border`].
    pub fn border(&mut self, name: &[u8], budget: &mut Budget) -> Border {
        match self.starts(name) {
            Some(Proven::Insecure(note)) => return Border::Insecure(note),
            Some(_) => return Border::Unproven,
            None => {}
        }
        if let Some(link) = self.matching(name, budget) {
            return link.types.border(name == [0]);
        }
        match self.closest(name, budget) {
            Some((_, next)) if next.opt_out => Border::Insecure(None),
            Some(_) => Border::None,
            None => Border::Unproven,
        }
    }
}

// Base32 with the extended hex alphabet (RFC 4648 7), without padding.
fn base32(text: &[u8]) -> Option<Sum> {
    if text.len() != 32 {
        return None;
    }
    let mut sum = [0; 20];
    for (eight, five) in text.chunks_exact(8).zip(sum.chunks_exact_mut(5)) {
        let mut bits = 0u64;
        for digit in eight {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'v' => digit - b'a' + 10,
                b'A'..=b'V' => digit - b'A' + 10,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        five.copy_from_slice(bits.to_be_bytes().get(3..)?);
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 5155, appendix A: the zone example., salt aabbccdd, 12 iterations.
    #[test]
    fn sums_are_those_of_rfc_5155() {
        let mut zone = Nsec3::new(b"\x07example\0");
        (zone.iterations, zone.salt) = (12, [0xaa, 0xbb, 0xcc, 0xdd].into());
        for (name, sum) in [
            (&b"\x07example\0"[..], &b"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"[..]),
            (b"\x01a\x07example\0", b"35mthgpgcu1qg68fab165klnsnk3dpvl"),
            (b"\x01*\x01w\x07example\0", b"r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
        ] {
            assert_eq!(zone.sum(name, &mut Budget::default()), base32(sum));
        }
        assert_eq!(base32(b"0p9mhaveqvm6t7vbl5lop2u3t2rp3to!"), None);
    }

    #[test]
    fn hashing_ends() {
        let mut zone = Nsec3::new(b"\0");
        let owner = [b"\x20", &[b'0'; 32][..], b"\0"].concat();
        zone.add(&owner, &[&[1, 0, 0, 1, 0, 20][..], &[0; 20]].concat());
        let name = [&b"\x01a".repeat(120)[..], b"\0"].concat();
        let mut budget = Budget::default();
        assert_eq!(zone.no_name(&name, &mut budget), Proven::Not);
        assert!(!budget.hash() && zone.known.len() == 64);
        // Too many iterations: nothing is hashed at all.
        let mut zone = Nsec3::new(b"\0");
        zone.add(&owner, &[&[1, 0, 0xff, 0xff, 0, 20][..], &[0; 20]].concat());
        let insecure = Some(Note::UnsupportedIterations);
        assert_eq!(zone.no_name(&name, &mut Budget::default()), Proven::Insecure(insecure));
        assert_eq!(zone.border(&name, &mut Budget::default()), Border::Insecure(insecure));
        assert!(zone.known.is_empty());
    }
}
