//! Several LANs, relays, what a person keeps for whom, probes, identifiers and what else goes beyond router7.
use super::*;
use crate::perm::lease_log::Entry;

const GUEST: Ipv4Addr = Ipv4Addr::new(192, 168, 44, 1);
const BEHIND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

fn network(text: &str) -> Network {
    serde_json::from_str(text).unwrap()
}

fn lan_by(text: &str) -> Scene {
    let network = network(text);
    let subnet = network.subnet(Subnet::new(SERVER, 24)).unwrap();
    Scene::of(vec![settings_by(&network, "lan0", subnet, SERVER, false)])
}

/// lan0, a guest LAN, and a network behind a relay in lan0.
fn three() -> Scene {
    Scene::of(vec![
        settings(Subnet::new(SERVER, 24)),
        settings_by(&Network::default(), "guest", Subnet::new(GUEST, 24), GUEST, false),
        settings_by(&network(r#"{"router":"10.9.0.1"}"#), "lan0", Subnet::new(BEHIND, 22), SERVER, true),
    ])
}

fn relayed(mut words: Words, giaddr: Ipv4Addr) -> Words {
    words.giaddr = giaddr;
    words
}

#[test]
fn one_hardware_address_on_two_lans_is_two_clients() {
    let mut scene = three();
    let (_, first, _) = scene.say_by("lan0", &Words::new(REQUEST, mac(1)).requested(lan(9))).unwrap();
    let there = Ipv4Addr::new(192, 168, 44, 9);
    let (_, second, reply) = scene.say_by("guest", &Words::new(REQUEST, mac(1)).requested(there)).unwrap();
    assert_eq!((first.yiaddr(), second.yiaddr()), (lan(9), there));
    assert_eq!((reply.interface.as_str(), reply.from), ("guest", GUEST));
    assert_eq!(scene.leases().len(), 2);
    let (kind, ..) = scene.say_by("guest", &Words::new(REQUEST, mac(1)).requested(lan(9))).unwrap();
    assert_eq!(kind, MessageType::Nak, "an address of the other LAN");
    assert!(scene.say_by("lan7", &Words::new(DISCOVER, mac(1))).is_none());
}

#[test]
fn a_relay_is_answered_with_what_it_said() {
    let mut scene = three();
    let option = [1, 2, b'p', b'7', 2, 1, 9];
    let discover = relayed(Words::new(DISCOVER, mac(1)).option(82, &option), BEHIND);
    let (kind, offer, reply) = scene.say(&discover).unwrap();
    assert_eq!((kind, reply.to, offer.giaddr()), (MessageType::Offer, Destination::Relay(BEHIND), BEHIND));
    assert!(scene.output.probes.is_empty(), "a LAN that is far cannot be asked");
    assert_eq!(offer.yiaddr().octets()[..2], [10, 9]);
    assert_eq!(offer.opts().get(OptionCode::Router), Some(&DhcpOption::Router(vec![BEHIND])));
    assert_eq!(offer.opts().get(OptionCode::SubnetMask), Some(&DhcpOption::SubnetMask([255, 255, 252, 0].into())));
    assert_eq!(offer.opts().get(OptionCode::ServerIdentifier), Some(&DhcpOption::ServerIdentifier(SERVER)));
    let bytes = reply.message.emit();
    assert_eq!(codes(&bytes).last(), Some(&82));
    assert!(bytes.windows(option.len()).any(|part| part == option));
    let request = relayed(Words::new(REQUEST, mac(1)).requested(offer.yiaddr()).server(SERVER), BEHIND);
    assert_eq!(scene.say(&request).unwrap().0, MessageType::Ack);
    // It renews by itself, through the router in between.
    let renewal = Words::new(REQUEST, mac(1)).ciaddr(offer.yiaddr());
    let (kind, _, reply) = scene.say(&renewal).unwrap();
    assert_eq!((kind, reply.to), (MessageType::Ack, Destination::Routed(offer.yiaddr())));
    // A refusal goes by the relay, which has to broadcast it.
    let (kind, nak, reply) = scene.say(&relayed(Words::new(REQUEST, mac(1)).requested(lan(9)), BEHIND)).unwrap();
    assert_eq!((kind, reply.to), (MessageType::Nak, Destination::Relay(BEHIND)));
    assert!(nak.flags().broadcast());
}

#[test]
fn a_relay_in_the_lan_and_one_that_selects_a_link() {
    let mut scene = three();
    let inside = relayed(Words::new(DISCOVER, mac(1)), lan(200));
    assert_eq!(scene.say(&inside).unwrap().1.yiaddr().octets()[..3], [192, 168, 42]);
    // RFC 3527: the relay's own address is of another network than the client.
    let selects = relayed(Words::new(DISCOVER, mac(2)).option(82, &[5, 4, 10, 9, 0, 0]), lan(200));
    let (_, offer, reply) = scene.say(&selects).unwrap();
    assert_eq!((offer.yiaddr().octets()[0], reply.to), (10, Destination::Relay(lan(200))));
}

#[test]
fn relays_that_lie_get_nothing() {
    let mut scene = three();
    for giaddr in [GUEST, [8, 8, 8, 8].into(), [192, 168, 44, 200].into()] {
        assert!(scene.say_by("lan0", &relayed(Words::new(DISCOVER, mac(1)), giaddr)).is_none(), "{giaddr}");
        assert!(scene.output.complaint.is_some());
    }
    assert!(scene.say_by("guest", &relayed(Words::new(DISCOVER, mac(1)), lan(200))).is_none(), "a guest's relay");
    for odd in [&[5u8][..], &[5, 200, 1], &[5, 3, 1, 2, 3], &[5, 4, 8, 8, 8, 8]] {
        scene.say_by("lan0", &relayed(Words::new(DISCOVER, mac(1)).option(82, odd), GUEST));
    }
    assert!(scene.leases().is_empty());
    let without = scene.say(&Words::new(DISCOVER, mac(3)).option(82, &[1, 1, 1])).unwrap();
    assert!(!codes(&without.2.message.emit()).contains(&82), "only a relay has it to say");
}

#[test]
fn a_kept_address_is_for_its_device_alone() {
    let mut scene = lan_by(
        r#"{"reservations":[{"hardware_addr":"02:00:00:00:00:01","addr":"192.168.42.250","name":"nas"},
        {"client_id":"ff:00:01","addr":"192.168.42.10"},{"client_id":"01:02:00:00:00:00:03","addr":"192.168.42.11"}]}"#,
    );
    assert_eq!(scene.lease(mac(1)), lan(250), "outside the pool");
    assert_eq!(scene.record(mac(1)).unwrap().hostname, "nas");
    assert_eq!(scene.request(mac(1), lan(20)), None);
    assert_eq!(scene.request(mac(2), lan(10)), None, "another's, though never used");
    assert_eq!(scene.offered(&Words::new(DISCOVER, mac(2)).option(61, &[0xff, 0, 1])), Some(lan(10)));
    assert_eq!(scene.offered(&Words::new(DISCOVER, mac(3))), Some(lan(11)), "an identifier that is a hardware address");
    scene.pass(1_300);
    assert_eq!(scene.request(mac(9), lan(250)), None, "kept when its lease has run out, too");
}

