//! netconfigd in real network namespaces: an ISP, the router, a LAN; looked at from outside, with real packets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, Root, Services};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

const LEASE: &str = "/perm/dhcp4/wire/lease.json";

fn lease(address: &str, router: &str) -> String {
    format!(
        r#"{{"valid_until":"2030-01-01T00:00:00Z","client_ip":"{address}","subnet_mask":"255.255.255.0","router":"{router}","dns":["{router}"]}}"#
    )
}

/// An ISP and a LAN host joined to a router whose two NICs have the kernel's names.
struct House {
    isp: Namespace,
    router: Namespace,
    lan: Namespace,
    root: Root,
}

impl House {
    fn new() -> House {
        let house = House { isp: Namespace::new(), router: Namespace::new(), lan: Namespace::new(), root: Root::new() };
        // Neighbour discovery's wait for duplicates would only cost time here.
        for host in [&house.isp, &house.router, &house.lan] {
            host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")).unwrap();
        }
        house.router.veth("eth0", &house.isp, "eth0");
        house.router.veth("eth1", &house.lan, "eth0");
        for (host, words) in [
            (&house.isp, "addr add 203.0.113.1/24 dev eth0"),
            (&house.isp, "addr add 2001:db8:1::1/64 dev eth0"),
            (&house.isp, "route add 192.168.42.0/24 via 203.0.113.9"),
            (&house.isp, "route add 2001:db8:42::/64 via 2001:db8:1::9"),
            (&house.lan, "addr add 192.168.42.7/24 dev eth0"),
            (&house.lan, "route add default via 192.168.42.1"),
            (&house.lan, "addr add 2001:db8:42::7/64 dev eth0"),
            (&house.lan, "route add default via 2001:db8:42::1"),
        ] {
            host.ip(words);
        }
        house
    }

    fn start(&self) -> Child {
        self.router.service("netconfigd", &self.root, &[])
    }

    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.router.ip(&format!("-j {words}"))).unwrap()
    }

    fn ipv4_of(&self, name: &str) -> Vec<String> {
        let links = self.json(&format!("-4 addr show dev {name}"));
        let addresses = links[0]["addr_info"].as_array().cloned().unwrap_or_default();
        addresses.iter().map(|one| format!("{}/{}", one["local"].as_str().unwrap(), one["prefixlen"])).collect()
    }

    fn ruleset(&self) -> String {
        self.router.output("nft", &["-a", "-s", "list", "ruleset"])
    }
}

/// Accepts one connection, answers it with the peer's address as it is seen here, and sends the answer on.
fn greet(listener: TcpListener) -> std::thread::JoinHandle<IpAddr> {
    std::thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        stream.write_all(peer.ip().to_string().as_bytes()).unwrap();
        peer.ip()
    })
}

fn listen(host: &Namespace, address: &'static str) -> TcpListener {
    host.run(move || TcpListener::bind(address)).unwrap()
}

