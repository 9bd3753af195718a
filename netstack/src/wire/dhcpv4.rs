//! DHCPv4 messages (RFC 2131, 2132): checked once when parsed, then no accessor can fail; written with their options
//! in the order given.
use std::net::Ipv4Addr;

/// BOOTP header with `sname`, `file` and the magic cookie, in bytes.
pub const HEADER: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const PAD: u8 = 0;
const END: u8 = 255;
const OVERLOAD: u8 = 52;
/// Option 53.
const MESSAGE_TYPE: u8 = 53;
/// Where RFC 2131 puts no bound on the walk, the datagram does: no message is longer, in bytes.
const LONGEST: usize = 65_507;

/// What a message is (option 53).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// DHCPDISCOVER: a client looks for servers.
    Discover = 1,
    /// DHCPOFFER.
    Offer = 2,
    /// DHCPREQUEST.
    Request = 3,
    /// DHCPDECLINE: the address is in use already.
    Decline = 4,
    /// DHCPACK.
    Ack = 5,
    /// DHCPNAK.
    Nak = 6,
    /// DHCPRELEASE.
    Release = 7,
    /// DHCPINFORM: a client with an address wants options.
    Inform = 8,
}

const KINDS: [Kind; 8] =
    [Kind::Discover, Kind::Offer, Kind::Request, Kind::Decline, Kind::Ack, Kind::Nak, Kind::Release, Kind::Inform];

/// A message whose header and options were found whole.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// Checks a UDP payload: header, cookie, hardware address length, every option's length, an overload in bounds.
    pub fn parse(bytes: &'a [u8]) -> Option<Message<'a>> {
        if bytes.len() < HEADER || bytes.len() > LONGEST || bytes[236..240] != COOKIE || bytes[2] > 16 {
            return None;
        }
        let message = Message { bytes };
        message.areas().iter().all(|area| whole(area)).then_some(message)
    }

    /// 1 = request, 2 = reply.
    pub fn op(&self) -> u8 {
        self.bytes[0]
    }

    /// Transaction.
    pub fn xid(&self) -> u32 {
        u32::from_be_bytes([self.bytes[4], self.bytes[5], self.bytes[6], self.bytes[7]])
    }

    /// Seconds since the client began.
    pub fn secs(&self) -> u16 {
        u16::from_be_bytes([self.bytes[8], self.bytes[9]])
    }

    /// 0x8000 = reply by broadcast.
    pub fn flags(&self) -> u16 {
        u16::from_be_bytes([self.bytes[10], self.bytes[11]])
    }

    /// The address that the client has.
    pub fn ciaddr(&self) -> Ipv4Addr {
        self.address(12)
    }

    /// The address that is given.
    pub fn yiaddr(&self) -> Ipv4Addr {
        self.address(16)
    }

    /// The next server (boot files).
    pub fn siaddr(&self) -> Ipv4Addr {
        self.address(20)
    }

    /// The relay.
    pub fn giaddr(&self) -> Ipv4Addr {
        self.address(24)
    }

    /// The client's hardware address, when it is an Ethernet one.
    pub fn ethernet(&self) -> Option<[u8; 6]> {
        let [kind, length] = [self.bytes[1], self.bytes[2]];
        (kind == 1 && length == 6).then(|| self.bytes[28..34].try_into().ok()).flatten()
    }

    /// Option 53 when it is one byte from 1 to 8.
    pub fn kind(&self) -> Option<Kind> {
        match self.option(MESSAGE_TYPE)?.as_slice() {
            [number] => KINDS.into_iter().find(|kind| *kind as u8 == *number),
            _ => None,
        }
    }

    /// An option's value: all its parts joined (RFC 3396), `file` and `sname` included where option 52 says so.
    pub fn option(&self, code: u8) -> Option<Vec<u8>> {
        let mut value: Option<Vec<u8>> = None;
        for area in self.areas() {
            for (kind, part) in walk(area) {
                if kind == code {
                    value.get_or_insert_default().extend_from_slice(part);
                }
            }
        }
        value
    }

    fn address(&self, at: usize) -> Ipv4Addr {
        Ipv4Addr::new(self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3])
    }

    // Options field, then file, then sname: the order in which RFC 3396 joins them.
    fn areas(&self) -> [&'a [u8]; 3] {
        let options = &self.bytes[HEADER..];
        let overload =
            walk(options).find(|(code, value)| *code == OVERLOAD && value.len() == 1).map_or(0, |(_, value)| value[0]);
        let area = |used: bool, range| if used { &self.bytes[range] } else { &[][..] };
        [options, area(overload & 1 != 0, FILE), area(overload & 2 != 0, SNAME)]
    }
}

// The options of an area; ends at option 255, or where one does not fit.
fn walk(mut area: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            match area {
                [PAD, rest @ ..] => area = rest,
                [] | [END, ..] => return None,
                [code, length, rest @ ..] => {
                    let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                    let code = *code;
                    area = rest;
                    return Some((code, value));
                }
                [_] => return None,
            }
        }
    })
}

// Whether the walk ends at option 255 or at the end of the area, and not inside an option.
fn whole(area: &[u8]) -> bool {
    let mut at = 0;
    while at < area.len() {
        match area[at] {
            END => return true,
            PAD => at += 1,
            _ => match area.get(at + 1) {
                Some(length) => at += 2 + usize::from(*length),
                None => return false,
            },
        }
    }
    at == area.len()
}

/// The fixed part of a message to send; what is not named here is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// 1 = request, 2 = reply.
    pub op: u8,
    /// Transaction.
    pub xid: u32,
    /// Seconds since the client began.
    pub secs: u16,
    /// 0x8000 = reply by broadcast.
    pub flags: u16,
    /// The address that the client has.
    pub ciaddr: Ipv4Addr,
    /// The address that is given.
    pub yiaddr: Ipv4Addr,
    /// The next server (boot files).
    pub siaddr: Ipv4Addr,
    /// The relay.
    pub giaddr: Ipv4Addr,
    /// The client's Ethernet address.
    pub chaddr: [u8; 6],
}

