//! A look at the router itself: the kernel's interfaces and routes, leases, the disk, memory, the table of connections.
use super::config::{Flags, Settings};
use super::engine::facts::{Delegated, Disk, Local, Neighbour, Port, Source, Uplink};
use super::engine::round::Plan;
use crate::house::House;
use crate::perm::interfaces::{self, CARRIER, Interfaces, UPLINK};
use crate::perm::lease4::Lease4;
use crate::perm::resolver::Resolver;
use crate::perm::stamp::Clock;
use crate::perm::{WallTime, clock, file, json, lease4, lease6};
use netstack::address::Address;
use netstack::conntrack;
use netstack::link::Link;
use netstack::netlink::Netlink;
use netstack::time::Instant;
use nix::sys::statvfs::{FsFlags, statvfs};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Since the boot: by then the first time server has answered, if one does.
const PATIENCE: Instant = Instant::from_secs(300);
/// `RT_TABLE_MAIN` and `RTN_UNICAST`.
const MAIN: (u32, u8) = (254, 1);

/// What was seen.
#[derive(Debug, Default)]
pub struct Look {
    /// What is judged.
    pub local: Local,
    /// Whom to ask.
    pub plan: Plan,
}

/// Looks at everything.
///
/// # Errors
/// When the kernel does not tell its interfaces.
pub fn look(house: &House, netlink: &mut Netlink, flags: &Flags, settings: &Settings) -> io::Result<Look> {
    let (links, addresses, routes) = (netlink.links()?, netlink.addresses()?, netlink.routes()?);
    let interfaces = interfaces::load(house.root()).interfaces;
    let source = source(&interfaces);
    let uplink = uplink(&links, &addresses, flags);
    let index = uplink.as_ref().map(|uplink| uplink.index);
    let way = |ipv4: bool| {
        let defaults = routes.iter().filter(|route| (route.table, route.kind) == MAIN && route.interface == index);
        defaults
            .filter(|route| route.destination.prefix_len() == 0 && route.destination.addr().is_ipv4() == ipv4)
            .min_by_key(|route| route.metric)
    };
    let usable = uplink.as_ref().is_some_and(|uplink| uplink.up && uplink.running);
    let (route4, route6) = (way(true).filter(|_| index.is_some()), way(false).filter(|_| index.is_some()));
    let gateways = [route4, route6].into_iter().flatten().filter_map(|route| route.gateway);
    let gateways: Vec<IpAddr> = gateways.filter(|ip| !ip.is_unspecified()).collect();
    let wants_ipv6 = if flags.ipv6 { settings.ipv6 } else { Some(false) };
    let (leased, delegated) = leases(house, &interfaces);
    let local = Local {
        interface: flags.interface.clone(),
        source,
        renew4: leased.as_ref().map(|lease| lease.valid_until),
        route4: route4.is_some(),
        route6: route6.is_some(),
        gateway4: gateways.iter().find_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None }),
        gateway6: gateways.iter().find_map(|ip| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None }),
        delegated: delegated.0,
        wants_ipv6,
        built: built(&house.path("/etc/version")),
        clock_right: clock::is_right(house.root()).filter(|right| *right || Instant::now() >= PATIENCE),
        disk: disk(&house.path("/perm"), &house.path("/run/mended")),
        memory: memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        connections: conntrack::usage().ok(),
        ports: links.iter().filter(|link| link.kind.is_none() && !link.loopback).map(port).collect(),
        uplink,
        ..Local::default()
    };
    let resolver = Resolver::read(house.root()).unwrap_or_default();
    let fixed = interfaces.uplink().map(|uplink| uplink.dns.as_slice()).unwrap_or_default();
    let dns4 = leased.iter().flat_map(|lease| lease.dns.iter().flatten()).filter_map(|text| text.parse().ok());
    let ours: Vec<IpAddr> = addresses.iter().map(|address| address.ip).collect();
    let servers = resolver.asked(fixed, dns4.chain(delegated.1.into_iter().map(IpAddr::V6)), &ours, |_| None);
    // Those with TLS are dnsd's to reach: asked in the clear they would say nothing of that.
    let servers = servers.into_iter().filter(|server| !server.is_secure()).map(|server| server.address).collect();
    let plan = plan(&local, usable, settings, servers, sources(&interfaces, &links, &addresses, &local));
    Ok(Look { local, plan })
}

