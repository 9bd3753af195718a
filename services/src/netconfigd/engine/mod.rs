//! What the kernel should hold, against what it holds: the difference as an ordered list of actions. No I/O.
//!
//! The engine plans from what was found, never from what it remembers, so it may be asked at any time; on a state that
//! is as wanted it plans nothing. A bridge has no index before it exists: where a plan makes one, a second plan, from
//! a second look, gives it its addresses.
mod addresses;
mod bypass;
mod endpoints;
mod expect;
mod fast;
mod fields;
mod firewall;
mod forwards;
mod links;
mod names;
mod places;
mod queues;
mod routes;
mod rules;
mod sysctls;
mod traffic;
mod tunnels;
mod wan;
mod words;

pub use endpoints::Endpoints;
pub use fast::nics as fast_nics;
pub use fields::{Action, Address, FROM_FILE, FROM_LEASE, Found, Link, Route};
pub use firewall::{Firewall, Lan};
pub use forwards::{Known, Refused, Resolved, resolve};
pub use names::{Bus, bus_of};
pub use places::Places;
#[cfg(test)]
pub use queues::ENTRANCE;
pub use rules::{At, Ruled, rules};
pub use sysctls::{Sysctl, after_ready, wanted as sysctls_wanted};
pub use traffic::{Subject, Sums, Traffic};
pub use tunnels::Place;

use crate::perm::interfaces::Interfaces;
use crate::perm::lease4;
use crate::perm::shaping::Shaping;
use crate::perm::wireguard::Tunnels;
use ipnet::{IpNet, Ipv6Net};
use std::net::Ipv6Addr;

/// The interface towards the internet.
pub const UPLINK: &str = "uplink0";
/// The interface whose addresses are awaited before the router calls itself ready.
pub const LAN: &str = "lan0";

/// What a person and the provider want.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// interfaces.json, its good copy or the defaults.
    pub interfaces: Interfaces,
    /// The file that was applied before this one, when it said something else: what is only there is taken away.
    pub before: Option<Interfaces>,
    /// The uplink's lease; `None` = none was ever seen, or it cannot be read: what the uplink has, it keeps.
    pub lease: Option<lease4::Checked>,
    /// IPv6 of the provider and of our own; `None` = not known: what stands is kept.
    pub ipv6: Option<Ipv6>,
    /// What may be reached from outside.
    pub open: Resolved,
    /// Whether established connections may pass by the rules.
    pub offload: bool,
    /// WireGuard interfaces; `None` = not known: what stands is kept.
    pub tunnels: Option<Tunnels>,
    /// Where their peers are to be asked.
    pub places: Vec<Place>,
    /// How fast the uplink is; `None` = not known: what stands is kept.
    pub shaping: Option<Shaping>,
    /// Memory of the machine in KiB; the size of the connection table follows from it.
    pub memory_kib: u64,
}

/// The IPv6 that does not stand in interfaces.json.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ipv6 {
    /// Delegated prefixes, and whether their valid lifetime still runs. One that has run out keeps its addresses, as
    /// deprecated, until another comes, but nothing leaves from it.
    pub delegations: Vec<(Ipv6Net, bool)>,
    /// Addresses that the provider gave the uplink, and whether their preferred lifetime still runs.
    pub addresses: Vec<(Ipv6Addr, bool)>,
    /// Prefixes of our own (RFC 4193), never to leave by the uplink.
    pub local: Vec<Ipv6Net>,
    /// Prefixes that hosts of a LAN may still hold, by the LAN's name; in force or not.
    pub announced: Vec<(String, Ipv6Net)>,
}

/// The actions, in order, and what they are for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// To be applied in this order; a refused one does not stop the others.
    pub actions: Vec<Action>,
    /// The uplink, when there is one.
    pub uplink: Option<u32>,
    /// Entries of the file whose interface does not exist.
    pub missing: Vec<String>,
    /// What is wanted and cannot be, in words.
    pub complaints: Vec<String>,
}

impl Plan {
    /// Whether another look and plan is needed once these actions are applied.
    pub fn wants_another(&self) -> bool {
        self.actions.iter().any(|action| action.makes_or_takes_a_link())
    }
}

/// Plans. Ruleset before forwarding, both before the uplink is switched on: there is no open moment.
pub fn plan(wanted: &Wanted, found: &Found) -> Plan {
    let mut plan = Plan::default();
    links::gone(wanted, &found.links, &mut plan.actions);
    if !plan.actions.is_empty() {
        // Their names are free in the next look.
        return plan;
    }
    let roles = names::assign(&wanted.interfaces, &found.links);
    plan.uplink = roles.iter().find(|role| role.name == UPLINK).map(|role| role.index);
    plan.missing = names::missing(&wanted.interfaces, &roles);

    let firewall = Firewall::of(wanted);
    let (before, after): (Vec<_>, Vec<_>) =
        sysctls::missing(wanted, plan.uplink.is_some(), &found.sysctls).into_iter().partition(Sysctl::early);
    plan.actions.extend(before.into_iter().map(Action::Set));
    if found.firewall.as_ref() != Some(&firewall) {
        plan.actions.push(Action::Firewall(firewall));
    }
    let (forwarding, of_links): (Vec<_>, Vec<_>) = after.into_iter().partition(Sysctl::forwards);
    plan.actions.extend(forwarding.into_iter().map(Action::Set));

    names::renames(&wanted.interfaces, &roles, &found.links, &mut plan.actions);
    links::bridges(wanted, &found.links, &mut plan.actions);
    links::vlans(&wanted.interfaces, &roles, &found.links, &mut plan.actions);
    // Before anything that wants them up: they have their peers when the first packet leaves.
    tunnels::plan(wanted, found, &mut plan);
    // The uplink's own sysctls carry its name, so they come after the renames, and before it is up.
    plan.actions.extend(of_links.into_iter().map(Action::Set));
    links::left_alone(wanted, &roles, &found.links, &mut plan.actions);
    links::settings(wanted, &roles, &found.links, &mut plan.actions);
    addresses::add(wanted, &roles, &found.addresses, &mut plan.actions);
    routes::plan(wanted, &roles, found, &mut plan.actions);
    // Last, so that the routes already stand on the new address when the old one goes.
    addresses::delete(wanted, &roles, found, &mut plan.actions);
    queues::plan(wanted, found, &mut plan);
    plan
}

/// Whether the router is ready: ruleset and forwarding are in, lan0 (if wanted) exists, and every LAN that exists is
/// up with its addresses.
pub fn ready(wanted: &Wanted, found: &Found) -> bool {
    let forwards = |(path, value): &(String, String)| path == sysctls::FORWARD4 && value == "1";
    let mut lans = wanted.interfaces.interfaces.iter().filter(|entry| entry.name != UPLINK);
    let served = lans.all(|entry| match found.links.iter().find(|link| link.name == entry.name) {
        None => entry.name != LAN,
        Some(link) => {
            let has = |net: &IpNet| found.addresses.iter().any(|found| found.index == link.index && found.net == *net);
            link.up && entry.addr.iter().chain(&entry.extra_addrs).all(has)
        }
    });
    served && found.firewall.is_some() && found.sysctls.iter().any(forwards)
}
