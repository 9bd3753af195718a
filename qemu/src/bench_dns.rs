//! The DNS half of `make bench-lan`: our resolver beside those that people would pick instead, each on the same core, in
//! the same namespaces, before the same upstream, one after the other in one run.
//!
//! Processor time is the scheduler's count for the server's process, so that neighbours on the machine change little of
//! it; times on the wall are told with it and mean what the machine was doing just then. Nobody's rate limit is on.
use crate::Folder;
use crate::child::Child;
use crate::namespace::Namespace;
use netstack::batch::{Inbox, Outbox};
use netstack::event::{Event, Interest, Loop, Signal, Token};
use serde_json::{Value, json};
use std::fmt::Write;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const ROUTER: &str = "192.168.42.1";
const CLIENT: &str = "192.168.42.7";
/// The upstream that knows every name at once, two that take their time, and one that is dead.
const FAST: &str = "10.9.0.2";
const SLOW: [&str; 2] = ["10.9.0.3", "10.9.0.4"];
const DEAD: &str = "10.9.0.5";
/// How long a slow one takes.
const FAR: Duration = Duration::from_millis(10);
const NAMES: usize = 10_000;
const MISSES: usize = 40_000;
const STARTS: usize = 9;
/// Questions of the rows that measure time on the wall.
const PACED: usize = 300;

/// Who is measured. The last one only sends back what it gets: below it nobody comes who uses the kernel's sockets.
pub const PEERS: [&str; 5] = ["weir", "unbound", "dnsmasq", "knot", FLOOR];
const FLOOR: &str = "floor";

/// The networks, the upstreams and the files.
struct Bed {
    router: Namespace,
    lan: Namespace,
    folder: Folder,
    quick: bool,
    // Kept alive.
    _internet: Namespace,
    _fast: Child,
    _silent: UdpSocket,
}

/// Runs everything for every peer; `services` is our binary, as it is shipped. `quick` only shows that it works.
pub fn run(services: &Path, quick: bool) -> Value {
    let bed = Bed::new(quick);
    let mut all = serde_json::Map::new();
    for peer in PEERS {
        crate::step(peer);
        all.insert(peer.to_owned(), bed.measure(peer, services));
    }
    Value::Object(all)
}

impl Bed {
    fn new(quick: bool) -> Bed {
        let (router, lan, internet, folder) = (Namespace::new(), Namespace::new(), Namespace::new(), Folder::new());
        router.veth("lan0", &lan, "eth0");
        router.veth("uplink0", &internet, "isp");
        router.ip(&format!("addr add {ROUTER}/24 dev lan0"));
        router.ip("addr add 10.9.0.1/24 dev uplink0");
        lan.ip(&format!("addr add {CLIENT}/24 dev eth0"));
        for address in [FAST, SLOW[0], SLOW[1], DEAD] {
            internet.ip(&format!("addr add {address}/24 dev isp"));
        }
        let zone =
            "$ORIGIN bench.\n$TTL 3600\n@ SOA ns h 1 3600 600 86400 300\n@ NS ns\nns A 10.9.0.2\n* A 198.51.100.7\n";
        std::fs::write(folder.0.join("bench.zone"), zone).unwrap();
        let nsd = format!(
            "server:\n ip-address: {FAST}\n zonesdir: \"{0}\"\n database: \"\"\n pidfile: \"\"\n xfrdfile: \"{0}/xfrd\"\n \
             zonelistfile: \"{0}/list\"\n username: \"\"\n server-count: 1\n rrl-ratelimit: 0\nremote-control:\n \
             control-enable: no\nzone:\n name: \"bench\"\n zonefile: \"bench.zone\"\n",
            folder.0.display()
        );
        std::fs::write(folder.0.join("nsd.conf"), nsd).unwrap();
        let mut fast = internet.spawn("taskset", &["-c", "1", "nsd", "-d", "-c", &folder.file("nsd.conf")]);
        fast.wait_for("nsd started");
        for address in SLOW {
            let socket = internet.run(move || UdpSocket::bind((address, 53))).unwrap();
            answer_late(socket);
        }
        let silent = internet.run(|| UdpSocket::bind((DEAD, 53))).unwrap();
        let misses = if quick { MISSES / 20 } else { MISSES };
        for (file, name, count) in [("hits", "host", NAMES), ("misses", "miss", misses)] {
            let mut text = String::new();
            (0..count).for_each(|number| writeln!(text, "{name}{number}.bench A").unwrap());
            std::fs::write(folder.0.join(file), text).unwrap();
        }
        Bed { router, lan, folder, quick, _internet: internet, _fast: fast, _silent: silent }
    }

