//! Which record is told to whom, and when: one at a time, only where an address has changed, less and less often where
//! that does not work. Pure.
pub mod cloudflare;
pub mod http;
pub mod kept;
pub mod provider;
pub mod update;

use super::config::{Provider, Record};
use crate::house::random::Random;
use crate::perm::WallTime;
use crate::perm::place::Place;
use kept::{Kept, Row};
use netstack::time::Instant;
use provider::{Ask, Conversation, Next, Said, Verdict};
use std::net::IpAddr;
use std::time::Duration;

/// First and longest wait after something that may pass.
const LATER: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3_600));
/// First and longest wait after a refusal.
const REFUSED: (Duration, Duration) = (Duration::from_secs(3_600), Duration::from_secs(86_400));
/// One record is not told twice within this time, however often its address changes.
const PAUSE: Duration = Duration::from_secs(60);
/// How long an uplink's new address is watched before it is told: a line that comes and goes brings several.
const SETTLE: Duration = Duration::from_secs(5);
/// Without a clock that is right no certificate holds: so long it is waited for.
const CLOCK: Duration = Duration::from_secs(120);
/// What a record holds is asked again where that costs nobody anything, and said again before it is forgotten elsewhere.
const LOOK: Duration = Duration::from_secs(86_400);
const REMIND: Duration = Duration::from_secs(25 * 86_400);

/// What time it is.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For timers.
    pub at: Instant,
    /// For signatures, and for what is kept.
    pub wall: WallTime,
}

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// The file was read.
    Records(Vec<Record>),
    /// The addresses that the records shall have, in their order; or why there is none.
    Addresses(Vec<Result<IpAddr, String>>),
    /// Whether the clock is right.
    Clock(bool),
    /// The server has answered.
    Answer(Said),
    /// It has not, in words.
    Failed(String),
    /// Time has passed.
    Time,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask a server; an answer or a failure follows.
    Ask(Place, Ask),
    /// The last question does not matter any more.
    HangUp,
    /// What is kept has changed.
    Keep,
    /// For the log.
    Say(String),
    /// Likewise, as a warning.
    Complain(String),
}

/// What came of questions, for the metrics.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Records that were published.
    pub published: u64,
    /// Tries that may fare better later.
    pub later: u64,
    /// Refusals.
    pub refused: u64,
}

#[derive(Debug)]
struct Entry {
    record: Record,
    wanted: Result<IpAddr, String>,
    /// When the wanted address was first seen.
    since: Instant,
    published: Option<(IpAddr, WallTime)>,
    remind_at: Instant,
    try_at: Instant,
    wait: Duration,
    forbidden: Option<String>,
    tried: bool,
    /// What was last complained of.
    said: String,
}

#[derive(Debug)]
struct Talk {
    at: usize,
    address: IpAddr,
    conversation: Conversation,
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    entries: Vec<Entry>,
    before: Vec<Row>,
    talk: Option<Talk>,
    random: Random,
    clock: bool,
    patience: Instant,
    counts: Counts,
}

impl Engine {
    /// With what an earlier life has kept.
    pub fn new(now: Instant, kept: Kept, random: Random) -> Engine {
        let (entries, talk, clock, counts) = Default::default();
        Engine { entries, before: kept.records, talk, random, clock, patience: now + CLOCK, counts }
    }

