//! Questions that are being asked outside: each once, however many clients wait for it, with bounded patience.
//!
//! The first upstream is asked; the next one when it is silent for 0.8 s, cannot be reached or cannot help; the same
//! one again over TCP when its answer was cut off, and without EDNS when it does not know that. An upstream that was
//! silent where another one answered loses its place to it.
use super::cache::Ready;
use super::query::{Edns, Query, UDP_SIZE};
use super::stored::{self, Reply, Stored};
use super::{Action, Attempt, Client, Transport};
use domain::base::iana::{Class, Rcode, Rtype};
use netstack::time::Instant;
use std::collections::HashMap;
use std::collections::hash_map;
use std::fmt;
use std::hash::BuildHasherDefault;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Questions asked at the same time; each has two sockets at most.
pub const MOST_FLIGHTS: usize = 256;
/// Clients waiting at the same time, for all questions.
const MOST_WAITING: usize = 2_048;
/// Of these, from one address.
const MOST_WAITING_OF_ONE: u16 = 128;
/// Upstreams beyond these are not asked.
const MOST_UPSTREAMS: usize = 8;
/// How often one question is sent, all upstreams together.
const MOST_ASKED: u8 = 12;
/// Silence after which the next upstream is asked.
const NEXT: Duration = Duration::from_millis(800);
/// The same over TCP, which takes two round trips.
const NEXT_TCP: Duration = Duration::from_millis(1_600);

/// A client that waits, and how it asked.
#[derive(Debug)]
pub struct Waiter {
    /// Whom to answer.
    pub client: Client,
    id: u16,
    recursion: bool,
    unchecked: bool,
    edns: Option<Edns>,
    limit: usize,
    name: Box<[u8]>,
}

impl Waiter {
    /// Its query again, `key` being the question's key.
    pub fn query(&self, key: &[u8]) -> Query<'_> {
        let number = |from_end: usize| -> u16 {
            let start = key.len().saturating_sub(from_end);
            key.get(start..start + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
        };
        Query {
            id: self.id,
            recursion: self.recursion,
            unchecked: self.unchecked,
            name: &self.name,
            rtype: Rtype::from_int(number(5)),
            class: Class::from_int(number(3)),
            edns: self.edns,
            limit: self.limit,
        }
    }
}

/// A question that is settled.
#[derive(Debug)]
pub struct Settled {
    /// Its key and the key's hash.
    pub key: Box<[u8]>,
    /// See `key`.
    pub hash: u64,
    /// Who waits.
    pub waiters: Vec<Waiter>,
    /// The answer and its life in seconds; none when nobody had one.
    pub answer: Option<(Stored, u32)>,
}

struct Live {
    serial: u32,
    id: u16,
    upstream: u8,
    with_edns: bool,
    transport: Transport,
}

struct Flight {
    key: Box<[u8]>,
    hash: u64,
    waiters: Vec<Waiter>,
    live: [Option<Live>; 2],
    order: [u8; MOST_UPSTREAMS],
    // How many of `order` were begun with; how often anybody was asked.
    turn: usize,
    asked: u8,
    plain: bool,
    // A bit for each upstream that was silent or out of reach.
    unreachable: u8,
    next: Instant,
    end: Instant,
}

/// All questions in flight.
pub struct Forward {
    upstreams: Vec<SocketAddr>,
    order: [u8; MOST_UPSTREAMS],
    flights: Vec<Option<Flight>>,
    index: HashMap<u64, u16, BuildHasherDefault<Ready>>,
    waiting: HashMap<IpAddr, u16>,
    waiters: usize,
    serial: u32,
    // The earliest deadline, or an earlier moment.
    wake: Option<Instant>,
    random: Box<dyn FnMut() -> u16>,
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Forward({} in flight, {} waiting)", self.index.len(), self.waiters)
    }
}

impl Forward {
    /// Nobody to ask yet. `random` gives the query ids: what it gives must not be foreseeable.
    pub fn new(random: Box<dyn FnMut() -> u16>) -> Forward {
        Forward {
            upstreams: Vec::new(),
            order: [0; MOST_UPSTREAMS],
            flights: Vec::new(),
            index: HashMap::default(),
            waiting: HashMap::new(),
            waiters: 0,
            serial: 0,
            wake: None,
            random,
        }
    }

    /// Sets whom to ask. When they are others than before, all that is in flight is asked again at once.
    pub fn set_upstreams(&mut self, now: Instant, upstreams: &[SocketAddr], actions: &mut Vec<Action>) -> bool {
        let upstreams = upstreams.get(..upstreams.len().min(MOST_UPSTREAMS)).unwrap_or_default();
        if self.upstreams == upstreams {
            return false;
        }
        self.upstreams = upstreams.to_vec();
        self.order = std::array::from_fn(|number| number as u8);
        for at in 0..self.flights.len() {
            let Some(Some(flight)) = self.flights.get_mut(at) else { continue };
            for live in flight.live.iter_mut().filter_map(Option::take) {
                actions.push(Action::Close(Attempt { flight: at as u16, serial: live.serial }));
            }
            (flight.order, flight.turn, flight.asked) = (self.order, 0, 0);
            (flight.plain, flight.unreachable) = (false, 0);
            self.ask(now, at, None, actions);
        }
        true
    }

