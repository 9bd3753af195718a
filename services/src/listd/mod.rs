//! listd: fetches block lists and makes one table of them, which dnsd reads.
//!
//! `/perm/blocklists.json` names the lists. Each is fetched by HTTPS (TLS 1.2 or 1.3; the internet's authorities and those of
//! `/perm/listd/ca.pem`), and asked for again after so many hours, where its server is told what is here already
//! (`ETag`, `Last-Modified`): what has not changed is not sent. What fails is tried again after half a minute, then less and
//! less often, to six hours; meanwhile, and for as long as it takes, what was fetched last holds. A list is read line by line
//! as it comes: 64 MiB, 15 minutes and two million names at most, half a minute for the next piece; what does not look like
//! a list (a page for who shall log in, say) is refused. Redirections are followed, five at most, and not to plain HTTP.
//!
//! The table is the one copy of all lists: a list that is renewed or taken away is changed in it, the others stay as they
//! are, by the names' hashes. It is written beside the one before and takes its place whole. Names of servers are asked for
//! at dnsd, which blocks nothing for the router itself. Until the clock is right, for two minutes at most, nobody is asked:
//! no certificate would hold.
//!
//! | Reads | When |
//! |---|---|
//! | `/perm/blocklists.json`, `/perm/listd/ca.pem`, `/run/ntpd/state.json` | start, `SIGUSR1` |
//!
//! Writes `/perm/listd/nobackup/table` (in no backup, since it can be made anew) and `/perm/listd/state.json`: when each
//! list was right last. Port: 8057 on loopback, `/metrics`, which webd gathers.
mod client;
mod engine;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod metrics;
#[cfg(test)]
mod tests;

use crate::blocklist::merge;
use crate::blocklist::rules;
use crate::blocklist::{MOST_NAMES, Table};
use crate::house::asking::Asking;
use crate::house::random::Random;
use crate::house::rarely::Rarely;
use crate::house::shown::Shown;
use crate::house::tls::Authorities;
use crate::house::{Failure, House};
use crate::perm::blocklists::Blocklists;
use crate::perm::json::{self, Refusal};
use crate::perm::{WallTime, clock, file};
use client::Client;
use engine::{Action, Engine, Event, Kept, Now};
use netstack::event::{self, Loop, Signal, Token};
use netstack::time::Instant;
use std::collections::VecDeque;
use std::path::Path;

const SERVER: Token = Token(1);
const STATE: &str = "/perm/listd/state.json";

/// Whether `blocklists.json` can be used; entries that cannot are left out, each with its line.
///
/// # Errors
/// Names file, field and value.
pub fn check(path: &Path, bytes: &[u8]) -> Result<Vec<Refusal>, Refusal> {
    Blocklists::parse(path, bytes).map(|read| read.refused)
}

struct Listd {
    house: House,
    turn: Loop,
    engine: Engine,
    client: Client,
    file: Option<Blocklists>,
    /// The rules of the list that has just come.
    keys: Vec<u64>,
    complaints: Vec<String>,
    lost: Rarely,
    kept: Vec<u8>,
}

/// Runs the service.
///
/// # Errors
/// When a flag is unknown or the kernel gives no descriptor; never for want of a network.
pub fn run(house: House) -> Result<(), Failure> {
    if let Some(flag) = house.flags().next().map_err(Failure::during("flags"))? {
        return Err(Failure::new(format!("flags: {}", flag.unexpected())));
    }
    let kept = file::read(&house.path(STATE)).ok().flatten().unwrap_or_default();
    let before: Kept = serde_json::from_slice(&kept).unwrap_or_default();
    let mut listd = Listd {
        turn: Loop::new().map_err(Failure::during("event loop"))?,
        engine: Engine::new(Instant::now(), before, Random::from_kernel()),
        client: Client::new(SERVER),
        file: None,
        keys: Vec::new(),
        complaints: Vec::new(),
        lost: Rarely::default(),
        kept,
        house,
    };
    let mut shown = Shown::open(&listd.turn, Instant::now(), "listd");
    let lists = listd.table().lists().to_vec();
    listd.handle(Event::Table(lists));
    listd.configure();
    listd.house.ready();
    let mut happened = Vec::new();
    loop {
        listd.handle(Event::Time);
        listd.talk();
        let times = [listd.engine.deadline(), listd.client.deadline(), shown.deadline()];
        listd.turn.wait(times.into_iter().flatten().min(), &mut happened)?;
        let now = Instant::now();
        let mut changed = false;
        for event in &happened {
            match event {
                event::Event::Signal(Signal::Terminate) => return Ok(()),
                event::Event::Signal(Signal::Changed) => changed = true,
                event::Event::Signal(Signal::Second) | event::Event::Timeout => {}
                event::Event::Ready { token, .. } if Asking::owns(*token) => listd.client.answered(now, *token),
                event::Event::Ready { token, .. } if Shown::owns(*token) => {
                    let engine = &listd.engine;
                    shown.ready(&listd.turn, now, *token, || metrics::page(engine));
                }
                event::Event::Ready { .. } => {}
            }
        }
        if changed {
            listd.configure();
        }
        shown.tick(&listd.turn, now);
    }
}

