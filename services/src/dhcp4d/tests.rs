//! Scenarios: packets and minutes against the engine. Replies are read by an independent decoder.
mod files;
mod networks;

use super::engine::pool::Subnet;
use super::engine::{Cursor, Destination, Engine, Output, Reply, Settings, period};
use super::message::Query;
use super::written::Network;
use super::{recovery, snapshot};
use crate::perm::file::tests::Folder;
use crate::perm::leases::Lease;
use crate::perm::stamp::Clock;
use crate::perm::{Mac, WallTime, json};
use dhcproto::v4::{self, DhcpOption, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder};
use netstack::time::Instant;
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 42, 1);
const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const RELEASE: u8 = 7;
const INFORM: u8 = 8;
const WALL: WallTime = WallTime::from_unix(1_800_000_000);
/// Where the boot clock stands when a scene begins, and what the wall clock read at its zero.
const BEGIN: Instant = Instant::from_secs(50);
const ZERO: WallTime = WallTime::from_unix(1_800_000_000 - 50);

fn mac(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, number])
}

fn lan(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 42, host)
}

/// A message as a client writes it, by hand.
#[derive(Debug, Clone)]
struct Words {
    kind: u8,
    mac: Mac,
    flags: u16,
    ciaddr: Ipv4Addr,
    giaddr: Ipv4Addr,
    options: Vec<(u8, Vec<u8>)>,
}

impl Words {
    fn new(kind: u8, mac: Mac) -> Words {
        Words { kind, mac, flags: 0, ciaddr: NONE, giaddr: NONE, options: Vec::new() }
    }

    fn option(mut self, code: u8, value: &[u8]) -> Words {
        self.options.push((code, value.to_vec()));
        self
    }

    fn requested(self, address: Ipv4Addr) -> Words {
        self.option(50, &address.octets())
    }

    fn server(self, address: Ipv4Addr) -> Words {
        self.option(54, &address.octets())
    }

    fn ciaddr(mut self, address: Ipv4Addr) -> Words {
        self.ciaddr = address;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![1, 1, 6, 0, 9, 8, 7, 6, 0, 0];
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend(self.ciaddr.octets());
        bytes.extend([0; 8]);
        bytes.extend(self.giaddr.octets());
        bytes.extend(self.mac.0);
        bytes.resize(236, 0);
        bytes.extend([99, 130, 83, 99, 53, 1, self.kind]);
        for (code, value) in &self.options {
            bytes.extend([*code, value.len() as u8]);
            bytes.extend(value);
        }
        bytes.push(255);
        bytes
    }
}

/// A LAN without a word of a person's.
fn settings(subnet: Subnet) -> Settings {
    settings_by(&Network::default(), "lan0", subnet, subnet.server(), false)
}

fn settings_by(network: &Network, interface: &str, subnet: Subnet, own: Ipv4Addr, relayed: bool) -> Settings {
    Settings {
        interface: interface.into(),
        identifier: own,
        subnet,
        relayed,
        period: network.period(),
        values: network.values(subnet, own, true),
        boot: network.boot(own),
        reservations: network.kept(),
    }
}

