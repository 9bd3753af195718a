//! What the ruleset depends on. Interfaces are matched by name, so it holds for one that comes later.
use super::forwards::{Forwarded, Opened};
use super::rules::decide;
use super::{Places, Ruled, UPLINK, Wanted, sysctls};
use crate::perm::firewall::{Direction, Verdict};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netstack::conntrack::Flow;
use std::net::{IpAddr, Ipv4Addr};

/// The policy: everything but the uplink's side in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firewall {
    /// LANs, by name, beside every `lan*`.
    pub lans: Vec<Lan>,
    /// IPv6 networks on our side, sorted: only from these a packet may leave by the uplink (RFC 2827, BCP 38).
    pub inside: Vec<Ipv6Net>,
    /// Whether the provider itself uses private addresses, so that such sources may come from there.
    pub private_uplink: bool,
    /// Connections that one device may hold.
    pub share: u32,
    /// What of IPv4 may be reached from outside.
    pub forwards: Vec<Forwarded>,
    /// What of IPv6 may be reached from outside.
    pub pinholes: Vec<Opened>,
    /// UDP ports on which the internet may reach WireGuard, sorted.
    pub tunnels: Vec<u16>,
    /// A person's own rules that are in force.
    pub rules: Vec<Ruled>,
    /// The names of all of them, in force or not.
    pub counted: Vec<String>,
    /// Whether established connections pass by the rules.
    pub offload: bool,
}

/// A LAN, as the firewall sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lan {
    /// Its name.
    pub name: String,
    /// Whether its hosts reach the internet and nothing else.
    pub guest: bool,
    /// Its IPv4 networks.
    pub nets: Vec<Ipv4Net>,
}

/// A device may hold one of so many parts of the connection table.
const SHARES: u64 = 4;

impl Firewall {
    /// Every interface that a person has named is a LAN, but for `lo`, `uplink*` and what only carries a VLAN.
    pub fn of(wanted: &Wanted) -> Firewall {
        Firewall {
            lans: lans(wanted),
            inside: inside(wanted),
            private_uplink: private_uplink(wanted),
            share: u32::try_from(sysctls::connections(wanted.memory_kib) / SHARES).unwrap_or(u32::MAX),
            forwards: wanted.open.forwards.clone(),
            pinholes: wanted.open.pinholes.clone(),
            tunnels: ports(wanted),
            rules: wanted.open.rules.clone(),
            counted: wanted.open.counted.clone(),
            offload: wanted.offload,
        }
    }

    /// Whether something that may be begun by this one may not by the other.
    pub fn opens_more_than(&self, other: &Firewall) -> bool {
        let forwards = self.forwards.iter().any(|forward| !other.forwards.contains(forward));
        let guest = |lan: &Lan| lan.guest && !self.lans.contains(lan);
        forwards
            || self.pinholes.iter().any(|pinhole| !other.pinholes.contains(pinhole))
            || self.rules != other.rules
            || self.inside.iter().any(|net| !other.inside.iter().any(|wider| wider.contains(net)))
            || other.lans.iter().any(guest)
    }

    /// Whether a rule of a person's own refuses a connection.
    pub fn refuses(&self, flow: &Flow, places: &Places) -> bool {
        decide(&self.rules, flow, places).0 == Some(Verdict::Refuse)
    }

    /// Whether a connection may be begun, as the ruleset says it.
    pub fn admits(&self, flow: &Flow, places: &Places) -> bool {
        if flow.forwarded && !self.let_in(flow) {
            return false;
        }
        let guest = |name: &str| self.lans.iter().any(|lan| lan.guest && lan.name == name);
        let decided = decide(&self.rules, flow, places);
        // What passes by the rules would go on with an address that is no longer ours.
        let home = match decided.1 {
            Some((Direction::Out, _)) => Some(flow.original.source.ip()),
            Some((Direction::In, _)) => Some(flow.reply.source.ip()),
            _ => None,
        };
        if matches!(home, Some(IpAddr::V6(home)) if !self.inside.iter().any(|net| net.contains(&home))) {
            return false;
        }
        match decided {
            (Some(verdict), _) => verdict == Verdict::Allow,
            (None, Some((Direction::In, _))) => self.let_in(flow),
            (None, Some((Direction::Across, lan))) => flow.forwarded || !guest(&lan),
            (None, _) => true,
        }
    }

