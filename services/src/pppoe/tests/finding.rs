//! Discovery: several concentrators, refusals, lies, silence, larger packets.
use super::*;
use netstack::wire::pppoe::PADT;

fn times(bench: &mut Bench, until: u64) -> Vec<u64> {
    let start = bench.now;
    let mut times = Vec::new();
    while bench.now < start + Duration::from_secs(until) {
        times.extend(bench.discovery().iter().map(|_| bench.now.since(start).as_millis() as u64));
        bench.taken();
        bench.wait();
    }
    times
}

#[test]
fn it_searches_for_ever_and_says_so_once() {
    let mut bench = Bench::new(settings());
    let times = times(&mut bench, 600);
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (gap, want) in gaps.iter().zip([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]) {
        assert!((want..=want + want / 10).contains(gap), "{gaps:?}");
    }
    assert!(gaps.len() > 9);
    let mut bench = Bench::new(settings());
    bench.pass(Duration::from_secs(3_600));
    assert_eq!(bench.complaints(), ["no concentrator answers; searching on"]);
}

#[test]
fn cookie_and_relay_are_given_back_and_our_mark_is_asked_for() {
    let mut bench = Bench::new(Settings { service: "fast".into(), ..settings() });
    let ours = bench.last(PADI);
    let packet = Discovery::parse(&ours).unwrap();
    assert_eq!((packet.session, packet.tag(tag::SERVICE), packet.tag(tag::MAX_PAYLOAD)), (0, Some(&b"fast"[..]), None));
    let stranger = emit(PADO, 0, &[(tag::AC_NAME, b"x"), (tag::SERVICE, b"fast"), (tag::HOST_UNIQ, b"another")]);
    bench.event(Event::Discovery(OTHER, Discovery::parse(&stranger).unwrap()));
    assert_eq!(bench.discovery().len(), 1, "somebody else's offer");
    let tags: &[Tag<'_>] =
        &[(tag::AC_NAME, b"x"), (tag::SERVICE, b"fast"), (tag::AC_COOKIE, b"crumbs"), (tag::RELAY, b"via")];
    bench.reply(AC, PADI, PADO, 0, tags);
    let (to, request) = bench.discovery().pop().unwrap();
    let request = Discovery::parse(&request).unwrap();
    assert_eq!((to, request.code, request.session), (AC, PADR, 0));
    assert_eq!(request.tag(tag::AC_COOKIE), Some(&b"crumbs"[..]));
    assert_eq!(request.tag(tag::RELAY), Some(&b"via"[..]));
    assert_eq!(request.tag(tag::SERVICE), Some(&b"fast"[..]));
    assert_eq!(request.tag(tag::HOST_UNIQ), packet.tag(tag::HOST_UNIQ));
    bench.grant(OTHER);
    assert!(!bench.done.iter().any(|action| matches!(action, Action::Begin(..))), "granted by another than was asked");
    bench.grant(AC);
    assert!(bench.engine.is_up());
}

#[test]
fn only_the_concentrator_and_service_that_are_wanted() {
    let mut bench = Bench::new(Settings { ac_name: "mine".into(), service: "fast".into(), ..settings() });
    bench.offer(OTHER, "theirs");
    bench.offer(AC, "mine");
    assert_eq!(bench.discovery().len(), 1);
    let complaints = bench.complaints();
    assert_eq!(complaints, ["theirs has answered, but \"mine\" is wanted", "mine has no service \"fast\""]);
    bench.reply(AC, PADI, PADO, 0, &[(tag::AC_NAME, b"mine"), (tag::SERVICE, b"slow"), (tag::SERVICE, b"fast")]);
    assert_eq!(bench.discovery().len(), 2);
}

#[test]
fn of_several_the_first_is_asked_then_the_next() {
    let mut bench = Bench::new(settings());
    bench.offer(AC, "one");
    bench.offer(OTHER, "two");
    bench.offer(OTHER, "two");
    bench.reply(AC, PADR, PADS, 0, &[(tag::SYSTEM_ERROR, b"no more\nroom")]);
    assert_eq!(bench.complaints(), ["one gives no session: it has a trouble of its own (no more room)"]);
    assert_eq!(bench.discovery().last().unwrap().0, OTHER);
    bench.grant(OTHER);
    assert!(bench.engine.is_up());
}

#[test]
fn one_that_failed_is_taken_when_there_is_no_other() {
    let mut bench = Bench::new(settings());
    bench.offer(AC, "one");
    bench.open = false;
    bench.grant(AC);
    bench.pass(Duration::from_secs(31));
    assert!(bench.complaints()[0].starts_with("LCP: the concentrator does not answer"), "{:?}", bench.complaints());
    bench.open = true;
    bench.taken();
    bench.wait();
    bench.offer(AC, "one");
    assert_eq!(bench.discovery().len(), 1, "another may answer");
    bench.wait();
    assert_eq!(bench.discovery().last().unwrap().0, AC, "none did");
    bench.offer(OTHER, "two");
    bench.pass(Duration::from_secs(7));
    assert_eq!(bench.discovery().last().unwrap().0, OTHER, "one that does not even answer is left");
}

#[test]
fn errors_of_a_concentrator_are_named_and_it_is_asked_again() {
    for (kind, words) in [
        (tag::SERVICE_ERROR, "it has no such service (x)"),
        (tag::SYSTEM_ERROR, "it has a trouble of its own (x)"),
        (tag::GENERIC_ERROR, "an error (x)"),
    ] {
        let mut bench = Bench::new(settings());
        bench.reply(AC, PADI, PADO, 0, &[(tag::AC_NAME, b"ac"), (kind, b"x")]);
        assert_eq!(bench.complaints(), [format!("ac offers nothing: {words}")]);
        bench.offer(AC, "ac");
        bench.taken();
        bench.done = vec![Action::Discover(AC, emit(PADR, 0, &[]))];
        bench.pass(Duration::from_secs(2));
        bench.reply(AC, PADR, PADS, 0, &[(kind, b"x")]);
        let complaint = format!("ac gives no session: {words}; tried again in a while");
        assert_eq!(bench.complaints(), [complaint]);
        bench.taken();
        bench.pass(Duration::from_secs(2));
        assert_eq!(bench.discovery().len(), 1);
    }
}

#[test]
fn a_request_that_is_not_answered_is_said_three_times() {
    let mut bench = Bench::new(settings());
    bench.offer(AC, "ac");
    bench.taken();
    bench.pass(Duration::from_millis(5_999));
    let sent = bench.discovery();
    assert!(sent.len() == 2 && sent.iter().all(|(to, _)| *to == AC), "two more after the first");
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.complaints(), ["ac: no answer to our request for a session"]);
    assert_eq!(bench.discovery().last().unwrap().0.0, [0xff; 6]);
}

