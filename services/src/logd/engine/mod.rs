//! Lines on their way: repeated ones once a second, to the journal's batch and to the receiver's queue, both bounded.
pub mod syslog;

use netstack::time::Instant;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long the same line is not said again.
const PAUSE: Duration = Duration::from_secs(1);
/// After this, what has come is written.
const BATCH: Duration = Duration::from_secs(30);
/// Bytes of a batch; what comes beyond is counted. It bounds what a flood may write to a flash disk: 2 KiB a second.
const LARGEST_BATCH: usize = 64 << 10;
/// Bytes that wait for a receiver; the oldest go.
const LARGEST_QUEUE: usize = 128 << 10;
/// What a line costs besides its text.
const OVERHEAD: usize = 64;

/// A line as PID 1 tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// Whose it is.
    pub name: String,
    /// When, in milliseconds of boot time.
    pub t_ms: u64,
    /// `out`, `err` or `kernel`.
    pub stream: String,
    /// What.
    pub line: String,
}

/// The last line of a service.
#[derive(Debug)]
struct Last {
    line: Line,
    until: Instant,
    repeated: u64,
}

/// What came of lines, for the metrics.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// All of them.
    pub lines: u64,
    /// Those that only repeated the one before.
    pub repeated: u64,
    /// What a receiver was sent.
    pub sent: u64,
    /// Too many for the journal.
    pub lost_journal: u64,
    /// Too many for a receiver that was gone.
    pub lost_receiver: u64,
}

/// All that waits.
#[derive(Debug, Default)]
pub struct Engine {
    last: BTreeMap<String, Last>,
    batch: Vec<Line>,
    batch_size: usize,
    batch_lost: u64,
    batch_at: Option<Instant>,
    queue: VecDeque<Line>,
    queue_size: usize,
    queue_lost: u64,
    counts: Counts,
}

impl Engine {
    /// What came of lines so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// When [`Engine::tick`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        self.last.values().filter(|last| last.repeated > 0).map(|last| last.until).min()
    }

    /// When a batch is to be written.
    pub fn batch_at(&self) -> Option<Instant> {
        self.batch_at
    }

    /// A line came.
    pub fn take(&mut self, now: Instant, line: Line) {
        self.counts.lines += 1;
        if let Some(last) = self.last.get_mut(&line.name) {
            // One that goes on is said by the second: see `tick`.
            if last.line.line == line.line && (now < last.until || last.repeated > 0) {
                (last.repeated, last.line.t_ms) = (last.repeated + 1, line.t_ms);
                self.counts.repeated += 1;
                return;
            }
            self.said_again(&line.name.clone());
        }
        let last = Last { line: line.clone(), until: now + PAUSE, repeated: 0 };
        self.last.insert(line.name.clone(), last);
        self.store(now, line);
    }

    /// Says what was repeated and is due.
    pub fn tick(&mut self, now: Instant) {
        let due = self.last.iter().filter(|(_, last)| last.repeated > 0 && last.until <= now);
        let names: Vec<String> = due.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.said_again(&name);
            if let Some(last) = self.last.get_mut(&name) {
                last.until = now + PAUSE;
            }
        }
    }

    fn said_again(&mut self, name: &str) {
        let Some(last) = self.last.get_mut(name) else { return };
        let times = match std::mem::take(&mut last.repeated) {
            0 => return,
            1 => "once".to_owned(),
            many => format!("{many} times"),
        };
        let words = format!("last message repeated {times}");
        let (line, now) = (Line { line: words, ..last.line.clone() }, last.until);
        self.store(now, line);
    }

    fn store(&mut self, now: Instant, line: Line) {
        let size = line.line.len() + OVERHEAD;
        self.batch_at = self.batch_at.or(Some(now + BATCH));
        if self.batch_size + size > LARGEST_BATCH {
            self.batch_lost += 1;
            self.counts.lost_journal += 1;
        } else {
            self.batch_size += size;
            self.batch.push(line.clone());
        }
        self.queue_size += size;
        self.queue.push_back(line);
        while self.queue_size > LARGEST_QUEUE {
            let Some(gone) = self.queue.pop_front() else { break };
            self.queue_size -= gone.line.len() + OVERHEAD;
            self.queue_lost += 1;
            self.counts.lost_receiver += 1;
        }
    }

    /// What is to be written now, and how many lines more there were.
    pub fn batch(&mut self) -> (Vec<Line>, u64) {
        (self.batch_at, self.batch_size) = (None, 0);
        (std::mem::take(&mut self.batch), std::mem::take(&mut self.batch_lost))
    }

    /// The next line for the receiver, which stays until [`Engine::sent`]. Lines that were lost are told in their place.
    pub fn front(&mut self) -> Option<&Line> {
        let first = self.queue.front()?;
        if self.queue_lost > 0 {
            let words = format!("{} lines were lost here: the receiver was gone for too long", self.queue_lost);
            let line = Line { name: "logd".into(), line: words, stream: "err".into(), ..first.clone() };
            self.queue_lost = 0;
            self.queue_size += line.line.len() + OVERHEAD;
            self.queue.push_front(line);
        }
        self.queue.front()
    }

    /// The receiver has the front.
    pub fn sent(&mut self) {
        if let Some(line) = self.queue.pop_front() {
            self.counts.sent += 1;
            self.queue_size -= line.line.len() + OVERHEAD;
        }
    }

    /// There is nobody to send to.
    pub fn forget_queue(&mut self) {
        self.queue.clear();
        (self.queue_size, self.queue_lost) = (0, 0);
    }
}
