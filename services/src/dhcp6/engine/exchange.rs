//! Retransmission (RFC 9915, section 15): one message sent again and again, further and further apart.
use crate::house::random::Random;
use netstack::time::Instant;
use std::time::Duration;

/// Parameters of a message (RFC 9915, section 7.6), in seconds; 0 = no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Initial retransmission time.
    pub irt: u64,
    /// Maximum retransmission time.
    pub mrt: u64,
    /// Maximum retransmission count.
    pub mrc: u32,
    /// Maximum retransmission duration.
    pub mrd: u64,
}

const fn parameters(irt: u64, mrt: u64, mrc: u32, mrd: u64) -> Parameters {
    Parameters { irt, mrt, mrc, mrd }
}

/// SOL_TIMEOUT and SOL_MAX_RT.
pub const SOLICIT: Parameters = parameters(1, 3_600, 0, 0);
/// REQ_TIMEOUT, REQ_MAX_RT, REQ_MAX_RC.
pub const REQUEST: Parameters = parameters(1, 30, 10, 0);
/// CNF_TIMEOUT, CNF_MAX_RT, CNF_MAX_RD.
pub const CONFIRM: Parameters = parameters(1, 4, 0, 10);
/// REN_TIMEOUT, REN_MAX_RT; until T2.
pub const RENEW: Parameters = parameters(10, 600, 0, 0);
/// REB_TIMEOUT, REB_MAX_RT; until the last valid lifetime ends.
pub const REBIND: Parameters = parameters(10, 600, 0, 0);
/// INF_TIMEOUT, INF_MAX_RT.
pub const INFORMATION: Parameters = parameters(1, 3_600, 0, 0);
/// REL_TIMEOUT, REL_MAX_RC.
pub const RELEASE: Parameters = parameters(1, 0, 4, 0);

/// One message under way.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Its transaction, 24 bits.
    pub xid: u32,
    parameters: Parameters,
    /// When it was sent first; before that, when it will be.
    began: Instant,
    rt: Duration,
    sent: u32,
    /// When it is sent next, or given up.
    pub due: Instant,
}

impl Exchange {
    /// One that is sent first at `at`.
    pub fn new(parameters: Parameters, at: Instant, random: &mut Random) -> Exchange {
        let xid = random.next_u32() & 0x00ff_ffff;
        Exchange { xid, parameters, began: at, rt: Duration::ZERO, sent: 0, due: at }
    }

    /// Sends with another maximum retransmission time from now on: SOL_MAX_RT and INF_MAX_RT come from servers.
    pub fn limit(&mut self, mrt: u64) {
        self.parameters.mrt = mrt;
    }

    /// How often it was sent.
    pub fn sent(&self) -> u32 {
        self.sent
    }

    /// Hundredths of a second since it was first sent, for the Elapsed Time option; at most 65,535.
    pub fn elapsed(&self, now: Instant) -> u16 {
        u16::try_from((now - self.began).as_millis() / 10).unwrap_or(u16::MAX)
    }

    /// Its time has come: true = it is sent now, and `due` is the next time; false = it is given up.
    pub fn go_on(&mut self, now: Instant, random: &mut Random) -> bool {
        let Parameters { irt, mrt, mrc, mrd } = self.parameters;
        let end = self.began + Duration::from_secs(mrd);
        if (mrc > 0 && self.sent >= mrc) || (mrd > 0 && self.sent > 0 && now >= end) {
            return false;
        }
        if self.sent == 0 {
            self.began = now;
        }
        let thousandths =
            |time: Duration, number: u32| Duration::from_millis(time.as_millis() as u64 * u64::from(number) / 1_000);
        // RAND is within a tenth; for a SOLICIT's first it is above 0, so that every server has at least IRT.
        let rand = 900 + random.below(201);
        let (first, longest) = (Duration::from_secs(irt), Duration::from_secs(mrt));
        self.rt = match self.sent {
            0 if self.parameters.irt == SOLICIT.irt && self.parameters.mrc == 0 => {
                thousandths(first, 1_001 + random.below(100))
            }
            0 => thousandths(first, rand),
            _ => thousandths(self.rt, 1_000 + rand),
        };
        if mrt > 0 && self.rt > longest {
            self.rt = thousandths(longest, rand);
        }
        self.sent = self.sent.saturating_add(1);
        self.due = now + self.rt;
        if mrd > 0 {
            self.due = self.due.min(self.began + Duration::from_secs(mrd));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(parameters: Parameters, seed: u64, count: usize) -> Vec<u64> {
        let mut random = Random::from_seed(seed);
        let mut exchange = Exchange::new(parameters, Instant::from_secs(9), &mut random);
        let mut times = vec![];
        while times.len() < count && exchange.go_on(exchange.due, &mut random) {
            times.push(exchange.due.as_millis());
        }
        times
    }

    proptest! {
        #[test]
        fn each_wait_is_twice_the_last_give_or_take_a_tenth(seed in any::<u64>()) {
            for parameters in [SOLICIT, REQUEST, RENEW] {
                let all = times(parameters, seed, 14);
                let waits: Vec<u64> = [9_000].iter().chain(&all).zip(&all).map(|(a, b)| b - a).collect();
                let irt = parameters.irt * 1_000;
                let least = if parameters == SOLICIT { irt + 1 } else { irt * 9 / 10 };
                prop_assert!((least..=irt * 11 / 10).contains(&waits[0]), "{waits:?}");
                for pair in waits.windows(2) {
                    let doubled = pair[0] * 19 / 10..=pair[0] * 21 / 10 + 1;
                    let longest = parameters.mrt * 900..=parameters.mrt * 1_100;
                    prop_assert!(doubled.contains(&pair[1]) || longest.contains(&pair[1]), "{waits:?}");
                }
            }
        }
    }

    #[test]
    fn it_ends_by_count_or_by_time() {
        assert_eq!(times(REQUEST, 3, 99).len(), 10);
        assert_eq!(times(RELEASE, 3, 99).len(), 4);
        let confirm = times(CONFIRM, 3, 99);
        assert_eq!(*confirm.last().unwrap(), 19_000, "ten seconds after the first");
        assert_eq!(times(SOLICIT, 3, 200).len(), 200);
    }
}
