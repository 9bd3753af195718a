//! Clients' TCP connections (RFC 7766): many queries on one, answered as they come in; bounded in number, in memory
//! and in the time for which they may be idle.
use netstack::event::Interest;
use netstack::time::Instant;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

/// Connections at the same time; one more closes the one that has been idle longest.
const MOST: usize = 64;
/// Of these, from one address.
const MOST_OF_ONE: usize = 16;
/// Queries on one connection.
const MOST_QUERIES: u32 = 128;
/// Of these, waiting for an upstream at the same time; more are not read.
const MOST_WAITING: usize = 16;
/// The longest query we read. None that makes sense is longer.
const LONGEST_QUERY: usize = 4_096;
/// Answers that the client has not read: beyond the first nothing more is read from it, beyond the second it is cut off.
const PAUSE_OUTPUT: usize = 16 << 10;
const MOST_OUTPUT: usize = 128 << 10;
/// Time for the first whole query, and for each of the others.
const FIRST: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(8);

/// One connection.
#[derive(Debug)]
struct Stream {
    socket: TcpStream,
    peer: IpAddr,
    input: Vec<u8>,
    output: Vec<u8>,
    queries: u32,
    waiting: usize,
    ended: bool,
    deadline: Instant,
}

/// All of them, by number.
#[derive(Debug, Default)]
pub struct Streams {
    open: HashMap<u64, Stream>,
    last: u64,
}

/// What a query's handler did: wrote an answer into the buffer, will answer later, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// The buffer holds the answer.
    Now,
    /// It comes by [`Streams::answer`], or never.
    Later,
}

impl Streams {
    /// Takes a new connection; its number, unless its peer has too many.
    pub fn add(&mut self, now: Instant, socket: TcpStream, peer: IpAddr) -> io::Result<Option<u64>> {
        if self.open.values().filter(|stream| stream.peer == peer).count() >= MOST_OF_ONE {
            return Ok(None);
        }
        socket.set_nonblocking(true)?;
        if self.open.len() >= MOST
            && let Some(idle) = self.open.iter().min_by_key(|(_, stream)| stream.deadline).map(|(number, _)| *number)
        {
            self.open.remove(&idle);
        }
        self.last += 1;
        let (input, output) = (Vec::new(), Vec::new());
        let deadline = now + FIRST;
        let stream = Stream { socket, peer, input, output, queries: 0, waiting: 0, ended: false, deadline };
        self.open.insert(self.last, stream);
        Ok(Some(self.last))
    }

    /// Closes the connection that has been idle longest, if there is one.
    pub fn close_idlest(&mut self) {
        let idlest = self.open.iter().min_by_key(|(_, stream)| stream.deadline).map(|(number, _)| *number);
        idlest.map(|number| self.open.remove(&number));
    }

    /// The socket of a connection, to be watched.
    pub fn socket(&self, number: u64) -> Option<&TcpStream> {
        self.open.get(&number).map(|stream| &stream.socket)
    }

    /// When the next one has been idle for too long.
    pub fn deadline(&self) -> Option<Instant> {
        self.open.values().map(|stream| stream.deadline).min()
    }

    /// Closes those that were idle for too long.
    pub fn tick(&mut self, now: Instant) {
        self.open.retain(|_, stream| now < stream.deadline);
    }

    /// A connection can be read or written: moves what can be moved and hands each whole query to `handle`, with its
    /// sender and a buffer for the answer. Gives what to wait for next; none when the connection is closed.
    pub fn turn(
        &mut self,
        now: Instant,
        number: u64,
        handle: impl FnMut(IpAddr, &[u8], &mut Vec<u8>) -> Handled,
    ) -> Option<Interest> {
        let interest = self.open.get_mut(&number)?.turn(now, handle);
        if interest.is_none() {
            self.open.remove(&number);
        }
        interest
    }

    /// A late answer; true when the connection still exists and wants a [`Streams::turn`].
    pub fn answer(&mut self, number: u64, message: &[u8]) -> bool {
        let Some(stream) = self.open.get_mut(&number) else { return false };
        stream.waiting = stream.waiting.saturating_sub(1);
        stream.put(message);
        true
    }
}

impl Stream {
    fn turn(
        &mut self,
        now: Instant,
        mut handle: impl FnMut(IpAddr, &[u8], &mut Vec<u8>) -> Handled,
    ) -> Option<Interest> {
        self.read().ok()?;
        let mut answer = Vec::new();
        loop {
            let before = self.queries;
            while self.has_room()
                && let Some(length) = whole(&self.input)?
            {
                self.queries += 1;
                self.deadline = now + IDLE;
                match handle(self.peer, self.input.get(2..2 + length).unwrap_or_default(), &mut answer) {
                    Handled::Now => self.put(&answer),
                    Handled::Later => self.waiting += 1,
                }
                self.input.drain(..2 + length);
            }
            if self.write(now).is_err() || self.output.len() > MOST_OUTPUT {
                return None;
            }
            if self.queries == before {
                break;
            }
            self.read().ok()?;
        }
        let over = self.ended || self.queries >= MOST_QUERIES;
        if over && self.waiting == 0 && self.output.is_empty() {
            return None;
        }
        Some(match (self.has_room() && !over, self.output.is_empty()) {
            (true, true) => Interest::READ,
            (true, false) => Interest::BOTH,
            (false, false) => Interest::WRITE,
            (false, true) => Interest::NONE,
        })
    }

    fn has_room(&self) -> bool {
        self.queries < MOST_QUERIES && self.waiting < MOST_WAITING && self.output.len() < PAUSE_OUTPUT
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 2 + LONGEST_QUERY];
        while !self.ended && self.input.len() < buffer.len() {
            let room = buffer.len() - self.input.len();
            match self.socket.read(&mut buffer[..room]) {
                Ok(0) => self.ended = true,
                Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&mut self, now: Instant) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => {
                    self.output.drain(..length);
                    self.deadline = now + IDLE;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn put(&mut self, message: &[u8]) {
        let Ok(length) = u16::try_from(message.len()) else { return };
        self.output.extend_from_slice(&length.to_be_bytes());
        self.output.extend_from_slice(message);
    }
}

// The length of the query that the input starts with, once it is there whole. None ends the connection.
pub(super) fn whole(input: &[u8]) -> Option<Option<usize>> {
    let &[high, low, ref rest @ ..] = input else { return Some(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST_QUERY {
        return None;
    }
    Some((rest.len() >= length).then_some(length))
}
