//! Scenarios: packets and minutes against the engine. What it sends is read by an independent decoder.
mod conflict;
mod options;

use super::engine::{Action, Engine, Event, State};
use super::message::{Answer, Kind, Lease};
use super::wishes::Wishes;
use crate::house::random::Random;
use crate::perm::{Mac, WallTime};
use dhcproto::v4::{self, DhcpOption, OptionCode};
use dhcproto::{Decodable, Decoder};
use netstack::time::Instant;
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::time::Duration;

const MAC: Mac = Mac([2, 0x73, 0x53, 0, 0xca, 0xfe]);
const OTHER_MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);
const SERVER: Ipv4Addr = Ipv4Addr::new(85, 195, 207, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 9, 8, 7);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(85, 195, 207, 62);
const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// A message as a server writes it, by hand.
fn written(kind: u8, xid: u32, mac: Mac, address: Ipv4Addr, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![2, 1, 6, 0];
    bytes.extend(xid.to_be_bytes());
    bytes.extend([0; 8]);
    bytes.extend(address.octets());
    bytes.extend([0; 8]);
    bytes.extend(mac.0);
    bytes.resize(236, 0);
    bytes.extend([99, 130, 83, 99, 53, 1, kind]);
    for (code, value) in options {
        bytes.extend([*code, value.len() as u8]);
        bytes.extend(*value);
    }
    bytes.push(255);
    bytes
}

/// The engine, its clock and what it did last.
struct Scene {
    engine: Engine,
    now: Instant,
    sent: Vec<(Option<Ipv4Addr>, Ipv4Addr, v4::Message)>,
    obtained: Vec<Lease>,
    restored: Vec<Lease>,
    probed: Vec<(Mac, Ipv4Addr)>,
    forgotten: u32,
    said: Vec<String>,
    complaints: Vec<String>,
}

impl Scene {
    fn with(stored: Option<Lease>) -> Scene {
        let now = Instant::from_secs(1_000);
        let engine = Engine::new(now, Wishes::defaults("weir"), stored, Random::from_seed(1));
        Scene {
            engine,
            now,
            sent: Vec::new(),
            obtained: Vec::new(),
            restored: Vec::new(),
            probed: Vec::new(),
            forgotten: 0,
            said: Vec::new(),
            complaints: Vec::new(),
        }
    }

    fn linked() -> Scene {
        let mut scene = Scene::with(None);
        scene.event(Event::Link(Some(MAC)));
        scene
    }

    /// With a lease of two hours, T1 and T2 by default: 3600 and 6300 s.
    fn bound() -> Scene {
        let mut scene = Scene::linked();
        scene.obtain(7_200);
        scene
    }

    fn obtain(&mut self, seconds: u32) {
        self.answer(2, ADDRESS, SERVER, seconds);
        self.answer(5, ADDRESS, SERVER, seconds);
        assert_eq!(self.engine.state(), State::Bound);
    }

    fn event(&mut self, event: Event) {
        for action in self.engine.handle(self.now, event) {
            match action {
                Action::Broadcast { source, message } => self.sent.push((None, source, decoded(&message))),
                Action::Unicast { server, source, message } => {
                    self.sent.push((Some(server), source, decoded(&message)));
                }
                Action::Obtained(lease) => self.obtained.push(lease),
                Action::Restored(lease) => self.restored.push(lease),
                Action::Probe(mac, address) => self.probed.push((mac, address)),
                Action::Forget => self.forgotten += 1,
                Action::Say(text) => self.said.push(text),
                Action::Complain(text) => self.complaints.push(text),
            }
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        if let Some(answer) = Answer::parse(bytes) {
            self.event(Event::Received(&answer));
        }
    }

    fn xid(&self) -> u32 {
        self.sent.last().unwrap().2.xid()
    }

    /// A server's message to the last one sent.
    fn answer(&mut self, kind: u8, address: Ipv4Addr, server: Ipv4Addr, seconds: u32) {
        let (server, seconds) = (server.octets(), seconds.to_be_bytes());
        let options: &[(u8, &[u8])] =
            &[(54, &server), (51, &seconds), (1, &[255, 255, 255, 128]), (3, &SERVER.octets()), (6, &[9, 9, 9, 9])];
        self.receive(&written(kind, self.xid(), MAC, address, if kind == 6 { &options[..1] } else { options }));
    }

    /// Lets time pass up to and including the next timer; how long that was.
    fn next_timer(&mut self) -> Duration {
        let deadline = self.engine.deadline().unwrap();
        let waited = deadline - self.now;
        self.now = deadline;
        self.event(Event::Timeout);
        waited
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(deadline) = self.engine.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.event(Event::Timeout);
        }
        self.now = end;
    }

