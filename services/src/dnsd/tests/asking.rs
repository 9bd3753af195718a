//! Whom we ask, when, and what of it we believe.
use super::*;
use proptest::prelude::*;

fn upstream(asked: &Asked) -> u8 {
    let IpAddr::V4(ip) = asked.to.address.ip() else { return 0 };
    ip.octets()[3]
}

#[test]
fn asks_with_its_own_id_and_edns_and_without_the_clients() {
    let mut world = World::new(&["10.0.0.1"]);
    world.query(&ask("X.com", Rtype::A));
    world.query(&ask("y.com", Rtype::A).from(8, 99));
    let [first, second] = &world.asked[..] else { panic!() };
    assert_ne!(first.message.header().id(), second.message.header().id());
    assert!(first.message.header().rd());
    assert_eq!(first.message.opt().unwrap().udp_payload_size(), 1_232);
    assert_eq!((first.to.address.port(), first.transport), (53, Transport::Udp));
    world.reply_to(1, Rcode::NOERROR, |records| a(records, 5, 2));
    let (client, answer) = world.answers.remove(0);
    assert_eq!((client, answer.header().id()), (ask("", Rtype::A).from(8, 99).client, 2));
    assert!(answer.opt().unwrap().opt().is_empty(), "their options are theirs");
}

#[test]
fn one_question_is_asked_once_for_all_who_wait() {
    let mut world = World::new(&["10.0.0.1"]);
    let mine = ask("x.com", Rtype::A);
    world.query(&mine);
    for last in 10..20 {
        assert!(world.query(&ask("X.COM", Rtype::A).from(last, 1)).is_none());
    }
    world.last_id = 0;
    assert!(world.query(&mine).is_none(), "the same client, repeating itself");
    assert_eq!(world.asked.len(), 1);
    world.reply(Rcode::NOERROR, |records| a(records, 300, 1));
    assert_eq!(world.answers.len(), 11);
    assert_eq!(world.answers[5].1.sole_question().unwrap().qname().to_string(), "X.COM");
}

#[test]
fn a_reply_with_another_id_question_or_kind_is_not_believed() {
    let mut world = World::new(&["10.0.0.1"]);
    world.query(&ask("x.com", Rtype::A));
    let good = answer_to(&world.last().message, Rcode::NOERROR, |records| a(records, 300, 1));
    let forged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut message = good.clone();
        change(&mut message);
        message
    };
    let other = Message::from_octets(ask("y.com", Rtype::A).message(world.last().message.header().id())).unwrap();
    let forgeries = [
        forged(&|message| message[1] ^= 1),
        forged(&|message| message[2] &= 0x7f),
        forged(&|message| message[2] |= 0x28),
        forged(&|message| message[13] = b'z'),
        forged(&|message| message[20] = 28),
        forged(&|message| message[5] = 0),
        forged(&|message| message.truncate(11)),
        answer_to(&other, Rcode::NOERROR, |records| a(records, 300, 6)),
    ];
    for forgery in &forgeries {
        world.raw(0, forgery);
        assert_eq!((world.answers.len(), world.asked.len()), (0, 1));
    }
    world.raw(0, &good);
    assert_eq!(addresses(&world.late()), [(1, 300)]);
    world.raw(0, &good);
    assert!(world.answers.is_empty(), "a second reply comes too late");
}

fn whom(world: &World) -> Vec<u8> {
    world.asked.iter().map(upstream).collect()
}

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn at_first_two_are_asked_at_once_and_then_the_faster_one() {
    let mut world = World::with_two();
    for number in 0..20 {
        world.query(&ask(&format!("x{number}.com"), Rtype::A));
        world.pass(MS(20));
        world.reply(Rcode::NOERROR, |records| a(records, 300, 1));
    }
    assert_eq!(whom(&world), [1; 20]);
    for round in 0..2 {
        world.seconds(10);
        world.query(&ask(&format!("y{round}.com"), Rtype::A));
        let last = world.asked.len();
        assert_eq!(whom(&world)[last - 2..], [1, 2], "now and then the other one is measured");
        world.pass(MS(5));
        world.reply_to(last - 1, Rcode::NOERROR, |records| a(records, 300, 1));
        world.pass(MS(15));
        world.reply_to(last - 2, Rcode::NOERROR, |records| a(records, 300, 1));
    }
    world.query(&ask("z.com", Rtype::A));
    assert_eq!(whom(&world).last(), Some(&2), "which is the faster one by now");
}

