//! radvd: router advertisements on every LAN (RFC 4861; options of RFC 4191, 8106, 8781, 8910; RFC 7084 and 9096).
//!
//! Each LAN is told its /64 of every delegated prefix and of a prefix of our own (RFC 4193, made once), with lifetimes
//! that count down with the delegation's; the router as DNS server; the LAN's domain and `lan`; the MTU; and the whole prefixes as
//! routes. The router is a default router only while the uplink has an IPv6 default route and a prefix the internet
//! knows: else hosts use IPv4 at once, and still reach each other.
//!
//! **A prefix that is gone is taken back** (RFC 9096, section 3.5): changed, run out, or gone while the power was off, it
//! is announced with lifetimes of 0 within three seconds, for as long as hosts were told that it would live.
//!
//! Reads `/perm/interfaces.json`, `/perm/dhcp6/lease.json`, `/perm/radvd/prefixes.json` (router7's; in place of our own)
//! `/perm/radvd/config.json`, the LANs' domains in `/perm/dnsd/config.json`, and what `/perm/dhcp4d/config.json` says of
//! DHCPv6 (the flags O and M). Writes `/perm/radvd/ula.json` and `/perm/radvd/announced.json`, for itself and
//! netconfigd. `-interface NAME` serves that LAN alone.
//!
//! A raw ICMPv6 socket on each LAN, which gets router solicitations only. Interfaces are followed by name: each may come
//! late, vanish and come again, and is spoken on once its link-local address can be used. `SIGUSR1` reads the files
//! again. At its end it says nothing, as it will be back before anybody notices; only before a power-off (PID 1 has made
//! `/run/poweroff`) it takes the default route back.
mod config;
mod engine;
mod files;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
#[cfg(test)]
mod tests;

use crate::house::random::Random;
use crate::house::rarely::Rarely;
use crate::house::{Failure, House};
use crate::perm::interfaces::UPLINK;
use crate::perm::stamp::Clock;
use config::Config;
use engine::{Action, Engine, Event, Link, Memory};
use files::Files;
use netstack::event::{self, Interest, Loop, Signal, Token};
use netstack::icmpv6::Icmpv6;
use netstack::netlink::{Monitor, Netlink};
use netstack::time::Instant;
use netstack::wire::ndisc::{ALL_ROUTERS, SOLICITATION, Solicitation};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

const MONITOR: Token = Token(0);
const POWER_OFF: &str = "/run/poweroff";
const REOPEN: Duration = Duration::from_secs(5);
/// Messages taken from a LAN in one turn, so that a flood does not keep timers and signals waiting.
const MOST_MESSAGES: usize = 64;
/// `RT_TABLE_MAIN` and `RTN_UNICAST`.
const MAIN: (u32, u8) = (254, 1);

/// A LAN's socket while its interface exists.
struct Port {
    name: String,
    index: u32,
    socket: Icmpv6,
}

struct Radvd {
    house: House,
    config: Config,
    events: Loop,
    netlink: Netlink,
    ports: Vec<Port>,
    /// The LANs by the files.
    lans: Vec<String>,
    engine: Engine,
    files: Files,
    random: Random,
    lost: Rarely,
    /// When sockets that could not be opened are tried again.
    reopen: Option<Instant>,
}

pub use config::check;

/// Runs the service.
///
/// # Errors
/// When a flag is wrong or the kernel gives no descriptor; never for want of an interface, a carrier or a prefix.
pub fn run(house: House) -> Result<(), Failure> {
    let events = Loop::new().map_err(Failure::during("event loop"))?;
    let config = Config::read(&house)?;
    let mut monitor = Monitor::with_routes().map_err(Failure::during("rtnetlink"))?;
    events.add(&monitor, MONITOR, Interest::READ).map_err(Failure::during("rtnetlink"))?;
    let netlink = Netlink::route().map_err(Failure::during("rtnetlink"))?;
    let (files, announced) = Files::open(house.root());
    let mut random = Random::from_kernel();
    let engine = Engine::new(Memory::new(announced, &Clock::read()), Random::from_seed(random.next_u32().into()));
    let mut radvd = Radvd {
        house,
        config,
        events,
        netlink,
        ports: Vec::new(),
        lans: Vec::new(),
        engine,
        files,
        random,
        lost: Rarely::default(),
        reopen: None,
    };
    radvd.configure();
    radvd.house.ready();

    let mut happened = Vec::new();
    loop {
        let deadlines = [radvd.engine.deadline(), radvd.files.deadline(), radvd.config.deadline(), radvd.reopen];
        radvd
            .events
            .wait(deadlines.into_iter().flatten().min(), &mut happened)
            .map_err(Failure::during("event loop"))?;
        for event in &happened {
            match event {
                event::Event::Ready { token: MONITOR, .. } => {
                    if monitor.drain().any() {
                        radvd.follow();
                    }
                }
                event::Event::Ready { token, .. } => radvd.receive(*token),
                event::Event::Signal(Signal::Changed) => radvd.configure(),
                event::Event::Signal(Signal::Second) | event::Event::Timeout => {}
                event::Event::Signal(Signal::Terminate) => {
                    if radvd.house.path(POWER_OFF).exists() {
                        radvd.handle(Event::Farewell);
                    }
                    return Ok(());
                }
            }
        }
        radvd.handle(Event::Timeout);
        radvd.retry();
    }
}

