//! What the kernel should hold, against what it holds: the difference as an ordered list of actions. No I/O.
//!
//! The engine plans from what was found, never from what it remembers, so it may be asked at any time; on a state that
//! is as wanted it plans nothing. A bridge has no index before it exists: where a plan makes one, a second plan, from
//! a second look, gives it its addresses.
mod addresses;
mod expect;
mod firewall;
mod links;
mod names;
mod routes;
mod sysctls;
mod words;

pub use firewall::Firewall;
pub use names::{Bus, bus_of};
pub use sysctls::{Sysctl, after_ready, wanted as sysctls_wanted};

use crate::perm::interfaces::Interfaces;
use crate::perm::{Mac, lease4};
use ipnet::IpNet;
use std::net::IpAddr;

/// The interface towards the internet.
pub const UPLINK: &str = "uplink0";
/// The interface whose addresses are awaited before the router calls itself ready.
pub const LAN: &str = "lan0";

/// What a person and the provider want.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// interfaces.json, its good copy or the defaults.
    pub interfaces: Interfaces,
    /// The uplink's lease; `None` = none was ever seen, or it cannot be read: what the uplink has, it keeps.
    pub lease: Option<lease4::Checked>,
    /// Memory of the machine in KiB; the size of the connection table follows from it.
    pub memory_kib: u64,
}

/// A link, as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it, stable over renames.
    pub index: u32,
    /// Its present name.
    pub name: String,
    /// Its present hardware address; `None` for one that has none or only zeros.
    pub mac: Option<Mac>,
    /// Its MTU.
    pub mtu: u32,
    /// Whether it is switched on.
    pub up: bool,
    /// The bridge it is a port of.
    pub master: Option<u32>,
    /// Whether it is an Ethernet NIC (or plays one, as a veth does): a thing that a cable goes into.
    pub nic: bool,
    /// Its place on the machine's buses.
    pub bus: Option<Bus>,
}

/// An address, as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Its link.
    pub index: u32,
    /// Address with prefix length, host bits kept.
    pub net: IpNet,
    /// Whether the kernel made it by itself (IPv6 link-local, from a router advertisement).
    pub automatic: bool,
}

/// A route of the main table, as found or as wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub destination: IpNet,
    /// Next hop; none = on the link.
    pub gateway: Option<IpAddr>,
    /// Its link.
    pub index: u32,
    /// Source address that the router itself uses on it.
    pub source: Option<IpAddr>,
    /// Who made it.
    pub protocol: u8,
}

/// Routes made from the lease (RTPROT_DHCP).
pub const FROM_LEASE: u8 = 16;
/// Routes made from interfaces.json (RTPROT_STATIC).
pub const FROM_FILE: u8 = 4;

/// What the kernel holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Every link.
    pub links: Vec<Link>,
    /// Every address.
    pub addresses: Vec<Address>,
    /// The main table's unicast routes.
    pub routes: Vec<Route>,
    /// The ruleset that this process put in last.
    pub firewall: Option<Firewall>,
    /// Values of sysctls, by path; one that is missing could not be read.
    pub sysctls: Vec<(String, String)>,
}

/// One thing to ask of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write a sysctl.
    Set(Sysctl),
    /// Replace our table, whole.
    Firewall(Firewall),
    /// Create a bridge.
    AddBridge {
        /// Its name.
        name: String,
        /// Its hardware address.
        mac: Option<Mac>,
    },
    /// Give a link another name.
    Rename {
        /// The link.
        index: u32,
        /// Its name until now, for the log.
        from: String,
        /// Its new name.
        to: String,
    },
    /// Give a link another hardware address.
    SetMac {
        /// The link.
        index: u32,
        /// Its new address.
        mac: Mac,
    },
    /// Give a link another MTU.
    SetMtu {
        /// The link.
        index: u32,
        /// In bytes.
        mtu: u32,
    },
    /// Make a link a port of a bridge.
    SetMaster {
        /// The link.
        index: u32,
        /// The bridge.
        master: u32,
    },
    /// Switch a link on.
    Up {
        /// The link.
        index: u32,
    },
    /// Give a link an address.
    AddAddress {
        /// The link.
        index: u32,
        /// Address with prefix length.
        net: IpNet,
    },
    /// Take an address away.
    DeleteAddress {
        /// The link.
        index: u32,
        /// Address with prefix length.
        net: IpNet,
    },
    /// Add a route, or put it in the place of the one with its destination.
    AddRoute(Route),
    /// Take a route away.
    DeleteRoute(Route),
}

impl Action {
    /// Whether it opens a way for the internet, so that it must not happen before the ruleset is in the kernel.
    pub fn wants_firewall(&self, uplink: Option<u32>) -> bool {
        let on_uplink = |index: &u32| Some(*index) == uplink;
        match self {
            Action::Set(sysctl) => sysctl.forwards(),
            Action::Up { index } | Action::AddAddress { index, .. } => on_uplink(index),
            Action::AddRoute(route) => on_uplink(&route.index),
            _ => false,
        }
    }
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
}

impl Plan {
    /// Whether another look and plan is needed once these actions are applied.
    pub fn wants_another(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::AddBridge { .. }))
    }
}

/// Plans. Ruleset before forwarding, both before the uplink is switched on: there is no open moment.
pub fn plan(wanted: &Wanted, found: &Found) -> Plan {
    let mut plan = Plan::default();
    let roles = names::assign(&wanted.interfaces, &found.links);
    plan.uplink = roles.iter().find(|role| role.name == UPLINK).map(|role| role.index);
    plan.missing = names::missing(&wanted.interfaces, &roles);

    let firewall = Firewall::of(&wanted.interfaces);
    let (before, after): (Vec<_>, Vec<_>) =
        sysctls::missing(wanted, plan.uplink.is_some(), &found.sysctls).into_iter().partition(Sysctl::early);
    plan.actions.extend(before.into_iter().map(Action::Set));
    if found.firewall.as_ref() != Some(&firewall) {
        plan.actions.push(Action::Firewall(firewall));
    }
    let (forwarding, of_links): (Vec<_>, Vec<_>) = after.into_iter().partition(Sysctl::forwards);
    plan.actions.extend(forwarding.into_iter().map(Action::Set));

    names::renames(&wanted.interfaces, &roles, &found.links, &mut plan.actions);
    links::bridges(&wanted.interfaces, &found.links, &mut plan.actions);
    // The uplink's own sysctls carry its name, so they come after the renames, and before it is up.
    plan.actions.extend(of_links.into_iter().map(Action::Set));
    links::settings(&wanted.interfaces, &roles, &found.links, &mut plan.actions);
    addresses::add(wanted, &roles, &found.addresses, &mut plan.actions);
    routes::plan(wanted, &roles, found, &mut plan.actions);
    // Last, so that the routes already stand on the new address when the old one goes.
    addresses::delete(wanted, &roles, found, &mut plan.actions);
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
