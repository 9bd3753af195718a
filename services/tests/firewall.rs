//! Who may reach whom: an internet, a LAN, an office, guests and the router, each a namespace, asked with real
//! connections. What was reached is what the listeners saw.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::house::{HOSTS, House, WEB, bound_to, exchange, pair};
use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};

#[test]
fn who_may_reach_whom() {
    let house = House::new("{}");
    let _netconfigd = house.start();
    for ((name, ..), host) in HOSTS.iter().zip(house.hosts()) {
        house.serve(host, name, WEB);
    }
    // The rows ask, the columns are asked; the router is asked at its uplink's address from the WAN, else at the LAN's.
    let wanted = ["-----", "W.OGR", "WL.GR", "W--.-", "WLOG."];
    let (mut table, mut expected) = (String::from("from      IPv4   IPv6\n"), BTreeSet::new());
    for (from, (asker, host)) in HOSTS.iter().zip(house.hosts()).enumerate() {
        let mut row = format!("{:<10}", asker.0);
        for family in [4, 6] {
            for (to, (asked, letter)) in HOSTS.iter().zip("WLOGR".chars()).enumerate() {
                if from == to {
                    row.push(if from == 0 { '-' } else { '.' });
                    continue;
                }
                let inner = |address: &str| address.rsplit_once([':', '.']).unwrap().0.to_owned();
                let mut address = if family == 4 { asked.1 } else { asked.2 }.to_owned();
                if asked.0 == "router" && from > 0 {
                    let own = if family == 4 { asker.1 } else { asker.2 };
                    address = format!("{}{}1", inner(own), if family == 4 { "." } else { ":" });
                }
                let open = wanted[from].contains(letter);
                let reached = if open {
                    house.hears(host, &address, WEB).starts_with(asked.0)
                } else {
                    house.reaches(host, &address, WEB)
                };
                row.push(if reached { letter } else { '-' });
                if open {
                    let masqueraded = family == 4 && asked.0 == "wan";
                    let own = if family == 4 { asker.1 } else { asker.2 };
                    let peer = match asker.0 {
                        _ if masqueraded => "203.0.113.9".to_owned(),
                        "router" if asked.0 != "wan" => {
                            let theirs = if family == 4 { asked.1 } else { asked.2 };
                            format!("{}{}1", inner(theirs), if family == 4 { "." } else { ":" })
                        }
                        _ => own.to_owned(),
                    };
                    expected.insert((asked.0.to_owned(), peer));
                }
            }
            row.push_str("  ");
        }
        table.push_str(row.trim_end());
        table.push('\n');
    }
    println!("{table}");
    for (row, wanted) in table.lines().skip(1).zip(wanted) {
        assert!(row.ends_with(&format!("{wanted}  {wanted}")), "{wanted} is wanted:\n{table}");
    }
    assert_eq!(*house.seen.lock().unwrap(), expected, "what the listeners saw");
    assert!(house.counter("drop_wan") >= 8 && house.counter("drop_guest") >= 4);

    // A guest asks the router for names, and may see that it is there.
    house.serve(&house.router, "names", 53);
    assert!(house.hears(&house.guest, "192.168.44.1", 53).starts_with("names"));
    house.guest.output("busybox", &["ping", "-c", "1", "-W", "60", "192.168.44.1"]);
    house.guest.output("busybox", &["ping", "-c", "1", "-W", "60", "2001:db8:44::1"]);
}

