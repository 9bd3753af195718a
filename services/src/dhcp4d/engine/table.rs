//! Who holds which address of a network: leases, reservations, outstanding offers, addresses found in use by others.
//!
//! An address is with one client at a time, and a client has one record. Records outlive their lease, so that a
//! device that returns finds its address again; they are reused when no address is left that nobody ever had.
//!
//! A client is known by its identifier where it sends one that says more than its hardware address (RFC 4361, RFC 6842),
//! else by that address. A record without identifier, such as one of router7's file, is taken over by the first client of
//! its hardware address.
use super::held::{Conflicts, Offers};
use super::pool::{Places, Subnet};
use crate::perm::Mac;
use crate::perm::lease_log::Given;
use netstack::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Nanoseconds of boot time; negative is before.
pub type Stamp = i64;

/// A moment as a stamp.
pub fn stamp(now: Instant) -> Stamp {
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

/// A length of time in nanoseconds.
pub fn nanos(period: Duration) -> i64 {
    i64::try_from(period.as_nanos()).unwrap_or(i64::MAX)
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client {
    /// Its hardware address.
    pub mac: Mac,
    /// Option 61, when it says more than the hardware address; else empty.
    pub id: Box<[u8]>,
}

/// One client's lease, running or past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub client: Client,
    /// What the client calls itself, or the override.
    pub hostname: Box<str>,
    /// A name given by a person, which wins.
    pub name_override: Box<str>,
    /// Its end; none for a static lease.
    pub expiry: Option<Stamp>,
    /// When it was last acknowledged.
    pub last_ack: Stamp,
}

impl Record {
    /// As the log has it.
    pub fn given(&self, addr: Ipv4Addr) -> Given {
        Given {
            addr,
            mac: self.client.mac,
            id: self.client.id.to_vec(),
            hostname: self.hostname.to_string(),
            name_override: self.name_override.to_string(),
            expiry: self.expiry,
            last_ack: self.last_ack,
        }
    }

    /// Of what the log has.
    pub fn of(given: Given) -> (Ipv4Addr, Record) {
        let client = Client { mac: given.mac, id: given.id.into() };
        let (hostname, name_override) = (given.hostname.into(), given.name_override.into());
        (given.addr, Record { client, hostname, name_override, expiry: given.expiry, last_ack: given.last_ack })
    }

    /// Whether it has run out.
    pub fn expired(&self, now: Instant) -> bool {
        self.expiry.is_some_and(|expiry| expiry < stamp(now))
    }
}

/// An address that a person keeps for a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The address.
    pub address: Ipv4Addr,
    /// The device by its hardware address.
    pub mac: Option<Mac>,
    /// The device by its identifier, option 61 as it sends it.
    pub id: Option<Box<[u8]>>,
    /// Its name, which wins over what it calls itself.
    pub name: Option<String>,
}

impl Reservation {
    fn is_for(&self, client: &Client) -> bool {
        let ours = |id: &[u8]| {
            *id == *client.id || (client.id.is_empty() && id.first() == Some(&1) && id[1..] == client.mac.0)
        };
        self.mac == Some(client.mac) || self.id.as_deref().is_some_and(ours)
    }
}

/// All leases of one network.
#[derive(Debug)]
pub struct Table {
    subnet: Subnet,
    records: BTreeMap<Ipv4Addr, Record>,
    by_client: BTreeSet<(Client, Ipv4Addr)>,
    /// Leases that end, in the order of their ends, but for those whose address is offered.
    by_expiry: BTreeSet<(Stamp, Ipv4Addr)>,
    places: Places,
    reserved: BTreeMap<Ipv4Addr, Reservation>,
    offers: Offers,
    conflicts: Conflicts,
}

impl Table {
    /// An empty one.
    pub fn new(subnet: Subnet, reservations: &[Reservation]) -> Table {
        let reserved: BTreeMap<_, _> = reservations.iter().map(|one| (one.address, one.clone())).collect();
        let mut table = Table {
            subnet,
            records: BTreeMap::new(),
            by_client: BTreeSet::new(),
            by_expiry: BTreeSet::new(),
            places: Places::new(subnet.size()),
            reserved,
            offers: Offers::default(),
            conflicts: Conflicts::default(),
        };
        let fixed: Vec<Ipv4Addr> = table.reserved.keys().copied().chain([subnet.server()]).collect();
        fixed.into_iter().for_each(|address| table.mark(address));
        // A pool may go over the server's own address.
        for index in (0..subnet.size()).filter(|index| subnet.address(*index).is_none()) {
            table.places.set(index, true);
        }
        table
    }

