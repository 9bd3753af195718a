//! What ntpd does to clocks, and what it keeps of the time for the next boot.
use crate::house::House;
use crate::perm::{WallTime, file};
use netstack::clock;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

/// The last time that was known to be right, as Go writes it.
const KEPT: &str = "/perm/ntpd/time";
const RTC: &str = "/dev/rtc0";
/// Bytes of a moment.
const LONGEST: u64 = 64;

/// The clocks, or only words about them.
pub struct Hands {
    adjust: bool,
    kept: PathBuf,
    rtc: Option<File>,
    /// What was complained of already; a right that is missing is missing every time.
    complaints: Vec<String>,
}

impl Hands {
    /// Without `adjust` nothing is touched, and what would have been done is said.
    pub fn new(house: &House, adjust: bool) -> Hands {
        let rtc = adjust.then(|| File::open(house.path(RTC)).ok()).flatten();
        Hands { adjust, kept: house.path(KEPT), rtc, complaints: Vec::new() }
    }

    /// When this program was made: no true clock shows less. Images carry the time of their sources.
    pub fn made() -> WallTime {
        let made = std::env::current_exe().and_then(|path| path.metadata()?.modified());
        let since = made.ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        WallTime::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(0))
    }

    /// The last time that was known to be right.
    pub fn kept(&self) -> Option<WallTime> {
        let bytes = file::read_up_to(&self.kept, LONGEST).ok().flatten()?;
        std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
    }

    /// Sets the clock to a moment that has passed for certain, when it is behind even that.
    pub fn not_before(&mut self, floor: WallTime) {
        let behind = floor.nanos_from(WallTime::now());
        if behind > 0 {
            log::info!("the clock is behind {floor}, which has passed for certain");
            self.step(behind);
        }
    }

    /// Moves the clock at once, by nanoseconds.
    pub fn step(&mut self, by: i64) {
        match self.adjust {
            true => self.complain("setting the clock", clock::step(by)),
            false => log::info!("would set the clock by {by} ns"),
        }
    }

    /// Moves the clock little by little.
    pub fn slew(&mut self, by: i64, poll: u8, error: Duration) {
        match self.adjust {
            true => self.complain("slewing the clock", clock::slew(by, poll as i8, error)),
            false => log::info!("would slew the clock by {by} ns"),
        }
    }

    /// The clock is right: the battery clock gets its time, and the next boot what has passed by then.
    pub fn keep(&mut self) {
        if let Some(rtc) = &self.rtc {
            let done = clock::keep(rtc);
            self.complain(RTC, done);
        }
        if self.adjust {
            let done = file::replace(&self.kept, format!("{}\n", WallTime::now()).as_bytes());
            self.complain(KEPT, done.map(drop));
        }
    }

    fn complain(&mut self, what: &str, done: std::io::Result<()>) {
        let Err(error) = done else { return };
        let words = format!("{what}: {error}");
        if !self.complaints.contains(&words) && self.complaints.len() < 8 {
            log::error!("{words}");
            self.complaints.push(words);
        }
    }
}
