//! A message's answer and authority as RRsets with their signatures, every name lower-case and written out.
use super::super::query::HEADER;
use super::limits;
use super::signature::Signature;
use domain::base::ParsedName;
use domain::base::header::HeaderSection;
use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::record::RecordHeader;
use domain::dep::octseq::Parser;

/// Which part of the message a record stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The answer.
    Answer,
    /// What is said of it.
    Authority,
}

/// One record's place and time.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its type.
    pub rtype: Rtype,
    /// Its TTL, in seconds.
    pub ttl: u32,
    /// The RRset it belongs to, or signs; `None` for a signature of nothing that is here.
    pub set: Option<usize>,
    /// Where it stands.
    pub section: Section,
    /// Where its owner starts, and its data: start and length.
    pub place: (usize, usize, usize),
}

/// Records of one owner and type.
#[derive(Debug, Clone)]
pub struct Set {
    /// The owner, in wire form and lower-case.
    pub owner: Box<[u8]>,
    /// The type.
    pub rtype: Rtype,
    /// Where it stands.
    pub section: Section,
    /// The least TTL.
    pub ttl: u32,
    /// Each record's data in canonical form (RFC 4034 6.2).
    pub data: Vec<Box<[u8]>>,
    /// What signs it.
    pub signatures: Vec<Signature>,
}

/// A message.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// Its code.
    pub rcode: Rcode,
    /// Its records in their order, without the additional section.
    pub records: Vec<Record>,
    /// Its RRsets.
    pub sets: Vec<Set>,
}

impl Parsed {
    /// Reads a message that has one question; `None` when it cannot be read or has more RRsets than anybody needs.
    pub fn of(message: &[u8]) -> Option<Parsed> {
        if message.len() < HEADER {
            return None;
        }
        let head = HeaderSection::for_message_slice(message);
        let answers = usize::from(head.counts().ancount());
        let all = answers + usize::from(head.counts().nscount());
        let (length, _) = super::super::name::measure(message.get(HEADER..)?)?;
        let mut parser = Parser::from_ref(message);
        parser.seek(HEADER + length + 4).ok()?;
        let mut parsed = Parsed { rcode: head.header().rcode(), records: Vec::new(), sets: Vec::new() };
        let mut signatures = Vec::new();
        for number in 0..all {
            let start = parser.pos();
            let header = RecordHeader::<ParsedName<&[u8]>>::parse_ref(&mut parser).ok()?;
            let (at, length) = (parser.pos(), usize::from(header.rdlen()));
            parser.advance(length).ok()?;
            if header.class() != Class::IN {
                return None;
            }
            let section = if number < answers { Section::Answer } else { Section::Authority };
            let (rtype, ttl) = (header.rtype(), header.ttl().as_secs());
            let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
            let mut owner = Vec::new();
            write_name(&mut owner, header.owner(), true);
            let (owner, data) = (owner.into_boxed_slice(), expand(message, at, length, rtype, true)?);
            let record = Record { rtype, ttl, set: None, section, place: (start, at, length) };
            if rtype == Rtype::RRSIG {
                signatures.push((parsed.records.len(), owner, section, Signature::parse(&data)?));
                parsed.records.push(record);
                continue;
            }
            let set = parsed.position(&owner, rtype, section).unwrap_or(parsed.sets.len());
            match parsed.sets.get_mut(set) {
                Some(known) => {
                    known.data.push(data.into_boxed_slice());
                    known.ttl = known.ttl.min(ttl);
                }
                None if set >= limits::SETS => return None,
                None => {
                    let data = vec![data.into_boxed_slice()];
                    parsed.sets.push(Set { owner, rtype, section, ttl, data, signatures: Vec::new() });
                }
            }
            parsed.records.push(Record { set: Some(set), ..record });
        }
        for (at, owner, section, signature) in signatures {
            let set = parsed.position(&owner, signature.covered, section);
            if let Some(record) = parsed.records.get_mut(at) {
                record.set = set;
            }
            if let Some(set) = set.and_then(|set| parsed.sets.get_mut(set)) {
                set.signatures.push(signature);
            }
        }
        Some(parsed)
    }

