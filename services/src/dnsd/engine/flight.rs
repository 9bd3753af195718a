//! One question that is being asked outside: who waits for it, whom it was sent to.
use super::answer::{DNSSEC_OK, UNCHECKED};
use super::query::{Edns, Query, UDP_SIZE};
use super::stored::Stored;
use super::{Attempt, CHAIN, CHECKED, Client, Transport};
use domain::base::iana::{Class, Rtype};
use netstack::time::Instant;

/// Upstreams that are asked one question at the same time.
pub const MOST_LIVE: usize = 4;

/// A client that waits, and how it asked.
#[derive(Debug)]
pub struct Waiter {
    /// Whom to answer.
    pub client: Client,
    pub(super) id: u16,
    recursion: bool,
    unchecked: bool,
    authentic: bool,
    edns: Option<Edns>,
    limit: usize,
    name: Box<[u8]>,
}

impl Waiter {
    /// Who asked this.
    pub fn new(client: Client, query: &Query<'_>) -> Waiter {
        Waiter {
            client,
            id: query.id,
            recursion: query.recursion,
            unchecked: query.unchecked,
            authentic: query.authentic,
            edns: query.edns,
            limit: query.limit,
            name: query.name.into(),
        }
    }

    /// Its query again, `key` being the question's key.
    pub fn query(&self, key: &[u8]) -> Query<'_> {
        let number = |from_end: usize| -> u16 {
            let start = key.len().saturating_sub(from_end);
            key.get(start..start + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
        };
        Query {
            id: self.id,
            recursion: self.recursion,
            unchecked: self.unchecked,
            authentic: self.authentic,
            name: &self.name,
            rtype: Rtype::from_int(number(5)),
            class: Class::from_int(number(3)),
            edns: self.edns,
            limit: self.limit,
        }
    }
}

/// A question on its way to one upstream.
#[derive(Debug)]
pub struct Live {
    pub(super) serial: u32,
    pub(super) id: u16,
    pub(super) upstream: u8,
    pub(super) with_edns: bool,
    pub(super) transport: Transport,
    pub(super) sent: Instant,
    /// Sent over a connection that had to be made first.
    pub(super) cold: bool,
    /// Which letters were sent as capitals; see [`spell`].
    pub(super) capitals: u64,
}

/// A question that is being asked.
#[derive(Debug)]
pub struct Flight {
    pub(super) key: Box<[u8]>,
    pub(super) hash: u64,
    pub(super) waiters: Vec<Waiter>,
    pub(super) live: [Option<Live>; MOST_LIVE],
    pub(super) group: u8,
    /// Its answer may not lead into the house.
    pub(super) guarded: bool,
    /// A bit for each upstream that was asked in this round; that has failed; that could not be reached.
    pub(super) tried: u32,
    pub(super) failed: u32,
    pub(super) asked: u8,
    pub(super) round: u8,
    pub(super) plain: bool,
    /// Its answer is there and is being judged.
    pub(super) held: bool,
    /// Who gave it, how many others gave a bogus one, and what is said when nobody has a better one.
    pub(super) from: u8,
    pub(super) doubts: u8,
    pub(super) doubted: Option<(Stored, u32)>,
    pub(super) start: Instant,
    pub(super) next: Instant,
    pub(super) end: Instant,
}

impl Flight {
    pub(super) fn place(&self, attempt: Attempt) -> Option<usize> {
        self.live.iter().position(|live| live.as_ref().is_some_and(|live| live.serial == attempt.serial))
    }

    pub(super) fn is_alone(&self) -> bool {
        self.live.iter().all(Option::is_none)
    }

    /// Where the next attempt goes: a free place, else that of the oldest.
    pub(super) fn room(&self) -> usize {
        let free = self.live.iter().position(Option::is_none);
        let age = |at: &usize| self.live.get(*at).and_then(Option::as_ref).map(|live| live.sent);
        free.or_else(|| (0..MOST_LIVE).min_by_key(age)).unwrap_or_default()
    }
}

