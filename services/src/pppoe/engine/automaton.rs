//! The option negotiation automaton (RFC 1661, section 4), one for LCP and each network protocol. What the options mean
//! is the [`Layer`]'s business.
//!
//! It differs from the table in two places: our request is said again at once when the peer is first heard, because a
//! concentrator's PPP begins to listen a moment after its PADS; and it does not wait for more once the peer has left.
use super::text;
use netstack::time::Instant;
use netstack::wire::ppp::{self, Control, code};
use std::time::Duration;

/// The first wait for an answer; the later ones are longer.
const FIRST: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(3);
/// Requests that are sent before the peer is given up (Max-Configure).
const MOST_REQUESTS: u32 = 10;
/// Naks that are sent, and taken, before one gives in (Max-Failure).
const MOST_NAKS: u32 = 5;
/// Requests in one negotiation, whatever is answered: a peer that never agrees is none.
const MOST_ROUNDS: u32 = 30;

/// One option: its type and value.
pub type Choice = (u8, Vec<u8>);

/// What is said to the peer's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is well.
    Ack,
    /// These values instead.
    Nak(Vec<Choice>),
    /// None of these.
    Reject(Vec<Choice>),
}

/// Options and what they mean.
pub trait Layer {
    /// Its name in the log.
    const NAME: &'static str;
    /// The options of our next request.
    fn ask(&self) -> Vec<Choice>;
    /// What is said to one option of the peer, after [`Layer::begin`].
    fn judge(&mut self, kind: u8, value: &[u8]) -> Verdict;
    /// A request of the peer begins: nothing is known of it yet.
    fn begin(&mut self);
    /// The peer wants another value of ours.
    fn naked(&mut self, kind: u8, value: &[u8]);
    /// The peer does not want an option of ours.
    fn rejected(&mut self, kind: u8);
    /// Whether what was agreed on can be used; else why not.
    fn agreed(&self) -> Result<(), String>;
}

/// What comes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// A control packet is to be sent.
    Send(Vec<u8>),
    /// It is open.
    Up,
    /// It is open no more.
    Down,
    /// It is over, and why.
    Over(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not begun, or over.
    Closed,
    /// Our request is out.
    RequestSent,
    /// And accepted.
    AckReceived,
    /// The peer's is accepted, ours is out.
    AckSent,
    /// Both are accepted.
    Opened,
}

/// One negotiation.
#[derive(Debug)]
pub struct Automaton<L> {
    /// What is negotiated.
    pub layer: L,
    state: State,
    next_id: u8,
    /// Our request that waits for an answer: its id and data.
    pending: Option<(u8, Vec<u8>)>,
    heard: bool,
    requests: u32,
    rounds: u32,
    naks: u32,
    deadline: Option<Instant>,
}

impl<L: Layer> Automaton<L> {
    /// One that has not begun.
    pub fn new(layer: L) -> Automaton<L> {
        Automaton {
            layer,
            state: State::Closed,
            next_id: 1,
            pending: None,
            heard: false,
            requests: 0,
            rounds: 0,
            naks: 0,
            deadline: None,
        }
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.state == State::Opened
    }

    /// Whether it has begun and is not over.
    pub fn is_begun(&self) -> bool {
        self.state != State::Closed
    }

    /// When [`Automaton::timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Begins.
    pub fn begin(&mut self, now: Instant) -> Vec<Out> {
        (self.heard, self.rounds, self.naks) = (false, 0, 0);
        self.state = State::RequestSent;
        self.request(now)
    }

    /// Ends without a word.
    pub fn end(&mut self) {
        (self.state, self.pending, self.deadline) = (State::Closed, None, None);
    }

    /// A packet with the next id.
    pub fn fresh(&mut self, code: u8, data: &[u8]) -> Vec<u8> {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        ppp::emit(code, id, data)
    }

    fn over(&mut self, why: String) -> Out {
        self.end();
        Out::Over(why)
    }

    /// A new request, whose answer is waited for.
    fn request(&mut self, now: Instant) -> Vec<Out> {
        self.rounds += 1;
        if self.rounds > MOST_ROUNDS {
            return vec![self.over(format!("{}: there is no end of its wishes", L::NAME))];
        }
        let ask = self.layer.ask();
        let data = ppp::options(ask.iter().map(|(kind, value)| (*kind, value.as_slice())));
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.pending = Some((id, data));
        self.requests = 0;
        self.say(now)
    }

    /// Says the request (again).
    fn say(&mut self, now: Instant) -> Vec<Out> {
        let Some((id, data)) = &self.pending else { return Vec::new() };
        let packet = ppp::emit(code::REQUEST, *id, data);
        self.deadline = Some(now + if self.requests == 0 { FIRST } else { LATER });
        self.requests += 1;
        vec![Out::Send(packet)]
    }

