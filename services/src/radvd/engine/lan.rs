//! One LAN's timers: unsolicited advertisements with jitter, the first few soon after each other, answers to
//! solicitations after a random delay, and never two multicasts within three seconds (RFC 4861, sections 6.2.4, 6.2.6).
use super::{Action, Link, Memory, Settings, content};
use crate::house::random::Random;
use netstack::time::Instant;
use netstack::wire::ndisc::ALL_NODES;
use std::net::Ipv6Addr;
use std::time::Duration;

/// MinRtrAdvInterval and MaxRtrAdvInterval, in seconds; router7's is 60.
const INTERVAL: (u32, u32) = (20, 60);
/// MAX_INITIAL_RTR_ADVERTISEMENTS, also after each change.
const INITIAL: u32 = 3;
/// MAX_INITIAL_RTR_ADVERT_INTERVAL.
const INITIAL_INTERVAL: Duration = Duration::from_secs(16);
/// MIN_DELAY_BETWEEN_RAS.
const BETWEEN: Duration = Duration::from_secs(3);
/// MAX_RA_DELAY_TIME, in milliseconds.
const ANSWER_MS: u32 = 500;
/// Hosts that wait for an answer of their own; if more ask at once, all are answered by one multicast.
const MOST_WAITING: usize = 8;

/// A LAN that is advertised on.
#[derive(Debug)]
pub struct Lan {
    pub(super) settings: Settings,
    link: Option<Link>,
    /// When the next multicast is due.
    next: Instant,
    last: Option<Instant>,
    /// How many of the first few are still to come.
    initial: u32,
    waiting: Vec<(Instant, Ipv6Addr)>,
}

impl Lan {
    pub fn new(now: Instant, settings: Settings) -> Lan {
        Lan { settings, link: None, next: now, last: None, initial: INITIAL, waiting: Vec::new() }
    }

    pub fn configure(&mut self, now: Instant, settings: Settings) {
        let told = |settings: &Settings| {
            let nets = |all: &[crate::perm::lease6::Timed<ipnet::Ipv6Net>]| {
                all.iter().map(|one| one.value).collect::<Vec<_>>()
            };
            let flags = (settings.managed, settings.other_config);
            (nets(&settings.routes), settings.pref64, settings.captive_portal.clone(), flags)
        };
        // A change of lifetimes alone goes out with the next one; one of prefixes is the memory's to notice.
        if told(&self.settings) != told(&settings) {
            self.changed(now);
        }
        self.settings = settings;
    }

    pub fn follow(&mut self, now: Instant, link: Option<Link>) {
        if self.link == link {
            return;
        }
        if link.is_none() {
            self.waiting.clear();
        }
        self.link = link;
        self.changed(now);
    }

    /// There is something new to say: as soon as it may be said, and a few times.
    pub fn changed(&mut self, now: Instant) {
        self.initial = INITIAL;
        self.next = self.soonest(now);
    }

    fn soonest(&self, at: Instant) -> Instant {
        self.last.map_or(at, |last| at.max(last + BETWEEN))
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.link.as_ref()?;
        self.waiting.iter().map(|(at, _)| *at).chain([self.next]).min()
    }

    pub fn solicited(&mut self, now: Instant, source: Ipv6Addr, random: &mut Random) {
        let at = now + Duration::from_millis(u64::from(random.below(ANSWER_MS + 1)));
        if self.next <= at || self.waiting.iter().any(|(_, waiting)| *waiting == source) {
            return;
        }
        // Who has no address yet, and a crowd, are answered by multicast.
        if source.is_unspecified() || self.waiting.len() >= MOST_WAITING {
            self.next = self.next.min(self.soonest(at));
        } else {
            self.waiting.push((at, source));
        }
    }

    /// Sends what is due.
    pub fn run(
        &mut self,
        now: Instant,
        default_route: bool,
        memory: &Memory,
        random: &mut Random,
        actions: &mut Vec<Action>,
    ) {
        if self.link.is_none() {
            return;
        }
        if self.next <= now {
            actions.extend(self.send(now, default_route, memory));
            self.last = Some(now);
            self.initial = self.initial.saturating_sub(1);
            let seconds = INTERVAL.0 * 1_000 + random.below((INTERVAL.1 - INTERVAL.0) * 1_000 + 1);
            let interval = Duration::from_millis(seconds.into());
            self.next = now + if self.initial > 0 { interval.min(INITIAL_INTERVAL) } else { interval };
            // That answered everybody.
            self.waiting.clear();
        }
        let (due, waiting) = self.waiting.iter().partition(|(at, _)| *at <= now);
        self.waiting = waiting;
        let due: Vec<(Instant, Ipv6Addr)> = due;
        for (_, source) in due {
            actions.extend(self.message(now, default_route, memory).map(|message| self.action(source, message)));
        }
    }

    /// A multicast, if there is a link.
    pub fn send(&self, now: Instant, default_route: bool, memory: &Memory) -> Option<Action> {
        self.message(now, default_route, memory).map(|message| self.action(ALL_NODES, message))
    }

    fn message(&self, now: Instant, default_route: bool, memory: &Memory) -> Option<Vec<u8>> {
        let stale = memory.stale(&self.settings.name, now);
        Some(content::advertisement(&self.settings, self.link.as_ref()?, &stale, default_route, now).emit())
    }

    fn action(&self, to: Ipv6Addr, message: Vec<u8>) -> Action {
        Action::Send { lan: self.settings.name.clone(), to, message }
    }
}
