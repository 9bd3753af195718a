//! What dnsd reads: a person's config.json, interfaces.json, the uplink's leases, the table of devices or else the leases
//! that dhcp4d has given, names below names, and the router's own name. A file that is refused leaves in force what was
//! read from it before.
use super::engine::Settings;
use super::engine::blocking::{Listing, Wanted, Whom};
use super::engine::forward::Group;
use super::engine::local::{Host, Subname};
use super::engine::name;
use super::engine::validate::keys::Ds;
use super::engine::validate::{Rules, anchors};
use super::subnames;
use crate::house::House;
use crate::perm::blocklists::{self, Blocklists};
use crate::perm::devices::{self, Device};
use crate::perm::entries;
use crate::perm::interfaces::Interfaces;
use crate::perm::leases::Lease;
use crate::perm::resolver::{Resolver, is_label};
use crate::perm::stamp::Clock;
use crate::perm::upstream::{Server, Upstream};
use crate::perm::{Mac, WallTime, clock, file, interfaces, lease4, lease6, leases, schedule};
use ipnet::IpNet;
use jiff::tz::TimeZone;
use netstack::time::Instant;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
    /// What a person has written for dnsd.
    pub resolver: Resolver,
    /// Names below names.
    pub subnames: Vec<Subname>,
    /// Authorities that are believed besides the internet's (PEM).
    pub authorities: Vec<u8>,
    /// The root's keys of a person's file; empty = those that are built in.
    pub root_keys: Vec<Ds>,
    /// Whether the clock is known to be right.
    pub clock_is_right: bool,
    /// Which names are not answered.
    pub blocklists: Blocklists,
    zone: Option<TimeZone>,
    /// Where upstreams are that are written by name, as far as is known.
    pub known: BTreeMap<String, IpAddr>,
    hostname: String,
    interfaces: Interfaces,
    dns: Vec<Ipv4Addr>,
    dns6: Vec<Ipv6Addr>,
    /// The table of devices, once deviced has written it; it holds over the leases.
    devices: Option<Vec<Device>>,
    leases: Vec<Lease>,
    complaints: Vec<String>,
}

