//! What a round has found, before anybody judges it.
use super::round::Outside;
use crate::perm::WallTime;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Something that may not have been tried, and may have failed for a reason.
pub type Tried<T> = Option<Result<T, String>>;

/// Everything that is judged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// What the router knows by itself.
    pub local: Local,
    /// What it was told from outside.
    pub outside: Outside,
}

/// How the uplink comes to its IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// The provider's DHCP server gives it.
    #[default]
    Dhcp,
    /// A PPPoE session brings it.
    Pppoe,
    /// A person has written it down.
    Fixed,
}

/// What is known of prefixes that the provider has delegated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delegated {
    /// It never has.
    #[default]
    Never,
    /// One is in force.
    InForce,
    /// The last one has run out.
    RanOut,
}

/// What the kernel knows of a gateway's hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Neighbour {
    /// Nothing: it does not answer.
    #[default]
    Gone,
    /// It did answer; whether it still does is being asked.
    Unsure,
    /// It has just answered.
    There,
}

/// What the router knows by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Local {
    /// The name of the interface towards the internet.
    pub interface: String,
    /// That interface, if there is one.
    pub uplink: Option<Uplink>,
    /// How it comes to its IPv4 address.
    pub source: Source,
    /// When dhcp4's lease was to be renewed; none without a lease.
    pub renew4: Option<WallTime>,
    /// Whether there is a default route.
    pub route4: bool,
    /// The same for IPv6.
    pub route6: bool,
    /// Where it leads.
    pub gateway4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub gateway6: Option<Ipv6Addr>,
    /// Whether the gateway has answered ARP.
    pub neighbour4: Neighbour,
    /// The same for IPv6.
    pub neighbour6: Neighbour,
    /// What the provider has delegated.
    pub delegated: Delegated,
    /// Whether a person wants IPv6; none = when the provider has offered it.
    pub wants_ipv6: Option<bool>,
    /// When the image was made.
    pub built: Option<WallTime>,
    /// Whether ntpd holds the clock to be right; none while it has not had the time to find out.
    pub clock_right: Option<bool>,
    /// The filesystem of `/perm`.
    pub disk: Option<Disk>,
    /// Memory in KiB: available, in all.
    pub memory: Option<(u64, u64)>,
    /// Connections that the kernel remembers, and how many it can.
    pub connections: Option<(u64, u64)>,
    /// Interfaces with a cable.
    pub ports: Vec<Port>,
}

impl Local {
    /// Whether IPv6 is to work: a person says so, or else the provider has offered it.
    pub fn expects_ipv6(&self) -> bool {
        self.wants_ipv6.unwrap_or(self.route6 || self.delegated != Delegated::Never)
    }

    /// The uplink's IPv4 address.
    pub fn address4(&self) -> Option<Ipv4Addr> {
        self.uplink.as_ref()?.addresses.iter().find_map(|address| match address {
            IpAddr::V4(ip) if !ip.is_link_local() => Some(*ip),
            _ => None,
        })
    }
}

/// The interface towards the internet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uplink {
    /// The kernel's number for it.
    pub index: u32,
    /// Switched on.
    pub up: bool,
    /// A cable is plugged in (its own, or that of what carries a PPPoE session).
    pub carrier: bool,
    /// Packets get through it: a session is up.
    pub running: bool,
    /// In bytes.
    pub mtu: u32,
    /// Packets received and sent.
    pub packets: (u64, u64),
    /// How often carrier came or went.
    pub carrier_changes: u32,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// A filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Disk {
    /// Bytes that a service may still write.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
    /// Files that may still be made; none where there is no limit.
    pub files: Option<u64>,
    /// It takes nothing.
    pub read_only: bool,
    /// It is memory: what it holds ends with the boot.
    pub memory: bool,
    /// It was damaged, and made anew in this boot.
    pub mended: bool,
}

/// An interface with a cable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Mbit/s, where the driver tells.
    pub speed: Option<u32>,
    /// It can only either send or receive at a time.
    pub half_duplex: bool,
    /// Packets received.
    pub packets: u64,
    /// Packets that came damaged.
    pub errors: u64,
}
