//! WireGuard interfaces by generic netlink: what they hold, and changes to them one by one, so that the sessions of the
//! peers that stay are not touched.
mod key;
#[cfg(test)]
mod tests;

pub use key::{Key, NoKey, Secret};

use crate::genetlink::{self, header};
use crate::netlink::builder::{Builder, Message, attributes, text, u16_at, u32_at};
use crate::netlink::{Error, Socket};
use ipnet::IpNet;
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

/// A WireGuard interface as the kernel holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its private key; all zero when it has none.
    pub private_key: Secret,
    /// The public key that follows from it.
    pub public_key: Key,
    /// The UDP port that it listens on.
    pub port: u16,
    /// Its peers.
    pub peers: Vec<Peer>,
}

/// A peer as the kernel holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub key: Key,
    /// The preshared key; all zero when there is none.
    pub preshared: Secret,
    /// Where it was heard from last, or is to be asked at.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between packets that keep a path open; 0 = none are sent.
    pub keepalive: u16,
    /// When both last agreed on keys, since 1970; zero = never.
    pub handshake: Duration,
    /// Bytes that came from it and went to it.
    pub received: u64,
    /// Bytes that went to it.
    pub sent: u64,
    /// What may come from it, and is sent to it.
    pub allowed: Vec<IpNet>,
}

/// A change to a peer; what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerChange {
    /// Who it is.
    pub key: Key,
    /// Whether the kernel has it already: it is never made by mistake.
    pub known: bool,
    /// The preshared key; all zero = none.
    pub preshared: Option<Secret>,
    /// Where it is to be asked.
    pub endpoint: Option<SocketAddr>,
    /// In seconds; 0 = none.
    pub keepalive: Option<u16>,
    /// Whether `allowed` is all that is allowed from now on; else it is added.
    pub replace_allowed: bool,
    /// Networks.
    pub allowed: Vec<IpNet>,
}

impl PeerChange {
    /// Changes nothing yet.
    pub fn new(key: Key, known: bool) -> PeerChange {
        let (preshared, endpoint, keepalive) = (None, None, None);
        PeerChange { key, known, preshared, endpoint, keepalive, replace_allowed: false, allowed: Vec::new() }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.known && *self == PeerChange::new(self.key, true)
    }
}

/// linux/wireguard.h.
const NAME: &str = "wireguard";
const GET_DEVICE: u8 = 0;
const SET_DEVICE: u8 = 1;
mod device {
    pub const INDEX: u16 = 1;
    pub const NAME: u16 = 2;
    pub const PRIVATE_KEY: u16 = 3;
    pub const PUBLIC_KEY: u16 = 4;
    pub const PORT: u16 = 6;
    pub const PEERS: u16 = 8;
}
mod peer {
    pub const KEY: u16 = 1;
    pub const PRESHARED: u16 = 2;
    pub const FLAGS: u16 = 3;
    pub const ENDPOINT: u16 = 4;
    pub const KEEPALIVE: u16 = 5;
    pub const HANDSHAKE: u16 = 6;
    pub const RECEIVED: u16 = 7;
    pub const SENT: u16 = 8;
    pub const ALLOWED: u16 = 9;
    pub const REMOVE: u32 = 1;
    pub const REPLACE_ALLOWED: u32 = 2;
    pub const UPDATE_ONLY: u32 = 4;
}
mod allowed {
    pub const FAMILY: u16 = 1;
    pub const ADDRESS: u16 = 2;
    pub const LENGTH: u16 = 3;
}

/// A way to the kernel's WireGuard.
#[derive(Debug)]
pub struct Wireguard {
    socket: Socket,
    family: u16,
}

impl Wireguard {
    /// Finds WireGuard in the kernel; everything wants CAP_NET_ADMIN.
    ///
    /// # Errors
    /// When the kernel has no WireGuard, or gives no descriptor.
    pub fn open() -> io::Result<Wireguard> {
        let mut socket = Socket::open(SockProtocol::NetlinkGeneric)?;
        let family = genetlink::family(&mut socket, NAME)?;
        Ok(Wireguard { socket, family })
    }

