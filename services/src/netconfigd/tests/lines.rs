//! Scenarios of tunnels and of shaping.
use super::*;
use crate::house::asking::Question;
use crate::netconfigd::engine::{ENTRANCE, Endpoints, Place};
use crate::perm::shaping::Shaping;
use crate::perm::wireguard::Tunnels;
use netstack::qdisc::{Cake, Fair};
use netstack::time::Instant;
use netstack::wireguard::{Device, Key, Secret};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const A: &str = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const B: &str = "AgECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

pub fn blank(index: u32, name: &str) -> Device {
    let (private_key, public_key) = (Secret([0; 32]), Key([9; 32]));
    Device { index, name: name.into(), private_key, public_key, port: 0, peers: Vec::new() }
}

fn two_nics() -> Found {
    kernel(vec![nic(2, "uplink0", pci(3)), nic(3, "lan0", pci(4))])
}

fn tunnels(peers: &str) -> Option<Tunnels> {
    let text = format!(r#"{{"interfaces":[{{"name":"wg0","private_key":"{A}","port":51820,"peers":[{peers}]}}]}}"#);
    let text = text.replace("KEY_A", A).replace("KEY_B", B);
    Some(Tunnels::parse(Path::new("wireguard.json"), text.as_bytes()).unwrap())
}

fn with_tunnel(entries: &str, peers: &str) -> Wanted {
    let text = format!(
        r#"{{"interfaces":[{{"name":"uplink0"}},{{"name":"lan0","addr":"192.168.42.1/24"}},
        {{"name":"wg0","addr":"10.7.0.1/24"{entries}}}]}}"#
    );
    Wanted {
        tunnels: tunnels(peers),
        lease: lease([203, 0, 113, 50], 24, Some([203, 0, 113, 1])),
        ipv6: Some(Ipv6::default()),
        ..file(&text)
    }
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn words(plan: &Plan, found: &Found) -> Vec<String> {
    plan.actions.iter().map(|action| action.words(found)).collect()
}

const PEER_A: &str = r#"{"public_key":"KEY_A","allowed_ips":["10.7.0.2/32"],"endpoint":"192.0.2.1:51820"}"#;
const PEER_B: &str = r#"{"public_key":"KEY_B","allowed_ips":["10.7.0.3/32","10.8.0.0/16"]}"#;

#[test]
fn one_apply_makes_a_tunnel_with_its_peers_and_addresses() {
    let mut found = two_nics();
    let mut wanted = with_tunnel("", PEER_A);
    wanted.places = vec![Place { of: ("wg0".into(), key(A)), at: "192.0.2.1:51820".parse().unwrap(), insist: false }];
    settle(&wanted, &mut found);
    let link = found.links.iter().find(|link| link.name == "wg0").unwrap();
    assert!(link.up && found.addresses.iter().any(|address| address.net.to_string() == "10.7.0.1/24"));
    let peer = &found.tunnels[0].peers[0];
    assert_eq!((found.tunnels[0].port, peer.endpoint), (51820, Some("192.0.2.1:51820".parse().unwrap())));
    assert_eq!(found.firewall.as_ref().unwrap().tunnels, [51820]);
    // It roams: that is no difference, unless the file says another place.
    found.tunnels[0].peers[0].endpoint = Some("198.51.100.7:4000".parse().unwrap());
    assert!(plan(&wanted, &found).actions.is_empty());
    wanted.places[0].insist = true;
    assert_eq!(words(&plan(&wanted, &found), &found), [format!("wg0: peer {A} changed, asked at 192.0.2.1:51820")]);
}

#[test]
fn only_the_differences_of_peers_are_asked_for() {
    let mut found = two_nics();
    settle(&with_tunnel("", PEER_A), &mut found);
    let first = settle(&with_tunnel("", &format!("{PEER_A},{PEER_B}")), &mut found);
    assert_eq!(words(&first, &found), [format!("wg0: peer {B} added")]);

    // A network moves from one to the other.
    let (a, b) = (PEER_A.replace("10.7.0.2/32", "10.7.0.2/32\",\"10.8.0.0/16"), PEER_B.replace(",\"10.8.0.0/16\"", ""));
    let moved = settle(&with_tunnel("", &format!("{a},{b}")), &mut found);
    assert_eq!(words(&moved, &found), [format!("wg0: peer {A} changed"), format!("wg0: peer {B} changed")]);
    let Action::SetPeer { change, .. } = &moved.actions[0] else { panic!() };
    assert!(!change.replace_allowed && change.allowed.len() == 1 && change.preshared.is_none(), "{change:?}");

    let removed = settle(&with_tunnel("", &b), &mut found);
    assert_eq!(words(&removed, &found), [format!("wg0: peer {A} removed")]);
    let secret = b.replace("\"KEY_B\"", "\"KEY_B\",\"preshared_key\":\"KEY_A\",\"persistent_keepalive\":25");
    let changed = settle(&with_tunnel("", &secret), &mut found);
    let [Action::SetPeer { change, .. }] = &changed.actions[..] else { panic!("{changed:?}") };
    assert_eq!((change.keepalive, change.allowed.len(), change.replace_allowed), (Some(25), 0, false));
    assert!(!format!("{changed:?}").contains(A), "no secret is shown");
    let undone = settle(&with_tunnel("", &b), &mut found);
    assert_eq!((undone.actions.len(), found.tunnels[0].peers[0].keepalive), (1, 0));
}

