//! One connection, from its first byte to its last.
use super::answer::chunk;
use super::request::{Request, asked, end_of_head};
use super::wire::Wire;
use super::{LARGEST, Reply, STALL};
use netstack::event::Interest;
use netstack::time::Instant;
use std::io::{self, Read, Write};
use std::net::IpAddr;

/// What a source has for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// There is more.
    More,
    /// Nothing, until [`super::Server::resume`].
    Later,
    /// That was all.
    End,
}

/// Content that is made while it is taken.
pub trait Source: std::fmt::Debug {
    /// Appends some more to `into`. What is asked for is never more than can be sent soon.
    ///
    /// # Errors
    /// What breaks the content off: the connection is closed so that the client notices.
    fn more(&mut self, into: &mut Vec<u8>) -> io::Result<Flow>;
}

/// Where a body goes that is taken as it comes.
pub trait Sink: std::fmt::Debug {
    /// Takes some of it; how many bytes. None = not now: [`Server::resume`] goes on.
    ///
    /// # Errors
    /// When it takes no more at all: the rest is heard and let go.
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// That was all.
    fn done(&mut self);
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) wire: Wire,
    pub(super) peer: IpAddr,
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
    pub(super) sent: usize,
    /// The answer is still to come, with a body or without.
    pub(super) later: Option<bool>,
    /// Bytes of the body that are still to come, and who takes them; nobody = they are heard and let go.
    pub(super) left: u64,
    pub(super) sink: Option<Box<dyn Sink>>,
    /// Where more of the answer comes from.
    pub(super) source: Option<Box<dyn Source>>,
    /// The source has nothing for now.
    pub(super) dry: bool,
    /// What the source gives is the answer with its head, from another server.
    pub(super) raw: bool,
    /// More is said whenever there is news.
    pub(super) live: bool,
    pub(super) deadline: Instant,
}

/// What a server takes besides GET, HEAD and short forms.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Takes {
    pub(super) any_method: bool,
    /// Bytes of a body besides those that a head may have.
    pub(super) body: usize,
    /// Where bodies are taken as they come.
    pub(super) sent: &'static [&'static str],
}

impl Connection {
    /// Reads the request, then writes the answer. Gives what to wait for; none when it is over.
    pub(super) fn turn<A: Into<Reply>>(
        &mut self,
        now: Instant,
        takes: Takes,
        answer: impl FnOnce(&Request) -> A,
    ) -> io::Result<Option<Interest>> {
        if self.left > 0 && (self.sink.is_some() || self.later.is_none()) {
            return self.pull(now);
        }
        if self.later.is_some() || self.dry || self.live && self.sent == self.output.len() && self.wire.is_out() {
            // Nothing is asked of it, so it can only have gone.
            return Ok(None);
        }
        if self.output.is_empty() && self.source.is_none() && !self.live {
            let mut buffer = [0; 2_048];
            loop {
                match self.wire.read(&mut buffer) {
                    Ok(0) => return Ok(None),
                    Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
                if self.input.len() > LARGEST + takes.body {
                    break;
                }
            }
            match asked(&self.input, (self.peer, self.wire.is_secure()), takes) {
                None => return Ok(Some(self.wire.hearing())),
                Some(Err(refused)) => self.output = refused.bytes(true),
                Some(Ok((request, with_body))) => {
                    self.left = request.coming;
                    let head = if self.left > 0 { end_of_head(&self.input) } else { self.input.len() };
                    self.input.drain(..head);
                    match answer(&request).into() {
                        Reply::Now(answer) => self.output = answer.bytes(with_body),
                        Reply::Later => {
                            self.later = Some(with_body);
                            return Ok(Some(Interest::NONE));
                        }
                    }
                }
            }
        }
        self.write(now)
    }

    /// Moves a body to its sink as far as both have something to do; then the answer, when there is one.
    pub(super) fn pull(&mut self, now: Instant) -> io::Result<Option<Interest>> {
        let mut buffer = [0; 16 << 10];
        while self.left > 0 {
            if self.input.is_empty() {
                match self.wire.read(&mut buffer) {
                    Ok(0) => return Ok(None),
                    Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(self.wire.hearing())),
                    Err(error) => return Err(error),
                }
            }
            let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.input.len());
            let part = self.input.get(..most).unwrap_or_default();
            let taken = match self.sink.as_mut().map(|sink| sink.take(part)) {
                Some(Ok(0)) => return Ok(Some(Interest::NONE)),
                Some(Ok(taken)) => taken,
                Some(Err(_)) => {
                    self.sink = None;
                    most
                }
                None => most,
            };
            self.input.drain(..taken);
            self.left -= taken as u64;
            self.deadline = now + STALL;
        }
        if let Some(mut sink) = self.sink.take() {
            sink.done();
        }
        if self.later.is_some() { Ok(Some(Interest::NONE)) } else { self.write(now) }
    }

    pub(super) fn write(&mut self, now: Instant) -> io::Result<Option<Interest>> {
        while self.sent < self.output.len() {
            match self.wire.write(&self.output[self.sent..]) {
                Ok(0) => return Ok(None),
                Ok(length) => {
                    self.sent += length;
                    if self.source.is_some() || self.live {
                        self.deadline = now + STALL;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(Interest::WRITE)),
                Err(error) => return Err(error),
            }
        }
        if !self.wire.flush()? {
            return Ok(Some(Interest::WRITE));
        }
        if let Some(source) = &mut self.source {
            let mut content = Vec::new();
            let flow = source.more(&mut content)?;
            (self.output, self.sent) = (if self.raw { content } else { chunk(&content) }, 0);
            self.dry = flow == Flow::Later && self.output.is_empty();
            if self.dry {
                return Ok(Some(Interest::NONE));
            }
            if flow == Flow::End {
                self.source = None;
                self.output.extend_from_slice(if self.raw { b"" } else { b"0\r\n\r\n" });
            }
            // The others have their turn before this one goes on.
            return Ok(Some(Interest::WRITE));
        }
        if self.live {
            (self.output, self.sent) = (Vec::new(), 0);
            return Ok(Some(Interest::NONE));
        }
        self.wire.end();
        Ok(None)
    }
}
