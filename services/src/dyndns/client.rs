//! The way to a provider: its name is asked for at dnsd, one connection for one question, everything within half a minute.
use super::engine::http;
use super::engine::provider::{Ask, Said};
use crate::house::tls::{Authorities, Flow, Tls};
use crate::house::way::{Step, Way};
use crate::perm::place::Place;
use netstack::event::{Interest, Loop, Token};
use netstack::time::Instant;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Time for a question, its server's name and the way included.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a DNS message.
const LARGEST: usize = 65_535;

enum Wire {
    Https(Box<Tls>),
    Dns { stream: TcpStream, output: Vec<u8>, sent: usize, input: Vec<u8> },
}

struct Open {
    place: Place,
    ask: Ask,
    until: Instant,
    wire: Option<Wire>,
}

/// The client: one question at a time.
pub struct Client {
    token: Token,
    way: Way,
    open: Option<Open>,
}

impl Client {
    /// Its connections have this token.
    pub fn new(token: Token) -> Client {
        Client { token, way: Way::new(), open: None }
    }

    /// Asks; [`Client::turn`] brings the answer.
    pub fn ask(&mut self, now: Instant, place: Place, ask: Ask) {
        let until = now + PATIENCE;
        self.way.begin(now, place.clone(), until);
        self.open = Some(Open { place, ask, until, wire: None });
    }

    /// Forgets the question.
    pub fn hang_up(&mut self, now: Instant) {
        self.open = None;
        self.way.leave(now);
    }

    /// When [`Client::turn`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        self.way.deadline()
    }

    /// An answer of the name server.
    pub fn answered(&mut self, now: Instant, token: Token) {
        self.way.answered(now, token);
    }

    /// Whether [`Client::turn`] is to be called again at once.
    pub fn is_eager(&self) -> bool {
        self.open.is_some() && self.way.is_eager()
    }

    /// Goes on as far as it goes: the answer, or why there will be none. `authorities` are read when they are needed.
    pub fn turn(
        &mut self,
        turn: &Loop,
        now: Instant,
        authorities: impl Fn() -> Result<Authorities, String>,
    ) -> Option<Result<Said, String>> {
        let open = self.open.as_mut()?;
        let to = match self.way.turn(turn, now) {
            Step::Wait => return None,
            Step::Over(words) => return Some(Err(words)),
            Step::Connect(to) => to,
        };
        if open.wire.is_none() {
            match open.connect(turn, self.token, to, &authorities) {
                Ok(wire) => open.wire = Some(wire),
                Err(words) => return self.useless(now, words),
            }
        }
        let said = open.wire.as_mut().map(|wire| wire.go_on(turn, self.token, now));
        match said? {
            Ok(None) => None,
            Ok(Some(said)) => Some(Ok(said)),
            Err(words) => self.useless(now, words),
        }
    }

    /// This address was of no use: the name's next one, unless there is none.
    fn useless(&mut self, now: Instant, words: String) -> Option<Result<Said, String>> {
        self.open.as_mut()?.wire = None;
        self.way.useless(now, words).map(Err)
    }
}

impl Open {
    fn connect(
        &self,
        turn: &Loop,
        token: Token,
        to: SocketAddr,
        authorities: &impl Fn() -> Result<Authorities, String>,
    ) -> Result<Wire, String> {
        let words = |error: std::io::Error| error.to_string();
        match &self.ask {
            Ask::Https(request) => {
                let name = self.place.host.to_string();
                let mut tls = Tls::connect(turn, token, &authorities()?, to, &name, self.until).map_err(words)?;
                tls.write(request).map_err(words)?;
                Ok(Wire::Https(Box::new(tls)))
            }
            Ask::Dns(message) => {
                let stream = netstack::connect::tcp(to).map_err(words)?;
                turn.add(&stream, token, Interest::BOTH).map_err(words)?;
                // RFC 1035, section 4.2.2: the length comes first.
                let length = u16::try_from(message.len()).map_err(|_| "the message is too long".to_owned())?;
                let output = [&length.to_be_bytes()[..], message].concat();
                Ok(Wire::Dns { stream, output, sent: 0, input: Vec::new() })
            }
        }
    }
}

impl Wire {
    fn go_on(&mut self, turn: &Loop, token: Token, now: Instant) -> Result<Option<Said>, String> {
        match self {
            Wire::Https(tls) => {
                let flow = tls.turn(turn, now).map_err(|error| error.to_string())?;
                Ok(http::parse(tls.received(), flow != Flow::Open)?.map(Said::Http))
            }
            Wire::Dns { stream, output, sent, input } => {
                let ended = exchange(stream, output, sent, input).map_err(|error| error.to_string())?;
                let interest = if *sent < output.len() { Interest::BOTH } else { Interest::READ };
                turn.modify(&*stream, token, interest).map_err(|error| error.to_string())?;
                let length = input.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
                match length.and_then(|length| input.get(2..length + 2)) {
                    Some(message) => Ok(Some(Said::Dns(message.to_vec()))),
                    None if ended => Err("it has hung up without an answer".to_owned()),
                    None => Ok(None),
                }
            }
        }
    }
}

/// Sends the rest, reads what there is; says whether the other side has closed.
fn exchange(stream: &mut TcpStream, output: &[u8], sent: &mut usize, input: &mut Vec<u8>) -> std::io::Result<bool> {
    let waits = |error: &std::io::Error| {
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected)
    };
    while let Some(rest) = output.get(*sent..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(count) => *sent += count,
            Err(error) if waits(&error) => break,
            Err(error) => return Err(error),
        }
    }
    let mut buffer = [0; 4096];
    while input.len() <= LARGEST + 2 {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(count) => input.extend(buffer.iter().take(count)),
            Err(error) if waits(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
