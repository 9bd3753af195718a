//! The names of the house: who has which address, both ways, and what is answered in the zones that stay local.
use super::name::{self, Labels};
use super::zones::{Spelt, Zone, zone};
use domain::base::iana::Rtype;
use netstack::time::Instant;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Seconds that an answer about a machine of the house may be kept: its address may change.
const HOST_TTL: u32 = 60;
/// Seconds that the absence of one may be kept: it may appear at any moment.
const ABSENCE_TTL: u32 = 5;
/// Seconds that what never changes may be kept.
const FIXED_TTL: u32 = 3_600;

/// A machine of the house, as [`Names::new`] takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// One label of letters, digits, '-' and '_', in the case in which PTR answers give it.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// When its lease runs out; `None` = never.
    pub until: Option<Instant>,
    /// Whether its name alone, without `.lan`, is answered too.
    pub bare: bool,
}

/// What the house knows of a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// An A record and its TTL.
    A(Ipv4Addr, u32),
    /// An AAAA record and its TTL.
    Aaaa(Ipv6Addr, u32),
    /// A PTR record to a name in wire form, and its TTL.
    Ptr(&'a [u8], u32),
    /// The SOA of the zone that is asked about.
    Soa(Apex),
    /// Its NS, which is the zone itself (RFC 6303 3).
    Ns(Apex),
    /// The name exists, without this type.
    NoData(Apex),
    /// The name does not exist.
    NxDomain(Apex),
    /// It is not ours: ask outside.
    Elsewhere,
}

/// The zone that an answer without records names in its SOA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Apex {
    /// Where its name starts within the question's.
    pub at: usize,
    /// How long the absence may be kept, in seconds.
    pub ttl: u32,
}

/// The tables.
#[derive(Debug, Default)]
pub struct Names {
    /// By lower-case label.
    hosts: HashMap<Box<[u8]>, Entry<Ipv4Addr>>,
    /// The name in wire form, by address.
    reverse: HashMap<IpAddr, Entry<Box<[u8]>>>,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    until: Option<Instant>,
    bare: bool,
}

impl<T> Entry<T> {
    fn at(&self, now: Instant) -> Option<&T> {
        self.until.is_none_or(|until| now < until).then_some(&self.value)
    }
}

impl Names {
    /// Builds the tables; of equal names, and of equal addresses, the first one holds.
    pub fn new(hosts: &[Host]) -> Names {
        let mut names = Names::default();
        for host in hosts {
            let Some(full) = name::from_labels(&[host.name.as_bytes(), b"lan"]) else { continue };
            let label = host.name.to_ascii_lowercase().into_bytes().into_boxed_slice();
            let (until, bare) = (host.until, host.bare);
            names.hosts.entry(label).or_insert(Entry { value: host.address, until, bare });
            names.reverse.entry(IpAddr::V4(host.address)).or_insert(Entry { value: full, until, bare });
        }
        names
    }