struct Scene {
    engine: Engine,
    now: Instant,
    output: Output,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(Subnet::new(SERVER, 24))
    }

    fn with(subnet: Subnet) -> Scene {
        Scene::of(vec![settings(subnet)])
    }

    fn of(nets: Vec<Settings>) -> Scene {
        let mut engine = Engine::default();
        assert!(engine.serve(nets));
        Scene { engine, now: BEGIN, output: Output::default() }
    }

    fn loaded(leases: Vec<Lease>) -> Scene {
        Scene::loaded_at(leases, WALL)
    }

    /// With a router7's file, read when the wall clock says so.
    fn loaded_at(leases: Vec<Lease>, wall: WallTime) -> Scene {
        let (mut scene, folder) = (Scene::new(), Folder::new());
        let path = folder.0.join("leases.json");
        std::fs::write(&path, json::write_indented(&leases)).unwrap();
        let clock = Clock { boot: "test".into(), now: BEGIN, wall };
        recovery::recover(&folder.0.join("leases.log"), &path, &clock, &mut scene.engine);
        scene
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Hands a message over; the one reply, if any. Nobody on the LAN objects to an address.
    fn say(&mut self, words: &Words) -> Option<(MessageType, v4::Message, Reply)> {
        self.say_by("lan0", words)
    }

    fn say_by(&mut self, interface: &str, words: &Words) -> Option<(MessageType, v4::Message, Reply)> {
        self.output = Output::default();
        let query = Query::parse(&words.bytes())?;
        self.engine.receive(self.now, interface, &query, &mut self.output);
        if !self.output.probes.is_empty() {
            assert!(self.output.replies.is_empty(), "the LAN is asked first");
            let due = self.engine.deadline().unwrap();
            assert!(due - self.now < Duration::from_millis(100), "{:?}", due - self.now);
            self.engine.tick(due, &mut self.output);
        }
        assert!(self.output.replies.len() <= 1);
        let reply = self.output.replies.first()?.clone();
        let message = v4::Message::decode(&mut Decoder::new(&reply.message.emit())).unwrap();
        Some((message.opts().msg_type().unwrap(), message, reply))
    }

    fn leases(&self) -> Vec<Lease> {
        let mut leases = Vec::new();
        self.engine.walk(&mut Cursor::default(), usize::MAX, |number, address, record| {
            leases.push(snapshot::lease(number, address, record, ZERO));
        });
        leases
    }

    fn offered(&mut self, words: &Words) -> Option<Ipv4Addr> {
        let (kind, message, _) = self.say(words)?;
        assert_eq!(kind, MessageType::Offer);
        Some(message.yiaddr())
    }

    /// A REQUEST: the address that was acknowledged, none for a NAK.
    fn request(&mut self, mac: Mac, address: Ipv4Addr) -> Option<Ipv4Addr> {
        let (kind, message, _) = self.say(&Words::new(REQUEST, mac).requested(address)).unwrap();
        assert_eq!(!self.output.changed.is_empty(), kind == MessageType::Ack, "an ACK is written, a NAK is not");
        (kind == MessageType::Ack).then(|| message.yiaddr())
    }

    /// DISCOVER and REQUEST.
    fn lease(&mut self, mac: Mac) -> Ipv4Addr {
        let address = self.offered(&Words::new(DISCOVER, mac)).unwrap();
        assert_eq!(self.request(mac, address), Some(address));
        address
    }

    fn record(&self, mac: Mac) -> Option<Lease> {
        self.leases().into_iter().find(|lease| lease.hardware_addr == mac.to_string())
    }
}

fn record(mac: Mac, address: Ipv4Addr, expiry: WallTime) -> Lease {
    Lease {
        num: 0,
        addr: address,
        hardware_addr: mac.to_string(),
        hostname: "xps".into(),
        hostname_override: String::new(),
        expiry,
        last_ack: WALL,
    }
}

/// The codes of a message's options in order, without padding.
fn codes(message: &[u8]) -> Vec<u8> {
    let (mut at, mut codes) = (240, Vec::new());
    while message[at] != 255 {
        codes.push(message[at]);
        at += 2 + usize::from(message[at + 1]);
    }
    codes
}

