//! Logs on their way to somebody: places in rings, never a copy of them, so that a slow reader costs no memory.
use crate::rings::{Entry, Ring};

/// A place in one log.
#[derive(Debug)]
struct Place {
    /// Which ring.
    log: usize,
    at: u64,
    /// What the ring had lost before we came.
    lost_before: Option<u64>,
}

/// Somebody's places.
#[derive(Debug)]
pub struct Feed {
    places: Vec<Place>,
    /// Where it ends; none: it follows. Only one log can be read to its end.
    end: Option<u64>,
    /// With every log at once each line has its log's name.
    all: bool,
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

impl Place {
    fn new(log: usize, ring: &Ring) -> Place {
        Place { log, at: 0, lost_before: ring.lost() }
    }

    fn is_overtaken(&self, ring: &Ring) -> bool {
        ring.lost() > self.lost_before && ring.lost() >= Some(self.at)
    }
}

impl Feed {
    /// All that the ring holds now, and what comes when `follow`.
    pub fn new(log: usize, ring: &Ring, follow: bool) -> Feed {
        Feed { places: vec![Place::new(log, ring)], end: (!follow).then(|| ring.end()), all: false }
    }

    /// What comes from now on.
    pub fn from_now(log: usize, ring: &Ring) -> Feed {
        let place = Place { at: ring.end(), ..Place::new(log, ring) };
        Feed { places: vec![place], end: None, all: false }
    }

    /// Whoever follows this log alone has come to its end.
    pub fn end(&mut self, log: usize, ring: &Ring) {
        if !self.all && self.end.is_none() && self.places.iter().any(|place| place.log == log) {
            self.end = Some(ring.end());
        }
    }

    /// Every log, and what comes. Who is too slow misses lines, and is told so in their place.
    pub fn of_all(rings: &[Ring]) -> Feed {
        let places = rings.iter().enumerate().map(|(log, ring)| Place::new(log, ring)).collect();
        Feed { places, end: None, all: true }
    }

