//! ntpd between real chronyd as servers and as a client, liars, and names. The namespaces share the host's clock, which
//! nobody here touches (`-no_adjust`, `chronyd -x`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, PATIENCE, Root, Services};
use netstack::wire::ntp::{LENGTH, Packet, SERVER, Timestamp, UNSYNCHRONISED};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const YEAR: i64 = 31_557_600 * 1_000_000_000;

struct Scene {
    wan: Namespace,
    router: Namespace,
    lan: Namespace,
    root: Root,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { wan: Namespace::new(), router: Namespace::new(), lan: Namespace::new(), root: Root::new() };
        for host in [&scene.router, &scene.lan, &scene.wan] {
            host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")).unwrap();
        }
        scene.router.veth("uplink0", &scene.wan, "eth0");
        scene.router.veth("lan0", &scene.lan, "eth0");
        scene.router.ip("addr add 203.0.113.9/24 dev uplink0");
        scene.router.ip("addr add 2001:db8:1::9/64 dev uplink0");
        scene.router.ip("addr add 192.168.42.1/24 dev lan0");
        scene.router.ip("addr add fd00::1/64 dev lan0");
        scene.lan.ip("addr add 192.168.42.7/24 dev eth0");
        scene.lan.ip("addr add fd00::7/64 dev eth0");
        for address in ["203.0.113.1/24", "203.0.113.2/24", "203.0.113.3/24", "2001:db8:1::1/64"] {
            scene.wan.ip(&format!("addr add {address} dev eth0"));
        }
        let text = r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24"}]}"#;
        scene.root.write("/perm/interfaces.json", text);
        scene
    }

    fn servers(&self, list: &str) {
        self.root.write("/perm/ntpd/config.json", format!("{{\"servers\":[{list}]}}"));
    }

    /// A real server on all addresses of the WAN, or on one.
    fn chronyd(&self, stratum: u8, on: &str) -> Child {
        let folder = self.root.path("/tmp");
        let file = folder.join(format!("chrony-{stratum}.conf"));
        let bind = if on.is_empty() { String::new() } else { format!("bindaddress {on}\n") };
        let text = format!(
            "local stratum {stratum}\nallow all\ncmdport 0\n{bind}pidfile {}\n",
            folder.join(format!("chrony-{stratum}.pid")).display()
        );
        std::fs::write(&file, text).unwrap();
        let mut child = self.wan.spawn("chronyd", &["-d", "-x", "-u", "root", "-f", file.to_str().unwrap()]);
        child.wait_for("Disabled control of system clock");
        child
    }

    fn start(&self) -> Child {
        let mut child = self.router.service("ntpd", &self.root, &["-no_adjust"]);
        child.wait_for("ready");
        child
    }

    /// What `/run/ntpd.sock` says.
    fn time(&self) -> Value {
        let mut stream = UnixStream::connect(self.root.path("/run/ntpd.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"{\"op\":\"time\"}\n").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"))
    }

    fn time_until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let time = self.time();
            if wanted(&time) {
                return time;
            }
            assert!(Instant::now() < deadline, "{what}: {time}");
            std::thread::yield_now();
        }
    }

    /// A question from a host to an address.
    fn ask(&self, host: &Namespace, to: &'static str) -> std::io::Result<Packet> {
        host.run(move || {
            let socket = UdpSocket::bind("[::]:0")?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.connect(to)?;
            let question = Packet { version: 4, mode: 3, transmit: Timestamp(7), ..Packet::default() };
            socket.send(&question.emit())?;
            let mut bytes = [0; 512];
            let length = socket.recv(&mut bytes)?;
            assert_eq!(length, LENGTH, "never longer than the question");
            Ok(Packet::parse(&bytes).unwrap())
        })
    }
}

/// Who says that it is another time.
fn liar(host: &Namespace, at: &'static str, lie: i64) {
    let socket = host.run(move || UdpSocket::bind((at, 123))).unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((_, from)) = socket.recv_from(&mut bytes) {
            let asked = Packet::parse(&bytes).unwrap();
            let now = Timestamp::from_nanos(netstack::clock::wall() + lie);
            let (receive, transmit) = (now, now);
            let answer =
                Packet { version: 4, mode: SERVER, stratum: 1, origin: asked.transmit, receive, transmit, ..asked };
            let _ = socket.send_to(&answer.emit(), from);
        }
    });
}

