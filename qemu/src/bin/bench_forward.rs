//! `make bench-forward`: what a packet costs on its way through the router, in executed instructions.
//!
//! The machine has one CPU and three cards whose cables end here. Frames are sent in bursts of 64, at most 512 under way; a
//! plugin of the emulator counts what the guest executes. Every connection has carried some packets before it counts.
//! With the word `--apart` it also prints the functions of the kernel that a packet of each case spends most in.
#![forbid(unsafe_code)]
// A measurement that cannot be made ends the program, with its reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use qemu::Folder;
use qemu::forward::{OURS, ROUTERS, Rig};
use qemu::frames::{End, Mac, ipv4, tcp, udp};
use qemu::plugin::{self, Functions};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Packets of one measurement.
const PACKETS: usize = 10_000;
/// Cases that are compared in several ways.
const UDP64: &str = "udp64_up";
const IPV6: &str = "ipv6_up";
const WAN: usize = 0;
const LAN: usize = 1;
/// The router's addresses towards the internet.
const WAN4: [u8; 4] = [203, 0, 113, 9];
const SERVER4: [u8; 4] = [198, 51, 100, 1];
const HOST4: [u8; 4] = [192, 168, 42, 7];

/// What is laid out for a measurement.
#[derive(Debug, Clone, Copy)]
struct Layout {
    offload: bool,
    forwards: usize,
    /// The LAN is a bridge of two cards.
    bridge: bool,
}

/// The same two networks forwarded by the kernel alone: no rule, no connection tracked.
const PLAIN: &str = "export PATH=/bin
ip() { busybox ip $*; }
busybox mount -t proc proc /proc
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
ip addr add 203.0.113.9/24 dev eth0
ip addr add 192.168.42.1/24 dev eth1
ip link set eth0 up
ip link set eth1 up
ip -6 addr add 2001:db8:1::9/64 dev eth0
ip -6 addr add 2001:db8:a::1/64 dev eth1
ip route add default via 203.0.113.1
ip -6 route add default via 2001:db8:1::1
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";

