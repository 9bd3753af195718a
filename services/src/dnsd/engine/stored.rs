//! An upstream's reply: compared with what was asked, checked record by record once, and kept in wire form, so that
//! giving it to a client is a copy with id, flags, name and TTLs put in place.
use super::answer::Note;
use super::query::HEADER;
use super::{name, rebind};
use domain::base::ParsedName;
use domain::base::header::HeaderSection;
use domain::base::iana::{Opcode, Rcode, Rtype};
use domain::base::record::RecordHeader;
use domain::dep::octseq::Parser;

/// No answer is kept longer, in seconds (a day).
const LONGEST_TTL: u32 = 86_400;
/// More aliases than this lead nowhere.
const MOST_ALIASES: usize = 32;
/// No absence is kept longer, in seconds (RFC 2308 5 wants one to three hours at most).
const LONGEST_ABSENCE: u32 = 3_600;

/// In a header: all of the message was proven.
const AUTHENTIC: u8 = 0x20;

/// What a reply is worth.
#[derive(Debug)]
pub enum Reply {
    /// Not a reply to this question: a mistake or a forgery.
    Foreign,
    /// A reply to this question, spelt with other capitals: a forgery, or from one that does not keep them.
    OtherCase,
    /// Cut off: to be asked again over TCP.
    Truncated,
    /// The upstream cannot help; the code says why.
    Failed(Rcode),
    /// An answer that names an address of the house, where it must not.
    IntoTheHouse,
    /// An answer, and how long it may be kept, in seconds (0 = not at all).
    Answer(Stored, u32),
}

/// An answer in wire form under the key it is found by: one allocation.
#[derive(Debug)]
pub struct Stored {
    /// Key, then the TTLs' places (two bytes each), then the message without OPT.
    bytes: Box<[u8]>,
    key: u16,
    ttls: u16,
    additional: u16,
    note: Option<Note>,
}

