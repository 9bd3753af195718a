//! The uplink as a PPPoE session with a real concentrator, rp-pppoe's server and pppd: login by CHAP and PAP, packets of
//! 1,500 bytes, sessions that end and come again, a wrong password, a cable that is pulled, a plug that is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, NAME, PAGE, SERVER};
use qemu::concentrator::{Concentrator, FAR, FIRST, PASSWORD, Setup, USER};
use qemu::disk::Disk;
use qemu::provider6::{Offer, kea_text};
use qemu::qmp::set_cable;
use qemu::router::Router;
use qemu::step;
use qemu::stream::Download;
use std::path::Path;

/// The service's log says this once a session is up, with the milliseconds before it.
const UP: &str = " ms after its offer";
const CHAP: &str = "require-chap\n+ipv6\nlcp-echo-interval 5\nlcp-echo-failure 3";

fn concentrator(bed: &Bed, options: &str, server: &str, mtu: u32) -> Concentrator {
    Concentrator::start(
        bed,
        Path::new(env!("CARGO_BIN_EXE_ppp_peer")),
        &Setup { options, server, mtu, ..Setup::default() },
    )
}

fn secret(password: &str) -> String {
    format!(r#"{{"password":"{password}"}}"#)
}

/// A disk whose uplink is a session, with this password and these words in its entry.
fn disk(bed: &Bed, password: &str, more: &str) -> Disk {
    let disk = Disk::copy(&bed.folder.0);
    let interfaces = format!(
        r#"{{"interfaces":[
        {{"hardware_addr":"52:54:00:77:00:01","name":"uplink0"{more},"pppoe":{{"username":"{USER}"}}}},
        {{"hardware_addr":"52:54:00:77:00:02","name":"lan0","addr":"192.168.42.1/24"}}]}}"#
    );
    disk.write("interfaces.json", interfaces.as_bytes());
    disk.write("pppoe/secret.json", secret(password).as_bytes());
    disk
}

/// The console folds long lines: compared is without white space.
fn squeeze(text: &str) -> String {
    text.split_whitespace().collect()
}

fn count(log: &str, words: &str) -> usize {
    squeeze(log).matches(&squeeze(words)).count()
}

/// The log once it has had so many sessions; how many milliseconds after its offer the last one was up.
fn sessions(router: &mut Router, number: usize) -> u64 {
    let log = squeeze(&router.command_until("log pppoe", |log| count(log, UP) >= number));
    let before = &log[..log.rfind(&squeeze(UP)).unwrap()];
    let digits = before.len() - before.trim_end_matches(|letter: char| letter.is_ascii_digit()).len();
    let after = before[before.len() - digits..].parse().unwrap();
    eprintln!("session {number}: up {after} ms after its offer");
    after
}

fn reaches_the_internet(bed: &Bed) {
    assert_eq!(bed.download(&format!("http://{SERVER}/page")), PAGE);
}

#[test]
fn a_session_by_chap_is_an_uplink_like_any_other_and_comes_back() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    let mut http = bed.serve_page();
    let mut ac = concentrator(&bed, CHAP, "", 1500);
    let disk = disk(&bed, PASSWORD, "");
    let qmp = bed.folder.0.join("qmp");
    let mut router = Router::boot_with(&bed, &disk, |machine| machine.qmp(&qmp));
    router.wait_ready();
    let (_client, _) = bed.lease("laptop");

    step("login by CHAP, an address, name servers, a page through NAT; within a second of the offer");
    ac.wait_for("CHAP Success");
    assert!(sessions(&mut router, 1) < 1_000, "the concentrator's pppd included");
    router.command_until("addresses", |text| text.contains(&format!("{FIRST}/32")));
    reaches_the_internet(&bed);
    assert!(http.wait_for("/page").contains(FIRST), "the server must see the session's address");
    assert_eq!(bed.dig(&[NAME]), SERVER, "by the session's name server");
    let mut download = Download::begin(&bed);
    download.go_on();
    assert_eq!(download.segment(), 1_492 - 40 - 12, "clamped to the session, less TCP's time stamps");
    let text = router.command("addresses");
    assert!(text.contains("uplink0-eth") && text.contains("mtu 1492"), "{text}");

    step("the concentrator ends the session: another comes, with another address, and the page");
    ac.run("killall pppd");
    sessions(&mut router, 2);
    reaches_the_internet(&bed);
    assert!(http.wait_for("/page").contains(FAR));

    step("the concentrator falls silent: it is found out, and another session comes");
    ac.run("killall -STOP pppd");
    sessions(&mut router, 3);
    reaches_the_internet(&bed);
    assert!(count(&router.command("log pppoe"), "has fallen silent") == 1);

    step("the cable is out for a while: the same session goes on");
    let mut download = Download::begin(&bed);
    set_cable(&qmp, "net0", false);
    router.command_until("log pppoe", |log| log.contains("no carrier"));
    set_cable(&qmp, "net0", true);
    download.go_on();
    assert_eq!(count(&router.command("log pppoe"), UP), 3);

    step("the service is killed: it ends what it had, and the page is there again");
    router.command("signal pppoe KILL");
    router.command_until("log pppoe", |log| count(log, UP) >= 4);
    reaches_the_internet(&bed);

    step("an orderly stop says farewell");
    router.press("\rpoweroff\r");
    ac.wait_for("rcvd [LCP TermReq");
    router.wait_off();
    assert!(disk.read("pppoe/lease.json").is_some_and(|text| text.contains(FAR)));
    assert_eq!(disk.read("pppoe/session.json"), None);
}