    fn measure(&self, peer: &str, services: &Path) -> Value {
        let (starts, times, seconds) = if self.quick { (1, "1", "1") } else { (STARTS, "20", "5") };
        let starts = (0..starts).map(|_| self.first_answer(peer, services)).collect::<Vec<_>>();
        let mut server = self.start(peer, services, &[FAST]);
        self.until_answered("ready.bench");
        let (_, filling) = self.perf(&server, "hits", &["-n", "1"]);
        let memory = private_kib(server.id());
        let (hit, rate) = self.perf(&server, "hits", &["-n", times]);
        let (calm, _) = self.perf(&server, "hits", &["-Q", "1000", "-l", seconds]);
        if peer == FLOOR {
            return json!({
                "first_answer_ms": part(&starts, 50),
                "hit_cpu_us": hit,
                "hits_per_second": rate,
                "hit_at_1000_per_second_cpu_us": calm,
            });
        }
        let (miss, miss_rate) = self.perf(&server, "misses", &["-n", "1"]);
        server.kill();
        let paced = |servers: &[&str]| {
            let mut server = self.start(peer, services, servers);
            self.until_answered("ready.bench");
            let times = self.paced();
            server.kill();
            json!({"p50_ms": part(&times, 50), "p99_ms": part(&times, 99), "lost": PACED - times.len()})
        };
        let late = paced(&SLOW);
        let dead = paced(&[DEAD, SLOW[0]]);
        json!({
            "first_answer_ms": part(&starts, 50),
            "first_answer_least_ms": part(&starts, 0),
            "hit_cpu_us": hit,
            "hits_per_second": rate,
            "hit_at_1000_per_second_cpu_us": calm,
            "miss_cpu_us": miss,
            "misses_per_second": miss_rate,
            "filling_per_second": filling,
            "private_kib_with_10000_names": memory,
            "upstream_ms": FAR.as_secs_f64() * 1e3,
            "miss": late,
            "miss_with_one_of_two_dead": dead,
            "first_query_after_wan_change_ms": self.wan_change(peer, services),
        })
    }

