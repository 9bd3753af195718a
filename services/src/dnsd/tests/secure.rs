//! Upstreams that are asked over TLS: in no other way, and by the same ranks and turns as the others.
use super::*;

const ONE: &str = "tls://10.0.0.1#dns.example";

fn asked(world: &World) -> Vec<(String, Transport)> {
    world.asked.iter().map(|asked| (asked.to.to_string(), asked.transport)).collect()
}

#[test]
fn it_is_asked_over_tls_whatever_it_says() {
    let mut world = World::new(&[ONE]);
    world.query(&ask("x.com", Rtype::A));
    assert_eq!(asked(&world), [("tls://10.0.0.1:853#dns.example".to_owned(), Transport::Tls)]);
    let message = world.last().message.as_slice();
    assert!(message.len() == 128 && message[12..19] == *b"\x01x\x03com\0", "filled up, without 0x20");
    // Cut off, or not understood: the same way again, or none.
    let mut cut = builder_for(&world.last().message, Rcode::NOERROR);
    cut.header_mut().set_tc(true);
    world.raw(0, &cut.finish().into_target());
    world.query(&ask("y.com", Rtype::A));
    world.reply(Rcode::FORMERR, |_| ());
    assert!(world.last().message.opt().is_none());
    world.pass(Duration::from_secs(5));
    assert!(asked(&world).iter().all(|(_, transport)| *transport == Transport::Tls));
}

#[test]
fn a_reply_in_other_letters_is_one_and_a_foreign_one_is_a_failure() {
    let mut world = World::new(&[ONE]);
    world.query(&ask("x.com", Rtype::A));
    let mut reply = answer_to(&world.last().message, Rcode::NOERROR, |records| a(records, 300, 1));
    reply[13] = b'X';
    world.raw(0, &reply);
    assert_eq!(addresses(&world.late()), [(1, 300)]);
    world.query(&ask("y.com", Rtype::A));
    let mut reply = answer_to(&world.last().message, Rcode::NOERROR, |records| a(records, 300, 1));
    reply[13] = b'z';
    world.raw(world.asked.len() - 1, &reply);
    assert_eq!(rcode(&world.late()), Rcode::SERVFAIL);
}

#[test]
fn a_dead_connection_costs_what_its_upstream_usually_took_and_no_more() {
    let mut world = World::new(&[ONE, "tls://10.0.0.2#dns.example"]);
    for (at, wait) in [(0, 20), (2, 30)] {
        assert!(world.query(&ask(&format!("n{at}.com"), Rtype::A)).is_none());
        world.pass(Duration::from_millis(wait));
        world.reply_to(at, Rcode::NOERROR, |records| a(records, 0, 1));
    }
    let before = world.asked.len();
    world.query(&ask("x.com", Rtype::A));
    assert_eq!(world.asked.len(), before + 1);
    let start = world.now;
    while world.asked.len() == before + 1 {
        world.pass(Duration::from_millis(1));
    }
    assert!(world.now.since(start) <= Duration::from_millis(50), "{:?}", world.now.since(start));
    assert_eq!(world.last().to.to_string(), "tls://10.0.0.2:853#dns.example");
    // Nobody there at all: at once.
    world.fail(world.asked.len() - 2);
    world.reply(Rcode::NOERROR, |records| a(records, 300, 2));
    assert_eq!(world.answers.pop().map(|(_, answer)| addresses(&answer)), Some(vec![(2, 300)]));
}

#[test]
fn a_handshake_says_little_of_how_long_an_answer_takes() {
    let mut world = World::new(&[ONE]);
    world.query(&ask("a.com", Rtype::A));
    world.engine.cold(world.last().attempt);
    world.pass(Duration::from_millis(60));
    world.reply(Rcode::NOERROR, |records| a(records, 300, 1));
    let rtt = |world: &World| world.engine.forward().upstreams()[0].rtt().as_millis();
    assert_eq!(rtt(&world), 20, "of three ways there and back one was the answer's");
    world.query(&ask("b.com", Rtype::A));
    world.engine.cold(world.last().attempt);
    world.pass(Duration::from_millis(90));
    world.reply(Rcode::NOERROR, |records| a(records, 300, 1));
    assert_eq!((rtt(&world), world.engine.forward().upstreams()[0].is_alive()), (20, true));
}

#[test]
fn where_a_server_is_is_asked_of_who_is_asked_for_nothing_else() {
    let mut world = World::new(&[ONE]);
    let aside = Group { aside: true, ..group("", &["10.0.0.9"]) };
    world.settings(Settings { groups: vec![group("", &[ONE]), aside.clone()], ..Settings::default() });
    let name = name::from_text("dns.example").unwrap();
    assert!(world.engine.lookup(world.now, 7, &name, false));
    world.query(&ask("dns.example", Rtype::A));
    world.collect();
    let whom = asked(&world).into_iter().map(|(to, _)| to).collect::<Vec<_>>();
    assert_eq!(
        whom,
        ["tls://10.0.0.1:853#dns.example", "10.0.0.9:53"].map(str::to_owned).into_iter().rev().collect::<Vec<_>>()
    );
    // A change of servers asks both again, each where it belongs.
    world.asked.clear();
    world.settings(Settings { groups: vec![group("", &["tls://10.0.0.2"]), aside], ..Settings::default() });
    let mut whom = asked(&world).into_iter().map(|(to, _)| to).collect::<Vec<_>>();
    whom.sort();
    assert_eq!(whom, ["10.0.0.9:53", "tls://10.0.0.2:853"]);
    let at = world.asked.iter().position(|asked| asked.transport == Transport::Udp).unwrap();
    world.reply_to(at, Rcode::NOERROR, |records| a(records, 60, 5));
    assert_eq!(world.answers.iter().map(|(client, _)| *client).collect::<Vec<_>>(), [Client::House(7)]);
    world.settings(Settings { groups: vec![group("", &[ONE])], ..Settings::default() });
    assert!(!world.engine.lookup(world.now, 8, &name, true), "nobody to ask");
}
