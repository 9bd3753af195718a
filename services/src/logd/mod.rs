//! logd: what everybody has said, beyond the present boot and beyond this machine.
//!
//! PID 1 keeps the last lines of each service and of the kernel; logd reads all of them on `/run/init.sock` (`journal`),
//! from a second after its start on, so that the boot is not disturbed, and hands them on:
//!
//! - **The journal**, `/perm/logd/journal` and `journal.1`, 1 MiB together: appended at most every 30 s and at an orderly
//!   stop, so that a power cut costs half a minute, and a flash disk little. A flood is cut to 64 KiB in 30 s. What a
//!   service has said in the boot before this one is answered on `/run/logd.sock`.
//! - **A receiver**, when `/perm/remote_syslog/target` (gokrazy's file) names one: RFC 5424 by UDP (RFC 5426), or by TCP
//!   with octet counts (RFC 6587). The time of a message is `-` while no clock knows it. While the receiver is away 128
//!   KiB wait for it, and one line says so.
//!
//! A line that repeats its service's last one within a second is counted, and the count said.
//!
//! | Reads | When |
//! |---|---|
//! | `/perm/remote_syslog/target` | start, `SIGUSR1` |
//! | `/run/ntpd/state.json`: whether the clock is right | start, `SIGUSR1` |
//!
//! Port 8056 on loopback: `/metrics`.
mod config;
mod engine;
mod journal;
mod metrics;
mod sender;
#[cfg(test)]
mod tests;

use crate::house::asking::Asking;
use crate::house::requests::{self, Requests};
use crate::house::shown::Shown;
use crate::house::{Failure, House};
use crate::perm::stamp::Clock;
use crate::perm::{WallTime, clock};
use engine::{Engine, Line, syslog};
use journal::Journal;
use netstack::event::{Event, Interest, Loop, Signal, Token};
use netstack::time::Instant;
use sender::Sender;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const INIT: Token = Token(1);
const RECEIVER: Token = Token(2);
/// When PID 1 is asked for the first time, and again when it has closed.
const BEGIN: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_secs(5);
/// Bytes of a line that PID 1 may send.
const LONGEST: usize = 64 << 10;

pub use config::check;

struct Logd {
    house: House,
    turn: Loop,
    engine: Engine,
    sender: Sender,
    journal: Journal,
    init: Option<UnixStream>,
    received: Vec<u8>,
    /// When PID 1 is asked, and whether it was in vain.
    ask_at: Option<Instant>,
    in_vain: bool,
    hostname: String,
    /// Whether the wall clock is right.
    right: bool,
    sends: bool,
    refused: bool,
    complaint: String,
}

/// Runs the service.
///
/// # Errors
/// When a flag is wrong or the kernel gives no descriptor.
pub fn run(house: House) -> Result<(), Failure> {
    if let Some(flag) = house.flags().next().map_err(Failure::during("flags"))? {
        return Err(Failure::new(format!("flags: {}", flag.unexpected())));
    }
    let turn = Loop::new().map_err(Failure::during("event loop"))?;
    let mut requests = Requests::open(&house, &turn, "logd")?;
    let hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let mut logd = Logd {
        engine: Engine::default(),
        sender: Sender::new(RECEIVER),
        journal: Journal::new(house.path("/perm/logd"), Clock::read().boot),
        init: None,
        received: Vec::new(),
        ask_at: Some(Instant::now() + BEGIN),
        in_vain: false,
        hostname,
        right: false,
        sends: false,
        refused: false,
        complaint: String::new(),
        house,
        turn,
    };
    logd.configure();
    let mut shown = Shown::open(&logd.turn, Instant::now(), "logd");
    logd.house.ready();
    let mut happened = Vec::new();
    loop {
        let times =
            [logd.engine.deadline(), logd.engine.batch_at(), logd.sender.deadline(), logd.ask_at, shown.deadline()];
        logd.turn.wait(times.into_iter().flatten().min(), &mut happened)?;
        let now = Instant::now();
        for event in &happened {
            match event {
                Event::Signal(Signal::Terminate) => {
                    logd.receive(now);
                    logd.engine.tick(Instant::NEVER);
                    logd.write();
                    logd.send(now);
                    return Ok(());
                }
                Event::Signal(Signal::Changed) => logd.configure(),
                Event::Signal(Signal::Second) | Event::Timeout => {}
                Event::Ready { token: INIT, .. } => logd.receive(now),
                Event::Ready { token: RECEIVER, .. } => logd.sender.ready(now),
                Event::Ready { token, .. } if Asking::owns(*token) => logd.sender.answered(now, *token),
                Event::Ready { token, .. } if Requests::owns(*token) => {
                    let journal = &logd.journal;
                    requests.ready(&logd.turn, *token, |line| answer(journal, line));
                }
                Event::Ready { token, .. } if Shown::owns(*token) => {
                    let counts = logd.engine.counts();
                    shown.ready(&logd.turn, now, *token, || metrics::page(&counts));
                }
                Event::Ready { .. } => {}
            }
        }
        shown.tick(&logd.turn, now);
        logd.timers(Instant::now());
    }
}

