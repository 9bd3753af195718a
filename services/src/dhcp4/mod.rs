//! dhcp4: the DHCPv4 client of the uplink (RFC 2131, RFC 2132, RFC 3396 long options, RFC 3442 classless routes).
//!
//! It follows the interface by name (`-interface`, default `uplink0`): netconfigd may rename it into being, it may lose
//! carrier, vanish and come again. The moment it has carrier the stored address is asked for (INIT-REBOOT) or any
//! (DISCOVER), and from then on for ever: 4, 8, 16, 32, 64, 64 ... seconds apart. At T1 the server is asked by unicast
//! (RENEWING), at T2 anybody by broadcast (REBINDING), at the lease's end a server is looked for anew.
//!
//! A new address is used at once. One ARP probe goes out with it (RFC 5227): if somebody else answers within two seconds,
//! the address is declined, the configuration before it is back, and after ten seconds another is looked for. An address
//! of a cable modem's own server is used, but soon something better is looked for.
//!
//! **Nothing is taken away.** dhcp4 writes files and touches no interface: when a lease ends, is refused or given
//! back, the last configuration stays in use until netconfigd is given another.
//!
//! Reads `/perm/interfaces.json` (the uplink's `spoof_hardware_addr`: asked with even before netconfigd has set it; with a
//! `gateway` or `pppoe` it rests), `/perm/dhcp4/client.json` (what a provider wants to be told and asked) and
//! `/perm/dhcp4/wire/ack`. Writes, for netconfigd and dnsd, `/perm/dhcp4/wire/lease.json`, whose `valid_until` is the
//! time of renewal, and for itself `/perm/dhcp4/wire/ack`, the last DHCPACK as it came. A disk that refuses is said
//! aloud and tried again every minute.
//!
//! Port 68: a packet socket, whose filter lets no other packet wake it, for all that arrives and all broadcasts; a UDP
//! socket each for RENEWING and RELEASE, which the kernel routes; and one that holds the port.
//!
//! `SIGUSR1` reads the two again; `SIGUSR2` gives the lease back and rests until the next carrier or start.
mod config;
mod engine;
mod files;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod message;
#[cfg(test)]
mod tests;
mod values;
mod wishes;

use crate::house::random::Random;
use crate::house::rarely::Rarely;
use crate::house::{Failure, House};
use crate::perm::{Mac, WallTime};
use config::{Config, Uplink as Entry};
use engine::{Action, Engine, Event};
use files::Files;
use message::Answer;
use netstack::event::{self, Interest, Loop, Signal, Token};
use netstack::link::Link;
use netstack::netlink::{Monitor, Netlink};
use netstack::packet::{self, Filter, Packet};
use netstack::time::Instant;
use netstack::udp;
use netstack::wire::{arp, ipv4udp};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;
use wishes::Wishes;

const MONITOR: Token = Token(0);
const PACKETS: Token = Token(1);
const CLAIMS: Token = Token(2);
const CLIENT: u16 = 68;
const SERVER: u16 = 67;
const REOPEN: Duration = Duration::from_secs(5);
/// Packets taken in one turn, so that a flood does not keep timers and signals waiting.
const MOST_PACKETS: usize = 64;

/// The interface while it exists: its sockets go with it.
struct Uplink {
    link: Link,
    packets: Packet,
    /// Hears answers; closed while none is awaited, since it costs every packet of the uplink.
    answers: Option<Packet>,
    /// Holds the port, so that no reply is answered with "port unreachable". What it gets, `answers` got as well.
    port: UdpSocket,
    /// Hears who else has our address, and until when; closed at all other times, so that no ARP wakes us.
    claims: Option<(Packet, Instant)>,
}

struct Client {
    house: House,
    config: Config,
    events: Loop,
    netlink: Netlink,
    uplink: Option<Uplink>,
    engine: Engine,
    files: Files,
    announced: String,
    lost: Rarely,
    complaints: Rarely,
    /// When sockets that could not be opened are tried again.
    reopen: Option<Instant>,
}

/// Whether the bytes of client.json can be used.
///
/// # Errors
/// Names file, line, field and value.
pub fn check(path: &std::path::Path, bytes: &[u8]) -> Result<(), crate::perm::json::Refusal> {
    wishes::Wishes::parse(path, bytes, "").map(drop)
}

