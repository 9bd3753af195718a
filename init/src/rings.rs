//! The last lines of each service and of the kernel, in bounded memory.
use std::collections::VecDeque;

/// Lines kept of each stream.
const LINES: usize = 200;
/// Bytes kept of each line.
pub const LINE_BYTES: usize = 1_000;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Descriptor 1.
    Out,
    /// Descriptor 2, and PID 1's own remarks on the service.
    Err,
    /// The kernel's log.
    Kernel,
}

impl Stream {
    /// Its word on the control socket.
    pub fn word(self) -> &'static str {
        match self {
            Stream::Out => "out",
            Stream::Err => "err",
            Stream::Kernel => "kernel",
        }
    }
}

/// One line of a log.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log, over all streams.
    pub number: u64,
    /// When, by `CLOCK_BOOTTIME`.
    pub t_ms: u64,
    /// From where.
    pub stream: Stream,
    /// What.
    pub line: Box<str>,
}

/// The log of one service, or of the kernel: a ring for `Out`, one for everything else, so that chatter on the one
/// cannot push the errors out of the other.
#[derive(Debug, Default)]
pub struct Ring {
    out: VecDeque<Entry>,
    rest: VecDeque<Entry>,
    next: u64,
    lost: Option<u64>,
}

impl Ring {
    /// Adds a line, cut to its bound; the oldest of its stream goes when the ring is full.
    pub fn push(&mut self, t_ms: u64, stream: Stream, text: &[u8]) {
        let line = String::from_utf8_lossy(text.get(..LINE_BYTES).unwrap_or(text)).into();
        let entry = Entry { number: self.next, t_ms, stream, line };
        self.next += 1;
        let ring = if stream == Stream::Out { &mut self.out } else { &mut self.rest };
        if ring.len() >= LINES {
            self.lost = self.lost.max(ring.pop_front().map(|gone| gone.number));
        }
        ring.push_back(entry);
    }

    /// The first line from a place on, in the order in which lines came.
    pub fn from(&self, number: u64) -> Option<&Entry> {
        let first = |ring: &'_ VecDeque<Entry>| ring.partition_point(|entry| entry.number < number);
        let found = [self.out.get(first(&self.out)), self.rest.get(first(&self.rest))];
        found.into_iter().flatten().min_by_key(|entry| entry.number)
    }

    /// The place of the line that comes next.
    pub fn end(&self) -> u64 {
        self.next
    }

    /// The latest line that has been pushed out.
    pub fn lost(&self) -> Option<u64> {
        self.lost
    }

    /// The latest line of `Err`, for the console.
    pub fn last_words(&self) -> &str {
        self.rest.back().map_or("", |entry| &entry.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(ring: &Ring) -> Vec<String> {
        let mut at = 0;
        std::iter::from_fn(|| {
            let entry = ring.from(at)?;
            at = entry.number + 1;
            Some(format!("{} {} {}", entry.t_ms, entry.stream.word(), entry.line))
        })
        .collect()
    }

    #[test]
    fn streams_merge_in_order() {
        let mut ring = Ring::default();
        ring.push(1, Stream::Out, b"a");
        ring.push(2, Stream::Err, b"b");
        ring.push(3, Stream::Out, b"c");
        assert_eq!(all(&ring), ["1 out a", "2 err b", "3 out c"]);
        assert_eq!(ring.last_words(), "b");
        assert_eq!((ring.end(), ring.lost()), (3, None));
    }

    #[test]
    fn a_flood_on_one_stream_leaves_the_other() {
        let mut ring = Ring::default();
        ring.push(0, Stream::Err, b"precious");
        for number in 1..=1000 {
            ring.push(number, Stream::Out, format!("{number}").as_bytes());
        }
        let lines = all(&ring);
        assert_eq!(lines.len(), 201);
        assert_eq!(lines[0], "0 err precious");
        assert_eq!(lines[1], "801 out 801");
        assert_eq!(ring.lost(), Some(800));
    }

    #[test]
    fn lines_are_cut_even_inside_a_character() {
        let mut ring = Ring::default();
        ring.push(0, Stream::Out, "ü".repeat(600).as_bytes());
        assert_eq!(ring.from(0).unwrap().line.chars().count(), 500);
        ring.push(0, Stream::Out, b"\xff\xfe");
        assert_eq!(&*ring.from(1).unwrap().line, "\u{fffd}\u{fffd}");
    }
}
