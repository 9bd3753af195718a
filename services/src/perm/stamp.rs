//! A moment by both clocks, so that what a file says about time is understood by whoever reads it later: exactly within
//! the same boot, by the wall clock across boots as long as that clock can be believed.
use super::WallTime;
use super::json::or_zero;
use netstack::time::Instant;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;
use std::time::Duration;

/// No router is switched off for longer and then expected to go on: a wall clock that says so is wrong.
const BELIEVED: Duration = Duration::from_secs(365 * 86_400);

/// When something was written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stamp {
    /// The kernel's name for that boot.
    #[serde(deserialize_with = "or_zero")]
    pub boot: String,
    /// Milliseconds since that boot.
    #[serde(deserialize_with = "or_zero")]
    pub boottime_ms: u64,
    /// The wall clock.
    #[serde(deserialize_with = "or_zero")]
    pub wall: WallTime,
}

/// The present moment by both clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// The kernel's name for this boot.
    pub boot: String,
    /// Boot time.
    pub now: Instant,
    /// Wall time.
    pub wall: WallTime,
}

impl Clock {
    /// Reads both clocks.
    pub fn read() -> Clock {
        static BOOT: OnceLock<String> = OnceLock::new();
        let boot = BOOT.get_or_init(|| {
            let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            text.trim().to_owned()
        });
        Clock { boot: boot.clone(), now: Instant::now(), wall: WallTime::now() }
    }

    /// This moment, to be written.
    pub fn stamp(&self) -> Stamp {
        Stamp { boot: self.boot.clone(), boottime_ms: self.now.as_millis(), wall: self.wall }
    }
}

impl Stamp {
    /// That moment by this boot's clock, and what has to be taken off a time that began then: within a boot the moment
    /// itself and nothing; across boots the present moment and what the wall clock says, unless it says "before" or
    /// "more than a year": then the time in between is not known and counts as none.
    pub fn since(&self, clock: &Clock) -> (Instant, Duration) {
        if !self.boot.is_empty() && self.boot == clock.boot {
            return (Instant::from_millis(self.boottime_ms), Duration::ZERO);
        }
        (clock.now, Some(clock.wall.since(self.wall)).filter(|age| *age <= BELIEVED).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(boot: &str, now: u64, wall: i64) -> Clock {
        Clock { boot: boot.into(), now: Instant::from_secs(now), wall: WallTime::from_unix(wall) }
    }

    #[test]
    fn within_a_boot_the_wall_clock_does_not_count() {
        let stamp = clock("a", 100, 1_700_000_000).stamp();
        for wall in [0, 1_700_000_000, 4_000_000_000] {
            assert_eq!(stamp.since(&clock("a", 160, wall)), (Instant::from_secs(100), Duration::ZERO));
        }
    }

    #[test]
    fn across_boots_it_counts_while_it_can_be_believed() {
        let stamp = clock("a", 100, 1_700_000_000).stamp();
        let now = Instant::from_secs(5);
        assert_eq!(stamp.since(&clock("b", 5, 1_700_000_900)), (now, Duration::from_secs(900)));
        for wall in [0, 1_699_999_999, 4_000_000_000] {
            assert_eq!(stamp.since(&clock("b", 5, wall)), (now, Duration::ZERO), "{wall}");
        }
    }
}
