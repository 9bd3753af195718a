//! Files on trial: a real netconfigd follows them, and everything ends as it began unless somebody keeps it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, Root, Services};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

const OLD: &str = r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24"}]}"#;
const NEW: &str = r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24",
    "extra_addrs":["192.168.77.1/24"]}],"bridges":[{"name":"br7"}]}"#;

struct Bench {
    router: Namespace,
    /// The other end of both cables.
    _outside: Namespace,
    root: Root,
    netconfigd: Child,
    configd: Child,
}

impl Bench {
    fn new() -> Bench {
        let (router, outside, root) = (Namespace::new(), Namespace::new(), Root::new());
        router.veth("uplink0", &outside, "eth1");
        router.veth("lan0", &outside, "eth0");
        root.write("/perm/interfaces.json", OLD);
        let mut netconfigd = router.service("netconfigd", &root, &[]);
        netconfigd.wait_for("ready");
        let mut configd = router.service("configd", &root, &[]);
        configd.wait_for("ready");
        Bench { router, _outside: outside, root, netconfigd, configd }
    }

    fn ask(&self, line: &str) -> serde_json::Value {
        let mut stream = UnixStream::connect(self.root.path("/run/configd.sock")).unwrap();
        stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"))
    }

    fn attempt(&self, text: &str, confirm: Option<u64>) -> serde_json::Value {
        let request = serde_json::json!({"op": "try", "files": {"interfaces.json": text}, "confirm": confirm});
        self.ask(&request.to_string())
    }

    /// What PID 1 would do, having been told.
    fn follow(&mut self, words: &str) {
        self.netconfigd.signal("USR1");
        self.netconfigd.wait_for(words);
    }

    fn addresses(&self) -> String {
        self.router.output("ip", &["-br", "addr"])
    }

    fn good(&self) -> String {
        self.root.read("/perm/netconfigd/interfaces.json")
    }
}

