//! Connections to upstreams that are asked over TLS (RFC 7858): one for each, opened for the first question and kept;
//! many questions are on their way on it at once, each with an id of its own there. Who does not prove
//! who it is hears nothing, and is left alone for a while.
//!
//! A connection that says nothing for longer than its upstream usually takes is given up for new questions: they go over
//! another. One that has worked and ends has been idle for too long for the other side: what was still under way is said
//! again, once.
use super::engine::Attempt;
use crate::house::tls::{Authorities, Flow, Tls};
use crate::perm::upstream::Server;
use netstack::event::{Loop, Token};
use netstack::time::Instant;
use std::io;
use std::time::Duration;

/// Time for the handshake, and for how long a connection without questions is kept.
const HANDSHAKE: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(60);
/// How long replies that nobody waits for any more are heard.
const LATE: Duration = Duration::from_secs(5);
/// A connection that is new has to fetch more than an answer: so many times as long.
const COLD: u32 = 4;
/// The least time between two connections to one upstream.
const PAUSE: Duration = Duration::from_millis(500);
/// How long who did not prove who it is is left alone: at first and at last.
const SHUNNED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Connections to one upstream, the retired ones among them, and to all; questions on one.
const MOST_OF_ONE: usize = 2;
const MOST: usize = 32;
const MOST_PENDING: usize = 512;

/// A question on a connection.
#[derive(Debug)]
struct Pending {
    attempt: Attempt,
    /// What was sent, with its length before it; the id in it is the connection's.
    framed: Vec<u8>,
    /// The id that the engine gave it.
    id: [u8; 2],
    sent: Instant,
    wanted: bool,
    again: bool,
}

/// One connection.
#[derive(Debug)]
struct Link {
    number: u64,
    to: Server,
    tls: Tls,
    pending: Vec<Pending>,
    last_id: u16,
    opened: Instant,
    /// When something was heard on it last; never before the other side has proved who it is.
    heard: Option<Instant>,
    /// It takes nothing more.
    retired: bool,
}

/// One that is left alone.
#[derive(Debug)]
struct Shunned {
    server: Server,
    until: Instant,
    pause: Duration,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Secure {
    links: Vec<Link>,
    last: u64,
    authorities: Option<Authorities>,
    shunned: Vec<Shunned>,
}

/// What came of a turn, besides what was heard.
#[derive(Debug, Default)]
pub struct Turned {
    /// Questions that nothing will come of.
    pub failed: Vec<Attempt>,
    /// Why the other side was not believed, for the log.
    pub complaint: Option<String>,
}

impl Secure {
    /// Sets whose certificates are believed. No connection that was made under others takes anything more.
    pub fn trust(&mut self, authorities: Authorities) {
        self.authorities = Some(authorities);
        self.rewire();
    }

    /// Forgets every connection: the way out is another one.
    pub fn rewire(&mut self) {
        self.shunned.clear();
        self.links.iter_mut().for_each(|link| link.retired = true);
        self.links.retain(|link| link.pending.iter().any(|pending| pending.wanted));
    }

    /// Sends a question, on a connection that there is or a new one; whether it is new. `patience` is how long the upstream
    /// usually takes at most.
    ///
    /// # Errors
    /// When there is no way to it, or it is left alone.
    pub fn ask(
        &mut self,
        turn: &Loop,
        token: impl Fn(u64) -> Token,
        now: Instant,
        (attempt, message): (Attempt, &[u8]),
        (to, patience): (&Server, Duration),
    ) -> io::Result<bool> {
        let length = u16::try_from(message.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes()[..], message].concat();
        let id = *message.first_chunk().ok_or(io::ErrorKind::InvalidInput)?;
        self.put(turn, token, now, Pending { attempt, framed, id, sent: now, wanted: true, again: false }, to, patience)
    }

    fn put(
        &mut self,
        turn: &Loop,
        token: impl Fn(u64) -> Token,
        now: Instant,
        mut pending: Pending,
        to: &Server,
        patience: Duration,
    ) -> io::Result<bool> {
        let young = self.links.iter().any(|link| link.to == *to && now < link.opened + PAUSE);
        for link in self.links.iter_mut().filter(|link| link.to == *to) {
            link.retired |= link.pending.len() >= MOST_PENDING || (!young && link.is_mute(now, patience));
        }
        let known = self.links.iter().position(|link| link.to == *to && !link.retired);
        let at = match known {
            Some(at) => at,
            None => self.open(turn, token, now, to)?,
        };
        let Some(link) = self.links.get_mut(at) else { return Err(io::ErrorKind::NotFound.into()) };
        link.last_id = link.last_id.wrapping_add(1);
        if let Some(id) = pending.framed.get_mut(2..4) {
            id.copy_from_slice(&link.last_id.to_be_bytes());
        }
        link.tls.write(&pending.framed)?;
        // What fails now is met when the socket says so.
        let _ = link.tls.flush(turn);
        link.pending.push(pending);
        link.set_deadline(now);
        Ok(link.heard.is_none())
    }