#[test]
fn sources_that_cannot_be_there_are_refused() {
    let house = House::new(r#"{"forwardings":[{"port":"80","dest_addr":"192.168.42.7","dest_port":"8080"}]}"#);
    let _netconfigd = house.start();
    house.serve(&house.lan, "lan", WEB);
    // From the internet: one of our own networks, and one that nobody has there. The control: the same from an honest
    // one arrives.
    for (at, source) in ["192.168.42.99", "10.1.2.3"].into_iter().enumerate() {
        house.wan.ip(&format!("addr add {source}/32 dev lo"));
        let address: SocketAddr = "203.0.113.9:80".parse().unwrap();
        let bound = house.wan.run(move || bound_to(source, address));
        assert!(bound.is_err(), "{source} was answered");
        assert!(house.counter("drop_spoofed") > at as u64, "{source}");
    }
    assert_eq!(house.hears(&house.wan, "203.0.113.9", 80), "lan 203.0.113.1");
    // From a LAN: another LAN's address.
    let before = house.counter("drop_spoofed");
    house.office.ip("addr add 192.168.42.50/32 dev lo");
    let address: SocketAddr = "203.0.113.1:8080".parse().unwrap();
    assert!(house.office.run(move || bound_to("192.168.42.50", address)).is_err());
    assert!(house.counter("drop_spoofed") > before);
}

const FORWARDINGS: &str = r#"{"forwardings":[
    {"port":"80","dest_addr":"192.168.42.7","dest_port":"8080"},
    {"port":"8000-8009","dest_addr":"192.168.42.7","dest_port":"9000-9009"},
    {"port":"7000-7009","dest_addr":"192.168.43.7","dest_port":"7000-7009","name":"kept"},
    {"port":"6000-6001","dest_addr":"192.168.42.7","dest_port":"8080"},
    {"proto":"tcp,udp","port":"5000","dest_addr":"192.168.42.7","dest_port":"5001"},
    {"port":"22","dest_addr":"192.168.42.7","dest_port":"8080","source":"203.0.113.128/25"},
    {"port":"81","device":"nas","dest_port":"8080"},
    {"port":"8005","dest_addr":"192.168.42.7","dest_port":"1"},
    {"port":"82","dest_addr":"198.51.100.1","dest_port":"1"},
    {"port":"83","device":"nobody"},{"port":"70000","dest_addr":"192.168.42.7"}],
    "pinholes":[{"port":"8080","suffix":"::7"},{"port":"9100-9200","suffix":"::7","source":"2001:db8:1::/64"},
    {"port":"1","suffix":"::7","lan":"nowhere"}]}"#;

fn nas(last: u8) -> String {
    format!(
        r#"[{{"num":1,"addr":"192.168.42.{last}","hardware_addr":"02:00:00:00:00:09","hostname":"NAS","expiry":"2199-01-01T00:00:00Z"}}]"#
    )
}

