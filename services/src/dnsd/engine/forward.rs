//! Questions that are being asked outside: each once, however many clients wait for it, with bounded patience.
//!
//! Upstreams come in groups: one for everything, one for each domain that has servers of its own. Of a group the one
//! that replies soonest is asked. When it is silent for longer than 95 of 100 of its replies took, the next one is asked
//! as well, and the first answer counts. One that has been silent twice comes last, and is tried now and then beside
//! another, so that a dead one costs nobody anything. The same one is asked again over TCP when its answer was cut off,
//! and without EDNS when it does not know that. A way that is not there yet is tried again for a second.
mod asking;
mod groups;

use super::cache::Ready;
use super::flight::{self, Flight, Live, Waiter, spell};
use super::query::Query;
use super::stored::{self, Reply, Stored};
use super::upstream::Upstream;
use super::{Action, Attempt, CHAIN, CHECKED, Client, Transport};
use crate::perm::upstream::Server;
use domain::base::iana::Rcode;
use netstack::time::Instant;
use std::collections::{HashMap, hash_map};
use std::fmt;
use std::hash::BuildHasherDefault;
use std::net::IpAddr;
use std::time::Duration;

/// Questions asked at the same time.
pub const MOST_FLIGHTS: usize = 512;
/// Of these, without anybody who waits.
const MOST_REFRESHED: usize = 64;
/// Clients waiting at the same time, for all questions.
const MOST_WAITING: usize = 2_048;
/// Of these, from one address.
const MOST_WAITING_OF_ONE: u16 = 256;
/// Upstreams of all groups; a bit each.
const MOST_UPSTREAMS: usize = 32;
/// How often one question is sent, all upstreams together.
const MOST_ASKED: u8 = 12;
/// Least patience before one that was asked is asked again, doubled each time.
const AGAIN: Duration = Duration::from_millis(250);
/// Least patience with TCP.
const TCP: Duration = Duration::from_millis(200);
/// How long, and how often, somebody is tried to whom there is no way.
const NO_WAY: Duration = Duration::from_secs(1);
const NO_WAY_PAUSE: Duration = Duration::from_millis(100);
/// How many others are asked when an answer is bogus, and for how long who gave it is asked for no keys while there are
/// others (as long as a bogus zone is remembered).
const MOST_DOUBTS: u8 = 2;
const DOUBT: Duration = Duration::from_secs(30);
/// Ways there and back before the answer of a connection that is new: TCP's, TLS' and the question's own.
const COLD: u32 = 3;

/// Servers for a domain and what is below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// In wire form, lower-case; the root for everything.
    pub domain: Box<[u8]>,
    /// Whom to ask.
    pub servers: Vec<Server>,
    /// Asked for the addresses of servers, and for nothing else, whatever the domain.
    pub aside: bool,
}

/// What is to be asked.
#[derive(Debug)]
pub struct Question<'a> {
    /// Name (lower-case), type and class in wire form and a byte of flags.
    pub key: &'a [u8],
    /// The key's hash.
    pub hash: u64,
    /// Whether its answer must not lead into the house.
    pub guarded: bool,
    /// The group by [`Forward::group`].
    pub group: u8,
    /// How long who waits will wait.
    pub patience: Duration,
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
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a question.
#[derive(Debug)]
pub enum Outcome {
    /// The answer and its life in seconds.
    Answer(Stored, u32),
    /// An answer that would have led into the house.
    Refused,
    /// Nobody had one.
    Nothing,
    /// An answer that has to be judged, and its life; who waits goes on waiting.
    Unjudged(Stored, u32),
}

