//! A router that takes updates: it trusts a key of the test's, and its password is known.
use crate::bed::{Bed, NAME, PAGE, SERVER};
use crate::disk::Disk;
use crate::router::Router;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use weir::disk::System;
use weir::machine::{Firmware, Machine};
use weir::update;

/// The router's password.
pub const PASSWORD: &str = "correct horse";

/// A kernel, an initramfs and a root.
#[derive(Debug, Clone)]
pub struct Parts {
    /// `vmlinuz`.
    pub kernel: Vec<u8>,
    /// `initrd.img`.
    pub initrd: Vec<u8>,
    /// `root.squashfs`.
    pub root: Vec<u8>,
}

impl Parts {
    /// Those of the image under test.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Parts {
        let read = |name: &str| std::fs::read(crate::images().join(name)).unwrap();
        Parts { kernel: read("vmlinuz"), initrd: read("initrd.img"), root: read("root.squashfs") }
    }
}

/// The router's surroundings, its disk, and who signs.
pub struct Updates {
    /// Provider and LAN.
    pub bed: Bed,
    /// Both slots hold the image under test.
    pub disk: Disk,
    /// The secret key that the router trusts.
    pub key: PathBuf,
}

/// Has diagd ask for what the bed's internet has ([`Bed::serve_page`]).
pub fn ask_the_bed(disk: &Disk) {
    let page = PAGE.trim();
    let config =
        format!(r#"{{"names":["{NAME}"],"ping":["{SERVER}"],"portal":"http://{NAME}/page","portal_answer":"{page}"}}"#);
    disk.write("diagd/config.json", config.as_bytes());
}

impl Updates {
    /// A new disk.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Updates {
        let bed = Bed::new();
        let disk = Disk::copy(&bed.folder.0);
        disk.set_environment(&[("words", "no_timer_check")]);
        let key = bed.folder.0.join("key");
        update::make_key(&key).unwrap();
        disk.write("update-keys/mine.pub", &std::fs::read(update::public_of(&key)).unwrap());
        let salt = [7; services::password::SALT];
        ask_the_bed(&disk);
        disk.write("webd/password", services::password::hash(PASSWORD, salt).unwrap().as_bytes());
        let new = Updates { bed, disk, key };
        new.say_password(PASSWORD);
        new
    }

    /// What `weir update` says from now on.
    pub fn say_password(&self, text: &str) {
        std::fs::write(self.bed.folder.0.join("password"), format!("{text}\n")).unwrap();
    }

    /// Started by a BIOS. The guest's time is that of its instructions: its rules do not depend on how busy the host is.
    pub fn start(&self) -> Router {
        self.start_with(|machine| machine.icount(true))
    }

    /// Started by a BIOS, in another machine.
    pub fn start_with(&self, change: impl FnOnce(Machine) -> Machine) -> Router {
        Router::boot_with(&self.bed, &self.disk, |machine| change(machine.firmware(Firmware::Bios)))
    }

    /// An update, signed by somebody, made at some time.
    pub fn update(&self, name: &str, key: &Path, parts: &Parts, made: u64) -> PathBuf {
        let system = System { kernel: &parts.kernel, initrd: &parts.initrd, root: &parts.root };
        let bytes = update::sign(&update::Signer::open(key).unwrap(), &system, None, made).unwrap();
        let path = self.bed.folder.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// `weir update`, for the LAN's host.
    pub fn sender(&self, file: &Path, words: &[&str]) -> Command {
        let mut tool = Command::new(crate::images().join("bin/weir"));
        tool.args(["update", "192.168.42.1"]).args(words).arg(file);
        tool.arg("--password-file").arg(self.bed.folder.0.join("password"));
        tool
    }

    /// Whether it went well, and what it said.
    pub fn send(&self, file: &Path, words: &[&str]) -> (bool, String) {
        let mut tool = self.sender(file, words);
        let output = self.bed.lan.run(move || tool.output()).unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Waits until the boot loader's count is at rest, with this slot wanted.
    pub fn wants(&self, router: &mut Router, slot: &str) {
        router.command_until("status", |_| {
            let environment = self.disk.environment();
            environment.is_some_and(|found| found.get("slot") == Some(slot) && found.get("tries") == Some("3"))
        });
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
