//! updated: takes an update, and has the machine try it.
//!
//! Port 8078 of private addresses, never the uplink; `weir update` speaks it. One line of JSON says who asks,
//! `{"password":"TEXT"}` or `{"token":"TEXT"}`, which webd judges, with `"again":true` for what was no good before; the answer is `{"ok":true}` or `{"error":"WORDS"}`. Then comes
//! the update (`crate::update`), as it is, and after it nothing: whoever sends shuts its side. Meanwhile lines of
//! `{"written":N,"of":M}` say how far it is; the last one is `{"ok":true,"slot":"b"}` or an error. Then PID 1 starts that slot
//! once. There this service judges (`judge.rs`) whether the image stays; unless it says so, the boot loader goes back to the
//! one that runs now, which remembers what was no good (`memory.rs`). While an image is being judged no update is taken:
//! the other slot is the way back.
//!
//! It writes the slot that is not running, which PID 1 hands it (`/run/updated/`: `boot`, `root`, `slot`), and nothing else.
//! Nothing is written before the signature was right; first the slot loses its sums, so that GRUB starts nothing half written;
//! every byte is read back from the disk; the sums come last. Who may sign: `/etc/update-keys/*.pub` of the image,
//! `/perm/update-keys/*.pub`. What is older than the running image is refused.
//!
//! One update at a time; who stalls for a minute is gone.
mod judge;
mod memory;
mod probe;
mod session;
mod slot;
#[cfg(test)]
mod tests;
mod verdict;

use crate::house::private::Addresses;
use crate::house::questions::Questions;
use crate::house::rarely::Rarely;
use crate::house::{Failure, House};
use crate::update::PublicKey;
use crate::web;
use netstack::event::{Event, Interest, Loop, Signal, Token};
use netstack::time::Instant;
use probe::Probe;
use session::{Session, Wants};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;
use verdict::Standing;

const PORT: u16 = 8078;
const ADDRESSES: Token = Token(0);
const SESSION: Token = Token(1);
/// PID 1 is asked, diagd is, and diagd is before a trial.
const INIT: Token = Token(2);
const DIAG: Token = Token(3);
const BEFORE: Token = Token(4);
/// The first token of the listeners.
const LISTENERS: u64 = 16;
/// An address that could not be bound is tried again after this.
const RETRY: Duration = Duration::from_secs(1);
/// Where the keys are.
const KEYS: [&str; 2] = ["/etc/update-keys", "/perm/update-keys"];
/// Keys that are read, and the bytes of one.
const MOST_KEYS: usize = 16;

struct Updated {
    house: House,
    listeners: Vec<(u64, SocketAddr, TcpListener)>,
    last: u64,
    retry: Option<Instant>,
    session: Option<Session>,
    asking: Questions,
    complaint: Rarely,
    standing: Standing,
    /// A question of the judgement is open.
    waits: bool,
    probe: Probe,
    /// What is in the slot, before it is tried.
    found: Option<(layout::Slot, String)>,
}

/// Runs the service.
///
/// # Errors
/// When the kernel gives no descriptor.
pub fn run(house: House) -> Result<(), Failure> {
    if let Some(flag) = house.flags().next().map_err(Failure::during("flags"))? {
        return Err(Failure::new(format!("flags: {}", flag.unexpected())));
    }
    let mut turn = Loop::new()?;
    let mut addresses = Addresses::open(&turn, ADDRESSES)?;
    let (listeners, asking, complaint) = (Vec::new(), Questions::default(), Rarely::default());
    let now = Instant::now();
    let (last, retry, session, waits, found) = (LISTENERS, None, None, false, None);
    let (standing, probe) = (Standing::Unknown(now), Probe::default());
    let mut updated =
        Updated { house, listeners, last, retry, session, asking, complaint, standing, waits, probe, found };
    updated.follow(&turn, now, &addresses.served(now, PORT));
    updated.house.ready();
    let mut events = Vec::new();
    loop {
        let session = updated.session.as_ref().map(|session| session.deadline);
        let due = [session, updated.asking.deadline(), updated.retry, updated.judge_at()];
        turn.wait(due.into_iter().flatten().min(), &mut events)?;
        let now = Instant::now();
        let mut follow = updated.retry.is_some_and(|at| at <= now);
        for event in &events {
            match event {
                Event::Signal(Signal::Terminate) => return Ok(()),
                Event::Signal(_) | Event::Timeout => {}
                Event::Ready { token: ADDRESSES, .. } => follow |= addresses.changed(),
                Event::Ready { token: SESSION, .. } => updated.go_on(&turn, now),
                Event::Ready { token, .. } if Questions::owns(*token) => {
                    if let Some((asker, said)) = updated.asking.ready(*token) {
                        updated.answered(&turn, now, asker, said.map(|(line, _)| line), &mut addresses);
                    }
                }
                Event::Ready { token, .. } => updated.accept(&turn, now, token.0),
            }
        }
        for asker in updated.asking.tick(now) {
            updated.answered(&turn, now, asker, None, &mut addresses);
        }
        updated.judge(&turn, now);
        if updated.session.as_ref().is_some_and(|session| session.deadline <= now) {
            updated.end("it took too long");
        }
        if follow {
            updated.follow(&turn, now, &addresses.served(now, PORT));
        }
    }
}

