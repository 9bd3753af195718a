//! Which list is fetched when, and what becomes of the table: one list at a time, less and less often where that does not
//! work. Pure.
pub mod http;

use crate::blocklist::merge::{Fresh, Plan};
use crate::blocklist::rules::Counts as Rules;
use crate::blocklist::{Listed, OWN, OWN_NAME, Table};
use crate::house::random::Random;
use crate::perm::WallTime;
use crate::perm::blocklists::{Blocklists, List, Url};
use crate::perm::json::or_zero;
use netstack::time::Instant;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// First and longest wait after a failure.
const LATER: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(6 * 3_600));
/// A server may ask for as much.
const LONGEST: Duration = Duration::from_secs(86_400);
/// So long after one that could not be written the table is made again.
const REBUILD: Duration = Duration::from_secs(600);
/// Without a clock that is right no certificate holds: so long it is waited for.
const CLOCK: Duration = Duration::from_secs(120);

/// What time it is.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For timers.
    pub at: Instant,
    /// For what is kept.
    pub wall: WallTime,
}

/// What is known of a list that has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// `ETag` and `Last-Modified`, empty where there was none.
    pub etag: String,
    /// See `etag`.
    pub modified: String,
    /// What was read.
    pub rules: Rules,
}

/// A list to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Where.
    pub url: Url,
    /// What is here already.
    pub etag: String,
    /// See `etag`.
    pub modified: String,
}

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// What the table has.
    Table(Vec<Listed>),
    /// The file was read.
    File(Blocklists),
    /// Whether the clock is right.
    Clock(bool),
    /// The list has come, and its rules.
    Fresh(Fetched),
    /// It is as it was.
    Same,
    /// It could not be fetched, in words; how long its server wants to be left alone.
    Failed(String, Option<Duration>),
    /// The table was made, with so many names, or not.
    Built(Result<usize, String>),
    /// Time has passed.
    Time,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Fetch a list: `Fresh`, `Same` or `Failed` follows.
    Fetch(Ask),
    /// The last one does not matter any more.
    HangUp,
    /// Make the table by [`Engine::plan`]: `Built` follows.
    Build,
    /// There is nothing to be blocked: no table.
    Remove,
    /// What is kept has changed.
    Keep,
    /// For the log.
    Say(String),
    /// Likewise, as a warning.
    Complain(String),
}

/// What is kept over a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Each list.
    #[serde(deserialize_with = "or_zero")]
    pub lists: Vec<Row>,
}

/// A list as it was left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Its name.
    #[serde(deserialize_with = "or_zero")]
    pub name: String,
    /// Where it is.
    #[serde(deserialize_with = "or_zero")]
    pub url: String,
    /// When it was last known to be as its server has it.
    #[serde(deserialize_with = "or_zero")]
    pub checked: WallTime,
}

/// What came of looking at lists.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Lists that had changed.
    pub fresh: u64,
    /// Lists that had not.
    pub same: u64,
    /// Tries in vain.
    pub failed: u64,
}

/// How a list is, for who shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State<'a> {
    /// Its name.
    pub name: &'a str,
    /// Nothing was wrong when it was last looked at.
    pub is_right: bool,
    /// Its rules in force.
    pub rules: u64,
    /// When it was last right, in seconds since 1970; 0 = never.
    pub checked: i64,
}

#[derive(Debug)]
struct Entry {
    list: List,
    listed: Listed,
    checked: WallTime,
    try_at: Instant,
    wait: Duration,
    /// What was last complained of.
    said: String,
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    entries: Vec<Entry>,
    /// The lists of the table as it is.
    table: Vec<Listed>,
    before: Vec<Row>,
    /// A sum of a person's own names.
    own: String,
    /// The list that is being fetched; and what has come of it, while the table is made.
    talk: Option<usize>,
    fetched: Option<Fetched>,
    random: Random,
    clock: bool,
    patience: Instant,
    /// When a table that could not be made is tried again.
    rebuild_at: Option<Instant>,
    counts: Counts,
}

impl Engine {
    /// With what an earlier life has kept.
    pub fn new(now: Instant, kept: Kept, random: Random) -> Engine {
        Engine {
            entries: Vec::new(),
            table: Vec::new(),
            before: kept.lists,
            own: String::new(),
            talk: None,
            fetched: None,
            random,
            clock: false,
            patience: now + CLOCK,
            rebuild_at: None,
            counts: Counts::default(),
        }
    }

