//! What hosts may still hold: every prefix once announced, until the longest lifetime that they were told is over. One
//! that is no longer in force is stale, and announced as such (RFC 9096, section 3.5); after a reboot for its whole time
//! again, as nobody knows how long the power was off.
use super::content::lifetimes;
use crate::perm::announced::{Announced, Prefix};
use crate::perm::lease6::{Timed, seconds_left};
use crate::perm::stamp::Clock;
use ipnet::Ipv6Net;
use netstack::time::Instant;
use std::time::Duration;

/// Prefixes remembered of a LAN, so that all fit one message; of more, the one that went first is forgotten.
const MOST: usize = 16;
/// Lifetimes are remembered in steps, in seconds, so that a renewal is not a write.
const STEP: u32 = 300;

#[derive(Debug, Clone)]
struct Entry {
    lan: String,
    prefix: Ipv6Net,
    on_link: bool,
    autonomous: bool,
    /// The longest valid lifetime told, in seconds.
    valid: u32,
    /// Until when it is announced as stale; none while it is in force.
    stale_until: Option<Instant>,
    /// End of its lifetime while it is in force.
    ends: Instant,
}

/// The prefixes of all LANs.
#[derive(Debug, Default)]
pub struct Memory {
    entries: Vec<Entry>,
}

/// What a look at the clock and at what is in force has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// LANs on which something is to be announced, with words for the log.
    pub changed: Vec<(String, String)>,
    /// The file is to be written.
    pub write: bool,
}

impl Memory {
    /// From the file. Within the boot that wrote it the stale ones' time goes on, else it begins anew.
    pub fn new(file: Announced, clock: &Clock) -> Memory {
        let same_boot = !file.stamp.boot.is_empty() && file.stamp.boot == clock.boot;
        let written = file.stamp.since(clock).0;
        let entry = |prefix: Prefix| {
            let seconds = if same_boot { prefix.stale_for } else { prefix.stale_for.map(|_| prefix.valid) };
            let start = if same_boot { written } else { clock.now };
            let Prefix { lan, prefix, on_link, autonomous, valid, .. } = prefix;
            let stale_until = seconds.map(|seconds| start + Duration::from_secs(seconds.into()));
            Entry { lan, prefix: prefix.trunc(), on_link, autonomous, valid, stale_until, ends: clock.now }
        };
        let mut memory = Memory { entries: file.prefixes.into_iter().map(entry).collect() };
        memory.bound();
        memory
    }

    /// The file.
    pub fn file(&self, clock: &Clock) -> Announced {
        let prefix = |entry: &Entry| Prefix {
            lan: entry.lan.clone(),
            prefix: entry.prefix,
            on_link: entry.on_link,
            autonomous: entry.autonomous,
            valid: entry.valid,
            stale_for: entry.stale_until.map(|until| seconds_left(until, clock.now)),
        };
        Announced { stamp: clock.stamp(), prefixes: self.entries.iter().map(prefix).collect() }
    }

    /// When the next lifetime ends.
    pub fn deadline(&self) -> Option<Instant> {
        let ends = self.entries.iter().map(|entry| entry.stale_until.unwrap_or(entry.ends));
        ends.min().filter(|end| *end != Instant::NEVER)
    }

    /// The stale prefixes of a LAN with their L and A flags.
    pub fn stale(&self, lan: &str, now: Instant) -> Vec<(Ipv6Net, bool, bool)> {
        let stale = |entry: &&Entry| entry.lan == lan && entry.stale_until.is_some_and(|until| now < until);
        self.entries.iter().filter(stale).map(|entry| (entry.prefix, entry.on_link, entry.autonomous)).collect()
    }

    /// Compares with what is in force on each LAN.
    pub fn refresh(&mut self, now: Instant, in_force: &[(&str, &Timed<Ipv6Net>)]) -> Outcome {
        let mut outcome = Outcome::default();
        for (lan, prefix) in in_force.iter().filter(|(_, prefix)| prefix.is_valid(now)) {
            let told = lifetimes(prefix, now).1.next_multiple_of(STEP);
            let found = self.entries.iter_mut().find(|entry| entry.lan == *lan && entry.prefix == prefix.value);
            let Some(entry) = found else {
                outcome.changed.push(((*lan).into(), format!("announces {}", prefix.value)));
                outcome.write = true;
                self.entries.push(Entry {
                    lan: (*lan).into(),
                    prefix: prefix.value,
                    on_link: true,
                    autonomous: true,
                    valid: told,
                    stale_until: None,
                    ends: prefix.valid_until,
                });
                continue;
            };
            entry.ends = prefix.valid_until;
            if entry.stale_until.take().is_some() {
                outcome.changed.push(((*lan).into(), format!("announces {} again", prefix.value)));
                outcome.write = true;
            }
            if told > entry.valid {
                entry.valid = told;
                outcome.write = true;
            }
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.stale_until.is_none()) {
            let holds = |(lan, prefix): &(&str, &Timed<Ipv6Net>)| {
                *lan == entry.lan && prefix.value == entry.prefix && prefix.is_valid(now)
            };
            if !in_force.iter().any(holds) {
                entry.stale_until = Some(now + Duration::from_secs(entry.valid.into()));
                let words = format!("{} is stale, and announced as such for {} s", entry.prefix, entry.valid);
                outcome.changed.push((entry.lan.clone(), words));
                outcome.write = true;
            }
        }
        let before = self.entries.len();
        self.entries.retain(|entry| entry.stale_until.is_none_or(|until| now < until));
        self.bound();
        outcome.write |= self.entries.len() != before;
        outcome
    }

    // Those that are in force are not more than the files name.
    fn bound(&mut self) {
        let mut lans: Vec<String> = self.entries.iter().map(|entry| entry.lan.clone()).collect();
        lans.sort();
        lans.dedup();
        for lan in lans {
            let stale = |entry: &Entry| entry.lan == lan && entry.stale_until.is_some();
            let mut more = self.entries.iter().filter(|entry| stale(entry)).count().saturating_sub(MOST);
            self.entries.retain(|entry| {
                let forgotten = more > 0 && stale(entry);
                more -= usize::from(forgotten);
                !forgotten
            });
        }
    }
}
