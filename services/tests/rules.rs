//! A person's own rules (firewall.json), asked with real connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::house::{House, WEB, bound_to, exchange, pair};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

const FIREWALL: &str = "/perm/firewall.json";
/// Rules that hold at any time, one or two for each direction.
const RULES: &str = r#"{"rules":[
    {"name":"no-web","action":"refuse","address":"192.168.42.7","port":"8080"},
    {"name":"tablet","action":"refuse","device":"tablet"},
    {"name":"print","action":"allow","direction":"across","lan":"guest","remote":"192.168.42.7","port":"8080-8081"},
    {"name":"office6","action":"allow","direction":"in","suffix":"::7","lan":"office","port":"8080","proto":"tcp,udp"},
    {"name":"bad-net","action":"refuse","direction":"in","remote":"203.0.113.128/25"},
    {"name":"no-admin","action":"refuse","direction":"router","lan":"office"},
    {"name":"nobody","action":"refuse","device":"nobody"},
    {"name":"nowhere","action":"refuse","lan":"lan7"},
    {"name":"misspelt","action":"refuse","prot":"udp"}]}"#;

/// How a connection fails that the router refuses to somebody at home: at once, not by silence.
fn is_told(house: &common::Namespace, address: &str) -> bool {
    let address: SocketAddr = address.parse().unwrap();
    let error = house.run(move || TcpStream::connect_timeout(&address, common::PATIENCE)).unwrap_err();
    matches!(error.kind(), ErrorKind::HostUnreachable | ErrorKind::PermissionDenied)
}

