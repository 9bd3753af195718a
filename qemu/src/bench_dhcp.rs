//! The DHCP half of `make bench-lan`: perfdhcp (Kea's) against weir, Kea and dnsmasq, each alone in the same two namespaces.
//!
//! Processor time is that of the server's process with all its threads, as the kernel accounts it (`/proc/PID/stat`),
//! divided by the exchanges that were completed. Whose disk is slow is not asked: it is the same for all, in a folder that
//! `TMPDIR` may move.
use crate::Folder;
use crate::child::Child;
use crate::namespace::Namespace;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const SERVER: &str = "10.77.0.1";
/// Sizes of the table before the clients come.
const SIZES: [u32; 2] = [100, 50_000];
/// Exchanges begun in a second.
const RATE: u32 = 1_000;
/// Clients that only find out whether the server is there.
const BEGINNERS: &str = "mac=02:67:00:00:00:00";
/// How often a server is asked whether it is there; each time takes a second or two.
const PATIENCE: u32 = 100;
/// The table of which memory is told.
const OF_MEMORY: u32 = 10_000;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Weir,
    Kea,
    Dnsmasq,
}

const PEERS: [Peer; 3] = [Peer::Weir, Peer::Kea, Peer::Dnsmasq];

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Peer::Weir => "weir",
            Peer::Kea => "kea",
            Peer::Dnsmasq => "dnsmasq",
        }
    }
}

/// A server with its LAN.
struct Scene {
    lan: Namespace,
    server: Child,
    _router: Namespace,
    _folder: Folder,
}

/// What one run of perfdhcp saw.
#[derive(Debug, Clone, Copy)]
struct Run {
    micros: f64,
    exchanges: u64,
    dropped: u64,
    rate: f64,
}

fn address(number: u32) -> std::net::Ipv4Addr {
    (u32::from(std::net::Ipv4Addr::new(10, 77, 0, 2)) + number).into()
}

fn mac(number: u32) -> String {
    let [a, b, c, d] = number.to_be_bytes();
    format!("02:55:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

impl Scene {
    /// Starts a server that holds so many leases already; none when it does not come to an answer.
    fn new(peer: Peer, leases: u32, services: &Path) -> Option<Scene> {
        let (router, lan, folder) = (Namespace::new(), Namespace::new(), Folder::new());
        router.veth("lan0", &lan, "eth0");
        router.ip("addr add 10.77.0.1/16 dev lan0");
        lan.ip("addr add 10.77.255.254/16 dev eth0");
        let server = match peer {
            Peer::Weir => weir(&router, &folder, leases, services),
            Peer::Kea => kea(&router, &folder, leases),
            Peer::Dnsmasq => dnsmasq(&router, &folder, leases),
        };
        let scene = Scene { lan, server, _router: router, _folder: folder };
        let answers = scene.settle();
        if !answers {
            eprintln!("bench-lan: {} with {leases} leases does not answer: left out", peer.name());
        }
        answers.then_some(scene)
    }

    /// Waits until it answers, and lets it do what it does only once.
    fn settle(&self) -> bool {
        for _ in 0..PATIENCE {
            let mut command = Command::new("perfdhcp");
            command.args(["-4", "-n", "20", "-R", "20", "-r", "20", "-g", "single", "-b", BEGINNERS, SERVER]);
            let output = self.lan.run(move || command.output()).expect("perfdhcp runs (make deps-bench installs it)");
            if counted(&String::from_utf8_lossy(&output.stdout), "received packets") >= 10 {
                return true;
            }
        }
        false
    }

    /// So many exchanges of clients with numbers from `first` on; a rate of 0 is as fast as it goes.
    fn run(&self, first: u32, clients: u32, rate: u32) -> Run {
        let [a, b, c, d] = first.to_be_bytes();
        let (base, clients, rate) =
            (format!("mac=02:66:{a:02x}:{b:02x}:{c:02x}:{d:02x}"), clients.to_string(), rate.to_string());
        let mut words = vec!["-4", "-n", &clients, "-R", &clients, "-b", &base, "-g", "single", "-W", "500000"];
        if rate != "0" {
            words.extend(["-r", &rate]);
        }
        words.push(SERVER);
        let before = self.cpu();
        let mut command = Command::new("perfdhcp");
        command.args(&words);
        let begin = std::time::Instant::now();
        let output = self.lan.run(move || command.output()).expect("perfdhcp runs (make deps-bench installs it)");
        let seconds = begin.elapsed().as_secs_f64();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (sent, received) = (counted(&text, "sent packets"), counted(&text, "received packets"));
        if received == 0 {
            eprintln!("bench-lan: no exchange was completed:\n{text}{}", String::from_utf8_lossy(&output.stderr));
        }
        // Without one there is no figure: null in the JSON.
        let micros = if received > 0 { (self.cpu() - before) / received as f64 } else { f64::NAN };
        let asked: u64 = clients.parse().unwrap_or_default();
        Run { micros, exchanges: received, dropped: asked.max(sent) - received, rate: received as f64 / seconds }
    }

    /// Processor time in microseconds, of all threads, also of those that have ended.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.server.id())).expect("the server lives");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
        (ticks(11) + ticks(12)) * 10_000.0
    }

    /// Memory that is its alone, in KiB: what it has written. The pages of its program lie on the disk, too.
    fn memory(&self) -> u64 {
        let text =
            std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.server.id())).expect("the server lives");
        let own = text.lines().filter(|line| line.starts_with("Private_Dirty"));
        own.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
    }
}

