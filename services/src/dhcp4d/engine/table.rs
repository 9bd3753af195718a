//! Who holds which address: leases, outstanding offers, addresses found in use by somebody else.
//!
//! An address is with one client at a time, and a client has one record. Records outlive their lease, so that a
//! device that returns finds its address again; they are reused when no address is left that nobody ever had.
use super::label::host_label;
use super::pool::Subnet;
use crate::perm::leases::Lease;
use crate::perm::{Mac, WallTime};
use netstack::time::Instant;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;

/// How long an offered address is kept for its client.
pub const OFFER: Duration = Duration::from_secs(10);
/// How long an address that a client found in use is not given.
pub const QUARANTINE: Duration = Duration::from_secs(600);

/// Nanoseconds of boot time since the table was made; negative is before.
type Stamp = i64;

/// One client's lease, running or past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub mac: Mac,
    /// What the client calls itself, or the override.
    pub hostname: String,
    /// A name given by a person, which wins.
    pub name_override: String,
    /// Its end; none for a static lease.
    expiry: Option<Stamp>,
    last_ack: Stamp,
}

/// All leases of one LAN.
#[derive(Debug)]
pub struct Table {
    subnet: Option<Subnet>,
    epoch: Instant,
    records: BTreeMap<Ipv4Addr, Record>,
    by_mac: HashMap<Mac, Ipv4Addr>,
    offers: HashMap<Ipv4Addr, (Mac, Instant)>,
    conflicts: HashMap<Ipv4Addr, Instant>,
}

impl Table {
    /// An empty one.
    pub fn new(now: Instant, subnet: Option<Subnet>) -> Table {
        let (by_mac, offers, conflicts) = (HashMap::new(), HashMap::new(), HashMap::new());
        Table { subnet, epoch: now, records: BTreeMap::new(), by_mac, offers, conflicts }
    }

    /// Another network: static leases stay, others only if their address is still in it.
    pub fn set_subnet(&mut self, subnet: Option<Subnet>) {
        self.subnet = subnet;
        self.offers.clear();
        self.conflicts.clear();
        self.records
            .retain(|address, record| record.expiry.is_none() || subnet.is_none_or(|subnet| subnet.contains(*address)));
        self.by_mac = self.records.iter().map(|(address, record)| (record.mac, *address)).collect();
    }

    fn stamp(&self, now: Instant) -> Stamp {
        i64::try_from((now - self.epoch).as_nanos()).unwrap_or(i64::MAX)
    }

    /// Takes records from the file. `wall_at_epoch` is the wall clock's reading when the table was made; a lease that
    /// by that clock would run longer than `period` allows is cut to it. Says which records it leaves out.
    pub fn load(&mut self, leases: Vec<Lease>, wall_at_epoch: WallTime, period: fn(Mac) -> Duration) -> Vec<String> {
        let mut refused = Vec::new();
        for lease in leases {
            let mac: Mac = match lease.hardware_addr.parse() {
                Ok(mac) => mac,
                Err(words) => {
                    refused.push(format!("{}: hardware_addr: {words}", lease.addr));
                    continue;
                }
            };
            let longest = i64::try_from(period(mac).as_nanos()).unwrap_or(i64::MAX);
            let expiry = (!lease.is_static()).then(|| lease.expiry.nanos_from(wall_at_epoch).min(longest));
            // The name of a static lease is a person's word and stays as it is written.
            let hostname = match expiry {
                None => lease.hostname,
                Some(_) => host_label(lease.hostname.as_bytes()).unwrap_or_default(),
            };
            let record = Record {
                mac,
                hostname,
                name_override: lease.hostname_override,
                expiry,
                last_ack: lease.last_ack.nanos_from(wall_at_epoch).min(0),
            };
            let rank = |record: &Record| record.expiry.unwrap_or(i64::MAX);
            let twin = self.by_mac.get(&mac).copied();
            let weaker = |address: &Ipv4Addr| self.records.get(address).is_none_or(|old| rank(old) <= rank(&record));
            if !weaker(&lease.addr) || twin.is_some_and(|twin| !weaker(&twin)) {
                refused.push(format!("{} for {mac}: another record has the address or the client", lease.addr));
                continue;
            }
            self.remove(lease.addr);
            self.insert(lease.addr, record);
        }
        refused
    }

