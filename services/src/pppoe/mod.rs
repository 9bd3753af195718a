//! pppoe: the client of an uplink that is a PPPoE session (RFC 2516): discovery, with packets up to 1,500 bytes where the
//! concentrator grants them (RFC 4638); LCP (RFC 1661); PAP (RFC 1334) or CHAP with MD5 (RFC 1994), whichever is asked
//! for; IPCP (RFC 1332) with name servers (RFC 1877) and IPV6CP (RFC 5072) beside each other.
//!
//! The packets themselves are the kernel's business. `uplink0` is a PPP interface that is there as long as a session is
//! wanted, and waits (dormant, as RFC 2863 calls it) while there is none; so to everybody else it is an uplink that has
//! carrier or has not. Below it is `uplink0-eth`, the NIC or VLAN that the uplink's entry describes. netconfigd gives the
//! session's address and routes, dhcp6 asks for prefixes over it, as on any uplink.
//!
//! A session is sought for ever: searches 1, 2, 4 ... 60 s apart, at once after a good one ended. The concentrator is
//! asked every 10 s whether it is there (LCP echo), and at once when a cable is put back; it is given up 18 s after its
//! last word. A session that an earlier life has left open is ended first, lest the concentrator refuse a second one.
//!
//! **Nothing is taken away** when a session ends: what the last one brought stays in use until another brings something
//! else.
//!
//! Reads `/perm/interfaces.json` (the uplink's `pppoe` and `mtu`) and `/perm/pppoe/secret.json`, which nobody else can
//! read. Writes `/run/pppoe/lease.json` for netconfigd and dnsd, in the form of dhcp4's; its copy for the next boot,
//! `/perm/pppoe/lease.json`; and `/perm/pppoe/session.json`.
//!
//! A packet socket for discovery, `/dev/ppp`, a PPPoE socket. No port.
//!
//! `SIGUSR1` reads the files again: a session goes on unless what it was begun with has changed. `SIGUSR2` ends it and
//! begins another. `SIGTERM` ends it in order.
mod config;
mod engine;
mod files;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod kernel;
mod md5;
#[cfg(test)]
mod tests;

use crate::house::random::Random;
use crate::house::rarely::Rarely;
use crate::house::{Failure, House};
use crate::perm::Mac;
use crate::perm::json::Refusal;
use config::Wanted;
use engine::{Action, Engine, Event, Line};
use files::Files;
use kernel::Kernel;
use netstack::event::{self, Interest, Loop, Signal, Token};
use netstack::link::Link;
use netstack::netlink::{Monitor, Netlink};
use netstack::packet::{Filter, Packet};
use netstack::time::Instant;
use netstack::wire::pppoe::{Discovery, ETHERTYPE};
use std::path::Path;
use std::time::Duration;

const MONITOR: Token = Token(0);
const DISCOVERY: Token = Token(1);
const REOPEN: Duration = Duration::from_secs(5);
/// Packets taken in one turn, so that a flood does not keep timers and signals waiting.
const MOST_PACKETS: usize = 64;
/// Complaints that are remembered so as not to be said twice.
const MOST_COMPLAINTS: usize = 16;

struct Client {
    house: House,
    events: Loop,
    netlink: Netlink,
    wanted: Option<Wanted>,
    /// The cable while it exists, and the socket on it.
    line: Option<(Link, Packet)>,
    kernel: Kernel,
    engine: Engine,
    files: Files,
    /// What was complained of since the last session.
    complained: Vec<String>,
    complaints: Rarely,
    lost: Rarely,
    /// When what could not be opened is tried again.
    reopen: Option<Instant>,
}

/// Whether the bytes of secret.json can be used.
///
/// # Errors
/// Names file, line and field; never the password.
pub fn check(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    config::password(path, bytes).map(drop)
}

