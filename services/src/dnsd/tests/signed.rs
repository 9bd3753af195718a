//! A tree of signed zones, made as it is asked for: every zone has the same key.
use super::name;
use domain::base::iana::Rtype;
use domain::rdata::Dnskey;
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// When signatures begin and end, in seconds since 1970.
pub const TIMES: (u32, u32) = (1_000_000, 2_000_000);

/// Owner, type, data.
type Record = (Vec<u8>, Rtype, Vec<u8>);

/// The tree.
pub struct Tree {
    key: Ed25519KeyPair,
    /// Where zones begin besides the root; `None` = at every name.
    pub zones: Option<Vec<&'static str>>,
    /// Of these, those that are not signed.
    pub unsigned: Vec<&'static str>,
    /// Whether the signatures of addresses are wrong.
    pub spoilt: bool,
}

impl Tree {
    /// The root, `com.` and `good.com.`, and `plain.com.`, which is not signed.
    pub fn new() -> Tree {
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        Tree { key, zones: Some(vec!["com", "good.com", "plain.com"]), unsigned: vec!["plain.com"], spoilt: false }
    }

    fn dnskey(&self) -> Vec<u8> {
        [&[1, 1, 3, 15], self.key.public_key().as_ref()].concat()
    }

    fn tag(&self) -> [u8; 2] {
        let key = Dnskey::new(257, 3, 15.into(), self.key.public_key().as_ref()).unwrap();
        key.key_tag().to_be_bytes()
    }

    /// The data of a zone's DS record.
    pub fn ds(&self, zone: &[u8]) -> Vec<u8> {
        let sum = digest(&SHA256, &[zone, &self.dnskey()].concat());
        [&self.tag(), &[15, 2][..], sum.as_ref()].concat()
    }

    fn is_zone(&self, name: &[u8]) -> bool {
        let zones = self.zones.as_ref();
        name == [0] || zones.is_none_or(|zones| zones.iter().any(|zone| *name::from_text(zone).unwrap() == *name))
    }

    fn is_signed(&self, zone: &[u8]) -> bool {
        !self.unsigned.iter().any(|name| *name::from_text(name).unwrap() == *zone)
    }

    fn zone_of(&self, name: &[u8]) -> Vec<u8> {
        let mut zone = name.to_vec();
        while !self.is_zone(&zone) {
            zone = parent(&zone);
        }
        zone
    }

    fn signature(&self, zone: &[u8], (owner, rtype, data): &Record) -> Record {
        let labels = name::measure(owner).unwrap().1 as u8;
        let fixed = [&rtype.to_int().to_be_bytes()[..], &[15, labels, 0, 0, 1, 44], &TIMES.1.to_be_bytes()].concat();
        let head = [&fixed[..], &TIMES.0.to_be_bytes(), &self.tag(), zone].concat();
        let record = [owner, &rtype.to_int().to_be_bytes()[..], &[0, 1, 0, 0, 1, 44]].concat();
        let length = (data.len() as u16).to_be_bytes();
        let mut signature = self.key.sign(&[&head[..], &record, &length, data].concat()).as_ref().to_vec();
        if self.spoilt && *rtype == Rtype::A {
            signature[9] ^= 1;
        }
        (owner.clone(), Rtype::RRSIG, [head, signature].concat())
    }

    /// The answer to a query.
    pub fn answer(&self, query: &[u8]) -> Vec<u8> {
        let (length, _) = name::measure(&query[12..]).unwrap();
        let asked = query[12..12 + length].to_ascii_lowercase();
        let rtype = Rtype::from_int(u16::from_be_bytes([query[12 + length], query[13 + length]]));
        let at_cut = rtype == Rtype::DS && asked != [0];
        let zone = self.zone_of(&if at_cut { parent(&asked) } else { asked.clone() });
        let is_zone = self.is_zone(&asked);
        let nobody = asked.starts_with(b"\x06nobody");
        let found = match rtype {
            _ if nobody => None,
            Rtype::DNSKEY if asked == zone => Some(self.dnskey()),
            Rtype::DS if is_zone && self.is_signed(&asked) => Some(self.ds(&asked)),
            Rtype::A => Some(vec![198, 51, 100, 7]),
            _ => None,
        };
        let bits = |types: &[Rtype]| {
            let mut bits = domain::rdata::dnssec::RtypeBitmapBuilder::<Vec<u8>>::new_vec();
            types.iter().for_each(|rtype| bits.add(*rtype).unwrap());
            bits.finalize().as_slice().to_vec()
        };
        let (answer, authority): (Vec<Record>, Vec<Record>) = match found {
            Some(data) => (vec![(asked, rtype, data)], vec![]),
            None => {
                let soa = [b"\0\0".as_slice(), &[0; 16], &[0, 0, 1, 44]].concat();
                let (owner, types) = match rtype {
                    Rtype::DS if is_zone => (asked, vec![Rtype::NS]),
                    _ if nobody || rtype == Rtype::DS => (zone.clone(), vec![Rtype::NS, Rtype::SOA]),
                    _ => (asked, vec![Rtype::A]),
                };
                let nsec = [zone.as_slice(), &bits(&types)].concat();
                (vec![], vec![(zone.clone(), Rtype::SOA, soa), (owner, Rtype::NSEC, nsec)])
            }
        };
        let mut message = query[..12 + length + 4].to_vec();
        (message[2], message[3]) = (0x81, 0x80 | if nobody { 3 } else { 0 });
        message[6..12].fill(0);
        for (count, records) in [(7, answer), (9, authority)] {
            for record in records {
                write(&mut message, count, &record);
                if self.is_signed(&zone) {
                    write(&mut message, count, &self.signature(&zone, &record));
                }
            }
        }
        message
    }
}

fn write(message: &mut Vec<u8>, count: usize, (owner, rtype, data): &Record) {
    message[count] += 1;
    message.extend_from_slice(owner);
    message.extend_from_slice(&rtype.to_int().to_be_bytes());
    message.extend_from_slice(&[0, 1, 0, 0, 1, 44]);
    message.extend_from_slice(&(data.len() as u16).to_be_bytes());
    message.extend_from_slice(data);
}

fn parent(name: &[u8]) -> Vec<u8> {
    name[1 + usize::from(name[0])..].to_vec()
}
