//! Answers as clients get them, written into a buffer that is used again and again.
use super::local::{Apex, Found};
use super::query::{HEADER, Query, UDP_SIZE};
use super::stored::Stored;
use crate::perm::blocklists::Answer;
use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::message_builder::{MessageBuilder, PushError, StaticCompressor};
use domain::base::{Name, Question, Serial, Ttl};
use domain::rdata::{A, Aaaa, Ns, Ptr, Soa};
use std::net::{Ipv4Addr, Ipv6Addr};

/// An OPT record without options, and one with an extended error (RFC 8914).
const OPT: usize = 11;
const OPT_WITH_NOTE: usize = OPT + 6;
/// The flag byte of every reply: QR, and the query's RD.
const QR: u8 = 0x80;
const AA: u8 = 0x04;
const TC: u8 = 0x02;
const RD: u8 = 0x01;
/// The second one: RA, the query's CD, and AD: all of it was proven.
const RA: u8 = 0x80;
const AD: u8 = 0x20;
const CD: u8 = 0x10;
/// TTL of an answer that is given although it has run out (RFC 8767 4), in seconds.
const STALE_TTL: u32 = 30;
/// TTL of an answer that a list has blocked, in seconds: a person may take it back at any moment.
const BLOCKED_TTL: u32 = 10;

/// Why an answer is what it is, for people who look (RFC 8914, Extended DNS Error).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Note {
    /// All of a zone's keys have algorithms that cannot be checked.
    UnsupportedAlgorithm = 1,
    /// All of a delegation's digests are of kinds that cannot be checked.
    UnsupportedDsDigest = 2,
    /// The answer has run out.
    Stale = 3,
    /// To judge it would have been too much work.
    Indeterminate = 5,
    /// It is not what its zone has published.
    Bogus = 6,
    /// Its signature has run out.
    SignatureExpired = 7,
    /// Its signature does not hold yet.
    SignatureNotYetValid = 8,
    /// No key is the one that its parent, or its signature, names.
    DnskeyMissing = 9,
    /// It should be signed.
    RrsigsMissing = 10,
    /// None of the zone's keys is a zone's.
    NoZoneKeyBitSet = 11,
    /// Nothing proves that it does not exist.
    NsecMissing = 12,
    /// A block list has the name.
    Blocked = 15,
    /// The client has asked too often.
    Prohibited = 18,
    /// Nobody could be asked, or nobody had an answer.
    NoReachableAuthority = 22,
    /// The zone hashes its names more often than anybody should (RFC 9276).
    UnsupportedIterations = 27,
}

impl Note {
    /// Of the ways in which several signatures are wrong the one of the highest rank is told.
    pub fn rank(self) -> u8 {
        match self {
            Note::RrsigsMissing => 0,
            Note::DnskeyMissing => 1,
            Note::SignatureNotYetValid => 2,
            Note::SignatureExpired => 3,
            _ => 4,
        }
    }

    /// In words, for the log.
    pub fn words(self) -> &'static str {
        match self {
            Note::UnsupportedAlgorithm => "its algorithms are unknown",
            Note::UnsupportedDsDigest => "its digests are unknown",
            Note::Stale => "it has run out",
            Note::Indeterminate => "too much work to judge",
            Note::Bogus => "a signature or a proof does not hold",
            Note::SignatureExpired => "its signature has expired",
            Note::SignatureNotYetValid => "its signature is not valid yet",
            Note::DnskeyMissing => "a key is missing",
            Note::RrsigsMissing => "signatures are missing",
            Note::NoZoneKeyBitSet => "no key is a zone's",
            Note::NsecMissing => "nothing proves that it does not exist",
            Note::Blocked => "a block list has it",
            Note::Prohibited => "prohibited",
            Note::NoReachableAuthority => "its keys cannot be asked for",
            Note::UnsupportedIterations => "too many NSEC3 iterations",
        }
    }
}

/// How old an answer of the cache is.
#[derive(Debug, Clone, Copy)]
pub enum Age {
    /// Its TTLs run for so many seconds already.
    Seconds(u32),
    /// They have run out; it is given because nobody can be asked.
    Stale,
}

/// Answers with a code and, of the message, only what its header says.
pub fn header_only(out: &mut Vec<u8>, start: &[u8], rcode: Rcode) {
    out.clear();
    let &[a, b, flags, ..] = start else { return };
    out.extend_from_slice(&[a, b, QR | flags & 0x78 | flags & RD, RA | rcode.to_int() & 0xf]);
    out.resize(HEADER, 0);
}

/// Answers with a code and no records.
pub fn empty(out: &mut Vec<u8>, query: &Query<'_>, rcode: Rcode, note: Option<Note>) {
    bare(out, query, 0, rcode.to_int(), 0, note);
}

