//! The table: what was said and heard of each device, and which name of several holds. No input, no output, no clock.
pub mod kept;

use super::tail::{Change, Lease};
use crate::perm::devices::{Device, Devices};
use crate::perm::{Mac, WallTime};
use kept::{Kept, Known};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Devices in the table, at most.
pub const MOST: usize = 10_000;
/// Addresses of a device besides those of its leases, at most, of each family.
const MOST_ADDRESSES: usize = 8;
/// An address that was not heard of for so long is its no more.
const DAY: Duration = Duration::from_secs(86_400);

/// Acknowledgements closer together count as one.
const DRIFT: Duration = Duration::from_millis(500);

/// What has come of an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct News {
    /// The table says something else now, besides when a device was last seen.
    pub changed: bool,
    /// A device was never seen before.
    pub new: bool,
}

impl News {
    /// Both.
    pub fn merge(&mut self, other: News) {
        self.changed |= other.changed;
        self.new |= other.new;
    }
}

#[derive(Debug, Clone, Default)]
struct Entry {
    interface: String,
    dhcp_name: String,
    override_name: String,
    name: String,
    fixed_name: String,
    vendor: String,
    leases: BTreeMap<Ipv4Addr, Lease>,
    /// Heard of, the last first.
    heard: Vec<(IpAddr, WallTime)>,
    first_seen: WallTime,
    last_seen: WallTime,
}

/// Every device.
#[derive(Debug, Default)]
pub struct Engine {
    devices: BTreeMap<Mac, Entry>,
    /// Those that may go, by when they were last seen.
    by_age: BTreeSet<(WallTime, Mac)>,
    /// Whose lease an address is.
    leases: BTreeMap<Ipv4Addr, Mac>,
    /// Something of which the table says less than it could.
    stale: bool,
}

/// A name as one DNS label, lower-case.
pub fn label(name: &str) -> Option<String> {
    let fits = (1..=63).contains(&name.len()) && !name.starts_with('-') && !name.ends_with('-');
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (fits && plain).then(|| name.to_ascii_lowercase())
}

impl Engine {
    /// How many devices there are.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Takes what was kept; what it does not name has no name of a person any more.
    pub fn load(&mut self, known: Known) {
        for entry in self.devices.values_mut() {
            entry.name.clear();
            entry.fixed_name.clear();
        }
        for kept in known.devices.into_iter().take(MOST) {
            let entry = self.devices.entry(kept.hardware_addr).or_default();
            entry.name = kept.name;
            entry.fixed_name = kept.fixed_name;
            entry.first_seen = kept.first_seen;
            entry.last_seen = entry.last_seen.max(kept.last_seen);
        }
        let ages = self.devices.iter().filter(|(_, entry)| entry.fixed_name.is_empty());
        self.by_age = ages.map(|(mac, entry)| (entry.last_seen, *mac)).collect();
    }

    /// What is to be kept.
    pub fn known(&self) -> Known {
        let kept = |(mac, entry): (&Mac, &Entry)| Kept {
            hardware_addr: *mac,
            name: entry.name.clone(),
            fixed_name: entry.fixed_name.clone(),
            first_seen: entry.first_seen,
            last_seen: entry.last_seen,
        };
        Known { devices: self.devices.iter().map(kept).collect() }
    }

    // The device's entry, made if need be; none when all have a fixed name and there is no room.
    fn entry(
        &mut self,
        wall: WallTime,
        mac: Mac,
        vendor: impl FnOnce() -> String,
        news: &mut News,
    ) -> Option<&mut Entry> {
        if !self.devices.contains_key(&mac) {
            if self.devices.len() >= MOST {
                let (_, oldest) = self.by_age.pop_first()?;
                self.remove(oldest);
            }
            *news = News { changed: true, new: true };
            self.devices.insert(mac, Entry { first_seen: wall, last_seen: wall, ..Entry::default() });
            self.by_age.insert((wall, mac));
        }
        let entry = self.devices.get_mut(&mac)?;
        if entry.vendor.is_empty() {
            entry.vendor = vendor();
        }
        if entry.last_seen < wall {
            if entry.fixed_name.is_empty() {
                self.by_age.remove(&(entry.last_seen, mac));
                self.by_age.insert((wall, mac));
            }
            entry.last_seen = wall;
            self.stale = true;
        }
        Some(entry)
    }

