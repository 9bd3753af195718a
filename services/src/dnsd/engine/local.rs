//! The names of the house: who has which address, both ways, and what is answered in the zones that stay local.
use super::name::{self, Labels};
use super::zones::{Spelt, Zone, zone};
use domain::base::iana::Rtype;
use netstack::time::Instant;
use std::collections::{HashMap, hash_map};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Seconds that an answer about a machine of the house may be kept: its address may change.
const HOST_TTL: u32 = 60;
/// Seconds that the absence of one may be kept: it may appear at any moment.
const ABSENCE_TTL: u32 = 5;
/// Seconds that what never changes may be kept.
const FIXED_TTL: u32 = 3_600;

/// A machine of the house, as [`Names::new`] takes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// One label of letters, digits, '-' and '_', in the case in which PTR answers give it.
    pub name: String,
    /// The domain of its LAN, lower-case; `lan` when empty.
    pub domain: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// When its lease runs out; `None` = never.
    pub until: Option<Instant>,
    /// Whether its name alone, without `.lan`, is answered too.
    pub bare: bool,
    /// A person has given it its name: names below it may be asked for without `.lan`, too.
    pub by_hand: bool,
}

/// A name below a machine's own, which it has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subname {
    /// The machine's name, one label.
    pub host: String,
    /// What stands before it, one label.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

/// What the house knows of a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A records, AAAA records, and their TTL.
    Addresses(&'a [Ipv4Addr], &'a [Ipv6Addr], u32),
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
    /// By name, in wire form and lower-case.
    known: HashMap<Box<[u8]>, Entry>,
    /// The name in wire form, by address.
    reverse: HashMap<IpAddr, Pointer>,
    /// The LANs' domains besides `lan`, in wire form and lower-case.
    zones: Vec<Box<[u8]>>,
    /// Some known names are neither of the house nor single labels.
    elsewhere: bool,
}

#[derive(Debug, Default)]
struct Entry {
    ipv4: Vec<Ipv4Addr>,
    ipv6: Vec<Ipv6Addr>,
    until: Option<Instant>,
    // In one of our zones; else exactly this name is ours, and what only a zone has is not.
    in_zone: bool,
}

#[derive(Debug)]
struct Pointer {
    name: Box<[u8]>,
    until: Option<Instant>,
}

fn holds(until: Option<Instant>, now: Instant) -> bool {
    until.is_none_or(|until| now < until)
}

impl Names {
    /// Builds the tables; of equal names, and of equal addresses, the first one holds. `fixed` are whole names.
    pub fn new(hosts: &[Host], subnames: &[Subname], fixed: &[(String, Vec<IpAddr>)], domains: &[String]) -> Names {
        let mut names = Names::default();
        names.zones.extend(domains.iter().filter_map(|domain| name::from_text(domain)));
        for (text, addresses) in fixed {
            names.add(text, addresses, None);
            let Some(full) = name::from_text(text) else { continue };
            names.point(addresses, &full, None);
        }
        for host in hosts {
            let Host { name, addresses, until, .. } = host;
            let domain = if host.domain.is_empty() { "lan" } else { &host.domain };
            let mut labels = vec![name.as_bytes()];
            labels.extend(domain.split('.').map(str::as_bytes));
            let Some(full) = name::from_labels(&labels) else { continue };
            let of_it = subnames.iter().filter(|sub| sub.host.eq_ignore_ascii_case(name));
            let of_it: Vec<_> = of_it.map(|sub| (format!("{}.{name}", sub.name), [sub.address])).collect();
            for domain in [domain, "lan"] {
                if names.add(&format!("{name}.{domain}"), addresses, *until) {
                    for (below, address) in &of_it {
                        names.add(&format!("{below}.{domain}"), address, *until);
                    }
                }
            }
            if host.bare && names.add(name, addresses, *until) && host.by_hand {
                for (below, address) in &of_it {
                    names.add(below, address, *until);
                }
            }
            names.point(addresses, &full, *until);
        }
        names
    }

