//! Scenarios: a scripted concentrator and minutes of virtual time against the engine.
mod finding;
mod lies;
mod link;

use super::engine::{Action, Engine, Event, Line, Network, Settings};
use super::md5;
use crate::house::random::Random;
use crate::perm::Mac;
use netstack::time::Instant;
use netstack::wire::ppp::{self, CHAP, Control, IPCP, IPV6CP, LCP, PAP, code};
use netstack::wire::pppoe::{Discovery, PADI, PADO, PADR, PADS, Tag, emit, tag};
use std::time::Duration;

const AC: Mac = Mac([2, 0, 0, 0, 0xac, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0xac, 2]);
const OURS: Mac = Mac([2, 0, 0, 0, 0, 7]);
const SESSION: u16 = 0x1234;

fn settings() -> Settings {
    Settings {
        username: "us@isp".into(),
        password: "secret".into(),
        service: String::new(),
        ac_name: String::new(),
        mtu: 1492,
    }
}

fn options(choices: &[(u8, &[u8])]) -> Vec<u8> {
    ppp::options(choices.iter().copied())
}

/// The other side of a session: it wants a proof, gives an address, and notes what it was told.
struct Peer {
    /// The value of its authentication option; empty = it wants none.
    wants: Vec<u8>,
    mru: u16,
    /// Protocols that it does not know.
    rejects: Vec<u16>,
    /// A protocol that it passes over without a word.
    swallows: Option<u16>,
    /// Whether it answers echoes.
    lives: bool,
    /// Whether it says nothing but that.
    mute: bool,
    address: [u8; 4],
    dns: bool,
    /// PAP or CHAP succeeded.
    welcome: bool,
    asked: [bool; 4],
}

impl Peer {
    fn new(wants: &[u8]) -> Peer {
        Peer {
            wants: wants.to_vec(),
            mru: 1492,
            rejects: Vec::new(),
            swallows: None,
            lives: true,
            mute: false,
            address: [192, 0, 2, 50],
            dns: true,
            welcome: wants.is_empty(),
            asked: [false; 4],
        }
    }

    /// What it sends after a packet of ours.
    fn answer(&mut self, protocol: u16, packet: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let said = Control::parse(packet).unwrap();
        if self.swallows == Some(protocol) || (self.mute && (protocol, said.code) != (LCP, code::ECHO)) {
            return Vec::new();
        }
        if self.rejects.contains(&protocol) {
            let data = [&protocol.to_be_bytes()[..], packet].concat();
            return vec![(LCP, ppp::emit(code::PROTOCOL_REJECT, 200, &data))];
        }
        let mut out = Vec::new();
        let mut say = |protocol, code, id, data: &[u8]| out.push((protocol, ppp::emit(code, id, data)));
        match (protocol, said.code) {
            (LCP, code::REQUEST) => {
                if !std::mem::replace(&mut self.asked[0], true) {
                    let mru = self.mru.to_be_bytes();
                    let mut choices: Vec<(u8, &[u8])> = vec![(1, &mru), (5, &[9, 9, 9, 9])];
                    if !self.wants.is_empty() {
                        choices.push((3, &self.wants));
                    }
                    say(LCP, code::REQUEST, 1, &options(&choices));
                }
                say(LCP, code::ACK, said.id, said.data);
            }
            (LCP, code::ACK) if self.wants.starts_with(&CHAP.to_be_bytes()) => {
                say(CHAP, 1, 7, b"\x04\x01\x02\x03\x04concentrator");
            }
            (LCP, code::ECHO) if self.lives => say(LCP, code::ECHO_REPLY, said.id, &[9, 9, 9, 9]),
            (PAP, 1) => {
                self.welcome = said.data == b"\x06us@isp\x06secret";
                say(PAP, if self.welcome { 2 } else { 3 }, said.id, b"\x05sorry");
            }
            (CHAP, 2) => {
                let digest = md5::digest(&[&[7], b"secret", &[1, 2, 3, 4]]);
                self.welcome = said.data == [&[16][..], &digest, b"us@isp"].concat();
                say(CHAP, if self.welcome { 3 } else { 4 }, said.id, b"E=691 R=0");
            }
            (IPCP, code::REQUEST) => {
                if !std::mem::replace(&mut self.asked[1], true) {
                    say(IPCP, code::REQUEST, 1, &options(&[(3, &[192, 0, 2, 1])]));
                }
                let asked = said.options().unwrap();
                let dns: &[u8] = &[203, 0, 113, 1];
                let wanted = |kind: u8| if kind == 3 { &self.address[..] } else { dns };
                let unknown: Vec<(u8, &[u8])> =
                    asked.iter().copied().filter(|(kind, _)| *kind != 3 && !self.dns).collect();
                let other: Vec<(u8, &[u8])> =
                    asked.iter().map(|(kind, _)| (*kind, wanted(*kind))).filter(|all| !asked.contains(all)).collect();
                match (unknown.is_empty(), other.is_empty()) {
                    (false, _) => say(IPCP, code::REJECT, said.id, &options(&unknown)),
                    (true, false) => say(IPCP, code::NAK, said.id, &options(&other)),
                    (true, true) => say(IPCP, code::ACK, said.id, said.data),
                }
            }
            (IPV6CP, code::REQUEST) => {
                if !std::mem::replace(&mut self.asked[2], true) {
                    say(IPV6CP, code::REQUEST, 1, &options(&[(1, &[0, 0, 0, 0, 0, 0, 0xac, 1])]));
                }
                say(IPV6CP, code::ACK, said.id, said.data);
            }
            _ => {}
        }
        out
    }
}

