//! Times of the week, and the zone whose clock they are read on: `/perm/time.json`.
use super::json::{self, Refusal, or_zero};
use super::{WallTime, file};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use netstack::time::Instant;
use serde::{Deserialize, Deserializer, de::Error};
use std::path::Path;
use std::time::Duration;

/// Three letters of each day, in the week's order.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u16 = 24 * 60;
/// Before 2026 a clock has not been set: a board without a battery begins in 1970.
const SET: i64 = 1_767_225_600;
/// Names of zones and what POSIX says of them, a line each.
const ZONES: &str = "/etc/timezones";

/// Hours on some days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// On which days it begins, Monday first.
    days: [bool; 7],
    /// Minute of the day at which it begins.
    from: u16,
    /// Minute at which it ends: of the same day when that is later, else of the next.
    to: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    #[serde(deserialize_with = "days")]
    days: Option<[bool; 7]>,
    #[serde(deserialize_with = "minute")]
    from: Option<u16>,
    #[serde(deserialize_with = "minute")]
    to: Option<u16>,
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Schedule, D::Error> {
        let Written { days, from, to } = Written::deserialize(deserializer)?;
        Ok(Schedule { days: days.unwrap_or([true; 7]), from: from.unwrap_or(0), to: to.unwrap_or(DAY) })
    }
}

fn days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[bool; 7]>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |day: &str| DAYS.iter().position(|name| day.trim().eq_ignore_ascii_case(name));
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err(D::Error::custom(format!("{text:?} is not days such as mon-fri or sat,sun")));
        };
        // Through the end of the week where it must be: fri-mon.
        (0..=(last + 7 - first) % 7).for_each(|step| days[(first + step) % 7] = true);
    }
    Ok(Some(days))
}

fn minute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let number = |part: &str| {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u16>().ok().filter(|_| digits)
    };
    let parts = text.split_once(':').and_then(|(hour, minute)| Some((number(hour)?, number(minute)?)));
    let minute = parts.filter(|(_, minute)| *minute < 60).map(|(hour, minute)| hour * 60 + minute);
    match minute.filter(|minute| *minute <= DAY) {
        Some(minute) => Ok(Some(minute)),
        None => Err(D::Error::custom(format!("{text:?} is not a time of day, 00:00 to 24:00"))),
    }
}

impl Schedule {
    /// Whether it holds at a minute of a day; Monday is day 0.
    fn holds_at(&self, day: usize, minute: u16) -> bool {
        let (today, yesterday) = (self.days[day % 7], self.days[(day + 6) % 7]);
        if self.from < self.to {
            return today && (self.from..self.to).contains(&minute);
        }
        // Over midnight it belongs to the day on which it began.
        (today && minute >= self.from) || (yesterday && minute < self.to)
    }

