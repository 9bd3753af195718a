//! The way to a list: its server's name is asked for at dnsd, one connection for one request, the list read as it comes.
use super::engine::http::{self, Answer, Reading};
use super::engine::{Ask, Fetched};
use crate::blocklist::rules::Reader;
use crate::house::asking::Asking;
use crate::house::names::Names;
use crate::house::tls::{Authorities, Flow, Tls};
use crate::perm::blocklists::Url;
use crate::perm::place::Host;
use netstack::event::{Loop, Token};
use netstack::time::Instant;
use std::net::{IpAddr, SocketAddr};
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
    /// When all must be over, and when the next piece must be there.
    end: Instant,
    until: Instant,
    to: Option<IpAddr>,
    wire: Option<Box<Tls>>,
    reading: Reading,
    list: Reader,
    most: usize,
    /// Why the last address was of no use.
    why: Option<String>,
    /// There is more to do at once.
    hurries: bool,
}

/// The client: one list at a time.
pub struct Client {
    token: Token,
    names: Names,
    asking: Asking,
    open: Option<Box<Open>>,
}

enum Turn {
    Waits,
    Over(Said),
    Moved,
    Useless(String),
}

impl Client {
    /// Its connections have this token.
    pub fn new(token: Token) -> Client {
        Client { token, names: Names::default(), asking: Asking::new(), open: None }
    }

    /// Asks for a list of so many names at most; [`Client::turn`] brings it.
    pub fn ask(&mut self, now: Instant, ask: Ask, most: usize) {
        let url = ask.url.clone();
        self.open = Some(Box::new(Open {
            ask,
            url,
            steps: 0,
            end: now + WHOLE,
            until: now + PATIENCE,
            to: None,
            wire: None,
            reading: Reading::default(),
            list: Reader::default(),
            most,
            why: None,
            hurries: false,
        }));
        self.look_up(now);
    }

    fn look_up(&mut self, now: Instant) {
        let name = match self.open.as_ref().map(|open| &open.url.place.host) {
            Some(Host::Named(name)) => vec![name.clone()],
            _ => Vec::new(),
        };
        self.names.follow(now, &name);
        self.names.hurry(now);
    }

    /// Forgets the list, and every name: they may have moved before the next.
    pub fn hang_up(&mut self, now: Instant) {
        self.open = None;
        self.names.follow(now, &[]);
    }

    /// When [`Client::turn`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        let until = self.open.as_ref()?.until;
        Some(self.names.deadline().map_or(until, |at| at.min(until)))
    }

    /// An answer of the name server.
    pub fn answered(&mut self, now: Instant, token: Token) {
        if let Some((id, addresses)) = self.asking.ready(token) {
            self.names.answered(now, id, &addresses);
        }
    }

    /// Whether [`Client::turn`] is to be called again at once.
    pub fn is_eager(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.hurries)
    }

    /// Goes on as far as it goes. `authorities` are read when they are needed.
    pub fn turn(
        &mut self,
        turn: &Loop,
        now: Instant,
        authorities: impl Fn() -> Result<Authorities, String>,
    ) -> Option<Said> {
        self.open.as_ref()?;
        let (questions, given_up) = self.names.due(now);
        given_up.into_iter().for_each(|id| self.asking.forget(id));
        for question in questions {
            if self.asking.ask(turn, &question).is_err() {
                self.names.answered(now, question.id, &[]);
            }
        }
        let chosen = self.names.chosen().first().copied();
        let open = self.open.as_mut()?;
        open.hurries = false;
        let is_named = matches!(open.url.place.host, Host::Named(_));
        if now >= open.until {
            let missing = if now >= open.end {
                "it takes too long"
            } else if open.wire.is_none() && chosen.is_none() && is_named {
                "its server's name has no address"
            } else {
                "it does not answer"
            };
            return Some(Said::Failed(open.why.take().unwrap_or_else(|| missing.to_owned()), None));
        }
        if open.wire.is_none() {
            let to = match &open.url.place.host {
                Host::At(address) => Some(*address),
                Host::Named(_) => chosen,
            }?;
            open.to = Some(to);
            match open.connect(turn, self.token, to, &authorities) {
                Ok(wire) => open.wire = Some(wire),
                Err(words) => return self.useless(now, words),
            }
        }
        match open.go_on(turn, now) {
            Turn::Waits => None,
            Turn::Over(said) => Some(said),
            Turn::Useless(words) => self.useless(now, words),
            Turn::Moved => {
                self.look_up(now);
                None
            }
        }
    }

    /// This address was of no use: the name's next one, unless there is none.
    fn useless(&mut self, now: Instant, words: String) -> Option<Said> {
        let open = self.open.as_mut()?;
        open.wire = None;
        let Some(address) = open.to.take().filter(|_| matches!(open.url.place.host, Host::Named(_))) else {
            return Some(Said::Failed(words, None));
        };
        self.names.useless(now, address);
        if self.names.chosen().is_empty() {
            return Some(Said::Failed(words, None));
        }
        (open.reading, open.list) = (Reading::default(), Reader::default());
        open.until = (now + PATIENCE).min(open.end);
        (open.why, open.hurries) = (Some(words), true);
        None
    }
}

