//! What is answered, and what is asked outside: a pure function of queries, replies and the time.
pub mod answer;
pub mod blocking;
pub mod cache;
pub mod counters;
pub mod flight;
pub mod forward;
mod judging;
pub mod kept;
pub mod local;
pub mod name;
pub mod popular;
pub mod query;
pub mod rebind;
pub mod stored;
pub mod upstream;
pub mod validate;
pub mod zones;

use crate::blocklist::{self, Table};
use crate::house::admission::{Admission, Verdict};
use crate::perm::Mac;
use crate::perm::upstream::Server;
use answer::{Age, Note};
use blocking::{Blocker, Wanted};
use cache::{Cache, Use};
use counters::Counters;
use domain::base::iana::{Class, Rcode, Rtype};
use forward::{Forward, Group, Outcome, Question, Settled};
use ipnet::IpNet;
use local::{Host, Names, Subname};
use netstack::time::Instant;
use query::{Message, Query, Wrong};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use stored::Stored;
use validate::Validator;

/// How long a client waits for an answer from outside, before it hears SERVFAIL.
const PATIENCE: Duration = Duration::from_secs(4);
/// The same when an answer that has run out is at hand (RFC 8767 5).
const PATIENCE_STALE: Duration = Duration::from_millis(1_000);
/// For how long a failure is remembered, in seconds (RFC 9520 3.2).
const FAILURE: u32 = 1;
/// For how long what has run out is given before anybody is asked again (RFC 8767 5), unless an upstream comes back.
const HOPELESS: Duration = Duration::from_secs(30);
/// For how long an answer that would have led into the house is remembered as none, in seconds.
const REBOUND: u32 = 60;
/// In a key's last byte: it is the question for a server's address, not a client's.
const ASIDE: u8 = 4;
/// The same: its answer is judged by DNSSEC.
const CHECKED: u8 = 8;
/// The same: it is a question of our own, for a key or a delegation.
const CHAIN: u8 = 16;

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
    /// The router itself, which wants to know where an upstream is: the question's number.
    House(u16),
}

