//! The sockets towards upstreams. A question by UDP goes out from a port that the kernel has chosen at random, on a
//! connected socket, so that the kernel drops what others send. Questions of the same moment to the same upstream share
//! one, at most [`SHARED`] of them, for at most [`LIFE`]; a reply belongs to the question whose id it has.
use super::engine::{Attempt, Transport};
use netstack::batch::Inbox;
use netstack::connect;
use netstack::event::Interest;
use netstack::time::Instant;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Questions that go out from one port, and for how long it takes new ones.
const SHARED: usize = 32;
const LIFE: Duration = Duration::from_secs(1);
/// How long a port hears late replies.
const LATE: Duration = Duration::from_secs(5);
/// Ports open at the same time; beyond the first, those that wait for nothing are closed early.
const FEW_PORTS: usize = 32;
const MOST_PORTS: usize = 256;
/// Connections to upstreams at the same time; their answers may be 64 KiB each.
const MOST_TCP: usize = 32;

/// A socket with a port of its own.
#[derive(Debug)]
struct Port {
    socket: UdpSocket,
    to: SocketAddr,
    opened: Instant,
    /// What went out from it, by id.
    sent: Vec<(u16, Attempt)>,
    /// How many of these are still wanted.
    wanted: usize,
}

#[derive(Debug)]
enum Asking {
    Udp(u64),
    Tcp(Connection),
}

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    output: Vec<u8>,
    input: Vec<u8>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Outside {
    ports: HashMap<u64, Port>,
    last: u64,
    open: HashMap<Attempt, Asking>,
    tcp: usize,
    sweep: Option<Instant>,
}

