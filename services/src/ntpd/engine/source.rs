//! One server: when it is asked, what it has said, and the best of it.
use super::{Now, SECOND};
use netstack::time::Instant;
use netstack::wire::ntp::{CLIENT, Packet, Timestamp, UNSYNCHRONISED};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// Shortest and longest interval between questions, as logarithms of seconds.
pub const POLL: (u8, u8) = (6, 10);
/// Questions of the beginning, and the time between two of them.
const BURST: u32 = 4;
const APART: Duration = Duration::from_secs(2);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Samples that are kept.
const KEPT: usize = 8;
/// What a clock may run wrong, in billionths (RFC 5905's PHI).
const DRIFT: i64 = 15_000;
/// No clock here is read or heard of more exactly.
const RESOLUTION: i64 = 1_000_000;
/// An offset below which the clock is called steady, one above which it is not, and how often before the interval grows.
const STEADY: (i64, i64) = (SECOND / 50, SECOND / 10);
const OFTEN: u32 = 4;
/// The largest distance from the root at which a server is worth hearing (RFC 5905's MAXDISP).
const FARTHEST: i64 = 16 * SECOND;
/// Unanswered questions after which another address is better.
pub const SILENT: u32 = 8;

/// What one exchange has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// What our clock was behind, in nanoseconds.
    pub offset: i64,
    /// The way there and back, in nanoseconds.
    pub delay: i64,
    /// When.
    pub at: Instant,
    /// How far our clock had been moved by then, all in all.
    pub moved: i64,
    /// The server's own error, half its way to the root included, in nanoseconds.
    root: i64,
}

impl Sample {
    /// How wrong it may be by now, in nanoseconds.
    pub fn error(&self, now: Instant) -> i64 {
        let aged = now.since(self.at).as_millis() as i64 * DRIFT / 1_000;
        RESOLUTION + self.delay / 2 + self.root + aged
    }
}

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// 1 to 15.
    pub stratum: u8,
    /// 0 to 2.
    pub leap: u8,
    /// Its way to the root, in 1/65536 s.
    pub root_delay: u32,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    number: u32,
    /// What the answer repeats: nobody who has not seen the question knows it.
    nonce: u64,
    sent: Instant,
}

/// What became of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It answers nothing that was asked.
    Nothing,
    /// A sample.
    Sample,
    /// The server knows no time, or says one that cannot be.
    Useless(&'static str),
    /// It wants to be asked less.
    Slower,
    /// It wants not to be asked.
    Denied,
}

/// A server.
#[derive(Debug)]
pub struct Source {
    /// Where it is.
    pub server: SocketAddr,
    /// What it said of itself last.
    pub told: Told,
    /// Logarithm of the interval, in seconds.
    pub poll: u8,
    /// Questions in a row without an answer of use.
    pub silent: u32,
    samples: VecDeque<Sample>,
    least: u8,
    steady: u32,
    burst: u32,
    asked: u32,
    next: Option<Instant>,
    open: Option<Open>,
}

impl Source {
    /// One that is asked at once.
    pub fn new(server: SocketAddr, now: Instant) -> Source {
        Source {
            server,
            told: Told::default(),
            poll: POLL.0,
            silent: 0,
            samples: VecDeque::new(),
            least: POLL.0,
            steady: 0,
            burst: BURST,
            asked: 0,
            next: Some(now),
            open: None,
        }
    }

    /// When something is to be done.
    pub fn deadline(&self) -> Option<Instant> {
        self.open.map(|open| open.sent + PATIENCE).into_iter().chain(self.next).min()
    }

    /// Whether its first question has been answered, or given up.
    pub fn has_tried(&self) -> bool {
        self.next.is_none() || self.asked > u32::from(self.open.is_some())
    }

    /// Asks at once, and quickly for a while, unless it does not want that.
    pub fn hurry(&mut self, now: Instant) {
        if self.least == POLL.0 && self.open.is_none() && self.next.is_some() {
            (self.next, self.burst) = (Some(now), BURST);
        }
    }

    /// The number of a question whose answer comes no more.
    pub fn given_up(&mut self, now: Instant, is_right: bool) -> Option<u32> {
        let open = self.open.filter(|open| open.sent + PATIENCE <= now)?;
        self.failed(now, open.number, is_right);
        Some(open.number)
    }

    /// A question that cannot be asked or answered.
    pub fn failed(&mut self, now: Instant, number: u32, is_right: bool) {
        if self.open.take_if(|open| open.number == number).is_none() {
            return;
        }
        self.unanswered(now, is_right);
    }

    fn unanswered(&mut self, now: Instant, is_right: bool) {
        self.silent = self.silent.saturating_add(1);
        self.steady = 0;
        // While no time is known it is asked for again soon, less and less so.
        let slow = is_right || self.least > POLL.0;
        let wait = if slow { self.poll } else { self.silent.min(POLL.0.into()) as u8 };
        self.next = self.next.map(|_| now + Duration::from_secs(1 << wait));
    }

    /// The question whose time has come.
    pub fn due(&mut self, now: Instant, number: u32, nonce: u64, jitter: u32) -> Option<Packet> {
        if self.open.is_some() || self.next.is_none_or(|next| now < next) {
            return None;
        }
        self.open = Some(Open { number, nonce, sent: now });
        self.asked = self.asked.saturating_add(1);
        // A tenth more or less, so that a thousand routers after a power cut do not ask as one.
        let whole = Duration::from_secs(1 << self.poll);
        self.next = Some(now + whole * 9 / 10 + whole / 5 * (jitter % 1_000) / 1_000);
        // Nothing else of ours is told: neither our clock's reading nor its state.
        Some(Packet { version: 4, mode: CLIENT, transmit: Timestamp(nonce), ..Packet::default() })
    }