/// The client, what it did, and the concentrator at the other end.
struct Bench {
    engine: Engine,
    now: Instant,
    /// Everything that was done since [`Bench::taken`].
    done: Vec<Action>,
    peer: Peer,
    /// Whether the concentrator hears and speaks.
    open: bool,
}

impl Bench {
    fn new(settings: Settings) -> Bench {
        Bench::with(settings, Peer::new(&[0xc2, 0x23, 5]))
    }

    fn with(settings: Settings, peer: Peer) -> Bench {
        let engine = Engine::new(None, Random::from_seed(7));
        let mut bench = Bench { engine, now: Instant::from_secs(100), done: Vec::new(), peer, open: true };
        bench.event(Event::Settings(Some(settings)));
        bench.event(Event::Line(Some(Line { mac: OURS, mtu: 1500 })));
        bench
    }

    /// An event and, while the concentrator is open, all that follows in the session.
    fn event(&mut self, event: Event<'_>) {
        let actions = self.engine.handle(self.now, event);
        self.follow(actions);
    }

    fn follow(&mut self, actions: Vec<Action>) {
        let mut waiting = std::collections::VecDeque::from(actions);
        while let Some(action) = waiting.pop_front() {
            if let (Action::Send(protocol, packet), true) = (&action, self.open) {
                for (protocol, packet) in self.peer.answer(*protocol, packet) {
                    waiting.extend(self.engine.handle(self.now, Event::Control(protocol, &packet)));
                }
            }
            self.done.push(action);
        }
    }

    fn taken(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.done)
    }

    /// Lets time pass, with every timer on its way.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.engine.deadline().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.event(Event::Timeout);
        }
        self.now = end;
    }

    /// Lets time pass until the next timer.
    fn wait(&mut self) {
        let next = self.engine.deadline().unwrap();
        self.pass(next.since(self.now));
    }

    /// The discovery packets sent so far: to whom, and the packets.
    fn discovery(&self) -> Vec<(Mac, Vec<u8>)> {
        let sent = self.done.iter().filter_map(|action| match action {
            Action::Discover(to, packet) => Some((*to, packet.clone())),
            _ => None,
        });
        sent.collect()
    }

    /// The last discovery packet of a kind.
    fn last(&self, kind: u8) -> Vec<u8> {
        let mut all = self.discovery().into_iter().map(|(_, packet)| packet).rev();
        all.find(|packet| Discovery::parse(packet).unwrap().code == kind).unwrap()
    }

    /// An answer of a concentrator to the last packet of a kind, with our mark and these tags.
    fn reply(&mut self, from: Mac, to: u8, code: u8, session: u16, tags: &[Tag<'_>]) {
        let asked = self.last(to);
        let uniq = Discovery::parse(&asked).unwrap().tag(tag::HOST_UNIQ).unwrap();
        let packet = emit(code, session, &[&[(tag::HOST_UNIQ, uniq)], tags].concat());
        self.event(Event::Discovery(from, Discovery::parse(&packet).unwrap()));
    }

    fn offer(&mut self, from: Mac, name: &str) {
        self.reply(from, PADI, PADO, 0, &[(tag::AC_NAME, name.as_bytes()), (tag::SERVICE, b"")]);
    }

    fn grant(&mut self, from: Mac) {
        self.reply(from, PADR, PADS, SESSION, &[(tag::SERVICE, b"")]);
    }

    /// Discovery with the first concentrator that comes.
    fn connect(&mut self) {
        self.offer(AC, "ac");
        self.grant(AC);
    }

    fn network(&self) -> Option<Network> {
        let mut all = self.done.iter().rev().filter_map(|action| match action {
            Action::Network(network) => Some(network.clone()),
            _ => None,
        });
        all.next()
    }

    fn complaints(&self) -> Vec<String> {
        let words = self.done.iter().filter_map(|action| match action {
            Action::Complain(words) => Some(words.clone()),
            _ => None,
        });
        words.collect()
    }
}

