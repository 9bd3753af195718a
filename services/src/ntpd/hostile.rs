//! What time servers and clients may say, for `fuzz/`.
use super::engine::{Action, Engine, Event, Now};
use crate::hostile::{Script, pass};
use crate::house::random::Random;
use netstack::time::Instant;
use netstack::wire::ntp::Packet;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

const MADE: i64 = 1_793_491_200_000_000_000;

/// Three servers that say anything at all, and clients.
pub fn engine(bytes: &[u8]) {
    if let Some(packet) = Packet::parse(bytes) {
        let _ = (packet.emit(), packet.transmit.nanos_near(MADE));
    }
    let mut engine = Engine::new(MADE, Random::from_seed(7));
    let mut now = Instant::from_secs(3);
    let mut moved = 0i64;
    let mut asked: VecDeque<(u32, u64)> = VecDeque::new();
    let mut count = 0u64;
    let servers: Vec<SocketAddr> = (1..4).map(|last| SocketAddr::new(IpAddr::from([192, 0, 2, last]), 123)).collect();
    let clock = |at: Instant, moved: i64| Now::new(at, (MADE + at.as_nanos() as i64).saturating_add(moved));
    let mut turn = |engine: &mut Engine, at: Instant, event: Event<'_>| {
        for action in engine.handle(clock(at, moved), event) {
            match action {
                Action::Ask { number, packet, .. } => {
                    count += 1;
                    let origin = packet.last_chunk().map_or(0, |origin| u64::from_be_bytes(*origin));
                    asked.push_back((number, origin));
                    if asked.len() > 16 {
                        asked.pop_front();
                    }
                }
                Action::Step(by) => moved = moved.saturating_add(by),
                _ => {}
            }
        }
        (asked.iter().copied().rev().collect::<Vec<_>>(), count)
    };
    turn(&mut engine, now, Event::Servers(servers.clone()));
    let start = now;
    let mut events = 0;
    for step in Script(bytes).steps() {
        pass(&mut now, step.wait, |due| {
            due.map(|due| turn(&mut engine, due, Event::Servers(servers.clone())));
            engine.deadline()
        });
        events += 1;
        let (open, _) = turn(&mut engine, now, Event::Servers(servers.clone()));
        let (number, origin) = open.get(usize::from(step.what >> 3) % open.len().max(1)).copied().unwrap_or((0, 0));
        match step.what & 7 {
            0 => drop(turn(&mut engine, now, Event::Way)),
            1 => drop(turn(&mut engine, now, Event::Failed(number))),
            2 => drop(engine.answer(now, step.bytes, MADE, i64::MAX)),
            what => {
                let mut packet = step.bytes.to_vec();
                // The origin is what was asked, else it is no answer.
                if let Some(place) = packet.get_mut(24..32).filter(|_| what != 3) {
                    place.copy_from_slice(&origin.to_be_bytes());
                }
                turn(&mut engine, now, Event::Answer(number, &packet));
            }
        }
        let _ = engine.report(clock(now, 0));
    }
    let (_, count) = turn(&mut engine, now, Event::Servers(servers.clone()));
    let passed = (now - start).as_secs();
    assert!(count <= passed + 16 * (events + 4), "{count} questions in {passed} s");
}
