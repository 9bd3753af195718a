//! dhcp6d: the DHCPv6 server of every LAN (RFC 9915), within dhcp4d, whose log, promises and page it shares.
//!
//! Everybody who asks is told of the router as DNS server, the search list and the time servers (INFORMATION-REQUEST); by
//! option a LAN's hosts get addresses as well (IA_NA). What is given is an interface identifier: with each prefix that the
//! LAN has at the moment it makes an address. When the provider gives another prefix the client is told at its next RENEW
//! of the new address and, with lifetimes of 0, that the old one is over. No lifetime is longer than that of the prefix.
//!
//! Nothing is held for who only looks for servers: the identifier follows from the client's name. A client whose binding
//! the server does not know gets it by RENEW or REBIND, as long as nobody else has it; only what does not fit the link is
//! taken back. Relays, temporary addresses and Reconfigure are not served; prefixes (IA_PD) are refused by NoPrefixAvail.
pub mod message;
mod served;
pub mod table;
#[cfg(test)]
mod tests;

pub use served::{nets, with_router};

use super::engine::table::{Stamp, nanos, stamp};
use crate::perm::lease_log::{Client6, Entry, Given6};
use crate::perm::lease6::{Timed, seconds_left};
use ipnet::Ipv6Net;
use message::{Answered, Asked, For, Query, Reply, Told};
use netstack::time::Instant;
use netstack::wire::dhcpv6::{self, Kind, Option6, code, status};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;
use table::{Binding, Table, Who};

/// When configuration is asked for again, in seconds.
const REFRESH: u32 = 3_600;
/// Preferred lifetime of an address, in seconds; the valid one is twice as long.
pub const PERIOD: u64 = 1_800;
/// LANs of whose clients the log may speak.
const MOST_LANS: usize = 64;

/// What is said on a LAN.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Net {
    /// Its interface.
    pub interface: String,
    /// Its /64 of each prefix.
    pub prefixes: Vec<Timed<Ipv6Net>>,
    /// Whether addresses are given.
    pub addresses: bool,
    /// Their preferred lifetime, in seconds.
    pub period: u32,
    /// DNS servers.
    pub dns: Vec<Ipv6Addr>,
    /// The search list in DNS's form.
    pub search: Vec<u8>,
    /// Time servers.
    pub ntp: Vec<Ipv6Addr>,
}

/// What one turn has brought about.
#[derive(Debug, Default)]
pub struct Output {
    /// To be sent; those that promise, once what has changed is on the disk.
    pub replies: Vec<Reply>,
    /// Clients whose bindings have changed, come or gone.
    pub changed: Vec<Client6>,
    /// For the log.
    pub news: Vec<String>,
}

/// The server of all LANs.
#[derive(Debug, Default)]
pub struct Engine {
    /// This server's DUID; nobody is answered before it has one.
    pub duid: Vec<u8>,
    nets: Vec<Net>,
    tables: BTreeMap<String, Table>,
}

impl Engine {
    /// Serves these LANs from now on. Bindings of others are kept: a LAN may come back.
    pub fn serve(&mut self, nets: Vec<Net>) {
        self.nets = nets;
    }