    /// All records, as the file has them.
    pub fn leases(&self, wall_at_epoch: WallTime) -> Vec<Lease> {
        let lease = |(address, record): (&Ipv4Addr, &Record)| Lease {
            num: self.subnet.map_or(0, |subnet| subnet.number(*address)),
            addr: *address,
            hardware_addr: record.mac.to_string(),
            hostname: record.hostname.clone(),
            hostname_override: record.name_override.clone(),
            expiry: record.expiry.map_or_else(WallTime::default, |expiry| wall_at_epoch.shifted(expiry)),
            last_ack: wall_at_epoch.shifted(record.last_ack),
        };
        self.records.iter().map(lease).collect()
    }

    fn insert(&mut self, address: Ipv4Addr, record: Record) {
        if let Some(old) = self.by_mac.insert(record.mac, address)
            && old != address
        {
            self.records.remove(&old);
        }
        self.records.insert(address, record);
    }

    fn remove(&mut self, address: Ipv4Addr) -> Option<Record> {
        let record = self.records.remove(&address)?;
        self.by_mac.remove(&record.mac);
        Some(record)
    }

    /// The client's record and its address.
    pub fn of(&self, mac: Mac) -> Option<(Ipv4Addr, &Record)> {
        let address = *self.by_mac.get(&mac)?;
        Some((address, self.records.get(&address)?))
    }

    /// Whether the client has a lease that has not run out.
    pub fn holds(&self, now: Instant, mac: Mac, address: Ipv4Addr) -> bool {
        self.of(mac).is_some_and(|(own, record)| own == address && !self.expired(now, record))
    }

    fn expired(&self, now: Instant, record: &Record) -> bool {
        record.expiry.is_some_and(|expiry| expiry < self.stamp(now))
    }

    fn is_static(&self, mac: Mac) -> Option<Ipv4Addr> {
        self.of(mac).filter(|(_, record)| record.expiry.is_none()).map(|(address, _)| address)
    }

    fn offered_to_other(&self, now: Instant, mac: Mac, address: Ipv4Addr) -> bool {
        self.offers.get(&address).is_some_and(|(whose, until)| *whose != mac && now < *until)
    }

    fn in_conflict(&self, now: Instant, address: Ipv4Addr) -> bool {
        self.conflicts.get(&address).is_some_and(|until| now < *until)
    }

    /// Whether the client may have this address now.
    pub fn may_have(&self, now: Instant, mac: Mac, address: Ipv4Addr) -> bool {
        let Some(subnet) = self.subnet else { return false };
        if let Some(fixed) = self.is_static(mac) {
            return fixed == address && subnet.holds(address);
        }
        match self.records.get(&address) {
            Some(record) if record.mac == mac => subnet.holds(address),
            Some(record) if !self.expired(now, record) => false,
            _ => {
                subnet.contains(address) && !self.offered_to_other(now, mac, address) && !self.in_conflict(now, address)
            }
        }
    }

    /// The address to offer: the one it has, the one it was offered, the one it wants, the one it had, one that nobody
    /// had, the one whose lease ended first, the one found in use longest ago.
    pub fn choose(&self, now: Instant, mac: Mac, wanted: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let subnet = self.subnet?;
        let may = |address: &Ipv4Addr| self.may_have(now, mac, *address);
        let own = self.of(mac).map(|(address, record)| (address, self.expired(now, record)));
        let running = own.filter(|(_, expired)| !expired).map(|(address, _)| address);
        let offered = || self.offers.iter().find(|(_, (whose, until))| *whose == mac && now < *until).map(|(a, _)| *a);
        running
            .filter(may)
            .or_else(|| offered().filter(may))
            .or_else(|| wanted.filter(may))
            .or_else(|| own.map(|(address, _)| address).filter(may))
            .or_else(|| self.never_used(now, subnet, mac))
            .or_else(|| self.longest_expired(now, subnet, mac))
            .or_else(|| self.oldest_conflict(now, subnet, mac))
    }

