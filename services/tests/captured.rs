//! captured with real ssh and tshark, and with those who are no clients at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, PATIENCE, Root, Services};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const ROUTER: &str = "192.168.42.1";

struct Scene {
    router: Namespace,
    lan: Namespace,
    isp: Namespace,
    root: Root,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { router: Namespace::new(), lan: Namespace::new(), isp: Namespace::new(), root: Root::new() };
        for host in [&scene.router, &scene.lan, &scene.isp] {
            // Else hosts speak ICMPv6 of their own accord, which is counted.
            host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")).unwrap();
        }
        scene.router.veth("lan0", &scene.lan, "eth0");
        scene.router.veth("uplink0", &scene.isp, "eth0");
        scene.lan.ip("addr add 192.168.42.7/24 dev eth0");
        scene.router.ip("addr add 192.168.42.1/24 dev lan0");
        scene.isp.ip("addr add 203.0.113.1/24 dev eth0");
        scene.router.ip("addr add 203.0.113.9/24 dev uplink0");
        scene.root.write(
            "/perm/interfaces.json",
            r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24"}]}"#,
        );
        for name in ["mine", "other"] {
            let path = scene.root.path(&format!("/tmp/{name}"));
            let words = ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path.to_str().unwrap()];
            scene.lan.output("ssh-keygen", &words);
        }
        let key = scene.root.read("/tmp/mine.pub");
        scene.root.write("/perm/authorized_keys", format!("# who may look on\n{key}"));
        scene
    }

    fn start(&self) -> Child {
        let mut captured = self.router.service("captured", &self.root, &[]);
        captured.wait_for("ready");
        captured
    }

    /// A terminal's stdin has no end; here it is a pipe that nobody closes. (At its end sunset would end our side, too.)
    fn ssh(&self, key: &str, command: &str) -> String {
        let folder = self.root.path("/tmp");
        format!(
            "[ -p {0}/stdin ] || mkfifo {0}/stdin; ssh <>{0}/stdin -T -p 5022 -i {0}/{key} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=accept-new \
             -o UserKnownHostsFile={0}/known -o ConnectTimeout=60 {ROUTER} {command}",
            folder.display()
        )
    }

    /// What tshark reads of a stream, a line each: interface, bytes, source and destination port.
    fn watch(&self, command: &str) -> Child {
        let fields = "-l -n -i - -T fields -e frame.interface_name -e frame.len -e udp.srcport -e udp.dstport";
        let script = format!("{} | tshark {fields}", self.ssh("mine", command));
        self.lan.spawn("sh", &["-c", &script]).named("tshark")
    }

    /// DHCP's ports, so that it counts as control.
    fn sends(&self, host: &Namespace, to: &'static str, lengths: impl IntoIterator<Item = usize> + Send + 'static) {
        host.run(move || {
            let socket = UdpSocket::bind("0.0.0.0:68").unwrap();
            for length in lengths {
                socket.send_to(&vec![7; length], to).unwrap();
            }
        });
    }

    fn asks(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.root.path("/run/captured.sock")).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn metric(&self, series: &str) -> u64 {
        let page = self.router.output("curl", &["-sSf", "http://127.0.0.1:5023/metrics"]);
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} in {page}")).parse().unwrap()
    }

    fn until(&self, series: &str, wanted: impl Fn(u64) -> bool) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.metric(series);
            if wanted(value) {
                return value;
            }
            assert!(Instant::now() < deadline, "{series} stays {value}");
        }
    }
}

fn seen(interface: &str) -> String {
    format!("weir_capture_packets_total{{interface=\"{interface}\"}}")
}

/// Bytes of Ethernet, IPv4 and UDP before what is sent.
const HEADS: usize = 42;