/// All questions in flight.
pub struct Forward {
    upstreams: Vec<Upstream>,
    groups: Vec<(Group, Vec<u8>)>,
    flights: Vec<Option<Flight>>,
    free: Vec<u16>,
    index: HashMap<u64, u16, BuildHasherDefault<Ready>>,
    waiting: HashMap<IpAddr, u16>,
    waiters: usize,
    refreshed: usize,
    serial: u32,
    // The earliest deadline, or an earlier moment.
    wake: Option<Instant>,
    random: Box<dyn FnMut() -> u64>,
    revived: bool,
    // A bit for each upstream that gave something bogus, and until when that counts.
    doubted: u32,
    doubted_until: Instant,
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Forward({} in flight, {} waiting)", self.index.len(), self.waiters)
    }
}

impl Forward {
    /// Nobody to ask yet. `random` gives ids and capitals: what it gives must not be foreseeable.
    pub fn new(random: Box<dyn FnMut() -> u64>) -> Forward {
        Forward {
            upstreams: Vec::new(),
            groups: Vec::new(),
            flights: Vec::new(),
            free: Vec::new(),
            index: HashMap::default(),
            waiting: HashMap::new(),
            waiters: 0,
            refreshed: 0,
            serial: 0,
            wake: None,
            random,
            revived: false,
            doubted: 0,
            doubted_until: Instant::default(),
        }
    }

