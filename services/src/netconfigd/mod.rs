//! netconfigd: makes the kernel's network what interfaces.json and the lease say.
//!
//! It names the NICs (by hardware address, by name, or by their order on the bus), makes bridges, sets MTUs and
//! hardware addresses, gives addresses and routes, writes the sysctls of a router, and puts in the ruleset: one
//! `inet weir` table, replaced in one transaction, with masquerading (RFC 3022), the MSS clamped to the route's MTU,
//! everything new from the internet refused for IPv4 and IPv6 (RFC 6092; ICMPv6 as RFC 4890 says). Tables of other
//! programs are left alone. The ruleset is in the kernel before it forwards and before the uplink is switched on.
//!
//! What is wanted is compared with what the kernel holds; only the difference is asked for, so applying an unchanged
//! configuration changes nothing. That is done at the start, on `SIGUSR1` (a file was replaced), and when the kernel
//! tells of a change (a NIC that appears late, one that was switched off). A refusal in one interface does not keep the
//! others from being configured; what was refused is tried again.
//!
//! Of each delegated prefix every LAN has a /64 and the router an address in it; what nobody uses of the prefix is
//! unreachable (RFC 7084, WPD-5), and only from it a packet may leave by the uplink (BCP 38). Addresses, routes and
//! ruleset follow a changed prefix in one pass; a LAN whose hosts may still hold a former prefix keeps a route for it, so
//! that they can be told.
//!
//! WireGuard interfaces (wireguard.json) are made before they are given addresses, and of their peers only the differences
//! are asked for: sessions of those that stay go on. A peer's name is asked for at dnsd, and again when the peer has been
//! silent for 135 s or the uplink has changed. Where a tunnel takes everything, its own packets keep routes by the
//! uplink. What waits for the line waits here (shaping.json): in CAKE (RFC 8290 and 7567 say why), on the uplink for
//! uploads, on the LAN for downloads.
//!
//! Reads `/perm/interfaces.json` (missing: NICs in bus order are uplink0 and lan0; refused: its last good copy),
//! `/perm/dhcp4/wire/lease.json` or, where the uplink is a PPPoE session, `/run/pppoe/lease.json` (missing: the uplink keeps what it has), `/perm/dhcp6/lease.json`, and the prefixes of
//! our own in `/perm/radvd/` (`prefixes.json`, else `ula.json`), `/perm/radvd/announced.json`,
//! `/perm/wireguard.json`, `/perm/shaping.json`, `/perm/portforwardings.json`, `/perm/firewall.json` with `/perm/time.json` for its schedules and, where one of them
//! names a device, `/perm/dhcp4d/leases.json`. Writes
//! `/perm/netconfigd/interfaces.json`, the last file that was applied in full and is no candidate,
//! `/run/netconfigd/interfaces.json`, the last one of this boot, whatever it was, `/perm/netconfigd/counters.json`, and
//! `/tmp/resolv.conf` when nobody else did.
//! Port: 8066 on private addresses, `/metrics` for Prometheus.
//!
//! Ready: ruleset and forwarding are in the kernel and every LAN that exists has its addresses; lan0, when wanted, must
//! exist. Neither cable nor lease is waited for. `--linger=false` applies once and ends.
mod bus;
mod config;
mod engine;
mod fast;
mod fec;
mod good;
mod kernel;
mod metrics;
mod resolv;
mod ruleset;
#[cfg(test)]
mod tests;
mod totals;

use crate::house::asking::Asking;
use crate::house::{Failure, House};
use crate::metrics::KIND;
use crate::perm::interfaces::{Loaded, Source};
use crate::perm::stamp::Clock;
use crate::perm::{WallTime, file, schedule};
use crate::web::{self, Response};
use config::Config;
use engine::{Endpoints, Firewall, Wanted};
use fast::Fast;
use kernel::Kernel;
use netstack::conntrack::Endings;
use netstack::event::{Event, Interest, Loop, Signal, Token};
use netstack::netlink::Monitor;
use netstack::nft;
use netstack::time::Instant;
use std::collections::BTreeSet;
use std::time::Duration;
use totals::Totals;

const MONITOR: Token = Token(0);
const RULESETS: Token = Token(1);
const ENDINGS: Token = Token(2);
/// Ends of connections are read at most so often.
const GATHER: Duration = Duration::from_millis(200);
/// How often what was counted is written down.
const KEEP: Duration = Duration::from_secs(60);
/// First and longest wait before what was refused is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Passes in a row with something to change, after which news are answered once a second.
const UNSETTLED: u32 = 4;
/// Looks in one round: a bridge is made in the first and configured in the second.
const LOOKS: u32 = 4;

/// Why the state is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The start, or a file: said in the log even if nothing is to be done.
    Asked,
    /// News from the kernel, or an earlier refusal.
    Noticed,
}

