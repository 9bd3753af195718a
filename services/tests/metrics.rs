//! What netconfigd counts, as a real Prometheus on the LAN scrapes it with the rules of `contrib/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, Root, Services};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;

struct House {
    wan: Namespace,
    lan: Namespace,
    router: Namespace,
    root: Root,
}

impl House {
    fn new() -> House {
        let house = House { wan: Namespace::new(), lan: Namespace::new(), router: Namespace::new(), root: Root::new() };
        house.router.veth("uplink0", &house.wan, "eth0");
        house.router.veth("lan0", &house.lan, "eth0");
        house.wan.ip("addr add 203.0.113.1/24 dev eth0");
        house.lan.ip("addr add 192.168.42.7/24 dev eth0");
        house.lan.ip("route add default via 192.168.42.1");
        let text = r#"{"interfaces":[{"name":"lan0","addr":"192.168.42.1/24"},
            {"name":"uplink0","addr":"203.0.113.9/24","gateway":"203.0.113.1"}]}"#;
        house.root.write("/perm/interfaces.json", text);
        std::fs::create_dir_all(house.root.path("/perm/netconfigd")).unwrap();
        house
    }

    fn start(&self) -> Child {
        let mut netconfigd = self.router.service("netconfigd", &self.root, &[]);
        netconfigd.wait_for("ready");
        netconfigd
    }

    /// Sends a request from the LAN; the whole answer.
    fn ask(&self, request: &str) -> String {
        let request = request.to_owned();
        self.lan.run(move || {
            // Until the news of its address has reached netconfigd the port is closed, which connect says at once.
            let deadline = std::time::Instant::now() + common::PATIENCE;
            let mut stream = loop {
                match TcpStream::connect("192.168.42.1:8066") {
                    Ok(stream) => break stream,
                    Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
                }
            };
            stream.write_all(request.as_bytes()).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        })
    }

    fn metric(&self, name: &str) -> u64 {
        let page = self.ask("GET /metrics HTTP/1.1\r\nHost: weir\r\n\r\n");
        let line = page.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("{name}:\n{page}"))
    }

    /// Sends datagrams through the router; each is seen on the other side before the next.
    fn send_out(&self, count: usize) {
        let server = self.wan.run(|| UdpSocket::bind("203.0.113.1:7").unwrap());
        let client = self.lan.run(|| UdpSocket::bind("192.168.42.7:0").unwrap());
        server.set_read_timeout(Some(common::PATIENCE)).unwrap();
        for _ in 0..count {
            client.send_to(&[0; 72], "203.0.113.1:7").unwrap();
            server.recv(&mut [0; 72]).unwrap();
        }
    }
}

const FORWARDED: &str = r#"nftables_filter_forward_packets{family="ipv4"}"#;

