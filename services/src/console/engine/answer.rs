//! What PID 1 and the services answer, as `docs/ARCHITECTURE.md` says.
use crate::perm::WallTime;
use serde::Deserialize;

/// The answer to `list`. Fields that PID 1 does not send keep their zero.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct List {
    /// weir's version.
    pub version: String,
    /// Milliseconds since power-on.
    pub uptime_ms: u64,
    /// When the ready line came; none when it has not.
    pub ready_ms: Option<u64>,
    /// `ext4`, or `memory: WHY`.
    pub perm: String,
    /// The slot that runs.
    pub slot: String,
    /// The slot that was left because a core service could not stay up in it.
    pub left: Option<String>,
    /// The table.
    pub services: Vec<Service>,
}

/// One service of the list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// `starting`, `running`, `waiting` or `stopped`.
    pub state: String,
    /// Its process, while it has one.
    pub pid: Option<u32>,
    /// Milliseconds since its last start.
    pub uptime_ms: Option<u64>,
    /// How often it was started again.
    pub restarts: u64,
    /// It is a core service and cannot stay up.
    pub sick: bool,
    /// How it ended last; empty when it never did.
    pub last_exit: String,
    /// Its memory.
    pub memory_kib: Option<u64>,
}

/// diagd's verdict.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Health {
    /// The one sentence.
    pub sentence: String,
    /// Everything that was found.
    pub findings: Vec<Finding>,
    /// What was checked.
    pub checks: Check,
}

/// What a rule of diagd's said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Finding {
    /// Its sentence.
    pub sentence: String,
}

/// A check and what depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// `ok`, `failed` or `skipped`.
    pub state: String,
    /// In words.
    pub status: String,
    /// What depends on it.
    pub children: Vec<Check>,
}

/// The machine's disks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Disks {
    /// Each.
    pub disks: Vec<Disk>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Its name under `/dev`.
    pub name: String,
    /// The same with model and size.
    pub words: String,
    /// What is on it; empty when nothing is.
    pub over: String,
    /// Why weir cannot be put on it; none when it can.
    pub refused: Option<String>,
}

/// What ntpd knows of the time.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Clock {
    /// The clock's reading.
    pub time: WallTime,
    /// Whether the clock has been set by servers that were believed.
    pub right: bool,
    /// The server that is followed.
    pub source: String,
    /// How many hands the time has come through.
    pub stratum: u8,
    /// What the clock was behind when it was looked at last, in seconds.
    pub offset: f64,
    /// How wrong that may have been, in seconds.
    pub uncertainty: f64,
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The list.
    List(List),
    /// The verdict.
    Health(Health),
    /// A line of a log, and when it was written (milliseconds since power-on).
    Line {
        /// When.
        t_ms: u64,
        /// What.
        line: String,
    },
    /// The disks.
    Disks(Disks),
    /// The time.
    Clock(Clock),
    /// The end of a log.
    End,
    /// Done.
    Ok,
    /// Done, and this is to be shown.
    Said(String),
    /// Refused, in PID 1's words.
    Error(String),
}

#[derive(Deserialize)]
struct Raw {
    error: Option<String>,
    ok: Option<bool>,
    said: Option<String>,
    end: Option<bool>,
    t_ms: Option<u64>,
    line: Option<String>,
    sentence: Option<String>,
    right: Option<bool>,
    disks: Option<serde::de::IgnoredAny>,
}

impl Answer {
    /// Reads one line.
    ///
    /// # Errors
    /// When it is none of the answers.
    pub fn parse(line: &[u8]) -> Result<Answer, String> {
        let wrong = |error: serde_json::Error| format!("the answer is not understood: {error}");
        let raw: Raw = serde_json::from_slice(line).map_err(wrong)?;
        Ok(match raw {
            Raw { error: Some(error), .. } => Answer::Error(error),
            Raw { line: Some(line), t_ms, .. } => Answer::Line { t_ms: t_ms.unwrap_or_default(), line },
            Raw { end: Some(_), .. } => Answer::End,
            Raw { said: Some(said), .. } => Answer::Said(said),
            Raw { ok: Some(_), .. } => Answer::Ok,
            Raw { sentence: Some(_), .. } => Answer::Health(serde_json::from_slice(line).map_err(wrong)?),
            Raw { disks: Some(_), .. } => Answer::Disks(serde_json::from_slice(line).map_err(wrong)?),
            Raw { right: Some(_), .. } => Answer::Clock(serde_json::from_slice(line).map_err(wrong)?),
            _ => Answer::List(serde_json::from_slice(line).map_err(wrong)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_each_answer() {
        assert_eq!(Answer::parse(br#"{"ok":true}"#), Ok(Answer::Ok));
        assert_eq!(Answer::parse(br#"{"end":true}"#), Ok(Answer::End));
        assert_eq!(Answer::parse(br#"{"error":"no"}"#), Ok(Answer::Error("no".into())));
        let line = Answer::Line { t_ms: 12, line: "x".into() };
        assert_eq!(Answer::parse(br#"{"t_ms":12,"stream":"err","line":"x"}"#), Ok(line));
        let list = Answer::parse(br#"{"version":"0.1.0","services":[{"name":"dhcp4","pid":null}],"ready_ms":null}"#);
        let clock = Answer::parse(br#"{"right":true,"source":"192.0.2.1","stratum":3,"servers":[]}"#);
        assert!(matches!(clock, Ok(Answer::Clock(clock)) if clock.right && clock.stratum == 3));
        assert!(matches!(list, Ok(Answer::List(list)) if list.services[0].name == "dhcp4"));
        let health = Answer::parse(br#"{"first_error":"","sentence":"It works.","checks":{"name":"link/uplink0"}}"#);
        assert!(matches!(health, Ok(Answer::Health(health)) if health.checks.name == "link/uplink0"));
        assert!(Answer::parse(b"x").is_err());
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Answer::parse(&bytes);
        }
    }
}
