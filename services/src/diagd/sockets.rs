//! The sockets of a round or of a tool: each ask becomes a packet or a connection, each that answers an outcome. They are
//! opened for it and closed with it, so that an idle diagd holds none.
use super::engine::round::{Ask, HOPS, Outcome, Page};
use crate::house::random::Random;
use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name};
use domain::rdata::{A, Aaaa};
use netstack::event::{Interest, Loop, Token};
use netstack::ping::{Heard, Ping};
use netstack::udp;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn6, SockaddrStorage, bind, connect, getsockopt, socket, sockopt,
};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

/// Tokens that one of them may use, from its first on.
pub const ROOM: u64 = 1 << 20;
/// The two ping sockets come first.
const PINGS: u64 = 2;
/// More than an answer of ours may have (RFC 6891 was not asked for).
const LARGEST: usize = 1_500;
/// How much of a page is looked at, in bytes.
const PAGE: usize = 4_096;
/// How much of its text, and of where it sends its reader.
const TEXT: usize = 256;

enum Open {
    Query { socket: UdpSocket, id: u16, ipv6: bool },
    Connect(TcpStream),
    Page { stream: TcpStream, request: Vec<u8>, sent: usize, input: Vec<u8> },
}

/// All of them.
pub struct Sockets {
    first: u64,
    pings: [Option<Ping>; 2],
    hops: [u8; 2],
    open: HashMap<u32, Open>,
    random: Random,
}

impl Sockets {
    /// None yet; their tokens begin with `first`.
    pub fn new(first: u64) -> Sockets {
        Sockets { first, pings: [None, None], hops: [HOPS; 2], open: HashMap::new(), random: Random::from_kernel() }
    }

    /// Whether a token is one of these.
    pub fn owns(&self, token: Token) -> bool {
        (self.first..self.first + ROOM).contains(&token.0)
    }

    /// Asks; what fails at once is an outcome.
    pub fn ask(&mut self, turn: &Loop, number: u32, ask: &Ask) -> Option<Outcome> {
        let failed = |error: io::Error| Some(Outcome::Failed(words(&error)));
        let result = match ask {
            Ask::Echo { to, size, hops } => self.echo(turn, number, *to, *size, *hops),
            Ask::Query { server, name, ipv6 } => self.query(turn, number, *server, name, *ipv6),
            Ask::Connect { to, from } => {
                connecting(*to, *from).and_then(|stream| self.keep(turn, number, Open::Connect(stream)))
            }
            Ask::Page { to, host, path } => connecting(*to, None).and_then(|stream| {
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: weir\r\nConnection: close\r\n\r\n");
                let (sent, input) = (0, Vec::new());
                self.keep(turn, number, Open::Page { stream, request: request.into_bytes(), sent, input })
            }),
        };
        result.err().and_then(failed)
    }

    fn echo(&mut self, turn: &Loop, number: u32, to: SocketAddr, size: Option<u16>, hops: u8) -> io::Result<()> {
        let which = usize::from(to.is_ipv6());
        if self.pings[which].is_none() {
            let ping = Ping::open(to.is_ipv6())?;
            turn.add(&ping, Token(self.first + which as u64), Interest::READ)?;
            self.pings[which] = Some(ping);
            self.hops[which] = HOPS;
        }
        let Some(ping) = &self.pings[which] else { return Ok(()) };
        if self.hops[which] != hops {
            ping.hops(hops)?;
            self.hops[which] = hops;
        }
        ping.send(to, number as u16, size)
    }

    fn query(&mut self, turn: &Loop, number: u32, server: SocketAddr, name: &str, ipv6: bool) -> io::Result<()> {
        let id = self.random.next_u32() as u16;
        let message = question(id, name, ipv6).ok_or_else(|| io::Error::other("no name of the DNS"))?;
        let any = if server.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        // The kernel picks the port at random; connected, only this server is heard.
        let socket = udp::bound(SocketAddr::new(any, 0), udp::Options::default())?;
        socket.connect(server)?;
        socket.send(&message)?;
        self.keep(turn, number, Open::Query { socket, id, ipv6 })
    }

