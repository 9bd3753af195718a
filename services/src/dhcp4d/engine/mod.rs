//! What dhcp4d answers: RFC 2131 section 4.3 with router7's rules, and the leases it thereby gives.
//!
//! Every message goes through [`Engine::receive`]. The replies of one turn of the event loop are collected in an
//! [`Output`] and sent after the leases they promise are on the disk, one write for all of them.
pub mod held;
mod label;
mod nintendo;
pub mod options;
pub mod pool;
pub mod table;
mod waiting;

use super::message::{Kind, Outgoing, Query};
use super::six;
use crate::perm::Mac;
use crate::perm::lease_log::Entry;
pub use label::host_label;
use netstack::time::Instant;
use pool::Subnet;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use table::{Record, Reservation, Table, nanos, stamp};
use waiting::{Offer, Waiting};

/// Length of a lease while the disk takes none.
pub const FROM_MEMORY: Duration = Duration::from_secs(300);
/// Records of networks that are not served now, at most.
const MOST_ELSEWHERE: usize = 4_096;

/// router7's length of a lease.
pub fn period(mac: Mac) -> Duration {
    Duration::from_secs(if nintendo::is_nintendo(mac) { 3_600 } else { 1_200 })
}

/// A network that is served: a LAN, or one behind a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The LAN's interface, by which its messages come.
    pub interface: String,
    /// The server's address on it, by which clients know the server.
    pub identifier: Ipv4Addr,
    /// The network and its router.
    pub subnet: Subnet,
    /// Whether it is behind a relay.
    pub relayed: bool,
    /// Length of a lease, when a person has said so.
    pub period: Option<Duration>,
    /// Options by their code.
    pub values: BTreeMap<u8, Vec<u8>>,
    /// Where who boots from the network finds what: next server and file.
    pub boot: Option<(Ipv4Addr, String)>,
    /// What is kept for whom.
    pub reservations: Vec<Reservation>,
}

impl Settings {
    fn period(&self, mac: Mac) -> Duration {
        self.period.unwrap_or_else(|| period(mac))
    }
}

/// Where a reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// 255.255.255.255 in a broadcast frame.
    Broadcast,
    /// To this client, which may not answer ARP yet.
    Client(Mac, Ipv4Addr),
    /// To a client behind a router, port 68.
    Routed(Ipv4Addr),
    /// To a relay, port 67.
    Relay(Ipv4Addr),
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The interface by which it leaves.
    pub interface: String,
    /// The address from which it comes.
    pub from: Ipv4Addr,
    /// Where to.
    pub to: Destination,
    /// The DHCP message.
    pub message: Outgoing,
}

/// What one turn of the event loop has brought about.
#[derive(Debug, Default)]
pub struct Output {
    /// To be sent once what has changed is on the disk.
    pub replies: Vec<Reply>,
    /// Addresses whose records have changed, come or gone.
    pub changed: Vec<Ipv4Addr>,
    /// Interface and address of which the LAN is to be asked who has it.
    pub probes: Vec<(String, Ipv4Addr)>,
    /// For the log, each at most once per lease.
    pub news: Vec<String>,
    /// For the log, seldom: anybody can cause it as often as they like.
    pub complaint: Option<String>,
    /// What DHCPv6 has brought about.
    pub six: six::Output,
}

#[derive(Debug)]
struct Net {
    settings: Settings,
    table: Table,
}

/// Where a walk over all records stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    net: usize,
    after: Option<Ipv4Addr>,
}

/// The server of all networks.
#[derive(Debug, Default)]
pub struct Engine {
    nets: Vec<Net>,
    /// Records whose network is not served now: it may come back.
    elsewhere: BTreeMap<Ipv4Addr, Record>,
    waiting: Waiting,
    /// The server of DHCPv6, whose bindings go into the same log.
    pub six: six::Engine,
}

impl Engine {
    /// The networks that are served.
    pub fn settings(&self) -> impl Iterator<Item = &Settings> {
        self.nets.iter().map(|net| &net.settings)
    }

