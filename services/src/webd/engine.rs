//! Who may try a password when, and which one was right a while ago. No I/O, no clock.
use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};
use netstack::time::Instant;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// How long a right password need not be hashed again.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How long a peer waits after its first wrong password; each further one doubles it up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// After so long without a wrong password a peer is as good as new.
const FORGIVEN: Duration = Duration::from_secs(600);
/// Peers that are known at a time.
const PEERS: usize = 256;
/// Wrong passwords of all peers together: so many at once, then one a second.
const ALL_TOGETHER: u32 = 20;
const EACH: Duration = Duration::from_secs(1);

/// What comes of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one.
    Right,
    /// It is not.
    Wrong,
    /// It was not looked at; to be tried again in so many seconds.
    Wait(u64),
}

#[derive(Debug, Default)]
struct Peer {
    wrong: u32,
    /// Before this nothing of it is looked at.
    until: Option<Instant>,
    /// Its last password was right, and counts as such until then.
    good: Option<Instant>,
    seen: Option<Instant>,
}

/// What is known of peers and of the password.
#[derive(Debug)]
pub struct Engine {
    key: [u8; 32],
    remembered: Option<([u8; 32], Instant)>,
    peers: HashMap<IpAddr, Peer>,
    /// Wrong passwords that all may still have, and when that was last reckoned.
    left: u32,
    reckoned: Option<Instant>,
}

impl Engine {
    /// Knows nobody; `key` is random.
    pub fn new(key: [u8; 32]) -> Engine {
        Engine { key, remembered: None, peers: HashMap::new(), left: ALL_TOGETHER, reckoned: None }
    }

    /// What is known without a hash; none = it has to be made, and [`Engine::judged`] told.
    pub fn asked(&mut self, now: Instant, peer: IpAddr, password: &str) -> Option<Verdict> {
        self.refill(now);
        let known = self.peers.get(&peer);
        if let Some(until) = known.and_then(|peer| peer.until).filter(|until| now < *until) {
            return Some(Verdict::Wait(until.since(now).as_secs() + 1));
        }
        let good = known.and_then(|peer| peer.good).is_some_and(|until| now < until);
        if self.left == 0 && !good {
            return Some(Verdict::Wait(EACH.as_secs()));
        }
        let (sum, until) = self.remembered?;
        if until <= now {
            self.remembered = None;
            return None;
        }
        let same = crate::password::equal(&self.sum(password), &sum);
        same.then(|| self.judged(now, peer, password, true))
    }

    /// A hash was made.
    pub fn judged(&mut self, now: Instant, address: IpAddr, password: &str, right: bool) -> Verdict {
        if self.peers.len() >= PEERS && !self.peers.contains_key(&address) {
            let oldest =
                self.peers.iter().min_by_key(|(_, peer)| peer.good.max(peer.seen)).map(|(address, _)| *address);
            oldest.and_then(|oldest| self.peers.remove(&oldest));
        }
        let sum = self.sum(password);
        let peer = self.peers.entry(address).or_default();
        if peer.seen.is_some_and(|seen| seen + FORGIVEN <= now) {
            *peer = Peer::default();
        }
        peer.seen = Some(now);
        if right {
            *peer = Peer { good: Some(now + REMEMBERED), seen: Some(now), ..Peer::default() };
            if self.remembered.is_none() {
                self.remembered = Some((sum, now + REMEMBERED));
            }
            return Verdict::Right;
        }
        let wait = FIRST_WAIT.saturating_mul(1 << peer.wrong.min(16)).min(LONGEST_WAIT);
        peer.wrong = peer.wrong.saturating_add(1);
        peer.until = Some(now + wait);
        self.left = self.left.saturating_sub(1);
        Verdict::Wrong
    }

    /// The password is another one from now on.
    pub fn forget(&mut self) {
        self.remembered = None;
        self.peers.values_mut().for_each(|peer| peer.good = None);
    }

    /// How many peers are known.
    #[cfg(test)]
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    fn sum(&self, password: &str) -> [u8; 32] {
        // A key of 32 bytes is never too long.
        let Ok(mut mac) = Blake2bMac::<U32>::new_from_slice(&self.key) else { return [0; 32] };
        mac.update(password.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn refill(&mut self, now: Instant) {
        let since = *self.reckoned.get_or_insert(now);
        let more = now.since(since).as_secs();
        if more > 0 {
            self.left = ALL_TOGETHER.min(self.left.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)));
            self.reckoned = Some(now);
        }
    }
}