/// The question of a key (its name is lower-case) with some letters as capitals: whoever forges a reply has to guess
/// which. A set bit, counted modulo 64 from the name's first byte on, makes a capital.
pub fn spell(into: &mut Vec<u8>, question: &[u8], capitals: u64) {
    let name = question.len().saturating_sub(4);
    into.extend(question.iter().enumerate().map(|(at, byte)| {
        let capital = at < name && capitals >> (at % 64) & 1 == 1;
        if capital { byte.to_ascii_uppercase() } else { *byte }
    }));
}

/// What a query over TLS is filled up to a multiple of (RFC 8467 4.1), so that its length does not tell the name's.
const BLOCK: usize = 128;

/// The query we send: the question of the key, and with EDNS unless the upstream does not know it, `padded` where others
/// see nothing but its length (RFC 7830).
pub fn message(id: u16, key: &[u8], capitals: u64, with_edns: bool, padded: bool) -> Vec<u8> {
    let (question, flags) = key.split_at(key.len().saturating_sub(1));
    let flags = flags.first().copied().unwrap_or_default();
    // What is judged here wants its proofs, and nobody else's judgement.
    let flags = if flags & (CHECKED | CHAIN) == 0 { flags } else { DNSSEC_OK | UNCHECKED };
    let ([a, b], [s, t]) = (id.to_be_bytes(), UDP_SIZE.to_be_bytes());
    let mut message = Vec::with_capacity(question.len() + 23 + if padded { 4 + BLOCK } else { 0 });
    message.extend_from_slice(&[a, b, 0x01, (flags & 2) << 3, 0, 1, 0, 0, 0, 0, 0, u8::from(with_edns)]);
    spell(&mut message, question, capitals);
    if with_edns {
        message.extend_from_slice(&[0, 0, 0x29, s, t, 0, 0, (flags & 1) << 7, 0, 0, 0]);
        if padded {
            let fill = (message.len() + 4).next_multiple_of(BLOCK) - message.len() - 4;
            // Both are below 256.
            let length = message.len();
            message[length - 1] = (fill + 4) as u8;
            message.extend_from_slice(&[0, 12, 0, fill as u8]);
            message.resize(length + 4 + fill, 0);
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_over_tls_has_the_length_of_a_block_whatever_the_name() {
        use domain::base::iana::OptionCode;
        for length in 1..=63 {
            let key = [&[length][..], &vec![b'a'; usize::from(length)], b"\x03com\0\0\x01\0\x01\x01"].concat();
            let message = message(7, &key, 0, true, true);
            assert!(message.len().is_multiple_of(BLOCK), "{length}: {}", message.len());
            let message = domain::base::Message::from_octets(message).unwrap();
            let opt = message.opt().unwrap();
            assert!(opt.dnssec_ok() && message.additional().unwrap().all(|record| record.is_ok()));
            let options: Vec<_> =
                opt.opt().iter::<domain::base::opt::UnknownOptData<_>>().map(Result::unwrap).collect();
            assert_eq!(options.iter().map(|option| option.code()).collect::<Vec<_>>(), [OptionCode::PADDING]);
        }
    }

    #[test]
    fn capitals_stand_where_the_bits_say_and_never_behind_the_name() {
        let mut spelt = Vec::new();
        // Types and classes are no letters, even where their bytes look like one.
        spell(&mut spelt, b"\x03abc\x02d1\x00\x00\x61\x00\x61", 0b1_0101_0110);
        assert_eq!(spelt, b"\x03ABc\x02d1\x00\x00\x61\x00\x61");
        spelt.clear();
        spell(&mut spelt, b"\x03abc\x02d1\x00\x00\x61\x00\x61", u64::MAX);
        assert_eq!(spelt, b"\x03ABC\x02D1\x00\x00\x61\x00\x61");
    }
}
