//! Showing who we are: PAP (RFC 1334) and CHAP with MD5 (RFC 1994).
use super::lcp::Proof;
use super::text;
use crate::pppoe::md5;
use netstack::time::Instant;
use netstack::wire::ppp::{self, Control};
use std::time::Duration;

/// Authenticate-Request, or Challenge; then its answers: of PAP Ack and Nak, of CHAP Response, Success and Failure.
const FIRST: u8 = 1;
const PAP_ACK: u8 = 2;
const PAP_NAK: u8 = 3;
const RESPONSE: u8 = 2;
const SUCCESS: u8 = 3;
const FAILURE: u8 = 4;
/// Between two PAP requests.
const AGAIN: Duration = Duration::from_secs(2);
/// How long the concentrator may take to let us in.
const LIMIT: Duration = Duration::from_secs(30);

/// What comes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// A packet is to be sent.
    Send(Vec<u8>),
    /// We are let in.
    Welcome,
    /// We are not, and why.
    Refused(String),
    /// Nobody says whether we are.
    Silent(String),
}

/// The proof under way.
#[derive(Debug)]
pub struct Auth {
    proof: Proof,
    username: String,
    password: String,
    id: u8,
    again: Option<Instant>,
    limit: Option<Instant>,
}

impl Auth {
    /// Begins; CHAP waits for its challenge.
    pub fn begin(now: Instant, proof: Proof, username: &str, password: &str) -> (Auth, Vec<Out>) {
        let (username, password) = (username.to_owned(), password.to_owned());
        let mut auth = Auth { proof, username, password, id: 1, again: None, limit: Some(now + LIMIT) };
        let out = if proof == Proof::Pap { auth.request(now) } else { Vec::new() };
        (auth, out)
    }

    /// When [`Auth::timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.again.into_iter().chain(self.limit).min()
    }

    fn name(&self) -> &'static str {
        if self.proof == Proof::Pap { "PAP" } else { "CHAP" }
    }

    fn request(&mut self, now: Instant) -> Vec<Out> {
        let text = |text: &str| {
            let bytes = text.as_bytes().get(..255).unwrap_or(text.as_bytes());
            [&[bytes.len() as u8][..], bytes].concat()
        };
        let data = [text(&self.username), text(&self.password)].concat();
        self.again = Some(now + AGAIN);
        vec![Out::Send(ppp::emit(FIRST, self.id, &data))]
    }

    /// The time has come.
    pub fn timeout(&mut self, now: Instant) -> Vec<Out> {
        if self.limit.is_some_and(|limit| limit <= now) {
            (self.again, self.limit) = (None, None);
            return vec![Out::Silent(format!("{}: the concentrator never says whether it lets us in", self.name()))];
        }
        if self.again.is_some_and(|again| again <= now) {
            self.id = self.id.wrapping_add(1);
            return self.request(now);
        }
        Vec::new()
    }

    fn welcome(&mut self) -> Vec<Out> {
        // A concentrator may say so twice, and challenge again at any time.
        self.limit.take().map(|_| Out::Welcome).into_iter().collect()
    }

    fn refused(&mut self, message: &[u8]) -> Vec<Out> {
        (self.again, self.limit) = (None, None);
        let words = format!("{}: the concentrator does not let {:?} in", self.name(), self.username);
        let message = text(message);
        vec![Out::Refused(if message.is_empty() { words } else { format!("{words}: {message}") })]
    }

    /// A packet of PAP or CHAP.
    pub fn receive(&mut self, protocol: u16, packet: &Control<'_>) -> Vec<Out> {
        match (self.proof, protocol, packet.code) {
            (Proof::Pap, ppp::PAP, PAP_ACK | PAP_NAK) if packet.id == self.id => {
                self.again = None;
                let message = packet.data.split_first().map(|(_, message)| message).unwrap_or_default();
                if packet.code == PAP_ACK { self.welcome() } else { self.refused(message) }
            }
            (Proof::Chap, ppp::CHAP, FIRST) => self.respond(packet),
            (Proof::Chap, ppp::CHAP, SUCCESS) if packet.id == self.id => self.welcome(),
            (Proof::Chap, ppp::CHAP, FAILURE) if packet.id == self.id => self.refused(packet.data),
            _ => Vec::new(),
        }
    }

    fn respond(&mut self, packet: &Control<'_>) -> Vec<Out> {
        let Some((&length, rest)) = packet.data.split_first() else { return Vec::new() };
        let Some(challenge) = rest.get(..usize::from(length)).filter(|challenge| !challenge.is_empty()) else {
            return Vec::new();
        };
        self.id = packet.id;
        let digest = md5::digest(&[&[packet.id], self.password.as_bytes(), challenge]);
        let data = [&[16][..], &digest, self.username.as_bytes()].concat();
        vec![Out::Send(ppp::emit(RESPONSE, packet.id, &data))]
    }
}
