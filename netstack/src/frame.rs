//! Whole frames of one interface, whatever they carry.
use crate::sys;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const ETH_P_ALL: u16 = libc::ETH_P_ALL as u16;

/// A packet socket that sees every frame that comes in by an interface, with its Ethernet header, and sends such.
#[derive(Debug)]
pub struct Frames {
    fd: OwnedFd,
    index: u32,
}

impl Frames {
    /// Opens a socket on interface `index`; needs CAP_NET_RAW. Frames that this machine sends are not seen.
    ///
    /// # Errors
    /// When the interface is gone or the right is missing.
    pub fn open(index: u32) -> io::Result<Frames> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // Protocol none until it is bound: an unbound packet socket with a protocol sees every interface.
        let fd = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        sys::set_integer(&fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        sys::bind_packet(fd.as_fd(), ETH_P_ALL, index)?;
        Ok(Frames { fd, index })
    }

    /// Takes the next frame into `buffer`, without its VLAN tag; its length. `None` when there is none; one that does not
    /// fit is passed over.
    ///
    /// # Errors
    /// When the interface went down (told once) or the socket is broken.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            return match sys::receive_packet(self.fd.as_fd(), buffer) {
                Ok((length, ..)) if length > buffer.len() => continue,
                Ok((length, ..)) => Ok(Some(length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Sends a frame with its Ethernet header.
    ///
    /// # Errors
    /// When the interface is down, its queue is full, or the frame is longer than it takes.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        sys::send_packet(&self.fd, frame, ETH_P_ALL, self.index, [0; 6])
    }
}

impl AsFd for Frames {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