impl Open {
    fn connect(
        &self,
        turn: &Loop,
        token: Token,
        to: IpAddr,
        authorities: &impl Fn() -> Result<Authorities, String>,
    ) -> Result<Box<Tls>, String> {
        let to = SocketAddr::new(to, self.url.place.port);
        let name = self.url.place.host.to_string();
        let words = |error: std::io::Error| error.to_string();
        let mut tls = Tls::connect(turn, token, &authorities()?, to, &name, self.end).map_err(words)?;
        tls.write(&http::request(&self.url, &self.ask.etag, &self.ask.modified)).map_err(words)?;
        Ok(Box::new(tls))
    }

    fn go_on(&mut self, turn: &Loop, now: Instant) -> Turn {
        let Some(tls) = self.wire.as_mut() else { return Turn::Waits };
        let flow = match tls.turn(turn, now) {
            Ok(flow) => flow,
            Err(error) => return Turn::Useless(error.to_string()),
        };
        let came = tls.received();
        if !came.is_empty() {
            self.until = (now + PATIENCE).min(self.end);
        }
        // What has no length is whole only where its end was said.
        let ended = flow == Flow::Ended;
        let (list, most) = (&mut self.list, self.most);
        match self.reading.read(came, ended, |bytes| list.read(bytes, most)) {
            Ok(None) if flow == Flow::Cut => {
                Turn::Over(Said::Failed("it has hung up in the middle of its answer".to_owned(), None))
            }
            Ok(None) => Turn::Waits,
            Err(words) => Turn::Over(Said::Failed(words, None)),
            Ok(Some(Answer::Same)) => Turn::Over(Said::Same),
            Ok(Some(Answer::Refused(words, after))) => Turn::Over(Said::Failed(words, after)),
            Ok(Some(Answer::Elsewhere(to))) => self.moved(now, &to),
            Ok(Some(Answer::Whole(etag, modified))) => match std::mem::take(&mut self.list).finish(self.most) {
                Ok((keys, rules)) => Turn::Over(Said::Fresh { keys, fetched: Fetched { etag, modified, rules } }),
                Err(words) => Turn::Over(Said::Failed(words, None)),
            },
        }
    }

    fn moved(&mut self, now: Instant, to: &str) -> Turn {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Turn::Over(Said::Failed(format!("it leads on and on, last to {to:?}"), None));
        }
        match http::elsewhere(&self.url, to) {
            Ok(url) => {
                self.url = url;
                (self.wire, self.to, self.why, self.hurries) = (None, None, None, true);
                (self.reading, self.list) = (Reading::default(), Reader::default());
                self.until = (now + PATIENCE).min(self.end);
                Turn::Moved
            }
            Err(words) => Turn::Over(Said::Failed(words, None)),
        }
    }
}