/// Runs the service.
///
/// # Errors
/// When a flag is wrong or the kernel gives no descriptor; never for want of an interface, a carrier or a server.
pub fn run(house: House) -> Result<(), Failure> {
    let events = Loop::new().map_err(Failure::during("event loop"))?;
    let config = Config::read(&house)?;
    let mut monitor = Monitor::open().map_err(Failure::during("rtnetlink"))?;
    events.add(&monitor, MONITOR, Interest::READ).map_err(Failure::during("rtnetlink"))?;
    let netlink = Netlink::route().map_err(Failure::during("rtnetlink"))?;
    let files = Files::new(house.path(&config.state));
    let wishes = Wishes::defaults(&hostname());
    let engine = Engine::new(Instant::now(), wishes, files.stored(), Random::from_kernel());
    let announced = format!("{}/wire/lease.json", config.state.trim_end_matches('/'));
    let mut client = Client {
        house,
        config,
        events,
        netlink,
        uplink: None,
        engine,
        files,
        announced,
        lost: Rarely::default(),
        complaints: Rarely::default(),
        reopen: None,
    };
    client.configure();
    client.follow();
    client.house.ready();

    let mut happened = Vec::new();
    loop {
        let deadlines = [client.engine.deadline(), client.files.deadline(), client.reopen, client.claims_end()];
        let deadline = deadlines.into_iter().flatten().min();
        client.events.wait(deadline, &mut happened).map_err(Failure::during("event loop"))?;
        for event in &happened {
            match event {
                event::Event::Ready { token: MONITOR, .. } => {
                    if monitor.drain().links {
                        client.follow();
                    }
                }
                event::Event::Ready { token: CLAIMS, .. } => client.hear_claims(),
                event::Event::Ready { .. } => client.receive(),
                event::Event::Signal(Signal::Changed) => client.configure(),
                event::Event::Signal(Signal::Second) => client.handle(Event::Release),
                event::Event::Signal(Signal::Terminate) => return Ok(()),
                event::Event::Timeout => {}
            }
        }
        client.handle(Event::Timeout);
        client.retry();
        if client.reopen.is_some_and(|at| at <= Instant::now()) {
            client.follow();
        }
    }
}

/// The host's name as option 12; none when it is not one that a name server could take.
fn hostname() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let inner = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if inner && name.len() <= 63 && name != "(none)" { name } else { String::new() }
}

impl Client {
    fn configure(&mut self) {
        let uplink = Entry::read(&self.house, &self.config.interface);
        self.handle(Event::Rest(uplink.fixed));
        self.handle(Event::Spoof(uplink.spoofed));
        let path = format!("{}/client.json", self.config.state.trim_end_matches('/'));
        let path = crate::perm::file::in_force(self.house.root(), &path);
        match Wishes::read(&path, &hostname()) {
            Ok(wishes) => self.handle(Event::Wishes(wishes)),
            Err(refusal) => log::warn!("{refusal}; what held before holds"),
        }
    }

