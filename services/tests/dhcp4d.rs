//! dhcp4d against real clients: ISC dhclient and busybox udhcpc, in a network namespace as the LAN.
#![allow(clippy::unwrap_used)] // a helper of a test fails by panicking

mod common;

use common::{Child, Namespace, Root, Services};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

const LEASES: &str = "/perm/dhcp4d/leases.json";

struct Scene {
    router: Namespace,
    lan: Namespace,
    root: Root,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { router: Namespace::new(), lan: Namespace::new(), root: Root::new() };
        scene.router.veth("lan0", &scene.lan, "eth0");
        scene.router.ip("addr add 192.168.42.1/24 dev lan0");
        scene
    }

    fn dhcp4d(&self) -> Child {
        let mut dhcp4d = self.router.service("dhcp4d", &self.root, &[]);
        dhcp4d.wait_for("ready");
        dhcp4d
    }

    /// busybox udhcpc, once; the address it got.
    fn udhcpc(&self, words: &[&str]) -> String {
        let mut all = vec!["udhcpc", "-f", "-n", "-q", "-t", "10", "-i", "eth0", "-s", "/bin/true"];
        all.extend(words);
        let mut client = self.lan.spawn("busybox", &all);
        let line = client.wait_for("lease of");
        assert!(client.wait().success());
        line.split("lease of ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned()
    }

    /// ISC dhclient in the foreground, with its lease file under the root.
    fn dhclient(&self) -> Child {
        let leases = self.root.path("/tmp/dhclient.leases");
        let process = self.root.path("/tmp/dhclient.pid");
        let (leases, process) = (leases.to_str().unwrap(), process.to_str().unwrap());
        self.lan.spawn("dhclient", &["-4", "-d", "-v", "-sf", "/bin/true", "-lf", leases, "-pf", process, "eth0"])
    }
}