#[test]
fn forwardings_from_outside_from_inside_and_from_the_router() {
    let house = House::new(FORWARDINGS);
    house.root.write("/perm/dhcp4d/leases.json", nas(8));
    let mut netconfigd = house.start();
    common::ruleset::is(&house.router, "house");
    for words in [
        "forwardings[7].port: 8005-8005 overlaps with forwardings[1]",
        "forwardings[8].dest_addr: 198.51.100.1 is in no LAN",
        "forwardings[9].device: \"nobody\" has no lease",
        "pinholes[2].lan: \"nowhere\" is the name of no LAN",
    ] {
        assert!(netconfigd.lines().iter().any(|line| line.contains(words)), "{words}: {:#?}", netconfigd.lines());
    }
    for (host, name, port) in [
        (&house.lan, "web", WEB),
        (&house.lan, "moved", 9003),
        (&house.lan, "hole", 9150),
        (&house.office, "kept", 7005),
    ] {
        house.serve(host, name, port);
    }
    house.serve(&house.lan, "both", 5001);

    // From the internet, which stays visible to the LAN.
    for (port, wanted) in [(80, "web"), (8003, "moved"), (7005, "kept"), (6000, "web"), (6001, "web"), (5000, "both")] {
        assert_eq!(house.hears(&house.wan, "203.0.113.9", port), format!("{wanted} 203.0.113.1"));
    }
    let udp = house.lan.run(|| UdpSocket::bind("192.168.42.7:5001")).unwrap();
    let asker = house.wan.run(|| UdpSocket::bind("203.0.113.1:0")).unwrap();
    asker.send_to(b"udp", "203.0.113.9:5000").unwrap();
    udp.set_read_timeout(Some(common::PATIENCE)).unwrap();
    assert_eq!(udp.recv_from(&mut [0; 9]).unwrap().1.ip().to_string(), "203.0.113.1");

    // From the same LAN, from another, from guests, from the router itself.
    assert_eq!(house.hears(&house.lan, "203.0.113.9", 80), "web 192.168.42.1", "answers must come back through us");
    assert_eq!(house.hears(&house.office, "203.0.113.9", 80), "web 192.168.43.7");
    assert_eq!(house.hears(&house.guest, "203.0.113.9", 80), "web 192.168.44.7");
    assert_eq!(house.hears(&house.router, "203.0.113.9", 80), "web 203.0.113.9");
    // The router's own addresses in the LANs are its own.
    assert!(!house.reaches(&house.lan, "192.168.42.1", 80));

    // Bound to a source; other ports; a refused entry does not open anything.
    let address: SocketAddr = "203.0.113.9:22".parse().unwrap();
    house.wan.run(move || bound_to("203.0.113.200", address)).unwrap();
    assert!(house.wan.run(move || bound_to("203.0.113.1", address)).is_err());
    for port in [8080, 79, 81, 82, 83] {
        assert!(!house.reaches(&house.wan, "203.0.113.9", port), "{port}");
    }

    // Pinholes.
    assert_eq!(house.hears(&house.wan, "2001:db8:a::7", WEB), "web 2001:db8:1::1");
    assert_eq!(house.hears(&house.wan, "2001:db8:a::7", 9150), "hole 2001:db8:1::1");
    assert!(!house.reaches(&house.wan, "2001:db8:a::7", 9003));
    assert!(!house.reaches(&house.wan, "2001:db8:43::7", 7005));

    // The device gets another address: the next connection finds it there.
    house.root.write("/perm/dhcp4d/leases.json", nas(7));
    netconfigd.signal("USR1");
    netconfigd.wait_for("ruleset replaced");
    assert_eq!(house.hears(&house.wan, "203.0.113.9", 81), "web 203.0.113.1");
}