    fn last(&self) -> (Option<Ipv4Addr>, Ipv4Addr, &v4::Message) {
        let (to, source, message) = self.sent.last().unwrap();
        (*to, *source, message)
    }
}

fn decoded(message: &[u8]) -> v4::Message {
    assert!(message.len() >= 300, "shorter than BOOTP's 300 bytes");
    assert_eq!(message[240..242], [53, 1], "the message type comes first");
    v4::Message::decode(&mut Decoder::new(message)).unwrap()
}

fn kind(message: &v4::Message) -> v4::MessageType {
    message.opts().msg_type().unwrap()
}

fn requested(message: &v4::Message) -> Option<Ipv4Addr> {
    match message.opts().get(OptionCode::RequestedIpAddress) {
        Some(DhcpOption::RequestedIpAddress(address)) => Some(*address),
        _ => None,
    }
}

fn server_id(message: &v4::Message) -> Option<Ipv4Addr> {
    match message.opts().get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(address)) => Some(*address),
        _ => None,
    }
}

fn stored(mac: Mac) -> Lease {
    let bytes = written(5, 1, mac, ADDRESS, &[(54, &SERVER.octets()), (51, &7_200u32.to_be_bytes())]);
    Answer::parse(&bytes).unwrap().lease.unwrap()
}

#[test]
fn from_carrier_to_lease_no_timer_is_waited_for() {
    let mut scene = Scene::with(None);
    assert_eq!(scene.engine.deadline(), None, "without a link nothing is waited for");
    scene.event(Event::Link(Some(MAC)));
    let (to, source, discover) = scene.last();
    assert_eq!((to, source, kind(discover)), (None, NONE, v4::MessageType::Discover));
    assert_eq!((discover.chaddr(), discover.secs()), (&MAC.0[..], 0));
    assert_eq!(discover.flags().to_string(), v4::Flags::default().to_string(), "unicast answers are taken");
    let client = [1, 2, 0x73, 0x53, 0, 0xca, 0xfe].to_vec();
    assert_eq!(discover.opts().get(OptionCode::ClientIdentifier), Some(&DhcpOption::ClientIdentifier(client)));
    assert_eq!(discover.opts().get(OptionCode::Hostname), Some(&DhcpOption::Hostname("weir".into())));
    let asked = discover.opts().get(OptionCode::ParameterRequestList).cloned();
    let xid = discover.xid();

    scene.answer(2, ADDRESS, SERVER, 7_200);
    let (_, _, request) = scene.last();
    assert_eq!((kind(request), request.xid(), request.ciaddr()), (v4::MessageType::Request, xid, NONE));
    assert_eq!((requested(request), server_id(request)), (Some(ADDRESS), Some(SERVER)));
    assert_eq!(request.opts().get(OptionCode::ParameterRequestList).cloned(), asked, "the same list each time");

    scene.answer(5, ADDRESS, SERVER, 7_200);
    assert_eq!(scene.engine.state(), State::Bound);
    assert_eq!(scene.engine.deadline(), Some(scene.now + Duration::from_secs(3_600)));
    let file = scene.obtained[0].file(WallTime::from_unix(0));
    assert_eq!(file.valid_until.to_string(), "1970-01-01T01:00:00Z", "now + T1");
    assert_eq!((file.client_ip.as_str(), file.subnet_mask.as_str()), ("85.195.207.62", "255.255.255.128"));
    assert_eq!((file.router.as_str(), file.dns), ("85.195.207.1", Some(vec!["9.9.9.9".to_owned()])));
    assert_eq!(scene.sent.len(), 2);
}

