//! A small HTTP/1.1 server for what the house shows of itself: on every private address, never on the uplink; one
//! request a connection, bounded in number, size and time. On [`HTTPS`] the same goes over TLS.
//!
//! The service owns the event loop; this owns the sockets and the tokens from [`FIRST`] on.
mod wire;

use crate::house::rarely::Rarely;
use netstack::event::{Interest, Loop, Token};
use netstack::time::Instant;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::io::{self, Read, Write};
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
/// Bytes of a body that is taken as it comes.
const LARGEST_SENT: u64 = 64 << 20;
/// Header lines of a request.
const HEADERS: usize = 64;
/// Time for a request and for its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time for a piece of a stream to be taken.
const STALL: Duration = Duration::from_secs(60);
/// Bytes of a live stream that wait for their reader; who falls further behind is left behind.
const BEHIND: usize = 64 << 10;
/// After this an address that could not be bound is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` (also for `HEAD`) or `POST`.
    pub method: String,
    /// Without what follows a `?`.
    pub path: String,
    /// What follows the `?`, as it came.
    pub query: String,
    /// Who asks.
    pub peer: IpAddr,
    /// It came over TLS.
    pub secure: bool,
    /// The name by which the client knows us, with the port.
    pub host: String,
    /// Where a browser says that the request comes from; empty when it does not say.
    pub origin: String,
    /// What the client says of who it is, such as `Basic Z29r...`; empty when it does not say.
    pub authorization: String,
    /// Every header, by its name in lower case.
    pub headers: Vec<(String, String)>,
    /// What a form holds.
    pub body: Vec<u8>,
    /// Bytes of a body that is still to come, where it is taken as it comes.
    pub coming: u64,
}

impl Request {
    /// One that asks for nothing, to be filled by tests.
    #[cfg(test)]
    pub fn empty() -> Request {
        let (method, path, query, host, origin, authorization) = Default::default();
        let peer = IpAddr::from([127, 0, 0, 1]);
        let (secure, headers, body, coming) = Default::default();
        Request { method, path, query, peer, secure, host, origin, authorization, headers, body, coming }
    }

    /// Whether it was meant for this server: called by its address or by a name at home, which no site of the internet
    /// has, and from no other site's page.
    pub fn is_for_us(&self) -> bool {
        let name = match self.host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.host.rsplit_once(':').map_or(self.host.as_str(), |(name, _)| name),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let at_home = name.parse::<std::net::IpAddr>().is_ok() || !name.contains('.') || name.ends_with(".lan");
        let origin = self.origin.split_once("://").map_or(self.origin.as_str(), |(_, host)| host);
        !name.is_empty() && at_home && (origin.is_empty() || origin == self.host)
    }

    /// The first value of a key of the query, decoded; what decodes to no text is none.
    pub fn value(&self, key: &str) -> Option<String> {
        value_of(&self.query, key)
    }

    /// The same of a form.
    pub fn field(&self, key: &str) -> Option<String> {
        value_of(std::str::from_utf8(&self.body).ok()?, key)
    }

    /// A header by its name in lower case; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }
}

fn value_of(pairs: &str, key: &str) -> Option<String> {
    let mut pairs = pairs.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(name, _)| decoded(name).as_deref() == Some(key)).and_then(|(_, value)| decoded(value))
}

// `%41` is A and `+` is a space (WHATWG URL, application/x-www-form-urlencoded).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let &[first, ref tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', &[high, low, ref after @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                bytes.push((digit(high)? << 4 | digit(low)?) as u8);
                rest = after;
            }
            (b'%', _) => return None,
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).ok()
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// `Content-Type`.
    pub kind: &'static str,
    /// The content.
    pub body: Vec<u8>,
}

impl Response {
    /// Plain text.
    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Response {
        Response { status, kind: "text/plain; charset=utf-8", body: body.into() }
    }

    fn bytes(&self, with_body: bool) -> Vec<u8> {
        self.bytes_with("", with_body)
    }

    fn bytes_with(&self, headers: &str, with_body: bool) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            302 => "Found",
            303 => "See Other",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            413 => "Content Too Large",
            421 => "Misdirected Request",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            _ => "Error",
        };
        let head = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
            self.status,
            self.kind,
            self.body.len()
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(if with_body { &self.body } else { &[] });
        bytes
    }
}

/// A response with headers of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    response: Response,
    headers: String,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Answer {
        Answer { response, headers: String::new() }
    }
}

impl Answer {
    /// Adds a header; line ends in it are left out.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Answer {
        let value: String = value.chars().filter(|letter| !letter.is_control()).collect();
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// To another page of ours.
    pub fn redirect(path: &str) -> Answer {
        Answer::from(Response::text(302, "")).header("Location", path)
    }