    /// Serves these networks from now on; says whether they are others. Leases go with their addresses.
    pub fn serve(&mut self, wanted: Vec<Settings>) -> bool {
        if self.settings().eq(wanted.iter()) {
            return false;
        }
        let mut records = std::mem::take(&mut self.elsewhere);
        for net in &mut self.nets {
            records.append(&mut net.table.take());
        }
        let net = |settings: Settings| {
            let table = Table::new(settings.subnet, &settings.reservations);
            Net { settings, table }
        };
        self.nets = wanted.into_iter().map(net).collect();
        self.waiting.clear();
        for (address, record) in records {
            // Two records of one client, from networks that have become one: the weaker one goes.
            let _ = self.restore(address, record);
        }
        true
    }

    /// Takes a record from a file; says in words why not.
    pub fn restore(&mut self, address: Ipv4Addr, record: Record) -> Result<(), String> {
        match self.nets.iter_mut().find(|net| net.settings.subnet.holds(address)) {
            Some(net) => net.table.restore(address, record).map(drop).map_err(|record| {
                format!("{address} for {}: another record has the address or the client", record.client.mac)
            }),
            None => {
                if self.elsewhere.len() >= MOST_ELSEWHERE
                    && let Some(oldest) = self
                        .elsewhere
                        .iter()
                        .filter(|(_, one)| one.expiry.is_some())
                        .min_by_key(|(_, one)| one.last_ack)
                {
                    let oldest = *oldest.0;
                    self.elsewhere.remove(&oldest);
                }
                self.elsewhere.insert(address, record);
                Ok(())
            }
        }
    }

    /// The longest lease that would now be given for a record that comes from another boot, whose clock may be wrong.
    pub fn cut(&self, now: Instant, address: Ipv4Addr, record: &mut Record) {
        let net = self.nets.iter().find(|net| net.settings.subnet.holds(address));
        let longest = net.map_or_else(|| period(record.client.mac), |net| net.settings.period(record.client.mac));
        let end = stamp(now).saturating_add(nanos(longest));
        record.expiry = record.expiry.map(|expiry| expiry.min(end));
        record.last_ack = record.last_ack.min(stamp(now));
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.nets.iter().map(|net| net.table.records().len()).sum::<usize>() + self.elsewhere.len()
    }

    /// Walks over at most so many records from the cursor on, each with router7's number; says whether that was the end.
    pub fn walk(&self, cursor: &mut Cursor, most: usize, mut each: impl FnMut(i64, Ipv4Addr, &Record)) -> bool {
        let mut left = most;
        while cursor.net <= self.nets.len() {
            let net = self.nets.get(cursor.net);
            let records = net.map_or(&self.elsewhere, |net| net.table.records());
            let from = cursor.after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
            for (address, record) in records.range((from, std::ops::Bound::Unbounded)) {
                if left == 0 {
                    return false;
                }
                left -= 1;
                cursor.after = Some(*address);
                each(net.map_or(0, |net| net.settings.subnet.number(*address)), *address, record);
            }
            *cursor = Cursor { net: cursor.net + 1, after: None };
        }
        true
    }

    /// Every record, each with router7's number.
    pub fn walk_all<'a>(&'a self, mut each: impl FnMut(i64, Ipv4Addr, &'a Record)) {
        for net in &self.nets {
            let number = |address| net.settings.subnet.number(address);
            net.table.records().iter().for_each(|(address, record)| each(number(*address), *address, record));
        }
        self.elsewhere.iter().for_each(|(address, record)| each(0, *address, record));
    }

    /// The record of an address as the log has it.
    pub fn entry(&self, address: Ipv4Addr) -> Entry {
        let of_net = self.nets.iter().find_map(|net| net.table.records().get(&address));
        let record = of_net.or_else(|| self.elsewhere.get(&address));
        record.map_or(Entry::Gone(address), |record| Entry::Given(record.given(address)))
    }

    /// Gives the running leases of a hardware address a person's name; the addresses that have it now.
    pub fn rename(&mut self, now: Instant, mac: Mac, name: &str) -> Vec<Ipv4Addr> {
        let mut renamed = Vec::new();
        for net in &mut self.nets {
            let running = net.table.of_mac(mac).filter(|(_, record)| !record.expired(now)).map(|(address, _)| address);
            for address in running.collect::<Vec<_>>() {
                if net.table.rename(address, name) {
                    renamed.push(address);
                }
            }
        }
        renamed
    }

