//! Which link is what: matching by hardware address, name and place on the bus; and the renames that follow.
use super::{Action, LAN, Link, UPLINK};
use crate::perm::interfaces::{CARRIER, Interface, Interfaces};
use std::path::Path;

/// A NIC's place on the machine's buses, in the order in which roles are given out: PCI, other buses, USB.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bus {
    class: u8,
    /// Domain, bus, device and function of the nearest PCI device.
    pci: [u32; 4],
    /// The numbers of the rest of the path: ports of USB hubs, channels of a card with several.
    rest: Vec<u32>,
}

/// Reads a device's resolved path under `/sys/devices`, and the port number of a card with several.
pub fn bus_of(device: &Path, port: u32) -> Bus {
    let mut bus = Bus { class: 1, pci: [0; 4], rest: Vec::new() };
    for part in device.iter().filter_map(|part| part.to_str()) {
        if let Some(pci) = pci_address(part) {
            (bus.class, bus.pci) = (0, pci);
            bus.rest.clear();
        } else {
            if part.starts_with("usb") {
                bus.class = 2;
            }
            let numbers = part.split(|letter: char| !letter.is_ascii_digit());
            bus.rest.extend(numbers.filter_map(|digits| digits.parse::<u32>().ok()).take(16));
        }
    }
    bus.rest.push(port);
    bus
}

// As in 0000:02:00.0
fn pci_address(part: &str) -> Option<[u32; 4]> {
    let hex = |text: &str, digits: usize| {
        (text.len() >= digits && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .then(|| u32::from_str_radix(text, 16).ok())
            .flatten()
    };
    let mut parts = part.split([':', '.']);
    let address = [hex(parts.next()?, 4)?, hex(parts.next()?, 2)?, hex(parts.next()?, 2)?, hex(parts.next()?, 1)?];
    parts.next().is_none().then_some(address)
}

/// A link and the entry it plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The link.
    pub index: u32,
    /// The name it is to have.
    pub name: String,
    /// The place of its entry among `interfaces`.
    pub entry: usize,
}

/// Matches entries and links: by hardware address (or the one to be given), then by name, then, for uplink0 and lan*
/// without a hardware address, the free NICs in bus order. An entry named as a bridge means the bridge, a VLAN's entry
/// the VLAN.
pub fn assign(wanted: &Interfaces, links: &[Link]) -> Vec<Role> {
    let mut roles: Vec<Role> = Vec::new();
    let is_bridge = |name: &str| wanted.bridges.iter().any(|bridge| bridge.name == name);
    let mut entries: Vec<(usize, &Interface)> = wanted.interfaces.iter().enumerate().collect();
    let give = |roles: &mut Vec<Role>, entry: (usize, &Interface), link: &Link| {
        roles.push(Role { index: link.index, name: entry.1.name.clone(), entry: entry.0 });
    };
    let free = |roles: &[Role], link: &Link| roles.iter().all(|role| role.index != link.index);

    entries.retain(|entry| {
        let macs = [entry.1.hardware_addr, entry.1.spoof_hardware_addr];
        let fits = |link: &&Link| link.nic && link.mac.is_some() && macs.contains(&link.mac) && free(&roles, link);
        let made = is_bridge(&entry.1.name) || entry.1.vlan_id != 0 || entry.1.pppoe.is_some();
        let found = if made { None } else { links.iter().find(fits) };
        found.map(|link| give(&mut roles, *entry, link)).is_none()
    });
    entries.retain(|entry| {
        // On a machine with buses only we give these names, so a name there would only repeat an earlier choice.
        let bridge = is_bridge(&entry.1.name);
        let by_bus = |link: &Link| !bridge && link.bus.is_some() && takes_any_nic(entry.1);
        let named = |link: &Link| link.name == entry.1.name && !(bridge && link.nic) && is_made_for(entry.1, link);
        let fits = |link: &&Link| named(link) && !by_bus(link) && free(&roles, link);
        links.iter().find(fits).map(|link| give(&mut roles, *entry, link)).is_none()
    });

    let is_port = |link: &Link| {
        wanted.bridges.iter().any(|bridge| link.mac.is_some_and(|mac| bridge.interface_hardware_addrs.contains(&mac)))
    };
    let mut nics: Vec<&Link> = links.iter().filter(|link| link.nic && !is_port(link) && free(&roles, link)).collect();
    // Links without a bus (a veth) come last, in the order in which they were made.
    nics.sort_by(|a, b| (a.bus.is_none(), &a.bus, a.index).cmp(&(b.bus.is_none(), &b.bus, b.index)));
    entries.retain(|entry| takes_any_nic(entry.1) && !is_bridge(&entry.1.name));
    entries.sort_by_key(|entry| (![UPLINK, CARRIER].contains(&entry.1.name.as_str()), entry.1.name != LAN, entry.0));
    // A machine with one NIC serves a LAN.
    if nics.len() == 1 && entries.iter().any(|entry| entry.1.name == LAN) {
        entries.retain(|entry| entry.1.name == LAN);
    }
    for (entry, link) in entries.into_iter().zip(nics) {
        give(&mut roles, entry, link);
    }
    roles.sort_by_key(|role| role.entry);
    roles
}

