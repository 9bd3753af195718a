//! A small HTTP/1.1 server for what the house shows of itself: on every private address, never on the uplink; one
//! request a connection, bounded in number, size and time.
//!
//! The service owns the event loop; this owns the sockets and the tokens from [`FIRST`] on.
use crate::house::rarely::Rarely;
use netstack::event::{Interest, Loop, Token};
use netstack::time::Instant;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// The first token of the server; a service's own are smaller.
pub const FIRST: u64 = 1 << 32;
/// Connections at the same time; one more closes the oldest.
const MOST: usize = 32;
/// The same where pages are kept open, and how many of them a single peer may have.
const MOST_OPEN: usize = 96;
const MOST_OF_ONE: usize = 24;
/// Addresses that are listened on.
const MOST_ADDRESSES: usize = 64;
/// Bytes of a request's head.
const LARGEST: usize = 8 << 10;
/// Bytes of a body, where files may be sent.
const LARGEST_FILE: usize = 128 << 10;
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
}

impl Request {
    /// One that asks for nothing, to be filled by tests.
    #[cfg(test)]
    pub fn empty() -> Request {
        let (method, path, query, host, origin, authorization) = Default::default();
        let peer = IpAddr::from([127, 0, 0, 1]);
        Request { method, path, query, peer, host, origin, authorization, headers: Vec::new(), body: Vec::new() }
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
    stream: TcpStream,
    peer: IpAddr,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    /// The answer is still to come, with a body or without.
    later: Option<bool>,
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
    complaint: Rarely,
}

impl Server {
    /// One for pages that stay open and send files.
    pub fn of_pages() -> Server {
        Server { pages: true, ..Server::default() }
    }

    /// One whose service does not care how it is asked; any other knows GET and HEAD only.
    pub fn taking_any_method() -> Server {
        Server { any_method: true, ..Server::default() }
    }

    /// Whether a token is one of the server's.
    pub fn owns(token: Token) -> bool {
        token.0 >= FIRST
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
            while let Ok((stream, peer)) = self.listeners[at].2.accept() {
                self.add(turn, now, stream, peer.ip());
            }
            return;
        }
        let takes = Takes { any_method: self.any_method, body: if self.pages { LARGEST_FILE } else { 0 } };
        self.go_on(turn, token, |connection| connection.turn(now, takes, answer));
    }

