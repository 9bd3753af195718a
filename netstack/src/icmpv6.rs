//! Raw ICMPv6 sockets on one interface, for neighbour discovery messages that a program sends and answers itself.
use crate::sys;
use nix::cmsg_space;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, recvmsg, sendto,
    socket,
};
use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Hop limit of everything sent, and the only one that neighbour discovery takes.
const HOP_LIMIT: i32 = 255;

/// A received message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes in the buffer, from the ICMPv6 type on.
    pub length: usize,
    /// Sender.
    pub source: Ipv6Addr,
    /// Hop limit with which it came; 0 when the kernel did not tell.
    pub hop_limit: u8,
}

/// A raw ICMPv6 socket. The kernel fills and checks checksums, and lets through only the types asked for.
#[derive(Debug)]
pub struct Icmpv6 {
    fd: OwnedFd,
    index: u32,
}

impl Icmpv6 {
    /// Opens a socket on an interface that gets messages of these types, joining these multicast groups; needs
    /// CAP_NET_RAW.
    ///
    /// # Errors
    /// When the interface is gone or the right is missing.
    pub fn open(name: &str, index: u32, types: &[u8], groups: &[Ipv6Addr]) -> io::Result<Icmpv6> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Inet6, SockType::Raw, flags, SockProtocol::IcmpV6)?;
        sys::icmpv6_filter(&fd, types)?;
        sys::bind_to_device(&fd, name)?;
        for option in [libc::IPV6_UNICAST_HOPS, libc::IPV6_MULTICAST_HOPS] {
            sys::set_integer(&fd, libc::IPPROTO_IPV6, option, HOP_LIMIT)?;
        }
        sys::set_integer(&fd, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP, 0)?;
        sys::set_integer(&fd, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF, index as i32)?;
        sys::set_integer(&fd, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)?;
        for group in groups {
            sys::join_ipv6(&fd, group, index)?;
        }
        Ok(Icmpv6 { fd, index })
    }

    /// Sends a message from the interface's link-local address to a host or group of its link.
    ///
    /// # Errors
    /// When the interface is down or has no address that can be used yet.
    pub fn send(&self, message: &[u8], to: Ipv6Addr) -> io::Result<()> {
        let to = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, self.index));
        sendto(self.fd.as_raw_fd(), message, &to, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }

    /// Takes the next message into `buffer`; `None` when there is none. One that does not fit is cut.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let mut control = cmsg_space!(i32);
        let mut slices = [IoSliceMut::new(buffer)];
        let received =
            recvmsg::<SockaddrIn6>(self.fd.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT);
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                let error = io::Error::from(error);
                let none = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
                return if none { Ok(None) } else { Err(error) };
            }
        };
        let hop_limit = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv6HopLimit(limit) => u8::try_from(limit).ok(),
            _ => None,
        });
        let source = received.address.map_or(Ipv6Addr::UNSPECIFIED, |address| address.ip());
        Ok(Some(Received { length: received.bytes, source, hop_limit: hop_limit.unwrap_or_default() }))
    }
}

impl AsFd for Icmpv6 {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
