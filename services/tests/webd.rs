//! webd with real clients: the password, and everybody's metrics on one page.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, PATIENCE, Root, Services};
use layout::{BOOT, FAT_MARK, Slot, initrd_of, kernel_of};
use serde_json::{Value, json};
use services::update::{MACHINE, MAGIC, Manifest, PARTS, Part, hex};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;

struct Scene {
    router: Namespace,
    lan: Namespace,
    root: Root,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { router: Namespace::new(), lan: Namespace::new(), root: Root::new() };
        scene.router.veth("lan0", &scene.lan, "eth0");
        scene.lan.ip("addr add 192.168.42.7/24 dev eth0");
        scene.router.ip("addr add 192.168.42.1/24 dev lan0");
        scene.root.write(
            "/perm/interfaces.json",
            r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24"}]}"#,
        );
        scene
    }

    fn start(&self, name: &str) -> Child {
        let mut child = self.router.service(name, &self.root, &[]);
        child.wait_for("ready");
        child
    }

    fn ask(&self, request: &Value) -> Value {
        let mut stream = UnixStream::connect(self.root.path("/run/webd.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"))
    }

    fn check(&self, password: &str, peer: &str) -> Value {
        self.ask(&json!({"op": "check", "password": password, "peer": peer}))
    }

    fn page(&self) -> String {
        self.lan.output("curl", &["-sSf", "--max-time", "60", "http://192.168.42.1/metrics"])
    }
}

fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{series} in {page}"))
}