/// Runs the service.
///
/// # Errors
/// When a flag is wrong or the kernel gives no descriptor; never for want of an interface, a cable or a concentrator.
pub fn run(house: House) -> Result<(), Failure> {
    if let Some(flag) = house.flags().next().map_err(Failure::during("flags"))? {
        return Err(Failure::during("flags")(flag.unexpected()));
    }
    let events = Loop::new().map_err(Failure::during("event loop"))?;
    let mut monitor = Monitor::open().map_err(Failure::during("rtnetlink"))?;
    events.add(&monitor, MONITOR, Interest::READ).map_err(Failure::during("rtnetlink"))?;
    let netlink = Netlink::route().map_err(Failure::during("rtnetlink"))?;
    let files = Files::new(house.root());
    let engine = Engine::new(files.stale(), Random::from_kernel());
    let mut client = Client {
        house,
        events,
        netlink,
        wanted: None,
        line: None,
        kernel: Kernel::default(),
        engine,
        files,
        complained: Vec::new(),
        complaints: Rarely::default(),
        lost: Rarely::default(),
        reopen: None,
    };
    client.configure();
    client.house.ready();

    let mut happened = Vec::new();
    loop {
        let deadlines = [client.engine.deadline(), client.files.deadline(), client.reopen];
        let deadline = deadlines.into_iter().flatten().min();
        client.events.wait(deadline, &mut happened).map_err(Failure::during("event loop"))?;
        for event in &happened {
            match event {
                event::Event::Ready { token: MONITOR, .. } => {
                    if monitor.drain().links {
                        client.follow();
                    }
                }
                event::Event::Ready { token: DISCOVERY, .. } => client.discover(),
                event::Event::Ready { .. } => client.receive(),
                event::Event::Signal(Signal::Changed) => client.configure(),
                event::Event::Signal(Signal::Second) => client.handle(Event::Redial),
                event::Event::Signal(Signal::Terminate) => {
                    client.handle(Event::Stop);
                    return Ok(());
                }
                event::Event::Timeout => {}
            }
        }
        client.handle(Event::Timeout);
        let written = client.files.retry(Instant::now());
        client.announce(written);
        if client.reopen.is_some_and(|at| at <= Instant::now()) {
            client.follow();
        }
    }
}

impl Client {
    fn configure(&mut self) {
        let before = self.wanted.take();
        self.wanted = config::read(&self.house, before.as_ref());
        if self.wanted != before {
            self.complained.clear();
        }
        if self.wanted.is_some() {
            let restored = self.files.restore();
            self.announce(restored);
        }
        self.handle(Event::Settings(self.wanted.as_ref().map(|wanted| wanted.settings.clone())));
        if self.wanted.is_none() {
            self.kernel.unmake();
        }
        self.follow();
    }

    /// Looks at the interfaces anew: our own, and the one below it with its carrier.
    fn follow(&mut self) {
        self.reopen = None;
        let now = Instant::now();
        let Some(wanted) = &self.wanted else {
            self.line = None;
            self.handle(Event::Line(None));
            return;
        };
        let carrier = wanted.carrier.clone();
        let links = match self.netlink.links() {
            Ok(links) => links,
            Err(error) => {
                self.lost.warn(now, || format!("rtnetlink: {error}"));
                self.reopen = Some(now + REOPEN);
                return;
            }
        };
        if let Err(why) = self.kernel.make(&mut self.netlink, &links) {
            self.complain(why);
            self.reopen = Some(now + REOPEN);
        }
        let found = links.into_iter().find(|link| link.name == carrier);
        if self.line.as_ref().map(|(link, _)| link.index) != found.as_ref().map(|link| link.index) {
            self.line = None;
            self.handle(Event::Line(None));
            self.line = found.clone().and_then(|link| match self.listen(&link) {
                Ok(packets) => Some((link, packets)),
                Err(error) => {
                    self.complain(format!("{carrier}: {error}"));
                    self.reopen = Some(now + REOPEN);
                    None
                }
            });
        }
        let (Some((link, _)), Some(found)) = (&mut self.line, found) else { return };
        // A cable that was out and in again between two looks may lead elsewhere now.
        let flapped = link.carrier_changes != found.carrier_changes && link.running && found.running;
        *link = found;
        let usable = link.mac.filter(|_| link.up && link.running);
        let line = usable.map(|mac| Line { mac: Mac(mac), mtu: link.mtu });
        if flapped {
            self.handle(Event::Line(None));
        }
        self.handle(Event::Line(line));
    }