impl Stored {
    /// The key it is found by.
    pub fn key(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.key)).unwrap_or_default()
    }

    /// The message, without OPT.
    pub fn message(&self) -> &[u8] {
        self.bytes.get(usize::from(self.key) + 2 * usize::from(self.ttls)..).unwrap_or_default()
    }

    /// Where the TTLs stand within the message.
    pub fn ttls(&self) -> impl Iterator<Item = usize> + '_ {
        let start = usize::from(self.key);
        let places = self.bytes.get(start..start + 2 * usize::from(self.ttls)).unwrap_or_default();
        places.chunks_exact(2).map(|place| usize::from(u16::from_be_bytes([place[0], place[1]])))
    }

    /// Where the additional section starts within the message: what a client can do without.
    pub fn additional(&self) -> usize {
        usize::from(self.additional)
    }

    /// Nobody had an answer.
    pub fn is_failure(&self) -> bool {
        self.message().get(3).is_some_and(|flags| flags & 0xf == Rcode::SERVFAIL.to_int())
    }

    /// What is to be said of it.
    pub fn note(&self) -> Option<Note> {
        self.note
    }

    /// The same, with something to be said of it.
    #[must_use]
    pub fn with_note(self, note: Note) -> Stored {
        Stored { note: Some(note), ..self }
    }

    /// All of it was proven: its header says so (AD).
    pub fn set_secure(&mut self) {
        let flags = usize::from(self.key) + 2 * usize::from(self.ttls) + 3;
        self.bytes.get_mut(flags).into_iter().for_each(|flags| *flags |= AUTHENTIC);
    }

    /// The names that the answer's aliases lead to, in wire form and lower case.
    pub fn aliases(&self, mut each: impl FnMut(&[u8])) {
        let message = self.message();
        if message.len() < HEADER {
            return;
        }
        let counts = HeaderSection::for_message_slice(message).counts();
        let question = message.get(HEADER..).and_then(name::measure).map_or(0, |(length, _)| length + 4);
        let mut parser = Parser::from_ref(message);
        if parser.seek(HEADER + question).is_err() {
            return;
        }
        for _ in 0..counts.ancount() {
            let Ok(header) = RecordHeader::<ParsedName<&[u8]>>::parse_ref(&mut parser) else { return };
            let Ok(mut data) = parser.parse_parser(usize::from(header.rdlen())) else { return };
            if header.rtype() != Rtype::CNAME {
                continue;
            }
            let Ok(target) = ParsedName::parse_ref(&mut data) else { return };
            let mut wire = [0; name::LONGEST];
            let mut length = 0;
            for label in target.iter() {
                let end = length + 1 + label.len();
                let Some(place) = wire.get_mut(length..end) else { return };
                place[0] = label.len() as u8;
                place[1..].copy_from_slice(label.as_slice());
                length = end;
            }
            let name = wire.get_mut(..length).unwrap_or_default();
            name.make_ascii_lowercase();
            each(name);
        }
    }

    /// Memory it takes, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Counts its TTLs down.
    pub fn age(&mut self, seconds: u32) {
        let (key, ttls) = (usize::from(self.key), usize::from(self.ttls));
        for number in 0..ttls {
            let place = self.bytes.get(key + 2 * number..key + 2 * number + 2).map(|place| [place[0], place[1]]);
            let at = key + 2 * ttls + usize::from(place.map_or(0, u16::from_be_bytes));
            if let Some(field) = self.bytes.get_mut(at..at + 4).and_then(|field| field.first_chunk_mut::<4>()) {
                *field = u32::from_be_bytes(*field).saturating_sub(seconds).to_be_bytes();
            }
        }
    }

    /// An answer that has a question and a code only; `question` is its name, type and class in wire form.
    pub fn empty(key: &[u8], question: &[u8], rcode: Rcode) -> Stored {
        let message = [&[0, 0, 0x80, rcode.to_int(), 0, 1, 0, 0, 0, 0, 0, 0], question].concat();
        Stored::new(key, &[], &message, message.len())
    }

    fn new(key: &[u8], ttls: &[u16], message: &[u8], additional: usize) -> Stored {
        let mut bytes = Vec::with_capacity(key.len() + 2 * ttls.len() + message.len());
        bytes.extend_from_slice(key);
        bytes.extend(ttls.iter().flat_map(|place| place.to_be_bytes()));
        bytes.extend_from_slice(message);
        // Keys have 260 bytes at most and messages 65,535, so that neither count can be too large.
        let (key, ttls, additional) = (key.len() as u16, ttls.len() as u16, additional as u16);
        Stored { bytes: bytes.into_boxed_slice(), key, ttls, additional, note: None }
    }
}

/// What a reply has to be a reply to.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The query's id.
    pub id: u16,
    /// Its name, as it was spelt, type and class in wire form.
    pub question: &'a [u8],
    /// Whether an answer with an address of the house is refused.
    pub guarded: bool,
}

/// Judges a reply; a `strict` one has to spell the question as it was spelt. What is kept goes under `key`.
pub fn judge(message: &[u8], wanted: &Wanted<'_>, strict: bool, key: &[u8]) -> Reply {
    let Wanted { id, question, guarded } = *wanted;
    if message.len() < HEADER || message.len() > usize::from(u16::MAX) {
        return Reply::Foreign;
    }
    let section = HeaderSection::for_message_slice(message);
    let (header, counts) = (section.header(), section.counts());
    let rcode = header.rcode();
    if header.id() != id || !header.qr() || header.opcode() != Opcode::QUERY {
        return Reply::Foreign;
    }
    if counts.qdcount() == 0 && rcode != Rcode::NOERROR {
        // Some servers repeat no question when they could not read it.
        return Reply::Failed(rcode);
    }
    let theirs = message.get(HEADER..HEADER + question.len()).unwrap_or_default();
    if counts.qdcount() != 1 || !theirs.eq_ignore_ascii_case(question) {
        return Reply::Foreign;
    }
    if strict && theirs != question {
        return Reply::OtherCase;
    }
    if header.tc() {
        return Reply::Truncated;
    }
    // YXDOMAIN is an answer: a DNAME led to a name that is too long.
    if !matches!(rcode, Rcode::NOERROR | Rcode::NXDOMAIN | Rcode::YXDOMAIN) {
        return Reply::Failed(rcode);
    }
    match Walk::over(message, question) {
        Some(walk) if walk.extended => Reply::Failed(Rcode::NOTIMP),
        Some(walk) if walk.turns_round(message) => Reply::Failed(Rcode::SERVFAIL),
        Some(walk) if guarded && walk.into_the_house => Reply::IntoTheHouse,
        Some(walk) => walk.keep(message, rcode, key),
        None => Reply::Failed(Rcode::FORMERR),
    }
}

