//! What dnsd reads: interfaces.json, the uplink's leases, the leases that dhcp4d has given, and the router's own name.
//! A file that is refused leaves in force what was read from it before.
use super::engine::Settings;
use super::engine::local::Host;
use crate::house::House;
use crate::perm::leases::Lease;
use crate::perm::stamp::Clock;
use crate::perm::{WallTime, interfaces, lease4, lease6, leases};
use netstack::time::Instant;
use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// router7's upstreams, asked only when no lease has named any.
const PUBLIC: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8844)),
];
/// The port of DNS.
pub const PORT: u16 = 53;
/// Names that only a person may give to a machine: many clients run whatever the machine of that name hands them.
const DANGEROUS: [&str; 2] = ["wpad", "isatap"];
/// Names that mean something without `.lan` already (RFC 6761, 6762, 7686, 8375, 9476; ICANN's `internal`).
const NOT_BARE: [&str; 10] =
    ["lan", "local", "localhost", "localdomain", "invalid", "test", "onion", "alt", "arpa", "internal"];

/// What was read last.
#[derive(Debug, Default)]
pub struct Config {
    /// lan0's address.
    pub lan: Option<Ipv4Addr>,
    hostname: String,
    /// Resolvers that a person has named for the uplink; they win over those of the leases.
    fixed: Vec<IpAddr>,
    dns: Vec<Ipv4Addr>,
    dns6: Vec<Ipv6Addr>,
    leases: Vec<Lease>,
    complaints: Vec<String>,
}

impl Config {
    /// Reads everything again. What is refused is logged, once.
    pub fn read(&mut self, house: &House) {
        let mut complaints = Vec::new();
        let loaded = interfaces::load(house.root());
        match loaded.source {
            interfaces::Source::LastGood(refusal) | interfaces::Source::Default(Some(refusal)) => {
                complaints.push(refusal.to_string());
            }
            interfaces::Source::File | interfaces::Source::Default(None) => (),
        }
        self.lan = loaded.interfaces.ipv4_of("lan0").map(|(address, _)| address);
        self.hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        self.fixed = loaded.interfaces.uplink().map(|uplink| uplink.dns.clone()).unwrap_or_default();
        match lease4::read(&house.path(lease4::in_force(&loaded.interfaces))) {
            Ok(lease) => self.dns = lease.map(|lease| lease.dns).unwrap_or_default(),
            Err(refusal) => complaints.push(refusal.to_string()),
        }
        match lease6::read(&house.path(rights::LEASE6), &Clock::read()) {
            Ok(lease) => self.dns6 = lease.map(|lease| lease.dns).unwrap_or_default(),
            Err(refusal) => complaints.push(refusal.to_string()),
        }
        match leases::read(&house.path(rights::LEASES)) {
            Ok(leases) => self.leases = leases,
            Err(refusal) => complaints.push(refusal.to_string()),
        }
        for complaint in complaints.iter().filter(|complaint| !self.complaints.contains(complaint)) {
            log::warn!("{complaint}");
        }
        self.complaints = complaints;
    }

    /// What the engine is to know; `ours` are the addresses that dnsd itself answers on.
    pub fn settings(&self, now: Instant, wall: WallTime, ours: &[IpAddr]) -> Settings {
        let asked = |address: &IpAddr| !ours.contains(address) && !useless(*address);
        let leased = self.dns.iter().map(|ip| IpAddr::V4(*ip)).chain(self.dns6.iter().map(|ip| IpAddr::V6(*ip)));
        let mut upstreams: Vec<IpAddr> = self.fixed.iter().copied().filter(asked).collect();
        if upstreams.is_empty() {
            upstreams.extend(leased.filter(asked));
        }
        if upstreams.is_empty() {
            upstreams.extend(PUBLIC);
        }
        let own = self.lan.and_then(|lan| Some((first_label(&self.hostname)?, lan)));
        let own = own.filter(|(name, _)| !name.eq_ignore_ascii_case("localhost"));
        let mut hosts: Vec<Host> = own.map(|(name, address)| host(name, address, None)).into_iter().collect();
        let mut leases: Vec<&Lease> = self.leases.iter().filter(|lease| !lease.expired(wall)).collect();
        // Among equal names the lease that ends last holds; a static one, which never ends, comes after all (as Go sorts it).
        leases.sort_by_key(|lease| Reverse(lease.expiry));
        for lease in leases {
            let Some(name) = label(&lease.hostname) else { continue };
            let is = |word: &&str| name.eq_ignore_ascii_case(word);
            let by_hand = lease.hostname_override == lease.hostname;
            if is(&"localhost") || (!by_hand && DANGEROUS.iter().any(is)) {
                continue;
            }
            let until = (!lease.is_static()).then(|| now + lease.expiry.since(wall));
            hosts.push(host(name, lease.addr, until));
        }
        Settings { upstreams: upstreams.into_iter().map(|address| SocketAddr::new(address, PORT)).collect(), hosts }
    }
}

fn host(name: &str, address: Ipv4Addr, until: Option<Instant>) -> Host {
    let bare = !NOT_BARE.iter().any(|word| name.eq_ignore_ascii_case(word));
    Host { name: name.to_owned(), address, until, bare }
}

