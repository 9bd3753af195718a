//! dhcp4d against real clients: ISC dhclient, busybox udhcpc and dhcpcd, in a network namespace as the LAN.
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
    let mut dhcp4d = scene.dhcp4d();
    let mut client = scene.dhclient();
    client.wait_for("DHCPACK of 192.168.42.");
    let bound = client.wait_for("bound to 192.168.42.");
    let address = bound.split("bound to ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned();
    client.kill();
    assert!(dhcp4d.stop().success());
    assert!(scene.root.read(LEASES).contains(&address), "equal after an orderly stop");
    let _dhcp4d = scene.dhcp4d();
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
    dhcp4d.kill();
    let mut dhcp4d = scene.dhcp4d();
    assert_eq!(scene.udhcpc(&[]), address);
    assert!(dhcp4d.stop().success());
    let file = scene.root.read(LEASES);
    assert!(file.contains("\"hostname\": \"xps\"") && file.contains(&address), "{file}");
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
    let mut dhcp4d = scene.dhcp4d();
    assert_eq!(scene.udhcpc(&[]), "10.77.2.189");
    assert!(dhcp4d.stop().success());
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
fn exchanges_and_their_cost() {
    let scene = Scene::new();
    scene.lan.ip("addr add 192.168.42.254/24 dev eth0");
    scene.lan.ip("route add default dev eth0");
    let mut dhcp4d = scene.dhcp4d();
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
    assert!(dhcp4d.stop().success());
    assert_eq!(scene.root.read(LEASES).matches("\"addr\"").count(), 200);
}

#[test]
fn dhcpcd_gets_a_lease_with_its_identifier_and_its_options() {
    let scene = Scene::new();
    scene.root.write(
        "/perm/dhcp4d/config.json",
        r#"{"lans":[{"name":"lan0","lease_seconds":7200,"ntp":["192.168.42.3"],"routes":
        [{"destination":"10.8.0.0/13","gateway":"192.168.42.5"}]}]}"#,
    );
    let mut dhcp4d = scene.dhcp4d();
    // What it writes to its own folder is gone with it.
    let script = "mount -t tmpfs none /var/lib/dhcpcd && exec dhcpcd -4 -B -1 -d -A -t 60 -c /usr/bin/env \
        -o ntp_servers -o classless_static_routes eth0";
    let mut client = scene.lan.spawn("unshare", &["--mount", "sh", "-c", script]).named("dhcpcd");
    assert!(client.wait().success());
    let all = client.lines().join("\n");
    for part in [
        "reason=BOUND",
        "new_classless_static_routes=10.8.0.0/13 192.168.42.5 0.0.0.0/0 192.168.42.1",
        "new_ntp_servers=192.168.42.3",
        "new_dhcp_lease_time=7200",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(dhcp4d.stop().success());
}