#[test]
fn a_session_with_chap_or_pap_or_neither() {
    for wants in [&[0xc2, 0x23, 5][..], &[0xc0, 0x23], &[]] {
        let mut bench = Bench::with(settings(), Peer::new(wants));
        bench.connect();
        assert!(bench.engine.is_up() && bench.peer.welcome, "{wants:?}: {:#?}", bench.done);
        let network = bench.network().unwrap();
        let (address, dns) = network.ipv4.unwrap();
        assert_eq!((address, dns), ([192, 0, 2, 50].into(), vec![[203, 0, 113, 1].into()]));
        assert_eq!(network.ipv6, Some("fe80::ff:fe00:7".parse().unwrap()));
        assert_eq!(network.mtu, 1492);
        assert_eq!(bench.complaints(), [""; 0]);
        let begun = bench.done.iter().position(|action| *action == Action::Begin(AC, SESSION)).unwrap();
        let first = bench.done.iter().position(|action| matches!(action, Action::Send(..))).unwrap();
        assert!(begun < first, "the kernel's session comes before its first packet");
        assert!(bench.done.contains(&Action::Remember(Some((AC, SESSION)))));
    }
}

#[test]
fn no_timer_is_waited_for() {
    let mut bench = Bench::new(settings());
    let start = bench.now;
    bench.connect();
    assert!(bench.engine.is_up() && bench.now == start);
}

#[test]
fn a_wrong_password_is_one_complaint_and_is_tried_again_slowly() {
    for (wants, words) in [
        (&[0xc2, 0x23, 5][..], "CHAP: the concentrator does not let \"us@isp\" in: E=691 R=0"),
        (&[0xc0, 0x23], "PAP: the concentrator does not let \"us@isp\" in: sorry"),
    ] {
        let wrong = Settings { password: "typo".into(), ..settings() };
        let mut bench = Bench::with(wrong, Peer::new(wants));
        bench.connect();
        let complaints = bench.complaints();
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].starts_with(words), "{complaints:?}");
        assert!(bench.done.contains(&Action::End) && bench.network().is_none());
        bench.taken();
        bench.pass(Duration::from_secs(9));
        assert!(bench.discovery().is_empty(), "who asks too often is locked out");
        bench.wait();
        assert_eq!(bench.discovery().len(), 1, "it is tried again");
        bench.peer = Peer::new(wants);
        bench.event(Event::Settings(Some(settings())));
        bench.connect();
        assert!(bench.engine.is_up(), "the right one is used at once");
    }
}