impl Default for Header {
    fn default() -> Header {
        let none = Ipv4Addr::UNSPECIFIED;
        Header {
            op: 1,
            xid: 0,
            secs: 0,
            flags: 0,
            ciaddr: none,
            yiaddr: none,
            siaddr: none,
            giaddr: none,
            chaddr: [0; 6],
        }
    }
}

/// Writes a message: options in this order, those over 255 bytes split (RFC 3396), then 255, then zeros up to
/// `shortest` bytes.
pub fn emit(header: &Header, options: &[(u8, Vec<u8>)], shortest: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(shortest.max(HEADER + 128));
    bytes.extend_from_slice(&[header.op, 1, 6, 0]);
    bytes.extend_from_slice(&header.xid.to_be_bytes());
    bytes.extend_from_slice(&header.secs.to_be_bytes());
    bytes.extend_from_slice(&header.flags.to_be_bytes());
    for address in [header.ciaddr, header.yiaddr, header.siaddr, header.giaddr] {
        bytes.extend_from_slice(&address.octets());
    }
    bytes.extend_from_slice(&header.chaddr);
    bytes.resize(HEADER - COOKIE.len(), 0);
    bytes.extend_from_slice(&COOKIE);
    for (code, value) in options {
        if value.is_empty() {
            bytes.extend_from_slice(&[*code, 0]);
        }
        for part in value.chunks(255) {
            bytes.extend_from_slice(&[*code, part.len() as u8]);
            bytes.extend_from_slice(part);
        }
    }
    bytes.push(END);
    if bytes.len() < shortest {
        bytes.resize(shortest, 0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhcproto::{Decodable, Decoder};
    use proptest::prelude::*;

    fn sample(options: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let header = Header {
            op: 2,
            xid: 0x0102_0304,
            flags: 0x8000,
            yiaddr: Ipv4Addr::new(192, 168, 42, 7),
            chaddr: [2, 0, 0, 0, 0, 9],
            ..Header::default()
        };
        emit(&header, options, 300)
    }

    #[test]
    fn an_independent_decoder_reads_what_we_write() {
        let bytes = sample(&[
            (53, vec![5]),
            (54, vec![192, 168, 42, 1]),
            (51, vec![0, 0, 4, 176]),
            (1, vec![255, 255, 255, 0]),
        ]);
        assert_eq!(bytes.len(), 300);
        let message = dhcproto::v4::Message::decode(&mut Decoder::new(&bytes)).unwrap();
        assert_eq!((message.xid(), message.yiaddr()), (0x0102_0304, Ipv4Addr::new(192, 168, 42, 7)));
        assert_eq!(message.opts().msg_type(), Some(dhcproto::v4::MessageType::Ack));
        assert_eq!(message.opts().iter().count(), 4);
    }

    #[test]
    fn options_keep_their_order_and_long_ones_are_split_and_joined() {
        let long = vec![7u8; 600];
        let bytes = sample(&[(53, vec![2]), (121, long.clone()), (3, vec![1, 2, 3, 4]), (80, vec![])]);
        assert_eq!(bytes[240], 53);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.option(121), Some(long));
        assert_eq!(message.option(80), Some(vec![]));
        assert_eq!(message.option(6), None);
        assert_eq!((message.kind(), message.ethernet()), (Some(Kind::Offer), Some([2, 0, 0, 0, 0, 9])));
    }

    #[test]
    fn overloaded_fields_are_read() {
        let mut bytes = sample(&[(53, vec![5]), (52, vec![3])]);
        bytes[FILE][..7].copy_from_slice(&[3, 4, 10, 0, 0, 1, 255]);
        bytes[SNAME][..4].copy_from_slice(&[15, 2, b'a', 255]);
        assert_eq!(Message::parse(&bytes).unwrap().option(3), Some(vec![10, 0, 0, 1]));
    }

    #[test]
    fn what_is_cut_or_wrong_is_refused() {
        let bytes = sample(&[(53, vec![5])]);
        for end in 0..=HEADER - 1 {
            assert!(Message::parse(&bytes[..end]).is_none(), "{end}");
        }
        assert!(Message::parse(&bytes[..HEADER + 2]).is_none(), "an option cut in half");
        let mut wrong = bytes.clone();
        wrong[2] = 17;
        assert!(Message::parse(&wrong).is_none(), "hlen 17");
        wrong = bytes;
        wrong[238] = 0;
        assert!(Message::parse(&wrong).is_none(), "cookie");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(options in proptest::collection::vec((1u8..254, proptest::collection::vec(any::<u8>(), 0..300)), 0..8)) {
            prop_assume!(options.iter().all(|(code, _)| *code != OVERLOAD));
            let bytes = sample(&options);
            let message = Message::parse(&bytes).unwrap();
            for (code, _) in &options {
                let joined: Vec<u8> = options.iter().filter(|(other, _)| other == code).flat_map(|(_, value)| value.clone()).collect();
                prop_assert_eq!(message.option(*code), Some(joined));
            }
        }

        #[test]
        fn any_bytes_are_met_without_panic(tail in proptest::collection::vec(any::<u8>(), 0..120)) {
            let mut bytes = sample(&[]);
            bytes.truncate(HEADER);
            bytes.extend_from_slice(&tail);
            if let Some(message) = Message::parse(&bytes) {
                for code in 0..=255 {
                    let _ = message.option(code);
                }
                let _ = (message.kind(), message.ethernet(), message.secs(), message.siaddr());
            }
        }
    }
}