#[test]
fn tshark_reads_what_was_and_what_comes_until_weir_hangs_up() {
    let scene = Scene::new();
    let mut captured = scene.start();
    scene.sends(&scene.lan, "192.168.42.1:67", [101]);
    scene.until(&seen("lan0"), |count| count > 0);
    // Any command, and none.
    let mut watchers: Vec<Child> = ["x", "", "control 203.0.113.1"].map(|command| scene.watch(command)).into();
    for watcher in &mut watchers[..2] {
        watcher.wait_for(&format!("lan0\t{}\t68\t67", 101 + HEADS));
    }
    scene.sends(&scene.isp, "203.0.113.9:67", [202]);
    for watcher in &mut watchers {
        watcher.wait_for(&format!("uplink0\t{}\t68\t67", 202 + HEADS));
    }
    assert!(!watchers[2].lines().join("\n").contains("lan0"), "another address is shown");
    assert_eq!(scene.metric("weir_capture_clients"), 3);
    // It ends by itself.
    assert!(captured.stop().success());
    for watcher in &mut watchers {
        watcher.wait();
    }
    // The host key is the same in its next life, which ssh would say otherwise.
    let _captured = scene.start();
    scene.sends(&scene.lan, "192.168.42.1:67", [303]);
    scene.watch("x").wait_for(&format!("lan0\t{}\t68\t67", 303 + HEADS));
}

#[test]
fn names_and_all_come_live_and_never_what_is_sent_here() {
    let scene = Scene::new();
    let _captured = scene.start();
    let (mut dns, mut all) = (scene.watch("dns"), scene.watch("all 192.168.42.7"));
    scene.until("weir_capture_clients_total{result=\"shown\"}", |shown| shown == 2);
    scene.lan.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:999").unwrap();
        socket.send_to(&[7; 11], "192.168.42.1:53").unwrap();
        socket.send_to(&[7; 22], "192.168.42.1:54").unwrap();
    });
    dns.wait_for(&format!("lan0\t{}\t999\t53", 11 + HEADS));
    all.wait_for("\t999\t53");
    all.wait_for("\t999\t54");
    assert!(!dns.lines().join("\n").contains("\t54"), "not DNS");
    // Had it seen its own stream, it would have sent that, and seen it.
    let before = all.lines().len();
    scene.lan.run(|| UdpSocket::bind("0.0.0.0:999").unwrap().send_to(&[7; 33], "192.168.42.1:55").unwrap());
    all.wait_for("\t999\t55");
    assert!(all.lines().len() < before + 20, "{}", all.lines().join("\n"));
    let mut wrong = scene.lan.spawn("sh", &["-c", &scene.ssh("mine", "dns laptop")]);
    wrong.wait_for("\"laptop\" is no address");
    wrong.wait();
}

#[test]
fn without_the_key_nobody_looks_on_and_without_keys_the_client_is_told() {
    let scene = Scene::new();
    let _captured = scene.start();
    let mut refused = scene.lan.spawn("sh", &["-c", &scene.ssh("other", "x")]);
    refused.wait_for("Permission denied (publickey)");
    assert_eq!(refused.wait().code(), Some(255));
    scene.root.write("/perm/authorized_keys", "# nobody\nssh-rsa AAAA\n");
    let mut refused = scene.lan.spawn("sh", &["-c", &scene.ssh("mine", "x")]);
    refused.wait_for("there is no ssh-ed25519 key in /perm/authorized_keys");
    assert_eq!(refused.wait().code(), Some(255));
    // Not by the uplink, whoever asks.
    assert!(scene.isp.run(|| TcpStream::connect("203.0.113.9:5022")).is_err());
}