    // Adds a name unless it is there; the names between it and its zone exist with it (RFC 8020).
    fn add(&mut self, text: &str, addresses: &[IpAddr], until: Option<Instant>) -> bool {
        let Some(full) = name::from_text(text) else { return false };
        let labels = Labels::of(&full);
        let own = self.zones.iter().find(|zone| full != **zone && name::is_below(&full, zone));
        let in_lan = labels.right(0) == Some(b"lan") && labels.count() > 1;
        let depth = own.map(|zone| Labels::of(zone).count()).or(in_lan.then_some(1));
        self.elsewhere |= depth.is_none() && labels.count() > 1;
        for count in depth.map_or(0..0, |depth| depth + 1..labels.count()) {
            let between = full.get(labels.suffix(count)..).unwrap_or_default();
            self.known.entry(between.into()).or_insert(Entry { until, in_zone: true, ..Entry::default() });
        }
        let mut entry = Entry { until, in_zone: depth.is_some(), ..Entry::default() };
        for address in addresses {
            match address {
                IpAddr::V4(ip) => entry.ipv4.push(*ip),
                IpAddr::V6(ip) => entry.ipv6.push(*ip),
            }
        }
        match self.known.entry(full) {
            hash_map::Entry::Vacant(free) => drop(free.insert(entry)),
            // One that only stood between, or has ended, gives way.
            hash_map::Entry::Occupied(mut taken) => {
                let Entry { ipv4, ipv6, .. } = taken.get();
                if !ipv4.is_empty() || !ipv6.is_empty() || addresses.is_empty() {
                    return false;
                }
                taken.insert(entry);
            }
        }
        true
    }

    fn point(&mut self, addresses: &[IpAddr], full: &[u8], until: Option<Instant>) {
        for address in addresses {
            self.reverse.entry(*address).or_insert_with(|| Pointer { name: full.into(), until });
        }
    }

    /// What is known of `name` (wire form, lower-case). `split` says that a person has named servers for it: of what
    /// is not known here they are asked.
    pub fn find(&self, now: Instant, name: &[u8], rtype: Rtype, split: bool) -> Found<'_> {
        let labels = Labels::of(name);
        let apex = |count, ttl| Apex { at: labels.suffix(count), ttl };
        let zone = zone(&labels);
        let own = self.zones.iter().find(|zone| name::is_below(name, zone)).map(|zone| Labels::of(zone).count());
        let own = own.or((zone == Some(Zone::Lan)).then_some(1));
        if (own.is_some() || labels.count() == 1 || self.elsewhere)
            && let Some(entry) = self.known.get(name).filter(|entry| holds(entry.until, now))
        {
            let at = own.map_or(0, |count| labels.suffix(count));
            return match rtype {
                _ if !entry.in_zone && is_of_zones(rtype) => Found::Elsewhere,
                Rtype::A if !entry.ipv4.is_empty() => Found::Addresses(&entry.ipv4, &[], HOST_TTL),
                Rtype::AAAA if !entry.ipv6.is_empty() => Found::Addresses(&[], &entry.ipv6, HOST_TTL),
                Rtype::ANY if !entry.ipv4.is_empty() || !entry.ipv6.is_empty() => {
                    Found::Addresses(&entry.ipv4, &entry.ipv6, HOST_TTL)
                }
                _ => Found::NoData(Apex { at, ttl: ABSENCE_TTL }),
            };
        }
        if split && !matches!(zone, Some(Zone::Reverse(_))) {
            return Found::Elsewhere;
        }
        if let Some(depth) = own {
            let own = apex(depth, ABSENCE_TTL);
            return if labels.count() == depth { at_apex(own, rtype) } else { Found::NxDomain(own) };
        }
        match zone {
            None | Some(Zone::Lan) => Found::Elsewhere,
            Some(Zone::Localhost) => match rtype {
                Rtype::A => Found::Addresses(&[Ipv4Addr::LOCALHOST], &[], FIXED_TTL),
                Rtype::AAAA => Found::Addresses(&[], &[Ipv6Addr::LOCALHOST], FIXED_TTL),
                Rtype::ANY => Found::Addresses(&[Ipv4Addr::LOCALHOST], &[Ipv6Addr::LOCALHOST], FIXED_TTL),
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
                    (None, _) if split => Found::Elsewhere,
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

    /// The name of the machine with this address: its first label.
    pub fn host_of(&self, now: Instant, address: IpAddr) -> Option<&[u8]> {
        let pointer = self.reverse.get(&address).filter(|pointer| holds(pointer.until, now))?;
        Labels::of(&pointer.name).leftmost()
    }

    fn pointer(&self, now: Instant, address: IpAddr) -> Option<(&[u8], u32)> {
        const LOCALHOST: &[u8] = b"\x09localhost\x00";
        match self.reverse.get(&address).filter(|pointer| holds(pointer.until, now)) {
            Some(pointer) => Some((&pointer.name, HOST_TTL)),
            None => address.is_loopback().then_some((LOCALHOST, FIXED_TTL)),
        }
    }
}

// A name that is ours alone is exactly that name, never a zone: what only a zone has is asked outside.
fn is_of_zones(rtype: Rtype) -> bool {
    matches!(
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
    )
}

fn at_apex(zone: Apex, rtype: Rtype) -> Found<'static> {
    match rtype {
        Rtype::SOA | Rtype::ANY => Found::Soa(zone),
        Rtype::NS => Found::Ns(zone),
        _ => Found::NoData(zone),
    }
}
