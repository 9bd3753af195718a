//! Questions to other services on behalf of requests that wait meanwhile; who does not answer in time has not answered.
use super::question::Question;
use netstack::event::{Interest, Loop, Token};
use netstack::time::Instant;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// The first token of the questions; a service's own, its server's and its requests' are smaller.
pub const FIRST: u64 = 1 << 34;
/// Questions at a time.
const MOST: usize = 8;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer: its line, and the descriptor that came with it.
pub type Said = (Vec<u8>, Option<OwnedFd>);

#[derive(Debug)]
struct Pending {
    number: u64,
    asker: Token,
    question: Question,
    deadline: Instant,
}

/// The questions that are open.
#[derive(Debug, Default)]
pub struct Questions {
    pending: Vec<Pending>,
    last: u64,
}

impl Questions {
    /// Whether a token is one of the questions'.
    pub fn owns(token: Token) -> bool {
        token.0 >= FIRST
    }

    /// When [`Questions::tick`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.deadline).min()
    }

    /// Asks on a socket; `asker` is the connection whose request waits.
    ///
    /// # Errors
    /// When nobody listens there, or too many questions are open.
    pub fn ask(&mut self, turn: &Loop, now: Instant, path: &Path, line: &str, asker: Token) -> io::Result<()> {
        if self.pending.len() >= MOST {
            return Err(ErrorKind::ResourceBusy.into());
        }
        let question = Question::ask(path, line)?;
        self.last += 1;
        let number = FIRST + self.last;
        turn.add(&question.stream, Token(number), Interest::READ)?;
        self.pending.push(Pending { number, asker, question, deadline: now + PATIENCE });
        Ok(())
    }

    /// A question's token is ready: whose it was, and the answer; none in its place = there will be none.
    pub fn ready(&mut self, token: Token) -> Option<(Token, Option<Said>)> {
        let at = self.pending.iter().position(|pending| pending.number == token.0)?;
        let question = &mut self.pending.get_mut(at)?.question;
        let mut lines = Vec::new();
        let open = question.read(&mut lines);
        let said = match lines.into_iter().next() {
            Some(line) => Some((line, question.descriptor())),
            None if open.is_ok_and(|open| open) => return None,
            None => None,
        };
        Some((self.pending.swap_remove(at).asker, said))
    }

    /// Who has waited in vain.
    pub fn tick(&mut self, now: Instant) -> Vec<Token> {
        self.pending.extract_if(.., |pending| pending.deadline <= now).map(|pending| pending.asker).collect()
    }
}