// The name that a lease is served under: a single label, which a client may have written with our domain behind it.
fn label(hostname: &str) -> Option<&str> {
    let name = hostname.strip_suffix('.').unwrap_or(hostname);
    let stem = name.len().checked_sub(4).filter(|at| name.is_char_boundary(*at)).map(|at| name.split_at(at));
    let name = stem.filter(|(_, end)| end.eq_ignore_ascii_case(".lan")).map_or(name, |(stem, _)| stem);
    is_label(name).then_some(name)
}

fn first_label(hostname: &str) -> Option<&str> {
    hostname.split('.').next().filter(|name| is_label(name))
}

// Anything else could not be asked for by any program, and would reach logs and pages.
fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn useless(address: IpAddr) -> bool {
    // A link-local address says nothing without its link.
    let of_a_link = matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    address.is_unspecified() || address.is_multicast() || broadcast || of_a_link
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn lease(hostname: &str, last: u8, expiry: i64) -> Lease {
        Lease {
            num: 0,
            addr: Ipv4Addr::new(192, 168, 42, last),
            hardware_addr: "02:00:00:00:00:01".into(),
            hostname: hostname.into(),
            hostname_override: String::new(),
            expiry: if expiry == 0 { WallTime::default() } else { WallTime::from_unix(expiry) },
            last_ack: WallTime::default(),
        }
    }

    fn hosts(hostname: &str, leases: Vec<Lease>) -> Vec<(String, u8, bool)> {
        let lan = Some(Ipv4Addr::new(192, 168, 42, 1));
        let config = Config { lan, hostname: hostname.into(), leases, ..Config::default() };
        let settings = config.settings(Instant::from_secs(1), WallTime::from_unix(1_000), &[]);
        settings.hosts.into_iter().map(|host| (host.name, host.address.octets()[3], host.bare)).collect()
    }

    fn row(name: &str, last: u8, bare: bool) -> (String, u8, bool) {
        (name.to_owned(), last, bare)
    }

    #[test]
    fn the_router_comes_first_then_leases_by_their_end() {
        let leases = vec![lease("a", 2, 2_000), lease("fixed", 3, 0), lease("B", 4, 3_000), lease("old", 5, 900)];
        let want = [row("gate", 1, true), row("B", 4, true), row("a", 2, true), row("fixed", 3, true)];
        assert_eq!(hosts("gate.example.com", leases), want);
        assert_eq!(hosts("(none)", Vec::new()), []);
        assert_eq!(hosts("localhost", Vec::new()), []);
    }

    #[test]
    fn names_that_are_none_or_take_something_over_are_not_served() {
        let odd = [
            "",
            ".",
            "a b",
            "a\"b",
            "x.y",
            "com.",
            "tv.LAN.",
            "ü",
            "a\0",
            "localhost",
            "wpad",
            "Lan",
            "local",
            "ü.lan",
        ];
        let leases = odd.iter().map(|name| lease(name, 9, 2_000)).collect();
        let want = [row("com", 9, true), row("tv", 9, true), row("Lan", 9, false), row("local", 9, false)];
        assert_eq!(hosts("", leases), want);
        let mut by_hand = lease("wpad", 7, 0);
        by_hand.hostname_override = "wpad".into();
        assert_eq!(hosts("", vec![by_hand, lease(&"a".repeat(64), 8, 0)]), [row("wpad", 7, true)]);
    }

    #[test]
    fn a_lease_ends_by_the_clock_that_never_jumps() {
        let config = Config { leases: vec![lease("a", 2, 1_600)], ..Config::default() };
        let now = Instant::from_secs(50);
        let settings = config.settings(now, WallTime::from_unix(1_000), &[]);
        assert_eq!(settings.hosts[0].until, Some(now + Duration::from_secs(600)));
    }

    #[test]
    fn upstreams_are_a_persons_else_the_leases_else_public_and_never_ourselves() {
        let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        let ours = [IpAddr::V4(ip("192.168.42.1")), "2001:db8::1".parse().unwrap()];
        let ask = |config: Config| config.settings(Instant::from_secs(1), WallTime::from_unix(1), &ours).upstreams;
        let dns = vec![ip("192.168.42.1"), ip("0.0.0.0"), ip("10.0.0.7"), ip("224.0.0.1")];
        let dns6 = vec!["2001:db8::1".parse().unwrap(), "2001:db8::53".parse().unwrap(), "fe80::1".parse().unwrap()];
        let leased = || Config { dns: dns.clone(), dns6: dns6.clone(), ..Config::default() };
        assert_eq!(ask(leased()), ["10.0.0.7:53".parse().unwrap(), "[2001:db8::53]:53".parse().unwrap()]);
        let fixed = vec!["9.9.9.9".parse().unwrap()];
        assert_eq!(ask(Config { fixed, ..leased() }), ["9.9.9.9:53".parse().unwrap()]);
        assert_eq!(ask(Config { fixed: vec![ours[0]], ..leased() }).len(), 2, "a person's that cannot be asked");
        assert_eq!(ask(Config::default()).len(), 4);
    }
}
