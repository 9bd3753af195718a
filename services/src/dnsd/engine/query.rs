//! A client's query, checked once: what it asks, and how it wants to be answered.
use super::name;
use domain::base::ParsedName;
use domain::base::header::HeaderSection;
use domain::base::iana::{Class, Opcode, OptionCode, Rcode, Rtype};
use domain::base::record::RecordHeader;
use domain::dep::octseq::Parser;

/// Length of a message's header.
pub const HEADER: usize = 12;
/// The largest UDP answer we give or ask for: it crosses every link unfragmented (DNS flag day 2020).
pub const UDP_SIZE: u16 = 1232;
/// The largest UDP answer for a client without EDNS (RFC 1035 4.2.1).
const PLAIN_SIZE: usize = 512;
/// The largest answer over TCP.
const TCP_SIZE: usize = 65_535;

/// What a client's OPT record says (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// It wants DNSSEC records.
    pub dnssec_ok: bool,
}

/// A query whose every field was checked.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// The client's id, to be given back.
    pub id: u16,
    /// RD: it wants recursion.
    pub recursion: bool,
    /// CD: it does its own DNSSEC checks.
    pub unchecked: bool,
    /// AD: it wants to know whether the answer was proven (RFC 6840 5.7).
    pub authentic: bool,
    /// The name in wire form and the client's case.
    pub name: &'a [u8],
    /// The type asked for.
    pub rtype: Rtype,
    /// The class asked for.
    pub class: Class,
    /// Its EDNS, if it speaks it.
    pub edns: Option<Edns>,
    /// The largest answer it takes, in bytes.
    pub limit: usize,
}

impl Query<'_> {
    /// Whether the client is told that an answer was proven.
    pub fn wants_verdict(&self) -> bool {
        !self.unchecked && (self.authentic || self.edns.is_some_and(|edns| edns.dnssec_ok))
    }
}