    /// Whether a connection came in by a port forwarding or a pinhole of this one.
    fn let_in(&self, flow: &Flow) -> bool {
        let (from, to) = (flow.original.source.ip(), flow.original.destination);
        if flow.forwarded {
            return self
                .forwards
                .iter()
                .any(|forward| forward.leads(flow.protocol, from, to.port(), flow.reply.source));
        }
        // Who is on our side needs no pinhole.
        let ours = matches!(from, IpAddr::V6(from) if from.is_unique_local() || self.inside.iter().any(|net| net.contains(&from)));
        !ours && self.pinholes.iter().any(|pinhole| pinhole.lets(flow.protocol, from, to))
    }

    /// The interface towards the internet.
    pub fn uplink(&self) -> &'static str {
        UPLINK
    }
}

fn ports(wanted: &Wanted) -> Vec<u16> {
    let tunnels = wanted.tunnels.iter().flat_map(|tunnels| &tunnels.tunnels);
    let mut ports: Vec<u16> = tunnels.map(|tunnel| tunnel.port).filter(|port| *port != 0).collect();
    ports.sort_unstable();
    ports
}

fn lans(wanted: &Wanted) -> Vec<Lan> {
    let interfaces = &wanted.interfaces;
    let named = interfaces.interfaces.iter().filter(|entry| !interfaces.is_carrier(entry));
    let names = named.map(|entry| &entry.name);
    let names = names.chain(interfaces.bridges.iter().map(|bridge| &bridge.name));
    let is_lan = |name: &&String| *name != "lo" && !name.starts_with("uplink");
    let mut names: Vec<&String> = names.filter(is_lan).collect();
    names.sort();
    names.dedup();
    let lan = |name: &String| {
        let entry = interfaces.named(name);
        let nets = entry.into_iter().flat_map(|entry| entry.addr.iter().chain(&entry.extra_addrs));
        let nets = nets.filter_map(|net| match net {
            IpNet::V4(net) => Some(net.trunc()),
            IpNet::V6(_) => None,
        });
        Lan { name: name.clone(), guest: entry.is_some_and(|entry| entry.guest), nets: nets.collect() }
    };
    names.into_iter().map(lan).collect()
}

/// Private or shared (RFC 1918, RFC 6598): a provider that hands out such an address speaks from such addresses. While
/// nothing is known of it, it may.
fn private_uplink(wanted: &Wanted) -> bool {
    if !wanted.knows_ipv4() {
        return true;
    }
    let shared = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);
    let private = |address: &Ipv4Addr| address.is_private() || shared.contains(address);
    let lease = wanted.lease_in_force();
    let leased = lease.iter().flat_map(|lease| [Some(lease.address.0), lease.router]).flatten();
    let fixed = wanted.interfaces.uplink().into_iter().flat_map(|uplink| {
        let nets = uplink.addr.iter().chain(&uplink.extra_addrs).filter_map(|net| match net {
            IpNet::V4(net) => Some(net.addr()),
            IpNet::V6(_) => None,
        });
        nets.chain(uplink.gateway)
    });
    leased.chain(fixed).any(|address| private(&address))
}

/// Delegated prefixes whose lifetime runs, and what a person has put on or behind a LAN. Local addresses never leave.
fn inside(wanted: &Wanted) -> Vec<Ipv6Net> {
    let delegated = wanted.delegations().filter(|(_, valid)| *valid).map(|(prefix, _)| *prefix);
    let entries = wanted.interfaces.interfaces.iter().filter(|entry| entry.name != UPLINK);
    let by_hand = entries.flat_map(|entry| {
        let routes = entry.extra_routes.iter().map(|route| route.destination);
        entry.addr.iter().chain(&entry.extra_addrs).copied().chain(routes)
    });
    let by_hand = by_hand.filter_map(|net| match net {
        IpNet::V6(net) => Some(net.trunc()),
        IpNet::V4(_) => None,
    });
    // A default route over a LAN or a tunnel says nothing of what lies there.
    let leaves = |net: &Ipv6Net| {
        net.prefix_len() > 0 && !net.network().is_unique_local() && !net.network().is_unicast_link_local()
    };
    let nets: Vec<Ipv6Net> = delegated.chain(by_hand).filter(leaves).collect();
    Ipv6Net::aggregate(&nets)
}