struct Netconfigd {
    house: House,
    kernel: Kernel,
    /// The ruleset that is in the kernel by our doing, and the kernel's numbers of its rules.
    firewall: Option<Firewall>,
    handles: Option<Vec<u64>>,
    /// It was replaced in this round: its rules' numbers are still to be read.
    is_new: bool,
    fast: Fast,
    config: Config,
    /// Where WireGuard's peers are, and the questions after their names.
    endpoints: Endpoints,
    asking: Asking,
    /// What was complained of last time; a complaint is logged when it is new.
    complaints: Vec<String>,
    retry: Option<(Instant, Duration)>,
    /// Passes in a row that had something to change.
    unsettled: u32,
    ready: bool,
    web: web::Server,
    totals: Totals,
    /// When the totals are to be written down.
    keep_at: Instant,
    endings: Endings,
    /// When ends of connections are to be listened for again.
    gather_at: Option<Instant>,
}

pub use config::check;

/// Runs the service.
pub fn run(house: House) -> Result<(), Failure> {
    let linger = linger(&house)?;
    let mut turn = Loop::new()?;
    // Before the first look: nothing that happens after it is missed.
    let mut monitor = Monitor::open().map_err(Failure::during("news of interfaces"))?;
    turn.add(&monitor, MONITOR, Interest::READ)?;
    // Before the ruleset: only the ends of connections that begin from here on are told.
    let endings = Endings::open().map_err(Failure::during("ends of connections"))?;
    turn.add(&endings, ENDINGS, Interest::READ)?;
    let kernel = Kernel::open()?;
    let clock = Clock::read();
    let mut state = Netconfigd {
        house,
        kernel,
        firewall: None,
        handles: None,
        is_new: false,
        fast: Fast::default(),
        config: Config::new(),
        endpoints: Endpoints::default(),
        asking: Asking::new(),
        complaints: Vec::new(),
        retry: None,
        unsettled: 0,
        ready: false,
        web: web::Server::default(),
        totals: Totals::default(),
        keep_at: clock.now + KEEP,
        endings,
        gather_at: None,
    };
    state.apply(Cause::Asked)?;
    if !linger {
        return if state.retry.is_none() { Ok(()) } else { Err(Failure::new("not everything was applied")) };
    }
    // Only now: while somebody listens, the kernel tells of every element that is put into a set.
    let mut rulesets = Monitor::of_rulesets().map_err(Failure::during("news of rulesets"))?;
    turn.add(&rulesets, RULESETS, Interest::READ)?;
    // Only now: the boot does not wait for what was counted before it.
    let (totals, refusal) = Totals::open(state.house.root(), &clock.boot);
    if let Some(refusal) = refusal {
        log::warn!("{refusal}; counting begins anew");
    }
    state.totals = totals;
    state.show(&turn);
    let mut events = Vec::new();
    loop {
        let minute = state.config.has_schedules().then(|| schedule::next_minute(WallTime::now()));
        let peers = state.endpoints.deadline();
        let deadlines =
            [state.retry.map(|(at, _)| at), state.web.deadline(), Some(state.keep_at), minute, peers, state.gather_at];
        turn.wait(deadlines.into_iter().flatten().min(), &mut events)?;
        let now = Instant::now();
        let mut cause = None;
        for event in &events {
            match event {
                Event::Signal(Signal::Terminate) => {
                    state.count();
                    return Ok(());
                }
                Event::Signal(Signal::Changed) => {
                    if !state.config.is_for_others(state.house.root()) {
                        cause = Some(Cause::Asked);
                    }
                }
                Event::Signal(Signal::Second) | Event::Timeout => {}
                Event::Ready { token, .. } if web::Server::owns(*token) => state.answer(&turn, now, *token),
                Event::Ready { token: ENDINGS, .. } => {
                    state.count_traffic(false);
                    turn.modify(&state.endings, ENDINGS, Interest::NONE)?;
                    state.gather_at = Some(now + GATHER);
                }
                Event::Ready { token, .. } if Asking::owns(*token) => {
                    if let Some((id, addresses)) = state.asking.ready(*token)
                        && state.endpoints.answered(now, id, &addresses)
                    {
                        cause = cause.or(Some(Cause::Noticed));
                    }
                }
                Event::Ready { token, .. } => {
                    let news = if *token == RULESETS { &mut rulesets } else { &mut monitor };
                    if news.drain().any() {
                        // Who undoes what we do, or a kernel that tells it otherwise, must not make us spin.
                        if state.unsettled < UNSETTLED {
                            cause = cause.or(Some(Cause::Noticed));
                        } else {
                            state.retry = state.retry.or(Some((now + RETRY.0, RETRY.0)));
                        }
                    }
                }
            }
        }
        let due = state.retry.is_some_and(|(at, _)| at <= now) || state.endpoints.wants_a_look(now);
        if due || state.config.is_due(WallTime::now()) {
            cause = cause.or(Some(Cause::Noticed));
        }
        if let Some(cause) = cause {
            state.apply(cause)?;
        }
        if state.gather_at.is_some_and(|at| at <= now) {
            state.gather_at = None;
            turn.modify(&state.endings, ENDINGS, Interest::READ)?;
        }
        state.ask(&turn, now);
        if state.keep_at <= now {
            state.count();
            state.keep_at = now + KEEP;
        }
        state.web.tick(now);
        if cause.is_some() || state.web.wants_follow(now) {
            state.show(&turn);
        }
    }
}