fn plan(
    local: &Local,
    usable: bool,
    settings: &Settings,
    servers: Vec<SocketAddr>,
    sources: [Option<Ipv6Addr>; 2],
) -> Plan {
    let uplink = local.uplink.clone().unwrap_or_default();
    let ipv4 = usable && local.route4 && local.address4().is_some();
    let ipv6 = usable && local.route6 && local.expects_ipv6();
    Plan {
        uplink: uplink.index,
        mtu: uplink.mtu,
        ipv4,
        ipv6,
        gateway4: local.gateway4.filter(|_| ipv4),
        gateway6: local.gateway6.filter(|_| ipv6),
        targets: settings.targets.clone(),
        servers,
        names: settings.names.clone(),
        portal: settings.portal.clone(),
        sources,
    }
}

fn source(interfaces: &Interfaces) -> Source {
    match interfaces.uplink() {
        Some(uplink) if uplink.pppoe.is_some() => Source::Pppoe,
        Some(uplink) if uplink.gateway.is_some() => Source::Fixed,
        _ => Source::Dhcp,
    }
}

/// The interface whose cable is the uplink's: that of a PPPoE session's carrier, where there is one.
pub fn cable<'a>(links: &'a [Link], interface: &str) -> Option<&'a Link> {
    let named = |name: &str| links.iter().find(|link| link.name == name);
    named(CARRIER).filter(|_| interface == UPLINK).or_else(|| named(interface))
}

fn uplink(links: &[Link], addresses: &[Address], flags: &Flags) -> Option<Uplink> {
    let cable = cable(links, &flags.interface)?;
    // There may be no session yet.
    let link = links.iter().find(|link| link.name == flags.interface).unwrap_or(cable);
    Some(Uplink {
        index: link.index,
        up: cable.up,
        carrier: cable.running,
        running: link.running,
        mtu: link.mtu,
        packets: (link.statistics.received.packets, link.statistics.sent.packets),
        carrier_changes: cable.carrier_changes,
        addresses: addresses.iter().filter(|address| address.index == link.index).map(|address| address.ip).collect(),
    })
}

/// The sources of connections over IPv6: a LAN's address and the uplink's own, of those that the internet knows.
fn sources(interfaces: &Interfaces, links: &[Link], addresses: &[Address], local: &Local) -> [Option<Ipv6Addr>; 2] {
    let of = |index: u32| {
        let usable = addresses.iter().filter(move |address| address.index == index && !address.tentative);
        usable.filter(|address| !address.deprecated).find_map(|address| match address.ip {
            // 2000::/3 (RFC 4291, section 2.4).
            IpAddr::V6(ip) if ip.segments().first().is_some_and(|first| first >> 13 == 1) => Some(ip),
            _ => None,
        })
    };
    let lans = interfaces.lans();
    let lan = links.iter().filter(|link| lans.contains(&link.name.as_str())).find_map(|link| of(link.index));
    [lan, local.uplink.as_ref().and_then(|uplink| of(uplink.index))]
}

