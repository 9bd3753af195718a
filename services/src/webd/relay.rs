//! A file that a browser sends, on its way to updated, which alone writes a slot: nothing of it is held whole, and who sends
//! waits for who writes.
//!
//! updated is spoken to as `weir update` does (port 8078, on loopback). It asks webd who that is; the answer is a ticket of this
//! one update, good for one question.
use crate::web::Sink;
use netstack::event::{Interest, Loop, Token};
use netstack::time::Instant;
use serde_json::{Value, json};
use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

/// updated's connection in webd's loop.
pub const TOKEN: Token = Token(2);
const PORT: u16 = 8078;
/// Who listens on loopback takes a connection at once, unless its queue is full.
const CONNECT: Duration = Duration::from_millis(100);
/// How long updated may say nothing at all; it checks what it has written between two words.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of its words.
const LARGEST: usize = 64 << 10;

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until more comes.
    Wait,
    /// It is let in: the file may come.
    Take,
    /// It can take more.
    Resume,
    /// It is over; what to tell who has sent it.
    Over(u16, Value),
}

/// The way of one file.
#[derive(Debug)]
pub struct Relay {
    /// The connection of the browser.
    pub asker: Token,
    /// When it is given up.
    pub deadline: Instant,
    stream: TcpStream,
    ticket: Option<String>,
    admitted: bool,
    full: Rc<Cell<bool>>,
    waits: bool,
    said: Vec<u8>,
}

/// The end of it that the browser's connection holds.
#[derive(Debug)]
struct End {
    stream: TcpStream,
    full: Rc<Cell<bool>>,
}

impl Relay {
    /// Knocks at updated's; `ticket` is random.
    ///
    /// # Errors
    /// In words, when it does not listen.
    pub fn begin(turn: &Loop, now: Instant, asker: Token, ticket: String) -> Result<Relay, String> {
        let silent = |error: io::Error| format!("updated does not answer: {error}");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        let mut stream = TcpStream::connect_timeout(&address, CONNECT).map_err(silent)?;
        // A fresh socket takes so few bytes at once.
        stream.write_all(format!("{}\n", json!({"token": ticket})).as_bytes()).map_err(silent)?;
        stream.set_nonblocking(true).map_err(silent)?;
        turn.add(&stream, TOKEN, Interest::READ).map_err(silent)?;
        let (full, said) = (Rc::new(Cell::new(false)), Vec::new());
        let deadline = now + PATIENCE;
        Ok(Relay { asker, deadline, stream, ticket: Some(ticket), admitted: false, full, waits: false, said })
    }

    /// Whether this is the ticket, which is then used up.
    pub fn is_ticket(&mut self, said: &str) -> bool {
        let sum = |text: &str| -> [u8; 32] {
            use blake2::digest::Digest;
            blake2::Blake2s256::digest(text.as_bytes()).into()
        };
        self.ticket.take_if(|ticket| crate::password::equal(&sum(ticket), &sum(said))).is_some()
    }

    /// Where the file goes.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn sink(&self) -> io::Result<Box<dyn Sink>> {
        Ok(Box::new(End { stream: self.stream.try_clone()?, full: Rc::clone(&self.full) }))
    }

    /// Its connection is ready.
    pub fn ready(&mut self, now: Instant, writable: bool) -> Next {
        let mut bytes = [0; 4_096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return self.over(),
                Ok(count) => {
                    self.said.extend_from_slice(&bytes[..count]);
                    self.deadline = now + PATIENCE;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.over(),
            }
            if self.said.len() > LARGEST {
                return self.over();
            }
        }
        if self.last().is_some_and(|said| said.get("error").is_some() || said.get("slot").is_some()) {
            return self.over();
        }
        if !self.admitted && self.last().is_some_and(|said| said["ok"] == true) {
            self.admitted = true;
            return Next::Take;
        }
        if writable && self.full.take() { Next::Resume } else { Next::Wait }
    }

    /// Is told of room only while there is none.
    pub fn settle(&mut self, turn: &Loop) {
        let full = self.full.get();
        if self.waits != full {
            self.waits = full;
            let interest = if full { Interest::BOTH } else { Interest::READ };
            if let Err(error) = turn.modify(&self.stream, TOKEN, interest) {
                log::error!("updated's connection: {error}");
            }
        }
    }

    /// The last whole line.
    fn last(&self) -> Option<Value> {
        let whole = self.said.iter().rposition(|byte| *byte == b'\n')?;
        let line = self.said.get(..whole)?.rsplit(|byte| *byte == b'\n').next()?;
        serde_json::from_slice(line).ok()
    }

    fn over(&self) -> Next {
        match self.last() {
            Some(said) if said.get("slot").is_some() => Next::Over(200, said),
            Some(said) if said.get("error").is_some() => Next::Over(409, json!({"error": said["error"]})),
            _ => Next::Over(503, json!({"error": "updated broke off: its log says why"})),
        }
    }
}

impl Sink for End {
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.full.set(true);
                Ok(0)
            }
            taken => taken,
        }
    }

    fn done(&mut self) {
        // Whoever reads there sees the end.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}
