//! radvd against real hosts: Linux with stateless autoconfiguration, and rdisc6, in a network namespace as the LAN.
#![allow(clippy::unwrap_used)] // a helper of a test fails by panicking

mod common;

use common::{Child, Namespace, Root, Services};

/// A router with a LAN, one host on it, and an uplink that leads out.
struct Scene {
    router: Namespace,
    lan: Namespace,
    _isp: Namespace,
    root: Root,
    /// The host's news of its addresses and routes.
    news: Child,
}

impl Scene {
    fn new() -> Scene {
        let (router, lan, isp, root) = (Namespace::new(), Namespace::new(), Namespace::new(), Root::new());
        // Neighbour discovery's wait for duplicates would only cost time here.
        for host in [&router, &lan] {
            host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")).unwrap();
        }
        router.run(|| std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")).unwrap();
        router.veth("uplink0", &isp, "isp0");
        let news = lan.spawn("ip", &["-6", "-o", "monitor", "address", "route"]);
        router.veth("lan0", &lan, "eth0");
        router.ip("-6 route add default via fe80::1 dev uplink0");
        Scene { router, lan, _isp: isp, root, news }
    }

    fn start(&self) -> Child {
        let mut radvd = self.router.service("radvd", &self.root, &[]);
        radvd.wait_for("ready");
        radvd
    }

    /// What rdisc6 hears when it asks.
    fn ask(&self) -> String {
        self.lan.output("rdisc6", &["-1", "-w", "60000", "eth0"])
    }

    /// The source that the host would use for a new connection.
    fn source(&self) -> String {
        let route = self.lan.ip("-6 route get 2001:db8:ffff::1");
        route.split(" src ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default().to_owned()
    }

    fn address(&mut self, prefix: &str, deprecated: bool) {
        let what = format!("an address of {prefix}, deprecated {deprecated}");
        self.news.wait_until(&what, |line| {
            let address = line.contains(&format!("inet6 {prefix}")) && !line.contains("Deleted");
            address && line.contains("deprecated") == deprecated && !line.contains("tentative")
        });
    }
}

/// The lines of one prefix in rdisc6's words, in one.
fn of_prefix(heard: &str, prefix: &str) -> String {
    let mut lines = heard.lines().skip_while(|line| !line.contains(&format!(" Prefix                   : {prefix}")));
    let first = lines.next().unwrap_or_default().to_owned();
    let rest: Vec<&str> = lines.take_while(|line| line.starts_with("  ")).collect();
    [vec![first.as_str()], rest]
        .concat()
        .iter()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("; ")
}

#[test]
fn a_host_follows_the_prefix_that_is_in_force() {
    let mut scene = Scene::new();
    scene.root.write_lease6("2001:db8:a::/56", 3_600);
    let mut radvd = scene.start();
    scene.address("2001:db8:a:0:", false);
    let heard = scene.ask();
    for line in [
        "Router lifetime           :         1800",
        "Recursive DNS server     : fe80::",
        "DNS search list          : lan",
        "Route                    : 2001:db8:a::/56",
        "Source link-layer address",
        "MTU                      :         1500",
    ] {
        assert!(heard.contains(line), "no {line:?} in\n{heard}");
    }
    let prefix = of_prefix(&heard, "2001:db8:a::/64");
    assert!(prefix.contains("On-link : Yes") && prefix.contains("Autonomous address conf.: Yes"), "{prefix}\n{heard}");
    assert!(scene.source().starts_with("2001:db8:a:0:"), "{}", scene.source());

    // Another prefix: the old one is deprecated, new connections use the new one.
    scene.root.write_lease6("2001:db8:b::/56", 3_600);
    radvd.signal("USR1");
    radvd.wait_for("2001:db8:a::/64 is stale");
    scene.address("2001:db8:a:0:", true);
    scene.address("2001:db8:b:0:", false);
    assert!(scene.source().starts_with("2001:db8:b:0:"), "{}", scene.source());
    let heard = scene.ask();
    let stale = of_prefix(&heard, "2001:db8:a::/64");
    assert!(
        stale.contains("Valid time : 0") && stale.contains("Pref. time : 0") && stale.contains("On-link : Yes"),
        "{stale}\n{heard}"
    );

    // Power off in between, and yet another one when it comes back.
    radvd.kill();
    scene.root.write_lease6("2001:db8:c::/56", 3_600);
    let mut radvd = scene.start();
    scene.address("2001:db8:b:0:", true);
    scene.address("2001:db8:c:0:", false);
    let heard = scene.ask();
    for old in ["2001:db8:a::/64", "2001:db8:b::/64"] {
        assert!(of_prefix(&heard, old).contains("Valid time : 0"), "{heard}");
    }

    // Run out while nobody answers: deprecated then, and not before; the LAN keeps its own prefix.
    scene.root.write_lease6("2001:db8:c::/56", 2);
    radvd.signal("USR1");
    radvd.wait_for("2001:db8:c::/64 is stale");
    scene.address("2001:db8:c:0:", true);
    let heard = scene.ask();
    assert!(heard.contains("Router lifetime           :            0"), "{heard}");
    assert!(heard.contains(" Prefix                   : fd"), "{heard}");
}

#[test]
fn a_restart_says_nothing_and_a_power_off_says_farewell() {
    let mut scene = Scene::new();
    scene.root.write_lease6("2001:db8:a::/56", 3_600);
    let mut radvd = scene.start();
    scene.news.wait_until("a default route", |line| line.contains("default via fe80::") && !line.contains("Deleted"));
    assert!(radvd.stop().success());
    let mut radvd = scene.start();
    scene.ask();
    assert!(!scene.news.lines().iter().any(|line| line.contains("Deleted default")), "{:#?}", scene.news.lines());
    // The provider's route goes: the host is told within three seconds; it comes again.
    scene.router.ip("-6 route del default");
    radvd.wait_for("has no IPv6 default route");
    scene.news.wait_for("Deleted default");
    scene.router.ip("-6 route add default via fe80::1 dev uplink0");
    scene.news.wait_for("default via fe80::");
    scene.root.write("/run/poweroff", "");
    assert!(radvd.stop().success());
    scene.news.wait_for("Deleted default");
}

#[test]
fn the_lan_has_ipv6_without_any_provider_and_keeps_its_prefix() {
    let mut scene = Scene::new();
    let radvd = scene.start();
    scene.address("fd", false);
    let heard = scene.ask();
    assert!(heard.contains("Router lifetime           :            0"), "{heard}");
    let own = scene.root.read("/perm/radvd/ula.json");
    drop(radvd);
    let mut radvd = scene.start();
    assert_eq!(scene.root.read("/perm/radvd/ula.json"), own);
    // A LAN that comes late, under another name first.
    scene.router.ip("link del lan0");
    scene.router.ip(&format!("link add eth9 type veth peer name eth0 netns {}", scene.lan.path()));
    scene.lan.ip("link set eth0 up");
    scene.router.ip("link set eth9 up");
    scene.router.ip("link set eth9 name lan0");
    scene.address("fd", false);
    assert!(radvd.stop().success());
}
