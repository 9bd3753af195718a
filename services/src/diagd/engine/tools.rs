//! What a person asks for at the console: `ping`, `trace`, `dns`. A line for each answer; each ends by itself. No socket and
//! no clock: `(now, outcome) -> asks and lines`.
use super::round::{Ask, HOPS, HOUSE, Outcome};
use crate::diagd::config::is_host;
use netstack::time::Instant;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long an answer is waited for; also the time from echo to echo.
const SECOND: Duration = Duration::from_secs(1);
/// The same for a name.
const NAME: Duration = Duration::from_secs(4);
const ECHOES: u8 = 5;
/// The longest way, and how many silent hops end it.
const MOST_HOPS: u8 = 30;
const SILENT: u8 = 5;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Wanted {
    /// The verdict.
    Diag,
    /// The verdict that there is, however old; nothing is asked for it.
    Last,
    /// Echoes of a host.
    Ping {
        /// Its name or address.
        target: String,
    },
    /// The routers on the way to it.
    Trace {
        /// Its name or address.
        target: String,
    },
    /// The addresses of a name, as each name server has them.
    Dns {
        /// The name.
        name: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ping,
    Trace,
    Dns,
}

#[derive(Debug)]
struct Open {
    sent: Instant,
    until: Instant,
    /// Who is asked what, where several are.
    label: String,
}

/// A tool at work.
#[derive(Debug)]
pub struct Tool {
    kind: Kind,
    target: String,
    to: Option<IpAddr>,
    asks: Vec<(Ask, String)>,
    open: BTreeMap<u32, Open>,
    number: u32,
    /// Echoes sent, or hops.
    count: u8,
    back: u8,
    silent: u8,
    at: Instant,
    asked_ipv6: bool,
    lines: Vec<String>,
    over: bool,
}

impl Tool {
    /// Begins; `servers` are those that dnsd asks.
    ///
    /// # Errors
    /// In words, when the target is neither a name nor an address.
    pub fn new(now: Instant, wanted: Wanted, servers: &[SocketAddr]) -> Result<Tool, String> {
        let (kind, target) = match wanted {
            Wanted::Ping { target } => (Kind::Ping, target),
            Wanted::Trace { target } => (Kind::Trace, target),
            Wanted::Dns { name } => (Kind::Dns, name),
            Wanted::Diag | Wanted::Last => return Err("the verdict is no tool".to_owned()),
        };
        let to: Option<IpAddr> = target.parse().ok().filter(|_| kind != Kind::Dns);
        if to.is_none() && !is_host(&target) {
            return Err(format!("{target:?} is neither a name nor an address"));
        }
        let mut asks = Vec::new();
        let query = |server, ipv6| Ask::Query { server, name: target.clone(), ipv6 };
        match (kind, to) {
            (Kind::Dns, _) => {
                for server in std::iter::once(&HOUSE).chain(servers) {
                    let who = if *server == HOUSE { "this router".to_owned() } else { server.ip().to_string() };
                    asks.push((query(*server, false), format!("{who:<24}A    ")));
                    asks.push((query(*server, true), format!("{who:<24}AAAA ")));
                }
            }
            (_, None) => asks.push((query(HOUSE, false), String::new())),
            (_, Some(_)) => {}
        }
        let (open, lines) = (BTreeMap::new(), Vec::new());
        let (number, count, back, silent, asked_ipv6, over) = (0, 0, 0, 0, false, false);
        Ok(Tool { kind, target, to, asks, open, number, count, back, silent, at: now, asked_ipv6, lines, over })
    }

    /// What is to be asked now, each with its number.
    pub fn turn(&mut self, now: Instant) -> Vec<(u32, Ask)> {
        let late: Vec<u32> =
            self.open.iter().filter(|(_, open)| open.until <= now).map(|(number, _)| *number).collect();
        for number in late {
            self.heard(now, number, Outcome::Failed("no answer".to_owned()));
        }
        if let Some(to) = self.to
            && !self.over
            && self.at <= now
            && (self.kind == Kind::Ping || self.open.is_empty())
        {
            self.echo(now, to);
        }
        let patience = if self.to.is_some() { SECOND } else { NAME };
        let mut asks = Vec::new();
        for (ask, label) in std::mem::take(&mut self.asks) {
            self.number += 1;
            self.open.insert(self.number, Open { sent: now, until: now + patience, label });
            asks.push((self.number, ask));
        }
        asks
    }

    fn echo(&mut self, now: Instant, to: IpAddr) {
        let most = if self.kind == Kind::Ping { ECHOES } else { MOST_HOPS };
        if self.count < most {
            self.count += 1;
            self.at = now + if self.kind == Kind::Ping { SECOND } else { Duration::ZERO };
            let hops = if self.kind == Kind::Ping { HOPS } else { self.count };
            self.asks.push((Ask::Echo { to: SocketAddr::new(to, 0), size: None, hops }, String::new()));
        } else if self.open.is_empty() {
            self.end();
        }
    }

    fn end(&mut self) {
        if self.kind == Kind::Ping && !self.over {
            self.lines.push(format!("{} of {} came back", self.back, self.count));
        }
        self.over = true;
        self.open.clear();
    }

    /// When [`Tool::turn`] is wanted.
    pub fn deadline(&self) -> Instant {
        let first = self.open.values().map(|open| open.until).min();
        let echoes = self.to.is_some() && (self.kind == Kind::Ping || self.open.is_empty()) && self.count < ECHOES;
        first.into_iter().chain(echoes.then_some(self.at)).min().unwrap_or(self.at)
    }

    /// Whether there is no more to come.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The lines that have come since the last time.
    pub fn lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// What came of an ask.
    pub fn heard(&mut self, now: Instant, number: u32, outcome: Outcome) {
        let Some(open) = self.open.remove(&number) else { return };
        let took = format!("{:.1} ms", (now - open.sent).as_secs_f64() * 1_000.0);
        match (self.kind, self.to) {
            (Kind::Dns, _) => {
                let words = match outcome {
                    Outcome::Addresses(list) if list.is_empty() => format!("none, {took}"),
                    Outcome::Addresses(list) => {
                        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
                        format!("{}, {took}", list.join(" "))
                    }
                    Outcome::NoSuchName => format!("there is no such name, {took}"),
                    Outcome::Failed(why) => why,
                    _ => return,
                };
                self.lines.push(format!("{}{words}", open.label));
                self.over = self.open.is_empty() && self.asks.is_empty();
            }
            (_, None) => self.resolved(outcome),
            (Kind::Ping, _) => {
                self.back += u8::from(matches!(outcome, Outcome::Echo(_)));
                self.lines.push(match outcome {
                    Outcome::Echo(from) => format!("{from} answers after {took}"),
                    Outcome::Failed(why) => why,
                    Outcome::Expired(from) => format!("its hops were used up at {from}"),
                    other => format!("{other:?}"),
                });
            }
            (Kind::Trace, _) => self.hop(&took, outcome),
        }
    }

    fn hop(&mut self, took: &str, outcome: Outcome) {
        let number = self.count;
        let (silent, last) = match &outcome {
            Outcome::Echo(_) => (0, true),
            Outcome::Failed(why) if why == "no answer" => (self.silent + 1, false),
            Outcome::Failed(_) => (0, true),
            _ => (0, false),
        };
        self.silent = silent;
        self.lines.push(match outcome {
            Outcome::Echo(from) | Outcome::Expired(from) => format!("{number:>2}  {from}  {took}"),
            Outcome::Failed(why) => format!("{number:>2}  {why}"),
            other => format!("{number:>2}  {other:?}"),
        });
        if last || silent >= SILENT {
            self.end();
        }
    }

    fn resolved(&mut self, outcome: Outcome) {
        let target = &self.target;
        match outcome {
            Outcome::Addresses(list) if !list.is_empty() => {
                self.to = list.first().copied();
                self.lines.extend(self.to.map(|to| format!("{target} is {to}")));
            }
            Outcome::Addresses(_) if !self.asked_ipv6 => {
                self.asked_ipv6 = true;
                self.asks.push((Ask::Query { server: HOUSE, name: target.clone(), ipv6: true }, String::new()));
            }
            Outcome::Addresses(_) | Outcome::NoSuchName => self.give_up(format!("{target} has no address")),
            Outcome::Failed(why) => self.give_up(format!("{target}: {why} from the router's own name server")),
            other => self.give_up(format!("{target}: {other:?}")),
        }
    }

    fn give_up(&mut self, words: String) {
        self.lines.push(words);
        self.over = true;
    }
}
