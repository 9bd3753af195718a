//! dhcp4d: the DHCPv4 server of every LAN (RFC 2131, RFC 2132), with router7's rules; and, in `six`, that of DHCPv6
//! (RFC 9915), port 547.
//!
//! It serves the LANs of interfaces.json that have an IPv4 address (`-interface` narrows that to one), each with its
//! address and mask, and networks behind relays (RFC 3046, RFC 3527). In a /24 it gives 230 addresses after its own, as
//! router7; leases of 20 minutes, an hour for consoles that sleep through less. `/perm/dhcp4d/config.json` may say
//! otherwise, keep addresses for devices, and fill options 2, 6, 15, 26, 42, 43, 66, 67, 108 (RFC 8925), 114 (RFC 8910),
//! 119 (RFC 3397) and 121 (RFC 3442).
//!
//! A client is known by its identifier (RFC 4361, RFC 6842) or its hardware address. It keeps its address, finds it again
//! after its lease has run out, and gets any free address that it asks for by REQUEST. An offered address is held for its
//! client for ten seconds. Before an address that was not seen lately is offered, the LAN is asked by ARP who has it; the
//! answer is late by less than 100 ms. Records of leases that have run out are reused when no unused address is left, so
//! the pool never stops; a record without expiry is a static lease and stands outside all of this. DECLINE keeps the
//! address from everybody for ten minutes, RELEASE ends the lease, INFORM is answered, rapid commit (RFC 4039) as well.
//!
//! **No acknowledged lease is lost.** Every message of a turn is decided first, then its records are appended to
//! `/perm/dhcp4d/leases.log` and synced, once for all of them and for those of the next 20 ms, and only then do the replies
//! leave. leases.json, router7's
//! file, is at most a second behind (longer where there are thousands) and equal after an orderly stop. When the disk refuses, leases are given from memory,
//! for five minutes at a time: it is said aloud and tried again.
//!
//! Leases run on boot time. The files have wall time, computed at each write: a clock that is set ends no lease.
//!
//! Without an interfaces.json lan0 is a guess: it is asked whether another server is there, and left to that one.
//!
//! Reads `/perm/interfaces.json`, `/perm/dhcp4d/config.json`, of `/perm/radvd/config.json` whether PREF64 is announced, and
//! once at start leases.log and leases.json; for DHCPv6 `/perm/dhcp6/lease.json` and the LAN's own prefix
//! (`/perm/radvd/ula.json`, `prefixes.json`); for the status page `/run/deviced/devices.json`. Writes leases.log, for
//! deviced, and leases.json; and once `/perm/dhcp4d/duid`.
//!
//! Port 67: messages come in by a UDP socket bound to the interface, which works before the interface has an address.
//! Replies leave by a packet socket with headers of our own, because a client without an address answers no ARP;
//! unicast where the client can take it, as broadcasts are slow and get lost on Wi-Fi. Port 8067 on private addresses:
//! `/` shows the leases, `/lease/NAME` one of them, `/metrics` counts; a form gives a device a name (`/sethostname`).
//!
//! The interfaces are followed by name: they may come late, vanish and come again. `SIGUSR1` reads the files again.
mod background;
mod config;
mod engine;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod journal;
mod lan;
mod message;
mod metrics;
mod page;
mod recovery;
mod six;
mod snapshot;
#[cfg(test)]
mod tests;
mod written;

use crate::house::private;
use crate::house::rarely::Rarely;
use crate::house::{Failure, House};
use crate::metrics::KIND;
use crate::perm::stamp::Clock;
use crate::perm::{Mac, WallTime, devices, duid};
use crate::web::{self, Answer, Response};
use background::{Background, Task};
use config::Config;
use engine::{Engine, Output, Reply};
use journal::Journal;
use lan::{Lan, TOKENS};
use message::{Kind, Query};
use metrics::Counts;
use netstack::event::{Event, Interest, Loop, Signal, Token};
use netstack::netlink::{Monitor, Netlink};
use netstack::time::Instant;
use snapshot::Snapshot;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::time::Duration;

pub use config::check;

const MONITOR: Token = Token(0);
const DISK: Token = Token(1);
/// The first token of the first LAN's sockets.
const FIRST: u64 = 16;
const REOPEN: Duration = Duration::from_secs(5);
/// Messages of a LAN decided in one turn: they share one commit.
const MOST_MESSAGES: usize = 128;
/// A disk that has just been synced is synced again after this: what is promised meanwhile shares that. Who comes alone
/// waits for nothing.
const TOGETHER: Duration = Duration::from_millis(20);
/// Lines about leases in a second.
const MOST_NEWS: u32 = 20;
/// How often the log's reader is told at most.
const TELL: Duration = Duration::from_millis(200);