#[test]
fn what_the_file_has_no_more_goes_and_what_is_wrong_or_anothers_stays() {
    let mut found = two_nics();
    settle(&with_tunnel("", PEER_A), &mut found);
    let stays = |wanted: &Wanted, found: &Found| {
        let plan = plan(wanted, found);
        plan.actions.iter().all(|action| !matches!(action, Action::DeleteLink { .. }))
    };
    let mut wanted = with_tunnel("", PEER_A);
    wanted.tunnels = None;
    assert!(stays(&wanted, &found), "not known");
    wanted.tunnels = Some(Tunnels { left_out: vec!["wg0".into()], ..Tunnels::default() });
    assert!(stays(&wanted, &found), "wrong");
    wanted.tunnels = Some(Tunnels::default());
    let mut others = found.clone();
    others.links.iter_mut().for_each(|link| link.ours = false);
    assert!(stays(&wanted, &others), "not ours");
    let gone = settle(&Wanted { tunnels: Some(Tunnels::default()), ..defaults() }, &mut found);
    assert!(matches!(gone.actions[..], [Action::DeleteLink { .. }]) && found.tunnels.is_empty());

    let mut nic = kernel(vec![nic(2, "uplink0", pci(3)), nic(3, "lan0", pci(4)), nic(4, "wg0", None)]);
    let wanted = with_tunnel("", PEER_A);
    settle(&wanted, &mut nic);
    assert_eq!(plan(&wanted, &nic).complaints.len(), 1, "a NIC has the name");
    let mut found = two_nics();
    let own = with_tunnel("", &PEER_A.replace("KEY_A", &Key([9; 32]).to_string()));
    settle(&own, &mut found);
    let plan = plan(&own, &found);
    assert!(plan.actions.is_empty() && plan.complaints[0].contains("is its own key"), "{plan:?}");
}

fn routes_of(found: &Found) -> Vec<String> {
    let words = |route: &Route| {
        let via = route.gateway.map_or_else(String::new, |gateway| format!(" via {gateway}"));
        let link = found.links.iter().find(|link| link.index == route.index).unwrap();
        format!("{}{via} dev {}", route.destination, link.name)
    };
    let mut all: Vec<String> = found.routes.iter().filter(|route| !route.unreachable).map(words).collect();
    all.sort();
    all
}

#[test]
fn a_tunnel_that_takes_everything_keeps_the_ways_to_its_peers() {
    let mut found = two_nics();
    settle(&with_tunnel("", PEER_A), &mut found);
    assert_eq!(routes_of(&found), ["0.0.0.0/0 via 203.0.113.1 dev uplink0", "203.0.113.1/32 dev uplink0"]);
    // The provider's router has said that it is one.
    let advertised = Route {
        destination: "::/0".parse().unwrap(),
        gateway: Some("fe80::1".parse().unwrap()),
        index: 2,
        source: None,
        protocol: 9,
        unreachable: false,
    };
    found.routes.push(advertised);
    let all = r#","extra_routes":[{"destination":"0.0.0.0/0"},{"destination":"::/0"}]"#;
    let mut wanted = with_tunnel(all, PEER_A);
    let at = |text: &str, who: &str| Place { of: ("wg0".into(), key(who)), at: text.parse().unwrap(), insist: false };
    wanted.places = vec![at("192.0.2.1:51820", A), at("[2001:db8:9::1]:51820", B)];
    let first = settle(&wanted, &mut found);
    assert_eq!(
        routes_of(&found),
        [
            "0.0.0.0/0 dev wg0",
            "192.0.2.1/32 via 203.0.113.1 dev uplink0",
            "2001:db8:9::1/128 via fe80::1 dev uplink0",
            "203.0.113.1/32 dev uplink0",
            "8000::/1 dev wg0",
            "::/0 via fe80::1 dev uplink0",
            "::/1 dev wg0"
        ]
    );
    let deleted = first.actions.iter().any(|action| matches!(action, Action::DeleteRoute(_)));
    assert!(!deleted, "the kernel has replaced it: {:#?}", first.actions);
    // A peer at home or at the gateway needs none; one that has moved does.
    wanted.places = vec![at("192.168.42.9:1", A), at("203.0.113.1:1", B)];
    found.tunnels[0].peers[0].endpoint = Some("198.51.100.9:7".parse().unwrap());
    settle(&wanted, &mut found);
    let hosts: Vec<String> = routes_of(&found).into_iter().filter(|route| route.contains("/32 via")).collect();
    assert_eq!(hosts, ["198.51.100.9/32 via 203.0.113.1 dev uplink0"]);
    // Back again.
    settle(&with_tunnel("", PEER_A), &mut found);
    assert_eq!(routes_of(&found)[..2], ["0.0.0.0/0 via 203.0.113.1 dev uplink0", "203.0.113.1/32 dev uplink0"]);
    assert_eq!(routes_of(&found).len(), 3);
}