#[test]
fn discover_is_repeated_for_ever_at_4_8_16_32_64_seconds() {
    let mut scene = Scene::linked();
    let mut waits = Vec::new();
    for _ in 0..2_000 {
        waits.push(scene.next_timer());
    }
    for (wait, seconds) in waits.iter().zip([4u64, 8, 16, 32, 64].into_iter().chain(std::iter::repeat(64))) {
        let millis = wait.as_millis() as u64;
        assert!((seconds * 1_000 - 1_000..=seconds * 1_000 + 1_000).contains(&millis), "{millis} for {seconds} s");
    }
    assert!(waits[5..].iter().any(|wait| *wait != waits[5]), "the waits vary");
    assert_eq!(scene.sent.len(), 2_001);
    assert_eq!(scene.engine.state(), State::Selecting);
    let secs: Vec<u16> = scene.sent.iter().map(|(_, _, message)| message.secs()).collect();
    assert!(secs.is_sorted() && (3..=5).contains(&secs[1]) && secs[2_000] == u16::MAX, "secs is filled");
    scene.obtain(7_200);
}

#[test]
fn a_lost_request_is_repeated_then_another_offer_sought() {
    let mut scene = Scene::linked();
    scene.answer(2, ADDRESS, SERVER, 7_200);
    for _ in 0..3 {
        scene.next_timer();
        assert_eq!((kind(scene.last().2), requested(scene.last().2)), (v4::MessageType::Request, Some(ADDRESS)));
    }
    scene.next_timer();
    assert_eq!((scene.engine.state(), kind(scene.last().2)), (State::Selecting, v4::MessageType::Discover));
    scene.obtain(7_200);
}

#[test]
fn an_ack_of_another_server_than_the_offer_is_taken() {
    let mut scene = Scene::linked();
    scene.answer(2, ADDRESS, SERVER, 7_200);
    scene.answer(5, ADDRESS, OTHER, 7_200);
    assert_eq!(scene.engine.state(), State::Bound);
    scene.pass(Duration::from_secs(3_600));
    assert_eq!(scene.last().0, Some(OTHER), "which then renews it");
}

#[test]
fn strangers_are_ignored() {
    let mut scene = Scene::linked();
    let xid = scene.xid();
    let options: &[(u8, &[u8])] = &[(54, &SERVER.octets())];
    scene.receive(&written(2, xid ^ 1, MAC, ADDRESS, options));
    scene.receive(&written(2, xid, OTHER_MAC, ADDRESS, options));
    scene.receive(&written(5, xid, MAC, ADDRESS, options));
    for unusable in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]] {
        scene.receive(&written(2, xid, MAC, unusable.into(), options));
    }
    assert_eq!((scene.engine.state(), scene.sent.len()), (State::Selecting, 1));
}

#[test]
fn a_nak_of_the_server_asked_pauses_then_discovers() {
    let mut scene = Scene::linked();
    scene.answer(2, ADDRESS, SERVER, 7_200);
    scene.answer(6, NONE, OTHER, 0);
    assert_eq!(scene.engine.state(), State::Requesting, "another server's NAK is ignored");
    scene.answer(6, NONE, SERVER, 0);
    assert_eq!(scene.engine.state(), State::Init);
    assert_eq!(scene.next_timer(), Duration::from_secs(10));
    assert_eq!(scene.engine.state(), State::Selecting);
}

#[test]
fn init_reboot_asks_at_once_for_the_stored_address() {
    let mut scene = Scene::with(Some(stored(MAC)));
    scene.event(Event::Link(Some(MAC)));
    let (to, source, request) = scene.last();
    assert_eq!((to, source, kind(request)), (None, NONE, v4::MessageType::Request));
    assert_eq!((requested(request), server_id(request), request.ciaddr()), (Some(ADDRESS), None, NONE));
    scene.answer(5, ADDRESS, SERVER, 7_200);
    assert_eq!((scene.engine.state(), scene.obtained.len()), (State::Bound, 1));
}

