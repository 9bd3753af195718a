//! The client's state machine: it searches for a concentrator, gets a session, negotiates, and begins anew whenever that
//! fails or ends. Time, packets and the cable come in as [`Event`]s, what is to be done goes out as [`Action`]s.
//!
//! Nothing is taken away when a session ends: what it has brought stays written until another brings something else.
mod auth;
mod automaton;
mod discovery;
mod ipcp;
mod ipv6cp;
mod lcp;
mod session;

use crate::house::random::Random;
use crate::perm::Mac;
use crate::perm::interfaces::PPPOE_MTU;
use discovery::{Granted, Round};
use netstack::time::Instant;
use netstack::wire::pppoe::{Discovery, PADS, PADT};
use session::Session;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// What a person wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Who we are.
    pub username: String,
    /// And how we show it.
    pub password: String,
    /// The service; empty = any.
    pub service: String,
    /// The concentrator; empty = any.
    pub ac_name: String,
    /// The largest packet that is wanted, in bytes.
    pub mtu: u16,
}

/// The cable, or what carries frames in its place, while it has a carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Its hardware address.
    pub mac: Mac,
    /// The largest payload of its frames, in bytes.
    pub mtu: u32,
}

/// What a session brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Our address and name servers.
    pub ipv4: Option<(Ipv4Addr, Vec<Ipv4Addr>)>,
    /// Our link-local address.
    pub ipv6: Option<Ipv6Addr>,
    /// The largest packet, in bytes.
    pub mtu: u16,
}