    fn open(&mut self, turn: &Loop, token: impl Fn(u64) -> Token, now: Instant, to: &Server) -> io::Result<usize> {
        if self.shunned.iter().any(|shunned| shunned.server == *to && now < shunned.until) {
            return Err(io::Error::other("it is left alone for a while"));
        }
        // Of several that say nothing the newest may still come to life; what waits on the others is asked again anyway.
        while self.links.iter().filter(|link| link.to == *to).count() >= MOST_OF_ONE
            && let Some(at) = self.links.iter().position(|link| link.to == *to && link.retired)
        {
            self.links.remove(at);
        }
        if self.links.len() >= MOST {
            return Err(io::Error::other("too many connections"));
        }
        let name = to.proves.as_deref().ok_or_else(|| io::Error::other("it is not asked over TLS"))?;
        let authorities = self.authorities.as_ref().ok_or_else(|| io::Error::other("nobody is believed"))?;
        self.last += 1;
        let tls = Tls::connect(turn, token(self.last), authorities, to.address, name, now + HANDSHAKE)?;
        self.links.push(Link {
            number: self.last,
            to: to.clone(),
            tls,
            pending: Vec::new(),
            last_id: 0,
            opened: now,
            heard: None,
            retired: false,
        });
        Ok(self.links.len() - 1)
    }

    /// When [`Secure::due`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        self.links.iter().map(|link| link.tls.deadline()).min()
    }

    /// Connections whose time is over, each to be given to [`Secure::turn`].
    pub fn due(&self, now: Instant) -> Vec<u64> {
        let over = self.links.iter().filter(|link| link.tls.deadline() <= now);
        over.map(|link| link.number).collect()
    }

    /// Nothing more is wanted of a question; a reply is still heard.
    pub fn close(&mut self, attempt: Attempt) {
        let all = self.links.iter_mut().flat_map(|link| &mut link.pending);
        all.filter(|pending| pending.attempt == attempt).for_each(|pending| pending.wanted = false);
    }

    /// Something can be done on a connection; each reply goes to `hear`, with whose it may be.
    pub fn turn(
        &mut self,
        turn: &Loop,
        token: impl Fn(u64) -> Token,
        now: Instant,
        number: u64,
        mut hear: impl FnMut(Attempt, &[u8]),
    ) -> Turned {
        let mut turned = Turned::default();
        let Some(at) = self.links.iter().position(|link| link.number == number) else { return turned };
        let Some(link) = self.links.get_mut(at) else { return turned };
        let flow = link.tls.turn(turn, now);
        if !link.tls.is_handshaking() {
            // Also what came before the end.
            link.read(now, &mut hear);
            self.shunned.retain(|shunned| shunned.server != link.to);
        }
        link.pending.retain(|pending| pending.wanted || now < pending.sent + LATE);
        let over = link.retired && !link.pending.iter().any(|pending| pending.wanted);
        if matches!(flow, Ok(Flow::Open)) && !over {
            link.set_deadline(now);
            return turned;
        }
        let mut link = self.links.remove(at);
        link.tls.close();
        let _ = link.tls.flush(turn);
        if over {
            return turned;
        }
        if link.heard.is_none() {
            let why = flow.err().map_or_else(|| "it has hung up".to_owned(), |error| error.to_string());
            turned.complaint = Some(format!("{}: {why}", link.to));
            if link.tls.is_met() {
                self.shun(now, &link.to);
            }
            turned.failed = wanted(link.pending);
            return turned;
        }
        for mut pending in link.pending.into_iter().filter(|pending| pending.wanted) {
            let (attempt, first) = (pending.attempt, !std::mem::replace(&mut pending.again, true));
            if !first || self.put(turn, &token, now, pending, &link.to, HANDSHAKE).is_err() {
                turned.failed.push(attempt);
            }
        }
        turned
    }

    // It was there and did not prove who it is.
    fn shun(&mut self, now: Instant, server: &Server) {
        match self.shunned.iter_mut().find(|shunned| shunned.server == *server) {
            Some(shunned) => {
                shunned.pause = (shunned.pause * 2).min(SHUNNED.1);
                shunned.until = now + shunned.pause;
            }
            None => {
                self.shunned.truncate(MOST - 1);
                self.shunned.push(Shunned { server: server.clone(), until: now + SHUNNED.0, pause: SHUNNED.0 });
            }
        }
    }
}

impl Link {
    // Whether it has said nothing since a question went out, for longer than it should.
    fn is_mute(&self, now: Instant, patience: Duration) -> bool {
        let patience = if self.heard.is_none() { patience * COLD } else { patience };
        let since = self.pending.iter().map(|pending| pending.sent).min();
        let since = since.map(|sent| self.heard.map_or(sent, |heard| sent.max(heard)));
        since.is_some_and(|since| now > since + patience)
    }

    fn read(&mut self, now: Instant, hear: &mut impl FnMut(Attempt, &[u8])) {
        self.heard = self.heard.or(Some(now));
        let mut taken = 0;
        let mut received = std::mem::take(self.tls.received());
        while let Some(rest) = received.get_mut(taken..)
            && let Some(length) = rest.first_chunk::<2>().map(|length| usize::from(u16::from_be_bytes(*length)))
            && let Some(message) = rest.get_mut(2..2 + length)
        {
            taken += 2 + length;
            self.heard = Some(now);
            let Some(id) = message.first_chunk_mut::<2>() else { continue };
            let Some(at) = self.pending.iter().position(|pending| pending.framed.get(2..4) == Some(&id[..])) else {
                continue;
            };
            let pending = self.pending.swap_remove(at);
            *id = pending.id;
            hear(pending.attempt, message);
        }
        received.drain(..taken);
        *self.tls.received() = received;
    }

    // A handshake has its time; then a connection may be idle, or still waits for replies.
    fn set_deadline(&mut self, now: Instant) {
        if self.heard.is_some() {
            let last = self.pending.iter().map(|pending| pending.sent).max().unwrap_or(now);
            self.tls.set_deadline(if self.retired { last + LATE } else { last + IDLE });
        }
    }
}

fn wanted(pending: Vec<Pending>) -> Vec<Attempt> {
    pending.into_iter().filter(|pending| pending.wanted).map(|pending| pending.attempt).collect()
}
