//! The uplink from end to end, in network namespaces: a provider with real servers, our services as on the router, and a
//! LAN host with stateless autoconfiguration that opens real connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::family::Family;
use common::{Child, Namespace, Root};
use qemu::provider6::{Offer, dhcpd, kea, radvd};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

const SERVICES: [&str; 4] = ["netconfigd", "dhcp4", "dhcp6", "radvd"];
const SERVER: &str = "[2001:db8:ffff::1]:80";
const SERVER4: &str = "198.51.100.1:80";
const A: &str = "2001:db8:a000::";
const B: &str = "2001:db8:b000::";

struct Scene {
    isp: Namespace,
    router: Namespace,
    lan: Namespace,
    root: Root,
    family: Family,
    /// The provider's router advertisements.
    _radvd: Child,
    /// The LAN host's news of addresses.
    news: Child,
}

impl Scene {
    fn new() -> Scene {
        let (isp, router, lan, root) = (Namespace::new(), Namespace::new(), Namespace::new(), Root::new());
        // Neighbour discovery's wait for duplicates would only cost time here.
        for host in [&isp, &router, &lan] {
            host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")).unwrap();
        }
        isp.run(|| std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")).unwrap();
        router.veth("uplink0", &isp, "isp0");
        let news = lan.spawn("ip", &["-6", "-o", "monitor", "address"]);
        router.veth("lan0", &lan, "eth0");
        for words in [
            "2001:db8:1::1/64 dev isp0",
            "203.0.113.1/24 dev isp0",
            "2001:db8:ffff::1/128 dev lo",
            "198.51.100.1/32 dev lo",
        ] {
            isp.ip(&format!("addr add {words}"));
        }
        lan.ip("addr add 192.168.42.7/24 dev eth0");
        lan.ip("route add default via 192.168.42.1");
        greet(&isp, SERVER);
        greet(&isp, SERVER4);
        let radvd = radvd(&isp, "isp0", &root.path("/tmp"));
        let mut family = Family::new(&root);
        for name in SERVICES {
            family.start(&router, &root, name);
        }
        Scene { isp, router, lan, root, family, _radvd: radvd, news }
    }

    /// Waits until a prefix of the pool is held; the provider then routes it to us.
    fn holds(&mut self, pool: &str) -> String {
        let stem = pool.trim_end_matches("00::").to_owned();
        let line = self.family.of("dhcp6").wait_until(pool, |line| line.contains(": has ") && line.contains(&stem));
        let prefix = line.split([' ', ',']).find(|word| word.starts_with(&stem)).unwrap().to_owned();
        let uplink = self.router.ip("-6 -o addr show dev uplink0 scope link");
        let address = uplink.split_whitespace().find(|word| word.starts_with("fe80::")).unwrap();
        let address = address.split('/').next().unwrap();
        self.isp.ip(&format!("-6 route replace {prefix} via {address} dev isp0"));
        prefix
    }

    /// Waits until the LAN host has an address of a prefix that is (or is no longer) preferred.
    fn address(&mut self, prefix: &str, deprecated: bool) {
        let stem = prefix.split("::").next().unwrap().to_owned();
        self.news.wait_until(&format!("{prefix}, deprecated {deprecated}"), |line| {
            line.contains(&format!("inet6 {stem}"))
                && !line.contains("Deleted")
                && line.contains("deprecated") == deprecated
        });
    }

    /// Asks the LAN host's kernel until it has a default route, or has none.
    fn leads_out(&self, wanted: bool) {
        let deadline = std::time::Instant::now() + common::PATIENCE;
        while self.lan.ip("-6 route show default").contains("default") != wanted {
            assert!(std::time::Instant::now() < deadline, "a default route: {wanted}, never");
        }
    }

    /// What a server says that the LAN host's new connection comes from.
    fn seen_as(&self, server: &'static str) -> std::io::Result<String> {
        self.lan.run(move || {
            let mut stream = TcpStream::connect_timeout(&server.parse().unwrap(), common::PATIENCE)?;
            let mut text = String::new();
            stream.read_to_string(&mut text).map(|_| text)
        })
    }

    /// What rdisc6 hears on the LAN.
    fn rdisc6(&self) -> String {
        self.lan.output("rdisc6", &["-1", "-w", "60000", "eth0"])
    }
}

/// Answers each connection with the peer's address, for as long as the test lives.
fn greet(host: &Namespace, address: &'static str) {
    let listener = host.run(move || TcpListener::bind(address)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip().to_string();
            let _ = stream.write_all(peer.as_bytes());
        }
    });
}