    /// Every record, by address.
    pub fn records(&self) -> &BTreeMap<Ipv4Addr, Record> {
        &self.records
    }

    /// Takes all records out.
    pub fn take(&mut self) -> BTreeMap<Ipv4Addr, Record> {
        std::mem::take(&mut self.records)
    }

    /// Puts a record in from outside, unless a stronger one has the address or the client: then it comes back.
    pub fn restore(&mut self, address: Ipv4Addr, record: Record) -> Result<Vec<Ipv4Addr>, Record> {
        let rank = |record: &Record| (record.expiry.unwrap_or(i64::MAX), record.last_ack);
        let weaker = |address: &Ipv4Addr| self.records.get(address).is_none_or(|old| rank(old) <= rank(&record));
        let twin = self.address_of(&record.client);
        if !weaker(&address) || twin.is_some_and(|twin| !weaker(&twin)) {
            return Err(record);
        }
        let mut gone = Vec::new();
        for old in [Some(address), twin].into_iter().flatten() {
            if self.remove(old).is_some() && old != address {
                gone.push(old);
            }
        }
        self.insert(address, record);
        Ok(gone)
    }

    fn insert(&mut self, address: Ipv4Addr, record: Record) {
        self.by_client.insert((record.client.clone(), address));
        self.records.insert(address, record);
        self.mark(address);
    }

    fn remove(&mut self, address: Ipv4Addr) -> Option<Record> {
        let record = self.records.remove(&address)?;
        self.by_client.remove(&(record.client.clone(), address));
        if let Some(expiry) = record.expiry {
            self.by_expiry.remove(&(expiry, address));
        }
        self.mark(address);
        Some(record)
    }

    // After every change of what is known of an address: whether its place is taken, and whether its record may be reused.
    fn mark(&mut self, address: Ipv4Addr) {
        let record = self.records.get(&address);
        let offered = self.offers.contains(address);
        let held = offered || self.conflicts.contains(address) || self.reserved.contains_key(&address);
        if let Some(index) = self.subnet.index(address) {
            self.places.set(index, record.is_some() || held);
        }
        if let Some(expiry) = record.and_then(|record| record.expiry) {
            if offered {
                self.by_expiry.remove(&(expiry, address));
            } else {
                self.by_expiry.insert((expiry, address));
            }
        }
    }

    fn address_of(&self, client: &Client) -> Option<Ipv4Addr> {
        let first = |client: Client| {
            let from = (client.clone(), Ipv4Addr::UNSPECIFIED);
            self.by_client.range(from..).next().filter(|(found, _)| *found == client).map(|(_, address)| *address)
        };
        first(client.clone()).or_else(|| {
            let nameless = Client { mac: client.mac, id: Box::default() };
            (!client.id.is_empty()).then(|| first(nameless)).flatten()
        })
    }

    /// The client's record and its address.
    pub fn of(&self, client: &Client) -> Option<(Ipv4Addr, &Record)> {
        let address = self.address_of(client)?;
        Some((address, self.records.get(&address)?))
    }

    /// The records of a hardware address.
    pub fn of_mac(&self, mac: Mac) -> impl Iterator<Item = (Ipv4Addr, &Record)> {
        let from = (Client { mac, id: Box::default() }, Ipv4Addr::UNSPECIFIED);
        let same = self.by_client.range(from..).take_while(move |(client, _)| client.mac == mac);
        same.filter_map(|(_, address)| Some((*address, self.records.get(address)?)))
    }

    /// Whether the client has a lease that has not run out.
    pub fn holds(&self, now: Instant, client: &Client, address: Ipv4Addr) -> bool {
        self.of(client).is_some_and(|(own, record)| own == address && !record.expired(now))
    }