#[test]
fn four_messages_give_a_lease() {
    let mut scene = Scene::new();
    let discover = Words::new(DISCOVER, mac(1)).option(55, &[3, 1, 15, 6, 3, 44, 119, 51]).option(12, b"xps");
    let (kind, offer, reply) = scene.say(&discover).unwrap();
    assert_eq!((kind, offer.xid(), offer.siaddr()), (MessageType::Offer, 0x0908_0706, NONE));
    assert_eq!(codes(&reply.message.emit()), [53, 54, 51, 3, 1, 15, 6, 119], "in the client's order, each once");
    assert_eq!(reply.to, Destination::Client(mac(1), offer.yiaddr()));
    assert!(scene.output.changed.is_empty() && scene.record(mac(1)).is_none(), "an offer is no lease");
    assert!(reply.message.emit().len() >= 272);
    assert_eq!(offer.opts().get(OptionCode::SubnetMask), Some(&DhcpOption::SubnetMask([255, 255, 255, 0].into())));
    assert_eq!(offer.opts().get(OptionCode::Router), Some(&DhcpOption::Router(vec![SERVER])));
    assert_eq!(offer.opts().get(OptionCode::DomainNameServer), Some(&DhcpOption::DomainNameServer(vec![SERVER])));
    assert_eq!(offer.opts().get(OptionCode::DomainName), Some(&DhcpOption::DomainName("lan".into())));
    assert_eq!(offer.opts().get(OptionCode::AddressLeaseTime), Some(&DhcpOption::AddressLeaseTime(1_200)));
    assert!(reply.message.emit().windows(7).any(|bytes| bytes == b"\x77\x05\x03lan\x00"), "option 119");

    let request = Words::new(REQUEST, mac(1)).requested(offer.yiaddr()).server(SERVER).option(12, b"xps");
    let (kind, ack, reply) = scene.say(&request).unwrap();
    assert_eq!((kind, ack.yiaddr()), (MessageType::Ack, offer.yiaddr()));
    assert_eq!(codes(&reply.message.emit()), [53, 54, 51, 1, 3, 6, 15, 119, 58, 59], "all when the client did not say");
    assert_eq!(ack.opts().get(OptionCode::Renewal), Some(&DhcpOption::Renewal(600)));
    assert_eq!(ack.opts().get(OptionCode::Rebinding), Some(&DhcpOption::Rebinding(1_050)));
    let lease = scene.record(mac(1)).unwrap();
    assert_eq!((lease.hostname.as_str(), lease.addr), ("xps", ack.yiaddr()));
    assert_eq!(lease.expiry, WALL.after(Duration::from_secs(1_200)));
    assert_eq!(lease.last_ack, WALL);
    assert_eq!(lease.num, i64::from(ack.yiaddr().octets()[3]) - 2);
}

#[test]
fn the_broadcast_flag_and_a_nak_are_broadcast() {
    let mut scene = Scene::new();
    let mut discover = Words::new(DISCOVER, mac(1));
    discover.flags = 0x8000;
    let (_, offer, reply) = scene.say(&discover).unwrap();
    assert_eq!(reply.to, Destination::Broadcast);
    assert!(offer.flags().broadcast());
    let (kind, nak, reply) = scene.say(&Words::new(REQUEST, mac(1)).requested([10, 0, 0, 5].into())).unwrap();
    assert_eq!((kind, reply.to, nak.yiaddr()), (MessageType::Nak, Destination::Broadcast, NONE));
    assert_eq!(codes(&reply.message.emit()), [53, 54]);
}

#[test]
fn a_renewal_comes_by_ciaddr() {
    let mut scene = Scene::new();
    let address = scene.lease(mac(1));
    scene.pass(600);
    let (kind, ack, _) = scene.say(&Words::new(REQUEST, mac(1)).ciaddr(address)).unwrap();
    assert_eq!((kind, ack.ciaddr(), ack.yiaddr()), (MessageType::Ack, address, address));
    assert_eq!(scene.record(mac(1)).unwrap().expiry, WALL.after(Duration::from_secs(1_800)));
    assert!(scene.output.news.is_empty(), "a renewal is no news");
}

#[test]
fn another_servers_request_is_met_with_silence_and_frees_the_offer() {
    let mut scene = Scene::new();
    let wanted = Words::new(DISCOVER, mac(1)).requested(lan(9));
    assert_eq!(scene.offered(&wanted), Some(lan(9)));
    assert!(scene.say(&Words::new(REQUEST, mac(1)).requested(lan(9)).server(lan(250))).is_none());
    assert_eq!(scene.request(mac(2), lan(9)), Some(lan(9)));
}

#[test]
fn an_offer_is_held_for_its_client_for_ten_seconds() {
    let mut scene = Scene::new();
    assert_eq!(scene.offered(&Words::new(DISCOVER, mac(1)).requested(lan(9))), Some(lan(9)));
    assert_ne!(scene.offered(&Words::new(DISCOVER, mac(2)).requested(lan(9))), Some(lan(9)));
    assert_eq!(scene.request(mac(2), lan(9)), None);
    assert_eq!(scene.offered(&Words::new(DISCOVER, mac(1))), Some(lan(9)), "the same offer again");
    scene.pass(11);
    assert_eq!(scene.request(mac(2), lan(9)), Some(lan(9)));
}