impl Client {
    /// Its address.
    pub fn address(&self) -> IpAddr {
        match self {
            Client::Udp { peer, .. } => peer.ip(),
            Client::Tcp { peer, .. } => *peer,
            Client::House(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

/// How an upstream is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// From a port that nobody can foresee, on a socket to which only the upstream can reply.
    Udp,
    /// On a connection of its own.
    Tcp,
    /// On a connection that is kept, to one that proves who it is.
    Tls,
}

/// One time that one upstream is asked one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt {
    flight: u16,
    upstream: u8,
    serial: u32,
}

impl Attempt {
    /// As a number of 56 bits.
    pub fn to_bits(self) -> u64 {
        u64::from(self.upstream) << 48 | u64::from(self.flight) << 32 | u64::from(self.serial)
    }

    /// Of such a number.
    pub fn from_bits(bits: u64) -> Attempt {
        Attempt { upstream: (bits >> 48) as u8, flight: (bits >> 32) as u16, serial: bits as u32 }
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
        to: Server,
        /// How.
        transport: Transport,
        /// What.
        message: Vec<u8>,
        /// How long it usually takes at most.
        patience: Duration,
    },
    /// Nothing more is wanted of this attempt.
    Close(Attempt),
}

/// What the engine is told of the world.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Whom to ask: the first group for everything, the others for their domains.
    pub groups: Vec<Group>,
    /// The machines of the house; of equal names the first holds.
    pub hosts: Vec<Host>,
    /// Names below theirs.
    pub subnames: Vec<Subname>,
    /// Whole names with fixed addresses.
    pub fixed: Vec<(String, Vec<IpAddr>)>,
    /// Domains of LANs, besides `lan`.
    pub domains: Vec<String>,
    /// Domains whose names may have private addresses, in wire form and lower-case.
    pub rebind_allow: Vec<Box<[u8]>>,
    /// Networks of the LANs and of the uplinks.
    pub lans: Vec<IpNet>,
    /// See `lans`.
    pub uplinks: Vec<IpNet>,
    /// Questions a second that one client may ask; 0 = without a limit.
    pub rate: u32,
    /// How answers are judged by DNSSEC; `None` = not at all.
    pub dnssec: Option<validate::Rules>,
    /// Which names are not answered, and for whom.
    pub blocking: Wanted,
}

/// The resolver.
#[derive(Debug)]
pub struct Engine {
    names: Names,
    cache: Cache,
    forward: Forward,
    admission: Admission,
    rebind_allow: Vec<Box<[u8]>>,
    blocker: Blocker,
    counters: Counters,
    // Names whose answers led into the house, for who logs them.
    rebound: Vec<Box<[u8]>>,
    validator: Option<Validator>,
    // Names whose answers are bogus, and why, for who logs them.
    bogus: Vec<(Box<[u8]>, Note)>,
    actions: Vec<Action>,
}

impl Engine {
    /// Knows nothing and nobody yet. `random` gives what nobody must be able to foresee.
    pub fn new(cache_bytes: usize, random: Box<dyn FnMut() -> u64>) -> Engine {
        Engine {
            names: Names::default(),
            cache: Cache::new(cache_bytes),
            forward: Forward::new(random),
            admission: Admission::default(),
            rebind_allow: Vec::new(),
            blocker: Blocker::default(),
            counters: Counters::default(),
            rebound: Vec::new(),
            validator: None,
            bogus: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// The world has changed.
    pub fn configure(&mut self, now: Instant, settings: &Settings) {
        self.names = Names::new(&settings.hosts, &settings.subnames, &settings.fixed, &settings.domains);
        self.admission.set(&settings.lans, &settings.uplinks, settings.rate);
        self.rebind_allow.clone_from(&settings.rebind_allow);
        self.judge_by(now, settings.dnssec.as_ref());
        self.blocker.set_wanted(&settings.blocking);
        if self.forward.set_groups(now, &settings.groups, &mut self.actions) {
            self.cache.hope();
        }
    }

    /// The way to the upstreams is another one now: another address, another link.
    pub fn rewire(&mut self, now: Instant) {
        self.forward.rewire(now, &mut self.actions);
        self.cache.hope();
    }

    /// Another table of blocked names, or none.
    pub fn set_table(&mut self, table: Option<Table>) {
        self.blocker.set_table(table);
    }

    /// Whether somebody should be looked for among the neighbours before he is answered.
    pub fn wonders(&self, who: IpAddr) -> bool {
        self.blocker.wonders(who)
    }

    /// Who is behind which address, and in which LAN.
    pub fn neighbours(&mut self, all: impl Iterator<Item = (IpAddr, Mac, String)>) {
        self.blocker.neighbours(all);
    }

    /// What is blocked, for who shows it.
    pub fn blocker(&self) -> &Blocker {
        &self.blocker
    }

    /// A client's message. True: `out` holds the answer; false: there is none, or it comes as an action.
    pub fn query(&mut self, now: Instant, client: Client, message: &[u8], out: &mut Vec<u8>) -> bool {
        self.counters.queries += 1;
        let verdict = self.admission.ask(now, client.address());
        if verdict == Verdict::Stranger {
            self.counters.strangers += 1;
            return false;
        }
        match query::parse(message, matches!(client, Client::Tcp { .. })) {
            Message::Query(query) if verdict == Verdict::TooOften => {
                self.counters.limited += 1;
                answer::empty(out, &query, Rcode::REFUSED, Some(Note::Prohibited));
                return true;
            }
            Message::Query(query) => return self.resolve(now, client, &query, out),
            Message::Wrong(Wrong::Query(query), rcode) => answer::empty(out, &query, rcode, None),
            Message::Wrong(Wrong::Header(start), rcode) => answer::header_only(out, start, rcode),
            Message::Version(query) => answer::bad_version(out, &query),
            Message::Silence => {
                self.counters.malformed += 1;
                return false;
            }
        }
        self.counters.malformed += 1;
        true
    }

    fn resolve(&mut self, now: Instant, client: Client, query: &Query<'_>, out: &mut Vec<u8>) -> bool {
        let mut space = [0; name::LONGEST + 5];
        let length = query.name.len();
        let Some(key) = space.get_mut(..length + 5) else { return false };
        key[..length].copy_from_slice(query.name);
        // Lengths of labels are below 64 and no letters.
        key[..length].make_ascii_lowercase();
        key[length..].copy_from_slice(&answer::key_tail(query));
        let name = &key[..length];
        let group = self.forward.group(name);
        if group == 0 && self.judges(query, name) {
            key[length + 4] |= CHECKED;
        }
        let name = &key[..length];
        let found = self.names.find(now, name, query.rtype, group != 0);
        if answer::local(out, query, &found) {
            self.counters.local += 1;
            return true;
        }
        let hash = self.cache.hash(key);
        let allowed = group != 0 || self.rebind_allow.iter().any(|domain| name::is_below(name, domain));
        let mut question = Question { key, hash, guarded: !allowed, group, patience: PATIENCE };
        let mut kept = self.cache.get(now, hash, key);
        // Who has servers of its own was chosen by a person.
        if group == 0 {
            let fresh;
            let marks = match &mut kept {
                Some((stored, _, remark)) => remark.of(&self.blocker, name, stored),
                None => {
                    fresh = self.blocker.marks(name, None);
                    fresh.as_ref()
                }
            };
            match marks.map(|marks| self.blocker.judge(client.address(), marks)) {
                None | Some(blocklist::Verdict::Free) => {}
                Some(blocklist::Verdict::Excepted) => self.counters.excepted += 1,
                Some(blocklist::Verdict::Blocked(list)) => {
                    self.counters.blocked += 1;
                    answer::blocked(out, query, self.blocker.blocked(list));
                    return true;
                }
            }
        }
        match kept.map(|(stored, usable, _)| (stored, usable)) {
            Some((stored, Use::Fresh(age))) => {
                answer::stored(out, query, stored, Age::Seconds(age));
                self.counters.hits += 1;
                return true;
            }
            Some((stored, Use::Ending(age))) => {
                answer::stored(out, query, stored, Age::Seconds(age));
                self.counters.hits += 1;
                self.refresh(now, &question);
                return true;
            }
            Some((stored, usable)) if usable == Use::Stale || !self.forward.is_alive(group) => {
                answer::stored(out, query, stored, Age::Stale);
                self.counters.hits += 1;
                self.counters.stale += 1;
                if usable == Use::Expired {
                    self.refresh(now, &question);
                }
                return true;
            }
            Some(_) => question.patience = PATIENCE_STALE,
            None => {}
        }
        if !query.recursion {
            answer::empty(out, query, Rcode::REFUSED, None);
            return true;
        }
        self.counters.misses += 1;
        if self.forward.query(now, Some((client, query)), &question, &mut self.actions) {
            return false;
        }
        self.counters.failures += 1;
        answer::empty(out, query, Rcode::SERVFAIL, Some(Note::NoReachableAuthority));
        true
    }

    // Asks again although nobody waits.
    fn refresh(&mut self, now: Instant, question: &Question<'_>) {
        if self.forward.query(now, None, question, &mut self.actions) {
            self.counters.prefetched += 1;
        }
    }

    /// An upstream's reply to an attempt.
    pub fn reply(&mut self, now: Instant, attempt: Attempt, message: &[u8]) {
        let settled = self.forward.reply(now, attempt, message, &mut self.actions);
        if self.forward.take_revived() {
            self.cache.hope();
        }
        self.deliver(now, settled);
    }

    /// Asks where an upstream is, of those who are asked for nothing else; false when nobody can be. The answer comes as an
    /// action for [`Client::House`].
    pub fn lookup(&mut self, now: Instant, number: u16, name: &[u8], ipv6: bool) -> bool {
        let Some(group) = self.forward.aside() else { return false };
        let (rtype, class) = (if ipv6 { Rtype::AAAA } else { Rtype::A }, Class::IN);
        let query = Query {
            id: number,
            recursion: true,
            unchecked: false,
            authentic: false,
            name,
            rtype,
            class,
            edns: None,
            limit: usize::MAX,
        };
        let mut tail = answer::key_tail(&query);
        tail[4] |= ASIDE;
        let key = [name, &tail].concat();
        let hash = self.cache.hash(&key);
        let question = Question { key: &key, hash, guarded: false, group, patience: PATIENCE };
        self.forward.query(now, Some((Client::House(number), &query)), &question, &mut self.actions)
    }

    /// An attempt went over a connection that has to be made first, which takes longer.
    pub fn cold(&mut self, attempt: Attempt) {
        self.forward.cold(attempt);
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

    /// A name whose answer led into the house, for the log.
    pub fn take_rebound(&mut self) -> Option<Box<[u8]>> {
        self.rebound.pop()
    }

    /// The name, one label, of the machine with this address.
    pub fn host_of(&self, now: Instant, address: IpAddr) -> Option<&[u8]> {
        self.names.host_of(now, address)
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The cache, for who shows or keeps it.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Takes back what was [kept](kept::write) so many seconds ago.
    pub fn restore(&mut self, now: Instant, bytes: &[u8], seconds: u32) -> usize {
        kept::read(&mut self.cache, now, bytes, seconds)
    }

    /// Whom it asks, for who shows them.
    pub fn forward(&self) -> &Forward {
        &self.forward
    }

    fn deliver(&mut self, now: Instant, settled: Option<Settled>) {
        let Some(Settled { key, hash, waiters, outcome }) = self.judge(now, settled) else { return };
        let question = key.get(..key.len().saturating_sub(1)).unwrap_or_default();
        let (stored, life, failed) = match outcome {
            Outcome::Answer(stored, life) if stored.is_failure() => (stored, life, true),
            Outcome::Answer(stored, life) | Outcome::Unjudged(stored, life) => (stored, life, false),
            Outcome::Refused => {
                self.counters.rebound += 1;
                self.rebound.truncate(3);
                self.rebound.push(question.get(..question.len().saturating_sub(4)).unwrap_or_default().into());
                (Stored::empty(&key, question, Rcode::NOERROR), REBOUND, true)
            }
            Outcome::Nothing => {
                self.counters.failures += 1;
                if self.cache.hopeless(now, hash, &key, HOPELESS)
                    && let Some((stored, usable, _)) = self.cache.get(now, hash, &key)
                {
                    let age = match usable {
                        Use::Fresh(age) | Use::Ending(age) => Age::Seconds(age),
                        Use::Stale | Use::Expired => Age::Stale,
                    };
                    self.counters.stale += waiters.len() as u64;
                    let (name, listed) = listed(&self.forward, &key);
                    let marks = if listed { self.blocker.marks(name, Some(stored)) } else { None };
                    let mut given = Given { blocker: &mut self.blocker, counters: &mut self.counters, marks };
                    given.give(&mut self.actions, &waiters, &key, stored, age);
                    return;
                }
                (Stored::empty(&key, question, Rcode::SERVFAIL), FAILURE, true)
            }
        };
        let (name, listed) = listed(&self.forward, &key);
        let marks = if listed { self.blocker.marks(name, Some(&stored)) } else { None };
        let mut given = Given { blocker: &mut self.blocker, counters: &mut self.counters, marks };
        given.give(&mut self.actions, &waiters, &key, &stored, Age::Seconds(0));
        if life > 0 {
            self.cache.insert(now, hash, stored, life, failed);
        }
    }
}

/// The name of a key, and whether lists may say something of it.
fn listed<'a>(forward: &Forward, key: &'a [u8]) -> (&'a [u8], bool) {
    let name = key.get(..key.len().saturating_sub(5)).unwrap_or_default();
    (name, key.last().is_some_and(|flags| flags & ASIDE == 0) && forward.group(name) == 0)
}

// What has come in, for those who wait: a list may have what it leads to, for some of them.
struct Given<'a> {
    blocker: &'a mut Blocker,
    counters: &'a mut Counters,
    marks: Option<[blocklist::Marks; 2]>,
}

impl Given<'_> {
    fn give(&mut self, actions: &mut Vec<Action>, waiters: &[flight::Waiter], key: &[u8], stored: &Stored, age: Age) {
        for waiter in waiters {
            let mut message = Vec::with_capacity(stored.message().len() + 20);
            let verdict = self.marks.as_ref().map(|marks| self.blocker.judge(waiter.client.address(), marks));
            if let Some(blocklist::Verdict::Blocked(list)) = verdict {
                self.counters.blocked += 1;
                answer::blocked(&mut message, &waiter.query(key), self.blocker.blocked(list));
            } else {
                answer::stored(&mut message, &waiter.query(key), stored, age);
            }
            actions.push(Action::Answer(waiter.client, message));
        }
    }
}
