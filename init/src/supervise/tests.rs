//! Lives of services in virtual time.
use super::*;

/// One service, with a clock and pids of its own.
struct Play {
    supervisor: Supervisor,
    now: u64,
    pid: i32,
}

impl Play {
    fn new(rows: usize) -> Play {
        Play::of(vec![false; rows])
    }

    fn of(core: Vec<bool>) -> Play {
        let rows = core.len();
        let mut play = Play { supervisor: Supervisor::new(core), now: 1_000, pid: 100 };
        let orders = play.supervisor.start_all();
        assert_eq!(orders.len(), rows);
        play.obey(orders);
        play
    }

    /// Carries out the starts; returns the rest.
    fn obey(&mut self, orders: Vec<Order>) -> Vec<Order> {
        let mut rest = Vec::new();
        for order in orders {
            match order {
                Order::Start(row) => {
                    self.pid += 1;
                    self.supervisor.started(row, self.pid, self.now);
                }
                other => rest.push(other),
            }
        }
        rest
    }

    fn die(&mut self, row: usize) -> Vec<Order> {
        let orders = self.supervisor.ended(row, "exit code 1".into(), self.now);
        self.obey(orders)
    }

    fn ready(&mut self, row: usize) -> Vec<Order> {
        self.supervisor.ready(row, self.now)
    }

    fn wish(&mut self, row: usize, wish: Wish) -> Vec<Order> {
        let orders = self.supervisor.wish(row, wish, self.now);
        self.obey(orders)
    }

    /// Turns the clock to the next deadline; returns how long that was, and the orders that are not starts.
    fn next(&mut self) -> (u64, Vec<Order>) {
        let at = self.supervisor.deadline().expect("something is due");
        let waited = at.saturating_sub(self.now);
        self.now = self.now.max(at);
        let orders = self.supervisor.tick(self.now);
        (waited, self.obey(orders))
    }

    fn state(&self, row: usize) -> State {
        self.supervisor.rows()[row].state()
    }
}

#[test]
fn the_wait_doubles_to_half_a_minute_and_stays_there() {
    let mut play = Play::new(1);
    let waits: Vec<u64> = (0..12)
        .map(|_| {
            play.die(0);
            assert_eq!(play.state(0), State::Waiting);
            let (waited, _) = play.next();
            assert_eq!(play.state(0), State::Starting);
            waited
        })
        .collect();
    assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000]);
    assert_eq!(play.supervisor.rows()[0].restarts, 12);
}

#[test]
fn a_minute_of_health_forgives() {
    let mut play = Play::new(1);
    for _ in 0..5 {
        play.die(0);
        play.next();
    }
    play.ready(0);
    play.now += 59_999;
    play.die(0);
    assert_eq!(play.next().0, 3200, "not quite a minute");
    play.ready(0);
    play.now += 60_000;
    play.die(0);
    assert_eq!(play.next().0, 100);
}

#[test]
fn a_minute_without_ready_is_no_health() {
    let mut play = Play::new(1);
    play.die(0);
    play.next();
    play.now += 120_000;
    play.die(0);
    assert_eq!(play.next().0, 200);
}

#[test]
fn a_service_that_cannot_be_started_waits_like_one_that_died() {
    let mut play = Play::new(1);
    play.die(0);
    let (_, _) = (play.now += 100, play.supervisor.tick(play.now));
    let orders = play.supervisor.failed(0, "exec: no such file".into(), play.now);
    assert_eq!(orders, [Order::NameDeath(0, 200)]);
    assert_eq!(play.supervisor.rows()[0].last_exit, "exec: no such file");
    assert_eq!(play.state(0), State::Waiting);
}

#[test]
fn three_deaths_are_named_then_silence_until_health() {
    let mut play = Play::new(1);
    let named = |play: &mut Play| {
        let orders = play.die(0);
        play.next();
        orders.len()
    };
    let first: Vec<usize> = (0..5).map(|_| named(&mut play)).collect();
    assert_eq!(first, [1, 1, 1, 0, 0]);
    play.ready(0);
    play.now += 60_000;
    assert_eq!(named(&mut play), 1);
}

#[test]
fn hanging_at_start_is_named_once_and_stays_starting() {
    let mut play = Play::new(1);
    let (waited, orders) = play.next();
    assert_eq!((waited, orders), (30_000, vec![Order::NameHung(0)]));
    assert_eq!(play.supervisor.deadline(), None);
    assert_eq!(play.state(0), State::Starting);
    play.ready(0);
    assert_eq!(play.state(0), State::Running);
}

#[test]
fn ready_line_needs_every_row_and_comes_once() {
    let mut play = Play::new(3);
    assert!(play.ready(0).is_empty());
    assert!(play.ready(2).is_empty());
    // Ready once is enough: a death in between does not hold the line back.
    play.die(0);
    assert_eq!(play.ready(1), [Order::AllReady]);
    play.next();
    assert!(play.ready(0).is_empty());
    assert!(play.ready(1).is_empty());
}

#[test]
fn ready_of_the_dead_is_not_heard() {
    let mut play = Play::new(1);
    play.die(0);
    assert!(play.ready(0).is_empty());
    assert_eq!(play.state(0), State::Waiting);
}