/// A socket to be watched.
#[derive(Debug)]
pub enum Opened<'a> {
    /// A new port, by its number.
    Port(u64, BorrowedFd<'a>),
    /// A connection.
    Connection(BorrowedFd<'a>),
    /// One that is watched already.
    Known,
}

/// What came of a ready connection.
#[derive(Debug)]
pub enum Came {
    /// Nothing whole yet; the socket is to be watched for this.
    Nothing(Interest),
    /// A message.
    Reply(Vec<u8>),
    /// The socket has failed, or the upstream has closed it.
    Failed,
    /// The attempt is over already.
    Gone,
}

impl Outside {
    /// Sends, or begins to, and gives the socket to be watched.
    ///
    /// # Errors
    /// When there is no descriptor, or no way to the upstream.
    pub fn ask(
        &mut self,
        now: Instant,
        attempt: Attempt,
        to: SocketAddr,
        transport: Transport,
        message: &[u8],
    ) -> io::Result<Opened<'_>> {
        match transport {
            Transport::Udp => {
                let (number, is_new) = self.port(now, to)?;
                let port = self.ports.get_mut(&number).ok_or(io::ErrorKind::NotFound)?;
                // An error is one of an earlier question: this one may go.
                port.socket.send(message).or_else(|_| port.socket.send(message))?;
                port.sent.push((id(message), attempt));
                port.wanted += 1;
                self.open.insert(attempt, Asking::Udp(number));
                Ok(if is_new { Opened::Port(number, port.socket.as_fd()) } else { Opened::Known })
            }
            Transport::Tcp => {
                if self.tcp >= MOST_TCP {
                    return Err(io::Error::other("too many connections to upstreams"));
                }
                let socket = connect::tcp(to)?;
                let length = u16::try_from(message.len()).map_err(io::Error::other)?;
                let output = [&length.to_be_bytes(), message].concat();
                self.tcp += 1;
                self.open.insert(attempt, Asking::Tcp(Connection { socket, output, input: Vec::new() }));
                self.connection(attempt).map(Opened::Connection).ok_or(io::ErrorKind::NotFound.into())
            }
            // [`super::secure`]'s.
            Transport::Tls => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    // The port that still takes questions to this upstream, or a new one.
    fn port(&mut self, now: Instant, to: SocketAddr) -> io::Result<(u64, bool)> {
        let of_it = self.ports.iter().filter(|(_, port)| port.to == to).max_by_key(|(number, _)| **number);
        let known = of_it.map(|(number, port)| (*number, port.sent.len() < SHARED && now < port.opened + LIFE));
        if let Some((number, true)) = known {
            return Ok((number, false));
        }
        let opened =
            if self.ports.len() >= MOST_PORTS { Err(io::Error::other("too many ports")) } else { connect::udp(to) };
        match (opened, known) {
            (Ok(socket), _) => {
                self.last += 1;
                self.ports.insert(self.last, Port { socket, to, opened: now, sent: Vec::new(), wanted: 0 });
                self.sweep = self.sweep.or(Some(now + LATE));
                if let Some((old, _)) = known {
                    self.close_early(old);
                }
                Ok((self.last, true))
            }
            // Without a descriptor the old one has to do.
            (Err(_), Some((number, _))) => Ok((number, false)),
            (Err(error), None) => Err(error),
        }
    }

    // A port that takes nothing more and waits for nothing more only hears late replies: where there are many, none.
    fn close_early(&mut self, number: u64) {
        let few = self.ports.len() <= FEW_PORTS;
        if self.ports.get(&number).is_some_and(|port| port.wanted == 0 && (!few || port.sent.len() >= SHARED)) {
            self.ports.remove(&number);
        }
    }

    /// When [`Outside::tick`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        self.sweep
    }

    /// Closes ports that nothing is waited for on any more.
    pub fn tick(&mut self, now: Instant) {
        self.ports.retain(|_, port| port.wanted > 0 || now < port.opened + LATE);
        self.sweep = self.ports.values().map(|port| (port.opened + LATE).max(now + LIFE)).min();
    }

    /// Forgets every port: the way out is another one.
    pub fn rewire(&mut self) {
        self.ports.retain(|_, port| port.wanted > 0);
        for port in self.ports.values_mut() {
            // It takes nothing more.
            port.opened = Instant::default();
        }
    }

    /// Reads what came on a port and gives each message to `hear`, with whose it may be. False: it has failed, and with
    /// it everything in the list.
    pub fn receive(&mut self, number: u64, inbox: &mut Inbox, mut hear: impl FnMut(Attempt, &[u8])) -> Vec<Attempt> {
        let Some(port) = self.ports.get_mut(&number) else { return Vec::new() };
        match inbox.receive(&port.socket) {
            Ok(_) => {}
            Err(error) if waits(&error) => return Vec::new(),
            Err(_) => return port.sent.iter().map(|(_, attempt)| *attempt).collect(),
        }
        for datagram in inbox.datagrams() {
            for (_, attempt) in port.sent.iter().filter(|(sent, _)| *sent == id(datagram.bytes)) {
                match datagram.bytes {
                    &[a, b, flags, ref rest @ ..] if datagram.cut => {
                        // More than we said we take: as good as truncated.
                        hear(*attempt, &[&[a, b, flags | 0x02], rest].concat());
                    }
                    whole => hear(*attempt, whole),
                }
            }
        }
        Vec::new()
    }

    /// The socket of a connection.
    pub fn connection(&self, attempt: Attempt) -> Option<BorrowedFd<'_>> {
        match self.open.get(&attempt) {
            Some(Asking::Tcp(connection)) => Some(connection.socket.as_fd()),
            _ => None,
        }
    }

    /// Nothing more is wanted of an attempt.
    pub fn close(&mut self, attempt: Attempt) {
        match self.open.remove(&attempt) {
            Some(Asking::Tcp(_)) => self.tcp -= 1,
            Some(Asking::Udp(number)) => {
                if let Some(port) = self.ports.get_mut(&number) {
                    port.wanted = port.wanted.saturating_sub(1);
                    if port.sent.len() >= SHARED {
                        self.close_early(number);
                    }
                }
            }
            None => {}
        }
    }

    /// A connection is ready.
    pub fn turn(&mut self, attempt: Attempt, buffer: &mut [u8]) -> Came {
        match self.open.get_mut(&attempt) {
            Some(Asking::Tcp(connection)) => connection.turn(buffer),
            _ => Came::Gone,
        }
    }
}

impl Connection {
    fn turn(&mut self, buffer: &mut [u8]) -> Came {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(0) => return Came::Failed,
                Ok(length) => drop(self.output.drain(..length)),
                Err(error) if waits(&error) => return Came::Nothing(Interest::WRITE),
                Err(_) => return Came::Failed,
            }
        }
        loop {
            if let Some(length) = self.input.first_chunk::<2>().map(|length| usize::from(u16::from_be_bytes(*length)))
                && let Some(message) = self.input.get(2..2 + length)
            {
                return Came::Reply(message.to_vec());
            }
            match self.socket.read(buffer) {
                Ok(0) => return Came::Failed,
                Ok(length) => self.input.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Err(error) if waits(&error) => return Came::Nothing(Interest::READ),
                Err(_) => return Came::Failed,
            }
        }
    }
}

fn id(message: &[u8]) -> u16 {
    message.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id))
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
