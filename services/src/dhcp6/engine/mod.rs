//! The client's state machine: RFC 9915, section 18.2, with RFC 7084's and RFC 9096's rules for a home router.
//!
//! Time, messages and the link come in as [`Event`]s, what is to be done goes out as [`Action`]s. The one timer is
//! [`Engine::deadline`]. How messages are repeated is in `exchange`, what is held in `bindings`, what is sent in
//! `messages`, what answers do in `answers`.
//!
//! There is no state without a way on: whatever servers say, what is held stays in use until its valid lifetime ends,
//! and the client goes on asking, never faster than its backoff.
mod answers;
mod bindings;
mod exchange;
mod messages;

pub use bindings::{Binding, Bindings};

use super::config::Wishes;
use super::message::{Answer, For, name};
use crate::house::random::Random;
use crate::perm::lease6::seconds_left;
use exchange::{Exchange, Parameters};
use netstack::time::Instant;
use std::time::Duration;

/// Pauses before the next attempt after servers have said no, in seconds.
const PAUSES: [u64; 7] = [0, 1, 2, 4, 8, 16, 30];
/// SOL_MAX_DELAY, CNF_MAX_DELAY and INF_MAX_DELAY, in milliseconds.
const DELAY_MS: u32 = 1_000;
/// News of a router begin the search anew, but not more often than this.
const AFRESH: Duration = Duration::from_secs(10);
/// A kind of lease that nobody gave is asked for again by a RENEW after that time, if T1 is later.
const MISSING: Duration = Duration::from_secs(600);

/// What the client is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Without a link, resting, or released.
    Off,
    /// Looking for servers.
    Soliciting,
    /// Asking one server for what it has offered.
    Requesting,
    /// All is well until T1.
    Bound,
    /// Past T1: asking the server that gave the leases.
    Renewing,
    /// Past T2, or after a link loss or a reboot with prefixes: asking any server.
    Rebinding,
    /// After a link loss or a reboot with addresses alone: asking whether they fit the link.
    Confirming,
    /// Giving the leases back.
    Releasing,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// DHCP Unique Identifier, 3 to 130 bytes.
    pub duid: Vec<u8>,
    /// Number of the IA_NA.
    pub iaid: u32,
}

/// What the last router advertisement on the uplink said, by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Advertised {
    /// M: addresses by DHCPv6.
    pub managed: bool,
    /// O: other configuration by DHCPv6.
    pub other_config: bool,
    /// There is a default route.
    pub router: bool,
}

/// What happens to the client.
#[derive(Debug)]
pub enum Event<'a> {
    /// The link can be used (carrier, a link-local address that is not tentative), or not.
    Link(bool),
    /// Router advertisements say something else.
    Advertised(Advertised),
    /// Who asks, and what for.
    Configured(Identity, Wishes),
    /// A person has configured the uplink by hand (or has stopped doing so).
    Rest(bool),
    /// A server's message arrived.
    Received(&'a Answer),
    /// [`Engine::deadline`] has come.
    Timeout,
    /// A person wants the leases given back.
    Release,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a message to all servers of the link.
    Send(Vec<u8>),
    /// Write down what is held: [`Engine::bindings`].
    Keep,
    /// A line for the log about the client itself.
    Say(String),
    /// A line for the log that any packet may cause: to be said rarely.
    Complain(String),
}

/// The client of one interface.
#[derive(Debug)]
pub struct Engine {
    state: State,
    identity: Identity,
    wishes: Wishes,
    link: bool,
    rests: bool,
    advertised: Advertised,
    exchange: Option<Exchange>,
    /// An INFORMATION-REQUEST beside the search.
    information: Option<Exchange>,
    /// The best ADVERTISE so far, or the one that is being requested.
    offer: Option<Answer>,
    bindings: Bindings,
    /// What is being given back.
    released: Bindings,
    /// When [`Action::Keep`] was last asked for: ends of lifetimes before that are on the disk.
    kept: Instant,
    /// SOL_MAX_RT and INF_MAX_RT in seconds.
    max_rt: (u64, u64),
    /// How often servers have said no since all was well.
    refused: usize,
    random: Random,
}

impl Engine {
    /// A client that has no link yet; `stored` is what it held before.
    pub fn new(now: Instant, stored: Bindings, random: Random) -> Engine {
        Engine {
            state: State::Off,
            identity: Identity::default(),
            wishes: Wishes::default(),
            link: false,
            rests: false,
            advertised: Advertised::default(),
            exchange: None,
            information: None,
            offer: None,
            bindings: stored,
            released: Bindings::default(),
            kept: now,
            max_rt: (exchange::SOLICIT.mrt, exchange::INFORMATION.mrt),
            refused: 0,
            random,
        }
    }