// What one pass over the records finds.
struct Walk {
    ttls: Vec<u16>,
    // The least TTL of all records.
    least: u32,
    // A record of the type asked for is there.
    has_type: bool,
    // The SOA's TTL and its place, already the least of TTL and minimum.
    absence: Option<(u32, u16)>,
    additional: usize,
    end: usize,
    kept_additional: u16,
    // The OPT record carries the upper bits of an error.
    extended: bool,
    // A record of the answer names an address of the house.
    into_the_house: bool,
    // Where the answer's aliases stand: owner and data.
    aliases: Vec<(u16, u16)>,
}

impl Walk {
    fn over(message: &[u8], question: &[u8]) -> Option<Walk> {
        let counts = HeaderSection::for_message_slice(message).counts();
        let (answers, authorities) = (usize::from(counts.ancount()), usize::from(counts.nscount()));
        let all = answers + authorities + usize::from(counts.arcount());
        let tail = question.len().checked_sub(4)?;
        let asked = Rtype::from_int(u16::from_be_bytes([*question.get(tail)?, *question.get(tail + 1)?]));
        let mut parser = Parser::from_ref(message);
        parser.seek(HEADER + question.len()).ok()?;
        // A record has eleven bytes at least: a header that promises more is not believed.
        let mut walk = Walk {
            ttls: Vec::with_capacity(all.min(message.len() / 11)),
            least: LONGEST_TTL,
            has_type: asked == Rtype::ANY && answers > 0,
            absence: None,
            additional: message.len(),
            end: message.len(),
            kept_additional: 0,
            extended: false,
            into_the_house: false,
            aliases: Vec::new(),
        };
        // Owners that lead elsewhere than to the question.
        let mut owners = Vec::new();
        for number in 0..all {
            let start = parser.pos();
            if number == answers + authorities {
                walk.additional = start;
            }
            let header = RecordHeader::<ParsedName<&[u8]>>::parse_ref(&mut parser).ok()?;
            // Behind the TTL stands the length of the data, two bytes.
            let place = u16::try_from(parser.pos() - 6).ok()?;
            let data = parser.pos();
            parser.advance(usize::from(header.rdlen())).ok()?;
            if number >= answers + authorities {
                if matches!(header.rtype(), Rtype::OPT | Rtype::TSIG) {
                    // It speaks of this hop only. It is the last by custom; what comes after it is not needed.
                    walk.extended = header.rtype() == Rtype::OPT && header.ttl().as_secs() >> 24 != 0;
                    walk.end = start;
                    break;
                }
                walk.kept_additional += 1;
            }
            if message.get(start..start + 2) != Some(&[0xc0, HEADER as u8]) {
                owners.push(start);
            }
            // A TTL with the highest bit set is zero (RFC 2181 8).
            let ttl = header.ttl().as_secs();
            let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl.min(LONGEST_TTL) };
            if number < answers && header.rtype() == Rtype::CNAME {
                walk.aliases.push((start as u16, data as u16));
            }
            if number < answers {
                let data = message.get(data..data + usize::from(header.rdlen())).unwrap_or_default();
                walk.into_the_house |= rebind::leads_into_the_house(header.rtype(), data);
            }
            walk.has_type |= number < answers && header.rtype() == asked;
            if number >= answers && header.rtype() == Rtype::SOA && walk.absence.is_none() {
                let minimum = soa_minimum(message, data, usize::from(header.rdlen()))?;
                walk.absence = Some((ttl.min(minimum).min(LONGEST_ABSENCE), place));
            }
            walk.least = walk.least.min(ttl);
            walk.ttls.push(place);
        }
        if all == answers + authorities {
            walk.end = parser.pos();
            walk.additional = walk.end;
        } else if walk.end == message.len() {
            walk.end = parser.pos();
        }
        owners.into_iter().all(|start| keeps_clear(message, start, &walk.ttls)).then_some(walk)
    }

    // Whether aliases lead to where they began, or on and on, and to nothing that was asked for.
    fn turns_round(&self, message: &[u8]) -> bool {
        if self.has_type || self.aliases.is_empty() {
            return false;
        }
        if self.aliases.len() > MOST_ALIASES {
            return true;
        }
        let name = |at: usize| -> Option<ParsedName<&[u8]>> {
            let mut parser = Parser::from_ref(message);
            parser.seek(at).ok()?;
            ParsedName::parse_ref(&mut parser).ok()
        };
        let mut at = name(HEADER);
        for _ in 0..=self.aliases.len() {
            let next = self.aliases.iter().find(|(owner, _)| name(usize::from(*owner)) == at);
            let Some((_, target)) = next else { return false };
            at = name(usize::from(*target));
        }
        true
    }

    fn keep(self, message: &[u8], rcode: Rcode, key: &[u8]) -> Reply {
        let mut message = message.get(..self.end).unwrap_or(message).to_vec();
        if let Some(count) = message.get_mut(10..12) {
            count.copy_from_slice(&self.kept_additional.to_be_bytes());
        }
        // What an upstream says of proofs is only its word.
        message.get_mut(3).into_iter().for_each(|flags| *flags &= !AUTHENTIC);
        for place in &self.ttls {
            clamp(&mut message, usize::from(*place), LONGEST_TTL);
        }
        let negative = rcode == Rcode::NXDOMAIN || !self.has_type;
        let life = match (rcode, negative, self.absence) {
            (Rcode::YXDOMAIN, ..) => 0,
            (_, false, _) => self.least,
            (_, true, Some((absence, place))) => {
                clamp(&mut message, usize::from(place), absence);
                self.least.min(absence)
            }
            // An absence without SOA is not to be kept (RFC 2308 5).
            (_, true, None) => 0,
        };
        Reply::Answer(Stored::new(key, &self.ttls, &message, self.additional.min(self.end)), life)
    }
}

