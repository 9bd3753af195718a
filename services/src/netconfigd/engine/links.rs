//! Bridges, hardware addresses, MTUs, and what is switched on.
use super::names::Role;
use super::{Action, Link, UPLINK, Wanted, tunnels};
use crate::perm::Mac;
use crate::perm::interfaces::{Bridge, Interface, Interfaces};

/// The MTU of Ethernet, which a link has when nobody has said another.
const ETHERNET: u32 = 1_500;

/// Bridges and VLANs of the file before, which this one does not have any more. What others made is not in either.
pub fn gone(wanted: &Wanted, links: &[Link], actions: &mut Vec<Action>) {
    tunnels::gone(wanted, links, actions);
    let Some(before) = &wanted.before else { return };
    let now = &wanted.interfaces;
    let bridges = before.bridges.iter().map(|bridge| &bridge.name);
    let bridges = bridges.filter(|name| now.bridges.iter().all(|bridge| bridge.name != **name));
    let bridges: Vec<_> =
        bridges.filter_map(|name| links.iter().find(|link| link.name == *name && link.bridge.is_some())).collect();
    let vlans = before.interfaces.iter().filter(|entry| entry.vlan_id != 0).map(|entry| &entry.name);
    let vlans = vlans.filter(|name| now.named(name).is_none_or(|entry| entry.vlan_id == 0));
    let vlans = vlans.filter_map(|name| links.iter().find(|link| link.name == *name && link.vlan.is_some()));
    actions.extend(bridges.into_iter().chain(vlans).map(|link| Action::DeleteLink { index: link.index }));
}

/// Ports that a bridge had by the file before and has no more.
fn left(wanted: &Wanted, bridge: &Bridge, found: &Link, links: &[Link], actions: &mut Vec<Action>) {
    let before = wanted.before.iter().flat_map(|before| &before.bridges).filter(|old| old.name == bridge.name);
    let before: Vec<Mac> = before.flat_map(|old| old.interface_hardware_addrs.iter().copied()).collect();
    let was = |mac: &Mac| before.contains(mac) && !bridge.interface_hardware_addrs.contains(mac);
    let ports = links.iter().filter(|link| link.master == Some(found.index) && link.mac.as_ref().is_some_and(was));
    actions.extend(ports.map(|port| Action::SetMaster { index: port.index, master: None }));
}

/// Bridges that do not exist yet, and ports that are not in theirs.
pub fn bridges(wanted: &Wanted, links: &[Link], actions: &mut Vec<Action>) {
    for bridge in &wanted.interfaces.bridges {
        let Some(found) = links.iter().find(|link| link.name == bridge.name && !link.nic) else {
            // With its first port's address, so that no client sees it change.
            let mac = bridge.interface_hardware_addrs.first().copied();
            actions.push(Action::AddBridge { name: bridge.name.clone(), mac });
            continue;
        };
        let ports = links.iter().filter(|link| link.nic && link.index != found.index);
        for port in ports.filter(|link| link.mac.is_some_and(|mac| bridge.interface_hardware_addrs.contains(&mac))) {
            if port.master != Some(found.index) {
                actions.push(Action::SetMaster { index: port.index, master: Some(found.index) });
            }
            if !port.up {
                actions.push(Action::Up { index: port.index });
            }
        }
        left(wanted, bridge, found, links, actions);
        let options = found.bridge.unwrap_or_default();
        if options.stp != bridge.stp {
            actions.push(Action::SetStp { index: found.index, on: bridge.stp });
        }
        if options.vlan_filtering != bridge.vlan_filtering {
            actions.push(Action::SetVlanFiltering { index: found.index, on: bridge.vlan_filtering });
        }
        // One that an entry plays is switched on after its settings.
        if !found.up && wanted.interfaces.named(&bridge.name).is_none() {
            actions.push(Action::Up { index: found.index });
        }
    }
}

/// VLANs that do not exist yet. One with another number or over another link is made anew.
pub fn vlans(wanted: &Interfaces, roles: &[Role], links: &[Link], actions: &mut Vec<Action>) {
    for entry in wanted.interfaces.iter().filter(|entry| entry.vlan_id != 0) {
        let index_of = |name: &str| {
            let role = roles.iter().find(|role| role.name == name).map(|role| role.index);
            role.or_else(|| links.iter().find(|link| link.name == name).map(|link| link.index))
        };
        let Some(over) = index_of(&entry.parent) else { continue };
        if links.iter().any(|link| link.name == entry.name && link.vlan == Some((over, entry.vlan_id))) {
            continue;
        }
        if let Some(other) = links.iter().find(|link| link.name == entry.name && link.vlan.is_some()) {
            actions.push(Action::DeleteLink { index: other.index });
        }
        actions.push(Action::AddVlan { name: entry.name.clone(), over, number: entry.vlan_id });
    }
}

/// What the file before said of a link by its name.
fn said_before<'a>(wanted: &'a Wanted, name: &str) -> Option<&'a Interface> {
    wanted.before.as_ref().and_then(|before| before.named(name))
}

/// Gives a link that plays no entry any more its own hardware address and MTU back.
pub fn left_alone(wanted: &Wanted, roles: &[Role], links: &[Link], actions: &mut Vec<Action>) {
    let nobodys = |link: &&Link| link.nic && roles.iter().all(|role| role.index != link.index);
    for link in links.iter().filter(nobodys) {
        let Some(before) = said_before(wanted, &link.name) else { continue };
        let mac = before.spoof_hardware_addr.and(link.permanent);
        if let Some(mac) = mac.filter(|mac| link.mac != Some(*mac)) {
            actions.push(Action::SetMac { index: link.index, mac });
        }
        if before.mtu != 0 && link.mtu != ETHERNET {
            actions.push(Action::SetMtu { index: link.index, mtu: ETHERNET });
        }
    }
}

/// Hardware address and MTU of every link that plays an entry; then it is switched on. LANs first.
pub fn settings(wanted: &Wanted, roles: &[Role], links: &[Link], actions: &mut Vec<Action>) {
    if let Some(lo) = links.iter().find(|link| link.name == "lo" && !link.up) {
        actions.push(Action::Up { index: lo.index });
    }
    let (uplinks, lans): (Vec<&Role>, Vec<&Role>) = roles.iter().partition(|role| role.name.starts_with(UPLINK));
    for role in lans.into_iter().chain(uplinks) {
        let Some(entry) = wanted.interfaces.interfaces.get(role.entry) else { continue };
        let Some(link) = links.iter().find(|link| link.index == role.index) else { continue };
        let before = said_before(wanted, &role.name);
        let burnt_in = before.and_then(|before| before.spoof_hardware_addr.and(link.permanent));
        if let Some(mac) = entry.spoof_hardware_addr.or(burnt_in).filter(|mac| link.mac != Some(*mac)) {
            actions.push(Action::SetMac { index: link.index, mac });
        }
        let by_file = Some(entry.mtu).filter(|mtu| *mtu != 0);
        let by_file = by_file.or(before.filter(|before| before.mtu != 0 && link.nic).map(|_| ETHERNET));
        let mtu = if role.name == UPLINK { wanted.uplink_mtu() } else { by_file };
        if let Some(mtu) = mtu.filter(|mtu| *mtu != link.mtu) {
            actions.push(Action::SetMtu { index: link.index, mtu });
        }
        if !link.up {
            actions.push(Action::Up { index: link.index });
        }
    }
}