    /// A server that asks these upstreams.
    fn start(&self, peer: &str, services: &Path, upstreams: &[&str]) -> Child {
        let file = |name: &str| self.folder.file(name);
        let services = services.to_str().unwrap();
        let forwards = |form: fn(&str) -> String| upstreams.iter().map(|ip| form(ip)).collect::<Vec<_>>();
        let mut words: Vec<String> = ["-c", "0"].map(str::to_owned).to_vec();
        match peer {
            "weir" => {
                let root = self.folder.0.join("root");
                for folder in ["perm/dnsd", "run", "etc", "tmp"] {
                    std::fs::create_dir_all(root.join(folder)).unwrap();
                }
                let lan = format!(r#"{{"interfaces":[{{"name":"uplink0"}},{{"name":"lan0","addr":"{ROUTER}/24"}}]}}"#);
                std::fs::write(root.join("perm/interfaces.json"), lan).unwrap();
                let config = json!({"upstreams": upstreams, "rate_limit": 0});
                std::fs::write(root.join("perm/dnsd/config.json"), config.to_string()).unwrap();
                words.extend([services, "dnsd", "--root", root.to_str().unwrap()].map(str::to_owned));
            }
            "unbound" => {
                let mut text = format!(
                    "server:\n interface: {ROUTER}\n access-control: 192.168.42.0/24 allow\n do-daemonize: no\n \
                     chroot: \"\"\n username: \"\"\n directory: \"/\"\n pidfile: \"\"\n use-syslog: no\n num-threads: 1\n \
                     module-config: \"iterator\"\nremote-control:\n control-enable: no\nforward-zone:\n name: \".\"\n"
                );
                forwards(|ip| format!(" forward-addr: {ip}\n")).iter().for_each(|line| text.push_str(line));
                std::fs::write(file("unbound.conf"), text).unwrap();
                words.extend(["unbound", "-d", "-c", &file("unbound.conf")].map(str::to_owned));
            }
            "dnsmasq" => {
                let fixed = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"];
                let also = ["--bind-interfaces", "--log-facility=-", "--user=root", "--group=", "--pid-file="];
                let size = ["--cache-size=10000", "--dns-forward-max=1000"];
                words.extend(fixed.iter().chain(&also).chain(&size).map(|word| (*word).to_owned()));
                words.push(format!("--listen-address={ROUTER}"));
                words.extend(forwards(|ip| format!("--server={ip}")));
            }
            FLOOR => {
                let ourselves = std::env::current_exe().unwrap();
                words.extend([ourselves.to_str().unwrap(), "--echo", ROUTER].map(str::to_owned));
            }
            _ => {
                let text = format!(
                    "net.listen('{ROUTER}', 53, {{kind='dns'}})\ntrust_anchors.remove('.')\ncache.size = 100*MB\n\
                     policy.add(policy.all(policy.STUB({{{}}})))\n",
                    forwards(|ip| format!("'{ip}'")).join(",")
                );
                let work = self.folder.0.join("knot");
                // Nothing of the run before.
                let _ = std::fs::remove_dir_all(&work);
                std::fs::create_dir_all(&work).unwrap();
                std::fs::write(file("kresd.conf"), text).unwrap();
                words.extend(["kresd", "-n", "-c", &file("kresd.conf"), work.to_str().unwrap()].map(str::to_owned));
            }
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.router.spawn("taskset", &words).named(peer)
    }

    /// Milliseconds from exec to the first answer, of a question asked again and again.
    fn first_answer(&self, peer: &str, services: &Path) -> f64 {
        let start = Instant::now();
        let mut server = self.start(peer, services, &[FAST]);
        self.until_answered("first.bench");
        let took = start.elapsed();
        server.kill();
        took.as_secs_f64() * 1e3
    }

    fn client(&self) -> UdpSocket {
        let socket = self.lan.run(|| UdpSocket::bind((CLIENT, 0))).unwrap();
        socket.connect((ROUTER, 53)).unwrap();
        socket
    }

    fn until_answered(&self, name: &str) {
        let socket = self.client();
        socket.set_read_timeout(Some(Duration::from_micros(500))).unwrap();
        let limit = Instant::now() + crate::child::PATIENCE;
        loop {
            assert!(Instant::now() < limit, "nobody answers");
            let mut answer = [0; 512];
            // Refused while nobody listens; then the next is asked at once.
            if socket.send(&query(7, name)).is_ok()
                && let Ok(length) = socket.recv(&mut answer)
                && length > 12
                && answer[3] & 0xf == 0
            {
                return;
            }
        }
    }

    /// dnsperf with a file of questions; processor time in microseconds a question, and questions a second.
    fn perf(&self, server: &Child, file: &str, more: &[&str]) -> (f64, f64) {
        let path = self.folder.file(file);
        let fixed = ["-c", "1", "dnsperf", "-s", ROUTER, "-d", &path, "-c", "8", "-q", "100", "-T", "1"];
        let words: Vec<&str> = fixed.iter().chain(more).copied().collect();
        let before = server.cpu_micros();
        let text = self.lan.output("taskset", &words);
        let used = server.cpu_micros() - before;
        let number = |label: &str| -> f64 {
            let line = text.lines().find(|line| line.contains(label)).unwrap_or_else(|| panic!("{text}"));
            line.split(':').nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap()
        };
        (used as f64 / number("Queries completed"), number("Queries per second"))
    }

    /// Milliseconds that questions took which nobody has asked before, one after the other.
    fn paced(&self) -> Vec<f64> {
        let socket = self.client();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut times = Vec::new();
        for number in 0..PACED {
            let id = number as u16;
            let start = Instant::now();
            socket.send(&query(id, &format!("paced{number}.bench"))).unwrap();
            let mut answer = [0; 512];
            while let Ok(length) = socket.recv(&mut answer) {
                if length > 12 && answer[..2] == id.to_be_bytes() {
                    if answer[3] & 0xf == 0 {
                        times.push(start.elapsed().as_secs_f64() * 1e3);
                    }
                    break;
                }
            }
        }
        times
    }

    /// The uplink gets another address while questions are asked: how long the first one after it takes.
    fn wan_change(&self, peer: &str, services: &Path) -> f64 {
        let mut server = self.start(peer, services, &SLOW);
        self.until_answered("ready.bench");
        // The first of a network takes the others with it: one goes, then the other comes.
        self.router.ip("addr del 10.9.0.1/24 dev uplink0");
        self.router.ip("addr add 10.9.0.6/24 dev uplink0");
        let start = Instant::now();
        self.until_answered("after.bench");
        let took = start.elapsed().as_secs_f64() * 1e3;
        server.kill();
        self.router.ip("addr del 10.9.0.6/24 dev uplink0");
        self.router.ip("addr add 10.9.0.1/24 dev uplink0");
        took
    }
}

/// Sends every query back as an answer, by the calls that dnsd uses; until it is killed.
pub fn echo(address: IpAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((address, 53))?;
    socket.set_nonblocking(true)?;
    let mut turn = Loop::new()?;
    turn.add(&socket, Token(0), Interest::READ)?;
    let (mut events, mut inbox, mut outbox) = (Vec::new(), Inbox::new(1_472), Outbox::default());
    loop {
        turn.wait(None, &mut events)?;
        if events.contains(&Event::Signal(Signal::Terminate)) {
            return Ok(());
        }
        // Nothing there any more, or the word of a client that is gone: it waits again.
        let Ok(_) = inbox.receive(&socket) else { continue };
        for datagram in inbox.datagrams() {
            let answer = outbox.buffer();
            answer.clear();
            answer.extend_from_slice(datagram.bytes);
            if let Some(flags) = answer.get_mut(2) {
                *flags |= 0x80;
            }
            outbox.address(Some(datagram.peer));
        }
        outbox.send(&socket);
    }
}

/// A query for an A record.
fn query(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

/// Answers every question with an address, [`FAR`] later.
fn answer_late(socket: UdpSocket) {
    let (told, due) = mpsc::channel::<(Instant, Vec<u8>, SocketAddr)>();
    let sender = socket.try_clone().unwrap();
    std::thread::spawn(move || {
        for (at, message, peer) in due {
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            let _ = sender.send_to(&message, peer);
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 1_500];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let query = &buffer[..length];
            let Some(end) = query.iter().skip(12).position(|byte| *byte == 0).map(|at| 12 + at + 5) else { continue };
            let Some(question) = query.get(12..end) else { continue };
            let is_a = question.ends_with(&[0, 1, 0, 1]);
            let mut answer = vec![query[0], query[1], 0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0];
            answer.extend_from_slice(question);
            if is_a {
                answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 198, 51, 100, 7]);
            }
            let _ = told.send((Instant::now() + FAR, answer, peer));
        }
    });
}

/// What is written and nobody else's, in KiB.
fn private_kib(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Private_Dirty:")).unwrap();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap()
}

/// Of a hundred parts the time that so many do not exceed; the least of them for 0.
fn part(times: &[f64], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
