//! A netlink socket: requests out, acknowledgements and dumps in.
use super::builder::{Builder, Message, attributes, messages, text, u32_at};
use crate::sys;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A change that the kernel refused: what, why, and its own words when it had any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What was asked, e.g. `address 192.168.42.1/24 on 3`.
    pub what: String,
    /// The kernel's answer.
    pub errno: Errno,
    /// The extended acknowledgement's text, often empty.
    pub words: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.errno.desc())?;
        if self.words.is_empty() { Ok(()) } else { write!(f, " ({})", self.words) }
    }
}

impl std::error::Error for Error {}

/// The kernel's refusal of one message, before it is told what the message was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The message's sequence number.
    pub sequence: u32,
    /// Why.
    pub errno: Errno,
    /// The kernel's words.
    pub words: String,
}

/// Seconds after which a silent kernel is an error rather than a hang.
const PATIENCE: i64 = 10;

/// One socket of one netlink family.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket of a family (`SockProtocol::NetlinkRoute`, `SockProtocol::NetlinkNetFilter`) for requests.
    ///
    /// # Errors
    /// When the kernel lacks the family or gives no descriptor.
    pub fn open(protocol: SockProtocol) -> io::Result<Socket> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE, 0))?;
        // Words beside an error number, and not the whole refused message with it.
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            sys::set_integer(&fd, libc::SOL_NETLINK, option, 1)?;
        }
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Socket { fd, sequence: 1, buffer: vec![0; 64 << 10] })
    }

    /// Checks dump requests' headers, so that the kernel filters by them.
    ///
    /// # Errors
    /// When the kernel does not know the option.
    pub fn strict(&self) -> io::Result<()> {
        sys::set_integer(&self.fd, libc::SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK, 1)
    }

    /// Enlarges the send buffer to hold a transaction of `bytes`; needs CAP_NET_ADMIN beyond the system's limit.
    ///
    /// # Errors
    /// When neither the forced nor the plain option is allowed.
    pub fn room_for(&self, bytes: usize) -> io::Result<()> {
        let size = i32::try_from(bytes).unwrap_or(i32::MAX).max(256 << 10);
        sys::set_integer(&self.fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, size)
            .or_else(|_| sys::set_integer(&self.fd, libc::SOL_SOCKET, libc::SO_SNDBUF, size))
    }

    /// A builder whose sequence numbers this socket has not used.
    pub fn builder(&self) -> Builder {
        Builder::new(self.sequence)
    }

    /// Sends the messages in one datagram.
    ///
    /// # Errors
    /// When the kernel takes none of them.
    pub fn send(&mut self, builder: &mut Builder) -> io::Result<()> {
        self.sequence = builder.first().wrapping_add(builder.count());
        let bytes = builder.done();
        let sent = send(self.fd.as_raw_fd(), bytes, MsgFlags::empty())?;
        if sent == bytes.len() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::WriteZero)) }
    }

    /// Waits for `expected` acknowledgements from sequence number `first` on and returns what was refused.
    ///
    /// # Errors
    /// When the kernel stays silent or its answers overran the buffer.
    pub fn acknowledgements(&mut self, first: u32, expected: u32) -> io::Result<Vec<Refused>> {
        let mut refused = Vec::new();
        let mut seen = 0;
        while seen < expected {
            self.receive(|message| {
                // Late answers to an earlier request that failed half-way are not ours.
                if message.sequence.wrapping_sub(first) < u32::MAX / 2
                    && let Some(result) = acknowledgement(message)
                {
                    seen += 1;
                    refused.extend(result.err());
                }
                true
            })?;
        }
        Ok(refused)
    }

    /// Collects the refusals of a transaction: every error, until the acknowledgement of message `last` or of any
    /// error, after which nothing more may come.
    ///
    /// # Errors
    /// When the kernel stays silent.
    pub fn transaction(&mut self, last: u32) -> io::Result<Vec<Refused>> {
        let mut refused = Vec::new();
        let mut done = false;
        while !done {
            self.receive(|message| {
                match acknowledgement(message) {
                    Some(Err(refusal)) => {
                        done = true;
                        refused.push(refusal);
                    }
                    Some(Ok(())) => done |= message.sequence == last,
                    None => (),
                }
                true
            })?;
        }
        Ok(refused)
    }

    /// Sends one dump request and gives each answer to `take`; says whether nothing changed meanwhile.
    ///
    /// # Errors
    /// When the kernel refuses or stays silent.
    pub fn dump(&mut self, kind: u16, header: &[u8], mut take: impl FnMut(&Message<'_>)) -> io::Result<bool> {
        let mut request = self.builder();
        request.message(kind, libc::NLM_F_DUMP as u16).raw(header);
        let sequence = request.first();
        self.send(&mut request)?;
        let (mut end, mut whole) = (None, true);
        while end.is_none() {
            self.receive(|message| {
                if message.sequence != sequence {
                    return true;
                }
                whole &= message.flags & NLM_F_DUMP_INTR == 0;
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => end = Some(Ok(())),
                    libc::NLMSG_ERROR => end = Some(acknowledgement(message).unwrap_or(Ok(()))),
                    _ => take(message),
                }
                end.is_none()
            })?;
        }
        match end {
            Some(Err(refused)) => Err(refused.errno.into()),
            _ => Ok(whole),
        }
    }

    fn receive(&mut self, mut take: impl FnMut(&Message<'_>) -> bool) -> io::Result<()> {
        let length = loop {
            match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => break length,
                Err(Errno::EINTR) => (),
                Err(Errno::EAGAIN) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!("the kernel gave no answer in {PATIENCE} s"),
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        };
        for message in messages(&self.buffer[..length]) {
            if !take(&message) {
                break;
            }
        }
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const NLMSGERR_ATTR_MSG: u16 = 1;
/// What was dumped changed meanwhile.
const NLM_F_DUMP_INTR: u16 = 0x10;

// NLMSG_ERROR carries the negative errno, the refused header, then (NLM_F_ACK_TLVS) attributes with words.
pub(crate) fn acknowledgement(message: &Message<'_>) -> Option<Result<(), Refused>> {
    if i32::from(message.kind) != libc::NLMSG_ERROR {
        return None;
    }
    let code = u32_at(message.payload, 0)? as i32;
    if code == 0 {
        return Some(Ok(()));
    }
    let words = attributes(message.payload.get(4 + super::builder::HEADER..).unwrap_or_default())
        .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
        .map(|(_, value)| text(value))
        .unwrap_or_default();
    Some(Err(Refused { sequence: message.sequence, errno: Errno::from_raw(code.saturating_neg()), words }))
}