    /// What is known of `name` (wire form, any case).
    pub fn find(&self, now: Instant, name: &[u8], rtype: Rtype) -> Found<'_> {
        let labels = Labels::of(name);
        let apex = |count, ttl| Apex { at: labels.suffix(count), ttl };
        match zone(&labels) {
            None if labels.count() == 1 => self.bare(now, &labels, rtype),
            None => Found::Elsewhere,
            Some(Zone::Lan) => {
                let lan = apex(1, ABSENCE_TTL);
                match labels.count() {
                    1 => at_apex(lan, rtype),
                    2 => match self.address(now, &labels, |_| true) {
                        Some(address) => address_or_none(address, rtype, lan),
                        None => Found::NxDomain(lan),
                    },
                    _ => Found::NxDomain(lan),
                }
            }
            Some(Zone::Localhost) => match rtype {
                Rtype::A | Rtype::ANY => Found::A(Ipv4Addr::LOCALHOST, FIXED_TTL),
                Rtype::AAAA => Found::Aaaa(Ipv6Addr::LOCALHOST, FIXED_TTL),
                _ if labels.count() == 1 => at_apex(apex(1, FIXED_TTL), rtype),
                _ => Found::NoData(apex(1, FIXED_TTL)),
            },
            Some(Zone::Empty(count)) if labels.count() == count => match rtype {
                // The parent's side of a real delegation: an insecure one, which a validator must see.
                Rtype::DS if count > 1 => Found::Elsewhere,
                _ => at_apex(apex(count, FIXED_TTL), rtype),
            },
            Some(Zone::Empty(count)) => Found::NxDomain(apex(count, FIXED_TTL)),
            Some(Zone::Reverse(reverse)) => {
                let known = match reverse.spelt {
                    Spelt::Whole(address) => self.pointer(now, address),
                    _ => None,
                };
                let at = reverse.apex.map(|count| (labels.count() == count, apex(count, ABSENCE_TTL)));
                match (known, at) {
                    (_, Some((true, _))) if rtype == Rtype::DS => Found::Elsewhere,
                    (Some((name, ttl)), _) if matches!(rtype, Rtype::PTR | Rtype::ANY) => Found::Ptr(name, ttl),
                    (_, None) => Found::Elsewhere,
                    (_, Some((true, zone))) => at_apex(zone, rtype),
                    (Some(_), Some((_, zone))) => Found::NoData(zone),
                    // Something may exist below the beginning of an address (RFC 8020).
                    (None, Some((_, zone))) if reverse.spelt == Spelt::Part => Found::NoData(zone),
                    (None, Some((_, zone))) => Found::NxDomain(zone),
                }
            }
        }
    }

    // A name alone is exactly that name, never a zone: what only a zone has, and all below it, is asked outside.
    fn bare(&self, now: Instant, labels: &Labels<'_>, rtype: Rtype) -> Found<'_> {
        let of_zones = matches!(
            rtype,
            Rtype::DS
                | Rtype::DNSKEY
                | Rtype::CDS
                | Rtype::CDNSKEY
                | Rtype::NS
                | Rtype::SOA
                | Rtype::RRSIG
                | Rtype::NSEC
                | Rtype::NSEC3
                | Rtype::NSEC3PARAM
                | Rtype::ZONEMD
        );
        match self.address(now, labels, |bare| bare) {
            Some(address) if !of_zones => address_or_none(address, rtype, Apex { at: 0, ttl: ABSENCE_TTL }),
            _ => Found::Elsewhere,
        }
    }

    // The address of the host whose label is the leftmost.
    fn address(&self, now: Instant, labels: &Labels<'_>, wanted: impl Fn(bool) -> bool) -> Option<Ipv4Addr> {
        let label = labels.right(labels.count().checked_sub(1)?)?;
        let mut lower = [0; 63];
        let lower = lower.get_mut(..label.len())?;
        lower.copy_from_slice(label);
        lower.make_ascii_lowercase();
        self.hosts.get(&*lower).filter(|entry| wanted(entry.bare))?.at(now).copied()
    }

    fn pointer(&self, now: Instant, address: IpAddr) -> Option<(&[u8], u32)> {
        const LOCALHOST: &[u8] = b"\x09localhost\x00";
        match self.reverse.get(&address).and_then(|entry| entry.at(now)) {
            Some(name) => Some((name, HOST_TTL)),
            None => address.is_loopback().then_some((LOCALHOST, FIXED_TTL)),
        }
    }
}

fn address_or_none(address: Ipv4Addr, rtype: Rtype, zone: Apex) -> Found<'static> {
    match rtype {
        Rtype::A | Rtype::ANY => Found::A(address, HOST_TTL),
        _ => Found::NoData(zone),
    }
}

fn at_apex(zone: Apex, rtype: Rtype) -> Found<'static> {
    match rtype {
        Rtype::SOA | Rtype::ANY => Found::Soa(zone),
        Rtype::NS => Found::Ns(zone),
        _ => Found::NoData(zone),
    }
}
