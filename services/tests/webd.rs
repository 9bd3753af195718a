//! webd with real clients: the password, and everybody's metrics on one page.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, PATIENCE, Root, Services};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

struct Scene {
    router: Namespace,
    lan: Namespace,
    root: Root,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { router: Namespace::new(), lan: Namespace::new(), root: Root::new() };
        scene.router.veth("lan0", &scene.lan, "eth0");
        scene.lan.ip("addr add 192.168.42.7/24 dev eth0");
        scene.router.ip("addr add 192.168.42.1/24 dev lan0");
        scene.root.write(
            "/perm/interfaces.json",
            r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24"}]}"#,
        );
        scene
    }

    fn start(&self, name: &str) -> Child {
        let mut child = self.router.service(name, &self.root, &[]);
        child.wait_for("ready");
        child
    }

    fn ask(&self, request: &Value) -> Value {
        let mut stream = UnixStream::connect(self.root.path("/run/webd.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"))
    }

    fn check(&self, password: &str, peer: &str) -> Value {
        self.ask(&json!({"op": "check", "password": password, "peer": peer}))
    }

    fn page(&self) -> String {
        self.lan.output("curl", &["-sSf", "--max-time", "60", "http://192.168.42.1/metrics"])
    }
}

fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{series} in {page}"))
}

#[test]
fn a_password_is_set_asked_for_and_slows_who_guesses() {
    let scene = Scene::new();
    let webd = scene.start("webd");
    assert!(scene.check("correct horse", "192.168.42.7")["error"].as_str().unwrap().contains("no password is set"));
    assert!(scene.ask(&json!({"op": "set", "password": "short"}))["error"].is_string());
    assert_eq!(scene.ask(&json!({"op": "set", "password": "correct horse"})), json!({"ok": true}));
    assert_eq!(scene.check("correct horse", "192.168.42.7"), json!({"ok": true}));
    assert_eq!(scene.check("wrong horse", "192.168.42.8")["error"], "it is wrong");
    // Each time it waits twice as long, so that however slow we are we come too early once.
    while !scene.check("wrong horse", "192.168.42.8")["error"].as_str().unwrap().contains("wait") {}
    let token = scene.ask(&json!({"op": "token"}))["said"].as_str().unwrap().to_owned();
    let with = |token: &str| scene.ask(&json!({"op": "check", "token": token, "peer": "192.168.42.7"}));
    assert_eq!(with(&token), json!({"ok": true}));
    assert!(with("x")["error"].is_string());
    // What is wrong with a request is said without its words.
    for request in [json!({"op": "check", "peer": "a", "password": "xyzzy"}), json!({"op": "xyzzy"}), json!(7)] {
        let said = scene.ask(&request).to_string();
        assert!(said.contains("error") && !said.contains("xyzzy"), "{said}");
    }
    let page = scene.page();
    assert!(value(&page, r#"weir_password_checks_total{result="wrong"}"#) >= 2.0);
    assert_eq!(value(&page, r#"weir_password_checks_total{result="slowed"}"#), 1.0);
    assert!(!webd.lines().join("\n").contains("horse"), "a password is logged");
    // It holds over a restart.
    drop(webd);
    let _webd = scene.start("webd");
    assert_eq!(scene.check("correct horse", "192.168.42.7"), json!({"ok": true}));
    assert_eq!(with(&token), json!({"ok": true}));
}

fn resident_kib(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn the_memory_of_a_check_is_given_back() {
    let scene = Scene::new();
    let webd = scene.start("webd");
    scene.ask(&json!({"op": "set", "password": "correct horse"}));
    let before = resident_kib(&webd);
    for peer in 1..10 {
        assert_eq!(scene.check("wrong", &format!("10.0.0.{peer}"))["error"], "it is wrong");
    }
    let after = resident_kib(&webd);
    println!("resident: {before} KiB before, {after} KiB after nine hashes of 7 MiB");
    assert!(after < before + 1_024, "{before} KiB, then {after} KiB");
}

#[test]
fn everybodys_metrics_stand_on_one_page() {
    let scene = Scene::new();
    scene.router.ip("link add uplink0 type veth peer name isp0");
    scene.router.ip("addr add 203.0.113.9/24 dev uplink0");
    scene.router.ip("addr add 10.9.9.9/24 dev uplink0");
    scene.router.ip("link set uplink0 up");
    let _netconfigd = scene.start("netconfigd");
    let dnsd = scene.start("dnsd");
    let _webd = scene.start("webd");
    let page = scene.page();
    assert_eq!(value(&page, r#"weir_metrics_up{service="netconfigd"}"#), 1.0);
    assert_eq!(value(&page, r#"weir_metrics_up{service="dhcp4d"}"#), 0.0, "it does not run");
    assert_eq!(value(&page, r#"nftables_filter_forward_packets{family="ipv4"}"#), 0.0);
    assert_eq!(value(&page, "dns_queries"), 0.0);
    assert!(value(&page, "weir_password_hashes_total") == 0.0);
    let checked = scene.root.path("/tmp/page");
    // router7's names are older than the habits that promtool checks; the rest has to pass.
    let ours = page
        .lines()
        .filter(|line| !line.contains("nftables_filter_") && !line.contains(" dns_") && !line.starts_with("dns_"));
    std::fs::write(&checked, ours.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    scene.lan.output("sh", &["-c", &format!("promtool check metrics < {}", checked.display())]);

    // One who does not answer is left out, and costs the others nothing.
    dnsd.signal("STOP");
    let page = scene.page();
    assert_eq!(value(&page, r#"weir_metrics_up{service="dnsd"}"#), 0.0);
    assert_eq!(value(&page, r#"weir_metrics_up{service="netconfigd"}"#), 1.0);
    // Never by the uplink, not even where its address is a private one.
    for address in ["203.0.113.9:80", "10.9.9.9:80"] {
        assert!(scene.router.run(move || TcpStream::connect(address)).is_err(), "{address}");
    }
    assert!(scene.router.run(|| TcpStream::connect("192.168.42.1:80")).is_ok());
}

#[test]
fn a_real_prometheus_scrapes_the_one_page() {
    let scene = Scene::new();
    let _netconfigd = scene.start("netconfigd");
    let _webd = scene.start("webd");
    let contrib = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/prometheus");
    let folder = scene.root.path("/tmp");
    let config = std::fs::read_to_string(contrib.join("prometheus.yml")).unwrap().replace("5s", "1s");
    std::fs::write(folder.join("prometheus.yml"), config).unwrap();
    std::fs::copy(contrib.join("weir.rules.yml"), folder.join("weir.rules.yml")).unwrap();
    let words = [
        format!("--config.file={}", folder.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", folder.join("data").display()),
        "--web.listen-address=127.0.0.1:9090".to_owned(),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut prometheus = scene.lan.spawn("prometheus", &words);
    prometheus.wait_for("Server is ready");
    let query = |expression: &str| -> Value {
        let url = format!("http://127.0.0.1:9090/api/v1/query?query={expression}");
        let answer: Value = serde_json::from_str(&scene.lan.output("curl", &["-sS", &url])).unwrap();
        answer["data"]["result"][0]["value"][1].clone()
    };
    let deadline = std::time::Instant::now() + PATIENCE;
    while query("up%7Bjob=%22weir%22%7D") != "1" {
        assert!(std::time::Instant::now() < deadline, "never scraped");
    }
    assert_eq!(query("weir_metrics_up%7Bjob=%22weir%22,service=%22netconfigd%22%7D"), "1");
    assert_eq!(query("nftables_filter_forward_packets%7Bjob=%22weir%22,family=%22ipv4%22%7D"), "0");
}