    /// Whether it holds now; never while the clock has not been set.
    pub fn holds(&self, zone: &TimeZone, now: WallTime) -> bool {
        let seconds = now.unix();
        let Ok(moment) = Timestamp::from_second(seconds) else { return false };
        let local = zone.to_datetime(moment);
        let day = usize::from(local.weekday().to_monday_zero_offset().unsigned_abs());
        let minute = u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        seconds >= SET && self.holds_at(day, minute)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Time {
    #[serde(deserialize_with = "or_zero")]
    zone: String,
}

/// The zone that the file's bytes name; `named` knows what POSIX says of zones by their names.
///
/// # Errors
/// Names line, field and value.
pub fn parse(path: &Path, bytes: &[u8], named: impl Fn(&str) -> Option<String>) -> Result<TimeZone, Refusal> {
    let written: Time = json::parse(path, bytes)?;
    if written.zone.is_empty() {
        return Ok(TimeZone::UTC);
    }
    let text = named(&written.zone).unwrap_or_else(|| written.zone.clone());
    TimeZone::posix(&text).map_err(|_| {
        let words =
            format!("{:?} is neither a zone such as Europe/Zurich nor CET-1CEST,M3.5.0,M10.5.0/3", written.zone);
        Refusal::field(path, "zone", words).at(bytes)
    })
}

/// When the next minute of the clock on the wall begins: schedules are looked at then. A clock that is set anew is
/// followed within a minute.
pub fn next_minute(now: WallTime) -> Instant {
    let into = now.unix().rem_euclid(60).unsigned_abs();
    // A moment late rather than early.
    Instant::now() + Duration::from_secs(60 - into)
}

/// Reads the zone; UTC when there is no file.
///
/// # Errors
/// When the file cannot be read or names no zone.
pub fn zone(root: &Path) -> Result<TimeZone, Refusal> {
    let path = file::in_force(root, rights::TIME);
    let bytes = file::read(&path).map_err(|error| Refusal::field(&path, "the file", error))?;
    bytes.map_or(Ok(TimeZone::UTC), |bytes| parse(&path, &bytes, |name| named(root, name)))
}

/// What POSIX says of a zone, by the image's list.
pub fn named(root: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(root.join(ZONES.trim_start_matches('/'))).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(zone, _)| *zone == name).map(|(_, rule)| rule.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(text: &str) -> Schedule {
        serde_json::from_str(text).unwrap()
    }

    fn zurich() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn at(text: &str) -> WallTime {
        text.parse().unwrap()
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let night = schedule(r#"{"days":"mon-fri","from":"21:00","to":"07:00"}"#);
        for (day, minute, holds) in [
            (0, 20 * 60 + 59, false),
            (0, 21 * 60, true),
            (1, 6 * 60 + 59, true),
            (1, 7 * 60, false),
            (4, 23 * 60, true),
            (5, 6 * 60, true),
            (5, 22 * 60, false),
            (0, 6 * 60, false),
        ] {
            assert_eq!(night.holds_at(day, minute), holds, "{day} {minute}");
        }
        let school = schedule(r#"{"days":"sat, Sun","from":"8:30","to":"12:00"}"#);
        assert!(school.holds_at(6, 510) && !school.holds_at(6, 720) && !school.holds_at(0, 600));
        assert!(schedule("{}").holds_at(3, 1_439) && schedule(r#"{"days":"fri-mon"}"#).holds_at(0, 0));
        assert!(!schedule(r#"{"days":"fri-mon"}"#).holds_at(1, 0));
    }

    #[test]
    fn hours_are_those_of_the_clock_on_the_wall_summer_and_winter() {
        let evening = schedule(r#"{"from":"21:00","to":"22:00"}"#);
        for (utc, holds) in [
            ("2026-07-01T19:00:00Z", true),
            ("2026-07-01T20:00:00Z", false),
            ("2026-12-01T19:59:59Z", false),
            ("2026-12-01T20:00:00Z", true),
        ] {
            assert_eq!(evening.holds(&zurich(), at(utc)), holds, "{utc}");
        }
        assert!(evening.holds(&TimeZone::UTC, at("2026-12-01T21:30:00Z")));
    }

    #[test]
    fn nothing_holds_before_the_clock_is_set() {
        assert!(!schedule("{}").holds(&TimeZone::UTC, at("1970-01-01T00:01:00Z")));
        assert!(schedule("{}").holds(&TimeZone::UTC, at("2060-01-01T00:01:00Z")));
    }

    #[test]
    fn a_zone_by_its_name_or_its_rule() {
        let read = |text: &str| {
            parse(Path::new("time.json"), text.as_bytes(), |name| {
                (name == "Europe/Zurich").then(|| "CET-1CEST,M3.5.0,M10.5.0/3".to_owned())
            })
        };
        assert_eq!(read(r#"{"zone":"Europe/Zurich"}"#), Ok(zurich()));
        assert_eq!(read(r#"{"zone":"CET-1CEST,M3.5.0,M10.5.0/3"}"#), Ok(zurich()));
        assert_eq!(read("{}"), Ok(TimeZone::UTC));
        let error = read(r#"{"zone":"Europe/Nowhere"}"#).unwrap_err().to_string();
        assert!(error.starts_with(r#"time.json:1:9: zone: "Europe/Nowhere" is neither"#), "{error}");
    }

    #[test]
    fn wrong_words_are_named() {
        for (text, words) in [
            (r#"{"days":"someday"}"#, "\"someday\" is not days"),
            (r#"{"days":""}"#, "\"\" is not days"),
            (r#"{"from":"7"}"#, "\"7\" is not a time of day"),
            (r#"{"to":"24:01"}"#, "\"24:01\" is not a time of day"),
            (r#"{"to":"9:60"}"#, "\"9:60\" is not a time of day"),
            (r#"{"until":"9:00"}"#, "unknown field `until`"),
        ] {
            let error = serde_json::from_str::<Schedule>(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