#[test]
fn an_unknown_client_gets_the_free_address_it_asks_for() {
    let mut scene = Scene::new();
    assert_eq!(scene.request(mac(1), lan(77)), Some(lan(77)));
    assert_eq!(scene.request(mac(2), lan(77)), None, "held");
    for wrong in [SERVER, lan(0), lan(255), lan(240), NONE, [192, 168, 43, 7].into(), [255; 4].into()] {
        assert_eq!(scene.request(mac(3), wrong), None, "{wrong}");
    }
    let nothing = scene.say(&Words::new(REQUEST, mac(3))).unwrap();
    assert_eq!(nothing.0, MessageType::Nak);
}

#[test]
fn a_running_lease_beats_the_wish_and_a_request_moves_it() {
    let mut scene = Scene::new();
    let first = scene.lease(mac(1));
    let wish = lan(if first == lan(100) { 101 } else { 100 });
    assert_eq!(scene.offered(&Words::new(DISCOVER, mac(1)).requested(wish)), Some(first));
    assert_eq!(scene.request(mac(1), wish), Some(wish));
    assert_eq!(scene.leases().len(), 1, "one record a client");
    assert_eq!(scene.request(mac(2), first), Some(first), "the old address is free");
}

#[test]
fn a_device_finds_its_address_again_long_after() {
    let mut scene = Scene::new();
    let address = scene.lease(mac(1));
    scene.pass(86_400 * 30);
    assert_eq!(scene.lease(mac(1)), address);
}

#[test]
fn the_pool_never_stops_after_230_remembered_leases() {
    let mut scene = Scene::new();
    let mut first = None;
    for number in 0..230 {
        let address = scene.lease(mac(number));
        first.get_or_insert(address);
        scene.pass(1);
    }
    assert_eq!(scene.offered(&Words::new(DISCOVER, mac(255))), None, "all are in use");
    assert!(scene.output.complaint.is_some());
    scene.pass(1_200 - 229);
    assert_eq!(scene.offered(&Words::new(DISCOVER, mac(255))), first, "the lease that ended first is reused");
    assert_eq!(scene.lease(mac(255)), first.unwrap());
    assert_eq!(scene.leases().len(), 230, "and its record gone");
}

#[test]
fn static_leases_never_end_move_or_go_to_another() {
    let fixed = record(mac(1), lan(250), WallTime::default());
    let mut scene = Scene::loaded(vec![fixed, record(mac(2), lan(10), WallTime::default())]);
    scene.pass(86_400 * 365);
    assert_eq!(scene.offered(&Words::new(DISCOVER, mac(1)).requested(lan(20))), Some(lan(250)), "outside the pool");
    assert_eq!(scene.request(mac(1), lan(20)), None);
    assert_eq!(scene.request(mac(3), lan(10)), None);
    let (_, ack, _) = scene.say(&Words::new(REQUEST, mac(1)).requested(lan(250)).option(12, b"other")).unwrap();
    assert_eq!(ack.opts().get(OptionCode::AddressLeaseTime), Some(&DhcpOption::AddressLeaseTime(1_200)));
    for kind in [RELEASE, DECLINE] {
        scene.say(&Words::new(kind, mac(1)).ciaddr(lan(250)).requested(lan(250)).server(SERVER));
    }
    let lease = scene.record(mac(1)).unwrap();
    assert!(lease.is_static() && lease.hostname == "xps" && lease.num == 248, "{lease:?}");
}

#[test]
fn a_name_given_by_a_person_wins_and_is_kept() {
    let mut lease = record(mac(1), lan(9), WALL);
    lease.hostname_override = "study".into();
    let mut scene = Scene::loaded(vec![lease]);
    scene.say(&Words::new(REQUEST, mac(1)).requested(lan(9)).option(12, b"xps"));
    let lease = scene.record(mac(1)).unwrap();
    assert_eq!((lease.hostname.as_str(), lease.hostname_override.as_str()), ("study", "study"));
    scene.request(mac(1), lan(10));
    assert_eq!(scene.record(mac(1)).unwrap().hostname_override, "study");
}

