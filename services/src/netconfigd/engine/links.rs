//! Bridges, hardware addresses, MTUs, and what is switched on.
use super::names::Role;
use super::{Action, Link, UPLINK};
use crate::perm::interfaces::Interfaces;

/// Bridges that do not exist yet, and ports that are not in theirs.
pub fn bridges(wanted: &Interfaces, links: &[Link], actions: &mut Vec<Action>) {
    for bridge in &wanted.bridges {
        let Some(found) = links.iter().find(|link| link.name == bridge.name && !link.nic) else {
            // With its first port's address, so that no client sees it change.
            let mac = bridge.interface_hardware_addrs.first().copied();
            actions.push(Action::AddBridge { name: bridge.name.clone(), mac });
            continue;
        };
        let ports = links.iter().filter(|link| link.nic && link.index != found.index);
        for port in ports.filter(|link| link.mac.is_some_and(|mac| bridge.interface_hardware_addrs.contains(&mac))) {
            if port.master != Some(found.index) {
                actions.push(Action::SetMaster { index: port.index, master: found.index });
            }
            if !port.up {
                actions.push(Action::Up { index: port.index });
            }
        }
        // One that an entry plays is switched on after its settings.
        if !found.up && wanted.named(&bridge.name).is_none() {
            actions.push(Action::Up { index: found.index });
        }
    }
}

/// Hardware address and MTU of every link that plays an entry; then it is switched on. LANs first.
pub fn settings(wanted: &Interfaces, roles: &[Role], links: &[Link], actions: &mut Vec<Action>) {
    if let Some(lo) = links.iter().find(|link| link.name == "lo" && !link.up) {
        actions.push(Action::Up { index: lo.index });
    }
    let (uplinks, lans): (Vec<&Role>, Vec<&Role>) = roles.iter().partition(|role| role.name == UPLINK);
    for role in lans.into_iter().chain(uplinks) {
        let Some(entry) = wanted.interfaces.get(role.entry) else { continue };
        let Some(link) = links.iter().find(|link| link.index == role.index) else { continue };
        if let Some(mac) = entry.spoof_hardware_addr.filter(|mac| link.mac != Some(*mac)) {
            actions.push(Action::SetMac { index: link.index, mac });
        }
        if entry.mtu != 0 && entry.mtu != link.mtu {
            actions.push(Action::SetMtu { index: link.index, mtu: entry.mtu });
        }
        if !link.up {
            actions.push(Action::Up { index: link.index });
        }
    }
}
