//! The machine comes back by itself: after an order, after a panic of PID 1, after PID 1 hangs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::Bed;
use qemu::disk::Disk;
use qemu::router::Router;
use qemu::step;

#[test]
fn reboot_and_poweroff_are_orderly() {
    let bed = Bed::new();
    let disk = Disk::copy(&bed.folder.0);
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    step("reboot, typed at the console");
    router.press("\rreboot\r");
    router.wait_ready();
    assert!(router.command("status").contains("ext4"));
    step("poweroff leaves /perm clean");
    router.press("\rpoweroff\r");
    router.wait_off();
    assert_eq!(disk.faults(), None);
    assert!(!router.console().contains("recovery complete"), "reboot left work for the journal");
}

#[test]
fn a_panic_of_pid_1_brings_the_machine_back() {
    let bed = Bed::new();
    let disk = Disk::copy(&bed.folder.0);
    step("PID 1 panics after ready; the kernel starts again by itself");
    let mut router = Router::boot_with(&bed, &disk, |machine| machine.append("weir.test=panic-after-ready"));
    router.wait_ready();
    router.wait_for("Kernel panic");
    router.wait_ready();
    bed.lease("laptop");
}

#[test]
fn a_pid_1_that_hangs_is_ended_by_the_watchdog() {
    let bed = Bed::new();
    let disk = Disk::copy(&bed.folder.0);
    step("PID 1 stops turning after ready; nobody feeds the watchdog");
    let mut router = Router::boot_with(&bed, &disk, |machine| machine.append("weir.test=hang-after-ready"));
    router.wait_ready();
    router.wait_ready();
    bed.lease("laptop");
}
