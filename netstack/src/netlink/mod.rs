//! rtnetlink: what interfaces, addresses and routes there are, changes to them, and news of them.
pub mod builder;
mod monitor;
mod socket;

pub use monitor::{Changes, Monitor, Neighbours};
#[cfg(feature = "hostile")]
pub(crate) use socket::acknowledgement;
pub use socket::{Error, Refused, Socket};

use crate::address::Address;
use crate::link::{IF_OPER_DORMANT, IF_OPER_UP, IFLA_BR_STP_STATE, IFLA_BR_VLAN_FILTERING, IFLA_VLAN_ID, Link, OURS};
use crate::neighbour::Neighbour;
use crate::qdisc::{self, Cake, Qdisc};
use crate::route::Route;
use builder::Builder;
use nix::sys::socket::SockProtocol;
use std::fmt;
use std::io;

/// One change to the kernel's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Gives an interface another name, 1 to 15 bytes.
    Rename(u32, String),
    /// Switches it on or off.
    Up(u32, bool),
    /// Says of an interface whether packets get through it (RFC 2863), where its driver does not know.
    Dormant(u32, bool),
    /// In bytes.
    Mtu(u32, u32),
    /// Gives it another hardware address.
    Mac(u32, [u8; 6]),
    /// Makes it a port of a bridge, or of none.
    Master(u32, Option<u32>),
    /// Makes a bridge with a name and a hardware address.
    AddBridge(String, Option<[u8; 6]>),
    /// Lets a bridge speak the spanning tree protocol, or not.
    BridgeStp(u32, bool),
    /// Lets a bridge keep VLANs apart, or not.
    BridgeVlanFiltering(u32, bool),
    /// Makes a VLAN with a name over an interface, with this number, 1 to 4094.
    AddVlan(String, u32, u16),
    /// Makes an interface of a kind that wants nothing said (`wireguard`, `ifb`), with a name and our mark.
    AddLink(String, &'static str),
    /// Removes an interface that was made by software.
    DeleteLink(u32),
    /// Shapes what leaves an interface.
    Cake(u32, Cake),
    /// Takes that away.
    NoCake(u32),
    /// Makes an entrance at an interface.
    Entrance(u32),
    /// Takes it away, with what leads from it.
    NoEntrance(u32),
    /// Leads what comes in by an interface, through its entrance, to another one.
    Lead(u32, u32),
    /// Adds an address or replaces its attributes.
    ReplaceAddress(Address),
    /// Removes an address.
    DeleteAddress(Address),
    /// Adds a route or replaces the one to the same destination.
    ReplaceRoute(Route),
    /// Removes a route.
    DeleteRoute(Route),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Rename(index, name) => write!(f, "rename interface {index} to {name}"),
            Change::Up(index, up) => write!(f, "interface {index} {}", if *up { "up" } else { "down" }),
            Change::Dormant(index, true) => write!(f, "interface {index} dormant"),
            Change::Dormant(index, false) => write!(f, "interface {index} not dormant"),
            Change::Mtu(index, mtu) => write!(f, "interface {index} mtu {mtu}"),
            Change::Mac(index, _) => write!(f, "interface {index} hardware address"),
            Change::Master(index, master) => write!(f, "interface {index} port of {master:?}"),
            Change::AddBridge(name, _) => write!(f, "add bridge {name}"),
            Change::BridgeStp(index, on) => write!(f, "bridge {index} spanning tree {on}"),
            Change::BridgeVlanFiltering(index, on) => write!(f, "bridge {index} VLAN filtering {on}"),
            Change::AddVlan(name, over, number) => {
                write!(f, "add VLAN {name} with number {number} over interface {over}")
            }
            Change::AddLink(name, kind) => write!(f, "add {kind} {name}"),
            Change::DeleteLink(index) => write!(f, "delete interface {index}"),
            Change::Cake(index, cake) => write!(f, "CAKE with {} bytes/s on interface {index}", cake.rate),
            Change::NoCake(index) => write!(f, "no CAKE on interface {index}"),
            Change::Entrance(index) => write!(f, "entrance of interface {index}"),
            Change::NoEntrance(index) => write!(f, "no entrance of interface {index}"),
            Change::Lead(index, through) => write!(f, "interface {index} led through {through}"),
            Change::ReplaceAddress(address) => write!(f, "address {address} on interface {}", address.index),
            Change::DeleteAddress(address) => write!(f, "delete address {address} on interface {}", address.index),
            Change::ReplaceRoute(route) => write!(f, "route {route}"),
            Change::DeleteRoute(route) => write!(f, "delete route {route}"),
        }
    }
}