    /// Something happens.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Table(lists) => self.trust(now.at, &lists),
            Event::File(file) => self.follow(now, &file, &mut actions),
            Event::Clock(right) => self.clock = right,
            Event::Fresh(fetched) if self.talk.is_some() => {
                self.fetched = Some(fetched);
                actions.push(Action::Build);
            }
            Event::Fresh(_) => {}
            Event::Same => {
                self.counts.same += 1;
                self.succeeded(now, &mut actions);
            }
            Event::Failed(words, after) => self.failed(now, words, after, &mut actions),
            Event::Built(result) => self.built(now, result, &mut actions),
            Event::Time => {}
        }
        self.next(now.at, &mut actions);
        actions
    }

    /// What the table really has: what is gone from it is fetched anew.
    pub fn trust(&mut self, now: Instant, lists: &[Listed]) {
        if self.table == lists {
            return;
        }
        self.table = lists.to_vec();
        for entry in &mut self.entries {
            entry.listed = listed(&self.table, &entry.list);
            if entry.listed.fetched.is_zero() {
                entry.try_at = now;
            }
        }
    }

    fn follow(&mut self, now: Now, file: &Blocklists, actions: &mut Vec<Action>) {
        if self.talk.take().is_some() {
            self.fetched = None;
            actions.push(Action::HangUp);
        }
        let mut before = std::mem::take(&mut self.entries);
        for list in &file.lists {
            let is_same = |entry: &Entry| entry.list.name == list.name && entry.list.url == list.url;
            let mut entry = match before.iter().position(is_same) {
                Some(at) => before.swap_remove(at),
                None => self.entry(now, list),
            };
            let most = now.at + Duration::from_secs(u64::from(list.hours) * 3_600);
            entry.try_at = entry.try_at.min(most);
            entry.list = list.clone();
            self.entries.push(entry);
        }
        self.own = own_sum(file);
        if file.is_empty() {
            self.table.clear();
            self.rebuild_at = None;
            actions.push(Action::Remove);
        } else if self.headers(now.wall) != self.table {
            actions.push(Action::Build);
        }
        actions.push(Action::Keep);
    }

    fn entry(&mut self, now: Now, list: &List) -> Entry {
        let is_it = |name: &str, url: &str| list.name == name && list.url.text == url;
        let listed = listed(&self.table, list);
        let row = self.before.iter().find(|row| is_it(&row.name, &row.url));
        let checked = row.map(|row| row.checked).unwrap_or_default().max(listed.fetched);
        let life = Duration::from_secs(u64::from(list.hours) * 3_600);
        // A list that is not here is wanted at once, and one of the future is not believed.
        let is_known = !listed.fetched.is_zero() && checked <= now.wall;
        let left = if is_known { life.saturating_sub(now.wall.since(checked)) } else { Duration::ZERO };
        let checked = if is_known { checked } else { WallTime::default() };
        Entry { list: list.clone(), listed, checked, try_at: now.at + left, wait: Duration::ZERO, said: String::new() }
    }

    // What the lists of the table shall be; the one that has just come as it came.
    fn headers(&self, wall: WallTime) -> Vec<Listed> {
        let mut own = Listed { name: OWN_NAME.to_owned(), ..Listed::default() };
        own.etag.clone_from(&self.own);
        let each = self.entries.iter().enumerate().map(|(at, entry)| {
            let mut listed = entry.listed.clone();
            if let Some(fetched) = self.fetched.as_ref().filter(|_| self.talk == Some(at)) {
                listed.etag.clone_from(&fetched.etag);
                listed.modified.clone_from(&fetched.modified);
                (listed.rules, listed.others) = (fetched.rules.rules, fetched.rules.others + fetched.rules.rubbish);
                listed.fetched = wall;
            }
            listed
        });
        std::iter::once(own).chain(each).collect()
    }

    /// What the new table is made of: of the one before what still holds, a person's own names, and the list that has come.
    pub fn plan<'a>(&self, before: &'a Table, own: Vec<u64>, keys: Vec<u64>, wall: WallTime) -> Plan<'a> {
        let lists = self.headers(wall);
        let fresh_at = self.talk.filter(|_| self.fetched.is_some()).map(|at| at + 1);
        let stays = |(at, listed): (usize, &Listed)| {
            let is_it = |other: &Listed| at != OWN && other.name == listed.name && other.url == listed.url;
            lists.iter().skip(1).position(is_it).map(|at| at + 1).filter(|at| Some(*at) != fresh_at)
        };
        let moved = before.lists().iter().enumerate().map(stays).collect();
        let mut fresh = vec![Fresh { list: OWN, keys: own }];
        fresh.extend(fresh_at.map(|list| Fresh { list, keys }));
        Plan { before, moved, fresh, lists }
    }

    fn built(&mut self, now: Now, result: Result<usize, String>, actions: &mut Vec<Action>) {
        match (result, self.fetched.is_some()) {
            (Ok(names), is_fetched) => {
                self.rebuild_at = None;
                self.table = self.headers(now.wall);
                for (entry, listed) in self.entries.iter_mut().zip(self.table.iter().skip(OWN + 1)) {
                    entry.listed.clone_from(listed);
                }
                actions.push(Action::Say(format!("{names} names of {} lists", self.entries.len())));
                if is_fetched {
                    self.counts.fresh += 1;
                    self.succeeded(now, actions);
                }
            }
            (Err(words), true) => self.failed(now, words, None, actions),
            (Err(words), false) => {
                self.rebuild_at = Some(now.at + REBUILD);
                actions.push(Action::Complain(words));
            }
        }
        self.fetched = None;
    }

    fn succeeded(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(entry) = self.talk.take().and_then(|at| self.entries.get_mut(at)) else { return };
        let life = Duration::from_secs(u64::from(entry.list.hours) * 3_600);
        let jitter = self.random.below((life.as_secs() / 16) as u32);
        (entry.checked, entry.wait) = (now.wall, Duration::ZERO);
        entry.try_at = now.at + life + Duration::from_secs(jitter.into());
        if !std::mem::take(&mut entry.said).is_empty() {
            actions.push(Action::Say(format!("{} is right again", entry.list.name)));
        }
        actions.extend([Action::HangUp, Action::Keep]);
    }

    fn failed(&mut self, now: Now, words: String, after: Option<Duration>, actions: &mut Vec<Action>) {
        self.fetched = None;
        let Some(entry) = self.talk.take().and_then(|at| self.entries.get_mut(at)) else { return };
        self.counts.failed += 1;
        entry.wait = (entry.wait * 2).clamp(LATER.0, LATER.1);
        let jitter = Duration::from_secs(self.random.below((entry.wait.as_secs() / 8) as u32).into());
        entry.try_at = now.at + (entry.wait + jitter).max(after.unwrap_or_default().min(LONGEST));
        if entry.said != words {
            let holds = if entry.listed.fetched.is_zero() { "there is none yet" } else { "the one before holds" };
            actions.push(Action::Complain(format!("{} ({}): {words}; {holds}", entry.list.name, entry.list.url.text)));
            entry.said = words;
        }
        actions.push(Action::HangUp);
    }

    fn next(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.rebuild_at.take_if(|at| *at <= now).is_some() {
            actions.push(Action::Build);
            return;
        }
        if self.talk.is_some() || !(self.clock || now >= self.patience) {
            return;
        }
        let due = self.entries.iter().enumerate().filter(|(_, entry)| entry.try_at <= now);
        let Some((at, entry)) = due.min_by_key(|(_, entry)| entry.try_at) else { return };
        self.talk = Some(at);
        let Listed { etag, modified, .. } = entry.listed.clone();
        actions.push(Action::Fetch(Ask { url: entry.list.url.clone(), etag, modified }));
    }

    /// When [`Event::Time`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        if self.talk.is_some() {
            return None;
        }
        let due = self.entries.iter().map(|entry| entry.try_at).min();
        let due = due.map(|due| if self.clock { due } else { due.max(self.patience) });
        due.into_iter().chain(self.rebuild_at).min()
    }

    /// What the next life needs.
    pub fn kept(&self) -> Kept {
        let row = |entry: &Entry| Row {
            name: entry.list.name.clone(),
            url: entry.list.url.text.clone(),
            checked: entry.checked,
        };
        Kept { lists: self.entries.iter().map(row).collect() }
    }

    /// Each list.
    pub fn states(&self) -> impl Iterator<Item = State<'_>> {
        self.entries.iter().map(|entry| State {
            name: &entry.list.name,
            is_right: entry.said.is_empty() && !entry.listed.fetched.is_zero(),
            rules: entry.listed.rules,
            checked: entry.checked.unix().max(0),
        })
    }

    /// What came of looking.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

// What the table has of a list; nothing yet where it has not.
fn listed(table: &[Listed], list: &List) -> Listed {
    let found = table.iter().skip(OWN + 1).find(|listed| listed.name == list.name && listed.url == list.url.text);
    found.cloned().unwrap_or_else(|| Listed {
        name: list.name.clone(),
        url: list.url.text.clone(),
        ..Listed::default()
    })
}

// By it the table knows whether a person's own names are those of before.
fn own_sum(file: &Blocklists) -> String {
    let mut sum = flate2::Crc::new();
    for (kind, names) in [("+", &file.block), ("-", &file.allow)] {
        for name in names {
            sum.update(kind.as_bytes());
            sum.update(name.as_bytes());
        }
    }
    format!("{:08x}-{}", sum.sum(), file.block.len() + file.allow.len())
}
