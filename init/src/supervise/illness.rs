//! Whether a core service can stay up: pure. From its first death on, or from a start at which it does not get ready, it is
//! ill until it has been ready for half a minute without a break; who is ill for half a minute and is down then, or dies
//! once more after it, is sick.

/// So long ready, and it can stay up; so long ill, and it cannot.
pub const UP_MS: u64 = 30_000;

/// What there is of the service at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// None, and none is wanted.
    Unwanted,
    /// None, until it is started again.
    None,
    /// One that is not ready, started then.
    Starting(u64),
    /// One that is ready since then.
    Ready(u64),
}

/// One service's illness, if any.
#[derive(Debug, Clone, Default)]
pub struct Illness {
    since: Option<u64>,
    sick: bool,
}

impl Illness {
    /// Whether it cannot stay up.
    pub fn is_sick(&self) -> bool {
        self.sick
    }

    /// Somebody has begun anew with it.
    pub fn forget(&mut self) {
        *self = Illness::default();
    }

    /// When [`Illness::tick`] is wanted.
    pub fn deadline(&self, process: Process) -> Option<u64> {
        let begun = match process {
            Process::Ready(at) => self.since.map(|_| at),
            Process::Unwanted => None,
            _ if self.sick => None,
            Process::Starting(at) => Some(self.since.unwrap_or(at)),
            Process::None => self.since,
        };
        begun.map(|at| at + UP_MS)
    }

    /// Time has passed: whether it is sick from now on.
    pub fn tick(&mut self, process: Process, now: u64) -> bool {
        if self.deadline(process).is_none_or(|at| now < at) {
            return false;
        }
        if matches!(process, Process::Ready(_)) {
            self.forget();
            return false;
        }
        if let Process::Starting(at) = process {
            self.since.get_or_insert(at);
        }
        self.sick = true;
        true
    }

    /// It has died, unasked, and was as `process` says before: whether it is sick from now on.
    pub fn died(&mut self, process: Process, now: u64) -> bool {
        if matches!(process, Process::Ready(at) if now.saturating_sub(at) >= UP_MS) {
            self.forget();
        }
        let since = *self.since.get_or_insert(now);
        let begins = !self.sick && now.saturating_sub(since) >= UP_MS;
        self.sick |= begins;
        begins
    }
}
