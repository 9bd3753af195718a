//! Who asks what when, and what may be done: one trial at a time. No I/O, no clock.
use crate::check::Files;
use netstack::time::Instant;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a trial may last, in seconds.
const CONFIRM: std::ops::RangeInclusive<u64> = 5..=3_600;

/// A request as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    op: Op,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    confirm: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Check,
    Try,
    Keep,
    Revert,
    State,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Say what is wrong with these.
    Check(Files),
    /// Put them in force for so long.
    Try(Files, Duration),
    /// Keep them at once.
    Apply(Files),
    /// Keep what is on trial.
    Keep,
    /// Take back what is on trial.
    Revert,
    /// Say what is on trial.
    State,
}

impl Request {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Request, String> {
        serde_json::from_slice(line).map_err(|error| format!("the request: {error}"))
    }
}

/// Files on trial.
#[derive(Debug, Default)]
pub struct Engine {
    trial: Option<(Vec<String>, Instant)>,
}

impl Engine {
    /// What a request comes to.
    ///
    /// # Errors
    /// Why it comes to nothing.
    pub fn order(&self, now: Instant, request: Request) -> Result<Order, String> {
        let Request { op, files, confirm } = request;
        let files: Files = files.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
        if matches!(op, Op::Check | Op::Try) && files.is_empty() {
            return Err("there is no file in the request".into());
        }
        match (op, self.trial(now)) {
            (Op::Check, _) => Ok(Order::Check(files)),
            (Op::Try, Some((names, left))) => {
                Err(format!("{} is on trial for {left} s more: keep it or take it back first", names.join(", ")))
            }
            (Op::Try, None) => match confirm {
                None => Ok(Order::Apply(files)),
                Some(seconds) if CONFIRM.contains(&seconds) => Ok(Order::Try(files, Duration::from_secs(seconds))),
                Some(seconds) => {
                    Err(format!("confirm: {seconds} is not {} to {} seconds", CONFIRM.start(), CONFIRM.end()))
                }
            },
            (Op::Keep | Op::Revert, None) => Err("nothing is on trial".into()),
            (Op::Keep, Some(_)) => Ok(Order::Keep),
            (Op::Revert, Some(_)) => Ok(Order::Revert),
            (Op::State, _) => Ok(Order::State),
        }
    }

    /// Files are on trial from now on.
    pub fn begun(&mut self, now: Instant, names: Vec<String>, confirm: Duration) {
        self.trial = Some((names, now + confirm));
    }

    /// Nothing is on trial any more.
    pub fn ended(&mut self) {
        self.trial = None;
    }

    /// What is on trial, and for how many seconds more.
    pub fn trial(&self, now: Instant) -> Option<(&[String], u64)> {
        self.trial.as_ref().map(|(names, until)| (names.as_slice(), until.since(now).as_secs()))
    }

    /// When the trial ends.
    pub fn deadline(&self) -> Option<Instant> {
        self.trial.as_ref().map(|(_, until)| *until)
    }

    /// Whether it has ended.
    pub fn is_over(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|until| until <= now)
    }
}
