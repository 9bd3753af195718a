//! Servers that lie, and bytes that are no message: the RFC's rule, a line for the log, and never a panic.
use super::*;
use proptest::prelude::*;

fn offer(options: &[Option6]) -> Answer {
    let identities = [(code::CLIENT_ID, DUID.to_vec()), (code::SERVER_ID, SERVER.to_vec())];
    Answer::parse(&dhcpv6::emit(Kind::Reply, 1, &[&identities, options].concat())).unwrap()
}

fn items(answer: &Answer) -> Vec<String> {
    answer.ias.iter().flat_map(|ia| &ia.items).map(|item| item.net.to_string()).collect()
}

fn prefixes(all: &[(&str, u32, u32)]) -> Option6 {
    let inner: Vec<Option6> =
        all.iter().map(|(text, preferred, valid)| dhcpv6::prefix(net(text), (*preferred, *valid))).collect();
    dhcpv6::association(code::IA_PD, 1, (0, 0), &inner)
}

#[test]
fn what_cannot_be_used_is_left_out_and_named() {
    for (options, left, word) in [
        (vec![prefixes(&[("2001:db8:a::/65", 1, 2), (B, 1, 2)])], vec![B], "longer than /64"),
        (vec![prefixes(&[(A, 3, 2), (B, 1, 2)])], vec![B], "preferred lifetime 3"),
        (vec![prefixes(&[(A, 1, 2), ("2001:db8:a:80::/60", 1, 2)])], vec![A], "overlaps"),
        (vec![prefixes(&[("2001:db8:a:80::/60", 1, 2), (A, 1, 2)])], vec!["2001:db8:a:80::/60"], "overlaps"),
        (vec![prefixes(&[("fe80::/64", 1, 2), (A, 1, 2)])], vec![A], "cannot be used"),
        (vec![prefixes(&[("::/0", 1, 2), (A, 1, 2)])], vec![A], "cannot be used"),
        (vec![pd(A, [200, 100, 300, 400])], vec![], "T1 200 is greater than T2 100"),
        (vec![pd(A, TIMES), pd(B, TIMES)], vec![A], "for the second time"),
        (vec![(code::IA_PD, vec![0; 11]), pd(A, TIMES)], vec![A], "cut short"),
    ] {
        let answer = offer(&options);
        assert_eq!(items(&answer), left, "{options:?}");
        assert!(answer.ignored.iter().any(|line| line.contains(word)), "{word}: {:?}", answer.ignored);
    }
    let many: Vec<Option6> = (0..100).map(|number| dhcpv6::association(code::IA_PD, number, (0, 0), &[])).collect();
    assert!(offer(&many).ias.len() <= 16);
}

#[test]
fn host_bits_are_cut_off_and_of_options_that_come_twice_the_first_counts() {
    let answer =
        offer(&[prefixes(&[("2001:db8:a::1/56", 1, 2)]), (code::PREFERENCE, vec![3]), (code::PREFERENCE, vec![9])]);
    assert_eq!((items(&answer), answer.preference), (vec![A.to_owned()], 3));
    let bytes = [&[7, 0, 0, 1][..], &[0, 1, 0, 4, 0, 3, 0, 1, 0, 1, 0, 4, 9, 9, 9, 9, 0, 2, 0, 3, 0, 3, 1]].concat();
    assert_eq!(Answer::parse(&bytes).unwrap().client, [0, 3, 0, 1]);
}

#[test]
fn times_left_to_the_client_and_times_without_end() {
    for (said, t1) in [
        ([0, 0, 2_000, 3_000], Some(1_000)),
        ([0, 0, u32::MAX, u32::MAX], None),
        ([u32::MAX, u32::MAX, 2_000, 3_000], Some(1_000)),
        ([5_000, 6_000, 2_000, 3_000], Some(1_000)),
        ([0, 0, 0, 3_000], Some(1_500)),
        ([0, 0, 1, 1], Some(1)),
    ] {
        let mut scene = Scene::new();
        scene.event(Event::Configured(identity(), Wishes { request_addresses: false, ..Wishes::default() }));
        scene.pass(1);
        scene.answer(Kind::Reply, &SERVER, &[pd(A, said), (code::RAPID_COMMIT, vec![])]);
        let got = scene.engine.bindings().times().0;
        let want = t1.map_or(Instant::NEVER, |seconds| scene.now + Duration::from_secs(seconds));
        assert_eq!(got, want, "{said:?}");
        if t1.is_none() {
            scene.pass(400_000_000);
            assert_eq!((scene.state(), scene.prefixes()), (State::Bound, vec![A.to_owned()]), "for ever");
        }
    }
}

