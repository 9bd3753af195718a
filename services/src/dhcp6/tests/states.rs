//! A scenario per state: what is sent, when, and what ends it.
use super::*;

fn waits(scene: &Scene) -> Vec<u64> {
    scene.sent.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_millis() as u64).collect()
}

#[test]
fn soliciting_goes_on_for_ever_and_says_all_that_it_should() {
    let mut scene = Scene::new();
    scene.pass(1);
    assert!(scene.sent[0].0 - Instant::from_secs(10) <= Duration::from_secs(1), "SOL_MAX_DELAY");
    let message = scene.decoded();
    assert_eq!(message.msg_type(), v6::MessageType::Solicit);
    let codes: Vec<u16> = scene.last().options.iter().map(|(code, _)| code).collect();
    assert_eq!(codes, [code::CLIENT_ID, code::ELAPSED_TIME, code::ORO, code::RAPID_COMMIT, code::IA_NA, code::IA_PD]);
    let requested: Vec<u8> = scene.last().options.first(code::ORO).unwrap().to_vec();
    for wanted in [23u16, 24, 82] {
        assert!(requested.chunks(2).any(|code| code == wanted.to_be_bytes()), "{wanted} is not asked for");
    }
    scene.pass(40_000);
    let all = waits(&scene);
    assert!((1_000..=1_100).contains(&all[0]), "{all:?}");
    assert!(all.windows(2).take(10).all(|pair| (19..=21).contains(&(pair[1] * 10 / pair[0]))), "{all:?}");
    assert!(all[13..].iter().all(|wait| (3_240_000..=3_960_000).contains(wait)), "SOL_MAX_RT: {all:?}");
    let elapsed = scene.last().options.first(code::ELAPSED_TIME).unwrap().to_vec();
    assert_eq!(elapsed, [255, 255], "longer than it can say");
}

#[test]
fn the_best_of_several_offers_is_requested() {
    let mut scene = Scene::new();
    scene.pass(1);
    // Preference counts, but a prefix counts more.
    scene.answer(Kind::Advertise, &OTHER, &[na(TIMES), (code::PREFERENCE, vec![200])]);
    scene.answer(Kind::Advertise, &SERVER, &[pd(A, TIMES), (code::PREFERENCE, vec![5])]);
    scene.answer(Kind::Advertise, &OTHER, &[pd(B, TIMES), (code::PREFERENCE, vec![9])]);
    assert_eq!(scene.state(), State::Soliciting, "every server has as long as the first wait");
    scene.pass(2);
    assert_eq!((scene.state(), scene.last().kind), (State::Requesting, Kind::Request));
    assert_eq!(scene.last().options.first(code::SERVER_ID), Some(&OTHER[..]));
    let Some(v6::DhcpOption::IAPD(ia)) = scene.decoded().opts().get(v6::OptionCode::IAPD).cloned() else { panic!() };
    let Some(v6::DhcpOption::IAPrefix(prefix)) = ia.opts.get(v6::OptionCode::IAPrefix).cloned() else { panic!() };
    assert_eq!((prefix.prefix_ip, prefix.prefix_len), (net(B).network(), 56));
    scene.answer(Kind::Reply, &SERVER, &[pd(A, TIMES)]);
    assert_eq!(scene.state(), State::Requesting, "another server's answer");
    scene.answer(Kind::Reply, &OTHER, &[pd(B, TIMES)]);
    assert_eq!((scene.state(), scene.prefixes()), (State::Bound, vec![B.to_owned()]));
}

