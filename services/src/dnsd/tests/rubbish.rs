//! Any byte string, from either side.
use super::*;
use proptest::prelude::*;

#[test]
fn wrong_queries_are_answered_with_their_codes() {
    let mut world = World::new(&["10.0.0.1"]);
    let good = ask("x.com", Rtype::A).message(7);
    let client = ask("x.com", Rtype::A).client;
    let mut send = |message: &[u8]| {
        let mut out = Vec::new();
        world.engine.query(world.now, client, message, &mut out).then(|| read(out, 7))
    };
    let mut version = good.clone();
    let at = version.len() - 5;
    version[at] = 1;
    let answer = send(&version).unwrap();
    assert_eq!(answer.opt().unwrap().rcode(answer.header()).to_int(), 16);
    let mut notify = good.clone();
    notify[2] = 0x20;
    assert_eq!(rcode(&send(&notify).unwrap()), Rcode::NOTIMP);
    let mut two = good.clone();
    two[5] = 2;
    assert_eq!(rcode(&send(&two).unwrap()), Rcode::FORMERR);
    let mut cut = good.clone();
    cut.truncate(good.len() - 1);
    let answer = send(&cut).unwrap();
    assert_eq!((rcode(&answer), answer.header_counts().qdcount()), (Rcode::FORMERR, 1));
    assert!(send(&good[..11]).is_none());
    let mut reply = good.clone();
    reply[2] |= 0x80;
    assert!(send(&reply).is_none());
    for rtype in [Rtype::AXFR, Rtype::IXFR, Rtype::TKEY] {
        assert_eq!(rcode(&send(&ask("x.com", rtype).message(7)).unwrap()), Rcode::REFUSED);
    }
    assert!(world.asked.is_empty());
}

#[test]
fn a_malformed_reply_is_an_upstream_that_cannot_help() {
    let mut world = World::with_two();
    world.query(&ask("x.com", Rtype::A));
    let mut message = answer_to(&world.last().message, Rcode::NOERROR, |records| a(records, 300, 1));
    message[7] = 9;
    world.raw(0, &message);
    assert_eq!(world.asked.len(), 2);
    world.reply(Rcode::NOERROR, |records| a(records, 300, 1));
    assert_eq!(addresses(&world.late()), [(1, 300)]);
}

#[test]
fn aliases_that_turn_round_are_no_answer() {
    use domain::rdata::Cname;
    for (targets, want) in [
        (&["x.com"][..], Rcode::SERVFAIL),
        (&["a.com", "b.com", "a.com"], Rcode::SERVFAIL),
        (&["a.com", "b.com", "c.com"], Rcode::NOERROR),
    ] {
        let mut world = World::new(&["10.0.0.1"]);
        world.query(&ask("x.com", Rtype::A));
        world.reply(Rcode::NOERROR, |records| {
            let mut from = owner(records);
            for target in targets {
                let target: Name<Vec<u8>> = target.parse().unwrap();
                records.push((from, Class::IN, Ttl::from_secs(9), Cname::new(target.clone()))).unwrap();
                from = target;
            }
        });
        assert_eq!(rcode(&world.late()), want, "{targets:?}");
    }
}

fn mutated(good: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = good.len();
    let changes = prop::collection::vec((0..length, any::<u8>()), 0..6);
    (changes, 0..=length).prop_map(move |(changes, end)| {
        let mut message = good.clone();
        for (at, byte) in changes {
            message[at] = byte;
        }
        message.truncate(end.max(length / 2));
        message
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_query_is_answered_well_formed_or_not_at_all(
        message in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..600),
            mutated(ask("4.42.168.192.in-addr.arpa", Rtype::PTR).message(7)),
            mutated(ask("xps.lan", Rtype::A).message(7)),
            mutated(ask("www.example.com", Rtype::A).message(7)),
        ],
        tcp: bool,
    ) {
        let mut world = World::new(&["10.0.0.1"]);
        world.configure(&["10.0.0.1"], &[("xps", 4, None)]);
        world.fill("www.example.com", 300);
        let client = if tcp { ask("", Rtype::A).tcp().client } else { ask("", Rtype::A).client };
        let mut out = Vec::new();
        if world.engine.query(world.now, client, &message, &mut out) {
            let answer = Message::from_octets(out).unwrap();
            prop_assert!(answer.header().qr());
            prop_assert_eq!(answer.header().id().to_be_bytes(), [message[0], message[1]]);
            prop_assert!(tcp || answer.as_slice().len() <= 1_232);
            for section in [answer.answer(), answer.authority(), answer.additional()] {
                prop_assert!(section.unwrap().all(|record| record.is_ok()));
            }
        }
        world.collect();
        world.seconds(5);
    }

    #[test]
    fn any_reply_leads_to_a_well_formed_answer(
        changes in prop::collection::vec((12..200usize, any::<u8>()), 0..8),
        counts in prop::option::of([0..3u8, 0..3u8, 0..3u8]),
        tail in prop::collection::vec(any::<u8>(), 0..40),
        end in 0..300usize,
        size in prop::option::of(any::<u16>()),
    ) {
        let mut world = World::new(&["10.0.0.1", "10.0.0.2"]);
        world.query(&ask("www.example.com", Rtype::A).edns(size));
        let mut message = answer_to(&world.last().message, Rcode::NOERROR, |records| (0..4).for_each(|last| a(records, 300, last)));
        for (at, byte) in changes {
            // The question stays, else the reply is foreign.
            if let Some(place) = message.get_mut(at).filter(|_| at >= 33) {
                *place = byte;
            }
        }
        if let Some([answers, authorities, additional]) = counts {
            (message[7], message[9], message[11]) = (answers, authorities, additional);
        }
        message.truncate(end.max(33));
        message.extend(tail);
        world.raw(0, &message);
        world.pass(Duration::from_millis(100));
        if world.answers.is_empty() {
            world.seconds(5);
        }
        let answer = world.late();
        prop_assert!(answer.as_slice().len() <= 1_232);
        for section in [answer.answer(), answer.authority(), answer.additional()] {
            prop_assert!(section.unwrap().all(|record| record.is_ok()));
        }
        // From the cache, and aged.
        world.seconds(3);
        if let Some(answer) = world.query(&ask("www.example.com", Rtype::A)) {
            for section in [answer.answer(), answer.authority(), answer.additional()] {
                prop_assert!(section.unwrap().all(|record| record.is_ok()));
            }
        }
    }
}
