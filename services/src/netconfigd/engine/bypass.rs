//! A tunnel that takes everything: its own packets still go by the uplink, by routes of their own, and nothing else does.
use super::wan::Way;
use super::{FROM_FILE, FROM_LEASE, Found, Route, Wanted};
use crate::perm::wireguard::Endpoint;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv6Addr};

/// Both halves of IPv6. A default route by router advertisement stands beside ours with the same metric; these are longer.
const HALVES: [Ipv6Net; 2] =
    [Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 1), Ipv6Net::new_assert(Ipv6Addr::new(0x8000, 0, 0, 0, 0, 0, 0, 0), 1)];

fn is_tunnel(name: &str) -> bool {
    name.starts_with("wg")
}

fn everything(like: IpAddr) -> IpNet {
    if like.is_ipv4() { IpNet::V4(Ipv4Net::default()) } else { IpNet::V6(Ipv6Net::default()) }
}

/// The destinations of a tunnel's route.
pub fn halves(name: &str, destination: IpNet) -> Vec<IpNet> {
    let all = destination == IpNet::V6(Ipv6Net::default()) && is_tunnel(name);
    if all { HALVES.map(IpNet::V6).to_vec() } else { vec![destination] }
}

/// Whether a WireGuard interface has the default route of an address's family.
fn takes_all(wanted: &Wanted, like: IpAddr) -> bool {
    let mut tunnels = wanted.interfaces.interfaces.iter().filter(|entry| is_tunnel(&entry.name));
    tunnels.any(|entry| entry.extra_routes.iter().any(|route| route.destination == everything(like)))
}

/// Whom the router itself has to reach outside of every tunnel: peers, where the file and where the kernel has them, and
/// the provider's name servers while a peer is known by its name.
fn outside(wanted: &Wanted, found: &Found) -> Vec<IpAddr> {
    let written = wanted.places.iter().map(|place| place.at.ip());
    let heard = found.tunnels.iter().flat_map(|device| &device.peers);
    let heard = heard.filter_map(|peer| peer.endpoint).map(|at| at.ip());
    let peers = || wanted.tunnels.iter().flat_map(|tunnels| &tunnels.tunnels).flat_map(|tunnel| &tunnel.peers);
    let by_name = peers().any(|peer| matches!(peer.endpoint, Some(Endpoint::Named(..))));
    let leased = wanted.lease_in_force().into_iter().flat_map(|lease| lease.dns.iter().map(|dns| IpAddr::V4(*dns)));
    let fixed = wanted.interfaces.uplink().into_iter().flat_map(|uplink| uplink.dns.iter().copied());
    let servers = leased.chain(fixed).filter(|_| by_name);
    let mut all: Vec<IpAddr> = written.chain(heard).chain(servers).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The uplink's ways without its default ones where a tunnel has these; each of whom has to be reached has one instead.
pub fn ways(wanted: &Wanted, found: &Found, uplink: u32, mut ways: Vec<Way>) -> Vec<Way> {
    for like in [IpAddr::from([0; 4]), IpAddr::from([0; 16])].into_iter().filter(|like| takes_all(wanted, *like)) {
        let (defaults, others) = ways.into_iter().partition(|way| way.destination == everything(like));
        ways = others;
        let default = defaults.into_iter().next().or_else(|| advertised(found, uplink, like));
        let Some(default) = default else { continue };
        for address in outside(wanted, found).into_iter().filter(|address| address.is_ipv4() == like.is_ipv4()) {
            if Some(address) != default.gateway && !is_near(wanted, &ways, address) {
                ways.push(Way { destination: IpNet::from(address), ..default });
            }
        }
    }
    ways
}

/// A default route by router advertisement.
fn advertised(found: &Found, uplink: u32, like: IpAddr) -> Option<Way> {
    let ours = |route: &Route| [FROM_FILE, FROM_LEASE].contains(&route.protocol);
    let mut defaults =
        found.routes.iter().filter(|route| route.index == uplink && route.destination == everything(like));
    let route = defaults.find(|route| !ours(route) && !route.unreachable)?;
    Some(Way { destination: route.destination, gateway: Some(route.gateway?), source: None, protocol: FROM_LEASE })
}

/// Whether an address is on one of our own links, or has a way already.
fn is_near(wanted: &Wanted, ways: &[Way], address: IpAddr) -> bool {
    let entries = wanted.interfaces.interfaces.iter();
    let nets = entries.flat_map(|entry| {
        let routes = entry.extra_routes.iter().map(|route| route.destination);
        entry.addr.iter().chain(&entry.extra_addrs).map(IpNet::trunc).chain(routes)
    });
    let leased = wanted.lease_in_force().and_then(|lease| Ipv4Net::new(lease.address.0, lease.address.1).ok());
    let mut nets = nets.chain(leased.map(|net| IpNet::V4(net.trunc()))).chain(ways.iter().map(|way| way.destination));
    let link_local = matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local());
    link_local || address.is_loopback() || nets.any(|net| net.prefix_len() > 0 && net.contains(&address))
}
