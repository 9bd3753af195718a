//! Port forwardings and pinholes, with devices and prefixes as they are now.
use super::{Ruled, Wanted};
use crate::perm::Mac;
use crate::perm::delegation::subnets;
use crate::perm::entries::{Device, Wrong};
use crate::perm::forwardings::{Forward, Forwardings, Host, Pinhole};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Addresses of one device that a pinhole leads to, in each prefix.
const SUFFIXES: usize = 16;

/// A port forwarding in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u8,
    /// First and last port from outside.
    pub ports: (u16, u16),
    /// Where it leads.
    pub to: Ipv4Addr,
    /// First and last port there: as many as outside, or one for all.
    pub to_ports: (u16, u16),
    /// From where it may be used.
    pub source: Option<Ipv4Net>,
}

impl Forwarded {
    /// Whether what comes from there to that port is led to that place.
    pub fn leads(&self, protocol: u8, from: IpAddr, port: u16, to: SocketAddr) -> bool {
        let (first, last) = self.ports;
        if (protocol, IpAddr::V4(self.to)) != (self.protocol, to.ip()) || !(first..=last).contains(&port) {
            return false;
        }
        let there = if self.to_ports.0 == self.to_ports.1 { self.to_ports.0 } else { self.to_ports.0 + (port - first) };
        there == to.port() && self.source.is_none_or(|net| matches!(from, IpAddr::V4(from) if net.contains(&from)))
    }
}

/// A pinhole in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u8,
    /// First and last port.
    pub ports: (u16, u16),
    /// Whose.
    pub to: Ipv6Addr,
    /// From where it may be used.
    pub source: Option<Ipv6Net>,
}

impl Opened {
    /// Whether it lets that through.
    pub fn lets(&self, protocol: u8, from: IpAddr, to: SocketAddr) -> bool {
        let (first, last) = self.ports;
        (protocol, IpAddr::V6(self.to)) == (self.protocol, to.ip())
            && (first..=last).contains(&to.port())
            && self.source.is_none_or(|net| matches!(from, IpAddr::V6(from) if net.contains(&from)))
    }
}

/// A device at home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name; a person's wins.
    pub name: String,
    /// Its hardware address.
    pub mac: Mac,
    /// Its address.
    pub address: Option<Ipv4Addr>,
    /// Lower halves of IPv6 addresses that it was seen to use.
    pub suffixes: Vec<u128>,
}

/// What is left out: entry, field, words.
pub type Refused = (String, &'static str, String);

/// What holds, and what does not: entry, field, words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    /// In the file's order.
    pub forwards: Vec<Forwarded>,
    /// In the file's order, one for each prefix.
    pub pinholes: Vec<Opened>,
    /// A person's own rules, in the file's order.
    pub rules: Vec<Ruled>,
    /// The names of all of them, in force or not: each is counted.
    pub counted: Vec<String>,
    /// What is left out for now, and why.
    pub refused: Vec<Refused>,
}

/// Resolves all by the LANs and prefixes that are wanted, and by the devices' leases; of two with one name the one that
/// counts comes first.
pub fn resolve(wanted: &Wanted, forwardings: &Forwardings, known: &[Known]) -> Resolved {
    let mut all = Resolved::default();
    let mut taken: BTreeMap<(u8, u16), (u16, &str)> = BTreeMap::new();
    let nets = reachable(wanted);
    for forward in &forwardings.forwards {
        match forwarded(&nets, known, forward).and_then(|one| free(&mut taken, forward).map(|()| one)) {
            Ok(one) => all.forwards.push(one),
            Err((field, words)) => all.refused.push((forward.entry.clone(), field, words)),
        }
    }
    for pinhole in &forwardings.pinholes {
        match opened(wanted, known, pinhole) {
            Ok(some) => {
                all.pinholes.extend(some.into_iter().filter(|one| !all.pinholes.contains(one)).collect::<Vec<_>>())
            }
            Err((field, words)) => all.refused.push((pinhole.entry.clone(), field, words)),
        }
    }
    all
}