#[test]
fn a_relay_of_isc_stands_between() {
    let scene = Scene { router: Namespace::new(), lan: Namespace::new(), root: Root::new() };
    let far = Namespace::new();
    scene.router.veth("lan0", &scene.lan, "up0");
    scene.router.ip("addr add 192.168.42.1/24 dev lan0");
    scene.router.ip("route add 10.9.0.0/22 via 192.168.42.2");
    scene.lan.ip("addr add 192.168.42.2/24 dev up0");
    scene.lan.veth("down0", &far, "eth0");
    scene.lan.ip("addr add 10.9.0.1/22 dev down0");
    scene.lan.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap();
    scene.root.write("/perm/dhcp4d/config.json", r#"{"relayed":[{"network":"10.9.0.0/22","router":"10.9.0.1"}]}"#);
    let _dhcp4d = scene.dhcp4d();
    let mut relay = scene.lan.spawn("dhcrelay", &["-4", "-d", "-a", "-id", "down0", "-iu", "up0", "192.168.42.1"]);
    relay.wait_for("Sending on   Socket");
    let script = scene.root.path("/tmp/script");
    let text =
        "#!/bin/sh\n[ \"$1\" = bound ] && ip addr add $ip/$mask dev eth0 && ip route add default via $router\nexit 0\n";
    scene.root.write("/tmp/script", text);
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let words = ["udhcpc", "-f", "-t", "10", "-i", "eth0", "-s", script.to_str().unwrap()];
    let mut client = far.spawn("busybox", &words);
    let line = client.wait_for("lease of 10.9.");
    assert!(line.contains("obtained from 192.168.42.1"), "{line}");
    // It renews past the relay, straight to the server.
    client.signal("USR1");
    client.wait_for("lease of 10.9.");
}

#[test]
fn two_lans_and_a_guess_that_is_given_up() {
    let (router, lan, office, root) = (Namespace::new(), Namespace::new(), Namespace::new(), Root::new());
    router.veth("lan0", &lan, "eth0");
    router.veth("office", &office, "eth0");
    root.write(
        "/perm/interfaces.json",
        r#"{"interfaces":[{"name":"lan0","addr":"192.168.42.1/24"},{"name":"office","addr":"10.5.0.1/22"}]}"#,
    );
    let scene = Scene { router, lan: office, root };
    let mut dhcp4d = scene.dhcp4d();
    assert!(scene.udhcpc(&[]).starts_with("10.5."));
    let scene = Scene { lan, ..scene };
    assert!(scene.udhcpc(&[]).starts_with("192.168.42."));
    dhcp4d.stop();

    // Nobody has written an interfaces.json, and lan0 leads to where another server is.
    std::fs::remove_file(scene.root.path("/perm/interfaces.json")).unwrap();
    scene.lan.ip("addr add 172.16.0.1/24 dev eth0");
    let leases = scene.root.path("/tmp/dnsmasq.leases");
    let leases = format!("--dhcp-leasefile={}", leases.display());
    let mut other = scene.lan.spawn(
        "dnsmasq",
        &[
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--port=0",
            "--user=root",
            "--log-facility=-",
            "--log-dhcp",
            "--dhcp-range=172.16.0.50,172.16.0.60",
            "--interface=eth0",
            "--bind-interfaces",
            "--pid-file=",
            &leases,
        ],
    );
    other.wait_for("DHCP, IP range");
    let mut dhcp4d = scene.router.service("dhcp4d", &scene.root, &[]);
    let line = dhcp4d.wait_for("gives addresses here already");
    assert!(line.contains("lan0: 172.16.0.1") && line.contains("Swap the cables"), "{line}");
    other.kill();
    let mut client = scene
        .lan
        .spawn("busybox", &["udhcpc", "-f", "-n", "-q", "-t", "2", "-T", "1", "-i", "eth0", "-s", "/bin/true"]);
    assert!(!client.wait().success(), "it is not served");
    // The cable goes elsewhere.
    scene.lan.ip("link set eth0 down");
    dhcp4d.wait_for("served again");
    scene.lan.ip("link set eth0 up");
    assert!(scene.udhcpc(&[]).starts_with("192.168.42."));
}

#[test]
fn an_address_in_use_is_not_offered() {
    let scene = Scene::new();
    scene
        .root
        .write("/perm/dhcp4d/config.json", r#"{"lans":[{"name":"lan0","pool":["192.168.42.7","192.168.42.8"]}]}"#);
    let neighbour = Namespace::new();
    scene.lan.ip("link add br0 type bridge");
    scene.lan.ip("link set eth0 master br0");
    scene.lan.ip("link set br0 up");
    scene.lan.veth("port1", &neighbour, "eth0");
    scene.lan.ip("link set port1 master br0");
    let client = Namespace::new();
    scene.lan.veth("port2", &client, "eth0");
    scene.lan.ip("link set port2 master br0");
    neighbour.ip("addr add 192.168.42.7/32 dev eth0");
    let scene = Scene { lan: client, ..scene };
    let mut dhcp4d = scene.dhcp4d();
    assert_eq!(scene.udhcpc(&["-r", "192.168.42.7"]), "192.168.42.8");
    dhcp4d.wait_for("192.168.42.7 is in use by");
}

/// A request of the status page; its answer with headers.
fn http(scene: &Scene, request: &str) -> String {
    use std::io::{Read, Write};
    let request = request.to_owned();
    scene.router.run(move || {
        let mut stream = std::net::TcpStream::connect("192.168.42.1:8067").unwrap();
        stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    })
}

fn get(scene: &Scene, path: &str) -> String {
    http(scene, &format!("GET {path} HTTP/1.1\r\nHost: 192.168.42.1:8067\r\n\r\n"))
}

#[test]
fn the_status_page_names_devices_by_its_own_form_only() {
    let scene = Scene::new();
    scene.root.write(
        "/run/deviced/devices.json",
        r#"{"devices":[{"hardware_addr":"02:00:00:00:00:07","vendor":"Maker <1>"}]}"#,
    );
    scene.lan.ip("link set eth0 address 02:00:00:00:00:07");
    let mut dhcp4d = scene.dhcp4d();
    let address = scene.udhcpc(&["-x", "hostname:xps"]);
    let page = get(&scene, "/");
    for part in
        ["<title>DHCPv4 status</title>", "Static Leases", &address, "02:00:00:00:00:07", "Maker &lt;1&gt;", "active"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let lease = get(&scene, "/lease/xps");
    assert!(lease.contains("X-Lease-Active: true") && lease.contains("\"hostname\":\"xps\""), "{lease}");
    assert!(get(&scene, "/lease/nobody").starts_with("HTTP/1.1 404"));
    assert!(get(&scene, "/metrics").contains("\nnon_expired_leases 1\n"));
    let token = page.split("name=\"token\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let post = |token: &str, more: &str| {
        let body = format!("token={token}&hardwareaddr=02:00:00:00:00:07&hostname=study");
        let length = body.len();
        http(
            &scene,
            &format!(
                "POST /sethostname HTTP/1.1\r\nHost: 192.168.42.1:8067\r\n{more}Content-Length: {length}\r\n\r\n{body}"
            ),
        )
    };
    assert!(post("guess", "").starts_with("HTTP/1.1 403"));
    assert!(post(token, "Origin: http://evil.example\r\n").starts_with("HTTP/1.1 403"));
    let done = post(token, "");
    assert!(done.starts_with("HTTP/1.1 302") && done.contains("Location: /\r\n"), "{done}");
    dhcp4d.kill();
    let _dhcp4d = scene.dhcp4d();
    assert!(get(&scene, "/lease/study").contains("\"hostname_override\":\"study\""), "it was on the disk");
    assert_eq!(scene.udhcpc(&["-x", "hostname:xps"]), address);
    assert!(get(&scene, "/lease/study").starts_with("HTTP/1.1 200"), "and wins over the device's own word");
}