/// What may be asked: `{"op":"last","name":"dnsd"}`, answered as PID 1 answers `logs`.
fn answer(journal: &Journal, line: &[u8]) -> String {
    let asked: Value = serde_json::from_slice(line).unwrap_or_default();
    let word = |key: &str| asked.get(key).and_then(Value::as_str);
    let (Some("last"), Some(name)) = (word("op"), word("name")) else {
        return requests::error("the one thing that can be asked is {\"op\":\"last\",\"name\":\"SERVICE\"}");
    };
    match journal.last_boot(name) {
        Ok(lines) => {
            let each = lines
                .into_iter()
                .map(|(t_ms, line)| format!("{}\n", json!({"t_ms": t_ms, "stream": "err", "line": line})));
            each.chain(["{\"end\":true}\n".to_owned()]).collect()
        }
        Err(error) => requests::error(&error.to_string()),
    }
}

impl Logd {
    fn configure(&mut self) {
        let target = match config::read(self.house.root()) {
            Ok(target) => {
                self.complaint.clear();
                target
            }
            Err(words) => {
                if self.complaint != words {
                    log::error!("{words}");
                    self.complaint = words;
                }
                None
            }
        };
        self.right = clock::is_right(self.house.root()).unwrap_or(false);
        self.sends = self.sender.to(Instant::now(), target);
        if !self.sends {
            self.engine.forget_queue();
        }
    }

    fn timers(&mut self, now: Instant) {
        if self.ask_at.is_some_and(|at| at <= now) {
            self.ask(now);
        }
        self.engine.tick(now);
        if self.engine.batch_at().is_some_and(|at| at <= now) {
            self.write();
        }
        self.send(now);
    }

    /// Asks PID 1 for every log.
    fn ask(&mut self, now: Instant) {
        self.ask_at = None;
        let asked = UnixStream::connect(self.house.path("/run/init.sock")).and_then(|mut stream| {
            stream.write_all(b"{\"op\":\"journal\"}\n")?;
            stream.set_nonblocking(true)?;
            self.turn.add(&stream, INIT, Interest::READ)?;
            Ok(stream)
        });
        match asked {
            Ok(stream) => (self.init, self.received, self.in_vain) = (Some(stream), Vec::new(), false),
            Err(error) => {
                if !std::mem::replace(&mut self.in_vain, true) {
                    log::warn!("/run/init.sock: {error}");
                }
                self.ask_at = Some(now + AGAIN);
            }
        }
    }

    /// What PID 1 has sent.
    fn receive(&mut self, now: Instant) {
        let Some(stream) = &mut self.init else { return };
        let mut bytes = [0; 16 << 10];
        let count = match stream.read(&mut bytes) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => 0,
        };
        if count == 0 || self.received.len() > LONGEST {
            // It begins anew, with all that PID 1 has: better twice than not at all.
            (self.init, self.ask_at) = (None, Some(now + AGAIN));
            return;
        }
        self.received.extend_from_slice(bytes.get(..count).unwrap_or_default());
        while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            if let Ok(line) = serde_json::from_slice::<Line>(&line) {
                self.engine.take(now, line);
            }
        }
        if !self.sends {
            self.engine.forget_queue();
        }
    }

    /// Writes what has come since the last time.
    fn write(&mut self) {
        let (lines, lost) = self.engine.batch();
        if lines.is_empty() {
            return;
        }
        let done = self.journal.append(&lines, lost, WallTime::now(), Instant::now());
        match done {
            Ok(()) => self.refused = false,
            // This line is in the next batch; it is said once.
            Err(error) if !std::mem::replace(&mut self.refused, true) => {
                log::error!("/perm/logd/journal: {error}: what was said meanwhile is not kept");
            }
            Err(_) => {}
        }
    }

    fn send(&mut self, now: Instant) {
        let since_boot = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        let zero = self.right.then(|| WallTime::now().shifted(-since_boot));
        let hostname = self.hostname.clone();
        let front = |engine: &mut Engine| engine.front().map(|line| syslog::message(line, &hostname, zero));
        self.sender.turn(&self.turn, now, &mut self.engine, front, Engine::sent);
    }
}