#[test]
fn a_wrong_host_name_is_dropped_and_a_missing_one_changes_nothing() {
    let mut scene = Scene::new();
    for wrong in [&b"a b"[..], b"a\"b", b"\xff\xfe", b"a.b", b"-", &[b'a'; 255]] {
        scene.say(&Words::new(REQUEST, mac(1)).requested(lan(9)).option(12, wrong));
        assert_eq!(scene.record(mac(1)).unwrap().hostname, "", "{wrong:?}");
    }
    scene.say(&Words::new(REQUEST, mac(1)).requested(lan(9)).option(12, b"Phone-2\0"));
    scene.request(mac(1), lan(9));
    assert_eq!(scene.record(mac(1)).unwrap().hostname, "Phone-2");
}

#[test]
fn consoles_that_sleep_get_an_hour() {
    let mut scene = Scene::new();
    let console = Mac([0x98, 0xb6, 0xe9, 1, 2, 3]);
    let (_, offer, _) = scene.say(&Words::new(DISCOVER, console)).unwrap();
    assert_eq!(offer.opts().get(OptionCode::AddressLeaseTime), Some(&DhcpOption::AddressLeaseTime(3_600)));
    assert_eq!(period(console), Duration::from_secs(3_600));
}

#[test]
fn a_declined_address_is_not_given_for_a_while() {
    let mut scene = Scene::new();
    let address = scene.lease(mac(1));
    assert!(scene.say(&Words::new(DECLINE, mac(2)).requested(address).server(SERVER)).is_none());
    assert!(scene.output.changed.is_empty(), "not this client's to decline");
    assert!(scene.say(&Words::new(DECLINE, mac(1)).requested(address).server(SERVER)).is_none());
    assert!(!scene.output.changed.is_empty());
    assert_ne!(scene.offered(&Words::new(DISCOVER, mac(1)).requested(address)), Some(address));
    assert_eq!(scene.request(mac(2), address), None);
    scene.pass(601);
    assert_eq!(scene.request(mac(2), address), Some(address));
}

#[test]
fn a_client_that_declines_everything_does_not_shut_out_the_others() {
    let mut scene = Scene::new();
    for _ in 0..300 {
        let address = scene.offered(&Words::new(DISCOVER, mac(1))).unwrap();
        scene.say(&Words::new(DECLINE, mac(1)).requested(address).server(SERVER));
    }
    scene.lease(mac(2));
}

#[test]
fn release_ends_the_lease_and_only_its_owners_counts() {
    let mut scene = Scene::new();
    let address = scene.lease(mac(1));
    assert!(scene.say(&Words::new(RELEASE, mac(2)).ciaddr(address)).is_none());
    assert_eq!(scene.request(mac(2), address), None);
    assert!(scene.say(&Words::new(RELEASE, mac(1)).ciaddr(address).server(lan(250))).is_none());
    assert!(scene.output.changed.is_empty(), "another server's");
    assert!(scene.say(&Words::new(RELEASE, mac(1)).ciaddr(address).server(SERVER)).is_none());
    assert!(!scene.output.changed.is_empty());
    assert_eq!(scene.request(mac(2), address), Some(address));
}

#[test]
fn inform_is_answered_without_a_lease() {
    let mut scene = Scene::new();
    let (kind, ack, reply) = scene.say(&Words::new(INFORM, mac(1)).ciaddr(lan(240))).unwrap();
    assert_eq!((kind, ack.yiaddr(), ack.ciaddr()), (MessageType::Ack, NONE, lan(240)));
    assert_eq!(codes(&reply.message.emit()), [53, 54, 1, 3, 6, 15, 119]);
    assert_eq!(reply.to, Destination::Client(mac(1), lan(240)));
    assert!(scene.output.changed.is_empty());
    assert!(scene.say(&Words::new(INFORM, mac(1)).ciaddr([8, 8, 8, 8].into())).is_none());
}

#[test]
fn the_real_mask_is_sent_and_kept_to() {
    let mut scene = Scene::with(Subnet::new([10, 1, 2, 65].into(), 28));
    let (_, offer, _) = scene.say(&Words::new(DISCOVER, mac(1))).unwrap();
    assert_eq!(offer.opts().get(OptionCode::SubnetMask), Some(&DhcpOption::SubnetMask([255, 255, 255, 240].into())));
    let given: Vec<Ipv4Addr> = (0..13).map(|number| scene.lease(mac(number))).collect();
    assert!(given.iter().all(|address| (66..=78).contains(&address.octets()[3])), "{given:?}");
    assert_eq!(scene.offered(&Words::new(DISCOVER, mac(100))), None);
}

