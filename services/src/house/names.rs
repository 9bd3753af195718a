//! Servers that are written by name: each name is one server, at one of its addresses until that is of no use. Pure:
//! [`super::asking`] asks.
use super::asking::Question;
use netstack::time::Instant;
use std::net::IpAddr;
use std::time::Duration;

/// First and longest wait before a name without an address is asked for again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(64));
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried before it is asked for again.
const MOST: usize = 8;

#[derive(Debug)]
struct Named {
    name: String,
    addresses: Vec<IpAddr>,
    gathered: Vec<IpAddr>,
    ask_at: Option<Instant>,
    wait: Duration,
    open: Vec<u16>,
    until: Option<Instant>,
}

/// All names.
#[derive(Debug, Default)]
pub struct Names {
    all: Vec<Named>,
    next: u16,
}

impl Names {
    /// Follows what is written; what is known of a name stays.
    pub fn follow(&mut self, now: Instant, names: &[String]) {
        let mut before = std::mem::take(&mut self.all);
        for name in names {
            let known = before.iter().position(|named| named.name == *name).map(|at| before.swap_remove(at));
            self.all.push(known.unwrap_or_else(|| Named {
                name: name.clone(),
                addresses: Vec::new(),
                gathered: Vec::new(),
                ask_at: Some(now),
                wait: Duration::ZERO,
                open: Vec::new(),
                until: None,
            }));
        }
    }

    /// The way out is new: names without an address are asked for at once.
    pub fn hurry(&mut self, now: Instant) {
        let waiting = self.all.iter_mut().filter(|named| named.addresses.is_empty() && named.open.is_empty());
        waiting.for_each(|named| (named.ask_at, named.wait) = (Some(now), Duration::ZERO));
    }

    /// When [`Names::due`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        self.all.iter().flat_map(|named| [named.ask_at, named.until]).flatten().min()
    }

    /// Questions whose time has come, and the numbers of those whose answer is not waited for any more.
    pub fn due(&mut self, now: Instant) -> (Vec<Question>, Vec<u16>) {
        let (mut questions, mut given_up) = (Vec::new(), Vec::new());
        for named in &mut self.all {
            if named.until.is_some_and(|until| until <= now) {
                given_up.append(&mut named.open);
                named.conclude(now);
            } else if named.ask_at.is_some_and(|at| at <= now) {
                (named.ask_at, named.until) = (None, Some(now + PATIENCE));
                for ipv6 in [false, true] {
                    self.next = self.next.wrapping_add(1);
                    named.open.push(self.next);
                    questions.push(Question { id: self.next, name: named.name.clone(), ipv6 });
                }
            }
        }
        (questions, given_up)
    }

    /// An answer; none when it has failed.
    pub fn answered(&mut self, now: Instant, id: u16, addresses: &[IpAddr]) {
        let Some(named) = self.all.iter_mut().find(|named| named.open.contains(&id)) else { return };
        named.open.retain(|open| *open != id);
        named.gathered.extend(addresses.iter().take(MOST));
        if named.open.is_empty() {
            named.conclude(now);
        }
    }

    /// An address that does not answer: the next one of its name, or those that the name has by now.
    pub fn useless(&mut self, now: Instant, address: IpAddr) {
        for named in self.all.iter_mut().filter(|named| named.addresses.first() == Some(&address)) {
            named.addresses.remove(0);
            if named.addresses.is_empty() && named.open.is_empty() {
                named.ask_at = Some(now + RETRY.1);
            }
        }
    }

    /// The address of one of them.
    pub fn address_of(&self, name: &str) -> Option<IpAddr> {
        self.all.iter().find(|named| named.name == name)?.addresses.first().copied()
    }

    /// The address of each name that has one, no address twice.
    pub fn chosen(&mut self) -> Vec<IpAddr> {
        let mut chosen = Vec::new();
        for named in &mut self.all {
            // Several names of one pool may have the same addresses.
            if let Some(at) = named.addresses.iter().position(|address| !chosen.contains(address)) {
                named.addresses.swap(0, at);
                chosen.extend(named.addresses.first());
            }
        }
        chosen
    }
}

impl Named {
    fn conclude(&mut self, now: Instant) {
        self.until = None;
        self.addresses = std::mem::take(&mut self.gathered);
        // IPv4 first: where both work either will do. Among themselves as they came: a pool deals them out.
        self.addresses.sort_by_key(IpAddr::is_ipv6);
        self.wait = if self.addresses.is_empty() { (self.wait * 2).clamp(RETRY.0, RETRY.1) } else { Duration::ZERO };
        self.ask_at = Some(now + self.wait).filter(|_| self.addresses.is_empty());
    }
}
