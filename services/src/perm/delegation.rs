//! Which /64 of a delegated prefix a LAN has: the same one for netconfigd, radvd and whoever else asks.
use super::interfaces::Interfaces;
use super::json::Refusal;
use super::lease6::{self, FOREVER, Timed};
use super::stamp::Clock;
use ipnet::Ipv6Net;
use std::net::Ipv6Addr;
use std::path::Path;

/// A LAN's part of a delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// The LAN.
    pub lan: String,
    /// Its /64.
    pub prefix: Ipv6Net,
}

/// The prefixes in force: those that interfaces.json gives the uplink (`delegated_prefixes`, without end), else the
/// DHCPv6 lease's. `root` is the service's root; a lease that cannot be read is complained of and counts as none.
pub fn in_force(root: &Path, interfaces: &Interfaces, clock: &Clock) -> (Vec<Timed<Ipv6Net>>, Option<Refusal>) {
    let fixed = interfaces.uplink().map(|uplink| uplink.delegated_prefixes.as_slice()).unwrap_or_default();
    if !fixed.is_empty() {
        return (fixed.iter().map(|net| Timed::new(net.trunc(), clock.now, FOREVER, FOREVER)).collect(), None);
    }
    match lease6::read(&root.join(rights::LEASE6.trim_start_matches('/')), clock) {
        Ok(lease) => (lease.map(|lease| lease.delegations).unwrap_or_default(), None),
        Err(refusal) => (Vec::new(), Some(refusal)),
    }
}

/// Cuts a /64 for each LAN out of a delegated prefix: lan0 has the first, lanN the one with number N, any other name
/// one that follows from the name alone as long as no other LAN has it. A LAN for which there is none has none.
pub fn subnets(delegated: Ipv6Net, lans: &[&str]) -> Vec<Subnet> {
    let Some(bits) = 64u8.checked_sub(delegated.prefix_len()) else { return Vec::new() };
    let last = if bits == 64 { u64::MAX } else { (1u64 << bits) - 1 };
    let number = |lan: &str| lan.strip_prefix("lan").and_then(|digits| digits.parse::<u64>().ok());
    let mut taken: Vec<(u64, &str)> = Vec::new();
    // The numbered ones first: nothing else may take their place.
    for lan in lans.iter().filter(|lan| number(lan).is_some()).chain(lans.iter().filter(|lan| number(lan).is_none())) {
        let free = |number: &u64| *number <= last && taken.iter().all(|(other, _)| other != number);
        let chosen = match number(lan) {
            Some(number) => Some(number).filter(free),
            // Looks on from the name's own number; after so many steps as there are LANs one is free, if any is.
            None => (0..=lans.len() as u64).map(|step| hash(lan).wrapping_add(step) & last).find(free),
        };
        taken.extend(chosen.map(|number| (number, *lan)));
    }
    let cut = |number: u64| {
        let address = u128::from(delegated.network()) | u128::from(number) << 64;
        Ipv6Net::new(Ipv6Addr::from(address), 64).ok()
    };
    taken.into_iter().filter_map(|(number, lan)| Some(Subnet { lan: lan.to_owned(), prefix: cut(number)? })).collect()
}

// FNV-1a.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The router's own address in a LAN's /64, as router7 chooses it: the last byte is 1.
pub fn router_address(subnet: Ipv6Net) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(subnet.network()) | 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(delegated: &str, lans: &[&str]) -> Vec<(String, String)> {
        let subnets = subnets(delegated.parse().unwrap(), lans);
        subnets.into_iter().map(|subnet| (subnet.lan, subnet.prefix.to_string())).collect()
    }

    #[test]
    fn lan0_has_the_first_as_router7() {
        assert_eq!(cut("2a02:168:4a00::/48", &["lan0"]), [("lan0".into(), "2a02:168:4a00::/64".into())]);
        let address = router_address("2a02:168:4a00::/64".parse().unwrap());
        assert_eq!(address.to_string(), "2a02:168:4a00::1");
    }

    #[test]
    fn a_name_keeps_its_subnet_when_others_come() {
        let alone = cut("2001:db8::/56", &["guest"]);
        let more = cut("2001:db8::/56", &["lan0", "lan3", "guest"]);
        assert!(more.contains(&alone[0]), "{more:?}");
        assert!(more.contains(&("lan3".into(), "2001:db8:0:3::/64".into())));
    }

    #[test]
    fn what_is_too_small_serves_whom_it_can() {
        assert_eq!(cut("2001:db8::/64", &["lan1", "lan0"]).len(), 1);
        assert_eq!(cut("2001:db8::/64", &["lan1", "lan0"])[0].0, "lan0");
        assert_eq!(cut("2001:db8::/63", &["a", "b", "c"]).len(), 2);
        assert_eq!(cut("2001:db8::/65", &["lan0"]), []);
    }

    proptest! {
        #[test]
        fn subnets_lie_within_and_apart(length in 0u8..=64, count in 0usize..12) {
            let names: Vec<String> = (0..count).map(|n| if n % 2 == 0 { format!("lan{n}") } else { format!("net{n}") }).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let delegated = Ipv6Net::new("2001:db8:f0f0::".parse().unwrap(), length).unwrap().trunc();
            let all = subnets(delegated, &names);
            for (at, subnet) in all.iter().enumerate() {
                prop_assert!(delegated.contains(&subnet.prefix));
                prop_assert!(all[..at].iter().all(|other| other.prefix != subnet.prefix && other.lan != subnet.lan));
            }
        }
    }
}
