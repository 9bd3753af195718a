//! Who is served by a service of the LANs, and how often: their machines, each up to a rate.
use ipnet::IpNet;
use netstack::time::Instant;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// Clients that are known at the same time; two may share a place, and then take it from each other.
const PLACES: usize = 512;
/// At once a client may ask for so many seconds' worth.
const BURST: u64 = 4;
const SECOND: u64 = 1_000_000_000;

/// What becomes of a client's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is answered.
    Served,
    /// It has asked too often.
    TooOften,
    /// It does not belong here.
    Stranger,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    who: IpAddr,
    is_served: bool,
    /// Moment until which what it has asked is paid for: it runs ahead of the clock by a burst at most.
    paid: u64,
}

/// The door.
#[derive(Debug)]
pub struct Admission {
    places: Vec<Option<Place>>,
    secret: RandomState,
    lans: Vec<IpNet>,
    uplinks: Vec<IpNet>,
    /// Nanoseconds that one question costs; 0 = nothing.
    price: u64,
}

impl Default for Admission {
    fn default() -> Admission {
        Admission { places: vec![None; PLACES], secret: RandomState::new(), lans: vec![], uplinks: vec![], price: 0 }
    }
}

impl Admission {
    /// Who belongs here: the networks of LANs and, unless it is one of an uplink, every private one; at most `rate`
    /// questions a second of each client, 0 = without a limit.
    pub fn set(&mut self, lans: &[IpNet], uplinks: &[IpNet], rate: u32) {
        let price = SECOND.checked_div(u64::from(rate)).unwrap_or(0);
        if (self.lans.as_slice(), self.uplinks.as_slice(), self.price) != (lans, uplinks, price) {
            (self.lans, self.uplinks, self.price) = (lans.to_vec(), uplinks.to_vec(), price);
            self.places.fill(None);
        }
    }

    /// A question comes.
    pub fn ask(&mut self, now: Instant, who: IpAddr) -> Verdict {
        let at = self.secret.hash_one(who) as usize % PLACES;
        let known = self.places.get(at).copied().flatten().filter(|place| place.who == who);
        let mut place = known.unwrap_or_else(|| Place { who, is_served: self.belongs(who), paid: 0 });
        let verdict = if !place.is_served {
            Verdict::Stranger
        } else if self.price == 0 {
            Verdict::Served
        } else {
            let now = now.as_nanos();
            let paid = place.paid.max(now) + self.price;
            if paid > now + BURST * SECOND {
                Verdict::TooOften
            } else {
                place.paid = paid;
                Verdict::Served
            }
        };
        if known.is_none() || self.price > 0 {
            self.places[at] = Some(place);
        }
        verdict
    }

    fn belongs(&self, who: IpAddr) -> bool {
        let who = who.to_canonical();
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&who));
        within(&self.lans) || (is_private(who) && !within(&self.uplinks))
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn who_belongs_here() {
        let mut door = Admission::default();
        door.set(&[net("192.168.42.0/24"), net("2001:db8:a::/64"), net("10.1.0.0/24")], &[net("10.0.0.0/8")], 0);
        let mut of = |who: &str| door.ask(Instant::from_secs(1), who.parse().unwrap());
        for who in
            ["192.168.42.7", "2001:db8:a::7", "10.1.0.9", "127.0.0.1", "fe80::7", "fd00::9", "::1", "192.168.99.1"]
        {
            assert_eq!(of(who), Verdict::Served, "{who}");
        }
        for who in ["10.2.0.9", "8.8.8.8", "2001:db8:b::7", "0.0.0.0"] {
            assert_eq!(of(who), Verdict::Stranger, "{who}");
        }
    }

    #[test]
    fn a_rate_holds_for_each_and_comes_back_with_time() {
        let mut door = Admission::default();
        door.set(&[], &[], 10);
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let now = Instant::from_secs(100);
        let served = |door: &mut Admission, now| (0..100).filter(|_| door.ask(now, one) == Verdict::Served).count();
        assert_eq!(served(&mut door, now), 40);
        assert_eq!(door.ask(now, other), Verdict::Served);
        assert_eq!(served(&mut door, now + Duration::from_secs(1)), 10);
        assert_eq!(served(&mut door, now + Duration::from_secs(60)), 40);
        door.set(&[], &[], 0);
        assert_eq!(served(&mut door, now), 100);
    }
}