impl Radvd {
    fn configure(&mut self) {
        let clock = Clock::read();
        let (settings, made) = self.config.settings(&self.house, &clock, &mut self.random);
        if made {
            self.house.changed(rights::ULA);
        }
        self.lans = settings.iter().map(|settings| settings.name.clone()).collect();
        self.handle(Event::Configured(settings));
        self.follow();
    }

    /// Looks at the kernel anew: a socket for each LAN that is there, its link to the engine, and the default route.
    fn follow(&mut self) {
        self.reopen = None;
        if let Err(error) = self.look() {
            self.lost.warn(Instant::now(), || format!("rtnetlink: {error}"));
            self.reopen = Some(Instant::now() + REOPEN);
        }
    }

    fn look(&mut self) -> io::Result<()> {
        let (links, addresses, routes) = (self.netlink.links()?, self.netlink.addresses()?, self.netlink.routes()?);
        // Before the links: the first word on one must not be that nothing leads out.
        let uplink = links.iter().find(|link| link.name == UPLINK).map(|link| link.index);
        let default = routes.iter().any(|route| {
            let main = (route.table, route.kind) == MAIN && route.interface.is_some() && route.interface == uplink;
            main && route.destination.prefix_len() == 0 && route.destination.addr().is_ipv6()
        });
        self.handle(Event::DefaultRoute(default));
        let lans = self.lans.clone();
        self.ports.retain(|port| {
            lans.contains(&port.name) && links.iter().any(|link| (&link.name, link.index) == (&port.name, port.index))
        });
        for name in lans {
            let Some(link) = links.iter().find(|link| link.name == name) else {
                self.handle(Event::Link(&name, None));
                continue;
            };
            if self.ports.iter().all(|port| port.name != name) {
                self.open(&name, link.index);
            }
            let usable = addresses.iter().find_map(|address| match address.ip {
                IpAddr::V6(ip) if address.index == link.index && ip.is_unicast_link_local() && !address.tentative => {
                    Some(ip)
                }
                _ => None,
            });
            let open = self.ports.iter().any(|port| port.name == name) && link.up && link.running;
            let (mac, mtu) = (link.mac.unwrap_or_default(), link.mtu);
            self.handle(Event::Link(&name, usable.filter(|_| open).map(|address| Link { mac, mtu, address })));
        }
        Ok(())
    }

    fn open(&mut self, name: &str, index: u32) {
        let opened = Icmpv6::open(name, index, &[SOLICITATION], &[ALL_ROUTERS]).and_then(|socket| {
            self.events.add(&socket, token(index), Interest::READ)?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => self.ports.push(Port { name: name.to_owned(), index, socket }),
            Err(error) => {
                self.lost.warn(Instant::now(), || format!("{name}: {error}"));
                self.reopen = Some(Instant::now() + REOPEN);
            }
        }
    }

    fn receive(&mut self, from: Token) {
        let mut buffer = [0; 1_500];
        for _ in 0..MOST_MESSAGES {
            let Some(port) = self.ports.iter().find(|port| token(port.index) == from) else { return };
            let received = match port.socket.receive(&mut buffer) {
                Ok(Some(received)) => received,
                Ok(None) => return,
                Err(error) => {
                    self.lost.warn(Instant::now(), || format!("receiving: {error}"));
                    return;
                }
            };
            let asked = Solicitation::parse(&buffer[..received.length], received.source, received.hop_limit);
            if let Some(asked) = asked {
                let name = port.name.clone();
                self.handle(Event::Solicited(&name, asked.source));
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let clock = Clock::read();
        for action in self.engine.handle(&clock, event) {
            match action {
                Action::Remember(announced) => {
                    if self.files.write(clock.now, &announced) {
                        self.house.changed(rights::ANNOUNCED);
                    }
                }
                Action::Send { lan, to, message } => {
                    let port = self.ports.iter().find(|port| port.name == lan);
                    if let Some(Err(error)) = port.map(|port| port.socket.send(&message, to)) {
                        self.lost.warn(clock.now, || format!("{lan}: sending to {to}: {error}"));
                    }
                }
                Action::Say(text) => log::info!("{text}"),
            }
        }
    }

    fn retry(&mut self) {
        let now = Instant::now();
        if self.files.retry(now) {
            self.house.changed(rights::ANNOUNCED);
        }
        if self.config.deadline().is_some_and(|at| at <= now) {
            self.configure();
        }
        if self.reopen.is_some_and(|at| at <= now) {
            self.follow();
        }
    }
}

fn token(index: u32) -> Token {
    Token(u64::from(index) + 1)
}
