//! The DHCP messages of the client: what it sends, and what it takes from an answer.
use super::values::{Routes, Values};
use super::wishes::Wishes;
use crate::perm::Mac;
use crate::perm::WallTime;
use crate::perm::lease4::Lease4;
pub use netstack::wire::dhcpv4::Kind;
use netstack::wire::dhcpv4::{self, Header, Message};
use std::net::Ipv4Addr;
use std::time::Duration;

/// When an ACK names no lease time: router7's.
const DEFAULT_LEASE: u32 = 600;
/// A shorter lease is held to be as long: it would have us ask every few seconds.
const SHORTEST_LEASE: u32 = 20;
/// Messages are padded to BOOTP's length, which old relays and servers insist on.
const SHORTEST_MESSAGE: usize = 300;
/// The network of a cable modem's own server, and the longest lease that it gives, in seconds.
const MODEM: [u8; 3] = [192, 168, 100];
const MODEM_LEASE: u32 = 300;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// `chaddr` and, after a 1 for Ethernet, the client identifier unless a person has said another.
    pub mac: Mac,
    /// What the provider wants to be told and asked.
    pub wishes: &'a Wishes,
}

/// A message to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// DISCOVER, REQUEST, DECLINE or RELEASE.
    pub kind: Kind,
    /// Transaction.
    pub xid: u32,
    /// Seconds since the exchange began.
    pub secs: u16,
    /// Our address, when the interface has it.
    pub ciaddr: Ipv4Addr,
    /// Option 50.
    pub requested: Option<Ipv4Addr>,
    /// Option 54.
    pub server: Option<Ipv4Addr>,
}

impl Request {
    /// The message's bytes. Options: 53, 50, 54, 12, 61, 60, 77, those that a person added, 55; RELEASE and DECLINE have
    /// only those that RFC 2131, table 5, lets them have.
    pub fn emit(&self, identity: &Identity) -> Vec<u8> {
        let Wishes { hostname, client_id, vendor_class, user_class, options: further, request } = identity.wishes;
        let own: Vec<u8> = [1].into_iter().chain(identity.mac.0).collect();
        let mut options: Vec<(u8, Vec<u8>)> = vec![(53, vec![self.kind as u8])];
        options.extend(self.requested.map(|address| (50, address.octets().to_vec())));
        options.extend(self.server.map(|address| (54, address.octets().to_vec())));
        let ends = matches!(self.kind, Kind::Release | Kind::Decline);
        let text = |code: u8, text: &str| (!text.is_empty() && !ends).then(|| (code, text.as_bytes().to_vec()));
        options.extend(text(12, hostname));
        options.push((61, client_id.clone().unwrap_or(own)));
        options.extend(text(60, vendor_class));
        if !ends {
            // RFC 3004: each class behind its length.
            let class: Vec<u8> = [user_class.len() as u8].into_iter().chain(user_class.bytes()).collect();
            options.extend((!user_class.is_empty()).then_some((77, class)));
            options.extend(further.iter().cloned());
            options.push((55, request.clone()));
        }
        let header = Header {
            op: 1,
            xid: self.xid,
            secs: self.secs,
            ciaddr: self.ciaddr,
            chaddr: identity.mac.0,
            ..Header::default()
        };
        dhcpv4::emit(&header, &options, SHORTEST_MESSAGE)
    }
}

/// A server's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// OFFER, ACK or NAK.
    pub kind: Kind,
    /// Transaction.
    pub xid: u32,
    /// Whom it is for.
    pub chaddr: Mac,
    /// Option 54.
    pub server: Option<Ipv4Addr>,
    /// What an OFFER or ACK offers; none when its address is unusable.
    pub lease: Option<Lease>,
    /// What of it was passed over, and why.
    pub ignored: Vec<String>,
}

/// A lease as a server gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Our address.
    pub address: Ipv4Addr,
    /// Who gave it (option 54).
    pub server: Option<Ipv4Addr>,
    mask: Option<Ipv4Addr>,
    /// Option 3.
    router: Option<Ipv4Addr>,
    dns: Vec<Ipv4Addr>,
    /// Option 121, the default route's gateway first, else option 33 and nothing.
    routes: Option<Routes>,
    mtu: u32,
    domain: String,
    hostname: String,
    ntp: Vec<Ipv4Addr>,
    seconds: u32,
    t1: u32,
    t2: u32,
    /// The whole message, for `wire/ack`.
    pub raw: Vec<u8>,
}

impl Answer {
    /// Takes a message from a server; `None` for anything else.
    pub fn parse(bytes: &[u8]) -> Option<Answer> {
        let message = Message::parse(bytes).filter(|message| message.op() == 2)?;
        let kind = message.kind().filter(|kind| matches!(kind, Kind::Offer | Kind::Ack | Kind::Nak))?;
        let server = message.option(54).and_then(|value| <[u8; 4]>::try_from(value).ok()).map(Ipv4Addr::from);
        let mut ignored = Vec::new();
        let lease =
            (kind != Kind::Nak && usable(message.yiaddr())).then(|| Lease::of(&message, server, bytes, &mut ignored));
        Some(Answer { kind, xid: message.xid(), chaddr: Mac(message.ethernet()?), server, lease, ignored })
    }
}

