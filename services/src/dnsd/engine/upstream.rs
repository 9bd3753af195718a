//! What is known of one upstream: how long it takes to reply, whether it replies at all, and what it cannot do.
use crate::perm::upstream::Server;
use netstack::time::Instant;
use std::time::Duration;

/// Replies from which the 95th percentile is taken.
const SAMPLES: usize = 32;
/// Patience with one of which nothing is known yet.
const UNKNOWN: Duration = Duration::from_millis(40);
/// The least and the most patience with one that is known; the most is more for one that is far away.
const HEDGE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(45));
/// Questions in a row without any reply, after which it counts as dead.
const DEAD: u8 = 2;
/// Failures in a row, where another one had an answer, after which it counts as useless.
const USELESS: u8 = 3;
/// The longest that one which lives takes, whoever else was faster.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often one that is not asked is measured, beside another.
const MEASURE: Duration = Duration::from_secs(10);
/// How often a dead one is tried, beside another: first and at last.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// One upstream.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Whom to ask.
    pub server: Server,
    /// It gives names back in the case in which they were asked for (what 0x20 wants).
    pub keeps_case: bool,
    /// Questions sent to it.
    pub asked: u64,
    /// Replies from it.
    pub answered: u64,
    // Microseconds; the last one is at `count - 1` modulo their number.
    samples: [u32; SAMPLES],
    count: usize,
    mean: u32,
    high: u32,
    silent: u8,
    failed: u8,
    measure: Instant,
    pause: Duration,
    /// When it was asked first of all that it has not replied to since its last word.
    waiting: Option<Instant>,
}

impl Upstream {
    /// Nothing is known of it.
    pub fn new(server: Server) -> Upstream {
        Upstream {
            server,
            keeps_case: true,
            asked: 0,
            answered: 0,
            samples: [0; SAMPLES],
            count: 0,
            mean: 0,
            high: 0,
            silent: 0,
            failed: 0,
            measure: Instant::default(),
            pause: RETRY.0,
            waiting: None,
        }
    }

    /// The way to it is another one now: what was known of it does not count any more.
    pub fn forget(&mut self) {
        let (asked, answered) = (self.asked, self.answered);
        *self = Upstream { asked, answered, ..Upstream::new(self.server.clone()) };
    }

    /// Smoothed time to its reply; zero when it was never heard.
    pub fn rtt(&self) -> Duration {
        Duration::from_micros(u64::from(self.mean))
    }

    /// Whether it replies, as far as is known.
    pub fn is_alive(&self) -> bool {
        self.silent < DEAD
    }

    /// What to sort by: the least is asked first.
    pub fn rank(&self) -> (bool, bool, u32) {
        (!self.is_alive(), self.failed >= USELESS, self.mean)
    }

    /// How long to wait for it before the next one is asked, too.
    pub fn hedge(&self) -> Duration {
        if self.count == 0 {
            return UNKNOWN;
        }
        let far = Duration::from_micros(u64::from(self.mean) * 5 / 4);
        // An eighth more: who always takes as long is not asked in vain.
        Duration::from_micros(u64::from(self.high) * 9 / 8).clamp(HEDGE.0, HEDGE.1.max(far))
    }

    /// Whether it is to be asked beside the one whose turn it is, to learn of it.
    pub fn wants_measure(&self, now: Instant) -> bool {
        now >= self.measure
    }

    /// It is being asked.
    pub fn ask(&mut self, now: Instant) {
        self.asked += 1;
        if self.waiting.is_some_and(|since| now >= since + PATIENCE) {
            // Nobody gave it the time, but it has had it.
            self.silence(now);
            self.waiting = None;
        }
        self.waiting = self.waiting.or(Some(now));
        let wait = if self.is_alive() { MEASURE } else { self.pause };
        self.measure = now + wait;
        if !self.is_alive() {
            self.pause = (self.pause * 2).min(RETRY.1);
        }
    }

    /// It has replied after so long, on a connection that was made for the question: of `rounds` ways there and back one was
    /// for the answer. Where more is known already, that says little.
    pub fn heard_cold(&mut self, waited: Duration, rounds: u32, is_answer: bool) {
        if self.count == 0 {
            return self.heard(waited / rounds, is_answer);
        }
        self.heard_late();
        self.failed = if is_answer { 0 } else { self.failed.saturating_add(1) };
    }

