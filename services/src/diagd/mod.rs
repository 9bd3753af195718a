//! diagd: whether the internet works, and if not, why, in one sentence.
//!
//! Once a minute, and whenever somebody asks, it asks a round of questions side by side, which is over within 2.5 s: echoes
//! (ICMP, RFC 792; ICMPv6, RFC 4443) of the gateway and of hosts on the internet, one as large as the uplink's MTU; names
//! of each name server and of dnsd; connections; a page that is the same everywhere but behind a captive portal. To these it
//! adds what the router knows by itself: carrier, leases, routes, the clock, `/perm`, memory, the table of connections,
//! duplex, damaged packets. `engine/rules.rs` is a table of rules in the order of cause; the first of those that weigh most
//! speaks for all, the same on the page, in JSON, at the console and in the log, where it stands once.
//!
//! On :7733 of every private address: router7's graph at `/`, `/health.json` and `/metrics`. `/run/diagd.sock` takes
//! `diag`, and from the console `ping`, `trace` and `dns`, one at a time, so that the console needs no right for them.
//!
//! Echoes go out by the kernel's ping sockets, which `net.ipv4.ping_group_range` opens to diagd's group alone: no
//! CAP_NET_RAW. Reads interfaces.json, leases, dnsd's and its own `config.json`. Writes nothing.
mod config;
mod engine;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod look;
mod page;
mod sockets;
#[cfg(test)]
mod tests;

use crate::house::private;
use crate::house::requests::{Reply, Requests, error};
use crate::house::{Failure, House};
use crate::perm::json::Refusal;
use crate::perm::{WallTime, file, schedule};
use crate::web::{Reply as Shown, Response, Server};
use config::{Flags, Settings};
use engine::facts::{Facts, Local};
use engine::round::Round;
use engine::rules::Level;
use engine::tools::{Tool, Wanted};
use engine::{Engine, Verdict};
use jiff::tz::TimeZone;
use netstack::event::{Event, Interest, Loop, Signal, Token};
use netstack::netlink::{Monitor, Netlink};
use netstack::time::Instant;
use page::Page;
use sockets::Sockets;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

const MONITOR: Token = Token(0);
/// First tokens of the round's and of the tool's sockets.
const ROUND: u64 = 1 << 20;
const TOOL: u64 = 1 << 21;
/// From round to round.
const MINUTE: Duration = Duration::from_secs(60);
/// After the start, and after a change that may mean something else now: the others have to act on it first.
const SOON: Duration = Duration::from_secs(5);
/// A verdict that is no older is given again.
const FRESH: Duration = Duration::from_secs(3);
/// A tool that nobody has ended ends.
const LONGEST: Duration = Duration::from_secs(120);

/// Who waits for a verdict.
enum Waiting {
    Web(Token, Page),
    Socket(u64),
}

struct Running {
    round: Round,
    sockets: Sockets,
    local: Local,
}

struct Working {
    tool: Tool,
    sockets: Sockets,
    request: u64,
    until: Instant,
}

struct Diagd {
    house: House,
    flags: Flags,
    settings: Settings,
    zone: TimeZone,
    netlink: Netlink,
    turn: Loop,
    web: Server,
    requests: Requests,
    engine: Engine,
    round: Option<Running>,
    tool: Option<Working>,
    waiting: Vec<Waiting>,
    verdict: Option<(Instant, Verdict)>,
    next: Instant,
}

/// Runs the service.
///
/// # Errors
/// When a flag is not understood, or the kernel gives no descriptor.
pub fn run(house: House) -> Result<(), Failure> {
    let flags = Flags::read(&house)?;
    let turn = Loop::new()?;
    // Before the first look: nothing that happens after it is missed.
    let mut monitor = Monitor::open().map_err(Failure::during("news of interfaces"))?;
    turn.add(&monitor, MONITOR, Interest::READ)?;
    let requests = Requests::open(&house, &turn, "diagd")?;
    let netlink = Netlink::route().map_err(Failure::during("rtnetlink"))?;
    let mut diagd = Diagd {
        house,
        flags,
        settings: Settings::default(),
        zone: TimeZone::UTC,
        netlink,
        turn,
        web: Server::default(),
        requests,
        engine: Engine::default(),
        round: None,
        tool: None,
        waiting: Vec::new(),
        verdict: None,
        next: Instant::now() + SOON,
    };
    diagd.read();
    diagd.follow();
    diagd.house.ready();
    let mut happened = Vec::new();
    loop {
        let deadline = diagd.deadline();
        diagd.turn.wait(Some(deadline), &mut happened)?;
        let now = Instant::now();
        for event in &happened {
            match event {
                Event::Signal(Signal::Terminate) => return Ok(()),
                Event::Signal(Signal::Changed) => {
                    diagd.read();
                    diagd.soon(now);
                }
                Event::Signal(Signal::Second) | Event::Timeout => {}
                Event::Ready { token: MONITOR, .. } => {
                    if monitor.drain().any() && diagd.follow() {
                        diagd.soon(now);
                    }
                }
                Event::Ready { token, .. } => diagd.ready(now, *token),
            }
        }
        diagd.step(Instant::now());
    }
}