    /// The state it is in.
    #[cfg(test)]
    pub fn state(&self) -> State {
        self.state
    }

    /// What it holds.
    pub fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// When [`Event::Timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let (t1, t2) = self.bindings.times();
        let times = match self.state {
            State::Bound => Some(t1),
            State::Renewing => Some(t2),
            _ => None,
        };
        let exchanges = [&self.exchange, &self.information].into_iter().flatten().map(|exchange| exchange.due);
        let all = exchanges.chain(times).chain(self.bindings.next_end(self.kept));
        all.min().filter(|at| *at != Instant::NEVER)
    }

    /// Takes one event; what is to be done, in order.
    pub fn handle(&mut self, now: Instant, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Link(link) if link != self.link => {
                self.link = link;
                self.begin(now, &mut actions);
            }
            Event::Rest(rests) if rests != self.rests => {
                self.rests = rests;
                let words = "the uplink is configured by hand: resting";
                actions.extend(rests.then(|| Action::Say(words.into())));
                self.begin(now, &mut actions);
            }
            Event::Configured(identity, wishes) if (&identity, &wishes) != (&self.identity, &self.wishes) => {
                (self.identity, self.wishes) = (identity, wishes);
                self.begin(now, &mut actions);
            }
            Event::Link(_) | Event::Rest(_) | Event::Configured(..) => {}
            Event::Advertised(advertised) => self.advertised(now, advertised),
            Event::Received(answer) => self.received(now, answer, &mut actions),
            Event::Timeout => self.timeout(now, &mut actions),
            Event::Release => self.release(now, &mut actions),
        }
        actions
    }

    fn works(&self) -> bool {
        self.link && !self.rests && !self.identity.duid.is_empty()
    }

    /// The link has come, gone or changed: what is held is asked for again, or servers are looked for.
    fn begin(&mut self, now: Instant, actions: &mut Vec<Action>) {
        (self.exchange, self.information, self.offer) = (None, None, None);
        (self.state, self.refused) = (State::Off, 0);
        if !self.works() {
            return;
        }
        let at = self.delayed(now);
        let prefixes: Vec<String> = self.bindings.valid(For::Prefix, now).map(|item| item.value.to_string()).collect();
        if !prefixes.is_empty() {
            actions.push(Action::Say(format!("asking for {} again", prefixes.join(", "))));
            // As long as a CONFIRM would take (RFC 9915, section 18.2.12), and with its delay.
            self.enter_with(State::Rebinding, exchange::CONFIRM, at);
        } else if self.bindings.valid(For::Address, now).next().is_some() {
            actions.push(Action::Say("asking whether the address still fits".into()));
            self.enter(State::Confirming, at);
        } else {
            actions.push(Action::Say("looking for a server".into()));
            self.enter(State::Soliciting, at);
        }
        self.timeout(now, actions);
    }

    fn delayed(&mut self, now: Instant) -> Instant {
        now + Duration::from_millis(u64::from(self.random.below(DELAY_MS)))
    }

    /// Begins an exchange whose first message leaves at `at`.
    fn enter(&mut self, state: State, at: Instant) {
        let parameters = match state {
            State::Requesting => exchange::REQUEST,
            State::Renewing => exchange::RENEW,
            State::Rebinding => exchange::REBIND,
            State::Confirming => exchange::CONFIRM,
            State::Releasing => exchange::RELEASE,
            State::Soliciting | State::Bound | State::Off => Parameters { mrt: self.max_rt.0, ..exchange::SOLICIT },
        };
        self.enter_with(state, parameters, at);
    }

    fn enter_with(&mut self, state: State, parameters: Parameters, at: Instant) {
        self.state = state;
        if state != State::Requesting {
            self.offer = None;
        }
        let exchanges = !matches!(state, State::Off | State::Bound);
        self.exchange = exchanges.then(|| Exchange::new(parameters, at, &mut self.random));
    }

    /// A server has said no: another attempt, the later the more often that has happened.
    fn retry(&mut self, state: State, now: Instant, actions: &mut Vec<Action>) {
        let pause = PAUSES[self.refused.min(PAUSES.len() - 1)];
        self.refused += 1;
        self.enter(state, now + Duration::from_secs(pause));
        if pause == 0 {
            self.timeout(now, actions);
        }
    }

    fn advertised(&mut self, now: Instant, advertised: Advertised) {
        let before = std::mem::replace(&mut self.advertised, advertised);
        let news = (advertised.router && !before.router)
            || (advertised.managed && !before.managed)
            || (advertised.other_config && !before.other_config);
        // Something has come back to life out there: no reason to sit out an hour's pause.
        let waits = self.exchange.as_ref().is_some_and(|exchange| exchange.due > now + AFRESH);
        if news && self.state == State::Soliciting && waits {
            let at = self.delayed(now);
            self.enter(State::Soliciting, at);
        }
    }

    fn timeout(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.note_ends(now, actions);
        let (t1, t2) = self.bindings.times();
        if self.state == State::Bound && t1 <= now {
            actions.push(Action::Say("renewing".into()));
            self.enter(State::Renewing, now);
        }
        if self.state == State::Renewing && t2 <= now {
            actions.push(Action::Say("the server is silent: rebinding".into()));
            self.enter(State::Rebinding, now);
        }
        if matches!(self.state, State::Renewing | State::Rebinding) && !self.bindings.any_valid(now) {
            actions.push(Action::Say("looking for a server".into()));
            self.enter(State::Soliciting, now);
        }
        if self.exchange.as_ref().is_some_and(|exchange| exchange.due <= now) {
            self.go_on(now, actions);
        }
        if let Some(mut information) = self.information.take_if(|information| information.due <= now) {
            information.limit(self.max_rt.1);
            if information.go_on(now, &mut self.random) {
                actions.push(Action::Send(self.ask_information(&information, now)));
            }
            self.information = Some(information);
        }
    }

    fn go_on(&mut self, now: Instant, actions: &mut Vec<Action>) {
        // The time to collect offers is over.
        if self.state == State::Soliciting && self.offer.is_some() {
            self.enter(State::Requesting, now);
        }
        let Some(mut exchange) = self.exchange.take() else { return };
        if exchange.go_on(now, &mut self.random) {
            actions.push(Action::Send(self.message(&exchange, now)));
            // Nobody has answered at once: what there is beside leases is asked for as well.
            let silent = self.state == State::Soliciting && exchange.sent() == 2;
            self.exchange = Some(exchange);
            if silent && self.advertised.other_config && self.information.is_none() && !self.bindings.any_valid(now) {
                let at = self.delayed(now);
                self.information = Some(Exchange::new(exchange::INFORMATION, at, &mut self.random));
            }
            return;
        }
        match self.state {
            State::Releasing => self.enter(State::Off, now),
            _ => {
                actions.push(Action::Say("no answer, looking for a server".into()));
                self.enter(State::Soliciting, now);
                self.go_on(now, actions);
            }
        }
    }

    /// Lifetimes that have ended since the last look are written down, for those who use the leases.
    fn note_ends(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.bindings.next_end(self.kept).is_none_or(|end| end > now) {
            return;
        }
        for net in self.bindings.ran_out(self.kept, now) {
            actions.push(Action::Say(format!("{net} has run out; nobody has extended it")));
        }
        self.keep(now, actions);
    }

    fn keep(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.kept = now;
        actions.push(Action::Keep);
    }

    fn release(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let held = self.works() && self.bindings.any_valid(now) && !self.bindings.server.is_empty();
        // From this moment on they are not ours, whether the server has heard of it or not.
        self.released = std::mem::take(&mut self.bindings);
        self.information = None;
        if held {
            actions.push(Action::Say("leases given back; the next link or start asks anew".into()));
            self.enter(State::Releasing, now);
            self.go_on(now, actions);
        } else {
            self.enter(State::Off, now);
        }
        self.keep(now, actions);
    }

    /// All is well: in words.
    fn bound(&mut self, now: Instant, actions: &mut Vec<Action>) {
        (self.refused, self.information) = (0, None);
        self.enter(State::Bound, now);
        for kind in [For::Address, For::Prefix] {
            let missing = self.bindings.valid(kind, now).next().is_none() && self.wishes.want(kind);
            if missing && let Some(first) = self.bindings.all.first_mut() {
                first.t1 = first.t1.min(now + MISSING);
            }
        }
        let held = [For::Prefix, For::Address].into_iter().flat_map(|kind| self.bindings.valid(kind, now));
        let held: Vec<String> = held
            .map(|item| {
                let what =
                    if item.value.prefix_len() == 128 { item.value.addr().to_string() } else { item.value.to_string() };
                format!("{what} for {} s", seconds_left(item.valid_until, now))
            })
            .collect();
        let t1 = seconds_left(self.bindings.times().0, now);
        let server: String = self.bindings.server.iter().map(|byte| format!("{byte:02x}")).collect();
        actions.push(Action::Say(format!("has {}, renewal in {t1} s, from {server}", held.join(", "))));
        self.keep(now, actions);
    }
}

/// A status and its text, for the log.
fn words((number, text): &(u16, String)) -> String {
    if text.is_empty() { name(*number) } else { format!("{} ({text})", name(*number)) }
}