    /// It has replied after so long; an answer or a failure.
    pub fn heard(&mut self, waited: Duration, is_answer: bool) {
        self.heard_late();
        self.failed = if is_answer { 0 } else { self.failed.saturating_add(1) };
        self.sample(waited);
    }

    /// A reply came when nobody waited any more: it lives.
    pub fn heard_late(&mut self) {
        self.answered += 1;
        (self.silent, self.pause, self.waiting) = (0, RETRY.0, None);
    }

    /// It has not replied so far, and nobody waits any longer. Who was given less time than it usually takes is not
    /// blamed.
    pub fn unheard(&mut self, now: Instant, waited: Duration) {
        if waited < self.hedge() {
            return;
        }
        self.silence(now);
        if waited > self.rtt() {
            self.sample(waited);
        }
    }

    /// It cannot be reached.
    pub fn silence(&mut self, now: Instant) {
        let was_alive = self.is_alive();
        self.silent = self.silent.saturating_add(1);
        if was_alive && !self.is_alive() {
            self.measure = now + self.pause;
        }
    }

    fn sample(&mut self, waited: Duration) {
        let micros = u32::try_from(waited.as_micros()).unwrap_or(u32::MAX).max(1);
        self.mean = if self.count == 0 {
            micros
        } else {
            let mean = i64::from(self.mean) + (i64::from(micros) - i64::from(self.mean)) / 4;
            u32::try_from(mean).unwrap_or(u32::MAX).max(1)
        };
        self.samples[self.count % SAMPLES] = micros;
        self.count += 1;
        // Often while there are few, then now and then: sorting has its price.
        if self.count <= SAMPLES || self.count.is_multiple_of(SAMPLES / 2) {
            let mut sorted = self.samples;
            let sorted = &mut sorted[..self.count.min(SAMPLES)];
            sorted.sort_unstable();
            let high = sorted.get(sorted.len() * 95 / 100).copied().unwrap_or(micros);
            // Of few samples the highest says little.
            self.high = if self.count < 8 { high.saturating_mul(2) } else { high };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn known(milliseconds: &[u64]) -> Upstream {
        let mut upstream = Upstream::new("10.0.0.1:53".parse::<std::net::SocketAddr>().unwrap().into());
        for time in milliseconds {
            upstream.heard(MS(*time), true);
        }
        upstream
    }

    #[test]
    fn patience_is_the_95th_percentile_within_bounds() {
        assert_eq!(known(&[]).hedge(), MS(40));
        assert_eq!(known(&[20]).hedge(), MS(45), "twice the only sample, and an eighth");
        assert_eq!(known(&[1; 32]).hedge(), MS(5));
        assert_eq!(known(&[20; 32]).hedge(), Duration::from_micros(22_500));
        let mut mixed = vec![10; 30];
        mixed.extend([25, 30]);
        assert_eq!(known(&mixed).hedge(), Duration::from_micros(28_125));
        assert_eq!(
            known(&[10, 10, 10, 10, 10, 10, 10, 300]).hedge(),
            Duration::from_micros(103_125),
            "far away it is more"
        );
        assert_eq!(known(&[200; 32]).hedge(), MS(225));
    }

    #[test]
    fn two_silences_are_death_and_one_word_is_life() {
        let now = Instant::from_secs(9);
        let mut upstream = known(&[20; 32]);
        upstream.unheard(now, MS(10));
        upstream.unheard(now, MS(10));
        assert!(upstream.is_alive(), "nobody gave it the time");
        upstream.unheard(now, MS(50));
        upstream.unheard(now, MS(50));
        assert!(!upstream.is_alive() && !upstream.wants_measure(now) && upstream.wants_measure(now + MS(1_000)));
        assert!(upstream.rank() > known(&[500]).rank());
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            upstream.ask(now);
            assert!(!upstream.wants_measure(now + MS(seconds * 1_000 - 1)));
            assert!(upstream.wants_measure(now + MS(seconds * 1_000)), "{seconds}");
        }
        upstream.heard_late();
        assert!(upstream.is_alive());
        assert!(known(&[10]).rank() < known(&[20]).rank());
    }

    #[test]
    fn who_always_fails_comes_after_who_answers() {
        let mut upstream = known(&[1]);
        for _ in 0..3 {
            upstream.heard(MS(1), false);
        }
        assert!(upstream.rank() > known(&[100]).rank());
        upstream.heard(MS(1), true);
        assert!(upstream.rank() < known(&[100]).rank());
        upstream.forget();
        assert_eq!((upstream.hedge(), upstream.asked), (MS(40), 0));
    }
}
