//! dhcp6: the DHCPv6 client of the uplink (RFC 9915, which replaced RFC 8415; RFC 7084 and RFC 9096 for its behaviour as
//! a home router's): prefixes for the LANs (IA_PD) and an address for the uplink (IA_NA).
//!
//! It follows the interface by name (`-interface`, default `uplink0`). As soon as that has carrier and a link-local
//! address, what was held before is asked for again (REBIND, or CONFIRM for an address alone), else servers are looked
//! for, whatever router advertisements say or whether there are any. At T1 the server is asked (RENEW), at T2 any
//! (REBIND), and when nothing is left, or a server says no, servers are looked for (SOLICIT); never a state without a
//! way on, never faster than the backoff. Where only other configuration is to be had (the O flag), it is asked for.
//!
//! **What is held stays in use until its valid lifetime ends**, over restarts and reboots, and is not given back by one
//! (RFC 9096, WPD-9). One that has run out stays in the file, marked so, until another comes.
//!
//! Reads `/perm/interfaces.json` (the uplink's `spoof_hardware_addr`; with `gateway6` or `delegated_prefixes` it rests)
//! and `/perm/dhcp6/client.json`. Writes, for netconfigd and radvd, `/perm/dhcp6/lease.json`, and for itself
//! `/perm/dhcp6/duid`, made once; one that is there is used as it is.
//!
//! Port 546, bound to the interface; everything is sent to ff02::1:2. Reconfigure is never accepted, so none is obeyed.
//!
//! `SIGUSR1` reads the files again; `SIGUSR2` gives the leases back and rests until the next link or start.
mod config;
mod engine;
mod files;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod message;
#[cfg(test)]
mod tests;

use crate::house::random::Random;
use crate::house::rarely::Rarely;
use crate::house::{Failure, House};
use crate::perm::Mac;
use crate::perm::stamp::Clock;
use config::{Config, Uplink, Wishes};
use engine::{Action, Advertised, Engine, Event, Identity};
use files::Files;
use message::Answer;
use netstack::event::{self, Interest, Loop, Signal, Token};
use netstack::netlink::{Monitor, Netlink};
use netstack::time::Instant;
use netstack::udp;
use netstack::wire::dhcpv6::{CLIENT, SERVER, SERVERS};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MONITOR: Token = Token(0);
const MESSAGES: Token = Token(1);
const REOPEN: Duration = Duration::from_secs(5);
/// Messages taken in one turn, so that a flood does not keep timers and signals waiting.
const MOST_MESSAGES: usize = 64;
/// `RT_TABLE_MAIN` and `RTN_UNICAST`.
const MAIN: (u32, u8) = (254, 1);

/// The interface while its link-local address can be used.
struct Port {
    index: u32,
    address: Ipv6Addr,
    /// How often carrier had come and gone.
    carrier: u32,
    socket: UdpSocket,
}

struct Client {
    house: House,
    config: Config,
    uplink: Uplink,
    wishes: Wishes,
    events: Loop,
    netlink: Netlink,
    port: Option<Port>,
    engine: Engine,
    files: Files,
    lost: Rarely,
    complaints: Rarely,
    /// When a socket that could not be opened is tried again.
    reopen: Option<Instant>,
}

/// Whether the bytes of client.json can be used.
///
/// # Errors
/// Names file, line, field and value.
pub fn check(path: &std::path::Path, bytes: &[u8]) -> Result<(), crate::perm::json::Refusal> {
    config::Wishes::parse(path, bytes).map(drop)
}