    fn bytes(&self, with_body: bool) -> Vec<u8> {
        self.response.bytes_with(&self.headers, with_body)
    }
}

/// Content that is made while it is taken.
pub trait Source: std::fmt::Debug {
    /// Appends some more to `into`; `false` = that was all. What is asked for is never more than can be sent soon.
    ///
    /// # Errors
    /// What breaks the content off: the connection is closed so that the client notices.
    fn more(&mut self, into: &mut Vec<u8>) -> io::Result<bool>;
}

/// Where a body goes that is taken as it comes.
pub trait Sink: std::fmt::Debug {
    /// Takes some of it; how many bytes. None = not now: [`Server::resume`] goes on.
    ///
    /// # Errors
    /// When it takes no more at all: the rest is heard and let go.
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// That was all.
    fn done(&mut self);
}

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

#[derive(Debug)]
struct Connection {
    wire: Wire,
    peer: IpAddr,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    /// The answer is still to come, with a body or without.
    later: Option<bool>,
    /// Bytes of the body that are still to come, and who takes them; nobody = they are heard and let go.
    left: u64,
    sink: Option<Box<dyn Sink>>,
    /// Where more of the answer comes from.
    source: Option<Box<dyn Source>>,
    /// More is said whenever there is news.
    live: bool,
    deadline: Instant,
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

    /// Its sink can take more.
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
            let (later, sink, source, live) = (None, None, None, false);
            let connection = Connection { wire, peer, input, output, sent, later, left, sink, source, live, deadline };
            self.open.insert(number, connection);
        }
    }

    fn next(&mut self) -> u64 {
        self.last = self.last.max(FIRST) + 1;
        self.last
    }
}

/// What a server takes besides GET, HEAD and short forms.
#[derive(Debug, Clone, Copy, Default)]
struct Takes {
    any_method: bool,
    /// Bytes of a body besides those that a head may have.
    body: usize,
    /// Where bodies are taken as they come.
    sent: &'static [&'static str],
}

impl Connection {
    /// Reads the request, then writes the answer. Gives what to wait for; none when it is over.
    fn turn<A: Into<Reply>>(
        &mut self,
        now: Instant,
        takes: Takes,
        answer: impl FnOnce(&Request) -> A,
    ) -> io::Result<Option<Interest>> {
        if self.left > 0 && (self.sink.is_some() || self.later.is_none()) {
            return self.pull(now);
        }
        if self.later.is_some() || self.live && self.sent == self.output.len() && self.wire.is_out() {
            // Nothing is asked of it, so it can only have gone.
            return Ok(None);
        }
        if self.output.is_empty() && self.source.is_none() && !self.live {
            let mut buffer = [0; 2_048];
            loop {
                match self.wire.read(&mut buffer) {
                    Ok(0) => return Ok(None),
                    Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
                if self.input.len() > LARGEST + takes.body {
                    break;
                }
            }
            match asked(&self.input, (self.peer, self.wire.is_secure()), takes) {
                None => return Ok(Some(self.wire.hearing())),
                Some(Err(refused)) => self.output = refused.bytes(true),
                Some(Ok((request, with_body))) => {
                    self.left = request.coming;
                    let head = if self.left > 0 { end_of_head(&self.input) } else { self.input.len() };
                    self.input.drain(..head);
                    match answer(&request).into() {
                        Reply::Now(answer) => self.output = answer.bytes(with_body),
                        Reply::Later => {
                            self.later = Some(with_body);
                            return Ok(Some(Interest::NONE));
                        }
                    }
                }
            }
        }
        self.write(now)
    }

    /// Moves a body to its sink as far as both have something to do; then the answer, when there is one.
    fn pull(&mut self, now: Instant) -> io::Result<Option<Interest>> {
        let mut buffer = [0; 16 << 10];
        while self.left > 0 {
            if self.input.is_empty() {
                match self.wire.read(&mut buffer) {
                    Ok(0) => return Ok(None),
                    Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(self.wire.hearing())),
                    Err(error) => return Err(error),
                }
            }
            let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.input.len());
            let part = self.input.get(..most).unwrap_or_default();
            let taken = match self.sink.as_mut().map(|sink| sink.take(part)) {
                Some(Ok(0)) => return Ok(Some(Interest::NONE)),
                Some(Ok(taken)) => taken,
                Some(Err(_)) => {
                    self.sink = None;
                    most
                }
                None => most,
            };
            self.input.drain(..taken);
            self.left -= taken as u64;
            self.deadline = now + STALL;
        }
        if let Some(mut sink) = self.sink.take() {
            sink.done();
        }
        if self.later.is_some() { Ok(Some(Interest::NONE)) } else { self.write(now) }
    }

    fn write(&mut self, now: Instant) -> io::Result<Option<Interest>> {
        while self.sent < self.output.len() {
            match self.wire.write(&self.output[self.sent..]) {
                Ok(0) => return Ok(None),
                Ok(length) => {
                    self.sent += length;
                    if self.source.is_some() || self.live {
                        self.deadline = now + STALL;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(Interest::WRITE)),
                Err(error) => return Err(error),
            }
        }
        if !self.wire.flush()? {
            return Ok(Some(Interest::WRITE));
        }
        if let Some(source) = &mut self.source {
            let mut content = Vec::new();
            let more = source.more(&mut content)?;
            (self.output, self.sent) = (chunk(&content), 0);
            if !more {
                self.source = None;
                self.output.extend_from_slice(b"0\r\n\r\n");
            }
            // The others have their turn before this one goes on.
            return Ok(Some(Interest::WRITE));
        }
        if self.live {
            (self.output, self.sent) = (Vec::new(), 0);
            return Ok(Some(Interest::NONE));
        }
        self.wire.end();
        Ok(None)
    }
}

