//! What the services say of themselves, asked side by side and not waited for longer than a moment: who is silent is said to be.
use super::gather;
use crate::house::House;
use crate::house::question::Question;
use netstack::event::{Interest, Loop, Token};
use netstack::time::Instant;
use serde_json::Value;
use std::net::TcpStream;
use std::time::Duration;

/// The first token of a look; as many as there are [`Whom`].
const FIRST: u64 = 256;
/// The longest that a page waits.
const PATIENCE: Duration = Duration::from_millis(500);
/// For so long what was said counts as new.
pub const FRESH: Duration = Duration::from_secs(2);

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// A line on a socket.
    Socket(&'static str, &'static str),
    /// A page of metrics on loopback.
    Page(u16),
}

/// Each by its name, in the order of [`Said`]'s fields.
const ASKED: [(&str, Whom); 7] = [
    ("init", Whom::Socket("/run/init.sock", "{\"op\":\"list\"}\n")),
    ("diagd", Whom::Socket("/run/diagd.sock", "{\"op\":\"last\"}\n")),
    ("configd", Whom::Socket("/run/configd.sock", "{\"op\":\"state\"}\n")),
    ("netconfigd", Whom::Page(8066)),
    ("dnsd", Whom::Page(8053)),
    ("listd", Whom::Page(8057)),
    ("names", Whom::Socket("/run/dnsd.sock", "{\"op\":\"names\"}\n")),
];

/// What was said.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// PID 1's list.
    pub init: Value,
    /// diagd's last verdict.
    pub diagd: Value,
    /// What is on trial.
    pub configd: Value,
    /// netconfigd's metrics.
    pub netconfigd: String,
    /// dnsd's.
    pub dnsd: String,
    /// listd's.
    pub listd: String,
    /// The names that dnsd is asked most.
    pub names: Value,
    /// Who has said nothing.
    pub missing: Vec<&'static str>,
}

impl Said {
    /// Before anybody was asked.
    pub const fn nothing() -> Said {
        let (init, diagd, configd, names) = (Value::Null, Value::Null, Value::Null, Value::Null);
        Said {
            init,
            diagd,
            configd,
            netconfigd: String::new(),
            dnsd: String::new(),
            listd: String::new(),
            names,
            missing: Vec::new(),
        }
    }
}

#[derive(Debug)]
enum Source {
    Line(Question),
    Page(TcpStream, Vec<u8>),
    Said(Vec<u8>),
    Silent,
}

/// A look that is under way.
#[derive(Debug)]
pub struct Looking {
    /// When it ends, whoever is missing.
    pub deadline: Instant,
    sources: Vec<Source>,
}

impl Looking {
    /// Whether a token is one of a look's.
    pub fn owns(token: Token) -> bool {
        (FIRST..FIRST + ASKED.len() as u64).contains(&token.0)
    }

    /// Asks everybody.
    pub fn begin(house: &House, turn: &Loop, now: Instant) -> Looking {
        let ask = |(at, (_, whom)): (usize, &(&str, Whom))| {
            let token = Token(FIRST + at as u64);
            match whom {
                Whom::Socket(path, line) => {
                    let asked = Question::ask(&house.path(path), line).ok();
                    let asked = asked.filter(|asked| turn.add(&asked.stream, token, Interest::READ).is_ok());
                    asked.map_or(Source::Silent, Source::Line)
                }
                Whom::Page(port) => {
                    let asked = gather::ask(*port);
                    let asked = asked.filter(|asked| turn.add(asked, token, Interest::READ).is_ok());
                    asked.map_or(Source::Silent, |asked| Source::Page(asked, Vec::new()))
                }
            }
        };
        Looking { deadline: now + PATIENCE, sources: ASKED.iter().enumerate().map(ask).collect() }
    }

    /// One of its tokens is ready.
    pub fn ready(&mut self, token: Token) {
        let at = token.0.checked_sub(FIRST).and_then(|at| usize::try_from(at).ok());
        let Some(source) = at.and_then(|at| self.sources.get_mut(at)) else { return };
        let next = match source {
            Source::Line(question) => {
                let mut lines = Vec::new();
                let open = question.read(&mut lines);
                match lines.into_iter().next() {
                    Some(line) => Some(Source::Said(line)),
                    None => (!open.is_ok_and(|open| open)).then_some(Source::Silent),
                }
            }
            Source::Page(stream, page) => match gather::read(stream, page) {
                Ok(false) => None,
                Ok(true) => Some(gather::body(page).map_or(Source::Silent, Source::Said)),
                Err(_) => Some(Source::Silent),
            },
            Source::Said(_) | Source::Silent => None,
        };
        if let Some(next) = next {
            *source = next;
        }
    }

    /// Whether nobody is missing.
    pub fn is_whole(&self) -> bool {
        self.sources.iter().all(|source| matches!(source, Source::Said(_) | Source::Silent))
    }

    /// What was said.
    pub fn said(self) -> Said {
        let mut said = Said::default();
        for ((name, _), source) in ASKED.iter().zip(self.sources) {
            let Source::Said(bytes) = source else {
                // Who it is says its page already.
                if *name != "names" {
                    said.missing.push(name);
                }
                continue;
            };
            let json = || serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
            let text = || String::from_utf8_lossy(&bytes).into_owned();
            match *name {
                "init" => said.init = json(),
                "diagd" => said.diagd = json(),
                "configd" => said.configd = json(),
                "netconfigd" => said.netconfigd = text(),
                "names" => said.names = json(),
                "listd" => said.listd = text(),
                _ => said.dnsd = text(),
            }
        }
        said
    }
}
