//! The advertisement: what hosts are told, and for how long.
use super::{Link, Settings};
use crate::perm::lease6::{Timed, seconds_left};
use crate::perm::resolver::DOMAIN;
use ipnet::Ipv6Net;
use netstack::time::Instant;
use netstack::wire::ndisc::{Advertisement, Item, Prefix};

/// Longest preferred and valid lifetime of a prefix, in seconds (RFC 9096, section 3.4, halves what it allows).
pub const LONGEST: (u32, u32) = (2_700, 5_400);
/// Router, RDNSS and DNSSL lifetimes, in seconds: router7's.
const ROUTER: u16 = 1_800;
const RDNSS: u32 = 1_800;
const DNSSL: u32 = 1_200;
const PREF64: u32 = 1_800;
const HOP_LIMIT: u8 = 64;

/// Preferred and valid lifetime of a prefix to be announced now, in seconds: counted down, and no longer than [`LONGEST`].
pub fn lifetimes(prefix: &Timed<Ipv6Net>, now: Instant) -> (u32, u32) {
    let preferred = seconds_left(prefix.preferred_until, now).min(LONGEST.0);
    let valid = seconds_left(prefix.valid_until, now).min(LONGEST.1);
    (preferred.min(valid), valid)
}

/// The message. `stale` are prefixes that hosts may still hold, with their flags.
pub fn advertisement(
    settings: &Settings,
    link: &Link,
    stale: &[(Ipv6Net, bool, bool)],
    default_route: bool,
    now: Instant,
) -> Advertisement {
    let in_force = || settings.prefixes.iter().filter(|prefix| prefix.is_valid(now));
    // Without a prefix that the internet knows there is no way there (RFC 7084, G-4 and ULA-5).
    let leads_out = default_route && in_force().any(|prefix| !prefix.value.network().is_unique_local());
    let current = in_force().map(|prefix| {
        let (preferred, valid) = lifetimes(prefix, now);
        Item::Prefix(Prefix { prefix: prefix.value, on_link: true, autonomous: true, valid, preferred })
    });
    let stale = stale.iter().map(|(prefix, on_link, autonomous)| {
        Item::Prefix(Prefix { prefix: *prefix, on_link: *on_link, autonomous: *autonomous, valid: 0, preferred: 0 })
    });
    let mut items = vec![Item::Rdnss(vec![link.address], RDNSS)];
    items.extend(current.chain(stale));
    // Where names are looked for: in the LAN's own domain, and in that of the house.
    let mut domains = vec![settings.domain.clone(), DOMAIN.to_owned()];
    domains.retain(|domain| !domain.is_empty());
    domains.dedup();
    items.extend([Item::Dnssl(domains, DNSSL), Item::Mtu(link.mtu), Item::SourceLink(link.mac)]);
    items.extend(settings.routes.iter().map(|route| Item::Route(route.value, lifetimes(route, now).1)));
    items.extend(settings.pref64.map(|prefix| Item::Pref64(prefix, PREF64)));
    items.extend(settings.captive_portal.clone().map(Item::CaptivePortal));
    let router_lifetime = if leads_out { ROUTER } else { 0 };
    let (managed, other_config) = (settings.managed, settings.other_config);
    Advertisement { hop_limit: HOP_LIMIT, managed, other_config, router_lifetime, items }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lan_with_a_domain_of_its_own_is_told_both() {
        let link = Link { mac: [2, 0, 0, 0, 0, 1], mtu: 1_500, address: "fe80::1".parse().unwrap() };
        let of = |domain: &str| {
            let settings = Settings { name: "guest".into(), domain: domain.into(), ..Settings::default() };
            let message = advertisement(&settings, &link, &[], false, Instant::from_secs(1));
            let domains = message.items.into_iter().find_map(|item| match item {
                Item::Dnssl(domains, _) => Some(domains),
                _ => None,
            });
            domains.unwrap().join(" ")
        };
        assert_eq!([of("guest.lan"), of("lan"), of("")], ["guest.lan lan", "lan", "lan"]);
    }
}
