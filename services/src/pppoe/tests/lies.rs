//! Whatever arrives, in whatever order: no panic, never a state without a way on, never faster than the backoff.
use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Line(bool),
    Discovery(bool, u8, u16, Vec<(u16, Vec<u8>)>),
    Control(u16, u8, u8, Vec<(u8, Vec<u8>)>),
    Raw(u16, Vec<u8>),
    Lost,
    Redial,
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..most)
}

fn step() -> impl Strategy<Value = Step> {
    let protocol = prop_oneof![Just(LCP), Just(PAP), Just(CHAP), Just(IPCP), Just(IPV6CP), any::<u16>()];
    let kind = prop_oneof![Just(tag::AC_NAME), Just(tag::AC_COOKIE), Just(tag::MAX_PAYLOAD), 0x0201u16..0x0204];
    let tags = proptest::collection::vec((kind, bytes(12)), 0..4);
    let option = (prop_oneof![0u8..8, Just(129), Just(131), any::<u8>()], bytes(9));
    let choices = proptest::collection::vec(option, 0..5);
    prop_oneof![
        (0u64..70_000).prop_map(Step::Pass),
        any::<bool>().prop_map(Step::Line),
        (any::<bool>(), prop_oneof![Just(PADO), Just(PADS), Just(0xa7)], 0u16..3, tags)
            .prop_map(|(ours, code, session, tags)| Step::Discovery(ours, code, session, tags)),
        (protocol.clone(), 0u8..12, 0u8..6, choices)
            .prop_map(|(protocol, code, id, choices)| Step::Control(protocol, code, id, choices)),
        (protocol, bytes(30)).prop_map(|(protocol, bytes)| Step::Raw(protocol, bytes)),
        Just(Step::Lost),
        Just(Step::Redial),
    ]
}

proptest! {
    #[test]
    fn any_course_of_events_is_survived(steps in proptest::collection::vec(step(), 0..120), seed: u64) {
        let mut engine = Engine::new(None, Random::from_seed(seed));
        let mut now = Instant::from_secs(100);
        let mut uniq = Vec::new();
        let mut line = true;
        let take = |actions: Vec<Action>, uniq: &mut Vec<u8>| {
            for action in &actions {
                if let Action::Discover(_, packet) = action {
                    let packet = Discovery::parse(packet).unwrap();
                    if let Some(mark) = packet.tag(tag::HOST_UNIQ) {
                        *uniq = mark.to_vec();
                    }
                }
            }
            actions.len()
        };
        take(engine.handle(now, Event::Settings(Some(settings()))), &mut uniq);
        take(engine.handle(now, Event::Line(Some(Line { mac: OURS, mtu: 1500 }))), &mut uniq);
        for step in steps {
            let actions = match step {
                Step::Pass(millis) => {
                    let end = now + Duration::from_millis(millis);
                    let mut turns = 0;
                    while let Some(next) = engine.deadline().filter(|next| *next <= end) {
                        now = next.max(now);
                        take(engine.handle(now, Event::Timeout), &mut uniq);
                        turns += 1;
                        prop_assert!(turns < 400, "a timer that never rests");
                    }
                    now = end;
                    continue;
                }
                Step::Line(there) => {
                    line = there;
                    engine.handle(now, Event::Line(there.then_some(Line { mac: OURS, mtu: 1500 })))
                }
                Step::Discovery(ours, code, session, tags) => {
                    let mark: &[u8] = if ours { &uniq } else { b"another" };
                    let mut all: Vec<Tag<'_>> = vec![(tag::HOST_UNIQ, mark)];
                    all.extend(tags.iter().map(|(kind, value)| (*kind, value.as_slice())));
                    let packet = emit(code, session, &all);
                    engine.handle(now, Event::Discovery(AC, Discovery::parse(&packet).unwrap()))
                }
                Step::Control(protocol, code, id, choices) => {
                    let data = ppp::options(choices.iter().map(|(kind, value)| (*kind, value.as_slice())));
                    engine.handle(now, Event::Control(protocol, &ppp::emit(code, id, &data)))
                }
                Step::Raw(protocol, bytes) => engine.handle(now, Event::Control(protocol, &bytes)),
                Step::Lost => engine.handle(now, Event::Lost("gone".into())),
                Step::Redial => engine.handle(now, Event::Redial),
            };
            let count = take(actions, &mut uniq);
            prop_assert!(count < 24, "{count} actions for one event");
            prop_assert!(!line || engine.deadline().is_some(), "a state without a way on");
        }
    }
}
