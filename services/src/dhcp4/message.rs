//! The DHCP messages of the client: what it sends, and what it takes from an answer.
use crate::perm::Mac;
use crate::perm::WallTime;
use crate::perm::lease4::Lease4;
pub use netstack::wire::dhcpv4::Kind;
use netstack::wire::dhcpv4::{self, Header, Message};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Asked for in every message. 121 stands before 3 and 33, as RFC 3442 wants it.
const PARAMETERS: &[u8] = &[1, 121, 3, 6, 15, 26, 33, 42, 51, 54, 58, 59];
/// When an ACK names no lease time: router7's.
const DEFAULT_LEASE: u32 = 600;
/// A shorter lease is held to be as long: it would have us ask every few seconds.
const SHORTEST_LEASE: u32 = 20;
/// Messages are padded to BOOTP's length, which old relays and servers insist on.
const SHORTEST_MESSAGE: usize = 300;
/// DNS servers remembered of one lease.
const MOST_SERVERS: usize = 8;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// `chaddr` and, after a 1 for Ethernet, the client identifier.
    pub mac: Mac,
    /// Option 12; left out when empty.
    pub hostname: &'a str,
}

/// A message to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// DISCOVER, REQUEST or RELEASE.
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
    /// The message's bytes. Options: 53, 50, 54, 12, 61, 55.
    pub fn emit(&self, identity: &Identity) -> Vec<u8> {
        let client: Vec<u8> = [1].into_iter().chain(identity.mac.0).collect();
        let mut options: Vec<(u8, Vec<u8>)> = vec![(53, vec![self.kind as u8])];
        options.extend(self.requested.map(|address| (50, address.octets().to_vec())));
        options.extend(self.server.map(|address| (54, address.octets().to_vec())));
        let releases = self.kind == Kind::Release;
        if !identity.hostname.is_empty() && !releases {
            options.push((12, identity.hostname.as_bytes().to_vec()));
        }
        options.push((61, client));
        if !releases {
            options.push((55, PARAMETERS.to_vec()));
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
}

/// A lease as a server gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Our address.
    pub address: Ipv4Addr,
    /// Who gave it (option 54).
    pub server: Option<Ipv4Addr>,
    mask: Option<Ipv4Addr>,
    router: Option<Ipv4Addr>,
    dns: Vec<Ipv4Addr>,
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
        let server = address(&message, 54);
        let lease = (kind != Kind::Nak && usable(message.yiaddr())).then(|| Lease::of(&message, server, bytes));
        Some(Answer { kind, xid: message.xid(), chaddr: Mac(message.ethernet()?), server, lease })
    }
}

/// Whether an address can be a host's: not of this network, loopback, multicast, reserved or broadcast.
fn usable(address: Ipv4Addr) -> bool {
    (1..=223).contains(&address.octets()[0]) && !address.is_loopback()
}

impl Lease {
    fn of(message: &Message, server: Option<Ipv4Addr>, raw: &[u8]) -> Lease {
        let seconds = number(message, 51).unwrap_or(DEFAULT_LEASE).max(SHORTEST_LEASE);
        // Of the server's times only those in order count (RFC 2131, section 4.4.5: T1 < T2 < lease).
        let t2 = number(message, 59).filter(|t2| *t2 > 1 && *t2 < seconds);
        let t1 = number(message, 58).filter(|t1| *t1 > 0 && *t1 < t2.unwrap_or(seconds));
        let t2 = t2.unwrap_or_else(|| eighths(seconds, 7));
        let t1 = t1.unwrap_or(seconds / 2).min(t2);
        let contiguous = |mask: &Ipv4Addr| u32::from(*mask).count_ones() == u32::from(*mask).leading_ones();
        let mut dns = addresses(message, 6);
        dns.retain(|server| usable(*server));
        dns.truncate(MOST_SERVERS);
        Lease {
            address: message.yiaddr(),
            server,
            mask: address(message, 1).filter(|mask| u32::from(*mask) != 0).filter(contiguous),
            router: addresses(message, 3).into_iter().find(|router| usable(*router)),
            dns,
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

    /// The file netconfigd and dnsd read; `now` is the wall clock.
    pub fn file(&self, now: WallTime) -> Lease4 {
        let dns: Vec<String> = self.dns.iter().map(Ipv4Addr::to_string).collect();
        Lease4 {
            valid_until: now.after(self.t1()),
            client_ip: self.address.to_string(),
            subnet_mask: self.mask().to_string(),
            router: self.router.map_or_else(String::new, |router| router.to_string()),
            dns: (!dns.is_empty()).then_some(dns),
            ..Lease4::default()
        }
    }
}

fn eighths(seconds: u32, eighths: u32) -> u32 {
    (u64::from(seconds) * u64::from(eighths) / 8) as u32
}

/// The addresses of an option; none when its length is wrong.
fn addresses(message: &Message, code: u8) -> Vec<Ipv4Addr> {
    let value = message.option(code).unwrap_or_default();
    let (addresses, rest) = value.as_chunks::<4>();
    if rest.is_empty() { addresses.iter().map(|octets| Ipv4Addr::from(*octets)).collect() } else { Vec::new() }
}

fn address(message: &Message, code: u8) -> Option<Ipv4Addr> {
    addresses(message, code).first().copied()
}

fn number(message: &Message, code: u8) -> Option<u32> {
    message.option(code)?.as_slice().try_into().map(u32::from_be_bytes).ok()
}
