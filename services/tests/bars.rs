//! What all that only looks on costs together while nothing happens: diagnosis, recorder, backup, dynamic DNS, time, log,
//! web and console.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, PATIENCE, Root, Services};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

const ALL: [&str; 9] = ["diagd", "captured", "backupd", "dyndns", "listd", "ntpd", "logd", "webd", "console"];
/// Half a percent of a processor.
const SHARE: f64 = 0.005;
/// KiB, of all and of webd.
const MEMORY: u64 = 8 << 10;
const WEBD: u64 = 2 << 10;

/// What is written and nobody else's, in KiB.
fn private_kib(child: &Child) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", child.id())).unwrap();
    let line = text.lines().find(|line| line.starts_with("Private_Dirty:")).unwrap();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap()
}

#[test]
fn who_only_looks_on_costs_little_together() {
    let (wan, router, root) = (Namespace::new(), Namespace::new(), Root::new());
    router.run(|| std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0")).unwrap();
    router.veth("uplink0", &wan, "eth0");
    router.ip("addr add 203.0.113.9/24 dev uplink0");
    router.ip("route add default via 203.0.113.1 dev uplink0");
    wan.ip("addr add 203.0.113.1/24 dev eth0");
    root.write(
        "/perm/interfaces.json",
        r#"{"interfaces":[{"name":"uplink0","addr":"203.0.113.9/24","gateway":"203.0.113.1","dns":["203.0.113.1"]}]}"#,
    );
    root.write("/perm/ntpd/config.json", r#"{"servers":["203.0.113.1"]}"#);
    root.write("/perm/diagd/config.json", r#"{"names":[],"ping":["203.0.113.1"],"portal":""}"#);
    // A name that is published nowhere: nobody listens there.
    root.write(
        "/perm/dyndns.json",
        r#"{"records":[{"desec":{"token":"t","server":"203.0.113.1"},"record_name":"a.example"}]}"#,
    );
    root.write("/run/ntpd/state.json", r#"{"right":true}"#);
    // Each round of diagd's asks the name server, which so tells the time.
    let server = wan.run(|| UdpSocket::bind("203.0.113.1:53")).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let children: Vec<Child> = ALL
        .iter()
        .map(|name| {
            let flags: &[&str] = if *name == "ntpd" { &["-no_adjust"] } else { &[] };
            let mut child = router.service(name, &root, flags);
            child.wait_for("ready");
            child
        })
        .collect();
    let used = || -> Vec<u64> { children.iter().map(Child::cpu_micros).collect() };
    let round = || {
        let mut last = Instant::now();
        loop {
            server.recv(&mut [0; 512]).expect("diagd's next round");
            // The questions of one round come together.
            if std::mem::replace(&mut last, Instant::now()).elapsed() > Duration::from_secs(10) {
                return;
            }
        }
    };
    round();
    let (begin, before) = (Instant::now(), used());
    round();
    let (window, after) = (begin.elapsed(), used());
    let (mut all, mut memory) = (0, 0);
    for ((name, child), (before, after)) in ALL.iter().zip(&children).zip(before.iter().zip(&after)) {
        let (micros, kib) = (after - before, private_kib(child));
        println!("{name:<10}{micros:>8} us in {:.0} s{kib:>8} KiB", window.as_secs_f64());
        assert!(*name != "webd" || kib <= WEBD, "{kib} KiB");
        (all, memory) = (all + micros, memory + kib);
    }
    let share = all as f64 / window.as_micros() as f64;
    println!("together: {:.3} % of a processor, {memory} KiB of private memory", share * 100.0);
    assert!(share <= SHARE && memory <= MEMORY, "{:.3} %, {memory} KiB", share * 100.0);
}