/// Valid (and preferred) lifetime of a prefix in rdisc6's words.
fn lifetimes(heard: &str, prefix: &str) -> Option<(u32, u32)> {
    let stem = prefix.split("/").next().unwrap();
    let mut lines = heard.lines().skip_while(|line| !line.contains(&format!("Prefix                   : {stem}/64")));
    lines.next()?;
    let mut seconds = |word: &str| {
        let line = lines.find(|line| line.contains(word))?;
        line.split(':').nth(1)?.split_whitespace().next()?.parse().ok()
    };
    Some((seconds("Valid time")?, seconds("Pref. time")?))
}

#[test]
fn prefixes_come_change_and_end_and_the_lan_follows() {
    let mut scene = Scene::new();
    let short = Offer { pool: A, times: [2, 3, 7, 9] };
    let first = kea(&scene.isp, "isp0", &scene.root.path("/tmp"), &short, 1);
    let a = scene.holds(A);
    scene.address(&a, false);
    scene.leads_out(true);
    let stem_a = a.split("::").next().unwrap().to_owned();
    assert!(scene.seen_as(SERVER).unwrap().starts_with(&stem_a), "from the delegated prefix");
    let heard = scene.rdisc6();
    let (valid, preferred) = lifetimes(&heard, &a).unwrap_or_else(|| panic!("{heard}"));
    assert!(valid <= 9 && preferred <= 7 && preferred > 0, "no longer than the delegation's: {heard}");
    assert!(heard.contains("Router lifetime           :         1800"), "{heard}");
    // Renewed, and nothing flaps.
    scene.family.of("dhcp6").wait_for("renewing");
    scene.holds(A);

    // The server is gone: the prefix is deprecated at its end, the LAN falls back to IPv4 and keeps its own prefix.
    drop(first);
    scene.family.of("dhcp6").wait_for(&format!("{a} has run out"));
    scene.family.of("radvd").wait_for("is stale");
    scene.address(&a, true);
    scene.leads_out(false);
    let heard = scene.rdisc6();
    assert_eq!(lifetimes(&heard, &a), Some((0, 0)), "{heard}");
    assert!(heard.contains("Router lifetime           :            0"), "{heard}");

    // A server of another make with another prefix: new connections use it and nothing else.
    let _second =
        dhcpd(&scene.isp, "isp0", &scene.root.path("/tmp"), &Offer { pool: B, times: [1_000, 1_600, 2_000, 3_000] });
    let b = scene.holds(B);
    scene.address(&b, false);
    scene.leads_out(true);
    let stem_b = b.split("::").next().unwrap().to_owned();
    for _ in 0..5 {
        assert!(scene.seen_as(SERVER).unwrap().starts_with(&stem_b));
    }
    let heard = scene.rdisc6();
    assert_eq!(lifetimes(&heard, &a), Some((0, 0)), "{heard}");
    assert!(lifetimes(&heard, &b).unwrap().1 > 0, "{heard}");
}

