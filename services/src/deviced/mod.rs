//! deviced: the one table of devices at home, for everybody who names or shows one.
//!
//! It learns of devices from the leases that dhcp4d gives (`/perm/dhcp4d/leases.log`, of whose growth it is told) and from
//! the kernel's neighbours on the LANs (ARP, RFC 826; neighbour discovery, RFC 4861), and knows who made a network
//! interface by the IEEE's list (`/etc/oui`, looked up in the file). Within a second of an ACK or of the first neighbour's
//! news the device stands in `/run/deviced/devices.json`. The table is bounded: who was not seen for longest goes first,
//! never one with a fixed name.
//!
//! What a person has said, and when a device was first seen, is kept in `/perm/deviced/devices.json`; when it was last
//! seen, once an hour.
//!
//! Where `/perm/dhcp4d/mqtt-broker.txt` names a broker, it publishes every ACK there, as router7 does (MQTT 3.1.1, QoS 0,
//! retained): so that the server of leases has no connection of its own.
//!
//! `/run/deviced.sock` takes `rename`, `fix` and `forget`. Reads `/perm/interfaces.json` for the LANs' names.
mod engine;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod mqtt;
mod oui;
mod requests;
mod tail;
#[cfg(test)]
mod tests;

use crate::house::requests::Requests;
use crate::house::{Failure, House};
use crate::perm::json::Refusal;
use crate::perm::{Mac, WallTime, file, interfaces, json};
use engine::{Engine, kept};
use mqtt::Publisher;
use netstack::event::{Event, Interest, Loop, Signal, Token};
use netstack::neighbour::Neighbour;
use netstack::netlink::{Monitor, Neighbours, Netlink};
use netstack::time::Instant;
use oui::Vendors;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use tail::Tail;

const MONITOR: Token = Token(0);
const NEIGHBOURS: Token = Token(1);
const BROKER: Token = Token(2);
/// The table is written once in this time at most, and a millisecond more for as many devices: who writes it more often
/// makes everybody read it more often.
const BEHIND: Duration = Duration::from_millis(100);
const OF_A_MILLISECOND: usize = 20;
/// How often the table is looked at for leases that have run out and devices that were only seen.
const MINUTE: Duration = Duration::from_secs(60);
/// When a new device is written to the disk, and how often when all were last seen.
const NEW: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3_600);
const RETRY: Duration = Duration::from_secs(60);

struct Deviced {
    house: House,
    engine: Engine,
    vendors: Vendors,
    tail: Tail,
    publisher: Publisher,
    netlink: Netlink,
    /// Names of the LANs' interfaces by the kernel's numbers.
    lans: HashMap<u32, String>,
    write_at: Option<Instant>,
    written: Instant,
    keep_at: Instant,
    minute: Instant,
    refused: bool,
}

/// Runs the service.
///
/// # Errors
/// When the kernel gives no descriptor.
pub fn run(house: House) -> Result<(), Failure> {
    if let Some(flag) = house.flags().next().map_err(Failure::during("flags"))? {
        return Err(Failure::new(format!("flags: {}", flag.unexpected())));
    }
    let mut turn = Loop::new()?;
    // Before the first look: nothing that happens after it is missed.
    let mut monitor = Monitor::open().map_err(Failure::during("news of interfaces"))?;
    turn.add(&monitor, MONITOR, Interest::READ)?;
    let mut neighbours = Neighbours::open().map_err(Failure::during("news of neighbours"))?;
    turn.add(&neighbours, NEIGHBOURS, Interest::READ)?;
    let mut requests = Requests::open(&house, &turn, "deviced")?;
    let now = Instant::now();
    let mut engine = Engine::default();
    match kept::read(&house.path(rights::KNOWN_DEVICES)) {
        Ok(known) => engine.load(known),
        Err(refusal) => log::error!("{refusal}: names and first days are forgotten"),
    }
    let mut state = Deviced {
        vendors: Vendors::open(&house.path("/etc/oui")),
        tail: Tail::new(house.path(rights::LEASE_LOG)),
        publisher: Publisher::default(),
        netlink: Netlink::route().map_err(Failure::during("rtnetlink"))?,
        house,
        engine,
        lans: HashMap::new(),
        write_at: Some(now),
        written: now,
        keep_at: now + HOUR,
        minute: now + MINUTE,
        refused: false,
    };
    state.follow();
    state.look();
    state.leases(now, false);
    state.broker();
    state.write();
    state.house.ready();
    let mut happened = Vec::new();
    loop {
        let times = [state.write_at, state.publisher.deadline(), Some(state.keep_at), Some(state.minute)];
        turn.wait(times.into_iter().flatten().min(), &mut happened)?;
        let now = Instant::now();
        for event in &happened {
            match event {
                Event::Signal(Signal::Terminate) => {
                    state.keep(now);
                    return Ok(());
                }
                Event::Signal(Signal::Changed) => {
                    state.follow();
                    state.leases(now, true);
                    state.broker();
                }
                Event::Signal(Signal::Second) | Event::Timeout => {}
                Event::Ready { token: MONITOR, .. } => {
                    if monitor.drain().links {
                        state.follow();
                        state.look();
                    }
                }
                Event::Ready { token: NEIGHBOURS, .. } => {
                    let mut heard = Vec::new();
                    let lost = neighbours.drain(|neighbour| heard.push(neighbour));
                    heard.into_iter().for_each(|neighbour| state.heard(neighbour));
                    if lost {
                        state.look();
                    }
                }
                Event::Ready { token: BROKER, .. } => state.publisher.ready(now),
                Event::Ready { token, .. } if Requests::owns(*token) => {
                    requests.ready(&turn, *token, |line| state.request(now, line));
                }
                Event::Ready { .. } => {}
            }
        }
        state.publisher.tick(now, &turn, BROKER);
        state.timers(now);
    }
}

