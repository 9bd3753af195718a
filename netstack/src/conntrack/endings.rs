//! The ends of connections, with what they have carried.
use super::{DELETE, Flow};
use crate::netlink::builder::messages;
use crate::sys;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// `NFNLGRP_CONNTRACK_DESTROY`.
const DESTROY: i32 = 3;
/// Ends that wait to be read, in bytes: some 10,000.
const ROOM: i32 = 8 << 20;

/// A socket that becomes readable when a connection has ended. Only the ends of connections that began while one was
/// open are told.
#[derive(Debug)]
pub struct Endings {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl Endings {
    /// Listens. A buffer beyond the system's limit needs CAP_NET_ADMIN.
    ///
    /// # Errors
    /// When the kernel has no connection tracking or gives no descriptor.
    pub fn open() -> io::Result<Endings> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        sys::set_integer(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, ROOM)
            .or_else(|_| sys::set_integer(&fd, libc::SOL_SOCKET, libc::SO_RCVBUF, ROOM))?;
        sys::set_integer(&fd, libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, DESTROY)?;
        Ok(Endings { fd, buffer: vec![0; 8 << 10] })
    }

    /// Gives each connection that has ended to `take`; says whether none was lost for want of room.
    pub fn drain(&mut self, mut take: impl FnMut(Flow)) -> bool {
        let mut whole = true;
        loop {
            match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => {
                    let ended = messages(&self.buffer[..length]).filter(|message| message.kind == DELETE);
                    ended.filter_map(|message| Flow::parse(message.payload)).for_each(&mut take);
                }
                Err(Errno::ENOBUFS) => whole = false,
                Err(Errno::EINTR) => (),
                Err(_) => return whole,
            }
        }
    }
}

impl AsFd for Endings {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