#[test]
fn a_password_is_set_asked_for_and_slows_who_guesses() {
    let scene = Scene::new();
    let webd = scene.start("webd");
    assert!(scene.check("correct horse", "192.168.42.7")["error"].as_str().unwrap().contains("no password is set"));
    assert!(scene.ask(&json!({"op": "set", "password": "short"}))["error"].is_string());
    assert_eq!(scene.ask(&json!({"op": "set", "password": "correct horse"})), json!({"ok": true}));
    assert_eq!(scene.check("correct horse", "192.168.42.7"), json!({"ok": true}));
    assert_eq!(scene.check("wrong horse", "192.168.42.8")["error"], "it is wrong");
    // Each time it waits twice as long, so that however slow we are we come too early once.
    while !scene.check("wrong horse", "192.168.42.8")["error"].as_str().unwrap().contains("wait") {}
    let token = scene.ask(&json!({"op": "token"}))["said"].as_str().unwrap().to_owned();
    let with = |token: &str| scene.ask(&json!({"op": "check", "token": token, "peer": "192.168.42.7"}));
    assert_eq!(with(&token), json!({"ok": true}));
    assert!(with("x")["error"].is_string());
    // What is wrong with a request is said without its words.
    for request in [json!({"op": "check", "peer": "a", "password": "xyzzy"}), json!({"op": "xyzzy"}), json!(7)] {
        let said = scene.ask(&request).to_string();
        assert!(said.contains("error") && !said.contains("xyzzy"), "{said}");
    }
    let page = scene.page();
    assert!(value(&page, r#"weir_password_checks_total{result="wrong"}"#) >= 2.0);
    assert_eq!(value(&page, r#"weir_password_checks_total{result="slowed"}"#), 1.0);
    assert!(!webd.lines().join("\n").contains("horse"), "a password is logged");
    // It holds over a restart.
    drop(webd);
    let _webd = scene.start("webd");
    assert_eq!(scene.check("correct horse", "192.168.42.7"), json!({"ok": true}));
    assert_eq!(with(&token), json!({"ok": true}));
}

fn resident_kib(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn the_memory_of_a_check_is_given_back() {
    let scene = Scene::new();
    let webd = scene.start("webd");
    scene.ask(&json!({"op": "set", "password": "correct horse"}));
    let before = resident_kib(&webd);
    for peer in 1..10 {
        assert_eq!(scene.check("wrong", &format!("10.0.0.{peer}"))["error"], "it is wrong");
    }
    let after = resident_kib(&webd);
    println!("resident: {before} KiB before, {after} KiB after nine hashes of 7 MiB");
    assert!(after < before + 1_024, "{before} KiB, then {after} KiB");
}

#[test]
fn everybodys_metrics_stand_on_one_page() {
    let scene = Scene::new();
    scene.router.ip("link add uplink0 type veth peer name isp0");
    scene.router.ip("addr add 203.0.113.9/24 dev uplink0");
    scene.router.ip("addr add 10.9.9.9/24 dev uplink0");
    scene.router.ip("link set uplink0 up");
    let _netconfigd = scene.start("netconfigd");
    let dnsd = scene.start("dnsd");
    let _webd = scene.start("webd");
    let page = scene.page();
    assert_eq!(value(&page, r#"weir_metrics_up{service="netconfigd"}"#), 1.0);
    assert_eq!(value(&page, r#"weir_metrics_up{service="dhcp4d"}"#), 0.0, "it does not run");
    assert_eq!(value(&page, r#"nftables_filter_forward_packets{family="ipv4"}"#), 0.0);
    assert_eq!(value(&page, "dns_queries"), 0.0);
    assert!(value(&page, "weir_password_hashes_total") == 0.0);
    let checked = scene.root.path("/tmp/page");
    // router7's names are older than the habits that promtool checks; the rest has to pass.
    let ours = page
        .lines()
        .filter(|line| !line.contains("nftables_filter_") && !line.contains(" dns_") && !line.starts_with("dns_"));
    std::fs::write(&checked, ours.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    scene.lan.output("sh", &["-c", &format!("promtool check metrics < {}", checked.display())]);

    // One who does not answer is left out, and costs the others nothing.
    dnsd.signal("STOP");
    let page = scene.page();
    assert_eq!(value(&page, r#"weir_metrics_up{service="dnsd"}"#), 0.0);
    assert_eq!(value(&page, r#"weir_metrics_up{service="netconfigd"}"#), 1.0);
    // Never by the uplink, not even where its address is a private one.
    for address in ["203.0.113.9:80", "10.9.9.9:80", "203.0.113.9:443", "10.9.9.9:443"] {
        assert!(scene.router.run(move || TcpStream::connect(address)).is_err(), "{address}");
    }
    assert!(scene.router.run(|| TcpStream::connect("192.168.42.1:80")).is_ok());
}

#[test]
fn a_real_prometheus_scrapes_the_one_page() {
    let scene = Scene::new();
    let _netconfigd = scene.start("netconfigd");
    let _webd = scene.start("webd");
    let contrib = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/prometheus");
    let folder = scene.root.path("/tmp");
    let config = std::fs::read_to_string(contrib.join("prometheus.yml")).unwrap().replace("5s", "1s");
    std::fs::write(folder.join("prometheus.yml"), config).unwrap();
    std::fs::copy(contrib.join("weir.rules.yml"), folder.join("weir.rules.yml")).unwrap();
    let words = [
        format!("--config.file={}", folder.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", folder.join("data").display()),
        "--web.listen-address=127.0.0.1:9090".to_owned(),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut prometheus = scene.lan.spawn("prometheus", &words);
    prometheus.wait_for("Server is ready");
    let query = |expression: &str| -> Value {
        let url = format!("http://127.0.0.1:9090/api/v1/query?query={expression}");
        let answer: Value = serde_json::from_str(&scene.lan.output("curl", &["-sS", &url])).unwrap();
        answer["data"]["result"][0]["value"][1].clone()
    };
    let deadline = std::time::Instant::now() + PATIENCE;
    while query("up%7Bjob=%22weir%22%7D") != "1" {
        assert!(std::time::Instant::now() < deadline, "never scraped");
    }
    assert_eq!(query("weir_metrics_up%7Bjob=%22weir%22,service=%22netconfigd%22%7D"), "1");
    assert_eq!(query("nftables_filter_forward_packets%7Bjob=%22weir%22,family=%22ipv4%22%7D"), "0");
}

/// What curl says of a request: the status, the headers and the body.
struct Heard {
    status: u16,
    head: String,
    body: String,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{}: {error}", self.body))
    }

    fn cookie(&self) -> String {
        let line = self.head.lines().find_map(|line| line.strip_prefix("Set-Cookie: "));
        let line = line.unwrap_or_else(|| panic!("no cookie: {}", self.head));
        assert!(line.contains("weir=") && line.contains("HttpOnly") && line.contains("SameSite=Strict"), "{line}");
        assert_eq!(line.contains("; Secure"), line.starts_with("__Host-weir="), "{line}");
        line.split(';').next().unwrap().to_owned()
    }
}

impl Scene {
    fn curl(&self, words: &[&str], path: &str) -> Heard {
        self.curl_at("http", words, path)
    }

    fn curl_at(&self, scheme: &str, words: &[&str], path: &str) -> Heard {
        let url = format!("{scheme}://192.168.42.1{path}");
        let words: Vec<&str> =
            ["-sSi", "--path-as-is", "--max-time", "60"].iter().chain(words).copied().chain([url.as_str()]).collect();
        let text = self.lan.output("curl", &words);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Heard { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// Cookie and word of who logs in.
    fn log_in(&self, password: &str) -> (String, String) {
        let cookie = self.curl(&["-d", &format!("password={password}")], "/login").cookie();
        let session = self.curl(&["-H", &format!("Cookie: {cookie}")], "/api/session").json();
        (cookie, session["token"].as_str().unwrap().to_owned())
    }

    fn post(&self, cookie: &str, token: &str, path: &str, body: &Value) -> Heard {
        let (cookie, token) = (format!("Cookie: {cookie}"), format!("X-Weir-Token: {token}"));
        self.curl(&["-H", &cookie, "-H", &token, "-d", &body.to_string()], path)
    }
}

#[test]
fn the_first_visit_sets_the_password_and_the_next_one_wants_it() {
    let scene = Scene::new();
    let webd = scene.start("webd");
    let first = scene.curl(&[], "/");
    assert!(first.status == 200 && first.body.contains("data-setup=\"true\""), "{}", first.head);
    let cookie = first.cookie();
    let session = scene.curl(&["-H", &format!("Cookie: {cookie}")], "/api/session").json();
    assert_eq!((&session["sets_up"], &session["has_password"]), (&json!(true), &json!(false)));
    let token = session["token"].as_str().unwrap().to_owned();
    let refused = scene.post(&cookie, &token, "/api/setup/password", &json!({"password": "short"}));
    assert!(refused.status == 409 && refused.body.contains("8 to 128"), "{}", refused.body);
    let wrong = scene.post(&cookie, "0", "/api/setup/password", &json!({"password": "correct horse"}));
    assert_eq!(wrong.status, 403, "without the word of the page");
    let set = scene.post(&cookie, &token, "/api/setup/password", &json!({"password": "correct horse"}));
    assert_eq!((set.status, &set.json()["ok"]), (200, &json!(true)), "{}", set.body);
    // Who has set it is in; who had only looked on is not any more, and nobody sets a first one again.
    assert_eq!(scene.curl(&["-H", &format!("Cookie: {}", set.cookie())], "/api/status").status, 200);
    assert_eq!(scene.curl(&["-H", &format!("Cookie: {cookie}")], "/api/status").status, 401);
    let late = scene.curl(&[], "/");
    assert!(late.body.contains("action=\"/login\"") && !late.body.contains("data-token"), "{}", late.body);
    drop(webd);
    let webd = scene.start("webd");
    let (cookie, token) = scene.log_in("correct horse");
    let again = scene.post(&cookie, &token, "/api/setup/password", &json!({"password": "another horse"}));
    assert_eq!(again.status, 409);
    let next = json!({"old": "correct horse", "password": "another horse"});
    // A restart ends no session and leaves its word as it was; who has gone is gone, and another password ends all.
    let (other, word) = scene.log_in("correct horse");
    assert_eq!(scene.curl(&["-d", &format!("token={word}"), "-H", &format!("Cookie: {other}")], "/logout").status, 303);
    drop(webd);
    let webd = scene.start("webd");
    let status = |cookie: &str| scene.curl(&["-H", &format!("Cookie: {cookie}")], "/api/status").status;
    assert_eq!((status(&cookie), status(&other)), (200, 401));
    let kept = std::fs::read_to_string(scene.root.path("/perm/webd/nobackup/sessions")).unwrap();
    assert!(!kept.contains(cookie.split('=').nth(1).unwrap()), "{kept}");
    let changed = scene.post(&cookie, &token, "/api/password", &next);
    assert_eq!(changed.status, 200);
    assert_eq!(scene.check("another horse", "192.168.42.9"), json!({"ok": true}));
    drop(webd);
    let _webd = scene.start("webd");
    assert_eq!((status(&changed.cookie()), status(&cookie)), (200, 401));
}

#[test]
fn only_who_may_sees_and_changes_anything() {
    let scene = Scene::new();
    let _netconfigd = scene.start("netconfigd");
    let _configd = scene.start("configd");
    let webd = scene.start("webd");
    scene.ask(&json!({"op": "set", "password": "correct horse"}));
    for path in
        ["/api/status", "/api/devices", "/api/file?name=firewall.json", "/log?path=/user/dnsd", "/capture.pcapng"]
    {
        let refused = scene.curl(&[], path);
        assert!(refused.status == 401 && refused.head.contains("WWW-Authenticate: Basic"), "{path}: {}", refused.head);
        let browser = scene.curl(&["-A", "Mozilla/5.0"], path);
        let window = browser.head.contains("WWW-Authenticate");
        assert!(browser.status == 401 && window != path.starts_with("/api/"), "a window of the browser's own: {path}");
    }
    for path in ["/api/health", "/metrics", "/", "/api/session"] {
        assert_eq!(scene.curl(&[], path).status, 200, "{path}");
    }
    let gokrazy = ["-u", "gokrazy:correct horse", "-H", "Accept: application/json"];
    let overview = scene.curl(&gokrazy, "/").json();
    assert!(overview["Hostname"].is_string() && overview["Services"].is_array(), "{overview}");
    assert_eq!(scene.curl(&["-H", "Accept: application/json"], "/").status, 401);

    // Another site's page, another name, another page's word.
    let (cookie, token) = scene.log_in("correct horse");
    let body = json!({"files": {"firewall.json": "{}"}});
    let with = |header: &str| {
        let (cookie, token) = (format!("Cookie: {cookie}"), format!("X-Weir-Token: {token}"));
        scene.curl(&["-H", &cookie, "-H", &token, "-H", header, "-d", &body.to_string()], "/api/config/check").status
    };
    assert_eq!(with("X-Nothing: here"), 200);
    assert_eq!(with("Origin: http://evil.example"), 403);
    assert_eq!(with("Sec-Fetch-Site: cross-site"), 403);
    assert_eq!(with("Host: evil.example"), 421);
    assert_eq!((with("Host: weir.lan"), with("Host: router:80")), (200, 200));
    assert_eq!(scene.post(&cookie, "", "/api/config/check", &body).status, 403);
    assert_eq!(scene.curl(&["-H", "Host: evil.example"], "/").status, 421);

    // A trial by HTTP: in force at once, and gone unless it is kept.
    let rules = r#"{"rules":[{"name":"a","action":"refuse","remote":"203.0.113.0/24"}]}"#;
    let wrong = scene.post(&cookie, &token, "/api/config/try", &json!({"files": {"firewall.json": "{\"rules\":7}"}}));
    assert!(wrong.status == 409 && wrong.body.contains("firewall.json:1:"), "{}", wrong.body);
    let tried = scene.post(&cookie, &token, "/api/config/try", &json!({"files": {"firewall.json": rules}}));
    assert_eq!(tried.json(), json!({"ok": true, "confirm": 60}));
    let seen = |path: &str| scene.curl(&["-H", &format!("Cookie: {cookie}")], path).json();
    assert_eq!(seen("/api/file?name=firewall.json")["on_trial"], true);
    assert_eq!(seen("/api/status")["trial"]["files"], json!(["firewall.json"]));
    assert_eq!(scene.post(&cookie, &token, "/api/config/revert", &json!({})).json(), json!({"ok": true}));
    assert_eq!(seen("/api/file?name=firewall.json")["text"], Value::Null);

    // deviced does not run here: said, and not waited for.
    let status = seen("/api/status");
    assert!(status["missing"].as_array().unwrap().contains(&json!("diagd")), "{}", status["missing"]);
    assert_eq!(seen("/api/devices")["missing"], json!(["deviced"]));
    let rename = json!({"hardware_addr": "02:00:5e:10:00:07", "name": "a"});
    assert_eq!(scene.post(&cookie, &token, "/api/device/rename", &rename).status, 503);
    let session = scene.curl(&["-d", &format!("token={token}"), "-H", &format!("Cookie: {cookie}")], "/logout");
    assert_eq!(session.status, 303);
    assert_eq!(scene.curl(&["-H", &format!("Cookie: {cookie}")], "/api/status").status, 401);
    assert!(!webd.lines().join("\n").contains("horse"), "a password is logged");
}

#[test]
fn hostile_clients_hold_nobody_up() {
    let scene = Scene::new();
    let webd = scene.start("webd");
    scene.ask(&json!({"op": "set", "password": "correct horse"}));
    let before = resident_kib(&webd);
    let connect = || scene.lan.run(|| TcpStream::connect("192.168.42.1:80")).unwrap();

    // A thousand who say nothing, and as many who say a little: who comes from elsewhere is answered all the while.
    scene.lan.ip("addr add 192.168.42.8/24 dev eth0");
    let mut slow: Vec<TcpStream> = Vec::new();
    for at in 0..1_000 {
        let mut one = connect();
        if at % 2 == 0 {
            let _ = one.write_all(b"GET / HTTP/1.1\r\nHost: 192.168.42.1\r\nX: ");
        }
        slow.push(one);
        if at % 250 == 0 {
            assert_eq!(scene.curl(&["--interface", "192.168.42.8"], "/api/health").status, 200);
        }
    }
    assert_eq!(scene.curl(&["--interface", "192.168.42.8"], "/").status, 200);
    let open = std::fs::read_dir(format!("/proc/{}/fd", webd.id())).unwrap().count();
    assert!(open < 96 + 40, "{open} descriptors");
    // Those that are left are hung up on by time, and not by us.
    let mut last = slow.pop().unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = Vec::new();
    let _ = last.read_to_end(&mut rest);
    assert!(rest.is_empty());
    drop(slow);

    // A head without an end, a body that is longer or shorter than it says, or says so twice.
    let said = |bytes: &[u8]| {
        let mut stream = connect();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may hang up before it has heard all.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    };
    let head = "POST /api/reboot HTTP/1.1\r\nHost: 192.168.42.1\r\n";
    let huge = format!("{head}X: {}", "a".repeat(1 << 20));
    assert!(["", "HTTP/1.1 431 Request Header Fields Too Large"].contains(&said(huge.as_bytes()).as_str()));
    assert_eq!(said(format!("{head}Content-Length: 999999999\r\n\r\n").as_bytes()), "HTTP/1.1 413 Content Too Large");
    assert_eq!(said(format!("{head}Content-Length: -1\r\n\r\n").as_bytes()), "HTTP/1.1 400 Bad Request");
    assert_eq!(
        said(format!("{head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}").as_bytes()),
        "HTTP/1.1 400 Bad Request"
    );
    assert_eq!(
        said(format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").as_bytes()),
        "HTTP/1.1 400 Bad Request"
    );
    assert_eq!(said(format!("{head}Content-Length: 5\r\n\r\n{{}}").as_bytes()), "", "what is missing never came");
    for path in ["/../perm/webd/password", "/..%2f..%2fperm", "//etc/passwd", "/api/../../etc"] {
        assert_eq!(scene.curl(&[], path).status, 404, "{path}");
    }
    let traversal = "/api/file?name=../webd/password";
    assert_eq!(scene.curl(&["-u", "gokrazy:correct horse"], traversal).status, 404);

    // A wrong password at speed: hashed a few times, and slow for its peer alone.
    let guesses = (0..40).filter(|_| scene.curl(&["-d", "password=guess"], "/login").status == 401).count();
    assert_eq!(guesses, 40);
    let other = ["--interface", "192.168.42.8", "-u", "gokrazy:correct horse"];
    assert_eq!(scene.curl(&other, "/api/status").status, 200);
    let page = scene.page();
    assert!(value(&page, "weir_password_hashes_total") < 20.0, "{page}");
    let after = resident_kib(&webd);
    println!("resident: {before} KiB before, {after} KiB after");
    assert!(after < before + 6 * 1_024, "{before} KiB, then {after} KiB");
}

#[test]
fn a_page_that_stays_open_costs_next_to_nothing() {
    let scene = Scene::new();
    scene.router.ip("link add uplink0 type veth peer name isp0");
    let webd = scene.start("webd");
    scene.ask(&json!({"op": "set", "password": "correct horse"}));
    let (cookie, _) = scene.log_in("correct horse");
    let header = format!("Cookie: {cookie}");
    let watch = || scene.lan.spawn("curl", &["-sSN", "-H", &header, "http://192.168.42.1/api/events"]);
    let mut viewers: Vec<Child> = (0..20).map(|_| watch()).collect();
    for viewer in &mut viewers {
        viewer.wait_for("event: look");
    }
    let before = webd.cpu_micros();
    for _ in 0..10 {
        viewers[19].wait_for("event: look");
    }
    let used = webd.cpu_micros() - before;
    println!("20 viewers: {used} us of processor time in 20 s");
    assert!(used < 400_000, "{used} us in 20 s are more than 2 % of a core");
    viewers.iter_mut().for_each(Child::kill);

    let before = webd.cpu_micros();
    for _ in 0..50 {
        scene.curl(&["-H", &header], "/api/status");
    }
    let used = (webd.cpu_micros() - before) / 50;
    println!("a status document: {used} us of processor time, its connection included");
    assert!(used < 2_000, "{used} us");
    let private = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", webd.id())).unwrap();
    let of = |key: &str| -> u64 {
        let lines = private
            .lines()
            .filter_map(|line| line.strip_prefix(key)?.trim().trim_end_matches(" kB").parse::<u64>().ok());
        lines.sum()
    };
    println!("private memory: {} KiB", of("Private_Dirty:") + of("Private_Clean:"));
}

#[test]
fn over_tls_by_its_own_certificate_or_a_persons() {
    let scene = Scene::new();
    // Whoever looks on sees what the line carries.
    scene.router.ip("link add uplink0 type veth peer name isp0");
    let mut webd = scene.start("webd");
    scene.ask(&json!({"op": "set", "password": "correct horse"}));
    let authority = |name: &str, text: &str| {
        let path = scene.root.path("/tmp").join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let told = scene.curl(&[], "/certificate.pem");
    assert!(told.status == 200 && !told.body.contains("PRIVATE"), "{}", told.body);
    let own = authority("own.pem", &told.body);
    let trusting = |file: &str, words: &[&str], path: &str| {
        let words: Vec<&str> = ["--cacert", file].iter().chain(words).copied().collect();
        scene.curl_at("https", &words, path)
    };
    assert_eq!(trusting(&own, &[], "/api/health").status, 200);
    for version in ["-tls1_2", "-tls1_3"] {
        let line = format!(
            "openssl s_client -connect 192.168.42.1:443 -CAfile {own} -verify_return_error -verify_ip 192.168.42.1 \
             {version} </dev/null 2>&1"
        );
        let said = scene.lan.output("sh", &["-c", &line]);
        assert!(said.contains("Verification: OK") || said.contains("Verify return code: 0"), "{said}");
    }
    // Nobody is sent away from plain HTTP.
    let plain = scene.curl(&[], "/");
    assert!(plain.status == 200 && !plain.head.contains("Strict-Transport"), "{}", plain.head);

    // A session over TLS is none over plain HTTP, and a page that others may have changed is not ours.
    let begun = trusting(&own, &["-d", "password=correct horse"], "/login");
    let cookie = format!("Cookie: {}", begun.cookie());
    assert!(cookie.contains("__Host-weir="), "{cookie}");
    assert_eq!(trusting(&own, &["-H", &cookie], "/api/status").status, 200);
    assert_eq!(scene.curl(&["-H", &cookie], "/api/status").status, 401);
    let token = trusting(&own, &["-H", &cookie], "/api/session").json()["token"].as_str().unwrap().to_owned();
    let word = format!("X-Weir-Token: {token}");
    let revert = |origin: &str| {
        let origin = format!("Origin: {origin}");
        trusting(&own, &["-H", &cookie, "-H", &word, "-H", &origin, "-d", "{}"], "/api/config/revert").status
    };
    assert_eq!((revert("http://192.168.42.1"), revert("https://192.168.42.1")), (403, 503));
    let (plain, _) = scene.log_in("correct horse");
    assert!(plain.starts_with("weir="), "{plain}");
    // Something long, and something that goes on.
    let page = trusting(&own, &["-H", &cookie], "/");
    assert!(page.body.len() > 50_000 && page.body.ends_with("</html>\n"), "{} bytes", page.body.len());
    let url = "https://192.168.42.1/api/events";
    let mut viewer = scene.lan.spawn("curl", &["-sSN", "--cacert", &own, "-H", &cookie, url]);
    for _ in 0..3 {
        viewer.wait_for("event: look");
    }
    viewer.kill();

    // A person's own, in place of it; one that does not fit is refused by name, and the page stays.
    let folder = scene.root.path("/perm/tls");
    std::fs::create_dir_all(&folder).unwrap();
    let make = |name: &str| {
        let at = folder.display();
        let line = format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=home.example \
             -addext subjectAltName=IP:192.168.42.1 -addext basicConstraints=critical,CA:FALSE \
             -keyout {at}/{name}.key -out {at}/{name}.crt 2>&1"
        );
        scene.lan.output("sh", &["-c", &line]);
    };
    make("one");
    make("two");
    let take = |certificate: &str, key: &str| {
        std::fs::copy(folder.join(certificate), folder.join("cert.pem")).unwrap();
        std::fs::copy(folder.join(key), folder.join("key.pem")).unwrap();
        webd.signal("USR1");
    };
    let theirs = folder.join("one.crt").to_str().unwrap().to_owned();
    take("one.crt", "one.key");
    assert_eq!(trusting(&theirs, &[], "/api/health").status, 200);
    take("one.crt", "two.key");
    assert_eq!(trusting(&own, &[], "/api/health").status, 200);
    webd.wait_for("tls/key.pem: the key: does not fit the certificate in");
}

#[test]
fn hostile_clients_of_tls_hold_nobody_up() {
    let scene = Scene::new();
    let webd = scene.start("webd");
    scene.lan.ip("addr add 192.168.42.8/24 dev eth0");
    let answered = || {
        let words = ["-k", "--interface", "192.168.42.8"];
        assert_eq!(scene.curl_at("https", &words, "/api/health").status, 200);
    };
    answered();
    let before = resident_kib(&webd);
    let connect = || scene.lan.run(|| TcpStream::connect("192.168.42.1:443")).unwrap();
    let mut slow: Vec<TcpStream> = Vec::new();
    // Nothing; the head of a record that never comes whole; the same of a length that none may have; another protocol.
    let beginnings: [&[u8]; 4] =
        [b"", b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc", b"\x16\x03\x01\xff\xff", b"GET / HTTP/1.1\r\n\r\n"];
    for at in 0..1_000 {
        let mut one = connect();
        let _ = one.write_all(beginnings[at % 4]);
        if at % 4 == 1 {
            let _ = one.write_all(&[7; 15_000]);
        }
        slow.push(one);
        if at % 250 == 0 {
            answered();
        }
    }
    answered();
    let open = std::fs::read_dir(format!("/proc/{}/fd", webd.id())).unwrap().count();
    assert!(open < 96 + 40, "{open} descriptors");
    // Rubbish is told so by an alert (RFC 8446, section 6), and silence ends by time, not by us.
    let mut rubbish = connect();
    rubbish.write_all(beginnings[3]).unwrap();
    rubbish.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    let _ = rubbish.read_to_end(&mut answer);
    assert_eq!(answer.first(), Some(&0x15), "{answer:?}");
    let mut silent = connect();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
    let after = resident_kib(&webd);
    println!("resident: {before} KiB before, {after} KiB after");
    assert!(after < before + 6 * 1_024, "{before} KiB, then {after} KiB");
}

/// An update of these parts, signed by a key.
fn update(key: &minisign::SecretKey, contents: &[Vec<u8>; 3]) -> Vec<u8> {
    let part = |(name, bytes): (&&str, &Vec<u8>)| Part {
        name: (*name).to_owned(),
        bytes: bytes.len() as u64,
        sha256: hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref()),
    };
    let parts = PARTS.iter().zip(contents).map(part).collect();
    let manifest = Manifest { version: "9".into(), commit: None, made: 2_000_000_000, machine: MACHINE.into(), parts };
    let line = serde_json::to_string(&manifest).unwrap();
    let signature = minisign::sign(None, key, line.as_bytes(), Some("a"), Some("b")).unwrap().into_string();
    [MAGIC, line.as_bytes(), b"\n", signature.as_bytes(), &contents.concat()].concat()
}

#[test]
fn an_update_goes_through_the_page_and_is_held_by_nobody() {
    let scene = Scene::new();
    scene.router.ip("link set lo up");
    let keys = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    scene.root.write("/etc/update-keys/mine.pub", format!("{}\n", keys.pk.to_base64()));
    scene.root.write("/run/updated/slot", "b");
    for (name, bytes) in [("boot", BOOT.bytes()), ("root", 32 << 20)] {
        File::create(scene.root.path("/run/updated").join(name)).unwrap().set_len(bytes).unwrap();
    }
    let boot = File::options().read(true).write(true).open(scene.root.path("/run/updated/boot")).unwrap();
    boot.write_all_at(&FAT_MARK, 3).unwrap();
    // PID 1 is nobody's child here: what it is told is all that matters.
    let init = UnixListener::bind(scene.root.path("/run/init.sock")).unwrap();
    let (told, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in init.incoming() {
            let (mut line, stream) = (String::new(), stream.unwrap());
            let _ = BufReader::new(&stream).read_line(&mut line);
            let _ = (&stream).write_all(b"{\"ok\":true}\n");
            if line.contains("trial") && told.send(line).is_err() {
                return;
            }
        }
    });
    let _updated = scene.start("updated");
    let webd = scene.start("webd");
    scene.ask(&json!({"op": "set", "password": "correct horse"}));
    let (cookie, token) = scene.log_in("correct horse");
    let (cookie, word) = (format!("Cookie: {cookie}"), format!("X-Weir-Token: {token}"));
    let noise =
        |length: usize, step: u8| (0..length).map(|at| (at as u8).wrapping_mul(step) ^ (at >> 8) as u8).collect();
    let contents: [Vec<u8>; 3] = [noise(3_000_000, 3), noise(1_000_000, 5), noise(20_000_000, 7)];
    let file = |name: &str, bytes: &[u8]| {
        let path = scene.root.path("/tmp").join(name);
        std::fs::write(&path, bytes).unwrap();
        format!("@{}", path.display())
    };
    let whole = update(&keys.sk, &contents);
    let good = file("good", &whole);
    let send = |words: &[&str], what: &str| {
        // Else curl asks first whether it may send.
        let words: Vec<&str> = ["-H", "Expect:", "--data-binary", what].iter().chain(words).copied().collect();
        scene.curl(&words, "/api/update")
    };
    assert_eq!(send(&["-H", &cookie], &good).status, 403, "without the word of the page");
    assert_eq!(send(&["-H", &word], &good).status, 401, "without a session");
    let stranger = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let may = ["-H", cookie.as_str(), "-H", word.as_str()];
    for (what, why) in [
        (file("foreign", &[7; 3_000_000]), "no update of weir"),
        (file("stranger", &update(&stranger.sk, &contents)), "signed by none"),
        (file("cut", &whole[..5_000_000]), "before its end"),
        (file("damaged", &[&whole[..whole.len() - 1], b"X"].concat()), "not what was signed"),
    ] {
        let refused = send(&may, &what);
        assert!(refused.status == 409 && refused.body.contains(why), "{why}: {} {}", refused.status, refused.body);
    }
    // Somebody who goes in the middle of it leaves nothing behind that the next one would meet.
    let mut gone = scene.lan.run(|| TcpStream::connect("192.168.42.1:80")).unwrap();
    let head = format!(
        "POST /api/update HTTP/1.1\r\nHost: 192.168.42.1\r\n{cookie}\r\n{word}\r\nContent-Length: 9000000\r\n\r\n"
    );
    gone.write_all(head.as_bytes()).unwrap();
    gone.write_all(&whole[..1_000_000]).unwrap();
    drop(gone);
    let before = resident_kib(&webd);
    let taken = loop {
        let taken = send(&may, &good);
        if taken.status != 503 && !taken.body.contains("another update") {
            break taken;
        }
    };
    assert_eq!((taken.status, taken.json()), (200, json!({"ok": true, "slot": "b"})), "{}", taken.body);
    assert!(asked.recv_timeout(PATIENCE).unwrap().contains("trial"));
    for (extent, bytes) in [(kernel_of(Slot::B), &contents[0]), (initrd_of(Slot::B), &contents[1])] {
        let mut there = vec![0; bytes.len()];
        boot.read_exact_at(&mut there, extent.offset()).unwrap();
        assert!(there == *bytes);
    }
    let after = resident_kib(&webd);
    println!("resident: {before} KiB before, {after} KiB after an update of {} bytes", whole.len());
    assert!(after < before + 1_024, "{before} KiB, then {after} KiB");
}

#[test]
fn a_backup_goes_on_trial_and_a_hostile_one_nowhere() {
    let scene = Scene::new();
    let _netconfigd = scene.start("netconfigd");
    let _configd = scene.start("configd");
    let webd = scene.start("webd");
    scene.ask(&json!({"op": "set", "password": "correct horse"}));
    let (cookie, token) = scene.log_in("correct horse");
    let (cookie, word) = (format!("Cookie: {cookie}"), format!("X-Weir-Token: {token}"));
    let at = |name: &str| scene.root.path("/tmp").join(name).to_str().unwrap().to_owned();
    let put = |name: &str, text: &str| {
        let path = scene.root.path("/tmp/perm").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let tar = |name: &str, words: &[&str]| {
        let archive = at(name);
        let words: Vec<&str> = ["czf", archive.as_str()].iter().chain(words).copied().collect();
        scene.lan.output("tar", &words);
        format!("@{archive}")
    };
    let rules = r#"{"rules":[{"name":"a","action":"refuse","remote":"203.0.113.0/24"}]}"#;
    put("firewall.json", rules);
    put("webd/password", "another's");
    put("dhcp4d/leases.json", "[]");
    let folder = at("perm");
    let good = tar("good.tar.gz", &["-C", &folder, "."]);
    let send = |words: &[&str], what: &str| {
        let words: Vec<&str> =
            ["-H", "Expect:", "-H", &cookie, "-H", &word, "--data-binary", what].iter().chain(words).copied().collect();
        scene.curl(&words, "/api/restore")
    };
    let owner = ["-u", "gokrazy:correct horse"];
    let refused = send(&[], &good);
    assert!(refused.status == 403 && refused.body.contains("password"), "a session is not enough: {}", refused.body);
    let taken = send(&owner, &good);
    assert_eq!((taken.status, taken.json()), (200, json!({"ok": true, "confirm": 300})), "{}", taken.body);
    let file = || scene.curl(&["-H", &cookie], "/api/file?name=firewall.json").json();
    assert_eq!((&file()["on_trial"], &file()["text"]), (&json!(true), &json!(rules)));
    scene.curl(&["-H", &cookie, "-H", &word, "-d", "{}"], "/api/config/revert");
    assert_eq!(file()["text"], Value::Null);
    assert_eq!(scene.check("correct horse", "192.168.42.7"), json!({"ok": true}), "the password is the router's own");

    // What would land elsewhere, is a link, is wrong, is damaged, or has no end: by its name, and nothing has changed.
    std::os::unix::fs::symlink("/etc/passwd", scene.root.path("/tmp/link")).unwrap();
    std::fs::create_dir_all(scene.root.path("/tmp/wrong")).unwrap();
    std::fs::write(scene.root.path("/tmp/wrong/firewall.json"), "{\"rules\":7}").unwrap();
    std::fs::create_dir_all(scene.root.path("/tmp/bomb")).unwrap();
    File::create(scene.root.path("/tmp/bomb/nothing")).unwrap().set_len(200 << 20).unwrap();
    let temporary = at("");
    std::fs::write(scene.root.path("/tmp/rubbish"), "no archive").unwrap();
    let before = resident_kib(&webd);
    for (what, why) in [
        (
            tar("up.tar.gz", &["-P", "-C", &folder, "--transform=s,^firewall,../../firewall,", "firewall.json"]),
            "leave the folder",
        ),
        (tar("link.tar.gz", &["-C", &temporary, "link"]), "it is a link"),
        (tar("wrong.tar.gz", &["-C", &at("wrong"), "."]), "firewall.json:1:"),
        (tar("bomb.tar.gz", &["-C", &at("bomb"), "."]), "the backup "),
        (tar("empty.tar.gz", &["-C", &folder, "webd"]), "nothing in it"),
        (format!("@{}", at("rubbish")), "the backup is broken"),
    ] {
        let refused = send(&owner, &what);
        assert!(refused.status == 409 && refused.body.contains(why), "{why}: {} {}", refused.status, refused.body);
    }
    assert_eq!(file()["text"], Value::Null);
    std::fs::write(scene.root.path("/tmp/large"), vec![7; 9 << 20]).unwrap();
    assert_eq!(send(&owner, &format!("@{}", at("large"))).status, 413);
    let after = resident_kib(&webd);
    println!("resident: {before} KiB before, {after} KiB after the hostile ones");
    assert!(after < before + 4_096, "{before} KiB, then {after} KiB");
}