    /// Something happens.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Records(records) => self.follow(now, records, &mut actions),
            Event::Addresses(addresses) => self.wanted(now.at, addresses, &mut actions),
            Event::Clock(right) => self.clock = right,
            Event::Answer(said) => self.answered(now, &said, &mut actions),
            Event::Failed(words) => self.done(now, Verdict::Later(words, None), &mut actions),
            Event::Time => {}
        }
        self.next(now, &mut actions);
        actions
    }

    fn follow(&mut self, now: Now, records: Vec<Record>, actions: &mut Vec<Action>) {
        if self.talk.take().is_some() {
            actions.push(Action::HangUp);
        }
        let mut before = std::mem::take(&mut self.entries);
        for record in records {
            let known = before.iter().position(|entry| entry.record == record).map(|at| before.swap_remove(at));
            let entry = known.unwrap_or_else(|| self.entry(now, record));
            self.entries.push(entry);
        }
        actions.push(Action::Keep);
    }

    fn entry(&mut self, now: Now, record: Record) -> Entry {
        // An entry that was changed begins anew: only what is word for word the same is known.
        let known = self.before.iter().position(|row| row.sum == record.sum).map(|at| self.before.swap_remove(at));
        let (published, forbidden) = known.map(|row| (row.published(), row.forbidden)).unwrap_or_default();
        let age = published.map_or(Duration::MAX, |(_, when)| now.wall.since(when));
        Entry {
            wanted: Err("nobody has looked yet".to_owned()),
            since: now.at,
            published,
            remind_at: now.at.saturating_add(remind(&record).saturating_sub(age)),
            try_at: now.at,
            wait: Duration::ZERO,
            forbidden,
            tried: false,
            said: String::new(),
            record,
        }
    }

    fn wanted(&mut self, now: Instant, addresses: Vec<Result<IpAddr, String>>, actions: &mut Vec<Action>) {
        for (at, (entry, address)) in self.entries.iter_mut().zip(addresses).enumerate() {
            if entry.wanted == address {
                continue;
            }
            // At the start, and for who had none, there is nothing that could come and go.
            entry.since = if entry.wanted.is_ok() { now + SETTLE } else { now };
            entry.wanted = address;
            if let Some(talk) = self.talk.take_if(|talk| talk.at == at && entry.wanted != Ok(talk.address)) {
                // What it would bring is out of date.
                drop(talk);
                entry.try_at = entry.try_at.max(now + PAUSE);
                actions.push(Action::HangUp);
            }
        }
    }

    fn answered(&mut self, now: Now, said: &Said, actions: &mut Vec<Action>) {
        let Some(talk) = &mut self.talk else { return };
        let Some(entry) = self.entries.get(talk.at) else { return };
        match talk.conversation.answered(&entry.record, said, now.wall) {
            Next::Ask(ask) => actions.push(Action::Ask(entry.record.server.clone(), ask)),
            Next::Done(verdict) => self.done(now, verdict, actions),
        }
    }

    fn done(&mut self, now: Now, verdict: Verdict, actions: &mut Vec<Action>) {
        let Some(talk) = self.talk.take() else { return };
        actions.push(Action::HangUp);
        let Some(entry) = self.entries.get_mut(talk.at) else { return };
        entry.tried = true;
        let waits = |entry: &mut Entry, (first, longest): (Duration, Duration), random: &mut Random| {
            entry.wait = (entry.wait * 2).clamp(first, longest);
            let jitter = random.below((entry.wait.as_secs() / 8) as u32);
            entry.wait + Duration::from_secs(jitter.into())
        };
        let (words, wait) = match verdict {
            Verdict::Published => {
                self.counts.published += 1;
                // It is said once it is kept.
                actions.push(Action::Keep);
                if entry.published.map(|(address, _)| address) != Some(talk.address) || !entry.said.is_empty() {
                    actions.push(Action::Say(format!("{} is {}", entry.record, talk.address)));
                }
                entry.said.clear();
                entry.wait = Duration::ZERO;
                entry.published = Some((talk.address, now.wall));
                entry.remind_at = now.at + remind(&entry.record);
                entry.try_at = now.at + PAUSE;
                return;
            }
            Verdict::Later(words, after) => {
                self.counts.later += 1;
                let wait = waits(entry, LATER, &mut self.random);
                (words, wait.max(after.unwrap_or_default().min(REFUSED.1)))
            }
            Verdict::Refused(words) => {
                self.counts.refused += 1;
                (words, waits(entry, REFUSED, &mut self.random))
            }
            Verdict::Forbidden(words) => {
                self.counts.refused += 1;
                entry.forbidden = Some(words.clone());
                actions.push(Action::Keep);
                (format!("{words}: it is not asked again before its entry in dyndns.json is changed"), PAUSE)
            }
        };
        entry.try_at = now.at + wait;
        if entry.said != words {
            let place = &entry.record.server;
            actions.push(Action::Complain(format!("{}: {} says: {words}", entry.record, place.host)));
            entry.said = words;
        }
    }

    /// Begins the next conversation whose time has come.
    fn next(&mut self, now: Now, actions: &mut Vec<Action>) {
        while self.talk.is_none() && self.may_begin(now.at) {
            let due = |entry: &Entry| entry.due().is_some_and(|at| at <= now.at);
            let Some(at) = self.entries.iter().position(due) else { return };
            let Some(entry) = self.entries.get_mut(at) else { return };
            let Ok(address) = entry.wanted else { return };
            let id = self.random.next_u32() as u16;
            match Conversation::begin(&entry.record, address, now.wall, id) {
                Ok((conversation, ask)) => {
                    actions.push(Action::Ask(entry.record.server.clone(), ask));
                    self.talk = Some(Talk { at, address, conversation });
                }
                Err(words) => {
                    actions.push(Action::Complain(format!("{}: {words}", entry.record)));
                    (entry.forbidden, entry.tried) = (Some(words), true);
                }
            }
        }
    }

    fn may_begin(&self, now: Instant) -> bool {
        self.clock || now >= self.patience
    }

    /// When [`Event::Time`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        if self.talk.is_some() {
            return None;
        }
        let due = self.entries.iter().filter_map(Entry::due).min()?;
        Some(if self.clock { due } else { due.max(self.patience) })
    }

    /// What the next life needs.
    pub fn kept(&self) -> Kept {
        Kept { records: self.entries.iter().map(Entry::row).collect() }
    }

    /// The records, each with whether it has the address that it shall have.
    pub fn states(&self) -> impl Iterator<Item = (&Record, bool)> {
        self.entries.iter().map(|entry| (&entry.record, entry.is_right()))
    }

    /// What came of questions.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether every record has been looked after, if only once; and whether all are right.
    pub fn settled(&self) -> Option<bool> {
        let done =
            |entry: &Entry| entry.tried || entry.is_right() || entry.forbidden.is_some() || entry.wanted.is_err();
        self.entries.iter().all(done).then(|| self.entries.iter().all(Entry::is_right))
    }
}

impl Entry {
    fn is_right(&self) -> bool {
        self.published.is_some_and(|(address, _)| self.wanted == Ok(address))
    }

    fn due(&self) -> Option<Instant> {
        if self.forbidden.is_some() || self.wanted.is_err() {
            return None;
        }
        let why = if self.is_right() { self.remind_at } else { self.since };
        Some(why.max(self.try_at))
    }

    fn row(&self) -> Row {
        Row {
            record: self.record.to_string(),
            sum: self.record.sum.clone(),
            address: self.published.map(|(address, _)| address.to_string()).unwrap_or_default(),
            published: self.published.map(|(_, when)| when).unwrap_or_default(),
            forbidden: self.forbidden.clone(),
        }
    }
}

/// How long a record is believed to be what it was made.
fn remind(record: &Record) -> Duration {
    match record.provider {
        Provider::Cloudflare { .. } | Provider::Update { .. } => LOOK,
        // They call it abuse when nothing has changed, and forget who is silent for a month.
        Provider::Dyndns2 { .. } | Provider::Desec { .. } | Provider::Duckdns { .. } => REMIND,
    }
}