#[test]
fn a_power_cut_with_another_prefix_behind_it() {
    let mut scene = Scene::new();
    let first =
        dhcpd(&scene.isp, "isp0", &scene.root.path("/tmp"), &Offer { pool: A, times: [1_000, 1_600, 2_000, 3_000] });
    let a = scene.holds(A);
    scene.address(&a, false);
    // The power is off; the provider changes its mind meanwhile.
    for name in SERVICES {
        scene.family.stop(name);
    }
    scene.router.ip("-6 addr flush dev lan0 scope global");
    drop(first);
    let second =
        kea(&scene.isp, "isp0", &scene.root.path("/tmp"), &Offer { pool: B, times: [1_000, 1_600, 2_000, 3_000] }, 2);
    // Not heard at first: what was stored is in use.
    scene.isp.ip("link set isp0 down");
    for name in SERVICES {
        scene.family.start(&scene.router, &scene.root, name);
    }
    scene.family.of("netconfigd").wait_for(&format!("got {}1/64", a.split('/').next().unwrap()));
    let (valid, preferred) = lifetimes(&scene.rdisc6(), &a).unwrap();
    assert!(preferred > 0 && valid <= 3_000);
    scene.isp.ip("link set isp0 up");
    scene.isp.ip("addr replace 2001:db8:1::1/64 dev isp0");
    let b = scene.holds(B);
    scene.address(&a, true);
    scene.address(&b, false);
    scene.leads_out(true);
    let stem_b = b.split("::").next().unwrap().to_owned();
    assert!(scene.seen_as(SERVER).unwrap().starts_with(&stem_b));
    assert_eq!(lifetimes(&scene.rdisc6(), &a), Some((0, 0)));
    drop(second);
}

#[test]
fn ipv4_stays_past_the_end_of_its_lease() {
    let mut scene = Scene::new();
    let path = |name: &str| scene.root.path(&format!("/tmp/{name}")).to_str().unwrap().to_owned();
    let (conf, leases, pid) = (path("d4.conf"), path("d4.leases"), path("d4.pid"));
    let text = "authoritative; default-lease-time 20; max-lease-time 20; option dhcp-renewal-time 1; option dhcp-rebinding-time 2;
        subnet 203.0.113.0 netmask 255.255.255.0 { range 203.0.113.50 203.0.113.60; option routers 203.0.113.1; }";
    std::fs::write(&conf, text).unwrap();
    std::fs::write(&leases, "").unwrap();
    let server = scene.isp.spawn("dhcpd", &["-4", "-f", "-d", "-cf", &conf, "-lf", &leases, "-pf", &pid, "isp0"]);
    scene.family.of("netconfigd").wait_for("route to 0.0.0.0/0");
    let address = scene.seen_as(SERVER4).unwrap();
    drop(server);
    scene.family.of("dhcp4").wait_for("has run out: its configuration stays");
    assert_eq!(scene.seen_as(SERVER4).unwrap(), address);
}

#[test]
fn from_carrier_to_the_first_packet_little_is_computed() {
    let mut scene = Scene::new();
    scene.isp.ip("link set isp0 down");
    scene.family.of("dhcp4").wait_for("no carrier");
    let leases = format!("--dhcp-leasefile={}", scene.root.path("/tmp/dnsmasq.leases").display());
    let words = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--log-facility=-", "--user=root"];
    let also =
        ["--group=", "--pid-file=", "--no-ping", "--interface=isp0", "--dhcp-range=203.0.113.50,203.0.113.60,2m"];
    let words: Vec<&str> = words.into_iter().chain(also).chain([leases.as_str()]).collect();
    let mut dnsmasq = scene.isp.spawn("dnsmasq", &words);
    dnsmasq.wait_for("DHCP, IP range");
    let used = |scene: &mut Scene| SERVICES.map(|name| scene.family.of(name).cpu_micros());
    let before = used(&mut scene);
    scene.isp.ip("link set isp0 up");
    scene.family.of("netconfigd").wait_for("route to 0.0.0.0/0");
    assert!(scene.seen_as(SERVER4).unwrap().starts_with("203.0.113."));
    let discovers = dnsmasq.lines().iter().filter(|line| line.contains("DHCPDISCOVER")).count();
    assert_eq!(discovers, 1, "no timer was waited for");
    let after = used(&mut scene);
    let spent: Vec<_> = (0..SERVICES.len()).map(|at| (SERVICES[at], after[at] - before[at])).collect();
    println!("carrier to the first packet, in us of processor time: {spent:?}");
    let ipv4: u64 =
        spent.iter().filter(|(name, _)| ["netconfigd", "dhcp4"].contains(name)).map(|(_, micros)| micros).sum();
    assert!(ipv4 <= 10_000, "{spent:?}");
}