#[test]
fn a_silent_upstream_costs_what_it_usually_takes_and_then_nothing() {
    let mut world = World::with_two();
    world.query(&ask("x.com", Rtype::A));
    world.pass(MS(44));
    assert_eq!(whom(&world), [1]);
    world.pass(MS(1));
    assert_eq!(whom(&world), [1, 2]);
    world.pass(MS(30));
    world.reply(Rcode::NOERROR, |records| a(records, 300, 1));
    world.late();
    assert_eq!(world.closed.len(), 2, "both are closed");
    world.asked.clear();
    for number in 0..100 {
        world.query(&ask(&format!("y{number}.com"), Rtype::A));
        world.pass(MS(30));
        let second = world.asked.iter().rposition(|asked| upstream(asked) == 2).unwrap();
        world.reply_to(second, Rcode::NOERROR, |records| a(records, 300, 1));
        world.late();
        world.pass(MS(400));
    }
    // It is tried beside the other, and costs nobody anything.
    let tried = whom(&world).iter().filter(|number| **number == 1).count();
    assert!((3..=12).contains(&tried), "{tried} times in 43 s");
    let alive = |world: &World| world.engine.forward().upstreams()[0].is_alive();
    assert!(!alive(&world));
    // It comes back with its first word, although nobody waits for that.
    world.seconds(31);
    world.asked.clear();
    world.query(&ask("z.com", Rtype::A));
    assert_eq!(whom(&world), [2, 1]);
    world.reply_to(0, Rcode::NOERROR, |records| a(records, 300, 1));
    world.pass(MS(100));
    world.reply_to(1, Rcode::NOERROR, |records| a(records, 300, 1));
    assert_eq!(world.answers.len(), 1);
    assert!(alive(&world));
}

#[test]
fn a_burst_while_one_dies_waits_no_longer_than_a_single_question() {
    let mut world = World::with_two();
    for number in 0..100 {
        world.query(&ask(&format!("x{number}.com"), Rtype::A));
    }
    assert_eq!(world.asked.len(), 100);
    world.pass(MS(45));
    assert_eq!(whom(&world)[100..], [2; 100]);
    (100..200).for_each(|at| world.reply_to(at, Rcode::NOERROR, |records| a(records, 300, 1)));
    assert_eq!(world.answers.len(), 100);
}

#[test]
fn a_late_answer_of_the_first_counts_too() {
    let mut world = World::with_two();
    world.query(&ask("x.com", Rtype::A));
    world.pass(MS(50));
    assert_eq!(world.asked.len(), 2);
    world.reply_to(0, Rcode::NOERROR, |records| a(records, 300, 7));
    assert_eq!(addresses(&world.late()), [(7, 300)]);
}

#[test]
fn who_cannot_help_is_passed_over_at_once_and_comes_last_when_it_never_can() {
    for code in [Rcode::SERVFAIL, Rcode::REFUSED] {
        let mut world = World::with_two();
        for number in 0..3 {
            world.asked.clear();
            world.query(&ask(&format!("x{number}.com"), Rtype::A));
            world.reply(code, |_| ());
            assert_eq!(whom(&world), [1, 2]);
            world.reply(Rcode::NOERROR, |records| a(records, 300, 1));
            assert_eq!(rcode(&world.late()), Rcode::NOERROR);
        }
        world.asked.clear();
        world.query(&ask("y.com", Rtype::A));
        assert_eq!(whom(&world), [2]);
    }
}