/// A piece of a body whose length nobody knows yet (RFC 9112, section 7.1); nothing is no piece, as that would be the end.
fn chunk(content: &[u8]) -> Vec<u8> {
    if content.is_empty() {
        return Vec::new();
    }
    let mut bytes = format!("{:x}\r\n", content.len()).into_bytes();
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Where a head ends that was understood.
fn end_of_head(bytes: &[u8]) -> usize {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    match httparse::Request::new(&mut headers).parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        _ => bytes.len(),
    }
}

/// The request in these bytes and whether its answer has a body; `None` while it is not whole.
fn asked(bytes: &[u8], (peer, secure): (IpAddr, bool), takes: Takes) -> Option<Result<(Request, bool), Response>> {
    let any_method = takes.any_method;
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let end = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() <= LARGEST => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Some(Err(Response::text(431, "too large\n")));
        }
        Err(error) => return Some(Err(Response::text(400, format!("{error}\n")))),
    };
    let path = request.path.unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let header = |name: &str| {
        let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).unwrap_or_default().trim().to_owned()
    };
    let (host, origin, authorization) = (header("host"), header("origin"), header("authorization"));
    let lengths = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("content-length")).count();
    if lengths > 1 || !header("transfer-encoding").is_empty() {
        // Where it ends must not be a matter of opinion (RFC 9112, section 6.3).
        return Some(Err(Response::text(400, "a body has one Content-Length\n")));
    }
    let mut coming = 0;
    let (method, body, with_body) = match request.method {
        Some("POST") if takes.sent.contains(&path.as_str()) => match header("content-length").parse() {
            Ok(length) if length <= LARGEST_SENT => {
                coming = length;
                ("POST", &[][..], true)
            }
            Ok(_) => return Some(Err(Response::text(413, format!("a file has at most {LARGEST_SENT} bytes\n")))),
            Err(_) => return Some(Err(Response::text(400, "Content-Length is wanted\n"))),
        },
        Some("GET") => ("GET", &[][..], true),
        Some("HEAD") => ("GET", &[][..], false),
        Some("POST") => {
            let length = match header("content-length").parse::<usize>() {
                Ok(length) => length,
                Err(_) if any_method => 0,
                Err(_) => return Some(Err(Response::text(400, "Content-Length is wanted\n"))),
            };
            if takes.body > 0 && length > takes.body {
                return Some(Err(Response::text(413, format!("a body has at most {} bytes\n", takes.body))));
            }
            if takes.body == 0 && end.saturating_add(length) > LARGEST {
                return Some(Err(Response::text(431, "too large\n")));
            }
            ("POST", bytes.get(end..end + length)?, true)
        }
        Some(other) if any_method => (other, &[][..], true),
        _ => return Some(Err(Response::text(405, "only GET, HEAD and POST\n"))),
    };
    let (method, body) = (method.to_owned(), body.to_vec());
    let text = |header: &httparse::Header<'_>| {
        let value = String::from_utf8_lossy(header.value).trim().to_owned();
        (header.name.to_ascii_lowercase(), value)
    };
    let headers = request.headers.iter().map(text).collect();
    let request = Request { method, path, query, peer, secure, host, origin, authorization, headers, body, coming };
    Some(Ok((request, with_body)))
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
