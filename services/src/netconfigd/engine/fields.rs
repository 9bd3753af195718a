//! What the kernel holds and what can be asked of it, in netconfigd's words.
use super::{Bus, Firewall, Sysctl};
use crate::perm::Mac;
use crate::perm::interfaces::Interfaces;
use ipnet::IpNet;
use netstack::link::Bridge;
use netstack::qdisc::{Cake, Qdisc};
use netstack::wireguard::{Device, Key, PeerChange, Secret};
use std::net::IpAddr;

/// A link, as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it, stable over renames.
    pub index: u32,
    /// Its present name.
    pub name: String,
    /// Its present hardware address; `None` for one that has none or only zeros.
    pub mac: Option<Mac>,
    /// The address burnt into it, when the driver tells.
    pub permanent: Option<Mac>,
    /// Its MTU.
    pub mtu: u32,
    /// Whether it is switched on.
    pub up: bool,
    /// The bridge it is a port of.
    pub master: Option<u32>,
    /// Its options, when it is a bridge.
    pub bridge: Option<Bridge>,
    /// The link that carries its frames and its number, when it is a VLAN.
    pub vlan: Option<(u32, u16)>,
    /// The kernel's word for it; none for a physical one.
    pub kind: Option<String>,
    /// Whether we have made it by [`Action::AddLink`].
    pub ours: bool,
    /// Whether it is a PPP session.
    pub ppp: bool,
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
    /// Whether it is to be no source for new connections (IPv6 only).
    pub deprecated: bool,
    /// Who made it: [`FROM_FILE`], [`FROM_LEASE`], or somebody else.
    pub protocol: u8,
}

impl Address {
    /// An address as netconfigd gives it.
    pub fn new(index: u32, net: IpNet, protocol: u8) -> Address {
        Address { index, net, automatic: false, deprecated: false, protocol }
    }
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
    /// What goes there is answered with "unreachable"; `index` is that of `lo`.
    pub unreachable: bool,
}

/// Addresses and routes made from a lease (RTPROT_DHCP).
pub const FROM_LEASE: u8 = 16;
/// Addresses and routes made from interfaces.json (RTPROT_STATIC).
pub const FROM_FILE: u8 = 4;

/// What the kernel holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Every link.
    pub links: Vec<Link>,
    /// Every address.
    pub addresses: Vec<Address>,
    /// The main table's routes, unicast and unreachable.
    pub routes: Vec<Route>,
    /// WireGuard interfaces.
    pub tunnels: Vec<Device>,
    /// What queues at the root and at the entrance of every link.
    pub queues: Vec<Qdisc>,
    /// The ruleset that this process put in last.
    pub firewall: Option<Firewall>,
    /// Values of sysctls, by path; one that is missing could not be read.
    pub sysctls: Vec<(String, String)>,
}

impl Found {
    /// Leaves out what is left to others.
    pub fn without_others(&mut self, wanted: &Interfaces) {
        let others: Vec<u32> =
            self.links.iter().filter(|link| wanted.ignores(&link.name)).map(|link| link.index).collect();
        self.links.retain(|link| !others.contains(&link.index));
        self.addresses.retain(|address| !others.contains(&address.index));
        self.routes.retain(|route| !others.contains(&route.index));
    }
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
    /// Create a VLAN.
    AddVlan {
        /// Its name.
        name: String,
        /// The link that carries its frames.
        over: u32,
        /// Its number.
        number: u16,
    },
    /// Create a link of a kind that wants nothing said, with our mark.
    AddLink {
        /// Its name.
        name: String,
        /// The kernel's word for it.
        kind: &'static str,
    },
    /// Give a WireGuard interface its private key and port.
    SetTunnel {
        /// The link.
        index: u32,
        /// The key, when another one is wanted.
        key: Option<Secret>,
        /// The UDP port, when another one is wanted.
        port: Option<u16>,
    },
    /// Make or change a peer of a WireGuard interface.
    SetPeer {
        /// The link.
        index: u32,
        /// The peer, and what of it is to be changed.
        change: PeerChange,
    },
    /// Take a peer away.
    RemovePeer {
        /// The link.
        index: u32,
        /// The peer.
        key: Key,
    },
    /// Shape what leaves a link.
    SetQueue {
        /// The link.
        index: u32,
        /// How.
        cake: Cake,
    },
    /// Leave what queues at a link to the kernel again.
    DropQueue {
        /// The link.
        index: u32,
    },
    /// Lead what comes in by a link through another one.
    Lead {
        /// The link.
        index: u32,
        /// The other one.
        through: u32,
    },
    /// Lead it no more.
    NoLead {
        /// The link.
        index: u32,
    },
    /// Remove a link that was made by software.
    DeleteLink {
        /// The link.
        index: u32,
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
    /// Forget the connections that carry an address that is gone: nothing would answer them.
    Forget {
        /// The address.
        address: IpAddr,
    },
    /// Make a link a port of a bridge.
    SetMaster {
        /// The link.
        index: u32,
        /// The bridge; `None` = it is to be the port of none.
        master: Option<u32>,
    },
    /// Let a bridge speak the spanning tree protocol, or not.
    SetStp {
        /// The bridge.
        index: u32,
        /// Whether it is to.
        on: bool,
    },
    /// Let a bridge keep VLANs apart, or not.
    SetVlanFiltering {
        /// The bridge.
        index: u32,
        /// Whether it is to.
        on: bool,
    },
    /// Switch a link on.
    Up {
        /// The link.
        index: u32,
    },
    /// Give a link an address, or put its attributes right.
    AddAddress(Address),
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
    /// Whether it makes a link, whose number is known only after another look, or takes one away, whose name is free then.
    pub fn makes_or_takes_a_link(&self) -> bool {
        matches!(
            self,
            Action::AddBridge { .. } | Action::AddVlan { .. } | Action::AddLink { .. } | Action::DeleteLink { .. }
        )
    }

    /// Whether it is about a tunnel or a queue: the router does its work without.
    pub fn is_extra(&self) -> bool {
        matches!(
            self,
            Action::AddLink { .. }
                | Action::SetTunnel { .. }
                | Action::SetPeer { .. }
                | Action::RemovePeer { .. }
                | Action::SetQueue { .. }
                | Action::DropQueue { .. }
                | Action::Lead { .. }
                | Action::NoLead { .. }
        )
    }

    /// Whether it opens a way for the internet, so that it must not happen before the ruleset is in the kernel.
    pub fn wants_firewall(&self, uplink: Option<u32>) -> bool {
        let on_uplink = |index: &u32| Some(*index) == uplink;
        match self {
            Action::Set(sysctl) => sysctl.forwards(),
            Action::Up { index } => on_uplink(index),
            Action::AddAddress(address) => on_uplink(&address.index),
            Action::AddRoute(route) => on_uplink(&route.index),
            _ => false,
        }
    }
}
