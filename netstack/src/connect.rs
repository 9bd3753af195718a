//! Connected sockets that nothing waits for. The kernel chooses the source port at random, and drops what others send.
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket};
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

/// A UDP socket towards a peer.
///
/// # Errors
/// When there is no way to it, or no descriptor.
pub fn udp(to: SocketAddr) -> io::Result<UdpSocket> {
    connected(to, SockType::Datagram).map(UdpSocket::from)
}

/// A TCP connection that may still be on its way: it can be written when it is there, and told an error when it is not.
///
/// # Errors
/// When there is no way to it, or no descriptor.
pub fn tcp(to: SocketAddr) -> io::Result<TcpStream> {
    connected(to, SockType::Stream).map(TcpStream::from)
}

fn connected(to: SocketAddr, kind: SockType) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(fd),
        Err(error) => Err(error.into()),
    }
}