    fn keep(&mut self, turn: &Loop, number: u32, open: Open) -> io::Result<()> {
        let token = Token(self.first + PINGS + u64::from(number));
        match &open {
            Open::Query { socket, .. } => turn.add(socket, token, Interest::READ)?,
            Open::Connect(stream) | Open::Page { stream, .. } => turn.add(stream, token, Interest::WRITE)?,
        }
        self.open.insert(number, open);
        Ok(())
    }

    /// One of the tokens is ready: what came, each with its ask's number.
    pub fn ready(&mut self, turn: &Loop, token: Token) -> Vec<(u32, Outcome)> {
        let Some(at) = token.0.checked_sub(self.first) else { return Vec::new() };
        if at < PINGS {
            return self.pings.get(at as usize).and_then(Option::as_ref).map(echoes).unwrap_or_default();
        }
        let number = (at - PINGS) as u32;
        let Some(open) = self.open.get_mut(&number) else { return Vec::new() };
        match open.turn(turn, token) {
            None => Vec::new(),
            Some(outcome) => {
                self.open.remove(&number);
                vec![(number, outcome)]
            }
        }
    }
}

fn echoes(ping: &Ping) -> Vec<(u32, Outcome)> {
    let mut heard = Vec::new();
    while let Ok(Some(news)) = ping.receive() {
        heard.push(match news {
            Heard::Reply { from, sequence } => (sequence.into(), Outcome::Echo(from)),
            Heard::TooBig { sequence, mtu } => (sequence.into(), Outcome::TooBig(mtu)),
            Heard::Expired { from, sequence } => (sequence.into(), Outcome::Expired(from)),
            Heard::Unreachable { from, sequence, why } => {
                (sequence.into(), Outcome::Failed(format!("{from} says: {}", plain(why))))
            }
        });
    }
    heard
}

impl Open {
    /// The outcome, once there is one.
    fn turn(&mut self, turn: &Loop, token: Token) -> Option<Outcome> {
        match self {
            Open::Query { socket, id, ipv6 } => {
                let mut buffer = [0; LARGEST];
                match socket.recv(&mut buffer) {
                    Ok(length) => answer(buffer.get(..length)?, *id, *ipv6),
                    Err(error) => failed(&error),
                }
            }
            Open::Connect(stream) => match error_of(stream) {
                Ok(()) => Some(Outcome::Connected),
                Err(error) => failed(&error),
            },
            Open::Page { stream, request, sent, input } => {
                let done = error_of(stream).and_then(|()| transfer(stream, request, sent, input));
                match done {
                    Ok(false) if *sent == request.len() => {
                        let watched = turn.modify(&*stream, token, Interest::READ);
                        watched.err().and_then(|error| failed(&error))
                    }
                    Ok(false) => None,
                    Ok(true) => Some(page(input).map_or_else(|| Outcome::Failed("no HTTP".into()), Outcome::Page)),
                    Err(error) => failed(&error),
                }
            }
        }
    }
}

/// Sends the rest of a request, then reads; says whether enough has come, or all.
fn transfer(stream: &mut TcpStream, request: &[u8], sent: &mut usize, input: &mut Vec<u8>) -> io::Result<bool> {
    while let Some(rest) = request.get(*sent..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(count) => *sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    let mut buffer = [0; 1_024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(count) => input.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        if input.len() >= PAGE {
            return Ok(true);
        }
    }
}

fn error_of(stream: &TcpStream) -> io::Result<()> {
    match getsockopt(stream, sockopt::SocketError)? {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

fn failed(error: &io::Error) -> Option<Outcome> {
    let later = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
    (!later).then(|| Outcome::Failed(words(error)))
}

fn words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| plain(Errno::from_raw(number)).to_owned())
}

fn plain(errno: Errno) -> &'static str {
    match errno {
        Errno::EHOSTUNREACH => "no route to host",
        Errno::ENETUNREACH => "network is unreachable",
        Errno::ECONNREFUSED => "connection refused",
        Errno::ETIMEDOUT => "connection timed out",
        Errno::EACCES | Errno::EPERM => "not permitted",
        other => other.desc(),
    }
}

fn connecting(to: SocketAddr, from: Option<Ipv6Addr>) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    if let Some(from) = from {
        bind(fd.as_raw_fd(), &SockaddrIn6::from(SocketAddrV6::new(from, 0, 0, 0)))?;
    }
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from(fd)),
        Err(error) => Err(error.into()),
    }
}

