//! What to make of servers' words: whom to ask and when, whom to believe, and what to do to the clock.
pub mod selection;
pub mod serving;
pub mod source;

use crate::house::random::Random;
use crate::perm::WallTime;
use netstack::time::Instant;
use netstack::wire::ntp::LENGTH;
use selection::{Word, believed};
use serde::Serialize;
use source::{Heard, POLL, SILENT, Source};
use std::net::SocketAddr;
use std::time::Duration;

/// In nanoseconds.
pub const SECOND: i64 = 1_000_000_000;
/// Servers that are asked; three are enough to outvote one, four while one is silent.
pub const MOST: usize = 4;
/// A clock that is further off is set, one that is less far off is slewed.
const STEP: i64 = SECOND / 2;
/// The same for a clock that has not been set yet.
const FIRST_STEP: i64 = SECOND / 50;
/// For so long the first word is not taken while others may still come.
const OTHERS: Duration = Duration::from_secs(5);
/// A leader is left when another is so much less wrong (in thousandths).
const BETTER: i64 = 700;

/// The present moment by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Boot time.
    pub at: Instant,
    /// The wall clock, in nanoseconds since 1970.
    pub wall: i64,
    /// How far we have moved it so far; [`Engine::handle`] knows.
    pub(super) moved: i64,
}

impl Now {
    /// Both readings.
    pub fn new(at: Instant, wall: i64) -> Now {
        Now { at, wall, moved: 0 }
    }
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// Whom to ask; of those that were asked before nothing is forgotten. Also when time has passed.
    Servers(Vec<SocketAddr>),
    /// The way out is new: while the time is not known it is asked for at once.
    Way,
    /// A packet came for a question.
    Answer(u32, &'a [u8]),
    /// A question could not be sent, or was refused.
    Failed(u32),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this from a port of its own, chosen anew, and hand over what comes back.
    Ask {
        /// Its number.
        number: u32,
        /// To whom.
        server: SocketAddr,
        /// What.
        packet: [u8; LENGTH],
    },
    /// Nothing is waited for any more.
    Forget(u32),
    /// Move the clock at once, by nanoseconds.
    Step(i64),
    /// Move it little by little.
    Slew {
        /// By nanoseconds.
        by: i64,
        /// Logarithm of the time until the next word, in seconds.
        poll: u8,
        /// How wrong it may be then.
        error: Duration,
    },
    /// This server is of no use: where there is another address of its name, try that.
    Useless(SocketAddr),
    /// For the log.
    Say(String),
    /// For the log, as a warning.
    Complain(String),
}

/// What is known of the time; for other services and for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The clock's reading, for who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<WallTime>,
    /// Whether the clock has been set by servers that were believed.
    pub right: bool,
    /// The server that is followed; empty when there is none.
    pub source: String,
    /// How many hands the time has come through, this one included; 16 = not known.
    pub stratum: u8,
    /// What the clock was behind when it was looked at last, in seconds.
    pub offset: f64,
    /// How wrong that may have been, in seconds.
    pub uncertainty: f64,
    /// When it was looked at last, by itself; Go's zero time for never.
    pub since: WallTime,
    /// Each server.
    pub servers: Vec<ServerReport>,
}

/// What is known of a server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerReport {
    /// Where it is.
    pub address: String,
    /// Its own stratum; 0 = not heard.
    pub stratum: u8,
    /// What the clock is behind by its word, in seconds; null when it has none.
    pub offset: Option<f64>,
    /// Whether it was believed last time.
    pub believed: bool,
    /// Seconds between two questions.
    pub interval: u32,
}

/// What has been done to the clock: a slew goes on after it was asked for.
#[derive(Debug, Default)]
struct Moved {
    before: i64,
    slew: Option<(Instant, i64, u8)>,
}

impl Moved {
    /// In all, by now. The kernel's loop takes a part of what is left each second: 1/2^(2 + constant).
    fn now(&self, now: Instant) -> i64 {
        let Some((since, by, poll)) = self.slew else { return self.before };
        let part = f64::from(1u32 << (poll.saturating_sub(4) + 2).min(31)).recip();
        let left = (1.0 - part).powf(now.since(since).as_secs_f64());
        self.before + (by as f64 * (1.0 - left)) as i64
    }

    fn slewed(&mut self, now: Instant, by: i64, poll: u8) {
        *self = Moved { before: self.now(now), slew: Some((now, by, poll)) };
    }

