//! dnsd alone in a namespace, between real peers: Debian's dnsmasq as the internet's resolvers, `dig` as the LAN.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, Root, Services};
use std::net::UdpSocket;

const LEASES: &str = r#"[
    {"num":2,"addr":"192.168.42.4","hardware_addr":"02:00:00:00:00:04","hostname":"Xps","expiry":"2199-01-01T00:00:00Z"},
    {"num":3,"addr":"192.168.42.5","hardware_addr":"02:00:00:00:00:05","hostname":"com","expiry":"2199-01-01T00:00:00Z"},
    {"num":4,"addr":"192.168.42.6","hardware_addr":"02:00:00:00:00:06","hostname":"old","expiry":"2019-01-01T00:00:00Z"}]"#;

/// A house: the router with dnsd, a LAN and an internet with two resolvers.
struct Bed {
    router: Namespace,
    lan: Namespace,
    internet: Namespace,
    root: Root,
}

impl Bed {
    fn new() -> Bed {
        let (router, lan, internet, root) = (Namespace::new(), Namespace::new(), Namespace::new(), Root::new());
        router.veth("uplink0", &internet, "isp");
        router.veth("lan0", &lan, "eth0");
        internet.ip("addr add 10.1.0.1/24 dev isp");
        internet.ip("addr add 10.1.0.2/24 dev isp");
        lan.ip("addr add 192.168.42.7/24 dev eth0");
        let interfaces = r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24"}]}"#;
        root.write("/perm/interfaces.json", interfaces);
        root.write("/perm/dhcp4d/leases.json", LEASES);
        Bed { router, lan, internet, root }
    }

    fn lease(&self, dns: &str) {
        let lease = r#"{"valid_until":"2199-01-01T00:00:00Z","client_ip":"10.1.0.9","subnet_mask":"255.255.255.0","router":"10.1.0.1","dns":["#;
        self.root.write("/perm/dhcp4/wire/lease.json", format!("{lease}{dns}]}}"));
    }

    fn addresses(&self) {
        self.router.ip("addr add 10.1.0.9/24 dev uplink0");
        self.router.ip("addr add 192.168.42.1/24 dev lan0");
    }

    /// A resolver of the internet that says on each query what it was asked.
    fn resolver(&self, address: &str, words: &[&str]) -> Child {
        let listen = format!("--listen-address={address}");
        let fixed = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces"];
        let also = ["--log-facility=-", "--log-queries", "--user=root", "--group=", "--pid-file=", "--cache-size=0"];
        let words: Vec<&str> = fixed.iter().chain(&also).chain(words).copied().chain([listen.as_str()]).collect();
        let mut child = self.internet.spawn("dnsmasq", &words);
        child.wait_for("started");
        child
    }

    fn dnsd(&self) -> Child {
        let mut dnsd = self.router.service("dnsd", &self.root, &[]);
        dnsd.wait_for("ready");
        dnsd
    }

    fn dig(&self, words: &str) -> String {
        let fixed = ["@192.168.42.1", "+tries=1", "+timeout=9"];
        let words: Vec<&str> = fixed.into_iter().chain(words.split_whitespace()).collect();
        self.lan.output("dig", &words)
    }

    fn short(&self, words: &str) -> String {
        self.dig(&format!("+short {words}")).trim().to_owned()
    }
}

