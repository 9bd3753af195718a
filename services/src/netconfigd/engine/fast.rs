//! The fast path: NICs between which established connections go without meeting a rule.
use super::{Found, Wanted, names};

/// The NICs that forward: those that play an entry, those that are ports of a bridge of the file, those that carry a VLAN.
/// A packet comes in by a NIC, whatever stands on it.
pub fn nics(wanted: &Wanted, found: &Found) -> Vec<(u32, String)> {
    let roles = names::assign(&wanted.interfaces, &found.links);
    let bridges = &wanted.interfaces.bridges;
    let is_ours = |index: u32| {
        let link = found.links.iter().find(|link| link.index == index);
        link.is_some_and(|link| bridges.iter().any(|bridge| bridge.name == link.name))
    };
    let plays = |index: u32| roles.iter().any(|role| role.index == index);
    let nics = found.links.iter().filter(|link| link.nic && (plays(link.index) || link.master.is_some_and(is_ours)));
    nics.map(|link| (link.index, link.name.clone())).collect()
}
