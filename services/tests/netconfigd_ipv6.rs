//! netconfigd and a delegated prefix, in real network namespaces: who reaches the internet from which address, and what
//! the others are told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, Root, Services};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

const PROVIDER: &str = "[2001:db8:1::1]:80";

/// A provider that routes 2001:db8:a::/47 to the router, and a LAN host with an address of each half and a third one.
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
        for words in ["addr add 2001:db8:1::1/64 dev eth0", "addr add fe80::1/64 dev eth0"] {
            house.isp.ip(words);
        }
        house.isp.ip("route add 2001:db8:a::/47 via 2001:db8:1::9");
        for half in ["a", "b", "dead"] {
            house.lan.ip(&format!("addr add 2001:db8:{half}::7/64 dev eth0"));
        }
        house.lan.ip("addr add fe80::7/64 dev eth0");
        let text = r#"{"interfaces":[{"name":"lan0","addr":"192.168.42.1/24","extra_addrs":["fe80::42/64"]},
            {"name":"uplink0","extra_routes":[{"destination":"::/0","gateway":"fe80::1"}]}]}"#;
        house.root.write("/perm/interfaces.json", text);
        house.lan.ip("route add default via fe80::42 dev eth0");
        house
    }

    fn start(&self) -> Child {
        let mut netconfigd = self.router.service("netconfigd", &self.root, &[]);
        netconfigd.wait_for("ready");
        netconfigd
    }

    /// Connects from one of the LAN host's addresses to the provider; what it then reads.
    fn connect_from(&self, source: &str) -> io::Result<String> {
        let mut stream = self.stream_from(source)?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    }

    fn stream_from(&self, source: &str) -> io::Result<TcpStream> {
        let source: SocketAddr = format!("[{source}]:0").parse().unwrap();
        self.lan.run(move || {
            use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn6, bind, connect, socket};
            use std::os::fd::AsRawFd;
            let socket = socket(AddressFamily::Inet6, SockType::Stream, SockFlag::empty(), None)?;
            let address = |text: SocketAddr| match text {
                SocketAddr::V6(address) => SockaddrIn6::from(address),
                SocketAddr::V4(_) => unreachable!("an IPv6 test"),
            };
            bind(socket.as_raw_fd(), &address(source))?;
            connect(socket.as_raw_fd(), &address(PROVIDER.parse().unwrap()))?;
            Ok(TcpStream::from(socket))
        })
    }
}

/// Answers each connection with the peer's address, for as long as the test lives.
fn greeter(host: &Namespace) {
    let listener = host.run(|| TcpListener::bind(PROVIDER)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip().to_string();
            stream.write_all(peer.as_bytes()).unwrap();
        }
    });
}

