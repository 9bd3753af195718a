//! A core service does not stay up: the other slot is tried, once; where it is no better there, the router stays as it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::router::Router;
use qemu::step;
use qemu::updates::Updates;
use std::time::{Duration, Instant};

/// Kills dnsd whenever it runs, until the console says this.
fn kill_until(router: &mut Router, said: &str) {
    let deadline = Instant::now() + 3 * qemu::child::PATIENCE;
    while router.wait_up_to(said, Duration::from_millis(500)).is_none() {
        assert!(Instant::now() < deadline, "{said:?} was never said");
        router.press("\rsignal dnsd KILL\r");
    }
}

#[test]
fn a_core_service_that_does_not_stay_up_costs_one_restart_and_no_second() {
    let updates = Updates::new();
    let mut router = updates.start();
    router.wait_for("root a (squashfs)");
    router.wait_ready();
    updates.wants(&mut router, "a");
    step("dnsd dies again and again: slot b");
    kill_until(&mut router, "dnsd does not stay up");
    router.wait_for("slot b is tried");
    router.wait_for("root b (squashfs)");
    router.wait_ready();
    updates.wants(&mut router, "b");
    assert_eq!(updates.disk.environment().unwrap().get("fled"), Some("a"));
    step("there as well: the router stays");
    kill_until(&mut router, "the other slot was left for such a reason: the router goes on as it is");
    router.service_until("dnsd", |row| row.state == "running");
    let (_client, lease) = updates.bed.lease("laptop");
    assert!(lease.contains("192.168.42."), "{lease}");
    assert_eq!(updates.bed.dig(&["localhost"]), "127.0.0.1");
    assert_eq!(router.console().matches("weir: ready in ").count(), 2);
}