fn seconds(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_real_server_is_followed_and_a_real_client_follows() {
    let scene = Scene::new();
    let _server = scene.chronyd(5, "");
    let _names = scene.router.spawn(
        "dnsmasq",
        &[
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--user=root",
            "--group=",
            "--pid-file=",
            "--no-resolv",
            "--no-hosts",
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            "--host-record=ntp.example.net,203.0.113.1,2001:db8:1::1",
        ],
    );
    scene.servers(r#""ntp.example.net","203.0.113.3""#);
    let mut ntpd = scene.start();
    ntpd.wait_for("follows 203.0.113.");
    let time = scene.time_until("both are believed", |time| {
        time["servers"]
            .as_array()
            .is_some_and(|servers| servers.iter().filter(|one| one["believed"] == true).count() == 2)
    });
    assert_eq!((&time["right"], time["stratum"].as_u64()), (&Value::Bool(true), Some(6)), "{time}");
    // The same clock on both sides.
    assert!(seconds(&time["offset"]).abs() < 0.2, "{time}");
    let state: Value = serde_json::from_str(&scene.root.read("/run/ntpd/state.json")).unwrap();
    assert_eq!((&state["right"], &state["source"]), (&time["right"], &time["source"]));

    for to in ["192.168.42.1:123", "[fd00::1]:123"] {
        let answer = scene.ask(&scene.lan, to).unwrap();
        assert_eq!((answer.leap, answer.stratum, answer.origin), (0, 6, Timestamp(7)), "{to}");
    }
    let conf = scene.root.path("/tmp/client.conf");
    std::fs::write(&conf, "server 192.168.42.1 iburst\ncmdport 0\n").unwrap();
    let mut client = scene.lan.spawn("chronyd", &["-Q", "-u", "root", "-t", "60", "-f", conf.to_str().unwrap()]);
    let line = client.wait_for("System clock wrong by");
    let wrong: f64 = line.split("wrong by ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(wrong.abs() < 0.2, "{line}");
    assert!(client.wait().success());

    // The uplink's address has no such port: the refusal comes back at once.
    assert!(scene.ask(&scene.wan, "203.0.113.9:123").is_err());
    // Nothing was touched, so nothing is kept.
    assert_eq!(scene.root.read("/perm/ntpd/time"), "");
}

#[test]
fn one_liar_is_outvoted_and_two_servers_at_odds_are_not_believed() {
    let scene = Scene::new();
    liar(&scene.wan, "203.0.113.2", YEAR);
    let _server = scene.chronyd(5, "203.0.113.1");
    // A second honest one, which is no chronyd.
    liar(&scene.wan, "203.0.113.3", 0);
    scene.servers(r#""203.0.113.2","203.0.113.1","203.0.113.3""#);
    let _ntpd = scene.start();
    let time = scene.time_until("the clock is right", |time| time["right"] == true);
    assert!(seconds(&time["offset"]).abs() < 0.2, "{time}");
    let servers = time["servers"].as_array().unwrap();
    assert_eq!((&servers[0]["address"], &servers[0]["believed"]), (&"203.0.113.2".into(), &false.into()), "{time}");
    assert!(servers[1..].iter().all(|one| one["believed"] == true), "{time}");

    let scene = Scene::new();
    liar(&scene.wan, "203.0.113.2", YEAR);
    liar(&scene.wan, "203.0.113.3", 2 * YEAR);
    scene.servers(r#""203.0.113.2","203.0.113.3""#);
    let mut ntpd = scene.start();
    ntpd.wait_for("the servers contradict each other: 203.0.113.");
    assert_eq!(scene.time()["right"], false);
    let answer = scene.ask(&scene.lan, "192.168.42.1:123").unwrap();
    assert_eq!((answer.leap, answer.stratum, answer.reference_id), (UNSYNCHRONISED, 0, *b"INIT"));
}

#[test]
fn the_lease_says_whom_to_ask_and_a_new_one_is_followed() {
    let scene = Scene::new();
    let _server = scene.chronyd(5, "");
    let lease = |ntp: &str| {
        scene.root.write("/perm/dhcp4/wire/lease.json", format!("{{\"client_ip\":\"203.0.113.9\",\"ntp\":[{ntp}]}}"));
    };
    // Nobody is there.
    lease(r#""203.0.113.77""#);
    let ntpd = scene.start();
    scene.time_until("it is asked", |time| time["servers"][0]["address"] == "203.0.113.77");
    assert_eq!(scene.time()["right"], false);
    lease(r#""203.0.113.1""#);
    // What PID 1 does, by the table.
    assert!(rights::readers(rights::LEASE4).any(|reader| reader.name == "ntpd"));
    let told = std::process::Command::new("kill").args(["-s", "USR1", &ntpd.id().to_string()]).status().unwrap();
    assert!(told.success());
    scene.time_until("the new one is followed", |time| time["source"] == "203.0.113.1");
}

#[test]
fn a_client_that_asks_without_end_is_answered_seldom() {
    let scene = Scene::new();
    scene.servers(r#""203.0.113.77""#);
    let _ntpd = scene.start();
    let answered = scene.lan.run(|| {
        let flood = UdpSocket::bind("192.168.42.7:0").unwrap();
        flood.connect("192.168.42.1:123").unwrap();
        let question = Packet { version: 4, mode: 3, ..Packet::default() }.emit();
        let begin = Instant::now();
        for _ in 0..500 {
            flood.send(&question).unwrap();
        }
        // Questions and answers are in order: what another address asks is answered last.
        let other = UdpSocket::bind("[fd00::7]:0").unwrap();
        other.connect("[fd00::1]:123").unwrap();
        other.set_read_timeout(Some(PATIENCE)).unwrap();
        other.send(&question).unwrap();
        other.recv(&mut [0; 512]).expect("another client is served");
        flood.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut answers = 0;
        while flood.recv(&mut [0; 512]).is_ok() {
            answers += 1;
        }
        (answers, begin.elapsed().as_secs())
    });
    let (answers, took) = answered;
    assert!((1..=8 + 2 * (took + 1)).contains(&answers), "{answers} in {took} s");
}
