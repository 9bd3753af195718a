//! Echo requests (ICMP, RFC 792; ICMPv6, RFC 4443) by the kernel's ping sockets: no raw socket and no capability. Who may
//! open one is said by `net.ipv4.ping_group_range`, for both families.
use crate::sys;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recvmsg, sendto,
    socket,
};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Bytes of an echo's own header.
const HEADER: usize = 8;
/// Of the IP header before it.
const IPV4: usize = 20;
const IPV6: usize = 40;
const ECHO_REQUEST: (u8, u8) = (8, 128);
const ECHO_REPLY: (u8, u8) = (0, 129);
/// Of an echo that shall only come back.
const PLAIN: usize = 64;
/// Hops of what is sent without another word.
const HOPS: i32 = 64;
const ICMP_TIME_EXCEEDED: u8 = 11;
const ICMPV6_TIME_EXCEEDED: u8 = 3;

/// What was heard of a request, which its sequence number tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It came back.
    Reply {
        /// From whom.
        from: IpAddr,
        /// Of which request.
        sequence: u16,
    },
    /// It was too large for a link of the way.
    TooBig {
        /// Of which request.
        sequence: u16,
        /// What that link takes, in bytes; 0 = not said.
        mtu: u32,
    },
    /// Its hops were used up.
    Expired {
        /// Where.
        from: IpAddr,
        /// Of which request.
        sequence: u16,
    },
    /// Somebody on the way says that it cannot be delivered.
    Unreachable {
        /// Who.
        from: IpAddr,
        /// Of which request.
        sequence: u16,
        /// Why, in the kernel's words.
        why: Errno,
    },
}

/// A ping socket of one family.
#[derive(Debug)]
pub struct Ping {
    fd: OwnedFd,
    ipv6: bool,
}

impl Ping {
    /// Opens a socket. What it sends is never cut in pieces, and the kernel's memory of smaller links does not count.
    ///
    /// # Errors
    /// When our group is not in `net.ipv4.ping_group_range`.
    pub fn open(ipv6: bool) -> io::Result<Ping> {
        let (family, protocol) =
            if ipv6 { (AddressFamily::Inet6, SockProtocol::IcmpV6) } else { (AddressFamily::Inet, SockProtocol::Icmp) };
        let fd = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, protocol)?;
        let options = if ipv6 {
            [(libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE), (libc::IPV6_RECVERR, 1), (libc::IPV6_DONTFRAG, 1)]
        } else {
            [(libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE), (libc::IP_RECVERR, 1), (libc::IP_TTL, HOPS)]
        };
        let level = if ipv6 { libc::IPPROTO_IPV6 } else { libc::IPPROTO_IP };
        for (option, value) in options {
            sys::set_integer(&fd, level, option, value)?;
        }
        if ipv6 {
            sys::set_integer(&fd, level, libc::IPV6_MULTICAST_LOOP, 0)?;
        }
        Ok(Ping { fd, ipv6 })
    }

    /// Says how many hops what is sent from now on may take, 1 to 255.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn hops(&self, hops: u8) -> io::Result<()> {
        let (level, option) =
            if self.ipv6 { (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS) } else { (libc::IPPROTO_IP, libc::IP_TTL) };
        sys::set_integer(&self.fd, level, option, hops.into())
    }

    /// Sends a request as an IP packet of `size` bytes, or of a usual size.
    ///
    /// # Errors
    /// When there is no way there, or the packet is larger than the interface takes (`EMSGSIZE`).
    pub fn send(&self, to: SocketAddr, sequence: u16, size: Option<u16>) -> io::Result<()> {
        let before = HEADER + if self.ipv6 { IPV6 } else { IPV4 };
        let payload = size.map_or(PLAIN - HEADER, |size| usize::from(size).saturating_sub(before));
        let mut message = vec![0; HEADER + payload];
        let [high, low] = sequence.to_be_bytes();
        // The kernel fills in the checksum, and the identifier, by which it knows this socket's replies.
        message[..HEADER].copy_from_slice(&[self.pick(ECHO_REQUEST), 0, 0, 0, 0, 0, high, low]);
        let to = SockaddrStorage::from(to);
        let send = || sendto(self.fd.as_raw_fd(), &message, &to, MsgFlags::MSG_DONTWAIT);
        match send() {
            // The kernel tells an earlier packet's fate at the next call.
            Err(Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ECONNREFUSED | Errno::EPROTO) => send()?,
            other => other?,
        };
        Ok(())
    }

    /// The next thing that was heard; `None` when nothing waits.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn receive(&self) -> io::Result<Option<Heard>> {
        loop {
            let (bytes, from) = match self.take(MsgFlags::empty())? {
                None => return self.error(),
                Some((bytes, _, from)) => (bytes, from),
            };
            if bytes.first() == Some(&self.pick(ECHO_REPLY))
                && let (Some(sequence), Some(from)) = (sequence(&bytes), from)
            {
                return Ok(Some(Heard::Reply { from, sequence }));
            }
        }
    }

    /// The next error of a packet on its way. What the kernel says of packets that never left was told by the send.
    fn error(&self) -> io::Result<Option<Heard>> {
        loop {
            let Some((bytes, errors, _)) = self.take(MsgFlags::MSG_ERRQUEUE)? else { return Ok(None) };
            let found = sequence(&bytes).zip(errors);
            let Some((sequence, (error, Some(from)))) = found else { continue };
            let expired = if self.ipv6 { ICMPV6_TIME_EXCEEDED } else { ICMP_TIME_EXCEEDED };
            return Ok(Some(match Errno::from_raw(error.ee_errno as i32) {
                Errno::EMSGSIZE => Heard::TooBig { sequence, mtu: error.ee_info },
                _ if error.ee_type == expired => Heard::Expired { from, sequence },
                why => Heard::Unreachable { from, sequence, why },
            }));
        }
    }

    #[allow(clippy::type_complexity)] // what recvmsg gives, taken apart once
    fn take(
        &self,
        flags: MsgFlags,
    ) -> io::Result<Option<(Vec<u8>, Option<(libc::sock_extended_err, Option<IpAddr>)>, Option<IpAddr>)>> {
        // The reply's tail says nothing.
        let mut buffer = [0; 64];
        let mut control = cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let flags = flags | MsgFlags::MSG_DONTWAIT;
        let received = match recvmsg::<SockaddrStorage>(self.fd.as_raw_fd(), &mut slices, Some(&mut control), flags) {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            // An error that waits in its queue makes a plain read fail once.
            Err(_) if !flags.contains(MsgFlags::MSG_ERRQUEUE) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let error = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4RecvErr(error, from) => {
                Some((error, from.map(|from| IpAddr::V4(Ipv4Addr::from(from.sin_addr.s_addr.to_ne_bytes())))))
            }
            ControlMessageOwned::Ipv6RecvErr(error, from) => {
                Some((error, from.map(|from| IpAddr::V6(Ipv6Addr::from(from.sin6_addr.s6_addr)))))
            }
            _ => None,
        });
        let ipv4 = |address: &SockaddrStorage| address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let ipv6 = |address: &SockaddrStorage| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
        let from = received.address.as_ref().and_then(|address| ipv4(address).or_else(|| ipv6(address)));
        let length = received.bytes;
        Ok(Some((buffer[..length.min(buffer.len())].to_vec(), error, from)))
    }

    fn pick(&self, (ipv4, ipv6): (u8, u8)) -> u8 {
        if self.ipv6 { ipv6 } else { ipv4 }
    }
}

