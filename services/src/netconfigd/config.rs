//! What netconfigd reads: interfaces.json, the leases, port forwardings, prefixes of our own.
use super::engine::{self, Ipv6, Known, Refused, Wanted};
use super::good;
use crate::perm::firewall::{self, Rule, Rules};
use crate::perm::forwardings::{self, Forwardings};
use crate::perm::interfaces::{self, Interfaces, Loaded, Source};
use crate::perm::json::Refusal;
use crate::perm::shaping::{self, Shaping};
use crate::perm::stamp::Clock;
use crate::perm::wireguard::{self, Tunnels};
use crate::perm::{Mac, WallTime, announced, delegation, devices, file, lease4, lease6, leases, schedule, ula};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What could last be read.
#[derive(Debug, Default)]
pub struct Config {
    /// The uplink's lease, and the file that it came from.
    lease: Option<(&'static str, lease4::Checked)>,
    /// What the leases say of IPv6.
    ipv6: Option<Ipv6>,
    /// What may be reached from outside.
    forwardings: Forwardings,
    /// WireGuard's interfaces, and how fast the uplink is.
    tunnels: Option<Tunnels>,
    shaping: Option<Shaping>,
    /// A person's own rules, and the clock on the wall that they go by.
    rules: Rules,
    zone: Option<TimeZone>,
    /// Of those that hold at times: which did so last.
    in_force: Vec<bool>,
    memory_kib: u64,
    /// Bytes of files that were read and are not refused, until their good copies are kept.
    well: Vec<Vec<u8>>,
    /// The files as they were last seen: [`FILES`], then [`DEVICES`].
    seen: Vec<Seen>,
}

/// Inode and time of a file's last change; `None` when there is none.
type Seen = Option<(u64, i64, i64)>;

/// Where devices are found by their names: in deviced's table, before there is one in the leases.
const DEVICES: [&str; 2] = [rights::LEASES, rights::DEVICES];
/// Everything else that is read.
const FILES: [&str; 12] = [
    rights::INTERFACES,
    rights::LEASE4,
    rights::LEASE_PPPOE,
    rights::LEASE6,
    rights::PREFIXES,
    rights::ULA,
    rights::ANNOUNCED,
    rights::FORWARDINGS,
    rights::FIREWALL,
    rights::TIME,
    rights::WIREGUARD,
    rights::SHAPING,
];

fn path(root: &Path, absolute: &str) -> PathBuf {
    root.join(absolute.trim_start_matches('/'))
}

fn memory_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    total.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// The file that was applied before this one in this boot, when it said something else.
fn before(root: &Path, loaded: &Loaded) -> Option<Interfaces> {
    let path = path(root, rights::APPLIED);
    let differs = || file::read(&path).ok().flatten().is_some_and(|bytes| bytes != loaded.bytes);
    (matches!(loaded.source, Source::File | Source::Default(None)) && differs())
        .then(|| Interfaces::read(&path).ok().flatten())
        .flatten()
}

/// What entries of several files say of each other that does not fit: entry, field, words. Devices are not looked for.
pub fn check(interfaces: Interfaces, forwardings: &Forwardings, rules: &Rules) -> (Vec<Refused>, Vec<Refused>) {
    let wanted = Wanted { interfaces, ..Wanted::default() };
    let (_, of_rules) = engine::rules(&wanted, rules, &[], |_| true);
    let of_forwardings = engine::resolve(&wanted, forwardings, &[]).refused;
    let kept = |refused: Vec<Refused>| refused.into_iter().filter(|(_, field, _)| *field != "device").collect();
    (kept(of_forwardings), kept(of_rules))
}

/// Names of devices, for those who look at them; none where there are none to be read.
pub fn names(root: &Path) -> BTreeMap<Mac, String> {
    devices(root).unwrap_or_default().into_iter().map(|known| (known.mac, known.name)).collect()
}

/// The devices at home: as deviced has them; before it has said anything, by their leases, where a static one counts
/// before others, then the latest.
fn devices(root: &Path) -> Result<Vec<Known>, Refusal> {
    if let Some(table) = devices::read(root)? {
        let known = |device: devices::Device| Known {
            name: device.name,
            mac: device.hardware_addr,
            address: device.ipv4.first().copied(),
            suffixes: device.ipv6.iter().map(|address| u128::from(*address) & u128::from(u64::MAX)).collect(),
        };
        return Ok(table.devices.into_iter().map(known).collect());
    }
    let mut all = leases::read(&path(root, rights::LEASES))?;
    all.sort_by_key(|lease| std::cmp::Reverse((lease.is_static(), lease.expiry)));
    let known = |lease: leases::Lease| {
        let name = if lease.hostname_override.is_empty() { lease.hostname } else { lease.hostname_override };
        let mac = lease.hardware_addr.parse().ok()?;
        Some(Known { name, mac, address: Some(lease.addr), suffixes: Vec::new() })
    };
    Ok(all.into_iter().filter_map(known).collect())
}

impl Config {
    /// Nothing read yet.
    pub fn new() -> Config {
        Config { memory_kib: memory_kib(), ..Config::default() }
    }