    fn remove(&mut self, mac: Mac) -> bool {
        let Some(entry) = self.devices.remove(&mac) else { return false };
        self.by_age.remove(&(entry.last_seen, mac));
        for address in entry.leases.keys() {
            self.leases.remove(address);
        }
        true
    }

    /// A neighbour was heard of; `alive` when just now.
    pub fn heard(
        &mut self,
        wall: WallTime,
        interface: &str,
        mac: Mac,
        address: IpAddr,
        alive: bool,
        vendor: impl FnOnce() -> String,
    ) -> News {
        let mut news = News::default();
        // A group is no device, and neither is nobody.
        if mac.0[0] & 1 == 1 || mac.0 == [0; 6] || (!alive && self.devices.contains_key(&mac) && self.has(mac, address))
        {
            return news;
        }
        let Some(entry) = self.entry(wall, mac, vendor, &mut news) else { return news };
        if entry.interface != interface {
            interface.clone_into(&mut entry.interface);
            news.changed = true;
        }
        if is_worth(address) {
            let known = entry.heard.iter().position(|(other, _)| *other == address);
            if let Some(at) = known {
                entry.heard.remove(at);
            }
            entry.heard.insert(0, (address, wall));
            news.changed |= known.is_none();
            let same = |(other, _): &&(IpAddr, WallTime)| other.is_ipv4() == address.is_ipv4();
            if entry.heard.iter().filter(same).count() > MOST_ADDRESSES
                && let Some(last) = entry.heard.iter().rposition(|(other, _)| other.is_ipv4() == address.is_ipv4())
            {
                entry.heard.remove(last);
            }
        }
        news
    }

    fn has(&self, mac: Mac, address: IpAddr) -> bool {
        self.devices.get(&mac).is_some_and(|entry| entry.heard.iter().any(|(other, _)| *other == address))
    }

    /// A lease was given or went; the lease when it was acknowledged anew.
    pub fn lease(
        &mut self,
        change: Change,
        interface: impl Fn(Ipv4Addr) -> Option<String>,
        vendor: impl Fn(Mac) -> String,
    ) -> (Option<Lease>, News) {
        let mut news = News::default();
        let lease = match change {
            Change::Gone(address) => {
                news.changed = self.drop_lease(address);
                return (None, news);
            }
            Change::Given(lease) => lease,
        };
        if self.leases.get(&lease.addr).is_some_and(|mac| *mac != lease.mac) {
            news.changed |= self.drop_lease(lease.addr);
        }
        let mac = lease.mac;
        let Some(entry) = self.entry(lease.last_ack, mac, || vendor(mac), &mut news) else { return (None, news) };
        let before = entry.leases.get(&lease.addr);
        // The same record, read again, may differ by what the clocks have drifted.
        let anew = before.is_none_or(|before| before.last_ack.after(DRIFT) < lease.last_ack);
        let same = before
            .is_some_and(|before| (&before.hostname, &before.name_override) == (&lease.hostname, &lease.name_override));
        news.changed |= !same;
        if lease.name_override.is_empty() {
            entry.dhcp_name.clone_from(&lease.hostname);
        }
        entry.override_name.clone_from(&lease.name_override);
        if let Some(name) = interface(lease.addr).filter(|name| entry.interface != *name) {
            entry.interface = name;
            news.changed = true;
        }
        entry.leases.insert(lease.addr, lease.clone());
        self.leases.insert(lease.addr, mac);
        self.stale = true;
        (anew.then_some(lease), news)
    }

