//! dhcp4d as server of DHCPv6 against real clients: ISC dhclient and dhcpcd, in a network namespace as the LAN.
#![allow(clippy::unwrap_used, clippy::panic)] // a helper of a test fails by panicking

mod common;

use common::{Child, Namespace, PATIENCE, Root, Services};
use netstack::event::{Interest, Loop, Token};
use netstack::netlink::{Monitor, Netlink};
use netstack::wire::dhcpv6::{SERVER, SERVERS};
use std::net::{IpAddr, SocketAddrV6, UdpSocket};
use std::os::unix::fs::PermissionsExt;

const ADDRESSES: &str = r#"{"lans":[{"name":"lan0","domain":"home.example",
    "dhcpv6":{"addresses":true,"ntp":["fd12:3456:789a::7b"]}}]}"#;

struct Scene {
    router: Namespace,
    lan: Namespace,
    root: Root,
}

impl Scene {
    fn new(config: &str) -> Scene {
        let scene = Scene { router: Namespace::new(), lan: Namespace::new(), root: Root::new() };
        // Neighbour discovery's wait for duplicates would only cost time here.
        for host in [&scene.router, &scene.lan] {
            host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")).unwrap();
        }
        scene.router.run(|| std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")).unwrap();
        scene.router.veth("lan0", &scene.lan, "eth0");
        speaks(&scene.router, "lan0");
        speaks(&scene.lan, "eth0");
        scene.router.ip("addr add 192.168.42.1/24 dev lan0");
        scene.router.ip("addr add fd12:3456:789a::1/64 dev lan0");
        scene.root.write("/perm/radvd/ula.json", r#"{"prefix":"fd12:3456:789a::/48"}"#);
        scene.root.write("/perm/dhcp4d/config.json", config);
        scene
    }

    fn dhcp4d(&self) -> Child {
        let mut dhcp4d = self.router.service("dhcp4d", &self.root, &[]);
        dhcp4d.wait_for("ready");
        dhcp4d
    }

    /// ISC dhclient in the foreground; its script says what it was told in one line.
    fn dhclient(&self, words: &[&str]) -> Child {
        let script = self.root.path("/tmp/script");
        let text = "#!/bin/sh\necho \"told: $reason new=$new_ip6_address old=$old_ip6_address \
            dns=$new_dhcp6_name_servers search=$new_dhcp6_domain_search\" >&2\n";
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let [script, leases, process] =
            ["script", "leases", "pid"].map(|name| self.root.path("/tmp").join(name).to_str().unwrap().to_owned());
        let own = ["-6", "-d", "-v", "-sf", &script, "-lf", &leases, "-pf", &process];
        self.lan.spawn("dhclient", &[&own, words, &["eth0"]].concat())
    }

    /// A metric's value.
    fn metric(&self, name: &str) -> String {
        let page = self.router.output("curl", &["-s", "http://192.168.42.1:8067/metrics"]);
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).to_owned()
    }
}

#[test]
fn dhclient_is_told_of_servers_and_domains_without_a_lease() {
    let scene = Scene::new("{}");
    let _dhcp4d = scene.dhcp4d();
    let mut client = scene.dhclient(&["-S"]);
    let told = client.wait_for("dns=fd12:3456:789a::1");
    assert!(told.contains("search=lan.") && told.contains("new= "), "{told}");
    assert_eq!(scene.metric("weir_dhcp6d_bindings"), "0");
}

#[test]
fn dhclient_gets_addresses_and_follows_the_prefix_that_is_in_force() {
    let scene = Scene::new(ADDRESSES);
    // The client asks again when half of the prefix's time is over.
    scene.root.write_lease6("2001:db8:a::/56", 8);
    let mut dhcp4d = scene.dhcp4d();
    let mut client = scene.dhclient(&[]);
    let first = client.wait_for("told: BOUND6 new=2001:db8:a:");
    assert!(first.contains("dns=fd12:3456:789a::1") && first.contains("search=home.example."), "{first}");
    assert_eq!(scene.metric("weir_dhcp6d_bindings"), "1");
    scene.root.write_lease6("2001:db8:b::/56", 3_600);
    dhcp4d.signal("USR1");
    client.wait_until("a renewed address of the new prefix", |line| {
        line.starts_with("told: RE") && line.contains("new=2001:db8:b:")
    });
    // What was promised outlasts the power.
    client.kill();
    dhcp4d.kill();
    let mut dhcp4d = scene.dhcp4d();
    assert_eq!(scene.metric("weir_dhcp6d_bindings"), "1");
    // Of the addresses that it still knows (CONFIRM) one is not of this link any more: it begins anew, and has the same.
    let mut client = scene.dhclient(&[]);
    client.wait_for("XMT: Forming Confirm");
    client.wait_for("status code NotOnLink");
    client.wait_for("told: BOUND6 new=2001:db8:b:");
    client.kill();
    let mut client = scene.dhclient(&[]);
    client.wait_for("XMT: Forming Confirm");
    client.wait_for("status code Success");
    client.wait_for("told: BOUND6 new=2001:db8:b:");
    client.kill();
    let mut client = scene.dhclient(&["-r"]);
    client.wait_for("told: RELEASE6");
    // It does not wait for the answer.
    assert!(client.wait().success());
    assert_eq!(scene.metric("weir_dhcp6d_bindings"), "0");
    assert!(dhcp4d.stop().success());
}

#[test]
fn dhcpcd_is_told_by_the_advertisement_that_addresses_are_to_be_had() {
    let scene = Scene::new(ADDRESSES);
    scene.root.write_lease6("2001:db8:a::/56", 3_600);
    let _dhcp4d = scene.dhcp4d();
    let mut radvd = scene.router.service("radvd", &scene.root, &[]);
    radvd.wait_for("ready");
    let heard = scene.lan.output("rdisc6", &["-1", "-w", "60000", "eth0"]);
    assert!(heard.contains("Stateful address conf.    :          Yes"), "{heard}");
    assert!(heard.contains("Stateful other conf.      :          Yes"), "{heard}");
    let script = "mount -t tmpfs none /var/lib/dhcpcd && exec dhcpcd -6 -B -d -t 60 -c /usr/bin/env eth0";
    let mut client = scene.lan.spawn("unshare", &["--mount", "sh", "-c", script]).named("dhcpcd");
    client.wait_until("an address", |line| line.starts_with("new_dhcp6_ia_na1_ia_addr1=2001:db8:a:"));
    assert_eq!(scene.metric("weir_dhcp6d_bindings"), "1");
}

#[test]
fn two_lans_one_without_ipv4_and_one_that_is_off() {
    let scene = Scene::new(r#"{"lans":[{"name":"off0","dhcpv6":{"off":true}}]}"#);
    let (guest, off) = (Namespace::new(), Namespace::new());
    for host in [&guest, &off] {
        host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")).unwrap();
    }
    scene.router.veth("guest0", &guest, "eth0");
    scene.router.veth("off0", &off, "eth0");
    for (host, name) in [(&scene.router, "guest0"), (&scene.router, "off0"), (&guest, "eth0"), (&off, "eth0")] {
        speaks(host, name);
    }
    let interfaces = r#"{"interfaces":[{"name":"lan0","addr":"192.168.42.1/24"},{"name":"guest0"},{"name":"off0"}]}"#;
    scene.root.write("/perm/interfaces.json", interfaces);
    let _dhcp4d = scene.dhcp4d();
    // Who is off asks first: its answer would be there before the others'.
    let silent = ask(&off);
    for host in [&scene.lan, &guest] {
        let mut buffer = [0; 1_500];
        let length = ask(host).recv(&mut buffer).unwrap();
        assert!(length > 4 && buffer[..4] == [7, 1, 2, 3], "{:?}", &buffer[..length]);
    }
    silent.set_nonblocking(true).unwrap();
    assert!(silent.recv(&mut [0; 1_500]).is_err());
}

/// Waits until an interface has a link-local address that can be used.
fn speaks(host: &Namespace, name: &'static str) {
    host.run(move || {
        let (mut turn, mut monitor) = (Loop::new().unwrap(), Monitor::open().unwrap());
        turn.add(&monitor, Token(0), Interest::READ).unwrap();
        let mut netlink = Netlink::route().unwrap();
        let mut events = Vec::new();
        loop {
            let index = netlink.links().unwrap().iter().find(|link| link.name == name).unwrap().index;
            let local = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
            let addresses = netlink.addresses().unwrap();
            if addresses.iter().any(|one| one.index == index && local(one.ip) && !one.tentative) {
                return;
            }
            turn.wait(None, &mut events).unwrap();
            monitor.drain();
        }
    });
}

/// Sends an INFORMATION-REQUEST from a host; where the answer comes.
fn ask(host: &Namespace) -> UdpSocket {
    host.run(|| {
        let socket = UdpSocket::bind("[::]:546").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let links = Netlink::route().unwrap().links().unwrap();
        let index = links.iter().find(|link| link.name == "eth0").unwrap().index;
        socket.send_to(&[11, 1, 2, 3], SocketAddrV6::new(SERVERS, SERVER, 0, index)).unwrap();
        socket
    })
}
