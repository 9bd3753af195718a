//! Bytes from a pipe into lines of bounded length.

/// A line that came out.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A whole line, without its end.
    Whole(&'a [u8]),
    /// The beginning of a line that was longer than allowed; the rest is lost.
    Cut(&'a [u8]),
}

/// Collects one stream's bytes until a line is whole.
#[derive(Debug)]
pub struct Lines {
    most: usize,
    begun: Vec<u8>,
    cut: bool,
}

impl Lines {
    /// Lines of at most so many bytes.
    pub fn new(most: usize) -> Lines {
        Lines { most, begun: Vec::new(), cut: false }
    }

    /// Takes what was read and hands out each line that is whole now.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(Line<'_>)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            let room = self.most.saturating_sub(self.begun.len());
            self.cut |= text.len() > room;
            self.begun.extend_from_slice(text.get(..room).unwrap_or(text));
            if ended {
                self.finish(&mut take);
            }
        }
    }

    /// The stream is over: what has begun is a line.
    pub fn end(&mut self, mut take: impl FnMut(Line<'_>)) {
        if !self.begun.is_empty() {
            self.finish(&mut take);
        }
    }

    fn finish(&mut self, take: &mut impl FnMut(Line<'_>)) {
        take(if self.cut { Line::Cut(&self.begun) } else { Line::Whole(&self.begun) });
        self.begun.clear();
        self.cut = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &mut Lines, bytes: &[u8]) -> Vec<(String, bool)> {
        let mut out = Vec::new();
        lines.feed(bytes, |line| {
            let (text, cut) = match line {
                Line::Whole(text) => (text, false),
                Line::Cut(text) => (text, true),
            };
            out.push((String::from_utf8_lossy(text).into_owned(), cut));
        });
        out
    }

    #[test]
    fn lines_come_out_whole() {
        let mut it = Lines::new(10);
        assert_eq!(lines(&mut it, b"one\ntw"), [("one".into(), false)]);
        assert_eq!(lines(&mut it, b"o\n\n"), [("two".into(), false), (String::new(), false)]);
        assert_eq!(lines(&mut it, b"1234567890\n"), [("1234567890".into(), false)]);
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_is_not() {
        let mut it = Lines::new(4);
        assert_eq!(lines(&mut it, b"123"), []);
        assert_eq!(lines(&mut it, b"456"), []);
        assert_eq!(lines(&mut it, b"789\nab\n"), [("1234".into(), true), ("ab".into(), false)]);
        // A flood without an end costs no memory.
        for _ in 0..1000 {
            assert_eq!(lines(&mut it, &[b'x'; 4096]), []);
        }
        assert!(it.begun.capacity() < 64);
    }

    #[test]
    fn the_last_words_count() {
        let mut it = Lines::new(10);
        lines(&mut it, b"dying");
        let mut last = Vec::new();
        it.end(|line| last.push(format!("{line:?}")));
        assert_eq!(last.len(), 1);
        it.end(|_| panic!("said twice"));
    }
}
