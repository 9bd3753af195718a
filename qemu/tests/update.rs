//! A signed update comes over the LAN, goes into the slot that is not running, and is started; one that is no good is left
//! again without anybody's help.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::child::PATIENCE;
use qemu::step;
use qemu::updates::{PASSWORD, Parts, Updates, now};
use std::time::Instant;
use weir::update;

#[test]
fn an_update_is_tried_and_stays_or_goes() {
    let scene = Updates::new();
    scene.bed.lan.ip("addr add 192.168.42.50/24 dev eth0");
    let mut router = scene.start();
    router.wait_for("root a (squashfs)");
    router.wait_ready();
    router.command_until("addresses", |said| said.contains("192.168.42.1"));
    let parts = Parts::new();

    step("what nobody signed whom the router trusts, what is cut, what is older, and who does not know the password");
    let stranger = scene.bed.folder.0.join("stranger");
    update::make_key(&stranger).unwrap();
    let (ok, said) = scene.send(&scene.update("foreign", &stranger, &parts, now()), &[]);
    assert!(!ok && said.contains("signed by none of this router's keys"), "{said}");
    let good = scene.update("good", &scene.key, &parts, now());
    let bytes = std::fs::read(&good).unwrap();
    let cut = scene.bed.folder.0.join("cut");
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    let (ok, said) = scene.send(&cut, &[]);
    assert!(!ok && said.contains("before its end"), "{said}");
    let (ok, said) = scene.send(&scene.update("old", &scene.key, &parts, 1), &[]);
    assert!(!ok && said.contains("takes none from before"), "{said}");
    scene.say_password("wrong horse");
    let (ok, said) = scene.send(&good, &[]);
    assert!(!ok && said.contains("it is wrong"), "{said}");
    scene.say_password(PASSWORD);
    assert_eq!(scene.disk.environment().unwrap().get("slot"), Some("a"));

    step("a good one: slot b, which stays");
    // After a wrong password its peer waits a moment.
    let limit = Instant::now() + PATIENCE;
    let sent = loop {
        let sent = scene.send(&good, &[]);
        if !sent.1.contains("wait") || Instant::now() > limit {
            break sent;
        }
    };
    assert!(sent.0 && sent.1.contains("has it in slot b and starts it"), "{}", sent.1);
    router.wait_for("slot b is on trial");
    router.wait_for("root b (squashfs)");
    router.wait_ready();
    router.wait_for("slot b is good and stays");
    scene.wants(&mut router, "b");

    step("one without a root: the old slot again");
    router.command_until("addresses", |said| said.contains("192.168.42.1"));
    let broken = scene.update("broken", &scene.key, &Parts { root: vec![0; parts.root.len()], ..parts }, now());
    let (ok, said) = scene.send(&broken, &[]);
    assert!(ok && said.contains("has it in slot a"), "{said}");
    router.wait_for("slot a is on trial");
    router.wait_for("slot a is on trial and has no root (no squashfs): back to the other one");
    router.wait_for("slot a was not ready in its last boots: taking slot b");
    router.wait_for("root b (squashfs)");
    router.wait_ready();
    router.wait_for("slot a has not stood its trial");
    scene.wants(&mut router, "b");

    step("the same one is not taken again, unless somebody insists");
    router.command_until("log updated", |said| said.contains("that one is not taken any more"));
    let (ok, said) = scene.send(&broken, &[]);
    assert!(!ok && said.contains("was no good"), "{said}");
    let (ok, said) = scene.send(&broken, &["--again"]);
    assert!(ok && said.contains("has it in slot a"), "{said}");
    router.wait_for("slot a was not ready in its last boots: taking slot b");
    router.wait_ready();
    scene.wants(&mut router, "b");
    let console = router.console();
    for slot in ["b", "a"] {
        assert!(console.contains(&format!("kexec: slot {slot} is loaded\n")), "not by kexec, or not wrapped");
    }
    assert!(!console.contains("no kexec"), "the boot loader had to do it");
}

/// Nothing here depends on the guest's time but the panic's own delay, which is counted in turns of a loop: so this machine
/// has the host's.
#[test]
fn one_that_panics_before_pid_1_is_left_again() {
    let scene = Updates::new();
    scene.bed.lan.ip("addr add 192.168.42.50/24 dev eth0");
    let mut router = scene.start_with(|machine| machine);
    router.wait_for("root a (squashfs)");
    router.wait_ready();
    router.command_until("addresses", |said| said.contains("192.168.42.1"));
    // An empty initramfs.
    let broken = scene.update("broken", &scene.key, &Parts { initrd: vec![0; 512], ..Parts::new() }, now());
    let (ok, said) = scene.send(&broken, &[]);
    assert!(ok && said.contains("has it in slot b"), "{said}");
    router.wait_for("kexec: slot b is loaded\n");
    router.wait_for("Kernel panic");
    router.wait_for("slot b was not ready in its last boots: taking slot a");
    router.wait_for("root a (squashfs)");
    router.wait_ready();
    router.wait_for("slot b has not stood its trial");
    scene.wants(&mut router, "a");
    let (ok, said) = scene.send(&broken, &[]);
    assert!(!ok && said.contains("was no good"), "{said}");
}