#[test]
fn an_address_that_is_kept_while_another_has_it_waits() {
    let mut scene = Scene::new();
    assert_eq!(scene.request(mac(2), lan(9)), Some(lan(9)));
    let kept = network(r#"{"reservations":[{"hardware_addr":"02:00:00:00:00:01","addr":"192.168.42.9"}]}"#);
    scene.engine.serve(vec![settings_by(&kept, "lan0", Subnet::new(SERVER, 24), SERVER, false)]);
    let meanwhile = scene.lease(mac(1));
    assert_ne!(meanwhile, lan(9));
    assert_eq!(scene.request(mac(2), lan(9)), Some(lan(9)), "its lease runs");
    scene.pass(1_300);
    assert_eq!(scene.lease(mac(1)), lan(9));
    assert_eq!(scene.request(mac(2), lan(9)), None);
}

#[test]
fn identifiers_tell_clients_apart_and_come_back() {
    let mut scene = Scene::new();
    let with = |id: &[u8]| Words::new(REQUEST, mac(1)).option(61, id);
    let (_, _, reply) = scene.say(&with(&[0, 7]).requested(lan(9))).unwrap();
    assert_eq!(codes(&reply.message.emit()).last(), Some(&61), "RFC 6842");
    scene.say(&with(&[0, 8]).requested(lan(10))).unwrap();
    assert_eq!(scene.leases().len(), 2, "two systems on one machine");
    let mine = scene.offered(&Words::new(DISCOVER, mac(7)).option(61, &[0, 7]));
    assert_ne!(mine, Some(lan(9)), "the hardware address belongs to the identity, too");
    // An identifier that only repeats the hardware address is none.
    let repeat = [1, 2, 0, 0, 0, 0, 5];
    scene.say(&Words::new(REQUEST, mac(5)).option(61, &repeat).requested(lan(11))).unwrap();
    assert_eq!(scene.offered(&Words::new(DISCOVER, mac(5))), Some(lan(11)));
    // Too short is none either.
    assert_eq!(scene.offered(&Words::new(DISCOVER, mac(5)).option(61, &[1])), Some(lan(11)));
}

#[test]
fn a_record_of_router7_is_taken_over_by_the_identifier() {
    let mut scene = Scene::loaded(vec![record(mac(1), lan(9), WallTime::default())]);
    let words = Words::new(REQUEST, mac(1)).option(61, &[0, 7]).requested(lan(9));
    assert_eq!(scene.say(&words).unwrap().0, MessageType::Ack);
    assert!(scene.record(mac(1)).unwrap().is_static());
}

#[test]
fn rapid_commit_takes_two_messages() {
    let mut scene = Scene::new();
    let (kind, ack, reply) = scene.say(&Words::new(DISCOVER, mac(1)).option(80, &[])).unwrap();
    assert_eq!(kind, MessageType::Ack);
    assert!(codes(&reply.message.emit()).contains(&80));
    assert_eq!(scene.output.changed, [ack.yiaddr()], "it is a promise like any other");
    assert_eq!(scene.say(&Words::new(REQUEST, mac(2)).option(80, &[]).requested(lan(9))).unwrap().0, MessageType::Ack);
}

#[test]
fn a_fresh_address_is_asked_for_and_one_in_use_is_not_offered() {
    let mut scene = Scene::new();
    let discover = Words::new(DISCOVER, mac(1)).requested(lan(9));
    let query = Query::parse(&discover.bytes()).unwrap();
    let mut output = Output::default();
    scene.engine.receive(scene.now, "lan0", &query, &mut output);
    assert_eq!((output.probes.as_slice(), output.replies.len()), (&[("lan0".to_owned(), lan(9))][..], 0));
    // Said again meanwhile: no second answer.
    scene.engine.receive(scene.now, "lan0", &query, &mut output);
    assert_eq!(output.probes.len(), 1);
    // The client itself still has it: that is no conflict.
    scene.engine.heard(scene.now, "lan0", mac(1), lan(9), &mut output);
    scene.engine.heard(scene.now, "guest", mac(8), lan(9), &mut output);
    assert_eq!(output.probes.len(), 1);
    let begin = scene.now;
    scene.now += Duration::from_millis(5);
    scene.engine.heard(scene.now, "lan0", mac(8), lan(9), &mut output);
    let another = output.probes[1].1;
    assert!(another != lan(9) && output.replies.is_empty(), "another one, asked for as well");
    let due = scene.engine.deadline().unwrap();
    assert!(due - begin < Duration::from_millis(100), "and no later");
    scene.engine.tick(due, &mut output);
    assert_eq!(output.replies[0].message.yiaddr, another);
    assert_eq!(scene.request(mac(2), lan(9)), None, "in quarantine");
    // Those who come back within the hour are answered at once.
    scene.request(mac(1), another);
    scene.pass(1_300);
    scene.output = Output::default();
    let query = Query::parse(&Words::new(DISCOVER, mac(1)).bytes()).unwrap();
    scene.engine.receive(scene.now, "lan0", &query, &mut scene.output);
    assert_eq!(scene.output.replies.len(), 1);
}

#[test]
fn so_many_at_once_are_not_all_asked_for() {
    let mut scene = Scene::with(Subnet::new(SERVER, 16));
    let mut output = Output::default();
    for number in 0..1_000u32 {
        let [_, b, c, d] = number.to_be_bytes();
        let words = Words::new(DISCOVER, Mac([2, 0, 1, b, c, d]));
        scene.engine.receive(scene.now, "lan0", &Query::parse(&words.bytes()).unwrap(), &mut output);
    }
    assert_eq!((output.probes.len(), output.replies.len()), (256, 744));
    scene.engine.tick(scene.now + Duration::from_millis(100), &mut output);
    let given: std::collections::HashSet<_> = output.replies.iter().map(|reply| reply.message.yiaddr).collect();
    assert_eq!(given.len(), 1_000);
}

#[test]
fn ten_thousand_clients_and_then_the_pool_is_full() {
    let mut scene = lan_by(r#"{"pool":["192.168.42.2","192.168.42.11"]}"#);
    for number in 0..10 {
        scene.lease(mac(number));
    }
    for number in 0..10_000u32 {
        let [a, b, c, d] = number.to_be_bytes();
        scene.output = Output::default();
        let words = Words::new(DISCOVER, Mac([2, 9, a, b, c, d]));
        scene.engine.receive(scene.now, "lan0", &Query::parse(&words.bytes()).unwrap(), &mut scene.output);
        assert!(scene.output.replies.is_empty() && scene.output.complaint.is_some());
    }
    assert_eq!(scene.leases().len(), 10);
    scene.pass(600);
    assert!(scene.request(mac(3), scene.record(mac(3)).unwrap().addr).is_some(), "who is in stays in");
}

#[test]
fn a_persons_words_are_sent_to_who_asks() {
    let mut scene = lan_by(
        r#"{"lease_seconds":7200,"mtu":1400,"ntp":["192.168.42.3"],"boot_server":"192.168.42.4","boot_file":"pxe.0",
        "domain":"home.example","ipv6_only_seconds":1800,"routes":[]}"#,
    );
    let wants = Words::new(DISCOVER, mac(1)).option(55, &[121, 108, 26, 42, 66, 67, 15, 7]);
    let (_, offer, reply) = scene.say(&wants).unwrap();
    assert_eq!(codes(&reply.message.emit()), [53, 54, 51, 121, 108, 26, 42, 66, 67, 15]);
    assert_eq!(offer.opts().get(OptionCode::AddressLeaseTime), Some(&DhcpOption::AddressLeaseTime(7_200)));
    assert_eq!((offer.siaddr(), offer.fname()), (Ipv4Addr::new(192, 168, 42, 4), Some(&b"pxe.0\0"[..])));
    let (_, plain, reply) = scene.say(&Words::new(DISCOVER, mac(2)).option(55, &[1, 3])).unwrap();
    assert_eq!((codes(&reply.message.emit()), plain.siaddr()), (vec![53, 54, 51, 1, 3], [192, 168, 42, 4].into()));
}

#[test]
fn from_memory_a_lease_is_for_five_minutes() {
    let mut scene = Scene::new();
    scene.request(mac(1), lan(9));
    let Scene { engine, now, output } = &mut scene;
    engine.shorten(*now, &mut output.replies);
    let message = v4::Message::decode(&mut Decoder::new(&output.replies[0].message.emit())).unwrap();
    assert_eq!(message.opts().get(OptionCode::AddressLeaseTime), Some(&DhcpOption::AddressLeaseTime(300)));
    assert_eq!(message.opts().get(OptionCode::Renewal), Some(&DhcpOption::Renewal(150)));
    scene.pass(301);
    assert_eq!(scene.request(mac(2), lan(9)), Some(lan(9)));
}

#[test]
fn a_name_from_the_page_is_for_a_running_lease() {
    let mut scene = Scene::new();
    scene.request(mac(1), lan(9));
    assert_eq!(scene.engine.rename(scene.now, mac(1), "study"), [lan(9)]);
    assert!(scene.engine.rename(scene.now, mac(2), "nobody").is_empty());
    assert!(matches!(scene.engine.entry(lan(9)), Entry::Given(given) if given.name_override == "study"));
    scene.say(&Words::new(REQUEST, mac(1)).requested(lan(9)).option(12, b"xps"));
    assert_eq!(scene.record(mac(1)).unwrap().hostname, "study");
    scene.pass(1_300);
    assert!(scene.engine.rename(scene.now, mac(1), "late").is_empty());
}
