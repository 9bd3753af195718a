//! Packet sockets on one interface, with a filter in the kernel from the first moment: no other packet wakes us.
use crate::sys;
use crate::wire::pppoe::{PADO, PADS, PADT};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// To every host of a link.
pub const BROADCAST: [u8; 6] = [0xff; 6];

// The sending kernel had left the checksum to hardware (veth, virtio, taps): linux/if_packet.h.
const TP_STATUS_CSUMNOTREADY: u32 = 1 << 3;

/// What the socket sees, as classic BPF over the packet without its Ethernet header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// UDP over IPv4 to this port, unfragmented.
    UdpTo(u16),
    /// PPPoE discovery from a concentrator (RFC 2516): PADO, PADS, PADT.
    Concentrator,
    /// ARP of whoever says that it has this address.
    ArpFrom(Ipv4Addr),
    /// Answers of ARP, whoever has what.
    ArpReplies,
}

const LD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
pub(crate) const LD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
pub(crate) const LD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
pub(crate) const LD_HALF_INDEXED: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_IND) as u16;
// X = 4 * (the low nibble of the byte at k): the length of an IPv4 header.
pub(crate) const LDX_HEADER: u16 = (libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH) as u16;
pub(crate) const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
pub(crate) const JUMP_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
pub(crate) const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const ALL: u32 = 0xffff;

fn op(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

impl Filter {
    fn program(self) -> Vec<libc::sock_filter> {
        match self {
            Filter::UdpTo(port) => vec![
                op(LD_BYTE, 9),
                jump(JUMP_EQUAL, libc::IPPROTO_UDP as u32, 0, 6),
                op(LD_HALF, 6),
                // More-fragments or an offset: not a whole datagram.
                jump(JUMP_SET, 0x3fff, 4, 0),
                op(LDX_HEADER, 0),
                op(LD_HALF_INDEXED, 2),
                jump(JUMP_EQUAL, u32::from(port), 0, 1),
                op(RETURN, ALL),
                op(RETURN, 0),
            ],
            Filter::Concentrator => vec![
                op(LD_BYTE, 1),
                jump(JUMP_EQUAL, PADO.into(), 2, 0),
                jump(JUMP_EQUAL, PADS.into(), 1, 0),
                jump(JUMP_EQUAL, PADT.into(), 0, 1),
                op(RETURN, ALL),
                op(RETURN, 0),
            ],
            // The sender's protocol address, after two addresses' types and lengths, the operation and its hardware one.
            Filter::ArpFrom(address) => {
                vec![op(LD_WORD, 14), jump(JUMP_EQUAL, u32::from(address), 0, 1), op(RETURN, ALL), op(RETURN, 0)]
            }
            Filter::ArpReplies => {
                vec![op(LD_HALF, 6), jump(JUMP_EQUAL, 2, 0, 1), op(RETURN, ALL), op(RETURN, 0)]
            }
        }
    }
}

/// One received packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes in the buffer.
    pub length: usize,
    /// The UDP or TCP checksum was not filled in yet.
    pub unsummed: bool,
    /// Who sent it.
    pub from: [u8; 6],
}

// Protocol none until the filter stands: an unbound packet socket with a protocol sees every interface.
fn unbound() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(AddressFamily::Packet, SockType::Datagram, flags, None)?)
}

/// A packet socket of one interface and EtherType. The kernel writes and removes the Ethernet header.
#[derive(Debug)]
pub struct Packet {
    fd: OwnedFd,
    index: u32,
    ethertype: u16,
}

impl Packet {
    /// Opens a socket on interface `index`; needs CAP_NET_RAW.
    ///
    /// While it is open, every packet of that type, whoever it is for, costs the kernel a copy of its header: one that
    /// awaits something now and then is opened for it and closed again, one that only sends is a [`Packet::sender`].
    ///
    /// # Errors
    /// When the interface is gone or the right is missing.
    pub fn open(index: u32, ethertype: u16, filter: Filter) -> io::Result<Packet> {
        let fd = unbound()?;
        sys::attach_filter(&fd, &filter.program())?;
        sys::set_integer(&fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
        sys::bind_packet(fd.as_fd(), ethertype, index)?;
        Ok(Packet { fd, index, ethertype })
    }

    /// A socket that sends packets of this type and is given none; needs CAP_NET_RAW.
    ///
    /// # Errors
    /// When the interface is gone or the right is missing.
    pub fn sender(index: u32, ethertype: u16) -> io::Result<Packet> {
        let fd = unbound()?;
        sys::bind_packet(fd.as_fd(), 0, index)?;
        Ok(Packet { fd, index, ethertype })
    }

    /// The interface.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Sends a packet (without Ethernet header) to a hardware address.
    ///
    /// # Errors
    /// When the interface is down or its queue is full.
    pub fn send(&self, packet: &[u8], to: [u8; 6]) -> io::Result<()> {
        let send = || sys::send_packet(&self.fd, packet, self.ethertype, self.index, to);
        match send() {
            // The socket tells once, and by the next call, that the interface was down meanwhile: nothing was sent.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => send(),
            result => result,
        }
    }

    /// Takes the next packet into `buffer`; `None` when there is none. One that does not fit is dropped.
    ///
    /// # Errors
    /// When the interface went down (told once) or the socket is broken.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        loop {
            return match sys::receive_packet(self.fd.as_fd(), buffer) {
                Ok((length, ..)) if length > buffer.len() => continue,
                Ok((length, status, from)) => {
                    Ok(Some(Received { length, unsummed: status & TP_STATUS_CSUMNOTREADY != 0, from }))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }
}

impl AsFd for Packet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