#[test]
fn an_offer_of_preference_255_and_a_rapid_commit_are_taken_at_once() {
    let scene = Scene::bound();
    assert_eq!(scene.kinds(), [Kind::Solicit, Kind::Request]);
    assert_eq!(scene.sent[1].0, Instant::from_secs(11), "no timer was waited for");
    let mut rapid = Scene::new();
    rapid.pass(1);
    rapid.answer(Kind::Reply, &SERVER, &[pd(A, TIMES)]);
    assert_eq!(rapid.state(), State::Soliciting, "without the option it is no commit");
    rapid.answer(Kind::Reply, &SERVER, &[pd(A, TIMES), (code::RAPID_COMMIT, vec![])]);
    assert_eq!((rapid.state(), rapid.prefixes()), (State::Bound, vec![A.to_owned()]));
    assert_eq!(rapid.kinds(), [Kind::Solicit]);
}

#[test]
fn an_offer_that_comes_late_is_taken_at_once() {
    let mut scene = Scene::new();
    scene.pass(100);
    scene.answer(Kind::Advertise, &SERVER, &[pd(A, TIMES)]);
    assert_eq!(scene.state(), State::Requesting);
}

#[test]
fn requesting_gives_up_after_ten_and_solicits() {
    let mut scene = Scene::new();
    scene.pass(1);
    scene.answer(Kind::Advertise, &SERVER, &[pd(A, TIMES), (code::PREFERENCE, vec![255])]);
    scene.pass(300);
    let requests = scene.kinds().iter().filter(|kind| **kind == Kind::Request).count();
    assert_eq!((requests, scene.state()), (10, State::Soliciting));
}

#[test]
fn renew_then_rebind_then_solicit_and_nothing_is_lost_before_its_time() {
    let mut scene = Scene::bound();
    scene.sent.clear();
    scene.pass(999);
    assert!(scene.sent.is_empty());
    scene.pass(2);
    assert_eq!((scene.state(), scene.last().kind), (State::Renewing, Kind::Renew));
    assert_eq!(scene.last().options.first(code::SERVER_ID), Some(&SERVER[..]));
    scene.pass(600);
    assert_eq!((scene.state(), scene.last().kind), (State::Rebinding, Kind::Rebind));
    assert_eq!(scene.last().options.first(code::SERVER_ID), None);
    let all = waits(&scene);
    assert!((9_000..=11_000).contains(&all[0]), "REN_TIMEOUT: {all:?}");
    scene.pass(1_390);
    assert_eq!(scene.prefixes(), [A], "valid for 3,000 s");
    scene.pass(20);
    assert!(scene.prefixes().is_empty() && scene.has_said("2001:db8:a::/56 has run out"));
    assert_eq!(scene.state(), State::Soliciting);
    // It stays among what is held, for those who have to take it back; and it returns.
    assert!(scene.engine.bindings().all.iter().any(|binding| binding.items.iter().any(|item| item.value == net(A))));
    scene.pass(5);
    scene.answer(Kind::Advertise, &SERVER, &[pd(A, TIMES)]);
    scene.answer(Kind::Reply, &SERVER, &[pd(A, TIMES)]);
    assert_eq!((scene.state(), scene.prefixes()), (State::Bound, vec![A.to_owned()]));
}

#[test]
fn a_renewal_by_the_server_and_a_rebinding_by_another() {
    let mut scene = Scene::bound();
    scene.pass(1_000);
    scene.answer(Kind::Reply, &SERVER, &[pd(A, TIMES), na(TIMES)]);
    assert_eq!(scene.state(), State::Bound);
    scene.pass(1_700);
    assert_eq!(scene.state(), State::Rebinding);
    scene.answer(Kind::Reply, &OTHER, &[pd(A, TIMES), na(TIMES)]);
    assert_eq!((scene.state(), &scene.engine.bindings().server[..]), (State::Bound, &OTHER[..]));
    scene.pass(1_000);
    assert_eq!(scene.last().options.first(code::SERVER_ID), Some(&OTHER[..]), "its server from now on");
}