#[test]
fn what_is_counted_goes_on_over_restarts_and_reboots() {
    let house = House::new();
    let mut netconfigd = house.start();
    assert_eq!(house.metric(FORWARDED), 0);
    house.send_out(100);
    assert_eq!(house.metric(FORWARDED), 100);
    assert_eq!(house.metric(r#"nftables_filter_forward_bytes{family="ipv4"}"#), 10_000);
    assert!(house.metric(r#"weir_interface_receive_packets_total{interface="lan0"}"#) >= 100);
    assert!(house.metric("weir_connections_limit") >= 8_192 && house.metric("weir_connections") >= 1);
    // Another ruleset, a kill, an orderly end.
    house.root.write("/perm/portforwardings.json", r#"{"forwardings":[{"port":"80","dest_addr":"192.168.42.7"}]}"#);
    netconfigd.signal("USR1");
    netconfigd.wait_for("port forwardings: 1");
    assert_eq!(house.metric(FORWARDED), 100);
    netconfigd.kill();
    let mut netconfigd = house.start();
    assert_eq!(house.metric(FORWARDED), 100);
    assert!(netconfigd.stop().success());
    assert!(house.root.read("/perm/netconfigd/counters.json").contains("forward4"));
    // A reboot: the kernel has forgotten everything, and has another name for the boot.
    house.router.output("nft", &["flush", "ruleset"]);
    house.router.run(|| netstack::conntrack::forget(|_| true)).unwrap();
    let path = house.root.path("/perm/netconfigd/counters.json");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let text = std::fs::read_to_string(&path).unwrap().replace(boot.trim(), "another boot");
    std::fs::write(&path, text).unwrap();
    let _netconfigd = house.start();
    house.send_out(5);
    assert_eq!(house.metric(FORWARDED), 105);
}

#[test]
fn each_device_is_counted_while_a_connection_stands_and_when_it_has_ended() {
    let house = House::new();
    let mac = "02:00:5e:00:00:07";
    house.lan.ip(&format!("link set eth0 address {mac}"));
    let lease = format!(r#"[{{"num":5,"addr":"192.168.42.7","hardware_addr":"{mac}","hostname":"laptop"}}]"#);
    house.root.write("/perm/dhcp4d/leases.json", lease);
    let mut netconfigd = house.start();
    let series = |what: &str, direction: &str| {
        format!(r#"weir_device_{what}_total{{device="laptop",hardware_addr="{mac}",direction="{direction}"}}"#)
    };
    let out = |house: &House| (house.metric(&series("packets", "out")), house.metric(&series("bytes", "out")));
    house.send_out(50);
    assert_eq!(out(&house), (50, 5_000));
    assert_eq!(house.metric(&series("packets", "in")), 0);
    // What the router itself is asked is not forwarded.
    assert_eq!(house.metric(FORWARDED), 50);
    // Ends, seen and unseen, and what was never said before its end.
    assert!(house.router.run(|| netstack::conntrack::forget(|flow| flow.protocol == 17)).unwrap() > 0);
    assert_eq!(out(&house), (50, 5_000));
    house.send_out(7);
    house.router.run(|| netstack::conntrack::forget(|flow| flow.protocol == 17)).unwrap();
    assert_eq!(out(&house), (57, 5_700));
    house.send_out(3);
    assert!(netconfigd.stop().success());
    house.router.run(|| netstack::conntrack::forget(|flow| flow.protocol == 17)).unwrap();
    let _netconfigd = house.start();
    assert_eq!(out(&house), (60, 6_000), "it ended while nobody listened");
    house.send_out(1);
    assert_eq!(out(&house), (61, 6_100));
    assert_eq!(house.metric(FORWARDED), 61);
    assert_eq!(house.metric("weir_connections_offloaded"), 0);
}

#[test]
fn a_rule_is_counted_by_its_name_for_as_long_as_there_is_one() {
    let house = House::new();
    let rule = r#"{"rules":[{"name":"hello","action":"allow","proto":"udp","port":"7"},
        {"name":"later","action":"refuse","port":"9","schedule":{"from":"00:00","to":"00:01"}}]}"#;
    house.root.write("/perm/firewall.json", rule);
    let mut netconfigd = house.start();
    house.send_out(5);
    assert_eq!(house.metric(r#"weir_rule_packets_total{rule="hello"}"#), 5, "nobody has answered yet");
    assert_eq!(house.metric(r#"weir_rule_bytes_total{rule="hello"}"#), 500);
    assert_eq!(house.metric(r#"weir_rule_packets_total{rule="later"}"#), 0, "in force or not");
    // Something else changes, a restart: it goes on.
    house.root.write("/perm/firewall.json", rule.replace("later", "never"));
    assert!(netconfigd.stop().success());
    let mut netconfigd = house.start();
    house.send_out(1);
    assert_eq!(house.metric(r#"weir_rule_packets_total{rule="hello"}"#), 6);
    house.root.write("/perm/firewall.json", "{}");
    netconfigd.signal("USR1");
    netconfigd.wait_for("ruleset replaced");
    assert!(!house.ask("GET /metrics HTTP/1.1\r\n\r\n").contains("weir_rule_packets_total{"));
    assert!(netconfigd.stop().success());
    assert!(!house.root.read("/perm/netconfigd/counters.json").contains("hello"), "nothing is kept for ever");
}

#[test]
fn requests_that_are_none_are_refused() {
    let house = House::new();
    let _netconfigd = house.start();
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("PUT /metrics HTTP/1.1\r\n\r\n", "405"),
        ("\0\0\r\n\r\n", "400"),
        (&format!("GET / HTTP/1.1\r\nA: {}\r\n", "a".repeat(9_000)), "431"),
    ] {
        let answer = house.ask(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {answer}");
    }
    // Many that say nothing do not keep one from being answered.
    let idle: Vec<TcpStream> =
        (0..100).filter_map(|_| house.lan.run(|| TcpStream::connect("192.168.42.1:8066")).ok()).collect();
    assert_eq!(house.metric(FORWARDED), 0);
    drop(idle);
    // Not towards the internet.
    assert!(house.router.run(|| TcpStream::connect("203.0.113.9:8066")).is_err());
}

#[test]
fn the_dashboard_asks_for_what_is_there() {
    let house = House::new();
    let _netconfigd = house.start();
    let page = house.ask("GET /metrics HTTP/1.1\r\n\r\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/grafana/weir.json");
    let dashboard: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() > 6);
    for expression in expressions {
        let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let names: Vec<&str> =
            words.filter(|word| word.starts_with("weir_") || word.starts_with("nftables_")).collect();
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            assert!(page.contains(&format!("# TYPE {name} ")), "{name} of {expression}");
        }
    }
}

#[test]
fn a_real_prometheus_scrapes_it() {
    let house = House::new();
    let _netconfigd = house.start();
    let contrib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/prometheus");
    let rules = contrib.join("weir.rules.yml");
    let checked = house.lan.output("promtool", &["check", "rules", rules.to_str().unwrap()]);
    assert!(checked.contains("SUCCESS"), "{checked}");
    let page = house.root.path("/tmp/page");
    let text = house.ask("GET /metrics HTTP/1.1\r\n\r\n");
    // router7's names are older than the habits that promtool checks; the rest has to pass.
    let ours = text.split_once("\r\n\r\n").unwrap().1.lines().filter(|line| !line.contains("nftables_filter_"));
    std::fs::write(&page, ours.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    house.lan.output("sh", &["-c", &format!("promtool check metrics < {}", page.display())]);

    house.lan.ip("link set lo up");
    let folder = house.root.path("/tmp");
    let config = std::fs::read_to_string(contrib.join("prometheus.yml")).unwrap().replace("5s", "1s");
    std::fs::write(folder.join("prometheus.yml"), config).unwrap();
    std::fs::copy(&rules, folder.join("weir.rules.yml")).unwrap();
    let words = [
        format!("--config.file={}", folder.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", folder.join("data").display()),
        "--web.listen-address=127.0.0.1:9090".to_owned(),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut prometheus = house.lan.spawn("prometheus", &words);
    prometheus.wait_for("Server is ready");
    house.send_out(9);
    let query = |expression: &str| -> Value {
        let url = format!("http://127.0.0.1:9090/api/v1/query?query={expression}");
        let answer: Value = serde_json::from_str(&house.lan.output("curl", &["-sS", &url])).unwrap();
        answer["data"]["result"][0]["value"][1].clone()
    };
    // A scrape after the packets; each query takes a while, so this does not spin.
    let deadline = std::time::Instant::now() + common::PATIENCE;
    while query("nftables_filter_forward_packets%7Bfamily=%22ipv4%22%7D") != "9" {
        assert!(std::time::Instant::now() < deadline, "never scraped");
    }
    assert_eq!(query("up%7Bjob=%22netconfigd%22%7D"), "1");
    assert_eq!(query("count(%7B__name__=~%22nftables_.*%22%7D)"), "12", "router7's twelve");
}
