//! What dhcp4d answers: RFC 2131 section 4.3 with router7's rules, and the leases it thereby gives.
//!
//! Every message goes through [`Engine::receive`]. The replies of one turn of the event loop are collected in an
//! [`Output`] and sent after the leases they promise are on the disk, one write for all of them.
mod label;
mod nintendo;
pub mod pool;
pub mod table;

use super::message::{Kind, Outgoing, Query};
use crate::perm::leases::Lease;
use crate::perm::{Mac, WallTime};
use label::host_label;
use netstack::time::Instant;
use pool::Subnet;
use std::net::Ipv4Addr;
use std::time::Duration;
use table::Table;

/// The domain of the LAN.
const DOMAIN: &str = "lan";
/// The domain as a search list (RFC 3397): one name in DNS form.
const SEARCH: &[u8] = b"\x03lan\x00";

/// Length of a lease.
pub fn period(mac: Mac) -> Duration {
    Duration::from_secs(if nintendo::is_nintendo(mac) { 3_600 } else { 1_200 })
}

/// Where a reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// 255.255.255.255 in a broadcast frame.
    Broadcast,
    /// To this client, which may not answer ARP yet.
    Client(Mac, Ipv4Addr),
}

/// A reply, ready to be sent to port 68.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Where to.
    pub to: Destination,
    /// The DHCP message.
    pub message: Vec<u8>,
}

/// What one turn of the event loop has brought about.
#[derive(Debug, Default)]
pub struct Output {
    /// To be sent once the leases are written.
    pub replies: Vec<Reply>,
    /// The leases have changed and must be written before the replies leave.
    pub changed: bool,
    /// For the log, each at most once per lease.
    pub news: Vec<String>,
    /// For the log, seldom: anybody can cause it as often as they like.
    pub complaint: Option<String>,
}

/// The server of one LAN.
#[derive(Debug)]
pub struct Engine {
    subnet: Option<Subnet>,
    table: Table,
}

impl Engine {
    /// A server without leases; without a subnet it is silent.
    pub fn new(now: Instant, subnet: Option<Subnet>) -> Engine {
        Engine { subnet, table: Table::new(now, subnet) }
    }

    /// Takes the leases of the file; see [`Table::load`].
    pub fn load(&mut self, leases: Vec<Lease>, wall_at_epoch: WallTime) -> Vec<String> {
        self.table.load(leases, wall_at_epoch, period)
    }

    /// All leases, as the file has them.
    pub fn leases(&self, wall_at_epoch: WallTime) -> Vec<Lease> {
        self.table.leases(wall_at_epoch)
    }

    /// The subnet that it serves.
    pub fn subnet(&self) -> Option<Subnet> {
        self.subnet
    }

    /// Serves another subnet from now on; says whether it is another.
    pub fn set_subnet(&mut self, subnet: Option<Subnet>) -> bool {
        let another = self.subnet != subnet;
        if another {
            self.subnet = subnet;
            self.table.set_subnet(subnet);
        }
        another
    }

    /// Takes one message of a client.
    pub fn receive(&mut self, now: Instant, query: &Query, output: &mut Output) {
        let Some(subnet) = self.subnet else { return };
        let ours = query.server.is_none_or(|server| server == subnet.server());
        match query.kind {
            Kind::Discover => self.discover(now, subnet, query, output),
            Kind::Request if ours => self.request(now, subnet, query, output),
            // The client has chosen another server: what we offered is free again.
            Kind::Request => self.table.withdraw(query.mac),
            Kind::Decline if ours => self.decline(now, query, output),
            Kind::Release if ours => self.release(now, query, output),
            Kind::Inform if ours => self.inform(subnet, query, output),
            _ => {}
        }
    }

    fn discover(&mut self, now: Instant, subnet: Subnet, query: &Query, output: &mut Output) {
        let wanted = query.requested.or(query.address());
        let Some(address) = self.table.choose(now, query.mac, wanted) else {
            output.complaint = Some(format!("no address is left for {}", query.mac));
            return;
        };
        self.table.offer(now, query.mac, address);
        output.replies.push(reply(subnet, query, Kind::Offer, address));
    }

