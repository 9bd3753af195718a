//! Twelve broken internets and a whole one, in network namespaces: a provider with real servers, the router's diagd and
//! dnsd, and the one sentence that each must bring, on the page, in JSON, on the socket and in the log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, PATIENCE, Root, Services};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;

const GATEWAY: &str = "203.0.113.1";
/// A host on the internet: a web server, an echo, in both families.
const SERVER: &str = "198.51.100.10";
const SERVER6: &str = "2001:db8:ffff::1";
const NAME: &str = "www.example.com";
const FINE: &str = "The internet works over IPv4 and IPv6.";

/// A provider and the internet behind it, and a router.
struct Scene {
    isp: Namespace,
    router: Namespace,
    root: Root,
    names: Option<Child>,
    _web: Child,
    _dnsd: Option<Child>,
}

impl Scene {
    /// An internet that works; `uplink` is the router's address with the prefix length.
    fn with(uplink: &str, gateway: &str) -> Scene {
        let (isp, router, root) = (Namespace::new(), Namespace::new(), Root::new());
        for host in [&isp, &router] {
            // Neighbour discovery's wait for duplicates would only cost time here.
            host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")).unwrap();
        }
        isp.run(|| std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")).unwrap();
        // As netconfigd does it, for the group that the test has.
        router.run(|| std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0")).unwrap();
        router.veth("uplink0", &isp, "isp0");
        let length = uplink.split('/').nth(1).unwrap();
        for words in [
            format!("addr add {gateway}/{length} dev isp0"),
            "addr add 2001:db8:1::1/64 dev isp0".into(),
            "addr add fe80::1/64 dev isp0".into(),
            format!("addr add {SERVER}/32 dev lo"),
            format!("addr add {SERVER6}/128 dev lo"),
        ] {
            isp.ip(&words);
        }
        router.ip(&format!("addr add {uplink} dev uplink0"));
        router.ip("addr add 2001:db8:1::9/64 dev uplink0");
        router.ip(&format!("route add default via {gateway} dev uplink0"));
        router.ip("route add default via fe80::1 dev uplink0");
        root.write("/etc/version", "test\n");
        root.write("/tmp/www/success.txt", "success\n");
        root.write(
            "/perm/diagd/config.json",
            format!(
                r#"{{"names":["{NAME}"],"ping":["{SERVER}","{SERVER6}"],"portal":"http://{NAME}/success.txt","portal_answer":"success"}}"#
            ),
        );
        root.write(
            "/perm/interfaces.json",
            format!(
                r#"{{"interfaces":[{{"name":"uplink0","addr":"{uplink}","gateway":"{gateway}","dns":["{gateway}"]}}]}}"#
            ),
        );
        let mut scene = Scene { _web: web(&isp, &root), isp, router, root, names: None, _dnsd: None };
        scene.names = Some(scene.serve_names(gateway));
        let mut dnsd = scene.router.service("dnsd", &scene.root, &[]);
        dnsd.wait_for("ready");
        scene._dnsd = Some(dnsd);
        scene
    }

    fn new() -> Scene {
        Scene::with("203.0.113.9/24", GATEWAY)
    }

    fn serve_names(&self, at: &str) -> Child {
        let (record, listen) = (format!("--host-record={NAME},{SERVER},{SERVER6}"), format!("--listen-address={at}"));
        let words = ["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--group=", "--pid-file="];
        let also = [
            "--log-facility=-",
            "--no-resolv",
            "--no-hosts",
            "--local=/example.com/",
            "--bind-interfaces",
            &listen,
            &record,
        ];
        let mut names = self.isp.spawn("dnsmasq", &[&words[..], &also[..]].concat());
        names.wait_for("started");
        names
    }

    fn start(&self) -> Child {
        let mut diagd = self.router.service("diagd", &self.root, &[]);
        diagd.wait_for("ready");
        diagd
    }

    /// Asks on the socket; the answer is diagd's view of now.
    fn asks(&self) -> Value {
        let mut stream = UnixStream::connect(self.root.path("/run/diagd.sock")).unwrap();
        stream.write_all(b"{\"op\":\"diag\"}\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// The sentence of a diagd that has just been started, which is the one of its log, its page and its JSON.
    fn sentence(&self) -> (String, Value) {
        let mut diagd = self.start();
        let health = self.asks();
        let sentence = health["sentence"].as_str().unwrap().to_owned();
        println!("{sentence}\n{health:#}");
        diagd.wait_for(&sentence);
        let page = self.get("/health.json");
        let shown: Value = serde_json::from_str(page.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!(shown["sentence"], health["sentence"]);
        (sentence, health)
    }

    fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: weir\r\n\r\n");
        self.router.run(move || {
            let mut stream = TcpStream::connect("127.0.0.1:7733").unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        })
    }

    /// That this sentence is the culprit's, and that the rule of this name said it.
    fn culprit(&self, rule: &str, level: &str, begin: &str) {
        let (sentence, health) = self.sentence();
        assert!(sentence.starts_with(begin), "{sentence}");
        let findings = health["findings"].as_array().unwrap();
        let said = findings.iter().find(|finding| finding["sentence"] == health["sentence"]).unwrap();
        assert_eq!((said["check"].as_str(), health["level"].as_str()), (Some(rule), Some(level)), "{health:#}");
    }
}

fn web(isp: &Namespace, root: &Root) -> Child {
    let home = root.path("/tmp/www");
    let server = isp.spawn("busybox", &["httpd", "-f", "-vv", "-p", "[::]:80", "-h", home.to_str().unwrap()]);
    let deadline = std::time::Instant::now() + PATIENCE;
    while isp.run(|| TcpStream::connect((SERVER, 80))).is_err() {
        assert!(std::time::Instant::now() < deadline, "busybox does not listen");
    }
    server
}

#[test]
fn a_whole_internet_is_said_to_work_everywhere() {
    let scene = Scene::new();
    let (sentence, health) = scene.sentence();
    assert_eq!((sentence.as_str(), health["first_error"].as_str()), (FINE, Some("")));
    assert_eq!(health["findings"].as_array().unwrap().len(), 0, "{health:#}");
    let mut diagd = scene.start();
    let page = scene.get("/");
    assert!(page.contains(FINE) && page.contains("\u{2714} link/uplink0: "), "{page}");
    assert!(page.contains(&format!("\u{2714} tcp4: {NAME}:80: connection established")), "{page}");
    let metrics = scene.get("/metrics");
    assert!(metrics.contains("\ndiagd_healthy 1\n"), "{metrics}");
    // A round is not asked for twice within three seconds, and says nothing twice.
    for _ in 0..50 {
        assert!(scene.get("/metrics").contains("\ndiagd_healthy 1\n"));
    }
    diagd.signal("TERM");
    diagd.wait();
    assert_eq!(diagd.lines().iter().filter(|line| line.contains(FINE)).count(), 1, "{:?}", diagd.lines());
}

#[test]
fn no_carrier() {
    let scene = Scene::new();
    scene.isp.ip("link set isp0 down");
    scene.culprit("carrier", "broken", "uplink0 has had no carrier since ");
}

#[test]
fn no_lease() {
    let scene = Scene::new();
    scene.root.write("/perm/interfaces.json", r#"{"interfaces":[{"name":"uplink0"}]}"#);
    for family in ["-4", "-6"] {
        scene.router.ip(&format!("{family} route flush dev uplink0"));
        scene.router.ip(&format!("{family} addr flush dev uplink0 scope global"));
    }
    scene.culprit("address", "broken", "The provider's DHCP server has not answered since ");
}

#[test]
fn a_lease_that_nobody_renews() {
    let scene = Scene::new();
    scene.root.write("/perm/interfaces.json", r#"{"interfaces":[{"name":"uplink0"}]}"#);
    let lease = format!(
        r#"{{"valid_until":"2026-01-02T03:04:05Z","client_ip":"203.0.113.9","subnet_mask":"255.255.255.0",
        "router":"{GATEWAY}","dns":["{GATEWAY}"]}}"#
    );
    scene.root.write("/perm/dhcp4/wire/lease.json", lease);
    scene.culprit(
        "lease",
        "trouble",
        "The provider's DHCP server has not answered since 2026-01-02 03:04; the last configuration is still in use.",
    );
}

#[test]
fn a_dead_gateway() {
    let scene = Scene::new();
    scene.router.ip("-6 route del default via fe80::1 dev uplink0");
    scene.isp.ip(&format!("addr del {GATEWAY}/24 dev isp0"));
    scene.culprit("gateway", "broken", "The provider's gateway 203.0.113.1 does not answer since ");
}

#[test]
fn a_gateway_that_leads_nowhere() {
    let scene = Scene::new();
    scene.router.ip("-6 route del default via fe80::1 dev uplink0");
    drop(scene.isp.ip(&format!("addr del {SERVER}/32 dev lo")));
    nft(&scene.isp, "inet", "prerouting", "udp dport 53 drop");
    scene.culprit(
        "beyond",
        "broken",
        "The provider's gateway 203.0.113.1 is there, and nothing behind it answers since ",
    );
}

#[test]
fn dead_name_servers() {
    let mut scene = Scene::new();
    scene.names = None;
    nft(&scene.isp, "inet", "prerouting", "udp dport 53 drop");
    scene.culprit("dns", "broken", "The name server 203.0.113.1 does not answer since ");
}

#[test]
fn one_of_two_name_servers_is_dead() {
    let scene = Scene::new();
    let config = format!(r#"{{"upstreams":["{GATEWAY}","192.0.2.53"]}}"#);
    scene.root.write("/perm/dnsd/config.json", config);
    let rest = format!("; names are asked of {GATEWAY}.");
    let (sentence, _) = scene.sentence();
    assert!(sentence.starts_with("The name server 192.0.2.53 does not answer since "), "{sentence}");
    assert!(sentence.ends_with(&rest), "{sentence}");
}

#[test]
fn a_hole_that_swallows_large_packets() {
    let scene = Scene::new();
    nft(&scene.isp, "ip", "prerouting", "ip length > 1400 drop");
    scene.culprit(
        "mtu",
        "trouble",
        "Packets of 1500 bytes are lost on the way without a word, those of 1400 get through",
    );
}

#[test]
fn a_smaller_way_that_says_so_is_no_hole() {
    let scene = Scene::new();
    let far = Namespace::new();
    scene.isp.veth("far0", &far, "eth0");
    scene.isp.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap();
    for host in [(&scene.isp, "far0", "10.9.0.1"), (&far, "eth0", "10.9.0.2")] {
        host.0.ip(&format!("addr add {}/24 dev {}", host.2, host.1));
        host.0.ip(&format!("link set {} mtu 1400", host.1));
    }
    far.ip("route add default via 10.9.0.1");
    let config = r#"{"names":["www.example.com"],"ping":["10.9.0.2"],"portal":""}"#;
    scene.root.write("/perm/diagd/config.json", config);
    let (sentence, health) = scene.sentence();
    assert!(sentence.starts_with("The internet works"), "{sentence}");
    let text = health.to_string();
    assert!(text.contains("the way takes 1400, and says so"), "{health:#}");
}

#[test]
fn no_ipv6() {
    let scene = Scene::new();
    scene.root.write_lease6("2001:db8:a::/48", 3_600);
    scene.router.ip("-6 route del default via fe80::1 dev uplink0");
    let begin = "IPv6 does not work, IPv4 does: no router of the provider announces itself on uplink0 since ";
    scene.culprit("ipv6", "trouble", begin);
    // There is one, and it forwards nothing.
    scene.router.ip("-6 route add default via fe80::1 dev uplink0");
    nft(&scene.isp, "ip6", "prerouting", &format!("ip6 daddr {SERVER6} drop"));
    let begin = "IPv6 does not work, IPv4 does: nothing in the internet answers since ";
    let (sentence, health) = scene.sentence();
    assert!(sentence.starts_with(begin) && sentence.ends_with("its gateway fe80::1 is there."), "{sentence}");
    assert!(health["first_error"].as_str().unwrap().starts_with(&format!("tcp6: {NAME}:80: ")), "{health:#}");
}

#[test]
fn a_captive_portal() {
    let scene = Scene::new();
    // Whoever asks for a page is sent to the portal's own.
    nft(&scene.isp, "ip", "prerouting", "tcp dport 80 redirect to :8080");
    let listener = scene.isp.run(|| TcpListener::bind("0.0.0.0:8080")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let answer = "HTTP/1.1 302 Found\r\nLocation: http://wifi.example/login\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.read(&mut [0; 1_024]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    scene.culprit(
        "portal",
        "broken",
        "A captive portal stands before the internet: http://www.example.com/success.txt is answered by sending us to \
         http://wifi.example/login.",
    );
}

#[test]
fn a_captive_portal_that_lies_about_names() {
    let mut scene = Scene::new();
    scene.names = None;
    // Every name leads to the portal's own page, at an address that dnsd does not believe.
    scene.isp.ip("addr add 192.168.99.1/32 dev lo");
    let words = ["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--group=", "--pid-file="];
    let listen = format!("--listen-address={GATEWAY}");
    let also =
        ["--log-facility=-", "--no-resolv", "--no-hosts", "--bind-interfaces", "--address=/#/192.168.99.1", &listen];
    let mut names = scene.isp.spawn("dnsmasq", &[&words[..], &also[..]].concat());
    names.wait_for("started");
    scene.root.write("/tmp/www/success.txt", "please log in\n");
    let words = "is answered with status 200 and another text.";
    let (sentence, _) = scene.sentence();
    assert!(sentence.starts_with("A captive portal stands before the internet: http://"), "{sentence}");
    assert!(sentence.ends_with(words), "{sentence}");
}

#[test]
fn an_address_that_is_shared_and_one_that_is_private() {
    let scene = Scene::with("100.64.3.9/10", "100.64.0.1");
    scene.culprit(
        "nat",
        "note",
        "The internet works, but uplink0 has 100.64.3.9, which the provider shares among customers",
    );
    let scene = Scene::with("192.168.1.9/24", "192.168.1.1");
    let begin = "The internet works, but uplink0 has the private address 192.168.1.9: another router stands before";
    scene.culprit("nat", "note", begin);
}

#[test]
fn a_clock_that_is_wrong() {
    let scene = Scene::new();
    // The image comes from the future, as every image does for a clock that has lost its battery.
    let version = std::fs::File::options().write(true).open(scene.root.path("/etc/version")).unwrap();
    version.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(400 * 86_400)).unwrap();
    scene.culprit("clock", "trouble", "The clock is wrong: it says ");
}

#[test]
fn a_full_disk() {
    let scene = Scene::new();
    let perm = scene.root.path("/perm");
    let files = ["interfaces.json", "diagd/config.json"].map(|name| (name, scene.root.read(&format!("/perm/{name}"))));
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&perm)
        .status()
        .unwrap();
    assert!(mount.success());
    let _mounted = Mounted(&perm);
    for (name, text) in files {
        scene.root.write(&format!("/perm/{name}"), text);
    }
    let memory = "/perm is in memory only: there is no disk that can be used since ";
    scene.culprit("disk", "trouble", memory);
    let mut file = std::fs::File::create(perm.join("ballast")).unwrap();
    while file.write_all(&[7; 512]).is_ok() {}
    scene.culprit("disk", "trouble", "/perm is full since ");
}

/// Taken away again at the end, also of a test that fails.
struct Mounted<'a>(&'a std::path::Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_table_of_connections() {
    let scene = Scene::new();
    nft(&scene.router, "inet", "output", "ct state new counter accept");
    // Real connections; the limit is the machine's, so the router is shown a smaller one.
    let sockets: Vec<UdpSocket> = (0..64)
        .map(|port| {
            scene.router.run(move || {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.send_to(b"x", (GATEWAY, 10_000 + port)).unwrap();
                socket
            })
        })
        .collect();
    scene.root.write("/tmp/max", "64\n");
    let script = format!(
        "mount --bind {}/tmp/max /proc/sys/net/netfilter/nf_conntrack_max && exec {} diagd --root {}",
        scene.root.0.display(),
        env!("CARGO_BIN_EXE_services"),
        scene.root.0.display()
    );
    let mut diagd = scene.router.spawn("unshare", &["--mount", "sh", "-c", &script]).named("diagd");
    diagd.wait_for("ready");
    let health = scene.asks();
    let sentence = health["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("The table of connections is full ("), "{health:#}");
    assert!(sentence.contains(" of 64) since "), "{sentence}");
    diagd.wait_for(sentence);
    drop(sockets);
}

#[test]
fn a_link_that_flaps() {
    let scene = Scene::new();
    let mut diagd = scene.start();
    assert_eq!(scene.asks()["sentence"], FINE);
    for _ in 0..4 {
        scene.isp.ip("link set isp0 down");
        scene.isp.ip("link set isp0 up");
    }
    // The provider's side loses what it was told with the link.
    scene.isp.ip("addr replace 2001:db8:1::1/64 dev isp0");
    diagd.signal("USR1");
    let said = diagd.wait_for("The cable of uplink0 loses its carrier again and again (");
    assert!(said.contains("(4 times within 10 minutes): the cable, its plugs or the modem are bad."), "{said}");
}

#[test]
fn ping_trace_and_dns_say_a_line_for_each_answer() {
    let scene = Scene::new();
    let _diagd = scene.start();
    let ask = |request: &str| {
        let mut stream = UnixStream::connect(scene.root.path("/run/diagd.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        BufReader::new(stream)
    };
    let all = |request: &str| {
        let lines: Vec<Value> =
            ask(request).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        assert_eq!(lines.last(), Some(&serde_json::json!({"end": true})), "{lines:?}");
        lines.iter().filter_map(|line| line["line"].as_str()).collect::<Vec<_>>().join("\n")
    };
    let trace = all(&format!(r#"{{"op":"trace","target":"{NAME}"}}"#));
    assert!(trace.starts_with(&format!("{NAME} is {SERVER}\n 1  {SERVER}  ")), "{trace}");
    let names = all(&format!(r#"{{"op":"dns","name":"{NAME}"}}"#));
    for who in ["this router", GATEWAY] {
        let line = names.lines().find(|line| line.starts_with(who) && line.contains("A    ")).unwrap();
        assert!(line.contains(SERVER), "{names}");
    }
    assert!(all(r#"{"op":"dns","name":"no.such.example.com"}"#).contains("there is no such name"));
    // One at a time; who hangs up ends his own.
    let mut first = ask(&format!(r#"{{"op":"ping","target":"{SERVER6}"}}"#));
    let mut line = String::new();
    first.read_line(&mut line).unwrap();
    assert!(line.contains(&format!("{SERVER6} answers after ")), "{line}");
    let mut second = String::new();
    ask(r#"{"op":"ping","target":"127.0.0.1"}"#).read_to_string(&mut second).unwrap();
    assert!(second.contains("is not over yet"), "{second}");
    drop(first);
    let deadline = std::time::Instant::now() + PATIENCE;
    let hop = loop {
        let mut answer = String::new();
        ask(r#"{"op":"trace","target":"203.0.113.1"}"#).read_to_string(&mut answer).unwrap();
        if !answer.contains("is not over yet") {
            break answer;
        }
        assert!(std::time::Instant::now() < deadline, "it goes on for nobody");
    };
    assert!(hop.contains(" 1  203.0.113.1  "), "{hop}");
    let mut wrong = String::new();
    ask(r#"{"op":"ping","target":"a b"}"#).read_to_string(&mut wrong).unwrap();
    assert!(wrong.contains("neither a name nor an address"), "{wrong}");
}

#[test]
fn a_background_round_costs_little() {
    let scene = Scene::new();
    let diagd = scene.start();
    let before = diagd.cpu_micros();
    assert_eq!(scene.asks()["sentence"], FINE);
    let round = diagd.cpu_micros() - before;
    let text = std::fs::read_to_string(format!("/proc/{}/status", diagd.id())).unwrap();
    let kib = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let private = kib("RssAnon:");
    println!("a round: {round} us of processor time; {private} KiB private");
    // A minute has 60,000,000 us: far below half a percent of them.
    assert!(round < 60_000, "{round} us");
    assert!(private <= 1_024, "{private} KiB");
}

/// A rule at a hook of a namespace.
fn nft(host: &Namespace, family: &str, hook: &str, rule: &str) {
    let (kind, priority) = if rule.contains("redirect") { ("nat", "dstnat") } else { ("filter", "raw") };
    let priority = if rule.contains("ct state") { "filter" } else { priority };
    host.output("nft", &["add", "table", family, "broken"]);
    let chain = format!("{{ type {kind} hook {hook} priority {priority}; }}");
    host.output("nft", &["add", "chain", family, "broken", hook, &chain]);
    let words: Vec<&str> = rule.split(' ').collect();
    host.output("nft", &[&["add", "rule", family, "broken", hook][..], &words].concat());
}
