//! backupd's answer on its way to a browser that has come over TLS: backupd has no certificate, and a page that came over TLS
//! may fetch nothing that does not. Nothing of it is held whole, and nothing of it is looked at.
use crate::web::{Flow, Source};
use netstack::event::{Interest, Loop, Token};
use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

/// The first token, and as many behind it; what is followed comes after them.
const FIRST: u64 = 1 << 16;
const PORT: u16 = 8077;
/// Who listens on loopback takes a connection at once, unless its queue is full.
const CONNECT: Duration = Duration::from_millis(100);
const PIECE: u64 = 32 << 10;

/// The answers that are on their way.
#[derive(Debug, Default)]
pub struct Passages {
    open: Vec<Passage>,
    last: u64,
}

#[derive(Debug)]
struct Passage {
    number: u64,
    asker: Token,
    stream: TcpStream,
    dry: Rc<Cell<bool>>,
    waits: bool,
}

/// The end of it that the browser's connection holds.
#[derive(Debug)]
struct End {
    stream: TcpStream,
    dry: Rc<Cell<bool>>,
}

impl Passages {
    /// Whether a token is one of these.
    pub fn owns(token: Token) -> bool {
        (FIRST..FIRST << 1).contains(&token.0)
    }

    /// Asks backupd, in the words in which its asker has said who it is.
    ///
    /// # Errors
    /// In words, when it does not listen.
    pub fn begin(&mut self, turn: &Loop, asker: Token, authorization: &str) -> Result<Box<dyn Source>, String> {
        let silent = |error: io::Error| format!("backupd does not answer: {error}");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        let mut stream = TcpStream::connect_timeout(&address, CONNECT).map_err(silent)?;
        let question =
            format!("GET /backup.tar.gz HTTP/1.1\r\nHost: {address}\r\nAuthorization: {authorization}\r\n\r\n");
        // A fresh socket takes a head at once.
        stream.write_all(question.as_bytes()).map_err(silent)?;
        stream.set_nonblocking(true).map_err(silent)?;
        self.last = (self.last + 1) % FIRST;
        let number = FIRST + self.last;
        turn.add(&stream, Token(number), Interest::NONE).map_err(silent)?;
        let dry = Rc::new(Cell::new(false));
        let end = End { stream: stream.try_clone().map_err(silent)?, dry: Rc::clone(&dry) };
        self.open.push(Passage { number, asker, stream, dry, waits: false });
        Ok(Box::new(end))
    }

    /// backupd has said more: whose connection can go on.
    pub fn ready(&mut self, token: Token) -> Option<Token> {
        let passage = self.open.iter_mut().find(|passage| passage.number == token.0)?;
        passage.dry.take().then_some(passage.asker)
    }

    /// Waits for more where there is none, and forgets what is over.
    pub fn settle(&mut self, turn: &Loop, is_open: impl Fn(Token) -> bool) {
        self.open.retain(|passage| is_open(passage.asker));
        for passage in &mut self.open {
            let dry = passage.dry.get();
            if std::mem::replace(&mut passage.waits, dry) != dry {
                let interest = if dry { Interest::READ } else { Interest::NONE };
                if let Err(error) = turn.modify(&passage.stream, Token(passage.number), interest) {
                    log::error!("backupd's connection: {error}");
                }
            }
        }
    }
}

impl Source for End {
    fn more(&mut self, into: &mut Vec<u8>) -> io::Result<Flow> {
        let before = into.len();
        match (&mut self.stream).take(PIECE).read_to_end(into) {
            // Without an error it was the end, unless the piece was full.
            Ok(read) if read as u64 == PIECE => Ok(Flow::More),
            Ok(_) => Ok(Flow::End),
            Err(error) if error.kind() == ErrorKind::WouldBlock && into.len() > before => Ok(Flow::More),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.dry.set(true);
                Ok(Flow::Later)
            }
            Err(error) => Err(error),
        }
    }
}
