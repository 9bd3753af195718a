//! dyndns against a server over TLS that plays each provider, against a real name server (BIND) that takes signed updates,
//! and against those who answer nothing or nonsense.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::authority::authority;
use common::{Child, Namespace, Root, Services};
use rustls::{ServerConfig, ServerConnection, Stream};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

const PORT: u16 = 8443;

struct Scene {
    wan: Namespace,
    router: Namespace,
    root: Root,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { wan: Namespace::new(), router: Namespace::new(), root: Root::new() };
        for host in [&scene.router, &scene.wan] {
            host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")).unwrap();
        }
        scene.router.veth("uplink0", &scene.wan, "eth0");
        scene.router.ip("addr add 203.0.113.9/24 dev uplink0");
        scene.router.ip("addr add 2001:db8:1::9/64 dev uplink0");
        scene.router.ip("link add lan0 type bridge");
        scene.router.ip("link set lan0 up");
        scene.router.ip("addr add 2001:db8:a::1/64 dev lan0");
        scene.wan.ip("addr add 203.0.113.1/24 dev eth0");
        scene.wan.ip("addr add 2001:db8:1::1/64 dev eth0");
        scene.root.write("/run/ntpd/state.json", r#"{"right":true}"#);
        scene
    }

    /// A provider that answers each request by a rule; what it is asked is told.
    fn provider(
        &self,
        at: &'static str,
        config: Arc<ServerConfig>,
        rule: impl Fn(&str) -> String + Send + 'static,
    ) -> Receiver<String> {
        let listener = self.wan.run(move || TcpListener::bind((at, PORT))).unwrap();
        let (told, asked) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                // Who does not believe us hangs up.
                while !whole(&request) && Stream::new(&mut session, &mut stream).read_exact(&mut byte).is_ok() {
                    request.push(byte[0]);
                }
                if !whole(&request) {
                    continue;
                }
                let request = String::from_utf8(request).unwrap();
                let answer = rule(&request);
                if told.send(request).is_err() {
                    return;
                }
                let _ = Stream::new(&mut session, &mut stream).write_all(answer.as_bytes());
            }
        });
        asked
    }

    fn config(&self, entries: &str) {
        self.root.write("/perm/dyndns.json", format!("{{\"records\":[{entries}]}}"));
    }

    fn start(&self, flags: &[&str]) -> Child {
        let mut child = self.router.service("dyndns", &self.root, flags);
        child.wait_for("ready");
        child
    }
}

/// Whether a request has its head and its body.
fn whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |n| n.parse().unwrap());
    body.len() >= length
}

