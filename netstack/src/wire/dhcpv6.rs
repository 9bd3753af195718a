//! DHCPv6 messages between client and server (RFC 9915, sections 8 and 21): checked once when parsed, then no accessor
//! can fail; written with their options in the order given. dhcp6 speaks them as a client, dhcp4d as a server.
use ipnet::Ipv6Net;
use std::net::Ipv6Addr;

/// Port of a client.
pub const CLIENT: u16 = 546;
/// Port of a server.
pub const SERVER: u16 = 547;
/// All_DHCP_Relay_Agents_and_Servers.
pub const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// Option codes (RFC 9915, section 21, and where it is said).
pub mod code {
    /// Client Identifier.
    pub const CLIENT_ID: u16 = 1;
    /// Server Identifier.
    pub const SERVER_ID: u16 = 2;
    /// Identity Association for Non-temporary Addresses.
    pub const IA_NA: u16 = 3;
    /// IA Address.
    pub const IAADDR: u16 = 5;
    /// Option Request.
    pub const ORO: u16 = 6;
    /// Preference.
    pub const PREFERENCE: u16 = 7;
    /// Elapsed Time, in hundredths of a second.
    pub const ELAPSED_TIME: u16 = 8;
    /// Status Code.
    pub const STATUS_CODE: u16 = 13;
    /// Rapid Commit.
    pub const RAPID_COMMIT: u16 = 14;
    /// Recursive DNS servers (RFC 3646).
    pub const DNS_SERVERS: u16 = 23;
    /// Domain search list (RFC 3646).
    pub const DOMAIN_LIST: u16 = 24;
    /// Identity Association for Prefix Delegation.
    pub const IA_PD: u16 = 25;
    /// IA Prefix.
    pub const IAPREFIX: u16 = 26;
    /// SNTP servers (RFC 4075).
    pub const SNTP_SERVERS: u16 = 31;
    /// Information Refresh Time.
    pub const INFORMATION_REFRESH_TIME: u16 = 32;
    /// NTP servers (RFC 5908).
    pub const NTP_SERVER: u16 = 56;
    /// SOL_MAX_RT.
    pub const SOL_MAX_RT: u16 = 82;
    /// INF_MAX_RT.
    pub const INF_MAX_RT: u16 = 83;
}

/// Status codes (RFC 9915, section 21.13).
pub mod status {
    /// It was done.
    pub const SUCCESS: u16 = 0;
    /// Nothing is said about why.
    pub const UNSPEC_FAIL: u16 = 1;
    /// No addresses are there.
    pub const NO_ADDRS_AVAIL: u16 = 2;
    /// The server does not know the lease.
    pub const NO_BINDING: u16 = 3;
    /// The prefix does not fit the link.
    pub const NOT_ON_LINK: u16 = 4;
    /// Old servers: the message should have come by multicast.
    pub const USE_MULTICAST: u16 = 5;
    /// No prefixes are there.
    pub const NO_PREFIX_AVAIL: u16 = 6;
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A client looks for servers.
    Solicit = 1,
    /// A server offers itself.
    Advertise = 2,
    /// A client asks one server for leases.
    Request = 3,
    /// A client asks whether its addresses fit the link.
    Confirm = 4,
    /// A client asks its server to extend leases.
    Renew = 5,
    /// A client asks any server to extend leases.
    Rebind = 6,
    /// A server's answer.
    Reply = 7,
    /// A client gives leases back.
    Release = 8,
    /// A client has found an address in use.
    Decline = 9,
    /// A server wants the client to ask.
    Reconfigure = 10,
    /// A client wants configuration without leases.
    InformationRequest = 11,
}

const KINDS: [Kind; 11] = [
    Kind::Solicit,
    Kind::Advertise,
    Kind::Request,
    Kind::Confirm,
    Kind::Renew,
    Kind::Rebind,
    Kind::Reply,
    Kind::Release,
    Kind::Decline,
    Kind::Reconfigure,
    Kind::InformationRequest,
];

/// Bytes before the options of a message, and of an option.
const HEADER: usize = 4;

