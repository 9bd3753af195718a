//! ntpd: what time it is, for the router and for the LAN (NTP version 4, RFC 5905).
//!
//! **At its start** the clock is set forward to what has passed for certain: the day the image was made, and the last time
//! that was known to be right. A router without a battery is never in 1970.
//!
//! **Whom it asks**: up to four servers of `config.json`, else those of the DHCPv4 and DHCPv6 leases filled up with the
//! pool's. Names are asked for at dnsd, without waiting. Each server is asked four times within seconds, then every 64 s,
//! and less and less often, to 1024 s, while the clock is steady. Every question leaves from a port of its own, chosen
//! anew, and tells nothing of our clock; only the answer that repeats its 64 random bits counts. Who says `RATE` is asked
//! less often, who says `DENY` or `RSTR` not at all.
//!
//! **Whom it believes**: `engine::selection` has the rule. One liar among three or four is outvoted; of two that
//! contradict each other the one is believed that leaves our clock within an hour, if only one does.
//!
//! **What it does**: sets the clock when it is set first, or is more than half a second off; else the kernel slews it and
//! learns its rate. The battery clock and `/perm/ntpd/time` are written when the clock is first right, once an hour, and
//! at an orderly stop. Never is anything else waited for: without servers the router works as well.
//!
//! **Whom it serves**: the machines of the LANs, on port 123 of every private address but the uplink's; each up to two
//! questions a second, no answer longer than its question. While the time is not known the answer says so.
//!
//! | Reads | When |
//! |---|---|
//! | `/perm/interfaces.json`, `/perm/ntpd/config.json`, the leases | start, `SIGUSR1` |
//!
//! Writes `/run/ntpd/state.json` (source, offset, whether the clock is right) and answers the same on `/run/ntpd.sock` to
//! `{"op":"time"}`. Whoever watches the file is told when the clock becomes right. `-no_adjust` touches no clock and says
//! what it would have done. Port 8055 on loopback: `/metrics`.
mod config;
mod engine;
mod hands;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod metrics;
#[cfg(test)]
mod tests;

use crate::house::admission::{Admission, Verdict};
use crate::house::asking::Asking;
use crate::house::names::Names;
use crate::house::private;
use crate::house::random::Random;
use crate::house::rarely::Rarely;
use crate::house::requests::{self, Requests};
use crate::house::shown::Shown;
use crate::house::{Failure, House};
use crate::perm::{WallTime, file, interfaces, json};
use config::Wanted;
use engine::{Action, Engine, Event, Now, Report};
use hands::Hands;
use ipnet::IpNet;
use lexopt::Arg;
use metrics::Counts;
use netstack::clock;
use netstack::event::{self, Interest, Loop, Signal, Token};
use netstack::netlink::{Monitor, Netlink};
use netstack::time::Instant;
use netstack::udp::{Options, bound};
use netstack::wire::ntp::PORT;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

const MONITOR: Token = Token(0);
// Those of house::asking are between these.
const SERVED: u64 = 1 << 8;
const SERVED_END: u64 = SERVED + MOST as u64;
const QUESTIONS: u64 = 1 << 20;
/// Addresses that are served.
const MOST: usize = 64;
/// Questions a second that one machine may ask, with four times as many at once.
const RATE: u32 = 2;
/// Datagrams taken from a socket in one turn.
const AT_ONCE: usize = 32;
/// How often what the next boot needs is written.
const KEEP: Duration = Duration::from_secs(3_600);
/// When a socket that could not be opened is tried again.
const REOPEN: Duration = Duration::from_secs(5);

pub use config::check;

struct Ntpd {
    house: House,
    turn: Loop,
    netlink: Netlink,
    engine: Engine,
    names: Names,
    asking: Asking,
    hands: Hands,
    wanted: Wanted,
    lan: Option<Ipv4Addr>,
    /// Questions on their way, by number.
    open: BTreeMap<u32, UdpSocket>,
    served: Vec<(SocketAddr, UdpSocket)>,
    door: Admission,
    counts: Counts,
    complaints: Vec<String>,
    lost: Rarely,
    reopen: Option<Instant>,
    keep_at: Option<Instant>,
    told: Vec<u8>,
}

