//! DNSSEC: what is asked, what is waited for, and what clients hear.
use super::signed::{TIMES, Tree};
use super::*;
use crate::dnsd::engine::validate::Rules;
use crate::dnsd::engine::validate::keys::Ds;
use domain::base::opt::ExtendedError;

fn rules(tree: &Tree, wall: Option<u32>) -> Settings {
    let anchors = vec![Ds::of(&tree.ds(&[0])).unwrap()];
    let exempt = vec![name::from_text("corp.com").unwrap()];
    let dnssec = Some(Rules { anchors, exempt, wall });
    Settings { groups: vec![group("", &["10.0.0.1"])], dnssec, ..Settings::default() }
}

fn world(tree: &Tree) -> World {
    let mut world = World::new(&["10.0.0.1"]);
    world.settings(rules(tree, Some(TIMES.0 + 1)));
    world
}

/// Answers whatever is asked until nothing more is; the questions in their order.
fn pump(world: &mut World, tree: &Tree) -> Vec<String> {
    pump_with(world, |query| tree.answer(query))
}

fn pump_with(world: &mut World, mut answer: impl FnMut(&[u8]) -> Vec<u8>) -> Vec<String> {
    let mut questions = Vec::new();
    while !world.asked.is_empty() {
        let asked = world.asked.remove(0);
        let question = asked.message.sole_question().unwrap();
        questions.push(format!("{} {}", question.qname(), question.qtype()).to_lowercase());
        // None for one that has not understood before.
        let dnssec_ok = asked.message.opt().is_none_or(|opt| opt.dnssec_ok());
        assert!(asked.message.header().cd() && dnssec_ok, "proofs are wanted");
        let reply = answer(asked.message.as_slice());
        world.engine.reply(world.now, asked.attempt, &reply);
        world.collect();
    }
    questions
}

fn said(answer: &Answer) -> (Rcode, bool, Option<u16>) {
    let error = answer.opt().and_then(|opt| opt.opt().iter::<ExtendedError<_>>().flatten().next());
    (rcode(answer), answer.header().ad(), error.map(|error| error.code().to_int()))
}

fn dnssec(name: &str, rtype: Rtype) -> Ask {
    Ask { dnssec_ok: true, ..ask(name, rtype) }
}

const SECURE: (Rcode, bool, Option<u16>) = (Rcode::NOERROR, true, None);
const PLAIN: (Rcode, bool, Option<u16>) = (Rcode::NOERROR, false, None);

#[test]
fn keys_are_asked_for_from_the_root_down_and_once() {
    let tree = Tree::new();
    let mut world = world(&tree);
    assert!(world.query(&dnssec("www.good.com", Rtype::A)).is_none());
    let questions = ["www.good.com a", " dnskey", "com ds", "com dnskey", "good.com ds", "good.com dnskey"];
    assert_eq!(pump(&mut world, &tree), questions);
    let answer = world.late();
    assert_eq!((said(&answer), records(&answer)[0].len()), (SECURE, 2));
    assert!(world.query(&ask("other.good.com", Rtype::A)).is_none());
    assert_eq!(pump(&mut world, &tree), ["other.good.com a"]);
    let answer = world.late();
    assert_eq!((said(&answer), addresses(&answer)), (PLAIN, vec![(7, 300)]));
    assert_eq!(records(&answer)[0].len(), 1, "no signature for who wants none");
    assert_eq!(world.query(&dnssec("www.good.com", Rtype::A)).map(|answer| said(&answer)), Some(SECURE));
    for (name, rtype, code) in
        [("nobody.good.com", Rtype::A, Rcode::NXDOMAIN), ("www.good.com", Rtype::TXT, Rcode::NOERROR)]
    {
        assert!(world.query(&dnssec(name, rtype)).is_none());
        assert_eq!(pump(&mut world, &tree).len(), 1);
        assert_eq!(said(&world.late()), (code, true, None));
    }
    // What need not be signed.
    assert!(world.query(&dnssec("www.plain.com", Rtype::A)).is_none());
    assert_eq!(pump(&mut world, &tree), ["www.plain.com a", "plain.com ds"]);
    assert_eq!(said(&world.late()), PLAIN);
    let counters = world.engine.counters();
    assert_eq!((counters.secure, counters.insecure, counters.bogus), (4, 1, 0));
}

