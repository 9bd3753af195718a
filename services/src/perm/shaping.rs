//! `/perm/shaping.json`: how fast the uplink is, so that what waits, waits here and not at the provider (not router7's).
//!
//! A field that is refused is left out by itself, with a line that names it; the other direction is shaped all the same.
use super::file;
use super::json::{self, Refusal, or_zero};
use netstack::qdisc::Framing;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// Rates that are taken, in bits per second. Beyond the upper one a packet's way through the shaper takes longer than
/// its way over the line.
const RATES: std::ops::RangeInclusive<u64> = 64_000..=10_000_000_000;
/// What a line may put around a packet, in bytes, and the least that it may make of one: the kernel's own limits.
const OVERHEADS: std::ops::RangeInclusive<i32> = -64..=256;
const LEAST: u32 = 256;

/// The file, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shaping {
    /// Bits per second towards the internet; `None` = not shaped.
    pub up: Option<u64>,
    /// Bits per second from there; `None` = not shaped.
    pub down: Option<u64>,
    /// Bytes that the line puts around each IP packet; `None` = what Ethernet puts there.
    pub overhead: Option<i32>,
    /// The least that a packet takes of the line, in bytes.
    pub least: u32,
    /// How the line cuts packets.
    pub framing: Framing,
    /// Fields that are left out, and why.
    pub refused: Vec<Refusal>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    up: Value,
    down: Value,
    overhead: Value,
    mpu: Value,
    #[serde(deserialize_with = "or_zero")]
    framing: String,
}

impl Shaping {
    /// What the file's bytes say.
    ///
    /// # Errors
    /// When they are not of this form; a wrong field is no error.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Shaping, Refusal> {
        let written: Written = json::parse(path, bytes)?;
        let mut shaping = Shaping::default();
        let mut refused = Vec::new();
        let mut take = |field: &str, words: String| refused.push(Refusal::field(path, field, words).at(bytes));
        for (field, value, rate) in [("up", &written.up, &mut shaping.up), ("down", &written.down, &mut shaping.down)] {
            match self::rate(value) {
                Ok(found) => *rate = found,
                Err(words) => take(field, words),
            }
        }
        match &written.overhead {
            Value::Null => {}
            value => match value.as_i64().and_then(|bytes| i32::try_from(bytes).ok()) {
                Some(bytes) if OVERHEADS.contains(&bytes) => shaping.overhead = Some(bytes),
                _ => take("overhead", format!("{value} is not -64 to 256 bytes")),
            },
        }
        match &written.mpu {
            Value::Null => {}
            value => match value.as_u64().and_then(|bytes| u32::try_from(bytes).ok()) {
                Some(bytes) if bytes <= LEAST => shaping.least = bytes,
                _ => take("mpu", format!("{value} is not 0 to {LEAST} bytes")),
            },
        }
        match written.framing.to_ascii_lowercase().as_str() {
            "" => {}
            "atm" => shaping.framing = Framing::Atm,
            "ptm" => shaping.framing = Framing::Ptm,
            _ => take("framing", format!("{:?} is neither \"atm\" nor \"ptm\"", written.framing)),
        }
        Ok(Shaping { refused, ..shaping })
    }
}

/// Reads the file; nothing is shaped when there is none.
///
/// # Errors
/// When it cannot be read or is not of this form; a wrong field is no error.
pub fn read(root: &Path) -> Result<Shaping, Refusal> {
    let path = file::in_force(root, rights::SHAPING);
    let bytes = file::read(&path).map_err(|error| Refusal::field(&path, "the file", error))?;
    bytes.map_or_else(|| Ok(Shaping::default()), |bytes| Shaping::parse(&path, &bytes))
}

/// A rate in bits per second.
fn rate(value: &Value) -> Result<Option<u64>, String> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => text,
        _ => return Err(format!("{value} is not a text such as \"20 Mbit/s\"")),
    };
    let bits = bits(text).ok_or_else(|| format!("{text:?} is not a rate such as \"20 Mbit/s\" (kbit, Mbit, Gbit)"))?;
    if bits == 0 {
        return Err(format!("{text:?} would let nothing through; without the field nothing is held back"));
    }
    if !RATES.contains(&bits) {
        return Err(format!("{text:?} is not 64 kbit/s to 10 Gbit/s; a faster line is not to be shaped"));
    }
    Ok(Some(bits))
}

fn bits(text: &str) -> Option<u64> {
    let at = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = match unit.strip_suffix("/s").unwrap_or(&unit) {
        "kbit" => 1_000,
        "mbit" => 1_000_000,
        "gbit" => 1_000_000_000,
        _ => return None,
    };
    // Three places behind the point are more than any contract names.
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > 9 || part.len() > 3 || number.ends_with('.') {
        return None;
    }
    let thousandths = format!("{part:0<3}").parse::<u64>().ok()?;
    Some(whole.parse::<u64>().ok()? * factor + thousandths * (factor / 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Shaping {
        Shaping::parse(Path::new("shaping.json"), text.as_bytes()).unwrap()
    }

    #[test]
    fn rates_are_read_as_they_are_sold() {
        let all = of(r#"{"up":"20 Mbit/s","down":"1.5Gbit","overhead":-4,"mpu":84,"framing":"PTM"}"#);
        assert_eq!((all.up, all.down), (Some(20_000_000), Some(1_500_000_000)));
        assert_eq!((all.overhead, all.least, all.framing, all.refused), (Some(-4), 84, Framing::Ptm, vec![]));
        assert_eq!(of(r#"{"up":"832kbit/s"}"#).up, Some(832_000));
        assert_eq!(of(r#"{"up":null,"down":"","overhead":null}"#), Shaping::default());
    }

    #[test]
    fn a_wrong_field_is_named_and_the_others_hold() {
        for (field, words) in [
            (r#""up":"0 Mbit/s""#, "up: \"0 Mbit/s\" would let nothing through"),
            (r#""up":"40 Gbit/s""#, "up: \"40 Gbit/s\" is not 64 kbit/s to 10 Gbit/s"),
            (r#""up":"63.999 kbit""#, "is not 64 kbit/s"),
            (r#""up":20"#, "up: 20 is not a text"),
            (r#""up":"fast""#, "up: \"fast\" is not a rate"),
            (r#""up":"20.""#, "is not a rate"),
            (r#""up":".5Mbit""#, "is not a rate"),
            (r#""up":"1.2345Mbit""#, "is not a rate"),
            (r#""up":"99999999999999999999 Gbit""#, "is not a rate"),
            (r#""overhead":257"#, "overhead: 257 is not -64 to 256"),
            (r#""overhead":"a lot""#, "overhead: \"a lot\" is not"),
            (r#""mpu":257"#, "mpu: 257 is not 0 to 256"),
            (r#""framing":"docsis""#, "framing: \"docsis\" is neither"),
        ] {
            let all = of(&format!(r#"{{"down":"100Mbit",{field}}}"#));
            let lines: Vec<String> = all.refused.iter().map(ToString::to_string).collect();
            assert_eq!((all.down, all.up, lines.len()), (Some(100_000_000), None, 1), "{field}");
            assert!(lines[0].starts_with("shaping.json:1:") && lines[0].contains(words), "{lines:?}");
        }
        assert!(Shaping::parse(Path::new("x"), br#"{"upload":"1Mbit"}"#).is_err(), "misspelt, it would shape nothing");
    }

    proptest! {
        #[test]
        fn any_text_is_met(text in ".{0,30}") {
            let _ = rate(&Value::String(text));
        }
    }
}
