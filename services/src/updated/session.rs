//! One connection: who it is, what it sends, what it hears.
use super::slot::Target;
use crate::house::House;
use crate::house::question::Question;
use crate::update::{Incoming, PublicKey};
use layout::Slot;
use netstack::time::Instant;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// Who says nothing and sends nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// The line that says who it is has at most so many bytes.
const CLAIM: usize = 1_024;
/// Read in one turn.
const CHUNK: usize = 64 << 10;
/// How often it is told how far it is, in bytes.
const TELL: u64 = 256 << 10;

enum Stage {
    /// It says who it is.
    Claiming(Vec<u8>),
    /// webd is asked, or diagd.
    Waiting,
    /// The update comes.
    Taking(Box<Incoming>, Target, u64),
}

/// The connection.
pub struct Session {
    stream: TcpStream,
    /// Who it is.
    pub peer: IpAddr,
    /// When it is given up.
    pub deadline: Instant,
    /// It wants to have tried what was no good before.
    pub again: bool,
    stage: Stage,
}

/// What is to be done next.
pub enum Wants {
    /// Nothing, until more comes.
    More,
    /// Ask webd this.
    Judgement(String),
    /// It is over: the slot that holds the update now, and what identifies that; or why there is none.
    End(Result<(Slot, String), String>),
}

/// A connection that is not taken is told why.
pub fn refuse(mut stream: &TcpStream, why: &str) {
    // It may not listen.
    let _ = stream.write_all(format!("{}\n", json!({"error": why})).as_bytes());
}

impl Session {
    /// One that has just come.
    pub fn new(now: Instant, stream: TcpStream, peer: IpAddr) -> Session {
        Session {
            stream,
            peer: peer.to_canonical(),
            deadline: now + PATIENCE,
            again: false,
            stage: Stage::Claiming(Vec::new()),
        }
    }

    /// Its socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Tells it something; who does not listen misses it.
    pub fn say(&mut self, line: &str) {
        let _ = self.stream.write_all(line.as_bytes());
    }

    /// Tells it why it is over.
    pub fn fail(&mut self, why: &str) {
        self.say(&format!("{}\n", json!({"error": why})));
        // What it still sends would make the kernel take our words back.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        let mut rest = [0; 4096];
        while matches!(self.stream.read(&mut rest), Ok(1..)) {}
    }

    /// It may: from now on it sends the update.
    ///
    /// # Errors
    /// In words, when there is no slot to write.
    pub fn admit(
        &mut self,
        now: Instant,
        house: &House,
        keys: Vec<PublicKey>,
        floor: u64,
        known: Vec<String>,
    ) -> Result<(), String> {
        if keys.is_empty() {
            return Err("this router trusts nobody's updates: put a public key into /perm/update-keys/NAME.pub".into());
        }
        let target = Target::open(house)?;
        self.stage = Stage::Taking(Box::new(Incoming::new(keys, floor).without(known)), target, 0);
        self.deadline = now + PATIENCE;
        self.say("{\"ok\":true}\n");
        Ok(())
    }

    /// Something has come.
    pub fn read(&mut self, now: Instant) -> Wants {
        let mut chunk = vec![0; CHUNK];
        let length = match self.stream.read(&mut chunk) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Wants::More,
            Err(error) => return Wants::End(Err(format!("the connection broke: {error}"))),
        };
        self.deadline = now + PATIENCE;
        chunk.truncate(length);
        match &mut self.stage {
            Stage::Claiming(line) => {
                line.extend_from_slice(&chunk);
                let whole = line.last() == Some(&b'\n');
                if !whole && (length == 0 || line.len() > CLAIM) {
                    return Wants::End(Err("one line of JSON says who asks".into()));
                }
                if !whole {
                    return Wants::More;
                }
                match claim(line, self.peer) {
                    Some((question, again)) => {
                        self.again = again;
                        self.stage = Stage::Waiting;
                        Wants::Judgement(question)
                    }
                    None => {
                        Wants::End(Err("one line of JSON says who asks: {\"password\":\"TEXT\"} or a token".into()))
                    }
                }
            }
            Stage::Waiting => Wants::End(Err("it went before it was let in".into())),
            Stage::Taking(incoming, target, told) if length > 0 => {
                let taken = incoming.take(&chunk, &mut |part, offset, bytes| target.write(part, offset, bytes));
                if let Err(refusal) = taken {
                    return Wants::End(Err(refusal.to_string()));
                }
                let (so_far, of) = (incoming.taken(), incoming.manifest().map_or(0, |manifest| manifest.bytes()));
                if so_far >= *told + TELL {
                    *told = so_far;
                    self.say(&format!("{{\"written\":{so_far},\"of\":{of}}}\n"));
                }
                Wants::More
            }
            Stage::Taking(incoming, target, _) => {
                let sealed = incoming.finish().map_err(|refusal| refusal.to_string());
                let sealed = sealed.and_then(|manifest| target.seal(manifest));
                let end = sealed.map(|()| (target.slot, incoming.identity().to_owned()));
                self.stage = Stage::Waiting;
                Wants::End(end)
            }
        }
    }
}

/// The question for webd; and whether what was no good is to be tried again.
fn claim(line: &[u8], peer: IpAddr) -> Option<(String, bool)> {
    let said: Value = serde_json::from_slice(line).ok()?;
    let text = |key: &str| said.get(key).and_then(Value::as_str);
    let (key, value) = match (text("password"), text("token")) {
        (Some(password), None) => ("password", password),
        (None, Some(token)) => ("token", token),
        _ => return None,
    };
    let question = json!({"op": "check", key: value, "peer": peer.to_string()});
    Some((format!("{question}\n"), said.get("again") == Some(&Value::Bool(true))))
}

/// Asks PID 1, and waits for its answer, which comes at once.
///
/// # Errors
/// Its own, or that it does not answer.
pub fn ask_init(path: &Path, line: &str) -> Result<(), String> {
    let silent = |error: std::io::Error| format!("PID 1 does not answer: {error}");
    let mut question = Question::ask(path, line).map_err(silent)?;
    question.stream.set_nonblocking(false).map_err(silent)?;
    question.stream.set_read_timeout(Some(PATIENCE / 10)).map_err(silent)?;
    let mut lines = Vec::new();
    while lines.is_empty() {
        if !question.read(&mut lines).map_err(silent)? {
            return Err("PID 1 does not answer".into());
        }
    }
    let said: Value = lines.first().and_then(|line| serde_json::from_slice(line).ok()).unwrap_or_default();
    if said["ok"] == true { Ok(()) } else { Err(said["error"].as_str().unwrap_or("PID 1 refuses").to_owned()) }
}