#[test]
fn what_is_not_for_us_is_dropped() {
    let mut scene = Scene::new();
    scene.pass(1);
    let xid = scene.last().xid;
    let lease = [pd(A, TIMES), (code::RAPID_COMMIT, vec![])];
    let with = |kind, xid, client: &[u8], server: &[u8]| {
        dhcpv6::emit(
            kind,
            xid,
            &[&[(code::CLIENT_ID, client.to_vec()), (code::SERVER_ID, server.to_vec())][..], &lease].concat(),
        )
    };
    for bytes in [
        with(Kind::Reply, xid ^ 1, &DUID, &SERVER),
        with(Kind::Reply, xid, &OTHER, &SERVER),
        with(Kind::Reply, xid, &DUID, &[]),
        with(Kind::Reconfigure, xid, &DUID, &SERVER),
        with(Kind::Solicit, xid, &DUID, &SERVER),
        dhcpv6::emit(Kind::Reply, xid, &[(code::CLIENT_ID, DUID.to_vec()), lease[0].clone(), lease[1].clone()]),
    ] {
        scene.receive(&bytes);
        assert_eq!(scene.state(), State::Soliciting, "{bytes:?}");
    }
    scene.receive(&with(Kind::Reply, xid, &DUID, &SERVER));
    assert_eq!(scene.state(), State::Bound, "the control");
}

/// Real servers' messages.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/dhcpv6");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn real_servers_are_understood_and_what_is_damaged_is_survived() {
    let corpus = corpus();
    assert!(corpus.len() >= 6, "{}", corpus.len());
    for (name, bytes) in corpus {
        let answer = Answer::parse(&bytes).unwrap_or_else(|| panic!("{name} is not understood"));
        assert!(answer.offers(For::Prefix) || name.contains("nothing"), "{name}: {answer:?}");
        assert!(answer.ignored.is_empty(), "{name}: {:?}", answer.ignored);
        let mut scene = Scene::bound();
        scene.event(Event::Configured(Identity { duid: answer.client.clone(), iaid: IAID }, Wishes::default()));
        scene.pass(1);
        for at in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            damaged[1..4].copy_from_slice(&scene.last().xid.to_be_bytes()[1..]);
            scene.receive(&damaged);
            scene.receive(&damaged[..at / 8]);
            scene.pass(1);
        }
    }
}

proptest! {
    #[test]
    fn any_script_neither_spins_nor_floods_nor_ends(
        steps in proptest::collection::vec((0u8..12, any::<[u32; 4]>(), 0u64..4_000), 0..40)
    ) {
        let mut scene = Scene::new();
        let start = scene.now;
        scene.pass(1);
        for (what, times, seconds) in steps {
            let small = times.map(|time| time % 5_000);
            match what {
                0 => scene.event(Event::Link(seconds % 2 == 0)),
                1 => scene.event(Event::Link(true)),
                2 => scene.answer(Kind::Advertise, &SERVER, &[pd(A, small), na(times)]),
                3 => scene.answer(Kind::Advertise, &OTHER, &[pd(B, times), (code::PREFERENCE, vec![255])]),
                4 => scene.answer(Kind::Reply, &SERVER, &[pd(A, small), na(small), (code::RAPID_COMMIT, vec![])]),
                5 => scene.answer(Kind::Reply, &OTHER, &[pd(B, times)]),
                6 => scene.answer(Kind::Reply, &SERVER, &[no_pd(times[0] as u16 % 8)]),
                7 => scene.answer(Kind::Reply, &SERVER, &[status(times[0] as u16 % 8)]),
                8 => scene.answer(Kind::Reply, &SERVER, &[pd(A, [0; 4]), na([0; 4])]),
                9 if seconds < 100 => scene.event(Event::Release),
                10 => scene.event(Event::Advertised(Advertised { other_config: true, router: seconds % 2 == 0, managed: false })),
                _ => {}
            }
            if scene.sent.is_empty() {
                scene.pass(1);
            }
            scene.pass(seconds);
        }
        let passed = (scene.now - start).as_secs() as usize;
        prop_assert!(scene.sent.len() <= passed + 120, "{} messages in {passed} s", scene.sent.len());
        // There is always a way on.
        scene.event(Event::Link(false));
        scene.event(Event::Link(true));
        scene.sent.clear();
        scene.pass(2);
        prop_assert!(!scene.sent.is_empty());
    }

    #[test]
    fn any_bytes_are_met_without_panic(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut scene = Scene::bound();
        scene.pass(1_000);
        let xid = scene.last().xid;
        let head = dhcpv6::emit(Kind::Reply, xid, &[(code::CLIENT_ID, DUID.to_vec()), (code::SERVER_ID, SERVER.to_vec())]);
        scene.receive(&[head, tail.clone()].concat());
        scene.receive(&tail);
        scene.pass(10);
    }
}
