//! A core service cannot stay up: the other slot is taken, once, and where it is no better the router stays up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use layout::{ROOT_A, ROOT_B};
use qemu::spoiled::{is_served, root_with};
use qemu::step;
use qemu::updates::{Parts, Updates, now};

#[test]
fn a_dnsd_that_dies_when_its_image_was_taken_for_good_gives_the_other_slot() {
    let updates = Updates::new();
    let (_isp, _page) = (updates.bed.serve_isp(), updates.bed.serve_page());
    let mut router = updates.start();
    router.wait_for("root a (squashfs)");
    router.wait_ready();
    is_served(&updates);
    router.command_until("diag", |said| said.contains("The internet works"));
    let good = Parts::new();
    // The real one, which an alarm ends whenever it has run for so long.
    let root = root_with(&updates.bed.folder.0, &good, "dnsd", "alarm(20); execv(\"/bin/real\", words);");
    let file = updates.update("short", &updates.key, &Parts { root, ..good }, now());
    let (ok, said) = updates.send(&file, &[]);
    assert!(ok, "{said}");
    step("it is tried, and stays");
    router.wait_for("root b (squashfs)");
    router.wait_for("slot b is good and stays");
    updates.wants(&mut router, "b");
    step("its dnsd dies again and again");
    router.wait_for("dnsd died (signal SIGALRM");
    router.wait_for("dnsd cannot stay up here: taking slot a");
    router.wait_for("root a (squashfs)");
    router.wait_for("slot b was left: a core service could not stay up in it");
    router.wait_ready();
    is_served(&updates);
    updates.wants(&mut router, "a");
    assert!(router.command("status").contains("slot b was left"));
    assert_eq!(updates.disk.environment().unwrap().left().map(layout::Slot::letter), Some("b"));
}

#[test]
fn a_dnsd_that_is_sick_in_both_slots_is_done_without() {
    let updates = Updates::new();
    let dies = "write(3, \"ready\\n\", 6); sleep(2); _exit(7);";
    let root = root_with(&updates.bed.folder.0, &Parts::new(), "dnsd", dies);
    for partition in [ROOT_A, ROOT_B] {
        updates.disk.overwrite(partition.offset(), &root);
    }
    let mut router = updates.start();
    router.wait_for("root a (squashfs)");
    router.wait_ready();
    router.wait_for("dnsd cannot stay up here: taking slot b");
    router.wait_for("root b (squashfs)");
    router.wait_for("slot a was left");
    router.wait_ready();
    router.wait_for("dnsd cannot stay up, and slot a was left for the same: the router stays up without it");
    step("there are addresses, and PID 1 says what is missing");
    let (_client, lease) = updates.bed.lease("laptop");
    assert!(lease.contains("192.168.42."), "{lease}");
    assert!(router.command("status").contains("cannot stay up"));
    step("the plug is pulled: it is remembered");
    router.cut();
    let mut router = updates.start();
    router.wait_for("root b (squashfs)");
    router.wait_ready();
    router.wait_for("dnsd cannot stay up, and slot a was left for the same: the router stays up without it");
}