#[test]
fn many_forwardings_are_applied_at_once() {
    let house = House::new("{}");
    let mut netconfigd = house.start();
    let mut apply = |count: u32| {
        let entry =
            |at: u32| format!(r#"{{"port":"{}","dest_addr":"192.168.42.7","dest_port":"8080"}}"#, 1_000 + at * 2);
        let entries: Vec<String> = (0..count).map(entry).collect();
        house.root.write("/perm/portforwardings.json", format!(r#"{{"forwardings":[{}]}}"#, entries.join(",")));
        let before = netconfigd.cpu_micros();
        netconfigd.signal("USR1");
        netconfigd.wait_for(&format!("port forwardings: {count}"));
        netconfigd.cpu_micros() - before
    };
    apply(1);
    let (thousand, ten_thousand) = (apply(1_000), apply(10_000));
    println!("1,000 forwardings: {thousand} us of processor time; 10,000: {ten_thousand} us");
    assert!(thousand <= 100_000, "{thousand}");
    house.serve(&house.lan, "web", WEB);
    assert_eq!(house.hears(&house.wan, "203.0.113.9", 1_000), "web 203.0.113.1");
    assert_eq!(house.hears(&house.wan, "203.0.113.9", 20_998), "web 203.0.113.1");
}

#[test]
fn flows_end_with_the_address_and_with_the_way_that_let_them_in() {
    let one = r#"{"port":"5000","proto":"udp","dest_addr":"192.168.42.7"}"#;
    let two = r#"{"port":"5001","proto":"udp","dest_addr":"192.168.42.7"}"#;
    let hole = r#""pinholes":[{"port":"5002","proto":"udp","suffix":"::7"}]"#;
    let house = House::new(&format!(r#"{{"forwardings":[{one},{two}],{hole}}}"#));
    let mut netconfigd = house.start();
    let out = pair(&house.lan, &house.wan, "203.0.113.1:4000", "203.0.113.1:4000");
    let inside = pair(&house.lan, &house.office, "192.168.43.7:4001", "192.168.43.7:4001");
    let first = pair(&house.wan, &house.lan, "203.0.113.9:5000", "192.168.42.7:5000");
    let second = pair(&house.wan, &house.lan, "203.0.113.9:5001", "192.168.42.7:5001");
    let third = pair(&house.wan, &house.lan, "[2001:db8:a::7]:5002", "[2001:db8:a::7]:5002");
    for (client, server) in [&out, &inside, &first, &second, &third] {
        exchange(client, server);
    }
    let flows = || house.flows();
    let to = |port: u16| flows().iter().filter(|flow| flow.original.destination.port() == port).count();
    assert_eq!([4000, 4001, 5000, 5001, 5002].map(to), [1; 5]);

    // A way is closed: who came by it is out, everybody else stays.
    house.root.write("/perm/portforwardings.json", format!(r#"{{"forwardings":[{two}]}}"#));
    netconfigd.signal("USR1");
    netconfigd.wait_for("2 connections ended");
    assert_eq!([4000, 4001, 5000, 5001, 5002].map(to), [1, 1, 0, 1, 0]);
    first.0.send(b"late").unwrap();
    exchange(&second.0, &second.1);
    first.1.set_nonblocking(true).unwrap();
    assert!(first.1.recv(&mut [0; 9]).is_err(), "a connection outlives its forwarding");

    // The uplink gets another address: what carried the old one goes, and only that.
    assert_eq!(exchange(&out.0, &out.1), "203.0.113.9");
    let before = flows().into_iter().find(|flow| flow.original.destination.port() == 4001).unwrap();
    let text = house.root.read("/perm/interfaces.json").replace("203.0.113.9/24", "203.0.113.10/24");
    house.root.write("/perm/interfaces.json", text);
    house.wan.ip("route replace 192.168.0.0/16 via 203.0.113.10");
    netconfigd.signal("USR1");
    netconfigd.wait_for("connections of 203.0.113.9 forgotten");
    let old = "203.0.113.9".parse().unwrap();
    assert!(flows().iter().all(|flow| !flow.carries(old)), "{:?}", flows());
    assert!(flows().iter().any(|flow| flow.id == before.id), "an innocent flow was forgotten");
    assert_eq!(exchange(&out.0, &out.1), "203.0.113.10", "a long flow goes on from the new address");
    exchange(&inside.0, &inside.1);
}

#[test]
fn a_device_is_found_in_the_table_of_devices_and_followed_when_it_moves() {
    let house =
        House::new(r#"{"forwardings":[{"port":"8080","device":"nas"}],"pinholes":[{"port":"8080","device":"nas"}]}"#);
    let table = |ipv4: &str, ipv6: &str| {
        format!(
            r#"{{"devices":[{{"hardware_addr":"02:00:5e:00:00:07","name":"nas","interface":"lan0",
            "ipv4":["{ipv4}"],"ipv6":["{ipv6}"]}}]}}"#
        )
    };
    // Elsewhere at first; the leases know nothing of it.
    house.root.write("/run/deviced/devices.json", table("192.168.42.9", "fe80::9"));
    house.serve(&house.lan, "lan", WEB);
    let mut netconfigd = house.start();
    assert!(!house.reaches(&house.wan, "203.0.113.9", WEB) && !house.reaches(&house.wan, "2001:db8:a::7", WEB));
    house.root.write("/run/deviced/devices.json", table("192.168.42.7", "2001:db8:a::7"));
    netconfigd.signal("USR1");
    netconfigd.wait_for("port forwardings: 1; pinholes: 2");
    assert_eq!(house.hears(&house.wan, "203.0.113.9", WEB), "lan 203.0.113.1");
    assert_eq!(house.hears(&house.wan, "2001:db8:a::7", WEB), "lan 2001:db8:1::1");
    // A table of rubbish is said.
    house.root.write("/run/deviced/devices.json", "{");
    netconfigd.signal("USR1");
    let line = netconfigd.wait_for("devices.json:1:");
    assert!(line.contains("no forwarding and no rule finds its device"), "{line}");
}
