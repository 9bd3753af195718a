//! Who has logged in, and the word that a change needs besides. No I/O, no clock, no randomness of its own.
//!
//! A cookie has 256 random bits; only its keyed sum is kept, and written down so that a restart ends no session. The token
//! that goes with it is another sum, which stands in the page and which no other site can read. What is written down names
//! the password it was begun with: under another one it means nothing.
use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};
use netstack::time::Instant;
use std::fmt::Write;
use std::time::Duration;

/// Uses of so long after the last one written down are written down as well.
const DAILY: Duration = Duration::from_secs(86_400);
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
    /// When it ends unless it is used before.
    until: Instant,
}

/// The sessions.
#[derive(Debug)]
pub struct Sessions {
    key: [u8; 32],
    open: Vec<Session>,
    changed: bool,
    /// When they were written down, or read.
    written: Instant,
}

impl Sessions {
    /// None yet; `key` is random.
    pub fn new(key: [u8; 32]) -> Sessions {
        Sessions { key, open: Vec::new(), changed: false, written: Instant::default() }
    }

    /// Those of before, as [`Sessions::text`] has them. `wall` is the clock in seconds since 1970; a clock behind the last use
    /// says nothing of how long ago that was. `password` is what is kept of the password; `fresh` is a key for where nothing
    /// that fits was kept.
    pub fn read(text: &str, now: Instant, wall: u64, password: &str, fresh: [u8; 32]) -> Sessions {
        let mut lines = text.lines();
        let mut headed = |word: &str| from_hex(lines.next()?.strip_prefix(word)?);
        let Some((key, of)) = headed("key ").zip(headed("password ")) else { return Sessions::new(fresh) };
        let mut sessions = Sessions { written: now, ..Sessions::new(key) };
        if !crate::password::equal(&sessions.sum("password", password), &of) {
            return Sessions::new(fresh);
        }
        for line in lines.take(MOST) {
            let Some((sum, used)) = line.split_once(' ') else { continue };
            let Some((sum, used)) = from_hex(sum).zip(used.parse::<u64>().ok()) else { continue };
            let left = IDLE.saturating_sub(Duration::from_secs(wall.saturating_sub(used)));
            if !left.is_zero() {
                sessions.open.push(Session { sum, kind: Kind::Owner, until: now + left });
            }
        }
        sessions
    }

