//! The kernel's PPP: a network interface that stays, and sessions of PPPoE (RFC 2516) that carry its packets one after
//! the other. Negotiating is not the kernel's business: control packets come out here and are given in here.
use crate::sys;
use crate::wire::ppp::{IPV4, IPV6};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

const DEVICE: &str = "/dev/ppp";

/// Opening needs CAP_NET_ADMIN.
fn device() -> io::Result<File> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{DEVICE}: {error}"));
    File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(DEVICE).map_err(named)
}

/// Takes the next control packet, with its protocol number before it, into `buffer`; `None` when there is none.
fn take(mut file: &File, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match file.read(buffer) {
        // The kernel's way to say that the channel is gone.
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(length) => Ok(Some(length)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A network interface, `pppN` until it is renamed; it goes with the value.
#[derive(Debug)]
pub struct Unit {
    device: File,
    number: u32,
}

impl Unit {
    /// Makes one, switched off.
    ///
    /// # Errors
    /// When the kernel has no PPP, or the right is missing.
    pub fn new() -> io::Result<Unit> {
        let device = device()?;
        let number = sys::ppp_unit(&device)?;
        Ok(Unit { device, number })
    }

    /// Its first name.
    pub fn name(&self) -> String {
        format!("ppp{}", self.number)
    }

    /// Whether packets of IPv4 and IPv6 go through, or are dropped.
    ///
    /// # Errors
    /// When the kernel does not know the protocol.
    pub fn carries(&self, ipv4: bool, ipv6: bool) -> io::Result<()> {
        sys::ppp_carries(&self.device, IPV4, ipv4)?;
        sys::ppp_carries(&self.device, IPV6, ipv6)
    }

    /// Takes the next control packet of a network protocol. To be asked only while a session is attached: without one
    /// there is always something to read, namely that there is none.
    ///
    /// # Errors
    /// When no session is attached.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        take(&self.device, buffer)
    }
}

impl AsFd for Unit {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// A PPPoE session in the kernel; it goes with the value, of which the peer is told nothing.
#[derive(Debug)]
pub struct Session {
    channel: File,
    // After the channel: closed, it takes the channel away.
    _socket: OwnedFd,
}

impl Session {
    /// Takes up a session that discovery has brought.
    ///
    /// # Errors
    /// When the interface is down or gone, or the session is taken already.
    pub fn open(session: u16, peer: [u8; 6], interface: &str) -> io::Result<Session> {
        let socket = sys::pppoe_socket()?;
        sys::pppoe_connect(&socket, session, peer, interface)?;
        let channel = device()?;
        sys::ppp_attach(&channel, sys::ppp_channel_of(&socket)?)?;
        Ok(Session { channel, _socket: socket })
    }

    /// Lets the interface's packets go by this session.
    ///
    /// # Errors
    /// When another one carries them.
    pub fn attach(&self, unit: &Unit) -> io::Result<()> {
        sys::ppp_connect(&self.channel, unit.number)
    }

    /// Lets nothing but control packets go by it any more.
    ///
    /// # Errors
    /// When it carries nothing.
    pub fn detach(&self) -> io::Result<()> {
        sys::ppp_disconnect(&self.channel)
    }

    /// Sends a control packet, its protocol number before it.
    ///
    /// # Errors
    /// When the session is gone or its queue full.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        (&self.channel).write(packet).map(drop)
    }

    /// Takes the next control packet; those of network protocols come by the interface while one is attached.
    ///
    /// # Errors
    /// When the session is gone: ended by the peer, or the interface under it was switched off or changed.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        take(&self.channel, buffer)
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