#[test]
fn after_a_reboot_with_a_prefix_any_server_is_asked_for_it() {
    let start = Instant::from_secs(10);
    let mut scene = Scene::with(stored(start, &[A], true));
    assert_eq!(scene.prefixes(), [A], "in use from the first second");
    scene.pass(1);
    assert_eq!((scene.state(), scene.last().kind), (State::Rebinding, Kind::Rebind));
    scene.answer(Kind::Reply, &SERVER, &[pd(A, TIMES), na(TIMES)]);
    assert_eq!(scene.state(), State::Bound);

    // Nobody answers: for ten seconds as a CONFIRM, then servers are looked for; the prefix stays in use.
    let mut scene = Scene::with(stored(start, &[A], false));
    scene.pass(12);
    assert_eq!((scene.state(), scene.prefixes()), (State::Soliciting, vec![A.to_owned()]));
    scene.pass(1);
    let ia = scene.last().options.first(code::IA_PD).unwrap().to_vec();
    assert!(ia.len() > 12, "the prefix is named as a wish");
    scene.pass(900);
    assert!(scene.prefixes().is_empty());
}

#[test]
fn after_a_reboot_with_an_address_alone_it_is_confirmed() {
    let address_only = || stored(Instant::from_secs(10), &[], true);
    let mut scene = Scene::with(address_only());
    scene.pass(1);
    assert_eq!((scene.state(), scene.last().kind), (State::Confirming, Kind::Confirm));
    scene.answer(Kind::Reply, &SERVER, &[]);
    assert!(scene.has_said("still fits"));
    assert_eq!(scene.last().kind, Kind::Renew, "and renewed, with the wish for a prefix");
    assert!(scene.last().options.first(code::IA_PD).is_some());

    let mut scene = Scene::with(address_only());
    scene.pass(1);
    scene.answer(Kind::Reply, &SERVER, &[status(4)]);
    assert_eq!(scene.state(), State::Soliciting, "NotOnLink");
    assert!(scene.engine.bindings().all.iter().all(|binding| binding.is_for == For::Prefix));

    let mut scene = Scene::with(address_only());
    scene.pass(12);
    assert_eq!(scene.state(), State::Soliciting, "silence");
}

#[test]
fn a_link_that_comes_back_asks_anew() {
    let mut scene = Scene::bound();
    scene.event(Event::Link(false));
    assert_eq!(scene.state(), State::Off);
    scene.sent.clear();
    scene.pass(50);
    assert!(scene.sent.is_empty());
    scene.event(Event::Link(true));
    scene.pass(1);
    assert_eq!(scene.kinds(), [Kind::Rebind]);
}

#[test]
fn release_is_said_four_times_and_then_there_is_rest() {
    let mut scene = Scene::bound();
    scene.sent.clear();
    scene.event(Event::Release);
    assert!(scene.prefixes().is_empty(), "not ours any more");
    assert_eq!(scene.last().options.first(code::SERVER_ID), Some(&SERVER[..]));
    assert!(scene.last().options.first(code::IA_PD).is_some_and(|ia| ia.len() > 12));
    scene.pass(1_000);
    assert_eq!((scene.kinds(), scene.state()), (vec![Kind::Release; 4], State::Off));
    scene.event(Event::Link(false));
    scene.event(Event::Link(true));
    scene.pass(1);
    assert_eq!(scene.state(), State::Soliciting);
    let mut answered = Scene::bound();
    answered.event(Event::Release);
    answered.answer(Kind::Reply, &SERVER, &[]);
    assert_eq!(answered.state(), State::Off);
}