    /// The answer to our request did not come.
    pub fn timeout(&mut self, now: Instant) -> Vec<Out> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        if self.requests >= MOST_REQUESTS {
            return vec![self.over(format!("{}: the concentrator does not answer", L::NAME))];
        }
        if self.state == State::AckReceived {
            // Our request was accepted, but the peer's never came to an end: begin again.
            self.state = State::RequestSent;
            return self.request(now);
        }
        self.say(now)
    }

    /// A packet of the codes that all layers share; others are left to the caller and give `None`.
    pub fn receive(&mut self, now: Instant, packet: &Control<'_>) -> Option<Vec<Out>> {
        if self.state == State::Closed {
            return Some(Vec::new());
        }
        Some(match packet.code {
            code::REQUEST => self.requested(now, packet),
            code::ACK => self.acked(now, packet),
            code::NAK | code::REJECT => self.refused(now, packet),
            code::TERMINATE => {
                let ack = Out::Send(ppp::emit(code::TERMINATE_ACK, packet.id, &[]));
                let why = match text(packet.data) {
                    words if words.is_empty() => format!("{}: the concentrator ends it", L::NAME),
                    words => format!("{}: the concentrator ends it: {words}", L::NAME),
                };
                vec![ack, self.over(why)]
            }
            code::TERMINATE_ACK => Vec::new(),
            code::CODE_REJECT => match packet.data.first() {
                Some(code::REQUEST..=code::REJECT) => {
                    vec![self.over(format!("{}: the concentrator does not know how to negotiate", L::NAME))]
                }
                _ => Vec::new(),
            },
            _ => return None,
        })
    }

    fn requested(&mut self, now: Instant, packet: &Control<'_>) -> Vec<Out> {
        let Some(options) = packet.options() else { return Vec::new() };
        let mut out = Vec::new();
        if self.state == State::Opened {
            // The peer begins anew.
            (self.state, self.rounds, self.naks) = (State::RequestSent, 0, 0);
            out.push(Out::Down);
            out.extend(self.request(now));
        } else if !std::mem::replace(&mut self.heard, true) && self.pending.is_some() && self.requests == 1 {
            out.extend(self.say(now));
        }
        self.layer.begin();
        let (mut naks, mut rejects) = (Vec::new(), Vec::new());
        for (kind, value) in &options {
            match self.layer.judge(*kind, value) {
                Verdict::Ack => {}
                Verdict::Nak(_) if self.naks >= MOST_NAKS => rejects.push((*kind, value.to_vec())),
                Verdict::Nak(instead) => naks.extend(instead),
                Verdict::Reject(these) => rejects.extend(these),
            }
        }
        let answer = |code, choices: &[Choice]| {
            let data = ppp::options(choices.iter().map(|(kind, value)| (*kind, value.as_slice())));
            Out::Send(ppp::emit(code, packet.id, &data))
        };
        if rejects.is_empty() && naks.is_empty() {
            out.push(Out::Send(ppp::emit(code::ACK, packet.id, packet.data)));
            match self.state {
                State::AckReceived => out.push(self.open()),
                State::RequestSent => self.state = State::AckSent,
                _ => {}
            }
            return out;
        }
        if self.state == State::AckSent {
            self.state = State::RequestSent;
        }
        if rejects.is_empty() {
            self.naks += 1;
            out.push(answer(code::NAK, &naks));
        } else {
            out.push(answer(code::REJECT, &rejects));
        }
        out
    }

    /// The packet answers our request; it does so once.
    fn answers(&mut self, packet: &Control<'_>) -> Option<Vec<u8>> {
        self.pending.take_if(|(id, _)| *id == packet.id).map(|(_, data)| data)
    }

    fn acked(&mut self, now: Instant, packet: &Control<'_>) -> Vec<Out> {
        let Some(data) = self.answers(packet) else { return Vec::new() };
        if data != packet.data {
            // Accepted is what was not asked for: RFC 1661, section 5.2, calls that invalid.
            self.pending = Some((packet.id, data));
            return Vec::new();
        }
        if let Err(why) = self.layer.agreed() {
            return vec![self.over(format!("{}: {why}", L::NAME))];
        }
        match self.state {
            State::AckSent => vec![self.open()],
            _ => {
                self.state = State::AckReceived;
                self.deadline = Some(now + LATER);
                Vec::new()
            }
        }
    }

    fn refused(&mut self, now: Instant, packet: &Control<'_>) -> Vec<Out> {
        let Some(options) = packet.options() else { return Vec::new() };
        if self.answers(packet).is_none() {
            return Vec::new();
        }
        for (kind, value) in options {
            if packet.code == code::NAK { self.layer.naked(kind, value) } else { self.layer.rejected(kind) }
        }
        if self.state == State::AckReceived {
            self.state = State::RequestSent;
        }
        self.request(now)
    }

    fn open(&mut self) -> Out {
        if let Err(why) = self.layer.agreed() {
            return self.over(format!("{}: {why}", L::NAME));
        }
        (self.state, self.deadline, self.pending) = (State::Opened, None, None);
        Out::Up
    }
}