/// What the kernel says of the router's networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Addresses that dnsd itself answers on.
    pub ours: Vec<IpAddr>,
    /// The router's lasting addresses on lan0, besides the configured one.
    pub own: Vec<IpAddr>,
    /// Networks of the LANs.
    pub lans: Vec<IpNet>,
    /// Networks of the uplinks.
    pub uplinks: Vec<IpNet>,
    /// Networks of the LANs, by their interfaces.
    pub named: Vec<(String, IpNet)>,
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
        self.interfaces = loaded.interfaces;
        self.hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        match Resolver::read(house.root()) {
            Ok(resolver) => self.resolver = resolver,
            Err(refusal) => complaints.push(refusal.to_string()),
        }
        let authorities = file::in_force(house.root(), rights::DNSD_CA);
        match file::read(&authorities) {
            Ok(bytes) => self.authorities = bytes.unwrap_or_default(),
            Err(error) => complaints.push(format!("{}: {error}", authorities.display())),
        }
        let keys = file::in_force(house.root(), rights::ROOT_KEY);
        match file::read(&keys) {
            Ok(None) => self.root_keys.clear(),
            Ok(Some(bytes)) => match anchors::parse(&keys, &bytes) {
                Ok(read) => self.root_keys = read,
                Err(refusal) => complaints.push(refusal.to_string()),
            },
            Err(error) => complaints.push(format!("{}: {error}", keys.display())),
        }
        match Blocklists::read(house.root()) {
            Ok(blocklists) => {
                complaints.extend(blocklists.refused.iter().map(ToString::to_string));
                self.blocklists = blocklists;
            }
            Err(refusal) => complaints.push(refusal.to_string()),
        }
        match schedule::zone(house.root()) {
            Ok(zone) => self.zone = Some(zone),
            Err(refusal) => complaints.push(refusal.to_string()),
        }
        self.clock_is_right = clock::is_right(house.root()).unwrap_or(false);
        match lease4::read(&house.path(lease4::in_force(&self.interfaces))) {
            Ok(lease) => self.dns = lease.map(|lease| lease.dns).unwrap_or_default(),
            Err(refusal) => complaints.push(refusal.to_string()),
        }
        match lease6::read(&house.path(rights::LEASE6), &Clock::read()) {
            Ok(lease) => self.dns6 = lease.map(|lease| lease.dns).unwrap_or_default(),
            Err(refusal) => complaints.push(refusal.to_string()),
        }
        match devices::read(house.root()) {
            Ok(table) => self.devices = table.map(|table| table.devices),
            Err(refusal) => complaints.push(refusal.to_string()),
        }
        match leases::read(&house.path(rights::LEASES)) {
            Ok(leases) => self.leases = leases,
            Err(refusal) => complaints.push(refusal.to_string()),
        }
        match subnames::read(&house.path(subnames::FILE)) {
            Ok(subnames) => self.subnames = subnames,
            Err(refusal) => complaints.push(refusal.to_string()),
        }
        for complaint in complaints.iter().filter(|complaint| !self.complaints.contains(complaint)) {
            log::warn!("{complaint}");
        }
        self.complaints = complaints;
    }

    /// What the engine is to know.
    pub fn settings(&self, now: Instant, wall: WallTime, around: &Surroundings) -> Settings {
        let all: Box<[u8]> = Box::new([0]);
        let mut groups = vec![Group { domain: all.clone(), servers: self.upstreams(&around.ours), aside: false }];
        for (domain, servers) in &self.resolver.domains {
            let Some(domain) = name::from_text(domain) else { continue };
            let servers =
                servers.iter().filter(|server| !around.ours.contains(&server.address.ip())).cloned().collect();
            groups.push(Group { domain, servers, aside: false });
        }
        if self.names().next().is_some() {
            groups.push(Group { domain: all, servers: self.resolver.bootstrap.clone(), aside: true });
        }
        let domains: BTreeSet<&String> = self.resolver.lan_domains.values().filter(|domain| *domain != "lan").collect();
        Settings {
            groups,
            hosts: self.hosts(now, wall, &around.own),
            subnames: self.subnames.clone(),
            fixed: self.resolver.names.iter().filter(|(name, _)| name.contains('.')).cloned().collect(),
            domains: domains.into_iter().cloned().collect(),
            rebind_allow: self.resolver.rebind_allow.iter().filter_map(|domain| name::from_text(domain)).collect(),
            lans: around.lans.clone(),
            uplinks: around.uplinks.clone(),
            rate: self.resolver.rate_limit,
            dnssec: self.resolver.dnssec.then(|| self.rules(wall)),
            blocking: self.blocking(wall, &around.named),
        }
    }

    // Which lists hold for whom at this moment.
    fn blocking(&self, wall: WallTime, lans: &[(String, IpNet)]) -> Wanted {
        if self.blocklists.is_empty() {
            return Wanted::default();
        }
        let file = &self.blocklists;
        let some = |whom: &[blocklists::Whom]| whom.iter().filter_map(|whom| self.whom(whom, wall)).collect();
        let listing = |list: &blocklists::List| Listing {
            name: list.name.clone(),
            url: list.url.text.clone(),
            answer: list.answer,
            whom: Some(&list.whom).filter(|whom| !whom.is_empty()).map(|whom| some(whom)),
        };
        let names_devices = file.names_devices();
        Wanted {
            lists: file.lists.iter().map(listing).collect(),
            own: file.answer,
            exempt: some(&file.exempt),
            lans: if names_devices { lans.to_vec() } else { Vec::new() },
            hardware: if names_devices { self.hardware() } else { Vec::new() },
            names_devices,
        }
    }

    // None while its hours are others.
    fn whom(&self, whom: &blocklists::Whom, wall: WallTime) -> Option<Whom> {
        let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
        if whom.schedule.is_some_and(|schedule| !schedule.holds(&zone, wall)) {
            return None;
        }
        let macs = whom.device.as_ref().map(|device| self.macs(device));
        Some(Whom { macs, lan: whom.lan.clone(), net: whom.net })
    }

    // The hardware addresses of a device; none while nobody has that name.
    fn macs(&self, device: &entries::Device) -> Vec<Mac> {
        let name = match device {
            entries::Device::Hardware(mac) => return vec![*mac],
            entries::Device::Named(name) => name,
            entries::Device::Address(_) => return Vec::new(),
        };
        let is = |other: &str| other.eq_ignore_ascii_case(name);
        match &self.devices {
            Some(devices) => {
                devices.iter().filter(|device| is(&device.name)).map(|device| device.hardware_addr).collect()
            }
            None => {
                let leases = self.leases.iter().filter(|lease| label(&lease.hostname).is_some_and(is));
                leases.filter_map(|lease| lease.hardware_addr.parse().ok()).collect()
            }
        }
    }

    fn hardware(&self) -> Vec<(IpAddr, Mac)> {
        let lease = |lease: &Lease| Some((IpAddr::V4(lease.addr), lease.hardware_addr.parse().ok()?));
        let of_device = |device: &Device| {
            let ipv6 = device.ipv6.iter().map(|ip| IpAddr::V6(*ip));
            let all: Vec<_> = device.ipv4.iter().map(|ip| IpAddr::V4(*ip)).chain(ipv6).collect();
            let mac = device.hardware_addr;
            all.into_iter().map(move |address| (address, mac))
        };
        match &self.devices {
            Some(devices) => devices.iter().flat_map(of_device).collect(),
            None => self.leases.iter().filter_map(lease).collect(),
        }
    }

    // How answers are judged: what somebody else is asked for has its own truth.
    fn rules(&self, wall: WallTime) -> Rules {
        let anchors = if self.root_keys.is_empty() { anchors::built_in() } else { self.root_keys.clone() };
        let own = self.resolver.domains.iter().map(|(domain, _)| domain);
        let exempt = self.resolver.dnssec_exempt.iter().chain(own).filter_map(|domain| name::from_text(domain));
        // RFC 4034 3.1.5 counts modulo 2^32.
        let wall = self.clock_is_right.then_some(wall.unix() as u32);
        Rules { anchors, exempt: exempt.collect(), wall }
    }

    /// Upstreams that are written by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.resolver.upstreams.iter().filter_map(|upstream| match upstream {
            Upstream::At(_) => None,
            Upstream::Named { name, .. } => Some(&**name),
        })
    }

    fn upstreams(&self, ours: &[IpAddr]) -> Vec<Server> {
        let fixed = self.interfaces.uplink().map(|uplink| uplink.dns.as_slice()).unwrap_or_default();
        let leased = self.dns.iter().map(|ip| IpAddr::V4(*ip)).chain(self.dns6.iter().map(|ip| IpAddr::V6(*ip)));
        self.resolver.asked(fixed, leased, ours, |name| self.known.get(name).copied())
    }

    // The router itself, what a person has fixed, then the devices, or the leases where there is no table of devices.
    fn hosts(&self, now: Instant, wall: WallTime, own: &[IpAddr]) -> Vec<Host> {
        let mut hosts = Vec::new();
        if let Some((lan, name)) = self.lan.zip(first_label(&self.hostname))
            && !name.eq_ignore_ascii_case("localhost")
        {
            let mut addresses = vec![IpAddr::V4(lan)];
            addresses.extend(own.iter().filter(|address| **address != IpAddr::V4(lan)));
            let domain = self.resolver.domain_of("lan0").to_owned();
            hosts.push(Host { domain, by_hand: true, ..host(name, addresses, None) });
        }
        for (name, addresses) in self.resolver.names.iter().filter(|(name, _)| !name.contains('.')) {
            let domain = self.resolver.domain_of("lan0").to_owned();
            hosts.push(Host { domain, by_hand: true, ..host(name, addresses.clone(), None) });
        }
        match &self.devices {
            Some(devices) => hosts.extend(devices.iter().filter_map(|device| self.of_device(device))),
            None => self.of_leases(now, wall, &mut hosts),
        }
        hosts
    }

    fn of_device(&self, device: &Device) -> Option<Host> {
        let name = label(&device.name)?;
        let by_hand = [&device.fixed_name, &device.override_name].iter().any(|given| label(given) == Some(name));
        let addresses =
            device.ipv4.iter().map(|ip| IpAddr::V4(*ip)).chain(device.ipv6.iter().map(|ip| IpAddr::V6(*ip)));
        let domain = self.resolver.domain_of(&device.interface).to_owned();
        may_be_served(name, by_hand).then(|| Host { domain, by_hand, ..host(name, addresses.collect(), None) })
    }

    fn of_leases(&self, now: Instant, wall: WallTime, hosts: &mut Vec<Host>) {
        let mut leases: Vec<&Lease> = self.leases.iter().filter(|lease| !lease.expired(wall)).collect();
        // Among equal names the lease that ends last holds; a static one, which never ends, comes after all (as Go sorts it).
        leases.sort_by_key(|lease| Reverse(lease.expiry));
        for lease in leases {
            let Some(name) = label(&lease.hostname) else { continue };
            let by_hand = lease.hostname_override == lease.hostname;
            if may_be_served(name, by_hand) {
                let until = (!lease.is_static()).then(|| now + lease.expiry.since(wall));
                let domain = self.domain_at(lease.addr).to_owned();
                hosts.push(Host { domain, by_hand, ..host(name, vec![IpAddr::V4(lease.addr)], until) });
            }
        }
    }

    // The domain of the LAN that an address lies in.
    fn domain_at(&self, address: Ipv4Addr) -> &str {
        let lans = &self.interfaces.interfaces;
        let around = lans
            .iter()
            .find(|entry| entry.addr.iter().chain(&entry.extra_addrs).any(|net| net.contains(&IpAddr::V4(address))));
        self.resolver.domain_of(around.map_or("", |entry| &entry.name))
    }
}

