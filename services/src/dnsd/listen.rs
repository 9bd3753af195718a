//! The listeners: a UDP and a TCP socket for each private address, so that every answer leaves from the address that
//! was asked. They follow the addresses.
use super::config::Surroundings;
use crate::house::rarely::Rarely;
use ipnet::IpNet;
use netstack::address::Address;
use netstack::link::Link;
use netstack::time::Instant;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

/// After this an address that could not be bound is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// More addresses than these are not served.
const MOST: usize = 64;

/// The two sockets of an address.
#[derive(Debug)]
pub struct Listener {
    /// Its number; none is given twice.
    pub number: u64,
    /// What it is bound to.
    pub address: SocketAddr,
    /// For datagrams.
    pub udp: UdpSocket,
    /// For connections.
    pub tcp: TcpListener,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Listeners {
    open: Vec<Listener>,
    last: u64,
    retry: Option<Instant>,
    complaint: Rarely,
}

impl Listeners {
    /// By number.
    pub fn get(&self, number: u64) -> Option<&Listener> {
        self.open.iter().find(|listener| listener.number == number)
    }

    /// All of them.
    pub fn all(&self) -> &[Listener] {
        &self.open
    }

    /// The addresses that are served.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.open.iter().map(|listener| listener.address.ip()).collect()
    }

    /// When to follow again, because something could not be bound.
    pub fn deadline(&self) -> Option<Instant> {
        self.retry
    }

    /// Closes what is no longer wanted and opens what is new; `added` is told of each new one.
    pub fn follow(&mut self, now: Instant, wanted: &[SocketAddr], mut added: impl FnMut(&Listener) -> io::Result<()>) {
        self.retry = None;
        self.open.retain(|listener| wanted.contains(&listener.address));
        for address in wanted.get(..wanted.len().min(MOST)).unwrap_or_default() {
            if self.open.iter().any(|listener| listener.address == *address) {
                continue;
            }
            let number = self.last + 1;
            let opened = open(*address).map(|(udp, tcp)| Listener { number, address: *address, udp, tcp });
            match opened.and_then(|listener| added(&listener).map(|()| listener)) {
                Ok(listener) => {
                    self.last = number;
                    self.open.push(listener);
                }
                Err(error) => {
                    self.complaint.warn(now, || format!("cannot listen on {address}: {error}"));
                    self.retry = Some(now + RETRY);
                }
            }
        }
    }
}

fn open(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let place = SockaddrStorage::from(address);
    let make = |kind| -> io::Result<OwnedFd> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
        if address.is_ipv4() {
            // Bound before netconfigd has set it, an address is answered on from its first moment.
            setsockopt(&fd, sockopt::IpFreebind, &true)?;
        }
        if kind == SockType::Stream {
            // Connections of a dnsd that has just ended do not keep a new one from listening.
            setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        }
        bind(fd.as_raw_fd(), &place)?;
        Ok(fd)
    };
    let (udp, tcp) = (make(SockType::Datagram)?, make(SockType::Stream)?);
    listen(&tcp, Backlog::new(128)?)?;
    Ok((UdpSocket::from(udp), TcpListener::from(tcp)))
}

fn is_uplink(link: &Link) -> bool {
    link.name.starts_with("uplink")
}

/// What the engine is to know of the networks around; `ours` are the addresses that are served.
pub fn around(links: &[Link], addresses: &[Address], ours: Vec<IpAddr>) -> Surroundings {
    let mut around = Surroundings { ours, ..Surroundings::default() };
    for address in addresses.iter().filter(|address| address.scope == 0) {
        let Some(link) = links.iter().find(|link| link.index == address.index && !link.loopback) else { continue };
        let Ok(net) = IpNet::new(address.ip, address.prefix) else { continue };
        if is_uplink(link) {
            around.uplinks.push(net.trunc())
        } else {
            around.named.push((link.name.clone(), net.trunc()));
            around.lans.push(net.trunc())
        }
        // A unique local one lasts; one of the provider's goes when it wants.
        let lasts = matches!(address.ip, IpAddr::V6(ip) if ip.is_unique_local());
        if link.name == "lan0" && lasts && !address.tentative {
            around.own.push(address.ip);
        }
    }
    around.lans.dedup();
    around
}

/// How the world is reached: when this changes, so may what is known of the upstreams.
pub type Way = (Vec<(u32, bool)>, Vec<(u32, IpAddr)>);

/// Uplinks that have carrier, and their addresses.
pub fn way(links: &[Link], addresses: &[Address]) -> Way {
    let uplinks: Vec<&Link> = links.iter().filter(|link| is_uplink(link)).collect();
    let of_uplinks = |address: &&Address| uplinks.iter().any(|link| link.index == address.index) && !address.tentative;
    let mut with: Vec<_> = addresses.iter().filter(of_uplinks).map(|address| (address.index, address.ip)).collect();
    with.sort_unstable();
    (uplinks.iter().map(|link| (link.index, link.up && link.running)).collect(), with)
}
