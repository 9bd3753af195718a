//! A client's connection: its session, what it is shown, and how far it has been shown it.
use super::keys::Authorized;
use super::pcapng::Writer;
use super::ring::Ring;
use super::session::{Session, State};
use super::tap::Tap;
use super::wish::Wish;
use netstack::event::Interest;
use netstack::time::Instant;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use sunset::SignKey;

/// Bytes of a stream that wait to be wrapped.
const AHEAD: usize = 32 << 10;
/// Turns before the others have theirs.
const ROUNDS: u32 = 16;

/// How far somebody has been shown a ring.
#[derive(Debug)]
pub struct View {
    writer: Writer,
    /// The next packet's number.
    number: u64,
    wish: Wish,
}

impl View {
    /// From the oldest packet on; the head of the file goes to `into`.
    pub fn begin(wish: Wish, ring: &Ring, into: &mut Vec<u8>) -> View {
        Writer::head(into);
        let number = ring.from(0).map_or(ring.next(), |(number, ..)| number);
        View { writer: Writer::default(), number, wish }
    }

    /// Leaves out what comes before this number.
    pub fn skip_to(&mut self, number: u64) {
        self.number = self.number.max(number);
    }

    /// Appends what is there, up to so many bytes; whether it was something.
    pub fn fill(&mut self, ring: &Ring, into: &mut Vec<u8>, most: usize) -> bool {
        let before = into.len();
        while into.len() < most {
            let Some((number, place, name, packet)) = ring.from(self.number) else { break };
            if self.wish.takes(&packet.bytes) {
                self.writer.packet(into, place, name, packet, number - self.number);
            }
            self.number = number + 1;
        }
        into.len() > before
    }
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    /// Its socket.
    pub stream: TcpStream,
    /// When it is closed unless it has logged in and said what it wants.
    pub deadline: Option<Instant>,
    /// Sockets and ring of its own, when it wants what the common ring does not have.
    pub own: Option<(Tap, Ring)>,
    session: Session,
    keys: Authorized,
    view: Option<View>,
    input: Vec<u8>,
}

impl Client {
    /// One that has just connected.
    pub fn new(stream: TcpStream, keys: Authorized, deadline: Instant) -> Client {
        let (session, input) = (Session::new(), Vec::new());
        Client { stream, deadline: Some(deadline), own: None, session, keys, view: None, input }
    }

    /// What it wants, once it has said so and is not shown it yet.
    pub fn wish(&self) -> Option<Wish> {
        match self.session.state() {
            State::Wants(wish) if self.view.is_none() => Some(wish),
            _ => None,
        }
    }

    /// Begins to show it what it wants.
    pub fn show(&mut self, wish: Wish, ring: &Ring, own: Option<(Tap, Ring)>) {
        self.own = own;
        self.deadline = None;
        let ring = self.own.as_ref().map_or(ring, |(_, own)| own);
        self.view = Some(View::begin(wish, ring, self.session.waiting()));
    }

    /// Whether it is being shown the common ring.
    pub fn is_shown(&self) -> bool {
        self.view.is_some()
    }

    /// Reads, answers and writes what can be; what to wait for, or none when it is over. Comes back early when it
    /// wants something that it is to be shown first.
    pub fn go(&mut self, ring: &Ring, host_key: &SignKey) -> Option<Interest> {
        for _ in 0..ROUNDS {
            let read = self.read()?;
            // Whoever speaks no SSH has no word of ours to expect.
            self.session.turn(&self.keys, host_key).ok()?;
            let ring = self.own.as_ref().map_or(ring, |(_, own)| own);
            let filled = self.view.as_mut().is_some_and(|view| view.fill(ring, self.session.waiting(), AHEAD));
            if filled {
                self.session.turn(&self.keys, host_key).ok()?;
            }
            let wrote = self.write()?;
            if self.session.is_done() {
                return None;
            }
            if self.wish().is_some() {
                break;
            }
            if !(read || filled || wrote) {
                return self.interest();
            }
        }
        // There is more: the next turn comes as soon as it can be written.
        Some(Interest::BOTH)
    }

    fn interest(&mut self) -> Option<Interest> {
        match (self.input.is_empty(), self.session.output().is_empty()) {
            (true, true) => Some(Interest::READ),
            (true, false) => Some(Interest::BOTH),
            (false, false) => Some(Interest::WRITE),
            // It has said something that will never be heard, as nothing else is owed to it.
            (false, true) => None,
        }
    }

    /// Whether something was taken; none when it has gone.
    fn read(&mut self) -> Option<bool> {
        let mut taken = false;
        while self.session.is_hungry() {
            if self.input.is_empty() {
                let mut bytes = [0; 4 << 10];
                match self.stream.read(&mut bytes) {
                    Ok(0) => return None,
                    Ok(count) => self.input.extend_from_slice(bytes.get(..count)?),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(taken),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(_) => return None,
                }
            }
            let count = self.session.input(&self.input).ok()?;
            self.input.drain(..count.min(self.input.len()));
            taken |= count > 0;
            if count == 0 {
                break;
            }
        }
        Some(taken)
    }

    fn write(&mut self) -> Option<bool> {
        let mut wrote = false;
        loop {
            let output = self.session.output();
            if output.is_empty() {
                return Some(wrote);
            }
            match self.stream.write(output) {
                Ok(0) => return None,
                Ok(count) => self.session.sent(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(wrote),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return None,
            }
            wrote = true;
        }
    }
}
