//! What the line has carried: ten minutes by two seconds, a day by five minutes. Bounded; no I/O, no clock.
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;

/// Between two looks.
pub const STEP: Duration = Duration::from_secs(2);
/// Looks of ten minutes.
const LIVE: usize = 300;
/// Looks in a mean, and means of a day.
const LONG: usize = 150;
const DAY: usize = 288;

/// One look: bits per second, and milliseconds to the provider and back.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Look {
    /// From the internet.
    pub received: u64,
    /// To the internet.
    pub sent: u64,
    /// None when nothing came back or nothing was asked.
    pub rtt: Option<f32>,
}

/// Both rings.
#[derive(Debug, Default)]
pub struct History {
    last: Option<(Duration, u64, u64)>,
    live: VecDeque<Look>,
    day: VecDeque<Look>,
    waiting: Vec<Look>,
}

impl History {
    /// The uplink's counters at a moment of boot time; the look that comes of it, none the first time.
    pub fn counted(&mut self, at: Duration, (received, sent): (u64, u64), rtt: Option<f32>) -> Option<Look> {
        let (before, old_received, old_sent) = self.last.replace((at, received, sent))?;
        let millis = at.saturating_sub(before).as_millis().max(1);
        // Counters begin anew with their interface.
        let rate = |new: u64, old: u64| {
            let bits = u128::from(new.checked_sub(old).unwrap_or(new)) * 8_000 / millis;
            u64::try_from(bits).unwrap_or(u64::MAX)
        };
        let look = Look { received: rate(received, old_received), sent: rate(sent, old_sent), rtt };
        push(&mut self.live, LIVE, look);
        self.waiting.push(look);
        if self.waiting.len() >= LONG {
            push(&mut self.day, DAY, mean(&self.waiting));
            self.waiting.clear();
        }
        Some(look)
    }

    /// There is no uplink at the moment.
    pub fn gone(&mut self) {
        self.last = None;
    }

    /// The last look.
    pub fn now(&self) -> Option<Look> {
        self.live.back().copied()
    }

    /// Both, oldest first.
    pub fn json(&self) -> Value {
        let series = |ring: &VecDeque<Look>, step: u64| {
            let of = |value: fn(&Look) -> Value| ring.iter().map(value).collect::<Vec<Value>>();
            let (received, sent) = (of(|look| look.received.into()), of(|look| look.sent.into()));
            json!({"step_s": step, "received": received, "sent": sent, "rtt_ms": of(|look| rtt(look.rtt))})
        };
        json!({
            "live": series(&self.live, STEP.as_secs()),
            "day": series(&self.day, STEP.as_secs() * LONG as u64),
        })
    }
}

/// Milliseconds with two digits behind the point.
pub fn rtt(rtt: Option<f32>) -> Value {
    rtt.map_or(Value::Null, |rtt| json!((f64::from(rtt) * 100.0).round() / 100.0))
}

fn push(ring: &mut VecDeque<Look>, most: usize, look: Look) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(look);
}

fn mean(looks: &[Look]) -> Look {
    let count = looks.len().max(1) as u64;
    let sum = |value: fn(&Look) -> u64| looks.iter().map(value).fold(0, u64::saturating_add) / count;
    let rtts: Vec<f32> = looks.iter().filter_map(|look| look.rtt).collect();
    let rtt = (!rtts.is_empty()).then(|| rtts.iter().sum::<f32>() / rtts.len() as f32);
    Look { received: sum(|look| look.received), sent: sum(|look| look.sent), rtt }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_become_rates_and_means_and_never_more_than_a_day() {
        let mut history = History::default();
        let mut at = Duration::from_secs(100);
        assert_eq!(history.counted(at, (1_000, 0), None), None);
        at += STEP;
        let look = history.counted(at, (3_500, 250), Some(1.5)).unwrap();
        assert_eq!((look.received, look.sent, look.rtt), (10_000, 1_000, Some(1.5)));
        let look = history.counted(at + STEP, (500, 0), None).unwrap();
        assert_eq!((look.received, look.sent), (2_000, 0), "a new interface counts from zero");
        for turn in 0..100_000u64 {
            at += STEP;
            history.counted(at, (turn * 250, turn * 25), Some(2.0));
        }
        let json = history.json();
        assert_eq!(json["live"]["received"].as_array().unwrap().len(), LIVE);
        assert_eq!(json["day"]["sent"].as_array().unwrap().len(), DAY);
        assert_eq!((json["day"]["sent"][200].as_u64(), json["day"]["rtt_ms"][7].as_f64()), (Some(100), Some(2.0)));
        assert_eq!((json["live"]["step_s"].as_u64(), json["day"]["step_s"].as_u64()), (Some(2), Some(300)));
        history.gone();
        assert_eq!(history.counted(at, (5, 5), None), None);
    }
}