#[test]
fn who_asks_while_it_is_judged_waits_for_the_same() {
    let tree = Tree::new();
    let mut world = world(&tree);
    assert!(world.query(&dnssec("www.good.com", Rtype::A)).is_none());
    let asked = world.asked.remove(0);
    world.raw_to(&asked, &tree.answer(asked.message.as_slice()));
    assert!(world.query(&dnssec("www.good.com", Rtype::A).from(8, 1)).is_none());
    let before = world.asked.len();
    assert!(world.query(&dnssec("x.good.com", Rtype::A)).is_none());
    assert_eq!((before, world.asked.len()), (1, 2), "the root's keys, and the other question");
    pump(&mut world, &tree);
    assert_eq!(world.answers.len(), 3);
    assert!(world.answers.iter().all(|(_, answer)| said(answer) == SECURE));
}

#[test]
fn a_bogus_answer_is_servfail_and_remembered_for_half_a_minute() {
    let mut tree = Tree::new();
    let mut world = world(&tree);
    tree.spoilt = true;
    let bogus = (Rcode::SERVFAIL, false, Some(6));
    assert!(world.query(&dnssec("www.good.com", Rtype::A)).is_none());
    pump(&mut world, &tree);
    assert_eq!(said(&world.late()), bogus);
    assert_eq!(world.engine.take_bogus().map(|(name, _)| name), name::from_text("www.good.com"));
    world.seconds(29);
    assert_eq!(world.query(&dnssec("www.good.com", Rtype::A)).map(|answer| said(&answer)), Some(bogus));
    world.seconds(2);
    tree.spoilt = false;
    assert!(world.query(&dnssec("www.good.com", Rtype::A)).is_none());
    assert_eq!(pump(&mut world, &tree), ["www.good.com a"]);
    assert_eq!(said(&world.late()), SECURE);
    // Asked again before it runs out, and bogus then: what was good stays good.
    tree.spoilt = true;
    for _ in 0..4 {
        assert_eq!(world.query(&dnssec("www.good.com", Rtype::A)).map(|answer| said(&answer)), Some(SECURE));
    }
    world.seconds(280);
    assert_eq!(world.query(&dnssec("www.good.com", Rtype::A)).map(|answer| said(&answer)), Some(SECURE));
    assert_eq!(pump(&mut world, &tree)[0], "www.good.com a");
    assert_eq!(world.engine.counters().bogus, 2);
    assert_eq!(world.query(&dnssec("www.good.com", Rtype::A)).map(|answer| said(&answer)), Some(SECURE));
}

#[test]
fn a_bogus_answer_is_asked_of_another_before_it_is_servfail() {
    let tree = Tree::new();
    // One leaves out or spoils all that proves something.
    let mut spoilt = Tree::new();
    spoilt.spoilt = true;
    let mut world = world(&tree);
    let servers = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
    let settings = Settings { groups: vec![group("", &servers)], ..rules(&tree, Some(TIMES.0 + 1)) };
    world.settings(settings);
    let mut ask = |name: &str, bad: &[&str]| {
        assert!(world.query(&dnssec(name, Rtype::A)).is_none());
        let mut asked = Vec::new();
        while !world.asked.is_empty() {
            // The bad ones are the fastest, whoever else is asked beside them.
            let at = world.asked.iter().position(|one| bad.contains(&one.to.address.ip().to_string().as_str()));
            let one = world.asked.remove(at.unwrap_or_default());
            asked.push(one.to.address.ip().to_string());
            let tree = if at.is_some() { &spoilt } else { &tree };
            let reply = tree.answer(one.message.as_slice());
            world.engine.reply(world.now, one.attempt, &reply);
            world.collect();
        }
        let answer = said(&world.late());
        let counters = world.engine.counters();
        (answer, (counters.secure, counters.bogus, counters.doubted), asked)
    };
    let (answer, counted, asked) = ask("www.good.com", &["10.0.0.1"]);
    assert_eq!((answer, counted), (SECURE, (1, 0, 1)), "{asked:?}");
    // Two of three: as often as is allowed.
    let (answer, counted, asked) = ask("x.good.com", &["10.0.0.1", "10.0.0.2"]);
    assert!(answer == SECURE && counted.1 == 0, "{counted:?} {asked:?}");
    // All: it is bogus, after a bounded number of questions.
    let (answer, counted, asked) = ask("y.good.com", &servers);
    assert_eq!((answer, counted.1), ((Rcode::SERVFAIL, false, Some(6)), 1), "{counted:?}");
    assert!(asked.len() <= 12, "{asked:?}");
}

