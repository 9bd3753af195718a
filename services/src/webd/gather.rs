//! One page of metrics out of everybody's: asked for side by side, and not waited for longer than [`PATIENCE`].
use super::metrics;
use crate::house::House;
use crate::house::question::Question;
use netstack::event::{Interest, Loop, Token};
use netstack::time::Instant;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Tokens from here on are a gathering's, as many as there are sources.
pub const FIRST: u64 = 16;
/// PID 1, and then the rows of the table.
const INIT: u64 = FIRST;
const PATIENCE: Duration = Duration::from_secs(3);
/// Who listens on loopback takes a connection at once, unless its queue is full.
const CONNECT: Duration = Duration::from_millis(100);
/// Bytes of one service's page.
const LARGEST: usize = 4 << 20;
const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[derive(Debug)]
enum Source {
    Asked(TcpStream, Vec<u8>),
    Said(Vec<u8>),
    Silent,
}

/// A page in the making, and who waits for it.
#[derive(Debug)]
pub struct Gathering {
    /// Connections that wait for it.
    pub waiting: Vec<Token>,
    /// When it ends, whoever is missing.
    pub deadline: Instant,
    sources: Vec<(&'static str, Source)>,
    init: Option<Question>,
    list: Vec<u8>,
}

impl Gathering {
    /// Whether a token is a gathering's.
    pub fn owns(token: Token) -> bool {
        (FIRST..=INIT + rights::METRICS.len() as u64).contains(&token.0)
    }

    /// Asks everybody.
    pub fn begin(house: &House, turn: &Loop, now: Instant, asker: Token) -> Gathering {
        let init = Question::ask(&house.path("/run/init.sock"), "{\"op\":\"list\"}\n").ok();
        let init = init.filter(|init| turn.add(&init.stream, Token(INIT), Interest::READ).is_ok());
        let ask = |(at, (name, port)): (usize, &(&'static str, u16))| {
            let stream =
                ask(*port).filter(|stream| turn.add(stream, Token(INIT + 1 + at as u64), Interest::READ).is_ok());
            (*name, stream.map_or(Source::Silent, |stream| Source::Asked(stream, Vec::new())))
        };
        let sources = rights::METRICS.iter().enumerate().map(ask).collect();
        Gathering { waiting: vec![asker], deadline: now + PATIENCE, sources, init, list: Vec::new() }
    }

    /// One of its tokens is ready.
    pub fn ready(&mut self, token: Token) {
        if token.0 == INIT {
            return self.listed();
        }
        let at = token.0.checked_sub(INIT + 1).and_then(|at| usize::try_from(at).ok());
        let Some((_, source)) = at.and_then(|at| self.sources.get_mut(at)) else { return };
        let Source::Asked(stream, page) = source else { return };
        match read(stream, page) {
            Ok(false) => {}
            Ok(true) => *source = body(page).map_or(Source::Silent, Source::Said),
            Err(_) => *source = Source::Silent,
        }
    }

    fn listed(&mut self) {
        let Some(init) = &mut self.init else { return };
        let mut lines = Vec::new();
        let open = init.read(&mut lines);
        if let Some(line) = lines.into_iter().next() {
            self.list = line;
            self.init = None;
        } else if !open.is_ok_and(|open| open) {
            self.init = None;
        }
    }

    /// Whether nobody is missing.
    pub fn is_whole(&self) -> bool {
        self.init.is_none() && !self.sources.iter().any(|(_, source)| matches!(source, Source::Asked(..)))
    }

    /// What has come.
    pub fn page(&self, own: Vec<u8>) -> Vec<u8> {
        let pages: Vec<(&str, Option<&[u8]>)> = self
            .sources
            .iter()
            .map(|(name, source)| match source {
                Source::Said(page) => (*name, Some(page.as_slice())),
                _ => (*name, None),
            })
            .collect();
        metrics::together(&self.list, own, &pages)
    }
}

/// Asks a service for its metrics.
pub fn ask(port: u16) -> Option<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, CONNECT).ok()?;
    // A fresh socket takes so few bytes at once.
    stream.write_all(REQUEST).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

/// Reads what is there; whether that was the end.
pub fn read(stream: &mut TcpStream, page: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut bytes = [0; 16 << 10];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(true),
            Ok(count) => page.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if page.len() > LARGEST {
            return Err(ErrorKind::FileTooLarge.into());
        }
    }
}

/// The page in a good answer.
pub fn body(answer: &[u8]) -> Option<Vec<u8>> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    answer.starts_with(b"HTTP/1.1 200 ").then(|| answer[end + 4..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_answer_has_a_page() {
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\npage\n").unwrap(), b"page\n");
        assert_eq!(body(b"HTTP/1.1 404 Not Found\r\n\r\nno"), None);
        assert_eq!(body(b"HTTP/1.1 200 OK\r\n"), None);
    }
}