    /// Keeps good copies of what was read.
    ///
    /// # Errors
    /// When the disk is full or broken.
    pub fn keep_good(&mut self, root: &Path) -> std::io::Result<()> {
        good::keep(root, &std::mem::take(&mut self.well))
    }

    /// Whether a change that was told of is one of the devices alone, and nothing of ours names a device.
    pub fn is_for_others(&mut self, root: &Path) -> bool {
        let look = |file: &&str| {
            let found = std::fs::metadata(file::in_force(root, file)).ok()?;
            Some((found.ino(), found.mtime(), found.mtime_nsec()))
        };
        let now: Vec<Seen> = FILES.iter().chain(&DEVICES).map(look).collect();
        let before = std::mem::replace(&mut self.seen, now);
        let Some((files_before, devices_before)) = before.split_at_checked(FILES.len()) else { return false };
        let (files, devices) = self.seen.split_at(FILES.len());
        devices != devices_before && files == files_before && !self.names_devices()
    }

    fn names_devices(&self) -> bool {
        self.forwardings.names_devices() || self.rules.names_devices()
    }

    /// Whether a rule has begun or ceased to hold since the last reading.
    pub fn is_due(&self, now: WallTime) -> bool {
        self.in_force != self.holding(now)
    }

    /// Whether the time of day matters.
    pub fn has_schedules(&self) -> bool {
        self.rules.have_schedules()
    }

    fn holds(&self, rule: &Rule, now: WallTime) -> bool {
        let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
        rule.schedule.is_none_or(|schedule| schedule.holds(&zone, now))
    }

    fn holding(&self, now: WallTime) -> Vec<bool> {
        self.rules.rules.iter().map(|rule| self.holds(rule, now)).collect()
    }

    /// Reads everything again. What is refused goes to `complaints`; what was read before then holds.
    pub fn read(&mut self, root: &Path, complaints: &mut Vec<String>) -> (Wanted, Loaded) {
        let loaded = interfaces::load(root);
        self.well.clear();
        match &loaded.source {
            Source::File | Source::Default(None) => {}
            Source::LastGood(refusal) => complaints.push(format!("{refusal}; the last good copy holds")),
            Source::Default(Some(refusal)) => complaints.push(format!("{refusal}; the defaults hold")),
        }
        let file = lease4::in_force(&loaded.interfaces);
        let held = self.lease.take().filter(|(before, _)| *before == file);
        match lease4::read(&path(root, file)) {
            Ok(lease) => self.lease = lease.map(|lease| (file, lease)).or(held),
            Err(refusal) => {
                self.lease = held;
                complaints.push(format!("{refusal}; the uplink keeps what it has"));
            }
        }
        let ipv6 = self.ipv6(root, &loaded.interfaces, complaints);
        let read = good::read(root, rights::FORWARDINGS, Forwardings::parse, &mut self.well, complaints);
        self.forwardings = read.unwrap_or_else(|| std::mem::take(&mut self.forwardings));
        complaints.extend(self.forwardings.refused.iter().map(|refusal| format!("{refusal}; the others hold")));
        self.read_rules(root, complaints);
        self.read_lines(root, complaints);
        let mut wanted = Wanted {
            before: before(root, &loaded),
            interfaces: loaded.interfaces.clone(),
            lease: self.lease.as_ref().map(|(_, lease)| lease.clone()),
            ipv6,
            offload: self.rules.offload,
            tunnels: self.tunnels.clone(),
            shaping: self.shaping.clone(),
            memory_kib: self.memory_kib,
            ..Wanted::default()
        };
        complaints.extend(wanted.passed_over());
        let known = self.known(root, complaints);
        wanted.open = engine::resolve(&wanted, &self.forwardings, &known);
        let now = WallTime::now();
        self.in_force = self.holding(now);
        let (rules, refused) = engine::rules(&wanted, &self.rules, &known, |rule| self.holds(rule, now));
        wanted.open.rules = rules;
        wanted.open.counted = self.rules.rules.iter().map(|rule| rule.name.clone()).collect();
        let refusal = |(entry, field, words): &Refused| firewall::refusal(root, entry, field, words).to_string();
        complaints.extend(refused.iter().map(refusal));
        let refusal = |(entry, field, words): &Refused| forwardings::refusal(root, entry, field, words).to_string();
        complaints.extend(wanted.open.refused.iter().map(refusal));
        (wanted, loaded)
    }

    fn read_rules(&mut self, root: &Path, complaints: &mut Vec<String>) {
        let read = good::read(root, rights::FIREWALL, Rules::parse, &mut self.well, complaints);
        self.rules = read.unwrap_or_else(|| std::mem::take(&mut self.rules));
        complaints.extend(self.rules.refused.iter().map(|refusal| format!("{refusal}; the others hold")));
        if self.rules.have_schedules() {
            match schedule::zone(root) {
                Ok(zone) => self.zone = Some(zone),
                Err(refusal) => complaints.push(format!("{refusal}; the zone of before holds, else UTC")),
            }
        }
    }

