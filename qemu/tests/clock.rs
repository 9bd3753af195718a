//! A machine whose battery clock says 1970 or 2060, and a real chronyd at the provider.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, ISP};
use qemu::child::Child;
use qemu::disk::Disk;
use qemu::router::Router;
use qemu::step;

fn chronyd(bed: &Bed) -> Child {
    let conf = bed.folder.file("chrony.conf");
    let pid = bed.folder.file("chrony.pid");
    std::fs::write(&conf, format!("local stratum 2\nallow all\ncmdport 0\npidfile {pid}\n")).unwrap();
    let mut child = bed.isp.spawn("chronyd", &["-d", "-x", "-u", "root", "-f", &conf]);
    child.wait_for("Disabled control of system clock");
    child
}

/// Today, and tomorrow in case that midnight comes.
fn is_today(said: &str) -> bool {
    let day = |seconds: i64| {
        let text =
            std::process::Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%F"]).output().unwrap();
        String::from_utf8(text.stdout).unwrap().trim().to_owned()
    };
    let now = netstack::clock::wall() / 1_000_000_000;
    [now - 600, now, now + 600].into_iter().any(|moment| said.contains(&format!("{}T", day(moment))))
}

#[test]
fn from_1970_and_2060_to_the_time_that_the_provider_knows() {
    let bed = Bed::new();
    let isp = bed.serve_isp_with(qemu::bed::WAN, &[&format!("--dhcp-option=option:ntp-server,{ISP}")]);
    let server = chronyd(&bed);
    let disk = Disk::copy(&bed.folder.0);

    step("the battery says 1970: the clock is set before any server is asked, then set right");
    let mut router = Router::boot_with(&bed, &disk, |machine| machine.clock("1970-01-01T00:00:00"));
    router.wait_ready();
    let said = router.command_until("clock", |text| text.contains(&format!("by {ISP} (stratum 3)")));
    assert!(is_today(&said), "{said}");
    let log = router.command("log ntpd");
    assert!(log.contains("which has passed for certain") && log.contains("off and is set"), "{log}");

    step("the LAN has its time from the router");
    bed.lan.ip("addr add 192.168.42.9/24 dev eth0");
    let conf = bed.folder.file("client.conf");
    std::fs::write(&conf, "server 192.168.42.1 iburst\ncmdport 0\n").unwrap();
    let mut client = bed.lan.spawn("chronyd", &["-Q", "-u", "root", "-t", "60", "-f", &conf]);
    let line = client.wait_for("System clock wrong by");
    let wrong: f64 = line.split("wrong by ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    // An emulated machine's clock is no better; its date is the matter here.
    assert!(wrong.abs() < 5.0, "{line}");

    step("the battery was told: after a restart the kernel reads today from it");
    router.press("\rreboot\r");
    router.wait_ready();
    let dmesg = router.command_until("dmesg", |text| text.contains("setting system clock to"));
    let line = dmesg.lines().find(|line| line.contains("setting system clock to")).unwrap();
    assert!(is_today(line), "{line}");
    router.press("\rpoweroff\r");
    router.wait_off();
    let kept = disk.read("ntpd/time").unwrap();
    assert!(is_today(&kept), "{kept}");
    assert!(disk.list("/").contains(&"random.seed".to_owned()));

    step("the battery is dead and the provider silent: not before what was kept");
    drop((isp, server));
    let mut router = Router::boot_with(&bed, &disk, |machine| machine.clock("1970-01-01T00:00:00"));
    router.wait_ready();
    let said = router.command("clock");
    assert!(is_today(&said) && said.contains("which no server has confirmed yet"), "{said}");
    router.cut();

    step("the battery says 2060: believed for want of better, and put right");
    let _isp = bed.serve_isp_with(qemu::bed::WAN, &[&format!("--dhcp-option=option:ntp-server,{ISP}")]);
    let _server = chronyd(&bed);
    let mut router = Router::boot_with(&bed, &disk, |machine| machine.clock("2060-01-01T00:00:00"));
    router.wait_ready();
    let said = router.command_until("clock", |text| text.contains(&format!("by {ISP} (stratum 3)")));
    assert!(is_today(&said), "{said}");
    drop(router);
    assert_eq!(disk.faults(), None);
}
