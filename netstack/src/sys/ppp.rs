//! What `/dev/ppp` and PPPoE sockets want by ioctl and a socket address that nix does not know (linux/ppp-ioctl.h,
//! linux/if_pppox.h).
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

nix::ioctl_readwrite!(new_unit, b't', 62, libc::c_int);
nix::ioctl_read!(channel_of, b't', 55, libc::c_int);
nix::ioctl_write_ptr!(attach_channel, b't', 56, libc::c_int);
nix::ioctl_write_ptr!(connect_channel, b't', 58, libc::c_int);
nix::ioctl_none!(disconnect_channel, b't', 57);
nix::ioctl_write_ptr!(set_mode, b't', 75, Mode);

/// `struct npioctl`.
#[repr(C)]
pub struct Mode {
    protocol: libc::c_int,
    mode: libc::c_int,
}

/// `NPMODE_PASS` and `NPMODE_DROP`.
const PASS: libc::c_int = 0;
const DROP: libc::c_int = 1;

/// `AF_PPPOX` and `PX_PROTO_OE`.
const FAMILY: u16 = 24;
const PROTOCOL: libc::c_int = 0;

/// Makes the descriptor of `/dev/ppp` a network interface; the number in its name, `pppN`.
pub fn ppp_unit(device: impl AsFd) -> io::Result<u32> {
    // -1: any number.
    let mut unit = -1;
    // SAFETY: the call reads and writes the one integer that it is given.
    unsafe { new_unit(device.as_fd().as_raw_fd(), &raw mut unit) }?;
    u32::try_from(unit).map_err(|_| io::Error::other("a PPP unit without a number"))
}

/// The number of a connected PPPoE socket's channel.
pub fn ppp_channel_of(socket: impl AsFd) -> io::Result<i32> {
    let mut channel = 0;
    // SAFETY: the call writes the one integer that it is given.
    unsafe { channel_of(socket.as_fd().as_raw_fd(), &raw mut channel) }?;
    Ok(channel)
}

/// Makes the descriptor of `/dev/ppp` the way to a channel's control packets.
pub fn ppp_attach(device: impl AsFd, channel: i32) -> io::Result<()> {
    // SAFETY: the call reads the one integer that it is given.
    unsafe { attach_channel(device.as_fd().as_raw_fd(), &raw const channel) }?;
    Ok(())
}

/// Lets an interface's packets go by a channel.
pub fn ppp_connect(channel: impl AsFd, unit: u32) -> io::Result<()> {
    let unit = unit as libc::c_int;
    // SAFETY: the call reads the one integer that it is given.
    unsafe { connect_channel(channel.as_fd().as_raw_fd(), &raw const unit) }?;
    Ok(())
}

/// Takes the channel from its interface.
pub fn ppp_disconnect(channel: impl AsFd) -> io::Result<()> {
    // SAFETY: the call takes no argument.
    unsafe { disconnect_channel(channel.as_fd().as_raw_fd()) }?;
    Ok(())
}

/// Whether an interface carries a network protocol, or drops its packets.
pub fn ppp_carries(unit: impl AsFd, protocol: u16, yes: bool) -> io::Result<()> {
    let mode = Mode { protocol: protocol.into(), mode: if yes { PASS } else { DROP } };
    // SAFETY: the call reads the one structure that it is given, laid out as the kernel's.
    unsafe { set_mode(unit.as_fd().as_raw_fd(), &raw const mode) }?;
    Ok(())
}

/// A PPPoE socket, which is the session in the kernel.
pub fn pppoe_socket() -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: the call takes no pointer.
    let fd = unsafe { libc::socket(FAMILY.into(), kind, PROTOCOL) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) })
}

/// Binds it to a session with a peer on an interface.
pub fn pppoe_connect(socket: impl AsFd, session: u16, peer: [u8; 6], interface: &str) -> io::Result<()> {
    // struct sockaddr_pppox is packed: family, protocol, session, peer, name.
    let mut address = [0u8; size_of::<u16>() + size_of::<libc::c_int>() + 2 + 6 + libc::IFNAMSIZ];
    let (head, name) = address.split_at_mut(14);
    if interface.len() >= name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    head[..2].copy_from_slice(&FAMILY.to_ne_bytes());
    head[2..6].copy_from_slice(&PROTOCOL.to_ne_bytes());
    head[6..8].copy_from_slice(&session.to_be_bytes());
    head[8..14].copy_from_slice(&peer);
    name[..interface.len()].copy_from_slice(interface.as_bytes());
    let length = address.len() as libc::socklen_t;
    // SAFETY: `address` is valid for `length` bytes for the whole call, which only reads it.
    let result = unsafe { libc::connect(socket.as_fd().as_raw_fd(), address.as_ptr().cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
