//! The DHCP messages of the server: what it takes from a client's message, and how its own are written.
use crate::perm::Mac;
pub use netstack::wire::dhcpv4::Kind;
use netstack::wire::dhcpv4::{self, Header, Message};
use std::net::Ipv4Addr;

/// Replies are padded to BOOTP's length, which old clients insist on.
const SHORTEST_MESSAGE: usize = 300;
/// The broadcast flag.
const BROADCAST: u16 = 0x8000;

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
    pub mac: Mac,
    /// Option 50.
    pub requested: Option<Ipv4Addr>,
    /// Option 54.
    pub server: Option<Ipv4Addr>,
    /// Option 12, as it came.
    pub hostname: Option<Vec<u8>>,
    /// Option 55.
    pub parameters: Option<Vec<u8>>,
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
        Some(Query {
            kind,
            xid: message.xid(),
            flags: message.flags(),
            ciaddr: message.ciaddr(),
            giaddr: message.giaddr(),
            mac: Mac(mac),
            requested: address(&message, 50),
            server: address(&message, 54),
            hostname: message.option(12),
            parameters: message.option(55),
        })
    }

    /// The address the client says it has.
    pub fn address(&self) -> Option<Ipv4Addr> {
        (!self.ciaddr.is_unspecified()).then_some(self.ciaddr)
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
    /// A relay's address.
    pub giaddr: Ipv4Addr,
    /// Whose it is.
    pub mac: Mac,
    /// What follows option 53, in order.
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Outgoing {
    /// The message's bytes.
    pub fn emit(&self) -> Vec<u8> {
        let header = Header {
            op: 2,
            xid: self.xid,
            flags: self.flags,
            ciaddr: self.ciaddr,
            yiaddr: self.yiaddr,
            giaddr: self.giaddr,
            chaddr: self.mac.0,
            ..Header::default()
        };
        let mut options = vec![(53, vec![self.kind as u8])];
        options.extend(self.options.iter().cloned());
        dhcpv4::emit(&header, &options, SHORTEST_MESSAGE)
    }
}