#[test]
fn packets_are_kept_without_a_key_once_somebody_says_so() {
    let scene = Scene::new();
    scene.root.write("/perm/authorized_keys", "");
    let mut captured = scene.start();
    assert!(scene.asks(r#"{"op":"ring"}"#).contains("nothing is kept: `capture on`"));
    assert!(scene.asks(r#"{"op":"record","on":true}"#).contains("no control packet has come yet"));
    scene.sends(&scene.lan, "192.168.42.1:67", [111; 3]);
    scene.until(&seen("lan0"), |count| count == 3);
    assert!(scene.asks(r#"{"op":"ring"}"#).contains("3 control packets"));
    // Also in its next life.
    assert!(captured.stop().success());
    let _captured = scene.start();
    scene.sends(&scene.lan, "192.168.42.1:67", [111; 2]);
    scene.until(&seen("lan0"), |count| count == 2);
    assert!(scene.asks(r#"{"op":"record","on":false}"#).contains("nothing is kept"));
    assert!(scene.asks(r#"{"op":"record","on":false}"#).contains("nothing is kept"), "twice");
}

#[test]
fn ten_thousand_control_packets_reach_the_ring_and_a_storm_spares_the_others() {
    let scene = Scene::new();
    let captured = scene.start();
    scene.sends(&scene.lan, "192.168.42.1:67", [111; 10]);
    scene.until(&seen("lan0"), |count| count == 10);
    let before = captured.cpu_micros();
    // As many at a time as any socket has room for; the next when these are counted.
    const BATCH: usize = 100;
    for batch in 1..=100 {
        scene.sends(&scene.isp, "203.0.113.9:67", [400; BATCH]);
        scene.until(&seen("uplink0"), |count| count >= (batch * BATCH) as u64);
    }
    let took = captured.cpu_micros() - before;
    assert_eq!(scene.metric(&seen("uplink0")), 10_000);
    assert_eq!(scene.metric("weir_capture_lost_packets_total{interface=\"uplink0\"}"), 0);
    println!("10,000 control packets: {took} us of processor time, with what a hundred looks at the metrics cost");
    assert!(scene.metric("weir_capture_pushed_out_packets_total") > 0, "the ring is full");
    assert!(scene.metric("weir_capture_ring_bytes") <= 4 << 20);
    let mut watcher = scene.watch("x");
    for _ in 0..10 {
        watcher.wait_for(&format!("lan0\t{}", 111 + HEADS));
    }
    watcher.wait_for(&format!("uplink0\t{}", 400 + HEADS));
}

#[test]
fn a_hundred_clients_are_bounded_and_the_next_is_served() {
    let scene = Scene::new();
    let captured = scene.start();
    let crowd: Vec<TcpStream> =
        (0..100).filter_map(|_| scene.lan.run(|| TcpStream::connect((ROUTER, 5022))).ok()).collect();
    assert_eq!(crowd.len(), 100);
    scene.until("weir_capture_clients_total{result=\"refused\"}", |refused| refused > 0);
    assert!(scene.metric("weir_capture_clients") <= 16);
    let status = std::fs::read_to_string(format!("/proc/{}/status", captured.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned();
    println!("{peak} resident at most with a hundred at the door");
    drop(crowd);
    scene.until("weir_capture_clients", |clients| clients == 0);
    let mut many: Vec<Child> = (0..20).map(|_| scene.watch("x")).collect();
    scene.until("weir_capture_clients_total{result=\"shown\"}", |shown| shown >= 10);
    scene.sends(&scene.lan, "192.168.42.1:67", [123]);
    let told = |watcher: &mut Child| {
        watcher.wait_until("a packet or a refusal", |line| {
            line.contains(&format!("lan0\t{}", 123 + HEADS)) || line.contains("too many look on")
        })
    };
    let told: Vec<String> = many.iter_mut().map(told).collect();
    assert!(told.iter().filter(|line| line.contains("lan0")).count() >= 10, "{told:?}");
}

/// The bytes that a real client sends up to its login, which captured takes in the clear.
fn recorded(scene: &Scene) -> Vec<u8> {
    let listener = scene.router.run(|| std::net::TcpListener::bind((ROUTER, 5050))).unwrap();
    let script = scene.ssh("mine", "x").replace("-p 5022", "-p 5050");
    let client = scene.lan.spawn("sh", &["-c", &script]);
    let (mut from, _) = listener.accept().unwrap();
    from.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut to = scene.lan.run(|| TcpStream::connect((ROUTER, 5022))).unwrap();
    let (mut back, mut forth) = (to.try_clone().unwrap(), from.try_clone().unwrap());
    let copy = std::thread::spawn(move || std::io::copy(&mut back, &mut forth));
    let mut all = Vec::new();
    let mut bytes = [0; 4_096];
    // Identification, KEXINIT, KEX_ECDH_INIT, NEWKEYS and what follows, encrypted.
    while all.len() < 2_500 {
        // When it has no more to say it waits.
        let Ok(count @ 1..) = from.read(&mut bytes) else { break };
        all.extend_from_slice(&bytes[..count]);
        to.write_all(&bytes[..count]).unwrap();
    }
    drop(client);
    let _ = (from.shutdown(std::net::Shutdown::Both), to.shutdown(std::net::Shutdown::Both));
    let _ = copy.join();
    all
}

#[test]
fn messages_of_every_malformed_kind_leave_it_serving() {
    let scene = Scene::new();
    let captured = scene.start();
    let good = recorded(&scene);
    assert!(good.starts_with(b"SSH-2.0-OpenSSH") && good.len() > 1_000, "{} bytes", good.len());
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % limit.max(1) as u64) as usize
    };
    for round in 0..600 {
        let mut bytes = good.clone();
        match round % 4 {
            // Bits, lengths, cuts, and pieces put in.
            0 => (0..1 + next(8)).for_each(|_| {
                let at = next(bytes.len());
                bytes[at] ^= 1 << next(8);
            }),
            1 => {
                let at = next(bytes.len() - 4);
                let word = [0u32, 1, 5, 0x7fff_ffff, u32::MAX, 35_000][next(6)];
                bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
            }
            2 => bytes.truncate(next(bytes.len())),
            _ => {
                let (at, from) = (next(bytes.len()), next(bytes.len() - 64));
                let piece = bytes[from..from + next(64)].to_vec();
                bytes.splice(at..at, piece);
            }
        }
        let mut stream = scene.lan.run(|| TcpStream::connect((ROUTER, 5022))).unwrap();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // To its end: the next one finds it done with this one.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // It is the same process, and it serves.
    assert!(std::path::Path::new(&format!("/proc/{}", captured.id())).exists());
    scene.sends(&scene.lan, "192.168.42.1:67", [77]);
    scene.watch("x").wait_for(&format!("lan0\t{}", 77 + HEADS));
}

#[test]
fn the_ring_is_downloaded_with_the_password() {
    let scene = Scene::new();
    let _captured = scene.start();
    let mut webd = scene.router.service("webd", &scene.root, &[]);
    webd.wait_for("ready");
    let mut stream = UnixStream::connect(scene.root.path("/run/webd.sock")).unwrap();
    stream.write_all(format!("{}\n", json!({"op": "set", "password": "correct horse"})).as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert!(answer.contains("\"ok\":true"), "{answer}");
    scene.sends(&scene.lan, "192.168.42.1:67", [88; 700]);
    scene.sends(&scene.isp, "203.0.113.9:67", [99; 1]);
    scene.until(&seen("uplink0"), |count| count == 1);
    let path = scene.root.path("/tmp/capture.pcapng");
    let path = path.to_str().unwrap();
    let get = |words: &[&str], query: &str| {
        let url = format!("http://{ROUTER}/capture.pcapng{query}");
        let all = ["-sS", "--max-time", "60", "-o", path, "-w", "%{http_code}"];
        scene.lan.output("curl", &[&all[..], words, &[&url]].concat())
    };
    assert_eq!(get(&[], ""), "401");
    assert_eq!(get(&["-u", "gokrazy:correct horse"], ""), "200");
    let count = |filter: &str| {
        let read = scene.lan.output("tshark", &["-n", "-r", path, "-Y", filter, "-T", "fields", "-e", "frame.len"]);
        read.lines().count() as u64
    };
    assert_eq!(count("udp.dstport == 67 && frame.interface_name == \"lan0\""), 700);
    assert_eq!(count("frame.interface_name == \"uplink0\" && udp.dstport == 67"), 1);
    assert_eq!(get(&["-u", "gokrazy:correct horse"], "?filter=control+203.0.113.1"), "200");
    assert_eq!(count("udp.dstport == 67"), 1);
    assert_eq!(get(&["-u", "gokrazy:correct horse"], "?filter=dns"), "503");
    assert_eq!(get(&["-u", "gokrazy:wrong"], ""), "401");
}
