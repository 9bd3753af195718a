//! A log on its way to somebody: a place in a ring, never a copy of it, so that a slow reader costs no memory.
use crate::rings::{Entry, Ring};

/// Somebody's place in a log.
#[derive(Debug)]
pub struct Feed {
    /// Which ring.
    pub log: usize,
    at: u64,
    /// Where it ends; none: it follows.
    end: Option<u64>,
    /// What the ring had lost before we came.
    lost_before: Option<u64>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// This line, already JSON.
    Line(String),
    /// Nothing now.
    Wait,
    /// No more.
    End,
    /// The ring overtook a follower, which has missed lines.
    Overtaken,
}

impl Feed {
    /// All that the ring holds now, and what comes when `follow`.
    pub fn new(log: usize, ring: &Ring, follow: bool) -> Feed {
        Feed { log, at: 0, end: (!follow).then(|| ring.end()), lost_before: ring.lost() }
    }

    /// The next line.
    pub fn next(&mut self, ring: &Ring) -> Next {
        let overtaken = ring.lost() > self.lost_before && ring.lost() >= Some(self.at);
        if self.end.is_none() && overtaken {
            return Next::Overtaken;
        }
        match ring.from(self.at) {
            Some(entry) if self.end.is_none_or(|end| entry.number < end) => {
                self.at = entry.number + 1;
                Next::Line(json(entry))
            }
            _ if self.end.is_some() => Next::End,
            _ => Next::Wait,
        }
    }
}

fn json(entry: &Entry) -> String {
    let line = serde_json::Value::from(&*entry.line);
    format!("{{\"t_ms\":{},\"stream\":\"{}\",\"line\":{line}}}\n", entry.t_ms, entry.stream.word())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rings::Stream;

    fn ring(lines: u64) -> Ring {
        let mut ring = Ring::default();
        for number in 0..lines {
            ring.push(number, Stream::Out, b"x");
        }
        ring
    }

    #[test]
    fn once_through_ends_where_it_began() {
        let mut ring = ring(2);
        let mut feed = Feed::new(0, &ring, false);
        ring.push(9, Stream::Err, b"later");
        assert_eq!(feed.next(&ring), Next::Line("{\"t_ms\":0,\"stream\":\"out\",\"line\":\"x\"}\n".into()));
        assert!(matches!(feed.next(&ring), Next::Line(_)));
        assert_eq!(feed.next(&ring), Next::End);
    }

    #[test]
    fn a_follower_waits_and_goes_on() {
        let mut ring = ring(1);
        let mut feed = Feed::new(0, &ring, true);
        assert!(matches!(feed.next(&ring), Next::Line(_)));
        assert_eq!(feed.next(&ring), Next::Wait);
        ring.push(5, Stream::Err, b"a \"quote\"\t\x1b");
        let json = "{\"t_ms\":5,\"stream\":\"err\",\"line\":\"a \\\"quote\\\"\\t\\u001b\"}\n";
        assert_eq!(feed.next(&ring), Next::Line(json.into()));
        assert_eq!(feed.next(&ring), Next::Wait);
    }

    #[test]
    fn a_slow_follower_is_overtaken_a_slow_reader_is_not() {
        // What was lost before they came does not count.
        let mut ring = ring(500);
        let (mut follower, mut reader) = (Feed::new(0, &ring, true), Feed::new(0, &ring, false));
        assert!(matches!(follower.next(&ring), Next::Line(_)));
        for _ in 0..2 {
            ring.push(0, Stream::Out, b"y");
        }
        assert_eq!(follower.next(&ring), Next::Overtaken);
        assert!(matches!(reader.next(&ring), Next::Line(_)));
    }
}
