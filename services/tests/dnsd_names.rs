//! dnsd's names, metrics and files, in a namespace: `dig` and `curl` as the LAN, dnsmasq as the world.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, Root, Services};

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
        router.ip("addr add 10.1.0.9/24 dev uplink0");
        router.ip("addr add 192.168.42.1/24 dev lan0");
        lan.ip("addr add 192.168.42.7/24 dev eth0");
        let interfaces = r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24"}]}"#;
        root.write("/perm/interfaces.json", interfaces);
        Bed { router, lan, internet, root }
    }

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

    fn curl(&self, words: &str) -> String {
        let fixed = ["--silent", "--max-time", "20", "--write-out", "%{http_code}"];
        let words: Vec<&str> = fixed.into_iter().chain(words.split_whitespace()).collect();
        self.lan.output("curl", &words)
    }

    fn devices(&self, rows: &str) {
        self.root.write("/run/deviced/devices.json", format!("{{\"devices\":[{rows}]}}"));
    }
}

fn status(answer: &str) -> &str {
    answer.split("status: ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or(answer)
}

const LAPTOP: &str = r#"{"hardware_addr":"02:00:00:00:00:07","interface":"lan0","name":"laptop","dhcp_name":"laptop",
    "ipv4":["192.168.42.7"],"ipv6":["fd00::7","2001:db8:a::7"]}"#;

#[test]
fn devices_answer_in_both_families_and_both_ways_as_soon_as_they_are_written() {
    let bed = Bed::new();
    let dnsd = bed.dnsd();
    assert_eq!(status(&bed.dig("laptop.lan")), "NXDOMAIN");
    bed.devices(LAPTOP);
    dnsd.signal("USR1");
    // The signal came before the question, so what it told holds for the answer.
    assert_eq!(bed.short("laptop.lan A"), "192.168.42.7");
    assert_eq!(bed.short("laptop.lan AAAA").lines().count(), 2);
    assert_eq!(bed.short("laptop AAAA").lines().count(), 2);
    for address in ["192.168.42.7", "fd00::7", "2001:db8:a::7"] {
        assert_eq!(bed.short(&format!("-x {address}")), "laptop.lan.", "{address}");
    }
    // A table of rubbish leaves the names of before; an empty one takes them away.
    bed.root.write("/run/deviced/devices.json", "{\"devices\":7}");
    dnsd.signal("USR1");
    assert_eq!(bed.short("laptop.lan A"), "192.168.42.7");
    bed.devices("");
    dnsd.signal("USR1");
    assert_eq!(status(&bed.dig("laptop.lan")), "NXDOMAIN");
    drop(dnsd);
}

#[test]
fn names_below_a_machines_own_are_asked_for_kept_and_refused() {
    let bed = Bed::new();
    bed.devices(LAPTOP);
    let mut dnsd = bed.dnsd();
    let url = "http://192.168.42.1:8053/dyndns";
    assert_eq!(bed.curl(&format!("{url}?host=www&ip=192.168.42.80")), "ok\n200");
    assert_eq!(bed.curl(&format!("-X POST {url}?host=SIX&ip=fd00::80")), "ok\n200");
    assert_eq!(bed.short("WWW.laptop.lan"), "192.168.42.80");
    assert_eq!(bed.short("six.laptop.lan AAAA"), "fd00::80");
    assert_eq!(status(&bed.dig("six.laptop.lan A")), "NOERROR");
    assert!(bed.curl(&format!("{url}?host=www&ip=nonsense")).ends_with("400"));
    assert!(bed.curl(&format!("{url}?host=a.b&ip=192.168.42.80")).ends_with("400"));
    assert!(bed.curl("http://192.168.42.1:8053/else").ends_with("404"));
    // By a page of another site, and by a name of the internet that leads here.
    for header in ["Origin: http://evil.example", "Host: evil.example"] {
        let words =
            ["-s", "-w", "%{http_code}", "-H", header, "http://192.168.42.1:8053/dyndns?host=www&ip=192.168.42.81"];
        assert!(bed.lan.output("curl", &words).ends_with("403"), "{header}");
    }
    // From an address that nobody has a name for.
    bed.lan.ip("addr add 192.168.42.8/24 dev eth0");
    assert!(bed.curl(&format!("--interface 192.168.42.8 {url}?host=www&ip=192.168.42.81")).ends_with("403"));
    // Another address in its place, and over a crash.
    assert_eq!(bed.curl(&format!("{url}?host=www&ip=192.168.42.82")), "ok\n200");
    dnsd.kill();
    let _dnsd = bed.dnsd();
    assert_eq!(bed.short("www.laptop.lan"), "192.168.42.82");
}

