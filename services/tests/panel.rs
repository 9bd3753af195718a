//! The lights and the button, played by files and a pipe; the password is forgotten by the real webd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Namespace, PATIENCE, Root, Services};
use std::fs::File;
use std::io::Write;
use std::time::Instant;

const LIGHTS: [&str; 3] = [
    "/sys/class/leds/apu:green:1/brightness",
    "/sys/class/leds/apu:green:2/brightness",
    "/sys/class/leds/apu:green:3/brightness",
];

fn lights(root: &Root) -> String {
    LIGHTS.iter().map(|path| root.read(path).trim().to_owned()).collect()
}

fn until(root: &Root, wanted: &str) {
    let deadline = Instant::now() + PATIENCE;
    while lights(root) != wanted {
        assert!(Instant::now() < deadline, "{} instead of {wanted}", lights(root));
        std::thread::yield_now();
    }
}

#[test]
fn lights_follow_the_verdict_and_the_button_takes_the_password_away() {
    let (router, root) = (Namespace::new(), Root::new());
    LIGHTS.iter().for_each(|path| root.write(path, "0\n"));
    root.write("/dev/input/event1", "");
    std::fs::remove_file(root.path("/dev/input/event1")).unwrap();
    nix::unistd::mkfifo(&root.path("/dev/input/event1"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    root.write("/perm/webd/password", "damaged");
    let mut webd = router.service("webd", &root, &[]);
    webd.wait_for("ready");
    // Both ends, so that it has a writer before and after.
    let mut button = File::options().read(true).write(true).open(root.path("/dev/input/event1")).unwrap();
    let mut panel = router.service("panel", &root, &[]);
    panel.wait_for("ready");
    until(&root, "100");
    for (level, wanted) in [("fine", "110"), ("trouble", "111"), ("broken", "101")] {
        root.write("/run/diagd/state.json", format!("{{\"level\":\"{level}\"}}"));
        panel.signal("USR1");
        until(&root, wanted);
    }
    let press =
        |value: i32| [&[0; 16][..], &1_u16.to_ne_bytes(), &0x198_u16.to_ne_bytes(), &value.to_ne_bytes()].concat();
    button.write_all(&press(1)).unwrap();
    panel.wait_for("the button was held for 10 s");
    webd.wait_for("the button was held: there is no password any more");
    until(&root, "111");
    assert_eq!(root.read("/perm/webd/password"), "none\n");
    assert!(root.read("/run/webd/visit").trim().parse::<u64>().is_ok());
    button.write_all(&press(0)).unwrap();
    until(&root, "101");
    assert!(panel.stop().success());
}
