//! The trial, from both sides: what is written down before it, and how the image that runs on trial is judged.
use super::judge::{Judge, Next};
use super::memory::{self, Trial};
use super::{BEFORE, DIAG, INIT, PORT, Updated, session};
use crate::house::private::Addresses;
use layout::Slot;
use netstack::event::{Loop, Token};
use netstack::time::Instant;
use serde_json::Value;
use std::time::Duration;

/// PID 1 is asked once more after this.
const AGAIN: Duration = Duration::from_secs(1);

/// What is known of the image that runs.
#[derive(Debug)]
pub enum Standing {
    /// PID 1 is asked whether it is on trial.
    Unknown(Instant),
    /// It is.
    Judged(Judge),
    /// It stays.
    Settled,
}

/// An answer as JSON; null when there is none.
fn json(said: Option<Vec<u8>>) -> Value {
    said.and_then(|line| serde_json::from_slice(&line).ok()).unwrap_or_default()
}

/// Whether the internet works, by diagd's word.
fn works(said: &Value) -> bool {
    said["level"].as_str().is_some_and(|level| level != "broken")
}

impl Updated {
    /// When [`Updated::judge`] is wanted.
    pub fn judge_at(&self) -> Option<Instant> {
        match &self.standing {
            _ if self.waits => None,
            Standing::Unknown(at) => Some(*at),
            Standing::Judged(judge) => judge.deadline(),
            Standing::Settled => None,
        }
    }

    /// Takes the next step of the judgement when it is time.
    pub fn judge(&mut self, turn: &Loop, now: Instant) {
        if self.waits || self.judge_at().is_none_or(|at| at > now) {
            return;
        }
        let next = match &mut self.standing {
            Standing::Unknown(at) => {
                *at = now + AGAIN;
                Some(Next::AskLan)
            }
            Standing::Judged(judge) => judge.tick(now),
            Standing::Settled => None,
        };
        self.step(turn, now, next);
    }

    fn step(&mut self, turn: &Loop, now: Instant, next: Option<Next>) {
        let mut ask = |path: &str, line: &str, token: Token| {
            let path = self.house.path(path);
            self.waits = self.asking.ask(turn, now, &path, line, token).is_ok();
        };
        match next {
            None => {}
            Some(Next::AskLan) => ask("/run/init.sock", "{\"op\":\"list\"}\n", INIT),
            Some(Next::AskInternet) => ask("/run/diagd.sock", "{\"op\":\"diag\"}\n", DIAG),
            Some(Next::Commit) => match self.tell("commit") {
                Ok(()) => {
                    log::info!("this image is good and stays");
                    memory::end(&self.house);
                    self.standing = Standing::Settled;
                }
                Err(why) => log::warn!("this image is good, and cannot stay: {why}"),
            },
            Some(Next::Back(why)) => {
                log::warn!("this image is no good: {why}");
                if let Err(why) = self.tell("back") {
                    log::warn!("there is no way back: {why}");
                }
            }
        }
    }

    fn tell(&self, op: &str) -> Result<(), String> {
        session::ask_init(&self.house.path("/run/init.sock"), &format!("{{\"op\":\"{op}\"}}\n"))
    }

    /// PID 1 or diagd has answered, or does not.
    pub fn heard(&mut self, turn: &Loop, now: Instant, token: Token, said: Option<Vec<u8>>, addresses: &mut Addresses) {
        let said = json(said);
        if token == BEFORE {
            return self.start_trial(works(&said));
        }
        self.waits = false;
        let next = match &mut self.standing {
            Standing::Unknown(_) => {
                if said.is_object() {
                    self.stand(now, said["trial"] == true);
                }
                None
            }
            Standing::Judged(judge) if token == DIAG => judge.internet(works(&said)),
            Standing::Judged(judge) => {
                let ready = said["ready_ms"].is_u64();
                let served = ready && self.probe.look(&addresses.served(now, PORT));
                judge.lan(now, served)
            }
            Standing::Settled => None,
        };
        self.step(turn, now, next);
    }

    /// PID 1 has said whether the image that runs is on trial.
    fn stand(&mut self, now: Instant, on_trial: bool) {
        let letter = std::fs::read_to_string(self.house.path("/run/updated/slot")).unwrap_or_default();
        let running = Slot::of(letter.trim()).map(Slot::other);
        if running.is_some_and(|running| memory::settle(&self.house, running, !on_trial)) {
            log::warn!("the update before was no good: this image runs again, and that one is not taken any more");
        }
        self.standing = match on_trial {
            // Without a word of the image before, it has to have worked.
            true => Standing::Judged(Judge::new(now, memory::trial(&self.house).is_none_or(|trial| trial.worked))),
            false => Standing::Settled,
        };
    }

    /// The update is in its slot: first it is asked how the internet is now.
    pub fn look_before(&mut self, turn: &Loop, now: Instant, slot: Slot, manifest: String) {
        self.found = Some((slot, manifest));
        let path = self.house.path("/run/diagd.sock");
        if self.asking.ask(turn, now, &path, "{\"op\":\"diag\"}\n", BEFORE).is_err() {
            self.start_trial(false);
        }
    }

    fn start_trial(&mut self, worked: bool) {
        let Some((slot, manifest)) = self.found.take() else { return };
        log::info!("an update is in slot {}: it is tried now", slot.letter());
        let trial = Trial { manifest, slot: slot.letter().to_owned(), worked };
        if let Err(error) = memory::begin(&self.house, &trial) {
            // It is tried all the same; only if it is no good, nobody knows that later.
            log::warn!("/perm/updated: {error}");
        }
        match self.tell("trial") {
            Ok(()) => {
                if let Some(session) = &mut self.session {
                    session.say(&format!("{{\"ok\":true,\"slot\":\"{}\"}}\n", slot.letter()));
                }
                self.session = None;
            }
            Err(why) => {
                memory::end(&self.house);
                self.end(&why);
            }
        }
    }
}