#[test]
fn a_persons_file_names_servers_names_and_domains() {
    let bed = Bed::new();
    let mut world = bed.resolver(
        "10.1.0.1",
        &["--host-record=www.example.com,198.51.100.1", "--host-record=evil.example.com,192.168.42.7"],
    );
    let _corp = bed.resolver("10.1.0.2", &["--host-record=intra.corp.example,10.99.0.9"]);
    bed.devices(LAPTOP);
    bed.root.write(
        "/perm/dnsd/config.json",
        r#"{"upstreams":["10.1.0.1"],"domains":{"corp.example":["10.1.0.2"]},
        "names":{"nas":["192.168.42.9","fd00::9"],"cloud.example.org":["192.168.42.9"]},
        "lan_domains":{"lan0":"home.example.net"}}"#,
    );
    let mut dnsd = bed.dnsd();
    assert_eq!(bed.short("www.example.com"), "198.51.100.1");
    world.wait_for("query[A]");
    assert_eq!(bed.short("intra.corp.example"), "10.99.0.9", "a domain of one's own may lead into the house");
    assert_eq!(bed.short("evil.example.com"), "", "the world may not");
    dnsd.wait_for("evil.example.com. has an address of the house");
    assert_eq!((bed.short("nas.lan"), bed.short("NAS AAAA")), ("192.168.42.9".into(), "fd00::9".into()));
    assert_eq!(bed.short("cloud.example.org"), "192.168.42.9");
    assert_eq!(bed.short("laptop.home.example.net"), "192.168.42.7");
    assert_eq!(bed.short("laptop.lan"), "192.168.42.7");
    assert_eq!(bed.short("-x 192.168.42.7"), "laptop.home.example.net.");
    assert_eq!(status(&bed.dig("nobody.home.example.net")), "NXDOMAIN");
    // What is refused is named, and what was before holds.
    bed.root.write("/perm/dnsd/config.json", "{\n\"upstreams\":[\"dns.example\"]}");
    dnsd.signal("USR1");
    dnsd.wait_for("config.json:2:14: upstreams[0]: \"dns.example\" is neither");
    assert_eq!(bed.short("nas.lan"), "192.168.42.9");
}

#[test]
fn metrics_have_router7s_names_and_count() {
    let bed = Bed::new();
    let _world = bed.resolver("10.1.0.1", &["--address=/example.com/198.51.100.1", "--local-ttl=300"]);
    bed.root.write("/perm/dnsd/config.json", r#"{"upstreams":["10.1.0.1"]}"#);
    let _dnsd = bed.dnsd();
    for name in ["www.example.com", "www.example.com", "nobody.lan"] {
        bed.dig(name);
    }
    let page = bed.curl("http://192.168.42.1:8053/metrics");
    for line in [
        "dns_queries 3",
        "dns_upstream{upstream=\"local\"} 1",
        "dns_upstream{upstream=\"10.1.0.1:53\"} 1",
        "dns_questions_bucket{le=\"1\"} 3",
        "dns_questions_bucket{le=\"+Inf\"} 3",
        "dns_questions_sum 3",
        "dns_questions_count 3",
        "weir_dns_cache_hits_total 1",
        "weir_dns_cache_misses_total 1",
        "weir_dns_cache_answers 1",
        "weir_dns_upstream_alive{upstream=\"10.1.0.1:53\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}

#[test]
fn the_cache_is_kept_over_a_restart_when_a_person_wants_it() {
    let bed = Bed::new();
    let mut world = bed.resolver("10.1.0.1", &["--address=/example.com/198.51.100.1", "--local-ttl=300"]);
    bed.root.write("/perm/dnsd/config.json", r#"{"upstreams":["10.1.0.1"],"keep_cache":true}"#);
    let mut dnsd = bed.dnsd();
    assert_eq!(bed.short("www.example.com"), "198.51.100.1");
    assert!(dnsd.stop().success());
    world.kill();
    let mut dnsd = bed.dnsd();
    dnsd.wait_for("1 answers of before");
    assert_eq!(bed.short("www.example.com"), "198.51.100.1");
    assert!(dnsd.stop().success());
    bed.root.write("/perm/dnsd/cache", "rubbish");
    let mut dnsd = bed.dnsd();
    dnsd.wait_for("is no cache");
    assert_eq!(status(&bed.dig("nobody.lan")), "NXDOMAIN");
}