#[test]
fn a_session_by_pap_with_whole_packets_and_a_plug_that_is_pulled() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    let _http = bed.serve_page();
    // A second session of the same client is refused.
    let mut ac = concentrator(&bed, "require-pap", "-x 1", 1508);
    let disk = disk(&bed, PASSWORD, r#","mtu":1500"#);
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    let (_client, _) = bed.lease("laptop");

    step("login by PAP, packets of 1,500 bytes (RFC 4638)");
    ac.wait_for("PAP AuthAck");
    assert!(sessions(&mut router, 1) < 1_000);
    let mut download = Download::begin(&bed);
    download.go_on();
    assert_eq!(download.segment(), 1_500 - 40 - 12);
    let text = router.command("addresses");
    assert!(text.contains("mtu 1508") && text.contains("mtu 1500"), "{text}");

    step("the plug is pulled: the session that was left open is ended first, and the next is granted");
    router.cut();
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    sessions(&mut router, 1);
    reaches_the_internet(&bed);
}

#[test]
fn a_wrong_password_is_one_line_and_the_right_one_is_used_at_once() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    let _http = bed.serve_page();
    let mut ac = concentrator(&bed, CHAP, "", 1500);
    let disk = disk(&bed, "wrong donkey", "");
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    let (_client, lease) = bed.lease("laptop");
    assert!(lease.contains("192.168.42."), "the LAN does without: {lease}");

    step("it is refused twice and said once");
    for _ in 0..2 {
        ac.wait_for("CHAP Failure");
    }
    let words = format!("CHAP: the concentrator does not let {USER:?} in");
    let log = router.command_until("log pppoe", |log| count(log, &words) > 0);
    assert_eq!(count(&log, &words), 1, "{log}");
    assert!(!log.contains("donkey"), "{log}");

    step("the right one, on trial and then kept");
    let said = router.command(&format!("apply 600\rpppoe/secret.json\r{}\r.\r", secret(PASSWORD)));
    assert!(said.contains("in force for 600 s"), "{said}");
    sessions(&mut router, 1);
    reaches_the_internet(&bed);
    router.command("keep");
    router.press("\rpoweroff\r");
    router.wait_off();
    assert_eq!(disk.read("pppoe/secret.json"), Some(secret(PASSWORD)));
    let uid = |name| rights::service(name).unwrap().uid;
    let ours = format!("0640 {} {}", uid("configd"), uid("pppoe"));
    assert_eq!(disk.owner("pppoe/secret.json"), ours, "nobody else may read it");
}

#[test]
fn ipv6_prefixes_and_pages_come_over_the_session() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    let kea = kea_text("ppp0", "/tmp", &Offer { pool: "2001:db8:a000::", times: [600, 900, 1800, 3600] }, 1);
    let radvd = "interface ppp0 { AdvSendAdvert on; AdvManagedFlag on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; };";
    let setup = Setup {
        options: CHAP,
        mtu: 1500,
        programs: &["/usr/sbin/kea-dhcp6", "/usr/sbin/radvd"],
        files: &[("/tmp/kea.json", &kea), ("/tmp/radvd.conf", radvd), ("/www/page", PAGE)],
        ..Setup::default()
    };
    let mut ac = Concentrator::start(&bed, Path::new(env!("CARGO_BIN_EXE_ppp_peer")), &setup);
    let disk = disk(&bed, PASSWORD, "");
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    sessions(&mut router, 1);
    for line in [
        "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
        "ip -6 addr add 2001:db8:1::10/128 dev lo",
        "httpd -h /www",
        "radvd -n -m stderr -C /tmp/radvd.conf -p /tmp/radvd.pid &",
        "KEA_PIDFILE_DIR=/tmp KEA_LOCKFILE_DIR=/tmp kea-dhcp6 -c /tmp/kea.json &",
    ] {
        ac.run(line);
    }
    ac.wait_for("DHCP6_STARTED");

    step("a prefix by DHCPv6, a default route by advertisement");
    router.command_until("addresses", |text| text.contains("2001:db8:a0"));
    router.command_until("routes", |text| text.lines().any(|line| line.starts_with("default via fe80::")));

    step("a page from the concentrator's side, over IPv6 alone");
    ac.run("ip -6 route add 2001:db8:a000::/40 dev ppp0");
    let deadline = std::time::Instant::now() + qemu::child::PATIENCE;
    while !bed.lan.ip("-6 route show default").contains("default") {
        assert!(std::time::Instant::now() < deadline, "the LAN's host has no default route");
    }
    let words = ["--silent", "--show-error", "--fail", "--max-time", "60", "--retry", "9", "--retry-all-errors"];
    assert_eq!(bed.lan.output("curl", &[&words[..], &["http://[2001:db8:1::10]/page"]].concat()), PAGE);
}
