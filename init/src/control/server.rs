//! The control socket's connections: few, bounded, never waited for.
use super::feed::{Feed, Next};
use super::{OK, error, level};
use crate::rings::Ring;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rights::Control;
use std::io::{ErrorKind, Read, Result, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

/// Where it is.
const PATH: &str = "/run/init.sock";
/// Connections at a time.
const CONNECTIONS: usize = 16;
/// Bytes of a request, its end included.
const REQUEST: usize = 4096;
/// An answer begins to wait for its reader at so many bytes.
const ANSWER: usize = 16 * 1024;
/// Writes to one connection in one turn of the loop.
const WRITES: usize = 4;

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    level: Control,
    input: Vec<u8>,
    output: Vec<u8>,
    feed: Option<Feed>,
    /// The other side says no more: what is asked for is answered, then we part.
    last: bool,
    interest: EpollFlags,
}

/// All connections, each in a numbered place.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    places: [Option<Connection>; CONNECTIONS],
    /// The epoll number of place 0.
    base: u64,
}

impl Server {
    /// Opens the socket; connections get the epoll numbers from `base` on, the listener `listen`.
    ///
    /// # Errors
    /// When `/run` or epoll refuses.
    pub fn open(epoll: &Epoll, listen: u64, base: u64) -> Result<Server> {
        let listener = UnixListener::bind(PATH)?;
        // Everybody may knock; the peer's uid decides.
        std::fs::set_permissions(PATH, std::fs::Permissions::from_mode(0o666))?;
        listener.set_nonblocking(true)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, listen))?;
        Ok(Server { listener, places: [const { None }; CONNECTIONS], base })
    }

    /// Takes one who knocks; closes the door at once to those without rights, and when all places are taken.
    pub fn accept(&mut self, epoll: &Epoll) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        let level = getsockopt(&stream, PeerCredentials).map_or(Control::None, |peer| level(peer.uid()));
        let Some(place) = self.places.iter().position(Option::is_none).filter(|_| level > Control::None) else {
            return;
        };
        let interest = EpollFlags::EPOLLIN;
        let event = EpollEvent::new(interest, self.base + place as u64);
        if stream.set_nonblocking(true).is_ok() && epoll.add(&stream, event).is_ok() {
            let (input, output) = (Vec::new(), Vec::new());
            self.places[place] = Some(Connection { stream, level, input, output, feed: None, last: false, interest });
        }
    }

    /// Reads what a connection has to say, once.
    pub fn receive(&mut self, place: usize, events: EpollFlags) {
        let Some(Some(connection)) = self.places.get_mut(place) else { return };
        let readable = events.contains(EpollFlags::EPOLLIN);
        let gone = events.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        let alive = !readable || connection.receive();
        // Who asks and leaves at once is still heard: it is gone when nothing is left to read.
        if !alive || gone && (connection.last || !readable) {
            self.places[place] = None;
        }
    }

    /// The next whole request, with the asker's rights; none while an answer is still on its way.
    pub fn next_request(&mut self, place: usize) -> Option<(Control, Vec<u8>)> {
        let connection = self.places.get_mut(place)?.as_mut()?;
        if connection.feed.is_some() || connection.output.len() >= ANSWER {
            return None;
        }
        let end = connection.input.iter().position(|byte| *byte == b'\n')?;
        let mut line: Vec<u8> = connection.input.drain(..=end).collect();
        line.pop();
        Some((connection.level, line))
    }

    /// Answers.
    pub fn answer(&mut self, place: usize, result: std::result::Result<(), String>) {
        match result {
            Ok(()) => self.say(place, OK),
            Err(why) => self.say(place, &error(&why)),
        }
    }

    /// Sends a text.
    pub fn say(&mut self, place: usize, text: &str) {
        if let Some(Some(connection)) = self.places.get_mut(place) {
            connection.output.extend_from_slice(text.as_bytes());
        }
    }

    /// Sends a log.
    pub fn feed(&mut self, place: usize, feed: Feed) {
        if let Some(Some(connection)) = self.places.get_mut(place) {
            connection.feed = Some(feed);
        }
    }

    /// Gives the connection away: who gets it answers, and whoever asked sees its end.
    pub fn take(&mut self, place: usize, epoll: &Epoll) -> Option<UnixStream> {
        let connection = self.places.get_mut(place)?.take()?;
        // The description lives on elsewhere, and with it epoll's interest.
        epoll.delete(&connection.stream).ok()?;
        Some(connection.stream)
    }

    /// Tells whoever follows this log that it is over.
    pub fn end_feeds(&mut self, log: usize, ring: &Ring) {
        for feed in self.places.iter_mut().flatten().filter_map(|connection| connection.feed.as_mut()) {
            feed.end(log, ring);
        }
    }

    /// Sends what can be sent, and closes what is over.
    pub fn flush(&mut self, place: usize, rings: &[Ring], epoll: &Epoll) {
        let Some(Some(connection)) = self.places.get_mut(place) else { return };
        let number = self.base + place as u64;
        if !connection.send(rings) || connection.is_over() || !connection.settle(epoll, number) {
            self.places[place] = None;
        }
    }

    /// Sends new lines to all who follow a log.
    pub fn flush_followers(&mut self, rings: &[Ring], epoll: &Epoll) {
        for place in 0..CONNECTIONS {
            if self.places[place].as_ref().is_some_and(|connection| connection.feed.is_some()) {
                self.flush(place, rings, epoll);
            }
        }
    }
}

