//! Days with servers that are right, wrong, silent and rude, in virtual time: a true time, a clock of ours that runs wrong,
//! and a network that takes its time.
use super::engine::{Action, Engine, Event, Now, SECOND};
use crate::house::random::Random;
use netstack::time::Instant;
use netstack::wire::ntp::{LENGTH, Packet, SERVER, Timestamp, UNSYNCHRONISED};
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const MS: i64 = SECOND / 1_000;
const DAY: i64 = 86_400 * SECOND;
const YEAR: i64 = 31_557_600 * SECOND;
/// When the image was made, and when it boots: 2026-11-01 and 2026-11-26.
const MADE: i64 = 1_793_491_200 * SECOND;
const TRUTH: i64 = MADE + 25 * DAY;

#[derive(Clone, Copy)]
struct Server {
    /// What it says is later than the truth.
    lie: i64,
    /// The way there and the way back.
    ways: (i64, i64),
    stratum: u8,
    leap: u8,
    kiss: Option<[u8; 4]>,
    silent: bool,
}

const HONEST: Server = Server { lie: 0, ways: (10 * MS, 10 * MS), stratum: 2, leap: 0, kiss: None, silent: false };

fn lying(lie: i64) -> Server {
    Server { lie, ..HONEST }
}

fn address(at: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::from([192, 0, 2, at as u8]), 123)
}

/// The world around the engine.
struct World {
    engine: Engine,
    servers: Vec<Server>,
    now: Instant,
    /// Our clock is later than the truth.
    off: i64,
    /// Billionths by which our clock runs fast.
    drift: i64,
    slew: (i64, u8),
    waiting: Vec<(Instant, u32, [u8; LENGTH])>,
    asked: Vec<(Instant, SocketAddr)>,
    steps: Vec<i64>,
    said: Vec<String>,
    useless: Vec<SocketAddr>,
    origins: Vec<u64>,
}

impl World {
    fn new(off: i64, servers: &[Server]) -> World {
        let mut world = World {
            engine: Engine::new(MADE, Random::from_seed(7)),
            servers: servers.to_vec(),
            now: Instant::from_secs(3),
            off,
            drift: 0,
            slew: (0, 6),
            waiting: Vec::new(),
            asked: Vec::new(),
            steps: Vec::new(),
            said: Vec::new(),
            useless: Vec::new(),
            origins: Vec::new(),
        };
        world.turn();
        world
    }

    fn turn(&mut self) {
        self.handle(Event::Servers((0..self.servers.len()).map(address).collect()));
    }

    fn truth(&self) -> i64 {
        TRUTH + self.now.as_nanos() as i64
    }

    fn clock(&self) -> Now {
        Now::new(self.now, self.truth() + self.off)
    }

    fn handle(&mut self, event: Event<'_>) {
        for action in self.engine.handle(self.clock(), event) {
            match action {
                Action::Ask { number, server, packet } => {
                    self.asked.push((self.now, server));
                    self.reply(number, server, &packet);
                }
                Action::Step(by) => {
                    self.steps.push(by);
                    self.off += by;
                    self.slew.0 = 0;
                }
                Action::Slew { by, poll, .. } => self.slew = (by, poll),
                Action::Say(words) | Action::Complain(words) => self.said.push(words),
                Action::Useless(server) => self.useless.push(server),
                Action::Forget(number) => self.waiting.retain(|(_, open, _)| *open != number),
            }
        }
    }

    fn reply(&mut self, number: u32, server: SocketAddr, question: &[u8]) {
        let asked = Packet::parse(question).unwrap();
        self.origins.push(asked.transmit.0);
        let Some(says) = (0..self.servers.len()).find(|at| address(*at) == server).map(|at| self.servers[at]) else {
            return;
        };
        if says.silent {
            return;
        }
        let at = self.truth() + says.ways.0 + says.lie;
        let packet = Packet {
            leap: says.leap,
            version: 4,
            mode: SERVER,
            stratum: if says.kiss.is_some() { 0 } else { says.stratum },
            reference_id: says.kiss.unwrap_or(*b"GPS\0"),
            root_delay: 65,
            root_dispersion: 65,
            origin: asked.transmit,
            receive: Timestamp::from_nanos(at),
            transmit: Timestamp::from_nanos(at + 50_000),
            ..Packet::default()
        };
        let there = self.now + Duration::from_nanos((says.ways.0 + says.ways.1 + 50_000) as u64);
        self.waiting.push((there, number, packet.emit()));
    }