#[test]
fn times_count_once_the_clock_is_right() {
    let tree = Tree::new();
    let mut world = world(&tree);
    let mut asked = |wall: Option<u32>| {
        world.settings(rules(&tree, wall));
        assert!(world.query(&dnssec("www.good.com", Rtype::A)).is_none(), "{wall:?} was judged by other rules");
        pump(&mut world, &tree);
        let answer = world.late();
        world.settings(Settings { dnssec: None, ..rules(&tree, None) });
        (said(&answer), addresses(&answer).first().map(|(_, ttl)| *ttl))
    };
    assert_eq!(asked(None), (SECURE, Some(300)));
    assert_eq!(asked(Some(TIMES.0)), (SECURE, Some(300)));
    assert_eq!(asked(Some(TIMES.1 - 100)), (SECURE, Some(100)), "no longer than the signature");
    assert_eq!(asked(Some(TIMES.1 + 7_200)), ((Rcode::SERVFAIL, false, Some(7)), None));
    assert_eq!(asked(Some(TIMES.0 - 7_200)), ((Rcode::SERVFAIL, false, Some(8)), None));
}

#[test]
fn what_is_being_judged_when_the_clock_becomes_right_is_judged_again() {
    let tree = Tree::new();
    let mut world = World::new(&["10.0.0.1"]);
    world.settings(rules(&tree, None));
    assert!(world.query(&dnssec("www.good.com", Rtype::A)).is_none());
    let asked = world.asked.remove(0);
    world.raw_to(&asked, &tree.answer(asked.message.as_slice()));
    world.settings(rules(&tree, Some(TIMES.1 + 7_200)));
    pump(&mut world, &tree);
    assert_eq!(said(&world.late()), (Rcode::SERVFAIL, false, Some(7)));
    assert_eq!(world.engine.forward().in_flight(), 0);
}

#[test]
fn a_hit_of_what_was_proven_costs_hardly_more_than_another() {
    let tree = Tree::new();
    // Nanoseconds that this thread has had a processor.
    let spent = || -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split_whitespace().next().unwrap().parse().unwrap()
    };
    let cost = |settings: Settings| {
        let mut world = World::new(&["10.0.0.1"]);
        let judged = settings.dnssec.is_some();
        world.settings(settings);
        let question = ask("www.good.com", Rtype::A);
        assert!(world.query(&question).is_none());
        match judged {
            true => drop(pump(&mut world, &tree)),
            false => world.reply(Rcode::NOERROR, |records| a(records, 300, 7)),
        }
        let (message, mut out, mut hits) = (question.message(7), Vec::with_capacity(512), 0);
        let rounds = (0..9).map(|_| {
            let before = spent();
            for _ in 0..20_000 {
                hits += u32::from(world.engine.query(world.now, question.client, &message, &mut out));
            }
            (spent() - before) / 20_000
        });
        let least = rounds.min().unwrap();
        assert_eq!(hits, 180_000);
        least
    };
    let mut many = rules(&tree, Some(TIMES.0 + 1));
    let exempt = (0..100).map(|number| name::from_text(&format!("n{number}.example.org")).unwrap());
    many.dnssec.as_mut().unwrap().exempt = exempt.collect();
    let (plain, proven) = (cost(Settings { dnssec: None, ..rules(&tree, None) }), cost(many));
    println!("a hit: {plain} ns of CPU, one that was proven: {proven} ns");
    assert!(proven <= plain + 500, "{proven} ns against {plain} ns");
}

#[test]
fn delegations_without_end_are_followed_for_a_while() {
    let mut tree = Tree::new();
    let mut world = world(&tree);
    tree.zones = None;
    let deep = "a.".repeat(100);
    assert!(world.query(&dnssec(&deep, Rtype::A)).is_none());
    assert_eq!(pump(&mut world, &tree).len(), 33, "the question and 32 of our own");
    assert_eq!(said(&world.late()), (Rcode::SERVFAIL, false, Some(5)));
}

#[test]
fn silence_on_the_way_costs_four_seconds_and_not_for_ever() {
    let tree = Tree::new();
    let mut world = world(&tree);
    assert!(world.query(&dnssec("www.good.com", Rtype::A)).is_none());
    let asked = world.asked.remove(0);
    world.raw_to(&asked, &tree.answer(asked.message.as_slice()));
    world.seconds(4);
    assert_eq!(said(&world.late()), (Rcode::SERVFAIL, false, Some(22)));
    world.asked.clear();
    world.seconds(5);
    assert_eq!(world.engine.forward().in_flight(), 0);
    world.asked.clear();
    assert!(world.query(&dnssec("www.good.com", Rtype::A)).is_none());
    pump(&mut world, &tree);
    assert_eq!(said(&world.late()), SECURE);
}

