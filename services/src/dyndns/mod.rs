//! dyndns: names on the internet that follow the addresses of this router and of machines at home.
//!
//! `/perm/dyndns.json` is router7's (Cloudflare, type A) and says more: AAAA; RFC 2136 signed with HMAC-SHA256 (RFC 8945);
//! the protocol of dyndns.org, which most providers speak; deSEC; DuckDNS; and machines of the LANs, by the prefix that
//! the LAN has and the second half of their address.
//!
//! **When**: as soon as an address has changed and was the same for 5 s, one record at a time, none more often than once a
//! minute. What fails is tried again after a minute, then less and less often, to an hour; a refusal after an hour, to a
//! day. Who answers by dyndns2's words of misuse (`badauth`, `abuse`, `nohost` and so on) is not asked again before the
//! entry is changed, nor after a boot. What was published is kept in `/perm/dyndns/state.json`: a boot with the same
//! address says nothing. Once a day a record is looked at where that is free (Cloudflare, RFC 2136), and after 25 days it
//! is said again where silence is forgotten.
//!
//! **How**: HTTPS (TLS 1.2 or 1.3) with the internet's authorities and those of `/perm/dyndns/ca.pem`; updates of the DNS
//! by TCP. Names are asked for at dnsd, and nothing is waited for. Until the clock is right, for two minutes at most,
//! nobody is asked: no certificate and no signature would hold.
//!
//! | Reads | When |
//! |---|---|
//! | `/perm/dyndns.json`, `/perm/dyndns/ca.pem` | start, `SIGUSR1` |
//! | `/run/deviced/devices.json` (names of machines), `/run/ntpd/state.json` | start, `SIGUSR1` |
//!
//! Writes `/perm/dyndns/state.json`. Port: 8054 on loopback, `/metrics`, which webd gathers. Flags of router7's:
//! `-config_file`, `-interface_name`, `-oneoff` (looks after every record once and ends).
mod addresses;
mod client;
mod config;
mod engine;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod metrics;
#[cfg(test)]
mod tests;

use crate::house::asking::Asking;
use crate::house::random::Random;
use crate::house::rarely::Rarely;
use crate::house::shown::Shown;
use crate::house::tls::Authorities;
use crate::house::{Failure, House};
use crate::perm::interfaces::UPLINK;
use crate::perm::json::{self, Refusal};
use crate::perm::{WallTime, clock, devices, file};
use addresses::Sight;
use client::Client;
use config::{Record, Records};
use engine::kept::Kept;
use engine::{Action, Engine, Event, Now};
use lexopt::{Arg, ValueExt};
use netstack::event::{self, Interest, Loop, Signal, Token};
use netstack::netlink::{Monitor, Netlink};
use netstack::time::Instant;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

const MONITOR: Token = Token(0);
const PROVIDER: Token = Token(1);
const STATE: &str = "/perm/dyndns/state.json";

/// Whether `dyndns.json` can be used; entries that cannot are left out, each with its line.
///
/// # Errors
/// Names file, field and value.
pub fn check(path: &Path, bytes: &[u8]) -> Result<Vec<Refusal>, Refusal> {
    Records::parse(path, bytes).map(|read| read.refused)
}

struct Flags {
    config: Option<PathBuf>,
    uplink: String,
    once: bool,
}

struct Dyndns {
    house: House,
    turn: Loop,
    netlink: Netlink,
    engine: Engine,
    client: Client,
    flags: Flags,
    records: Vec<Record>,
    sight: Sight,
    complaints: Vec<String>,
    lost: Rarely,
    kept: Vec<u8>,
}

/// Runs the service.
///
/// # Errors
/// When a flag is wrong or the kernel gives no descriptor; never for want of a network. With `-oneoff` also when a record
/// is not right at the end.
pub fn run(house: House) -> Result<(), Failure> {
    let flags = flags(&house)?;
    let turn = Loop::new().map_err(Failure::during("event loop"))?;
    let mut monitor = Monitor::open().map_err(Failure::during("news of addresses"))?;
    turn.add(&monitor, MONITOR, Interest::READ)?;
    let kept = file::read(&house.path(STATE)).ok().flatten().unwrap_or_default();
    let mut dyndns = Dyndns {
        netlink: Netlink::route().map_err(Failure::during("rtnetlink"))?,
        // What cannot be read is said anew, to who does not mind; nobody else writes there.
        engine: Engine::new(Instant::now(), serde_json::from_slice(&kept).unwrap_or_default(), Random::from_kernel()),
        client: Client::new(PROVIDER),
        records: Vec::new(),
        sight: Sight::default(),
        complaints: Vec::new(),
        lost: Rarely::default(),
        kept,
        flags,
        house,
        turn,
    };
    let mut shown = Shown::open(&dyndns.turn, Instant::now(), "dyndns");
    dyndns.configure();
    dyndns.house.ready();
    let mut happened = Vec::new();
    loop {
        dyndns.handle(Event::Time);
        dyndns.talk();
        if dyndns.flags.once
            && let Some(right) = dyndns.engine.settled()
        {
            return if right { Ok(()) } else { Err(Failure::new("not every record is right")) };
        }
        let times = [dyndns.engine.deadline(), dyndns.client.deadline(), shown.deadline()];
        dyndns.turn.wait(times.into_iter().flatten().min(), &mut happened)?;
        let now = Instant::now();
        let (mut changed, mut moved) = (false, false);
        for event in &happened {
            match event {
                event::Event::Signal(Signal::Terminate) => return Ok(()),
                event::Event::Signal(Signal::Changed) => changed = true,
                event::Event::Signal(Signal::Second) | event::Event::Timeout => {}
                event::Event::Ready { token: MONITOR, .. } => moved |= monitor.drain().any(),
                event::Event::Ready { token, .. } if Asking::owns(*token) => dyndns.client.answered(now, *token),
                event::Event::Ready { token, .. } if Shown::owns(*token) => {
                    let engine = &dyndns.engine;
                    shown.ready(&dyndns.turn, now, *token, || metrics::page(engine));
                }
                event::Event::Ready { .. } => {}
            }
        }
        if changed {
            dyndns.configure();
        } else if moved {
            dyndns.look();
        }
        shown.tick(&dyndns.turn, now);
    }
}