/// A message whose options were found whole.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// What it is.
    pub kind: Kind,
    /// Transaction, 24 bits.
    pub xid: u32,
    /// Its options.
    pub options: Options<'a>,
}

/// A list of options, each whole.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a>(&'a [u8]);

/// IA_NA or IA_PD (RFC 9915, sections 21.4 and 21.21).
#[derive(Debug, Clone, Copy)]
pub struct Association<'a> {
    /// The client's number for it.
    pub iaid: u32,
    /// Seconds until RENEW; 0 = the client's choice.
    pub t1: u32,
    /// Seconds until REBIND; 0 = the client's choice.
    pub t2: u32,
    /// IAADDR or IAPREFIX, and a status.
    pub options: Options<'a>,
}

/// IAADDR or IAPREFIX; an address is a prefix of 128 bits.
#[derive(Debug, Clone, Copy)]
pub struct Lease<'a> {
    /// Host bits as they came.
    pub prefix: Ipv6Net,
    /// In seconds; `u32::MAX` = without end.
    pub preferred: u32,
    /// In seconds; `u32::MAX` = without end.
    pub valid: u32,
    /// A status.
    pub options: Options<'a>,
}

impl<'a> Message<'a> {
    /// Checks a UDP payload: type and every option's length. Relay messages are none of a client's.
    pub fn parse(bytes: &'a [u8]) -> Option<Message<'a>> {
        let &[kind, high, middle, low, ref options @ ..] = bytes else { return None };
        let kind = KINDS.into_iter().find(|known| *known as u8 == kind)?;
        Some(Message { kind, xid: u32::from_be_bytes([0, high, middle, low]), options: Options::parse(options)? })
    }
}

impl<'a> Options<'a> {
    /// Checks that each option fits.
    pub fn parse(bytes: &'a [u8]) -> Option<Options<'a>> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = rest.get(HEADER + length(rest)?..)?;
        }
        Some(Options(bytes))
    }

    /// Every option as (code, value), in order.
    pub fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let end = HEADER + length(rest)?;
            let (option, after) = rest.split_at_checked(end)?;
            rest = after;
            Some((u16::from_be_bytes([option[0], option[1]]), &option[HEADER..]))
        })
    }

    /// The first option of this code: of one that may come once, further ones do not count.
    pub fn first(self, code: u16) -> Option<&'a [u8]> {
        self.iter().find(|(found, _)| *found == code).map(|(_, value)| value)
    }

    /// Four bytes that are the whole value of an option.
    pub fn number(self, code: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.first(code)?.try_into().ok()?))
    }

    /// The status and its text; `None` = success (RFC 9915, section 21.13).
    pub fn status(self) -> Option<(u16, String)> {
        let &[high, low, ref text @ ..] = self.first(code::STATUS_CODE)? else { return None };
        let status = u16::from_be_bytes([high, low]);
        let text: String =
            String::from_utf8_lossy(text).chars().filter(|letter| !letter.is_control()).take(200).collect();
        (status != 0).then_some((status, text))
    }

    /// Codes that are the whole value of the Option Request; none when its length is wrong or it is not there.
    pub fn requested(self) -> Option<Vec<u16>> {
        let (codes, rest) = self.first(code::ORO)?.as_chunks::<2>();
        rest.is_empty().then(|| codes.iter().map(|code| u16::from_be_bytes(*code)).collect())
    }

    /// Addresses that are the whole value of an option; none when its length is wrong.
    pub fn addresses(self, code: u16) -> Vec<Ipv6Addr> {
        let (addresses, rest) = self.first(code).unwrap_or_default().as_chunks::<16>();
        if rest.is_empty() { addresses.iter().map(|octets| Ipv6Addr::from(*octets)).collect() } else { Vec::new() }
    }
}

fn length(option: &[u8]) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(option.get(2..4)?.try_into().ok()?)))
}

