//! Logs that somebody watches, line by line as PID 1 tells them.
use super::route::Log;
use crate::house::House;
use crate::house::question::Question;
use netstack::event::{Interest, Loop, Token};
use netstack::time::Instant;
use serde_json::{Value, json};
use std::time::Duration;

/// The first token of them.
const FIRST: u64 = 1 << 20;
/// So many are watched at a time: PID 1 has few places.
const MOST: usize = 6;
/// After so long without a line something is said, by which one who has gone is noticed.
const QUIET: Duration = Duration::from_secs(15);

#[derive(Debug)]
struct Watched {
    number: u64,
    reader: Token,
    log: Log,
    question: Question,
    quiet_until: Instant,
}

/// What is to be said to whom; nothing = the log is over.
pub type News = (Token, Option<Vec<u8>>);

/// All of them.
#[derive(Debug, Default)]
pub struct Follow {
    watched: Vec<Watched>,
    last: u64,
}

impl Follow {
    /// Whether a token is one of theirs.
    pub fn owns(token: Token) -> bool {
        (FIRST..1 << 32).contains(&token.0)
    }

    /// Begins to watch.
    ///
    /// # Errors
    /// In words, when too many are watched or PID 1 does not answer.
    pub fn begin(&mut self, house: &House, turn: &Loop, now: Instant, reader: Token, log: Log) -> Result<(), String> {
        if self.watched.len() >= MOST {
            return Err(format!("{MOST} logs are being watched already: close one"));
        }
        let line = format!("{}\n", json!({"op": "logs", "name": log.name, "follow": true}));
        let silent = |error| format!("PID 1 does not tell its logs: {error}");
        let question = Question::ask(&house.path("/run/init.sock"), &line).map_err(silent)?;
        self.last = (self.last + 1) % (1 << 20);
        let number = FIRST + self.last;
        turn.add(&question.stream, Token(number), Interest::READ).map_err(silent)?;
        self.watched.push(Watched { number, reader, log, question, quiet_until: now + QUIET });
        Ok(())
    }

    /// A token is ready: what is to be said.
    pub fn ready(&mut self, now: Instant, token: Token) -> Option<News> {
        let at = self.watched.iter().position(|watched| watched.number == token.0)?;
        let watched = self.watched.get_mut(at)?;
        let mut lines = Vec::new();
        let open = watched.question.read(&mut lines).is_ok_and(|open| open);
        watched.quiet_until = now + QUIET;
        let said: Vec<u8> = lines.iter().flat_map(|line| told(&watched.log, line)).collect();
        let reader = watched.reader;
        if !open {
            self.watched.swap_remove(at);
            return Some((reader, None));
        }
        Some((reader, Some(said)))
    }

    /// When [`Follow::tick`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        self.watched.iter().map(|watched| watched.quiet_until).min()
    }

    /// What is said where nothing has been for a while.
    pub fn tick(&mut self, now: Instant) -> Vec<News> {
        let quiet = self.watched.iter_mut().filter(|watched| watched.quiet_until <= now);
        let news = quiet.map(|watched| {
            watched.quiet_until = now + QUIET;
            // A comment, which no reader of events shows; lines have none, and are only looked after.
            (watched.reader, Some(if watched.log.events { b":\n\n".to_vec() } else { Vec::new() }))
        });
        news.collect()
    }

    /// Those whose reader has gone are not watched any more.
    pub fn keep(&mut self, is_there: impl Fn(Token) -> bool) {
        self.watched.retain(|watched| is_there(watched.reader));
    }
}

/// A line of PID 1's as its reader wants it.
fn told(log: &Log, line: &[u8]) -> Vec<u8> {
    let value: Value = serde_json::from_slice(line).unwrap_or_default();
    let Some(text) = value["line"].as_str() else {
        let why = value["error"].as_str().map(|why| format!("data: {}\n\n", json!({"line": why, "stream": "err"})));
        return why.filter(|_| log.json).unwrap_or_default().into_bytes();
    };
    let stream = if value["stream"] == "out" { "stdout" } else { "stderr" };
    if log.stream != "both" && log.stream != stream {
        return Vec::new();
    }
    let text: String = text.chars().filter(|letter| !letter.is_control() || *letter == '\t').collect();
    if log.json {
        let event = json!({"t_ms": value["t_ms"], "stream": value["stream"], "line": text});
        return format!("data: {event}\n\n").into_bytes();
    }
    match (log.events, log.stream.as_str()) {
        (false, _) => format!("{text}\n"),
        (true, "both") => format!("event: {stream}\ndata: {text}\n\n"),
        (true, _) => format!("data: {text}\n\n"),
    }
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stream: &str, events: bool, json: bool, line: &str) -> String {
        let log = Log { name: "dnsd".into(), stream: stream.into(), events, json };
        String::from_utf8(told(&log, line.as_bytes())).unwrap()
    }

    #[test]
    fn lines_are_told_as_gokrazy_does_and_as_the_page_wants() {
        let out = r#"{"t_ms":7,"stream":"out","line":"a \u001b[31mb"}"#;
        assert_eq!(line("both", false, false, out), "a [31mb\n");
        assert_eq!(line("both", true, false, out), "event: stdout\ndata: a [31mb\n\n");
        assert_eq!(line("stdout", true, false, out), "data: a [31mb\n\n");
        assert_eq!(line("stderr", true, false, out), "");
        assert_eq!(line("both", true, true, out), "data: {\"line\":\"a [31mb\",\"stream\":\"out\",\"t_ms\":7}\n\n");
        assert_eq!(line("both", false, false, "nonsense"), "");
        assert!(line("both", true, true, r#"{"error":"no"}"#).contains("\"no\""));
    }
}
