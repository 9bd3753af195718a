//! listd before real servers over TLS and dnsd behind it, asked by `dig`: lists come, hold for whom they are meant, and stay
//! in force whatever becomes of their servers. The test is in PID 1's place: it tells dnsd when the table has changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use base64ct::{Base64, Encoding};
use common::authority::authority;
use common::{Child, Namespace, Root, Services};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, ServerConnection, Stream};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

const TABLE: &str = "/perm/listd/nobackup/table";

/// What a server says to a request.
enum Says {
    Text(String),
    /// The text, and then as many bytes of rubbish as are taken.
    Endless(String),
}

struct Scene {
    wan: Namespace,
    router: Namespace,
    lan: Namespace,
    root: Root,
}

impl Scene {
    fn new() -> Scene {
        let (wan, router, lan) = (Namespace::new(), Namespace::new(), Namespace::new());
        for host in [&wan, &router, &lan] {
            host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")).unwrap();
        }
        let scene = Scene { wan, router, lan, root: Root::new() };
        scene.router.veth("uplink0", &scene.wan, "eth0");
        scene.router.veth("lan0", &scene.lan, "eth0");
        scene.router.ip("addr add 203.0.113.9/24 dev uplink0");
        scene.router.ip("addr add 192.168.42.1/24 dev lan0");
        scene.router.ip("addr add fe80::1/64 dev lan0");
        for address in ["203.0.113.1/24", "203.0.113.2/24", "203.0.113.3/24"] {
            scene.wan.ip(&format!("addr add {address} dev eth0"));
        }
        scene.lan.ip("link set eth0 address 02:00:5e:10:00:07");
        scene.lan.ip("addr add 192.168.42.7/24 dev eth0");
        scene.lan.ip("addr add fe80::7/64 dev eth0");
        scene.root.write(
            "/perm/interfaces.json",
            r#"{"interfaces":[{"name":"uplink0","dns":["203.0.113.1"]},{"name":"lan0","addr":"192.168.42.1/24"}]}"#,
        );
        scene.root.write("/run/ntpd/state.json", r#"{"right":true}"#);
        scene
    }

    fn serve(
        &self,
        at: &'static str,
        config: Arc<ServerConfig>,
        rule: impl Fn(&str) -> Says + Send + 'static,
    ) -> Receiver<String> {
        let listener = self.wan.run(move || TcpListener::bind(at)).unwrap();
        let (told, asked) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                // Who does not believe us hangs up.
                while !request.ends_with(b"\r\n\r\n")
                    && Stream::new(&mut session, &mut stream).read_exact(&mut byte).is_ok()
                {
                    request.push(byte[0]);
                }
                let request = String::from_utf8(request).unwrap();
                if !request.ends_with("\r\n\r\n") {
                    continue;
                }
                let says = rule(&request);
                if told.send(request).is_err() {
                    return;
                }
                let mut output = Stream::new(&mut session, &mut stream);
                match says {
                    Says::Text(text) => drop(output.write_all(text.as_bytes())),
                    Says::Endless(text) => {
                        let mut sent = output.write_all(text.as_bytes());
                        while sent.is_ok() {
                            sent = output.write_all(&[b'x'; 4_096]);
                        }
                    }
                }
                session.send_close_notify();
                let _ = session.write_tls(&mut stream);
            }
        });
        asked
    }

    /// The internet's name server, and that of the test's own names.
    fn resolver(&self) -> Child {
        let words = ["-k", "-C", "/dev/null", "-h", "-R", "--log-facility=-", "--user=root", "--group=", "--pid-file="];
        let at = ["-a", "203.0.113.1", "--bind-interfaces", "--local-ttl=300"];
        let names = [
            "--host-record=lists.example,203.0.113.1",
            "--address=/shop.example/203.0.113.80",
            "--address=/example.com/203.0.113.81",
            "--cname=metrics.shop.example,tracker.example.com",
            "--host-record=tracker.example.com,203.0.113.82",
        ];
        let mut child = self.wan.spawn("dnsmasq", &[&words[..], &at, &names].concat());
        child.wait_for("started");
        child
    }

    fn config(&self, text: &str) {
        self.root.write("/perm/blocklists.json", text);
    }

    fn start(&self, name: &str) -> Child {
        let mut child = self.router.service(name, &self.root, &[]);
        child.wait_for("ready");
        child
    }

    fn dig(&self, words: &str) -> String {
        let words: Vec<&str> = ["+tries=1", "+timeout=9"].into_iter().chain(words.split_whitespace()).collect();
        self.lan.output("dig", &words)
    }

    fn short(&self, words: &str) -> String {
        self.dig(&format!("@192.168.42.1 +short {words}")).trim().to_owned()
    }
}

