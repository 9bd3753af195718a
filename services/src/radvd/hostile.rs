//! Solicitations and time, for `fuzz/`.
use super::engine::{Action, Engine, Event, Link, Memory, Settings};
use crate::hostile::{Script, pass};
use crate::house::random::Random;
use crate::perm::WallTime;
use crate::perm::announced::Announced;
use crate::perm::lease6::Timed;
use crate::perm::stamp::Clock;
use ipnet::Ipv6Net;
use netstack::time::Instant;
use netstack::wire::ndisc::{Advertisement, Solicitation};
use std::net::Ipv6Addr;

const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x42);

/// A router's days: whoever asks, prefixes that come and go, a cable.
pub fn engine(bytes: &[u8]) {
    let mut clock =
        Clock { boot: "b".into(), now: Instant::from_secs(5), wall: WallTime::from_nanos(1_700_000_000_000_000_000) };
    let mut engine = Engine::new(Memory::new(Announced::default(), &clock), Random::from_seed(7));
    let mut sent = 0u64;
    let mut note = |actions: Vec<Action>| {
        for action in actions {
            if let Action::Send { message, .. } = action {
                sent += 1;
                assert!(Advertisement::parse(&message, ROUTER, 255).is_some(), "an advertisement that hosts pass over");
            }
        }
        sent
    };
    let link = Link { mac: [2, 0, 0, 0, 0, 1], mtu: 1_500, address: ROUTER };
    note(engine.handle(&clock, Event::Configured(vec![Settings { name: "lan0".into(), ..Settings::default() }])));
    note(engine.handle(&clock, Event::Link("lan0", Some(link.clone()))));
    let (start, mut count) = (clock.now, 0);
    for step in Script(bytes).steps() {
        let mut now = clock.now;
        pass(&mut now, step.wait, |due| {
            if let Some(due) = due {
                clock.now = due;
                note(engine.handle(&clock, Event::Timeout));
            }
            engine.deadline()
        });
        clock.now = now;
        count += 1;
        let source = step.bytes.first_chunk::<16>().map_or(ROUTER, |ip| Ipv6Addr::from(*ip));
        let event = match step.what % 8 {
            0 => Event::Link("lan0", step.bytes.first().map(|_| link.clone())),
            1 => Event::DefaultRoute(!step.bytes.is_empty()),
            2 => {
                let all = step.bytes.as_chunks::<16>().0.iter().take(6).filter_map(|raw| {
                    let net = Ipv6Net::new(Ipv6Addr::from(*raw), 64).ok()?.trunc();
                    let [.., a, b, c, d] = *raw;
                    let valid = u32::from_be_bytes([a, b, c, d]);
                    Some(Timed::new(net, clock.now, valid / 2, valid))
                });
                let prefixes: Vec<Timed<Ipv6Net>> = all.collect();
                let routes = prefixes.clone();
                Event::Configured(vec![Settings { name: "lan0".into(), prefixes, routes, ..Settings::default() }])
            }
            3 => Event::Farewell,
            4 => Event::Solicited("lan0", source),
            _ => match Solicitation::parse(step.bytes, ROUTER, 255) {
                Some(_) => Event::Solicited("lan0", ROUTER),
                None => continue,
            },
        };
        note(engine.handle(&clock, event));
    }
    let (sent, passed) = (note(Vec::new()), (clock.now - start).as_secs());
    assert!(sent <= passed / 3 + 16 * (count + 4), "{sent} advertisements in {passed} s after {count} events");
}