    /// Looks at the interface anew: sockets for a new one, its carrier and address to the engine.
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
        if self.uplink.as_ref().map(|uplink| uplink.link.index) != found.as_ref().map(|link| link.index) {
            if self.uplink.take().is_some() {
                log::info!("{} is gone", self.config.interface);
                self.handle(Event::Link(None));
            }
            self.uplink = found.clone().and_then(|link| match Uplink::open(link, &self.events) {
                Ok(uplink) => Some(uplink),
                Err(error) => {
                    log::error!("{}: {error}", self.config.interface);
                    self.reopen = Some(Instant::now() + REOPEN);
                    None
                }
            });
        }
        if let (Some(uplink), Some(link)) = (&mut self.uplink, found) {
            // A cable that was out and in again between two looks may lead elsewhere now.
            let flapped = uplink.link.carrier_changes != link.carrier_changes && uplink.link.running && link.running;
            uplink.link = link;
            if flapped {
                self.handle(Event::Link(None));
            }
            let Some(uplink) = &self.uplink else { return };
            let mac = uplink.link.mac.filter(|_| uplink.link.up && uplink.link.running);
            self.handle(Event::Link(mac.map(Mac)));
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; 2048];
        for _ in 0..MOST_PACKETS {
            let Some(answers) = self.uplink.as_ref().and_then(|uplink| uplink.answers.as_ref()) else { break };
            let received = match answers.receive(&mut buffer) {
                Ok(Some(received)) => received,
                Ok(None) => break,
                Err(error) => {
                    // The interface went down or away, of which the monitor tells more.
                    self.lost.warn(Instant::now(), || format!("receiving: {error}"));
                    break;
                }
            };
            let datagram = ipv4udp::parse(&buffer[..received.length], received.unsummed);
            if let Some(answer) = datagram.and_then(|datagram| Answer::parse(datagram.payload)) {
                self.handle(Event::Received(&answer));
            }
        }
        if let Some(uplink) = &self.uplink {
            uplink.discard(&mut buffer);
        }
    }

    fn handle(&mut self, event: Event) {
        let now = Instant::now();
        let actions = self.engine.handle(now, event);
        // Before anything is asked.
        self.listen(now);
        for action in actions {
            match action {
                Action::Broadcast { source, message } => {
                    self.sent(now, |uplink| uplink.broadcast(source, &message));
                }
                Action::Unicast { server, source, message } => {
                    self.sent(now, |uplink| uplink.unicast(server, source, &message));
                }
                Action::Obtained(lease) => {
                    let written = self.files.write(now, WallTime::now(), &lease);
                    self.announce(written);
                }
                Action::Restored(lease) => {
                    let written = self.files.restore(now, WallTime::now(), &lease);
                    self.announce(written);
                }
                Action::Probe(mac, address) => self.probe(now, mac, address),
                Action::Forget => self.files.forget(),
                Action::Say(text) => log::info!("{text}"),
                Action::Complain(text) => self.complaints.warn(now, || text),
            }
        }
    }

    // What cannot be opened is tried again at the next event, which is the engine's next question at the latest.
    fn listen(&mut self, now: Instant) {
        let Some(uplink) = &mut self.uplink else { return };
        if uplink.answers.is_some() == self.engine.awaits_answer() {
            return;
        }
        uplink.answers = None;
        if !self.engine.awaits_answer() {
            return;
        }
        let opened = Packet::open(uplink.link.index, packet::IPV4, Filter::UdpTo(CLIENT)).and_then(|answers| {
            self.events.add(&answers, PACKETS, Interest::READ)?;
            Ok(answers)
        });
        match opened {
            Ok(answers) => uplink.answers = Some(answers),
            Err(error) => self.lost.warn(now, || format!("listening: {error}")),
        }
    }

    fn claims_end(&self) -> Option<Instant> {
        self.uplink.as_ref()?.claims.as_ref().map(|(_, until)| *until)
    }

    // Without an answer to ARP the address is used all the same.
    fn probe(&mut self, now: Instant, mac: Mac, address: Ipv4Addr) {
        let Some(uplink) = &mut self.uplink else { return };
        uplink.claims = None;
        let opened = Packet::open(uplink.link.index, packet::ARP, Filter::ArpFrom(address)).and_then(|claims| {
            self.events.add(&claims, CLAIMS, Interest::READ)?;
            claims.send(&arp::probe(mac.0, address), packet::BROADCAST)?;
            Ok(claims)
        });
        match opened {
            Ok(claims) => uplink.claims = Some((claims, now + engine::CONFLICT)),
            Err(error) => self.lost.warn(now, || format!("asking who has {address}: {error}")),
        }
    }

    fn hear_claims(&mut self) {
        let mut buffer = [0; 64];
        for _ in 0..MOST_PACKETS {
            let Some((claims, _)) = self.uplink.as_ref().and_then(|uplink| uplink.claims.as_ref()) else { return };
            let Ok(Some(received)) = claims.receive(&mut buffer) else { return };
            if let Some((mac, address)) = arp::sender(&buffer[..received.length]) {
                self.handle(Event::Claimed(Mac(mac), address));
            }
        }
    }

    fn retry(&mut self) {
        if self.claims_end().is_some_and(|until| until <= Instant::now())
            && let Some(uplink) = &mut self.uplink
        {
            uplink.claims = None;
        }
        let written = self.files.retry(Instant::now());
        self.announce(written);
    }

    fn announce(&mut self, written: bool) {
        if written {
            log::info!("{} written", self.announced);
            self.house.changed(&self.announced);
        }
    }

    // A message that cannot be sent is a message lost: the engine's timer repeats it.
    fn sent(&mut self, now: Instant, send: impl FnOnce(&Uplink) -> io::Result<()>) {
        if let Some(Err(error)) = self.uplink.as_ref().map(send) {
            self.lost.warn(now, || format!("sending: {error}"));
        }
    }
}

impl Uplink {
    fn open(link: Link, events: &Loop) -> io::Result<Uplink> {
        let packets = Packet::sender(link.index, packet::IPV4)?;
        let port = udp::bound(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT).into(), on(&link))?;
        events.add(&port, PACKETS, Interest::READ)?;
        Ok(Uplink { link, packets, answers: None, port, claims: None })
    }

    fn broadcast(&self, source: Ipv4Addr, message: &[u8]) -> io::Result<()> {
        let from = SocketAddrV4::new(source, CLIENT);
        let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, SERVER);
        let packet = ipv4udp::emit(from, to, message);
        self.packets.send(&packet, packet::BROADCAST)
    }

    // By a socket of its own: only one that is bound to the address is sure to send from it.
    fn unicast(&self, server: Ipv4Addr, source: Ipv4Addr, message: &[u8]) -> io::Result<()> {
        let socket = udp::bound(SocketAddrV4::new(source, CLIENT).into(), on(&self.link))?;
        socket.send_to(message, SocketAddrV4::new(server, SERVER)).map(|_| ())
    }

    fn discard(&self, buffer: &mut [u8]) {
        for _ in 0..MOST_PACKETS {
            if self.port.recv(buffer).is_err() {
                return;
            }
        }
    }
}

fn on(link: &Link) -> udp::Options<'_> {
    udp::Options { device: Some(&link.name), reuse: true, ..udp::Options::default() }
}