fn says(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Cloudflare in a chunk, the others in a word.
fn play(request: &str) -> String {
    let chunked = |json: &str| {
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{json}\r\n0\r\n\r\n", json.len())
    };
    if request.starts_with("GET /client/v4/zones?") {
        chunked(
            r#"{"success":true,"errors":[],"result":[{"id":"023e105f4ecef8ad9ca31a8372d0c353","name":"cf.example"}]}"#,
        )
    } else if request.starts_with("GET /client") {
        chunked(r#"{"success":true,"result":[]}"#)
    } else if request.starts_with("POST /client") {
        chunked(r#"{"success":true,"result":{"id":"372e67954025e0ba6aaa6d586b9e0b59"}}"#)
    } else if request.starts_with("GET /update?domains=") {
        // Without a length: the end of the connection is its end.
        "HTTP/1.0 200 OK\r\n\r\nOK".to_owned()
    } else {
        says("good")
    }
}

#[test]
fn every_provider_is_told_by_name_and_by_address_and_once() {
    let scene = Scene::new();
    let (own, config) = authority(&["provider.example.net", "203.0.113.1"]);
    scene.root.write("/perm/dyndns/ca.pem", &own);
    let asked = scene.provider("203.0.113.1", config, play);
    // The router's own name server; the name's other address is nobody's, and is tried first or last.
    let words = ["-k", "-C", "/dev/null", "-h", "-R", "-q", "--log-facility=-", "-a", "127.0.0.1", "--bind-interfaces"];
    let names = ["--host-record=provider.example.net,203.0.113.1"];
    let mut dnsmasq = scene.router.spawn("dnsmasq", &[&words[..], &names[..]].concat());
    dnsmasq.wait_for("started");
    let server = r#""server":"provider.example.net:8443""#;
    scene.config(&format!(
        r#"{{"cloudflare":{{"api_token":"cf",{server}}},"zone":"cf.example","record_name":"home.cf.example","record_ttl_seconds":300}},
        {{"dyndns2":{{"username":"me","password":"pw",{server}}},"record_name":"home.dd.example"}},
        {{"desec":{{"token":"ds","server":"203.0.113.1:8443"}},"record_name":"home.dedyn.io","type":"AAAA"}},
        {{"duckdns":{{"token":"dk",{server}}},"record_name":"home","type":"AAAA","suffix":"::7"}}"#
    ));
    let mut dyndns = scene.start(&[]);
    for said in [
        "home.cf.example A (cloudflare) is 203.0.113.9",
        "home.dd.example A (dyndns2) is 203.0.113.9",
        "home.dedyn.io AAAA (desec) is 2001:db8:1::9",
        "home.duckdns.org AAAA (duckdns) is 2001:db8:a::7",
    ] {
        dyndns.wait_for(said);
    }
    let requests: Vec<String> = asked.try_iter().collect();
    let lines: Vec<&str> = requests.iter().map(|request| request.split(" HTTP").next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "GET /client/v4/zones?name=cf.example",
            "GET /client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/dns_records?type=A&name=home.cf.example",
            "POST /client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/dns_records",
            "GET /nic/update?hostname=home.dd.example&myip=203.0.113.9",
            "GET /?hostname=home.dedyn.io&myipv4=preserve&myipv6=2001%3Adb8%3A1%3A%3A9",
            "GET /update?domains=home&token=dk&ipv6=2001%3Adb8%3Aa%3A%3A7",
        ]
    );
    assert!(requests[0].contains("\r\nHost: provider.example.net:8443\r\n"), "{}", requests[0]);
    let state = scene.root.read("/perm/dyndns/state.json");
    assert!(state.contains("2001:db8:a::7") && !state.contains("pw"), "{state}");
    let page = scene.router.output("curl", &["-s", "http://127.0.0.1:8054/metrics"]);
    assert!(page.contains("weir_dyndns_updates_total{result=\"published\"} 4"), "{page}");
    assert!(dyndns.stop().success());

    // Another life, in which one address is another.
    scene.router.ip("addr del 203.0.113.9/24 dev uplink0");
    scene.router.ip("addr add 203.0.113.10/24 dev uplink0");
    let mut dyndns = scene.start(&[]);
    dyndns.wait_for("home.cf.example A (cloudflare) is 203.0.113.10");
    dyndns.wait_for("home.dd.example A (dyndns2) is 203.0.113.10");
    let again: Vec<String> = asked.try_iter().collect();
    assert!(again.len() == 4 && again.iter().all(|request| !request.contains("ipv6")), "{again:?}");
    // An address that comes while it runs.
    scene.router.ip("addr del 2001:db8:a::1/64 dev lan0");
    scene.router.ip("addr add 2001:db8:b::1/64 dev lan0");
    dyndns.wait_for("home.duckdns.org AAAA (duckdns) is 2001:db8:b::7");
    assert_eq!(asked.try_iter().count(), 1);
}

#[test]
fn who_is_vouched_for_by_nobody_learns_no_token() {
    let scene = Scene::new();
    let (own, config) = authority(&["203.0.113.1"]);
    let (_, foreign) = authority(&["203.0.113.1"]);
    let (_, other_name) = authority(&["www.example.net"]);
    scene.root.write("/perm/dyndns/ca.pem", &own);
    let entry = |name: &str, server: &str| {
        format!(r#"{{"desec":{{"token":"t","server":"{server}:8443"}},"record_name":"{name}.dedyn.io"}}"#)
    };
    scene.wan.ip("addr add 203.0.113.2/24 dev eth0");
    scene.wan.ip("addr add 203.0.113.3/24 dev eth0");
    let wrong = scene.provider("203.0.113.2", foreign, play);
    let named = scene.provider("203.0.113.3", other_name, play);
    let right = scene.provider("203.0.113.1", config, play);
    scene.config(&[entry("a", "203.0.113.2"), entry("b", "203.0.113.3"), entry("c", "203.0.113.1")].join(","));
    let mut dyndns = scene.start(&["-oneoff"]);
    assert!(!dyndns.wait().success(), "two are not right");
    let lines = dyndns.lines();
    let said = |text: &str| assert!(lines.iter().any(|line| line.contains(text)), "{text}: {lines:?}");
    said("a.dedyn.io A (desec): 203.0.113.2 says: invalid peer certificate");
    said("b.dedyn.io A (desec): 203.0.113.3 says: invalid peer certificate");
    said("c.dedyn.io A (desec) is 203.0.113.9");
    assert_eq!((wrong.try_iter().count(), named.try_iter().count(), right.try_iter().count()), (0, 0, 1));
    // What is wrong with the file of authorities is named.
    scene.root.write("/perm/dyndns/ca.pem", "nonsense");
    scene.config(&entry("d", "203.0.113.1"));
    let mut dyndns = scene.start(&["-oneoff"]);
    dyndns.wait_for("ca.pem: has no certificate (PEM)");
    assert!(!dyndns.wait().success());
}

#[test]
fn who_is_gone_or_talks_nonsense_is_left_alone_and_the_others_are_told() {
    let scene = Scene::new();
    let (own, config) = authority(&["203.0.113.1"]);
    scene.root.write("/perm/dyndns/ca.pem", &own);
    let listener = scene.wan.run(|| TcpListener::bind("203.0.113.1:8444")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(&[0x42; 100_000]);
        }
    });
    let _asked = scene.provider("203.0.113.1", config, |request| {
        if request.contains("endless") {
            format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1 << 20))
        } else if request.contains("broken") {
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ngood".to_owned()
        } else if request.contains("bad.") {
            says("badauth")
        } else {
            play(request)
        }
    });
    let entry = |name: &str, port: u16| {
        let server = format!("203.0.113.1:{port}");
        format!(r#"{{"dyndns2":{{"username":"u","password":"p","server":"{server}"}},"record_name":"{name}.example"}}"#)
    };
    let tsig = |name: &str, port: u16| {
        format!(
            r#"{{"rfc2136":{{"server":"203.0.113.1:{port}","key_name":"k","key":"MDEyMzQ1Njc4OWFiY2RlZg=="}},
            "zone":"example","record_name":"{name}.example"}}"#
        )
    };
    let all = [
        entry("gone", 9),
        entry("nonsense", 8444),
        entry("endless", PORT),
        entry("broken", PORT),
        entry("bad", PORT),
        tsig("dns-gone", 9),
        tsig("dns-nonsense", 8444),
        r#"{"desec":{"token":7}}"#.to_owned(),
        entry("good", PORT),
    ];
    scene.config(&all.join(","));
    let mut dyndns = scene.start(&[]);
    dyndns.wait_for("good.example A (dyndns2) is 203.0.113.9");
    let lines = dyndns.lines();
    for text in [
        "records[7].desec.token: invalid type",
        "gone.example A (dyndns2): 203.0.113.1 says: Connection refused",
        "nonsense.example A (dyndns2): 203.0.113.1 says: received corrupt message",
        "endless.example A (dyndns2): 203.0.113.1 says: ",
        "broken.example A (dyndns2): 203.0.113.1 says: it has hung up in the middle",
        "bad.example A (dyndns2): 203.0.113.1 says: \"badauth\": it is not asked again before its entry",
        "dns-gone.example A (rfc2136): 203.0.113.1 says: Connection refused",
        "dns-nonsense.example A (rfc2136): 203.0.113.1 says: its answer is",
    ] {
        assert_eq!(lines.iter().filter(|line| line.contains(text)).count(), 1, "{text}: {lines:?}");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", dyndns.id())).unwrap();
    let peak: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap()
        .trim()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(peak < 64 << 10, "{peak} KiB");
}

