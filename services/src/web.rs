//! A small HTTP/1.1 server for what the house shows of itself: on every private address, never on the uplink; one
//! request a connection, bounded in number, size and time. On [`HTTPS`] the same goes over TLS.
//!
//! The service owns the event loop; this owns the sockets and the tokens from [`FIRST`] on.
mod answer;
mod connection;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod request;
mod wire;

pub use answer::{Answer, Response};
pub use connection::{Flow, Sink, Source};
pub use request::Request;

use crate::house::rarely::Rarely;
use answer::chunk;
use connection::{Connection, Takes};
use netstack::event::{Interest, Loop, Token};
use netstack::time::Instant;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;
use wire::Wire;

/// The first token of the server; a service's own are smaller.
pub const FIRST: u64 = 1 << 32;
/// Connections at the same time; one more closes the oldest.
const MOST: usize = 32;
/// The same where pages are kept open, and how many of them a single peer may have.
const MOST_OPEN: usize = 96;
const MOST_OF_ONE: usize = 24;
/// Where TLS is spoken.
pub const HTTPS: u16 = 443;
/// Addresses that are listened on, with each of their ports.
const MOST_ADDRESSES: usize = 128;
/// Bytes of a request's head.
const LARGEST: usize = 8 << 10;
/// Bytes of a body, where files may be sent.
const LARGEST_FILE: usize = 128 << 10;
/// Time for a request and for its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time for a piece of a stream to be taken.
const STALL: Duration = Duration::from_secs(60);
/// Bytes of a live stream that wait for their reader; who falls further behind is left behind.
const BEHIND: usize = 64 << 10;
/// After this an address that could not be bound is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What follows a request.
#[derive(Debug)]
pub enum Reply {
    /// The answer.
    Now(Answer),
    /// The service says it later, by [`Server::answer`] or [`Server::stream`] and the token of the connection.
    Later,
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Reply {
        Reply::Now(answer)
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Reply {
        Reply::Now(response.into())
    }
}

/// The listeners and connections of a service.
#[derive(Debug, Default)]
pub struct Server {
    listeners: Vec<(u64, SocketAddr, TcpListener)>,
    open: HashMap<u64, Connection>,
    last: u64,
    retry: Option<Instant>,
    any_method: bool,
    pages: bool,
    /// Paths whose bodies are taken as they come.
    sent: &'static [&'static str],
    /// Who we are where TLS is spoken; none = nobody is answered there.
    identity: Option<Arc<ServerConfig>>,
    complaint: Rarely,
}