#[test]
fn when_all_fail_the_answer_is_servfail_at_once_and_tells_why() {
    let mut world = World::with_two();
    world.query(&ask("x.com", Rtype::A));
    world.reply(Rcode::SERVFAIL, |_| ());
    world.reply(Rcode::REFUSED, |_| ());
    let answer = world.late();
    assert_eq!(rcode(&answer), Rcode::SERVFAIL);
    use domain::base::opt::ExtendedError;
    let options = answer.opt().unwrap();
    let error = options.opt().iter::<ExtendedError<_>>().next().unwrap().unwrap();
    assert_eq!(error.code().to_int(), 22);
}

#[test]
fn a_way_that_is_not_there_yet_is_tried_for_a_second() {
    let mut world = World::new(&["10.0.0.1"]);
    let start = world.now;
    world.query(&ask("x.com", Rtype::A));
    let mut failed = 0;
    while world.answers.is_empty() {
        while failed < world.asked.len() {
            world.fail(failed);
            failed += 1;
        }
        world.pass(MS(10));
    }
    assert_eq!(rcode(&world.late()), Rcode::SERVFAIL);
    assert!(world.now.since(start) >= MS(1_000) && world.now.since(start) < MS(1_200));
    let mut world = World::new(&["10.0.0.1"]);
    world.query(&ask("x.com", Rtype::A));
    world.fail(0);
    world.pass(MS(100));
    world.reply(Rcode::NOERROR, |records| a(records, 300, 1));
    assert_eq!(addresses(&world.late()), [(1, 300)]);
}

#[test]
fn all_silent_ends_in_servfail_after_four_seconds() {
    let mut world = World::new(&["10.0.0.1", "10.0.0.2"]);
    let start = world.now;
    world.query(&ask("x.com", Rtype::A));
    while world.answers.is_empty() {
        let deadline = world.engine.deadline().unwrap();
        world.pass(deadline.since(world.now));
    }
    assert_eq!(world.now.since(start), Duration::from_secs(4));
    let answer = world.late();
    assert_eq!((rcode(&answer), answer.opt().is_some()), (Rcode::SERVFAIL, true));
    let asked = world.asked.len();
    assert!((4..=12).contains(&asked), "{:?}", whom(&world));
    assert_eq!(world.closed.len(), asked);
    assert_eq!(rcode(&world.query(&ask("x.com", Rtype::A)).unwrap()), Rcode::SERVFAIL);
    assert_eq!(world.asked.len(), asked, "a failure is kept for a second");
    world.seconds(1);
    assert!(world.query(&ask("x.com", Rtype::A)).is_none());
}

#[test]
fn a_lost_packet_is_sent_again() {
    let mut world = World::new(&["10.0.0.1"]);
    world.query(&ask("x.com", Rtype::A));
    world.pass(MS(249));
    assert_eq!(world.asked.len(), 1);
    world.pass(MS(1));
    assert_eq!(world.asked.len(), 2);
    world.pass(MS(3_749));
    assert_eq!(world.asked.len(), 5, "with longer and longer pauses");
}

#[test]
fn a_reply_in_other_capitals_is_asked_for_over_tcp() {
    let mut world = World::new(&["10.0.0.1"]);
    world.query(&ask("some.long.example.com", Rtype::A));
    let sent = world.last().message.sole_question().unwrap().qname().to_string();
    assert!(sent != sent.to_lowercase() && sent.eq_ignore_ascii_case("some.long.example.com"), "{sent}");
    let lower = |world: &World| {
        let mut message = answer_to(&world.last().message, Rcode::NOERROR, |records| a(records, 0, 1));
        message[12..35].make_ascii_lowercase();
        message
    };
    let message = lower(&world);
    world.raw(0, &message);
    assert_eq!((world.answers.len(), world.last().transport), (0, Transport::Tcp));
    let message = lower(&world);
    world.raw(1, &message);
    assert_eq!(addresses(&world.late()), [(1, 0)], "nobody forges a connection");
    world.query(&ask("Some.long.example.com", Rtype::A));
    let sent = world.last().message.sole_question().unwrap().qname().to_string();
    assert_eq!(sent, "some.long.example.com", "it does not keep them");
    world.engine.rewire(world.now);
    world.collect();
    let sent = world.last().message.sole_question().unwrap().qname().to_string();
    assert_ne!(sent, "some.long.example.com", "by another way it may");
}