fn connect(host: &Namespace, address: &str) -> String {
    let address: SocketAddr = address.parse().unwrap();
    let answer = host.run(move || {
        let mut stream = TcpStream::connect_timeout(&address, common::PATIENCE)?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    });
    answer.unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// Sends a SYN and a datagram to an address, then a ping to the router that must come back: by then the router has
/// seen them.
fn probe(house: &House, address: &str, fence: &str) {
    let address: SocketAddr = address.parse().unwrap();
    house.isp.run(move || {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        UdpSocket::bind(any).unwrap().send_to(b"probe", address).unwrap();
        // Only the first SYN matters; its answer, if any, is seen at the listener.
        let _ = TcpStream::connect_timeout(&address, Duration::from_millis(50));
    });
    house.isp.output("busybox", &["ping", "-c", "1", "-W", "60", fence]);
}

/// Both sockets on one address of a host, not blocking.
fn both(host: &Namespace, address: &'static str) -> (TcpListener, UdpSocket) {
    let (tcp, udp) = host.run(move || (TcpListener::bind(address).unwrap(), UdpSocket::bind(address).unwrap()));
    tcp.set_nonblocking(true).unwrap();
    udp.set_nonblocking(true).unwrap();
    (tcp, udp)
}

fn nothing_came((tcp, udp): &(TcpListener, UdpSocket)) -> bool {
    let none = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
    tcp.accept().is_err_and(none) && udp.recv(&mut [0; 16]).is_err_and(none)
}

#[test]
fn the_lan_reaches_the_internet_and_the_internet_reaches_nothing() {
    let house = House::new();
    house.root.write(LEASE, lease("203.0.113.9", "203.0.113.1"));
    let mut first = house.start();
    first.wait_for("ready");
    let listener = listen(&house.isp, "203.0.113.1:79");
    let mut stream = house.lan.run(|| TcpStream::connect("203.0.113.1:79")).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    // Killed and started anew, as PID 1 would; what was connected stays connected.
    first.kill();
    let mut netconfigd = house.start();
    netconfigd.wait_for("ready");
    accepted.write_all(b"still here").unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    common::ruleset::is(&house.router, "plain");
    assert_eq!(
        (house.ipv4_of("uplink0"), house.ipv4_of("lan0")),
        (vec!["203.0.113.9/24".into()], vec!["192.168.42.1/24".into()])
    );
    let routes = house.router.ip("-4 route");
    for route in [
        "default via 203.0.113.1 dev uplink0 proto dhcp src 203.0.113.9",
        "203.0.113.0/24 dev uplink0 proto kernel scope link src 203.0.113.9",
        "203.0.113.1 dev uplink0 proto dhcp scope link src 203.0.113.9",
    ] {
        assert!(routes.lines().any(|line| line.trim() == route), "no {route:?} in\n{routes}");
    }

    let server = greet(listen(&house.isp, "203.0.113.1:80"));
    assert_eq!(connect(&house.lan, "203.0.113.1:80"), "203.0.113.9", "not masqueraded");
    server.join().unwrap();

    // Both are open to the LAN; the router's own is open to it by address, too.
    let (on_router, on_lan) = (both(&house.router, "0.0.0.0:8080"), both(&house.lan, "192.168.42.7:8080"));
    for address in ["203.0.113.9:8080", "192.168.42.1:8080", "192.168.42.7:8080"] {
        probe(&house, address, "203.0.113.9");
    }
    assert!(nothing_came(&on_router), "a new connection from the WAN reached the router");
    assert!(nothing_came(&on_lan), "a new connection from the WAN reached the LAN");
    house.lan.run(|| TcpStream::connect_timeout(&"192.168.42.1:8080".parse().unwrap(), common::PATIENCE)).unwrap();
    assert!(!nothing_came(&on_router), "the LAN cannot reach the router");

    // Somebody takes our table away, or only empties a chain: it comes back.
    netconfigd.wait_for("ruleset replaced");
    for damage in [["flush", "ruleset"].as_slice(), &["flush", "chain", "inet", "weir", "forward"]] {
        house.router.output("nft", damage);
        netconfigd.wait_for("ruleset replaced");
        common::ruleset::is(&house.router, "plain");
    }

    // The control: without our table the same probes arrive.
    netconfigd.kill();
    house.router.output("nft", &["delete", "table", "inet", "weir"]);
    probe(&house, "203.0.113.9:8080", "203.0.113.9");
    probe(&house, "192.168.42.7:8080", "203.0.113.9");
    assert!(!nothing_came(&on_router) && !nothing_came(&on_lan), "the probes prove nothing");
}

const V6: &str = r#"{"interfaces":[
    {"name":"uplink0","hardware_addr":"UP","addr":"2001:db8:1::9/64","mtu":1400,
     "extra_routes":[{"destination":"::/0","gateway":"2001:db8:1::1"}]},
    {"name":"lan0","hardware_addr":"LAN","addr":"192.168.42.1/24","extra_addrs":["2001:db8:42::1/64"]}]}"#;

fn mac(house: &House, name: &str) -> String {
    house.json(&format!("link show dev {name}"))[0]["address"].as_str().unwrap().to_owned()
}