#[test]
fn init_reboot_without_answer_discovers_and_asks_for_the_same() {
    let mut scene = Scene::with(Some(stored(MAC)));
    scene.event(Event::Link(Some(MAC)));
    scene.pass(Duration::from_secs(14));
    assert_eq!((scene.engine.state(), scene.sent.len()), (State::Selecting, 3));
    assert_eq!(requested(scene.last().2), Some(ADDRESS));
    assert_eq!(scene.forgotten, 0, "silence is no refusal");
    scene.obtain(7_200);
}

#[test]
fn init_reboot_refused_discovers_at_once() {
    let mut scene = Scene::with(Some(stored(MAC)));
    scene.event(Event::Link(Some(MAC)));
    scene.answer(6, NONE, SERVER, 0);
    assert_eq!((scene.engine.state(), scene.sent.len(), scene.forgotten), (State::Selecting, 2, 1));
    assert_eq!(requested(scene.last().2), None);
}

#[test]
fn init_reboot_refused_by_another_gives_ours_until_the_next_timer() {
    let mut scene = Scene::with(Some(stored(MAC)));
    scene.event(Event::Link(Some(MAC)));
    scene.answer(6, NONE, OTHER, 0);
    assert_eq!((scene.engine.state(), scene.sent.len()), (State::InitReboot, 1));
    scene.next_timer();
    assert_eq!((scene.engine.state(), scene.sent.len()), (State::Selecting, 2));
}

#[test]
fn renewing_is_unicast_from_the_address_and_to_the_server() {
    let mut scene = Scene::bound();
    let before = scene.xid();
    scene.pass(Duration::from_secs(3_600));
    let (to, source, request) = scene.last();
    assert_eq!((to, source, request.ciaddr()), (Some(SERVER), ADDRESS, ADDRESS));
    assert_eq!((requested(request), server_id(request)), (None, None));
    assert_ne!(request.xid(), before);
    assert_eq!(scene.engine.state(), State::Renewing);
    scene.answer(5, ADDRESS, SERVER, 7_200);
    assert_eq!((scene.engine.state(), scene.obtained.len()), (State::Bound, 2));
    assert_eq!(scene.engine.deadline(), Some(scene.now + Duration::from_secs(3_600)));
}

#[test]
fn a_silent_server_renewing_rebinding_end_and_the_configuration_stays() {
    let mut scene = Scene::bound();
    let start = scene.now;
    let mut states = Vec::new();
    while scene.now - start < Duration::from_secs(86_400) {
        scene.next_timer();
        states.push(((scene.now - start).as_secs(), scene.engine.state(), scene.last().0));
    }
    // Half of what is left to T2 (6300 s), then to the end (7200 s), never below 60 s.
    let times = |state| states.iter().filter(|(_, s, _)| *s == state).map(|(at, ..)| *at).collect::<Vec<_>>();
    let renewing = times(State::Renewing);
    assert_eq!(renewing[..5], [3_600, 4_950, 5_625, 5_962, 6_131]);
    assert_eq!(times(State::Rebinding)[..4], [6_300, 6_750, 6_975, 7_087]);
    assert_eq!(times(State::Selecting)[0], 7_200);
    assert!(times(State::Selecting).len() > 1_000, "and goes on for ever");
    assert!(states.iter().all(|(_, state, to)| (*state == State::Renewing) == to.is_some()));
    assert_eq!((scene.obtained.len(), scene.forgotten), (1, 0), "nothing is taken away");
    assert_eq!(requested(scene.last().2), Some(ADDRESS));
    scene.obtain(7_200);
}

#[test]
fn rebinding_takes_another_server() {
    let mut scene = Scene::bound();
    scene.pass(Duration::from_secs(6_300));
    let (to, source, request) = scene.last();
    assert_eq!((to, source, request.ciaddr()), (None, ADDRESS, ADDRESS));
    scene.answer(5, ADDRESS, OTHER, 600);
    scene.pass(Duration::from_secs(300));
    assert_eq!((scene.engine.state(), scene.last().0), (State::Renewing, Some(OTHER)));
}