#[test]
fn what_is_tried_ends_unless_it_is_kept() {
    let mut bench = Bench::new();
    let before = bench.addresses();
    assert_eq!(bench.attempt(NEW, Some(60)), serde_json::json!({"ok": true, "confirm": 60}));
    bench.follow("lan0: got 192.168.77.1/24");
    assert!(bench.addresses().contains("br7"), "{}", bench.addresses());
    assert_eq!((bench.root.read("/perm/interfaces.json"), bench.good()), (OLD.into(), OLD.into()), "only tried");
    assert!(bench.attempt(NEW, Some(60))["error"].as_str().unwrap().contains("is on trial"));
    assert_eq!(bench.ask(r#"{"op":"state"}"#)["trial"]["files"][0], "interfaces.json");

    // Taken back.
    assert_eq!(bench.ask(r#"{"op":"revert"}"#)["ok"], true);
    bench.follow("lan0: lost 192.168.77.1/24");
    assert!(!bench.addresses().contains("br7") && bench.ask(r#"{"op":"revert"}"#)["error"].is_string());

    // Time out: the shortest that there is.
    bench.attempt(NEW, Some(5));
    bench.follow("lan0: got 192.168.77.1/24");
    bench.configd.wait_for("nobody has kept it");
    bench.follow("lan0: lost 192.168.77.1/24");

    // A crash, of both: what only the candidate said is taken away all the same.
    bench.attempt(NEW, Some(3_600));
    bench.follow("lan0: got 192.168.77.1/24");
    bench.configd.kill();
    bench.netconfigd.kill();
    bench.configd = bench.router.service("configd", &bench.root, &[]);
    bench.configd.wait_for("configd has ended meanwhile");
    bench.netconfigd = bench.router.service("netconfigd", &bench.root, &[]);
    bench.netconfigd.wait_for("lan0: lost 192.168.77.1/24");
    bench.configd.wait_for("ready");
    assert_eq!(common_part(&bench.addresses()), common_part(&before));

    // Kept.
    bench.attempt(NEW, Some(60));
    bench.follow("lan0: got 192.168.77.1/24");
    assert_eq!(bench.ask(r#"{"op":"keep"}"#)["kept"][0], "interfaces.json");
    assert_eq!(bench.root.read("/perm/interfaces.json"), NEW);
    assert!(!bench.root.path("/run/try/now").exists());
    bench.follow("nothing to change");
    assert_eq!(bench.good(), NEW, "now it is the good copy");

    // Without a trial.
    assert_eq!(bench.attempt(OLD, None)["kept"][0], "interfaces.json");
    bench.follow("lan0: lost 192.168.77.1/24");
    assert_eq!(bench.root.read("/perm/interfaces.json"), OLD);
}

/// Link-local addresses come when they like.
fn common_part(addresses: &str) -> Vec<String> {
    let words =
        |line: &str| line.split_whitespace().filter(|word| !word.starts_with("fe80")).collect::<Vec<_>>().join(" ");
    addresses.lines().map(words).collect()
}

#[test]
fn wrong_candidates_change_nothing_and_are_told_with_their_place() {
    let bench = Bench::new();
    bench.root.write("/perm/portforwardings.json", r#"{"forwardings":[{"port":"80","dest_addr":"192.168.42.7"}]}"#);
    let refused = |text: &str| bench.attempt(text, Some(60))["error"].as_str().unwrap_or_default().to_owned();
    let wrong = "{\"interfaces\":[\n{\"name\":\"lan0\",\"addr\":\"192.168.42.1\"}]}";
    assert!(refused(wrong).starts_with("interfaces.json:2:"), "{}", refused(wrong));
    // It is right by itself, and does not fit what stands besides.
    let other = OLD.replace("192.168.42.1", "10.0.0.1");
    let said = refused(&other);
    assert!(said.starts_with("portforwardings.json:1:") && said.contains("192.168.42.7 is in no LAN"), "{said}");
    let both = serde_json::json!({"op": "try", "files": {"interfaces.json": other, "portforwardings.json": "{}"}});
    assert_eq!(bench.ask(&both.to_string())["ok"], true);
    // What was wrong already keeps nobody from mending something else.
    bench.root.write("/perm/firewall.json", "{");
    assert_eq!(bench.attempt(OLD, None)["ok"], true);
    for name in ["/perm/passwd", "../etc/passwd", "configd/keep.json", "dhcp4d/leases.json"] {
        let request = serde_json::json!({"op": "try", "files": {name: "{}"}});
        assert!(
            bench.ask(&request.to_string())["error"].as_str().unwrap().contains("is none that weir reads"),
            "{name}"
        );
    }
    assert!(!bench.root.path("/run/try/now").exists());
}

#[test]
fn a_candidate_goes_without_a_trace_where_there_was_no_file() {
    let mut bench = Bench::new();
    std::fs::remove_file(bench.root.path("/perm/interfaces.json")).unwrap();
    bench.follow("nothing to change");
    bench.attempt(NEW, Some(60));
    bench.follow("lan0: got 192.168.77.1/24");
    bench.ask(r#"{"op":"revert"}"#);
    bench.follow("lan0: lost 192.168.77.1/24");
    assert!(!bench.addresses().contains("br7"), "{}", bench.addresses());
}

#[test]
fn a_disk_that_refuses_a_copy_loses_nothing_that_was_said_to_be_kept() {
    let mut bench = Bench::new();
    bench.attempt(NEW, Some(5));
    bench.follow("lan0: got 192.168.77.1/24");
    // A folder in the temporary file's place makes the copy fail as a full disk would; the promise is written by then.
    let obstacle = bench.root.path("/perm/.interfaces.json.new");
    std::fs::create_dir(&obstacle).unwrap();
    assert_eq!(bench.ask(r#"{"op":"keep"}"#)["ok"], true);
    bench.configd.wait_for("not all in its place");
    assert!(bench.attempt(OLD, None)["error"].as_str().unwrap().contains("not all in their place"));
    // It is in force all the time, the trial's end notwithstanding, and over a crash.
    bench.configd.wait_for("not all in its place");
    bench.configd.kill();
    assert!(bench.root.path("/run/try/now/interfaces.json").exists());
    std::fs::remove_dir(&obstacle).unwrap();
    bench.configd = bench.router.service("configd", &bench.root, &[]);
    bench.configd.wait_for("kept: interfaces.json");
    bench.configd.wait_for("ready");
    assert_eq!(bench.root.read("/perm/interfaces.json"), NEW);
    assert!(!bench.root.path("/run/try/now").exists());
}

#[test]
fn a_secret_that_is_kept_is_for_its_readers_alone() {
    use std::os::unix::fs::MetadataExt;
    let bench = Bench::new();
    // What an earlier life has left is open to everybody.
    bench.root.write("/perm/wireguard.json", "{}");
    let request = serde_json::json!({"op": "try", "files": {"wireguard.json": "{\"interfaces\":[]}"}, "confirm": 60});
    assert_eq!(bench.ask(&request.to_string())["ok"], true);
    assert_eq!(bench.ask(r#"{"op":"keep"}"#)["ok"], true);
    let mode = |path: &str| std::fs::metadata(bench.root.path(path)).unwrap().mode() & 0o7777;
    assert_eq!(bench.root.read("/perm/wireguard.json"), "{\"interfaces\":[]}");
    assert_eq!((mode("/perm/wireguard.json"), mode("/perm/interfaces.json") & 0o400), (0o640, 0o400));
}