#[test]
fn information_is_asked_for_where_there_is_nothing_else() {
    let mut scene = Scene::new();
    scene.event(Event::Advertised(Advertised { other_config: true, ..Advertised::default() }));
    scene.pass(4);
    assert!(scene.kinds().contains(&Kind::InformationRequest), "{:?}", scene.kinds());
    let at = scene.kinds().iter().rposition(|kind| *kind == Kind::InformationRequest).unwrap();
    let xid = Message::parse(&scene.sent[at].1).unwrap().xid;
    let dns = "2001:db8::53".parse::<std::net::Ipv6Addr>().unwrap();
    let options = [(1, DUID.to_vec()), (2, SERVER.to_vec()), (code::DNS_SERVERS, dns.octets().to_vec())];
    scene.receive(&dhcpv6::emit(Kind::Reply, xid, &options));
    assert_eq!(scene.engine.bindings().dns, [dns]);
    assert_eq!(scene.state(), State::Soliciting, "and the search goes on");
    scene.sent.clear();
    scene.pass(80_000);
    assert!(!scene.kinds().contains(&Kind::InformationRequest), "not before its refresh time");
    scene.pass(10_000);
    assert!(scene.kinds().contains(&Kind::InformationRequest));
    // Without the flag nobody asks.
    let mut quiet = Scene::new();
    quiet.pass(1_000);
    assert!(!quiet.kinds().contains(&Kind::InformationRequest));
}

#[test]
fn a_provider_that_comes_back_is_asked_at_once() {
    let mut scene = Scene::new();
    scene.pass(20_000);
    scene.sent.clear();
    scene.event(Event::Advertised(Advertised { managed: true, router: true, ..Advertised::default() }));
    scene.pass(3);
    assert!(!scene.sent.is_empty(), "an hour's pause was sat out");
    // But not with every advertisement.
    let count = scene.sent.len();
    for flag in [false, true].repeat(50) {
        scene.event(Event::Advertised(Advertised { router: flag, ..Advertised::default() }));
    }
    assert_eq!(scene.sent.len(), count);
}

#[test]
fn who_is_configured_by_hand_is_not_asked_about() {
    let mut scene = Scene::bound();
    scene.event(Event::Rest(true));
    scene.sent.clear();
    scene.pass(10_000);
    assert!(scene.sent.is_empty() && scene.has_said("resting"));
    scene.event(Event::Rest(false));
    scene.pass(1);
    assert_eq!(scene.state(), State::Soliciting);
}

#[test]
fn several_associations_are_asked_for_and_kept_apart() {
    let mut scene = Scene::new();
    let wishes =
        Wishes { prefix_hints: vec![net("::/56"), net("::/60")], request_addresses: false, ..Wishes::default() };
    scene.event(Event::Configured(identity(), wishes));
    scene.pass(1);
    let ias: Vec<&[u8]> =
        scene.last().options.iter().filter(|(code, _)| *code == code::IA_PD).map(|(_, value)| value).collect();
    assert_eq!(ias.len(), 2);
    assert_eq!((ias[0][24 - 12 + 8 + 4], ias[1][24]), (56, 60), "the wishes: {ias:?}");
    assert!(scene.last().options.first(code::IA_NA).is_none());
    let second = dhcpv6::association(code::IA_PD, 2, (0, 0), &[dhcpv6::prefix(net("2001:db8:c::/60"), (20, 30))]);
    scene.answer(Kind::Reply, &SERVER, &[pd(A, TIMES), second, (code::RAPID_COMMIT, vec![])]);
    assert_eq!(scene.prefixes(), [A, "2001:db8:c::/60"]);
    scene.pass(11);
    assert_eq!((scene.state(), scene.last().kind), (State::Renewing, Kind::Renew), "the shorter one's time");
}

#[test]
fn a_kind_that_nobody_gave_is_asked_for_again() {
    let mut scene = Scene::new();
    scene.pass(1);
    let long = [40_000, 60_000, 80_000, 90_000];
    scene.answer(Kind::Advertise, &SERVER, &[na(long), no_pd(6), (code::PREFERENCE, vec![255])]);
    scene.pass(2);
    scene.answer(Kind::Reply, &SERVER, &[na(long), no_pd(6)]);
    assert_eq!(scene.state(), State::Bound);
    scene.pass(601);
    assert_eq!(scene.last().kind, Kind::Renew);
    scene.answer(Kind::Reply, &SERVER, &[na(long), pd(A, long)]);
    assert_eq!((scene.state(), scene.prefixes()), (State::Bound, vec![A.to_owned()]));
}