fn linger(house: &House) -> Result<bool, Failure> {
    let mut flags = house.flags();
    let mut linger = true;
    while let Some(flag) = flags.next().map_err(Failure::during("flags"))? {
        match flag {
            lexopt::Arg::Long("linger") => {
                linger = match flags.optional_value().and_then(|value| value.into_string().ok()).as_deref() {
                    None | Some("true" | "1") => true,
                    Some("false" | "0") => false,
                    Some(other) => return Err(Failure::new(format!("--linger: {other:?} is neither true nor false"))),
                }
            }
            other => return Err(Failure::during("flags")(other.unexpected())),
        }
    }
    Ok(linger)
}

/// A kernel that does not answer says nothing of its counters.
fn look(totals: &mut Totals) {
    if let Ok(counts) = nft::counters(ruleset::TABLE) {
        totals.observe(counts);
    }
}

/// The same for connections.
fn traffic(kernel: &mut Kernel, endings: &mut Endings, totals: &mut Totals, stand: bool) {
    match kernel.count(endings, &mut totals.traffic, stand) {
        Ok(true) => {}
        Ok(false) => {
            log::warn!("more connections ended at once than could be read; the last they carried is not counted")
        }
        Err(error) => log::warn!("connections are not counted: {error}"),
    }
}

impl Netconfigd {
    fn apply(&mut self, cause: Cause) -> Result<(), Failure> {
        let mut complaints = Vec::new();
        let (mut wanted, loaded) = self.config.read(self.house.root(), &mut complaints);
        let now = Instant::now();
        if let Some(tunnels) = &wanted.tunnels {
            self.endpoints.follow(now, tunnels);
        }
        wanted.places = self.endpoints.places();
        let (mut done, mut failed, mut again, mut missing) = (Vec::new(), false, false, Vec::new());
        let mut found = engine::Found::default();
        for _ in 0..LOOKS {
            found = self.kernel.look(&engine::sysctls_wanted(&wanted, true))?;
            found.without_others(&wanted.interfaces);
            found.firewall = self.firewall.take().filter(|_| self.is_whole());
            let plan = engine::plan(&wanted, &found);
            let outcome = self.kernel.apply(&plan, &mut found);
            self.firewall = found.firewall.clone();
            self.is_new |= plan.actions.iter().any(|action| matches!(action, engine::Action::Firewall(_)));
            failed |= outcome.refused.iter().any(|refused| !refused.bearable);
            again |= outcome.refused.iter().any(|refused| refused.again);
            done.extend(outcome.done);
            complaints.extend(outcome.refused.into_iter().map(|refused| refused.words));
            missing.clone_from(&plan.missing);
            if !plan.wants_another() {
                complaints.extend(plan.complaints);
                break;
            }
        }
        self.endpoints.look(now, &found);
        complaints.extend(self.endpoints.complaints());
        complaints.extend(missing.iter().map(|name| format!("{name}: its interface is not there")));
        let ready = engine::ready(&wanted, &found);
        if ready {
            self.house.ready();
        }
        self.resolv_conf(&wanted, &mut complaints);
        if ready && !failed {
            self.keep(&loaded, &mut complaints);
        }
        if ready {
            // After the router is ready: it routes without.
            done.extend(self.fast.follow(engine::fast_nics(&wanted, &found)));
            complaints.extend(self.fast.complaints().iter().cloned());
            let (set, refused) = fec::follow(&wanted.interfaces, &found);
            done.extend(set);
            complaints.extend(refused);
        }
        complaints.extend(self.kernel.slow().cloned());
        if ready && let Err(error) = self.config.keep_good(self.house.root()) {
            complaints.push(format!("good copies in /perm/netconfigd: {error}"));
        }
        if std::mem::take(&mut self.is_new) {
            // After the router is ready, too.
            self.handles = nft::handles(ruleset::TABLE).ok().flatten();
        }
        self.unsettled = if done.is_empty() { 0 } else { self.unsettled.saturating_add(1) };
        // What is said costs boot time, so it is said after the router is ready.
        self.say(cause, done, complaints);
        if ready && !std::mem::replace(&mut self.ready, true) {
            self.tune(&wanted);
        }
        self.retry = again.then(|| {
            let wait = self.retry.map_or(RETRY.0, |(_, wait)| (wait * 2).min(RETRY.1));
            (Instant::now() + wait, wait)
        });
        Ok(())
    }

