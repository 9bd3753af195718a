//! What is kept, for how long, and in how much memory.
use super::*;
use crate::dnsd::engine::popular::popular;

#[test]
fn an_answer_is_asked_for_once_and_counts_down() {
    let mut world = World::new(&["10.0.0.1"]);
    world.fill("www.example.com", 300);
    assert_eq!(world.asked.len(), 1);
    world.seconds(100);
    let answer = world.query(&ask("WWW.Example.COM", Rtype::A)).unwrap();
    assert_eq!(addresses(&answer), [(1, 200)]);
    assert_eq!(answer.sole_question().unwrap().qname().to_string(), "WWW.Example.COM", "the client's own case");
    assert_eq!(records(&answer)[0][0], "WWW.Example.COM 200 198.51.100.1");
    assert!(!answer.header().aa() && !answer.header().ad());
    world.seconds(199);
    assert_eq!(addresses(&world.query(&ask("www.example.com", Rtype::A)).unwrap()), [(1, 1)]);
    world.seconds(1);
    assert!(world.query(&ask("www.example.com", Rtype::A)).is_none(), "it has run out");
    assert_eq!(world.asked.len(), 2);
}

#[test]
fn the_shortest_ttl_decides_and_each_record_keeps_its_own() {
    let mut world = World::new(&["10.0.0.1"]);
    world.query(&ask("x.com", Rtype::A));
    world.reply(Rcode::NOERROR, |records| {
        a(records, 300, 1);
        a(records, 20, 2);
        a(records, u32::MAX, 3);
        a(records, 1_000_000, 4);
    });
    assert_eq!(addresses(&world.late()), [(1, 300), (2, 20), (3, 0), (4, 86_400)]);
    assert!(world.query(&ask("x.com", Rtype::A)).is_none(), "a TTL of zero is not kept");
    world.reply(Rcode::NOERROR, |records| {
        a(records, 300, 1);
        a(records, 20, 2);
    });
    world.late();
    world.seconds(19);
    assert_eq!(addresses(&world.query(&ask("x.com", Rtype::A)).unwrap()), [(1, 281), (2, 1)]);
    world.seconds(1);
    assert!(world.query(&ask("x.com", Rtype::A)).is_none());
}

#[test]
fn names_are_counted_over_their_answers() {
    let mut world = World::new(&["10.0.0.1"]);
    for name in ["www.example.com", "Once.example", "never.example"] {
        world.fill(name, 300);
    }
    world.query(&ask("once.example", Rtype::A));
    for _ in 0..2 {
        world.query(&ask("www.EXAMPLE.com", Rtype::A));
    }
    world.query(&ask("www.example.com", Rtype::AAAA));
    world.reply(Rcode::NOERROR, |_| ());
    world.late();
    // A new answer takes over what was asked of the old one.
    world.seconds(300);
    world.fill("www.example.com", 300);
    world.query(&ask("www.example.com", Rtype::A));
    let names = |most| popular(world.engine.cache(), most);
    let www = ("www.example.com.".to_owned(), 4);
    assert_eq!(names(1), std::slice::from_ref(&www));
    assert_eq!(names(9), [www, ("once.example.".to_owned(), 1)]);
}

#[test]
fn type_do_and_cd_have_answers_of_their_own() {
    let mut world = World::new(&["10.0.0.1"]);
    world.fill("x.com", 300);
    let dnssec = Ask { dnssec_ok: true, ..ask("x.com", Rtype::A) };
    for other in [ask("x.com", Rtype::AAAA), dnssec, ask("y.com", Rtype::A)] {
        assert!(world.query(&other).is_none());
    }
    assert!(world.asked[2].message.opt().unwrap().dnssec_ok());
    assert!(!world.asked[1].message.opt().unwrap().dnssec_ok());
    assert!(world.query(&ask("x.com", Rtype::A).edns(None)).unwrap().opt().is_none());
}

