//! The uplink as a PPPoE session with a real concentrator, rp-pppoe's server and pppd: login by CHAP and PAP, packets of
//! 1,500 bytes, sessions that end and come again, a wrong password, a cable that is pulled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, PAGE, SERVER};
use qemu::concentrator::{self, Concentrator, PASSWORD, Setup, USER};
use qemu::disk::Disk;
use qemu::router::Router;
use qemu::step;
use std::path::Path;

fn concentrator(bed: &Bed, options: &str, mtu: u32) -> Concentrator {
    Concentrator::start(bed, Path::new(env!("CARGO_BIN_EXE_ppp_peer")), &Setup { options, mtu })
}

/// A disk whose uplink is a session, with this password and these words in its entry.
fn disk(bed: &Bed, password: &str, more: &str) -> Disk {
    let disk = Disk::copy(&bed.folder.0);
    let interfaces = format!(
        r#"{{"interfaces":[{{"hardware_addr":"52:54:00:77:00:01","name":"uplink0"{more},"pppoe":{{"username":"{USER}"}}}},
        {{"hardware_addr":"52:54:00:77:00:02","name":"lan0","addr":"192.168.42.1/24"}}]}}"#
    );
    disk.write("interfaces.json", interfaces.as_bytes());
    disk.write("pppoe/secret.json", format!(r#"{{"password":"{password}"}}"#).as_bytes());
    disk
}

fn log_until(router: &mut Router, words: &str) -> String {
    // The console folds long lines.
    let squeeze = |text: &str| text.split_whitespace().collect::<String>();
    router.command_until("log pppoe", |log| squeeze(log).contains(&squeeze(words)))
}

/// How long after the concentrator's offer the session was up, in milliseconds, by the router's own clock.
fn after_offer(log: &str) -> u64 {
    let words: Vec<&str> = log.split_whitespace().collect();
    let at = words.windows(4).rposition(|four| four[1..] == ["ms", "after", "its"]).expect(log);
    words[at].parse().expect(log)
}

#[test]
fn a_session_by_chap_is_an_uplink_like_any_other() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    let mut http = bed.serve_page();
    let mut ac = concentrator(&bed, "require-chap\n+ipv6\nlcp-echo-interval 5\nlcp-echo-failure 3", 1500);
    let disk = disk(&bed, PASSWORD, "");
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();

    step("login, an address, a page through NAT");
    router.command_until("addresses", |text| text.contains(concentrator::FIRST));
    assert_eq!(bed.download(&format!("http://{SERVER}/page")), PAGE);
}
