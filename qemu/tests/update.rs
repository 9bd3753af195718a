//! A signed update comes over the LAN, goes into the slot that is not running, and is started; one that is no good is left
//! again without anybody's help.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::Bed;
use qemu::child::PATIENCE;
use qemu::disk::Disk;
use qemu::router::Router;
use qemu::step;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use weir::disk::System;
use weir::machine::Firmware;
use weir::update;

const PASSWORD: &str = "correct horse";

struct Scene {
    bed: Bed,
    disk: Disk,
    key: PathBuf,
    /// Of this image: kernel, initramfs, root.
    parts: [Vec<u8>; 3],
}

impl Scene {
    fn new() -> Scene {
        let bed = Bed::new();
        bed.lan.ip("addr add 192.168.42.50/24 dev eth0");
        let disk = Disk::copy(&bed.folder.0);
        disk.set_environment(&[("words", "no_timer_check")]);
        let key = bed.folder.0.join("key");
        update::make_key(&key).unwrap();
        disk.write("update-keys/mine.pub", &std::fs::read(update::public_of(&key)).unwrap());
        disk.write(
            "webd/password",
            services::password::hash(PASSWORD, [7; services::password::SALT]).unwrap().as_bytes(),
        );
        std::fs::write(bed.folder.0.join("password"), format!("{PASSWORD}\n")).unwrap();
        let parts =
            ["vmlinuz", "initrd.img", "root.squashfs"].map(|name| std::fs::read(qemu::images().join(name)).unwrap());
        Scene { bed, disk, key, parts }
    }

    fn start(&self) -> Router {
        Router::boot_with(&self.bed, &self.disk, |machine| machine.firmware(Firmware::Bios))
    }

    /// An update with another initramfs, signed by somebody, made at some time.
    fn update(&self, name: &str, key: &Path, initrd: &[u8], made: u64) -> PathBuf {
        let [kernel, _, root] = &self.parts;
        let system = System { kernel, initrd, root };
        let bytes = update::sign(&update::Signer::open(key).unwrap(), &system, None, made).unwrap();
        let path = self.bed.folder.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// `weir update` on a host of the LAN: whether it went well, and what it said.
    fn send(&self, file: &Path) -> (bool, String) {
        self.send_with(file, &[])
    }

    fn send_with(&self, file: &Path, words: &[&str]) -> (bool, String) {
        let mut tool = std::process::Command::new(qemu::images().join("bin/weir"));
        tool.args(["update", "192.168.42.1"])
            .args(words)
            .arg(file)
            .arg("--password-file")
            .arg(self.bed.folder.0.join("password"));
        let output = self.bed.lan.run(move || tool.output()).unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn wants(&self, router: &mut Router, slot: &str) {
        router.command_until("status", |_| {
            let environment = self.disk.environment();
            environment.is_some_and(|found| found.get("slot") == Some(slot) && found.get("tries") == Some("3"))
        });
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn an_update_is_tried_and_stays_or_goes() {
    let scene = Scene::new();
    let mut router = scene.start();
    router.wait_for("root a (squashfs)");
    router.wait_ready();
    router.command_until("addresses", |said| said.contains("192.168.42.1"));
    let initrd = scene.parts[1].clone();

    step("what nobody signed whom the router trusts, what is cut, what is older, and who does not know the password");
    let stranger = scene.bed.folder.0.join("stranger");
    update::make_key(&stranger).unwrap();
    let (ok, said) = scene.send(&scene.update("foreign", &stranger, &initrd, now()));
    assert!(!ok && said.contains("signed by none of this router's keys"), "{said}");
    let good = scene.update("good", &scene.key, &initrd, now());
    let bytes = std::fs::read(&good).unwrap();
    let cut = scene.bed.folder.0.join("cut");
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    let (ok, said) = scene.send(&cut);
    assert!(!ok && said.contains("before its end"), "{said}");
    let (ok, said) = scene.send(&scene.update("old", &scene.key, &initrd, 1));
    assert!(!ok && said.contains("takes none from before"), "{said}");
    std::fs::write(scene.bed.folder.0.join("password"), "wrong horse\n").unwrap();
    let (ok, said) = scene.send(&good);
    assert!(!ok && said.contains("it is wrong"), "{said}");
    std::fs::write(scene.bed.folder.0.join("password"), format!("{PASSWORD}\n")).unwrap();
    assert_eq!(scene.disk.environment().unwrap().get("slot"), Some("a"));

    step("a good one: slot b, which stays");
    // After a wrong password its peer waits a moment.
    let limit = Instant::now() + PATIENCE;
    let sent = loop {
        let sent = scene.send(&good);
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

    step("one that panics before its first service: the old slot again");
    router.command_until("addresses", |said| said.contains("192.168.42.1"));
    let broken = scene.update("broken", &scene.key, &[0; 512], now());
    let (ok, said) = scene.send(&broken);
    assert!(ok && said.contains("has it in slot a"), "{said}");
    router.wait_for("slot a is on trial");
    router.wait_for("Kernel panic");
    router.wait_for("slot a was not ready in its last boots: taking slot b");
    router.wait_for("root b (squashfs)");
    router.wait_ready();
    router.wait_for("slot a has not stood its trial");
    scene.wants(&mut router, "b");

    step("the same one is not taken again, unless somebody insists");
    router.command_until("log updated", |said| said.contains("that one is not taken any more"));
    let (ok, said) = scene.send(&broken);
    assert!(!ok && said.contains("was no good"), "{said}");
    let (ok, said) = scene.send_with(&broken, &["--again"]);
    assert!(ok && said.contains("has it in slot a"), "{said}");
    router.wait_for("slot a was not ready in its last boots: taking slot b");
    router.wait_ready();
    scene.wants(&mut router, "b");
    assert!(!router.console().contains("no kexec"), "the boot loader had to do it");
}
