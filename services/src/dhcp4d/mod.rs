//! dhcp4d: the DHCPv4 server of the LAN (RFC 2131, RFC 2132, RFC 3397 search list), with router7's rules.
//!
//! It serves one interface (`-interface`, default `lan0`), with the address and mask that interfaces.json gives it:
//! 230 addresses after its own, leases of 20 minutes, an hour for consoles that sleep through less. A client keeps its
//! address, finds it again after its lease has run out, and gets any free address that it asks for by REQUEST. An
//! offered address is held for its client for ten seconds. Records of leases that have run out are reused when no
//! unused address is left, so the pool never stops; a record without expiry is a static lease and stands outside all
//! of this. DECLINE keeps the address from everybody for ten minutes, RELEASE ends the lease, INFORM is answered.
//!
//! **No acknowledged lease is lost.** Every message of a turn is decided first, then leases.json is replaced and
//! synced, once for all of them, and only then do the replies leave. When the disk refuses, leases are given from
//! memory: it is said aloud and tried again with each change and every minute.
//!
//! Leases run on boot time. The file has wall time, computed at each write: a clock that is set ends no lease.
//!
//! Reads `/perm/interfaces.json` and, once at start, `/perm/dhcp4d/leases.json`; writes the latter, for dnsd.
//!
//! Port 67: messages come in by a UDP socket bound to the interface, which works before the interface has an address.
//! Replies leave by a packet socket with headers of our own, because a client without an address answers no ARP;
//! unicast where the client can take it, as broadcasts are slow and get lost on Wi-Fi.
//!
//! The interface is followed by name: it may come late, vanish and come again. `SIGUSR1` reads interfaces.json again.
mod config;
mod engine;
mod message;
mod store;
#[cfg(test)]
mod tests;

use crate::house::rarely::Rarely;
use crate::house::{Failure, House};
use crate::perm::WallTime;
use config::Config;
use engine::{Destination, Engine, Output, Reply};
use message::Query;
use netstack::event::{self, Interest, Loop, Signal, Token};
use netstack::link::Link;
use netstack::netlink::{Monitor, Netlink};
use netstack::packet::{self, Filter, Packet};
use netstack::time::Instant;
use netstack::udp;
use netstack::wire::ipv4udp;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;
use store::Store;

const MONITOR: Token = Token(0);
const MESSAGES: Token = Token(1);
const SERVER: u16 = 67;
const CLIENT: u16 = 68;
const REOPEN: Duration = Duration::from_secs(5);
/// Messages decided in one turn: they share one write of the leases.
const MOST_MESSAGES: usize = 128;

/// The interface while it exists: its sockets go with it.
struct Lan {
    link: Link,
    messages: UdpSocket,
    replies: Packet,
}

struct Server {
    house: House,
    config: Config,
    events: Loop,
    netlink: Netlink,
    lan: Option<Lan>,
    engine: Engine,
    store: Store,
    lost: Rarely,
    complaints: Rarely,
    /// When sockets that could not be opened are tried again.
    reopen: Option<Instant>,
}

/// Runs the service.
///
/// # Errors
/// When a flag is wrong or the kernel gives no descriptor; never for want of an interface or an address.
pub fn run(house: House) -> Result<(), Failure> {
    let events = Loop::new().map_err(Failure::during("event loop"))?;
    let config = Config::read(&house)?;
    let mut monitor = Monitor::open().map_err(Failure::during("rtnetlink"))?;
    events.add(&monitor, MONITOR, Interest::READ).map_err(Failure::during("rtnetlink"))?;
    let netlink = Netlink::route().map_err(Failure::during("rtnetlink"))?;
    let now = Instant::now();
    let mut engine = Engine::new(now, config::subnet(&house, &config.interface));
    let store = Store::new(house.path(rights::LEASES), now, WallTime::now());
    store.load(&mut engine);
    let (lost, complaints) = (Rarely::default(), Rarely::default());
    let mut server =
        Server { house, config, events, netlink, lan: None, engine, store, lost, complaints, reopen: None };
    server.follow();
    if server.lan.is_none() {
        log::info!("waiting for {}", server.config.interface);
    }

    let mut happened = Vec::new();
    loop {
        let deadline = [server.store.deadline(), server.reopen].into_iter().flatten().min();
        server.events.wait(deadline, &mut happened).map_err(Failure::during("event loop"))?;
        for event in &happened {
            match event {
                event::Event::Ready { token: MONITOR, .. } => {
                    if monitor.drain().links {
                        server.follow();
                    }
                }
                event::Event::Ready { .. } => server.turn(),
                event::Event::Signal(Signal::Changed) => server.configure(),
                event::Event::Signal(Signal::Second) => {}
                event::Event::Signal(Signal::Terminate) => {
                    if server.store.deadline().is_some() {
                        server.write();
                    }
                    return Ok(());
                }
                event::Event::Timeout => server.timeout(),
            }
        }
    }
}