#[test]
fn a_nak_in_renewing_discovers_at_once_and_another_servers_does_nothing() {
    let mut scene = Scene::bound();
    scene.pass(Duration::from_secs(3_600));
    scene.answer(6, NONE, OTHER, 0);
    assert_eq!(scene.engine.state(), State::Renewing);
    scene.answer(6, NONE, SERVER, 0);
    assert_eq!((scene.engine.state(), scene.forgotten), (State::Selecting, 1));
}

#[test]
fn t1_and_t2_of_the_server_count_when_they_are_in_order() {
    for (t1, t2, want) in [
        (100, 200, (100, 200)),
        (0, 0, (500, 875)),
        (900, 100, (100, 100)),
        (100, 5_000, (100, 875)),
        (2_000, 900, (500, 900)),
    ] {
        let options: &[(u8, &[u8])] =
            &[(51, &1_000u32.to_be_bytes()), (58, &u32::to_be_bytes(t1)), (59, &u32::to_be_bytes(t2))];
        let lease = Answer::parse(&written(5, 1, MAC, ADDRESS, options)).unwrap().lease.unwrap();
        assert_eq!((lease.t1().as_secs(), lease.t2().as_secs()), want, "{t1} {t2}");
    }
}

#[test]
fn odd_lease_times_neither_flood_nor_overflow() {
    for seconds in [0u32, 1, 20, u32::MAX - 1, u32::MAX] {
        let mut scene = Scene::linked();
        scene.obtain(seconds);
        let wait = scene.engine.deadline().unwrap() - scene.now;
        assert!(wait >= Duration::from_secs(10), "{seconds}: {wait:?}");
        scene.pass(Duration::from_secs(3_600));
        assert!(scene.sent.len() < 80, "{seconds}: {} messages in an hour", scene.sent.len());
    }
}

#[test]
fn what_a_renewal_leaves_out_stays_as_it_was() {
    let mut scene = Scene::bound();
    scene.pass(Duration::from_secs(3_600));
    scene.receive(&written(5, scene.xid(), MAC, ADDRESS, &[(51, &[0, 0, 14, 16])]));
    let (first, second) = (scene.obtained[0].file(WallTime::default()), scene.obtained[1].file(WallTime::default()));
    assert_eq!((first.subnet_mask, first.router, first.dns), (second.subnet_mask, second.router, second.dns));
    scene.pass(Duration::from_secs(1_800));
    assert_eq!(scene.last().0, Some(SERVER));
}

#[test]
fn options_of_wrong_length_or_value_are_as_if_absent() {
    let options: &[(u8, &[u8])] =
        &[(1, &[255, 0, 255, 0]), (3, &[1, 2, 3]), (6, &[8, 8, 8, 8, 9]), (51, &[1]), (58, &[]), (54, &[1, 2])];
    let lease = Answer::parse(&written(5, 1, MAC, [192, 0, 2, 7].into(), options)).unwrap().lease.unwrap();
    let file = lease.file(WallTime::default());
    assert_eq!((file.subnet_mask.as_str(), file.router.as_str(), file.dns), ("255.255.255.0", "", None));
    assert_eq!((lease.duration().as_secs(), lease.server), (600, None));
}

#[test]
fn carrier_back_asks_at_once() {
    let mut scene = Scene::bound();
    scene.event(Event::Link(None));
    assert_eq!((scene.engine.state(), scene.engine.deadline()), (State::Init, None));
    scene.now += Duration::from_secs(60);
    scene.event(Event::Link(Some(MAC)));
    assert_eq!((scene.engine.state(), requested(scene.last().2)), (State::InitReboot, Some(ADDRESS)));
    scene.answer(5, ADDRESS, SERVER, 7_200);
    assert_eq!(scene.engine.state(), State::Bound);

    scene.event(Event::Link(None));
    scene.now += Duration::from_secs(7_201);
    scene.event(Event::Link(Some(MAC)));
    assert_eq!(scene.engine.state(), State::Selecting, "a lease that has run out is not asked for by REQUEST");
    assert_eq!(requested(scene.last().2), Some(ADDRESS));
}

