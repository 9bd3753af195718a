//! What is answered, and what is asked outside: a pure function of queries, replies and the time.
pub mod answer;
pub mod cache;
pub mod forward;
pub mod local;
pub mod name;
pub mod query;
pub mod stored;
pub mod zones;

use answer::Age;
use cache::{Cache, Use};
use domain::base::iana::Rcode;
use forward::{Forward, Settled};
use local::{Host, Names};
use netstack::time::Instant;
use query::{Message, Query, Wrong};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use stored::Stored;

/// How long a client waits for an answer from outside, before it hears SERVFAIL.
const PATIENCE: Duration = Duration::from_secs(4);
/// The same when an answer that has run out is at hand (RFC 8767 5).
const PATIENCE_STALE: Duration = Duration::from_millis(1_800);
/// For how long a failure is remembered, in seconds (RFC 9520 3.2).
const FAILURE: u32 = 1;

/// Who asks, and how to reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// By a datagram to the listener of this number.
    Udp {
        /// The listener's number.
        listener: u64,
        /// Where it came from.
        peer: SocketAddr,
    },
    /// On the connection of this number.
    Tcp {
        /// The connection's number; none is given twice.
        stream: u64,
        /// Who opened it.
        peer: IpAddr,
    },
}

impl Client {
    /// Its address.
    pub fn address(&self) -> IpAddr {
        match self {
            Client::Udp { peer, .. } => peer.ip(),
            Client::Tcp { peer, .. } => *peer,
        }
    }
}

/// How an upstream is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// From a socket of its own, with a port of its own, connected so that only the upstream can reply.
    Udp,
    /// On a connection of its own.
    Tcp,
}

/// One time that one upstream is asked one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt {
    flight: u16,
    serial: u32,
}

impl Attempt {
    /// As a number of 48 bits.
    pub fn to_bits(self) -> u64 {
        u64::from(self.flight) << 32 | u64::from(self.serial)
    }

    /// Of such a number.
    pub fn from_bits(bits: u64) -> Attempt {
        Attempt { flight: (bits >> 32) as u16, serial: bits as u32 }
    }
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this to a client.
    Answer(Client, Vec<u8>),
    /// Send this to an upstream; what comes back is for [`Engine::reply`] or [`Engine::failed`].
    Ask {
        /// To be given back.
        attempt: Attempt,
        /// Whom to ask.
        to: SocketAddr,
        /// How.
        transport: Transport,
        /// What.
        message: Vec<u8>,
    },
    /// Nothing more is wanted of this attempt.
    Close(Attempt),
}

/// What the engine is told of the world.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Whom to ask, the best first.
    pub upstreams: Vec<SocketAddr>,
    /// The machines of the house; of equal names the first holds.
    pub hosts: Vec<Host>,
}

/// The resolver.
#[derive(Debug)]
pub struct Engine {
    names: Names,
    cache: Cache,
    forward: Forward,
    actions: Vec<Action>,
}

impl Engine {
    /// Knows nothing and nobody yet. `random` gives query ids that nobody can foresee.
    pub fn new(cache_bytes: usize, random: Box<dyn FnMut() -> u16>) -> Engine {
        Engine {
            names: Names::default(),
            cache: Cache::new(cache_bytes),
            forward: Forward::new(random),
            actions: Vec::new(),
        }
    }

    /// The world has changed.
    pub fn configure(&mut self, now: Instant, settings: &Settings) {
        self.names = Names::new(&settings.hosts);
        if self.forward.set_upstreams(now, &settings.upstreams, &mut self.actions) {
            self.cache.hope();
        }
    }

    /// A client's message. True: `out` holds the answer; false: there is none, or it comes as an action.
    pub fn query(&mut self, now: Instant, client: Client, message: &[u8], out: &mut Vec<u8>) -> bool {
        match query::parse(message, matches!(client, Client::Tcp { .. })) {
            Message::Query(query) => return self.resolve(now, client, &query, out),
            Message::Wrong(Wrong::Query(query), rcode) => answer::empty(out, &query, rcode),
            Message::Wrong(Wrong::Header(start), rcode) => answer::header_only(out, start, rcode),
            Message::Version(query) => answer::bad_version(out, &query),
            Message::Silence => return false,
        }
        true
    }