impl Server {
    /// One for pages that stay open and send files; bodies that are sent to the paths `sent` are taken as they come.
    pub fn of_pages(sent: &'static [&'static str]) -> Server {
        Server { pages: true, sent, ..Server::default() }
    }

    /// One whose service does not care how it is asked; any other knows GET and HEAD only.
    pub fn taking_any_method() -> Server {
        Server { any_method: true, ..Server::default() }
    }

    /// Whether a token is one of the server's.
    pub fn owns(token: Token) -> bool {
        token.0 >= FIRST
    }

    /// Who we are from now on where TLS is spoken.
    pub fn identify(&mut self, identity: Arc<ServerConfig>) {
        self.identity = Some(identity);
    }

    /// Whether somebody comes to a port where TLS is spoken.
    pub fn is_secure(&self, token: Token) -> bool {
        self.listeners.iter().any(|(number, address, _)| *number == token.0 && address.port() == HTTPS)
    }

    /// When [`Server::tick`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        self.open.values().map(|connection| connection.deadline).chain(self.retry).min()
    }

    /// Whether an address is to be tried again: [`Server::follow`] is wanted.
    pub fn wants_follow(&self, now: Instant) -> bool {
        self.retry.is_some_and(|at| at <= now)
    }

    /// Listens on these addresses and on no other.
    pub fn follow(&mut self, turn: &Loop, now: Instant, addresses: &[SocketAddr]) {
        self.retry = None;
        self.listeners.retain(|(_, address, _)| addresses.contains(address));
        for address in addresses.iter().take(MOST_ADDRESSES) {
            if self.listeners.iter().any(|(_, known, _)| known == address) {
                continue;
            }
            let number = self.next();
            let opened = open(*address).and_then(|listener| {
                turn.add(&listener, Token(number), Interest::READ)?;
                Ok(listener)
            });
            match opened {
                Ok(listener) => self.listeners.push((number, *address, listener)),
                Err(error) => {
                    self.complaint.warn(now, || format!("cannot listen on {address}: {error}"));
                    self.retry = Some(now + RETRY);
                }
            }
        }
    }

    /// Closes what took too long.
    pub fn tick(&mut self, now: Instant) {
        self.open.retain(|_, connection| now < connection.deadline);
    }

    /// One of the server's tokens is ready.
    pub fn ready<A: Into<Reply>>(
        &mut self,
        turn: &Loop,
        now: Instant,
        token: Token,
        answer: impl FnOnce(&Request) -> A,
    ) {
        if let Some(at) = self.listeners.iter().position(|(number, ..)| *number == token.0) {
            let secure = self.listeners[at].1.port() == HTTPS;
            while let Ok((stream, peer)) = self.listeners[at].2.accept() {
                self.add(turn, now, stream, peer.ip(), secure);
            }
            return;
        }
        let takes =
            Takes { any_method: self.any_method, body: if self.pages { LARGEST_FILE } else { 0 }, sent: self.sent };
        self.go_on(turn, token, |connection| connection.turn(now, takes, answer));
    }

    /// The answer that was to come later, to the connection with this token; one that has gone meanwhile misses it.
    pub fn answer(&mut self, turn: &Loop, now: Instant, token: Token, answer: impl Into<Answer>) {
        self.go_on(turn, token, |connection| {
            let Some(with_body) = connection.later.take() else { return Ok(None) };
            connection.output = answer.into().bytes(with_body);
            connection.deadline = now + PATIENCE;
            connection.sink = None;
            connection.pull(now)
        });
    }

    /// Takes the body of the request of the connection with this token from now on.
    pub fn receive(&mut self, turn: &Loop, now: Instant, token: Token, sink: Box<dyn Sink>) {
        self.go_on(turn, token, |connection| {
            connection.sink = Some(sink);
            connection.pull(now)
        });
    }

    /// Its sink can take more, or its source has more.
    pub fn resume(&mut self, turn: &Loop, now: Instant, token: Token) {
        self.go_on(turn, token, |connection| connection.pull(now));
    }

    /// The same with content that is made while it is taken. Each time the client takes some it has [`STALL`] for the next.
    pub fn stream(&mut self, turn: &Loop, now: Instant, token: Token, kind: &'static str, source: Box<dyn Source>) {
        self.go_on(turn, token, |connection| {
            let Some(with_body) = connection.later.take() else { return Ok(None) };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            );
            connection.output = head.into_bytes();
            connection.source = with_body.then_some(source);
            connection.deadline = now + STALL;
            connection.write(now)
        });
    }

    /// Passes on what another server answers, head and all; that is never asked for a head alone.
    pub fn pass(&mut self, turn: &Loop, now: Instant, token: Token, source: Box<dyn Source>) {
        self.go_on(turn, token, |connection| {
            match connection.later.take() {
                None => return Ok(None),
                Some(false) => connection.output = Response::text(405, "only GET\n").bytes(false),
                Some(true) => (connection.source, connection.raw) = (Some(source), true),
            }
            connection.deadline = now + STALL;
            connection.write(now)
        });
    }

    /// Begins a stream that never ends by itself: what is said comes by [`Server::push`]. A peer has a share of them.
    pub fn live(&mut self, turn: &Loop, now: Instant, token: Token, kind: &'static str) {
        self.go_on(turn, token, |connection| {
            let Some(with_body) = connection.later.take() else { return Ok(None) };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nCache-Control: no-store\r\n\
                 Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            );
            connection.output = head.into_bytes();
            connection.live = with_body;
            connection.deadline = now + STALL;
            connection.write(now)
        });
    }

    /// Says something on such a stream; whether somebody still listens. Who does not take it in time is left behind.
    pub fn push(&mut self, turn: &Loop, now: Instant, token: Token, said: &[u8]) -> bool {
        self.go_on(turn, token, |connection| {
            if !connection.live || connection.output.len() - connection.sent > BEHIND {
                return Ok(None);
            }
            connection.output.drain(..std::mem::take(&mut connection.sent));
            connection.output.extend_from_slice(&chunk(said));
            connection.write(now)
        });
        self.open.contains_key(&token.0)
    }

    /// Ends such a stream.
    pub fn close(&mut self, token: Token) {
        self.open.remove(&token.0);
    }

    /// Whether a connection is still there.
    pub fn is_open(&self, token: Token) -> bool {
        self.open.contains_key(&token.0)
    }

    /// How many streams are being taken.
    pub fn streams(&self) -> usize {
        self.open.values().filter(|connection| connection.source.is_some()).count()
    }

    fn go_on(&mut self, turn: &Loop, token: Token, step: impl FnOnce(&mut Connection) -> io::Result<Option<Interest>>) {
        let Some(connection) = self.open.get_mut(&token.0) else { return };
        match step(connection) {
            Ok(Some(interest)) if turn.modify(connection.wire.stream(), token, interest).is_ok() => {}
            // Done, gone or refused.
            _ => drop(self.open.remove(&token.0)),
        }
    }

    fn add(&mut self, turn: &Loop, now: Instant, stream: TcpStream, peer: IpAddr, secure: bool) {
        let oldest_of = |open: &HashMap<u64, Connection>, who: &dyn Fn(&Connection) -> bool| {
            let open = open.iter().filter(|(_, open)| who(open));
            open.min_by_key(|(_, open)| (open.live, open.deadline)).map(|(number, _)| *number)
        };
        let is_his = |open: &Connection| open.peer == peer;
        let most = if self.pages { MOST_OPEN } else { MOST };
        let oldest = if self.pages && self.open.values().filter(|open| is_his(open)).count() >= MOST_OF_ONE {
            oldest_of(&self.open, &is_his)
        } else if self.open.len() >= most {
            oldest_of(&self.open, &|_| true)
        } else {
            None
        };
        oldest.and_then(|oldest| self.open.remove(&oldest));
        let number = self.next();
        let watched = stream.set_nonblocking(true).and_then(|()| turn.add(&stream, Token(number), Interest::READ));
        let wire = match (&self.identity, secure) {
            (Some(identity), true) => watched.and_then(|()| Wire::secure(stream, identity)),
            (None, true) => return,
            (_, false) => watched.map(|()| Wire::plain(stream)),
        };
        if let Ok(wire) = wire {
            let (input, output, deadline, sent, left) = (Vec::new(), Vec::new(), now + PATIENCE, 0, 0);
            let (later, sink, source, dry, raw, live) = (None, None, None, false, false, false);
            let connection =
                Connection { wire, peer, input, output, sent, later, left, sink, source, dry, raw, live, deadline };
            self.open.insert(number, connection);
        }
    }

    fn next(&mut self) -> u64 {
        self.last = self.last.max(FIRST) + 1;
        self.last
    }
}

/// Opens a listener that does not block.
///
/// # Errors
/// When the address is not ours or is taken.
pub fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&fd, Backlog::new(16)?)?;
    Ok(TcpListener::from(fd))
}

#[cfg(test)]
mod tests;