/// Whether an address can be a host's: not of this network, loopback, multicast, reserved or broadcast.
pub(super) fn usable(address: Ipv4Addr) -> bool {
    (1..=223).contains(&address.octets()[0]) && !address.is_loopback()
}

impl Lease {
    fn of(message: &Message, server: Option<Ipv4Addr>, raw: &[u8], ignored: &mut Vec<String>) -> Lease {
        let mut values = Values { message, ignored };
        let seconds = values.number(51, |seconds| seconds > 0).unwrap_or(DEFAULT_LEASE).max(SHORTEST_LEASE);
        // Of the server's times only those in order count (RFC 2131, section 4.4.5: T1 < T2 < lease).
        let t2 = values.number(59, |t2| t2 > 1 && t2 < seconds);
        let t1 = values.number(58, |t1| t1 > 0 && t1 < t2.unwrap_or(seconds));
        let t2 = t2.unwrap_or_else(|| eighths(seconds, 7));
        let t1 = t1.unwrap_or(seconds / 2).min(t2);
        let contiguous = |mask: u32| mask != 0 && mask.count_ones() == mask.leading_ones();
        Lease {
            address: message.yiaddr(),
            server,
            mask: values.number(1, contiguous).map(Ipv4Addr::from),
            router: values.addresses(3).first().copied(),
            dns: values.addresses(6),
            routes: values.routes(),
            mtu: values.mtu(),
            domain: values.text(15),
            hostname: values.text(12),
            ntp: values.addresses(42),
            seconds,
            t1,
            t2,
            raw: raw.to_vec(),
        }
    }

    /// Takes from an earlier message about the same address what this one leaves out.
    pub fn fill_from(&mut self, earlier: &Lease) {
        self.server = self.server.or(earlier.server);
        if self.address == earlier.address {
            self.mask = self.mask.or(earlier.mask);
            self.router = self.router.or(earlier.router);
            if self.dns.is_empty() {
                self.dns.clone_from(&earlier.dns);
            }
            if self.ntp.is_empty() {
                self.ntp.clone_from(&earlier.ntp);
            }
            for (text, before) in [(&mut self.domain, &earlier.domain), (&mut self.hostname, &earlier.hostname)] {
                if text.is_empty() {
                    text.clone_from(before);
                }
            }
            self.routes = self.routes.take().or_else(|| earlier.routes.clone());
            self.mtu = if self.mtu == 0 { earlier.mtu } else { self.mtu };
        }
    }

    /// Length of the lease.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// When RENEWING begins.
    pub fn t1(&self) -> Duration {
        Duration::from_secs(self.t1.into())
    }

    /// When REBINDING begins.
    pub fn t2(&self) -> Duration {
        Duration::from_secs(self.t2.into())
    }

    /// The mask; that of the address's class when the server named none.
    fn mask(&self) -> Ipv4Addr {
        self.mask.unwrap_or(match self.address.octets()[0] {
            0..=127 => Ipv4Addr::new(255, 0, 0, 0),
            128..=191 => Ipv4Addr::new(255, 255, 0, 0),
            _ => Ipv4Addr::new(255, 255, 255, 0),
        })
    }

    /// Length of the network's prefix.
    pub fn prefix(&self) -> u32 {
        u32::from(self.mask()).leading_ones()
    }

    /// Whether a cable modem without a line may have given it: such a modem serves its own network, shortly, until it
    /// has one.
    pub fn smells_of_a_modem(&self) -> bool {
        self.address.octets()[..3] == MODEM && self.seconds <= MODEM_LEASE
    }

    /// The file netconfigd and dnsd read; `now` is the wall clock.
    pub fn file(&self, now: WallTime) -> Lease4 {
        let dns: Vec<String> = self.dns.iter().map(Ipv4Addr::to_string).collect();
        let routes = self.routes.clone().unwrap_or_default();
        // With option 121 option 3 does not count, even if there is no default route then (RFC 3442).
        let router = if routes.classless { routes.default } else { self.router };
        Lease4 {
            valid_until: now.after(self.t1()),
            client_ip: self.address.to_string(),
            subnet_mask: self.mask().to_string(),
            router: router.map_or_else(String::new, |router| router.to_string()),
            dns: (!dns.is_empty()).then_some(dns),
            mtu: self.mtu,
            routes: routes.others,
            domain: self.domain.clone(),
            hostname: self.hostname.clone(),
            ntp: self.ntp.clone(),
        }
    }
}

fn eighths(seconds: u32, eighths: u32) -> u32 {
    (u64::from(seconds) * u64::from(eighths) / 8) as u32
}