#[test]
fn dhclient_gets_renews_and_releases_a_lease() {
    let scene = Scene::new();
    let _dhcp4d = scene.dhcp4d();
    let mut client = scene.dhclient();
    client.wait_for("DHCPACK of 192.168.42.");
    let bound = client.wait_for("bound to 192.168.42.");
    let address = bound.split("bound to ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned();
    assert!(scene.root.read(LEASES).contains(&address));
    client.kill();
    // It knows its lease from its file: INIT-REBOOT.
    let mut client = scene.dhclient();
    client.wait_for(&format!("DHCPREQUEST for {address}"));
    client.wait_for(&format!("bound to {address}"));
}

#[test]
fn udhcpc_is_known_by_name_and_again_after_a_kill_of_the_server() {
    let scene = Scene::new();
    let mut dhcp4d = scene.dhcp4d();
    let address = scene.udhcpc(&["-x", "hostname:xps"]);
    let file = scene.root.read(LEASES);
    assert!(file.contains("\"hostname\": \"xps\"") && file.contains(&address), "{file}");
    dhcp4d.kill();
    let _dhcp4d = scene.dhcp4d();
    assert_eq!(scene.udhcpc(&[]), address);
    assert!(scene.root.read(LEASES).contains("\"hostname\": \"xps\""));
}

#[test]
fn a_static_lease_and_the_real_mask() {
    let scene = Scene::new();
    scene.root.write("/perm/interfaces.json", r#"{"interfaces":[{"name":"lan0","addr":"10.77.0.1/22"}]}"#);
    scene.lan.ip("link set eth0 address 02:00:00:00:00:07");
    scene.root.write(
        LEASES,
        r#"[{"num":700,"addr":"10.77.2.189","hardware_addr":"02:00:00:00:00:07","hostname":"nas","expiry":"0001-01-01T00:00:00Z"}]"#,
    );
    let _dhcp4d = scene.dhcp4d();
    assert_eq!(scene.udhcpc(&[]), "10.77.2.189");
    let file = scene.root.read(LEASES);
    assert!(file.contains("\"expiry\": \"0001-01-01T00:00:00Z\"") && file.contains("\"hostname\": \"nas\""), "{file}");
}

#[test]
fn the_lan_may_come_late_vanish_and_come_again() {
    let scene = Scene { router: Namespace::new(), lan: Namespace::new(), root: Root::new() };
    let mut dhcp4d = scene.router.service("dhcp4d", &scene.root, &[]);
    dhcp4d.wait_for("waiting for lan0");
    scene.router.ip(&format!("link add eth5 type veth peer name eth0 netns {}", scene.lan.path()));
    scene.lan.ip("link set eth0 up");
    scene.router.ip("link set eth5 name lan0");
    dhcp4d.wait_for("serving");
    dhcp4d.wait_for("ready");
    scene.router.ip("link set lan0 up");
    // No address is on the interface yet: the client is answered all the same.
    let first = scene.udhcpc(&[]);
    scene.router.ip("link del lan0");
    dhcp4d.wait_for("waiting for lan0");
    scene.router.veth("lan0", &scene.lan, "eth0");
    dhcp4d.wait_for("serving");
    let second = scene.udhcpc(&[]);
    assert!(first.starts_with("192.168.42.") && second.starts_with("192.168.42."));
    assert!(dhcp4d.stop().success());
}

/// A client of a few lines that takes broadcast answers.
struct Client {
    socket: UdpSocket,
    mac: [u8; 6],
}

impl Client {
    fn new(lan: &Namespace) -> Client {
        let socket = lan.run(|| UdpSocket::bind("0.0.0.0:68")).unwrap();
        socket.set_broadcast(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client { socket, mac: [2, 0, 0, 0, 0, 0] }
    }

    fn send(&self, kind: u8, requested: Option<Ipv4Addr>) -> std::io::Result<usize> {
        let mut bytes = vec![1, 1, 6, 0];
        bytes.extend(&self.mac[2..]);
        bytes.extend([0, 0, 0x80, 0]);
        bytes.resize(28, 0);
        bytes.extend(self.mac);
        bytes.resize(236, 0);
        bytes.extend([99, 130, 83, 99, 53, 1, kind]);
        if let Some(address) = requested {
            bytes.extend([50, 4]);
            bytes.extend(address.octets());
        }
        bytes.push(255);
        self.socket.send_to(&bytes, "255.255.255.255:67")
    }

    /// The next answer for this client: type and address.
    fn answer(&self) -> std::io::Result<(u8, Ipv4Addr)> {
        let mut bytes = [0; 1_500];
        loop {
            let count = self.socket.recv(&mut bytes)?;
            if count > 243 && bytes[4..8] == self.mac[2..] && bytes[28..34] == self.mac {
                return Ok((bytes[242], Ipv4Addr::new(bytes[16], bytes[17], bytes[18], bytes[19])));
            }
        }
    }

    /// DISCOVER, OFFER, REQUEST, ACK; the address.
    fn lease(&self) -> std::io::Result<Ipv4Addr> {
        self.send(1, None)?;
        let (kind, offered) = self.answer()?;
        assert_eq!(kind, 2);
        self.send(3, Some(offered))?;
        let (kind, address) = self.answer()?;
        assert_eq!((kind, address), (5, offered));
        Ok(address)
    }
}

#[test]
fn no_acknowledged_lease_is_lost_by_sigkill() {
    let scene = Scene::new();
    scene.lan.ip("addr add 192.168.42.254/24 dev eth0");
    scene.lan.ip("route add default dev eth0");
    let mut client = Client::new(&scene.lan);
    let mut given = Vec::new();
    for round in 0..10u8 {
        let mut dhcp4d = scene.dhcp4d();
        for _ in 0..=round % 4 {
            client.mac[5] += 1;
            given.push((client.mac, client.lease().unwrap()));
        }
        dhcp4d.kill();
        let file = scene.root.read(LEASES);
        for (mac, address) in &given {
            let [a, b, c, d, e, f] = mac;
            let text = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
            let record = file.split("\t{").find(|record| record.contains(&text));
            assert!(
                record.is_some_and(|record| record.contains(&format!("\"{address}\""))),
                "{text} {address}\n{file}"
            );
        }
    }
    let mut addresses: Vec<_> = given.iter().map(|(_, address)| *address).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), given.len());
}

#[test]
fn exchanges_and_their_cost() {
    let scene = Scene::new();
    scene.lan.ip("addr add 192.168.42.254/24 dev eth0");
    scene.lan.ip("route add default dev eth0");
    let dhcp4d = scene.dhcp4d();
    let mut client = Client::new(&scene.lan);
    let before = dhcp4d.cpu_micros();
    let start = std::time::Instant::now();
    let mut given = Vec::new();
    for number in 1..=200 {
        client.mac[5] = number;
        given.push(Some(client.lease().unwrap()));
    }
    let (cpu, wall) = (dhcp4d.cpu_micros() - before, start.elapsed().as_micros());
    println!("four-way exchange, new clients: {} us CPU, {} us in all", cpu / 200, wall / 200);
    assert_eq!(scene.root.read(LEASES).matches("\"addr\"").count(), 200);

    // All at once: the REQUESTs that wait share a write.
    let before = dhcp4d.cpu_micros();
    let start = std::time::Instant::now();
    for number in 1..=100u8 {
        client.mac[5] = number;
        client.send(3, given[usize::from(number) - 1]).unwrap();
    }
    let mut answered = std::collections::HashSet::new();
    let mut bytes = [0; 1_500];
    while answered.len() < 100 {
        client.socket.recv(&mut bytes).unwrap();
        assert_eq!(bytes[242], 5);
        answered.insert(bytes[33]);
    }
    let (cpu, wall) = (dhcp4d.cpu_micros() - before, start.elapsed().as_micros());
    println!("renewal, 100 at once: {} us CPU, {} us in all", cpu / 100, wall / 100);
}