#[test]
fn the_spoofed_address_asks_even_before_the_interface_has_it() {
    let mut scene = Scene::with(None);
    scene.event(Event::Spoof(Some(MAC)));
    assert!(scene.sent.is_empty());
    scene.event(Event::Link(Some(OTHER_MAC)));
    assert_eq!(scene.last().2.chaddr(), &MAC.0);
    // netconfigd sets it: the interface can take the answer now, so it is asked for again.
    scene.event(Event::Link(Some(MAC)));
    assert_eq!(scene.sent.len(), 2);
    scene.event(Event::Spoof(Some(OTHER_MAC)));
    assert_eq!(scene.last().2.chaddr(), &OTHER_MAC.0);
    scene.event(Event::Spoof(Some(OTHER_MAC)));
    assert_eq!(scene.sent.len(), 3, "the same again is no change");
}

#[test]
fn release_gives_back_and_rests_until_the_next_link() {
    let mut scene = Scene::bound();
    scene.event(Event::Release);
    let (to, source, release) = scene.last();
    assert_eq!((to, source, kind(release)), (Some(SERVER), ADDRESS, v4::MessageType::Release));
    assert_eq!((server_id(release), requested(release)), (Some(SERVER), None));
    assert_eq!((scene.engine.deadline(), scene.forgotten), (None, 1));
    scene.event(Event::Link(None));
    scene.event(Event::Link(Some(MAC)));
    assert_eq!(scene.engine.state(), State::Selecting);
}

#[test]
fn a_timer_that_comes_too_early_does_nothing() {
    let mut scene = Scene::linked();
    scene.event(Event::Timeout);
    assert_eq!(scene.sent.len(), 1);
}

fn answers() -> impl Strategy<Value = (u8, bool, u8, Vec<(u8, Vec<u8>)>)> {
    let code = prop_oneof![Just(1u8), Just(3), Just(6), Just(51), Just(54), Just(58), Just(59), any::<u8>()];
    let option = (code, prop::collection::vec(any::<u8>(), 0..12));
    (1u8..9, prop::bool::weighted(0.9), any::<u8>(), prop::collection::vec(option, 0..6))
}

proptest! {
    /// Whatever servers say, the client never panics, never floods and is never without a timer while it has a link.
    #[test]
    fn any_answers_at_any_time(script in prop::collection::vec((answers(), 0u64..5_000), 0..60)) {
        let mut scene = Scene::linked();
        let start = scene.now;
        for ((kind, right, host, options), wait) in script {
            let options: Vec<(u8, &[u8])> = options.iter().map(|(code, value)| (*code, value.as_slice())).collect();
            let xid = if right { scene.xid() } else { 7 };
            scene.receive(&written(kind, xid, MAC, Ipv4Addr::new(10, 0, 0, host), &options));
            scene.pass(Duration::from_secs(wait));
            prop_assert!(scene.engine.deadline().is_some());
        }
        let elapsed = (scene.now - start).as_secs() as usize;
        prop_assert!(scene.sent.len() <= 150 + elapsed / 3, "{} messages in {elapsed} s", scene.sent.len());
        prop_assert!(scene.sent.iter().all(|(_, _, message)| kind(message) != v4::MessageType::Decline));
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Answer::parse(&bytes);
        let mut message = written(5, 1, MAC, ADDRESS, &[]);
        message.pop();
        message.extend(&bytes);
        let answer = Answer::parse(&message).filter(|answer| answer.kind == Kind::Ack);
        if let Some(lease) = answer.and_then(|answer| answer.lease) {
            prop_assert!(lease.t1() <= lease.t2() && lease.t2() <= lease.duration());
            prop_assert!(lease.file(WallTime::now()).check(std::path::Path::new("x")).is_ok());
        }
    }
}