impl Server {
    fn configure(&mut self) {
        let subnet = config::subnet(&self.house, &self.config.interface);
        if self.engine.set_subnet(subnet) {
            if let Some(subnet) = subnet {
                log::info!("now {} with mask {}", subnet.server(), subnet.mask());
            }
            self.write();
        }
    }

    /// Looks at the interface anew: sockets for a new one.
    fn follow(&mut self) {
        self.reopen = None;
        let found = match self.netlink.links() {
            Ok(links) => links.into_iter().find(|link| link.name == self.config.interface),
            Err(error) => {
                log::error!("rtnetlink: {error}");
                self.reopen = Some(Instant::now() + REOPEN);
                return;
            }
        };
        if self.lan.as_ref().map(|lan| lan.link.index) != found.as_ref().map(|link| link.index) {
            if self.lan.take().is_some() {
                log::info!("waiting for {}", self.config.interface);
            }
            self.lan = found.clone().and_then(|link| match Lan::open(link, &self.events) {
                Ok(lan) => Some(lan),
                Err(error) => {
                    log::error!("{}: {error}", self.config.interface);
                    self.reopen = Some(Instant::now() + REOPEN);
                    None
                }
            });
            if self.lan.is_some() {
                log::info!("serving {}", self.config.interface);
                self.house.ready();
            }
        }
        if let (Some(lan), Some(link)) = (&mut self.lan, found) {
            lan.link = link;
        }
    }

    fn timeout(&mut self) {
        let now = Instant::now();
        if self.reopen.is_some_and(|at| at <= now) {
            self.follow();
        }
        if self.store.deadline().is_some_and(|at| at <= now) {
            self.write();
        }
    }

    /// One turn: all messages that wait are decided, then written down, then answered.
    fn turn(&mut self) {
        let Some(lan) = &self.lan else { return };
        let now = Instant::now();
        let mut output = Output::default();
        let mut buffer = [0; 2048];
        for _ in 0..MOST_MESSAGES {
            match lan.messages.recv(&mut buffer) {
                Ok(length) => {
                    if let Some(query) = Query::parse(&buffer[..length]) {
                        self.engine.receive(now, &query, &mut output);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    // The interface went down or away, of which the monitor tells more.
                    self.lost.warn(now, || format!("receiving: {error}"));
                    break;
                }
            }
        }
        if output.changed {
            self.write();
        }
        for reply in &output.replies {
            self.send(now, reply);
        }
        for news in &output.news {
            log::info!("{news}");
        }
        if let Some(complaint) = output.complaint {
            self.complaints.warn(now, || complaint);
        }
    }

    fn write(&mut self) {
        if self.store.write(Instant::now(), WallTime::now(), &self.engine) {
            self.house.changed(rights::LEASES);
        }
    }

    // A reply that cannot be sent is a reply lost: the client asks again.
    fn send(&mut self, now: Instant, reply: &Reply) {
        let (Some(lan), Some(subnet)) = (&self.lan, self.engine.subnet()) else { return };
        if let Err(error) = lan.send(subnet.server(), reply) {
            self.lost.warn(now, || format!("sending: {error}"));
        }
    }
}

impl Lan {
    fn open(link: Link, events: &Loop) -> io::Result<Lan> {
        let options = udp::Options { device: Some(&link.name), reuse: true, ..udp::Options::default() };
        let messages = udp::bound(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, SERVER).into(), options)?;
        let replies = Packet::open(link.index, packet::IPV4, Filter::Nothing)?;
        events.add(&messages, MESSAGES, Interest::READ)?;
        Ok(Lan { link, messages, replies })
    }

    fn send(&self, server: Ipv4Addr, reply: &Reply) -> io::Result<()> {
        let (mac, address) = match reply.to {
            Destination::Broadcast => (packet::BROADCAST, Ipv4Addr::BROADCAST),
            Destination::Client(mac, address) => (mac.0, address),
        };
        let (from, to) = (SocketAddrV4::new(server, SERVER), SocketAddrV4::new(address, CLIENT));
        let packet = ipv4udp::emit(from, to, &reply.message);
        self.replies.send(&packet, mac)
    }
}