    /// Lets time pass.
    fn run(&mut self, length: Duration) {
        let end = self.now + length;
        loop {
            let packet = self.waiting.iter().map(|(at, ..)| *at).min();
            let next = [self.engine.deadline(), packet].into_iter().flatten().min();
            let next = next.unwrap_or(end).min(end);
            let passed = next.since(self.now);
            self.now = next;
            self.off += self.drift * passed.as_micros() as i64 / 1_000_000;
            let left = (1.0 - f64::from(1u32 << (self.slew.1 - 4 + 2)).recip()).powf(passed.as_secs_f64());
            let moved = (self.slew.0 as f64 * (1.0 - left)) as i64;
            self.off += moved;
            self.slew.0 -= moved;
            if let Some(at) = self.waiting.iter().position(|(at, ..)| *at <= self.now) {
                let (_, number, packet) = self.waiting.swap_remove(at);
                self.handle(Event::Answer(number, &packet));
            } else {
                self.turn();
            }
            if self.now >= end {
                return;
            }
        }
    }

    fn right(&self) -> bool {
        self.engine.report(self.clock()).right
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn from_any_century_the_clock_is_right_within_seconds() {
    for off in [-TRUTH, 33 * YEAR, 73 * YEAR, 135 * YEAR, -YEAR, 700 * MS, 0] {
        for servers in 1..=4 {
            let mut world = World::new(off, &[HONEST; 4][..servers]);
            world.run(Duration::from_secs(1));
            assert!(world.right() && world.off.abs() < MS, "{off}: {}", world.off);
            assert_eq!(world.steps.len(), usize::from(off != 0), "{off}");
            world.run(HOUR);
            assert!(world.off.abs() < MS && world.steps.len() <= 1);
        }
    }
}

#[test]
fn a_liar_among_three_or_four_is_outvoted_from_the_first_second() {
    for lie in [-TRUTH, 34 * YEAR, 74 * YEAR, -YEAR, DAY, -2 * SECOND, 300 * MS] {
        for off in [-TRUTH, 33 * YEAR, 0] {
            for servers in [&[lying(lie), HONEST, HONEST][..], &[HONEST, lying(lie), HONEST, HONEST][..]] {
                // The liar answers first.
                let mut servers = servers.to_vec();
                servers.iter_mut().for_each(|server| server.ways.0 = if server.lie == 0 { 30 * MS } else { MS });
                servers.iter_mut().for_each(|server| server.ways.1 = server.ways.0);
                let mut world = World::new(off, &servers);
                world.run(HOUR);
                assert!(world.right() && world.off.abs() < 5 * MS, "{lie} {off}: {}", world.off);
                assert!(world.steps.len() <= 1, "{lie} {off}: {:?}", world.steps);
            }
        }
    }
}

#[test]
fn two_that_contradict_each_other() {
    // Neither is near the clock: nobody is believed, it is said once, and nothing is done.
    let mut world = World::new(-TRUTH, &[HONEST, lying(5 * DAY)]);
    world.run(HOUR);
    assert!(!world.right() && world.steps.is_empty());
    assert_eq!(world.said.iter().filter(|line| line.contains("contradict")).count(), 1, "{:?}", world.said);
    // The clock knows roughly: the battery is off by some minutes.
    for servers in [[HONEST, lying(5 * DAY)], [lying(-34 * YEAR), HONEST]] {
        let mut world = World::new(-200 * SECOND, &servers);
        world.run(HOUR);
        assert!(world.right() && world.off.abs() < MS, "{}", world.off);
    }
    // A third one comes and decides.
    let mut world = World::new(-TRUTH, &[HONEST, lying(5 * DAY), Server { silent: true, ..HONEST }]);
    world.run(10 * MINUTE);
    assert!(!world.right());
    world.servers[2].silent = false;
    world.run(2 * MINUTE);
    assert!(world.right() && world.off.abs() < MS);
}

#[test]
fn a_time_before_the_image_was_made_is_no_time() {
    let mut world = World::new(0, &[lying(-26 * DAY)]);
    world.run(HOUR);
    assert!(!world.right() && world.steps.is_empty());
    assert!(world.said.iter().any(|line| line.contains("before this software was made")), "{:?}", world.said);
    let mut world = World::new(0, &[lying(-24 * DAY)]);
    world.run(HOUR);
    assert!(world.right(), "alone, and it cannot be known better");
}

#[test]
fn who_answers_late_or_never_does_not_keep_the_others() {
    let silent = Server { silent: true, ..HONEST };
    let mut world = World::new(-TRUTH, &[HONEST, silent, silent]);
    world.run(Duration::from_secs(4));
    assert!(world.right(), "no longer than a question's patience");
    world.run(10 * HOUR);
    assert!(world.off.abs() < MS);
    assert!(world.useless.contains(&address(1)) && !world.useless.contains(&address(0)));
    // Asked in vain less and less often: some hundred questions a day, not thousands.
    let vain = world.asked.iter().filter(|(_, server)| *server == address(1)).count();
    assert!((100..=700).contains(&vain), "{vain}");
    // All go silent: the time is still right, the question goes on.
    world.servers[0].silent = true;
    world.run(10 * HOUR);
    assert!(world.right());
}

#[test]
fn questions_become_rare_while_the_clock_is_steady_and_again_when_it_is_not() {
    let mut world = World::new(-YEAR, &[HONEST; 4]);
    world.run(3 * HOUR);
    world.asked.clear();
    world.run(10 * HOUR);
    let hourly = world.asked.len() / 10;
    assert!((12..=17).contains(&hourly), "4 servers each 1024 s: {hourly}");
    // Somebody else moves the clock.
    world.off = 3 * DAY;
    world.run(HOUR);
    assert!(world.off.abs() < MS, "{}", world.off);
    assert_eq!(world.steps.len(), 2);
}

#[test]
fn a_clock_that_runs_wrong_is_slewed_and_never_set_again() {
    for drift in [-100_000, 40_000] {
        let mut world = World::new(YEAR, &[HONEST; 4]);
        // Without the kernel's learning of the rate, which is not modelled here: so much of it comes back each time.
        world.drift = drift;
        world.run(Duration::from_secs(86_400));
        assert!(world.off.abs() < 120 * MS, "{drift}: {}", world.off);
        assert_eq!(world.steps.len(), 1);
    }
}

#[test]
fn kisses_are_obeyed() {
    let kissing = |code: &[u8; 4]| Server { kiss: Some(*code), ..HONEST };
    let mut world = World::new(0, &[kissing(b"DENY"), kissing(b"RATE"), HONEST]);
    world.run(5 * HOUR);
    let asked = |world: &World, at: usize| world.asked.iter().filter(|(_, server)| *server == address(at)).count();
    assert_eq!(asked(&world, 0), 1);
    let slow: Vec<Instant> =
        world.asked.iter().filter(|(_, server)| *server == address(1)).map(|(at, _)| *at).collect();
    assert!(slow.windows(2).all(|pair| pair[1] - pair[0] >= 2 * MINUTE), "{slow:?}");
    assert!(slow.len() < 25, "{}", slow.len());
    assert!(world.right() && world.useless.contains(&address(0)));
    // It relents.
    world.servers[1].kiss = None;
    world.run(HOUR);
    assert!(world.engine.report(world.clock()).servers[1].believed);
}

#[test]
fn only_the_answer_to_the_question_counts() {
    let mut world = World::new(-YEAR, &[HONEST]);
    let (at, number, good) = world.waiting[0];
    world.now = at;
    for (byte, value) in [(24, 1), (31, 1), (0, 0x23), (0, 0x25)] {
        let mut forged = good;
        forged[byte] = if byte == 0 { value } else { forged[byte] ^ value };
        world.handle(Event::Answer(number, &forged));
        assert!(!world.right(), "byte {byte}");
    }
    world.handle(Event::Answer(number + 1, &good));
    world.handle(Event::Answer(number, &good[..47]));
    assert!(!world.right());
    world.handle(Event::Answer(number, &good));
    assert!(world.right());
    world.handle(Event::Answer(number, &good));
    world.run(HOUR);
    let mut origins = world.origins.clone();
    origins.sort_unstable();
    origins.dedup();
    assert_eq!(origins.len(), world.origins.len(), "no two questions are alike");
}

#[test]
fn what_knows_no_time_is_not_followed() {
    for wrong in [
        Server { leap: UNSYNCHRONISED, ..HONEST },
        Server { stratum: 16, ..HONEST },
        Server { kiss: Some(*b"INIT"), ..HONEST },
    ] {
        let mut world = World::new(-YEAR, &[wrong]);
        world.run(MINUTE);
        assert!(!world.right() && world.said.len() == 1, "{:?}", world.said);
    }
}

#[test]
fn a_way_that_is_long_in_one_direction_is_weighed_by_its_length() {
    let far = Server { ways: (400 * MS, 10 * MS), ..HONEST };
    let mut world = World::new(-YEAR, &[far, HONEST, far]);
    world.run(HOUR);
    assert!(world.off.abs() < 2 * MS, "{}", world.off);
}

#[test]
fn the_lan_is_told_how_good_the_time_is() {
    let mut world = World::new(-YEAR, &[HONEST]);
    let question = Packet { version: 3, mode: 3, transmit: Timestamp(42), poll: 6, ..Packet::default() }.emit();
    let ask = |world: &World| {
        let wall = world.clock().wall;
        Packet::parse(&world.engine.answer(world.now, &question, wall, wall + 10_000).unwrap()).unwrap()
    };
    let before = ask(&world);
    assert_eq!((before.leap, before.stratum, before.version, before.mode), (UNSYNCHRONISED, 0, 3, SERVER));
    assert_eq!((before.origin, before.poll), (Timestamp(42), 6));
    world.run(MINUTE);
    let after = ask(&world);
    assert_eq!((after.leap, after.stratum, after.reference_id), (0, 3, [192, 0, 2, 0]));
    assert!((after.transmit.nanos_near(MADE) - world.truth()).abs() < MS);
    assert!(after.root_dispersion < 65_536 / 10);
    // Two days without any server.
    world.servers[0].silent = true;
    world.run(Duration::from_secs(2 * 86_400));
    assert_eq!(ask(&world).leap, UNSYNCHRONISED);
    let other = |mode: u8, version: u8| Packet { mode, version, ..Packet::default() }.emit();
    for wrong in [other(4, 4), other(6, 2), other(7, 2), other(1, 4), other(3, 0), other(3, 5)] {
        assert_eq!(world.engine.answer(world.now, &wrong, 0, 0), None);
    }
    assert_eq!(world.engine.answer(world.now, &question[..47], 0, 0), None);
}

proptest! {
    #[test]
    fn any_packet_is_met(
        mut packets in proptest::collection::vec((0u32..6, proptest::collection::vec(any::<u8>(), 0..60)), 0..40),
        origin in any::<bool>(),
    ) {
        let mut world = World::new(-YEAR, &[HONEST, HONEST]);
        world.waiting.clear();
        for (number, packet) in &mut packets {
            if origin && packet.len() >= 32 {
                packet[24..32].copy_from_slice(&world.origins[*number as usize % 2].to_be_bytes());
                packet[0] = 0x24;
            }
            world.handle(Event::Answer(*number, packet));
            let _ = world.engine.answer(world.now, packet, 0, i64::MAX);
            world.run(Duration::from_secs(1));
        }
        let _ = world.engine.report(world.clock());
    }
}
