//! The sockets towards upstreams: one for each attempt, so that each has a source port of its own that nobody can
//! foresee, and connected, so that the kernel drops what others send.
use super::engine::{Attempt, Transport};
use netstack::event::Interest;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Connections to upstreams at the same time; their answers may be 64 KiB each.
const MOST_TCP: usize = 32;

/// One attempt's socket.
#[derive(Debug)]
enum Asking {
    Udp(UdpSocket),
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
    open: HashMap<Attempt, Asking>,
    tcp: usize,
}

/// What came of a ready socket.
#[derive(Debug)]
pub enum Came {
    /// Nothing whole yet; the socket is to be watched for this.
    Nothing(Interest),
    /// A message.
    Reply(Vec<u8>),
    /// So many bytes of the buffer are a message.
    Datagram(usize),
    /// The socket has failed, or the upstream has closed it.
    Failed,
    /// The attempt is over already.
    Gone,
}

impl Outside {
    /// Opens a socket and sends, or begins to.
    ///
    /// # Errors
    /// When there is no descriptor, or no way to the upstream.
    pub fn ask(&mut self, attempt: Attempt, to: SocketAddr, transport: Transport, message: &[u8]) -> io::Result<()> {
        let asking = match transport {
            Transport::Udp => {
                let socket = UdpSocket::from(connected(to, SockType::Datagram)?);
                socket.send(message)?;
                Asking::Udp(socket)
            }
            Transport::Tcp => {
                if self.tcp >= MOST_TCP {
                    return Err(io::Error::other("too many connections to upstreams"));
                }
                let socket = TcpStream::from(connected(to, SockType::Stream)?);
                let length = u16::try_from(message.len()).map_err(io::Error::other)?;
                let output = [&length.to_be_bytes(), message].concat();
                self.tcp += 1;
                Asking::Tcp(Connection { socket, output, input: Vec::new() })
            }
        };
        self.open.insert(attempt, asking);
        Ok(())
    }

    /// The socket of an attempt, and what to watch it for at first.
    pub fn socket(&self, attempt: Attempt) -> Option<(BorrowedFd<'_>, Interest)> {
        self.open.get(&attempt).map(|asking| match asking {
            Asking::Udp(socket) => (socket.as_fd(), Interest::READ),
            Asking::Tcp(connection) => (connection.socket.as_fd(), Interest::WRITE),
        })
    }

    /// Closes the socket of an attempt.
    pub fn close(&mut self, attempt: Attempt) {
        if let Some(Asking::Tcp(_)) = self.open.remove(&attempt) {
            self.tcp -= 1;
        }
    }

    /// A socket is ready. Datagrams are read into `buffer`.
    pub fn turn(&mut self, attempt: Attempt, buffer: &mut [u8]) -> Came {
        match self.open.get_mut(&attempt) {
            None => Came::Gone,
            Some(Asking::Udp(socket)) => match socket.recv(buffer) {
                Ok(length) => Came::Datagram(length),
                Err(error) if waits(&error) => Came::Nothing(Interest::READ),
                Err(_) => Came::Failed,
            },
            Some(Asking::Tcp(connection)) => connection.turn(buffer),
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

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

// The kernel chooses the source port at random when an unbound socket connects.
fn connected(to: SocketAddr, kind: SockType) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(fd),
        Err(error) => Err(error.into()),
    }
}
