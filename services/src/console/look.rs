//! A look at the kernel's network, in the words of the tables.
use super::engine::top::Sample;
use super::engine::{Face, Network};
use netstack::address::Address;
use netstack::link::Link;
use netstack::netlink::Netlink;
use netstack::route::Route;
use netstack::time::Instant;
use std::io;

/// `RT_TABLE_MAIN` and `RTN_UNICAST`.
const MAIN: (u32, u8) = (254, 1);

/// Reads interfaces, addresses and routes.
///
/// # Errors
/// When the kernel refuses.
pub fn network() -> io::Result<Network> {
    let mut netlink = Netlink::route()?;
    let (links, addresses, routes) = (netlink.links()?, netlink.addresses()?, netlink.routes()?);
    let main: Vec<&Route> = routes.iter().filter(|route| (route.table, route.kind) == MAIN).collect();
    let default = main.iter().find(|route| route.destination.prefix_len() == 0 && route.destination.addr().is_ipv4());
    Ok(Network {
        faces: links.iter().map(|link| face(link, &addresses)).collect(),
        gateway: default.and_then(|route| route.gateway).map(|gateway| gateway.to_string()),
        routes: main.iter().map(|route| words(route, &links)).collect(),
    })
}

/// What processes have used so far, and the whole machine.
///
/// # Errors
/// When there is no `/proc`.
pub fn processes(pids: &[u32]) -> io::Result<Sample> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let ticks: Vec<u64> =
        stat.lines().next().unwrap_or_default().split(' ').filter_map(|word| word.parse().ok()).collect();
    // User, nice, system, idle, waiting for disks; what guests have is counted already.
    let all = ticks.iter().take(8).sum::<u64>();
    let idle = ticks.iter().skip(3).take(2).sum::<u64>();
    let meminfo = std::fs::read_to_string("/proc/meminfo")?;
    let kib = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or_default()
    };
    Ok(Sample {
        at: Instant::now().as_nanos(),
        // One that has just ended has no row.
        used: pids.iter().filter_map(|pid| Some((*pid, used(*pid)?))).collect(),
        ticks: (all.saturating_sub(idle), all),
        memory: (kib("MemAvailable:"), kib("MemTotal:")),
    })
}

/// Nanoseconds of processor time; by the scheduler's account where it keeps one, else by ticks of 10 ms.
fn used(pid: u32) -> Option<u64> {
    if let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/schedstat")) {
        return text.split(' ').next()?.parse().ok();
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before the last parenthesis may hold anything; user and system time are the 14th and 15th words.
    let mut words = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((user + system) * 10_000_000)
}

fn face(link: &Link, addresses: &[Address]) -> Face {
    let of_link = addresses.iter().filter(|address| address.index == link.index);
    let octets = link.mac.unwrap_or_default();
    Face {
        name: link.name.clone(),
        mac: crate::perm::Mac(octets).to_string(),
        mtu: link.mtu,
        up: link.up,
        carrier: link.running,
        addresses: of_link.map(ToString::to_string).collect(),
    }
}

fn words(route: &Route, links: &[Link]) -> String {
    let mut words =
        if route.destination.prefix_len() == 0 { "default".to_owned() } else { route.destination.to_string() };
    if let Some(gateway) = route.gateway {
        words.push_str(&format!(" via {gateway}"));
    }
    if let Some(link) = links.iter().find(|link| Some(link.index) == route.interface) {
        words.push_str(&format!(" dev {}", link.name));
    }
    if let Some(source) = route.source {
        words.push_str(&format!(" src {source}"));
    }
    words
}
