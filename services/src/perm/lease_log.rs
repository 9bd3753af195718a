//! `/perm/dhcp4d/leases.log`: what dhcp4d has promised, record by record, each on the disk before its ACK or REPLY leaves.
//!
//! The file begins with [`MAGIC`]. A record is its payload's length (2 bytes), the payload's CRC-32 (4 bytes, IEEE), both
//! little-endian, and the payload. Room that is not used yet is zero: a length of 0 is the end. Whoever reads stops at the
//! first record that is not whole; nothing behind it was ever acknowledged.
//!
//! Moments are nanoseconds of the boot clock; a [`Entry::Clock`] before them says of which boot, and what the wall clock
//! read when that clock stood at 0. The last one of a boot is right for all its records, as a clock is set at most to be
//! better.
use super::{Mac, WallTime};
use layout::crc32;
use std::net::Ipv4Addr;

/// The first bytes of the file.
pub const MAGIC: &[u8; 8] = b"weirlog1";
/// Bytes before each payload.
const HEAD: usize = 6;
/// No payload is longer, in bytes.
const LONGEST: usize = 2_048;

/// A lease as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The address.
    pub addr: Ipv4Addr,
    /// The client's hardware address.
    pub mac: Mac,
    /// The client's identifier, when it says more than the hardware address.
    pub id: Vec<u8>,
    /// What the client calls itself, or the override.
    pub hostname: String,
    /// A name given by a person.
    pub name_override: String,
    /// Its end; none for a static lease.
    pub expiry: Option<i64>,
    /// When it was acknowledged.
    pub last_ack: i64,
}

/// An interface identifier given by DHCPv6: with each prefix of the LAN it makes an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given6 {
    /// Whose it is.
    pub client: Client6,
    /// The lower 64 bits of the addresses.
    pub iid: u64,
    /// End of their valid lifetime.
    pub expiry: i64,
}

/// Who has it: an identity association (RFC 9915, section 4.2) on a LAN.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client6 {
    /// The LAN's interface.
    pub lan: String,
    /// The client's DUID.
    pub duid: Vec<u8>,
    /// Its number for the association.
    pub iaid: u32,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// What follows is of this boot.
    Clock {
        /// The kernel's name for it.
        boot: String,
        /// The wall clock's reading at the boot clock's zero.
        wall: WallTime,
    },
    /// An address was given, or its record was changed.
    Given(Given),
    /// An address has no record any more.
    Gone(Ipv4Addr),
    /// leases.json is replaced by what has this sum.
    File(u64),
    /// DHCPv6 has given addresses, or for longer.
    Given6(Given6),
    /// And has none any more.
    Gone6(Client6),
}

impl Entry {
    /// Appends the record. Texts are cut to 255 bytes.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; HEAD]);
        match self {
            Entry::Clock { boot, wall } => {
                bytes.push(1);
                bytes.extend_from_slice(&wall.nanos().to_le_bytes());
                text(bytes, boot.as_bytes());
            }
            Entry::Given(given) => {
                bytes.push(2);
                bytes.extend_from_slice(&given.addr.octets());
                bytes.extend_from_slice(&given.mac.0);
                bytes.extend_from_slice(&given.expiry.unwrap_or(i64::MAX).to_le_bytes());
                bytes.extend_from_slice(&given.last_ack.to_le_bytes());
                text(bytes, &given.id);
                text(bytes, given.hostname.as_bytes());
                text(bytes, given.name_override.as_bytes());
            }
            Entry::Gone(addr) => {
                bytes.push(3);
                bytes.extend_from_slice(&addr.octets());
            }
            Entry::File(sum) => {
                bytes.push(4);
                bytes.extend_from_slice(&sum.to_le_bytes());
            }
            Entry::Given6(given) => {
                bytes.push(5);
                client6(bytes, &given.client);
                bytes.extend_from_slice(&given.iid.to_le_bytes());
                bytes.extend_from_slice(&given.expiry.to_le_bytes());
            }
            Entry::Gone6(client) => {
                bytes.push(6);
                client6(bytes, client);
            }
        }
        let payload = &bytes[start + HEAD..];
        let (length, sum) = (payload.len() as u16, crc32(payload));
        bytes[start..start + 2].copy_from_slice(&length.to_le_bytes());
        bytes[start + 2..start + HEAD].copy_from_slice(&sum.to_le_bytes());
    }

    fn parse(payload: &[u8]) -> Option<Entry> {
        let mut rest = Rest(payload);
        let entry = match rest.array()? {
            [1] => Entry::Clock {
                wall: WallTime::from_nanos(i64::from_le_bytes(rest.array()?)),
                boot: String::from_utf8(rest.text()?).ok()?,
            },
            [2] => Entry::Given(Given {
                addr: Ipv4Addr::from(rest.array::<4>()?),
                mac: Mac(rest.array()?),
                expiry: Some(i64::from_le_bytes(rest.array()?)).filter(|end| *end != i64::MAX),
                last_ack: i64::from_le_bytes(rest.array()?),
                id: rest.text()?,
                hostname: String::from_utf8(rest.text()?).ok()?,
                name_override: String::from_utf8(rest.text()?).ok()?,
            }),
            [3] => Entry::Gone(Ipv4Addr::from(rest.array::<4>()?)),
            [4] => Entry::File(u64::from_le_bytes(rest.array()?)),
            [5] => Entry::Given6(Given6 {
                client: rest.client6()?,
                iid: u64::from_le_bytes(rest.array()?),
                expiry: i64::from_le_bytes(rest.array()?),
            }),
            [6] => Entry::Gone6(rest.client6()?),
            _ => return None,
        };
        rest.0.is_empty().then_some(entry)
    }
}

