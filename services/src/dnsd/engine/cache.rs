//! The cache: answers in wire form, bounded in bytes, evicted by SIEVE (Zhang et al., NSDI 2024): a hand walks from
//! the oldest answer to the newest and takes the first that nobody has asked for since it last passed. A flood of
//! names that are asked once passes through and leaves the popular ones where they are.
use super::blocking::Remark;
use super::stored::Stored;
use netstack::time::Instant;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::time::Duration;

/// What an answer costs beside its own bytes: its slot, its place in the index, the allocator's header.
const OVERHEAD: usize = 144;
/// One answer may take this part of the cache at most.
const LARGEST_PART: usize = 16;
/// How long an answer that has run out may still help when nobody can be asked (RFC 8767 5).
const STALE: Duration = Duration::from_secs(86_400);
/// Given so often, an answer is asked for again before it runs out: in the last tenth of its life.
const POPULAR: u8 = 3;
const LAST_PART: u32 = 10;
/// A shorter life, in seconds, is not worth it.
const SHORT: u32 = 5;
/// The end of a list, and an empty hand.
const NONE: u32 = u32::MAX;

/// An answer and its times.
#[derive(Debug)]
pub struct Entry {
    /// The answer.
    pub stored: Stored,
    since: Instant,
    until: Instant,
    /// Until when nobody is asked again, because just now nobody could answer.
    hopeless: Option<Instant>,
    hash: u64,
    newer: u32,
    older: u32,
    failure: bool,
    asked: bool,
    /// How often it was given, as far as it matters for [`POPULAR`].
    given: u8,
    /// How often its name and type were given since there is an answer to them.
    total: u32,
    /// What block lists say of its name.
    remark: Remark,
}

/// How an entry may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It holds, and is so many seconds old.
    Fresh(u32),
    /// The same; it is popular and will soon run out: a good time to ask for it again.
    Ending(u32),
    /// It has run out, but asking again has just failed.
    Stale,
    /// It has run out; it may be given should nobody answer.
    Expired,
}

impl Entry {
    fn usable(&self, now: Instant) -> Option<Use> {
        if now < self.until {
            let seconds = u32::try_from(now.since(self.since).as_secs()).unwrap_or(u32::MAX);
            let life = self.until.since(self.since);
            let ends = self.given >= POPULAR && now + life / LAST_PART >= self.until;
            if ends && life >= Duration::from_secs(u64::from(SHORT)) && !self.failure && self.may_ask(now) {
                return Some(Use::Ending(seconds));
            }
            return Some(Use::Fresh(seconds));
        }
        if self.failure || now >= self.until + STALE {
            return None;
        }
        Some(if self.may_ask(now) { Use::Expired } else { Use::Stale })
    }

    fn may_ask(&self, now: Instant) -> bool {
        self.hopeless.is_none_or(|until| now >= until)
    }
}

/// The answers, found by the hash of their key. Two keys of equal hash (the hash is 64 bits, with a secret) would
/// take each other's place, never each other's answer.
#[derive(Debug)]
pub struct Cache {
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    index: HashMap<u64, u32, BuildHasherDefault<Ready>>,
    secret: RandomState,
    newest: u32,
    oldest: u32,
    hand: u32,
    bytes: usize,
    limit: usize,
}