impl Listd {
    /// Reads every file anew.
    fn configure(&mut self) {
        let root = self.house.root();
        let mut complaints = Vec::new();
        let read = Blocklists::read(root).map_err(|refusal| complaints.push(refusal.to_string())).ok();
        complaints.extend(read.iter().flat_map(|read| &read.refused).map(ToString::to_string));
        for words in complaints.iter().filter(|words| !self.complaints.contains(words)) {
            log::error!("{words}");
        }
        self.complaints = complaints;
        self.handle(Event::Clock(clock::is_right(self.house.root()).unwrap_or(false)));
        // A file that is refused leaves the one before in force.
        if let Some(read) = read.filter(|read| self.file.as_ref() != Some(read)) {
            self.file = Some(read.clone());
            self.handle(Event::File(read));
        }
    }

    /// The table as it is; an empty one when there is none, or none that could be believed.
    fn table(&mut self) -> Table {
        let path = self.house.path(rights::BLOCK_TABLE);
        Table::read(&path).map(Option::unwrap_or_default).unwrap_or_else(|error| {
            let words = || format!("{}: {error}; every list is fetched anew", path.display());
            self.lost.warn(Instant::now(), words);
            Table::default()
        })
    }

    /// Goes on with what is being fetched.
    fn talk(&mut self) {
        loop {
            let now = Instant::now();
            let own = file::in_force(self.house.root(), rights::LISTD_CA);
            let authorities = || {
                let pem = file::read(&own).map_err(|error| format!("{}: {error}", own.display()))?;
                Authorities::new(&pem.unwrap_or_default()).map_err(|words| format!("{}: {words}", own.display()))
            };
            match self.client.turn(&self.turn, now, authorities) {
                Some(client::Said::Fresh { keys, fetched }) => {
                    self.keys = keys;
                    self.handle(Event::Fresh(fetched));
                }
                Some(client::Said::Same) => self.handle(Event::Same),
                Some(client::Said::Failed(words, after)) => self.handle(Event::Failed(words, after)),
                None if self.client.is_eager() => {}
                None => return,
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let now = Now { at: Instant::now(), wall: WallTime::now() };
        let mut actions = VecDeque::from(self.engine.handle(now, event));
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Fetch(ask) => self.client.ask(now.at, ask, MOST_NAMES),
                Action::HangUp => self.client.hang_up(now.at),
                Action::Build => {
                    let built = self.build(now.wall);
                    actions.extend(self.engine.handle(now, Event::Built(built)));
                }
                Action::Remove => {
                    let path = self.house.path(rights::BLOCK_TABLE);
                    if std::fs::remove_file(&path).is_ok() {
                        self.house.changed(rights::BLOCK_TABLE);
                    }
                }
                Action::Keep => self.keep(),
                Action::Say(words) => log::info!("{words}"),
                Action::Complain(words) => log::warn!("{words}"),
            }
        }
    }

    fn build(&mut self, wall: WallTime) -> Result<usize, String> {
        let keys = std::mem::take(&mut self.keys);
        let Some(file) = &self.file else { return Err("there is no blocklists.json in force".to_owned()) };
        let own = rules::own(file.block.iter().map(String::as_str), file.allow.iter().map(String::as_str));
        let before = self.table();
        self.engine.trust(Instant::now(), before.lists());
        let plan = self.engine.plan(&before, own, keys, wall);
        let path = self.house.path(rights::BLOCK_TABLE);
        let names = merge::write(&plan, &path).map_err(|error| format!("{}: {error}", path.display()))?;
        self.house.changed(rights::BLOCK_TABLE);
        Ok(names)
    }

    fn keep(&mut self) {
        let bytes = json::write(&self.engine.kept());
        if bytes == self.kept {
            return;
        }
        match file::replace(&self.house.path(STATE), &bytes) {
            Ok(_) => self.kept = bytes,
            Err(error) => self.lost.warn(Instant::now(), || format!("{STATE}: {error}")),
        }
    }
}