impl Connection {
    /// False when the connection is no use any more.
    fn receive(&mut self) -> bool {
        let mut buffer = [0u8; REQUEST];
        let room = REQUEST.saturating_sub(self.input.len());
        match self.stream.read(&mut buffer[..room]) {
            Ok(0) => self.last = true,
            Ok(length) => {
                self.input.extend_from_slice(&buffer[..length]);
                if self.input.len() >= REQUEST && !self.input.contains(&b'\n') {
                    self.input.clear();
                    self.output.extend_from_slice(error("a request has at most 4096 bytes").as_bytes());
                    self.last = true;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return false,
        }
        true
    }

    /// False when the connection is to be dropped.
    fn send(&mut self, rings: &[Ring]) -> bool {
        for _ in 0..WRITES {
            if !self.refill(rings) {
                return false;
            }
            if self.output.is_empty() {
                return true;
            }
            match self.stream.write(&self.output) {
                Ok(length) => drop(self.output.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Puts lines of the log into the answer, up to its bound; false when a follower was too slow.
    fn refill(&mut self, rings: &[Ring]) -> bool {
        let Some(feed) = &mut self.feed else { return true };
        while self.output.len() < ANSWER {
            match feed.next(rings) {
                Next::Line(line) => self.output.extend_from_slice(line.as_bytes()),
                Next::Wait => return true,
                Next::End => {
                    self.output.extend_from_slice(b"{\"end\":true}\n");
                    self.feed = None;
                    return true;
                }
                Next::Overtaken => return false,
            }
        }
        true
    }

    fn is_over(&self) -> bool {
        self.last && self.output.is_empty() && self.feed.is_none() && !self.input.contains(&b'\n')
    }

    /// Tells epoll what we wait for now; false when it refuses.
    fn settle(&mut self, epoll: &Epoll, number: u64) -> bool {
        let mut interest = EpollFlags::empty();
        // Somebody who asks faster than it listens is not read: the bytes wait in its own socket.
        interest.set(EpollFlags::EPOLLIN, !self.last && self.input.len() < REQUEST);
        interest.set(EpollFlags::EPOLLOUT, !self.output.is_empty());
        if interest != self.interest {
            self.interest = interest;
            return epoll.modify(&self.stream, &mut EpollEvent::new(interest, number)).is_ok();
        }
        true
    }
}