impl<'a> Association<'a> {
    /// Checks the value of an IA_NA or IA_PD.
    pub fn parse(value: &'a [u8]) -> Option<Association<'a>> {
        let (fixed, options) = value.split_first_chunk::<12>()?;
        let word = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        Some(Association { iaid: word(0), t1: word(4), t2: word(8), options: Options::parse(options)? })
    }
}

impl<'a> Lease<'a> {
    /// Checks the value of an IAADDR.
    pub fn address(value: &'a [u8]) -> Option<Lease<'a>> {
        let (fixed, options) = value.split_first_chunk::<24>()?;
        let (address, lifetimes) = fixed.split_first_chunk::<16>()?;
        Lease::of(*address, 128, lifetimes, options)
    }

    /// Checks the value of an IAPREFIX.
    pub fn prefix(value: &'a [u8]) -> Option<Lease<'a>> {
        let (fixed, options) = value.split_first_chunk::<25>()?;
        let (lifetimes, prefix) = fixed.split_first_chunk::<8>()?;
        Lease::of(prefix[1..].try_into().ok()?, prefix[0], lifetimes, options)
    }

    fn of(octets: [u8; 16], length: u8, lifetimes: &[u8], options: &'a [u8]) -> Option<Lease<'a>> {
        let word = |at: usize| Some(u32::from_be_bytes(lifetimes.get(at..at + 4)?.try_into().ok()?));
        let prefix = Ipv6Net::new(Ipv6Addr::from(octets), length).ok()?;
        Some(Lease { prefix, preferred: word(0)?, valid: word(4)?, options: Options::parse(options)? })
    }
}

/// An option to be written: its code and value.
pub type Option6 = (u16, Vec<u8>);

/// Writes a message: options in this order. A value over 65,535 bytes is left out.
pub fn emit(kind: Kind, xid: u32, options: &[Option6]) -> Vec<u8> {
    let [_, high, middle, low] = xid.to_be_bytes();
    let mut bytes = vec![kind as u8, high, middle, low];
    bytes.extend(list(options));
    bytes
}

/// Writes a list of options.
fn list(options: &[Option6]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (code, value) in options {
        let Ok(length) = u16::try_from(value.len()) else { continue };
        bytes.extend(code.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(value);
    }
    bytes
}

/// An IA_NA or IA_PD.
pub fn association(code: u16, iaid: u32, (t1, t2): (u32, u32), inner: &[Option6]) -> Option6 {
    let mut value: Vec<u8> = [iaid, t1, t2].iter().flat_map(|word| word.to_be_bytes()).collect();
    value.extend(list(inner));
    (code, value)
}

/// An IAADDR, with preferred and valid lifetime in seconds.
pub fn address(address: Ipv6Addr, lifetimes: (u32, u32)) -> Option6 {
    let mut value = address.octets().to_vec();
    value.extend(lifetimes.0.to_be_bytes());
    value.extend(lifetimes.1.to_be_bytes());
    (code::IAADDR, value)
}

/// An IAPREFIX, with preferred and valid lifetime in seconds.
pub fn prefix(prefix: Ipv6Net, lifetimes: (u32, u32)) -> Option6 {
    let mut value: Vec<u8> = [lifetimes.0, lifetimes.1].iter().flat_map(|word| word.to_be_bytes()).collect();
    value.push(prefix.prefix_len());
    value.extend(prefix.addr().octets());
    (code::IAPREFIX, value)
}

/// A status with its text.
pub fn status(number: u16, text: &str) -> Option6 {
    (code::STATUS_CODE, [&number.to_be_bytes()[..], text.as_bytes()].concat())
}

/// An option that is a list of addresses.
pub fn addresses(code: u16, addresses: &[Ipv6Addr]) -> Option6 {
    (code, addresses.iter().flat_map(Ipv6Addr::octets).collect())
}

/// NTP servers, each by its address (RFC 5908, section 4.1).
pub fn time_servers(servers: &[Ipv6Addr]) -> Option6 {
    const ADDRESS: u16 = 1;
    let each: Vec<Option6> = servers.iter().map(|server| (ADDRESS, server.octets().to_vec())).collect();
    (code::NTP_SERVER, list(&each))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhcproto::{Decodable, Decoder, v6};
    use proptest::prelude::*;

    fn sample() -> Vec<u8> {
        let net: Ipv6Net = "2001:db8:a::/56".parse().unwrap();
        let status = status(super::status::NO_PREFIX_AVAIL, "no\nmore");
        emit(
            Kind::Reply,
            0x0012_3456,
            &[
                (code::CLIENT_ID, vec![0, 3, 0, 1, 2, 0, 0, 0, 0, 7]),
                (code::SERVER_ID, vec![0, 3, 0, 1, 2, 0, 0, 0, 0, 1]),
                association(code::IA_PD, 1, (100, 160), &[prefix(net, (200, 300))]),
                association(code::IA_NA, 7, (0, 0), &[address(net.addr(), (20, 30)), status]),
                addresses(code::DNS_SERVERS, &[net.addr()]),
                (code::ORO, vec![0, 23, 0, 24]),
                time_servers(&[net.addr(), net.broadcast()]),
            ],
        )
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = sample();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.kind, message.xid), (Kind::Reply, 0x0012_3456));
        let pd = Association::parse(message.options.first(code::IA_PD).unwrap()).unwrap();
        assert_eq!((pd.iaid, pd.t1, pd.t2), (1, 100, 160));
        let lease = Lease::prefix(pd.options.first(code::IAPREFIX).unwrap()).unwrap();
        assert_eq!((lease.prefix.to_string(), lease.preferred, lease.valid), ("2001:db8:a::/56".into(), 200, 300));
        let na = Association::parse(message.options.first(code::IA_NA).unwrap()).unwrap();
        assert_eq!(na.options.status(), Some((6, "nomore".into())));
        assert_eq!(message.options.status(), None);
        assert_eq!(message.options.addresses(code::DNS_SERVERS).len(), 1);
        assert_eq!(message.options.requested(), Some(vec![code::DNS_SERVERS, code::DOMAIN_LIST]));
    }

    #[test]
    fn an_independent_decoder_reads_what_we_write() {
        let message = v6::Message::decode(&mut Decoder::new(&sample())).unwrap();
        assert_eq!((message.msg_type(), message.xid()), (v6::MessageType::Reply, [0x12, 0x34, 0x56]));
        let Some(v6::DhcpOption::IAPD(pd)) = message.opts().get(v6::OptionCode::IAPD) else { panic!("no IA_PD") };
        let Some(v6::DhcpOption::IAPrefix(prefix)) = pd.opts.get(v6::OptionCode::IAPrefix) else { panic!("no prefix") };
        assert_eq!((prefix.prefix_len, prefix.preferred_lifetime, prefix.valid_lifetime), (56, 200, 300));
        let Some(v6::DhcpOption::NtpServer(servers)) = message.opts().get(v6::OptionCode::NtpServer) else {
            panic!("no NTP servers")
        };
        assert_eq!(servers.len(), 2, "{servers:?}");
    }

    #[test]
    fn what_is_cut_is_refused() {
        let bytes = sample();
        let whole = Message::parse(&bytes).unwrap().options.iter().scan(4, |end, (_, value)| {
            *end += 4 + value.len();
            Some(*end)
        });
        let whole: Vec<usize> = [4].into_iter().chain(whole).collect();
        for end in 0..bytes.len() {
            assert_eq!(Message::parse(&bytes[..end]).is_some(), whole.contains(&end), "{end}");
        }
        assert!(Association::parse(&[0; 11]).is_none() && Association::parse(&[0; 13]).is_none());
        assert!(Lease::address(&[0; 23]).is_none() && Lease::prefix(&[0; 24]).is_none());
        let mut long = [0; 25];
        long[8] = 129;
        assert!(Lease::prefix(&long).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_met_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 1u8..12) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            if let Some(message) = Message::parse(&bytes) {
                for (_, value) in message.options.iter() {
                    let _ = (Association::parse(value).map(|ia| ia.options.status()), Lease::address(value), Lease::prefix(value));
                }
                let _ = (message.options.status(), message.options.addresses(23), message.options.number(82));
                let _ = message.options.requested();
            }
        }
    }
}