    /// When [`Forward::tick`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.wake
    }

    /// Has a client wait for an answer, and asks unless that is under way. False when there is no room.
    pub fn query(
        &mut self,
        now: Instant,
        (client, query): (Client, &Query<'_>),
        (hash, key): (u64, &[u8]),
        patience: Duration,
        actions: &mut Vec<Action>,
    ) -> bool {
        let known = self.index.get(&hash).map(|at| usize::from(*at));
        if let Some(at) = known
            && let Some(Some(flight)) = self.flights.get(at)
        {
            if *flight.key != *key {
                return false;
            }
            // The same client repeats itself: it is answered once.
            if flight.waiters.iter().any(|waiter| waiter.id == query.id && waiter.client == client) {
                return true;
            }
        }
        let of_one = self.waiting.get(&client.address()).copied().unwrap_or(0);
        let room = self.waiters < MOST_WAITING && of_one < MOST_WAITING_OF_ONE;
        if !room || self.upstreams.is_empty() || (known.is_none() && self.index.len() >= MOST_FLIGHTS) {
            return false;
        }
        let waiter = Waiter {
            client,
            id: query.id,
            recursion: query.recursion,
            unchecked: query.unchecked,
            edns: query.edns,
            limit: query.limit,
            name: query.name.into(),
        };
        self.waiters += 1;
        *self.waiting.entry(client.address()).or_insert(0) += 1;
        match known {
            Some(at) => {
                if let Some(Some(flight)) = self.flights.get_mut(at) {
                    flight.waiters.push(waiter);
                }
            }
            None => {
                let at = self.flights.iter().position(Option::is_none).unwrap_or(self.flights.len());
                let flight = Flight {
                    key: key.into(),
                    hash,
                    waiters: vec![waiter],
                    live: [None, None],
                    order: self.order,
                    turn: 0,
                    asked: 0,
                    plain: false,
                    unreachable: 0,
                    next: now,
                    end: now + patience,
                };
                match self.flights.get_mut(at) {
                    Some(slot) => *slot = Some(flight),
                    None => self.flights.push(Some(flight)),
                }
                self.index.insert(hash, at as u16);
                self.ask(now, at, None, actions);
            }
        }
        true
    }

    /// A reply has come in on the socket of an attempt.
    pub fn reply(
        &mut self,
        now: Instant,
        attempt: Attempt,
        message: &[u8],
        actions: &mut Vec<Action>,
    ) -> Option<Settled> {
        let at = usize::from(attempt.flight);
        let flight = self.flights.get_mut(at)?.as_mut()?;
        let place = flight.place(attempt)?;
        let live = flight.live.get(place)?.as_ref()?;
        let question = flight.key.get(..flight.key.len().saturating_sub(1))?;
        let (upstream, with_edns, transport) = (live.upstream, live.with_edns, live.transport);
        match stored::judge(message, live.id, question, &flight.key) {
            // Over TCP nothing else will come; over UDP it may be a forgery, and the true one under way.
            Reply::Foreign if transport == Transport::Udp => None,
            Reply::Truncated if transport == Transport::Udp => {
                self.drop_live(at, place, actions);
                self.ask(now, at, Some((upstream, Transport::Tcp)), actions);
                None
            }
            Reply::Failed(Rcode::FORMERR | Rcode::NOTIMP) if with_edns => {
                flight.plain = true;
                self.drop_live(at, place, actions);
                self.ask(now, at, Some((upstream, Transport::Udp)), actions);
                None
            }
            Reply::Foreign | Reply::Truncated | Reply::Failed(_) => self.lost(now, at, place, actions),
            Reply::Answer(stored, life) => {
                let silent = self.order.first().is_some_and(|first| flight.unreachable & 1 << first != 0);
                if silent && let Some(place) = self.order.iter().position(|number| *number == upstream) {
                    self.order.get_mut(..=place)?.rotate_right(1);
                }
                self.settle(at, Some((stored, life)), actions)
            }
        }
    }

    /// The socket of an attempt has failed, or could not be opened.
    pub fn failed(&mut self, now: Instant, attempt: Attempt, actions: &mut Vec<Action>) -> Option<Settled> {
        let at = usize::from(attempt.flight);
        let flight = self.flights.get_mut(at)?.as_mut()?;
        let place = flight.place(attempt)?;
        let upstream = flight.live.get(place)?.as_ref()?.upstream;
        flight.unreachable |= 1 << upstream;
        self.lost(now, at, place, actions)
    }

    /// Time has passed: asks the next ones, and gives up what took too long. To be called until it gives nothing.
    pub fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) -> Option<Settled> {
        if self.wake.is_none_or(|wake| now < wake) {
            return None;
        }
        for at in 0..self.flights.len() {
            let Some(Some(flight)) = self.flights.get_mut(at) else { continue };
            if now >= flight.end {
                return self.settle(at, None, actions);
            }
            if now >= flight.next {
                for live in flight.live.iter().flatten() {
                    flight.unreachable |= 1 << live.upstream;
                }
                self.ask(now, at, None, actions);
            }
        }
        self.wake = self.flights.iter().flatten().map(|flight| flight.next.min(flight.end)).min();
        None
    }

    // An attempt came to nothing: the next upstream is asked; when all had their turn and nobody is left, that was it.
    fn lost(&mut self, now: Instant, at: usize, place: usize, actions: &mut Vec<Action>) -> Option<Settled> {
        self.drop_live(at, place, actions);
        let flight = self.flights.get_mut(at)?.as_mut()?;
        if flight.turn < self.upstreams.len() {
            self.ask(now, at, None, actions);
            return None;
        }
        if flight.live.iter().all(Option::is_none) { self.settle(at, None, actions) } else { None }
    }

    fn drop_live(&mut self, at: usize, place: usize, actions: &mut Vec<Action>) {
        let Some(Some(flight)) = self.flights.get_mut(at) else { return };
        if let Some(live) = flight.live.get_mut(place).and_then(Option::take) {
            actions.push(Action::Close(Attempt { flight: at as u16, serial: live.serial }));
        }
    }

    // Sends the question: to the one named, or to the next in turn.
    fn ask(&mut self, now: Instant, at: usize, named: Option<(u8, Transport)>, actions: &mut Vec<Action>) {
        let Some(Some(flight)) = self.flights.get_mut(at) else { return };
        let in_turn = flight.order.get(..self.upstreams.len()).unwrap_or_default();
        let next = in_turn.get(flight.turn.checked_rem(in_turn.len()).unwrap_or_default()).copied();
        let (upstream, transport) = match (named, next) {
            (Some(named), _) => named,
            (None, Some(next)) => {
                flight.turn += 1;
                (next, Transport::Udp)
            }
            (None, None) => (0, Transport::Udp),
        };
        let to = self.upstreams.get(usize::from(upstream)).copied();
        let pause = if transport == Transport::Tcp { NEXT_TCP } else { NEXT };
        flight.next = now + pause;
        let wake = flight.next.min(flight.end);
        self.wake = Some(self.wake.map_or(wake, |earlier| earlier.min(wake)));
        let Some(to) = to.filter(|_| flight.asked < MOST_ASKED) else {
            flight.next = flight.end;
            return;
        };
        flight.asked += 1;
        self.serial = self.serial.wrapping_add(1);
        let id = (self.random)();
        let message = message(id, &flight.key, !flight.plain);
        let with_edns = !flight.plain;
        let live = Live { serial: self.serial, id, upstream, with_edns, transport };
        let attempt = Attempt { flight: at as u16, serial: live.serial };
        // The older of the two has had its time and another one's.
        flight.live.swap(0, 1);
        if let Some(old) = flight.live[0].replace(live) {
            actions.push(Action::Close(Attempt { flight: at as u16, serial: old.serial }));
        }
        actions.push(Action::Ask { attempt, to, transport, message });
    }

    fn settle(&mut self, at: usize, answer: Option<(Stored, u32)>, actions: &mut Vec<Action>) -> Option<Settled> {
        let flight = self.flights.get_mut(at)?.take()?;
        for live in flight.live.iter().flatten() {
            actions.push(Action::Close(Attempt { flight: at as u16, serial: live.serial }));
        }
        self.index.remove(&flight.hash);
        self.waiters = self.waiters.saturating_sub(flight.waiters.len());
        for waiter in &flight.waiters {
            if let hash_map::Entry::Occupied(mut count) = self.waiting.entry(waiter.client.address()) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        Some(Settled { key: flight.key, hash: flight.hash, waiters: flight.waiters, answer })
    }
}

impl Flight {
    fn place(&self, attempt: Attempt) -> Option<usize> {
        self.live.iter().position(|live| live.as_ref().is_some_and(|live| live.serial == attempt.serial))
    }
}

// The query we send: the question of the key, and with EDNS unless the upstream does not know it.
fn message(id: u16, key: &[u8], with_edns: bool) -> Vec<u8> {
    let (question, flags) = key.split_at(key.len().saturating_sub(1));
    let flags = flags.first().copied().unwrap_or_default();
    let ([a, b], [s, t]) = (id.to_be_bytes(), UDP_SIZE.to_be_bytes());
    let mut message = Vec::with_capacity(question.len() + 23);
    message.extend_from_slice(&[a, b, 0x01, (flags & 2) << 3, 0, 1, 0, 0, 0, 0, 0, u8::from(with_edns)]);
    message.extend_from_slice(question);
    if with_edns {
        message.extend_from_slice(&[0, 0, 0x29, s, t, 0, 0, (flags & 1) << 7, 0, 0, 0]);
    }
    message
}