#[test]
fn a_domain_has_servers_of_its_own() {
    let mut world = World::new(&[]);
    let groups = vec![
        group("", &["10.0.0.1"]),
        group("corp.example", &["10.1.0.53"]),
        group("lab.corp.example", &["10.1.0.54"]),
        group("168.192.in-addr.arpa", &["10.1.0.55"]),
        group("corp.lan", &["10.1.0.56"]),
    ];
    let host =
        Host { name: "xps".into(), addresses: vec!["192.168.42.4".parse().unwrap()], bare: true, ..Host::default() };
    world.settings(Settings { groups, hosts: vec![host], ..Settings::default() });
    for (name, rtype, server) in [
        ("example", Rtype::A, 1),
        ("xcorp.example", Rtype::A, 1),
        ("Corp.Example", Rtype::A, 53),
        ("a.b.CORP.example", Rtype::A, 53),
        ("x.lab.corp.example", Rtype::A, 54),
        ("9.43.168.192.in-addr.arpa", Rtype::PTR, 55),
        ("a.corp.lan", Rtype::A, 56),
    ] {
        assert!(world.query(&ask(name, rtype)).is_none(), "{name}");
        assert_eq!(upstream(world.last()), server, "{name}");
    }
    assert!(world.query(&ask("4.42.168.192.in-addr.arpa", Rtype::PTR)).is_some(), "what is known is known");
    assert!(world.query(&ask("b.lan", Rtype::A)).is_some());
}

#[test]
fn a_truncated_reply_is_asked_for_over_tcp() {
    let mut world = World::new(&["10.0.0.1"]);
    world.query(&ask("big.com", Rtype::A));
    let mut cut = answer_to(&world.last().message, Rcode::NOERROR, |_| ());
    cut[2] |= 2;
    world.raw(0, &cut);
    assert_eq!((world.last().transport, world.asked.len()), (Transport::Tcp, 2));
    assert_eq!(world.closed.len(), 1);
    world.reply(Rcode::NOERROR, |records| (0..100).for_each(|last| a(records, 300, last)));
    assert!(world.late().header().tc(), "1,600 bytes are too much for UDP");
    assert_eq!(addresses(&world.query(&ask("big.com", Rtype::A).tcp()).unwrap()).len(), 100);
}

#[test]
fn what_fails_over_tcp_is_asked_elsewhere() {
    let mut world = World::with_two();
    world.query(&ask("big.com", Rtype::A));
    let mut cut = answer_to(&world.last().message, Rcode::NOERROR, |_| ());
    cut[2] |= 2;
    world.raw(0, &cut);
    world.fail(1);
    assert_eq!((upstream(world.last()), world.last().transport), (2, Transport::Udp));
}