    fn drop_lease(&mut self, address: Ipv4Addr) -> bool {
        let Some(mac) = self.leases.remove(&address) else { return false };
        self.devices.get_mut(&mac).is_some_and(|entry| entry.leases.remove(&address).is_some())
    }

    /// Gives a device a name; says whether it is known.
    pub fn rename(&mut self, mac: Mac, name: &str) -> bool {
        self.devices.get_mut(&mac).is_some_and(|entry| {
            name.clone_into(&mut entry.name);
            true
        })
    }

    /// Whether a name is fixed to another device.
    pub fn is_taken(&self, name: &str, mac: Mac) -> bool {
        !name.is_empty() && self.devices.iter().any(|(other, entry)| *other != mac && entry.fixed_name == name)
    }

    /// Fixes a name to a hardware address, seen or not; an empty one frees it.
    ///
    /// # Errors
    /// When there is no room.
    pub fn fix(&mut self, wall: WallTime, mac: Mac, name: &str, vendor: impl FnOnce() -> String) -> Result<(), String> {
        if !self.devices.contains_key(&mac) {
            let mut news = News::default();
            let entry = self.entry(wall, mac, vendor, &mut news);
            let entry = entry.ok_or_else(|| format!("there are {MOST} devices with a fixed name already"))?;
            // Never seen: only spoken of.
            entry.first_seen = WallTime::default();
            let last = std::mem::take(&mut entry.last_seen);
            self.by_age.remove(&(last, mac));
        }
        let Some(entry) = self.devices.get_mut(&mac) else { return Ok(()) };
        name.clone_into(&mut entry.fixed_name);
        if name.is_empty() {
            self.by_age.insert((entry.last_seen, mac));
        } else {
            self.by_age.remove(&(entry.last_seen, mac));
        }
        Ok(())
    }

    /// Forgets a device; says whether it was known. It comes back when it is heard of again.
    pub fn forget(&mut self, mac: Mac) -> bool {
        self.remove(mac)
    }

    /// Whether the table would say something else now: a lease has run out, or a device was seen again.
    pub fn is_stale(&mut self, wall: WallTime) -> bool {
        let expired = |lease: &Lease| lease.expired(wall);
        let over = self.devices.values().any(|entry| entry.leases.values().any(expired));
        std::mem::take(&mut self.stale) || over
    }

    /// The table.
    pub fn table(&self, wall: WallTime) -> Devices {
        Devices { devices: self.devices.iter().map(|(mac, entry)| entry.device(*mac, wall)).collect() }
    }
}

impl Entry {
    fn device(&self, mac: Mac, wall: WallTime) -> Device {
        let mut ipv4: Vec<Ipv4Addr> =
            self.leases.values().filter(|lease| !lease.expired(wall)).map(|lease| lease.addr).collect();
        let mut ipv6: Vec<Ipv6Addr> = Vec::new();
        for (address, heard) in &self.heard {
            match address {
                _ if wall.since(*heard) > DAY => {}
                IpAddr::V4(address) if !ipv4.contains(address) => ipv4.push(*address),
                IpAddr::V4(_) => {}
                IpAddr::V6(address) => ipv6.push(*address),
            }
        }
        let override_name = if self.name.is_empty() { &self.override_name } else { &self.name };
        let names = [&self.fixed_name, override_name, &self.dhcp_name];
        Device {
            hardware_addr: mac,
            interface: self.interface.clone(),
            name: names.into_iter().find_map(|name| label(name)).unwrap_or_default(),
            dhcp_name: self.dhcp_name.clone(),
            override_name: override_name.clone(),
            fixed_name: self.fixed_name.clone(),
            vendor: self.vendor.clone(),
            ipv4,
            ipv6,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
        }
    }
}

/// Whether an address says something of its device: all have one of the link itself.
fn is_worth(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast(),
        IpAddr::V6(address) => {
            let global = address.segments()[0] & 0xe000 == 0x2000;
            global || address.is_unique_local()
        }
    }
}