fn sequence(message: &[u8]) -> Option<u16> {
    message.get(6..HEADER)?.try_into().ok().map(u16::from_be_bytes)
}

impl AsFd for Ping {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Interest, Loop, Token};
    use crate::testing::in_namespace;
    use std::process::Command;

    fn ip(words: &str) {
        let status = Command::new("ip").args(words.split(' ')).status().unwrap();
        assert!(status.success(), "ip {words}");
    }

    fn next(turn: &mut Loop, ping: &Ping) -> Heard {
        loop {
            if let Some(heard) = ping.receive().unwrap() {
                return heard;
            }
            let mut events: Vec<Event> = Vec::new();
            turn.wait(None, &mut events).unwrap();
        }
    }

    #[test]
    fn echoes_come_back_in_both_families_and_what_is_too_large_does_not_leave() {
        in_namespace(|| {
            ip("link set lo mtu 1500 up");
            assert!(Ping::open(false).is_err(), "nobody may, until somebody says who");
            std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").unwrap();
            for to in ["127.0.0.1:0", "[::1]:0"] {
                let to: SocketAddr = to.parse().unwrap();
                let ping = Ping::open(to.is_ipv6()).unwrap();
                let mut turn = Loop::new().unwrap();
                turn.add(&ping, Token(1), Interest::READ).unwrap();
                for (sequence, size) in [(1, None), (2, Some(1_500)), (0xfffe, Some(68))] {
                    ping.send(to, sequence, size).unwrap();
                    assert_eq!(next(&mut turn, &ping), Heard::Reply { from: to.ip(), sequence });
                }
                let error = ping.send(to, 3, Some(1_501)).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
                assert_eq!(ping.receive().unwrap(), None);
            }
        });
    }

    #[test]
    fn no_way_is_said_by_the_send() {
        in_namespace(|| {
            std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").unwrap();
            let ping = Ping::open(false).unwrap();
            let error = ping.send("192.0.2.1:0".parse().unwrap(), 1, None).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENETUNREACH));
        });
    }
}
