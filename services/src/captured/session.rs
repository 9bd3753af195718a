//! One client's SSH: bytes in, bytes out, and what it wants to see. No sockets, no clock.
use super::keys::Authorized;
use super::wish::Wish;
use sunset::{ChanData, ChanFail, ChanHandle, Event, Runner, ServEvent, Server, SignKey};

/// Attempts to log in before the connection ends: each public key that a client offers is one.
const ATTEMPTS: u32 = 16;
/// Events of one turn; a client that causes more has its next turn later.
const EVENTS: u32 = 256;

/// How far a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has not logged in.
    Outside,
    /// It has, and has not said what it wants.
    Inside,
    /// It wants this.
    Wants(Wish),
    /// It is to be parted from once all is sent.
    Over,
}

/// A client.
pub struct Session {
    runner: Runner<'static, Server>,
    channel: Option<ChanHandle>,
    state: State,
    attempts: u32,
    /// Words for its stderr, before the end.
    last_words: Vec<u8>,
    /// What it is to be given.
    waiting: Vec<u8>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Session {
    /// A client that has just connected.
    pub fn new() -> Session {
        let runner = Runner::new_server_owned();
        let (last_words, waiting) = (Vec::new(), Vec::new());
        Session { runner, channel: None, state: State::Outside, attempts: 0, last_words, waiting }
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether bytes of the client are welcome now; others wait in the socket.
    pub fn is_hungry(&self) -> bool {
        self.runner.is_input_ready()
    }

    /// Bytes of the client: how many were taken.
    ///
    /// # Errors
    /// When they are no SSH.
    pub fn input(&mut self, bytes: &[u8]) -> sunset::Result<usize> {
        self.runner.input(bytes)
    }

    /// Bytes for the client.
    pub fn output(&mut self) -> &[u8] {
        self.runner.output_buf()
    }

    /// So many of them are on their way.
    pub fn sent(&mut self, count: usize) {
        self.runner.consume_output(count);
    }

    /// Bytes of its stream that are still to be wrapped.
    pub fn waiting(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Does what its messages ask for, and wraps what waits; whether there may be more to do when output has been sent.
    ///
    /// # Errors
    /// When it speaks no SSH, or not as it should: it is to be parted from.
    pub fn turn(&mut self, keys: &Authorized, host_key: &SignKey) -> sunset::Result<bool> {
        let mut events = 0;
        loop {
            events += 1;
            let more = self.event(keys, host_key)?;
            self.discard()?;
            if !more || events >= EVENTS {
                break;
            }
        }
        self.wrap()
    }

    /// One event; whether another may follow.
    fn event(&mut self, keys: &Authorized, host_key: &SignKey) -> sunset::Result<bool> {
        let mut command = None;
        if !self.heard(keys, host_key, &mut command)? {
            return Ok(false);
        }
        if let Some(command) = command {
            self.wants(&command);
        }
        if self.attempts > ATTEMPTS && self.state == State::Outside {
            self.state = State::Over;
        }
        Ok(self.state != State::Over)
    }

    fn heard(&mut self, keys: &Authorized, host_key: &SignKey, command: &mut Option<String>) -> sunset::Result<bool> {
        let event = match self.runner.progress()? {
            Event::Serv(event) => event,
            Event::Progressed => return Ok(true),
            Event::None | Event::Cli(_) => return Ok(false),
        };
        match event {
            ServEvent::Hostkeys(asked) => asked.hostkeys(&[host_key])?,
            ServEvent::FirstAuth(mut asked) => {
                asked.enable_password_auth(false)?;
                asked.reject()?;
            }
            ServEvent::PasswordAuth(asked) => {
                self.attempts += 1;
                asked.reject()?;
            }
            ServEvent::PubkeyAuth(mut asked) => {
                self.attempts += 1;
                asked.enable_password_auth(false)?;
                if keys.has(&asked.pubkey()?) {
                    asked.allow()?;
                } else {
                    asked.reject()?;
                }
            }
            ServEvent::Authenticated => self.state = State::Inside,
            ServEvent::OpenSession(asked) if self.channel.is_none() => self.channel = Some(asked.accept()?),
            ServEvent::OpenSession(asked) => asked.reject(ChanFail::SSH_OPEN_RESOURCE_SHORTAGE)?,
            ServEvent::SessionShell(asked) => {
                asked.succeed()?;
                *command = Some(String::new());
            }
            ServEvent::SessionExec(asked) => {
                // A command that is no text is none of ours.
                *command = Some(asked.command().unwrap_or_default().to_owned());
                asked.succeed()?;
            }
            ServEvent::SessionSubsystem(asked) => asked.fail()?,
            ServEvent::SessionPty(asked) => asked.fail()?,
            ServEvent::SessionEnv(asked) => asked.fail()?,
            ServEvent::Defunct => {
                self.state = State::Over;
                return Ok(false);
            }
            ServEvent::PollAgain => {}
        }
        Ok(true)
    }

    fn wants(&mut self, command: &str) {
        if self.state != State::Inside {
            return;
        }
        match Wish::parse(command) {
            Ok(wish) => self.state = State::Wants(wish),
            Err(why) => {
                self.last_words = format!("{why}\n").into_bytes();
                self.state = State::Over;
            }
        }
    }

    /// What the client sends us on its channel means nothing.
    fn discard(&mut self) -> sunset::Result<()> {
        if let Some(channel) = &self.channel
            && self.runner.read_channel_ready().is_some()
        {
            self.runner.discard_read_channel(channel)?;
        }
        if let Some(channel) = &self.channel
            && self.runner.is_channel_closed(channel)
        {
            self.state = State::Over;
        }
        Ok(())
    }

    fn wrap(&mut self) -> sunset::Result<bool> {
        let Some(channel) = &self.channel else { return Ok(self.runner.is_output_pending()) };
        for (kind, bytes) in [(ChanData::Stderr, &mut self.last_words), (ChanData::Normal, &mut self.waiting)] {
            let mut sent = 0;
            while sent < bytes.len() {
                match self.runner.write_channel(channel, kind, bytes.get(sent..).unwrap_or_default())? {
                    0 => break,
                    count => sent += count,
                }
            }
            bytes.drain(..sent);
        }
        Ok(self.runner.is_output_pending())
    }

    /// Whether there is nothing left to say to one from whom is to be parted.
    pub fn is_done(&self) -> bool {
        self.state == State::Over && self.last_words.is_empty() && !self.runner.is_output_pending()
    }
}

/// What is said to somebody who is not let in at all: our name and a DISCONNECT (RFC 4253, sections 4.2, 6 and 11.1), in the
/// clear, so that the client shows the words.
pub fn farewell(words: &str) -> Vec<u8> {
    const DISCONNECT: u8 = 1;
    const TOO_MANY_CONNECTIONS: u32 = 12;
    let mut payload = vec![DISCONNECT];
    payload.extend_from_slice(&TOO_MANY_CONNECTIONS.to_be_bytes());
    payload.extend_from_slice(&u32::try_from(words.len()).unwrap_or(0).to_be_bytes());
    payload.extend_from_slice(words.as_bytes());
    payload.extend_from_slice(&0u32.to_be_bytes());
    // Four bytes at least, and a whole number of eights in all.
    let padding = 4 + (8 - (payload.len() + 5 + 4) % 8) % 8;
    let mut bytes = b"SSH-2.0-weir\r\n".to_vec();
    bytes.extend_from_slice(&((payload.len() + 1 + padding) as u32).to_be_bytes());
    bytes.push(padding as u8);
    bytes.extend_from_slice(&payload);
    bytes.resize(bytes.len() + padding, 0);
    bytes
}