/// What happens to the client.
#[derive(Debug)]
pub enum Event<'a> {
    /// What is wanted; nothing when the uplink is something else.
    Settings(Option<Settings>),
    /// The cable.
    Line(Option<Line>),
    /// A discovery packet arrived.
    Discovery(Mac, Discovery<'a>),
    /// A control packet of the session, after its protocol.
    Control(u16, &'a [u8]),
    /// The kernel has no session any more, or never got one.
    Lost(String),
    /// [`Engine::deadline`] has come.
    Timeout,
    /// A person wants the session ended and another begun.
    Redial,
    /// We are going.
    Stop,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a discovery packet.
    Discover(Mac, Vec<u8>),
    /// Take up a session with a concentrator in the kernel.
    Begin(Mac, u16),
    /// Send a control packet of a protocol.
    Send(u16, Vec<u8>),
    /// What the session brings is now this.
    Network(Network),
    /// The kernel's session is to go.
    End,
    /// Which session is ours, lest the next life leave it open at the concentrator.
    Remember(Option<(Mac, u16)>),
    /// A line for the log.
    Say(String),
    /// A line for the log that may come again and again: said when it is another than before.
    Complain(String),
}

/// A session that lasted so long was a good one: the next is sought at once.
const GOOD: Duration = Duration::from_secs(30);
/// Waits between failures: 1, 2, 4, ... seconds.
const LONGEST: Duration = Duration::from_secs(60);
/// The least when the password was refused: who asks too often may be locked out.
const REFUSED: Duration = Duration::from_secs(10);

#[derive(Debug)]
enum State {
    /// Without a wish or a cable.
    Idle,
    /// Until something is tried again.
    Pause(Instant),
    Searching(Box<Round>),
    Session(Box<Live>),
}

#[derive(Debug)]
struct Live {
    granted: Granted,
    session: Session,
    /// When the concentrator's PPP was first heard: it begins to listen a while after its PADS.
    heard: Option<Instant>,
    /// Since when it has brought something.
    up: Option<Instant>,
    round: Box<Round>,
}

/// The client.
#[derive(Debug)]
pub struct Engine {
    settings: Option<Settings>,
    line: Option<Line>,
    state: State,
    failures: u32,
    /// The concentrator of the last failure.
    avoided: Option<Mac>,
    /// A session of an earlier life.
    stale: Option<(Mac, u16)>,
    random: Random,
}

/// Text of the other side, fit for a log.
fn text(bytes: &[u8]) -> String {
    let bytes = bytes.get(..200).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect::<String>().trim().to_owned()
}

impl Engine {
    /// A client with nothing to do yet; `stale` is the session that an earlier life had.
    pub fn new(stale: Option<(Mac, u16)>, random: Random) -> Engine {
        Engine { settings: None, line: None, state: State::Idle, failures: 0, avoided: None, stale, random }
    }

    /// When [`Event::Timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Idle => None,
            State::Pause(until) => Some(*until),
            State::Searching(round) => Some(round.deadline()),
            State::Session(live) => live.session.deadline().filter(|deadline| *deadline != Instant::NEVER),
        }
    }

    /// Whether there is a session that brings something.
    #[cfg(test)]
    pub fn is_up(&self) -> bool {
        matches!(&self.state, State::Session(live) if live.up.is_some())
    }

    /// Takes one event; what is to be done, in order.
    pub fn handle(&mut self, now: Instant, event: Event<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Settings(settings) => {
                if self.settings != settings {
                    self.hang_up(&mut actions);
                    self.settings = settings;
                    self.afresh(now, &mut actions);
                }
            }
            Event::Line(line) => self.cable(now, line, &mut actions),
            Event::Discovery(from, packet) => self.discovery(now, from, &packet, &mut actions),
            Event::Control(protocol, packet) => {
                if let State::Session(live) = &mut self.state {
                    live.heard = live.heard.or(Some(now));
                }
                self.session(now, &mut actions, |session, deeds| session.receive(now, protocol, packet, deeds));
            }
            Event::Lost(why) => {
                if matches!(self.state, State::Session(_)) {
                    self.failed(now, why, false, &mut actions);
                }
            }
            Event::Timeout => self.timeout(now, &mut actions),
            Event::Redial => {
                self.hang_up(&mut actions);
                self.afresh(now, &mut actions);
            }
            Event::Stop => self.hang_up(&mut actions),
        }
        actions
    }

    /// A new cable, or its old one back.
    fn cable(&mut self, now: Instant, line: Option<Line>, actions: &mut Vec<Action>) {
        let before = std::mem::replace(&mut self.line, line);
        if before == line {
            return;
        }
        match (&mut self.state, line) {
            (State::Session(live), None) => {
                actions.push(Action::Say("no carrier".into()));
                live.session.rest();
            }
            (State::Session(_), Some(_)) if before.is_none() => {
                self.session(now, actions, |session, deeds| session.probe(now, deeds));
            }
            // The kernel ends a session whose interface was changed, and says so.
            (State::Session(_), Some(_)) => {}
            _ => self.afresh(now, actions),
        }
    }

    /// Begins from the beginning, at once.
    fn afresh(&mut self, now: Instant, actions: &mut Vec<Action>) {
        (self.failures, self.avoided) = (0, None);
        self.search(now, actions);
    }

    fn search(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.state = State::Idle;
        let (Some(settings), Some(line)) = (&self.settings, self.line) else { return };
        let usual = u16::try_from(PPPOE_MTU).unwrap_or_default();
        let room = u16::try_from(line.mtu.saturating_sub(8)).unwrap_or(u16::MAX).max(usual);
        if settings.mtu > room {
            actions.push(Action::Complain(format!(
                "the cable's interface takes {} bytes: too few for packets of {}",
                line.mtu, settings.mtu
            )));
        }
        let mut deeds = Vec::new();
        let payload = settings.mtu.min(room);
        let round = Round::begin(now, settings, payload, self.avoided, &mut self.random, &mut deeds);
        self.state = State::Searching(Box::new(round));
        self.searched(now, deeds, actions);
    }

    fn timeout(&mut self, now: Instant, actions: &mut Vec<Action>) {
        match &mut self.state {
            State::Idle => {}
            State::Pause(until) if *until <= now => self.search(now, actions),
            State::Pause(_) => {}
            State::Searching(round) => {
                let mut deeds = Vec::new();
                round.timeout(now, &mut deeds);
                self.searched(now, deeds, actions);
            }
            State::Session(_) => self.session(now, actions, |session, deeds| session.timeout(now, deeds)),
        }
    }

    fn discovery(&mut self, now: Instant, from: Mac, packet: &Discovery<'_>, actions: &mut Vec<Action>) {
        match &mut self.state {
            State::Searching(round) => {
                let mut deeds = Vec::new();
                round.receive(now, from, packet, &mut deeds);
                self.searched(now, deeds, actions);
            }
            State::Session(live) => {
                let ours = live.granted.from == from && live.granted.session == packet.session;
                if packet.code == PADT && ours {
                    let why = format!("the concentrator has ended the session{}", discovery::farewell(packet));
                    self.failed(now, why, false, actions);
                } else if packet.code == PADS && !ours && packet.session != 0 && live.round.is_ours(packet) {
                    // It took the repetition of our request for another one.
                    actions.push(Action::Discover(from, discovery::padt(packet.session)));
                }
            }
            State::Idle | State::Pause(_) => {}
        }
    }

    fn searched(&mut self, now: Instant, deeds: Vec<discovery::Deed>, actions: &mut Vec<Action>) {
        for deed in deeds {
            match deed {
                discovery::Deed::Send(to, packet) => {
                    // Each time, as one may be lost: a concentrator that grants one session is silent to the next.
                    if let Some((mac, session)) = self.stale.filter(|_| to == discovery::EVERYBODY) {
                        actions.push(Action::Discover(mac, discovery::padt(session)));
                    }
                    actions.push(Action::Discover(to, packet));
                }
                discovery::Deed::Say(words) => actions.push(Action::Complain(words)),
                discovery::Deed::Over(why) => self.failed(now, why, false, actions),
                discovery::Deed::Session(granted) => self.begin(now, granted, actions),
            }
        }
    }

    fn begin(&mut self, now: Instant, granted: Granted, actions: &mut Vec<Action>) {
        let (Some(settings), Some(line)) = (&self.settings, self.line) else { return };
        self.stale = None;
        actions.push(Action::Begin(granted.from, granted.session));
        actions.push(Action::Remember(Some((granted.from, granted.session))));
        let mut deeds = Vec::new();
        self.random.next_u32();
        let session = Session::begin(now, settings, granted.payload, line.mac, &self.random, &mut deeds);
        if let State::Searching(round) = std::mem::replace(&mut self.state, State::Idle) {
            self.state = State::Session(Box::new(Live { granted, session, heard: None, up: None, round }));
        }
        self.done(now, deeds, actions);
    }

    fn session(
        &mut self,
        now: Instant,
        actions: &mut Vec<Action>,
        work: impl FnOnce(&mut Session, &mut Vec<session::Deed>),
    ) {
        let State::Session(live) = &mut self.state else { return };
        let mut deeds = Vec::new();
        work(&mut live.session, &mut deeds);
        self.done(now, deeds, actions);
    }

    fn done(&mut self, now: Instant, deeds: Vec<session::Deed>, actions: &mut Vec<Action>) {
        for deed in deeds {
            let State::Session(live) = &mut self.state else { return };
            match deed {
                session::Deed::Send(protocol, packet) => actions.push(Action::Send(protocol, packet)),
                session::Deed::Say(words) => actions.push(Action::Complain(words)),
                session::Deed::Over(why, refused) => self.failed(now, why, refused, actions),
                session::Deed::Network(network) => {
                    let brings = network.ipv4.is_some() || network.ipv6.is_some();
                    if brings && live.up.is_none() {
                        let Granted { name, session, offered, .. } = &live.granted;
                        let after = |moment: Instant| now.since(moment).as_millis();
                        let (offered, heard) = (after(*offered), after(live.heard.unwrap_or(now)));
                        actions.push(Action::Say(format!(
                            "session {session} with {name}, {offered} ms after its offer, {heard} ms after its first word"
                        )));
                    }
                    live.up = if brings { live.up.or(Some(now)) } else { None };
                    actions.push(Action::Network(network));
                }
            }
        }
    }

    /// Ends what there is, in order; nothing follows by itself.
    fn hang_up(&mut self, actions: &mut Vec<Action>) {
        if let State::Session(mut live) = std::mem::replace(&mut self.state, State::Idle) {
            if let session::Deed::Send(protocol, packet) = live.session.terminate() {
                actions.push(Action::Send(protocol, packet));
            }
            actions.push(Action::Discover(live.granted.from, discovery::padt(live.granted.session)));
            actions.extend([Action::End, Action::Remember(None)]);
        }
    }

    /// It did not work, or works no more: it is tried again.
    fn failed(&mut self, now: Instant, why: String, refused: bool, actions: &mut Vec<Action>) {
        let good = match &self.state {
            State::Session(live) => {
                self.avoided = Some(live.granted.from);
                live.up.is_some_and(|up| now >= up + GOOD)
            }
            _ => false,
        };
        self.hang_up(actions);
        if good {
            (self.failures, self.avoided) = (0, None);
            actions.push(Action::Say(format!("{why}; another session is sought")));
            self.search(now, actions);
            return;
        }
        let least = if refused { REFUSED } else { Duration::from_secs(1) };
        let wait = (least * 2u32.pow(self.failures.min(6))).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let jitter = self.random.below(u32::try_from(wait.as_millis() / 4).unwrap_or_default());
        self.state = State::Pause(now + wait + Duration::from_millis(jitter.into()));
        actions.push(Action::Complain(format!("{why}; tried again in a while")));
    }
}