    fn stepped(&mut self, now: Instant, by: i64) {
        *self = Moved { before: self.now(now).saturating_add(by), slew: None };
    }
}

/// The last time the clock was looked at.
#[derive(Debug, Clone, Copy)]
struct Last {
    at: Instant,
    wall: i64,
    offset: i64,
    error: i64,
}

/// The client.
#[derive(Debug)]
pub struct Engine {
    floor: i64,
    random: Random,
    sources: Vec<Source>,
    believed: Vec<SocketAddr>,
    leader: Option<SocketAddr>,
    /// The leader's sample that was used last.
    used: Instant,
    /// When the first question was asked.
    begun: Option<Instant>,
    moved: Moved,
    last: Option<Last>,
    at_odds: bool,
    next: u32,
}

impl Engine {
    /// Nobody to ask yet. `floor`: no true clock shows less any more, in nanoseconds since 1970.
    pub fn new(floor: i64, random: Random) -> Engine {
        Engine {
            floor,
            random,
            sources: Vec::new(),
            believed: Vec::new(),
            leader: None,
            used: Instant::default(),
            begun: None,
            moved: Moved::default(),
            last: None,
            at_odds: false,
            next: 0,
        }
    }

    /// Whether the clock has been set by servers that were believed.
    pub fn is_right(&self) -> bool {
        self.last.is_some()
    }