#[test]
fn several_requests_of_one_turn_are_one_write_before_all_acks() {
    let mut scene = Scene::new();
    let mut output = Output::default();
    for number in 0..20 {
        let query = Query::parse(&Words::new(REQUEST, mac(number)).requested(lan(20 + number)).bytes()).unwrap();
        scene.engine.receive(scene.now, "lan0", &query, &mut output);
    }
    assert_eq!(output.changed.len(), 20);
    assert_eq!(output.replies.len(), 20);
    assert_eq!(scene.leases().len(), 20, "what is written before the replies leave holds every promise");
}

#[test]
fn leases_survive_a_restart_by_the_file() {
    let mut scene = Scene::new();
    let address = scene.lease(mac(1));
    scene.pass(300);
    // The new boot begins when the old one's clock is 300 s past WALL.
    let mut after = Scene::loaded_at(scene.leases(), WALL.after(Duration::from_secs(300)));
    assert_eq!(after.request(mac(2), address), None);
    assert_eq!(after.offered(&Words::new(DISCOVER, mac(1))), Some(address));
    after.pass(901);
    assert_eq!(after.request(mac(2), address), Some(address), "900 s were left of it");
}

#[test]
fn a_wall_clock_decades_off_expires_nothing_and_keeps_nothing_for_ever() {
    let file = vec![record(mac(1), lan(9), WALL.after(Duration::from_secs(900)))];
    // A clock without battery: 1970. By it the lease would run for decades; it is cut to one period.
    let mut scene = Scene::loaded_at(file, WallTime::from_unix(100));
    assert_eq!(scene.request(mac(2), lan(9)), None);
    scene.pass(1_201);
    assert_eq!(scene.request(mac(2), lan(9)), Some(lan(9)));
    // NTP then sets the clock: what is written moves with it, what holds does not.
    let moved = scene.leases()[0].expiry;
    assert_eq!(moved, WALL.after(Duration::from_secs(1_201 + 1_200)));
    assert_eq!(scene.request(mac(3), lan(9)), None);
}

#[test]
fn a_file_with_two_records_of_one_client_or_address_loads_the_stronger() {
    let soon = WALL.after(Duration::from_secs(10));
    let mut wrong = record(mac(4), lan(14), soon);
    wrong.hardware_addr = "nonsense".into();
    let file = vec![
        record(mac(1), lan(11), WALL),
        record(mac(1), lan(12), soon),
        record(mac(2), lan(13), WallTime::default()),
        record(mac(3), lan(13), soon),
        wrong,
    ];
    let leases = Scene::loaded(file).leases();
    assert_eq!(leases.iter().map(|lease| lease.addr).collect::<Vec<_>>(), [lan(12), lan(13)]);
    assert!(leases[1].is_static());
}

#[test]
fn leases_of_another_subnet_wait_until_it_comes_back() {
    let mut scene = Scene::loaded(vec![record(mac(1), lan(9), WallTime::default())]);
    let former = scene.lease(mac(2));
    let serve = |scene: &mut Scene, own: [u8; 4]| scene.engine.serve(vec![settings(Subnet::new(own.into(), 24))]);
    assert!(!serve(&mut scene, SERVER.octets()));
    assert!(serve(&mut scene, [10, 0, 0, 1]));
    assert_eq!(scene.leases().len(), 2, "a file on trial loses no promise");
    let address = scene.lease(mac(2));
    assert_eq!(address.octets()[..3], [10, 0, 0]);
    assert_eq!(scene.request(mac(1), lan(9)), None, "not of this network now");
    assert!(serve(&mut scene, SERVER.octets()));
    assert_eq!(scene.offered(&Words::new(DISCOVER, mac(2))), Some(former));
    assert_eq!(scene.request(mac(3), lan(9)), None);
    scene.engine.serve(Vec::new());
    assert!(scene.say(&Words::new(DISCOVER, mac(2))).is_none());
    assert_eq!(scene.leases().len(), 3);
}