    /// A packet that came for a question; `floor` is a moment that no true clock shows any more, in nanoseconds since 1970.
    pub fn hear(&mut self, now: Now, number: u32, packet: &[u8], floor: i64, is_right: bool) -> Heard {
        let Some(open) = self.open.filter(|open| open.number == number) else { return Heard::Nothing };
        let Some(packet) = Packet::parse(packet) else { return Heard::Nothing };
        let is_answer = packet.mode == netstack::wire::ntp::SERVER && (1..=4).contains(&packet.version);
        if !is_answer || packet.origin != Timestamp(open.nonce) {
            return Heard::Nothing;
        }
        self.open = None;
        if packet.stratum == 0 {
            return self.kissed(now.at, packet.reference_id, is_right);
        }
        match self.sample(now, open.sent, &packet, floor) {
            Err(why) => {
                self.unanswered(now.at, is_right);
                Heard::Useless(why)
            }
            Ok(sample) => {
                if self.samples.len() >= KEPT {
                    self.samples.pop_front();
                }
                self.samples.push_back(sample);
                self.told = Told { stratum: packet.stratum, leap: packet.leap, root_delay: packet.root_delay };
                self.silent = 0;
                self.burst = self.burst.saturating_sub(1);
                if self.burst > 0 {
                    self.next = Some(now.at + APART);
                }
                Heard::Sample
            }
        }
    }

    // RFC 5905, section 7.4.
    fn kissed(&mut self, now: Instant, code: [u8; 4], is_right: bool) -> Heard {
        self.burst = 0;
        match &code {
            b"DENY" | b"RSTR" => {
                self.next = None;
                self.samples.clear();
                Heard::Denied
            }
            b"RATE" => {
                self.least = (self.least + 1).min(POLL.1);
                self.poll = self.poll.max(self.least);
                self.next = Some(now + Duration::from_secs(1 << self.poll));
                Heard::Slower
            }
            _ => {
                self.unanswered(now, is_right);
                Heard::Useless("it has no time")
            }
        }
    }

    fn sample(&self, now: Now, sent: Instant, packet: &Packet, floor: i64) -> Result<Sample, &'static str> {
        if packet.leap == UNSYNCHRONISED || packet.stratum > 15 {
            return Err("it has no time");
        }
        let fixed = |value: u32| (i64::from(value) * SECOND) >> 16;
        let root = fixed(packet.root_delay) / 2 + fixed(packet.root_dispersion);
        if root > FARTHEST {
            return Err("it is too far from any clock");
        }
        let (came, left) = (packet.receive.nanos_near(floor), packet.transmit.nanos_near(floor));
        if packet.receive.0 == 0 || packet.transmit.0 == 0 || left < came {
            return Err("it says moments that cannot be");
        }
        if came < floor {
            return Err("it says a time before this software was made");
        }
        // By the clock that does not jump: a step meanwhile does no harm.
        let ours = (now.wall.saturating_sub(now.at.since(sent).as_nanos() as i64), now.wall);
        let difference = |a: i64, b: i64| i128::from(a) - i128::from(b);
        let offset = (difference(came, ours.0) + difference(left, ours.1)) / 2;
        let delay = difference(ours.1, ours.0) - difference(left, came);
        let whole = |nanos: i128| i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN / 4 } else { i64::MAX / 4 });
        Ok(Sample { offset: whole(offset), delay: whole(delay.max(0)), at: now.at, moved: now.moved, root })
    }

    /// The sample to go by: that of the shortest way among the last ones, old ones counting as longer. `None` when it has
    /// not been heard for long.
    pub fn best(&self, now: Instant) -> Option<&Sample> {
        let last = self.samples.back()?;
        if now > last.at + Duration::from_secs(1 << (self.poll + 3)) {
            return None;
        }
        self.samples.iter().min_by_key(|sample| sample.error(now))
    }

    /// What our clock is behind by its word, now that it has been moved that far.
    pub fn offset(&self, now: Instant, moved: i64) -> Option<i64> {
        self.best(now).map(|best| best.offset.saturating_sub(moved - best.moved))
    }

    /// A new sample says something else about our clock than the older ones can mean: these are of a clock that is gone.
    pub fn drop_what_cannot_be(&mut self, now: Instant) {
        let Some(new) = self.samples.back().copied() else { return };
        self.samples.retain(|old| {
            let shown = old.offset.saturating_sub(new.moved - old.moved);
            shown.saturating_sub(new.offset).saturating_abs() <= SECOND / 2 + old.error(now) + new.error(now)
        });
    }

    /// The clock was found so far off: the interval grows while it is steady.
    pub fn settle(&mut self, offset: i64) {
        match offset.saturating_abs() {
            small if small < STEADY.0 => self.steady += 1,
            large if large > STEADY.1 => (self.steady, self.poll) = (0, self.least),
            _ => self.steady = 0,
        }
        if self.steady >= OFTEN && self.burst == 0 {
            (self.steady, self.poll) = (0, (self.poll + 1).min(POLL.1));
        }
    }
}
