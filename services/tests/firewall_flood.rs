//! The ruleset is never absent: it is replaced again and again under a flood of probes, each from a port of its own,
//! while an established flow goes on. The control is the same flood while the table really is away for a moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, Root, Services};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const APPLIED: u64 = 1_000;
/// Ports that are probed, on the router and on the LAN's host.
const TARGETS: [(&str, u16); 2] = [("203.0.113.9", 4_000), ("192.168.42.7", 4_000)];
const PORTS: u16 = 64;

struct House {
    wan: Namespace,
    lan: Namespace,
    router: Namespace,
    root: Root,
    leaked: Arc<AtomicU64>,
}

impl House {
    fn new() -> House {
        let (wan, lan, router, root) = (Namespace::new(), Namespace::new(), Namespace::new(), Root::new());
        router.veth("uplink0", &wan, "eth0");
        router.veth("lan0", &lan, "eth0");
        wan.ip("addr add 203.0.113.1/24 dev eth0");
        wan.ip("route add 192.168.42.0/24 via 203.0.113.9");
        lan.ip("addr add 192.168.42.7/24 dev eth0");
        lan.ip("route add default via 192.168.42.1");
        let text = r#"{"interfaces":[{"name":"lan0","addr":"192.168.42.1/24"},
            {"name":"uplink0","addr":"203.0.113.9/24","gateway":"203.0.113.1"}]}"#;
        root.write("/perm/interfaces.json", text);
        let house = House { wan, lan, router, root, leaked: Arc::default() };
        for host in [&house.router, &house.lan] {
            for port in 0..PORTS {
                let socket = host.run(move || UdpSocket::bind(("0.0.0.0", 4_000 + port))).unwrap();
                let leaked = Arc::clone(&house.leaked);
                std::thread::spawn(move || {
                    while socket.recv(&mut [0; 8]).is_ok() {
                        leaked.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        }
        house
    }

    /// Forwards some ports, others each time.
    fn apply(&self, netconfigd: &mut Child, round: u64) {
        let entry = |number: u64| format!(r#"{{"port":"{}","dest_addr":"192.168.42.9"}}"#, 10_000 + number);
        let entries: Vec<String> = (round..round + 10).map(entry).collect();
        self.root.write("/perm/portforwardings.json", format!(r#"{{"forwardings":[{}]}}"#, entries.join(",")));
        netconfigd.signal("USR1");
        netconfigd.wait_for("ruleset replaced");
    }

    /// Sends probes until it is told to end; how many.
    fn flood(&self, end: &Arc<AtomicBool>) -> std::thread::JoinHandle<u64> {
        let end = Arc::clone(end);
        self.wan.run(move || {
            // The thread stays in the namespace that it was made in.
            let probes =
                (0..u64::from(PORTS)).flat_map(|port| (20_000..60_000u16).map(move |source| (port as u16, source)));
            let mut probes = probes.cycle();
            std::thread::spawn(move || {
                let mut sent = 0;
                while !end.load(Ordering::SeqCst) {
                    let (port, source) = probes.next().unwrap();
                    let Ok(socket) = UdpSocket::bind(("203.0.113.1", source)) else { continue };
                    for (target, first) in TARGETS {
                        let _ = socket.send_to(b"probe", (target, first + port));
                        sent += 1;
                    }
                }
                sent
            })
        })
    }

    /// A host of the LAN and one of the internet that speak in turn until told to end; how often. A lost packet is an
    /// error.
    fn talk(&self, end: &Arc<AtomicBool>) -> std::thread::JoinHandle<u64> {
        let server = self.wan.run(|| UdpSocket::bind("203.0.113.1:7")).unwrap();
        let client = self.lan.run(|| UdpSocket::bind("192.168.42.7:7")).unwrap();
        client.connect("203.0.113.1:7").unwrap();
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(common::PATIENCE)).unwrap();
        }
        let end = Arc::clone(end);
        std::thread::spawn(move || {
            let mut turns = 0u64;
            while !end.load(Ordering::SeqCst) {
                let mut buffer = [0; 8];
                client.send(&turns.to_be_bytes()).unwrap();
                let (_, peer) = server.recv_from(&mut buffer).expect("the established flow lost a packet");
                server.send_to(&buffer, peer).unwrap();
                client.recv(&mut buffer).expect("the established flow lost a packet");
                assert_eq!(u64::from_be_bytes(buffer), turns);
                turns += 1;
            }
            turns
        })
    }
}

#[test]
fn nothing_gets_through_while_the_ruleset_is_replaced() {
    let house = House::new();
    let mut netconfigd = house.router.service("netconfigd", &house.root, &[]);
    netconfigd.wait_for("route to 0.0.0.0/0");
    let end = Arc::new(AtomicBool::new(false));
    let (flood, talk) = (house.flood(&end), house.talk(&end));
    for round in 0..APPLIED {
        house.apply(&mut netconfigd, round);
    }
    end.store(true, Ordering::SeqCst);
    let (probes, turns) = (flood.join().unwrap(), talk.join().unwrap());
    println!("{APPLIED} times applied under {probes} probes; the established flow: {turns} turns, none lost");
    assert!(probes > 10 * APPLIED && turns > APPLIED);
    assert_eq!(house.leaked.load(Ordering::SeqCst), 0, "probes got through");

    // The control: the table goes, and comes back by netconfigd's doing.
    end.store(false, Ordering::SeqCst);
    let flood = house.flood(&end);
    for _ in 0..20 {
        house.router.output("nft", &["delete", "table", "inet", "weir"]);
        netconfigd.wait_for("ruleset replaced");
    }
    end.store(true, Ordering::SeqCst);
    flood.join().unwrap();
    assert!(house.leaked.load(Ordering::SeqCst) > 0, "the probes prove nothing");
}