/// A count of perfdhcp's, of the second of both parts: REQUEST and ACK.
fn counted(text: &str, word: &str) -> u64 {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix(word));
    lines.filter_map(|rest| rest.trim_start_matches(':').trim().parse().ok()).nth(1).unwrap_or_default()
}

fn weir(router: &Namespace, folder: &Folder, leases: u32, services: &Path) -> Child {
    let perm = folder.0.join("perm/dhcp4d");
    std::fs::create_dir_all(&perm).expect("a folder");
    std::fs::write(folder.0.join("perm/interfaces.json"), r#"{"interfaces":[{"name":"lan0","addr":"10.77.0.1/16"}]}"#)
        .expect("a file");
    let config = r#"{"lans":[{"name":"lan0","pool":["10.77.0.2","10.77.250.250"],"lease_seconds":7200}]}"#;
    std::fs::write(perm.join("config.json"), config).expect("a file");
    let list: Vec<Value> = (0..leases)
        .map(|number| {
            json!({"num": number, "addr": address(number).to_string(), "hardware_addr": mac(number),
                "hostname": format!("host{number}"), "expiry": "2100-01-01T00:00:00Z", "last_ack": "2026-01-01T00:00:00Z"})
        })
        .collect();
    std::fs::write(perm.join("leases.json"), serde_json::to_vec(&list).expect("JSON")).expect("a file");
    let mut server = router.spawn(services, &["dhcp4d", "--root", folder.0.to_str().expect("UTF-8")]);
    server.wait_for("ready");
    server
}

fn kea(router: &Namespace, folder: &Folder, leases: u32) -> Child {
    let mut text =
        "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n"
            .to_owned();
    for number in 0..leases {
        let _ = writeln!(text, "{},{},,7200,4000000000,1,0,0,host{number},0,", address(number), mac(number));
    }
    std::fs::write(folder.0.join("leases.csv"), text).expect("a file");
    let config = json!({"Dhcp4": {
        "interfaces-config": {"interfaces": ["lan0"], "dhcp-socket-type": "udp"},
        "lease-database": {"type": "memfile", "persist": true, "name": folder.file("leases.csv"), "lfc-interval": 0},
        "valid-lifetime": 7200,
        "subnet4": [{"id": 1, "subnet": "10.77.0.0/16", "pools": [{"pool": "10.77.0.2 - 10.77.250.250"}],
            "option-data": [{"name": "routers", "data": SERVER}, {"name": "domain-name-servers", "data": SERVER}]}],
        "loggers": [{"name": "kea-dhcp4", "severity": "INFO", "output_options": [{"output": "stdout"}]},
            {"name": "kea-dhcp4.leases", "severity": "WARN", "output_options": [{"output": "stdout"}]}],
    }});
    std::fs::write(folder.0.join("kea.json"), config.to_string()).expect("a file");
    let (pid, lock) =
        (format!("KEA_PIDFILE_DIR={}", folder.0.display()), format!("KEA_LOCKFILE_DIR={}", folder.0.display()));
    let mut server = router.spawn("env", &[&pid, &lock, "kea-dhcp4", "-c", &folder.file("kea.json")]);
    server.wait_for("DHCP4_STARTED");
    server
}

fn dnsmasq(router: &Namespace, folder: &Folder, leases: u32) -> Child {
    let mut text = String::new();
    for number in 0..leases {
        let _ = writeln!(text, "4000000000 {} {} host{number} *", mac(number), address(number));
    }
    std::fs::write(folder.0.join("leases"), text).expect("a file");
    let file = format!("--dhcp-leasefile={}", folder.file("leases"));
    let words = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--interface=lan0",
        "--bind-interfaces",
        "--user=root",
        "--log-facility=-",
        "--pid-file=",
        "--no-ping",
        "--quiet-dhcp",
        "--dhcp-authoritative",
        "--dhcp-lease-max=200000",
        "--dhcp-range=10.77.0.2,10.77.250.250,7200",
        &file,
    ];
    // It says that it is there when it has read its leases, which may take it minutes: who starts it asks.
    router.spawn("dnsmasq", &words)
}