    fn position(&self, owner: &[u8], rtype: Rtype, section: Section) -> Option<usize> {
        self.sets.iter().position(|set| set.rtype == rtype && set.section == section && *set.owner == *owner)
    }

    /// The RRset of an owner and type in the answer.
    pub fn answer(&self, owner: &[u8], rtype: Rtype) -> Option<(usize, &Set)> {
        let at = self.position(owner, rtype, Section::Answer)?;
        Some((at, self.sets.get(at)?))
    }

    /// The RRsets of the authority section.
    pub fn authority(&self) -> impl Iterator<Item = (usize, &Set)> {
        self.sets.iter().enumerate().filter(|(_, set)| set.section == Section::Authority)
    }
}

/// Appends a name without compression.
pub fn write_name(out: &mut Vec<u8>, name: &ParsedName<&[u8]>, lower: bool) {
    for label in name.iter() {
        // A label has 63 bytes at most.
        out.push(label.len() as u8);
        let start = out.len();
        out.extend_from_slice(label.as_slice());
        if lower {
            out[start..].make_ascii_lowercase();
        }
    }
}

/// A record's data with its names written out, and lower-case where RFC 4034 6.2 (with RFC 6840 5.1) wants it.
pub fn expand(message: &[u8], start: usize, length: usize, rtype: Rtype, lower: bool) -> Option<Vec<u8>> {
    let within = message.get(..start + length)?;
    // Bytes before the names, and how many names.
    let (before, names) = match rtype {
        Rtype::NS | Rtype::MD | Rtype::MF | Rtype::CNAME | Rtype::MB | Rtype::MG | Rtype::MR | Rtype::PTR => (0, 1),
        Rtype::DNAME | Rtype::NXT => (0, 1),
        Rtype::SOA | Rtype::MINFO | Rtype::RP => (0, 2),
        Rtype::MX | Rtype::AFSDB | Rtype::RT | Rtype::KX => (2, 1),
        Rtype::PX => (2, 2),
        Rtype::SRV => (6, 1),
        Rtype::RRSIG | Rtype::SIG => (18, 1),
        Rtype::NAPTR => (naptr_head(within.get(start..)?)?, 1),
        _ => return Some(within.get(start..)?.to_vec()),
    };
    let mut parser = Parser::from_ref(within);
    parser.seek(start).ok()?;
    let mut data = parser.parse_octets(before).ok()?.to_vec();
    for _ in 0..names {
        write_name(&mut data, &ParsedName::parse_ref(&mut parser).ok()?, lower);
    }
    data.extend_from_slice(within.get(parser.pos()..)?);
    Some(data)
}

// Order, preference and three texts.
fn naptr_head(data: &[u8]) -> Option<usize> {
    let mut at = 4;
    for _ in 0..3 {
        at += 1 + usize::from(*data.get(at)?);
    }
    Some(at)
}

/// A name without its first label; the root's is the root.
pub fn parent(name: &[u8]) -> &[u8] {
    let length = name.first().copied().map_or(0, usize::from);
    if length == 0 { name } else { name.get(1 + length..).unwrap_or_default() }
}

/// How many labels a name has, without the root.
pub fn labels(name: &[u8]) -> usize {
    super::super::name::measure(name).map_or(0, |(_, labels)| labels)
}

/// The name of its last `count` labels.
pub fn suffix(name: &[u8], count: usize) -> &[u8] {
    (count..labels(name)).fold(name, |name, _| parent(name))
}

/// The wildcard right below a name; `None` when that would be too long.
pub fn wildcard(name: &[u8]) -> Option<Vec<u8>> {
    let wildcard = [b"\x01*", name].concat();
    (wildcard.len() <= super::super::name::LONGEST).then_some(wildcard)
}
