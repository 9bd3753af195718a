//! Minutes of people and of those who guess.
use super::engine::{Engine, Verdict};
use netstack::time::Instant;
use std::net::IpAddr;
use std::time::Duration;

const PASSWORD: &str = "correct horse";

struct Bench {
    engine: Engine,
    now: Instant,
    hashes: u32,
}

impl Bench {
    fn new() -> Bench {
        Bench { engine: Engine::new([7; 32]), now: Instant::from_nanos(1), hashes: 0 }
    }

    fn after(&mut self, seconds: u64) -> &mut Bench {
        self.now += Duration::from_secs(seconds);
        self
    }

    fn says(&mut self, peer: u8, password: &str) -> Verdict {
        let peer = IpAddr::from([192, 168, 42, peer]);
        let known = self.engine.asked(self.now, peer, password);
        known.unwrap_or_else(|| {
            self.hashes += 1;
            self.engine.judged(self.now, peer, password, password == PASSWORD)
        })
    }
}

#[test]
fn a_right_password_is_hashed_once_in_ten_minutes() {
    let mut bench = Bench::new();
    for _ in 0..100 {
        assert_eq!(bench.after(5).says(7, PASSWORD), Verdict::Right);
    }
    assert_eq!(bench.says(8, PASSWORD), Verdict::Right, "from wherever");
    assert_eq!(bench.hashes, 1);
    bench.after(600).says(7, PASSWORD);
    assert_eq!(bench.hashes, 2);
    bench.engine.forget();
    bench.says(7, PASSWORD);
    assert_eq!(bench.hashes, 3);
}

#[test]
fn each_wrong_one_makes_its_peer_wait_twice_as_long() {
    let mut bench = Bench::new();
    for wait in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        assert_eq!(bench.says(7, "a"), Verdict::Wrong);
        assert_eq!(bench.says(7, PASSWORD), Verdict::Wait(wait + 1), "not even the right one");
        assert_eq!(bench.says(8, PASSWORD), Verdict::Right, "others do not wait");
        bench.after(wait);
    }
    assert_eq!(bench.says(7, PASSWORD), Verdict::Right);
    assert_eq!(bench.says(7, "a"), Verdict::Wrong);
    assert_eq!(bench.after(1).says(7, PASSWORD), Verdict::Right, "a right one makes good");
}

#[test]
fn many_who_guess_are_slow_together_and_whom_we_know_is_not() {
    let mut bench = Bench::new();
    bench.says(1, PASSWORD);
    let before = bench.hashes;
    for second in 0..60 {
        for peer in 2..=255 {
            let said = bench.says(peer, "a");
            assert_ne!(said, Verdict::Right);
        }
        assert_eq!(bench.says(1, PASSWORD), Verdict::Right, "{second}");
        bench.after(1);
    }
    assert!(bench.hashes - before <= 80, "{} hashes in a minute", bench.hashes - before);
    // From any number of addresses, in any order: what is known of them is bounded.
    for a in 0..20u8 {
        for b in 0..=255u8 {
            let peer = IpAddr::from([10, 0, a, b]);
            if bench.engine.asked(bench.now, peer, "a").is_none() {
                bench.engine.judged(bench.now, peer, "a", false);
            }
            bench.after(1);
        }
    }
    assert!(bench.engine.peers() <= 256);
}
