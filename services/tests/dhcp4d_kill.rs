//! Nothing that dhcp4d has acknowledged is lost: 200 SIGKILLs at instants that nobody chose.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, Root, Services};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

const KILLS: u32 = 200;
/// Clients that ask at the same time.
const TOGETHER: u32 = 8;

/// REQUESTs of new clients for addresses that nobody has, one after the other.
struct Clients {
    socket: UdpSocket,
    next: u32,
    acknowledged: BTreeMap<Ipv4Addr, [u8; 6]>,
}

fn mac(number: u32) -> [u8; 6] {
    let [a, b, c, d] = number.to_be_bytes();
    [2, 7, a, b, c, d]
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 77, 1, 0)) + number)
}

impl Clients {
    fn ask(&self, number: u32) {
        let mut bytes = vec![1, 1, 6, 0];
        bytes.extend(number.to_be_bytes());
        bytes.extend([0, 0, 0x80, 0]);
        bytes.resize(28, 0);
        bytes.extend(mac(number));
        bytes.resize(236, 0);
        bytes.extend([99, 130, 83, 99, 53, 1, 3, 50, 4]);
        bytes.extend(address(number).octets());
        bytes.push(255);
        self.socket.send_to(&bytes, "255.255.255.255:67").unwrap();
    }

    /// Takes an answer if one is there; whether it was an ACK.
    fn hear(&mut self) -> bool {
        let mut bytes = [0; 1_500];
        let Ok(count) = self.socket.recv(&mut bytes) else { return false };
        if count < 243 || bytes[240..243] != [53, 1, 5] {
            return false;
        }
        let given = Ipv4Addr::new(bytes[16], bytes[17], bytes[18], bytes[19]);
        self.acknowledged.insert(given, bytes[28..34].try_into().unwrap());
        true
    }

    /// Asks and hears until so many are acknowledged, and then for so long.
    fn run(&mut self, acks: u32, more: Duration) {
        let (mut heard, mut asked, mut deadline) = (0, 0, None);
        loop {
            while asked < heard + TOGETHER {
                self.ask(self.next);
                (self.next, asked) = (self.next + 1, asked + 1);
            }
            heard += u32::from(self.hear());
            if heard >= acks {
                let end = *deadline.get_or_insert_with(|| Instant::now() + more);
                if Instant::now() >= end {
                    return;
                }
            }
        }
    }
}

fn leases(root: &Root) -> BTreeMap<Ipv4Addr, String> {
    let list: serde_json::Value = serde_json::from_str(&root.read("/perm/dhcp4d/leases.json")).unwrap();
    let pair = |lease: &serde_json::Value| {
        (lease["addr"].as_str().unwrap().parse().unwrap(), lease["hardware_addr"].as_str().unwrap().to_owned())
    };
    list.as_array().unwrap().iter().map(pair).collect()
}

#[test]
fn nothing_acknowledged_is_lost_in_200_kills() {
    let (router, lan, root) = (Namespace::new(), Namespace::new(), Root::new());
    router.veth("lan0", &lan, "eth0");
    root.write("/perm/interfaces.json", r#"{"interfaces":[{"name":"lan0","addr":"10.77.0.1/16"}]}"#);
    lan.ip("addr add 10.77.255.254/16 dev eth0");
    lan.ip("route add default dev eth0");
    let socket = lan.run(|| UdpSocket::bind("0.0.0.0:68")).unwrap();
    socket.set_broadcast(true).unwrap();
    // Short: while the service is dead nothing comes.
    socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    let mut clients = Clients { socket, next: 0, acknowledged: BTreeMap::new() };
    let start = || -> Child {
        let mut dhcp4d = router.service("dhcp4d", &root, &[]);
        dhcp4d.wait_for("ready");
        dhcp4d
    };
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    for kill in 0..KILLS {
        let mut dhcp4d = start();
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        // The instant is anywhere in a turn: before the write, in it, between the sync and the replies, after them.
        clients.run(1 + kill % 3, Duration::from_micros(seed % 3_000));
        dhcp4d.kill();
        // What had left before.
        while clients.hear() {}
    }
    let mut dhcp4d = start();
    assert!(dhcp4d.stop().success());
    let kept = leases(&root);
    let lost: Vec<_> = clients
        .acknowledged
        .iter()
        .filter(|(address, mac)| {
            let text = mac.map(|byte| format!("{byte:02x}")).join(":");
            kept.get(address) != Some(&text)
        })
        .collect();
    println!("{} acknowledged in {KILLS} lives, {} kept, {} lost", clients.acknowledged.len(), kept.len(), lost.len());
    assert!(lost.is_empty(), "{lost:?}");
    assert!(clients.acknowledged.len() >= KILLS as usize);
}

#[test]
fn the_record_is_synced_before_the_ack_leaves() {
    let (router, lan, root) = (Namespace::new(), Namespace::new(), Root::new());
    router.veth("lan0", &lan, "eth0");
    root.write("/perm/interfaces.json", r#"{"interfaces":[{"name":"lan0","addr":"10.77.0.1/16"}]}"#);
    let trace = root.path("/tmp/trace");
    let words = [
        "-f",
        "-o",
        trace.to_str().unwrap(),
        "-e",
        "trace=fsync,fdatasync,sendto,recvfrom,rename",
        // What is traced dies with the tracer.
        "setpriv",
        "--pdeathsig=KILL",
        "--",
        env!("CARGO_BIN_EXE_services"),
        "dhcp4d",
        "--root",
        root.0.to_str().unwrap(),
    ];
    let mut dhcp4d = router.spawn("strace", &words);
    dhcp4d.wait_for("ready");
    lan.ip("addr add 10.77.255.254/16 dev eth0");
    lan.ip("route add default dev eth0");
    let socket = lan.run(|| UdpSocket::bind("0.0.0.0:68")).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    let mut clients = Clients { socket, next: 0, acknowledged: BTreeMap::new() };
    clients.run(20, Duration::ZERO);
    drop(dhcp4d);
    let text = std::fs::read_to_string(trace).unwrap();
    let (mut asked, mut acks) = (false, 0);
    // Its threads have numbers of their own.
    let own = text.split_whitespace().next().unwrap();
    for line in text.lines().filter(|line| line.starts_with(own)) {
        // A whole message; what found nothing has no such result.
        let received = line.contains("recvfrom(") && line.contains("\\1\\1\\6\\0");
        if received {
            asked = true;
        }
        if line.contains("fdatasync(") || line.contains("fsync(") {
            asked = false;
        }
        if line.contains("sendto(") && line.contains("AF_PACKET") {
            assert!(!asked, "an answer left before a sync: {line}");
            acks += 1;
        }
    }
    assert!(acks >= 20, "{acks}\n{text}");
}