fn flags(house: &House) -> Result<Flags, Failure> {
    let mut given = Flags { config: None, uplink: UPLINK.to_owned(), once: false };
    let mut flags = house.flags();
    while let Some(flag) = flags.next().map_err(Failure::during("flags"))? {
        let taken = match flag {
            Arg::Long("config_file") => flags.value().map(|path| given.config = Some(PathBuf::from(path))),
            Arg::Long("interface_name") => flags.value().and_then(ValueExt::string).map(|name| given.uplink = name),
            Arg::Long("oneoff") => {
                given.once = true;
                Ok(())
            }
            other => Err(other.unexpected()),
        };
        taken.map_err(Failure::during("flags"))?;
    }
    Ok(given)
}

impl Dyndns {
    /// Reads every file anew.
    fn configure(&mut self) {
        let root = self.house.root();
        let path = self.flags.config.clone().unwrap_or_else(|| file::in_force(root, rights::DYNDNS));
        let mut complaints = Vec::new();
        let read = match file::read(&path) {
            Ok(None) => Some(Records::default()),
            Ok(Some(bytes)) => {
                Records::parse(&path, &bytes).map_err(|refusal| complaints.push(refusal.to_string())).ok()
            }
            Err(error) => {
                complaints.push(format!("{}: {error}", path.display()));
                None
            }
        };
        complaints.extend(read.iter().flat_map(|read| &read.refused).map(ToString::to_string));
        match devices::read(root) {
            Ok(devices) => self.sight.devices = devices.unwrap_or_default(),
            // Whose file it is says so too.
            Err(refusal) => complaints.push(refusal.to_string()),
        }
        for words in complaints.iter().filter(|words| !self.complaints.contains(words)) {
            log::error!("{words}");
        }
        self.complaints = complaints;
        self.handle(Event::Clock(clock::is_right(self.house.root()).unwrap_or(false)));
        // A file that is refused leaves the one before in force, and what is known of its records.
        if let Some(Records { records, .. }) = read.filter(|read| read.records != self.records) {
            self.records.clone_from(&records);
            self.handle(Event::Records(records));
        }
        self.look();
    }

    /// Looks at the addresses of now.
    fn look(&mut self) {
        if self.records.is_empty() {
            return;
        }
        match self.netlink.links().and_then(|links| Ok((links, self.netlink.addresses()?))) {
            Ok((links, addresses)) => (self.sight.links, self.sight.addresses) = (links, addresses),
            Err(error) => return self.lost.warn(Instant::now(), || format!("rtnetlink: {error}")),
        }
        self.sight.uplink.clone_from(&self.flags.uplink);
        let wanted = self.records.iter().map(|record| self.sight.of(record)).collect();
        self.handle(Event::Addresses(wanted));
    }

    /// Goes on with what is being asked.
    fn talk(&mut self) {
        loop {
            let now = Instant::now();
            let own = file::in_force(self.house.root(), rights::DYNDNS_CA);
            let authorities = || {
                let pem = file::read(&own).map_err(|error| format!("{}: {error}", own.display()))?;
                Authorities::new(&pem.unwrap_or_default()).map_err(|words| format!("{}: {words}", own.display()))
            };
            match self.client.turn(&self.turn, now, authorities) {
                Some(Ok(said)) => self.handle(Event::Answer(said)),
                Some(Err(words)) => self.handle(Event::Failed(words)),
                None if self.client.is_eager() => {}
                None => return,
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let now = Now { at: Instant::now(), wall: WallTime::now() };
        let mut actions = VecDeque::from(self.engine.handle(now, event));
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Ask(place, ask) => self.client.ask(now.at, place, ask),
                Action::HangUp => self.client.hang_up(now.at),
                Action::Keep => self.keep(),
                Action::Say(words) => log::info!("{words}"),
                Action::Complain(words) => log::warn!("{words}"),
            }
        }
    }

    fn keep(&mut self) {
        let kept: Kept = self.engine.kept();
        let bytes = json::write(&kept);
        if bytes == self.kept {
            return;
        }
        match file::replace_with(&self.house.path(STATE), &bytes, 0o600) {
            Ok(_) => self.kept = bytes,
            Err(error) => self.lost.warn(Instant::now(), || format!("{STATE}: {error}")),
        }
    }
}