impl Updated {
    fn answered(&mut self, turn: &Loop, now: Instant, asker: Token, said: Option<Vec<u8>>, addresses: &mut Addresses) {
        match asker {
            SESSION => self.judged(turn, now, said),
            other => self.heard(turn, now, other, said, addresses),
        }
    }

    fn follow(&mut self, turn: &Loop, now: Instant, wanted: &[SocketAddr]) {
        self.retry = None;
        self.listeners.retain(|(_, address, _)| wanted.contains(address));
        for address in wanted {
            if self.listeners.iter().any(|(_, known, _)| known == address) {
                continue;
            }
            let number = self.last + 1;
            let opened = web::open(*address).and_then(|listener| {
                turn.add(&listener, Token(number), Interest::READ)?;
                Ok(listener)
            });
            match opened {
                Ok(listener) => {
                    self.last = number;
                    self.listeners.push((number, *address, listener));
                }
                Err(error) => {
                    self.complaint.warn(now, || format!("cannot listen on {address}: {error}"));
                    self.retry = Some(now + RETRY);
                }
            }
        }
    }

    fn accept(&mut self, turn: &Loop, now: Instant, number: u64) {
        let Some((.., listener)) = self.listeners.iter().find(|(known, ..)| *known == number) else { return };
        while let Ok((stream, peer)) = listener.accept() {
            if self.session.is_some() {
                session::refuse(&stream, "another update is being taken: wait for its end");
                continue;
            }
            if !matches!(self.standing, Standing::Settled) {
                session::refuse(&stream, "the router still judges its last update: the other slot is its way back");
                continue;
            }
            let opened = stream.set_nonblocking(true).and_then(|()| turn.add(&stream, SESSION, Interest::READ));
            if opened.is_ok() {
                self.session = Some(Session::new(now, stream, peer.ip()));
            }
        }
    }

    fn go_on(&mut self, turn: &Loop, now: Instant) {
        let Some(session) = &mut self.session else { return };
        match session.read(now) {
            Wants::More => {}
            Wants::Judgement(line) => {
                // It is silent until webd has spoken.
                let muted = turn.modify(session.stream(), SESSION, Interest::NONE);
                let asked =
                    muted.and_then(|()| self.asking.ask(turn, now, &self.house.path("/run/webd.sock"), &line, SESSION));
                if asked.is_err() {
                    self.end("webd, which knows the password, does not answer");
                }
            }
            Wants::End(Ok((slot, manifest))) => {
                // It has shut its side, which would wake us again and again.
                let muted = turn.modify(session.stream(), SESSION, Interest::NONE);
                match muted {
                    Ok(()) => self.look_before(turn, now, slot, manifest),
                    Err(error) => self.end(&error.to_string()),
                }
            }
            Wants::End(Err(why)) => self.end(&why),
        }
    }

    fn judged(&mut self, turn: &Loop, now: Instant, said: Option<Vec<u8>>) {
        let Some(session) = &mut self.session else { return };
        let said: serde_json::Value = said.and_then(|line| serde_json::from_slice(&line).ok()).unwrap_or_default();
        if said["ok"] != true {
            let why = said["error"].as_str().unwrap_or("webd, which knows the password, does not answer").to_owned();
            return self.end(&why);
        }
        let known = if session.again { Vec::new() } else { memory::refused(&self.house) };
        let admitted = session.admit(now, &self.house, keys(&self.house), floor(&self.house), known);
        let heard = admitted
            .and_then(|()| turn.modify(session.stream(), SESSION, Interest::READ).map_err(|error| error.to_string()));
        if let Err(why) = heard {
            self.end(&why);
        }
    }

    fn end(&mut self, why: &str) {
        if let Some(mut session) = self.session.take() {
            log::warn!("an update from {} was not taken: {why}", session.peer);
            session.fail(why);
        }
    }
}

/// Who may sign.
fn keys(house: &House) -> Vec<PublicKey> {
    let folders = KEYS.iter().map(|folder| house.path(folder));
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    let mut paths: Vec<_> =
        files.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "pub")).collect();
    paths.sort();
    paths.iter().take(MOST_KEYS).filter_map(|path| key(path)).collect()
}

fn key(path: &Path) -> Option<PublicKey> {
    // minisign's file has a comment before the key.
    let text = std::fs::read_to_string(path).ok()?;
    let key = text.lines().rfind(|line| !line.trim().is_empty())?;
    let read = PublicKey::from_base64(key.trim());
    if read.is_err() {
        log::warn!("{}: is no public key of minisign's", path.display());
    }
    read.ok()
}

/// When the running image was made, in seconds since 1970: the time that all its files carry.
fn floor(house: &House) -> u64 {
    let made = std::fs::metadata(house.path("/etc/version")).and_then(|data| data.modified());
    made.ok().and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs())
}
