//! DNSSEC validation (RFC 4033 to 4035, 5155, 6840): what an answer is worth, and what has to be asked to know. Pure: it
//! takes messages and says what to ask next, or its verdict.
//!
//! `records` reads, `signature` and `keys` check, `denial` (by `nsec` and `nsec3`) proves that there is nothing, `zones`
//! remembers the way down from the root, which begins with `anchors`; `judge` puts them together, `rebuild` writes what
//! clients get, and `limits` bounds all of it.
pub mod anchors;
mod denial;
mod judge;
pub mod keys;
mod limits;
mod nsec;
mod nsec3;
mod rebuild;
mod records;
mod signature;
mod zones;

use super::answer::Note;
use super::name;
use super::query::HEADER;
use super::stored::{self, Reply, Stored};
use domain::base::iana::{Rcode, Rtype};
use judge::Job;
pub use judge::Verdict;
use keys::Ds;
use netstack::time::Instant;
use std::collections::HashMap;
pub use zones::Need;
use zones::Zones;

/// For how long a bogus answer is remembered as such, in seconds.
const BOGUS: u32 = 30;

/// How validation is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The root's keys.
    pub anchors: Vec<Ds>,
    /// Domains that are not judged, in wire form and lower-case.
    pub exempt: Vec<Box<[u8]>>,
    /// Seconds since 1970, when the clock is known to be right: else no time is held against a signature.
    pub wall: Option<u32>,
}

/// What comes next for an answer.
#[derive(Debug)]
pub enum Step {
    /// It waits for an answer to this.
    Ask(Need),
    /// It was judged: what to give, for how long to keep it, and its worth.
    Done(Stored, u32, Verdict),
    /// Nobody has it judged.
    Nothing,
}

#[derive(Debug)]
struct Waiting {
    job: Option<Job>,
    stored: Stored,
    life: u32,
    asked: u8,
    need: Option<Need>,
}

/// The validator, when it is on.
#[derive(Debug)]
pub struct Validator {
    rules: Rules,
    since: Instant,
    zones: Zones,
    jobs: HashMap<u64, Waiting>,
}

impl Validator {
    /// Knows nothing yet but the rules.
    pub fn new(now: Instant, rules: &Rules) -> Validator {
        let zones = Zones::new(&rules.anchors, &rules.exempt);
        Validator { rules: rules.clone(), since: now, zones, jobs: HashMap::new() }
    }

    /// Follows other rules; false when what was judged before has to be judged again, by a new one.
    pub fn follow(&mut self, now: Instant, rules: &Rules) -> bool {
        let same = self.rules.anchors == rules.anchors && self.rules.exempt == rules.exempt;
        if same && self.rules.wall.is_some() == rules.wall.is_some() {
            (self.rules.wall, self.since) = (rules.wall, now);
            return true;
        }
        false
    }

    /// Whether answers about a name are judged.
    pub fn judges(&self, name: &[u8]) -> bool {
        !self.zones.is_exempt(name)
    }

    /// How many zones' keys and cuts are remembered.
    pub fn known(&self) -> usize {
        self.zones.len()
    }

    fn wall(&self, now: Instant) -> Option<u32> {
        // Times of signatures are counted modulo 2^32 (RFC 4034 3.1.5).
        self.rules.wall.map(|wall| wall.wrapping_add(now.since(self.since).as_secs() as u32))
    }

    /// An answer is to be judged; `hash` is its key's. False when too many are.
    pub fn begin(&mut self, hash: u64, stored: Stored, life: u32) -> bool {
        if self.jobs.len() >= limits::JOBS && !self.jobs.contains_key(&hash) {
            return false;
        }
        let (name, rtype) = asked(&stored);
        let job = Job::new(name, rtype, stored.message());
        self.jobs.insert(hash, Waiting { job, stored, life, asked: 0, need: None });
        true
    }

    /// Something about a name was bogus, and somebody else is asked: what is bogus on the way to it is forgotten.
    pub fn doubt(&mut self, name: &[u8]) {
        self.zones.doubt(name);
    }

    /// Nobody waits for it any more.
    pub fn forget(&mut self, hash: u64) {
        self.jobs.remove(&hash);
    }

    /// Goes on as far as is known.
    pub fn step(&mut self, now: Instant, hash: u64) -> Step {
        let wall = self.wall(now);
        let Some(waiting) = self.jobs.get_mut(&hash) else { return Step::Nothing };
        let judged = match &mut waiting.job {
            Some(job) => job.judge(&self.zones, now, wall),
            None => Ok(Verdict::Bogus(Note::Bogus)),
        };
        let verdict = match judged {
            Ok(verdict) => verdict,
            Err(need) if waiting.asked < limits::QUESTIONS => {
                waiting.asked += 1;
                waiting.need = Some(need.clone());
                return Step::Ask(need);
            }
            Err(_) => Verdict::Bogus(Note::Indeterminate),
        };
        let Some(waiting) = self.jobs.remove(&hash) else { return Step::Nothing };
        finish(waiting, verdict)
    }