#[test]
fn stop_is_term_then_kill_then_silence() {
    let mut play = Play::new(1);
    let pid = play.pid;
    play.ready(0);
    assert_eq!(play.wish(0, Wish::Stop), [Order::Terminate(0, pid)]);
    assert_eq!(play.state(0), State::Running, "until it has gone");
    assert_eq!(play.next(), (5_000, vec![Order::Kill(0, pid)]));
    assert!(play.die(0).is_empty());
    assert_eq!(play.state(0), State::Stopped);
    assert_eq!(play.supervisor.deadline(), None);
    play.wish(0, Wish::Start);
    assert_eq!(play.state(0), State::Starting);
}

#[test]
fn restart_comes_back_at_once() {
    let mut play = Play::new(1);
    let pid = play.pid;
    assert_eq!(play.wish(0, Wish::Restart), [Order::Terminate(0, pid)]);
    play.die(0);
    assert_eq!(play.state(0), State::Starting);
    assert_eq!(play.supervisor.rows()[0].pid, Some(pid + 1));
    assert_eq!(play.supervisor.rows()[0].restarts, 1);
    // Its death now is an ordinary one.
    play.die(0);
    assert_eq!(play.next().0, 100);
}

#[test]
fn wishes_of_the_waiting() {
    let mut play = Play::new(1);
    play.die(0);
    play.wish(0, Wish::Stop);
    assert_eq!(play.state(0), State::Stopped);
    play.wish(0, Wish::Restart);
    assert_eq!(play.state(0), State::Starting);
    // Start while the stop is still under way: it comes back.
    play.wish(0, Wish::Stop);
    play.wish(0, Wish::Start);
    play.die(0);
    assert_eq!(play.state(0), State::Starting);
}

#[test]
fn closing_ends_all_and_restarts_none() {
    let mut play = Play::new(3);
    play.die(1);
    let orders = play.supervisor.close(play.now);
    assert_eq!(orders, [Order::Terminate(0, 101), Order::Terminate(2, 103)]);
    assert!(!play.supervisor.is_idle());
    assert!(play.die(0).is_empty());
    assert_eq!(play.next(), (5_000, vec![Order::Kill(2, 103)]));
    assert!(play.die(2).is_empty());
    assert!(play.supervisor.is_idle());
    assert_eq!(play.supervisor.deadline(), None);
    assert!(play.wish(0, Wish::Start).is_empty());
    assert_eq!(play.state(0), State::Stopped);
}

/// Kills the first service so long after it was ready, again and again; when it was sick, if it was within an hour.
fn killed_every(play: &mut Play, ms: u64) -> Option<u64> {
    let begun = play.now;
    while play.now < begun + 3_600_000 {
        play.ready(0);
        let death = play.now + ms;
        while play.supervisor.deadline().is_some_and(|at| at < death) {
            if play.next().1.contains(&Order::Sick(0)) {
                return Some(play.now - begun);
            }
        }
        play.now = death;
        if play.die(0).contains(&Order::Sick(0)) {
            return Some(play.now - begun);
        }
        while play.state(0) == State::Waiting {
            if play.next().1.contains(&Order::Sick(0)) {
                return Some(play.now - begun);
            }
        }
    }
    None
}

#[test]
fn a_core_service_that_cannot_stay_up_is_sick() {
    for (lives, sick) in [(0, 30_000), (1_000, 31_000), (20_000, 60_300), (29_999, 60_098)] {
        let mut play = Play::of(vec![true]);
        assert_eq!(killed_every(&mut play, lives), Some(sick), "{lives}");
        assert!(play.supervisor.rows()[0].is_sick());
    }
    assert_eq!(killed_every(&mut Play::of(vec![true]), 30_000), None, "half a minute is enough");
    assert_eq!(killed_every(&mut Play::of(vec![false]), 0), None, "any other is only started again");
}

#[test]
fn one_that_does_not_get_ready_is_sick_too_and_well_again_half_a_minute_after_it_does() {
    let mut play = Play::of(vec![true]);
    assert_eq!(play.next(), (30_000, vec![Order::NameHung(0), Order::Sick(0)]));
    assert_eq!(play.supervisor.deadline(), None, "once");
    play.now += 100_000;
    play.ready(0);
    assert!(play.supervisor.rows()[0].is_sick(), "not yet");
    assert_eq!(play.next(), (30_000, vec![]));
    assert!(!play.supervisor.rows()[0].is_sick());
    assert_eq!(play.supervisor.deadline(), None);
}

#[test]
fn a_death_or_two_are_no_illness() {
    let mut play = Play::of(vec![true]);
    for _ in 0..3 {
        play.ready(0);
        play.now += 5_000;
        play.die(0);
        play.next();
    }
    play.ready(0);
    assert_eq!(play.next(), (30_000, vec![]), "it stays up now");
    play.die(0);
    assert!(!play.supervisor.rows()[0].is_sick());
}

#[test]
fn who_is_stopped_or_begun_anew_by_somebody_is_not_sick() {
    let mut play = Play::of(vec![true]);
    for _ in 0..6 {
        play.die(0);
        play.next();
    }
    play.wish(0, Wish::Stop);
    play.now += 600_000;
    play.die(0);
    assert_eq!((play.state(0), play.supervisor.deadline()), (State::Stopped, None));
    play.wish(0, Wish::Start);
    play.ready(0);
    play.now += 100;
    play.die(0);
    assert!(!play.supervisor.rows()[0].is_sick());
}