#[test]
fn absence_is_kept_as_long_as_its_soa_says_and_an_hour_at_most() {
    for (rcode_of, ttl, minimum, life) in
        [(Rcode::NXDOMAIN, 900, 60, 60u64), (Rcode::NOERROR, 30, 600, 30), (Rcode::NXDOMAIN, 90_000, 90_000, 3_600)]
    {
        let mut world = World::new(&["10.0.0.1"]);
        world.query(&ask("no.com", Rtype::A));
        world.reply_nothing(rcode_of, ttl, minimum);
        let answer = world.late();
        assert_eq!(rcode(&answer), rcode_of);
        assert_eq!(records(&answer)[1], [format!("com {life} com. com. 7 1 2 3 {minimum}")]);
        world.seconds(life - 1);
        let kept = world.query(&ask("no.com", Rtype::A)).unwrap();
        assert_eq!(rcode(&kept), rcode_of);
        assert!(records(&kept)[1][0].starts_with("com 1 "));
        world.seconds(1);
        assert!(world.query(&ask("no.com", Rtype::A)).is_none());
    }
}

#[test]
fn absence_without_soa_is_passed_on_and_not_kept() {
    let mut world = World::new(&["10.0.0.1"]);
    world.query(&ask("no.com", Rtype::A));
    world.reply(Rcode::NXDOMAIN, |_| ());
    assert_eq!(rcode(&world.late()), Rcode::NXDOMAIN);
    assert!(world.query(&ask("no.com", Rtype::A)).is_none());
}

#[test]
fn a_flood_of_names_keeps_the_bound_and_the_popular() {
    let mut world = World::new(&["10.0.0.1"]);
    world.fill("popular.com", 80_000);
    for number in 0..12_000 {
        if number % 500 == 0 {
            assert!(world.query(&ask("popular.com", Rtype::A)).is_some(), "{number}");
        }
        world.fill(&format!("n{number}.com"), 80_000);
    }
    assert!(world.query(&ask("n11999.com", Rtype::A)).is_some());
    assert!(world.query(&ask("n0.com", Rtype::A)).is_none());
}

#[test]
fn when_nobody_can_be_asked_the_old_answer_is_given() {
    let mut world = World::new(&["10.0.0.1"]);
    world.fill("x.com", 60);
    world.seconds(100);
    assert!(world.query(&ask("x.com", Rtype::A)).is_none());
    world.pass(Duration::from_millis(1_000));
    assert_eq!(addresses(&world.late()), [(1, 30)]);
    let asked = world.asked.len();
    assert_eq!(addresses(&world.query(&ask("x.com", Rtype::A)).unwrap()), [(1, 30)]);
    assert_eq!(world.asked.len(), asked, "nobody is asked again for half a minute");
    world.seconds(30);
    let answer = world.query(&ask("x.com", Rtype::A)).unwrap();
    assert_eq!(addresses(&answer), [(1, 30)], "the dead are not waited for");
    assert_eq!(world.asked.len(), asked + 1, "but asked");
    world.reply(Rcode::NOERROR, |records| a(records, 1, 8));
    world.seconds(1);
    assert!(world.query(&ask("x.com", Rtype::A)).is_none(), "it is back");
    world.reply(Rcode::NOERROR, |records| a(records, 60, 9));
    assert_eq!(addresses(&world.late()), [(9, 60)]);
}

#[test]
fn truncation_fits_the_client() {
    let mut world = World::new(&["10.0.0.1"]);
    world.query(&ask("big.com", Rtype::A).edns(None));
    world.reply(Rcode::NOERROR, |records| (0..60).for_each(|last| a(records, 300, last)));
    let small = world.late();
    assert!(small.header().tc() && small.as_slice().len() <= 512);
    assert_eq!((small.header_counts().ancount(), rcode(&small)), (0, Rcode::NOERROR));
    let middle = world.query(&ask("big.com", Rtype::A).edns(Some(800))).unwrap();
    assert!(middle.header().tc() && middle.opt().is_some());
    let large = world.query(&ask("big.com", Rtype::A).edns(Some(4_096))).unwrap();
    assert_eq!((large.header().tc(), addresses(&large).len()), (false, 60));
    assert!(large.as_slice().len() <= 1_232 && large.as_slice().len() < 60 * 16 + 60, "names stay compressed");
    assert_eq!(large.opt().unwrap().udp_payload_size(), 1_232);
    let tcp = world.query(&ask("big.com", Rtype::A).tcp().edns(None)).unwrap();
    assert_eq!((tcp.header().tc(), addresses(&tcp).len()), (false, 60));
}