    /// What has come of a question; `None` when nobody had an answer. Gives those that can go on.
    pub fn learn(&mut self, now: Instant, name: &[u8], rtype: Rtype, message: Option<&[u8]>) -> Vec<u64> {
        let need = match rtype {
            Rtype::DNSKEY => Need::Keys(name.into()),
            _ => Need::Border(name.into()),
        };
        self.zones.learn(now, self.wall(now), &need, message);
        let mut ready = Vec::new();
        for (hash, waiting) in &mut self.jobs {
            if waiting.need.as_ref() == Some(&need) {
                waiting.need = None;
                ready.push(*hash);
            }
        }
        ready
    }
}

// The question of what is kept.
/// Any bytes as each of what proves an answer, for `fuzz/`.
#[cfg(feature = "hostile")]
pub fn met(bytes: &[u8]) {
    let mut budget = limits::Budget::default();
    let (mut nsec, mut nsec3) = (nsec::Nsec::new(&[0]), nsec3::Nsec3::new(&[0]));
    let mut one = |owner: &[u8], data: &[u8]| {
        let _ = (signature::Signature::parse(data), keys::Key::of(data), Ds::of(data));
        nsec.add(owner, data);
        nsec3.add(owner, data);
    };
    one(b"\x01a\0", bytes);
    if let Some(parsed) = records::Parsed::of(bytes) {
        for set in &parsed.sets {
            set.data.iter().for_each(|data| one(&set.owner, data));
        }
    }
    let name = b"\x01b\x01a\0";
    let _ = (nsec.no_name(name), nsec.no_data(name, Rtype::A), nsec.no_closer(name, 1), nsec.border(name));
    let _ = (nsec3.no_name(name, &mut budget), nsec3.no_data(name, Rtype::A, &mut budget));
    let _ = (nsec3.no_closer(name, 1, &mut budget), nsec3.border(name, &mut budget));
}

fn asked(stored: &Stored) -> (&[u8], Rtype) {
    let key = stored.key();
    let length = key.len().saturating_sub(5);
    let rtype = key.get(length..length + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    (key.get(..length).unwrap_or_default(), Rtype::from_int(rtype))
}

fn finish(waiting: Waiting, verdict: Verdict) -> Step {
    let Waiting { job, stored, life, .. } = waiting;
    let (key, (_, rtype)) = (stored.key(), asked(&stored));
    let question = key.get(..key.len().saturating_sub(1)).unwrap_or_default();
    let bogus = |note: Note| {
        let life = if note == Note::NoReachableAuthority { 1 } else { BOGUS };
        let stored = Stored::empty(key, question, Rcode::SERVFAIL).with_note(note);
        Step::Done(stored, life, Verdict::Bogus(note))
    };
    let (job, note) = match (job, verdict) {
        (_, Verdict::Bogus(note)) => return bogus(note),
        (None, _) => return bogus(Note::Bogus),
        (Some(job), Verdict::Insecure(note)) => (job, note),
        (Some(job), Verdict::Secure) => (job, None),
    };
    let dnssec_ok = key.last().is_some_and(|flags| flags & 1 != 0);
    let message = stored.message();
    let rebuilt = rebuild::rebuild(message, &job.parsed, verdict, &job.holds, rtype, dnssec_ok);
    let Some(rebuilt) = rebuilt else { return bogus(Note::Bogus) };
    let id = rebuilt.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id));
    let spelt = rebuilt.get(HEADER..HEADER + question.len()).unwrap_or_default();
    let wanted = stored::Wanted { id, question: spelt, guarded: false };
    match stored::judge(&rebuilt, &wanted, false, key) {
        Reply::Answer(mut stored, kept) => {
            if verdict == Verdict::Secure {
                stored.set_secure();
            }
            let stored = match note {
                Some(note) => stored.with_note(note),
                None => stored,
            };
            Step::Done(stored, kept.min(life), verdict)
        }
        _ => bogus(Note::Bogus),
    }
}

/// The name and type that a key of an own question is about.
pub fn question(key: &[u8]) -> (&[u8], Rtype) {
    let (length, _) = name::measure(key).unwrap_or_default();
    let rtype = key.get(length..length + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    (key.get(..length).unwrap_or_default(), Rtype::from_int(rtype))
}