    /// When [`Forward::tick`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.wake
    }

    /// Has a client wait for an answer, or nobody, and asks unless that is under way. False when there is no room.
    pub fn query(
        &mut self,
        now: Instant,
        who: Option<(Client, &Query<'_>)>,
        question: &Question<'_>,
        actions: &mut Vec<Action>,
    ) -> bool {
        let known = self.index.get(&question.hash).map(|at| usize::from(*at));
        if let Some(at) = known
            && let Some(Some(flight)) = self.flights.get_mut(at)
        {
            if *flight.key != *question.key {
                return false;
            }
            // Nobody new, or the same client repeats itself: it is answered once.
            let same = |(client, query): &(Client, &Query<'_>)| {
                flight.waiters.iter().any(|waiter| waiter.id == query.id && waiter.client == *client)
            };
            if who.as_ref().is_none_or(same) {
                return true;
            }
        }
        if self.members(question.group).is_empty() || (known.is_none() && self.index.len() >= MOST_FLIGHTS) {
            return false;
        }
        let chain = is_chain(question.key);
        let waiter = match who {
            None if chain => None,
            None if self.refreshed >= MOST_REFRESHED => return false,
            None => None,
            Some((client, query)) => {
                let of_one = self.waiting.entry(client.address()).or_insert(0);
                if self.waiters >= MOST_WAITING || *of_one >= MOST_WAITING_OF_ONE {
                    return false;
                }
                *of_one += 1;
                self.waiters += 1;
                Some(Waiter::new(client, query))
            }
        };
        if let Some(at) = known {
            if let (Some(Some(flight)), Some(waiter)) = (self.flights.get_mut(at), waiter) {
                // What was only refreshed is waited for now.
                self.refreshed -= usize::from(flight.waiters.is_empty() && !chain);
                flight.waiters.push(waiter);
            }
            return true;
        }
        self.refreshed += usize::from(waiter.is_none() && !chain);
        // Who spoils answers may spoil what proves them as well.
        let doubted = if chain && now < self.doubted_until { self.doubted } else { 0 };
        let others = self.members(question.group).iter().any(|member| doubted & 1 << member == 0);
        let flight = Flight {
            key: question.key.into(),
            hash: question.hash,
            waiters: waiter.into_iter().collect(),
            live: [const { None }; flight::MOST_LIVE],
            group: question.group,
            guarded: question.guarded,
            tried: 0,
            failed: if others { doubted } else { 0 },
            asked: 0,
            round: 0,
            plain: false,
            held: false,
            from: 0,
            doubts: 0,
            doubted: None,
            start: now,
            next: now,
            end: now + question.patience,
        };
        let at = self.free.pop().map_or(self.flights.len(), usize::from);
        match self.flights.get_mut(at) {
            Some(slot) => *slot = Some(flight),
            None => self.flights.push(Some(flight)),
        }
        self.index.insert(question.hash, at as u16);
        self.begin(now, at, actions);
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
        let live = self.flights.get(at).and_then(Option::as_ref).and_then(|flight| {
            let place = flight.place(attempt)?;
            Some((flight, place, flight.live.get(place)?.as_ref()?))
        });
        let Some((flight, place, live)) = live else {
            // Too late for the answer, in time to show that it lives.
            if message.get(2).is_some_and(|flags| flags & 0x80 != 0) {
                self.hear(attempt.upstream, Upstream::heard_late);
            }
            return None;
        };
        let (upstream, with_edns, transport, cold) = (live.upstream, live.with_edns, live.transport, live.cold);
        let waited = now.since(live.sent);
        let mut question = Vec::with_capacity(flight.key.len());
        spell(&mut question, flight.key.get(..flight.key.len().saturating_sub(1))?, live.capitals);
        let wanted = stored::Wanted { id: live.id, question: &question, guarded: flight.guarded };
        // What comes over a connection was not forged by somebody beside the way.
        let mut reply = stored::judge(message, &wanted, transport == Transport::Udp, &flight.key);
        if transport == Transport::Tcp && message.get(12..12 + question.len()).is_some_and(|theirs| theirs != question)
        {
            self.hear(upstream, |upstream| upstream.keeps_case = false);
        }
        if let Reply::Foreign | Reply::OtherCase = reply
            && transport == Transport::Udp
        {
            // It may be a forgery, and the true one under way; or one that writes names as it likes.
            if let Reply::OtherCase = reply {
                self.send(now, at, upstream, Transport::Tcp, actions);
            }
            return None;
        }
        if transport != Transport::Tcp {
            let is_answer = !matches!(reply, Reply::Failed(_));
            self.hear(upstream, |upstream| match cold {
                true => upstream.heard_cold(waited, COLD, is_answer),
                false => upstream.heard(waited, is_answer),
            });
        }
        if let Reply::Failed(Rcode::FORMERR | Rcode::NOTIMP) = reply
            && with_edns
        {
            self.drop_live(at, place, actions);
            if let Some(Some(flight)) = self.flights.get_mut(at) {
                flight.plain = true;
            }
            self.send(now, at, upstream, Transport::Udp, actions);
            return None;
        }
        if let Reply::Truncated = reply
            && transport == Transport::Udp
        {
            self.drop_live(at, place, actions);
            self.send(now, at, upstream, Transport::Tcp, actions);
            return None;
        }
        let outcome = match std::mem::replace(&mut reply, Reply::Foreign) {
            Reply::Answer(stored, life) => Outcome::Answer(stored, life),
            Reply::IntoTheHouse => Outcome::Refused,
            Reply::Foreign | Reply::OtherCase | Reply::Truncated | Reply::Failed(_) => {
                self.drop_live(at, place, actions);
                if let Some(Some(flight)) = self.flights.get_mut(at) {
                    flight.failed |= 1 << upstream;
                }
                return self.lost(now, at, actions);
            }
        };
        if let Some(Some(flight)) = self.flights.get_mut(at) {
            // It has replied: it is not to be blamed for silence.
            flight.from = upstream;
            flight.live.get_mut(place).map(Option::take);
        }
        actions.push(Action::Close(attempt));
        match outcome {
            Outcome::Answer(stored, life) if self.is_judged(at) => self.hold(now, at, stored, life, actions),
            outcome => self.settle(now, at, outcome, actions),
        }
    }

    /// An attempt went over a connection that has to be made first.
    pub fn cold(&mut self, attempt: Attempt) {
        let flight = self.flights.get_mut(usize::from(attempt.flight)).and_then(Option::as_mut);
        let place = flight.and_then(|flight| flight.place(attempt).and_then(|place| flight.live.get_mut(place)));
        place.into_iter().flatten().for_each(|live| live.cold = true);
    }

    /// The socket of an attempt has failed, or could not be opened.
    pub fn failed(&mut self, now: Instant, attempt: Attempt, actions: &mut Vec<Action>) -> Option<Settled> {
        let at = usize::from(attempt.flight);
        let place = self.flights.get(at)?.as_ref()?.place(attempt)?;
        if let Some(upstream) = self.upstreams.get_mut(usize::from(attempt.upstream)) {
            upstream.silence(now);
        }
        self.drop_live(at, place, actions);
        self.lost(now, at, actions)
    }

    /// Time has passed: asks the next ones, and gives up what took too long. To be called until it gives nothing.
    pub fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) -> Option<Settled> {
        if self.wake.is_none_or(|wake| now < wake) {
            return None;
        }
        for at in 0..self.flights.len() {
            let Some(Some(flight)) = self.flights.get_mut(at) else { continue };
            if now >= flight.end {
                return self.settle(now, at, Outcome::Nothing, actions);
            }
            if now >= flight.next {
                self.ask(now, at, actions);
            }
        }
        self.wake = self.flights.iter().flatten().map(|flight| flight.next.min(flight.end)).min();
        None
    }

    fn members(&self, group: u8) -> &[u8] {
        self.groups.get(usize::from(group)).map(|(_, members)| members.as_slice()).unwrap_or_default()
    }

    fn hear(&mut self, upstream: u8, hear: impl FnOnce(&mut Upstream)) {
        let Some(upstream) = self.upstreams.get_mut(usize::from(upstream)) else { return };
        let was_alive = upstream.is_alive();
        hear(upstream);
        self.revived |= !was_alive && upstream.is_alive();
    }

    // An attempt came to nothing: the next upstream is asked; when all had their turn and nobody is left, that was it.
    fn lost(&mut self, now: Instant, at: usize, actions: &mut Vec<Action>) -> Option<Settled> {
        let flight = self.flights.get(at)?.as_ref()?;
        let (tried, failed, is_alone) = (flight.tried, flight.failed, flight.is_alone());
        let left = |mask: u32| self.members(flight.group).iter().any(|member| mask & 1 << member == 0);
        if left(tried | failed) {
            self.ask(now, at, actions);
            return None;
        }
        if !is_alone {
            return None;
        }
        // Nobody could be reached: a way may be in the making.
        if left(failed) && now < flight.start + NO_WAY {
            let flight = self.flights.get_mut(at)?.as_mut()?;
            (flight.next, flight.asked) = (now + NO_WAY_PAUSE, 0);
            let wake = flight.next.min(flight.end);
            self.wake = Some(self.wake.map_or(wake, |earlier| earlier.min(wake)));
            return None;
        }
        self.settle(now, at, Outcome::Nothing, actions)
    }

    fn drop_live(&mut self, at: usize, place: usize, actions: &mut Vec<Action>) {
        let Some(Some(flight)) = self.flights.get_mut(at) else { return };
        if let Some(live) = flight.live.get_mut(place).and_then(Option::take) {
            actions.push(Action::Close(attempt(at, &live)));
        }
    }

    fn is_judged(&self, at: usize) -> bool {
        let flight = self.flights.get(at).and_then(Option::as_ref);
        flight.and_then(|flight| flight.key.last()).is_some_and(|flags| flags & CHECKED != 0)
    }

    // Nobody is asked any more, and who waits waits on until the answer is judged.
    fn hold(
        &mut self,
        now: Instant,
        at: usize,
        stored: Stored,
        life: u32,
        actions: &mut Vec<Action>,
    ) -> Option<Settled> {
        self.close(now, at, actions);
        let flight = self.flights.get_mut(at)?.as_mut()?;
        (flight.held, flight.next) = (true, flight.end);
        let (key, hash) = (flight.key.clone(), flight.hash);
        Some(Settled { key, hash, waiters: Vec::new(), outcome: Outcome::Unjudged(stored, life) })
    }

    /// An answer was judged: who waits for it, when it is still waited for.
    pub fn judged(&mut self, now: Instant, hash: u64, outcome: Outcome, actions: &mut Vec<Action>) -> Option<Settled> {
        let at = usize::from(*self.index.get(&hash)?);
        let held = self.flights.get(at)?.as_ref()?.held;
        if held { self.settle(now, at, outcome, actions) } else { None }
    }

    /// The answer that is judged is bogus: another upstream is asked, while there are one that lives and time. False when
    /// not. [`Forward::keep_doubted`] is to follow.
    pub fn doubt(&mut self, now: Instant, hash: u64, actions: &mut Vec<Action>) -> bool {
        let Some(at) = self.index.get(&hash).map(|at| usize::from(*at)) else { return false };
        let flight = self.flights.get_mut(at).and_then(Option::as_mut).filter(|flight| flight.held);
        let Some(flight) = flight else { return false };
        let bit = 1 << flight.from;
        flight.failed |= bit;
        let (failed, group) = (flight.failed, flight.group);
        let in_time = now < flight.end && flight.doubts < MOST_DOUBTS;
        self.doubted = bit | if now < self.doubted_until { self.doubted } else { 0 };
        self.doubted_until = now + DOUBT;
        let better = |member: &u8| {
            let upstream = self.upstreams.get(usize::from(*member));
            failed & 1 << *member == 0 && upstream.is_some_and(Upstream::is_alive)
        };
        if !in_time || !self.members(group).iter().any(better) {
            return false;
        }
        let Some(Some(flight)) = self.flights.get_mut(at) else { return false };
        flight.doubts += 1;
        (flight.held, flight.tried) = (false, failed);
        self.ask(now, at, actions);
        true
    }

    /// What is said when nobody has a better answer than the bogus one.
    pub fn keep_doubted(&mut self, hash: u64, stored: Stored, life: u32) {
        let at = self.index.get(&hash).map(|at| usize::from(*at));
        let flight = at.and_then(|at| self.flights.get_mut(at)).and_then(Option::as_mut);
        if let Some(flight) = flight {
            flight.doubted = Some((stored, life));
        }
    }

    // Nothing more is wanted of those that were asked.
    fn close(&mut self, now: Instant, at: usize, actions: &mut Vec<Action>) {
        let Some(Some(flight)) = self.flights.get_mut(at) else { return };
        for live in flight.live.iter_mut().filter_map(Option::take) {
            actions.push(Action::Close(attempt(at, &live)));
            if live.transport != Transport::Tcp
                && let Some(upstream) = self.upstreams.get_mut(usize::from(live.upstream))
            {
                upstream.unheard(now, now.since(live.sent) / if live.cold { COLD } else { 1 });
            }
        }
    }

    fn settle(&mut self, now: Instant, at: usize, outcome: Outcome, actions: &mut Vec<Action>) -> Option<Settled> {
        self.close(now, at, actions);
        let mut flight = self.flights.get_mut(at)?.take()?;
        let outcome = match (outcome, flight.doubted.take()) {
            (Outcome::Nothing, Some((stored, life))) => Outcome::Answer(stored, life),
            (outcome, _) => outcome,
        };
        self.free.push(at as u16);
        self.index.remove(&flight.hash);
        self.refreshed -= usize::from(flight.waiters.is_empty() && !is_chain(&flight.key));
        self.waiters = self.waiters.saturating_sub(flight.waiters.len());
        for waiter in &flight.waiters {
            if let hash_map::Entry::Occupied(mut count) = self.waiting.entry(waiter.client.address()) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        Some(Settled { key: flight.key, hash: flight.hash, waiters: flight.waiters, outcome })
    }
}

// A question of our own, for a key or a delegation.
fn is_chain(key: &[u8]) -> bool {
    key.last().is_some_and(|flags| flags & CHAIN != 0)
}

fn attempt(at: usize, live: &Live) -> Attempt {
    Attempt { flight: at as u16, upstream: live.upstream, serial: live.serial }
}