/// IPv4 networks of the LANs and behind them: beyond them a forwarding would make strangers speak to strangers through us.
fn reachable(wanted: &Wanted) -> Vec<Ipv4Net> {
    let interfaces = &wanted.interfaces;
    let lans = interfaces.lans();
    let entries = interfaces.interfaces.iter().filter(|entry| lans.contains(&entry.name.as_str()));
    let nets = entries.flat_map(|entry| {
        let routes = entry.extra_routes.iter().map(|route| route.destination);
        entry.addr.iter().chain(&entry.extra_addrs).copied().chain(routes)
    });
    let ipv4 = nets.filter_map(|net| match net {
        IpNet::V4(net) => Some(net),
        IpNet::V6(_) => None,
    });
    ipv4.filter(|net| net.prefix_len() > 0).collect()
}

fn forwarded(nets: &[Ipv4Net], known: &[Known], forward: &Forward) -> Result<Forwarded, Wrong> {
    let to = match &forward.to {
        Device::Address(address) => *address,
        device => find(known, device)?.address.ok_or_else(|| ("device", format!("{device} has no IPv4 address")))?,
    };
    if !nets.iter().any(|net| net.contains(&to)) {
        return Err(("dest_addr", format!("{to} is in no LAN")));
    }
    let Forward { protocol, ports, to_ports, source, .. } = *forward;
    Ok(Forwarded { protocol, ports, to, to_ports, source })
}

/// A port leads to one place; the first entry has it. One that is bound to a source stands before all others.
fn free<'a>(taken: &mut BTreeMap<(u8, u16), (u16, &'a str)>, forward: &'a Forward) -> Result<(), Wrong> {
    if forward.source.is_some() {
        return Ok(());
    }
    let (first, last) = forward.ports;
    let before = taken.range(..=(forward.protocol, last)).next_back();
    if let Some(((_, _), (_, other))) =
        before.filter(|((protocol, _), (end, _))| *protocol == forward.protocol && *end >= first)
    {
        return Err(("port", format!("{first}-{last} overlaps with {other}, which holds")));
    }
    taken.insert((forward.protocol, first), (last, &forward.entry));
    Ok(())
}

fn opened(wanted: &Wanted, known: &[Known], pinhole: &Pinhole) -> Result<Vec<Opened>, Wrong> {
    let lans = wanted.interfaces.lans();
    if !lans.contains(&pinhole.lan.as_str()) {
        return Err(("lan", format!("{:?} is the name of no LAN", pinhole.lan)));
    }
    let suffixes = match &pinhole.host {
        Host::Suffix(suffix) => vec![u128::from(*suffix)],
        // Those that it uses, and the one that it would make of its hardware address.
        Host::Device(device) => {
            let known = find(known, device)?;
            let mut all: Vec<u128> = known.suffixes.iter().copied().take(SUFFIXES).collect();
            all.push(interface_identifier(known.mac));
            all.sort_unstable();
            all.dedup();
            all
        }
    };
    let valid = wanted.delegations().filter(|(_, valid)| *valid);
    let mine =
        valid.filter_map(|(prefix, _)| subnets(*prefix, &lans).into_iter().find(|subnet| subnet.lan == pinhole.lan));
    let Pinhole { protocol, ports, source, .. } = *pinhole;
    let open = |subnet: Ipv6Net, suffix: &u128| {
        let to = (u128::from(subnet.network()) | suffix).into();
        Opened { protocol, ports, to, source }
    };
    Ok(mine.flat_map(|subnet| suffixes.iter().map(move |suffix| open(subnet.prefix, suffix))).collect())
}

/// A device; of two with one name the first.
pub(super) fn find<'a>(known: &'a [Known], device: &Device) -> Result<&'a Known, Wrong> {
    let is_it = |known: &&Known| match device {
        Device::Named(name) => known.name.eq_ignore_ascii_case(name),
        Device::Hardware(mac) => known.mac == *mac,
        Device::Address(address) => known.address == Some(*address),
    };
    known.iter().find(is_it).ok_or_else(|| ("device", format!("{device} has no lease")))
}

/// The lower 64 bits that a host makes of its hardware address (RFC 4291, appendix A).
pub(super) fn interface_identifier(Mac([a, b, c, d, e, f]): Mac) -> u128 {
    u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]).into()
}
