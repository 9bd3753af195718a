//! Who has logged in, and the word that a change needs besides. No I/O, no clock, no randomness of its own.
//!
//! A cookie has 256 random bits; only its sum is kept, in memory: after a restart everybody logs in again. The token that goes
//! with it is a keyed sum of it, which stands in the page and which no other site can read.
use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};
use netstack::time::Instant;
use std::fmt::Write;
use std::time::Duration;

/// Unused for so long, a session ends.
const IDLE: Duration = Duration::from_secs(7 * 86_400);
/// Sessions at a time; one more ends the one that was used least recently.
const MOST: usize = 32;
/// Stands for a cookie where somebody says the password with each request.
pub const BASIC: &str = "basic";

/// What a session may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody who knows the password.
    Owner,
    /// Somebody at home while the router has none yet, for so long.
    SetUp(Instant),
}

#[derive(Debug)]
struct Session {
    sum: [u8; 32],
    kind: Kind,
    used: Instant,
}

/// The sessions.
#[derive(Debug)]
pub struct Sessions {
    key: [u8; 32],
    open: Vec<Session>,
}

impl Sessions {
    /// None yet; `key` is random.
    pub fn new(key: [u8; 32]) -> Sessions {
        Sessions { key, open: Vec::new() }
    }

    /// Begins one; `secret` is random. Its cookie.
    pub fn begin(&mut self, now: Instant, secret: [u8; 32], kind: Kind) -> String {
        let cookie = hex(&secret);
        if self.open.len() >= MOST
            && let Some(oldest) = (0..self.open.len()).min_by_key(|at| self.open.get(*at).map(|open| open.used))
        {
            self.open.swap_remove(oldest);
        }
        self.open.push(Session { sum: self.sum("cookie", &cookie), kind, used: now });
        cookie
    }

    /// What the bearer of a cookie may; none when it is no session's.
    pub fn of(&mut self, now: Instant, cookie: &str) -> Option<Kind> {
        let sum = self.sum("cookie", cookie);
        self.open.retain(|open| match open.kind {
            Kind::Owner => now < open.used + IDLE,
            Kind::SetUp(until) => now < until,
        });
        let found = self.open.iter_mut().find(|open| crate::password::equal(&open.sum, &sum))?;
        found.used = now;
        Some(found.kind)
    }

    /// Ends one.
    pub fn end(&mut self, cookie: &str) {
        let sum = self.sum("cookie", cookie);
        self.open.retain(|open| open.sum != sum);
    }

    /// Ends all: there is another password.
    pub fn end_all(&mut self) {
        self.open.clear();
    }

    /// The word that a change needs besides the cookie.
    pub fn token(&self, cookie: &str) -> String {
        hex(&self.sum("token", cookie))
    }

    /// Whether this is that word.
    pub fn is_token(&self, cookie: &str, token: &str) -> bool {
        // Of sums, which take the same time whatever they are of.
        crate::password::equal(&self.sum("word", &self.token(cookie)), &self.sum("word", token))
    }

    fn sum(&self, what: &str, text: &str) -> [u8; 32] {
        // A key of 32 bytes is never too long.
        let Ok(mut mac) = Blake2bMac::<U32>::new_from_slice(&self.key) else { return [0; 32] };
        mac.update(what.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to memory cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lives_while_it_is_used_and_its_token_is_its_own() {
        let mut sessions = Sessions::new([7; 32]);
        let mut now = Instant::from_secs(10);
        let (one, two) = (sessions.begin(now, [1; 32], Kind::Owner), sessions.begin(now, [2; 32], Kind::Owner));
        for _ in 0..10 {
            now += Duration::from_secs(6 * 86_400);
            assert_eq!(sessions.of(now, &one), Some(Kind::Owner));
        }
        assert_eq!(sessions.of(now, &two), None, "unused for too long");
        assert!(sessions.is_token(&one, &sessions.token(&one)) && !sessions.is_token(&one, &sessions.token(&two)));
        assert!(!sessions.is_token(&one, "") && sessions.of(now, "").is_none());
        assert_ne!(sessions.token(&one), one, "the page must not tell the cookie");
        sessions.end(&one);
        assert_eq!(sessions.of(now, &one), None);
    }

    #[test]
    fn sets_up_for_its_time_and_there_are_only_so_many() {
        let mut sessions = Sessions::new([7; 32]);
        let now = Instant::from_secs(10);
        let until = now + Duration::from_secs(60);
        let early = sessions.begin(now, [1; 32], Kind::SetUp(until));
        assert_eq!(sessions.of(now, &early), Some(Kind::SetUp(until)));
        assert_eq!(sessions.of(until, &early), None);
        for at in 0..100u8 {
            sessions.begin(now + Duration::from_secs(at.into()), [at; 32], Kind::Owner);
        }
        assert_eq!(sessions.open.len(), MOST);
        sessions.end_all();
        assert_eq!(sessions.of(now, &hex(&[99; 32])), None);
    }
}