    /// What an interface holds.
    ///
    /// # Errors
    /// When it is none of WireGuard's, or the kernel refuses.
    pub fn device(&mut self, index: u32) -> io::Result<Device> {
        let mut request = header(GET_DEVICE).to_vec();
        // One attribute of four bytes.
        request.extend_from_slice(&8u16.to_ne_bytes());
        request.extend_from_slice(&device::INDEX.to_ne_bytes());
        request.extend_from_slice(&index.to_ne_bytes());
        let mut found: Option<Device> = None;
        let family = self.family;
        self.socket.dump(family, &request, |message| {
            if message.kind == family
                && let Some(part) = parse(message)
            {
                match &mut found {
                    None => found = Some(part),
                    Some(device) => join(device, part),
                }
            }
        })?;
        found.ok_or_else(|| io::Error::from(Errno::ENODEV))
    }

    /// Gives an interface its private key and UDP port; what is `None` stays.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_device(&mut self, index: u32, key: Option<&Secret>, port: Option<u16>) -> Result<(), Error> {
        self.send("private key and port", |message| {
            message.u32(device::INDEX, index);
            if let Some(key) = key {
                message.bytes(device::PRIVATE_KEY, &key.0);
            }
            if let Some(port) = port {
                message.bytes(device::PORT, &port.to_ne_bytes());
            }
        })
    }

    /// Makes or changes a peer.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_peer(&mut self, index: u32, change: &PeerChange) -> Result<(), Error> {
        self.send(&format!("peer {}", change.key), |message| write_peer(message, index, change))
    }

    /// Takes a peer away.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove_peer(&mut self, index: u32, key: &Key) -> Result<(), Error> {
        self.send(&format!("peer {key}"), |message| {
            message.u32(device::INDEX, index).nest(device::PEERS, |peers| {
                peers.nest(0, |attributes| {
                    attributes.bytes(peer::KEY, &key.0).u32(peer::FLAGS, peer::REMOVE);
                });
            });
        })
    }

    fn send(&mut self, what: &str, fill: impl FnOnce(&mut Builder)) -> Result<(), Error> {
        let mut builder = self.socket.builder();
        builder.message(self.family, libc::NLM_F_ACK as u16).raw(&header(SET_DEVICE));
        fill(&mut builder);
        let error = |errno, words: String| Error { what: what.to_owned(), errno, words };
        let of_socket =
            |failed: io::Error| error(failed.raw_os_error().map_or(Errno::EIO, Errno::from_raw), failed.to_string());
        let first = builder.first();
        self.socket.send(&mut builder).map_err(of_socket)?;
        let mut refused = self.socket.acknowledgements(first, 1).map_err(of_socket)?;
        refused.pop().map_or(Ok(()), |refused| Err(error(refused.errno, refused.words)))
    }
}

fn write_peer(message: &mut Builder, index: u32, change: &PeerChange) {
    let flag = |on: bool, flag: u32| if on { flag } else { 0 };
    let flags = flag(change.known, peer::UPDATE_ONLY) | flag(change.replace_allowed, peer::REPLACE_ALLOWED);
    message.u32(device::INDEX, index).nest(device::PEERS, |peers| {
        peers.nest(0, |attributes| {
            attributes.bytes(peer::KEY, &change.key.0).u32(peer::FLAGS, flags);
            if let Some(preshared) = &change.preshared {
                attributes.bytes(peer::PRESHARED, &preshared.0);
            }
            if let Some(endpoint) = &change.endpoint {
                attributes.bytes(peer::ENDPOINT, &socket_address(endpoint));
            }
            if let Some(keepalive) = change.keepalive {
                attributes.bytes(peer::KEEPALIVE, &keepalive.to_ne_bytes());
            }
            if !change.allowed.is_empty() {
                attributes.nest(peer::ALLOWED, |list| change.allowed.iter().for_each(|net| write_allowed(list, net)));
            }
        });
    });
}

fn write_allowed(list: &mut Builder, net: &IpNet) {
    list.nest(0, |one| {
        let (family, address) = match net.network() {
            IpAddr::V4(ip) => (libc::AF_INET as u16, ip.octets().to_vec()),
            IpAddr::V6(ip) => (libc::AF_INET6 as u16, ip.octets().to_vec()),
        };
        one.bytes(allowed::FAMILY, &family.to_ne_bytes()).bytes(allowed::ADDRESS, &address);
        one.u8(allowed::LENGTH, net.prefix_len());
    });
}