// Whether a name touches none of the bytes that change from client to client: header and TTLs. Pointers of honest
// servers never do; one that did would make a name out of our own numbers. `ttls` ascend.
fn keeps_clear(message: &[u8], start: usize, ttls: &[u16]) -> bool {
    let mut at = start;
    // More labels and pointers than this are no name; `domain` has followed it before.
    for _ in 0..=2 * name::LONGEST {
        let &[first, ref rest @ ..] = message.get(at..).unwrap_or_default() else { return false };
        let (length, next) = match (first, rest.first()) {
            (0, _) => (1, None),
            (0xc0.., Some(low)) => (2, Some(usize::from(first & 0x3f) << 8 | usize::from(*low))),
            _ => (1 + usize::from(first), Some(at + 1 + usize::from(first))),
        };
        let later = ttls.partition_point(|place| usize::from(*place) + 4 <= at);
        if at < HEADER || ttls.get(later).is_some_and(|place| usize::from(*place) < at + length) {
            return false;
        }
        match next {
            None => return true,
            Some(next) => at = next,
        }
    }
    false
}

fn clamp(message: &mut [u8], place: usize, most: u32) {
    let Some(field) = message.get_mut(place..place + 4).and_then(|field| field.first_chunk_mut::<4>()) else { return };
    let ttl = u32::from_be_bytes(*field);
    let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl.min(most) };
    *field = ttl.to_be_bytes();
}

// The last of an SOA's five numbers.
fn soa_minimum(message: &[u8], start: usize, length: usize) -> Option<u32> {
    let mut parser = Parser::from_ref(message.get(..start + length)?);
    parser.seek(start).ok()?;
    ParsedName::<&[u8]>::parse_ref(&mut parser).ok()?;
    ParsedName::<&[u8]>::parse_ref(&mut parser).ok()?;
    parser.advance(16).ok()?;
    parser.parse_u32_be().ok()
}