struct Server {
    house: House,
    config: Config,
    events: Loop,
    netlink: Netlink,
    /// LANs whose interface is there.
    lans: Vec<Lan>,
    /// The number of the next LAN's tokens.
    next: u64,
    /// Nobody has written an interfaces.json.
    guessed: bool,
    /// What DHCPv6 says on each LAN by the files.
    six: Vec<six::Net>,
    engine: Engine,
    journal: Journal,
    snapshot: Snapshot,
    background: Background,
    web: web::Server,
    token: page::Token,
    counts: Counts,
    lost: Rarely,
    complaints: Rarely,
    news: News,
    /// Replies that wait until what they promise is on the disk, when that is done, and when it was done last.
    promised: Vec<Reply>,
    promised6: Vec<six::message::Reply>,
    commit_at: Option<Instant>,
    /// Leases of leases.json are among it.
    behind: bool,
    committed: Instant,
    /// When sockets that could not be opened are tried again.
    reopen: Option<Instant>,
    /// When the log's reader is told of it, and when it was told last.
    tell: Option<Instant>,
    told: Instant,
    /// LANs that are not there were named.
    waiting: Vec<String>,
}

/// Runs the service.
///
/// # Errors
/// When a flag is wrong or the kernel gives no descriptor; never for want of an interface or an address.
pub fn run(house: House) -> Result<(), Failure> {
    let events = Loop::new().map_err(Failure::during("event loop"))?;
    let mut config = Config::read(&house)?;
    let mut monitor = Monitor::open().map_err(Failure::during("rtnetlink"))?;
    events.add(&monitor, MONITOR, Interest::READ).map_err(Failure::during("rtnetlink"))?;
    let netlink = Netlink::route().map_err(Failure::during("rtnetlink"))?;
    let background = Background::open(&events, DISK).map_err(Failure::during("a pair of sockets"))?;
    let clock = Clock::read();
    let mut engine = Engine::default();
    let wanted = config.wanted(&house);
    engine.serve(wanted.nets);
    engine.six.serve(wanted.six.clone());
    let (log, json) = (house.path(rights::LEASE_LOG), house.path(rights::LEASES));
    let (journal, stale) = recovery::recover(&log, &json, &clock, &mut engine);
    let mut snapshot = Snapshot::new(json);
    if stale && (engine.len() > 0 || journal.has_file()) {
        snapshot.touch(clock.now, 0);
    }
    let mut server = Server {
        house,
        config,
        events,
        netlink,
        lans: Vec::new(),
        next: FIRST,
        guessed: wanted.guessed,
        six: wanted.six,
        engine,
        journal,
        snapshot,
        background,
        web: web::Server::default(),
        token: page::Token::new(),
        counts: Counts::default(),
        lost: Rarely::default(),
        complaints: Rarely::default(),
        news: News::default(),
        promised: Vec::new(),
        promised6: Vec::new(),
        commit_at: None,
        behind: false,
        committed: Instant::default(),
        reopen: None,
        tell: None,
        told: Instant::default(),
        waiting: Vec::new(),
    };
    if server.engine.len() > 0 && !server.journal.has_file() {
        // Who follows the log knows nothing of leases that only the file has: a router7's, or a spare copy's.
        server.journal.commit(clock.now, &server.engine);
        server.tell = Some(clock.now);
    }
    server.show();
    server.follow();
    let mut happened = Vec::new();
    loop {
        let deadline = server.deadline();
        server.events.wait(deadline, &mut happened).map_err(Failure::during("event loop"))?;
        let now = Instant::now();
        let mut output = Output::default();
        for event in &happened {
            match event {
                Event::Ready { token: MONITOR, .. } => {
                    let changes = monitor.drain();
                    if changes.links {
                        server.follow();
                    }
                    server.show();
                }
                Event::Ready { token: DISK, .. } => server.disk(now),
                Event::Ready { token, .. } if web::Server::owns(*token) => server.answer(now, *token),
                Event::Ready { token, .. } => server.receive(now, token.0, &mut output),
                Event::Signal(Signal::Changed) => server.configure(now),
                Event::Signal(Signal::Second) | Event::Timeout => {}
                Event::Signal(Signal::Terminate) => {
                    server.commit_at = Some(now);
                    server.settle(now, output);
                    server.stop(now);
                    return Ok(());
                }
            }
        }
        server.engine.tick(now, &mut output);
        server.settle(now, output);
        server.work(now);
    }
}