    // From a place that the hardware address gives, so that a device tends to get the same address anywhere.
    fn never_used(&self, now: Instant, subnet: Subnet, mac: Mac) -> Option<Ipv4Addr> {
        let size = subnet.size();
        let start = mac.0.iter().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        (0..size)
            .filter_map(|step| subnet.address((start % size + step) % size))
            .find(|address| !self.records.contains_key(address) && self.may_have(now, mac, *address))
    }

    // One that a person has named goes last.
    fn longest_expired(&self, now: Instant, subnet: Subnet, mac: Mac) -> Option<Ipv4Addr> {
        self.records
            .iter()
            .filter(|(address, _)| subnet.contains(**address) && self.may_have(now, mac, **address))
            .min_by_key(|(_, record)| (!record.name_override.is_empty(), record.expiry))
            .map(|(address, _)| *address)
    }

    fn oldest_conflict(&self, now: Instant, subnet: Subnet, mac: Mac) -> Option<Ipv4Addr> {
        self.conflicts
            .iter()
            .filter(|(address, _)| subnet.contains(**address) && !self.offered_to_other(now, mac, **address))
            .filter(|(address, _)| self.records.get(address).is_none_or(|record| self.expired(now, record)))
            .min_by_key(|(_, until)| **until)
            .map(|(address, _)| *address)
    }

    /// Keeps the address for the client for a while.
    pub fn offer(&mut self, now: Instant, mac: Mac, address: Ipv4Addr) {
        self.withdraw(mac);
        self.conflicts.remove(&address);
        self.offers.insert(address, (mac, now + OFFER));
    }

    /// Forgets what the client was offered: it has taken it, or another server's.
    pub fn withdraw(&mut self, mac: Mac) {
        self.offers.retain(|_, (whose, _)| *whose != mac);
    }

    /// Gives the address for `period`; the caller has asked [`Table::may_have`]. Says whether it is a new lease.
    pub fn grant(
        &mut self,
        now: Instant,
        mac: Mac,
        address: Ipv4Addr,
        hostname: Option<String>,
        period: Duration,
    ) -> bool {
        self.withdraw(mac);
        self.conflicts.remove(&address);
        let known = self.holds(now, mac, address);
        let stamp = self.stamp(now);
        let old = self.by_mac.get(&mac).copied().and_then(|own| self.remove(own));
        self.remove(address);
        let end = stamp.saturating_add(i64::try_from(period.as_nanos()).unwrap_or(i64::MAX));
        let mut record = Record {
            mac,
            hostname: hostname.unwrap_or_default(),
            name_override: String::new(),
            expiry: Some(end),
            last_ack: stamp,
        };
        if let Some(old) = old {
            let is_static = old.expiry.is_none();
            if is_static {
                record.expiry = None;
            }
            if (is_static && !old.hostname.is_empty()) || record.hostname.is_empty() {
                record.hostname = old.hostname;
            }
            if !old.name_override.is_empty() {
                record.hostname.clone_from(&old.name_override);
            }
            record.name_override = old.name_override;
        }
        self.insert(address, record);
        !known
    }

    /// Ends the client's lease of this address now; says whether there was one. A static lease stays.
    pub fn end(&mut self, now: Instant, mac: Mac, address: Ipv4Addr) -> bool {
        let stamp = self.stamp(now);
        self.withdraw(mac);
        match self.records.get_mut(&address) {
            Some(record) if record.mac == mac && record.expiry.is_some_and(|expiry| expiry >= stamp) => {
                record.expiry = Some(stamp - 1);
                true
            }
            _ => false,
        }
    }

    /// The client found the address, which it has or was offered, in use: nobody gets it for a while. A static lease
    /// stays. Says whether the address was this client's to decline.
    pub fn decline(&mut self, now: Instant, mac: Mac, address: Ipv4Addr) -> bool {
        let offered = self.offers.get(&address).is_some_and(|(whose, _)| *whose == mac);
        self.withdraw(mac);
        let free = match self.records.get(&address) {
            Some(record) if record.mac == mac && record.expiry.is_none() => return true,
            Some(record) if record.mac == mac => true,
            Some(record) => offered && self.expired(now, record),
            None => offered,
        };
        if free {
            self.remove(address);
            self.conflicts.retain(|_, until| now < *until);
            self.conflicts.insert(address, now + QUARANTINE);
        }
        free
    }
}
