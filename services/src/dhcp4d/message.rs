//! The DHCP messages of the server: what it takes from a client's message, and how its own are written.
use super::engine::table::Client;
use crate::perm::Mac;
pub use netstack::wire::dhcpv4::Kind;
use netstack::wire::dhcpv4::{self, Header, Message};
use std::net::Ipv4Addr;

/// Replies are padded to BOOTP's length, which old clients insist on.
const SHORTEST_MESSAGE: usize = 300;
/// The broadcast flag.
const BROADCAST: u16 = 0x8000;
/// Where the boot file's name stands in the header, and how long it may be with its end.
const FILE: std::ops::Range<usize> = 108..236;

/// A client's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// DISCOVER, REQUEST, DECLINE, RELEASE or INFORM.
    pub kind: Kind,
    /// Transaction.
    pub xid: u32,
    /// BOOTP flags, copied into the reply.
    pub flags: u16,
    /// The address the client has, or zero.
    pub ciaddr: Ipv4Addr,
    /// A relay's address, copied into the reply.
    pub giaddr: Ipv4Addr,
    /// Who asks.
    pub client: Client,
    /// Option 50.
    pub requested: Option<Ipv4Addr>,
    /// Option 54.
    pub server: Option<Ipv4Addr>,
    /// Option 12, as it came.
    pub hostname: Option<Vec<u8>>,
    /// Option 55.
    pub parameters: Option<Vec<u8>>,
    /// Option 61, as it came: it goes back (RFC 6842).
    pub id: Option<Vec<u8>>,
    /// Option 80: an answer of two messages will do (RFC 4039).
    pub rapid: bool,
    /// Option 82, as it came: it goes back (RFC 3046).
    pub relay: Option<Vec<u8>>,
}

impl Query {
    /// Takes a client's message; `None` for anything else, and for other hardware than Ethernet.
    pub fn parse(bytes: &[u8]) -> Option<Query> {
        let message = Message::parse(bytes).filter(|message| message.op() == 1)?;
        let kind = message.kind().filter(|kind| {
            matches!(kind, Kind::Discover | Kind::Request | Kind::Decline | Kind::Release | Kind::Inform)
        })?;
        let mac = message.ethernet()?;
        // A group address cannot be a client's, and all zeros are a client that does not know itself.
        if mac[0] & 1 == 1 || mac == [0; 6] {
            return None;
        }
        // RFC 2132 wants two bytes at least; 255 fit what is kept of it.
        let id = message.option(61).filter(|id| (2..=255).contains(&id.len()));
        let says_more = id.as_ref().filter(|id| id[0] != 1 || id[1..] != mac);
        let client = Client { mac: Mac(mac), id: says_more.cloned().unwrap_or_default().into() };
        let giaddr = message.giaddr();
        Some(Query {
            kind,
            xid: message.xid(),
            flags: message.flags(),
            ciaddr: message.ciaddr(),
            giaddr,
            client,
            requested: address(&message, 50),
            server: address(&message, 54),
            hostname: message.option(12),
            parameters: message.option(55),
            id,
            rapid: kind == Kind::Discover && message.option(80).is_some(),
            // Only a relay has it to say (RFC 3046, section 2.1).
            relay: if giaddr.is_unspecified() { None } else { message.option(82) },
        })
    }

    /// The address the client says it has.
    pub fn address(&self) -> Option<Ipv4Addr> {
        (!self.ciaddr.is_unspecified()).then_some(self.ciaddr)
    }

    /// An address of the client's network, when a relay says which (RFC 3527: its link selection, else its address).
    pub fn link(&self) -> Option<Ipv4Addr> {
        if self.giaddr.is_unspecified() {
            return None;
        }
        let mut rest = self.relay.as_deref().unwrap_or_default();
        while let [code, length, tail @ ..] = rest {
            let Some((value, tail)) = tail.split_at_checked(usize::from(*length)) else { break };
            if let (5, Ok(octets)) = (code, <[u8; 4]>::try_from(value)) {
                return Some(octets.into());
            }
            rest = tail;
        }
        Some(self.giaddr)
    }

    /// Whether the client cannot yet take a unicast reply.
    pub fn wants_broadcast(&self) -> bool {
        self.flags & BROADCAST != 0
    }
}

fn address(message: &Message, code: u8) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = message.option(code)?.as_slice().try_into().ok()?;
    Some(octets.into())
}

/// A message to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// OFFER, ACK or NAK.
    pub kind: Kind,
    /// From the query, as are `flags`, `giaddr` and `mac`.
    pub xid: u32,
    /// BOOTP flags.
    pub flags: u16,
    /// The client's address, when it has one.
    pub ciaddr: Ipv4Addr,
    /// The address given.
    pub yiaddr: Ipv4Addr,
    /// The next server of one that boots from the network.
    pub siaddr: Ipv4Addr,
    /// A relay's address.
    pub giaddr: Ipv4Addr,
    /// Whose it is.
    pub mac: Mac,
    /// Name of the boot file, at most 127 bytes; empty for none.
    pub file: String,
    /// What follows option 53, in order.
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Outgoing {
    /// The answer to a query, with nothing in it yet.
    pub fn to(query: &Query, kind: Kind, server: Ipv4Addr) -> Outgoing {
        let none = Ipv4Addr::UNSPECIFIED;
        // A client behind a relay that is refused cannot be reached but by broadcast (RFC 2131, section 4.3.2).
        let relayed = kind == Kind::Nak && !query.giaddr.is_unspecified();
        let mut options = Vec::with_capacity(12);
        options.push((54, server.octets().to_vec()));
        Outgoing {
            kind,
            xid: query.xid,
            flags: query.flags | if relayed { BROADCAST } else { 0 },
            ciaddr: none,
            yiaddr: none,
            siaddr: none,
            giaddr: query.giaddr,
            mac: query.client.mac,
            file: String::new(),
            options,
        }
    }

    /// Replaces the value of an option that is there.
    pub fn replace(&mut self, code: u8, value: Vec<u8>) {
        if let Some((_, old)) = self.options.iter_mut().find(|(there, _)| *there == code) {
            *old = value;
        }
    }

    /// The message's bytes.
    pub fn emit(&self) -> Vec<u8> {
        let header = Header {
            op: 2,
            xid: self.xid,
            flags: self.flags,
            ciaddr: self.ciaddr,
            yiaddr: self.yiaddr,
            siaddr: self.siaddr,
            giaddr: self.giaddr,
            chaddr: self.mac.0,
            ..Header::default()
        };
        let mut options = Vec::with_capacity(self.options.len() + 1);
        options.push((53, vec![self.kind as u8]));
        options.extend(self.options.iter().cloned());
        let mut bytes = dhcpv4::emit(&header, &options, SHORTEST_MESSAGE);
        let file = &self.file.as_bytes()[..self.file.len().min(FILE.len() - 1)];
        bytes[FILE][..file.len()].copy_from_slice(file);
        bytes
    }
}
