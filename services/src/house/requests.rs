//! Requests from other services: one line of JSON on `/run/NAME.sock`, answered by one line; who may ask stands in the
//! table of rights.
use super::{Failure, House};
use netstack::event::{Interest, Loop, Token};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

/// The first token of the sockets; a service's own are smaller.
pub const FIRST: u64 = 1 << 33;
/// Connections at a time; one more takes the place of the first.
const PLACES: usize = 8;
/// Bytes of a request, its end included.
const LONGEST: usize = 2 << 20;

/// An answer: a line, and perhaps a descriptor with it.
#[derive(Debug)]
pub struct Said(String, Option<OwnedFd>);

impl Said {
    /// A line that carries a descriptor.
    pub fn with(line: String, descriptor: OwnedFd) -> Said {
        Said(line, Some(descriptor))
    }
}

impl From<String> for Said {
    fn from(line: String) -> Said {
        Said(line, None)
    }
}

struct Connection {
    stream: UnixStream,
    asker: u32,
    input: Vec<u8>,
    /// Its number, while its answer is still to come.
    waits: Option<u64>,
}

/// What a request is answered with.
pub enum Reply {
    /// This, and then no more.
    Now(Said),
    /// Lines that come by [`Requests::say`], until [`Requests::end`].
    Later,
}

/// The socket and its connections.
pub struct Requests {
    name: &'static str,
    listener: UnixListener,
    places: [Option<Connection>; PLACES],
    next: usize,
    asked: u64,
}

impl Requests {
    /// Opens the socket of a service. It lies in the service's own folder; PID 1 has put a link to it in `/run`.
    ///
    /// # Errors
    /// When the folder does not take it.
    pub fn open(house: &House, turn: &Loop, name: &'static str) -> Result<Requests, Failure> {
        let path = house.path(&format!("/run/{name}/sock"));
        let failed = |error| Failure::during(path.display())(error);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        // Of a life that has ended.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(failed)?;
        // Everybody may knock; the peer's uid decides.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        turn.add(&listener, Token(FIRST), Interest::READ)?;
        Ok(Requests { name, listener, places: [const { None }; PLACES], next: 0, asked: 0 })
    }

    /// Whether a token is one of the sockets'.
    pub fn owns(token: Token) -> bool {
        token.0 >= FIRST
    }

    /// The user who asks at a token; nobody (`u32::MAX`) at one that is no connection.
    pub fn asker(&self, token: Token) -> u32 {
        let place = token.0.checked_sub(FIRST + 1).and_then(|place| self.places.get(place as usize));
        place.and_then(Option::as_ref).map_or(u32::MAX, |connection| connection.asker)
    }

    /// Takes who knocks, and answers a request that is whole.
    pub fn ready<A: Into<Said>>(&mut self, turn: &Loop, token: Token, answer: impl FnOnce(&[u8]) -> A) {
        self.take(turn, token, |_, line| Reply::Now(answer(line).into()));
    }

    /// The same where an answer may take its time; the number is the request's, for [`Requests::say`].
    pub fn take(&mut self, turn: &Loop, token: Token, answer: impl FnOnce(u64, &[u8]) -> Reply) {
        match token.0.checked_sub(FIRST + 1) {
            None => self.accept(turn),
            Some(place) => self.receive(place as usize, answer),
        }
    }

    /// Sends lines of an answer that takes its time; says whether somebody still listens.
    pub fn say(&mut self, request: u64, lines: &str) -> bool {
        let Some(place) = self.place(request) else { return false };
        let sent = self.places[place].as_mut().map(|connection| connection.stream.write_all(lines.as_bytes()));
        if !matches!(sent, Some(Ok(()))) {
            self.places[place] = None;
        }
        self.places[place].is_some()
    }

    /// Ends such an answer.
    pub fn end(&mut self, request: u64) {
        if let Some(place) = self.place(request) {
            self.places[place] = None;
        }
    }

    /// Whether somebody still waits for it.
    pub fn waits(&self, request: u64) -> bool {
        self.place(request).is_some()
    }

    fn place(&self, request: u64) -> Option<usize> {
        self.places.iter().position(|place| place.as_ref().is_some_and(|open| open.waits == Some(request)))
    }

    fn accept(&mut self, turn: &Loop) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        let own = nix::unistd::getuid().as_raw();
        let Ok(asker) = getsockopt(&stream, PeerCredentials).map(|peer| peer.uid()) else { return };
        if asker != own && !rights::may_ask(asker, self.name) {
            return;
        }
        let place = self.places.iter().position(Option::is_none).unwrap_or(self.next);
        self.next = (place + 1) % PLACES;
        let token = Token(FIRST + 1 + place as u64);
        self.places[place] = None;
        if stream.set_nonblocking(true).is_ok() && turn.add(&stream, token, Interest::READ).is_ok() {
            self.places[place] = Some(Connection { stream, asker, input: Vec::new(), waits: None });
        }
    }

    fn receive(&mut self, place: usize, answer: impl FnOnce(u64, &[u8]) -> Reply) {
        let Some(Some(connection)) = self.places.get_mut(place) else { return };
        let mut bytes = [0; 16 << 10];
        let count = match connection.stream.read(&mut bytes) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => 0,
        };
        if connection.waits.is_some() {
            // What is said meanwhile means nothing, unless it is the end.
            if count == 0 {
                self.places[place] = None;
            }
            return;
        }
        connection.input.extend_from_slice(&bytes[..count]);
        let whole = connection.input.iter().position(|byte| *byte == b'\n');
        let said = match whole {
            Some(end) => {
                self.asked += 1;
                match answer(self.asked, &connection.input[..end]) {
                    Reply::Now(said) => said,
                    Reply::Later => {
                        connection.input = Vec::new();
                        connection.waits = Some(self.asked);
                        return;
                    }
                }
            }
            None if connection.input.len() >= LONGEST => {
                error(&format!("a request has at most {LONGEST} bytes")).into()
            }
            None if count > 0 => return,
            None => Said::from(String::new()),
        };
        // A fresh socket takes an answer whole; who asks and does not listen misses it.
        let _ = match &said {
            Said(line, None) => connection.stream.write_all(line.as_bytes()),
            Said(line, Some(descriptor)) => {
                netstack::pass::send(&connection.stream, line.as_bytes(), descriptor.as_fd()).map(drop)
            }
        };
        self.places[place] = None;
    }
}

/// The answer to what is not done, and why.
pub fn error(why: &str) -> String {
    format!("{}\n", serde_json::json!({"error": why}))
}
