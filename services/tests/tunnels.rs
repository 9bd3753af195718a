//! What a router does about tunnels and shaping on whatever kernel this is: names of peers are asked for, the port is open,
//! and what the kernel does not know is said and stops nothing. The rest wants our own kernel: `qemu/tests/wireguard.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::house::House;

const KEY: &str = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[test]
fn names_are_asked_for_and_what_the_kernel_lacks_stops_nothing() {
    let house = House::new("{}");
    let mut names = house.router.spawn(
        "dnsmasq",
        &[
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--user=root",
            "--group=",
            "--pid-file=",
            "--log-facility=-",
            "--log-queries",
            "--no-resolv",
            "--no-hosts",
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            "--host-record=home.example.net,203.0.113.1",
        ],
    );
    names.wait_for("started");
    let text = format!(
        r#"{{"interfaces":[{{"name":"wg0","private_key":"{KEY}","port":51820,"peers":[
        {{"public_key":"{KEY}","endpoint":"home.example.net:51820","allowed_ips":["10.7.0.2/32"]}},
        {{"public_key":"short","allowed_ips":["10.7.0.3/32"]}}]}}]}}"#
    );
    house.root.write("/perm/wireguard.json", text);
    house.root.write("/perm/shaping.json", r#"{"up":"40 Gbit/s","down":"20 Mbit/s"}"#);
    let mut netconfigd = house.start();
    for kind in ["query[A]", "query[AAAA]"] {
        names.wait_until(kind, |line| line.contains(kind) && line.contains("home.example.net from 127.0.0.1"));
    }
    let lines = netconfigd.lines().join("\n");
    assert!(lines.contains("wireguard.json:3:23: interfaces[0].peers[1].public_key: \"short\""), "{lines}");
    assert!(lines.contains("shaping.json:1:7: up: \"40 Gbit/s\" is not"), "{lines}");
    assert!(lines.matches("wg0: wireguard interface made").count() <= 1, "one line for one trouble: {lines}");
    let chain = house.router.output("nft", &["list", "chain", "inet", "weir", "wan_udp"]);
    assert!(chain.contains("udp dport 51820 accept"), "{chain}");
    let applied = house.root.read(rights::APPLIED);
    assert!(applied.contains("uplink0"), "others are told of the interfaces all the same");

    house.root.write("/perm/wireguard.json", "{}");
    house.root.write("/perm/shaping.json", "{}");
    netconfigd.signal("USR1");
    netconfigd.wait_for("ruleset replaced");
    let chain = house.router.output("nft", &["list", "chain", "inet", "weir", "wan_udp"]);
    assert!(!chain.contains("51820"), "{chain}");
}
