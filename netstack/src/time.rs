//! Time for every timer and lease: `CLOCK_BOOTTIME`, which neither jumps nor stands still.
use nix::time::{ClockId, clock_gettime};
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A moment, in nanoseconds since boot. Tests make their own; only [`Instant::now`] reads the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// Never comes: the end of what has no end.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// The clock's present reading.
    pub fn now() -> Instant {
        // CLOCK_BOOTTIME exists since Linux 2.6.39; a clock that cannot be read reads as boot.
        clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map(|time| Instant(Duration::from(time).as_nanos() as u64))
            .unwrap_or_default()
    }

    /// `nanos` nanoseconds after boot.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// `millis` milliseconds after boot.
    pub const fn from_millis(millis: u64) -> Instant {
        Instant(millis.saturating_mul(1_000_000))
    }

    /// `secs` seconds after boot.
    pub const fn from_secs(secs: u64) -> Instant {
        Instant(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since boot.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole seconds since boot.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// This moment, later by `duration`; the end of time when that is too late.
    pub fn saturating_add(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        self.saturating_add(duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturates_at_both_ends() {
        let minute = Duration::from_secs(60);
        assert_eq!(Instant::from_secs(1) - minute, Instant::from_nanos(0));
        assert_eq!(Instant::from_nanos(u64::MAX) + minute, Instant::from_nanos(u64::MAX));
        assert_eq!(Instant::from_secs(61) - Instant::from_secs(1), minute);
        assert_eq!(Instant::from_secs(1) - Instant::from_secs(61), Duration::ZERO);
        assert!(Instant::now() > Instant::default());
    }
}