fn list(etag: &str, names: &str) -> Says {
    Says::Text(format!("HTTP/1.1 200 OK\r\nETag: \"{etag}\"\r\nContent-Length: {}\r\n\r\n{names}", names.len()))
}

fn path(request: &str) -> &str {
    request.split(' ').nth(1).unwrap()
}

#[test]
fn lists_come_by_name_and_hold_for_whom_they_are_meant() {
    let scene = Scene::new();
    let (own, config) = authority(&["lists.example"]);
    scene.root.write("/perm/listd/ca.pem", &own);
    let _resolver = scene.resolver();
    let asked = scene.serve("203.0.113.1:443", config, |request| match path(request) {
        "/ads" => Says::Text("HTTP/1.1 302 Found\r\nLocation: /ads/now\r\nContent-Length: 0\r\n\r\n".into()),
        "/ads/now" if request.contains("If-None-Match: \"1\"") => {
            Says::Text("HTTP/1.1 304 Not Modified\r\n\r\n".into())
        }
        "/ads/now" => list("1", "! ads\n||ads.example^\n||tracker.example.com^\n@@||good.ads.example^\n"),
        _ => list("2", "0.0.0.0 social.example www.shop.example\n"),
    });
    scene.config(
        r#"{"lists":[{"name":"ads","url":"https://lists.example/ads"},
        {"name":"social","url":"https://lists.example/social","answer":"nxdomain","for":[{"device":"02:00:5e:10:00:07"}]}],
        "block":["mine.example"],"allow":["example.com"],"answer":"refused"}"#,
    );
    let mut dnsd = scene.start("dnsd");
    assert_eq!(scene.short("www.shop.example"), "203.0.113.80", "before any list is there");
    let mut listd = scene.start("listd");
    listd.wait_for("7 names of 2 lists");
    assert_eq!(
        asked.try_iter().map(|request| path(&request).to_owned()).collect::<Vec<_>>(),
        ["/ads", "/ads/now", "/social"]
    );
    dnsd.signal("USR1");
    dnsd.wait_until("the table", |line| line.contains("7 names in the block lists"));

    assert_eq!(scene.short("x.ads.example"), "0.0.0.0");
    assert_eq!(scene.short("+tcp ads.example AAAA"), "::");
    let answer = scene.dig("@192.168.42.1 ads.example");
    assert!(answer.contains("EDE: 15 (Blocked)"), "{answer}");
    let answer = scene.dig("@192.168.42.1 mine.example");
    assert!(answer.contains("status: REFUSED"), "{answer}");
    // It was remembered before there was a list.
    let answer = scene.dig("@192.168.42.1 www.shop.example");
    assert!(answer.contains("status: NXDOMAIN") && answer.contains("EDE: 15"), "{answer}");
    // A device is the same by every address that it has.
    let answer = scene.dig("@fe80::1%eth0 social.example");
    assert!(answer.contains("status: NXDOMAIN"), "{answer}");
    // An address of which the kernel has not heard counts as soon as it has.
    scene.lan.ip("addr add 192.168.42.77/24 dev eth0");
    scene.dig("-b 192.168.42.77 @192.168.42.1 ads.example");
    let answer = scene.dig("-b 192.168.42.77 @192.168.42.1 social.example");
    assert!(answer.contains("status: NXDOMAIN"), "{answer}");
    // By an alias; and what a person allows is let through.
    assert_eq!(scene.short("tracker.example.com"), "203.0.113.82");
    assert_eq!(scene.short("metrics.shop.example"), "tracker.example.com.\n203.0.113.82");
    scene.config(&scene.root.read("/perm/blocklists.json").replace(r#""allow":["example.com"],"#, ""));
    listd.signal("USR1");
    listd.wait_until("own names", |line| line.contains("6 names of 2 lists"));
    dnsd.signal("USR1");
    dnsd.wait_until("the new table", |line| line.contains("6 names in the block lists"));
    assert_eq!(scene.short("metrics.shop.example"), "0.0.0.0");

    // Another device.
    scene.lan.ip("link set eth0 down");
    scene.lan.ip("link set eth0 address 02:00:5e:10:00:08");
    scene.lan.ip("link set eth0 up");
    scene.lan.ip("addr add 192.168.42.8/24 dev eth0");
    let other = "-b 192.168.42.8 @192.168.42.1";
    assert_eq!(scene.dig(&format!("{other} +short www.shop.example")).trim(), "203.0.113.80");
    assert_eq!(scene.dig(&format!("{other} +short ads.example")).trim(), "0.0.0.0");

    let page = scene.router.output("curl", &["-s", "http://127.0.0.1:8053/metrics"]);
    assert!(page.contains("weir_dns_blocked_total{list=\"own\"} 1\n"), "{page}");
    assert!(page.contains("weir_dns_blocked_total{list=\"social\"} 3\n"), "{page}");
    let page = scene.router.output("curl", &["-s", "http://127.0.0.1:8057/metrics"]);
    assert!(
        page.contains("weir_blocklist_right{list=\"ads\"} 1\n") && page.contains("rules{list=\"ads\"} 3\n"),
        "{page}"
    );

    // Another life, without any server: what was fetched last holds from the first moment on.
    assert!(listd.stop().success() && dnsd.stop().success());
    let mut dnsd = scene.start("dnsd");
    dnsd.wait_until("the table of before", |line| line.contains("6 names in the block lists"));
    assert_eq!(scene.dig(&format!("{other} +short ads.example")).trim(), "0.0.0.0");
}

#[test]
fn whatever_becomes_of_a_server_the_last_good_list_holds() {
    let scene = Scene::new();
    let (own, config) = authority(&["203.0.113.1"]);
    let (_, foreign) = authority(&["203.0.113.2"]);
    scene.root.write("/perm/listd/ca.pem", &own);
    // What each server says now.
    let mood = Arc::new(Mutex::new("fine"));
    let now = Arc::clone(&mood);
    let _asked = scene.serve("203.0.113.1:443", config, move |request| match (path(request), *now.lock().unwrap()) {
        ("/fine", _) | (_, "fine") => list("1", "||ads.example^\n"),
        (_, "large") => Says::Endless("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".into()),
        (_, "endless") => Says::Endless("HTTP/1.1 200 OK\r\n\r\n||new.example^\n".into()),
        (_, "rubbish") => {
            let bytes: String =
                (0..200_000u32).map(|n| char::from((n.wrapping_mul(2_654_435_761) >> 24) as u8 & 0x7f)).collect();
            list("2", &bytes)
        }
        (_, "expressions") => {
            let lines: String = (0..1_000_000u32).map(|n| format!("/^ad[{n}]+x/\n")).collect();
            list("3", &lines)
        }
        (_, "plain") => Says::Text("HTTP/1.1 301 Moved\r\nLocation: http://203.0.113.1/x\r\n\r\n".into()),
        (_, "login") => list("4", "<html>\n<title>hotel</title>\n<p>log in</p>\n"),
        (_, "cut") => Says::Text("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n||new.example^\n".into()),
        (_, mood) => Says::Text(format!("HTTP/1.1 500 {mood}\r\n\r\n")),
    });
    let _foreign = scene.serve("203.0.113.2:443", foreign, |_| list("1", "||foreign.example^\n"));
    let one = |url: &str| format!(r#"{{"lists":[{{"name":"ads","url":"{url}"}}]}}"#);
    scene.config(&one("https://203.0.113.1/list"));
    let mut listd = scene.start("listd");
    listd.wait_for("1 names of 1 lists");
    let good = std::fs::read(scene.root.path(TABLE)).unwrap();
    assert!(listd.stop().success());
    for (name, words) in [
        ("large", "it has 1073741824 bytes: 64 MiB at most"),
        ("endless", "it has more than 64 MiB"),
        ("rubbish", " lines"),
        ("expressions", "there is no name in it (1000000 lines of another kind"),
        ("plain", "which is not https"),
        ("login", "there is no name in it"),
        ("cut", "it has hung up in the middle"),
        ("broken", "it answers 500"),
    ] {
        *mood.lock().unwrap() = name;
        // It was long ago that it was looked at.
        scene.root.write("/perm/listd/state.json", "{}");
        age(&scene.root, &good);
        let before = std::fs::read(scene.root.path(TABLE)).unwrap();
        let mut listd = scene.start("listd");
        listd.wait_until(name, |line| {
            line.contains("ads (https://203.0.113.1/list): ")
                && line.contains(words)
                && line.contains("the one before holds")
        });
        assert!(std::fs::read(scene.root.path(TABLE)).unwrap() == before, "{name}");
        let peak = peak_kib(&listd);
        println!("{name}: {peak} KiB at most");
        assert!(peak < 24 << 10, "{name}: {peak} KiB");
        assert!(listd.stop().success());
    }
    // Nobody vouches for this one, nobody answers there, and a damaged table is no table.
    scene.root.write("/perm/listd/state.json", "{}");
    for (url, words) in
        [("https://203.0.113.2/list", "invalid peer certificate"), ("https://203.0.113.3/list", "refused")]
    {
        scene.config(&one(url));
        let mut listd = scene.start("listd");
        listd.wait_until(url, |line| line.contains(words) && line.contains("there is none yet"));
        assert!(listd.stop().success());
    }
    let mut damaged = good;
    damaged[3] ^= 1;
    scene.root.write(TABLE, damaged);
    scene.config(&one("https://203.0.113.1/fine"));
    let mut listd = scene.start("listd");
    listd.wait_for("1 names of 1 lists");
    assert!(listd.lines().iter().any(|line| line.contains("every list is fetched anew")), "{:?}", listd.lines());
}

/// Puts a table there whose list was fetched a year before: the numbers of its time stand in its text.
fn age(root: &Root, good: &[u8]) {
    let mut bytes = good.to_vec();
    let at = bytes.windows(11).position(|part| part == b"\"fetched\":\"").unwrap() + 11;
    // The own names' time comes first, and is none.
    let at = at + bytes[at..].windows(11).position(|part| part == b"\"fetched\":\"").unwrap() + 11;
    bytes[at..at + 4].copy_from_slice(b"2001");
    let end = bytes.len() - 12;
    let mut sum = flate2::Crc::new();
    sum.update(&bytes[..end - 12]);
    bytes[end..end + 4].copy_from_slice(&sum.sum().to_le_bytes());
    root.write(TABLE, bytes);
}

fn peak_kib(child: &Child) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap()
}

#[test]
fn a_million_names_have_room() {
    const NAMES: usize = 1_000_000;
    let scene = Scene::new();
    let (own, config) = authority(&["203.0.113.1"]);
    scene.root.write("/perm/listd/ca.pem", &own);
    let _resolver = scene.resolver();
    let text: String = (0..NAMES).map(|n| format!("||n{n}.ads{}.example^\n", n % 1_000)).collect();
    let _asked = scene.serve("203.0.113.1:443", config, move |request| match path(request) {
        "/many" => list("1", &text),
        _ => list("1", "other.example\n"),
    });
    scene.config(r#"{"lists":[{"name":"many","url":"https://203.0.113.1/many"},{"name":"few","url":"https://203.0.113.1/few"}]}"#);
    let mut listd = scene.start("listd");
    listd.wait_for("1000001 names of 2 lists");
    let peak = peak_kib(&listd);
    let table = std::fs::metadata(scene.root.path(TABLE)).unwrap().len() >> 10;
    let mut dnsd = scene.start("dnsd");
    dnsd.wait_for("1000001 names in the block lists");
    assert_eq!(scene.short("x.n999999.ads999.example"), "0.0.0.0");
    assert_eq!(scene.short("www.shop.example"), "203.0.113.80");
    // Another table takes its place while the one before is asked.
    scene.config(
        &scene.root.read("/perm/blocklists.json").replace(r#"{"lists""#, r#"{"block":["mine.example"],"lists""#),
    );
    listd.signal("USR1");
    listd.wait_for("1000002 names of 2 lists");
    dnsd.signal("USR1");
    dnsd.wait_for("1000002 names in the block lists");
    assert_eq!(scene.short("mine.example"), "0.0.0.0");
    let rss = peak_kib(&dnsd);
    println!("a million names: table {table} KiB, dnsd {rss} KiB at most, listd {peak} KiB at most");
    assert!(table < 10 << 10 && rss < 48 << 10 && peak < 40 << 10, "{table} {rss} {peak} KiB");
}

#[test]
fn files_of_openssls_own_server_come_by_its_own_tls() {
    let scene = Scene::new();
    let issuer = {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let pem = |kind: &str, der: &[u8]| {
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", Base64::encode_string(der))
    };
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["203.0.113.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    scene.root.write("/perm/listd/ca.pem", pem("CERTIFICATE", issuer.der()));
    scene.root.write("/tmp/cert.pem", pem("CERTIFICATE", certificate.der()));
    scene.root.write("/tmp/key.pem", pem("PRIVATE KEY", &key.serialize_der()));
    let names: String = (0..30_000).map(|n| format!("0.0.0.0 n{n}.ads.example\n")).collect();
    scene.root.write("/tmp/hosts.txt", names);
    for version in ["-tls1_2", "-tls1_3"] {
        let line = format!(
            "cd {} && exec openssl s_server -accept 203.0.113.1:8443 -cert cert.pem -key key.pem -WWW {version}",
            scene.root.path("/tmp").display()
        );
        let mut server = scene.wan.spawn("sh", &["-c", &line]);
        server.wait_for("ACCEPT");
        let _ = std::fs::remove_file(scene.root.path(TABLE));
        scene.config(r#"{"lists":[{"name":"hosts","url":"https://203.0.113.1:8443/hosts.txt"}]}"#);
        let mut listd = scene.start("listd");
        listd.wait_for("30000 names of 1 lists");
        assert!(listd.stop().success());
        server.kill();
    }
}