/// A device's lease: its hardware address is what counts.
fn tablet(mac: &str) -> String {
    let lease = r#""num":1,"hostname":"Tablet","expiry":"2199-01-01T00:00:00Z""#;
    format!(r#"[{{"addr":"192.168.43.99","hardware_addr":"{mac}",{lease}}}]"#)
}

#[test]
fn rules_of_every_direction() {
    let house = House::new(r#"{"forwardings":[{"port":"80","dest_addr":"192.168.42.7","dest_port":"8080"}]}"#);
    house.root.write(FIREWALL, RULES);
    let mac = house.office.run(|| std::fs::read_to_string("/sys/class/net/eth0/address")).unwrap();
    house.office.ip("link set eth0 address 02:00:00:00:43:07");
    assert_ne!(mac.trim(), "02:00:00:00:43:07");
    house.root.write("/perm/dhcp4d/leases.json", tablet("02:00:00:00:43:07"));
    let netconfigd = house.start();
    common::ruleset::is(&house.router, "rules");
    for words in [
        r#"firewall.json: rules[6] (nobody).device: "nobody" has no lease"#,
        r#"firewall.json: rules[7] (nowhere).lan: "lan7" is the name of no LAN"#,
        "firewall.json:10:49: rules[8].prot: unknown field `prot`",
    ] {
        assert!(netconfigd.lines().iter().any(|line| line.contains(words)), "{words}: {:#?}", netconfigd.lines());
    }
    for (host, name) in [(&house.wan, "wan"), (&house.lan, "lan"), (&house.office, "office"), (&house.router, "router")]
    {
        house.serve(host, name, WEB);
    }
    house.serve(&house.wan, "wan", 8081);
    house.serve(&house.lan, "lan", 8081);
    house.serve(&house.router, "names", 53);

    // Out: by address and port; by device, whatever its address is.
    assert!(is_told(&house.lan, "203.0.113.1:8080"));
    assert!(house.hears(&house.lan, "203.0.113.1", 8081).starts_with("wan"));
    assert!(house.hears(&house.lan, "2001:db8:1::1", WEB).starts_with("wan"), "the rule names an IPv4 address");
    assert!(is_told(&house.office, "203.0.113.1:8081") && is_told(&house.office, "[2001:db8:1::1]:8081"));
    assert!(house.hears(&house.office, "192.168.42.7", 8081).starts_with("lan"), "only the internet is refused");

    // Across: a guest may do what the rule says, and no more.
    assert!(house.hears(&house.guest, "192.168.42.7", WEB).starts_with("lan"));
    assert!(!house.reaches(&house.guest, "192.168.43.7", WEB) && !house.reaches(&house.guest, "2001:db8:a::7", WEB));

    // In: opened for a suffix; refused before a forwarding.
    assert!(house.hears(&house.wan, "2001:db8:43::7", WEB).starts_with("office"));
    assert!(!house.reaches(&house.wan, "2001:db8:a::7", WEB), "another LAN's host of that suffix");
    assert!(house.hears(&house.wan, "203.0.113.9", 80).starts_with("lan"));
    let address: SocketAddr = "203.0.113.9:80".parse().unwrap();
    assert!(house.wan.run(move || bound_to("203.0.113.200", address)).is_err());

    // The router: closed to the office but for what one cannot do without.
    assert!(is_told(&house.office, "192.168.43.1:8080") && is_told(&house.office, "[2001:db8:43::1]:8080"));
    assert!(house.hears(&house.office, "192.168.43.1", 53).starts_with("names"));
    house.office.output("busybox", &["ping", "-c", "1", "-W", "60", "192.168.43.1"]);
    assert!(house.hears(&house.lan, "192.168.42.1", WEB).starts_with("router"));

    for (name, least) in
        [("no-web", 1), ("tablet", 2), ("print", 1), ("office6", 1), ("bad-net", 1), ("no-admin", 2), ("nobody", 0)]
    {
        let counted = house.counter(&format!("rule_{name}"));
        assert!(counted >= least && (least > 0 || counted == 0), "{name}: {counted}");
    }
}

#[test]
fn a_rule_that_comes_into_force_ends_exactly_what_it_refuses() {
    let night = |hours: &str| {
        format!(
            r#"{{"rules":[
            {{"name":"games","action":"refuse","port":"4001","proto":"udp","schedule":{{{hours}}}}},
            {{"name":"tablet","action":"refuse","device":"02:00:00:00:43:07","schedule":{{{hours}}}}}]}}"#
        )
    };
    // A day is split in two halves, whenever this runs: the zone decides which of them it is.
    let (now, never) = (r#""from":"00:00","to":"12:00""#, r#""from":"12:00","to":"24:00""#);
    let house = House::new("{}");
    house.office.ip("link set eth0 address 02:00:00:00:43:07");
    house.root.write(FIREWALL, night(never));
    house.root.write("/perm/time.json", morning());
    let mut netconfigd = house.start();
    let play = pair(&house.lan, &house.wan, "203.0.113.1:4001", "203.0.113.1:4001");
    let work = pair(&house.lan, &house.wan, "203.0.113.1:4000", "203.0.113.1:4000");
    let tablet4 = pair(&house.office, &house.wan, "203.0.113.1:4002", "203.0.113.1:4002");
    let tablet6 = pair(&house.office, &house.wan, "[2001:db8:1::1]:4003", "[2001:db8:1::1]:4003");
    let inside = pair(&house.office, &house.lan, "192.168.42.7:4004", "192.168.42.7:4004");
    for (client, server) in [&play, &work, &tablet4, &tablet6, &inside] {
        exchange(client, server);
    }
    let flows = || house.flows();
    let to = |port: u16| flows().iter().filter(|flow| flow.original.destination.port() == port).count();
    assert_eq!([4000, 4001, 4002, 4003, 4004].map(to), [1; 5]);
    let before = flows().into_iter().find(|flow| flow.original.destination.port() == 4000).unwrap();

    house.root.write(FIREWALL, night(now));
    netconfigd.signal("USR1");
    netconfigd.wait_for("3 connections ended");
    assert_eq!([4000, 4001, 4002, 4003, 4004].map(to), [1, 0, 0, 0, 1]);
    assert!(flows().iter().any(|flow| flow.id == before.id), "an innocent flow was forgotten");
    exchange(&work.0, &work.1);
    exchange(&inside.0, &inside.1);
    // What is refused is told, and stays out.
    play.0.set_read_timeout(Some(common::PATIENCE)).unwrap();
    let _ = play.0.send(b"late");
    assert!(play.0.recv(&mut [0; 9]).is_err(), "refused by an ICMP error");
    play.1.set_nonblocking(true).unwrap();
    assert!(play.1.recv(&mut [0; 9]).is_err(), "a connection outlives the rule");

    // A restart knows nothing of what was before: what the rules refuse ends nevertheless.
    netconfigd.signal("TERM");
    netconfigd.wait();
    house.root.write(FIREWALL, r#"{"rules":[{"name":"work","action":"refuse","port":"4000","proto":"udp"}]}"#);
    let mut netconfigd = house.router_service();
    netconfigd.wait_for("1 connections ended");
    assert_eq!([4000, 4004].map(to), [0, 1]);

    // A LAN becomes a guests': what it has open with other LANs ends.
    let text = house.root.read("/perm/interfaces.json");
    let text = text.replace(r#""extra_addrs":["2001:db8:43::1/64"],"guest":false"#, r#""guest":true"#);
    house.root.write("/perm/interfaces.json", text);
    netconfigd.signal("USR1");
    netconfigd.wait_for("1 connections ended");
    assert_eq!(to(4004), 0);
}

/// A zone in which it is morning now, for at least an hour to come.
fn morning() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let hour = now / 3_600 % 24;
    // POSIX counts westwards: five o'clock is so many hours from UTC.
    let west = (hour + 24 - 5) % 24;
    format!(r#"{{"zone":"<HERE>{west}"}}"#)
}