#[test]
fn ipv6_is_routed_and_guarded_and_both_families_are_clamped() {
    let house = House::new();
    house
        .root
        .write("/perm/interfaces.json", V6.replace("UP", &mac(&house, "eth0")).replace("LAN", &mac(&house, "eth1")));
    house.root.write(LEASE, lease("203.0.113.9", "203.0.113.1"));
    let mut netconfigd = house.start();
    netconfigd.wait_for("ready");
    house.isp.output(
        "nft",
        &["add table inet seen; add chain inet seen in { type filter hook input priority 0; }; \
        add rule inet seen in meta nfproto ipv4 tcp option maxseg size 1360 counter; \
        add rule inet seen in meta nfproto ipv6 tcp option maxseg size 1340 counter"],
    );

    let server = greet(listen(&house.isp, "[::]:80"));
    assert_eq!(connect(&house.lan, "[2001:db8:1::1]:80"), "2001:db8:42::7", "no address translation for IPv6");
    server.join().unwrap();
    let server = greet(listen(&house.isp, "0.0.0.0:81"));
    connect(&house.lan, "203.0.113.1:81");
    server.join().unwrap();
    let seen = house.isp.output("nft", &["list", "table", "inet", "seen"]);
    // A SYN that met no neighbour yet is sent again.
    assert!(seen.contains("counter packets") && !seen.contains("counter packets 0 "), "not clamped:\n{seen}");

    let (on_router, on_lan) = (both(&house.router, "[::]:8080"), both(&house.lan, "[2001:db8:42::7]:8080"));
    for address in ["[2001:db8:1::9]:8080", "[2001:db8:42::1]:8080", "[2001:db8:42::7]:8080"] {
        probe(&house, address, "2001:db8:1::9");
    }
    assert!(nothing_came(&on_router) && nothing_came(&on_lan), "IPv6 is open");
    house.lan.run(|| TcpStream::connect_timeout(&"[2001:db8:42::1]:8080".parse().unwrap(), common::PATIENCE)).unwrap();
    netconfigd.kill();
    house.router.output("nft", &["delete", "table", "inet", "weir"]);
    probe(&house, "[2001:db8:42::7]:8080", "2001:db8:1::9");
    assert!(!nothing_came(&on_lan), "the probes prove nothing");
}

#[test]
fn an_unchanged_state_is_not_touched_and_neither_is_what_others_made() {
    let house = House::new();
    house.root.write(LEASE, lease("203.0.113.9", "203.0.113.1"));
    house.router.output(
        "nft",
        &["add table ip podman; add chain ip podman x; add counter ip podman c; add rule ip podman x counter name c"],
    );
    let mut netconfigd = house.start();
    netconfigd.wait_for("ready");
    // The echo of its own changes has been looked at once a wanted change after them has been made.
    house.router.ip("link set lan0 down");
    netconfigd.wait_for("lan0: switched on");
    let before = house.ruleset();
    assert!(before.contains("table ip podman") && before.contains("counter name \"c\""), "{before}");

    // IPv4 only: IPv6 tells of addresses that are no longer tentative by itself.
    let links = house.router.spawn("ip", &["-4", "-o", "monitor", "address", "route"]);
    let rules = house.router.spawn("nft", &["monitor"]);
    // Both are listening once they have told of something.
    await_monitor(&links, || house.router.ip("addr replace 10.255.0.1/32 dev lo"), "10.255.0.1");
    // Added and deleted: adding what is there already is no news.
    let add = |name: &str| {
        house.router.output("nft", &["add", "table", "ip", name]);
        house.router.output("nft", &["delete", "table", "ip", name])
    };
    await_monitor(&rules, || add("before"), "before");
    netconfigd.signal("USR1");
    netconfigd.wait_for("nothing to change");
    await_monitor(&links, || house.router.ip("addr replace 10.255.0.2/32 dev lo"), "10.255.0.2");
    await_monitor(&rules, || add("after"), "after");
    let (links, rules) = (links.lines(), rules.lines());
    assert!(links.iter().all(|line| line.trim().is_empty() || line.contains("10.255.0.")), "{links:#?}");
    assert!(!rules.iter().any(|line| line.contains("weir")), "{rules:#?}");
    let after = house.ruleset();
    let ours = |text: &str| text.split("table ").find(|part| part.starts_with("inet weir")).map(str::to_owned);
    assert_eq!(ours(&after), ours(&before));
}

/// Does something again and again until a monitor has told of it: it may still be starting.
fn await_monitor(monitor: &Child, change: impl Fn() -> String, sign: &str) {
    let deadline = std::time::Instant::now() + common::PATIENCE;
    while !monitor.lines().iter().any(|line| line.contains(sign)) {
        assert!(std::time::Instant::now() < deadline, "no {sign:?}");
        change();
    }
}

