//! A scenario per status code, and what becomes of the prefix in use meanwhile.
use super::*;

const UNSPEC_FAIL: u16 = 1;
const NO_ADDRS_AVAIL: u16 = 2;
const NO_BINDING: u16 = 3;
const NOT_ON_LINK: u16 = 4;
const USE_MULTICAST: u16 = 5;
const NO_PREFIX_AVAIL: u16 = 6;

/// From here on a willing server answers everything with B; how long it takes to be bound again, in seconds.
fn until_bound(scene: &mut Scene) -> u64 {
    for second in 0..120 {
        if scene.state() == State::Bound {
            return second;
        }
        scene.pass(1);
        let kind = scene.last().kind;
        let fresh = scene.sent.last().is_some_and(|(at, _)| scene.now - *at <= Duration::from_secs(1));
        match kind {
            Kind::Solicit if fresh => {
                scene.answer(Kind::Advertise, &SERVER, &[pd(B, TIMES), (code::PREFERENCE, vec![255])])
            }
            _ => {}
        }
        if scene.last().kind == Kind::Request {
            scene.answer(Kind::Reply, &SERVER, &[pd(B, TIMES)]);
        }
    }
    panic!("never bound again: {:?}", scene.said)
}

#[test]
fn whatever_a_renewal_is_answered_with_the_client_is_bound_again_soon() {
    for (what, options) in [
        ("NoPrefixAvail in the association", vec![no_pd(NO_PREFIX_AVAIL), na(TIMES)]),
        ("NoBinding in the association", vec![no_pd(NO_BINDING), na(TIMES)]),
        ("NoBinding of the message", vec![status(NO_BINDING)]),
        ("NotOnLink of the message", vec![status(NOT_ON_LINK)]),
        ("an empty association", vec![dhcpv6::association(code::IA_PD, 1, (0, 0), &[]), na(TIMES)]),
        ("an unknown status", vec![status(4_711)]),
    ] {
        let mut scene = Scene::bound();
        scene.pass(1_000);
        assert_eq!(scene.state(), State::Renewing);
        scene.answer(Kind::Reply, &SERVER, &options);
        assert_eq!(scene.prefixes(), [A], "{what}: in use until its valid lifetime ends");
        let seconds = until_bound(&mut scene);
        assert!(seconds <= 30, "{what}: {seconds} s");
        assert!(scene.prefixes().contains(&B.to_owned()), "{what}");
        assert!(!scene.complaints.is_empty(), "{what}: nobody was told");
    }
}

#[test]
fn unspec_fail_and_use_multicast_change_nothing_but_the_log() {
    for number in [UNSPEC_FAIL, USE_MULTICAST] {
        let mut scene = Scene::bound();
        scene.pass(1_000);
        let before = scene.sent.len();
        scene.answer(Kind::Reply, &SERVER, &[status(number)]);
        assert_eq!((scene.state(), scene.sent.len(), scene.prefixes()), (State::Renewing, before, vec![A.to_owned()]));
        scene.pass(12);
        assert_eq!(scene.sent.len(), before + 1, "asked again in its time");
        scene.answer(Kind::Reply, &SERVER, &[pd(A, TIMES), na(TIMES)]);
        assert_eq!(scene.state(), State::Bound);

        let mut scene = Scene::new();
        scene.pass(1);
        scene.answer(Kind::Advertise, &SERVER, &[pd(A, TIMES), (code::PREFERENCE, vec![255])]);
        scene.answer(Kind::Reply, &SERVER, &[status(number)]);
        assert_eq!(scene.state(), State::Requesting);
        scene.pass(2);
        scene.answer(Kind::Reply, &SERVER, &[pd(A, TIMES)]);
        assert_eq!(scene.state(), State::Bound);
    }
}

#[test]
fn an_offer_of_nothing_is_no_offer() {
    for options in [
        vec![no_pd(NO_PREFIX_AVAIL), dhcpv6::association(code::IA_NA, IAID, (0, 0), &[status(NO_ADDRS_AVAIL)])],
        vec![status(NO_ADDRS_AVAIL)],
        vec![status(NO_PREFIX_AVAIL), pd(A, TIMES)],
        vec![],
    ] {
        let mut scene = Scene::new();
        scene.pass(10);
        scene.answer(Kind::Advertise, &SERVER, &options);
        assert_eq!((scene.state(), scene.complaints.len()), (State::Soliciting, 1));
        scene.pass(20);
        scene.answer(Kind::Advertise, &SERVER, &[pd(A, TIMES)]);
        assert_eq!(scene.state(), State::Requesting);
    }
}