    /// When [`Engine::tick`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.deadline()
    }

    /// Answers what has waited long enough.
    pub fn tick(&mut self, now: Instant, output: &mut Output) {
        while let Some(offer) = self.waiting.due(now) {
            self.finish(now, offer.net, &offer.query, offer.address, output);
        }
    }

    /// Takes one message of a client that came by an interface.
    pub fn receive(&mut self, now: Instant, interface: &str, query: &Query, output: &mut Output) {
        let Some(at) = self.select(interface, query) else {
            if let Some(link) = query.link() {
                output.complaint =
                    Some(format!("a relay asks for {link}, a network that is not served by {interface}"));
            }
            return;
        };
        let net = &mut self.nets[at];
        let ours = query.server.is_none_or(|server| server == net.settings.identifier);
        match query.kind {
            Kind::Discover => self.discover(now, at, query, output),
            Kind::Request if ours => net.request(now, query, output),
            // The client has chosen another server: what we offered is free again.
            Kind::Request => net.table.withdraw(&query.client),
            Kind::Decline if ours => net.decline(now, query, output),
            Kind::Release if ours => net.release(now, query, output),
            Kind::Inform if ours => net.inform(query, output),
            _ => {}
        }
    }

    // The network of the relay's word, of the address that the client has, or the LAN's own. A message counts only for
    // networks of the interface by which it came: nobody speaks for another LAN.
    fn select(&self, interface: &str, query: &Query) -> Option<usize> {
        let here = |net: &Net| net.settings.interface == interface;
        match query.link() {
            Some(link) => self.nets.iter().position(|net| here(net) && net.settings.subnet.spans(link)),
            None => {
                let behind = |net: &Net| {
                    net.settings.relayed && query.address().is_some_and(|own| net.settings.subnet.holds(own))
                };
                let routed = self.nets.iter().position(|net| here(net) && behind(net));
                routed.or_else(|| self.nets.iter().position(|net| here(net) && !net.settings.relayed))
            }
        }
    }

    fn discover(&mut self, now: Instant, at: usize, query: &Query, output: &mut Output) {
        if self.waiting.has(query) {
            return;
        }
        let net = &mut self.nets[at];
        let wanted = query.requested.or(query.address());
        let Some(address) = net.table.choose(now, &query.client, wanted) else {
            output.complaint = Some(format!("no address is left for {}", query.client.mac));
            return;
        };
        let known = net.table.seen_lately(now, &query.client, address);
        net.table.offer(now, &query.client, address);
        if known || net.settings.relayed || query.link().is_some() || !self.waiting.has_room() {
            self.finish(now, at, query, address, output);
        } else {
            output.probes.push((net.settings.interface.clone(), address));
            self.waiting.add(now, at, query.clone(), address);
        }
    }

    fn finish(&mut self, now: Instant, at: usize, query: &Query, address: Ipv4Addr, output: &mut Output) {
        let Some(net) = self.nets.get_mut(at) else { return };
        // Meanwhile it may have got another address by a REQUEST, or nothing may be left.
        if !net.table.may_have(now, &query.client, address) {
            return;
        }
        if query.rapid {
            net.grant(now, query, address, output);
        } else {
            output.replies.push(net.reply(query, Kind::Offer, address));
        }
    }

    /// Somebody on the LAN says that it has an address.
    pub fn heard(&mut self, now: Instant, interface: &str, mac: Mac, address: Ipv4Addr, output: &mut Output) {
        let nets: Vec<bool> = self.settings().map(|settings| settings.interface == interface).collect();
        let Some(offer) = self.waiting.struck(&nets, mac, address) else { return };
        let Offer { net: at, query, .. } = &offer;
        let net = &mut self.nets[*at];
        output.complaint = Some(format!("{address} is in use by {mac} without a lease"));
        net.table.withdraw(&query.client);
        if net.table.records().contains_key(&address) {
            output.changed.push(address);
        }
        net.table.conflict(now, address);
        let Some(another) = net.table.choose(now, &query.client, None) else { return };
        let known = net.table.seen_lately(now, &query.client, another);
        net.table.offer(now, &query.client, another);
        let interface = net.settings.interface.clone();
        let at = *at;
        let offer = Offer { address: another, ..offer };
        let unasked = if known { Some(offer) } else { self.waiting.again(now, offer) };
        match unasked {
            None => output.probes.push((interface, another)),
            Some(offer) => self.finish(now, at, &offer.query, another, output),
        }
    }

    /// The disk has not taken what these replies promise: they promise less.
    pub fn shorten(&mut self, now: Instant, replies: &mut [Reply]) {
        let end = stamp(now).saturating_add(nanos(FROM_MEMORY));
        for reply in replies.iter_mut().filter(|reply| reply.message.kind != Kind::Nak) {
            let message = &mut reply.message;
            for (code, length) in
                [(51, FROM_MEMORY), (58, options::renewal(FROM_MEMORY)), (59, options::rebinding(FROM_MEMORY))]
            {
                message.replace(code, options::seconds(length));
            }
            if message.kind == Kind::Ack && !message.yiaddr.is_unspecified() {
                for net in self.nets.iter_mut().filter(|net| net.settings.subnet.holds(message.yiaddr)) {
                    net.table.shorten(message.yiaddr, end);
                }
            }
        }
    }
}

