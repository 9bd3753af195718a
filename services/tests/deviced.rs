//! deviced with a real dhcp4d, real clients, the kernel's neighbours and a real MQTT broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::family::Family;
use common::{Child, Namespace, PATIENCE, Root};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const MAC: &str = "00:00:0c:00:00:07";

struct Scene {
    router: Namespace,
    lan: Namespace,
    root: Root,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { router: Namespace::new(), lan: Namespace::new(), root: Root::new() };
        for host in [&scene.router, &scene.lan] {
            host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")).unwrap();
        }
        scene.router.veth("lan0", &scene.lan, "eth0");
        scene.lan.ip(&format!("link set eth0 address {MAC}"));
        scene.router.ip("addr add 192.168.42.1/24 dev lan0");
        scene.router.ip("addr add 2001:db8::1/64 dev lan0");
        scene.root.write(
            "/perm/interfaces.json",
            r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24"}]}"#,
        );
        let mut oui = b"weiroui1\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        oui.extend(b"\x00\x00\x0c\0\0\0\x05Maker");
        scene.root.write("/etc/oui", oui);
        scene
    }

    fn udhcpc(&self, name: &str) -> String {
        let host = format!("hostname:{name}");
        let words = ["udhcpc", "-f", "-n", "-q", "-t", "10", "-i", "eth0", "-s", "/bin/true", "-x", &host];
        let mut client = self.lan.spawn("busybox", &words);
        let line = client.wait_for("lease of");
        assert!(client.wait().success());
        line.split("lease of ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned()
    }

    fn device(&self) -> serde_json::Value {
        let table: serde_json::Value =
            serde_json::from_str(&self.root.read("/run/deviced/devices.json")).unwrap_or_default();
        let devices = table["devices"].as_array().cloned().unwrap_or_default();
        devices.into_iter().find(|device| device["hardware_addr"] == MAC).unwrap_or_default()
    }

    /// Waits until the table says so; how long that took.
    fn until(&self, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) -> Duration {
        let begin = Instant::now();
        loop {
            let device = self.device();
            if wanted(&device) {
                return begin.elapsed();
            }
            assert!(begin.elapsed() < PATIENCE, "{what}: {device}");
            std::thread::yield_now();
        }
    }

    fn ask(&self, line: &str) -> serde_json::Value {
        let mut stream = UnixStream::connect(self.root.path("/run/deviced.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"))
    }
}

#[test]
fn a_device_is_known_by_its_lease_and_by_what_it_does() {
    let scene = Scene::new();
    let mut family = Family::new(&scene.root);
    family.start(&scene.router, &scene.root, "deviced");
    family.start(&scene.router, &scene.root, "dhcp4d");
    let address = scene.udhcpc("XPS");
    let took = scene.until("a lease", |device| device["name"] == "xps");
    println!("in the table {took:?} after the client had its lease");
    let device = scene.device();
    assert_eq!((&device["ipv4"][0], &device["dhcp_name"]), (&address.as_str().into(), &"XPS".into()));
    assert_eq!((&device["interface"], &device["vendor"]), (&"lan0".into(), &"Maker".into()));

    // It speaks IPv6 to the router: neighbour discovery.
    scene.lan.ip("addr add 2001:db8::7/64 dev eth0");
    scene.lan.output("busybox", &["ping", "-c", "1", "-w", "20", "2001:db8::1"]);
    scene.until("an IPv6 address", |device| device["ipv6"][0] == "2001:db8::7");
    // And from an address that nobody has given it.
    scene.lan.ip("addr add 192.168.42.99/24 dev eth0");
    scene.lan.output("busybox", &["ping", "-c", "1", "-w", "20", "-I", "192.168.42.99", "192.168.42.1"]);
    scene.until("a second address", |device| device["ipv4"] == serde_json::json!([address, "192.168.42.99"]));

    // What a person says holds over a restart, and what was seen comes back.
    assert_eq!(scene.ask(&format!(r#"{{"op":"fix","hardware_addr":"{MAC}","name":"nas"}}"#))["ok"], true);
    assert_eq!(scene.device()["name"], "nas");
    assert!(scene.ask(r#"{"op":"fix","hardware_addr":"x","name":"nas"}"#)["error"].is_string());
    let first = scene.device()["first_seen"].clone();
    std::fs::remove_file(scene.root.path("/run/deviced/devices.json")).unwrap();
    family.start(&scene.router, &scene.root, "deviced");
    scene.until("the lease again", |device| device["ipv4"][0] == address.as_str());
    assert_eq!((&scene.device()["name"], &scene.device()["first_seen"]), (&"nas".into(), &first));
}

fn mosquitto(scene: &Scene) -> Child {
    scene.root.write("/tmp/mosquitto.conf", "listener 1883 192.168.42.5\nallow_anonymous true\nuser root\n");
    let config = scene.root.path("/tmp/mosquitto.conf");
    let mut broker = scene.lan.spawn("mosquitto", &["-v", "-c", config.to_str().unwrap()]);
    broker.wait_for("running");
    broker
}

#[test]
fn leases_are_published_as_router7_does() {
    let scene = Scene::new();
    scene.lan.ip("addr add 192.168.42.5/24 dev eth0");
    scene.root.write("/perm/dhcp4d/mqtt-broker.txt", "tcp://192.168.42.5:1883\n");
    let mut family = Family::new(&scene.root);
    family.start(&scene.router, &scene.root, "dhcp4d");
    family.start(&scene.router, &scene.root, "deviced");
    // The broker comes late.
    let mut broker = mosquitto(&scene);
    broker.wait_for("as dhcp4d");
    let address = scene.udhcpc("xps");
    broker.wait_for("Received PUBLISH from dhcp4d");
    // Kept for whoever comes later.
    let words = ["-h", "192.168.42.5", "-t", "router7/dhcp4d/lease/+", "-C", "1", "-W", "60", "-v"];
    let said = scene.lan.output("mosquitto_sub", &words);
    let (topic, payload) = said.trim().split_once(' ').unwrap();
    let payload: serde_json::Value = serde_json::from_str(payload).unwrap();
    assert_eq!((topic, &payload["addr"]), ("router7/dhcp4d/lease/xps", &address.as_str().into()));
    assert_eq!(payload["hardware_addr"], MAC);
    // It goes and comes back.
    broker.kill();
    family.of("deviced").wait_for("tried again");
    let mut broker = mosquitto(&scene);
    broker.wait_for("as dhcp4d");
    scene.udhcpc("xps");
    broker.wait_for("Received PUBLISH from dhcp4d");
}