fn status(answer: &str) -> &str {
    answer.split("status: ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or(answer)
}

#[test]
fn names_of_the_house_and_of_the_world_over_udp_and_tcp() {
    let bed = Bed::new();
    bed.addresses();
    bed.lease("\"10.1.0.1\"");
    let text: String = (0..9).map(|number| format!(",{number}{}", "x".repeat(240))).collect();
    let words = [
        "--host-record=www.example.com,198.51.100.1",
        "--local-ttl=300",
        &format!("--txt-record=big.example.com{text}"),
    ];
    let mut resolver = bed.resolver("10.1.0.1", &words);
    let dnsd = bed.dnsd();

    // The house.
    for transport in ["", "+tcp"] {
        assert_eq!(bed.short(&format!("{transport} xps.lan")), "192.168.42.4");
        assert_eq!(bed.short(&format!("{transport} XPS")), "192.168.42.4");
        assert_eq!(bed.short(&format!("{transport} -x 192.168.42.4")), "Xps.lan.");
        let answer = bed.dig(&format!("{transport} xps.lan AAAA"));
        assert!(status(&answer) == "NOERROR" && answer.contains("SOA"), "{answer}");
        let answer = bed.dig(&format!("{transport} old.lan"));
        assert!(status(&answer) == "NXDOMAIN" && answer.contains("SOA"), "{answer}");
    }

    // The world, asked once, counted down, kept.
    let answer = bed.dig("www.example.com");
    assert!(answer.contains("198.51.100.1") && answer.contains("flags: qr rd ra;"), "{answer}");
    assert!(answer.contains("EDNS: version: 0, flags:; udp: 1232"), "{answer}");
    // Some letters are sent as capitals.
    let is = |line: &str, name: &str| line.to_lowercase().contains(&format!("query[a] {name} from 10.1.0.9"));
    resolver.wait_until("www.example.com", |line| is(line, "www.example.com"));
    assert_eq!(bed.short("+tcp WWW.example.com"), "198.51.100.1");
    assert_eq!(resolver.lines().iter().filter(|line| is(line, "www.example.com")).count(), 1);

    // A machine called com is com, and no zone.
    assert_eq!(bed.short("com"), "192.168.42.5");
    assert_eq!(status(&bed.dig("nothing.com")), "SERVFAIL");
    resolver.wait_until("nothing.com", |line| is(line, "nothing.com"));

    // More than fits: cut for UDP, whole over TCP, to which dig goes by itself.
    let answer = bed.dig("+ignore big.example.com TXT");
    assert!(answer.contains("flags: qr tc rd ra;"), "{answer}");
    let answer = bed.dig("big.example.com TXT");
    assert!(answer.contains("(TCP)") && answer.matches("xxxx").count() >= 9, "{answer}");

    // dig's EDNS matrix.
    assert_eq!(status(&bed.dig("+edns=1 +noednsneg www.example.com")), "BADVERS");
    for words in [
        "+ednsopt=65001:00ff",
        "+ednsflags=0x40",
        "+dnssec",
        "+bufsize=512",
        "+nocookie",
        "+subnet=10.0.0.0/8",
        "+noedns",
    ] {
        assert!(bed.dig(&format!("{words} www.example.com")).contains("198.51.100.1"), "{words}");
    }
    assert_eq!(status(&bed.dig("+opcode=notify www.example.com")), "NOTIMP");
    assert_eq!(status(&bed.dig("version.bind CH TXT")), "REFUSED");
    assert_eq!(status(&bed.dig("-x 10.99.0.1")), "NXDOMAIN");

    // Not on the uplink.
    let from_outside = bed.internet.run(|| UdpSocket::bind("10.1.0.1:0")).unwrap();
    from_outside.connect("10.1.0.9:53").unwrap();
    from_outside.send(&[0; 12]).unwrap();
    assert_eq!(from_outside.recv(&mut [0; 12]).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    drop(dnsd);
}

#[test]
fn answers_from_the_instant_of_ready_and_follows_addresses_and_files() {
    let bed = Bed::new();
    // No address, no lease, no way out: ready all the same.
    let mut dnsd = bed.dnsd();
    bed.addresses();
    assert_eq!(bed.short("xps.lan"), "192.168.42.4");
    let answer = bed.dig("www.example.com");
    assert_eq!(status(&answer), "SERVFAIL");
    dnsd.wait_for("cannot ask 8.8.8.8:53");

    // A lease comes.
    let _one = bed.resolver("10.1.0.1", &["--host-record=www.example.com,198.51.100.1"]);
    bed.lease("\"10.1.0.1\"");
    dnsd.signal("USR1");
    // One signal, one event: what is asked after it is answered by what it told.
    assert_eq!(bed.short("www.example.com"), "198.51.100.1");

    // Another address of another interface: it answers there, from there.
    bed.router.ip("addr add 192.168.43.1/24 dev lan0");
    bed.lan.ip("addr add 192.168.43.7/24 dev eth0");
    let answer = loop {
        // Until the news has reached dnsd the port is closed, which dig says at once.
        let answer =
            bed.lan.run(|| std::process::Command::new("dig").args(["@192.168.43.1", "+tries=1", "xps.lan"]).output());
        let answer = String::from_utf8(answer.unwrap().stdout).unwrap();
        if !answer.contains("connection refused") {
            break answer;
        }
    };
    assert!(answer.contains("SERVER: 192.168.43.1#53"), "{answer}");

    // A lease file of rubbish: said once, and the names of before stay.
    bed.root.write("/perm/dhcp4d/leases.json", "[{\"addr\":7}]");
    dnsd.signal("USR1");
    dnsd.wait_for("leases.json:1:");
    assert_eq!(bed.short("xps.lan"), "192.168.42.4");
    assert!(dnsd.stop().success());
}

#[test]
fn over_ipv6_from_the_lease_and_a_persons_word_wins() {
    let bed = Bed::new();
    bed.addresses();
    bed.lan.ip("addr add fe80::7/64 dev eth0 nodad");
    bed.internet.ip("addr add 2001:db8:1::53/64 dev isp nodad");
    bed.router.ip("addr add 2001:db8:1::9/64 dev uplink0 nodad");
    bed.router.ip("addr add fe80::42/64 dev lan0 nodad");
    let _leased = bed.resolver("2001:db8:1::53", &["--address=/example.com/2001:db8::80", "--local-ttl=1"]);
    let _named = bed.resolver("10.1.0.2", &["--address=/example.org/2001:db8::81"]);
    let lease = r#"{"valid_until":"2199-01-01T00:00:00Z","prefixes":null,"dns":["2001:db8:1::53"]}"#;
    bed.root.write("/perm/dhcp6/lease.json", lease);
    let dnsd = bed.dnsd();
    // As radvd tells the LAN: at the router's link-local address.
    let ask = |name: &str| bed.lan.output("dig", &["@fe80::42%eth0", "+short", "+tries=1", name, "AAAA"]);
    assert_eq!(ask("www.example.com").trim(), "2001:db8::80");
    let interfaces =
        r#"{"interfaces":[{"name":"uplink0","dns":["10.1.0.2"]},{"name":"lan0","addr":"192.168.42.1/24"}]}"#;
    bed.root.write("/perm/interfaces.json", interfaces);
    dnsd.signal("USR1");
    assert_eq!(ask("www.example.org").trim(), "2001:db8::81");
}

#[test]
fn one_of_two_resolvers_dead_and_then_both() {
    let bed = Bed::new();
    bed.addresses();
    // 10.1.0.3 is nobody: packets to it vanish, as those to a dead resolver do.
    bed.internet.ip("addr add 10.1.0.3/32 dev lo");
    bed.internet.output("ip", &["route", "add", "blackhole", "10.1.0.9/32", "table", "7"]);
    bed.internet.output("ip", &["rule", "add", "from", "10.1.0.3", "table", "7"]);
    bed.lease("\"10.1.0.3\",\"10.1.0.2\"");
    let wildcard = "--address=/example.com/198.51.100.2";
    let _dead = bed.resolver("10.1.0.3", &[wildcard]);
    let mut live = bed.resolver("10.1.0.2", &[wildcard, "--local-ttl=1"]);
    let _dnsd = bed.dnsd();
    for number in 0..5 {
        assert_eq!(bed.short(&format!("n{number}.example.com")), "198.51.100.2");
    }
    live.kill();
    let answer = bed.dig("other.example.com");
    assert_eq!(status(&answer), "SERVFAIL");
    assert_eq!(bed.short("xps.lan"), "192.168.42.4");
}

#[test]
fn rubbish_and_idle_connections_keep_nobody_from_being_served() {
    let bed = Bed::new();
    bed.addresses();
    let dnsd = bed.dnsd();
    let socket = bed.lan.run(|| UdpSocket::bind("192.168.42.7:0")).unwrap();
    socket.connect("192.168.42.1:53").unwrap();
    let mut seed = 1u32;
    for _ in 0..3_000 {
        let message: Vec<u8> = (0..seed % 90)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8
            })
            .collect();
        seed = seed.wrapping_add(1);
        socket.send(&message).unwrap();
    }
    // More connections than it keeps, each with half a query.
    let idle: Vec<_> = (0..100)
        .filter_map(|_| bed.lan.run(|| std::net::TcpStream::connect("192.168.42.1:53")).ok())
        .map(|mut stream| {
            let _ = std::io::Write::write_all(&mut stream, &[0, 40, 1, 2]);
            stream
        })
        .collect();
    assert_eq!(bed.short("xps.lan"), "192.168.42.4");
    // From another address: one address has its share of connections only.
    bed.lan.ip("addr add 192.168.42.8/24 dev eth0");
    assert_eq!(bed.short("+tcp -b 192.168.42.8 xps.lan"), "192.168.42.4");
    // Who does not finish a query is not waited for.
    for mut stream in idle {
        stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
        match std::io::Read::read(&mut stream, &mut [0]) {
            Ok(count) => assert_eq!(count, 0),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
    drop(dnsd);
}