    /// The next line, the oldest one first.
    pub fn next(&mut self, rings: &[Ring]) -> Next {
        let Feed { places, end, all } = self;
        let entry_of = |place: &Place| rings.get(place.log).and_then(|ring| ring.from(place.at));
        let older = |place: &&mut Place| entry_of(place).map_or(u64::MAX, |entry| entry.t_ms);
        let Some(place) = places.iter_mut().min_by_key(older) else { return Next::End };
        let Some(ring) = rings.get(place.log) else { return Next::End };
        if end.is_none() && place.is_overtaken(ring) {
            if !*all {
                return Next::Overtaken;
            }
            place.lost_before = ring.lost();
            let t_ms = ring.from(place.at).map_or(0, |entry| entry.t_ms);
            let words = "init: lines were lost here: they came faster than they were read".into();
            let entry = Entry { number: 0, t_ms, stream: crate::rings::Stream::Err, line: words };
            return Next::Line(json(&entry, Some(place.log)));
        }
        match ring.from(place.at) {
            Some(entry) if end.is_none_or(|end| entry.number < end) => {
                place.at = entry.number + 1;
                Next::Line(json(entry, all.then_some(place.log)))
            }
            _ if end.is_some() => Next::End,
            _ => Next::Wait,
        }
    }
}

fn json(entry: &Entry, log: Option<usize>) -> String {
    let line = serde_json::Value::from(&*entry.line);
    let other = |log| if log == rights::INSTALL { "install" } else { "kernel" };
    let name = |log: usize| rights::SERVICES.get(log).map_or_else(|| other(log), |service| service.name);
    let name = log.map(|log| format!("\"name\":\"{}\",", name(log))).unwrap_or_default();
    format!("{{{name}\"t_ms\":{},\"stream\":\"{}\",\"line\":{line}}}\n", entry.t_ms, entry.stream.word())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rings::Stream;

    fn ring(lines: u64) -> [Ring; 1] {
        let mut ring = Ring::default();
        for number in 0..lines {
            ring.push(number, Stream::Out, b"x");
        }
        [ring]
    }

    #[test]
    fn once_through_ends_where_it_began() {
        let mut ring = ring(2);
        let mut feed = Feed::new(0, &ring[0], false);
        ring[0].push(9, Stream::Err, b"later");
        assert_eq!(feed.next(&ring), Next::Line("{\"t_ms\":0,\"stream\":\"out\",\"line\":\"x\"}\n".into()));
        assert!(matches!(feed.next(&ring), Next::Line(_)));
        assert_eq!(feed.next(&ring), Next::End);
    }

    #[test]
    fn a_follower_waits_and_goes_on() {
        let mut ring = ring(1);
        let mut feed = Feed::new(0, &ring[0], true);
        assert!(matches!(feed.next(&ring), Next::Line(_)));
        assert_eq!(feed.next(&ring), Next::Wait);
        ring[0].push(5, Stream::Err, b"a \"quote\"\t\x1b");
        let json = "{\"t_ms\":5,\"stream\":\"err\",\"line\":\"a \\\"quote\\\"\\t\\u001b\"}\n";
        assert_eq!(feed.next(&ring), Next::Line(json.into()));
        assert_eq!(feed.next(&ring), Next::Wait);
    }

    #[test]
    fn who_follows_from_now_on_hears_nothing_old_and_is_told_the_end() {
        let mut ring = ring(2);
        let mut feed = Feed::from_now(0, &ring[0]);
        assert_eq!(feed.next(&ring), Next::Wait);
        ring[0].push(5, Stream::Out, b"new");
        assert!(matches!(feed.next(&ring), Next::Line(line) if line.contains("new")));
        feed.end(1, &ring[0]);
        assert_eq!(feed.next(&ring), Next::Wait, "another log's end");
        ring[0].push(6, Stream::Out, b"last");
        feed.end(0, &ring[0]);
        assert!(matches!(feed.next(&ring), Next::Line(line) if line.contains("last")));
        assert_eq!(feed.next(&ring), Next::End);
    }

    #[test]
    fn a_slow_follower_is_overtaken_a_slow_reader_is_not() {
        // What was lost before they came does not count.
        let mut ring = ring(500);
        let (mut follower, mut reader) = (Feed::new(0, &ring[0], true), Feed::new(0, &ring[0], false));
        assert!(matches!(follower.next(&ring), Next::Line(_)));
        for _ in 0..2 {
            ring[0].push(0, Stream::Out, b"y");
        }
        assert_eq!(follower.next(&ring), Next::Overtaken);
        assert!(matches!(reader.next(&ring), Next::Line(_)));
    }

    #[test]
    fn all_logs_come_in_the_order_of_time_and_by_name() {
        let mut rings: Vec<Ring> = (0..=rights::INSTALL).map(|_| Ring::default()).collect();
        rings[1].push(5, Stream::Err, b"second");
        rings[0].push(3, Stream::Out, b"first");
        rings[rights::KERNEL].push(9, Stream::Kernel, b"third");
        let mut feed = Feed::of_all(&rings);
        let first =
            format!("{{\"name\":\"{}\",\"t_ms\":3,\"stream\":\"out\",\"line\":\"first\"}}\n", rights::SERVICES[0].name);
        assert_eq!(feed.next(&rings), Next::Line(first));
        assert!(matches!(feed.next(&rings), Next::Line(line) if line.contains("second")));
        assert!(matches!(feed.next(&rings), Next::Line(line) if line.contains("\"name\":\"kernel\"")));
        assert_eq!(feed.next(&rings), Next::Wait);
        // Too slow: said once, and it goes on.
        for number in 0..500 {
            rings[1].push(20, Stream::Err, format!("{number}").as_bytes());
        }
        assert!(matches!(feed.next(&rings), Next::Line(line) if line.contains("were lost here")));
        assert!(matches!(feed.next(&rings), Next::Line(line) if line.contains("\"300\"")));
        let rest = std::iter::from_fn(|| Some(feed.next(&rings)).filter(|next| *next != Next::Wait)).count();
        assert_eq!(rest, 199);
    }
}