    fn resolve(&mut self, now: Instant, client: Client, query: &Query<'_>, out: &mut Vec<u8>) -> bool {
        let found = self.names.find(now, query.name, query.rtype);
        if answer::local(out, query, &found) {
            return true;
        }
        let mut space = [0; name::LONGEST + 5];
        let length = query.name.len();
        let Some(key) = space.get_mut(..length + 5) else { return false };
        key[..length].copy_from_slice(query.name);
        // Lengths of labels are below 64 and no letters.
        key[..length].make_ascii_lowercase();
        key[length..].copy_from_slice(&answer::key_tail(query));
        let hash = self.cache.hash(key);
        let mut patience = PATIENCE;
        match self.cache.get(now, hash, key) {
            Some((stored, Use::Fresh(age))) => {
                answer::stored(out, query, stored, Age::Seconds(age));
                return true;
            }
            Some((stored, Use::Stale)) => {
                answer::stored(out, query, stored, Age::Stale);
                return true;
            }
            Some((_, Use::Expired)) => patience = PATIENCE_STALE,
            None => {}
        }
        if !query.recursion {
            answer::empty(out, query, Rcode::REFUSED);
            return true;
        }
        if self.forward.query(now, (client, query), (hash, key), patience, &mut self.actions) {
            return false;
        }
        answer::empty(out, query, Rcode::SERVFAIL);
        true
    }

    /// An upstream's reply to an attempt.
    pub fn reply(&mut self, now: Instant, attempt: Attempt, message: &[u8]) {
        let settled = self.forward.reply(now, attempt, message, &mut self.actions);
        self.deliver(now, settled);
    }

    /// An attempt's socket failed, or could not be opened.
    pub fn failed(&mut self, now: Instant, attempt: Attempt) {
        let settled = self.forward.failed(now, attempt, &mut self.actions);
        self.deliver(now, settled);
    }

    /// The time of [`Engine::deadline`] has come.
    pub fn tick(&mut self, now: Instant) {
        while let Some(settled) = self.forward.tick(now, &mut self.actions) {
            self.deliver(now, Some(settled));
        }
    }

    /// When to call [`Engine::tick`].
    pub fn deadline(&self) -> Option<Instant> {
        self.forward.deadline()
    }

    /// What is to be done since the last call. `into` is emptied first, so that it can be used again.
    pub fn take_actions(&mut self, into: &mut Vec<Action>) {
        into.clear();
        std::mem::swap(into, &mut self.actions);
    }

    fn deliver(&mut self, now: Instant, settled: Option<Settled>) {
        let Some(Settled { key, hash, waiters, answer }) = settled else { return };
        let pause = Duration::from_secs(u64::from(FAILURE));
        let stale = answer.is_none() && self.cache.hopeless(now, hash, &key, pause);
        let question = key.get(..key.len().saturating_sub(1)).unwrap_or_default();
        let failure = || (Stored::empty(&key, question, Rcode::SERVFAIL), FAILURE);
        let failed = answer.is_none();
        let (stored, life) = match answer {
            Some(answer) => answer,
            None if stale => match self.cache.get(now, hash, &key) {
                Some((stored, _)) => {
                    give(&mut self.actions, &waiters, &key, stored, Age::Stale);
                    return;
                }
                None => failure(),
            },
            None => failure(),
        };
        give(&mut self.actions, &waiters, &key, &stored, Age::Seconds(0));
        if life > 0 {
            self.cache.insert(now, hash, stored, life, failed);
        }
    }
}

fn give(actions: &mut Vec<Action>, waiters: &[forward::Waiter], key: &[u8], stored: &Stored, age: Age) {
    for waiter in waiters {
        let mut message = Vec::with_capacity(stored.message().len() + 16);
        answer::stored(&mut message, &waiter.query(key), stored, age);
        actions.push(Action::Answer(waiter.client, message));
    }
}