#[test]
fn a_lease_changes_and_goes() {
    let house = House::new();
    house.root.write(LEASE, lease("203.0.113.9", "203.0.113.1"));
    let mut netconfigd = house.start();
    netconfigd.wait_for("ready");
    house.root.write(LEASE, lease("203.0.113.20", "203.0.113.1"));
    netconfigd.signal("USR1");
    netconfigd.wait_for("uplink0: lost 203.0.113.9/24");
    assert_eq!(house.ipv4_of("uplink0"), ["203.0.113.20/24"]);
    let routes = house.router.ip("-4 route show dev uplink0");
    assert_eq!(routes.lines().filter(|line| line.contains("src 203.0.113.20")).count(), 3, "{routes}");
    let server = greet(listen(&house.isp, "203.0.113.1:80"));
    assert_eq!(connect(&house.lan, "203.0.113.1:80"), "203.0.113.20");
    server.join().unwrap();

    std::fs::remove_file(house.root.path(LEASE)).unwrap();
    netconfigd.signal("USR1");
    netconfigd.wait_for("nothing to change");
    assert_eq!(house.router.ip("-4 route show dev uplink0"), routes);
    // A lease that is no lease changes nothing either, and is named.
    house.root.write(LEASE, lease("203.0.113.300", "203.0.113.1"));
    netconfigd.signal("USR1");
    let line = netconfigd.wait_for("lease.json");
    assert!(line.contains("client_ip") && line.contains("203.0.113.300"), "{line}");
    netconfigd.wait_for("nothing to change");
    assert_eq!(house.router.ip("-4 route show dev uplink0"), routes);
}

#[test]
fn names_are_swapped_and_a_late_nic_is_taken() {
    let house = House::new();
    for (from, to) in [("eth0", "lan0"), ("eth1", "uplink0")] {
        house.router.ip(&format!("link set {from} name {to}"));
    }
    let late = "02:00:00:00:00:99";
    let text = format!(
        r#"{{"interfaces":[{{"hardware_addr":"{}","name":"uplink0"}},{{"hardware_addr":"{}","name":"lan0","addr":"192.168.42.1/24"}},{{"hardware_addr":"{late}","name":"lan1","addr":"192.168.43.1/24"}}]}}"#,
        mac(&house, "lan0"),
        mac(&house, "uplink0")
    );
    house.root.write("/perm/interfaces.json", &text);
    let mut netconfigd = house.start();
    netconfigd.wait_for("ready");
    assert_eq!(house.ipv4_of("lan0"), ["192.168.42.1/24"]);
    house.lan.output("busybox", &["ping", "-c", "1", "-W", "60", "192.168.42.1"]);
    netconfigd.wait_for("lan0: got");
    assert_eq!(house.root.read("/perm/netconfigd/interfaces.json"), text, "no good copy");

    house.router.ip(&format!("link add late0 address {late} type veth peer name late1"));
    netconfigd.wait_for("lan1: got 192.168.43.1/24");
    assert_eq!(house.ipv4_of("lan1"), ["192.168.43.1/24"]);
}

#[test]
fn ready_waits_for_the_lans_nic_and_for_nothing_else() {
    let house = House::new();
    house.router.ip("link delete eth0");
    house.router.ip("link delete eth1");
    let mut netconfigd = house.start();
    netconfigd.wait_for("lan0: its interface is not there");
    assert!(house.ruleset().contains("table inet weir"), "no ruleset without NICs");
    house.router.ip(&format!("link add eth7 type veth peer name cable netns {}", house.isp.path()));
    netconfigd.wait_for("ready");
    netconfigd.wait_for("lan0: got 192.168.42.1/24");
    assert_eq!(house.ipv4_of("lan0"), ["192.168.42.1/24"]);
    assert_eq!(house.root.read("/tmp/resolv.conf"), "nameserver 192.168.42.1\n");
}

