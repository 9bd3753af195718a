//! The wall clock and the battery clock, for the one service that sets them. It takes CAP_SYS_TIME.
use crate::sys;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use std::fs::File;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The kernel slews no larger offset.
pub const SLEWED: Duration = Duration::from_millis(500);

/// The clock's present reading, in nanoseconds since 1970.
pub fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Moves the clock by nanoseconds, at once.
///
/// # Errors
/// When the right is missing, or the moment is none that the kernel takes.
pub fn step(by: i64) -> io::Result<()> {
    let to = wall().saturating_add(by).max(0);
    Ok(clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(Duration::from_nanos(to as u64)))?)
}

/// Moves the clock by nanoseconds, at most [`SLEWED`], little by little, and its rate with it; `poll` is the logarithm of
/// the time until the next word, in seconds; `error` how wrong the clock may then be.
///
/// # Errors
/// When the right is missing.
pub fn slew(by: i64, poll: i8, error: Duration) -> io::Result<()> {
    let most = SLEWED.as_nanos() as i64;
    let micros = i64::try_from(error.as_micros()).unwrap_or(i64::MAX).min(16_000_000);
    // The loop settles in some multiples of its constant, which is to be well above the time between two words.
    let constant = i64::from(poll.saturating_sub(4)).clamp(0, 10);
    sys::discipline(by.clamp(-most, most), constant, (micros, micros))
}

/// Writes the wall clock's reading into the battery clock.
///
/// # Errors
/// When there is none, or it holds no such year.
pub fn keep(rtc: &File) -> io::Result<()> {
    // Its next second begins half a second after it is written: the present one is never further off than that.
    sys::rtc_set(rtc, &broken_down(wall().div_euclid(1_000_000_000)))
}

// Days since 1970 as a proleptic Gregorian date; years counted from March.
fn broken_down(seconds: i64) -> sys::RtcTime {
    let (days, of_day) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 2 } else { month - 10 };
    let year = era * 400 + year + i64::from(month <= 1) - 1900;
    sys::RtcTime {
        second: (of_day % 60) as i32,
        minute: (of_day / 60 % 60) as i32,
        hour: (of_day / 3_600) as i32,
        day: day as i32,
        month: month as i32,
        year: year as i32,
        ..sys::RtcTime::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_battery_clock() {
        for (seconds, wanted) in [
            (0, (70, 0, 1, 0, 0, 0)),
            (951_782_400 + 3_661, (100, 1, 29, 1, 1, 1)),
            (1_798_761_599, (126, 11, 31, 23, 59, 59)),
            (4_102_444_800, (200, 0, 1, 0, 0, 0)),
        ] {
            let time = broken_down(seconds);
            assert_eq!((time.year, time.month, time.day, time.hour, time.minute, time.second), wanted);
        }
    }
}
