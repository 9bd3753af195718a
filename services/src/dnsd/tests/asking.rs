//! Whom we ask, when, and what of it we believe.
use super::*;

const TWO: [&str; 2] = ["10.0.0.1", "10.0.0.2"];

fn upstream(asked: &Asked) -> u8 {
    let IpAddr::V4(ip) = asked.to.ip() else { return 0 };
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
    assert_eq!((first.to.port(), first.transport), (53, Transport::Udp));
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

#[test]
fn a_silent_upstream_costs_one_query_and_then_its_place() {
    let mut world = World::new(&TWO);
    world.query(&ask("x.com", Rtype::A));
    assert_eq!(upstream(world.last()), 1);
    world.pass(Duration::from_millis(799));
    assert_eq!(world.asked.len(), 1);
    world.pass(Duration::from_millis(1));
    assert_eq!(upstream(world.last()), 2);
    world.reply(Rcode::NOERROR, |records| a(records, 300, 1));
    assert_eq!(world.answers.len(), 1);
    assert_eq!(world.closed.len(), 2, "both sockets are closed");
    world.query(&ask("y.com", Rtype::A));
    assert_eq!(upstream(world.last()), 2);
}

#[test]
fn a_late_answer_of_the_first_counts_too() {
    let mut world = World::new(&TWO);
    world.query(&ask("x.com", Rtype::A));
    world.pass(Duration::from_millis(900));
    assert_eq!(world.asked.len(), 2);
    world.reply_to(0, Rcode::NOERROR, |records| a(records, 300, 7));
    assert_eq!(addresses(&world.late()), [(7, 300)]);
}

#[test]
fn who_cannot_help_or_be_reached_is_passed_over_at_once() {
    for code in [Rcode::SERVFAIL, Rcode::REFUSED] {
        let mut world = World::new(&TWO);
        world.query(&ask("x.com", Rtype::A));
        world.reply(code, |_| ());
        assert_eq!((world.asked.len(), upstream(world.last())), (2, 2));
        world.reply(Rcode::NOERROR, |records| a(records, 300, 1));
        assert_eq!(rcode(&world.late()), Rcode::NOERROR);
        world.query(&ask("y.com", Rtype::A));
        assert_eq!(upstream(world.last()), 1, "an upstream that answers keeps its place");
    }
    let mut world = World::new(&TWO);
    world.query(&ask("x.com", Rtype::A));
    world.fail(0);
    assert_eq!(upstream(world.last()), 2);
    world.fail(1);
    assert_eq!(rcode(&world.late()), Rcode::SERVFAIL);
}

#[test]
fn all_silent_ends_in_servfail_after_four_seconds() {
    let mut world = World::new(&TWO);
    let start = world.now;
    world.query(&ask("x.com", Rtype::A));
    while world.answers.is_empty() {
        let deadline = world.engine.deadline().unwrap();
        world.pass(deadline.since(world.now));
    }
    assert_eq!(world.now.since(start), Duration::from_secs(4));
    let answer = world.late();
    assert_eq!((rcode(&answer), answer.opt().is_some()), (Rcode::SERVFAIL, true));
    assert_eq!(world.asked.iter().map(upstream).collect::<Vec<_>>(), [1, 2, 1, 2, 1]);
    assert_eq!(world.closed.len(), 5);
    assert_eq!(rcode(&world.query(&ask("x.com", Rtype::A)).unwrap()), Rcode::SERVFAIL);
    assert_eq!(world.asked.len(), 5, "a failure is kept for a second");
    world.seconds(1);
    assert!(world.query(&ask("x.com", Rtype::A)).is_none());
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
    let mut world = World::new(&TWO);
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
    world.reply_to(2, Rcode::NOERROR, |records| a(records, 300, 1));
    assert_eq!(world.late().header().id(), 1);
    world.fail(3);
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
    assert_eq!((world.asked.len(), refused), (128, 872));
    assert!(world.query(&ask("x.com", Rtype::A).from(8, 1)).is_none(), "another one is served");
    world.seconds(5);
    assert_eq!(world.answers.len(), 129);
    assert_eq!(world.closed.len(), world.asked.len(), "every socket is closed");
    assert!(world.query(&ask("y.com", Rtype::A)).is_none(), "and its places are free again");
    for last in 0..255 {
        for port in 0..20 {
            world.query(&ask(&format!("p{port}.of{last}.com"), Rtype::A).from(last, port));
        }
    }
    assert!(world.asked.len() - world.closed.len() <= 2 * 256);
}
