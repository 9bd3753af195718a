//! What a person does at the console of the machine: another address for the LAN, a look at what costs, everything erased.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::Bed;
use qemu::disk::Disk;
use qemu::router::Router;
use qemu::step;

#[test]
fn the_lan_is_moved_and_everything_is_erased() {
    let bed = Bed::new();
    let disk = Disk::copy(&bed.folder.0);
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();

    step("top, drawn anew until a key");
    router.press("\rtop\r");
    router.wait_for("processors ");
    router.wait_for("processors ");
    router.press("q");
    let ring = router.command_until("capture", |text| text.contains("KiB are held"));
    assert!(ring.contains("nothing is kept: `capture on`"), "{ring}");
    assert!(!router.command_until("capture on", |text| text.contains("KiB are held")).contains("nothing is kept"));

    step("another address for lan0, on trial and kept");
    let said = router.command("lan 10.7.7.1/24");
    assert!(said.contains("lan0 has 10.7.7.1/24 for 60 s"), "{said}");
    router.command_until("addresses", |text| text.contains("10.7.7.1/24") && !text.contains("192.168.42.1/24"));
    assert!(router.command("keep").contains("kept"));
    router.press("\rreboot\r");
    router.wait_ready();
    router.command_until("addresses", |text| text.contains("10.7.7.1/24"));

    step("a factory reset, which is asked for twice");
    router.press("\rfactory-reset\r");
    router.wait_for("type yes to erase it: ");
    router.press("no\r");
    router.wait_for("nothing has changed");
    router.press("factory-reset\r");
    router.wait_for("type yes to erase it: ");
    router.press("yes\r");
    router.wait_for("factory reset: /perm is empty");
    router.wait_ready();
    router.command_until("addresses", |text| text.contains("192.168.42.1/24") && !text.contains("10.7.7.1"));
    bed.lease("laptop");
    router.press("\rpoweroff\r");
    router.wait_off();
    assert!(disk.read("interfaces.json").is_none());
    // Nor does the spare copy know it any more.
    let spare = disk.bytes(layout::SPARE.offset(), layout::SPARE.bytes() as usize);
    assert!(!spare.windows(8).any(|eight| eight == b"10.7.7.1"), "what was erased could come back");
    assert_eq!(disk.faults(), None);
}
