//! What the client holds: leases by identity association, with the ends of their lifetimes, and what came with them.
use crate::dhcp6::message::{Answer, For, Ia};
use crate::perm::lease6::{FOREVER, Timed};
use ipnet::Ipv6Net;
use netstack::time::Instant;
use std::net::Ipv6Addr;
use std::time::Duration;

/// Leases held in one association, those that ran out included.
const MOST: usize = 16;
/// T1 and T2 where the server leaves them to us, in tenths of the shortest preferred lifetime (RFC 9915, section 14.2).
const TENTHS: (u32, u32) = (5, 8);

/// One identity association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// What it is for.
    pub is_for: For,
    /// Our number for it.
    pub iaid: u32,
    /// When RENEW is due; `NEVER` for one that came from the disk.
    pub t1: Instant,
    /// When REBIND is due.
    pub t2: Instant,
    /// Addresses (as /128) or prefixes.
    pub items: Vec<Timed<Ipv6Net>>,
}

/// Everything held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bindings {
    /// DUID of the server that gave it; empty when unknown.
    pub server: Vec<u8>,
    /// Identity associations.
    pub all: Vec<Binding>,
    /// DNS servers.
    pub dns: Vec<Ipv6Addr>,
    /// Domain search list.
    pub search: Vec<String>,
    /// Time servers.
    pub ntp: Vec<Ipv6Addr>,
}

impl Bindings {
    /// Leases of one kind whose valid lifetime runs.
    pub fn valid(&self, is_for: For, now: Instant) -> impl Iterator<Item = &Timed<Ipv6Net>> {
        let of_kind = self.all.iter().filter(move |binding| binding.is_for == is_for);
        of_kind.flat_map(|binding| &binding.items).filter(move |item| item.is_valid(now))
    }

    /// Whether anything is held whose valid lifetime runs.
    pub fn any_valid(&self, now: Instant) -> bool {
        self.all.iter().flat_map(|binding| &binding.items).any(|item| item.is_valid(now))
    }

    /// The earliest T1 and T2.
    pub fn times(&self) -> (Instant, Instant) {
        let earliest = |time: fn(&Binding) -> Instant| self.all.iter().map(time).min().unwrap_or(Instant::NEVER);
        (earliest(|binding| binding.t1), earliest(|binding| binding.t2))
    }

    /// The next end of a preferred or valid lifetime after `kept`.
    pub fn next_end(&self, kept: Instant) -> Option<Instant> {
        let items = self.all.iter().flat_map(|binding| &binding.items);
        let ends = items.flat_map(|item| [item.preferred_until, item.valid_until]);
        ends.filter(|end| *end > kept && *end != Instant::NEVER).min()
    }

    /// What ran out after `kept` and until `now`.
    pub fn ran_out(&self, kept: Instant, now: Instant) -> impl Iterator<Item = Ipv6Net> {
        let items = self.all.iter().flat_map(|binding| &binding.items);
        items.filter(move |item| kept < item.valid_until && item.valid_until <= now).map(|item| item.value)
    }

    /// Takes a final answer to a SOLICIT or REQUEST: what was held before is gone, but for kinds that it has nothing of.
    pub fn replace(&mut self, now: Instant, answer: &Answer) {
        let had = std::mem::take(&mut self.all);
        self.all = had
            .into_iter()
            .filter(|binding| !answer.offers(binding.is_for) && binding.items.iter().any(|item| item.is_valid(now)))
            .collect();
        self.extend(now, answer);
    }

    /// Takes an answer to a RENEW or REBIND: what it does not name stays as it is (RFC 9915, section 18.2.10.1).
    pub fn extend(&mut self, now: Instant, answer: &Answer) {
        self.server.clone_from(&answer.server);
        for ia in answer.ias.iter().filter(|ia| !ia.items.is_empty()) {
            self.take(now, ia);
        }
        if !answer.dns.is_empty() {
            self.dns.clone_from(&answer.dns);
        }
        if !answer.search.is_empty() {
            self.search.clone_from(&answer.search);
        }
        if !answer.ntp.is_empty() {
            self.ntp.clone_from(&answer.ntp);
        }
    }

    fn take(&mut self, now: Instant, ia: &Ia) {
        let given = ia.items.iter().any(|item| item.valid > 0);
        let at = self.all.iter().position(|binding| (binding.is_for, binding.iaid) == (ia.is_for, ia.iaid));
        let mut binding = at.map(|at| self.all.remove(at)).unwrap_or_else(|| Binding {
            is_for: ia.is_for,
            iaid: ia.iaid,
            t1: Instant::NEVER,
            t2: Instant::NEVER,
            items: Vec::new(),
        });
        // What ran out is history as soon as there is something else.
        binding.items.retain(|item| (!given || item.is_valid(now)) && ia.items.iter().all(|new| new.net != item.value));
        let new = ia.items.iter().filter(|item| item.valid > 0);
        binding.items.extend(new.map(|item| Timed::new(item.net, now, item.preferred, item.valid)));
        binding.items.truncate(MOST);
        if given {
            (binding.t1, binding.t2) = times(now, ia);
        }
        if !binding.items.is_empty() {
            self.all.push(binding);
        }
    }
}

/// When RENEW and REBIND are due. A server's word counts while it leaves time before the leases run out.
fn times(now: Instant, ia: &Ia) -> (Instant, Instant) {
    let given = || ia.items.iter().filter(|item| item.valid > 0);
    let valid = given().map(|item| item.valid).min().unwrap_or(FOREVER);
    let preferred = given().map(|item| item.preferred).filter(|preferred| *preferred > 0).min().unwrap_or(valid);
    let own = |tenths: u32| {
        if preferred == FOREVER { FOREVER } else { (u64::from(preferred) * u64::from(tenths) / 10) as u32 }
    };
    let sane = |said: u32| (said > 0 && (said < valid || valid == FOREVER)).then_some(said);
    let t1 = sane(ia.t1).unwrap_or_else(|| own(TENTHS.0));
    let t2 = sane(ia.t2).unwrap_or_else(|| own(TENTHS.1)).max(t1);
    // Not before a second has passed, whatever the server says.
    let at = |seconds: u32| match seconds {
        FOREVER => Instant::NEVER,
        _ => now + Duration::from_secs(u64::from(seconds.max(1))),
    };
    (at(t1), at(t2))
}