#[test]
fn the_additional_section_gives_way_before_the_answer_is_cut() {
    let mut world = World::new(&["10.0.0.1"]);
    world.query(&ask("x.com", Rtype::A));
    let mut builder = builder_for(&world.last().message, Rcode::NOERROR);
    (0..20).for_each(|last| a(&mut builder, 300, last));
    let mut builder = builder.additional();
    for last in 0..40 {
        let name: Name<Vec<u8>> = format!("ns{last}.x.com").parse().unwrap();
        builder.push((name, Class::IN, Ttl::from_secs(300), A::from_octets(10, 9, 0, last))).unwrap();
    }
    let message = builder.finish().into_target();
    world.raw(0, &message);
    world.late();
    let answer = world.query(&ask("x.com", Rtype::A).edns(Some(512))).unwrap();
    assert!(!answer.header().tc() && answer.as_slice().len() <= 512);
    assert_eq!((addresses(&answer).len(), answer.header_counts().arcount()), (20, 1));
}

#[test]
fn what_is_popular_is_asked_for_again_before_it_runs_out() {
    let mut world = World::new(&["10.0.0.1"]);
    world.fill("rare.com", 100);
    world.fill("popular.com", 100);
    for _ in 0..3 {
        world.query(&ask("popular.com", Rtype::A)).unwrap();
    }
    world.seconds(89);
    world.query(&ask("popular.com", Rtype::A)).unwrap();
    assert_eq!(world.asked.len(), 2, "there is time");
    world.seconds(1);
    world.query(&ask("rare.com", Rtype::A)).unwrap();
    assert_eq!(world.asked.len(), 2, "it is not worth it");
    for _ in 0..5 {
        assert_eq!(addresses(&world.query(&ask("popular.com", Rtype::A)).unwrap()), [(1, 10)]);
    }
    assert_eq!(world.asked.len(), 3, "once");
    world.reply(Rcode::NOERROR, |records| a(records, 100, 2));
    assert!(world.answers.is_empty());
    assert_eq!(addresses(&world.query(&ask("popular.com", Rtype::A)).unwrap()), [(2, 100)]);
    // A failure does not spoil what holds, and is not repeated with each question.
    (0..3).for_each(|_| drop(world.query(&ask("popular.com", Rtype::A)).unwrap()));
    world.seconds(95);
    world.query(&ask("popular.com", Rtype::A)).unwrap();
    world.reply(Rcode::SERVFAIL, |_| ());
    assert_eq!(addresses(&world.query(&ask("popular.com", Rtype::A)).unwrap()), [(2, 5)]);
    assert_eq!(world.asked.len(), 4);
}

#[test]
fn a_refresh_that_somebody_waits_for_answers_him() {
    let mut world = World::new(&["10.0.0.1"]);
    world.fill("x.com", 100);
    (0..3).for_each(|_| drop(world.query(&ask("x.com", Rtype::A)).unwrap()));
    world.seconds(99);
    world.query(&ask("x.com", Rtype::A)).unwrap();
    assert_eq!(world.asked.len(), 2);
    world.seconds(1);
    assert!(world.query(&ask("x.com", Rtype::A)).is_none());
    assert_eq!(world.asked.len(), 4, "the question is repeated, not doubled");
    world.reply(Rcode::NOERROR, |records| a(records, 100, 2));
    assert_eq!(addresses(&world.late()), [(2, 100)]);
}

#[test]
fn the_cache_survives_as_bytes_and_nothing_else_does() {
    use crate::dnsd::engine::kept;
    let mut world = World::new(&["10.0.0.1"]);
    world.fill("x.com", 300);
    world.fill("y.com", 50);
    world.query(&ask("no.com", Rtype::A));
    world.reply_nothing(Rcode::NXDOMAIN, 900, 900);
    world.seconds(20);
    let bytes = kept::write(world.engine.cache(), world.now);
    let mut later = World::new(&["10.0.0.1"]);
    assert_eq!(later.engine.restore(later.now, &bytes, 100), 3);
    assert_eq!(addresses(&later.query(&ask("X.com", Rtype::A)).unwrap()), [(1, 180)]);
    assert_eq!(rcode(&later.query(&ask("no.com", Rtype::A)).unwrap()), Rcode::NXDOMAIN);
    assert!(later.query(&ask("y.com", Rtype::A)).is_none(), "it has run out");
    later.seconds(5);
    assert_eq!(addresses(&later.answers.pop().unwrap().1), [(1, 30)], "and helps when nobody can be asked");
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        assert_eq!(World::new(&[]).engine.restore(world.now, &damaged, 0), 0, "{at}");
        assert_eq!(World::new(&[]).engine.restore(world.now, &bytes[..at], 0), 0, "{at}");
    }
}
