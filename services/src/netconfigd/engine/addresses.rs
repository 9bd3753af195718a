//! Addresses: those of interfaces.json, the leases' on the uplink, and on each LAN one in its /64 of every prefix.
use super::names::{Role, is_in_the_way};
use super::{Action, Address, FROM_FILE, FROM_LEASE, Found, UPLINK, Wanted};
use crate::perm::delegation::{router_address, subnets};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv6Addr};

/// The addresses that the link of a role is to have, in order.
pub fn of(wanted: &Wanted, role: &Role) -> Vec<Address> {
    let Some(entry) = wanted.interfaces.interfaces.get(role.entry) else { return Vec::new() };
    let file = entry.addr.iter().chain(&entry.extra_addrs).map(|net| Address::new(role.index, *net, FROM_FILE));
    let mut all: Vec<Address> = file.collect();
    let leased =
        |net: IpNet, current: bool| Address { deprecated: !current, ..Address::new(role.index, net, FROM_LEASE) };
    if role.name == UPLINK {
        let lease = wanted.lease_in_force().and_then(|lease| Ipv4Net::new(lease.address.0, lease.address.1).ok());
        all.extend(lease.map(|net| leased(IpNet::V4(net), true)));
        let host = |(address, preferred): &(Ipv6Addr, bool)| leased(IpNet::from(IpAddr::V6(*address)), *preferred);
        all.extend(wanted.ipv6.iter().flat_map(|ipv6| &ipv6.addresses).map(host));
    } else {
        let lans = wanted.interfaces.lans();
        let local = wanted.ipv6.iter().flat_map(|ipv6| &ipv6.local).map(|net| (*net, true));
        for (prefix, current) in wanted.delegations().copied().chain(local) {
            let mine = subnets(prefix, &lans).into_iter().find(|subnet| subnet.lan == role.name);
            let net = mine.and_then(|mine| Ipv6Net::new(router_address(mine.prefix), 64).ok());
            all.extend(net.map(|net| leased(IpNet::V6(net), current)));
        }
    }
    let mut seen: Vec<IpNet> = Vec::new();
    all.retain(|address| {
        !seen.contains(&address.net) && {
            seen.push(address.net);
            true
        }
    });
    all
}

/// Adds what is missing; LANs first.
pub fn add(wanted: &Wanted, roles: &[Role], found: &[Address], actions: &mut Vec<Action>) {
    let (uplinks, lans): (Vec<&Role>, Vec<&Role>) = roles.iter().partition(|role| role.name == UPLINK);
    for role in lans.into_iter().chain(uplinks) {
        for address in of(wanted, role) {
            let same = |found: &&Address| found.index == address.index && found.net == address.net;
            if found.iter().find(same).is_none_or(|found| found.deprecated != address.deprecated) {
                actions.push(Action::AddAddress(address));
            }
        }
    }
}

/// Takes away the addresses that are not wanted any more: an old lease's, and those that a link had under another
/// name. Where nothing is known of a lease, what stands is kept.
pub fn delete(wanted: &Wanted, roles: &[Role], found: &Found, actions: &mut Vec<Action>) {
    for link in &found.links {
        let role = roles.iter().find(|role| role.index == link.index);
        let knows_ipv4 = role.is_some_and(|role| role.name == UPLINK) && wanted.knows_ipv4();
        let knows_ipv6 = role.is_some() && wanted.ipv6.is_some();
        let renamed = match role {
            Some(role) => role.name != link.name,
            None => is_in_the_way(&wanted.interfaces, roles, link),
        };
        let addresses = role.map_or_else(Vec::new, |role| of(wanted, role));
        for address in found.addresses.iter().filter(|address| address.index == link.index && !address.automatic) {
            let stale = renamed
                || address.protocol == FROM_FILE
                || match address.net {
                    IpNet::V4(_) => knows_ipv4,
                    IpNet::V6(_) => knows_ipv6 && address.protocol == FROM_LEASE,
                };
            if stale && addresses.iter().all(|wanted| wanted.net != address.net) {
                actions.push(Action::DeleteAddress { index: link.index, net: address.net });
                let addr = address.net.addr();
                let elsewhere = |wanted: &Address| wanted.net.addr() == addr;
                if role.is_some_and(|role| role.name == UPLINK) && !addresses.iter().any(elsewhere) {
                    actions.push(Action::Forget { address: addr });
                }
            }
        }
    }
}
