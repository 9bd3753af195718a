//! Which ports of the router answer to whom: Debian's nmap, from each side, against the table in docs/SECURITY.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, WAN};
use qemu::disk::Disk;
use qemu::namespace::Namespace;
use qemu::peer::{Keys, Peer};
use qemu::router::Router;
use qemu::step;
use qemu::switch::Port;
use std::collections::BTreeSet;
use weir::machine::{LAN_MAC, Mac, UPLINK_MAC};

const TRUNK: Mac = Mac([0x52, 0x54, 0x00, 0x77, 0x00, 0x04]);
/// What is asked by UDP: what routers are known to have open, and some that nobody has.
const UDP: &str =
    "7,53,67,68,69,111,123,137,161,500,514,520,546,547,1900,3478,4500,5351,5353,8053,8066,8067,33434,51820,51821";
/// All of them.
const TCP: &str = "1-65535";
/// Those that we have heard of, where the rest would only be waited for: IPv6's rules are IPv4's.
const KNOWN: &str = "1-1024,5000-5100,7700-7800,8000-8100,9090,51820";

/// The open ports among these, as nmap finds them from a host.
fn open(from: &Namespace, way: &str, ports: &str, address: &str) -> BTreeSet<u16> {
    let mut words = vec!["--privileged", "-n", "-Pn", "--disable-arp-ping", "--max-retries", "2", "--min-rate", "2000"];
    words.extend([way, "-p", ports, "-oG", "-"]);
    words.extend(address.contains(':').then_some("-6"));
    words.push(address);
    let said = from.output("nmap", &words);
    let ports = said.lines().filter_map(|line| line.split("Ports: ").nth(1)).flat_map(|all| all.split(", "));
    let open = ports.filter(|port| port.split('/').nth(1) == Some("open"));
    open.map(|port| port.trim().split('/').next().unwrap().parse().unwrap()).collect()
}

/// The row of the table for who stands there: ports of TCP and of UDP.
fn published(whence: &str) -> [BTreeSet<u16>; 2] {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SECURITY.md")).unwrap();
    let row = text.lines().find(|line| line.starts_with(&format!("| {whence} |"))).unwrap();
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    [cells[2], cells[3]].map(|cell| cell.split(", ").filter_map(|port| port.parse().ok()).collect())
}

/// The link-local address of an interface of the router, by its MAC address (RFC 4291, appendix A).
fn link_local(mac: Mac, scope: &str) -> String {
    let [a, b, c, d, e, f] = mac.0;
    format!(
        "fe80::{:x}:{:x}:{:x}:{:x}%{scope}",
        u16::from_be_bytes([a ^ 2, b]),
        u16::from_be_bytes([c, 0xff]),
        u16::from_be_bytes([0xfe, d]),
        u16::from_be_bytes([e, f])
    )
}

#[test]
fn what_is_open_is_what_is_published() {
    let bed = Bed::new();
    let (guest, keys, peer) = (Namespace::new(), Keys::new(), Peer::new(&bed, 1, "10.77.0.2/32"));
    peer.knows(&keys, "10.77.0.1/32", Some(&format!("{WAN}:51820")));
    let _isp = bed.serve_isp();
    let port = Port::new(&bed.folder, &guest, TRUNK, 20);
    let disk = Disk::copy(&bed.folder.0);
    let interfaces = format!(
        r#"{{"interfaces":[{{"name":"uplink0","hardware_addr":"{UPLINK_MAC}"}},
        {{"name":"lan0","hardware_addr":"{LAN_MAC}","addr":"192.168.42.1/24"}},
        {{"name":"trunk","hardware_addr":"{TRUNK}"}},
        {{"name":"guest","parent":"trunk","vlan_id":20,"addr":"192.168.44.1/24","guest":true}},
        {{"name":"wg0","addr":"10.77.0.1/24"}}]}}"#
    );
    disk.write("interfaces.json", interfaces.as_bytes());
    let tunnel = format!(
        r#"{{"interfaces":[{{"name":"wg0","port":51820,"private_key":"{}","peers":[{{"public_key":"{}","allowed_ips":["10.77.0.2/32"]}}]}}]}}"#,
        keys.private, peer.keys.public
    );
    disk.write("wireguard.json", tunnel.as_bytes());
    // Whoever may look on by SSH.
    let (key, line) =
        (bed.folder.file("key"), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n");
    std::fs::write(key, line).unwrap();
    disk.write("authorized_keys", line.as_bytes());
    let mut router = Router::boot_with(&bed, &disk, |machine| machine.nic(port.nic()));
    router.wait_ready();
    bed.lan.ip("addr add 192.168.42.200/24 dev eth0");
    guest.ip("addr add 192.168.44.7/24 dev eth0");
    router.command_until("addresses", |text| text.contains(WAN));
    peer.host.output("busybox", &["ping", "-c", "1", "-W", "60", "10.77.0.1"]);

    let sides = [
        ("a LAN", &bed.lan, "192.168.42.1", Some(link_local(LAN_MAC, "eth0"))),
        ("a guest LAN", &guest, "192.168.44.1", Some(link_local(TRUNK, "eth0"))),
        ("WireGuard", &peer.host, "10.77.0.1", None),
        ("the internet", &bed.isp, WAN, Some(link_local(UPLINK_MAC, "wan0"))),
    ];
    let mut wrong = Vec::new();
    for (whence, host, address, link_local) in sides {
        step(&format!("from {whence}"));
        let [tcp, udp] = published(whence);
        let mut compare = |what: &str, ports: &str, address: &str, wanted: &BTreeSet<u16>| {
            let way = if ports == UDP { "-sU" } else { "-sS" };
            let mut found = open(host, way, ports, address);
            // A busy machine loses some of so many packets: what has not answered is asked again by itself.
            let missing: Vec<String> = wanted.difference(&found).map(u16::to_string).collect();
            if !missing.is_empty() {
                found.extend(open(host, way, &missing.join(","), address));
            }
            eprintln!("{whence}, {what}: {found:?}");
            if found != *wanted {
                wrong.push(format!("{whence}, {what}: {found:?} are open, {wanted:?} are published"));
            }
        };
        compare("TCP, IPv4", TCP, address, &tcp);
        compare("UDP, IPv4", UDP, address, &udp);
        let Some(link_local) = link_local else { continue };
        host.output("busybox", &["ping", "-6", "-c", "1", "-W", "20", &link_local]);
        compare("TCP, IPv6", KNOWN, &link_local, &tcp);
        compare("UDP, IPv6", UDP, &link_local, &udp);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