#[test]
fn a_request_that_is_refused_is_soon_another_search() {
    for options in [
        vec![status(NO_PREFIX_AVAIL)],
        vec![status(NOT_ON_LINK)],
        vec![no_pd(NO_PREFIX_AVAIL)],
        vec![no_pd(NO_BINDING)],
        vec![],
    ] {
        let mut scene = Scene::new();
        scene.pass(1);
        scene.answer(Kind::Advertise, &SERVER, &[pd(A, TIMES), (code::PREFERENCE, vec![255])]);
        scene.answer(Kind::Reply, &SERVER, &options);
        assert_eq!(scene.state(), State::Soliciting, "{options:?}");
        assert!(until_bound(&mut scene) <= 30);
    }
}

#[test]
fn a_server_that_always_says_no_is_asked_ever_less() {
    let mut scene = Scene::bound();
    scene.pass(1_000);
    let start = scene.sent.len();
    let mut seen = start;
    for _ in 0..300 {
        // Whatever is sent is refused at once.
        while scene.sent.len() > seen {
            seen = scene.sent.len();
            match scene.last().kind {
                Kind::Solicit => scene.answer(Kind::Advertise, &SERVER, &[pd(A, TIMES), (code::PREFERENCE, vec![255])]),
                _ => scene.answer(Kind::Reply, &SERVER, &[no_pd(NO_BINDING)]),
            }
        }
        scene.pass(1);
    }
    let sent = scene.sent.len() - start;
    assert!((10..60).contains(&sent), "{sent} messages in five minutes");
    assert_eq!(scene.prefixes(), [A], "and the prefix is still in use");
}

#[test]
fn a_prefix_taken_back_by_the_server_is_gone_at_once() {
    let mut scene = Scene::bound();
    scene.pass(1_000);
    let both = [dhcpv6::prefix(net(A), (0, 0)), dhcpv6::prefix(net(B), (2_000, 3_000))];
    scene.answer(Kind::Reply, &SERVER, &[dhcpv6::association(code::IA_PD, 1, (1_000, 1_600), &both), na(TIMES)]);
    assert_eq!((scene.state(), scene.prefixes()), (State::Bound, vec![B.to_owned()]));
    // All of it, and nothing instead.
    scene.pass(1_000);
    scene.answer(Kind::Reply, &SERVER, &[pd(B, [0, 0, 0, 0]), na(TIMES)]);
    assert!(scene.prefixes().is_empty());
    assert!(until_bound(&mut scene) <= 30);
}

#[test]
fn an_answer_that_forgets_the_prefix_does_not_end_the_renewal() {
    let mut scene = Scene::bound();
    scene.pass(1_000);
    for _ in 0..5 {
        scene.answer(Kind::Reply, &SERVER, &[na(TIMES)]);
    }
    assert_eq!((scene.state(), scene.prefixes()), (State::Renewing, vec![A.to_owned()]));
    scene.pass(12);
    assert_eq!(scene.last().kind, Kind::Renew);
    scene.answer(Kind::Reply, &SERVER, &[pd(A, TIMES), na(TIMES)]);
    assert_eq!(scene.state(), State::Bound);
}

#[test]
fn sol_max_rt_and_inf_max_rt_are_obeyed_within_their_bounds() {
    for (said, longest) in [(60u32, 66), (59, 3_960), (86_401, 3_960), (7_200, 7_920)] {
        let mut scene = Scene::new();
        scene.pass(1);
        scene.answer(Kind::Advertise, &SERVER, &[(code::SOL_MAX_RT, said.to_be_bytes().to_vec()), no_pd(6)]);
        scene.pass(100_000);
        let waits: Vec<u64> = scene.sent.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs()).collect();
        let most = *waits.iter().max().unwrap();
        assert!(most <= longest && most * 10 >= longest * 8, "{said}: {most}");
    }
}
