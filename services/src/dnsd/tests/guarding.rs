//! Who and what is refused.
use super::*;

fn guarded() -> World {
    let mut world = World::new(&[]);
    world.settings(Settings {
        groups: vec![group("", &["10.0.0.1"]), group("corp.example", &["10.1.0.53"])],
        rebind_allow: vec![name::from_text("plex.direct").unwrap()],
        ..Settings::default()
    });
    world
}

fn private(records: &mut AnswerBuilder<Buffer>) {
    let name = owner(records);
    records.push((name.clone(), Class::IN, Ttl::from_secs(300), A::from_octets(198, 51, 100, 1))).unwrap();
    records.push((name, Class::IN, Ttl::from_secs(300), A::from_octets(192, 168, 42, 1))).unwrap();
}

#[test]
fn a_public_name_does_not_lead_into_the_house() {
    let mut world = guarded();
    world.query(&ask("evil.example", Rtype::A));
    world.reply(Rcode::NOERROR, private);
    let answer = world.late();
    assert_eq!((rcode(&answer), addresses(&answer).len()), (Rcode::NOERROR, 0));
    assert_eq!(world.engine.take_rebound().as_deref(), Some(&b"\x04evil\x07example\0"[..]));
    assert_eq!(world.engine.counters().rebound, 1);
    assert!(addresses(&world.query(&ask("evil.example", Rtype::A)).unwrap()).is_empty(), "and is not asked for again");
    for (at, name) in ["x.corp.example", "a.b.plex.direct"].iter().enumerate() {
        assert!(world.query(&ask(name, Rtype::A)).is_none());
        world.reply(Rcode::NOERROR, private);
        assert_eq!(addresses(&world.late()).len(), 2, "{at}");
    }
}

#[test]
fn who_asks_too_often_is_refused_and_others_are_served() {
    let mut world = World::new(&[]);
    world.settings(Settings { groups: vec![group("", &["10.0.0.1"])], rate: 10, ..Settings::default() });
    world.fill("x.com", 3_000);
    let codes: Vec<_> = (0..50).map(|_| rcode(&world.query(&ask("x.com", Rtype::A)).unwrap())).collect();
    assert_eq!(codes.iter().filter(|code| **code == Rcode::NOERROR).count(), 39);
    assert_eq!(codes.last(), Some(&Rcode::REFUSED));
    assert_eq!(rcode(&world.query(&ask("x.com", Rtype::A).from(8, 1)).unwrap()), Rcode::NOERROR);
    assert_eq!(world.engine.counters().limited, 11);
    world.seconds(1);
    assert_eq!(rcode(&world.query(&ask("x.com", Rtype::A)).unwrap()), Rcode::NOERROR);
}

#[test]
fn who_does_not_belong_to_a_lan_hears_nothing() {
    let mut world = World::new(&[]);
    world.settings(Settings {
        groups: vec![group("", &["10.0.0.1"])],
        lans: vec!["192.168.42.0/24".parse().unwrap()],
        uplinks: vec!["10.0.0.0/8".parse().unwrap()],
        ..Settings::default()
    });
    for peer in ["8.8.8.8:53", "10.0.0.9:4000"] {
        let client = Client::Udp { listener: 1, peer: peer.parse().unwrap() };
        assert!(world.query(&Ask { client, ..ask("xps.lan", Rtype::A) }).is_none());
    }
    assert!(world.asked.is_empty() && world.answers.is_empty());
    assert_eq!(world.engine.counters().strangers, 2);
    assert!(world.query(&ask("xps.lan", Rtype::A)).is_some());
}

#[test]
fn ten_thousand_clients_are_served_in_bounds() {
    let mut world = World::new(&[]);
    world.settings(Settings { groups: vec![group("", &["10.0.0.1"])], rate: 1_000, ..Settings::default() });
    world.fill("x.com", 3_000);
    let (mut served, mut waiting, mut refused) = (0, 0, 0);
    for number in 0..10_000u32 {
        let peer = SocketAddr::new(IpAddr::from((10 << 24 | number).to_be_bytes()), 4_000);
        let client = Client::Udp { listener: 1, peer };
        let answer = world.query(&Ask { client, ..ask("x.com", Rtype::A) });
        served += usize::from(answer.is_some_and(|answer| rcode(&answer) == Rcode::NOERROR));
        match world.query(&Ask { client, ..ask(&format!("n{number}.com"), Rtype::A) }) {
            None => waiting += 1,
            Some(answer) => {
                assert_eq!(rcode(&answer), Rcode::SERVFAIL);
                refused += 1;
            }
        }
    }
    assert_eq!((served, waiting, refused), (10_000, 512, 9_488));
    assert_eq!(world.engine.forward().in_flight(), 512);
    world.seconds(5);
    assert_eq!((world.answers.len(), world.engine.forward().in_flight()), (512, 0));
}
