//! NSEC: each record says which name comes next in its zone (RFC 4034 4, RFC 4035 5.4, RFC 6840 4.1).
use super::super::name::{self, Labels};
use super::denial::{Border, Proven, Types};
use super::records::{labels, parent, suffix, wildcard};
use domain::base::iana::Rtype;
use std::cmp::Ordering;

/// The NSEC records of a zone in one message.
#[derive(Debug)]
pub struct Nsec {
    zone: Box<[u8]>,
    links: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    owner: Box<[u8]>,
    next: Box<[u8]>,
    types: Types,
}

/// The order of names in a zone (RFC 4034 6.1): label by label from the right; both lower-case.
pub fn order(one: &[u8], other: &[u8]) -> Ordering {
    let (one, other) = (Labels::of(one), Labels::of(other));
    for nth in 0..one.count().min(other.count()) {
        match one.right(nth).cmp(&other.right(nth)) {
            Ordering::Equal => {}
            order => return order,
        }
    }
    one.count().cmp(&other.count())
}

impl Nsec {
    /// None yet.
    pub fn new(zone: &[u8]) -> Nsec {
        Nsec { zone: zone.into(), links: Vec::new() }
    }

    /// One whose signature holds, by its data; what is no NSEC proves nothing.
    pub fn add(&mut self, owner: &[u8], data: &[u8]) {
        let Some((length, _)) = name::measure(data) else { return };
        let (next, types) = data.split_at(length);
        let next = next.to_ascii_lowercase().into_boxed_slice();
        if name::is_below(&next, &self.zone) {
            self.links.push(Link { owner: owner.into(), next, types: Types(types.into()) });
        }
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    fn matching(&self, name: &[u8]) -> Option<&Link> {
        self.links.iter().find(|link| *link.owner == *name)
    }

    // The one between whose ends the name would be.
    fn covering(&self, name: &[u8]) -> Option<&Link> {
        if !name::is_below(name, &self.zone) {
            return None;
        }
        self.links.iter().find(|link| {
            let hidden = name::is_below(name, &link.owner) && link.types.hide_below();
            let after = order(&link.owner, name) == Ordering::Less;
            let before = *link.next == *self.zone || order(name, &link.next) == Ordering::Less;
            after && before && !hidden
        })
    }

    /// See [`super::denial::Proofs::no_name`].
    pub fn no_name(&self, name: &[u8]) -> Proven {
        let Some(link) = self.covering(name).filter(|link| !name::is_below(&link.next, name)) else {
            return Proven::Not;
        };
        let star = wildcard(closest(name, link));
        // One that is too long to exist does not.
        let without =
            star.is_none_or(|star| self.covering(&star).is_some_and(|link| !name::is_below(&link.next, &star)));
        if without { Proven::Secure } else { Proven::Not }
    }

    /// See [`super::denial::Proofs::no_data`].
    pub fn no_data(&self, name: &[u8], rtype: Rtype) -> Proven {
        let is_root = name == [0];
        let lacks = |link: &Link| if link.types.lack(rtype, is_root) { Proven::Secure } else { Proven::Not };
        if let Some(link) = self.matching(name) {
            return lacks(link);
        }
        match self.covering(name) {
            // Names below it make it exist, without any record.
            Some(link) if name::is_below(&link.next, name) => Proven::Secure,
            Some(link) => {
                wildcard(closest(name, link)).and_then(|star| self.matching(&star)).map_or(Proven::Not, lacks)
            }
            None => Proven::Not,
        }
    }

    /// See [`super::denial::Proofs::no_closer`].
    pub fn no_closer(&self, name: &[u8], depth: usize) -> Proven {
        let link = self.covering(name).filter(|link| !name::is_below(&link.next, name));
        match link {
            Some(link) if labels(closest(name, link)) == depth => Proven::Secure,
            _ => Proven::Not,
        }
    }

    /// See [`super::denial::Proofs::border`].
    pub fn border(&self, name: &[u8]) -> Border {
        match self.matching(name) {
            Some(link) => link.types.border(name == [0]),
            None if self.covering(name).is_some() => Border::None,
            None => Border::Unproven,
        }
    }
}

// The nearest name above that exists: the zone has the link's ends, and what is above them.
fn closest<'a>(name: &'a [u8], link: &Link) -> &'a [u8] {
    let common = |other: &[u8]| {
        let (one, other) = (Labels::of(name), Labels::of(other));
        (0..one.count().min(other.count())).take_while(|nth| one.right(*nth) == other.right(*nth)).count()
    };
    let depth = common(&link.owner).max(common(&link.next));
    if depth >= labels(name) { parent(name) } else { suffix(name, depth) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &str) -> Box<[u8]> {
        if text == "." { [0].into() } else { name::from_text(text).unwrap() }
    }

    #[test]
    fn names_are_in_the_order_of_rfc_4034() {
        let names = ["example", "a.example", "yljkjljk.a.example", "z.a.example", "zabc.a.example", "z.example"];
        let names: Vec<_> =
            names.iter().map(|name| wire(name)).chain([b"\x01\x01\x01z\x07example\0"[..].into()]).collect();
        for pair in names.windows(2) {
            assert_eq!(order(&pair[0], &pair[1]), Ordering::Less, "{pair:?}");
        }
        assert_eq!(order(&names[2], &names[2]), Ordering::Equal);
    }

    // A zone's links: owner, next, types.
    fn zone(links: &[(&str, &str, &[Rtype])]) -> Nsec {
        let mut nsec = Nsec::new(&wire("example"));
        for (owner, next, types) in links {
            let mut bits = domain::rdata::dnssec::RtypeBitmapBuilder::<Vec<u8>>::new_vec();
            types.iter().for_each(|rtype| bits.add(*rtype).unwrap());
            nsec.add(&wire(owner), &[&*wire(next), bits.finalize().as_slice()].concat());
        }
        nsec
    }

    #[test]
    fn what_links_prove() {
        use Rtype as T;
        let nsec = zone(&[
            ("example", "sub.example", &[T::SOA, T::NS, T::DNSKEY]),
            ("sub.example", "b.x.example", &[T::NS]),
            ("b.x.example", "example", &[T::A]),
        ]);
        assert_eq!(nsec.no_name(&wire("a.example")), Proven::Secure);
        assert_eq!(nsec.no_name(&wire("x.example")), Proven::Not, "names below make it exist");
        assert_eq!(nsec.no_data(&wire("x.example"), T::A), Proven::Secure);
        assert_eq!(nsec.no_data(&wire("b.x.example"), T::A), Proven::Not);
        assert_eq!(nsec.no_data(&wire("b.x.example"), T::AAAA), Proven::Secure);
        assert_eq!(nsec.no_name(&wire("a.sub.example")), Proven::Not, "another zone's");
        assert_eq!(nsec.no_data(&wire("sub.example"), T::A), Proven::Not, "another zone's");
        assert_eq!(nsec.no_data(&wire("sub.example"), T::DS), Proven::Secure);
        assert_eq!(nsec.no_data(&wire("example"), T::DS), Proven::Not, "its parent's");
        assert_eq!(nsec.border(&wire("sub.example")), Border::Insecure(None));
        assert_eq!(nsec.border(&wire("x.example")), Border::None);
        assert_eq!(nsec.border(&wire("example")), Border::Unproven);
        assert_eq!(nsec.no_name(&wire("a.example2")), Proven::Not, "not of the zone");
        assert_eq!(nsec.no_closer(&wire("c.b.x.example"), 3), Proven::Secure);
        assert_eq!(nsec.no_closer(&wire("c.b.x.example"), 2), Proven::Not, "b.x.example is nearer");
    }

    #[test]
    fn a_wildcard_has_to_be_denied_too() {
        let nsec = zone(&[("example", "z.example", &[Rtype::SOA, Rtype::NS])]);
        assert_eq!(nsec.no_name(&wire("a.example")), Proven::Secure);
        let nsec = zone(&[("*.example", "z.example", &[Rtype::A])]);
        assert_eq!(nsec.no_name(&wire("a.example")), Proven::Not);
        assert_eq!(nsec.no_data(&wire("a.example"), Rtype::AAAA), Proven::Secure);
        assert_eq!(nsec.no_data(&wire("a.example"), Rtype::A), Proven::Not);
    }
}