/// Whether `config.json` can be used.
///
/// # Errors
/// Names file, line, field and value.
pub fn check(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    Settings::parse(path, bytes).map(drop)
}

impl Diagd {
    /// What a person has said. What is refused leaves in force what was read before.
    fn read(&mut self) {
        match Settings::read(self.house.root()) {
            Ok(settings) => self.settings = settings,
            Err(refusal) => log::warn!("{refusal}"),
        }
        // netconfigd says what is wrong with it.
        self.zone = schedule::zone(self.house.root()).unwrap_or(TimeZone::UTC);
    }

    /// Listens where the page is to be seen, and counts how often the uplink's carrier has changed; says whether it has.
    fn follow(&mut self) -> bool {
        let (Ok(links), Ok(addresses)) = (self.netlink.links(), self.netlink.addresses()) else { return false };
        let now = Instant::now();
        self.web.follow(&self.turn, now, &private::served(&links, &addresses, page::PORT));
        let cable = look::cable(&links, &self.flags.interface);
        cable.is_some_and(|cable| self.engine.carrier(now, cable.carrier_changes))
    }

    fn soon(&mut self, now: Instant) {
        self.next = self.next.min(now + SOON);
    }

    fn deadline(&self) -> Instant {
        let round = self.round.as_ref().map(|running| running.round.deadline());
        let tool = self.tool.as_ref().map(|working| working.tool.deadline().min(working.until));
        let next = Some(self.next).filter(|_| self.round.is_none());
        round.into_iter().chain(tool).chain(next).chain(self.web.deadline()).min().unwrap_or(self.next)
    }

    fn ready(&mut self, now: Instant, token: Token) {
        if let Some(running) = self.round.as_mut().filter(|running| running.sockets.owns(token)) {
            for (number, outcome) in running.sockets.ready(&self.turn, token) {
                running.round.heard(now, number, outcome);
            }
        } else if let Some(working) = self.tool.as_mut().filter(|working| working.sockets.owns(token)) {
            for (number, outcome) in working.sockets.ready(&self.turn, token) {
                working.tool.heard(now, number, outcome);
            }
        } else if Requests::owns(token) {
            self.request(now, token);
        } else if Server::owns(token) {
            self.show(now, token);
        }
    }

    fn fresh(&self, now: Instant) -> Option<&Verdict> {
        self.verdict.as_ref().filter(|(at, _)| now - *at <= FRESH).map(|(_, verdict)| verdict)
    }

    fn show(&mut self, now: Instant, token: Token) {
        let verdict = self.verdict.as_ref().filter(|(at, _)| now - *at <= FRESH).map(|(_, verdict)| verdict);
        let mut wanted = None;
        self.web.ready(&self.turn, now, token, |request| match (Page::of(&request.path), verdict) {
            (None, _) => Shown::from(Response::text(404, "there are /, /health.json and /metrics\n")),
            (Some(page), Some(verdict)) => page.show(verdict).into(),
            (Some(page), None) => {
                wanted = Some(page);
                Shown::Later
            }
        });
        if let Some(page) = wanted {
            self.waiting.push(Waiting::Web(token, page));
            self.begin(now);
        }
    }

    fn request(&mut self, now: Instant, token: Token) {
        let fresh = self.fresh(now).map(page::json);
        let busy = self.tool.is_some();
        let last = self.verdict.as_ref().map(|(_, verdict)| page::json(verdict));
        let mut wanted = None;
        self.requests.take(&self.turn, token, |request, line| match (serde_json::from_slice(line), &fresh) {
            (Err(wrong), _) => Reply::Now(error(&wrong.to_string()).into()),
            (Ok(Wanted::Diag), Some(json)) => Reply::Now(json.clone().into()),
            (Ok(Wanted::Last), _) => {
                Reply::Now(last.clone().unwrap_or_else(|| error("the first look is not over yet")).into())
            }
            (Ok(Wanted::Ping { .. } | Wanted::Trace { .. } | Wanted::Dns { .. }), _) if busy => {
                Reply::Now(error("somebody else's ping, trace or dns is not over yet").into())
            }
            (Ok(asked), _) => {
                wanted = Some((request, asked));
                Reply::Later
            }
        });
        match wanted {
            None => {}
            Some((request, Wanted::Diag)) => {
                self.waiting.push(Waiting::Socket(request));
                self.begin(now);
            }
            Some((request, asked)) => self.work(now, request, asked),
        }
    }