    fn read_lines(&mut self, root: &Path, complaints: &mut Vec<String>) {
        match wireguard::read(root) {
            Ok(tunnels) => self.tunnels = Some(tunnels),
            Err(refusal) => complaints.push(format!("{refusal}; the tunnels of before hold")),
        }
        let refused = self.tunnels.iter().flat_map(|tunnels| &tunnels.refused);
        complaints.extend(refused.map(|refusal| format!("{refusal}; the others hold")));
        match shaping::read(root) {
            Ok(shaping) => self.shaping = Some(shaping),
            Err(refusal) => complaints.push(format!("{refusal}; the shaping of before holds")),
        }
        let refused = self.shaping.iter().flat_map(|shaping| &shaping.refused);
        complaints.extend(refused.map(|refusal| format!("{refusal}; the rest holds")));
    }

    /// The devices, when a forwarding or rule names one.
    fn known(&self, root: &Path, complaints: &mut Vec<String>) -> Vec<Known> {
        if !self.names_devices() {
            return Vec::new();
        }
        devices(root).unwrap_or_else(|refusal| {
            complaints.push(format!("{refusal}; no forwarding and no rule finds its device"));
            Vec::new()
        })
    }

    fn ipv6(&mut self, root: &Path, interfaces: &Interfaces, complaints: &mut Vec<String>) -> Option<Ipv6> {
        let clock = Clock::read();
        let (delegations, refusal) = delegation::in_force(root, interfaces, &clock);
        if let Some(refusal) = refusal {
            complaints.push(format!("{refusal}; IPv6 stays as it is"));
            return self.ipv6.clone();
        }
        let (local, refusal) = ula::read(root);
        complaints.extend(refusal.map(|refusal| refusal.to_string()));
        let announced = announced::read(root).unwrap_or_else(|refusal| {
            complaints.push(refusal.to_string());
            None
        });
        let announced = announced.unwrap_or_default().prefixes.into_iter().map(|one| (one.lan, one.prefix.trunc()));
        // That it can be read was just seen; a fixed uplink has no lease.
        let fixed = interfaces.uplink().is_some_and(|uplink| uplink.gateway6.is_some());
        let lease = lease6::read(&path(root, rights::LEASE6), &clock).ok().flatten().filter(|_| !fixed);
        let addresses = lease.map(|lease| lease.addresses).unwrap_or_default();
        self.ipv6 = Some(Ipv6 {
            delegations: delegations.iter().map(|prefix| (prefix.value, prefix.is_valid(clock.now))).collect(),
            addresses: addresses.iter().map(|held| (held.value, held.is_preferred(clock.now))).collect(),
            local,
            announced: announced.collect(),
        });
        self.ipv6.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    #[test]
    fn leases_of_the_lan_concern_it_only_where_a_forwarding_names_a_device() {
        let folder = Folder::new();
        let write = |file: &str, text: &str| {
            let path = path(&folder.0, file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            crate::perm::file::replace(&path, text.as_bytes()).unwrap();
        };
        let mut config = Config::new();
        assert!(!config.is_for_others(&folder.0), "the first time");
        assert!(!config.is_for_others(&folder.0), "nothing changed: a person asks");
        write(rights::LEASES, "[]");
        assert!(config.is_for_others(&folder.0));
        write(rights::LEASES, "[ ]");
        write(rights::LEASE4, "{}");
        assert!(!config.is_for_others(&folder.0), "another file as well");
        write(rights::FORWARDINGS, r#"{"forwardings":[{"port":"1","device":"nas"}]}"#);
        config.read(&folder.0, &mut Vec::new());
        assert!(!config.is_for_others(&folder.0));
        write(rights::LEASES, "[]");
        assert!(!config.is_for_others(&folder.0), "a device is named");
    }

    #[test]
    fn a_schedule_is_followed_when_it_begins_and_when_it_ends() {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("perm")).unwrap();
        let rule = r#"{"rules":[{"name":"a","action":"refuse","schedule":{"to":"12:00"}}]}"#;
        std::fs::write(folder.0.join("perm/firewall.json"), rule).unwrap();
        let mut config = Config::new();
        assert!(!config.has_schedules());
        let (wanted, _) = config.read(&folder.0, &mut Vec::new());
        let (morning, evening) = ("2026-11-24T11:59:59Z".parse().unwrap(), "2026-11-24T12:00:00Z".parse().unwrap());
        assert!(config.has_schedules() && config.is_due(morning) != config.is_due(evening));
        assert_eq!(wanted.open.rules.len(), usize::from(config.is_due(evening)), "in force in the morning only");
        assert_eq!(wanted.open.counted, ["a"], "counted at any time");
    }
}