/// A hasher for keys that are hashes already.
#[derive(Debug, Default)]
pub struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Cache {
    /// An empty cache of at most `limit` bytes.
    pub fn new(limit: usize) -> Cache {
        Cache {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashMap::default(),
            secret: RandomState::new(),
            newest: NONE,
            oldest: NONE,
            hand: NONE,
            bytes: 0,
            limit,
        }
    }

    /// The hash of a key, for the other calls.
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.secret.hash_one(key)
    }

    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Answers held.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// The answer under a key, how it may be used, and what block lists have said of its name.
    pub fn get(&mut self, now: Instant, hash: u64, key: &[u8]) -> Option<(&Stored, Use, &mut Remark)> {
        let at = *self.index.get(&hash)?;
        let entry = self.entry(at).filter(|entry| entry.stored.key() == key)?;
        let Some(usable) = entry.usable(now) else {
            self.remove(at);
            return None;
        };
        let entry = self.slots.get_mut(at as usize)?.as_mut()?;
        entry.asked = true;
        entry.given = entry.given.saturating_add(1);
        entry.total = entry.total.saturating_add(1);
        Some((&entry.stored, usable, &mut entry.remark))
    }

    /// Keeps an answer for `life` seconds. A `failure` is never given once it has run out.
    pub fn insert(&mut self, now: Instant, hash: u64, stored: Stored, life: u32, failure: bool) {
        let before = self.index.get(&hash).copied();
        let total = before.and_then(|at| self.entry(at)).map_or(0, |entry| entry.total);
        if let Some(at) = before {
            self.remove(at);
        }
        let cost = stored.size() + OVERHEAD;
        if cost > self.limit / LARGEST_PART {
            return;
        }
        while self.bytes + cost > self.limit && self.evict(now) {}
        let entry = Entry {
            stored,
            since: now,
            until: now + Duration::from_secs(u64::from(life)),
            hopeless: None,
            hash,
            newer: NONE,
            older: self.newest,
            failure,
            asked: false,
            given: 0,
            total,
            remark: Remark::default(),
        };
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        if let Some(slot) = self.slots.get_mut(at as usize) {
            *slot = Some(entry);
        }
        match self.newest {
            NONE => self.oldest = at,
            newest => self.link(newest, |entry| entry.newer = at),
        }
        self.newest = at;
        self.index.insert(hash, at);
        self.bytes += cost;
    }

    /// Nobody could answer: what has run out is given for `pause` without asking again. False when there is nothing.
    pub fn hopeless(&mut self, now: Instant, hash: u64, key: &[u8], pause: Duration) -> bool {
        let Some(at) = self.index.get(&hash).copied() else { return false };
        let Some(Some(entry)) = self.slots.get_mut(at as usize) else { return false };
        let usable = entry.stored.key() == key && entry.usable(now).is_some();
        if usable {
            entry.hopeless = Some(now + pause);
        }
        usable
    }

    /// Every answer, the newest first, with its age and what is left of its life, in seconds; failures are left out.
    pub fn each(&self, now: Instant) -> impl Iterator<Item = (&Stored, u32, u32)> {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let older = |entry: &&Entry| self.entry(entry.older);
        let entries = std::iter::successors(self.entry(self.newest), older).filter(|entry| !entry.failure);
        entries.map(move |entry| (&entry.stored, seconds(now.since(entry.since)), seconds(entry.until.since(now))))
    }

    /// Each answer's key, and how often it and those before it under that key were given.
    pub fn given(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.slots.iter().flatten().map(|entry| (entry.stored.key(), entry.total))
    }

    /// Forgets every answer to keys of a kind.
    pub fn forget(&mut self, kind: impl Fn(&[u8]) -> bool) {
        for at in 0..self.slots.len() as u32 {
            if self.entry(at).is_some_and(|entry| kind(entry.stored.key())) {
                self.remove(at);
            }
        }
    }

    /// Forgets who could not be reached: the upstreams are others now.
    pub fn hope(&mut self) {
        for at in 0..self.slots.len() as u32 {
            if self.entry(at).is_some_and(|entry| entry.failure) {
                self.remove(at);
            } else {
                self.link(at, |entry| entry.hopeless = None);
            }
        }
    }

    fn entry(&self, at: u32) -> Option<&Entry> {
        self.slots.get(at as usize)?.as_ref()
    }

    fn link(&mut self, at: u32, change: impl FnOnce(&mut Entry)) {
        if let Some(Some(entry)) = self.slots.get_mut(at as usize) {
            change(entry);
        }
    }

    fn evict(&mut self, now: Instant) -> bool {
        let mut at = if self.hand == NONE { self.oldest } else { self.hand };
        loop {
            let Some(Some(entry)) = self.slots.get_mut(at as usize) else { return false };
            if !entry.asked || now >= entry.until {
                self.hand = entry.newer;
                self.remove(at);
                return true;
            }
            entry.asked = false;
            at = if entry.newer == NONE { self.oldest } else { entry.newer };
        }
    }

    fn remove(&mut self, at: u32) {
        let Some(entry) = self.slots.get_mut(at as usize).and_then(Option::take) else { return };
        if self.hand == at {
            self.hand = entry.newer;
        }
        match entry.newer {
            NONE => self.newest = entry.older,
            newer => self.link(newer, |other| other.older = entry.older),
        }
        match entry.older {
            NONE => self.oldest = entry.newer,
            older => self.link(older, |other| other.newer = entry.newer),
        }
        self.index.remove(&entry.hash);
        self.bytes -= entry.stored.size() + OVERHEAD;
        self.free.push(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::base::iana::Rcode;

    fn put(cache: &mut Cache, now: Instant, key: &[u8], life: u32) {
        let hash = cache.hash(key);
        cache.insert(now, hash, Stored::empty(key, &[0; 40], Rcode::NOERROR), life, false);
    }

    fn used(cache: &mut Cache, now: Instant, key: &[u8]) -> Option<Use> {
        let hash = cache.hash(key);
        cache.get(now, hash, key).map(|(_, usable, _)| usable)
    }

    #[test]
    fn a_flood_keeps_the_bound_and_leaves_the_popular() {
        let now = Instant::from_secs(1);
        let mut cache = Cache::new(64 << 10);
        for popular in 0..20u32 {
            put(&mut cache, now, &popular.to_be_bytes(), 100);
        }
        for flood in 1_000..6_000u32 {
            if flood % 100 == 0 {
                for popular in 0..20u32 {
                    assert_eq!(used(&mut cache, now, &popular.to_be_bytes()), Some(Use::Fresh(0)), "{flood}");
                }
            }
            put(&mut cache, now, &flood.to_be_bytes(), 100);
            assert!(cache.bytes() <= 64 << 10);
        }
        assert!(cache.len() > 300, "{} answers only", cache.len());
        assert!(cache.slots.len() < 400, "slots are used again");
    }

    #[test]
    fn what_is_all_asked_for_is_evicted_all_the_same() {
        let now = Instant::from_secs(1);
        let mut cache = Cache::new(8 << 10);
        for key in 0..500u32 {
            put(&mut cache, now, &key.to_be_bytes(), 100);
            for other in 0..=key {
                used(&mut cache, now, &other.to_be_bytes());
            }
            assert!(cache.bytes() <= 8 << 10);
        }
        assert_eq!(used(&mut cache, now, &499u32.to_be_bytes()), Some(Use::Fresh(0)));
    }

    #[test]
    fn replaced_expired_and_hopeless() {
        let start = Instant::from_secs(10);
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut cache = Cache::new(64 << 10);
        put(&mut cache, start, b"a", 5);
        put(&mut cache, start, b"a", 10);
        assert_eq!(cache.len(), 1);
        assert_eq!(used(&mut cache, later(9), b"a"), Some(Use::Fresh(9)));
        assert_eq!(used(&mut cache, later(10), b"a"), Some(Use::Expired));
        let hash = cache.hash(b"a");
        assert!(cache.hopeless(later(10), hash, b"a", Duration::from_secs(1)));
        assert_eq!(used(&mut cache, later(10), b"a"), Some(Use::Stale));
        cache.hope();
        assert_eq!(used(&mut cache, later(10), b"a"), Some(Use::Expired));
        assert_eq!(used(&mut cache, later(10 + 86_400), b"a"), None);
        assert_eq!((cache.len(), cache.bytes()), (0, 0));
        cache.insert(start, hash, Stored::empty(b"a", b"", Rcode::SERVFAIL), 1, true);
        assert_eq!(used(&mut cache, start, b"a"), Some(Use::Fresh(0)));
        cache.hope();
        assert_eq!(used(&mut cache, start, b"a"), None);
    }

    #[test]
    fn one_answer_does_not_take_the_whole_cache() {
        let mut cache = Cache::new(8 << 10);
        let hash = cache.hash(b"a");
        cache.insert(Instant::from_secs(1), hash, Stored::empty(b"a", &[0; 600], Rcode::NOERROR), 9, false);
        assert_eq!(cache.len(), 0);
    }
}