    /// Every binding as the log has it.
    pub fn entries(&self) -> impl Iterator<Item = Given6> + '_ {
        self.tables
            .iter()
            .flat_map(|(lan, table)| table.bindings().iter().map(|(who, binding)| given(lan, who, *binding)))
    }

    /// One client's binding as the log has it.
    pub fn entry(&self, client: &Client6) -> Entry {
        let who: Who = (client.duid.as_slice().into(), client.iaid);
        let binding = self.tables.get(&client.lan).and_then(|table| table.bindings().get(&who));
        binding.map_or_else(|| Entry::Gone6(client.clone()), |one| Entry::Given6(given(&client.lan, &who, *one)))
    }

    /// Takes a binding from the log; says whether there is room. One of another boot, whose clock may have been wrong, ends
    /// no later than if it were given `now`.
    pub fn restore(&mut self, now: Instant, found: Given6, foreign: bool) -> bool {
        let Given6 { client: Client6 { lan, duid, iaid }, iid, mut expiry } = found;
        if self.tables.len() >= MOST_LANS && !self.tables.contains_key(&lan) {
            return false;
        }
        if foreign {
            let period = self.nets.iter().find(|net| net.interface == lan).map_or(PERIOD, |net| net.period.into());
            expiry = expiry.min(end(now, period * 2));
        }
        self.tables.entry(lan).or_default().restore((duid.into(), iaid), Binding { iid, expiry })
    }

    /// Addresses that a client has now, for people.
    pub fn addresses(&self, now: Instant, given: &Given6) -> Vec<Ipv6Addr> {
        let net = self.nets.iter().find(|net| net.interface == given.client.lan);
        net.map(|net| addresses(net, given.iid, now).into_iter().map(|told| told.0).collect()).unwrap_or_default()
    }

    /// Takes one message that came by an interface from a link-local address.
    pub fn receive(&mut self, now: Instant, interface: &str, from: Ipv6Addr, query: &Query, output: &mut Output) {
        let Engine { duid, nets, tables } = self;
        let ours = query.server.as_ref().is_none_or(|server| server == duid);
        let Some(net) = nets.iter().find(|net| net.interface == interface).filter(|_| ours && !duid.is_empty()) else {
            return;
        };
        let rapid = query.rapid && net.addresses;
        let kind = if query.kind == Kind::Solicit && !rapid { Kind::Advertise } else { Kind::Reply };
        let mut reply = Reply {
            interface: interface.to_owned(),
            to: from,
            kind,
            xid: query.xid,
            options: vec![(code::SERVER_ID, duid.clone())],
            answered: Vec::new(),
            promises: false,
        };
        reply.options.extend(query.client.clone().map(|duid| (code::CLIENT_ID, duid)));
        if let Some(duid) = &query.client {
            let table = tables.entry(interface.to_owned()).or_default();
            let before = output.changed.len();
            let mut turn = Turn { now, net, table, duid, output };
            match query.kind {
                Kind::Confirm => match turn.confirm(query) {
                    Some(told) => reply.options.push(told),
                    None => return,
                },
                Kind::Release | Kind::Decline => {
                    reply.answered = turn.give_back(query);
                    reply.options.push(dhcpv6::status(status::SUCCESS, "noted"));
                }
                Kind::InformationRequest => {}
                _ => {
                    let commits = query.kind != Kind::Solicit || rapid;
                    reply.answered = query.asked.iter().filter_map(|one| turn.lease(query, one, commits)).collect();
                    if rapid {
                        reply.options.push((code::RAPID_COMMIT, Vec::new()));
                    }
                    // Nothing can be said of what it asks about yet.
                    if reply.answered.is_empty() && !query.asked.is_empty() {
                        return;
                    }
                }
            }
            reply.promises = output.changed.len() > before;
        }
        if !matches!(query.kind, Kind::Release | Kind::Decline | Kind::Confirm) {
            reply.options.extend(configuration(net, query));
        }
        output.replies.push(reply);
    }
}

/// What is said besides leases: what the client asked for.
fn configuration(net: &Net, query: &Query) -> Vec<Option6> {
    let refresh = (code::INFORMATION_REFRESH_TIME, REFRESH.to_be_bytes().to_vec());
    let mut options = vec![
        dhcpv6::addresses(code::DNS_SERVERS, &net.dns),
        (code::DOMAIN_LIST, net.search.clone()),
        dhcpv6::addresses(code::SNTP_SERVERS, &net.ntp),
        dhcpv6::time_servers(&net.ntp),
    ];
    options.retain(|(code, value)| !value.is_empty() && query.wants(*code));
    if query.kind == Kind::InformationRequest {
        options.push(refresh);
    }
    options
}

/// The addresses of an identifier, with lifetimes: one for each prefix that may still be used for something new.
fn addresses(net: &Net, iid: u64, now: Instant) -> Vec<Told> {
    let usable = net.prefixes.iter().filter(|prefix| prefix.value.prefix_len() == 64 && prefix.is_preferred(now));
    let told = |prefix: &Timed<Ipv6Net>| {
        let valid = seconds_left(prefix.valid_until, now).min(net.period.saturating_mul(2));
        let preferred = seconds_left(prefix.preferred_until, now).min(net.period).min(valid);
        (Ipv6Addr::from(u128::from(prefix.value.network()) | u128::from(iid)), preferred, valid)
    };
    usable.map(told).filter(|(_, preferred, _)| *preferred > 0).collect()
}

/// One message of one client.
struct Turn<'a> {
    now: Instant,
    net: &'a Net,
    table: &'a mut Table,
    duid: &'a [u8],
    output: &'a mut Output,
}