    /// Whether our table has the rules that we gave it: whoever empties the kernel of rulesets takes ours, too.
    fn is_whole(&self) -> bool {
        self.is_new || nft::handles(ruleset::TABLE).map_or(true, |handles| handles.is_some() && handles == self.handles)
    }

    /// Asks for the names of peers whose time has come.
    fn ask(&mut self, turn: &Loop, now: Instant) {
        let (questions, given_up) = self.endpoints.due(now);
        for id in given_up {
            self.asking.forget(id);
        }
        for question in questions {
            // Nobody listens yet, or no more: it has no answer, and is asked for again.
            if self.asking.ask(turn, &question).is_err() {
                self.endpoints.answered(now, question.id, &[]);
            }
        }
    }

    fn resolv_conf(&self, wanted: &Wanted, complaints: &mut Vec<String>) {
        let lan = wanted.interfaces.named(engine::LAN).and_then(|entry| entry.addr);
        let path = self.house.path("/tmp/resolv.conf");
        if let Some(Err(error)) = lan.map(|net| resolv::write(&path, net.addr())) {
            complaints.push(format!("{}: {error}", path.display()));
        }
    }

    // The file has proved itself: from now on it holds when a later one is refused, unless it is only on trial.
    fn keep(&mut self, loaded: &Loaded, complaints: &mut Vec<String>) {
        let applied = self.house.path(rights::APPLIED);
        let is_first = !applied.exists();
        let bytes = match loaded.source {
            Source::File => loaded.bytes.as_slice(),
            // A candidate has come and gone, and nobody had written a file before it.
            Source::Default(None) if !is_first => b"{}",
            _ => return,
        };
        let good = self.house.path(rights::GOOD_INTERFACES);
        let kept = if loaded.on_trial || loaded.source != Source::File {
            Ok(false)
        } else {
            file::replace(&good, &loaded.bytes)
        };
        let is_new = kept.unwrap_or_else(|error| {
            complaints.push(format!("{}: {error}; the good copy is not kept", good.display()));
            false
        });
        match file::replace(&applied, bytes) {
            // At the first apply of a boot everybody has read the same file already.
            Ok(true) if is_new || !is_first => self.house.changed(rights::APPLIED),
            Ok(_) => {}
            Err(error) => complaints.push(format!("{}: {error}; others are not told of it", applied.display())),
        }
    }

    /// Listens where the metrics are to be shown.
    fn show(&mut self, turn: &Loop) {
        self.web.follow(turn, Instant::now(), self.kernel.private());
    }

    fn answer(&mut self, turn: &Loop, now: Instant, token: Token) {
        let Netconfigd { web, kernel, totals, endings, house, .. } = self;
        web.ready(turn, now, token, |request| match request.path.as_str() {
            "/metrics" => {
                look(totals);
                traffic(kernel, endings, totals, true);
                let names = config::names(house.root());
                Response { status: 200, kind: KIND, body: metrics::page(totals, &kernel.lines(), &names) }
            }
            _ => Response::text(404, "there is /metrics\n"),
        });
    }

    fn count_traffic(&mut self, stand: bool) {
        traffic(&mut self.kernel, &mut self.endings, &mut self.totals, stand);
    }

    /// Writes down what was counted.
    fn count(&mut self) {
        look(&mut self.totals);
        self.count_traffic(true);
        self.totals.prune(ruleset::RULE);
        if let Err(error) = self.totals.keep() {
            log::warn!("/perm/netconfigd/counters.json: {error}; tried again in a minute");
        }
    }

    fn say(&mut self, cause: Cause, done: Vec<String>, mut complaints: Vec<String>) {
        // What was refused in one look is refused in the next.
        let mut said = BTreeSet::new();
        complaints.retain(|words| said.insert(words.clone()));
        for words in &done {
            log::info!("{words}");
        }
        for words in complaints.iter().filter(|words| !self.complaints.contains(words)) {
            log::warn!("{words}");
        }
        if done.is_empty() && cause == Cause::Asked {
            log::info!("nothing to change");
        }
        self.complaints = complaints;
    }

    fn tune(&mut self, wanted: &Wanted) {
        for sysctl in engine::after_ready(wanted) {
            let found = std::fs::read_to_string(format!("/proc/sys/{}", sysctl.path)).unwrap_or_default();
            if !sysctl.is_met_by(found.trim())
                && let Err(error) = kernel::set(&sysctl)
            {
                log::warn!("{error}");
            }
        }
    }
}