#[test]
fn when_the_wan_changes_it_is_asked_and_judged_again() {
    let tree = Tree::new();
    let mut world = world(&tree);
    assert!(world.query(&dnssec("www.good.com", Rtype::A)).is_none());
    let asked = world.asked.remove(0);
    world.raw_to(&asked, &tree.answer(asked.message.as_slice()));
    world.asked.clear();
    world.engine.rewire(world.now);
    world.collect();
    assert_eq!(pump(&mut world, &tree).len(), 6);
    assert_eq!(said(&world.late()), SECURE);
    assert_eq!(world.engine.forward().in_flight(), 0);
}

#[test]
fn an_upstream_s_word_is_not_believed() {
    let tree = Tree::new();
    let says_so = |query: &[u8]| {
        let mut reply = tree.answer(query);
        reply[3] |= 0x20;
        reply
    };
    // Neither of what is not signed, nor where nothing is judged.
    let mut world = world(&tree);
    assert!(world.query(&dnssec("www.plain.com", Rtype::A)).is_none());
    pump_with(&mut world, says_so);
    assert_eq!(said(&world.late()), PLAIN);
    assert!(world.query(&dnssec("www.corp.com", Rtype::A)).is_none());
    let asked = world.asked.remove(0);
    assert!(!asked.message.header().cd(), "exempt");
    world.raw_to(&asked, &says_so(asked.message.as_slice()));
    assert_eq!(said(&world.late()), PLAIN);
}

#[test]
fn a_hit_of_what_was_proven_allocates_nothing() {
    let tree = Tree::new();
    let mut world = world(&tree);
    let question = dnssec("www.good.com", Rtype::A);
    assert!(world.query(&question).is_none());
    pump(&mut world, &tree);
    world.late();
    let (message, mut out, mut hits) = (question.message(7), Vec::with_capacity(512), 0);
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            hits += u32::from(world.engine.query(world.now, question.client, &message, &mut out));
        }
    });
    assert_eq!((hits, counted.count_total), (100, 0));
    assert!(read(out, 7).header().ad());
}

#[test]
fn no_damage_makes_a_lie_secure() {
    let tree = Tree::new();
    let mut seed = 88_172_645_463_325_252u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let (mut secure, mut refused) = (0, 0);
    for round in 0..4_000 {
        let mut world = world(&tree);
        let name = ["www.good.com", "nobody.good.com", "www.plain.com"][round % 3];
        assert!(world.query(&dnssec(name, Rtype::A)).is_none());
        let mut damage = |query: &[u8]| {
            let mut reply = tree.answer(query);
            if random(3) == 0 {
                let question = 12 + name::measure(&query[12..]).unwrap().0 + 4;
                for _ in 0..=random(2) {
                    match random(4) {
                        0 => reply.truncate(question + random(reply.len() - question + 1)),
                        1 if reply.len() > question => {
                            let from = question + random(reply.len() - question);
                            reply.extend_from_within(from..);
                        }
                        _ if reply.len() > question => {
                            let at = question + random(reply.len() - question);
                            reply[at] ^= 1 << random(8);
                        }
                        _ => reply[7] ^= 1,
                    }
                }
            }
            reply
        };
        // What is unreadable is a failure of the upstream: SERVFAIL comes by time.
        for _ in 0..8 {
            pump_with(&mut world, &mut damage);
            if !world.answers.is_empty() {
                break;
            }
            world.seconds(1);
        }
        let Some((_, answer)) = world.answers.pop() else { continue };
        let (code, is_secure, _) = said(&answer);
        refused += u32::from(code == Rcode::SERVFAIL);
        if is_secure {
            secure += 1;
            let lasts: Vec<u8> = addresses(&answer).iter().map(|(last, _)| *last).collect();
            assert_eq!(
                (code, lasts),
                if round % 3 == 0 { (Rcode::NOERROR, vec![7]) } else { (Rcode::NXDOMAIN, vec![]) }
            );
            assert!(round % 3 != 2, "what is not signed");
        }
    }
    assert!(secure > 100 && refused > 100, "{secure} secure, {refused} refused");
}
