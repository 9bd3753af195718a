//! What is said on each LAN, as the files have it and, for the router's own address, the kernel.
use super::{Net, PERIOD};
use crate::dhcp4d::written::Written;
use crate::perm::interfaces::Interfaces;
use crate::perm::lease6::{FOREVER, Timed};
use crate::perm::stamp::Clock;
use crate::perm::{delegation, ula};
use ipnet::Ipv6Net;
use netstack::address::Address;
use netstack::link::Link;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

/// Every LAN that is served; what cannot be read is added to the complaints.
pub fn nets(
    root: &Path,
    interfaces: &Interfaces,
    written: &Written,
    clock: &Clock,
    complaints: &mut Vec<String>,
) -> Vec<Net> {
    let lans = interfaces.lans();
    let (delegated, refusal) = delegation::in_force(root, interfaces, clock);
    complaints.extend(refusal.map(|refusal| refusal.to_string()));
    let (own, refusal) = ula::read(root);
    complaints.extend(refusal.map(|refusal| refusal.to_string()));
    let own = own.into_iter().map(|net| Timed::new(net, clock.now, FOREVER, FOREVER));
    let mut nets: Vec<Net> = Vec::new();
    for lan in &lans {
        let network = written.of_lan(lan);
        let wanted = network.dhcpv6.clone().unwrap_or_default();
        if network.off || wanted.off {
            continue;
        }
        nets.push(Net {
            interface: (*lan).to_owned(),
            prefixes: Vec::new(),
            addresses: wanted.addresses,
            period: u32::try_from(wanted.lease_seconds.unwrap_or(PERIOD)).unwrap_or(u32::MAX / 2),
            dns: wanted.dns.unwrap_or_default(),
            search: network.search_list(),
            ntp: wanted.ntp.unwrap_or_default(),
        });
    }
    for prefix in delegated.into_iter().chain(own) {
        for subnet in delegation::subnets(prefix.value, &lans) {
            let net = nets.iter_mut().find(|net| net.interface == subnet.lan);
            net.into_iter().for_each(|net| net.prefixes.push(Timed { value: subnet.prefix, ..prefix }));
        }
    }
    nets
}

/// The same, with the router as DNS server where a person has named none: by its address of our own prefix, which no
/// provider changes, else by its link-local one.
pub fn with_router(nets: &[Net], links: &[Link], addresses: &[Address]) -> Vec<Net> {
    let router = |net: &Net| -> Option<Ipv6Addr> {
        let index = links.iter().find(|link| link.name == net.interface)?.index;
        let here: Vec<Ipv6Addr> = addresses
            .iter()
            .filter(|address| address.index == index && !address.tentative)
            .filter_map(|address| match address.ip {
                IpAddr::V6(ip) => Some(ip),
                IpAddr::V4(_) => None,
            })
            .collect();
        let in_force = |ip: &&Ipv6Addr| {
            ip.is_unique_local() && net.prefixes.iter().any(|one: &Timed<Ipv6Net>| one.value.contains(*ip))
        };
        here.iter().find(in_force).or_else(|| here.iter().find(|ip| ip.is_unicast_link_local())).copied()
    };
    let filled = |net: &Net| {
        let dns = if net.dns.is_empty() { router(net).into_iter().collect() } else { net.dns.clone() };
        Net { dns, ..net.clone() }
    };
    nets.iter().map(filled).collect()
}