    /// The answer that was to come later, to the connection with this token; one that has gone meanwhile misses it.
    pub fn answer(&mut self, turn: &Loop, now: Instant, token: Token, answer: impl Into<Answer>) {
        self.go_on(turn, token, |connection| {
            let Some(with_body) = connection.later.take() else { return Ok(None) };
            connection.output = answer.into().bytes(with_body);
            connection.deadline = now + PATIENCE;
            connection.write(now)
        });
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
            Ok(Some(interest)) if turn.modify(&connection.stream, token, interest).is_ok() => {}
            // Done, gone or refused.
            _ => drop(self.open.remove(&token.0)),
        }
    }

    fn add(&mut self, turn: &Loop, now: Instant, stream: TcpStream, peer: IpAddr) {
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
        if watched.is_ok() {
            let (input, output, deadline) = (Vec::new(), Vec::new(), now + PATIENCE);
            self.open.insert(
                number,
                Connection { stream, peer, input, output, sent: 0, later: None, source: None, live: false, deadline },
            );
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
}

impl Connection {
    /// Reads the request, then writes the answer. Gives what to wait for; none when it is over.
    fn turn<A: Into<Reply>>(
        &mut self,
        now: Instant,
        takes: Takes,
        answer: impl FnOnce(&Request) -> A,
    ) -> io::Result<Option<Interest>> {
        if self.later.is_some() || self.live && self.sent == self.output.len() {
            // Nothing is asked of it, so it can only have gone.
            return Ok(None);
        }
        if self.output.is_empty() && self.source.is_none() && !self.live {
            let mut buffer = [0; 2_048];
            loop {
                match self.stream.read(&mut buffer) {
                    Ok(0) => return Ok(None),
                    Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
                if self.input.len() > LARGEST + takes.body {
                    break;
                }
            }
            match asked(&self.input, self.peer, takes) {
                None => return Ok(Some(Interest::READ)),
                Some(Err(refused)) => self.output = refused.bytes(true),
                Some(Ok((request, with_body))) => {
                    self.input = Vec::new();
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

    fn write(&mut self, now: Instant) -> io::Result<Option<Interest>> {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
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
        // What is still coming is not waited for.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
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

/// The request in these bytes and whether its answer has a body; `None` while it is not whole.
fn asked(bytes: &[u8], peer: IpAddr, takes: Takes) -> Option<Result<(Request, bool), Response>> {
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
    let (method, body, with_body) = match request.method {
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
    Some(Ok((Request { method, path, query, peer, host, origin, authorization, headers, body }, with_body)))
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_are_read_and_refused() {
        let peer = IpAddr::from([192, 168, 42, 7]);
        let asked = |bytes: &[u8]| super::asked(bytes, peer, Takes::default());
        let any = Takes { any_method: true, body: 0 };
        let status =
            |text: &str| asked(text.as_bytes()).map(|result| result.map_or_else(|refused| refused.status, |_| 200));
        assert_eq!(status("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"), Some(200));
        let (request, with_body) = asked(b"GET /a?b=%41+c&d HTTP/1.0\r\n\r\n").unwrap().unwrap();
        assert_eq!((request.path.as_str(), with_body, request.peer), ("/a", true, peer));
        let values = ["b", "d", "e"].map(|key| request.value(key));
        assert_eq!(values, [Some("A c".into()), Some(String::new()), None]);
        assert!(super::asked(b"PUT /a HTTP/1.1\r\n\r\n", peer, any).unwrap().is_ok());
        assert!(!asked(b"HEAD /a HTTP/1.1\r\n\r\n").unwrap().unwrap().1);
        assert_eq!(status("GET /metr"), None);
        assert_eq!(status("PUT / HTTP/1.1\r\n\r\n"), Some(405));
        assert_eq!(status("POST / HTTP/1.1\r\n\r\n"), Some(400), "without a length");
        assert_eq!(status("POST / HTTP/1.1\r\nContent-Length: 9000\r\n\r\n"), Some(431));
        let post = "POST / HTTP/1.1\r\nHost: router:8067\r\nContent-Length: 3\r\n\r\na=";
        assert_eq!(status(post), None, "not whole yet");
        let request = asked(format!("{post}b").as_bytes()).unwrap().unwrap().0;
        assert_eq!((request.body.as_slice(), request.host.as_str()), (&b"a=b"[..], "router:8067"));
        assert_eq!(
            (request.header("host"), request.field("a"), request.header("x")),
            ("router:8067", Some("b".into()), "")
        );
        for twice in ["Content-Length: 3\r\nContent-Length: 4", "Content-Length: 3\r\nTransfer-Encoding: chunked"] {
            assert_eq!(status(&format!("POST / HTTP/1.1\r\n{twice}\r\n\r\nabcd")), Some(400), "{twice}");
        }
        let large = Takes { any_method: false, body: 100 };
        let post = |length: usize| format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{}", "a".repeat(length));
        let sent = |length: usize| {
            super::asked(post(length).as_bytes(), peer, large).unwrap().map(|(asked, _)| asked.body.len())
        };
        assert_eq!((sent(100), sent(101).map_err(|refused| refused.status)), (Ok(100), Err(413)));
        assert_eq!(status("GET\0/ HTTP/1.1\r\n\r\n"), Some(400));
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(LARGEST))), Some(431));
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS + 1))), Some(431));
        assert_eq!(Response::text(200, "abc").bytes(false).windows(3).filter(|three| three == b"abc").count(), 0);
    }

    #[test]
    fn a_request_is_meant_for_us_or_not() {
        let is_for_us = |host: &str, origin: &str| {
            Request { host: host.into(), origin: origin.into(), ..Request::empty() }.is_for_us()
        };
        for host in ["192.168.42.1:8067", "[fd00::1]:8067", "router7:8067", "router7.lan", "weir"] {
            assert!(is_for_us(host, "") && is_for_us(host, &format!("http://{host}")), "{host}");
            assert!(!is_for_us(host, "http://evil.example") && !is_for_us(host, "null"), "{host}");
        }
        assert!(!is_for_us("evil.example:8067", "") && !is_for_us("", ""));
    }

    proptest! {
        #[test]
        fn any_bytes_are_met_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(Ok((request, _))) = asked(&bytes, IpAddr::from([0; 4]), Takes { any_method: true, body: 99 }) {
                let _ = request.value("host");
            }
        }
    }
}