const ACK: u16 = libc::NLM_F_ACK as u16;
const CREATE: u16 = ACK | libc::NLM_F_CREATE as u16;

// ifinfomsg: family, padding, type, index, flags, change mask.
fn link_header(builder: &mut Builder, index: u32, flags: u32, mask: u32) {
    builder.raw(&[0; 4]).raw(&index.to_ne_bytes()).raw(&flags.to_ne_bytes()).raw(&mask.to_ne_bytes());
}

fn bridge_option(builder: &mut Builder, option: impl FnOnce(&mut Builder)) {
    builder.nest(libc::IFLA_LINKINFO, |info| {
        info.text(libc::IFLA_INFO_KIND, "bridge").nest(libc::IFLA_INFO_DATA, option);
    });
}

impl Change {
    fn write(&self, builder: &mut Builder) {
        let link = |builder: &mut Builder, index| {
            builder.message(libc::RTM_NEWLINK, ACK);
            link_header(builder, index, 0, 0);
        };
        match self {
            Change::Rename(index, name) => {
                link(builder, *index);
                builder.text(libc::IFLA_IFNAME, name);
            }
            Change::Up(index, up) => {
                let flag = libc::IFF_UP as u32;
                builder.message(libc::RTM_NEWLINK, ACK);
                link_header(builder, *index, if *up { flag } else { 0 }, flag);
            }
            Change::Dormant(index, dormant) => {
                const MODE_DORMANT: u8 = 1;
                link(builder, *index);
                // In this mode the kernel leaves the state to us.
                builder.u8(libc::IFLA_LINKMODE, MODE_DORMANT);
                builder.u8(libc::IFLA_OPERSTATE, if *dormant { IF_OPER_DORMANT } else { IF_OPER_UP });
            }
            Change::Mtu(index, mtu) => {
                link(builder, *index);
                builder.u32(libc::IFLA_MTU, *mtu);
            }
            Change::Mac(index, mac) => {
                link(builder, *index);
                builder.bytes(libc::IFLA_ADDRESS, mac);
            }
            Change::Master(index, master) => {
                link(builder, *index);
                builder.u32(libc::IFLA_MASTER, master.unwrap_or(0));
            }
            Change::AddBridge(name, mac) => {
                builder.message(libc::RTM_NEWLINK, CREATE | libc::NLM_F_EXCL as u16);
                link_header(builder, 0, 0, 0);
                builder.text(libc::IFLA_IFNAME, name);
                if let Some(mac) = mac {
                    builder.bytes(libc::IFLA_ADDRESS, mac);
                }
                builder.nest(libc::IFLA_LINKINFO, |info| {
                    info.text(libc::IFLA_INFO_KIND, "bridge");
                });
            }
            Change::BridgeStp(index, on) => {
                link(builder, *index);
                bridge_option(builder, |data| {
                    data.u32(IFLA_BR_STP_STATE, (*on).into());
                });
            }
            Change::BridgeVlanFiltering(index, on) => {
                link(builder, *index);
                bridge_option(builder, |data| {
                    data.u8(IFLA_BR_VLAN_FILTERING, (*on).into());
                });
            }
            Change::AddVlan(name, over, number) => {
                builder.message(libc::RTM_NEWLINK, CREATE | libc::NLM_F_EXCL as u16);
                link_header(builder, 0, 0, 0);
                builder.text(libc::IFLA_IFNAME, name).u32(libc::IFLA_LINK, *over);
                builder.nest(libc::IFLA_LINKINFO, |info| {
                    info.text(libc::IFLA_INFO_KIND, "vlan").nest(libc::IFLA_INFO_DATA, |data| {
                        data.bytes(IFLA_VLAN_ID, &number.to_ne_bytes());
                    });
                });
            }
            Change::AddLink(name, kind) => {
                builder.message(libc::RTM_NEWLINK, CREATE | libc::NLM_F_EXCL as u16);
                link_header(builder, 0, 0, 0);
                builder.text(libc::IFLA_IFNAME, name).u32(libc::IFLA_GROUP, OURS);
                builder.nest(libc::IFLA_LINKINFO, |info| {
                    info.text(libc::IFLA_INFO_KIND, kind);
                });
            }
            Change::Cake(index, cake) => qdisc::write_cake(builder, *index, cake),
            Change::NoCake(index) => qdisc::write_delete(builder, *index),
            Change::Entrance(index) => qdisc::write_entrance(builder, *index),
            Change::NoEntrance(index) => qdisc::write_delete_entrance(builder, *index),
            Change::Lead(index, through) => qdisc::write_lead(builder, *index, *through),
            Change::DeleteLink(index) => {
                builder.message(libc::RTM_DELLINK, ACK);
                link_header(builder, *index, 0, 0);
            }
            Change::ReplaceAddress(address) => {
                builder.message(libc::RTM_NEWADDR, CREATE | libc::NLM_F_REPLACE as u16);
                address.write(builder);
            }
            Change::DeleteAddress(address) => {
                builder.message(libc::RTM_DELADDR, ACK);
                address.write(builder);
            }
            Change::ReplaceRoute(route) => {
                builder.message(libc::RTM_NEWROUTE, CREATE | libc::NLM_F_REPLACE as u16);
                route.write(builder);
            }
            Change::DeleteRoute(route) => {
                builder.message(libc::RTM_DELROUTE, ACK);
                route.write(builder);
            }
        }
    }
}