/// What came in on port 53.
#[derive(Debug)]
pub enum Message<'a> {
    /// A query to answer.
    Query(Query<'a>),
    /// To be answered with this code.
    Wrong(Wrong<'a>, Rcode),
    /// Of an EDNS version that we do not know (RFC 6891 6.1.3).
    Version(Query<'a>),
    /// Nothing to answer: not a query, or not even a header.
    Silence,
}

/// The two ways to answer what is wrong: with its question when that could be read, else with its header only.
#[derive(Debug)]
pub enum Wrong<'a> {
    /// The question could be read.
    Query(Query<'a>),
    /// Only the first bytes could.
    Header(&'a [u8]),
}

/// Reads a message as it came over UDP or TCP.
pub fn parse(message: &[u8], tcp: bool) -> Message<'_> {
    let Some(start) = message.get(..HEADER) else { return Message::Silence };
    let section = HeaderSection::for_message_slice(message);
    let (header, counts) = (section.header(), section.counts());
    if header.qr() {
        return Message::Silence;
    }
    let wrong = |rcode| Message::Wrong(Wrong::Header(start), rcode);
    if header.opcode() != Opcode::QUERY {
        return wrong(Rcode::NOTIMP);
    }
    let few = counts.qdcount() == 1 && counts.ancount() <= 1 && counts.nscount() <= 1 && counts.arcount() <= 2;
    let Some((length, _)) = name::measure(&message[HEADER..]).filter(|_| few) else { return wrong(Rcode::FORMERR) };
    let (name, rest) = message[HEADER..].split_at(length);
    let &[t0, t1, c0, c1, ..] = rest else { return wrong(Rcode::FORMERR) };
    let mut query = Query {
        id: header.id(),
        recursion: header.rd(),
        unchecked: header.cd(),
        authentic: header.ad(),
        name,
        rtype: Rtype::from_int(u16::from_be_bytes([t0, t1])),
        class: Class::from_int(u16::from_be_bytes([c0, c1])),
        edns: None,
        limit: if tcp { TCP_SIZE } else { PLAIN_SIZE },
    };
    let before = usize::from(counts.ancount() + counts.nscount());
    match options(message, HEADER + length + 4, before, usize::from(counts.arcount())) {
        Err(Malformed) => Message::Wrong(Wrong::Query(query), Rcode::FORMERR),
        Ok(None) => check(query),
        Ok(Some(options)) => {
            query.edns = Some(Edns { dnssec_ok: options.dnssec_ok });
            if !tcp {
                query.limit = usize::from(options.size.clamp(PLAIN_SIZE as u16, UDP_SIZE));
            }
            if options.version == 0 { check(query) } else { Message::Version(query) }
        }
    }
}

// What may be asked at all.
fn check(query: Query<'_>) -> Message<'_> {
    let rcode = match (query.class, query.rtype) {
        (_, Rtype::OPT) => Rcode::FORMERR,
        // Transfers and key exchange want a server that has zones or keys.
        (_, Rtype::TKEY | Rtype::TSIG | Rtype::IXFR | Rtype::AXFR) => Rcode::REFUSED,
        (Class::IN, _) => return Message::Query(query),
        _ => Rcode::REFUSED,
    };
    Message::Wrong(Wrong::Query(query), rcode)
}

struct Options {
    size: u16,
    version: u8,
    dnssec_ok: bool,
}

struct Malformed;

impl<E: std::error::Error> From<E> for Malformed {
    fn from(_: E) -> Malformed {
        Malformed
    }
}

// Walks the records behind the question and reads the one OPT there may be.
fn options(message: &[u8], start: usize, before: usize, additional: usize) -> Result<Option<Options>, Malformed> {
    if before + additional == 0 {
        return Ok(None);
    }
    let mut parser = Parser::from_ref(message);
    parser.seek(start)?;
    let mut found = None;
    for number in 0..before + additional {
        let header = RecordHeader::<ParsedName<&[u8]>>::parse_ref(&mut parser)?;
        let mut data = parser.parse_parser(usize::from(header.rdlen()))?;
        if header.rtype() != Rtype::OPT {
            continue;
        }
        if found.is_some() || number < before || !header.owner().is_root() {
            return Err(Malformed);
        }
        while data.remaining() > 0 {
            let _code = OptionCode::from_int(data.parse_u16_be()?);
            let length = data.parse_u16_be()?;
            data.advance(usize::from(length))?;
        }
        let [_, version, flags, _] = header.ttl().as_secs().to_be_bytes();
        found = Some(Options { size: header.class().to_int(), version, dnssec_ok: flags & 0x80 != 0 });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(counts: [u8; 4], rest: &[u8]) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 0x01, 0x10];
        message.extend(counts.iter().flat_map(|count| [0, *count]));
        message.extend_from_slice(rest);
        message
    }

    const QUESTION: &[u8] = b"\x01a\x02De\x00\x00\x01\x00\x01";

    fn with(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn reads_a_plain_query() {
        let message = message([1, 0, 0, 0], QUESTION);
        let Message::Query(query) = parse(&message, false) else { panic!() };
        assert_eq!((query.id, query.recursion, query.unchecked, query.limit), (0x1234, true, true, 512));
        assert_eq!((query.name, query.rtype, query.class, query.edns), (&QUESTION[..6], Rtype::A, Class::IN, None));
    }

    #[test]
    fn reads_edns_and_keeps_its_size_within_reason() {
        for (asked, want) in [(0u16, 512), (511, 512), (800, 800), (4096, 1232)] {
            let opt = with(&[b"\0\0\x29", &asked.to_be_bytes(), b"\0\0\x80\0\0\x05\xff\xfe\0\x01x"]);
            let message = message([1, 0, 0, 1], &with(&[QUESTION, &opt]));
            let Message::Query(query) = parse(&message, false) else { panic!() };
            assert_eq!((query.edns, query.limit), (Some(Edns { dnssec_ok: true }), want));
            let Message::Query(query) = parse(&message, true) else { panic!() };
            assert_eq!(query.limit, 65_535);
        }
        let message = message([1, 0, 0, 1], &with(&[QUESTION, b"\0\0\x29\x04\xd0\0\x01\0\0\0\0"]));
        assert!(matches!(parse(&message, false), Message::Version(_)));
    }

    #[test]
    fn wrong_messages_get_the_answer_of_the_rfcs() {
        let rcode = |message: &[u8]| match parse(message, false) {
            Message::Wrong(_, rcode) => Some(rcode),
            _ => None,
        };
        let opt = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";
        let formerr = Some(Rcode::FORMERR);
        assert_eq!(rcode(&message([0, 0, 0, 0], b"")), formerr);
        assert_eq!(rcode(&message([2, 0, 0, 0], &with(&[QUESTION, QUESTION]))), formerr);
        assert_eq!(rcode(&message([1, 0, 0, 0], b"\xc0\x0c\0\x01\0\x01")), formerr);
        assert_eq!(rcode(&message([1, 0, 0, 0], &QUESTION[..8])), formerr);
        assert_eq!(rcode(&message([1, 0, 0, 1], QUESTION)), formerr);
        assert_eq!(rcode(&message([1, 0, 0, 2], &with(&[QUESTION, opt, opt]))), formerr);
        assert_eq!(rcode(&message([1, 1, 0, 0], &with(&[QUESTION, opt]))), formerr);
        assert_eq!(rcode(&message([1, 0, 0, 1], &with(&[QUESTION, b"\x01a", opt]))), formerr);
        assert_eq!(
            rcode(&message([1, 0, 0, 1], &with(&[QUESTION, b"\0\0\x29\x04\xd0\0\0\0\0\0\x03\0\x01\0"]))),
            formerr
        );
        assert_eq!(rcode(&message([1, 0, 0, 0], b"\0\0\x29\0\x01")), formerr);
        assert_eq!(rcode(&message([1, 0, 0, 0], b"\0\0\xfc\0\x01")), Some(Rcode::REFUSED));
        assert_eq!(rcode(&message([1, 0, 0, 0], b"\0\0\x10\0\x03")), Some(Rcode::REFUSED));
        let mut notify = message([1, 0, 0, 0], QUESTION);
        notify[2] = 0x20;
        assert_eq!(rcode(&notify), Some(Rcode::NOTIMP));
        let mut reply = message([1, 0, 0, 0], QUESTION);
        reply[2] |= 0x80;
        assert!(matches!(parse(&reply, false), Message::Silence));
        assert!(matches!(parse(&reply[..11], false), Message::Silence));
    }
}