fn question(id: u16, name: &str, ipv6: bool) -> Option<Vec<u8>> {
    let name: Name<Vec<u8>> = name.parse().ok()?;
    let mut builder = MessageBuilder::new_vec().question();
    builder.header_mut().set_id(id);
    builder.header_mut().set_rd(true);
    builder.push((&name, if ipv6 { Rtype::AAAA } else { Rtype::A })).ok()?;
    Some(builder.finish())
}

/// What an answer says; `None` when it is not the answer to this question.
pub(super) fn answer(bytes: &[u8], id: u16, ipv6: bool) -> Option<Outcome> {
    let message = Message::from_octets(bytes).ok()?;
    let header = message.header();
    if header.id() != id || !header.qr() {
        return None;
    }
    match header.rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Some(Outcome::NoSuchName),
        other => return Some(Outcome::Failed(format!("answers {other}"))),
    }
    let Ok(answer) = message.answer() else { return Some(Outcome::Failed("answers rubbish".to_owned())) };
    // Who is asked has followed the aliases: what is in the answer is the name's.
    Some(Outcome::Addresses(if ipv6 {
        answer.limit_to::<Aaaa>().flatten().map(|record| IpAddr::V6(record.data().addr())).collect()
    } else {
        answer.limit_to::<A>().flatten().map(|record| IpAddr::V4(record.data().addr())).collect()
    }))
}

/// A page's status, where it sends its reader, and how its text begins.
pub(super) fn page(bytes: &[u8]) -> Option<Page> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(end)) = response.parse(bytes) else { return None };
    let location = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("location"));
    let location = location.map(|header| String::from_utf8_lossy(header.value).into_owned()).unwrap_or_default();
    let clean = |text: &str| text.chars().filter(|letter| !letter.is_control()).take(TEXT).collect::<String>();
    let text = String::from_utf8_lossy(bytes.get(end..)?).into_owned();
    Some(Page { status: response.code?, location: clean(&location), text: clean(&text) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply(rcode: Rcode) -> Vec<u8> {
        let name: Name<Vec<u8>> = "a.example".parse().unwrap();
        let asked = Message::from_octets(question(7, "a.example", false).unwrap()).unwrap();
        let mut builder = MessageBuilder::new_vec().start_answer(&asked, rcode).unwrap();
        builder.push((&name, 60, A::from_octets(192, 0, 2, 1))).unwrap();
        builder.push((&name, 60, Aaaa::new("2001:db8::1".parse().unwrap()))).unwrap();
        builder.finish()
    }

    #[test]
    fn answers_are_read() {
        let bytes = reply(Rcode::NOERROR);
        assert_eq!(answer(&bytes, 7, false), Some(Outcome::Addresses(vec!["192.0.2.1".parse().unwrap()])));
        assert_eq!(answer(&bytes, 7, true), Some(Outcome::Addresses(vec!["2001:db8::1".parse().unwrap()])));
        assert_eq!(answer(&bytes, 8, true), None);
        assert_eq!(answer(&reply(Rcode::NXDOMAIN), 7, true), Some(Outcome::NoSuchName));
        assert_eq!(answer(&reply(Rcode::SERVFAIL), 7, true), Some(Outcome::Failed("answers SERVFAIL".into())));
        assert!(question(7, "a..b", false).is_none() && question(7, ".", false).is_some());
    }

    #[test]
    fn pages_are_read() {
        let bytes = b"HTTP/1.1 302 Found\r\nLocation: http://p.example/login\r\n\r\nhello\n";
        let found = page(bytes).unwrap();
        assert_eq!((found.status, found.location.as_str()), (302, "http://p.example/login"));
        assert_eq!(found.text, "hello");
        assert_eq!(page(b"SSH-2.0-x\r\n"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_met(mut bytes in proptest::collection::vec(any::<u8>(), 0..100), at: u8, value: u8) {
            let _ = (answer(&bytes, 7, false), page(&bytes));
            bytes = reply(Rcode::NOERROR);
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
            let _ = answer(&bytes, 7, false);
        }
    }
}
