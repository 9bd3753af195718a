//! Shaping: where a line's queue is to be. Uploads wait in front of the uplink, downloads in front of the LAN, so that the
//! flowtable stays in use; where several LANs or ports share the rate they wait where they come in.
use super::{Action, Found, Link, Plan, UPLINK, Wanted};
use crate::perm::Mac;
use crate::perm::interfaces::{Interface, Interfaces};
use crate::perm::shaping::Shaping;
use netstack::qdisc::{Cake, Fair, HANDLE, Qdisc};

/// What comes in is led through this link.
pub const ENTRANCE: &str = "uplink0-ifb";
/// The kernel's word for such a link.
pub const KIND: &str = "ifb";

/// What waits where.
struct Queue {
    index: u32,
    cake: Cake,
}

fn cake(shaping: &Shaping, bits: u64, fair: Fair, nat: bool, behind: bool) -> Cake {
    let Shaping { overhead, least, framing, .. } = *shaping;
    Cake { rate: bits / 8, fair, nat, behind, overhead, least, framing }
}

/// The interface by which a flow leaves that the flowtable carries: it passes by VLANs, sessions and bridges. Whether
/// that is the only one. None while it is not there.
fn way_out<'a>(interfaces: &Interfaces, links: &'a [Link], name: &str) -> Option<(&'a Link, bool)> {
    let mut entry: Option<&Interface> = interfaces.named(name);
    let mut name = name;
    // A session over a VLAN over a NIC is the longest chain.
    for _ in 0..4 {
        let Some(parent) = entry.map(|entry| entry.parent.as_str()).filter(|parent| !parent.is_empty()) else { break };
        let below = interfaces.named(parent);
        let shared = interfaces.interfaces.iter().filter(|other| other.parent == parent).count() > 1
            || below.is_some_and(|below| !interfaces.is_carrier(below));
        if shared {
            return links.iter().find(|link| link.name == name).map(|link| (link, true));
        }
        (name, entry) = (parent, below);
    }
    let link = links.iter().find(|link| link.name == name)?;
    if link.bridge.is_none() {
        return Some((link, true));
    }
    // Those that it is to have as well: they are made its ports in the same pass.
    let listed = interfaces.bridges.iter().filter(|bridge| bridge.name == name);
    let listed: Vec<Mac> = listed.flat_map(|bridge| bridge.interface_hardware_addrs.iter().copied()).collect();
    let is_port = |port: &&Link| {
        port.master == Some(link.index) || (port.nic && port.mac.is_some_and(|mac| listed.contains(&mac)))
    };
    let mut ports = links.iter().filter(is_port);
    match (ports.next(), ports.next()) {
        (None, _) => None,
        (Some(port), None) => Some((port, true)),
        _ => Some((link, false)),
    }
}

/// Puts queues where they are to be, changes those that differ, and takes ours away where they are not wanted any more.
pub fn plan(wanted: &Wanted, found: &Found, plan: &mut Plan) {
    let Some(shaping) = &wanted.shaping else { return };
    let interfaces = &wanted.interfaces;
    let uplink = way_out(interfaces, &found.links, UPLINK).map(|(link, _)| link);
    let lans = interfaces.lans();
    let only = match lans[..] {
        [only] => way_out(interfaces, &found.links, only),
        _ => None,
    };
    let lan = only.filter(|(_, alone)| *alone).map(|(link, _)| link);
    let mut queues = Vec::new();
    if let (Some(bits), Some(uplink)) = (shaping.up, uplink) {
        queues.push(Queue { index: uplink.index, cake: cake(shaping, bits, Fair::Senders, true, false) });
    }
    // A LAN that is not there yet needs none; the one on which uploads wait cannot be the one for downloads.
    let awaited = only.is_none() && lans.len() == 1;
    let lan = lan.filter(|lan| Some(lan.index) != uplink.map(|uplink| uplink.index));
    let entrance = found.links.iter().find(|link| link.name == ENTRANCE && link.ours);
    let mut led = None;
    match (shaping.down, lan, uplink) {
        (Some(bits), Some(lan), _) => {
            queues.push(Queue { index: lan.index, cake: cake(shaping, bits, Fair::Receivers, false, true) });
        }
        (Some(bits), None, Some(uplink)) if !awaited => match entrance {
            None => plan.actions.push(Action::AddLink { name: ENTRANCE.into(), kind: KIND }),
            Some(entrance) => {
                queues.push(Queue { index: entrance.index, cake: cake(shaping, bits, Fair::Receivers, true, true) });
                if !entrance.up {
                    plan.actions.push(Action::Up { index: entrance.index });
                }
                led = Some((uplink.index, entrance.index));
            }
        },
        _ => {}
    }
    let making = plan.actions.iter().any(|action| matches!(action, Action::AddLink { kind, .. } if *kind == KIND));
    set(&queues, found, plan);
    match led {
        Some((index, through)) => {
            let has = |queue: &Qdisc| queue.is_entrance() && queue.index == index;
            if !found.queues.iter().any(has) {
                plan.actions.push(Action::Lead { index, through });
            }
            leave(found, Some(index), plan);
        }
        None if !making => {
            if let Some(entrance) = entrance {
                leave(found, None, plan);
                plan.actions.push(Action::DeleteLink { index: entrance.index });
            }
        }
        None => {}
    }
}

fn set(queues: &[Queue], found: &Found, plan: &mut Plan) {
    for queue in queues {
        let has = |old: &Qdisc| old.is_ours() && old.index == queue.index && old.cake == Some(queue.cake);
        if !found.queues.iter().any(has) {
            plan.actions.push(Action::SetQueue { index: queue.index, cake: queue.cake });
        }
    }
    let unwanted = |old: &&Qdisc| old.is_ours() && queues.iter().all(|queue| queue.index != old.index);
    let drop = found.queues.iter().filter(unwanted);
    plan.actions.extend(drop.map(|old| Action::DropQueue { index: old.index }));
}

/// Entrances that are ours, as there is a link behind them, on other interfaces than this one.
fn leave(found: &Found, but: Option<u32>, plan: &mut Plan) {
    let others = found.queues.iter().filter(|queue| queue.is_entrance() && Some(queue.index) != but);
    plan.actions.extend(others.map(|queue| Action::NoLead { index: queue.index }));
}

/// What queues at an interface after an action that the kernel took.
pub fn took(queues: &mut Vec<Qdisc>, action: &Action) {
    let mut put = |index: u32, at_entrance: bool, new: Option<Qdisc>| {
        queues.retain(|old| old.index != index || old.is_entrance() != at_entrance);
        queues.extend(new);
    };
    let made = |index, kind: &str, handle, cake| {
        Some(Qdisc { index, kind: kind.into(), handle, cake, counts: netstack::qdisc::Counts::default() })
    };
    match action {
        Action::SetQueue { index, cake } => put(*index, false, made(*index, "cake", HANDLE, Some(*cake))),
        Action::DropQueue { index } => put(*index, false, None),
        Action::Lead { index, .. } => put(*index, true, made(*index, "ingress", 0xffff_0000, None)),
        Action::NoLead { index } => put(*index, true, None),
        _ => {}
    }
}

/// A rate as one says it.
pub fn words(cake: &Cake) -> String {
    let kbit = cake.rate * 8 / 1_000;
    if kbit.is_multiple_of(1_000) { format!("{} Mbit/s", kbit / 1_000) } else { format!("{kbit} kbit/s") }
}
