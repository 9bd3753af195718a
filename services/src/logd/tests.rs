//! Floods, repetitions and receivers that are away, in virtual time.
use super::engine::{Engine, Line};
use netstack::time::Instant;
use proptest::prelude::*;
use std::time::Duration;

fn line(name: &str, text: &str) -> Line {
    Line { name: name.into(), t_ms: 7, stream: "err".into(), line: text.into() }
}

fn at(ms: u64) -> Instant {
    Instant::from_millis(100_000 + ms)
}

fn queued(engine: &mut Engine) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(line) = engine.front() {
        all.push(line.line.clone());
        engine.sent();
    }
    all
}

#[test]
fn a_line_is_not_repeated_within_a_second() {
    let mut engine = Engine::default();
    for ms in [0, 1, 2, 900] {
        engine.take(at(ms), line("a", "x"));
    }
    engine.take(at(901), line("b", "x"));
    assert_eq!(queued(&mut engine), ["x", "x"], "another service's is not the same line");
    engine.take(at(902), line("a", "y"));
    assert_eq!(queued(&mut engine), ["last message repeated 3 times", "y"]);
    engine.take(at(903), line("a", "y"));
    assert_eq!(engine.deadline(), Some(at(1_902)));
    engine.tick(at(1_901));
    assert_eq!(queued(&mut engine), [""; 0]);
    engine.tick(at(1_902));
    assert_eq!(queued(&mut engine), ["last message repeated once"]);
    assert_eq!(engine.deadline(), None, "nothing wakes an idle router");
    // A minute of it, ten times a second.
    for ms in 0..600 {
        engine.take(at(5_000 + ms * 100), line("a", "z"));
        engine.tick(at(5_000 + ms * 100));
    }
    let said = queued(&mut engine);
    assert!((50..=61).contains(&said.len()), "{}", said.len());
    engine.tick(at(98_000));
    engine.take(at(99_000), line("a", "z"));
    assert_eq!(queued(&mut engine).last().unwrap(), "z", "after a second it is news again");
}

#[test]
fn a_batch_comes_within_half_a_minute_and_is_bounded() {
    let mut engine = Engine::default();
    assert_eq!(engine.batch_at(), None);
    engine.take(at(0), line("a", "x"));
    engine.take(at(9_000), line("a", "y"));
    assert_eq!(engine.batch_at(), Some(at(30_000)));
    let (lines, lost) = engine.batch();
    assert_eq!((lines.len(), lost, engine.batch_at()), (2, 0, None));
    for number in 0..10_000 {
        engine.take(at(10_000), line("a", &format!("{number:0900}")));
    }
    let (lines, lost) = engine.batch();
    let size: usize = lines.iter().map(|line| line.line.len()).sum();
    assert!(size <= 64 << 10 && lines.len() as u64 + lost == 10_000, "{size} {lost}");
    assert_eq!(lines[0].line, format!("{:0900}", 0), "what came first tells how it began");
}

#[test]
fn a_receiver_that_is_gone_costs_bounded_memory_and_its_loss_is_told() {
    let mut engine = Engine::default();
    for number in 0..100_000 {
        engine.take(at(number), line("a", &format!("line {number}")));
    }
    let said = queued(&mut engine);
    let size: usize = said.iter().map(String::len).sum();
    assert!(size <= 128 << 10, "{size}");
    assert_eq!(said[0], format!("{} lines were lost here: the receiver was gone for too long", 100_001 - said.len()));
    assert_eq!(said.last().unwrap(), "line 99999");
    engine.take(at(200_000), line("a", "next"));
    assert_eq!(queued(&mut engine), ["next"]);
}

proptest! {
    #[test]
    fn nothing_is_lost_uncounted(steps in proptest::collection::vec((0u8..3, 0u8..3, 0u64..700), 0..100)) {
        let mut engine = Engine::default();
        let (mut now, mut taken) = (0, 0);
        for (name, text, wait) in steps {
            now += wait;
            engine.tick(at(now));
            engine.take(at(now), line(&name.to_string(), &text.to_string()));
            taken += 1;
        }
        engine.tick(Instant::from_nanos(u64::MAX / 2) + Duration::from_secs(1));
        let count = |said: &str| match said.strip_prefix("last message repeated ") {
            Some("once") => 1,
            Some(rest) => rest.split(' ').next().unwrap().parse::<u64>().unwrap(),
            None => 1,
        };
        let said = queued(&mut engine);
        prop_assert_eq!(said.iter().map(|said| count(said)).sum::<u64>(), taken);
        prop_assert_eq!(said.len(), engine.batch().0.len());
    }
}