// A VLAN's entry means a VLAN of its number, that of a PPPoE session a session, any other entry means neither.
fn is_made_for(entry: &Interface, link: &Link) -> bool {
    link.vlan.map_or(0, |(_, number)| number) == entry.vlan_id && link.ppp == entry.pppoe.is_some()
}

fn takes_any_nic(entry: &Interface) -> bool {
    let named = [UPLINK, CARRIER].contains(&entry.name.as_str()) || entry.name.starts_with("lan");
    named && entry.hardware_addr.is_none() && entry.vlan_id == 0 && entry.pppoe.is_none()
}

/// The names of entries that no link plays. A PPPoE session comes when its service makes it.
pub fn missing(wanted: &Interfaces, roles: &[Role]) -> Vec<String> {
    let names = wanted.interfaces.iter().enumerate();
    let names = names.filter(|(_, entry)| entry.pppoe.is_none());
    names.filter(|(at, _)| roles.iter().all(|role| role.entry != *at)).map(|(_, entry)| entry.name.clone()).collect()
}

/// Whether a link holds a name that another one, or a bridge, is to have.
pub fn is_in_the_way(wanted: &Interfaces, roles: &[Role], link: &Link) -> bool {
    let of_another = roles.iter().any(|role| role.name == link.name && role.index != link.index);
    let of_bridge = wanted.bridges.iter().any(|bridge| bridge.name == link.name);
    let of_vlan = wanted.named(&link.name).is_some_and(|entry| entry.vlan_id != 0) && link.vlan.is_none();
    let of_session = wanted.named(&link.name).is_some_and(|entry| entry.pppoe.is_some()) && !link.ppp;
    of_another || (link.nic && (of_bridge || of_vlan)) || of_session
}

/// The renames. A link that holds the name of another one steps aside first, so names can be swapped.
pub fn renames(wanted: &Interfaces, roles: &[Role], links: &[Link], actions: &mut Vec<Action>) {
    let name_of = |index: u32| links.iter().find(|link| link.index == index).map(|link| link.name.as_str());
    let mut moved = Vec::new();
    for link in links {
        if is_in_the_way(wanted, roles, link) {
            let aside = aside(link.index, links);
            actions.push(Action::Rename { index: link.index, from: link.name.clone(), to: aside.clone() });
            moved.push((link.index, aside));
        }
    }
    for role in roles {
        let aside = moved.iter().find(|(index, _)| *index == role.index).map(|(_, name)| name.as_str());
        let Some(name) = aside.or_else(|| name_of(role.index)) else { continue };
        if name != role.name {
            actions.push(Action::Rename { index: role.index, from: name.to_owned(), to: role.name.clone() });
        }
    }
}

fn aside(index: u32, links: &[Link]) -> String {
    let mut name = format!("free{index}");
    while links.iter().any(|link| link.name == name) && name.len() < 15 {
        name.push('x');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_comes_before_usb_and_numbers_count_as_numbers() {
        let in_order = [
            ("/sys/devices/pci0000:00/0000:00:03.0/virtio0", 0),
            ("/sys/devices/pci0000:00/0000:00:03.0/virtio0", 1),
            ("/sys/devices/pci0000:00/0000:00:1c.4/0000:02:00.0", 0),
            ("/sys/devices/pci0000:00/0000:00:1c.5/0000:0a:00.0", 0),
            ("/sys/devices/pci0000:00/0000:00:1c.6/0000:10:00.0", 0),
            ("/sys/devices/platform/soc/1000.ethernet", 0),
            ("/sys/devices/pci0000:00/0000:00:02.0/usb1/1-1/1-1.2/1-1.2:1.0", 0),
            ("/sys/devices/pci0000:00/0000:00:02.0/usb1/1-1/1-1.10/1-1.10:1.0", 0),
        ];
        let order: Vec<Bus> = in_order.iter().map(|(path, port)| bus_of(Path::new(path), *port)).collect();
        assert!(order.is_sorted(), "{order:#?}");
        for pair in order.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
    }
}