    fn listen(&self, link: &Link) -> std::io::Result<Packet> {
        let packets = Packet::open(link.index, ETHERTYPE, Filter::Concentrator)?;
        self.events.add(&packets, DISCOVERY, Interest::READ)?;
        Ok(packets)
    }

    fn discover(&mut self) {
        let mut buffer = [0; 2048];
        for _ in 0..MOST_PACKETS {
            let Some((_, packets)) = &self.line else { return };
            match packets.receive(&mut buffer) {
                Ok(Some(received)) => {
                    if let Some(packet) = Discovery::parse(&buffer[..received.length]) {
                        self.handle(Event::Discovery(Mac(received.from), packet));
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    // The interface went down or away, of which the monitor tells more.
                    self.lost.warn(Instant::now(), || format!("receiving: {error}"));
                    return;
                }
            }
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; 2048];
        for _ in 0..MOST_PACKETS {
            match self.kernel.receive(&mut buffer) {
                Ok(Some(length)) => {
                    if let Some((protocol, packet)) = buffer[..length].split_first_chunk() {
                        self.handle(Event::Control(u16::from_be_bytes(*protocol), packet));
                    }
                }
                Ok(None) => return,
                Err(_) => {
                    self.handle(Event::Lost("the session is gone: ended, or the interface below it changed".into()));
                    return;
                }
            }
        }
    }

    fn handle(&mut self, event: Event<'_>) {
        let now = Instant::now();
        let mut actions = self.engine.handle(now, event);
        let mut broken = None;
        for action in actions.drain(..) {
            if let Err(why) = self.act(now, action) {
                broken = broken.or(Some(why));
            }
        }
        if let Some(why) = broken {
            // Once: what ends a session asks nothing of the kernel that could fail.
            for action in self.engine.handle(now, Event::Lost(why)) {
                let _ = self.act(now, action);
            }
        }
    }

    /// Does one thing; the error is one that ends the session.
    fn act(&mut self, now: Instant, action: Action) -> Result<(), String> {
        match action {
            Action::Discover(to, packet) => {
                if let Some(Err(error)) = self.line.as_ref().map(|(_, packets)| packets.send(&packet, to.0)) {
                    self.lost.warn(now, || format!("sending: {error}"));
                }
            }
            Action::Begin(peer, session) => {
                let carrier = self.wanted.as_ref().map(|wanted| wanted.carrier.clone()).unwrap_or_default();
                let begun = self.kernel.begin(&self.events, session, peer.0, &carrier);
                begun.map_err(|error| format!("the kernel does not take up session {session}: {error}"))?;
            }
            Action::Send(protocol, packet) => {
                if let Err(error) = self.kernel.send(protocol, &packet) {
                    self.lost.warn(now, || format!("sending in the session: {error}"));
                }
            }
            Action::Network(network) => {
                self.kernel.carry(&self.events, &mut self.netlink, &network)?;
                if let Some((address, dns)) = &network.ipv4 {
                    log::info!("{address}, packets up to {} bytes, name servers {dns:?}", network.mtu);
                    let written = self.files.write(now, files::lease(*address, dns, network.mtu));
                    self.announce(written);
                }
            }
            Action::End => self.kernel.end(&self.events, &mut self.netlink),
            Action::Remember(session) => self.files.remember(session),
            Action::Say(text) => {
                self.complained.clear();
                log::info!("{text}");
            }
            Action::Complain(text) => self.complain(text),
        }
        Ok(())
    }

    /// Says it, if it was not said since the last session.
    fn complain(&mut self, text: String) {
        if self.complained.contains(&text) {
            return;
        }
        if self.complained.len() >= MOST_COMPLAINTS {
            self.complained.remove(0);
        }
        self.complained.push(text.clone());
        self.complaints.warn(Instant::now(), || text);
    }

    fn announce(&mut self, written: bool) {
        if written {
            log::info!("{} written", rights::LEASE_PPPOE);
            self.house.changed(rights::LEASE_PPPOE);
        }
    }
}