/// Runs the service.
///
/// # Errors
/// When a flag is wrong or the kernel gives no descriptor; never for want of an interface, a carrier or a server.
pub fn run(house: House) -> Result<(), Failure> {
    let events = Loop::new().map_err(Failure::during("event loop"))?;
    let config = Config::read(&house)?;
    // With routes: a default route that comes back is news of a provider that lives.
    let mut monitor = Monitor::with_routes().map_err(Failure::during("rtnetlink"))?;
    events.add(&monitor, MONITOR, Interest::READ).map_err(Failure::during("rtnetlink"))?;
    let netlink = Netlink::route().map_err(Failure::during("rtnetlink"))?;
    let mut files = Files::new(house.path(&config.path("lease.json")), house.path(&config.path("duid")));
    let clock = Clock::read();
    let stored = files.stored(&clock);
    // By this boot's clock from now on: whoever reads it later counts as we do.
    let written = stored.as_ref().is_some_and(|stored| files.write(&clock, stored));
    let mut client = Client {
        uplink: Uplink::default(),
        wishes: Wishes::default(),
        events,
        netlink,
        port: None,
        engine: Engine::new(clock.now, stored.unwrap_or_default(), Random::from_kernel()),
        lost: Rarely::default(),
        complaints: Rarely::default(),
        reopen: None,
        house,
        config,
        files,
    };
    client.announce(written);
    client.configure();
    client.house.ready();

    let mut happened = Vec::new();
    loop {
        let deadline = [client.engine.deadline(), client.files.deadline(), client.reopen].into_iter().flatten().min();
        client.events.wait(deadline, &mut happened).map_err(Failure::during("event loop"))?;
        for event in &happened {
            match event {
                event::Event::Ready { token: MONITOR, .. } => {
                    if monitor.drain().any() {
                        client.follow();
                    }
                }
                event::Event::Ready { .. } => client.receive(),
                event::Event::Signal(Signal::Changed) => client.configure(),
                event::Event::Signal(Signal::Second) => client.handle(Event::Release),
                event::Event::Signal(Signal::Terminate) => return Ok(()),
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
        self.uplink = Uplink::read(&self.house, &self.config.interface);
        match Wishes::read(&crate::perm::file::in_force(self.house.root(), &self.config.path("client.json"))) {
            Ok(wishes) => self.wishes = wishes,
            Err(refusal) => log::warn!("{refusal}; what held before holds"),
        }
        self.handle(Event::Rest(self.uplink.fixed));
        self.follow();
    }

    /// Looks at the interface anew: a socket when its address can be used, and what advertisements have said.
    fn follow(&mut self) {
        self.reopen = None;
        if let Err(error) = self.look() {
            self.lost.warn(Instant::now(), || format!("{}: {error}", self.config.interface));
            self.reopen = Some(Instant::now() + REOPEN);
        }
    }

    fn look(&mut self) -> io::Result<()> {
        let (links, addresses, routes) = (self.netlink.links()?, self.netlink.addresses()?, self.netlink.routes()?);
        let carrier = links.iter().find(|link| link.name == self.uplink.carrier).and_then(|link| link.mac);
        let link = links.into_iter().find(|link| link.name == self.config.interface && link.up && link.running);
        let found = link.and_then(|link| {
            let usable = addresses.iter().find_map(|address| match address.ip {
                IpAddr::V6(ip) if address.index == link.index && ip.is_unicast_link_local() && !address.tentative => {
                    Some(ip)
                }
                _ => None,
            });
            usable.map(|address| (link, address))
        });
        let key = found.as_ref().map(|(link, address)| (link.index, *address, link.carrier_changes));
        if self.port.as_ref().map(|port| (port.index, port.address, port.carrier)) != key {
            self.port = None;
            self.handle(Event::Link(false));
            if let Some((index, address, carrier)) = key {
                let socket = open(&self.config.interface, index, address)?;
                self.events.add(&socket, MESSAGES, Interest::READ)?;
                self.port = Some(Port { index, address, carrier, socket });
            }
        }
        let Some((link, _)) = found else { return Ok(()) };
        if let Some(mac) = self.uplink.spoofed.or(link.mac.or(carrier).map(Mac)) {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let [.., a, b, c, d] = mac.0;
            let identity = Identity { duid: self.files.duid(mac, wall), iaid: u32::from_be_bytes([a, b, c, d]) };
            self.handle(Event::Configured(identity, self.wishes.clone()));
        }
        let router = routes.iter().any(|route| {
            let main = (route.table, route.kind) == MAIN && route.interface == Some(link.index);
            main && route.destination.prefix_len() == 0 && route.destination.addr().is_ipv6()
        });
        let (managed, other_config) = (link.managed, link.other_config);
        self.handle(Event::Advertised(Advertised { managed, other_config, router }));
        self.handle(Event::Link(true));
        Ok(())
    }

    fn receive(&mut self) {
        let mut buffer = [0; 8192];
        for _ in 0..MOST_MESSAGES {
            let Some(port) = &self.port else { return };
            let length = match port.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
                Err(error) => {
                    self.lost.warn(Instant::now(), || format!("receiving: {error}"));
                    return;
                }
            };
            if let Some(answer) = Answer::parse(&buffer[..length]) {
                self.handle(Event::Received(&answer));
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let clock = Clock::read();
        for action in self.engine.handle(clock.now, event) {
            match action {
                Action::Send(message) => self.send(&message),
                Action::Keep => {
                    let written = self.files.write(&clock, self.engine.bindings());
                    self.announce(written);
                }
                Action::Say(text) => log::info!("{text}"),
                Action::Complain(text) => self.complaints.warn(clock.now, || text),
            }
        }
    }

    // A message that cannot be sent is a message lost: the engine's timer repeats it.
    fn send(&mut self, message: &[u8]) {
        let Some(port) = &self.port else { return };
        let to = SocketAddrV6::new(SERVERS, SERVER, 0, port.index);
        if let Err(error) = port.socket.send_to(message, to) {
            self.lost.warn(Instant::now(), || format!("sending: {error}"));
        }
    }

    fn announce(&mut self, written: bool) {
        if written {
            log::info!("{} written", self.config.path("lease.json"));
            self.house.changed(&self.config.path("lease.json"));
        }
    }
}

fn open(name: &str, index: u32, address: Ipv6Addr) -> io::Result<UdpSocket> {
    let options = udp::Options { device: Some(name), reuse: true, ..udp::Options::default() };
    udp::bound(SocketAddrV6::new(address, CLIENT, 0, index).into(), options)
}
