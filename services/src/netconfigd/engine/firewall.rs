//! What the ruleset depends on. Interfaces are matched by name, so it holds for one that comes later.
use super::{UPLINK, Wanted};
use ipnet::{IpNet, Ipv6Net};

/// The policy: everything but the uplink's side in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firewall {
    /// Names of LANs, sorted, beside every `lan*`.
    pub lans: Vec<String>,
    /// IPv6 networks on our side, sorted: only from these a packet may leave by the uplink (RFC 2827, BCP 38).
    pub inside: Vec<Ipv6Net>,
}

impl Firewall {
    /// Every interface that a person has named is a LAN, but for `lo`, `uplink*` and what only carries a VLAN.
    pub fn of(wanted: &Wanted) -> Firewall {
        let interfaces = &wanted.interfaces;
        let named = interfaces.interfaces.iter().filter(|entry| !interfaces.is_carrier(entry));
        let names = named.map(|entry| &entry.name);
        let names = names.chain(interfaces.bridges.iter().map(|bridge| &bridge.name));
        let is_lan = |name: &&String| *name != "lo" && !name.starts_with("uplink") && !name.starts_with("lan");
        let mut lans: Vec<String> = names.filter(is_lan).cloned().collect();
        lans.sort();
        lans.dedup();
        Firewall { lans, inside: inside(wanted) }
    }

    /// The interface towards the internet.
    pub fn uplink(&self) -> &'static str {
        UPLINK
    }
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
