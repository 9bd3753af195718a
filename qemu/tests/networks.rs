//! Several networks in the whole machine: a bridge of two NICs, a guest LAN over a VLAN, and an uplink whose address
//! changes in the middle of a conversation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use netstack::frame::Frames;
use netstack::netlink::Netlink;
use qemu::bed::{Bed, ISP, NAME, PAGE, SERVER, WAN};
use qemu::child::PATIENCE;
use qemu::disk::Disk;
use qemu::namespace::Namespace;
use qemu::router::Router;
use qemu::step;
use qemu::switch::Port;
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use weir::machine::{LAN_MAC, Mac, Nic, UPLINK_MAC};

const SECOND: Mac = Mac([0x52, 0x54, 0x00, 0x77, 0x00, 0x03]);
const TRUNK: Mac = Mac([0x52, 0x54, 0x00, 0x77, 0x00, 0x04]);
/// The provider's first address after it has changed its mind.
const OTHER_WAN: &str = "203.0.113.70";

fn interfaces(bridge: &str) -> String {
    format!(
        r#"{{"interfaces":[{{"name":"uplink0","hardware_addr":"{UPLINK_MAC}"}},
        {{"name":"trunk","hardware_addr":"{TRUNK}"}},
        {{"name":"lan0","addr":"192.168.42.1/24"}},
        {{"name":"guest","parent":"trunk","vlan_id":20,"addr":"192.168.44.1/24","guest":true}}],
        "bridges":[{{"name":"lan0"{bridge},"interface_hardware_addrs":["{LAN_MAC}","{SECOND}"]}}]}}"#
    )
}

/// Whether a host gets an answer to a ping.
fn pings(host: &Namespace, address: &str) -> bool {
    let words = ["ping", "-c", "1", "-W", "2", address].map(str::to_owned);
    host.run(move || std::process::Command::new("busybox").args(words).output().unwrap().status.success())
}

/// Whether a host gets something from a URL.
fn loads(host: &Namespace, url: &str) -> Option<String> {
    let words = ["--silent", "--fail", "--max-time", "3", url].map(str::to_owned);
    let output = host.run(move || std::process::Command::new("curl").args(words).output().unwrap());
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// A packet socket at `eth0` of a host.
fn frames(host: &Namespace) -> Frames {
    host.run(|| {
        let links = Netlink::route().unwrap().links().unwrap();
        Frames::open(links.iter().find(|link| link.name == "eth0").unwrap().index).unwrap()
    })
}

/// A broadcast with these words behind its header, which has more in it than the type when it is tagged.
fn broadcast(header: &[u8], words: &[u8]) -> Vec<u8> {
    [&[0xff; 6][..], &[2, 0, 0, 0, 0, 9], header, words, &[0; 40]].concat()
}

/// Whether words have come before others that come in any case.
fn heard(frames: &Frames, words: &[u8], fence: &[u8]) -> bool {
    let has = |frame: &[u8], words: &[u8]| frame.windows(words.len()).any(|part| part == words);
    let (mut heard, mut buffer) = (false, [0; 2048]);
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "not even the untagged frame came");
        match frames.receive(&mut buffer).unwrap() {
            Some(length) if has(&buffer[..length], fence) => return heard,
            Some(length) => heard |= has(&buffer[..length], words),
            None => std::thread::yield_now(),
        }
    }
}

/// One turn of a conversation; the address under which the other end sees us.
fn turn(client: &UdpSocket, server: &UdpSocket) -> Option<String> {
    client.send(b"turn").ok()?;
    let (_, peer) = server.recv_from(&mut [0; 9]).ok()?;
    server.send_to(b"back", peer).ok()?;
    client.recv(&mut [0; 9]).ok()?;
    Some(peer.ip().to_string())
}