    fn request(&mut self, now: Instant, subnet: Subnet, query: &Query, output: &mut Output) {
        let address = query.requested.or(query.address());
        let granted = address.filter(|address| self.table.may_have(now, query.mac, *address));
        let Some(address) = granted else {
            let asked = address.map_or_else(|| "no address".to_owned(), |address| address.to_string());
            output.complaint = Some(format!("{} asked for {asked}, which it may not have", query.mac));
            output.replies.push(refusal(subnet, query));
            return;
        };
        let hostname = query.hostname.as_deref().and_then(host_label);
        if self.table.grant(now, query.mac, address, hostname, period(query.mac)) {
            let name = self.table.of(query.mac).map(|(_, record)| record.hostname.as_str()).unwrap_or_default();
            output.news.push(format!("{address} to {} {name}", query.mac).trim_end().to_owned());
        }
        output.changed = true;
        output.replies.push(reply(subnet, query, Kind::Ack, address));
    }

    fn decline(&mut self, now: Instant, query: &Query, output: &mut Output) {
        let Some(address) = query.requested else { return };
        if self.table.decline(now, query.mac, address) {
            output.changed = true;
            output.complaint = Some(format!("{} found {address} in use by another device", query.mac));
        }
    }

    fn release(&mut self, now: Instant, query: &Query, output: &mut Output) {
        let Some(address) = query.address() else { return };
        if self.table.end(now, query.mac, address) {
            output.changed = true;
            output.news.push(format!("{address} given back by {}", query.mac));
        }
    }

    // RFC 2131, section 4.3.5: to the address it has, without a lease.
    fn inform(&self, subnet: Subnet, query: &Query, output: &mut Output) {
        let Some(address) = query.address().filter(|address| subnet.holds(*address)) else { return };
        let mut message = answer(subnet, query, Kind::Ack);
        message.ciaddr = address;
        options(subnet, query, None, &mut message.options);
        output.replies.push(Reply { to: Destination::Client(query.mac, address), message: message.emit() });
    }
}

fn answer(subnet: Subnet, query: &Query, kind: Kind) -> Outgoing {
    Outgoing {
        kind,
        xid: query.xid,
        flags: query.flags,
        ciaddr: Ipv4Addr::UNSPECIFIED,
        yiaddr: Ipv4Addr::UNSPECIFIED,
        giaddr: query.giaddr,
        mac: query.mac,
        options: vec![(54, subnet.server().octets().to_vec())],
    }
}

fn reply(subnet: Subnet, query: &Query, kind: Kind, address: Ipv4Addr) -> Reply {
    let mut message = answer(subnet, query, kind);
    message.yiaddr = address;
    if kind == Kind::Ack {
        message.ciaddr = query.ciaddr;
    }
    options(subnet, query, Some(period(query.mac)), &mut message.options);
    let to = if query.wants_broadcast() { Destination::Broadcast } else { Destination::Client(query.mac, address) };
    Reply { to, message: message.emit() }
}

// Always broadcast: a client that is refused may have no usable address (RFC 2131, section 4.3.2).
fn refusal(subnet: Subnet, query: &Query) -> Reply {
    Reply { to: Destination::Broadcast, message: answer(subnet, query, Kind::Nak).emit() }
}

/// The options a client asked for, in its order; all of them when it did not say.
fn options(subnet: Subnet, query: &Query, lease: Option<Duration>, options: &mut Vec<(u8, Vec<u8>)>) {
    const ALL: &[u8] = &[1, 3, 6, 15, 119, 58, 59];
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    let server = || subnet.server().octets().to_vec();
    if let Some(lease) = lease {
        options.push((51, seconds(lease)));
    }
    for code in query.parameters.as_deref().unwrap_or(ALL) {
        if options.iter().any(|(there, _)| there == code) {
            continue;
        }
        let value = match (code, lease) {
            (1, _) => subnet.mask().octets().to_vec(),
            (3 | 6, _) => server(),
            (15, _) => DOMAIN.as_bytes().to_vec(),
            (119, _) => SEARCH.to_vec(),
            (58, Some(lease)) => seconds(lease / 2),
            (59, Some(lease)) => seconds(lease * 7 / 8),
            _ => continue,
        };
        options.push((*code, value));
    }
}