impl Turn<'_> {
    fn who(&self, asked: &Asked) -> Who {
        (self.duid.into(), asked.iaid)
    }

    fn changed(&mut self, who: &Who) {
        self.output.changed.push(Client6 { lan: self.net.interface.clone(), duid: who.0.to_vec(), iaid: who.1 });
    }

    fn is_on_link(&self, address: Ipv6Addr) -> bool {
        self.net.prefixes.iter().any(|prefix| prefix.value.contains(&address) && prefix.is_valid(self.now))
    }

    /// For how many seconds an address may still be used, but for nothing new: one of a prefix that is going.
    fn rest(&self, address: Ipv6Addr, iid: u64) -> u32 {
        let own = u128::from(address) as u64 == iid;
        let prefix = self.net.prefixes.iter().find(|prefix| own && prefix.value.contains(&address));
        prefix.map_or(0, |prefix| seconds_left(prefix.valid_until, self.now).min(self.net.period.saturating_mul(2)))
    }

    /// SOLICIT, REQUEST, RENEW and REBIND for one association; none when nothing is to be said of it.
    fn lease(&mut self, query: &Query, asked: &Asked, commits: bool) -> Option<Answered> {
        let extends = matches!(query.kind, Kind::Renew | Kind::Rebind);
        let answered = |addresses, status| Some(Answered { is_for: asked.is_for, iaid: asked.iaid, addresses, status });
        if asked.is_for == For::Prefixes {
            return match extends {
                true => answered(Vec::new(), Some((status::NO_BINDING, "no prefix is delegated"))),
                false => answered(Vec::new(), Some((status::NO_PREFIX_AVAIL, "no prefix is delegated"))),
            };
        }
        let over = |addresses: &[Ipv6Addr]| addresses.iter().map(|address| (*address, 0, 0)).collect::<Vec<Told>>();
        if !self.net.addresses {
            return match extends {
                // What was given before somebody said no.
                true => answered(over(&asked.addresses), None),
                false => answered(Vec::new(), Some((status::NO_ADDRS_AVAIL, "addresses are made by the hosts here"))),
            };
        }
        if query.kind == Kind::Request && asked.addresses.iter().any(|address| !self.is_on_link(*address)) {
            return answered(Vec::new(), Some((status::NOT_ON_LINK, "these are not addresses of this link")));
        }
        let who = self.who(asked);
        let known = asked.addresses.iter().find(|address| extends && self.is_on_link(**address));
        let wish = known.map(|address| u128::from(*address) as u64);
        let iid = self.table.choose(self.now, &who, wish);
        let mut told = iid.map(|iid| addresses(self.net, iid, self.now)).unwrap_or_default();
        let longest = told.iter().map(|told| told.2).max();
        if let (Some(iid), Some(longest), true) = (iid, longest, commits) {
            let new = !self.table.bindings().contains_key(&who);
            for ended in self.table.bind(self.now, &who, Binding { iid, expiry: end(self.now, longest.into()) }) {
                self.changed(&ended);
            }
            self.changed(&who);
            if new {
                let addresses: Vec<String> = told.iter().map(|told| told.0.to_string()).collect();
                self.output.news.push(format!("{}: {} for {}", self.net.interface, addresses.join(", "), hex(&who.0)));
            }
        }
        if let (true, Some(iid)) = (extends, iid) {
            // Before any prefix is known it is not known either what does not fit.
            if told.is_empty() && self.net.prefixes.is_empty() {
                return None;
            }
            for address in &asked.addresses {
                if told.iter().all(|told| told.0 != *address) {
                    told.push((*address, 0, self.rest(*address, iid)));
                }
            }
        }
        match told.is_empty() {
            true => answered(told, Some((status::NO_ADDRS_AVAIL, "there are none now"))),
            false => answered(told, None),
        }
    }

    /// CONFIRM; none when there is nothing to say.
    fn confirm(&self, query: &Query) -> Option<Option6> {
        let mut all = query.asked.iter().flat_map(|asked| &asked.addresses).peekable();
        if all.peek().is_none() || self.net.prefixes.is_empty() {
            return None;
        }
        Some(match all.all(|address| self.is_on_link(*address)) {
            true => dhcpv6::status(status::SUCCESS, "all are on this link"),
            false => dhcpv6::status(status::NOT_ON_LINK, "these are not addresses of this link"),
        })
    }

    /// RELEASE and DECLINE; what is not known is answered.
    fn give_back(&mut self, query: &Query) -> Vec<Answered> {
        let mut unknown = Vec::new();
        for asked in &query.asked {
            let who = self.who(asked);
            let named = |binding: &Binding| {
                asked.is_for == For::Addresses
                    && asked.addresses.iter().any(|one| u128::from(*one) as u64 == binding.iid)
            };
            if !self.table.bindings().get(&who).is_some_and(named) {
                let status = Some((status::NO_BINDING, "this was not given"));
                unknown.push(Answered { is_for: asked.is_for, iaid: asked.iaid, addresses: Vec::new(), status });
                continue;
            }
            if let Some(iid) = self.table.end(&who).filter(|_| query.kind == Kind::Decline) {
                self.table.decline(self.now, iid);
                self.output.news.push(format!(
                    "{}: {} says that somebody else has its address",
                    self.net.interface,
                    hex(&who.0)
                ));
            }
            self.changed(&who);
        }
        unknown
    }
}

fn given(lan: &str, who: &Who, binding: Binding) -> Given6 {
    let client = Client6 { lan: lan.to_owned(), duid: who.0.to_vec(), iaid: who.1 };
    Given6 { client, iid: binding.iid, expiry: binding.expiry }
}

fn end(now: Instant, seconds: u64) -> Stamp {
    stamp(now).saturating_add(nanos(Duration::from_secs(seconds)))
}

/// A DUID as people write it.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