#[test]
fn a_bridge_a_guest_lan_over_a_vlan_and_a_conversation_over_a_change_of_address() {
    let bed = Bed::new();
    let isp = bed.serve_isp();
    let _page = bed.serve_page();
    let (office, guest) = (Namespace::new(), Namespace::new());
    bed.cable("second", &office, "eth0");
    let port = Port::new(&bed.folder, &guest, TRUNK, 20);
    let disk = Disk::copy(&bed.folder.0);
    disk.write("interfaces.json", interfaces("").as_bytes());
    for (host, address, router) in
        [(&office, "192.168.42.200/24", "192.168.42.1"), (&guest, "192.168.44.7/24", "192.168.44.1")]
    {
        host.ip(&format!("addr add {address} dev eth0"));
        host.ip(&format!("route add default via {router}"));
    }
    let mut router = Router::boot_with(&bed, &disk, |machine| {
        machine.nic(Nic::Tap { name: "second".into(), mac: SECOND }).nic(port.nic())
    });
    router.wait_ready();

    step("two NICs are one LAN");
    let (_client, lease) = bed.lease("laptop");
    let laptop = lease.split_whitespace().nth(1).unwrap().split('/').next().unwrap().to_owned();
    assert!(pings(&office, &laptop), "the bridge does not carry");
    router.command_until("addresses", |text| text.contains(WAN));
    let page = format!("http://{SERVER}/page");
    for host in [&bed.lan, &office, &guest] {
        assert_eq!(loads(host, &page).as_deref(), Some(PAGE));
    }

    step("guests reach the internet and names, and nothing else");
    let metrics = |address: &str| format!("http://{address}:8066/metrics");
    assert_eq!(guest.output("dig", &["@192.168.44.1", "+short", "+tries=5", NAME]).trim(), SERVER);
    assert!(pings(&guest, "192.168.44.1"));
    for (address, url) in [(&laptop, metrics("192.168.44.1")), (&"192.168.42.200".to_owned(), metrics("192.168.42.1"))]
    {
        assert!(!pings(&guest, address), "a guest reached {address}");
        assert_eq!(loads(&guest, &url), None, "a guest read {url}");
    }
    assert!(loads(&office, &metrics("192.168.42.1")).unwrap().contains(r#"weir_dropped_packets_total{cause="guest"}"#));

    step("what is refused is logged, with where it came from");
    let wan = format!("{WAN}:81").parse().unwrap();
    assert!(bed.isp.run(move || TcpStream::connect_timeout(&wan, Duration::from_millis(500))).is_err());
    router.command_until("log kernel", |text| {
        text.lines().any(|line| line.contains("refused: IN=uplink0") && line.contains("DPT=81"))
    });

    step("a bridge that keeps VLANs apart does not carry a strange tag; one that does not, does");
    let (from, to) = (frames(&office), frames(&bed.lan));
    let carries = |turn: u8| {
        from.send(&broadcast(&[0x81, 0, 0, 5, 0x88, 0xb5], &[b't', b'a', b'g', turn])).unwrap();
        from.send(&broadcast(&[0x88, 0xb5], &[b'b', b'a', b'r', b'e', turn])).unwrap();
        heard(&to, &[b't', b'a', b'g', turn], &[b'b', b'a', b'r', b'e', turn])
    };
    assert!(carries(1));
    let text = interfaces(r#","vlan_filtering":true"#).replace('\n', "\r");
    assert!(router.command(&format!("apply\rinterfaces.json\r{text}\r.\r")).contains("kept"));
    router.command_until("log netconfigd", |text| text.contains("VLAN filtering on"));
    assert!(!carries(2));
    assert_eq!(loads(&office, &page).as_deref(), Some(PAGE));

    step("a device that opens connections without end has its share, and others have theirs");
    let greedy = bed.lan.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    let beyond = |text: &str| {
        let line = text.lines().find(|line| line.starts_with(r#"weir_dropped_packets_total{cause="share"}"#)).unwrap();
        line.rsplit(' ').next().unwrap() != "0"
    };
    let deadline = Instant::now() + PATIENCE;
    let mut ports = (1..=u16::MAX).cycle();
    // While the router is at what it was sent, an answer may be late: it is asked for again.
    while !loads(&office, &metrics("192.168.42.1")).is_some_and(|text| beyond(&text)) {
        assert!(Instant::now() < deadline, "no share");
        for port in ports.by_ref().take(1_000) {
            // A port that nobody listens at is answered by an error, which the next send tells.
            let _ = greedy.send_to(b"x", (SERVER, port));
        }
    }
    while loads(&office, &page).as_deref() != Some(PAGE) {
        assert!(Instant::now() < deadline, "the others have no share");
    }
    drop(greedy);

    step("the provider gives another address in the middle of a conversation");
    let server = bed.isp.run(|| UdpSocket::bind((SERVER, 7_000))).unwrap();
    // The greedy one still holds what it has opened.
    let client = office.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    client.connect((SERVER, 7_000)).unwrap();
    for socket in [&client, &server] {
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    }
    // Long enough to have taken the fast path.
    for _ in 0..20 {
        assert_eq!(turn(&client, &server).as_deref(), Some(WAN));
    }
    drop(isp);
    let _isp = bed.serve_isp_with(OTHER_WAN, &[]);
    router.command("restart dhcp4");
    router.command_until("addresses", |text| text.contains(OTHER_WAN) && !text.contains(WAN));
    let deadline = Instant::now() + PATIENCE;
    while turn(&client, &server).as_deref() != Some(OTHER_WAN) {
        assert!(Instant::now() < deadline, "the conversation does not go on from the new address");
    }
    assert!(pings(&office, ISP));
}