#[test]
fn a_wrong_file_is_named_and_the_last_good_one_stays() {
    let house = House::new();
    let good = r#"{"interfaces":[{"name":"eth0"},{"name":"eth1","addr":"10.77.0.1/24"}]}"#;
    house.root.write("/perm/interfaces.json", good);
    let mut netconfigd = house.start();
    netconfigd.wait_for("ready");
    // The good copy is written after that, and the log after the good copy.
    netconfigd.wait_for("eth1: got 10.77.0.1/24");
    assert_eq!(house.root.read("/perm/netconfigd/interfaces.json"), good);
    netconfigd.stop();

    house.root.write("/perm/interfaces.json", "{\"interfaces\":[\n{\"name\":\"eth1\",\"addr\":\"10.78.0.1\"}]}");
    house.router.ip("addr del 10.77.0.1/24 dev eth1");
    let mut netconfigd = house.start();
    netconfigd.wait_for("ready");
    let line = netconfigd.wait_for("interfaces.json:2:");
    assert!(line.contains("interfaces[0].addr") && line.contains("\"10.78.0.1\""), "{line}");
    assert_eq!(house.ipv4_of("eth1"), ["10.77.0.1/24"]);
    assert_eq!(house.root.read("/perm/netconfigd/interfaces.json"), good, "the good copy was lost");
}

#[test]
fn a_bridge_is_a_lan() {
    let house = House::new();
    let (up, port) = (mac(&house, "eth0"), mac(&house, "eth1"));
    let text = format!(
        r#"{{"interfaces":[{{"name":"uplink0","hardware_addr":"{up}"}},{{"name":"lan0","addr":"192.168.42.1/24"}}],"bridges":[{{"name":"lan0","interface_hardware_addrs":["{port}"]}}]}}"#
    );
    house.root.write("/perm/interfaces.json", text);
    house.root.write(LEASE, lease("203.0.113.9", "203.0.113.1"));
    let mut netconfigd = house.start();
    netconfigd.wait_for("ready");
    assert_eq!(mac(&house, "lan0"), port);
    let server = greet(listen(&house.isp, "203.0.113.1:80"));
    assert_eq!(connect(&house.lan, "203.0.113.1:80"), "203.0.113.9");
    server.join().unwrap();
}

