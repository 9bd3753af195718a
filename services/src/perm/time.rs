//! Wall time as Go writes it into JSON: RFC 3339, up to nine fraction digits, any offset on reading, UTC on writing.
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in wall time, in nanoseconds since 1970; only to show and to store, never to measure with.
/// Its default is Go's zero time, `0001-01-01T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(i128);

const SECOND: i128 = 1_000_000_000;
const ZERO: WallTime = WallTime(-62_135_596_800 * SECOND);

impl Default for WallTime {
    fn default() -> WallTime {
        ZERO
    }
}

impl WallTime {
    /// The clock's present reading.
    pub fn now() -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime(since.as_nanos() as i128)
    }

    /// From whole seconds since 1970.
    #[cfg(test)]
    pub const fn from_unix(seconds: i64) -> WallTime {
        WallTime(seconds as i128 * SECOND)
    }

    /// From nanoseconds since 1970.
    pub const fn from_nanos(nanos: i64) -> WallTime {
        WallTime(nanos as i128)
    }

    /// Nanoseconds since 1970, as far as 292 years.
    pub fn nanos(self) -> i64 {
        self.0.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// Whole seconds since 1970.
    pub fn unix(self) -> i64 {
        i64::try_from(self.0.div_euclid(SECOND)).unwrap_or(i64::MAX)
    }

    /// Go's zero time, which stands for "none" or "for ever".
    pub fn is_zero(self) -> bool {
        self == ZERO
    }

    /// This moment, later by `duration`.
    pub fn after(self, duration: Duration) -> WallTime {
        WallTime(self.0.saturating_add(duration.as_nanos() as i128))
    }

    /// This moment, moved by nanoseconds in either direction.
    pub fn shifted(self, nanos: i64) -> WallTime {
        WallTime(self.0.saturating_add(i128::from(nanos)))
    }

    /// Nanoseconds from `other` to this moment, negative when it is earlier; as far as 292 years.
    pub fn nanos_from(self, other: WallTime) -> i64 {
        self.0.saturating_sub(other.0).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: WallTime) -> Duration {
        let nanos = u64::try_from(self.0.saturating_sub(earlier.0).max(0)).unwrap_or(u64::MAX);
        Duration::from_nanos(nanos)
    }
}

// Days since 1970-01-01 of a proleptic Gregorian date, and back: years are counted from March so that the leap
// day is the last of its year, in eras of 400 years (146,097 days).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(SECOND) as i64;
        let nanos = self.0.rem_euclid(SECOND);
        let (year, month, day) = date(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if nanos != 0 {
            write!(f, ".{}", format!("{nanos:09}").trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl FromStr for WallTime {
    type Err = String;

    fn from_str(text: &str) -> Result<WallTime, String> {
        parse(text).ok_or_else(|| format!("{text:?} is not a time such as 2026-11-23T10:00:00Z"))
    }
}

fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn parse(text: &str) -> Option<WallTime> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut date = date.split('-');
    let (year, month, day) = (number(date.next()?, 4)?, number(date.next()?, 2)?, number(date.next()?, 2)?);
    let rest = rest.strip_prefix(['T', 't'])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let mut clock = clock.split(':');
    let (hour, minute, second) = (number(clock.next()?, 2)?, number(clock.next()?, 2)?, number(clock.next()?, 2)?);
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    if !in_range || clock.next().is_some() {
        return None;
    }
    let (nanos, rest) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(rest) => {
            let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
            let (digits, rest) = rest.split_at(end);
            let nanos = (1..=9).contains(&end).then(|| format!("{digits:0<9}"))?;
            (nanos.parse::<i128>().ok()?, rest)
        }
    };
    let offset = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = if rest.starts_with('+') { 1 } else { -1 };
            let (hours, minutes) = rest.strip_prefix(['+', '-'])?.split_once(':')?;
            sign * (number(hours, 2)? * 3_600 + number(minutes, 2)? * 60)
        }
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    Some(WallTime(i128::from(seconds) * SECOND + nanos))
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WallTime, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments() {
        assert_eq!(WallTime::default().to_string(), "0001-01-01T00:00:00Z");
        assert!("0001-01-01T00:00:00Z".parse::<WallTime>().unwrap().is_zero());
        assert_eq!(WallTime::from_unix(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(WallTime::from_unix(951_782_400).to_string(), "2000-02-29T00:00:00Z");
        let moment: WallTime = "2020-05-01T12:00:00.123450+02:00".parse().unwrap();
        assert_eq!(moment.to_string(), "2020-05-01T10:00:00.12345Z");
    }

    #[test]
    fn refuses_what_is_no_time() {
        for wrong in [
            "",
            "2020",
            "2020-13-01T00:00:00Z",
            "2020-01-01T00:00:00",
            "2020-01-01T00:00:00.Z",
            "2020-01-01 00:00:00Z",
            "2020-01-01T25:00:00Z",
            "2020-01-01T00:00:00+2",
        ] {
            assert!(wrong.parse::<WallTime>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in -62_135_596_800i64..253_402_300_800, nanos in 0u32..1_000_000_000) {
            let moment = WallTime::from_unix(seconds).after(Duration::from_nanos(u64::from(nanos)));
            prop_assert_eq!(moment.to_string().parse::<WallTime>().unwrap(), moment);
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,40}") {
            let _ = text.parse::<WallTime>();
        }
    }
}
