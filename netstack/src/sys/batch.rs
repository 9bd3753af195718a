//! Many datagrams with one system call.
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Datagrams of one call.
pub const MOST: usize = 32;

/// What is known of a received datagram besides its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// Bytes of it that are in the buffer.
    pub length: usize,
    /// Who sent it; the unspecified address on a connected socket.
    pub peer: SocketAddr,
    /// It was longer than the buffer.
    pub cut: bool,
}

/// Of a datagram that is not there.
pub const NOBODY: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// Either family's address: of the two the IPv6 one is larger.
#[derive(Clone, Copy)]
#[repr(C)]
union Address {
    family: libc::sa_family_t,
    ipv4: libc::sockaddr_in,
    ipv6: libc::sockaddr_in6,
}

fn read(address: &Address, length: libc::socklen_t) -> SocketAddr {
    // SAFETY: the value was zeroed before the kernel wrote into it, so every field is initialised; each is plain numbers.
    let (family, ipv4, ipv6) = unsafe { (i32::from(address.family), address.ipv4, address.ipv6) };
    let length = length as usize;
    if family == libc::AF_INET && length >= size_of::<libc::sockaddr_in>() {
        let ip = Ipv4Addr::from(u32::from_be(ipv4.sin_addr.s_addr));
        SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(ipv4.sin_port)))
    } else if family == libc::AF_INET6 && length >= size_of::<libc::sockaddr_in6>() {
        let ip = Ipv6Addr::from(ipv6.sin6_addr.s6_addr);
        SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be(ipv6.sin6_port), ipv6.sin6_flowinfo, ipv6.sin6_scope_id))
    } else {
        NOBODY
    }
}

fn write(address: SocketAddr) -> (Address, libc::socklen_t) {
    match address {
        SocketAddr::V4(address) => {
            let ipv4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
                sin_zero: [0; 8],
            };
            (Address { ipv4 }, size_of::<libc::sockaddr_in>() as libc::socklen_t)
        }
        SocketAddr::V6(address) => {
            let ipv6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            (Address { ipv6 }, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
        }
    }
}

/// Receives what is there without waiting, each datagram into `size` bytes of `buffers`; at most [`MOST`] and as many as
/// the buffers hold. Gives how many.
pub fn receive_many(
    socket: BorrowedFd<'_>,
    buffers: &mut [u8],
    size: usize,
    into: &mut [Received; MOST],
) -> io::Result<usize> {
    // SAFETY: all-zero is a valid value of all three: null pointers, lengths of zero, plain numbers.
    let (mut messages, mut vectors, mut addresses): ([libc::mmsghdr; MOST], [libc::iovec; MOST], [Address; MOST]) =
        unsafe { MaybeUninit::zeroed().assume_init() };
    let mut count = 0;
    for (at, buffer) in buffers.chunks_exact_mut(size.max(1)).take(MOST).enumerate() {
        vectors[at] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let header = &mut messages[at].msg_hdr;
        header.msg_name = (&raw mut addresses[at]).cast();
        header.msg_namelen = size_of::<Address>() as libc::socklen_t;
        header.msg_iov = &raw mut vectors[at];
        header.msg_iovlen = 1;
        count = at + 1;
    }
    // SAFETY: each of the `count` headers points to an address, a vector and a buffer of its own, all of which live and
    // are not touched otherwise during the call; no timeout is given.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            messages.as_mut_ptr(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        )
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for (at, message) in messages.iter().enumerate().take(received) {
        into[at] = Received {
            length: (message.msg_len as usize).min(size),
            peer: read(&addresses[at], message.msg_hdr.msg_namelen),
            cut: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        };
    }
    Ok(received)
}

/// Sends datagrams without waiting, at most [`MOST`]; to the socket's own peer where none is given. Gives how many were
/// taken; the error is that of the first.
pub fn send_many<'a>(
    socket: BorrowedFd<'_>,
    datagrams: impl Iterator<Item = (&'a [u8], Option<SocketAddr>)>,
) -> io::Result<usize> {
    // SAFETY: as in `receive_many`.
    let (mut messages, mut vectors, mut addresses): ([libc::mmsghdr; MOST], [libc::iovec; MOST], [Address; MOST]) =
        unsafe { MaybeUninit::zeroed().assume_init() };
    let mut count = 0;
    for (at, (bytes, peer)) in datagrams.take(MOST).enumerate() {
        vectors[at] = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let header = &mut messages[at].msg_hdr;
        if let Some(peer) = peer {
            (addresses[at], header.msg_namelen) = write(peer);
            header.msg_name = (&raw mut addresses[at]).cast();
        }
        header.msg_iov = &raw mut vectors[at];
        header.msg_iovlen = 1;
        count = at + 1;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: each of the `count` headers points to a vector and, where it has one, an address, which live during the
    // call and are only read by it, as are the bytes, which outlive it by their lifetime.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count as libc::c_uint, flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}