impl Net {
    fn request(&mut self, now: Instant, query: &Query, output: &mut Output) {
        let address = query.requested.or(query.address());
        match address.filter(|address| self.table.may_have(now, &query.client, *address)) {
            Some(address) => self.grant(now, query, address, output),
            None => {
                let asked = address.map_or_else(|| "no address".to_owned(), |address| address.to_string());
                output.complaint = Some(format!("{} asked for {asked}, which it may not have", query.client.mac));
                let mut message = Outgoing::to(query, Kind::Nak, self.settings.identifier);
                options::echo(query, &mut message);
                output.replies.push(self.to(query, message));
            }
        }
    }

    fn grant(&mut self, now: Instant, query: &Query, address: Ipv4Addr, output: &mut Output) {
        let hostname = query.hostname.as_deref().and_then(host_label);
        let period = self.settings.period(query.client.mac);
        let (is_new, gone) = self.table.grant(now, &query.client, address, hostname, period);
        if is_new {
            let name = self.table.records().get(&address).map(|record| &*record.hostname).unwrap_or_default();
            output.news.push(format!("{address} to {} {name}", query.client.mac).trim_end().to_owned());
        }
        output.changed.extend(gone);
        output.changed.push(address);
        output.replies.push(self.reply(query, Kind::Ack, address));
    }

    fn decline(&mut self, now: Instant, query: &Query, output: &mut Output) {
        let Some(address) = query.requested else { return };
        if self.table.decline(now, &query.client, address) {
            output.changed.push(address);
            output.complaint = Some(format!("{} found {address} in use by another device", query.client.mac));
        }
    }

    fn release(&mut self, now: Instant, query: &Query, output: &mut Output) {
        let Some(address) = query.address() else { return };
        if self.table.end(now, &query.client, address) {
            output.changed.push(address);
            output.news.push(format!("{address} given back by {}", query.client.mac));
        }
    }

    // RFC 2131, section 4.3.5: to the address it has, without a lease.
    fn inform(&self, query: &Query, output: &mut Output) {
        let Some(address) = query.address().filter(|address| self.settings.subnet.holds(*address)) else { return };
        let mut message = Outgoing::to(query, Kind::Ack, self.settings.identifier);
        message.ciaddr = address;
        options::add(&self.settings, query, None, &mut message);
        options::echo(query, &mut message);
        output.replies.push(self.to(query, message));
    }

    fn reply(&self, query: &Query, kind: Kind, address: Ipv4Addr) -> Reply {
        let mut message = Outgoing::to(query, kind, self.settings.identifier);
        message.yiaddr = address;
        if kind == Kind::Ack {
            message.ciaddr = query.ciaddr;
        }
        options::add(&self.settings, query, Some(self.settings.period(query.client.mac)), &mut message);
        if kind == Kind::Ack && query.rapid {
            message.options.push((80, Vec::new()));
        }
        options::echo(query, &mut message);
        self.to(query, message)
    }

    // RFC 2131, section 4.1. A refusal is always broadcast: who is refused may have no usable address.
    fn to(&self, query: &Query, message: Outgoing) -> Reply {
        let mac = query.client.mac;
        let to = match (query.address(), message.kind) {
            _ if !query.giaddr.is_unspecified() => Destination::Relay(query.giaddr),
            (Some(own), _) if self.settings.relayed => Destination::Routed(own),
            (_, Kind::Nak) => Destination::Broadcast,
            (Some(own), Kind::Ack) => Destination::Client(mac, own),
            _ if query.wants_broadcast() => Destination::Broadcast,
            _ => Destination::Client(mac, message.yiaddr),
        };
        Reply { interface: self.settings.interface.clone(), from: self.settings.identifier, to, message }
    }
}
