//! configd: the one writer of the files that a person writes.
//!
//! Candidates are checked, all together and with those that stand, by the code that will read them; then they are put under
//! `/run/try/now`, where the loader of every service looks first, and their readers are told. Nobody else knows of a
//! trial. Kept, they are copied to `/perm`; not kept within the time that was said, or when configd ends for whatever
//! reason, they are taken away and the readers told again. The old files hold then because they were never touched; a
//! power cut does the same, as `/run` is memory.
//!
//! Keeping is one step for all files: they stand together in `/perm/configd/keep.json` before the first is copied, and
//! what a cut leaves undone is done at the next start.
//!
//! Reads and writes `rights::WRITTEN`, `/perm/configd/keep.json`, `/run/try/`. Asked on `/run/configd.sock`, a line of
//! JSON each: `{"op":"check","files":{"interfaces.json":"TEXT"}}`, `{"op":"try","files":{…},"confirm":60}` (without
//! `confirm` kept at once), `{"op":"keep"}`, `{"op":"revert"}`, `{"op":"state"}`. Ports: none.
mod engine;
mod files;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
#[cfg(test)]
mod tests;

use crate::check::{self, Files};
use crate::house::requests::{self, Requests};
use crate::house::{Failure, House};
use crate::perm::schedule;
use engine::{Engine, Order, Request};
use files::Store;
use netstack::event::{Event, Loop, Signal};
use netstack::time::Instant;
use serde_json::json;
use std::time::Duration;

/// When what the disk refused is tried again.
const RETRY: Duration = Duration::from_secs(10);

struct Configd {
    house: House,
    store: Store,
    engine: Engine,
    /// Files that are to be kept and are not all copied yet.
    unfinished: Option<Instant>,
}

/// Runs the service.
pub fn run(house: House) -> Result<(), Failure> {
    let mut turn = Loop::new()?;
    let mut requests = Requests::open(&house, &turn, "configd")?;
    let store = Store::new(house.root());
    let mut configd = Configd { house, store, engine: Engine::default(), unfinished: None };
    configd.recover();
    configd.house.ready();
    let mut events = Vec::new();
    loop {
        turn.wait(configd.engine.deadline().into_iter().chain(configd.unfinished).min(), &mut events)?;
        for event in &events {
            match event {
                // What is on trial ends with us.
                Event::Signal(Signal::Terminate) => {
                    configd.withdraw("configd ends");
                    return Ok(());
                }
                Event::Signal(_) | Event::Timeout => {}
                Event::Ready { token, .. } if Requests::owns(*token) => {
                    requests.ready(&turn, *token, |line| configd.answer(line));
                }
                Event::Ready { .. } => {}
            }
        }
        let now = Instant::now();
        if configd.engine.is_over(now) {
            configd.withdraw("nobody has kept it");
        }
        if configd.unfinished.is_some_and(|at| at <= now) {
            configd.finish();
        }
    }
}

impl Configd {
    /// What an earlier life has left: what was to be kept is kept, what was on trial is taken away.
    fn recover(&mut self) {
        self.finish();
        if self.unfinished.is_none() {
            self.withdraw("configd has ended meanwhile");
        }
    }

    fn withdraw(&mut self, why: &str) {
        self.engine.ended();
        match self.store.withdraw() {
            Ok(names) if names.is_empty() => {}
            Ok(names) => {
                log::info!("trial of {} ended: {why}", names.join(", "));
                self.tell(&names);
            }
            Err(error) => log::error!("/run/try: {error}: the candidates are still in force"),
        }
    }

    /// Copies what is to be kept; the candidates hold until that is done.
    fn finish(&mut self) {
        self.unfinished = None;
        match self.store.finish() {
            Ok(names) if names.is_empty() => {}
            Ok(names) => {
                if let Err(error) = self.store.withdraw() {
                    log::error!("/run/try: {error}");
                }
                log::info!("kept: {}", names.join(", "));
                self.tell(&names);
            }
            Err(error) => {
                log::error!("{error}: what is to be kept is not all in its place, next try in 10 s");
                self.unfinished = Some(Instant::now() + RETRY);
            }
        }
    }

    fn tell(&mut self, names: &[String]) {
        for name in names {
            self.house.changed(&format!("/perm/{name}"));
        }
    }

    fn answer(&mut self, line: &[u8]) -> String {
        let now = Instant::now();
        let result = Request::parse(line).and_then(|request| self.engine.order(now, request));
        let result = result.and_then(|order| match order {
            // What was promised first has to be in its place before another promise.
            Order::Try(..) | Order::Apply(_) if self.unfinished.is_some() => {
                Err("the files that were to be kept are not all in their place yet; the log says why".into())
            }
            order => Ok(order),
        });
        let said = result.and_then(|order| match order {
            Order::Check(files) => self.check(&files).map(|()| json!({"ok": true})),
            Order::Try(files, confirm) => {
                self.check(&files)?;
                self.store.place(&files).map_err(|error| format!("/run/try: {error}"))?;
                let names: Vec<String> = files.into_keys().collect();
                log::info!("trial of {} for {} s", names.join(", "), confirm.as_secs());
                self.tell(&names);
                self.engine.begun(now, names, confirm);
                Ok(json!({"ok": true, "confirm": confirm.as_secs()}))
            }
            Order::Apply(files) => {
                self.check(&files)?;
                self.keep(&files)
            }
            Order::Keep => {
                let files = self.store.tried().map_err(|error| format!("/run/try: {error}"))?;
                self.keep(&files)
            }
            Order::Revert => {
                self.withdraw("taken back");
                Ok(json!({"ok": true}))
            }
            Order::State => {
                let trial = self.engine.trial(now).map(|(names, left)| json!({"files": names, "seconds_left": left}));
                Ok(json!({"ok": true, "trial": trial}))
            }
        });
        said.map_or_else(|why| requests::error(&why), |answer| format!("{answer}\n"))
    }

    /// The candidates with what stands besides.
    fn check(&self, files: &Files) -> Result<(), String> {
        let mut all = self.store.standing();
        all.extend(files.clone());
        let root = self.house.root();
        let wrong = check::check(&all, |name| schedule::named(root, name));
        // What was wrong before and is not touched is nobody's fault now.
        let before = check::check(&self.store.standing(), |name| schedule::named(root, name));
        let new: Vec<String> =
            wrong.into_iter().filter(|line| !before.contains(line) || mentions(files, line)).collect();
        if new.is_empty() { Ok(()) } else { Err(new.join("\n")) }
    }

    fn keep(&mut self, files: &Files) -> Result<serde_json::Value, String> {
        self.store.promise(files).map_err(|error| format!("/perm/configd/keep.json: {error}: not kept"))?;
        // From here on it is kept, however long the disk takes to say so: no time runs out any more.
        self.engine.ended();
        self.finish();
        Ok(json!({"ok": true, "kept": files.keys().collect::<Vec<_>>()}))
    }
}

fn mentions(files: &Files, line: &str) -> bool {
    files.keys().any(|name| line.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(':')))
}