impl Server {
    fn deadline(&self) -> Option<Instant> {
        if self.journal.has_work() || self.snapshot.has_work() {
            return Some(Instant::now());
        }
        let times = [
            self.engine.deadline(),
            self.commit_at,
            self.journal.deadline(),
            self.snapshot.deadline(),
            self.web.deadline(),
            self.reopen,
            self.tell,
        ];
        times.into_iter().flatten().chain(self.lans.iter().filter_map(Lan::deadline)).min()
    }

    fn configure(&mut self, now: Instant) {
        let wanted = self.config.wanted(&self.house);
        self.guessed = wanted.guessed;
        self.six = wanted.six;
        if self.engine.serve(wanted.nets) {
            for settings in self.engine.settings() {
                let (interface, subnet) = (&settings.interface, settings.subnet);
                log::info!("{interface}: now {} with mask {}", subnet.server(), subnet.mask());
            }
            self.journal.restart();
            self.snapshot.restart(now);
            self.snapshot.touch(now, 0);
        }
        self.follow();
        self.show();
    }

    /// Looks at the interfaces anew: sockets for new ones.
    fn follow(&mut self) {
        self.reopen = None;
        let now = Instant::now();
        let links = match self.netlink.links() {
            Ok(links) => links,
            Err(error) => {
                log::error!("rtnetlink: {error}");
                self.reopen = Some(now + REOPEN);
                return;
            }
        };
        let mut wanted: Vec<String> = self.engine.settings().map(|settings| settings.interface.clone()).collect();
        wanted.extend(self.six.iter().map(|net| net.interface.clone()));
        wanted.sort();
        wanted.dedup();
        let is_there = |lan: &Lan| {
            let same = links.iter().any(|link| link.index == lan.link.index && link.name == lan.link.name);
            same && wanted.contains(&lan.link.name)
        };
        self.lans.retain(is_there);
        for name in &wanted {
            let Some(link) = links.iter().find(|link| link.name == *name) else {
                if !self.waiting.contains(name) {
                    log::info!("waiting for {name}");
                    self.waiting.push(name.clone());
                }
                continue;
            };
            self.waiting.retain(|other| other != name);
            if let Some(lan) = self.lans.iter_mut().find(|lan| lan.link.name == *name) {
                lan.follow(link.clone(), self.guessed, now, &self.events);
                continue;
            }
            match Lan::open(link.clone(), self.next, &self.events) {
                Ok(mut lan) => {
                    self.next += TOKENS;
                    log::info!("serving {name}");
                    lan.follow(link.clone(), self.guessed, now, &self.events);
                    self.lans.push(lan);
                }
                Err(error) => {
                    log::error!("{name}: {error}");
                    self.reopen = Some(now + REOPEN);
                }
            }
        }
        for lan in self.lans.iter_mut().filter(|lan| self.six.iter().any(|net| net.interface == lan.link.name)) {
            if let Err(error) = lan.open6(&self.events) {
                self.lost.warn(now, || format!("{}: no DHCPv6 yet: {error}", lan.link.name));
                self.reopen = Some(now + REOPEN);
            }
            // One for all LANs, made of the first hardware address there is (RFC 9915, section 11.4).
            if let (true, Some(mac)) = (self.engine.six.duid.is_empty(), lan.link.mac) {
                let made = || [&[0, 3, 0, 1][..], &mac].concat();
                self.engine.six.duid = duid::kept(&self.house.path("/perm/dhcp4d/duid"), made);
            }
        }
        // Others may be wanted that do not exist; the first is the one of which everybody at home hangs.
        let first = wanted.iter().find(|name| *name == "lan0").or(wanted.first());
        if first.is_none_or(|first| self.lans.iter().any(|lan| lan.link.name == *first)) {
            self.house.ready();
        }
    }

    /// Listens where the status page is to be shown, and learns by which address each LAN knows the router.
    fn show(&mut self) {
        let (Ok(links), Ok(addresses)) = (self.netlink.links(), self.netlink.addresses()) else { return };
        self.engine.six.serve(six::with_router(&self.six, &links, &addresses));
        self.web.follow(&self.events, Instant::now(), &private::served(&links, &addresses, page::PORT));
    }

