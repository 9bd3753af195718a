//! A client's message of DHCPv6 as the server takes it, checked as RFC 9915, section 16, wants; and the answer.
use crate::perm::duid;
use netstack::wire::dhcpv6::{self, Association, Kind, Lease, Message, Option6, code};
use std::net::Ipv6Addr;

/// Associations of a message, and addresses of one; more are left out.
const MOST: usize = 16;

/// Whether an option has to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Yes,
    No,
    Maybe,
}

/// Which messages a server takes, and whether with a client's and a server's identifier.
const RULES: [(Kind, Wants, Wants); 8] = [
    (Kind::Solicit, Wants::Yes, Wants::No),
    (Kind::Request, Wants::Yes, Wants::Yes),
    (Kind::Confirm, Wants::Yes, Wants::No),
    (Kind::Renew, Wants::Yes, Wants::Yes),
    (Kind::Rebind, Wants::Yes, Wants::No),
    (Kind::Release, Wants::Yes, Wants::Yes),
    (Kind::Decline, Wants::Yes, Wants::Yes),
    (Kind::InformationRequest, Wants::Maybe, Wants::Maybe),
];

/// What an association is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// IA_NA.
    Addresses,
    /// IA_PD.
    Prefixes,
}

impl For {
    fn code(self) -> u16 {
        match self {
            For::Addresses => code::IA_NA,
            For::Prefixes => code::IA_PD,
        }
    }
}

/// An association that a client asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What for.
    pub is_for: For,
    /// The client's number for it.
    pub iaid: u32,
    /// Addresses that it names; none of a prefix.
    pub addresses: Vec<Ipv6Addr>,
}

/// A client's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What it is.
    pub kind: Kind,
    /// Transaction.
    pub xid: u32,
    /// The client's DUID; only who asks for configuration alone may have none.
    pub client: Option<Vec<u8>>,
    /// The server that it means.
    pub server: Option<Vec<u8>>,
    /// The option codes that it wants; none when it does not say.
    pub wanted: Option<Vec<u16>>,
    /// Two messages are enough for it.
    pub rapid: bool,
    /// What it asks leases for.
    pub asked: Vec<Asked>,
}

impl Query {
    /// Takes a client's message; `None` for what a server drops in silence.
    pub fn parse(bytes: &[u8]) -> Option<Query> {
        let Message { kind, xid, options } = Message::parse(bytes)?;
        let (_, client, server) = RULES.into_iter().find(|(known, _, _)| *known == kind)?;
        let identifier = |code: u16, wants: Wants| {
            let found = options.first(code).map(<[u8]>::to_vec);
            let fits = match &found {
                Some(duid) => wants != Wants::No && duid::LENGTHS.contains(&duid.len()),
                None => wants != Wants::Yes,
            };
            fits.then_some(found)
        };
        let query = Query {
            kind,
            xid,
            client: identifier(code::CLIENT_ID, client)?,
            server: identifier(code::SERVER_ID, server)?,
            wanted: options.requested(),
            rapid: kind == Kind::Solicit && options.first(code::RAPID_COMMIT).is_some(),
            asked: options.iter().filter_map(|(code, value)| asked(code, value)).take(MOST).collect(),
        };
        // It would want an answer with leases in it.
        (kind != Kind::InformationRequest || query.asked.is_empty()).then_some(query)
    }

    /// Whether an option is wanted; who does not say wants all.
    pub fn wants(&self, code: u16) -> bool {
        self.wanted.as_ref().is_none_or(|codes| codes.contains(&code))
    }
}

fn asked(code: u16, value: &[u8]) -> Option<Asked> {
    let is_for = [For::Addresses, For::Prefixes].into_iter().find(|is_for| is_for.code() == code)?;
    let found = Association::parse(value)?;
    let named = found.options.iter().filter(|(code, _)| *code == code::IAADDR && is_for == For::Addresses);
    let addresses = named.filter_map(|(_, value)| Some(Lease::address(value)?.prefix.addr())).take(MOST).collect();
    Some(Asked { is_for, iaid: found.iaid, addresses })
}

/// An address and its preferred and valid lifetime in seconds; 0 = it is over.
pub type Told = (Ipv6Addr, u32, u32);

/// An association in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What for.
    pub is_for: For,
    /// The client's number for it.
    pub iaid: u32,
    /// Its addresses.
    pub addresses: Vec<Told>,
    /// Why there are none.
    pub status: Option<(u16, &'static str)>,
}

impl Answered {
    fn option(&self) -> Option6 {
        let soonest = self.addresses.iter().map(|told| told.1).filter(|preferred| *preferred > 0).min().unwrap_or(0);
        let mut inner: Vec<Option6> = self
            .addresses
            .iter()
            .map(|(address, preferred, valid)| dhcpv6::address(*address, (*preferred, *valid)))
            .collect();
        inner.extend(self.status.map(|(number, text)| dhcpv6::status(number, text)));
        // Half and four fifths, as RFC 9915, section 21.4, recommends.
        dhcpv6::association(self.is_for.code(), self.iaid, (soonest / 2, soonest / 5 * 4), &inner)
    }
}

/// A message to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The interface by which it leaves.
    pub interface: String,
    /// The client's link-local address.
    pub to: Ipv6Addr,
    /// ADVERTISE or REPLY.
    pub kind: Kind,
    /// The client's transaction.
    pub xid: u32,
    /// All but the associations, in order.
    pub options: Vec<Option6>,
    /// The associations.
    pub answered: Vec<Answered>,
    /// It promises something that has to be on the disk before.
    pub promises: bool,
}

impl Reply {
    /// Makes no lifetime longer than this, in seconds.
    pub fn shorten(&mut self, longest: u32) {
        for told in self.answered.iter_mut().flat_map(|one| &mut one.addresses) {
            (told.1, told.2) = (told.1.min(longest), told.2.min(longest));
        }
    }

    /// Its bytes.
    pub fn emit(&self) -> Vec<u8> {
        let options: Vec<Option6> =
            self.options.iter().cloned().chain(self.answered.iter().map(Answered::option)).collect();
        dhcpv6::emit(self.kind, self.xid, &options)
    }
}