#[test]
fn an_upstream_without_edns_is_asked_without() {
    let mut world = World::new(&["10.0.0.1"]);
    world.query(&ask("x.com", Rtype::A));
    let header: Vec<u8> = world.last().message.as_slice()[..12].to_vec();
    let formerr = [&header[..2], &[0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    world.raw(0, &formerr);
    assert!(world.last().message.opt().is_none());
    let mut builder = builder_for(&world.last().message, Rcode::NOERROR);
    a(&mut builder, 300, 1);
    let at = world.asked.len() - 1;
    world.raw(at, &builder.finish().into_target());
    assert_eq!(addresses(&world.late()), [(1, 300)]);
}

#[test]
fn other_upstreams_are_asked_at_once() {
    let mut world = World::new(&["10.0.0.1"]);
    world.query(&ask("x.com", Rtype::A));
    world.query(&ask("y.com", Rtype::A));
    world.configure(&["10.0.0.1"], &[]);
    assert_eq!(world.asked.len(), 2, "the same as before");
    world.configure(&["10.0.0.9"], &[]);
    assert_eq!(world.asked[2..].iter().map(upstream).collect::<Vec<_>>(), [9, 9]);
    assert_eq!(world.closed.len(), 2);
    world.engine.rewire(world.now);
    world.collect();
    assert_eq!((world.asked.len(), world.closed.len()), (6, 4), "by the new way");
    world.reply_to(4, Rcode::NOERROR, |records| a(records, 300, 1));
    assert_eq!(world.late().header().id(), 1);
    world.reply_to(5, Rcode::SERVFAIL, |_| ());
    world.late();
    assert!(world.query(&ask("y.com", Rtype::A)).is_some(), "SERVFAIL, kept");
    world.configure(&["10.0.0.8"], &[]);
    assert!(world.query(&ask("y.com", Rtype::A)).is_none(), "forgotten with who caused it");
}

#[test]
fn without_upstreams_and_without_recursion_the_answer_is_no() {
    let mut world = World::new(&[]);
    assert_eq!(rcode(&world.query(&ask("x.com", Rtype::A)).unwrap()), Rcode::SERVFAIL);
    let mut world = World::new(&["10.0.0.1"]);
    let plain = Ask { recursion: false, ..ask("x.com", Rtype::A) };
    assert_eq!(rcode(&world.query(&plain).unwrap()), Rcode::REFUSED);
    assert!(world.asked.is_empty());
}

#[test]
fn one_client_cannot_take_every_place() {
    let mut world = World::new(&["10.0.0.1"]);
    let mut refused = 0;
    for number in 0..1_000 {
        if let Some(answer) = world.query(&ask(&format!("n{number}.com"), Rtype::A)) {
            assert_eq!(rcode(&answer), Rcode::SERVFAIL);
            refused += 1;
        }
    }
    assert_eq!((world.asked.len(), refused), (256, 744));
    assert!(world.query(&ask("x.com", Rtype::A).from(8, 1)).is_none(), "another one is served");
    world.seconds(5);
    assert_eq!(world.answers.len(), 257);
    assert_eq!(world.closed.len(), world.asked.len(), "every socket is closed");
    assert!(world.query(&ask("y.com", Rtype::A)).is_none(), "and its places are free again");
    for last in 0..255 {
        for port in 0..20 {
            world.query(&ask(&format!("p{port}.of{last}.com"), Rtype::A).from(last, port));
        }
    }
    assert!(world.asked.len() - world.closed.len() <= 4 * 512);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_upstreams_do_everybody_is_answered_once_and_every_socket_is_closed(
        steps in prop::collection::vec((0..8u8, any::<u16>()), 0..120),
    ) {
        let mut world = World::new(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let mut waiting = 0;
        for (step, number) in steps {
            let at = usize::from(number).checked_rem(world.asked.len()).unwrap_or_default();
            match step {
                0..=2 => {
                    let ask = ask(&format!("n{}.com", number % 5), Rtype::A).from((number % 7) as u8, 1);
                    waiting += usize::from(world.query(&ask).is_none());
                }
                3 if !world.asked.is_empty() => world.reply_to(at, Rcode::NOERROR, |records| a(records, 2, 1)),
                4 if !world.asked.is_empty() => world.reply_to(at, Rcode::SERVFAIL, |_| ()),
                5 if !world.asked.is_empty() => world.fail(at),
                6 => world.pass(MS(u64::from(number % 700))),
                7 if number % 2 == 0 => {
                    world.engine.rewire(world.now);
                    world.collect();
                }
                7 => world.configure(&["10.0.0.2", "10.0.0.4"], &[]),
                _ => {}
            }
        }
        world.seconds(6);
        prop_assert_eq!(world.answers.len(), waiting);
        prop_assert_eq!(world.engine.forward().in_flight(), 0);
        prop_assert_eq!(world.closed.len(), world.asked.len());
    }
}