    /// When [`Event::Servers`] is wanted again.
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = self.begun.filter(|_| !self.is_right()).map(|begun| begun + OTHERS);
        // Only once: afterwards every answer is judged as it comes.
        let waiting = waiting.filter(|_| self.sources.iter().any(|source| !source.has_tried()));
        self.sources.iter().filter_map(Source::deadline).chain(waiting).min()
    }

    /// Takes what has happened.
    pub fn handle(&mut self, now: Now, event: Event<'_>) -> Vec<Action> {
        let now = Now { moved: self.moved.now(now.at), ..now };
        let is_right = self.is_right();
        let mut actions = Vec::new();
        match event {
            Event::Servers(servers) => self.follow(now.at, servers),
            Event::Way if !is_right => self.sources.iter_mut().for_each(|source| source.hurry(now.at)),
            Event::Way => {}
            Event::Failed(number) => {
                self.sources.iter_mut().for_each(|source| source.failed(now.at, number, is_right));
            }
            Event::Answer(number, packet) => self.heard(now, number, packet, &mut actions),
        }
        for source in &mut self.sources {
            if let Some(number) = source.given_up(now.at, is_right) {
                actions.push(Action::Forget(number));
                if source.silent % SILENT == 0 {
                    actions.push(Action::Useless(source.server));
                }
            }
        }
        self.decide(now, &mut actions);
        self.ask(now.at, &mut actions);
        actions
    }

    fn follow(&mut self, now: Instant, servers: Vec<SocketAddr>) {
        let mut before = std::mem::take(&mut self.sources);
        for server in servers.into_iter().take(MOST) {
            if self.sources.iter().any(|source| source.server == server) {
                continue;
            }
            let known = before.iter().position(|source| source.server == server).map(|at| before.swap_remove(at));
            self.sources.push(known.unwrap_or_else(|| Source::new(server, now)));
        }
    }

    fn ask(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for source in &mut self.sources {
            let nonce = u64::from(self.random.next_u32()) << 32 | u64::from(self.random.next_u32());
            let number = self.next.wrapping_add(1);
            if let Some(packet) = source.due(now, number, nonce, self.random.next_u32()) {
                self.next = number;
                self.begun = self.begun.or(Some(now));
                actions.push(Action::Ask { number, server: source.server, packet: packet.emit() });
            }
        }
    }

    fn heard(&mut self, now: Now, number: u32, packet: &[u8], actions: &mut Vec<Action>) {
        let (floor, is_right) = (self.floor, self.is_right());
        for source in &mut self.sources {
            let server = source.server;
            match source.hear(now, number, packet, floor, is_right) {
                Heard::Nothing => continue,
                Heard::Sample => {
                    source.drop_what_cannot_be(now.at);
                    if let Some(offset) = source.offset(now.at, now.moved).filter(|_| is_right) {
                        source.settle(offset);
                    }
                }
                Heard::Useless(why) => {
                    if source.silent == 1 {
                        actions.push(Action::Complain(format!("{}: {why}", server.ip())));
                    }
                    if source.silent % SILENT == 0 {
                        actions.push(Action::Useless(server));
                    }
                }
                Heard::Slower => {
                    actions.push(Action::Say(format!("{} wants to be asked less often", server.ip())));
                }
                Heard::Denied => {
                    actions.push(Action::Complain(format!("{} wants not to be asked", server.ip())));
                    actions.push(Action::Useless(server));
                }
            }
            actions.push(Action::Forget(number));
        }
    }

    fn decide(&mut self, now: Now, actions: &mut Vec<Action>) {
        let waits = self.sources.iter().any(|source| !source.has_tried());
        if !self.is_right() && waits && self.begun.is_none_or(|begun| now.at < begun + OTHERS) {
            return;
        }
        let heard: Vec<(&Source, Word)> = self
            .sources
            .iter()
            .filter_map(|source| {
                let (offset, best) = (source.offset(now.at, now.moved)?, source.best(now.at)?);
                Some((source, Word { offset, error: best.error(now.at) }))
            })
            .collect();
        let words: Vec<Word> = heard.iter().map(|(_, word)| *word).collect();
        let group: Vec<&(&Source, Word)> = believed(&words).into_iter().filter_map(|at| heard.get(at)).collect();
        self.believed = group.iter().map(|(source, _)| source.server).collect();
        let best = group.iter().min_by_key(|(_, word)| word.error);
        let Some(best) = best else {
            if !heard.is_empty() && !std::mem::replace(&mut self.at_odds, true) {
                let say = |(source, word): &(&Source, Word)| format!("{} {}", source.server.ip(), signed(word.offset));
                let all: Vec<String> = heard.iter().map(say).collect();
                actions.push(Action::Complain(format!("the servers contradict each other: {}", all.join(", "))));
            }
            return;
        };
        self.at_odds = false;
        // The one that was followed, unless another is clearly better: each has its own small error.
        let present = group.iter().find(|(source, _)| Some(source.server) == self.leader);
        let present = present.filter(|(_, word)| word.error / 1_000 * BETTER <= best.1.error);
        let (source, word) = present.unwrap_or(best);
        let Some(sample) = source.best(now.at) else { return };
        if sample.at <= self.used {
            return;
        }
        self.used = sample.at;
        let (server, poll, offset, error) = (source.server, source.poll, word.offset, word.error);
        if self.leader.replace(server) != Some(server) {
            actions.push(Action::Say(format!("follows {}", server.ip())));
        }
        let limit = if self.is_right() { STEP } else { FIRST_STEP };
        let mut wall = now.wall;
        if offset.saturating_abs() > limit {
            actions.push(Action::Say(format!("the clock is {} off and is set", signed(offset))));
            actions.push(Action::Step(offset));
            self.moved.stepped(now.at, offset);
            wall = wall.saturating_add(offset);
        } else {
            let error = Duration::from_nanos(error.unsigned_abs());
            actions.push(Action::Slew { by: offset, poll, error });
            self.moved.slewed(now.at, offset, poll);
        }
        self.last = Some(Last { at: now.at, wall, offset, error });
    }

    /// What is known.
    pub fn report(&self, now: Now) -> Report {
        let moved = self.moved.now(now.at);
        let seconds = |nanos: i64| nanos as f64 / SECOND as f64;
        let server = |source: &Source| ServerReport {
            address: source.server.ip().to_string(),
            stratum: source.told.stratum,
            offset: source.offset(now.at, moved).map(seconds),
            believed: self.believed.contains(&source.server),
            interval: 1 << source.poll.clamp(POLL.0, POLL.1),
        };
        Report {
            time: None,
            right: self.is_right(),
            source: self.leader.map(|leader| leader.ip().to_string()).unwrap_or_default(),
            stratum: self.leading().map_or(16, |source| source.told.stratum + 1),
            offset: self.last.map_or(0.0, |last| seconds(last.offset)),
            uncertainty: self.last.map_or(0.0, |last| seconds(last.error)),
            since: self.last.map_or_else(WallTime::default, |last| WallTime::from_nanos(last.wall)),
            servers: self.sources.iter().map(server).collect(),
        }
    }

    fn leading(&self) -> Option<&Source> {
        self.sources.iter().find(|source| Some(source.server) == self.leader)
    }
}

/// Seconds, with a sign, as exactly as it matters.
fn signed(nanos: i64) -> String {
    let seconds = nanos as f64 / SECOND as f64;
    if seconds.abs() < 10.0 { format!("{seconds:+.6} s") } else { format!("{seconds:+.1} s") }
}