    /// Takes what waits at one of a LAN's sockets.
    fn receive(&mut self, now: Instant, token: u64, output: &mut Output) {
        let Some(lan) = self.lans.iter_mut().find(|lan| (lan.token..lan.token + TOKENS).contains(&token)) else {
            return;
        };
        match token - lan.token {
            lan::ARP => {
                while let Some((mac, address)) = lan.heard() {
                    self.engine.heard(now, &lan.link.name, Mac(mac), address, output);
                }
            }
            lan::OTHER => {
                let own = self.engine.settings().find(|settings| settings.interface == lan.link.name);
                if let Some(other) = lan.other_server(own.map(|settings| settings.identifier)) {
                    log::error!(
                        "{}: {other} gives addresses here already, so this is no LAN of ours: nothing is served on it. \
                         Swap the cables of uplink and LAN, or write an interfaces.json",
                        lan.link.name
                    );
                }
            }
            lan::SIX => {
                let mut buffer = [0; 2048];
                for _ in 0..MOST_MESSAGES {
                    match lan.heard6(&mut buffer) {
                        Ok(_) if lan.ceded => {}
                        Ok((length, from)) => {
                            let query = six::message::Query::parse(&buffer[..length]);
                            self.counts.six[usize::from(query.is_none() || from.is_none())] += 1;
                            if let (Some(query), Some(from)) = (query, from) {
                                self.engine.six.receive(now, &lan.link.name, from, &query, &mut output.six);
                            }
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => {
                            self.lost.warn(now, || format!("receiving: {error}"));
                            break;
                        }
                    }
                }
            }
            _ => {
                let mut buffer = [0; 2048];
                for _ in 0..MOST_MESSAGES {
                    match lan.messages.recv(&mut buffer) {
                        Ok(_) if lan.ceded => {}
                        Ok(length) => match Query::parse(&buffer[..length]) {
                            Some(query) => {
                                self.counts.received += 1;
                                self.engine.receive(now, &lan.link.name, &query, output);
                            }
                            None => self.counts.refused += 1,
                        },
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => {
                            // The interface went down or away, of which the monitor tells more.
                            self.lost.warn(now, || format!("receiving: {error}"));
                            break;
                        }
                    }
                }
            }
        }
    }

    /// The end of a turn: what was promised goes into the log, and is told when that is on the disk. The rest is told now.
    fn settle(&mut self, now: Instant, mut output: Output) {
        if !output.changed.is_empty() || !output.six.changed.is_empty() {
            self.journal.follow_clock(now, WallTime::now());
            self.behind |= !output.changed.is_empty();
            for address in &output.changed {
                self.journal.append(&self.engine.entry(*address));
            }
            for client in &output.six.changed {
                self.journal.append(&self.engine.six.entry(client));
            }
            let (promises, others) = output.six.replies.into_iter().partition(|reply| reply.promises);
            output.six.replies = others;
            self.promised6.extend::<Vec<six::message::Reply>>(promises);
            let (promises, others) =
                output.replies.into_iter().partition(|reply: &Reply| reply.message.kind == Kind::Ack);
            output.replies = others;
            self.promised.extend::<Vec<Reply>>(promises);
            self.commit_at.get_or_insert(now.max(self.committed + TOGETHER));
        }
        if self.commit_at.is_some_and(|at| at <= now) {
            let (mut replies, mut replies6) = self.commit(now);
            output.replies.append(&mut replies);
            output.six.replies.append(&mut replies6);
        }
        for (interface, address) in &output.probes {
            let lan = self.lans.iter().find(|lan| lan.link.name == *interface);
            if let Some(Err(error)) = lan.map(|lan| lan.probe(*address)) {
                self.lost.warn(now, || format!("asking for {address}: {error}"));
            }
        }
        for reply in &output.replies {
            let Some(lan) = self.lans.iter().find(|lan| lan.link.name == reply.interface) else { continue };
            // A reply that cannot be sent is a reply lost: the client asks again.
            match lan.send(reply) {
                Ok(()) => self.counts.sent(reply.message.kind),
                Err(error) => {
                    self.counts.lost += 1;
                    self.lost.warn(now, || format!("sending: {error}"));
                }
            }
        }
        for reply in &output.six.replies {
            let Some(lan) = self.lans.iter().find(|lan| lan.link.name == reply.interface) else { continue };
            let sent = lan.send6(reply);
            self.counts.six[2 + usize::from(sent.is_err())] += 1;
            if let Err(error) = sent {
                self.lost.warn(now, || format!("sending: {error}"));
            }
        }
        for news in output.news.iter().chain(&output.six.news) {
            self.news.say(now, news);
        }
        if let Some(complaint) = output.complaint {
            self.complaints.warn(now, || complaint);
        }
    }

    /// Brings onto the disk what was promised since the last time; the replies that promise it.
    fn commit(&mut self, now: Instant) -> (Vec<Reply>, Vec<six::message::Reply>) {
        self.commit_at = None;
        let (mut replies, mut replies6) = (std::mem::take(&mut self.promised), std::mem::take(&mut self.promised6));
        if self.journal.commit(now, &self.engine) {
            self.tell.get_or_insert(now.max(self.told + TELL));
        } else {
            self.engine.shorten(now, &mut replies);
            replies6.iter_mut().for_each(|reply| reply.shorten(engine::FROM_MEMORY.as_secs() as u32));
        }
        self.committed = Instant::now();
        if std::mem::take(&mut self.behind) {
            self.snapshot.touch(now, self.engine.len());
        }
        (replies, replies6)
    }

    /// What is done between the turns.
    fn work(&mut self, now: Instant) {
        if self.reopen.is_some_and(|at| at <= now) {
            self.follow();
        }
        self.lans.iter_mut().for_each(|lan| lan.tick(now));
        if self.journal.deadline().is_some_and(|at| at <= now) {
            self.journal.commit(now, &self.engine);
        }
        if self.journal.has_work() {
            self.journal.work(&self.engine, &self.background);
        }
        self.snapshot.work(now, &self.engine, &mut self.journal, &self.background);
        if self.tell.is_some_and(|at| at <= now) {
            self.tell = None;
            self.told = now;
            self.house.changed(rights::LEASE_LOG);
        }
        self.web.tick(now);
        if self.web.wants_follow(now) {
            self.show();
        }
    }

    fn disk(&mut self, now: Instant) {
        for (task, result) in self.background.ended() {
            match task {
                Task::Log => self.journal.ended(result),
                Task::File => {
                    if self.snapshot.ended(now, result) {
                        self.house.changed(rights::LEASES);
                    } else {
                        self.journal.stays_beside();
                    }
                }
            }
        }
    }

    fn stop(&mut self, now: Instant) {
        self.journal.commit(now, &self.engine);
        while self.snapshot.is_syncing() {
            match self.background.wait() {
                Some((Task::File, result)) => {
                    if self.snapshot.ended(now, result) {
                        self.house.changed(rights::LEASES);
                    }
                }
                Some((Task::Log, result)) => self.journal.ended(result),
                None => return,
            }
        }
        if self.snapshot.finish(now, &self.engine, &mut self.journal) {
            self.house.changed(rights::LEASES);
        }
    }

    fn answer(&mut self, now: Instant, token: Token) {
        let mut renamed = Vec::new();
        let Server { web, engine, journal, counts, house, events, token: word, .. } = self;
        let wall_at_zero = journal.wall_at_zero();
        web.ready(events, now, token, |request| match request.path.as_str() {
            "/" => Answer::from(page::status(engine, now, wall_at_zero, word, &vendors(house))),
            "/metrics" => {
                let body = metrics::page(now, engine, counts, journal.commits, journal.is_refused());
                Response { status: 200, kind: KIND, body }.into()
            }
            "/sethostname" => match page::form(request, word) {
                Err(refused) => refused.into(),
                Ok((mac, name)) => {
                    renamed = engine.rename(now, mac, &name);
                    if renamed.is_empty() {
                        return Response::text(400, format!("{mac} has no running lease\n")).into();
                    }
                    for address in &renamed {
                        journal.append(&engine.entry(*address));
                    }
                    // What is not on the disk is not done yet.
                    if journal.commit(now, engine) {
                        Answer::redirect("/")
                    } else {
                        Response::text(500, "the disk does not take it: the name holds until the next start\n").into()
                    }
                }
            },
            path => match path.strip_prefix("/lease/") {
                Some("") => Response::text(400, "whose lease?\n").into(),
                Some(name) => page::lease_of(name, engine, now, wall_at_zero)
                    .unwrap_or_else(|| Response::text(404, "no lease has that name\n").into()),
                None => Response::text(404, "there are /, /lease/NAME and /metrics\n").into(),
            },
        });
        if !renamed.is_empty() {
            self.tell.get_or_insert(now.max(self.told + TELL));
            self.snapshot.touch(now, self.engine.len());
        }
    }
}

/// What is told of leases: so many lines a second at most, for a log is short and thousands may come at once.
#[derive(Default)]
struct News {
    second: u64,
    said: u32,
    held: u32,
}

impl News {
    fn say(&mut self, now: Instant, line: &str) {
        if now.as_secs() != self.second {
            if self.held > 0 {
                log::info!("and {} more", self.held);
            }
            *self = News { second: now.as_secs(), ..News::default() };
        }
        if self.said < MOST_NEWS {
            self.said += 1;
            log::info!("{line}");
        } else {
            self.held += 1;
        }
    }
}

fn vendors(house: &House) -> HashMap<Mac, String> {
    let table = devices::read(house.root()).ok().flatten().unwrap_or_default();
    table.devices.into_iter().map(|device| (device.hardware_addr, device.vendor)).collect()
}