/// Runs the service.
///
/// # Errors
/// When a flag is wrong or the kernel gives no descriptor; never for want of a network.
pub fn run(house: House) -> Result<(), Failure> {
    let adjust = adjusts(&house)?;
    let mut hands = Hands::new(&house, adjust);
    let made = Hands::made();
    hands.not_before(hands.kept().unwrap_or(made).max(made));
    let turn = Loop::new().map_err(Failure::during("event loop"))?;
    let mut monitor = Monitor::open().map_err(Failure::during("news of addresses"))?;
    turn.add(&monitor, MONITOR, Interest::READ)?;
    let mut requests = Requests::open(&house, &turn, "ntpd")?;
    let mut ntpd = Ntpd {
        netlink: Netlink::route().map_err(Failure::during("rtnetlink"))?,
        engine: Engine::new(made.nanos(), Random::from_kernel()),
        names: Names::default(),
        asking: Asking::new(),
        hands,
        wanted: Wanted::default(),
        lan: None,
        open: BTreeMap::new(),
        served: Vec::new(),
        door: Admission::default(),
        counts: Counts::default(),
        complaints: Vec::new(),
        lost: Rarely::default(),
        reopen: None,
        keep_at: None,
        told: Vec::new(),
        house,
        turn,
    };
    ntpd.configure();
    let mut shown = Shown::open(&ntpd.turn, Instant::now(), "ntpd");
    ntpd.house.ready();
    ntpd.ask();
    let mut happened = Vec::new();
    loop {
        let deadlines = [ntpd.engine.deadline(), ntpd.names.deadline(), ntpd.reopen, ntpd.keep_at, shown.deadline()];
        ntpd.turn.wait(deadlines.into_iter().flatten().min(), &mut happened)?;
        let mut only_served = true;
        for event in &happened {
            match event {
                event::Event::Ready { token: Token(number @ SERVED..SERVED_END), .. } => {
                    ntpd.serve((number - SERVED) as usize);
                    continue;
                }
                event::Event::Signal(Signal::Terminate) => {
                    ntpd.keep();
                    return Ok(());
                }
                event::Event::Signal(Signal::Changed) => ntpd.configure(),
                event::Event::Signal(Signal::Second) | event::Event::Timeout => {}
                event::Event::Ready { token: MONITOR, .. } => {
                    if monitor.drain().any() {
                        ntpd.follow();
                    }
                }
                event::Event::Ready { token, .. } if Requests::owns(*token) => {
                    let (engine, now) = (&ntpd.engine, now());
                    requests.ready(&ntpd.turn, *token, |line| answer(engine, now, line));
                }
                event::Event::Ready { token, .. } if Shown::owns(*token) => {
                    let (report, counts) = (ntpd.engine.report(now()), &ntpd.counts);
                    shown.ready(&ntpd.turn, Instant::now(), *token, || metrics::page(&report, counts));
                }
                event::Event::Ready { token, .. } if Asking::owns(*token) => {
                    if let Some((id, addresses)) = ntpd.asking.ready(*token) {
                        ntpd.names.answered(Instant::now(), id, &addresses);
                    }
                }
                event::Event::Ready { token, .. } => ntpd.receive(token.0.wrapping_sub(QUESTIONS) as u32),
            }
            only_served = false;
        }
        shown.tick(&ntpd.turn, Instant::now());
        if !only_served {
            ntpd.ask();
            ntpd.timers();
        }
    }
}

fn adjusts(house: &House) -> Result<bool, Failure> {
    let (mut adjust, mut flags) = (true, house.flags());
    while let Some(flag) = flags.next().map_err(Failure::during("flags"))? {
        match flag {
            Arg::Long("no_adjust") => adjust = false,
            other => return Err(Failure::new(format!("flags: {}", other.unexpected()))),
        }
    }
    Ok(adjust)
}

fn now() -> Now {
    Now::new(Instant::now(), clock::wall())
}

/// The one thing that may be asked: `{"op":"time"}`.
fn answer(engine: &Engine, now: Now, line: &[u8]) -> String {
    let asked: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
    if asked.get("op").and_then(serde_json::Value::as_str) != Some("time") {
        return requests::error("the one thing that can be asked is {\"op\":\"time\"}");
    }
    let report = Report { time: Some(WallTime::from_nanos(now.wall)), ..engine.report(now) };
    let mut said = json::write(&report);
    said.push(b'\n');
    String::from_utf8_lossy(&said).into_owned()
}

impl Ntpd {
    /// Reads the files anew.
    fn configure(&mut self) {
        let loaded = interfaces::load(self.house.root());
        self.lan = loaded.interfaces.ipv4_of("lan0").map(|(address, _)| address);
        let (wanted, complaints) = Wanted::read(self.house.root(), &loaded.interfaces);
        for words in complaints.iter().filter(|words| !self.complaints.contains(words)) {
            log::error!("{words}");
        }
        self.complaints = complaints;
        let now = Instant::now();
        self.names.follow(now, &wanted.names);
        // A lease that has come anew is a way out that was not there.
        self.names.hurry(now);
        self.wanted = wanted;
        self.follow();
        self.handle(Event::Way);
    }