#[test]
fn a_silent_concentrator_is_found_out_and_nothing_is_taken_away() {
    let mut bench = Bench::new(settings());
    bench.connect();
    bench.pass(Duration::from_secs(600));
    assert!(bench.engine.is_up(), "echoes are answered");
    bench.taken();
    bench.peer.lives = false;
    bench.pass(Duration::from_secs(28));
    let done = bench.taken();
    assert!(done.contains(&Action::End), "{done:#?}");
    assert!(done.iter().all(|action| !matches!(action, Action::Network(_))), "what it brought stays");
    let sent = done.iter().filter(|action| matches!(action, Action::Send(..))).count();
    assert_eq!(sent, 4 + 1, "four questions and a farewell");
    let again = |action: &Action| matches!(action, Action::Discover(to, _) if to.0 == [0xff; 6]);
    assert!(done.iter().any(again), "another session is sought at once");
    bench.done = done;
    bench.peer = Peer::new(&[0xc0, 0x23]);
    bench.peer.address = [192, 0, 2, 51];
    bench.connect();
    assert_eq!(bench.network().unwrap().ipv4.unwrap().0, std::net::Ipv4Addr::new(192, 0, 2, 51));
}

#[test]
fn a_cable_that_is_put_back_is_asked_about_at_once() {
    let mut bench = Bench::new(settings());
    bench.connect();
    bench.pass(Duration::from_secs(60));
    bench.event(Event::Line(None));
    bench.taken();
    bench.pass(Duration::from_secs(300));
    assert_eq!(bench.taken(), [], "nobody is asked without a cable");
    bench.event(Event::Line(Some(Line { mac: OURS, mtu: 1500 })));
    assert_eq!(bench.taken().len(), 1, "one echo");
    bench.pass(Duration::from_secs(30));
    assert!(bench.engine.is_up(), "the same session goes on");

    bench.event(Event::Line(None));
    bench.open = false;
    bench.event(Event::Line(Some(Line { mac: OURS, mtu: 1500 })));
    bench.pass(Duration::from_secs(8));
    assert!(!bench.engine.is_up(), "it is known within seconds that it is over");
    assert!(bench.done.contains(&Action::End));
}

#[test]
fn what_a_person_changes_ends_the_session_and_what_he_does_not_leaves_it() {
    let mut bench = Bench::new(settings());
    bench.connect();
    bench.taken();
    bench.event(Event::Settings(Some(settings())));
    assert_eq!(bench.taken(), []);
    bench.event(Event::Settings(Some(Settings { service: "fast".into(), ..settings() })));
    let kinds: Vec<_> = bench.taken().into_iter().map(|action| format!("{action:?}")).collect();
    let order = ["Send(49185", "Discover(Mac([2, 0, 0, 0, 172, 1])", "End", "Remember(None)", "Discover(Mac([255"];
    assert!(kinds.iter().zip(order).all(|(done, want)| done.starts_with(want)) && kinds.len() == 5, "{kinds:#?}");
    bench.event(Event::Settings(None));
    bench.taken();
    bench.pass(Duration::from_secs(3_600));
    assert_eq!(bench.taken(), [], "the uplink is something else now");
}

#[test]
fn an_orderly_stop_says_farewell_twice() {
    let mut bench = Bench::new(settings());
    bench.connect();
    bench.taken();
    bench.open = false;
    bench.event(Event::Stop);
    let done = bench.taken();
    let Action::Send(LCP, terminate) = &done[0] else { panic!("{done:#?}") };
    assert_eq!(Control::parse(terminate).unwrap().code, code::TERMINATE);
    assert_eq!(done[1], Action::Discover(AC, emit(0xa7, SESSION, &[])));
    assert_eq!(done[2..], [Action::End, Action::Remember(None)]);
}

#[test]
fn a_session_of_an_earlier_life_is_ended_first() {
    let mut engine = Engine::new(Some((AC, 77)), Random::from_seed(7));
    let now = Instant::from_secs(100);
    assert_eq!(engine.handle(now, Event::Settings(Some(settings()))), []);
    let done = engine.handle(now, Event::Line(Some(Line { mac: OURS, mtu: 1500 })));
    assert_eq!(done[0], Action::Discover(AC, emit(0xa7, 77, &[])));
    assert!(matches!(&done[1], Action::Discover(to, _) if to.0 == [0xff; 6]));
    assert_eq!(done.len(), 2);
    // Either may have been lost.
    let again = engine.handle(engine.deadline().unwrap(), Event::Timeout);
    assert_eq!(again[0], done[0]);
    assert!(matches!(&again[1], Action::Discover(to, _) if to.0 == [0xff; 6]));
}