/// The uplink's lease, what is delegated, and the IPv6 name servers that came with it.
fn leases(house: &House, interfaces: &Interfaces) -> (Option<Lease4>, (Delegated, Vec<Ipv6Addr>)) {
    let path = house.path(lease4::in_force(interfaces));
    // A lease that cannot be read is none; its writer and netconfigd say so.
    let lease4 = file::read(&path).ok().flatten().and_then(|bytes| json::parse::<Lease4>(&path, &bytes).ok());
    let clock = Clock::read();
    let lease6 = lease6::read(&house.path(rights::LEASE6), &clock).ok().flatten().unwrap_or_default();
    let fixed = interfaces.uplink().is_some_and(|uplink| !uplink.delegated_prefixes.is_empty());
    let valid = lease6.delegations.iter().any(|prefix| prefix.is_valid(clock.now))
        || lease6.addresses.iter().any(|address| address.is_valid(clock.now));
    let ever = !lease6.delegations.is_empty() || !lease6.addresses.is_empty();
    let delegated = match (fixed || valid, ever) {
        (true, _) => Delegated::InForce,
        (false, true) => Delegated::RanOut,
        (false, false) => Delegated::Never,
    };
    (lease4, (delegated, lease6.dns))
}

/// What the kernel knows of a gateway's hardware address now.
pub fn neighbour(netlink: &mut Netlink, interface: u32, gateway: Option<IpAddr>) -> Neighbour {
    let known = netlink.neighbours().unwrap_or_default();
    let found = known.iter().find(|known| known.interface == interface && Some(known.address) == gateway);
    match found.map(|known| known.alive) {
        None => Neighbour::Gone,
        Some(false) => Neighbour::Unsure,
        Some(true) => Neighbour::There,
    }
}

fn port(link: &Link) -> Port {
    let read = |what: &str| {
        let text = std::fs::read_to_string(format!("/sys/class/net/{}/{what}", link.name)).unwrap_or_default();
        text.trim().to_owned()
    };
    Port {
        name: link.name.clone(),
        // -1 where nobody knows.
        speed: read("speed").parse().ok(),
        half_duplex: read("duplex") == "half",
        packets: link.statistics.received.packets,
        errors: link.statistics.received.errors,
    }
}

/// When the image was made: the time that all its files carry.
fn built(version: &Path) -> Option<WallTime> {
    let modified = std::fs::metadata(version).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(WallTime::from_nanos(i64::try_from(since.as_nanos()).ok()?))
}

fn disk(path: &Path, mended: &Path) -> Option<Disk> {
    let found = statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.fragment_size());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    Some(Disk {
        free: bytes(found.blocks_available()),
        size: bytes(found.blocks()),
        files: Some(found.files_available()).filter(|_| found.files() > 0),
        read_only: found.flags().contains(FsFlags::ST_RDONLY),
        memory: is_memory(&mounts, path),
        mended: mended.exists(),
    })
}

/// Whether the last filesystem mounted there is one in memory.
fn is_memory(mounts: &str, path: &Path) -> bool {
    let here = mounts.lines().rev().map(|line| line.split(' ')).find_map(|mut words| {
        let place = words.nth(1)?;
        (Path::new(place) == path).then(|| words.next()).flatten()
    });
    here.is_some_and(|kind| kind == "tmpfs" || kind == "ramfs")
}

/// Available and all memory, in KiB.
fn memory(text: &str) -> Option<(u64, u64)> {
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    of("MemAvailable:").zip(of("MemTotal:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_mounts_are_read_as_the_kernel_writes_them() {
        let text = "MemTotal:          60416 kB\nMemFree:            3000 kB\nMemAvailable:      21504 kB\n";
        assert_eq!(memory(text), Some((21_504, 60_416)));
        assert_eq!(memory("MemTotal: x kB"), None);
        let mounts = "/dev/vda4 /perm ext4 rw 0 0\ntmpfs /perm tmpfs rw,size=1024k 0 0\nproc /proc proc rw 0 0\n";
        assert!(is_memory(mounts, Path::new("/perm")) && !is_memory(mounts, Path::new("/proc")));
        assert!(!is_memory(mounts.lines().next().unwrap(), Path::new("/perm")));
        assert!(!is_memory("", Path::new("/perm")));
    }
}