#[test]
fn a_real_name_server_takes_signed_updates_and_no_others() {
    let scene = Scene::new();
    let folder = scene.root.path("/tmp/named");
    std::fs::create_dir_all(&folder).unwrap();
    let zone = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 203.0.113.1\nhome A 198.51.100.1\nhome A 198.51.100.2\n";
    std::fs::write(folder.join("zone"), zone).unwrap();
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let config = format!(
        r#"key "home-key" {{ algorithm hmac-sha256; secret "{key}"; }};
        options {{ directory "{0}"; pid-file none; session-keyfile none; recursion no; dnssec-validation no;
                   listen-on {{ 203.0.113.1; }}; listen-on-v6 {{ 2001:db8:1::1; }}; empty-zones-enable no; }};
        controls {{}};
        zone "example.net" {{ type primary; file "zone"; update-policy {{ grant home-key name home.example.net A AAAA;
                              grant home-key name nas.example.net AAAA; }}; }};"#,
        folder.display()
    );
    std::fs::write(folder.join("named.conf"), config).unwrap();
    let file = folder.join("named.conf");
    let mut named = scene.wan.spawn("named", &["-g", "-n", "1", "-c", file.to_str().unwrap()]);
    named.wait_for("all zones loaded");
    let entry = |name: &str, kind: &str, key: &str, server: &str, rest: &str| {
        format!(
            r#"{{"rfc2136":{{"server":"{server}","key_name":"home-key","key":"{key}","algorithm":"hmac-sha256"}},
            "zone":"example.net","record_name":"{name}.example.net","type":"{kind}","record_ttl_seconds":120{rest}}}"#
        )
    };
    let all = [
        entry("home", "A", key, "203.0.113.1", ""),
        entry("home", "AAAA", key, "[2001:db8:1::1]:53", ""),
        entry("nas", "AAAA", key, "203.0.113.1", r#","device":"02:00:5e:10:00:07""#),
        entry("other", "A", key, "203.0.113.1", ""),
        entry("forged", "A", "MDEyMzQ1Njc4OWFiY2RlZg==", "203.0.113.1", ""),
    ];
    scene.config(&all.join(","));
    let mut dyndns = scene.start(&[]);
    let mut wanted = vec![
        "home.example.net A (rfc2136) is 203.0.113.9",
        "home.example.net AAAA (rfc2136) is 2001:db8:1::9",
        "nas.example.net AAAA (rfc2136) is 2001:db8:a::5eff:fe10:7",
        "other.example.net A (rfc2136): 203.0.113.1 says: REFUSED",
        "forged.example.net A (rfc2136): 203.0.113.1 says: NOTAUTH",
    ];
    // In whatever order the answers come.
    while !wanted.is_empty() {
        let line = dyndns.wait_until("what is left", |line| wanted.iter().any(|words| line.contains(words)));
        wanted.retain(|words| !line.contains(words));
    }
    let dig = |name: &str, kind: &str| {
        scene.wan.output("dig", &["+noall", "+answer", "@203.0.113.1", &format!("{name}.example.net"), kind])
    };
    let words = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert_eq!(words(dig("home", "A")), "home.example.net. 120 IN A 203.0.113.9", "the old ones are gone");
    assert_eq!(words(dig("home", "AAAA")), "home.example.net. 120 IN AAAA 2001:db8:1::9");
    assert_eq!(words(dig("nas", "AAAA")), "nas.example.net. 120 IN AAAA 2001:db8:a::5eff:fe10:7");
    assert_eq!(words(dig("other", "A")) + &words(dig("forged", "A")), "");
    // What nsupdate says with the same key counts as much.
    let script =
        "server 203.0.113.1\nupdate delete home.example.net A\nupdate add home.example.net 60 A 198.51.100.7\nsend\n";
    let path = folder.join("script");
    std::fs::write(&path, script).unwrap();
    scene.wan.output("nsupdate", &["-y", &format!("hmac-sha256:home-key:{key}"), path.to_str().unwrap()]);
    assert!(dig("home", "A").contains("198.51.100.7"));
}