    /// Serves the addresses that are there now.
    fn follow(&mut self) {
        self.reopen = None;
        let (links, addresses) = match (self.netlink.links(), self.netlink.addresses()) {
            (Ok(links), Ok(addresses)) => (links, addresses),
            (Err(error), _) | (_, Err(error)) => {
                self.lost.warn(Instant::now(), || format!("rtnetlink: {error}"));
                self.reopen = Some(Instant::now() + REOPEN);
                return;
            }
        };
        let (mut lans, mut uplinks) = (Vec::new(), Vec::new());
        for address in &addresses {
            let Some(link) = links.iter().find(|link| link.index == address.index && !link.loopback) else { continue };
            let Ok(net) = IpNet::new(address.ip, address.prefix) else { continue };
            if link.name.starts_with("uplink") { uplinks.push(net.trunc()) } else { lans.push(net.trunc()) }
        }
        self.door.set(&lans, &uplinks, RATE);
        let wanted = private::served_with(&links, &addresses, self.lan, PORT);
        self.served.retain(|(address, _)| wanted.contains(address));
        for address in wanted.into_iter().take(MOST) {
            if self.served.iter().any(|(known, _)| *known == address) {
                continue;
            }
            let opened = bound(address, Options { freebind: address.is_ipv4(), ..Options::default() });
            match opened {
                Ok(socket) => self.served.push((address, socket)),
                Err(error) => {
                    self.lost.warn(Instant::now(), || format!("cannot listen on {address}: {error}"));
                    self.reopen = Some(Instant::now() + REOPEN);
                }
            }
        }
        // Numbers are places in the list, which may have moved; the level of a socket that is ready is told again.
        for (at, (_, socket)) in self.served.iter().enumerate() {
            let token = Token(SERVED + at as u64);
            let watched = self.turn.modify(socket, token, Interest::READ);
            if let Err(error) = watched.or_else(|_| self.turn.add(socket, token, Interest::READ)) {
                self.lost.warn(Instant::now(), || format!("event loop: {error}"));
            }
        }
    }

    /// Answers the machines of the LANs.
    fn serve(&mut self, place: usize) {
        let Some((_, socket)) = self.served.get(place) else { return };
        let mut buffer = [0; 512];
        for _ in 0..AT_ONCE {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { return };
            let now = now();
            if self.door.ask(now.at, from.ip()) != Verdict::Served {
                self.counts.refused += 1;
                continue;
            }
            self.counts.answered += 1;
            let answer = self.engine.answer(now.at, &buffer[..length], now.wall, clock::wall());
            if let Some(Err(error)) = answer.map(|packet| socket.send_to(&packet, from)) {
                self.lost.warn(now.at, || format!("answering {from}: {error}"));
            }
        }
    }

    /// Something came for a question.
    fn receive(&mut self, number: u32) {
        let mut buffer = [0; 512];
        let Some(socket) = self.open.get(&number) else { return };
        match socket.recv(&mut buffer) {
            Ok(length) => self.handle(Event::Answer(number, &buffer[..length])),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // An ICMP error: nobody is there.
            Err(_) => {
                self.open.remove(&number);
                self.handle(Event::Failed(number));
            }
        }
    }

    /// Whatever is to be asked now, of names and of servers.
    fn ask(&mut self) {
        let now = Instant::now();
        let (questions, given_up) = self.names.due(now);
        for id in given_up {
            self.asking.forget(id);
        }
        for question in questions {
            if self.asking.ask(&self.turn, &question).is_err() {
                self.names.answered(now, question.id, &[]);
            }
        }
        let addresses = self.wanted.addresses.iter().copied().chain(self.names.chosen());
        let servers = addresses.map(|address| SocketAddr::new(address, PORT)).collect();
        self.handle(Event::Servers(servers));
    }

    fn handle(&mut self, event: Event<'_>) {
        let was_right = self.engine.is_right();
        let mut actions = VecDeque::from(self.engine.handle(now(), event));
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Ask { number, server, packet } => match self.send(number, server, &packet) {
                    Ok(socket) => drop(self.open.insert(number, socket)),
                    // No way out: it is tried again later.
                    Err(_) => actions.extend(self.engine.handle(now(), Event::Failed(number))),
                },
                Action::Forget(number) => drop(self.open.remove(&number)),
                Action::Step(by) => self.hands.step(by),
                Action::Slew { by, poll, error } => self.hands.slew(by, poll, error),
                Action::Useless(server) => self.names.useless(Instant::now(), server.ip()),
                Action::Say(words) => log::info!("{words}"),
                Action::Complain(words) => log::warn!("{words}"),
            }
        }
        let becomes_right = !was_right && self.engine.is_right();
        if becomes_right {
            self.keep();
        }
        self.tell(becomes_right);
    }

    fn send(&self, number: u32, server: SocketAddr, packet: &[u8]) -> io::Result<UdpSocket> {
        let socket = netstack::connect::udp(server)?;
        self.turn.add(&socket, Token(QUESTIONS + u64::from(number)), Interest::READ)?;
        socket.send(packet)?;
        Ok(socket)
    }

    fn timers(&mut self) {
        let now = Instant::now();
        if self.reopen.is_some_and(|at| at <= now) {
            self.follow();
        }
        if self.keep_at.is_some_and(|at| at <= now) {
            self.keep();
        }
    }

    /// What the next boot needs, once it is known.
    fn keep(&mut self) {
        if self.engine.is_right() {
            self.hands.keep();
            self.keep_at = Some(Instant::now() + KEEP);
        }
    }

    /// Writes what is known; who watches it hears of the one change that matters.
    fn tell(&mut self, becomes_right: bool) {
        let said = json::write(&self.engine.report(now()));
        if said == self.told {
            return;
        }
        match file::replace(&self.house.path(rights::CLOCK), &said) {
            Ok(_) if becomes_right => self.house.changed(rights::CLOCK),
            Ok(_) => {}
            Err(error) => self.lost.warn(Instant::now(), || format!("{}: {error}", rights::CLOCK)),
        }
        self.told = said;
    }
}