    fn work(&mut self, now: Instant, request: u64, asked: Wanted) {
        let look = look::look(&self.house, &mut self.netlink, &self.flags, &self.settings);
        let servers = look.map(|look| look.plan.servers).unwrap_or_default();
        match Tool::new(now, asked, &servers) {
            Ok(tool) => {
                self.tool = Some(Working { tool, sockets: Sockets::new(TOOL), request, until: now + LONGEST });
            }
            Err(words) => {
                self.requests.say(request, &error(&words));
                self.requests.end(request);
            }
        }
    }

    /// Begins a round, unless one runs.
    fn begin(&mut self, now: Instant) {
        if self.round.is_some() {
            return;
        }
        let look = look::look(&self.house, &mut self.netlink, &self.flags, &self.settings).unwrap_or_else(|error| {
            log::warn!("the kernel does not tell its interfaces: {error}");
            look::Look::default()
        });
        let round = Round::new(now, look.plan);
        self.round = Some(Running { round, sockets: Sockets::new(ROUND), local: look.local });
    }

    /// What is due by now.
    fn step(&mut self, now: Instant) {
        if self.next <= now {
            self.begin(now);
        }
        if self.web.wants_follow(now) {
            self.follow();
        }
        self.web.tick(now);
        if let Some(running) = &mut self.round {
            let Running { round, sockets, .. } = running;
            for (number, ask) in round.turn(now) {
                if let Some(outcome) = sockets.ask(&self.turn, number, &ask) {
                    round.heard(now, number, outcome);
                }
            }
            if round.is_over(now) {
                self.judge(now);
            }
        }
        self.work_on(now);
    }

    fn work_on(&mut self, now: Instant) {
        let Some(Working { tool, sockets, request, until }) = &mut self.tool else { return };
        let (request, until) = (*request, *until);
        for (number, ask) in tool.turn(now) {
            if let Some(outcome) = sockets.ask(&self.turn, number, &ask) {
                tool.heard(now, number, outcome);
            }
        }
        let lines: String =
            tool.lines().iter().map(|line| format!("{}\n", serde_json::json!({"line": line}))).collect();
        let over = tool.is_over() || now >= until;
        let listens = self.requests.waits(request) && (lines.is_empty() || self.requests.say(request, &lines));
        if over || !listens {
            self.requests.say(request, "{\"end\":true}\n");
            self.requests.end(request);
            self.tool = None;
        }
    }

    /// Shows who watches how the internet is; the file lies in memory.
    fn tell(&mut self, verdict: &Verdict) {
        let said = serde_json::json!({"level": verdict.level.word(), "sentence": verdict.sentence});
        match file::replace(&self.house.path(rights::VERDICT), said.to_string().as_bytes()) {
            Ok(true) => self.house.changed(rights::VERDICT),
            Ok(false) => {}
            Err(error) => log::warn!("{}: {error}", rights::VERDICT),
        }
    }

    /// The round is over.
    fn judge(&mut self, now: Instant) {
        let Some(Running { round, mut local, .. }) = self.round.take() else { return };
        let index = local.uplink.as_ref().map(|uplink| uplink.index).unwrap_or_default();
        local.neighbour4 = look::neighbour(&mut self.netlink, index, local.gateway4.map(IpAddr::V4));
        local.neighbour6 = look::neighbour(&mut self.netlink, index, local.gateway6.map(IpAddr::V6));
        let facts = Facts { local, outside: round.found() };
        let verdict = self.engine.judge(now, WallTime::now(), &self.zone, &facts);
        if self.engine.is_news(&verdict.sentence) {
            match verdict.level {
                Level::Fine | Level::Note => log::info!("{}", verdict.sentence),
                Level::Trouble | Level::Broken => log::warn!("{}", verdict.sentence),
            }
        }
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting {
                Waiting::Web(token, page) => self.web.answer(&self.turn, now, token, page.show(&verdict)),
                Waiting::Socket(request) => {
                    self.requests.say(request, &page::json(&verdict));
                    self.requests.end(request);
                }
            }
        }
        self.tell(&verdict);
        self.verdict = Some((now, verdict));
        self.next = now + MINUTE;
    }
}