#[test]
fn what_the_file_no_longer_says_is_taken_away_and_what_others_made_is_not() {
    let house = House::new();
    let second = Namespace::new();
    house.router.veth("eth2", &second, "eth0");
    second.ip("addr add 192.168.42.8/24 dev eth0");
    second.ip("route add default via 192.168.42.1");
    std::fs::create_dir_all(house.root.path("/perm/netconfigd")).unwrap();
    house.root.write(LEASE, lease("203.0.113.9", "203.0.113.1"));
    let macs = ["eth0", "eth1", "eth2"].map(|name| mac(&house, name));
    let write = |lan: &str, bridges: &str| {
        let entries = format!(r#"{{"name":"uplink0","hardware_addr":"{}"}},{lan}"#, macs[0]);
        house.root.write("/perm/interfaces.json", format!(r#"{{"interfaces":[{entries}],"bridges":[{bridges}]}}"#));
    };
    let bridge =
        |ports: &str, stp: bool| format!(r#"{{"name":"lan0","stp":{stp},"interface_hardware_addrs":[{ports}]}}"#);
    let (one, both) = (format!("\"{}\"", macs[1]), format!("\"{}\",\"{}\"", macs[1], macs[2]));
    write(
        r#"{"name":"lan0","addr":"192.168.42.1/24","extra_addrs":["192.168.50.1/24","fd00:5::1/64"]}"#,
        &bridge(&both, false),
    );
    let mut netconfigd = house.start();
    netconfigd.wait_for("lan0: got fd00:5::1/64");
    house.router.ip("tuntap add vnet0 mode tap");
    house.router.ip("link set vnet0 master lan0");
    house.router.ip("link add other type bridge");
    house.router.ip("addr add 192.168.60.1/24 dev lan0");
    let server = greet(listen(&house.isp, "203.0.113.1:80"));
    assert_eq!(connect(&second, "203.0.113.1:80"), "203.0.113.9");
    server.join().unwrap();

    // A port and two addresses less; a port and an address of somebody else stay.
    write(r#"{"name":"lan0","addr":"192.168.42.1/24"}"#, &bridge(&one, true));
    netconfigd.signal("USR1");
    netconfigd.wait_for("eth2: port of no bridge");
    netconfigd.wait_for("lan0: spanning tree on");
    netconfigd.wait_for("lan0: lost fd00:5::1/64");
    let ports = house.router.ip("-o link show master lan0");
    assert!(ports.contains("vnet0") && ports.contains("eth1") && !ports.contains("eth2"), "{ports}");
    assert_eq!(house.ipv4_of("lan0"), ["192.168.42.1/24", "192.168.60.1/24"]);

    // No bridge any more: the NIC has its name; another bridge stays.
    write(&format!(r#"{{"name":"lan0","hardware_addr":{one},"addr":"192.168.42.1/24"}}"#), "");
    netconfigd.signal("USR1");
    netconfigd.wait_for("lan0: removed");
    netconfigd.wait_for("lan0: was eth1");
    netconfigd.wait_for("lan0: got 192.168.42.1/24");
    let server = greet(listen(&house.isp, "203.0.113.1:81"));
    assert_eq!(connect(&house.lan, "203.0.113.1:81"), "203.0.113.9");
    server.join().unwrap();
    assert!(house.router.ip("-o link show").contains("other"));
}

#[test]
fn a_link_whose_entry_goes_is_as_it_was_and_one_that_is_left_to_others_is_not_touched() {
    let house = House::new();
    for (name, other) in [("tail0", "a"), ("docker3", "b")] {
        house.router.ip(&format!("link add {name} type veth peer name {other}"));
    }
    std::fs::create_dir_all(house.root.path("/perm/netconfigd")).unwrap();
    let macs = ["eth0", "eth1"].map(|name| mac(&house, name));
    let write = |lan: &str, others: &str| {
        let entries = format!(
            r#"{{"name":"uplink0","hardware_addr":"{}"}},
            {{"name":"lan0","hardware_addr":"{}","addr":"192.168.42.1/24"{lan}}}{others}"#,
            macs[0], macs[1]
        );
        house.root.write("/perm/interfaces.json", format!(r#"{{"interfaces":[{entries}],"ignore":["docker*"]}}"#));
    };
    let route = r#""extra_routes":[{"destination":"10.9.0.0/16"}]"#;
    write(r#","mtu":1400,"fec":"RS""#, &format!(r#",{{"name":"tail0","addr":"10.8.0.1/24","mtu":1280,{route}}}"#));
    let mut netconfigd = house.start();
    netconfigd.wait_for("ready");
    netconfigd.wait_for("tail0: route to 10.9.0.0/16");
    let mtu = |name: &str| house.json(&format!("link show dev {name}"))[0]["mtu"].as_u64().unwrap();
    assert_eq!((mtu("lan0"), mtu("tail0")), (1_400, 1_280));
    let line = netconfigd.wait_for("lan0: fec");
    assert!(line.contains("\"rs\"") && line.contains("not supported"), "{line}");
    // What carries a router's own marks, on a link of others.
    house.router.ip("link set docker3 up mtu 1300");
    house.router.ip("addr add 10.7.0.1/24 dev docker3");
    house.router.ip("route add 10.6.0.0/16 dev docker3 proto static");

    write("", "");
    netconfigd.signal("USR1");
    netconfigd.wait_for("tail0: lost 10.8.0.1/24");
    assert_eq!((mtu("lan0"), mtu("tail0"), mtu("docker3")), (1_500, 1_500, 1_300));
    assert_eq!(house.router.ip("route show 10.9.0.0/16"), "");
    assert!(house.router.ip("route show 10.6.0.0/16").contains("docker3"));
    assert_eq!(house.ipv4_of("docker3"), ["10.7.0.1/24"]);
}

#[test]
fn applied_once_without_linger() {
    let house = House::new();
    house.root.write(LEASE, lease("203.0.113.9", "203.0.113.1"));
    let mut netconfigd = house.router.service("netconfigd", &house.root, &["-linger=false"]);
    assert!(netconfigd.wait().success());
    assert_eq!(house.ipv4_of("uplink0"), ["203.0.113.9/24"]);
}

#[test]
fn applying_costs_little() {
    let house = House::new();
    house.root.write(LEASE, lease("203.0.113.9", "203.0.113.1"));
    let mut netconfigd = house.start();
    netconfigd.wait_for("ready");
    let micros = netconfigd.cpu_micros();
    println!("start to ready: {micros} us of processor time");
    assert!(micros < 20_000, "{micros} us");
}