    /// What a person keeps for the client.
    pub fn reservation(&self, client: &Client) -> Option<&Reservation> {
        self.reserved.values().find(|one| one.is_for(client))
    }

    fn is_own(&self, client: &Client, address: Ipv4Addr) -> bool {
        self.address_of(client) == Some(address)
    }

    // The one address that a client may have: its static lease, or what is kept for it while nobody else has that.
    fn fixed(&self, now: Instant, client: &Client) -> Option<Ipv4Addr> {
        let lease = self.of(client).filter(|(_, record)| record.expiry.is_none()).map(|(address, _)| address);
        lease.or_else(|| {
            let address = self.reservation(client)?.address;
            let other = self.records.get(&address).is_some_and(|record| !record.expired(now));
            (self.is_own(client, address) || !other).then_some(address)
        })
    }

    /// Whether the client may have this address now.
    pub fn may_have(&self, now: Instant, client: &Client, address: Ipv4Addr) -> bool {
        if !self.subnet.holds(address) {
            return false;
        }
        if let Some(fixed) = self.fixed(now, client) {
            return fixed == address;
        }
        if self.reserved.contains_key(&address) {
            return self.holds(now, client, address);
        }
        if self.is_own(client, address) {
            return true;
        }
        let free = self.records.get(&address).is_none_or(|record| record.expired(now));
        let others = self.offers.whose(now, address).is_some_and(|whose| whose != client);
        free && self.subnet.contains(address) && !others && !self.conflicts.holds(now, address)
    }

    /// The address to offer: the one it has, the one it was offered, the one it wants, the one it had, one that nobody
    /// had, the one whose lease ended first, the one found in use longest ago.
    pub fn choose(&mut self, now: Instant, client: &Client, wanted: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        self.expire(now);
        if let Some(fixed) = self.fixed(now, client) {
            return Some(fixed).filter(|address| self.subnet.holds(*address));
        }
        let may = |address: &Ipv4Addr| self.may_have(now, client, *address);
        let own = self.of(client).map(|(address, record)| (address, record.expired(now)));
        let running = own.filter(|(_, expired)| !expired).map(|(address, _)| address);
        running
            .filter(may)
            .or_else(|| self.offers.of(now, client).filter(may))
            .or_else(|| wanted.filter(may))
            .or_else(|| own.map(|(address, _)| address).filter(may))
            .or_else(|| self.never_used(now, client))
            .or_else(|| self.longest_expired(now, client))
            .or_else(|| self.oldest_conflict(now, client))
    }

    // Offers and quarantines that are over.
    fn expire(&mut self, now: Instant) {
        let mut over = Vec::new();
        self.offers.expire(now, |address| over.push(address));
        while let Some(address) = self.conflicts.over(now) {
            self.conflicts.remove(address);
            over.push(address);
        }
        over.into_iter().for_each(|address| self.mark(address));
    }

    // From a place that the hardware address gives, so that a device tends to get the same address anywhere.
    fn never_used(&self, now: Instant, client: &Client) -> Option<Ipv4Addr> {
        let hash = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        let start = client.mac.0.iter().fold(0x811c_9dc5, hash) % self.subnet.size().max(1);
        let address = self.places.free(start).and_then(|index| self.subnet.address(index));
        address.filter(|address| self.may_have(now, client, *address))
    }

    // One that a person has named goes last.
    fn longest_expired(&self, now: Instant, client: &Client) -> Option<Ipv4Addr> {
        let mut named = None;
        for (expiry, address) in &self.by_expiry {
            if *expiry >= stamp(now) {
                break;
            }
            if !self.subnet.contains(*address) || !self.may_have(now, client, *address) {
                continue;
            }
            if self.records.get(address).is_some_and(|record| record.name_override.is_empty()) {
                return Some(*address);
            }
            named = named.or(Some(*address));
        }
        named
    }

    fn oldest_conflict(&self, now: Instant, client: &Client) -> Option<Ipv4Addr> {
        self.conflicts.oldest(|address| {
            let others = self.offers.whose(now, address).is_some_and(|whose| whose != client);
            let free = self.records.get(&address).is_none_or(|record| record.expired(now));
            self.subnet.contains(address) && free && !others && !self.reserved.contains_key(&address)
        })
    }

