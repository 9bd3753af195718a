//! Packet sockets: binding, sending and receiving with a link-layer address.
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// A frame as a packet socket with `PACKET_AUXDATA` and `SO_TIMESTAMPNS` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Bytes in the buffer.
    pub length: usize,
    /// Bytes of the frame, before the filter or the buffer cut it.
    pub original: usize,
    /// When it came, in nanoseconds since 1970; 0 when the kernel did not say.
    pub stamp: u64,
}

/// Receives one frame into `buffer` and what the kernel says of it.
pub fn receive_seen(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Seen> {
    // Room for tpacket_auxdata (20 bytes) and a timespec, each with its header, aligned as the kernel wants it.
    let mut control = [0u64; 16];
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero is a valid msghdr: null pointers with zero lengths.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<[u64; 16]>();
    // SAFETY: every pointer in `message` is valid for writes of the length beside it during the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_TRUNC | libc::MSG_DONTWAIT) };
    if length < 0 {
        return Err(io::Error::last_os_error());
    }
    let length = length as usize;
    let mut seen = Seen { length: length.min(buffer.len()), original: length, stamp: 0 };
    // SAFETY: the CMSG functions give null or headers that lie whole inside `control`, which the kernel filled; the length
    // that is checked holds what is read.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            let data = libc::CMSG_DATA(header);
            let holds = |bytes: usize| (*header).cmsg_len >= libc::CMSG_LEN(bytes as u32) as usize;
            match ((*header).cmsg_level, (*header).cmsg_type) {
                (libc::SOL_PACKET, libc::PACKET_AUXDATA) if holds(8) => {
                    // tp_len is the second word of tpacket_auxdata.
                    seen.original = data.cast::<u32>().add(1).read_unaligned() as usize;
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) if holds(size_of::<libc::timespec>()) => {
                    let time = data.cast::<libc::timespec>().read_unaligned();
                    seen.stamp = (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64);
                }
                _ => (),
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok(seen)
}

/// Packets that the socket had no room for since this was last asked.
pub fn packet_drops(socket: BorrowedFd<'_>) -> u32 {
    // tpacket_stats: packets, drops.
    let mut counts = [0u32; 2];
    let mut length = size_of::<[u32; 2]>() as libc::socklen_t;
    // SAFETY: `counts` is valid for writes of `length` bytes during the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            counts.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 { counts[1] } else { 0 }
}

fn address(protocol: u16, index: u32, mac: [u8; 6]) -> libc::sockaddr_ll {
    let mut padded = [0u8; 8];
    padded[..6].copy_from_slice(&mac);
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        sll_ifindex: index as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: padded,
    }
}

const LENGTH: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;

/// Binds a packet socket to one interface and one EtherType.
pub fn bind_packet(socket: BorrowedFd<'_>, protocol: u16, index: u32) -> io::Result<()> {
    let address = address(protocol, index, [0; 6]);
    // SAFETY: `address` is a whole sockaddr_ll and LENGTH its size; the call only reads it.
    let result = unsafe { libc::bind(socket.as_raw_fd(), std::ptr::from_ref(&address).cast(), LENGTH) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends `frame` out of interface `index`; on a datagram socket the kernel writes the Ethernet header to `mac`.
pub fn send_packet(socket: impl AsFd, frame: &[u8], protocol: u16, index: u32, mac: [u8; 6]) -> io::Result<()> {
    let address = address(protocol, index, mac);
    // SAFETY: `frame` and `address` are valid for the lengths given; the call only reads them.
    let sent = unsafe {
        libc::sendto(
            socket.as_fd().as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            std::ptr::from_ref(&address).cast(),
            LENGTH,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives one packet into `buffer`: its whole length (larger than the buffer when it was cut), the kernel's
/// `tp_status` word, 0 when it gave none, and the sender's hardware address.
pub fn receive_packet(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, u32, [u8; 6])> {
    // Room for one control message with tpacket_auxdata (20 bytes), aligned as the kernel wants it.
    let mut control = [0u64; 8];
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero is a valid msghdr: null pointers with zero lengths.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut from = address(0, 0, [0; 6]);
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = LENGTH;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<[u64; 8]>();
    // SAFETY: every pointer in `message` is valid for writes of the length beside it during the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_TRUNC | libc::MSG_DONTWAIT) };
    if length < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut status = 0;
    // SAFETY: CMSG_FIRSTHDR gives null or a header that lies whole inside `control`, which the kernel filled.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if !header.is_null()
            && (*header).cmsg_level == libc::SOL_PACKET
            && (*header).cmsg_type == libc::PACKET_AUXDATA
            && (*header).cmsg_len >= libc::CMSG_LEN(4) as usize
        {
            // tp_status is the first word of tpacket_auxdata.
            status = libc::CMSG_DATA(header).cast::<u32>().read_unaligned();
        }
    }
    let [a, b, c, d, e, f, ..] = from.sll_addr;
    Ok((length as usize, status, [a, b, c, d, e, f]))
}