/// `struct sockaddr_in` or `sockaddr_in6`.
fn socket_address(endpoint: &SocketAddr) -> Vec<u8> {
    let port = endpoint.port().to_be_bytes();
    match endpoint {
        SocketAddr::V4(at) => {
            let family = (libc::AF_INET as u16).to_ne_bytes();
            [&family[..], &port, &at.ip().octets(), &[0; 8]].concat()
        }
        SocketAddr::V6(at) => {
            let family = (libc::AF_INET6 as u16).to_ne_bytes();
            let (flow, scope) = (at.flowinfo().to_be_bytes(), at.scope_id().to_ne_bytes());
            [&family[..], &port, &flow, &at.ip().octets(), &scope].concat()
        }
    }
}

fn parse_socket_address(value: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(value.get(2..4)?.try_into().ok()?);
    match i32::from(u16_at(value, 0)?) {
        libc::AF_INET => {
            let ip: [u8; 4] = value.get(4..8)?.try_into().ok()?;
            Some(SocketAddrV4::new(Ipv4Addr::from(ip), port).into())
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = value.get(8..24)?.try_into().ok()?;
            Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, u32_at(value, 24)?).into())
        }
        _ => None,
    }
}

fn key(value: &[u8]) -> Option<[u8; key::LENGTH]> {
    value.try_into().ok()
}

pub(crate) fn parse(message: &Message<'_>) -> Option<Device> {
    let none = [0; key::LENGTH];
    let mut found = Device {
        index: 0,
        name: String::new(),
        private_key: Secret(none),
        public_key: Key(none),
        port: 0,
        peers: Vec::new(),
    };
    for (kind, value) in attributes(message.payload.get(4..)?) {
        match kind {
            device::INDEX => found.index = u32_at(value, 0)?,
            device::NAME => found.name = text(value),
            device::PRIVATE_KEY => found.private_key = Secret(key(value)?),
            device::PUBLIC_KEY => found.public_key = Key(key(value)?),
            device::PORT => found.port = u16_at(value, 0)?,
            device::PEERS => found.peers = attributes(value).filter_map(|(_, peer)| parse_peer(peer)).collect(),
            _ => (),
        }
    }
    Some(found)
}

fn parse_peer(value: &[u8]) -> Option<Peer> {
    let number = |value: &[u8], at: usize| value.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
    let none = [0; key::LENGTH];
    let mut peer = Peer {
        key: Key(none),
        preshared: Secret(none),
        endpoint: None,
        keepalive: 0,
        handshake: Duration::ZERO,
        received: 0,
        sent: 0,
        allowed: Vec::new(),
    };
    for (kind, value) in attributes(value) {
        match kind {
            peer::KEY => peer.key = Key(key(value)?),
            peer::PRESHARED => peer.preshared = Secret(key(value)?),
            peer::ENDPOINT => peer.endpoint = parse_socket_address(value),
            peer::KEEPALIVE => peer.keepalive = u16_at(value, 0)?,
            peer::HANDSHAKE => {
                let nanos = u32::try_from(number(value, 8)?).unwrap_or(0).min(999_999_999);
                peer.handshake = Duration::new(number(value, 0)?, nanos);
            }
            peer::RECEIVED => peer.received = number(value, 0)?,
            peer::SENT => peer.sent = number(value, 0)?,
            peer::ALLOWED => peer.allowed = attributes(value).filter_map(|(_, one)| parse_allowed(one)).collect(),
            _ => (),
        }
    }
    Some(peer)
}

fn parse_allowed(value: &[u8]) -> Option<IpNet> {
    let (mut address, mut length) = (None, 0);
    for (kind, value) in attributes(value) {
        match kind {
            allowed::ADDRESS => {
                let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
                address = v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok();
            }
            allowed::LENGTH => length = *value.first()?,
            _ => (),
        }
    }
    IpNet::new(address?, length).ok()
}

/// The next part of an interface that one message does not hold. A peer may go on in it.
fn join(device: &mut Device, part: Device) {
    for peer in part.peers {
        match device.peers.last_mut().filter(|last| last.key == peer.key) {
            Some(last) => last.allowed.extend(peer.allowed),
            None => device.peers.push(peer),
        }
    }
}