/// A socket for interfaces, addresses and routes.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
}

// So many acknowledgements fit the default receive buffer many times over.
const BATCH: usize = 64;

impl Netlink {
    /// Opens a socket; dumps need no right, changes need CAP_NET_ADMIN.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn route() -> io::Result<Netlink> {
        let socket = Socket::open(SockProtocol::NetlinkRoute)?;
        socket.strict()?;
        Ok(Netlink { socket })
    }

    /// Every interface, by index.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn links(&mut self) -> io::Result<Vec<Link>> {
        let mut links = Vec::new();
        self.socket.dump(libc::RTM_GETLINK, &[0; 16], |message| links.extend(Link::parse(message)))?;
        Ok(links)
    }

    /// Every IPv4 and IPv6 address.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn addresses(&mut self) -> io::Result<Vec<Address>> {
        let mut addresses = Vec::new();
        self.socket.dump(libc::RTM_GETADDR, &[0; 8], |message| addresses.extend(Address::parse(message)))?;
        Ok(addresses)
    }

    /// Every route of every table, IPv4 first.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn routes(&mut self) -> io::Result<Vec<Route>> {
        let mut routes = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            let mut header = [0; 12];
            header[0] = family as u8;
            self.socket.dump(libc::RTM_GETROUTE, &header, |message| routes.extend(Route::parse(message)))?;
        }
        Ok(routes)
    }

    /// Every neighbour whose hardware address is known.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn neighbours(&mut self) -> io::Result<Vec<Neighbour>> {
        let mut neighbours = Vec::new();
        self.socket.dump(libc::RTM_GETNEIGH, &[0; 12], |message| neighbours.extend(Neighbour::parse(message)))?;
        Ok(neighbours)
    }

    /// What queues at every interface.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn qdiscs(&mut self) -> io::Result<Vec<Qdisc>> {
        let mut all = Vec::new();
        self.socket.dump(qdisc::RTM_GETQDISC, &[0; 20], |message| all.extend(Qdisc::parse(message)))?;
        Ok(all)
    }

    /// Makes all changes in order, many per system call; one that is refused does not keep the others from being
    /// made. Returns what was refused.
    ///
    /// # Errors
    /// When the kernel takes none of them or stays silent.
    pub fn apply(&mut self, changes: &[Change]) -> io::Result<Vec<Error>> {
        let mut errors = Vec::new();
        for batch in changes.chunks(BATCH) {
            let mut builder = self.socket.builder();
            for change in batch {
                change.write(&mut builder);
            }
            let first = builder.first();
            self.socket.send(&mut builder)?;
            for refused in self.socket.acknowledgements(first, batch.len() as u32)? {
                let what =
                    batch.get(refused.sequence.wrapping_sub(first) as usize).map(Change::to_string).unwrap_or_default();
                errors.push(Error { what, errno: refused.errno, words: refused.words });
            }
        }
        Ok(errors)
    }

    /// Makes one change.
    ///
    /// # Errors
    /// When the kernel refuses it; errors of the socket itself come as the refusal's words.
    pub fn change(&mut self, change: Change) -> Result<(), Error> {
        match self.apply(std::slice::from_ref(&change)) {
            Ok(mut errors) => errors.pop().map_or(Ok(()), Err),
            Err(error) => Err(Error {
                what: change.to_string(),
                errno: error.raw_os_error().map_or(nix::errno::Errno::EIO, nix::errno::Errno::from_raw),
                words: error.to_string(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
