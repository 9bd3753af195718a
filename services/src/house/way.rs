//! The way to a server that is written by name or by address: its name is asked for at dnsd, its addresses are tried one
//! after the other. One way at a time; what is said on it is the service's.
use super::asking::Asking;
use super::names::Names;
use crate::perm::place::Place;
use netstack::event::{Loop, Token};
use netstack::time::Instant;
use std::net::{IpAddr, SocketAddr};

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the name is asked for.
    Wait,
    /// This address, unless there is a connection already.
    Connect(SocketAddr),
    /// There will be none, for this reason.
    Over(String),
}

#[derive(Debug)]
struct Goal {
    place: Place,
    until: Instant,
    to: Option<IpAddr>,
    /// Why the last address was of no use.
    why: Option<String>,
}

/// See the module's documentation.
pub struct Way {
    names: Names,
    asking: Asking,
    goal: Option<Goal>,
    hurries: bool,
}

impl Way {
    /// Leads nowhere yet.
    pub fn new() -> Way {
        Way { names: Names::default(), asking: Asking::new(), goal: None, hurries: false }
    }

    /// Begins the way to a place, which is given up at `until`.
    pub fn begin(&mut self, now: Instant, place: Place, until: Instant) {
        let name: Vec<String> = place.host.name().into_iter().map(str::to_owned).collect();
        self.names.follow(now, &name);
        self.names.hurry(now);
        self.goal = Some(Goal { place, until, to: None, why: None });
        self.hurries = true;
    }

    /// Forgets the place, and every name: they may have moved before the next.
    pub fn leave(&mut self, now: Instant) {
        self.goal = None;
        self.names.follow(now, &[]);
    }

    /// It is given up then, instead of when it was to be before.
    pub fn give_up_at(&mut self, until: Instant) {
        if let Some(goal) = &mut self.goal {
            goal.until = until;
        }
    }

    /// When [`Way::turn`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        let until = self.goal.as_ref()?.until;
        Some(self.names.deadline().map_or(until, |at| at.min(until)))
    }

    /// An answer of the name server.
    pub fn answered(&mut self, now: Instant, token: Token) {
        if let Some((id, addresses)) = self.asking.ready(token) {
            self.names.answered(now, id, &addresses);
        }
    }

    /// Whether [`Way::turn`] is to be called again at once.
    pub fn is_eager(&self) -> bool {
        self.hurries
    }

    /// Goes on as far as it goes.
    pub fn turn(&mut self, turn: &Loop, now: Instant) -> Step {
        self.hurries = false;
        let (questions, given_up) = self.names.due(now);
        given_up.into_iter().for_each(|id| self.asking.forget(id));
        for question in questions {
            if self.asking.ask(turn, &question).is_err() {
                self.names.answered(now, question.id, &[]);
            }
        }
        let chosen = self.names.chosen().first().copied();
        let Some(goal) = &mut self.goal else { return Step::Wait };
        let to = goal.place.host.address().or(goal.to).or(chosen);
        if now >= goal.until {
            let missing = if to.is_none() { "its server's name has no address" } else { "it does not answer" };
            return Step::Over(goal.why.take().unwrap_or_else(|| missing.to_owned()));
        }
        goal.to = to;
        to.map_or(Step::Wait, |to| Step::Connect(SocketAddr::new(to, goal.place.port)))
    }

    /// The address was of no use, in words: the name's next one, unless there is none; then the words are the end of it.
    pub fn useless(&mut self, now: Instant, words: String) -> Option<String> {
        let Some(goal) = &mut self.goal else { return Some(words) };
        let Some(address) = goal.to.take().filter(|_| goal.place.host.name().is_some()) else {
            return Some(words);
        };
        self.names.useless(now, address);
        if self.names.chosen().is_empty() {
            return Some(words);
        }
        goal.why = Some(words);
        self.hurries = true;
        None
    }
}
