//! News of interfaces, addresses, routes, and of what others do to nftables. It says that something changed, never what:
//! who wants to know dumps.
use super::builder::{attributes, messages};
use crate::neighbour::Neighbour;
use crate::nft::NEW_GENERATION;
use crate::sys;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What changed since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// An interface came, went, was renamed, lost or got carrier, or a router advertisement changed its flags.
    pub links: bool,
    /// An address came or went, or is no longer tentative.
    pub addresses: bool,
    /// A route came or went (only from [`Monitor::with_routes`]).
    pub routes: bool,
    /// Another process changed something of nftables (only from [`Monitor::of_rulesets`]).
    pub rulesets: bool,
}

impl Changes {
    /// Whether anything changed.
    pub fn any(self) -> bool {
        self.links || self.addresses || self.routes || self.rulesets
    }
}

/// Interfaces, addresses, and what a router advertisement says of an interface.
const ALWAYS: [libc::c_uint; 4] =
    [libc::RTNLGRP_LINK, libc::RTNLGRP_IPV4_IFADDR, libc::RTNLGRP_IPV6_IFADDR, libc::RTNLGRP_IPV6_IFINFO];

/// A socket that becomes readable when something changes.
#[derive(Debug)]
pub struct Monitor {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Listens for interfaces and addresses. Opened before the first dump, no change is lost between the two.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn open() -> io::Result<Monitor> {
        Monitor::listen(&[])
    }

    /// Listens for routes as well.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn with_routes() -> io::Result<Monitor> {
        Monitor::listen(&[libc::RTNLGRP_IPV4_ROUTE, libc::RTNLGRP_IPV6_ROUTE])
    }

    /// Listens for what other processes do to nftables.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn of_rulesets() -> io::Result<Monitor> {
        const NFNLGRP_NFTABLES: libc::c_uint = 7;
        Monitor::groups(SockProtocol::NetlinkNetFilter, &[NFNLGRP_NFTABLES])
    }

    fn listen(further: &[libc::c_uint]) -> io::Result<Monitor> {
        Monitor::groups(SockProtocol::NetlinkRoute, &[&ALWAYS[..], further].concat())
    }

    fn groups(protocol: SockProtocol, groups: &[libc::c_uint]) -> io::Result<Monitor> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        for group in groups {
            sys::set_integer(&fd, libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, *group as i32)?;
        }
        Ok(Monitor { fd, buffer: vec![0; 32 << 10] })
    }

    /// Reads all news. When the kernel had to drop some, everything counts as changed.
    pub fn drain(&mut self) -> Changes {
        let mut changes = Changes::default();
        loop {
            match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => {
                    for message in messages(&self.buffer[..length]) {
                        match message.kind {
                            libc::RTM_NEWLINK | libc::RTM_DELLINK => changes.links = true,
                            libc::RTM_NEWADDR | libc::RTM_DELADDR => changes.addresses = true,
                            libc::RTM_NEWROUTE | libc::RTM_DELROUTE => changes.routes = true,
                            NEW_GENERATION => changes.rulesets |= is_of_another(message.payload),
                            _ => (),
                        }
                    }
                }
                Err(Errno::ENOBUFS) => changes = Changes { links: true, addresses: true, routes: true, rulesets: true },
                Err(Errno::EINTR) => (),
                Err(_) => return changes,
            }
        }
    }
}

/// Whether the transaction that a new generation tells of was another process's.
fn is_of_another(payload: &[u8]) -> bool {
    const PROCESS: u16 = 2;
    let mut parts = attributes(payload.get(4..).unwrap_or_default());
    let process = parts.find(|(kind, _)| *kind == PROCESS).and_then(|(_, value)| value.try_into().ok());
    process.map(u32::from_be_bytes) != Some(std::process::id())
}

/// News of neighbours, which say what happened: there are too many of them to look at all each time.
#[derive(Debug)]
pub struct Neighbours(Monitor);

impl Neighbours {
    /// Listens for neighbours.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn open() -> io::Result<Neighbours> {
        Monitor::groups(SockProtocol::NetlinkRoute, &[libc::RTNLGRP_NEIGH]).map(Neighbours)
    }

    /// Hands over all news; says whether the kernel had to drop some, so that a look at all is wanted.
    pub fn drain(&mut self, mut each: impl FnMut(Neighbour)) -> bool {
        let mut lost = false;
        loop {
            match recv(self.0.fd.as_raw_fd(), &mut self.0.buffer, MsgFlags::empty()) {
                Ok(length) => messages(&self.0.buffer[..length])
                    .filter_map(|message| Neighbour::parse(&message))
                    .for_each(&mut each),
                Err(Errno::ENOBUFS) => lost = true,
                Err(Errno::EINTR) => (),
                Err(_) => return lost,
            }
        }
    }
}

impl AsFd for Neighbours {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