    /// What is to be written down, when something is: sessions have begun or ended, or were used a day after the last time.
    pub fn text(&mut self, now: Instant, wall: u64, password: &str) -> Option<String> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        self.written = now;
        let mut text = format!("key {}\npassword {}\n", hex(&self.key), hex(&self.sum("password", password)));
        for open in self.open.iter().filter(|open| open.kind == Kind::Owner && now < open.until) {
            let used = wall.saturating_sub(IDLE.saturating_sub(open.until.since(now)).as_secs());
            // Writing to memory cannot fail.
            let _ = writeln!(text, "{} {used}", hex(&open.sum));
        }
        Some(text)
    }

    /// Begins one; `secret` is random. Its cookie.
    pub fn begin(&mut self, now: Instant, secret: [u8; 32], kind: Kind) -> String {
        let cookie = hex(&secret);
        if self.open.len() >= MOST
            && let Some(oldest) = (0..self.open.len()).min_by_key(|at| self.open.get(*at).map(|open| open.until))
        {
            self.open.swap_remove(oldest);
        }
        let until = match kind {
            Kind::Owner => now + IDLE,
            Kind::SetUp(until) => until,
        };
        self.open.push(Session { sum: self.sum("cookie", &cookie), kind, until });
        self.changed |= kind == Kind::Owner;
        cookie
    }

    /// What the bearer of a cookie may; none when it is no session's.
    pub fn of(&mut self, now: Instant, cookie: &str) -> Option<Kind> {
        let sum = self.sum("cookie", cookie);
        self.open.retain(|open| now < open.until);
        let found = self.open.iter_mut().find(|open| crate::password::equal(&open.sum, &sum))?;
        if found.kind == Kind::Owner {
            found.until = now + IDLE;
            self.changed |= now.since(self.written) >= DAILY;
        }
        Some(found.kind)
    }

    /// Ends one.
    pub fn end(&mut self, cookie: &str) {
        let sum = self.sum("cookie", cookie);
        self.open.retain(|open| open.sum != sum);
        self.changed = true;
    }

    /// Ends all: there is another password.
    pub fn end_all(&mut self) {
        self.open.clear();
        self.changed = true;
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

/// 32 bytes of hexadecimal digits.
pub fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |at: usize| char::from(*text.as_bytes().get(at)?).to_digit(16);
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = (digit(2 * at)? << 4 | digit(2 * at + 1)?) as u8;
    }
    (text.len() == 64).then_some(bytes)
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

    const WALL: u64 = 1_795_000_000;
    const WEEK: u64 = 7 * 86_400;

    /// A session that was used at `WALL`, written down, and read an hour of boot time after a restart.
    fn again(text: &str, wall: u64, password: &str) -> (Sessions, Instant) {
        let now = Instant::from_secs(3_600);
        (Sessions::read(text, now, wall, password, [9; 32]), now)
    }

    #[test]
    fn a_restart_ends_no_session_and_the_clock_ends_an_old_one() {
        let mut sessions = Sessions::new([7; 32]);
        let now = Instant::from_secs(1_000_000);
        let cookie = sessions.begin(now, [1; 32], Kind::Owner);
        let visitor = sessions.begin(now, [2; 32], Kind::SetUp(now + IDLE));
        let text = sessions.text(now, WALL, "hash").unwrap();
        assert!(!text.contains(&cookie) && sessions.text(now, WALL, "hash").is_none(), "once");
        for (wall, left) in [(WALL, WEEK), (WALL + WEEK - 60, 60), (WALL + WEEK, 0), (0, WEEK), (WALL - WEEK, WEEK)] {
            let (mut sessions, now) = again(&text, wall, "hash");
            let until = sessions.open.first().map_or(0, |open| open.until.since(now).as_secs());
            assert_eq!(until, left, "{wall}");
            assert_eq!(sessions.of(now, &cookie).is_some(), left > 0, "{wall}");
            assert!(sessions.of(now, &visitor).is_none(), "who sets up begins anew");
            assert!(left == 0 || sessions.is_token(&cookie, &sessions.token(&cookie)));
        }
        assert!(again(&text, WALL, "another").0.open.is_empty(), "under another password");
        // Used day after day, it is written down once a day, and so never ends by a restart.
        let mut wall = WALL;
        let (mut sessions, mut now) = again(&text, wall, "hash");
        let mut written = Vec::new();
        for _ in 0..30 * 24 {
            (now, wall) = (now + Duration::from_secs(3_600), wall + 3_600);
            assert!(sessions.of(now, &cookie).is_some());
            written.extend(sessions.text(now, wall, "hash"));
        }
        assert_eq!(written.len(), 30);
        assert_eq!(again(written.last().unwrap(), wall, "hash").0.open.len(), 1);
        sessions.end(&cookie);
        assert!(again(&sessions.text(now, wall, "hash").unwrap(), wall, "hash").0.open.is_empty(), "logged out");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_met_without_panic(text in ".{0,400}", used in "[0-9]{0,21}") {
            let _ = again(&text, WALL, "");
            let head = Sessions { changed: true, ..Sessions::new([7; 32]) }.text(Instant::default(), 0, "").unwrap();
            let lines = format!("{head}{} {used}\n", hex(&[3; 32])).repeat(40);
            let (sessions, now) = again(&lines, WALL, "");
            proptest::prop_assert!(sessions.open.iter().all(|open| open.until <= now + IDLE));
            proptest::prop_assert!(sessions.open.len() <= MOST);
        }
    }
}
