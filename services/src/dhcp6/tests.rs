//! Scenarios: a script of messages and minutes against the engine. What it sends is read by an independent decoder.
mod lies;
mod states;
mod statuses;

use super::config::Wishes;
use super::engine::{Action, Advertised, Binding, Bindings, Engine, Event, Identity, State};
use super::message::{Answer, For};
use crate::house::random::Random;
use crate::perm::lease6::Timed;
use dhcproto::{Decodable, Decoder, v6};
use ipnet::Ipv6Net;
use netstack::time::Instant;
use netstack::wire::dhcpv6::{self, Kind, Message, Option6, code};
use std::time::Duration;

const DUID: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 7];
const SERVER: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
const OTHER: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 2];
const IAID: u32 = 7;
const A: &str = "2001:db8:a::/56";
const B: &str = "2001:db8:b::/56";
const ADDRESS: &str = "2001:db8::9";
/// T1, T2, preferred, valid.
const TIMES: [u32; 4] = [1_000, 1_600, 2_000, 3_000];

fn net(text: &str) -> Ipv6Net {
    text.parse().unwrap()
}

fn identity() -> Identity {
    Identity { duid: DUID.to_vec(), iaid: IAID }
}

fn pd(prefix: &str, [t1, t2, preferred, valid]: [u32; 4]) -> Option6 {
    dhcpv6::association(code::IA_PD, 1, (t1, t2), &[dhcpv6::prefix(net(prefix), (preferred, valid))])
}

fn na([t1, t2, preferred, valid]: [u32; 4]) -> Option6 {
    dhcpv6::association(code::IA_NA, IAID, (t1, t2), &[dhcpv6::address(ADDRESS.parse().unwrap(), (preferred, valid))])
}

fn status(number: u16) -> Option6 {
    (code::STATUS_CODE, [&number.to_be_bytes()[..], b"so it is"].concat())
}

/// An IA_PD that holds a status and nothing else.
fn no_pd(number: u16) -> Option6 {
    dhcpv6::association(code::IA_PD, 1, (0, 0), &[status(number)])
}

/// The client, and everything that it has sent and said.
struct Scene {
    engine: Engine,
    now: Instant,
    sent: Vec<(Instant, Vec<u8>)>,
    said: Vec<String>,
    complaints: Vec<String>,
    kept: u32,
}

impl Scene {
    fn with(stored: Bindings) -> Scene {
        let now = Instant::from_secs(10);
        let engine = Engine::new(now, stored, Random::from_seed(4));
        let mut scene = Scene { engine, now, sent: Vec::new(), said: Vec::new(), complaints: Vec::new(), kept: 0 };
        scene.event(Event::Configured(identity(), Wishes::default()));
        scene.event(Event::Link(true));
        scene
    }

    fn new() -> Scene {
        Scene::with(Bindings::default())
    }

    /// One that holds A and an address from [`SERVER`].
    fn bound() -> Scene {
        let mut scene = Scene::new();
        scene.pass(1);
        scene.answer(Kind::Advertise, &SERVER, &[pd(A, TIMES), na(TIMES), (code::PREFERENCE, vec![255])]);
        scene.answer(Kind::Reply, &SERVER, &[pd(A, TIMES), na(TIMES)]);
        assert_eq!(scene.state(), State::Bound);
        scene
    }

    fn event(&mut self, event: Event) {
        for action in self.engine.handle(self.now, event) {
            match action {
                Action::Send(bytes) => self.sent.push((self.now, bytes)),
                Action::Keep => self.kept += 1,
                Action::Say(text) => self.said.push(text),
                Action::Complain(text) => self.complaints.push(text),
            }
        }
    }

    /// A server answers the last message.
    fn answer(&mut self, kind: Kind, server: &[u8], options: &[Option6]) {
        let identities = [(code::CLIENT_ID, DUID.to_vec()), (code::SERVER_ID, server.to_vec())];
        let bytes = dhcpv6::emit(kind, self.last().xid, &[&identities, options].concat());
        self.receive(&bytes);
    }

    fn receive(&mut self, bytes: &[u8]) {
        if let Some(answer) = Answer::parse(bytes) {
            self.event(Event::Received(&answer));
        }
    }

    /// Lets so many seconds pass.
    fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.engine.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.event(Event::Timeout);
            assert!(
                self.engine.deadline().is_none_or(|next| next > self.now),
                "the engine spins in {:?}",
                self.state()
            );
        }
        self.now = end;
    }

    fn state(&self) -> State {
        self.engine.state()
    }

    fn last(&self) -> Message<'_> {
        Message::parse(&self.sent.last().expect("something was sent").1).unwrap()
    }

    /// The last message, by another decoder.
    fn decoded(&self) -> v6::Message {
        v6::Message::decode(&mut Decoder::new(&self.sent.last().unwrap().1)).expect("others can read it")
    }

    /// Prefixes held whose valid lifetime runs.
    fn prefixes(&self) -> Vec<String> {
        self.engine.bindings().valid(For::Prefix, self.now).map(|item| item.value.to_string()).collect()
    }

    /// Kinds of the messages sent so far.
    fn kinds(&self) -> Vec<Kind> {
        self.sent.iter().map(|(_, bytes)| Message::parse(bytes).unwrap().kind).collect()
    }

    fn has_said(&self, text: &str) -> bool {
        self.said.iter().chain(&self.complaints).any(|line| line.contains(text))
    }
}

/// What a client held before a reboot.
fn stored(now: Instant, prefixes: &[&str], addresses: bool) -> Bindings {
    let binding = |is_for, iaid, items| Binding { is_for, iaid, t1: Instant::NEVER, t2: Instant::NEVER, items };
    let item = |net: Ipv6Net| Timed::new(net, now, 500, 900);
    let mut all = vec![binding(For::Prefix, 1, prefixes.iter().map(|text| item(net(text))).collect())];
    if addresses {
        all.push(binding(For::Address, IAID, vec![item(net(&format!("{ADDRESS}/128")))]));
    }
    Bindings { server: SERVER.to_vec(), all, ..Bindings::default() }
}
