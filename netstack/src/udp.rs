//! UDP sockets with the options that std does not know.
use crate::sys;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, setsockopt, socket, sockopt};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// How a socket is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options<'a> {
    /// Only packets of this interface.
    pub device: Option<&'a str>,
    /// May send to 255.255.255.255.
    pub broadcast: bool,
    /// May share its port with others that say so.
    pub reuse: bool,
    /// May be bound to an address that the host does not have yet (`IP_FREEBIND`).
    pub freebind: bool,
}

/// A non-blocking socket bound to `address`.
///
/// # Errors
/// When the port is taken, a right is missing, or the interface is not there.
pub fn bound(address: SocketAddr, options: Options<'_>) -> io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    if let Some(device) = options.device {
        sys::bind_to_device(&fd, device)?;
    }
    if options.broadcast {
        setsockopt(&fd, sockopt::Broadcast, &true)?;
    }
    if options.reuse {
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    if options.freebind {
        sys::set_integer(&fd, libc::IPPROTO_IP, libc::IP_FREEBIND, 1)?;
    }
    match address {
        SocketAddr::V4(address) => bind(fd.as_raw_fd(), &SockaddrIn::from(address))?,
        SocketAddr::V6(address) => {
            setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
            bind(fd.as_raw_fd(), &SockaddrIn6::from(address))?;
        }
    }
    Ok(UdpSocket::from(fd))
}
