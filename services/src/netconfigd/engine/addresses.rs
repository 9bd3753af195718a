//! Addresses: those of interfaces.json, and the lease's on the uplink.
use super::names::{Role, is_in_the_way};
use super::{Action, Address, Found, UPLINK, Wanted};
use ipnet::{IpNet, Ipv4Net};

/// The addresses that the link of a role is to have, in order.
fn of(wanted: &Wanted, role: &Role) -> Vec<IpNet> {
    let Some(entry) = wanted.interfaces.interfaces.get(role.entry) else { return Vec::new() };
    let mut nets: Vec<IpNet> = entry.addr.iter().chain(&entry.extra_addrs).copied().collect();
    if role.name == UPLINK {
        let lease = wanted.lease.as_ref().and_then(|lease| Ipv4Net::new(lease.address.0, lease.address.1).ok());
        nets.extend(lease.map(IpNet::V4));
    }
    nets.dedup();
    nets
}

/// Adds what is missing; LANs first.
pub fn add(wanted: &Wanted, roles: &[Role], found: &[Address], actions: &mut Vec<Action>) {
    let (uplinks, lans): (Vec<&Role>, Vec<&Role>) = roles.iter().partition(|role| role.name == UPLINK);
    for role in lans.into_iter().chain(uplinks) {
        for net in of(wanted, role) {
            if !found.iter().any(|address| address.index == role.index && address.net == net) {
                actions.push(Action::AddAddress { index: role.index, net });
            }
        }
    }
}

/// Takes away the IPv4 addresses that are not wanted any more: an old lease's on the uplink, and those that a link
/// had under another name. An uplink without a lease keeps what it has.
pub fn delete(wanted: &Wanted, roles: &[Role], found: &Found, actions: &mut Vec<Action>) {
    for link in &found.links {
        let role = roles.iter().find(|role| role.index == link.index);
        let leased = role.is_some_and(|role| role.name == UPLINK) && wanted.lease.is_some();
        let renamed = match role {
            Some(role) => role.name != link.name,
            None => is_in_the_way(&wanted.interfaces, roles, link),
        };
        if !leased && !renamed {
            continue;
        }
        let nets = role.map_or_else(Vec::new, |role| of(wanted, role));
        for address in found.addresses.iter().filter(|address| address.index == link.index) {
            let ours = !address.automatic && (renamed || matches!(address.net, IpNet::V4(_)));
            if ours && !nets.contains(&address.net) {
                actions.push(Action::DeleteAddress { index: link.index, net: address.net });
            }
        }
    }
}
