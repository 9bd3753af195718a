//! Times and lists as a sentence has them.
use crate::perm::WallTime;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A clock before this was never set.
const SET: i64 = 1_577_836_800;

/// `12:03`, with the day before it when that is another one than `now`'s.
pub fn day_and_time(zone: &TimeZone, time: WallTime, now: WallTime) -> String {
    let local = |time: WallTime| Timestamp::from_second(time.unix()).map(|moment| zone.to_datetime(moment));
    match (local(time), local(now)) {
        (Ok(time), Ok(now)) if time.date() == now.date() => time.strftime("%H:%M").to_string(),
        (Ok(time), _) => time.strftime("%Y-%m-%d %H:%M").to_string(),
        (Err(_), _) => "a time out of range".to_owned(),
    }
}

/// ` since 12:03`; nothing when that moment's clock was never set.
pub fn since(zone: &TimeZone, time: WallTime, now: WallTime) -> String {
    if time.unix() < SET { String::new() } else { format!(" since {}", day_and_time(zone, time, now)) }
}

/// `a, b and c`.
pub fn list(words: &[String], last: &str) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [many @ .., end] => format!("{} {last} {end}", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_person_says_it() {
        let at = WallTime::from_unix;
        let zurich = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(day_and_time(&zurich, at(1_700_000_000), at(1_700_000_600)), "23:13");
        assert_eq!(day_and_time(&zurich, at(1_700_000_000), at(1_700_006_400)), "2023-11-14 23:13");
        assert_eq!(since(&TimeZone::UTC, at(1_700_000_000), at(1_700_000_000)), " since 22:13");
        assert_eq!(since(&TimeZone::UTC, at(60), at(60)), "");
        assert!(!day_and_time(&TimeZone::UTC, WallTime::default(), at(0)).is_empty());
        let words: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!((list(&words, "and"), list(&words[..1], "and")), ("a, b and c".into(), "a".into()));
    }
}