    /// Whether the address is known to be free or the client's own without asking the LAN: it has it, was offered it, or
    /// was the last to have it within the hour.
    pub fn seen_lately(&self, now: Instant, client: &Client, address: Ipv4Addr) -> bool {
        const LATELY: i64 = 3_600_000_000_000;
        let recent = |record: &Record| !record.expired(now) || stamp(now) - record.last_ack < LATELY;
        self.offers.whose(now, address) == Some(client)
            || self.of(client).is_some_and(|(own, record)| own == address && recent(record))
    }

    /// Keeps the address for the client for a while.
    pub fn offer(&mut self, now: Instant, client: &Client, address: Ipv4Addr) {
        self.conflicts.remove(address);
        if let Some(former) = self.offers.add(now, client.clone(), address) {
            self.mark(former);
        }
        self.mark(address);
    }

    /// Forgets what the client was offered: it has taken it, or another server's.
    pub fn withdraw(&mut self, client: &Client) {
        if let Some(address) = self.offers.remove(client) {
            self.mark(address);
        }
    }

    /// Gives the address for `period`; the caller has asked [`Table::may_have`]. Says whether it is a new lease, and
    /// which address has no record any more.
    pub fn grant(
        &mut self,
        now: Instant,
        client: &Client,
        address: Ipv4Addr,
        hostname: Option<String>,
        period: Duration,
    ) -> (bool, Option<Ipv4Addr>) {
        self.withdraw(client);
        self.conflicts.remove(address);
        let known = self.holds(now, client, address);
        let own = self.address_of(client);
        let old = own.and_then(|own| self.remove(own));
        self.remove(address);
        let mut record = Record {
            client: client.clone(),
            hostname: hostname.unwrap_or_default().into(),
            name_override: Box::default(),
            expiry: Some(stamp(now).saturating_add(nanos(period))),
            last_ack: stamp(now),
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
        if let Some(name) = self.reservation(client).and_then(|one| one.name.as_deref())
            && record.name_override.is_empty()
        {
            record.hostname = name.into();
        }
        self.insert(address, record);
        (!known, own.filter(|own| *own != address))
    }

    /// Ends the lease of an address at a moment, if it would run longer.
    pub fn shorten(&mut self, address: Ipv4Addr, end: Stamp) {
        if let Some(mut record) = self.remove(address) {
            record.expiry = record.expiry.map(|expiry| expiry.min(end));
            self.insert(address, record);
        }
    }

    /// Gives a record a person's name; says whether there is one at that address.
    pub fn rename(&mut self, address: Ipv4Addr, name: &str) -> bool {
        self.records.get_mut(&address).is_some_and(|record| {
            record.hostname = name.into();
            record.name_override = name.into();
            true
        })
    }

    /// Ends the client's lease of this address now; says whether there was one. A static lease stays.
    pub fn end(&mut self, now: Instant, client: &Client, address: Ipv4Addr) -> bool {
        self.withdraw(client);
        let ends = self
            .records
            .get(&address)
            .is_some_and(|record| record.expiry.is_some() && !record.expired(now) && self.is_own(client, address));
        if ends {
            self.shorten(address, stamp(now) - 1);
        }
        ends
    }

    /// The client found the address, which it has or was offered, in use: nobody gets it for a while. A static lease
    /// stays. Says whether the address was this client's to decline.
    pub fn decline(&mut self, now: Instant, client: &Client, address: Ipv4Addr) -> bool {
        let offered = self.offers.whose(now, address) == Some(client);
        self.withdraw(client);
        let own = self.is_own(client, address);
        let free = match self.records.get(&address) {
            Some(record) if own && record.expiry.is_none() => return true,
            Some(record) => own || (offered && record.expired(now)),
            None => offered,
        };
        if free {
            self.conflict(now, address);
        }
        free
    }

    /// Somebody else has the address.
    pub fn conflict(&mut self, now: Instant, address: Ipv4Addr) {
        self.remove(address);
        let over = self.conflicts.add(now, address);
        over.into_iter().chain([address]).for_each(|address| self.mark(address));
    }
}