#[test]
fn what_is_no_clients_message_is_met_with_silence() {
    let good = Words::new(DISCOVER, mac(1)).bytes();
    assert!(Query::parse(&good).is_some());
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        Query::parse(&bytes)
    };
    assert_eq!(with(0, 2), None, "a server's message");
    assert_eq!(with(1, 6), None, "other hardware");
    assert_eq!(with(2, 16), None, "other address length");
    assert_eq!(with(28, 1), None, "a group address");
    assert_eq!(with(239, 0), None, "no magic cookie");
    assert_eq!(with(242, 9), None, "unknown message type");
    assert_eq!(with(241, 0), None, "message type of no length");
    for end in 0..good.len() - 4 {
        assert_eq!(Query::parse(&good[..end]), None, "cut at {end}");
    }
    let query = Query::parse(&Words::new(DISCOVER, mac(1)).option(50, &[1, 2, 3]).option(54, &[1; 5]).bytes()).unwrap();
    assert_eq!((query.requested, query.server), (None, None));
}

fn messages() -> impl Strategy<Value = (Words, u64)> {
    let kind = prop_oneof![Just(1u8), Just(3), Just(3), Just(3), Just(4), Just(7), Just(8), any::<u8>()];
    let address = prop_oneof![8 => (0u8..18).prop_map(|host| Ipv4Addr::new(192, 168, 42, host)), 1 => any::<u32>().prop_map(Ipv4Addr::from)];
    let server = prop_oneof![3 => Just(None), 3 => Just(Some(SERVER)), 1 => any::<u32>().prop_map(|bits| Some(Ipv4Addr::from(bits)))];
    let option = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..8));
    let wait = prop_oneof![4 => 0u64..3, 1 => 0u64..1_500];
    (kind, 0u8..24, any::<bool>(), address.clone(), prop::option::of(address), server, prop::option::of(option), wait)
        .prop_map(|(kind, client, broadcast, ciaddr, requested, server, option, wait)| {
            let mut words = Words::new(kind, mac(client));
            words.flags = if broadcast { 0x8000 } else { 0 };
            if kind != REQUEST || requested.is_none() {
                words.ciaddr = ciaddr;
            }
            words = requested.into_iter().fold(words, Words::requested);
            words = server.into_iter().fold(words, Words::server);
            words.options.extend(option);
            (words, wait)
        })
}

proptest! {
    /// Whatever clients say, in whatever order: an address is promised to one of them at a time.
    #[test]
    fn no_address_goes_to_two_clients(script in prop::collection::vec(messages(), 1..400)) {
        let mut scene = Scene::with(Subnet::new(SERVER, 28));
        let mut promised: HashMap<Ipv4Addr, (Mac, Instant)> = HashMap::new();
        for (words, wait) in script {
            scene.pass(wait);
            let reply = scene.say(&words);
            if matches!(words.kind, DECLINE | RELEASE) {
                // Its owner has given it up, if it was accepted.
                if !scene.output.changed.is_empty() {
                    promised.retain(|_, (whose, _)| *whose != words.mac);
                }
            }
            let Some((kind, message, _)) = reply else { continue };
            let address = message.yiaddr();
            if kind == MessageType::Nak || address == NONE {
                continue;
            }
            prop_assert!(Subnet::new(SERVER, 28).contains(address), "{}", address);
            if let Some((whose, until)) = promised.get(&address) {
                prop_assert!(*whose == words.mac || scene.now >= *until, "{} is {}'s, went to {}", address, whose, words.mac);
            }
            if kind == MessageType::Ack {
                promised.retain(|_, (whose, _)| *whose != words.mac);
                promised.insert(address, (words.mac, scene.now + period(words.mac)));
            }
            prop_assert!(scene.leases().len() <= 13);
        }
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        let mut scene = Scene::new();
        let mut message = Words::new(REQUEST, mac(1)).bytes();
        message.pop();
        message.extend(&bytes);
        for bytes in [bytes, message] {
            if let Some(query) = Query::parse(&bytes) {
                scene.engine.receive(scene.now, "lan0", &query, &mut scene.output);
            }
        }
    }
}