/// Answers that the EDNS version is unknown (BADVERS is 16: its upper bits go into the OPT record).
pub fn bad_version(out: &mut Vec<u8>, query: &Query<'_>) {
    bare(out, query, 0, 0, 1, None);
}

// Header, question and OPT.
fn bare(out: &mut Vec<u8>, query: &Query<'_>, flags: u8, rcode: u8, extended: u8, note: Option<Note>) {
    out.clear();
    let [a, b] = query.id.to_be_bytes();
    out.extend_from_slice(&[a, b, first(query) | flags, second(query) | rcode & 0xf, 0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(query.name);
    out.extend_from_slice(&query.rtype.to_int().to_be_bytes());
    out.extend_from_slice(&query.class.to_int().to_be_bytes());
    opt(out, query, extended, note);
}

fn first(query: &Query<'_>) -> u8 {
    QR | if query.recursion { RD } else { 0 }
}

fn second(query: &Query<'_>) -> u8 {
    RA | if query.unchecked { CD } else { 0 }
}

// Appends our OPT when the client sent one, and counts it.
fn opt(out: &mut Vec<u8>, query: &Query<'_>, extended: u8, note: Option<Note>) {
    let Some(edns) = query.edns else { return };
    let [s, t] = UDP_SIZE.to_be_bytes();
    let flags = if edns.dnssec_ok { 0x80 } else { 0 };
    out.extend_from_slice(&[0, 0, 0x29, s, t, extended, 0, flags, 0, 0, if note.is_some() { 6 } else { 0 }]);
    if let Some(note) = note {
        let [h, l] = (note as u16).to_be_bytes();
        out.extend_from_slice(&[0, 15, 0, 2, h, l]);
    }
    if let Some(&mut [ref mut high, ref mut low]) = out.get_mut(10..12) {
        let [h, l] = (u16::from_be_bytes([*high, *low]).saturating_add(1)).to_be_bytes();
        (*high, *low) = (h, l);
    }
}

/// Answers from the cache, or with what has just come in.
pub fn stored(out: &mut Vec<u8>, query: &Query<'_>, stored: &Stored, age: Age) {
    let message = stored.message();
    let note = match age {
        _ if stored.is_failure() => stored.note().or(Some(Note::NoReachableAuthority)),
        Age::Stale => Some(Note::Stale),
        Age::Seconds(_) => stored.note(),
    };
    let tail = if note.is_some() { OPT_WITH_NOTE } else { OPT };
    let room = query.limit.saturating_sub(if query.edns.is_some() { tail } else { 0 });
    // Without its additional section an answer is still whole; without more it is not (RFC 2181 9).
    let end = if message.len() <= room { message.len() } else { stored.additional() };
    let question = HEADER + query.name.len();
    if end > room || message.len() < question {
        return bare(out, query, TC, message.get(3).copied().unwrap_or_default(), 0, None);
    }
    out.clear();
    out.extend_from_slice(message.get(..end).unwrap_or(message));
    let [a, b] = query.id.to_be_bytes();
    // Whether it was proven interests who says so (RFC 6840 5.7, 5.8); what has run out is proven no more.
    let seen = if query.wants_verdict() && matches!(age, Age::Seconds(_)) { AD | 0xf } else { 0xf };
    let head = [a, b, first(query), second(query) | message.get(3).copied().unwrap_or_default() & seen];
    patch(out, 0, &head);
    // The same name, in the case in which this client spelt it.
    patch(out, HEADER, query.name);
    if end < message.len() {
        patch(out, 10, &[0, 0]);
    }
    for place in stored.ttls() {
        let Some(field) = out.get_mut(place..place + 4).and_then(|field| field.first_chunk_mut::<4>()) else { break };
        *field = match age {
            Age::Seconds(0) => break,
            Age::Seconds(age) => u32::from_be_bytes(*field).saturating_sub(age),
            Age::Stale => STALE_TTL,
        }
        .to_be_bytes();
    }
    opt(out, query, 0, note);
}

fn patch(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Answers with what the house knows. Gives false when it knows nothing.
pub fn local(out: &mut Vec<u8>, query: &Query<'_>, found: &Found<'_>) -> bool {
    if *found == Found::Elsewhere {
        return false;
    }
    known(out, query, found, None);
    true
}

/// Answers as if there were nothing under a blocked name.
pub fn blocked(out: &mut Vec<u8>, query: &Query<'_>, how: Answer) {
    let apex = Apex { at: 0, ttl: BLOCKED_TTL };
    let note = Some(Note::Blocked);
    match (how, query.rtype) {
        (Answer::Refused, _) => empty(out, query, Rcode::REFUSED, note),
        (Answer::NxDomain, _) => known(out, query, &Found::NxDomain(apex), note),
        (Answer::Zero, Rtype::A) => {
            known(out, query, &Found::Addresses(&[Ipv4Addr::UNSPECIFIED], &[], BLOCKED_TTL), note);
        }
        (Answer::Zero, Rtype::AAAA) => {
            known(out, query, &Found::Addresses(&[], &[Ipv6Addr::UNSPECIFIED], BLOCKED_TTL), note);
        }
        (Answer::Zero, _) => known(out, query, &Found::NoData(apex), note),
    }
}

fn known(out: &mut Vec<u8>, query: &Query<'_>, found: &Found<'_>, note: Option<Note>) {
    let tail = if note.is_some() { OPT_WITH_NOTE } else { OPT };
    if write_local(out, query, found).is_none() {
        // Cannot come from a checked name; an answer all the same.
        empty(out, query, Rcode::SERVFAIL, None);
    } else if out.len() + if query.edns.is_some() { tail } else { 0 } > query.limit {
        bare(out, query, AA | TC, 0, 0, note);
    } else {
        opt(out, query, 0, note);
    }
}

fn write_local(out: &mut Vec<u8>, query: &Query<'_>, found: &Found<'_>) -> Option<()> {
    let name = Name::from_slice(query.name).ok()?;
    let mut builder = MessageBuilder::from_target(StaticCompressor::new(std::mem::take(out))).ok()?;
    let header = builder.header_mut();
    header.set_id(query.id);
    header.set_qr(true);
    header.set_aa(true);
    header.set_ra(true);
    header.set_rd(query.recursion);
    header.set_cd(query.unchecked);
    if matches!(found, Found::NxDomain(_)) {
        header.set_rcode(Rcode::NXDOMAIN);
    }
    let mut question = builder.question();
    question.push(Question::new(name, query.rtype, query.class)).ok()?;
    let mut answer = question.answer();
    let soa = |apex: &Apex| -> Option<_> {
        let zone = Name::from_slice(query.name.get(apex.at..)?).ok()?;
        let person = Name::from_slice(b"\x06nobody\x07invalid\x00").ok()?;
        let seconds = Ttl::from_secs;
        let (refresh, retry, expire) = (seconds(3_600), seconds(1_200), seconds(604_800));
        let ttl = seconds(apex.ttl);
        Some((zone, Class::IN, ttl, Soa::new(zone, person, Serial(1), refresh, retry, expire, ttl)))
    };
    let pushed: Result<(), PushError> = match found {
        Found::Addresses(ipv4, ipv6, ttl) => {
            let ttl = Ttl::from_secs(*ttl);
            let mut each = ipv4.iter().map(|ip| answer.push((name, Class::IN, ttl, A::new(*ip))));
            each.find(Result::is_err).unwrap_or(Ok(())).and_then(|()| {
                let mut each = ipv6.iter().map(|ip| answer.push((name, Class::IN, ttl, Aaaa::new(*ip))));
                each.find(Result::is_err).unwrap_or(Ok(()))
            })
        }
        Found::Ptr(target, ttl) => {
            answer.push((name, Class::IN, Ttl::from_secs(*ttl), Ptr::new(Name::from_slice(target).ok()?)))
        }
        Found::Soa(apex) => answer.push(soa(apex)?),
        Found::Ns(apex) => {
            let zone = Name::from_slice(query.name.get(apex.at..)?).ok()?;
            answer.push((zone, Class::IN, Ttl::from_secs(apex.ttl), Ns::new(zone)))
        }
        Found::NoData(apex) | Found::NxDomain(apex) => {
            let mut authority = answer.authority();
            authority.push(soa(apex)?).ok()?;
            *out = authority.finish().into_target();
            return Some(());
        }
        Found::Elsewhere => Ok(()),
    };
    pushed.ok()?;
    *out = answer.finish().into_target();
    Some(())
}

/// In a key's last byte: the client wants records of DNSSEC, and does its own checks.
pub const DNSSEC_OK: u8 = 1;
/// See `DNSSEC_OK`.
pub const UNCHECKED: u8 = 2;
/// The rest of a key behind the name: type, class, and whether DNSSEC records and unchecked data are wanted.
pub fn key_tail(query: &Query<'_>) -> [u8; 5] {
    let [a, b] = query.rtype.to_int().to_be_bytes();
    let [c, d] = query.class.to_int().to_be_bytes();
    let dnssec_ok = query.edns.is_some_and(|edns| edns.dnssec_ok);
    [a, b, c, d, u8::from(dnssec_ok) | u8::from(query.unchecked) << 1]
}
