//! Files on trial in the whole machine, typed at the console: the time runs out, the plug is pulled, they are kept. And a
//! rule whose hour comes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::Bed;
use qemu::disk::Disk;
use qemu::router::Router;
use qemu::step;
use weir::machine::{LAN_MAC, UPLINK_MAC};

/// A second network of the LAN, and a bridge.
const NEW: &str = "192.168.77.1/24";

fn candidate() -> String {
    format!(
        "{{\"interfaces\":[\n{{\"name\":\"uplink0\",\"hardware_addr\":\"{UPLINK_MAC}\"}},\n{{\"name\":\"lan0\",\
         \"hardware_addr\":\"{LAN_MAC}\",\"addr\":\"192.168.42.1/24\",\"extra_addrs\":[\"{NEW}\"]}}],\n\
         \"bridges\":[{{\"name\":\"br7\"}}]}}"
    )
}

fn apply(router: &mut Router, seconds: u32, name: &str, text: &str) -> String {
    router.command(&format!("apply {seconds}\r{name}\r{}\r.\r", text.replace('\n', "\r")))
}

#[test]
fn what_is_tried_ends_by_itself_and_by_a_power_cut_and_stays_when_it_is_kept() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    let disk = Disk::copy(&bed.folder.0);
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    let is_new = |text: &str| text.contains(NEW) && text.contains("br7");
    let is_old = |text: &str| text.contains("192.168.42.1/24") && !text.contains(NEW) && !text.contains("br7");

    step("a wrong file changes nothing and has its place told");
    let said = apply(&mut router, 60, "interfaces.json", &candidate().replace("/24", ""));
    assert!(said.contains("nothing has changed") && said.contains("interfaces.json:3:"), "{said}");

    step("nobody keeps it: the old file holds again");
    let said = apply(&mut router, 5, "interfaces.json", &candidate());
    assert!(said.contains("in force for 5 s"), "{said}");
    router.command_until("addresses", is_new);
    router.command_until("addresses", is_old);

    step("the plug is pulled: the same");
    apply(&mut router, 3_600, "interfaces.json", &candidate());
    router.command_until("addresses", is_new);
    router.cut();
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    assert!(is_old(&router.command("addresses")));
    let (_client, lease) = bed.lease("laptop");
    assert!(lease.contains("192.168.42."), "{lease}");

    step("it is kept, in a service's folder as well; the plug is pulled at once");
    apply(
        &mut router,
        60,
        "interfaces.json",
        &format!("{}\n.\nradvd/config.json\n{{\"pref64\":\"64:ff9b::/96\"}}", candidate()),
    );
    router.command_until("addresses", is_new);
    assert!(router.command("keep").contains("kept"));
    router.cut();
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    assert!(is_new(&router.command("addresses")));
    router.press("\rpoweroff\r");
    router.wait_off();
    assert_eq!(disk.read("radvd/config.json").unwrap().trim(), r#"{"pref64":"64:ff9b::/96"}"#);
    assert_eq!(disk.list("configd"), [""; 0], "nothing is left to do");
    assert_eq!(disk.faults(), None);
}

#[test]
fn a_rule_holds_when_its_hour_comes() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    let disk = Disk::copy(&bed.folder.0);
    let rule = r#"{"rules":[{"name":"night","action":"refuse","schedule":{"from":"22:00","to":"06:00"}}]}"#;
    disk.write("firewall.json", rule.as_bytes());
    disk.write("time.json", br#"{"zone":"Europe/Zurich"}"#);
    // A day that no image is younger than: ntpd lets the clock go back no further than its own.
    let mut router = Router::boot_with(&bed, &disk, |machine| machine.clock("2031-11-24T20:59:40"));
    router.wait_ready();
    let log = router.command_until("log netconfigd", |text| text.contains("rules: 1"));
    let begins = log.find("rules: 1").unwrap();
    assert!(log[..begins].matches("ruleset replaced").count() >= 2, "not before its hour: {log}");
}