/// Whether the broker's file can be used.
///
/// # Errors
/// Names file and value.
pub fn check(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    mqtt::address(&String::from_utf8_lossy(bytes)).map(drop).map_err(|words| Refusal::field(path, "the file", words))
}

impl Deviced {
    /// Which interfaces are LANs.
    fn follow(&mut self) {
        let loaded = interfaces::load(self.house.root());
        let names = loaded.interfaces.lans();
        let Ok(links) = self.netlink.links() else { return };
        let ours = links.into_iter().filter(|link| names.contains(&link.name.as_str()));
        self.lans = ours.map(|link| (link.index, link.name)).collect();
    }

    /// Every neighbour that the kernel knows.
    fn look(&mut self) {
        for neighbour in self.netlink.neighbours().unwrap_or_default() {
            self.heard(neighbour);
        }
    }

    fn heard(&mut self, neighbour: Neighbour) {
        let Some(name) = self.lans.get(&neighbour.interface) else { return };
        let (mac, vendors) = (Mac(neighbour.mac), &self.vendors);
        let news =
            self.engine.heard(WallTime::now(), name, mac, neighbour.address, neighbour.alive, || vendors.of(mac));
        self.after(news);
    }

    /// What has been promised since the last look; told to the broker, unless it is of the past.
    fn leases(&mut self, now: Instant, tell: bool) {
        let Deviced { tail, engine, vendors, lans, publisher, .. } = self;
        let wall = WallTime::now();
        let nets = interfaces::load(self.house.root()).interfaces;
        let of = |address: std::net::Ipv4Addr| {
            let holds = |name: &&&String| {
                nets.ipv4_of(name)
                    .and_then(|(own, prefix)| ipnet::Ipv4Net::new(own, prefix).ok())
                    .is_some_and(|net| net.contains(&address))
            };
            lans.values().collect::<Vec<_>>().iter().find(holds).map(|name| (*name).clone())
        };
        let mut news = engine::News::default();
        let mut acks = Vec::new();
        tail.read(now, wall, |change| {
            let (lease, what) = engine.lease(change, of, |mac| vendors.of(mac));
            news.merge(what);
            acks.extend(lease.filter(|_| tell));
        });
        for lease in acks {
            publisher.publish(&lease);
        }
        self.after(news);
    }

    fn after(&mut self, news: engine::News) {
        let now = Instant::now();
        if news.changed {
            let behind = BEHIND + Duration::from_millis((self.engine.len() / OF_A_MILLISECOND) as u64);
            self.write_at.get_or_insert(now.max(self.written + behind));
        }
        if news.new {
            self.keep_at = self.keep_at.min(now + NEW);
        }
    }

    fn broker(&mut self) {
        let path = file::in_force(self.house.root(), rights::MQTT);
        let text = file::read_up_to(&path, 4_096).ok().flatten();
        let wanted = text.map(|bytes| mqtt::address(&String::from_utf8_lossy(&bytes)));
        let wanted = match wanted {
            Some(Err(words)) => {
                log::warn!("{}: {words}", path.display());
                None
            }
            Some(Ok(found)) => found,
            None => None,
        };
        self.publisher.to(wanted);
    }

    fn timers(&mut self, now: Instant) {
        if self.minute <= now {
            self.minute = now + MINUTE;
            if self.engine.is_stale(WallTime::now()) {
                self.write_at.get_or_insert(now);
            }
        }
        if self.write_at.is_some_and(|at| at <= now) {
            self.write();
        }
        if self.keep_at <= now {
            self.keep(now);
        }
    }

    fn write(&mut self) {
        self.write_at = None;
        self.written = Instant::now();
        let table = self.engine.table(WallTime::now());
        self.publisher.names(&table);
        match file::replace(&self.house.path(rights::DEVICES), &json::write(&table)) {
            Ok(true) => self.house.changed(rights::DEVICES),
            Ok(false) => {}
            Err(error) => log::error!("{}: {error}", rights::DEVICES),
        }
    }

    /// Writes to the disk what has to outlive the boot; says whether it is there.
    fn keep(&mut self, now: Instant) -> bool {
        let result = file::replace(&self.house.path(rights::KNOWN_DEVICES), &json::write(&self.engine.known()));
        self.keep_at = now + if result.is_ok() { HOUR } else { RETRY };
        match &result {
            Ok(_) => self.refused = false,
            Err(error) => {
                if !std::mem::replace(&mut self.refused, true) {
                    log::error!("{}: {error}: tried again each minute", rights::KNOWN_DEVICES);
                }
            }
        }
        result.is_ok()
    }

    fn request(&mut self, now: Instant, line: &[u8]) -> String {
        let before = self.engine.known();
        let done = requests::apply(&mut self.engine, WallTime::now(), line, |mac| self.vendors.of(mac));
        match done {
            Err(words) => crate::house::requests::error(&words),
            Ok(()) if self.keep(now) => {
                self.write();
                "{\"ok\":true}\n".to_owned()
            }
            Ok(()) => {
                // What cannot be kept is not promised.
                self.engine.load(before);
                crate::house::requests::error("the disk does not take it; the log says why")
            }
        }
    }
}