#[test]
fn only_the_delegated_prefix_leaves_and_the_others_are_told() {
    let house = House::new();
    house.root.write_lease6("2001:db8:a::/56", 3_600);
    let mut netconfigd = house.start();
    greeter(&house.isp);
    let addresses = house.router.ip("-6 -o addr show dev lan0");
    assert!(addresses.contains("2001:db8:a::1/64"), "{addresses}");
    assert_eq!(house.connect_from("2001:db8:a::7").unwrap(), "2001:db8:a::7");
    // What nobody uses of the prefix is answered, from both sides.
    for host in [&house.isp, &house.lan] {
        let connected = host.run(|| TcpStream::connect("[2001:db8:a:55::1]:80"));
        assert_eq!(connected.unwrap_err().kind(), ErrorKind::NetworkUnreachable);
    }

    // Another prefix: addresses, routes and ruleset at once; an open connection of the old one is told as well.
    let mut old = house.stream_from("2001:db8:a::7").unwrap();
    old.read_exact(&mut [0; 13]).unwrap();
    house.root.write(
        "/perm/radvd/announced.json",
        r#"{"prefixes":[{"lan":"lan0","prefix":"2001:db8:a::/64","on_link":true,"autonomous":true,"valid":5400}]}"#,
    );
    house.root.write_lease6("2001:db8:b::/60", 3_600);
    netconfigd.signal("USR1");
    netconfigd.wait_for("lan0: lost 2001:db8:a::1/64");
    assert_eq!(house.connect_from("2001:db8:b::7").unwrap(), "2001:db8:b::7");
    assert_eq!(house.connect_from("2001:db8:a::7").unwrap_err().kind(), ErrorKind::PermissionDenied);
    let routes = house.router.ip("-6 route show type unreachable");
    assert!(routes.contains("2001:db8:b::/60") && !routes.contains("2001:db8:a::"), "{routes}");
    let guard = house.router.output("nft", &["list", "chain", "inet", "weir", "egress"]);
    assert!(guard.contains("ip6 saddr 2001:db8:b::/60 return") && !guard.contains("2001:db8:a"), "{guard}");

    // Unchanged but for its lifetimes: nothing is done.
    house.root.write_lease6("2001:db8:b::/60", 1_800);
    netconfigd.signal("USR1");
    netconfigd.wait_for("nothing to change");

    // Run out: the address stays and is deprecated, nothing leaves.
    house.root.write_lease6("2001:db8:b::/60", 0);
    netconfigd.signal("USR1");
    netconfigd.wait_for("lan0: got 2001:db8:b::1/64, deprecated");
    assert_eq!(house.connect_from("2001:db8:b::7").unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(house.router.ip("-6 -o addr show dev lan0 deprecated").contains("2001:db8:b::1/64"));

    // Nobody can hold it any more.
    std::fs::remove_file(house.root.path("/perm/radvd/announced.json")).unwrap();
    netconfigd.signal("USR1");
    netconfigd.wait_for("lan0: no more route to 2001:db8:a::/64");

    // It returns.
    house.root.write_lease6("2001:db8:b::/60", 600);
    netconfigd.signal("USR1");
    netconfigd.wait_for("lan0: got 2001:db8:b::1/64");
    assert_eq!(house.connect_from("2001:db8:b::7").unwrap(), "2001:db8:b::7");
}

#[test]
fn fixed_addresses_and_prefixes_work_from_the_file_alone() {
    let house = House::new();
    let text = r#"{"interfaces":[{"name":"lan0","addr":"192.168.42.1/24","extra_addrs":["fe80::42/64"]},
        {"name":"uplink0","addr":"203.0.113.9/24","extra_addrs":["2001:db8:1::9/64"],"gateway":"203.0.113.1",
         "gateway6":"2001:db8:1::1","delegated_prefixes":["2001:db8:a::/48"]}]}"#;
    house.root.write("/perm/interfaces.json", text);
    house.isp.ip("addr add 203.0.113.1/24 dev eth0");
    house.lan.ip("addr add 192.168.42.7/24 dev eth0");
    house.lan.ip("route add default via 192.168.42.1");
    let _netconfigd = house.start();
    greeter(&house.isp);
    assert_eq!(house.connect_from("2001:db8:a::7").unwrap(), "2001:db8:a::7");
    let listener = house.isp.run(|| TcpListener::bind("203.0.113.1:80")).unwrap();
    let _stream = house.lan.run(|| TcpStream::connect("203.0.113.1:80")).unwrap();
    assert_eq!(listener.accept().unwrap().1.ip().to_string(), "203.0.113.9");
}

#[test]
fn without_an_address_of_the_uplink_the_router_speaks_from_its_lan() {
    let house = House::new();
    house.root.write_lease6("2001:db8:a::/56", 3_600);
    let lease = house.root.read("/perm/dhcp6/lease.json");
    let (start, _) = lease.split_once("\"addresses\"").unwrap();
    house.root.write("/perm/dhcp6/lease.json", format!("{start}\"addresses\":[]}}"));
    let text = r#"{"interfaces":[{"name":"lan0","addr":"192.168.42.1/24"},
        {"name":"uplink0","extra_addrs":["fe80::9/64"],"extra_routes":[{"destination":"::/0","gateway":"fe80::1"}]}]}"#;
    house.root.write("/perm/interfaces.json", text);
    house.isp.ip("route replace 2001:db8:a::/47 via fe80::9 dev eth0");
    let _netconfigd = house.start();
    greeter(&house.isp);
    assert!(house.router.ip("-6 -o addr show dev uplink0 scope global").is_empty());
    let mut heard = String::new();
    house.router.run(|| TcpStream::connect(PROVIDER)).unwrap().read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "2001:db8:a::1");
}
