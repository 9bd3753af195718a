//! The way to a list: its server's name is asked for at dnsd, one connection for one request, the list read as it comes.
use super::engine::http::{self, Answer, Reading};
use super::engine::{Ask, Fetched};
use crate::blocklist::rules::Reader;
use crate::house::tls::{Authorities, Flow, Tls};
use crate::house::way::{Step, Way};
use crate::perm::blocklists::Url;
use netstack::event::{Loop, Token};
use netstack::time::Instant;
use std::net::SocketAddr;
use std::time::Duration;

/// Time for a name, a connection, or the next piece of a list.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time for all of it.
const WHOLE: Duration = Duration::from_secs(900);
/// Redirections that are followed.
const MOST_STEPS: u8 = 5;

/// What came of it.
#[derive(Debug)]
pub enum Said {
    /// The list and its rules.
    Fresh {
        /// The rules.
        keys: Vec<u64>,
        /// What is known of it.
        fetched: Fetched,
    },
    /// It is as it was.
    Same,
    /// It could not be fetched, in words; how long its server wants to be left alone.
    Failed(String, Option<Duration>),
}

struct Open {
    ask: Ask,
    /// Where it is by now.
    url: Url,
    steps: u8,
    /// When all must be over.
    end: Instant,
    wire: Option<Box<Tls>>,
    reading: Reading,
    list: Reader,
    most: usize,
}

/// The client: one list at a time.
pub struct Client {
    token: Token,
    way: Way,
    open: Option<Box<Open>>,
}

enum Turn {
    /// More will come; whether something came just now.
    Waits(bool),
    Over(Said),
    Moved,
    Useless(String),
}

impl Client {
    /// Its connections have this token.
    pub fn new(token: Token) -> Client {
        Client { token, way: Way::new(), open: None }
    }

    /// Asks for a list of so many names at most; [`Client::turn`] brings it.
    pub fn ask(&mut self, now: Instant, ask: Ask, most: usize) {
        let url = ask.url.clone();
        self.way.begin(now, url.place.clone(), now + PATIENCE);
        let (reading, list) = (Reading::default(), Reader::default());
        self.open = Some(Box::new(Open { ask, url, steps: 0, end: now + WHOLE, wire: None, reading, list, most }));
    }

    /// Forgets the list.
    pub fn hang_up(&mut self, now: Instant) {
        self.open = None;
        self.way.leave(now);
    }

    /// When [`Client::turn`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        self.way.deadline()
    }

    /// An answer of the name server.
    pub fn answered(&mut self, now: Instant, token: Token) {
        self.way.answered(now, token);
    }

    /// Whether [`Client::turn`] is to be called again at once.
    pub fn is_eager(&self) -> bool {
        self.open.is_some() && self.way.is_eager()
    }

    /// Goes on as far as it goes. `authorities` are read when they are needed.
    pub fn turn(
        &mut self,
        turn: &Loop,
        now: Instant,
        authorities: impl Fn() -> Result<Authorities, String>,
    ) -> Option<Said> {
        let open = self.open.as_mut()?;
        let to = match self.way.turn(turn, now) {
            Step::Wait => return None,
            Step::Over(_) if now >= open.end => return Some(Said::Failed("it takes too long".to_owned(), None)),
            Step::Over(words) => return Some(Said::Failed(words, None)),
            Step::Connect(to) => to,
        };
        if open.wire.is_none() {
            match open.connect(turn, self.token, to, &authorities) {
                Ok(wire) => open.wire = Some(wire),
                Err(words) => return self.useless(now, words),
            }
        }
        match open.go_on(turn, now) {
            Turn::Waits(came) => {
                if came {
                    self.way.give_up_at((now + PATIENCE).min(open.end));
                }
                None
            }
            Turn::Over(said) => Some(said),
            Turn::Useless(words) => self.useless(now, words),
            Turn::Moved => {
                open.afresh();
                self.way.begin(now, open.url.place.clone(), (now + PATIENCE).min(open.end));
                None
            }
        }
    }

    /// This address was of no use: the name's next one, unless there is none.
    fn useless(&mut self, now: Instant, words: String) -> Option<Said> {
        let open = self.open.as_mut()?;
        open.afresh();
        if let Some(words) = self.way.useless(now, words) {
            return Some(Said::Failed(words, None));
        }
        self.way.give_up_at((now + PATIENCE).min(open.end));
        None
    }
}

impl Open {
    /// Nothing of the last connection counts for the next one.
    fn afresh(&mut self) {
        (self.wire, self.reading, self.list) = (None, Reading::default(), Reader::default());
    }

    fn connect(
        &self,
        turn: &Loop,
        token: Token,
        to: SocketAddr,
        authorities: &impl Fn() -> Result<Authorities, String>,
    ) -> Result<Box<Tls>, String> {
        let name = self.url.place.host.to_string();
        let words = |error: std::io::Error| error.to_string();
        let mut tls = Tls::connect(turn, token, &authorities()?, to, &name, self.end).map_err(words)?;
        tls.write(&http::request(&self.url, &self.ask.etag, &self.ask.modified)).map_err(words)?;
        Ok(Box::new(tls))
    }

    fn go_on(&mut self, turn: &Loop, now: Instant) -> Turn {
        let Some(tls) = self.wire.as_mut() else { return Turn::Waits(false) };
        let flow = match tls.turn(turn, now) {
            Ok(flow) => flow,
            Err(error) => return Turn::Useless(error.to_string()),
        };
        let came = tls.received();
        let something = !came.is_empty();
        // What has no length is whole only where its end was said.
        let ended = flow == Flow::Ended;
        let (list, most) = (&mut self.list, self.most);
        match self.reading.read(came, ended, |bytes| list.read(bytes, most)) {
            Ok(None) if flow == Flow::Cut => {
                Turn::Over(Said::Failed("it has hung up in the middle of its answer".to_owned(), None))
            }
            Ok(None) => Turn::Waits(something),
            Err(words) => Turn::Over(Said::Failed(words, None)),
            Ok(Some(Answer::Same)) => Turn::Over(Said::Same),
            Ok(Some(Answer::Refused(words, after))) => Turn::Over(Said::Failed(words, after)),
            Ok(Some(Answer::Elsewhere(to))) => self.moved(&to),
            Ok(Some(Answer::Whole(etag, modified))) => match std::mem::take(&mut self.list).finish(self.most) {
                Ok((keys, rules)) => Turn::Over(Said::Fresh { keys, fetched: Fetched { etag, modified, rules } }),
                Err(words) => Turn::Over(Said::Failed(words, None)),
            },
        }
    }

    fn moved(&mut self, to: &str) -> Turn {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Turn::Over(Said::Failed(format!("it leads on and on, last to {to:?}"), None));
        }
        match http::elsewhere(&self.url, to) {
            Ok(url) => {
                self.url = url;
                Turn::Moved
            }
            Err(words) => Turn::Over(Said::Failed(words, None)),
        }
    }
}
