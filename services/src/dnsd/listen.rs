//! The listeners: a UDP and a TCP socket for each private address, so that every answer leaves from the address that
//! was asked. They follow the addresses.
use super::config::PORT;
use crate::house::rarely::Rarely;
use netstack::address::Address;
use netstack::link::Link;
use netstack::time::Instant;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, TcpListener, UdpSocket};
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

/// The addresses to serve: the private ones of interfaces that are up and no uplink, and lan0's own in any case.
pub fn wanted(links: &[Link], addresses: &[Address], lan: Option<Ipv4Addr>) -> Vec<SocketAddr> {
    let mut wanted: Vec<SocketAddr> = lan.map(|lan| SocketAddr::new(IpAddr::V4(lan), PORT)).into_iter().collect();
    for address in addresses.iter().filter(|address| !address.tentative && is_private(address.ip)) {
        let served =
            links.iter().any(|link| link.index == address.index && link.up && !link.name.starts_with("uplink"));
        let socket = match address.ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => SocketAddrV6::new(ip, PORT, 0, address.index).into(),
            ip => SocketAddr::new(ip, PORT),
        };
        if served && !wanted.contains(&socket) {
            wanted.push(socket);
        }
    }
    wanted
}

// As router7 sees it: loopback, RFC 1918, RFC 6598, unique local and link-local.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => {
            // gokrazy's own management network.
            let excluded = ip.segments().starts_with(&[0xfdf5, 0x3606, 0x2a21]);
            !excluded && (ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, up: bool) -> Link {
        Link { index, name: name.into(), up, ..Link::default() }
    }

    #[test]
    fn private_addresses_of_interfaces_that_are_up_and_no_uplink() {
        let links = [link(1, "lo", true), link(2, "uplink0", true), link(3, "lan0", true), link(4, "wg0", false)];
        let address = |index, ip: &str| Address::new(index, ip.parse().unwrap(), 24);
        let mut tentative = address(3, "fe80::2");
        tentative.tentative = true;
        let addresses = [
            address(1, "127.0.0.1"),
            address(1, "::1"),
            address(2, "10.0.0.2"),
            address(2, "fe80::9"),
            address(3, "192.168.42.1"),
            address(3, "100.127.0.1"),
            address(3, "100.128.0.1"),
            address(3, "2001:db8::1"),
            address(3, "fd00::1"),
            address(3, "fdf5:3606:2a21::1"),
            address(3, "fe80::1"),
            address(4, "10.9.0.1"),
            tentative,
        ];
        let texts = |lan: Option<Ipv4Addr>| -> Vec<String> {
            wanted(&links, &addresses, lan).iter().map(SocketAddr::to_string).collect()
        };
        let private =
            ["127.0.0.1:53", "[::1]:53", "192.168.42.1:53", "100.127.0.1:53", "[fd00::1]:53", "[fe80::1%3]:53"];
        assert_eq!(texts(None), private);
        assert_eq!(texts("192.168.42.1".parse().ok()).len(), private.len());
        assert_eq!(texts("203.0.113.1".parse().ok())[0], "203.0.113.1:53");
    }
}