/// Measures everything; the table is printed on standard error as it comes.
pub fn run(services: &Path, quick: bool) -> Value {
    let count = if quick { 400 } else { 4_000 };
    let mut rows: Vec<(String, [Option<f64>; 3])> = Vec::new();
    let mut found = json!({});
    for size in SIZES {
        let mut cells = [[None; 3]; 2];
        for (at, peer) in PEERS.into_iter().enumerate() {
            let Some(scene) = Scene::new(peer, size, services) else { continue };
            // dnsmasq walks through its table for every new client.
            let count = if peer == Peer::Dnsmasq && size > 10_000 { count / 10 } else { count };
            // It does not keep up with more, and what it drops would be counted on those that it completes.
            let rate = if peer == Peer::Dnsmasq { RATE / 10 } else { RATE };
            for (kind, name) in ["new", "known"].into_iter().enumerate() {
                let run = scene.run(0x0100_0000, count, rate);
                eprintln!("bench-lan: {} {name} clients, {size} leases: {run:?}", peer.name());
                cells[kind][at] = Some(run.micros);
                found[peer.name()][format!("{name}_{size}")] =
                    json!({"cpu_us": run.micros, "exchanges": run.exchanges, "dropped": run.dropped});
            }
        }
        for (kind, name) in ["new", "known"].into_iter().enumerate() {
            rows.push((format!("four-way exchange, {name} clients, {size} leases, us CPU"), cells[kind]));
        }
    }
    let (mut memory, mut rates) = ([None; 3], [None; 3]);
    for (at, peer) in PEERS.into_iter().enumerate() {
        let Some(scene) = Scene::new(peer, OF_MEMORY, services) else { continue };
        let first = scene.run(0x0200_0000, 200, 200);
        memory[at] = Some(scene.memory() as f64);
        // As fast as it goes: what is durable is said beside it.
        let fast = scene.run(0x0300_0000, count, 0);
        rates[at] = Some(fast.rate);
        eprintln!(
            "bench-lan: {}: {:?} KiB with {OF_MEMORY} leases; {first:?}; unthrottled {fast:?}",
            peer.name(),
            memory[at]
        );
        found[peer.name()]["memory_kib"] = json!(memory[at]);
        found[peer.name()]["unthrottled_per_s"] = json!(fast.rate);
    }
    rows.push((format!("private memory with {OF_MEMORY} leases, KiB"), memory));
    rows.push(("exchanges a second, unthrottled (weir: each on the disk first)".into(), rates));
    eprintln!("{:66} {:>9} {:>9} {:>9} {:>9} {:>9}", "DHCPv4", "weir", "kea", "dnsmasq", "kea/weir", "dnsm/weir");
    for (name, cells) in &rows {
        let text = |cell: Option<f64>| cell.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
        let ratio = |at: usize| cells[at].zip(cells[0]).map(|(peer, weir)| peer / weir);
        eprintln!(
            "{name:66} {:>9} {:>9} {:>9} {:>9} {:>9}",
            text(cells[0]),
            text(cells[1]),
            text(cells[2]),
            text(ratio(1)),
            text(ratio(2))
        );
    }
    found
}