fn host(name: &str, addresses: Vec<IpAddr>, until: Option<Instant>) -> Host {
    let bare = !NOT_BARE.iter().any(|word| name.eq_ignore_ascii_case(word));
    Host { name: name.to_owned(), addresses, until, bare, ..Host::default() }
}

fn may_be_served(name: &str, by_hand: bool) -> bool {
    let is = |word: &&str| name.eq_ignore_ascii_case(word);
    !is(&"localhost") && (by_hand || !DANGEROUS.iter().any(is))
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
        let around = Surroundings::default();
        let settings = config.settings(Instant::from_secs(1), WallTime::from_unix(1_000), &around);
        let last = |host: &Host| match host.addresses[0] {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(_) => 0,
        };
        settings.hosts.into_iter().map(|host| (host.name.clone(), last(&host), host.bare)).collect()
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
        let settings = config.settings(now, WallTime::from_unix(1_000), &Surroundings::default());
        assert_eq!(settings.hosts[0].until, Some(now + Duration::from_secs(600)));
    }

    #[test]
    fn upstreams_are_a_persons_else_the_leases_else_public_and_never_ourselves() {
        let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        let ours = vec![IpAddr::V4(ip("192.168.42.1")), "2001:db8::1".parse().unwrap()];
        let around = Surroundings { ours: ours.clone(), ..Surroundings::default() };
        let ask = |config: Config| {
            let settings = config.settings(Instant::from_secs(1), WallTime::from_unix(1), &around);
            settings.groups[0].servers.iter().map(Server::to_string).collect::<Vec<_>>()
        };
        let dns = vec![ip("192.168.42.1"), ip("0.0.0.0"), ip("10.0.0.7"), ip("224.0.0.1")];
        let dns6 = vec!["2001:db8::1".parse().unwrap(), "2001:db8::53".parse().unwrap(), "fe80::1".parse().unwrap()];
        let leased = || Config { dns: dns.clone(), dns6: dns6.clone(), ..Config::default() };
        assert_eq!(ask(leased()), ["10.0.0.7:53", "[2001:db8::53]:53"]);
        let fixed = |text: &str| {
            let text = format!(r#"{{"interfaces":[{{"name":"uplink0","dns":["{text}"]}}]}}"#);
            Interfaces::parse(std::path::Path::new("interfaces.json"), text.as_bytes()).unwrap()
        };
        assert_eq!(ask(Config { interfaces: fixed("9.9.9.9"), ..leased() }), ["9.9.9.9:53"]);
        let ourselves = Config { interfaces: fixed("192.168.42.1"), ..leased() };
        assert_eq!(ask(ourselves).len(), 2, "a person's that cannot be asked");
        let resolver = |text: &str| Resolver::parse(std::path::Path::new("config.json"), text.as_bytes()).unwrap();
        let written = resolver(r#"{"upstreams":["1.1.1.1:5353"]}"#);
        let both = Config { resolver: written, interfaces: fixed("9.9.9.9"), ..leased() };
        assert_eq!(ask(both), ["1.1.1.1:5353"]);
        assert_eq!(ask(Config::default()).len(), 4);
    }

    #[test]
    fn the_table_of_devices_holds_over_the_leases() {
        let table = r#"{"devices":[
            {"hardware_addr":"02:00:00:00:00:01","name":"camera","fixed_name":"camera","interface":"guest",
             "ipv4":["192.168.44.9"],"ipv6":["2001:db8::9"]},
            {"hardware_addr":"02:00:00:00:00:02","name":"","ipv4":["192.168.42.8"]},
            {"hardware_addr":"02:00:00:00:00:03","name":"wpad","dhcp_name":"wpad","ipv4":["192.168.42.7"]},
            {"hardware_addr":"02:00:00:00:00:04","name":"com","dhcp_name":"com","ipv4":["192.168.42.6"]}]}"#;
        let devices: devices::Devices = serde_json::from_str(table).unwrap();
        let resolver = br#"{"names":{"nas":["192.168.42.5"],"www.example.com":["192.168.42.5"]},
            "lan_domains":{"guest":"guest.lan","lan0":"lan"}}"#;
        let config = Config {
            devices: Some(devices.devices),
            leases: vec![lease("a", 2, 2_000)],
            resolver: Resolver::parse(std::path::Path::new("config.json"), resolver).unwrap(),
            ..Config::default()
        };
        let settings = config.settings(Instant::from_secs(1), WallTime::from_unix(1_000), &Surroundings::default());
        let rows = settings.hosts.iter().map(|host| (host.name.as_str(), host.domain.as_str(), host.by_hand));
        assert_eq!(
            rows.collect::<Vec<_>>(),
            [("nas", "lan", true), ("camera", "guest.lan", true), ("com", "lan", false)]
        );
        assert_eq!(settings.hosts[1].addresses.len(), 2);
        assert_eq!(settings.domains, ["guest.lan"]);
        assert_eq!(settings.fixed.len(), 1);
    }
}