#[test]
fn larger_packets_only_where_both_say_so_and_the_cable_takes_them() {
    let large = Settings { mtu: 1500, ..settings() };
    for (line, granted, mru, want) in [
        (1508, Some([0x05, 0xdc]), 1500, 1500),
        (1508, None, 1492, 1492),
        // It grants more than was asked for, or less than everybody may.
        (1508, Some([0xff, 0xff]), 9000, 1500),
        (1508, Some([0, 1]), 1492, 1492),
        (1508, Some([0x05, 0xdc]), 1400, 1400),
        (1500, Some([0x05, 0xdc]), 1500, 1492),
    ] {
        let mut bench = Bench::new(settings());
        bench.peer.mru = mru;
        bench.event(Event::Line(Some(Line { mac: OURS, mtu: line })));
        bench.event(Event::Settings(Some(large.clone())));
        let padi = bench.last(PADI);
        let asked = Discovery::parse(&padi).unwrap().tag(tag::MAX_PAYLOAD);
        assert_eq!(asked, (line == 1508).then_some(&[0x05, 0xdc][..]));
        assert_eq!(bench.complaints().len(), usize::from(line == 1500));
        bench.offer(AC, "ac");
        let tags: Vec<Tag<'_>> = granted.iter().map(|value| (tag::MAX_PAYLOAD, &value[..])).collect();
        bench.reply(AC, PADR, PADS, SESSION, &tags);
        assert_eq!(bench.network().unwrap().mtu, want, "{granted:?} {mru}");
    }
}

#[test]
fn the_concentrator_may_end_a_session_and_nobody_else() {
    let mut bench = Bench::new(settings());
    bench.connect();
    bench.pass(Duration::from_secs(60));
    bench.taken();
    for (from, session) in [(OTHER, SESSION), (AC, SESSION + 1)] {
        let packet = emit(PADT, session, &[]);
        bench.event(Event::Discovery(from, Discovery::parse(&packet).unwrap()));
        assert_eq!(bench.taken(), [], "{from} {session}");
    }
    let packet = emit(PADT, SESSION, &[(tag::GENERIC_ERROR, b"midnight")]);
    bench.event(Event::Discovery(AC, Discovery::parse(&packet).unwrap()));
    let done = bench.taken();
    let words = "the concentrator has ended the session: an error (midnight); another session is sought";
    assert!(done.contains(&Action::Say(words.into())), "{done:#?}");
    assert!(matches!(done.last(), Some(Action::Discover(to, _)) if to.0 == [0xff; 6]));
}

#[test]
fn one_that_ends_every_session_is_not_asked_without_end() {
    let mut bench = Bench::new(settings());
    let mut sessions = 0;
    let end = bench.now + Duration::from_secs(600);
    while bench.now < end {
        if bench.discovery().last().is_some_and(|(to, _)| to.0 == [0xff; 6]) {
            bench.peer = Peer::new(&[]);
            bench.offer(AC, "ac");
            bench.pass(Duration::from_secs(2));
            bench.grant(AC);
            sessions += 1;
            let packet = emit(PADT, SESSION, &[]);
            bench.event(Event::Discovery(AC, Discovery::parse(&packet).unwrap()));
        }
        bench.taken();
        bench.wait();
    }
    assert!((8..25).contains(&sessions), "{sessions} in ten minutes");
}

#[test]
fn a_second_session_that_was_never_wanted_is_ended() {
    let mut bench = Bench::new(settings());
    bench.connect();
    bench.reply(AC, PADR, PADS, 9, &[]);
    assert_eq!(bench.discovery().last().unwrap(), &(AC, emit(PADT, 9, &[])));
    bench.taken();
    bench.done = vec![Action::Discover(AC, emit(PADR, 0, &[(tag::HOST_UNIQ, b"?")]))];
    bench.reply(AC, PADR, PADS, 9, &[]);
    assert_eq!(bench.done.len(), 1, "not ours at all");
    assert!(bench.engine.is_up());
}