#[test]
fn name_servers_are_reached_outside_while_a_peer_has_a_name() {
    let mut wanted = with_tunnel(r#","extra_routes":[{"destination":"0.0.0.0/0"}]"#, PEER_A);
    wanted.lease.as_mut().unwrap().dns = vec!["198.51.100.53".parse().unwrap()];
    let mut found = two_nics();
    settle(&wanted, &mut found);
    assert!(!routes_of(&found).iter().any(|route| route.contains("198.51.100.53")));
    wanted.tunnels = tunnels(&PEER_A.replace("192.0.2.1", "home.example.net"));
    settle(&wanted, &mut found);
    assert!(routes_of(&found).contains(&"198.51.100.53/32 via 203.0.113.1 dev uplink0".to_owned()));
}

fn named() -> Tunnels {
    tunnels(&PEER_A.replace("192.0.2.1", "home.example.net")).unwrap()
}

/// The kernel with one peer: its handshake, what went to it, and where it was heard.
fn heard(handshake: u64, sent: u64, at: Option<&str>) -> Found {
    let mut found = two_nics();
    let mut device = blank(9, "wg0");
    let peer = netstack::wireguard::Peer {
        key: key(A),
        preshared: Secret([0; 32]),
        endpoint: at.map(|at| at.parse().unwrap()),
        keepalive: 0,
        handshake: Duration::from_secs(handshake),
        received: 0,
        sent,
        allowed: Vec::new(),
    };
    device.peers.push(peer);
    found.tunnels.push(device);
    found
}

fn at(seconds: u64) -> Instant {
    Instant::from_secs(seconds)
}

fn answer(endpoints: &mut Endpoints, now: Instant, v4: &[&str], v6: &[&str]) -> bool {
    let (questions, _) = endpoints.due(now);
    assert_eq!(questions.len(), 2, "both families are asked for");
    let mut moved = false;
    for Question { id, name, ipv6 } in questions {
        assert_eq!(name, "home.example.net");
        let addresses: Vec<IpAddr> = if ipv6 { v6 } else { v4 }.iter().map(|ip| ip.parse().unwrap()).collect();
        moved = endpoints.answered(now, id, &addresses);
    }
    moved
}

fn place(endpoints: &Endpoints) -> Option<(SocketAddr, bool)> {
    endpoints.places().first().map(|place| (place.at, place.insist))
}

#[test]
fn a_name_is_asked_for_until_it_has_an_address() {
    let mut endpoints = Endpoints::default();
    endpoints.follow(at(0), &named());
    assert_eq!((endpoints.deadline(), endpoints.places().len()), (Some(at(0)), 0));
    for (now, next) in [(0, 1), (1, 3), (3, 7)] {
        assert!(endpoints.complaints().is_empty());
        assert!(!answer(&mut endpoints, at(now), &[], &[]));
        assert_eq!(endpoints.deadline(), Some(at(next)));
    }
    assert_eq!(endpoints.complaints().len(), 1, "said once it has failed some times");
    // Nobody answers at all.
    let (questions, _) = endpoints.due(at(7));
    assert_eq!((questions.len(), endpoints.due(at(11)).1.len()), (2, 0));
    assert_eq!(endpoints.due(at(12)), (vec![], questions.iter().map(|question| question.id).collect()));
    assert!(!endpoints.answered(at(12), questions[0].id, &["192.0.2.9".parse().unwrap()]), "too late");
    assert!(answer(&mut endpoints, at(20), &["192.0.2.7"], &["2001:db8::7"]));
    assert_eq!(place(&endpoints), Some(("192.0.2.7:51820".parse().unwrap(), false)));
    assert!(endpoints.complaints().is_empty());
    endpoints.follow(at(21), &Tunnels::default());
    assert_eq!((endpoints.deadline(), endpoints.places().len()), (None, 0));
}

#[test]
fn a_silent_peer_is_looked_up_again_and_asked_elsewhere() {
    let mut endpoints = Endpoints::default();
    endpoints.follow(at(0), &named());
    answer(&mut endpoints, at(0), &["192.0.2.7"], &["2001:db8::7"]);
    let here = Some("192.0.2.7:51820");
    for now in [30, 60, 90] {
        assert!(endpoints.wants_a_look(at(now)));
        endpoints.look(at(now), &heard(1, 0, here));
        assert_eq!(endpoints.due(at(now)).0, [], "it was heard at 30");
    }
    endpoints.look(at(165), &heard(1, 0, here));
    assert_eq!(endpoints.due(at(165)).0, [], "135 s");
    // It has moved, and nothing was sent meanwhile.
    endpoints.look(at(166), &heard(1, 0, here));
    assert!(answer(&mut endpoints, at(166), &["192.0.2.8"], &[]));
    assert_eq!(place(&endpoints), Some(("192.0.2.8:51820".parse().unwrap(), true)));
    endpoints.look(at(196), &heard(1, 0, Some("192.0.2.8:51820")));
    assert_eq!(place(&endpoints).map(|(_, insist)| insist), Some(false), "the kernel has it");
    assert_eq!(endpoints.deadline(), Some(at(226)), "not with every look: 30 s after this one, and so on");
    // It does not answer there although it was asked; the name has another address.
    endpoints.look(at(226), &heard(1, 148, Some("192.0.2.8:51820")));
    assert!(answer(&mut endpoints, at(226), &["192.0.2.8"], &["2001:db8::8"]));
    assert_eq!(place(&endpoints), Some(("[2001:db8::8]:51820".parse().unwrap(), true)));
    // It is heard: all is well for another 135 s.
    endpoints.look(at(256), &heard(250, 296, Some("[2001:db8::8]:51820")));
    for now in [286, 316, 346, 376, 391] {
        endpoints.look(at(now), &heard(250, 296, Some("[2001:db8::8]:51820")));
        assert_eq!(endpoints.due(at(now)).0, [], "{now}");
    }
}

#[test]
fn another_uplink_and_another_word_in_the_file_count_at_once() {
    let mut endpoints = Endpoints::default();
    endpoints.follow(at(0), &named());
    answer(&mut endpoints, at(0), &["192.0.2.7"], &[]);
    let mut found = heard(1, 0, Some("192.0.2.7:51820"));
    endpoints.look(at(1), &found);
    found.addresses.push(Address::new(2, "203.0.113.9/24".parse().unwrap(), FROM_LEASE));
    endpoints.look(at(2), &found);
    assert!(!answer(&mut endpoints, at(2), &["192.0.2.7"], &[]), "the same address");
    endpoints.look(at(3), &found);
    assert_eq!(endpoints.due(at(3)).0, []);

    let literal = tunnels(PEER_A).unwrap();
    endpoints.follow(at(4), &literal);
    assert_eq!(place(&endpoints), Some(("192.0.2.1:51820".parse().unwrap(), true)));
    let mut anew = Endpoints::default();
    anew.follow(at(4), &literal);
    assert_eq!(
        place(&anew),
        Some(("192.0.2.1:51820".parse().unwrap(), false)),
        "at a start the kernel may know better"
    );
}

fn shaped(text: &str, interfaces: &str) -> Wanted {
    let shaping = Shaping::parse(Path::new("shaping.json"), text.as_bytes()).unwrap();
    let wanted = if interfaces.is_empty() { defaults() } else { file(interfaces) };
    Wanted { shaping: Some(shaping), ..wanted }
}

fn queues(found: &Found) -> Vec<(&str, u64, Fair)> {
    let name = |index| found.links.iter().find(|link| link.index == index).map_or("?", |link| link.name.as_str());
    let ours = found.queues.iter().filter_map(|queue| Some((queue.index, queue.cake?)));
    let mut all: Vec<_> = ours.map(|(index, cake)| (name(index), cake.rate * 8, cake.fair)).collect();
    all.sort_by_key(|queue| queue.0);
    all
}

const BOTH: &str = r#"{"up":"20 Mbit/s","down":"100 Mbit/s","overhead":44}"#;

#[test]
fn uploads_wait_at_the_uplink_and_downloads_at_the_lan() {
    let mut found = two_nics();
    settle(&shaped(BOTH, ""), &mut found);
    let (up, down) = (("uplink0", 20_000_000, Fair::Senders), ("lan0", 100_000_000, Fair::Receivers));
    assert_eq!(queues(&found), [down, up]);
    let of = |index| found.queues.iter().find(|queue| queue.index == index).unwrap().cake.unwrap();
    let (first, second): (Cake, Cake) = (of(2), of(3));
    assert_eq!((first.nat, first.behind, second.nat, second.behind), (true, false, false, true));
    assert_eq!((first.overhead, second.overhead), (Some(44), Some(44)));
    // One direction changes, then goes; an unknown file changes nothing.
    let changed = settle(&shaped(&BOTH.replace("20 M", "25 M"), ""), &mut found);
    assert_eq!(words(&changed, &found), ["uplink0: uploads shaped to 25 Mbit/s"]);
    assert!(plan(&defaults(), &found).actions.is_empty());
    let gone = settle(&shaped(r#"{"down":"100 Mbit/s","overhead":44}"#, ""), &mut found);
    assert_eq!(words(&gone, &found), ["uplink0: not shaped any more"]);
    settle(&shaped("{}", ""), &mut found);
    assert_eq!(queues(&found), []);
}

#[test]
fn several_lans_share_one_rate_where_downloads_come_in() {
    let two = r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24"},
        {"name":"guest","parent":"lan0","vlan_id":7,"addr":"192.168.44.1/24","guest":true}]}"#;
    let mut found = two_nics();
    settle(&shaped(BOTH, two), &mut found);
    let (up, down) = (("uplink0", 20_000_000, Fair::Senders), (ENTRANCE, 100_000_000, Fair::Receivers));
    assert_eq!(queues(&found), [up, down]);
    let link = found.links.iter().find(|link| link.name == ENTRANCE).unwrap();
    assert!(link.up && found.queues.iter().any(|queue| queue.is_entrance() && queue.index == 2));
    // Back to one LAN: first it is led nowhere, then the link goes.
    let mut one = shaped(BOTH, "");
    one.before = Some(shaped("{}", two).interfaces);
    settle(&one, &mut found);
    assert_eq!(queues(&found), [("lan0", 100_000_000, Fair::Receivers), up]);
    assert!(found.links.iter().all(|link| link.name != ENTRANCE));
    assert!(found.queues.iter().all(|queue| !queue.is_entrance()));
}

#[test]
fn a_queue_stands_where_the_flowtable_lets_packets_out() {
    // The uplink is a VLAN alone on its cable, the LAN a bridge with one port, then with two.
    let text = r#"{"interfaces":[{"name":"cable","hardware_addr":"02:00:00:00:00:02"},
        {"name":"uplink0","parent":"cable","vlan_id":7},{"name":"lan0","addr":"192.168.42.1/24"}],
        "bridges":[{"name":"lan0","interface_hardware_addrs":[PORTS]}]}"#;
    let nics = || kernel(vec![nic(2, "cable", pci(3)), nic(3, "eth1", pci(4)), nic(4, "eth2", pci(5))]);
    let mut found = nics();
    settle(&shaped(BOTH, &text.replace("PORTS", "\"02:00:00:00:00:03\"")), &mut found);
    assert_eq!(queues(&found), [("cable", 20_000_000, Fair::Senders), ("eth1", 100_000_000, Fair::Receivers)]);
    let mut found = nics();
    settle(&shaped(BOTH, &text.replace("PORTS", "\"02:00:00:00:00:03\",\"02:00:00:00:00:04\"")), &mut found);
    assert_eq!(queues(&found), [("cable", 20_000_000, Fair::Senders), (ENTRANCE, 100_000_000, Fair::Receivers)]);
    // With another VLAN on the same cable it would hold that back, too.
    let shared =
        text.replace("],\n        \"bridges\"", ",{\"name\":\"iptv\",\"parent\":\"cable\",\"vlan_id\":8}],\"bridges\"");
    let mut found = nics();
    settle(&shaped(r#"{"up":"20 Mbit/s"}"#, &shared.replace("PORTS", "\"02:00:00:00:00:03\"")), &mut found);
    assert_eq!(queues(&found), [("uplink0", 20_000_000, Fair::Senders)]);
}
