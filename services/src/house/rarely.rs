//! A complaint that may come with every packet, said once a second at most.
use netstack::time::Instant;
use std::time::Duration;

const PAUSE: Duration = Duration::from_secs(1);

/// One cause of complaint.
#[derive(Debug, Default)]
pub struct Rarely {
    last: Option<Instant>,
    held: u64,
}

impl Rarely {
    /// Logs the words as a warning, unless this cause has spoken within the second; then it only counts.
    pub fn warn(&mut self, now: Instant, words: impl FnOnce() -> String) {
        if self.last.is_some_and(|last| now < last + PAUSE) {
            self.held += 1;
            return;
        }
        self.last = Some(now);
        match std::mem::take(&mut self.held) {
            0 => log::warn!("{}", words()),
            held => log::warn!("{} (and {held} more before)", words()),
        }
    }
}