fn files(layout: Layout) -> Vec<(&'static str, String)> {
    let [uplink, lan, second] = ROUTERS;
    let (card, bridges) = if layout.bridge {
        let ports = format!(r#","bridges":[{{"name":"lan0","interface_hardware_addrs":["{lan}","{second}"]}}]"#);
        (String::new(), ports)
    } else {
        (format!(r#""hardware_addr":"{lan}","#), String::new())
    };
    let interfaces = format!(
        r#"{{"interfaces":[{{"name":"uplink0","hardware_addr":"{uplink}","addr":"203.0.113.9/24",
        "extra_addrs":["2001:db8:1::9/64"],"gateway":"203.0.113.1","gateway6":"2001:db8:1::1",
        "delegated_prefixes":["2001:db8:a::/48"]}},
        {{"name":"lan0",{card}"addr":"192.168.42.1/24","extra_addrs":["2001:db8:a::1/64"]}}]{bridges}}}"#
    );
    let forward = |number: usize| format!(r#"{{"port":"{}","dest_addr":"192.168.42.7"}}"#, 20_000 + number);
    let forwards: Vec<String> = (0..layout.forwards).map(forward).collect();
    vec![
        ("interfaces.json", interfaces),
        ("firewall.json", format!(r#"{{"offload":{}}}"#, layout.offload)),
        ("portforwardings.json", format!(r#"{{"forwardings":[{}]}}"#, forwards.join(","))),
    ]
}

/// A conversation between a host of the LAN and a server: both ends, as each side sees the other.
#[derive(Clone, Copy)]
struct Talk {
    host: End,
    server: End,
    /// The host as the server sees it.
    seen: End,
}

fn router_mac(card: usize) -> Mac {
    ROUTERS[card].0
}

impl Talk {
    fn ipv4(port: u16) -> Talk {
        Talk {
            host: ipv4(OURS[LAN], HOST4, port),
            server: ipv4(OURS[WAN], SERVER4, 443),
            seen: ipv4(OURS[LAN], WAN4, port),
        }
    }

    fn ipv6(port: u16) -> Talk {
        let end = |mac, ip: &str, port| End { mac, ip: ip.parse().unwrap(), port };
        let host = end(OURS[LAN], "2001:db8:a::7", port);
        Talk { host, server: end(OURS[WAN], "2001:db8:ffff::1", 443), seen: host }
    }

    /// A datagram from the host, whole frames of `size` bytes without their checksum.
    fn up(&self, size: usize) -> Vec<u8> {
        udp(&self.host, &End { mac: router_mac(LAN), ..self.server }, payload(&self.host, size))
    }

    fn down(&self, size: usize) -> Vec<u8> {
        udp(&self.server, &End { mac: router_mac(WAN), ..self.seen }, payload(&self.host, size))
    }

    fn segment(&self, up: bool, flags: u8, sequence: u32, acknowledged: u32, size: usize) -> Vec<u8> {
        if up {
            let to = End { mac: router_mac(LAN), ..self.server };
            tcp(&self.host, &to, flags, sequence, acknowledged, size)
        } else {
            let to = End { mac: router_mac(WAN), ..self.seen };
            tcp(&self.server, &to, flags, sequence, acknowledged, size)
        }
    }
}

fn payload(end: &End, size: usize) -> usize {
    size.saturating_sub(14 + 8 + if end.ip.is_ipv4() { 20 } else { 40 })
}

/// Lets conversations prove themselves: packets both ways, where there are answers, until the fast path would have taken
/// them.
fn settle(rig: &Rig, talks: &[Talk], answers: bool) {
    // The cards may need a moment after the router is ready.
    let first = [talks[0].up(60)];
    let deadline = Instant::now() + Duration::from_secs(60);
    while !rig.tries(LAN, WAN, &first) {
        assert!(Instant::now() < deadline, "no way through");
    }
    // A conversation by UDP counts as one after two seconds.
    std::thread::sleep(Duration::from_millis(2_100));
    rig.wait_for_idle();
    for _ in 0..8 {
        for some in talks.chunks(64) {
            let up: Vec<Vec<u8>> = some.iter().map(|talk| talk.up(60)).collect();
            let down: Vec<Vec<u8>> = some.iter().map(|talk| talk.down(60)).collect();
            assert!(rig.send(LAN, WAN, &up), "no way through");
            assert!(!answers || rig.send(WAN, LAN, &down), "no way back");
        }
    }
}

fn repeat(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    frames.iter().cycle().take(PACKETS).cloned().collect()
}

/// The kernel's functions, where `--apart` asks for what each costs.
static APART: LazyLock<Option<Functions>> = LazyLock::new(|| {
    std::env::args().any(|word| word == "--apart").then(|| {
        let folder = std::fs::read_to_string("target/kernel-folder").expect("target/kernel-folder (make kernel)");
        let map = PathBuf::from(folder.lines().last().unwrap_or_default()).join("System.map");
        Functions::of_map(&std::fs::read_to_string(map).expect("System.map"))
    })
});

/// Prints the functions that a packet spends most in.
fn take_apart(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>, packets: u64) {
    let spent = |(name, count): (&String, &u64)| (count.saturating_sub(*before.get(name).unwrap_or(&0)), name.clone());
    let mut costs: Vec<_> = after.iter().map(spent).collect();
    costs.sort_unstable_by(|a, b| b.cmp(a));
    for (count, name) in costs.into_iter().take(60) {
        eprintln!("{:>12} {name}", count / packets);
    }
}

fn measure(rig: &Rig, name: &str, results: &mut Map<String, Value>, work: &dyn Fn() -> (usize, bool)) {
    let mut costs = Vec::new();
    for _ in 0..3 {
        let before = rig.executed();
        let (packets, whole) = work();
        assert!(whole, "{name}: frames were lost");
        costs.push((rig.executed() - before) / packets as u64);
    }
    // What else the router does meanwhile only adds.
    costs.sort_unstable();
    eprintln!("bench-forward: {name}: {} instructions a packet ({costs:?})", costs[0]);
    if let Some(functions) = &*APART {
        let before = rig.by_function(functions);
        let (packets, _) = work();
        take_apart(&before, &rig.by_function(functions), packets as u64);
    }
    results.insert(name.to_owned(), json!(costs[0]));
}

/// UDP of a layout, under names that begin so.
fn datagrams(rig: &Rig, begin: &str, results: &mut Map<String, Value>) {
    let one = [Talk::ipv4(5_000)];
    let many: Vec<Talk> = (6_000..7_000).map(Talk::ipv4).collect();
    let six = [Talk::ipv6(5_000)];
    for (name, talks, size, down) in [
        (UDP64, &one[..], 60, false),
        ("udp64_down", &one, 60, true),
        ("udp64_1000_flows", &many, 60, false),
        ("udp1514_up", &one, 1_514, false),
        (IPV6, &six, 82, false),
    ] {
        settle(rig, talks, true);
        let frames = talks.iter().map(|talk| if down { talk.down(size) } else { talk.up(size) }).collect::<Vec<_>>();
        let frames = repeat(&frames);
        let (from, to) = if down { (WAN, LAN) } else { (LAN, WAN) };
        measure(rig, &format!("{begin}_{name}"), results, &|| (PACKETS, rig.send(from, to, &frames)));
    }
}

/// Datagrams of one conversation upwards, and nothing downwards.
fn upwards(rig: &Rig, name: &str, talk: Talk, size: usize, answers: bool, results: &mut Map<String, Value>) {
    settle(rig, &[talk], answers);
    let frames = repeat(&[talk.up(size)]);
    measure(rig, name, results, &|| (PACKETS, rig.send(LAN, WAN, &frames)));
}

/// One TCP connection that loads much, which the card's driver puts together again.
fn download(rig: &Rig, begin: &str, results: &mut Map<String, Value>) {
    let talk = Talk::ipv4(9_000);
    assert!(rig.send(LAN, WAN, &[talk.segment(true, 2, 99, 0, 0)]));
    assert!(rig.send(WAN, LAN, &[talk.segment(false, 0x12, 999, 100, 0)]));
    assert!(rig.send(LAN, WAN, &[talk.segment(true, 0x10, 100, 1_000, 0)]));
    let next = std::cell::Cell::new(1_000_u32);
    measure(rig, &format!("{begin}_tcp1514_down"), results, &|| {
        let mut whole = true;
        for _ in 0..PACKETS / 40 {
            // What fits a window that was never scaled, and its acknowledgement.
            let frames: Vec<Vec<u8>> = (0..40)
                .map(|_| {
                    let frame = talk.segment(false, 0x10, next.get(), 100, 1_460);
                    next.set(next.get().wrapping_add(1_460));
                    frame
                })
                .collect();
            whole &= rig.send_merged(WAN, LAN, &frames, 40 * 1_460);
            whole &= rig.send(LAN, WAN, &[talk.segment(true, 0x10, 100, next.get(), 0)]);
        }
        (PACKETS, whole)
    });
}

/// Connections of one packet each.
fn beginnings(rig: &Rig, begin: &str, results: &mut Map<String, Value>) {
    let next = std::cell::Cell::new(10_000_u16);
    measure(rig, &format!("{begin}_new_flow"), results, &|| {
        let frames: Vec<Vec<u8>> = (0..4_000).map(|at| Talk::ipv4(next.get() + at).up(60)).collect();
        next.set(next.get() + 4_000);
        (frames.len(), rig.send(LAN, WAN, &frames))
    });
}

/// SYNs to a port that nobody has opened.
fn closed(rig: &Rig, name: &str, results: &mut Map<String, Value>) {
    let talk = Talk::ipv4(5_000);
    settle(rig, &[talk], true);
    let fence = talk.down(60);
    let router = ipv4(router_mac(WAN), WAN4, 81);
    let syns: Vec<Vec<u8>> =
        (0..PACKETS).map(|at| tcp(&ipv4(OURS[WAN], SERVER4, 1_024 + at as u16), &router, 2, 1, 0, 0)).collect();
    measure(rig, name, results, &|| (PACKETS, rig.sink(WAN, &syns, (LAN, &fence))));
}

fn main() {
    let images = PathBuf::from("target/appliance");
    let folder = Folder::new();
    let plugin = plugin::compile(&folder.0).unwrap_or_else(|error| panic!("{error}"));
    let boot = |layout: Layout| -> Rig { Rig::boot(&images, &plugin, &files(layout), "weir.bench nokaslr") };
    let mut results = Map::new();
    for offload in [false, true] {
        let begin = if offload { "fast" } else { "rules" };
        let rig = boot(Layout { offload, forwards: 0, bridge: false });
        datagrams(&rig, begin, &mut results);
        download(&rig, begin, &mut results);
        beginnings(&rig, begin, &mut results);
        let rig = boot(Layout { offload, forwards: 0, bridge: true });
        upwards(&rig, &format!("{begin}_bridge_{UDP64}"), Talk::ipv4(5_000), 60, true, &mut results);
    }
    let rig = Rig::boot_plain(&images, &plugin, PLAIN);
    upwards(&rig, &format!("plain_{UDP64}"), Talk::ipv4(5_000), 60, false, &mut results);
    upwards(&rig, &format!("plain_{IPV6}"), Talk::ipv6(5_000), 82, false, &mut results);
    let (mut to_ready, mut functions) = (Vec::new(), BTreeMap::new());
    for forwards in [0, 1_000] {
        let boot = || boot(Layout { offload: true, forwards, bridge: false });
        // The least of some: a driver that waits for its card executes as much as the host lets it.
        let least = (0..4).map(|_| boot().executed_to_ready()).min();
        to_ready.push(least.unwrap_or_default());
        let rig = boot();
        if let Some(map) = &*APART {
            let booted = rig.by_function(map);
            take_apart(&functions, &booted, 1);
            functions = booted;
        }
        closed(&rig, &format!("syn_closed_port_{forwards}_forwards"), &mut results);
    }
    results.insert("apply_1000_forwards".to_owned(), json!(to_ready[1].saturating_sub(to_ready[0])));
    let of = |name: &str| results.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let ratio = |name: &str| (of(&format!("fast_{name}")) / of(&format!("rules_{name}")) * 1_000.0).round() / 1_000.0;
    let ratios: Map<String, Value> =
        [UDP64, "bridge_udp64_up", "udp64_down", "udp1514_up", "udp64_1000_flows", IPV6, "tcp1514_down", "new_flow"]
            .into_iter()
            .map(|name| (format!("fast_to_rules_{name}"), json!(ratio(name))))
            .collect();
    let extra = |name: &str| {
        let over_plain = |begin: &str| of(&format!("{begin}_{name}")) - of(&format!("plain_{name}"));
        json!((over_plain("fast") / over_plain("rules") * 1_000.0).round() / 1_000.0)
    };
    let extras = [UDP64, IPV6].map(|name| (format!("fast_to_rules_over_plain_{name}"), extra(name)));
    results.extend(ratios.into_iter().chain(extras));
    println!("{}", Value::Object(results));
}