fn text(bytes: &mut Vec<u8>, text: &[u8]) {
    let mut end = text.len().min(255);
    // A letter of several bytes is not cut in half; in what is no text such bytes do not matter.
    while end < text.len() && end > 250 && text[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    bytes.push(end as u8);
    bytes.extend_from_slice(&text[..end]);
}

fn client6(bytes: &mut Vec<u8>, client: &Client6) {
    text(bytes, client.lan.as_bytes());
    text(bytes, &client.duid);
    bytes.extend_from_slice(&client.iaid.to_le_bytes());
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (value, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*value)
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let [length] = self.array()?;
        let (value, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(value.to_vec())
    }

    fn client6(&mut self) -> Option<Client6> {
        let lan = String::from_utf8(self.text()?).ok()?;
        Some(Client6 { lan, duid: self.text()?, iaid: u32::from_le_bytes(self.array()?) })
    }
}

/// How a log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Only unused room follows.
    Clean,
    /// A record is not whole.
    Damaged,
}

/// The records of some bytes of a log, from a record's beginning on.
#[derive(Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    /// Bytes of whole records so far.
    pub used: usize,
}

impl<'a> Records<'a> {
    /// Reads from here on.
    pub fn new(bytes: &'a [u8]) -> Records<'a> {
        Records { bytes, used: 0 }
    }

    /// How it ended, once there is no more.
    pub fn end(&self) -> End {
        let rest = &self.bytes[self.used..];
        if rest.iter().all(|byte| *byte == 0) { End::Clean } else { End::Damaged }
    }
}

impl Iterator for Records<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let rest = &self.bytes[self.used..];
        let length = usize::from(u16::from_le_bytes([*rest.first()?, *rest.get(1)?]));
        if length == 0 || length > LONGEST {
            return None;
        }
        let sum = u32::from_le_bytes(rest.get(2..HEAD)?.try_into().ok()?);
        let payload = rest.get(HEAD..HEAD + length)?;
        if crc32(payload) != sum {
            return None;
        }
        let entry = Entry::parse(payload)?;
        self.used += HEAD + length;
        Some(entry)
    }
}

/// A sum of a file's bytes that are seen one after the other (FNV-1a, 64 bits): it tells files apart, and proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum(pub u64);

impl Default for Sum {
    fn default() -> Sum {
        Sum(0xcbf2_9ce4_8422_2325)
    }
}

impl Sum {
    /// Takes more bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn given(host: u8, name: &str) -> Entry {
        Entry::Given(Given {
            addr: Ipv4Addr::new(10, 0, 0, host),
            mac: Mac([2, 0, 0, 0, 0, host]),
            id: vec![0xff, host],
            hostname: name.into(),
            name_override: String::new(),
            expiry: (host > 1).then_some(7),
            last_ack: -5,
        })
    }

    fn log() -> (Vec<Entry>, Vec<u8>) {
        let clock = Entry::Clock { boot: "a-boot".into(), wall: WallTime::from_unix(1_800_000_000) };
        let client = Client6 { lan: "lan0".into(), duid: vec![0, 3, 0, 1, 2, 0, 0, 0, 0, 9], iaid: 7 };
        let given6 = Entry::Given6(Given6 { client: client.clone(), iid: 0x1234_5678_9abc_def0, expiry: -9 });
        let entries = vec![
            clock,
            given(1, "nas"),
            given(2, "küche"),
            given6,
            Entry::Gone([10, 0, 0, 1].into()),
            Entry::File(77),
            Entry::Gone6(client),
        ];
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| entry.write(&mut bytes));
        (entries, bytes)
    }

    #[test]
    fn what_is_written_is_read_and_unused_room_is_the_end() {
        let (entries, mut bytes) = log();
        let length = bytes.len();
        bytes.resize(length + 500, 0);
        let mut records = Records::new(&bytes);
        assert_eq!(records.by_ref().collect::<Vec<_>>(), entries);
        assert_eq!((records.used, records.end()), (length, End::Clean));
        let mut long = Vec::new();
        given(3, &"ü".repeat(200)).write(&mut long);
        assert_eq!(Records::new(&long).count(), 1, "cut between letters");
    }

    #[test]
    fn whatever_is_cut_or_turned_ends_at_the_last_whole_record() {
        let (entries, bytes) = log();
        for end in 0..bytes.len() {
            let whole = Records::new(&bytes[..end]).count();
            assert_eq!(Records::new(&bytes[..end]).collect::<Vec<_>>(), entries[..whole]);
            let mut turned = bytes.clone();
            turned[end] ^= 0x10;
            let mut records = Records::new(&turned);
            let found: Vec<Entry> = records.by_ref().collect();
            assert_eq!(found, entries[..found.len()], "byte {end}");
            assert!(found.len() < entries.len() && records.end() == End::Damaged, "byte {end}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_met_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut records = Records::new(&bytes);
            let _ = records.by_ref().count();
            let _ = records.end();
            let _ = Entry::parse(&bytes);
        }
    }
}
