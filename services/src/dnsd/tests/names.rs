//! The names of the house and the zones that stay in it.
use super::*;

fn house() -> World {
    let mut world = World::new(&["10.0.0.1"]);
    world.configure(&["10.0.0.1"], &[("gate", 1, None), ("Xps", 4, Some(2_000)), ("com", 9, None)]);
    world
}

fn local(world: &mut World, name: &str, rtype: Rtype) -> Answer {
    let answer = world.query(&ask(name, rtype)).unwrap_or_else(|| panic!("{name} {rtype} was asked outside"));
    assert!(answer.header().aa());
    assert_eq!(answer.opt().unwrap().udp_payload_size(), 1_232);
    answer
}

#[test]
fn machines_answer_bare_and_in_lan() {
    let mut world = house();
    for name in ["xps", "XPS.lan", "xps.LAN"] {
        let answer = local(&mut world, name, Rtype::A);
        assert_eq!(records(&answer)[0], [format!("{name} 60 192.168.42.4")]);
    }
    assert_eq!(addresses(&local(&mut world, "gate", Rtype::A)), [(1, 60)]);
    let plain = world.query(&ask("xps", Rtype::A).edns(None)).unwrap();
    assert!(plain.opt().is_none());
    assert!(world.asked.is_empty());
}

#[test]
fn a_known_name_without_the_type_is_nodata_and_an_unknown_one_nxdomain() {
    let mut world = house();
    for rtype in [Rtype::AAAA, Rtype::MX, Rtype::TXT, Rtype::SRV, Rtype::HTTPS] {
        for (name, zone) in [("xps.lan", "lan"), ("xps", "xps"), ("lan", "lan"), ("www.localhost", "localhost")] {
            if (name, rtype) == ("www.localhost", Rtype::AAAA) {
                continue;
            }
            let answer = local(&mut world, name, rtype);
            assert_eq!(rcode(&answer), Rcode::NOERROR, "{name} {rtype}");
            let [none, soa, _] = records(&answer);
            assert!(none.is_empty() && soa[0].starts_with(&format!("{zone} ")), "{name}: {soa:?}");
        }
    }
    for name in ["nobody.lan", "a.xps.lan", "x.local", "x.test", "y.invalid", "a.home.arpa", "z.onion"] {
        let answer = local(&mut world, name, Rtype::A);
        assert_eq!(rcode(&answer), Rcode::NXDOMAIN, "{name}");
        assert_eq!(records(&answer)[1].len(), 1, "{name} has its SOA");
    }
    assert_eq!(records(&local(&mut world, "lan", Rtype::SOA))[0].len(), 1);
    assert_eq!(records(&local(&mut world, "lan", Rtype::NS))[0].len(), 1);
}

#[test]
fn localhost_is_here() {
    let mut world = house();
    for name in ["localhost", "a.b.LocalHost"] {
        assert!(records(&local(&mut world, name, Rtype::A))[0][0].ends_with("127.0.0.1"));
        assert!(records(&local(&mut world, name, Rtype::AAAA))[0][0].ends_with("::1"));
    }
    let answer = local(&mut world, "1.0.0.127.in-addr.arpa", Rtype::PTR);
    assert!(records(&answer)[0][0].ends_with("localhost."));
}

#[test]
fn addresses_have_names_and_private_ones_never_leave() {
    let mut world = house();
    let answer = local(&mut world, "4.42.168.192.in-addr.arpa", Rtype::PTR);
    assert_eq!(records(&answer)[0], ["4.42.168.192.in-addr.arpa 60 Xps.lan."]);
    assert_eq!(rcode(&local(&mut world, "4.42.168.192.in-addr.arpa", Rtype::TXT)), Rcode::NOERROR);
    for name in
        ["5.42.168.192.in-addr.arpa", "1.0.0.10.in-addr.arpa", "1.1.254.169.in-addr.arpa", "1.1.64.100.in-addr.arpa"]
    {
        assert_eq!(rcode(&local(&mut world, name, Rtype::PTR)), Rcode::NXDOMAIN, "{name}");
    }
    let ula = format!("{}d.f.ip6.arpa", "0.".repeat(30));
    assert_eq!(rcode(&local(&mut world, &ula, Rtype::PTR)), Rcode::NXDOMAIN);
    assert_eq!(rcode(&local(&mut world, "42.168.192.in-addr.arpa", Rtype::PTR)), Rcode::NOERROR);
    assert!(world.asked.is_empty());
    assert!(world.query(&ask("8.8.8.8.in-addr.arpa", Rtype::PTR)).is_none());
    assert!(world.query(&ask("168.192.in-addr.arpa", Rtype::DS)).is_none(), "the parent's to answer");
}

#[test]
fn a_machine_cannot_take_over_a_zone() {
    let mut world = house();
    assert_eq!(addresses(&local(&mut world, "com", Rtype::A)), [(9, 60)]);
    let outside = [
        ("example.com", Rtype::A),
        ("com", Rtype::NS),
        ("com", Rtype::DS),
        ("com", Rtype::DNSKEY),
        ("com", Rtype::SOA),
        ("www.xps", Rtype::A),
    ];
    for (name, rtype) in outside {
        assert!(world.query(&ask(name, rtype)).is_none(), "{name} {rtype}");
    }
    assert_eq!(world.asked.len(), outside.len());
}

#[test]
fn names_end_with_their_lease_and_come_with_a_new_one() {
    let mut world = house();
    world.seconds(999);
    assert_eq!(addresses(&local(&mut world, "xps.lan", Rtype::A)), [(4, 60)]);
    world.seconds(1);
    assert_eq!(rcode(&local(&mut world, "xps.lan", Rtype::A)), Rcode::NXDOMAIN);
    assert_eq!(rcode(&local(&mut world, "4.42.168.192.in-addr.arpa", Rtype::PTR)), Rcode::NXDOMAIN);
    assert!(world.query(&ask("xps", Rtype::A)).is_none());
    world.configure(&["10.0.0.1"], &[("xps", 5, None), ("xps", 6, None)]);
    assert_eq!(addresses(&local(&mut world, "xps.lan", Rtype::A)), [(5, 60)], "the first holds");
    assert_eq!(rcode(&local(&mut world, "gate.lan", Rtype::A)), Rcode::NXDOMAIN);
}

#[test]
fn every_address_of_a_machine_is_told_both_ways() {
    let mut world = house();
    let host = Host {
        name: "Camera".into(),
        domain: "guest.lan".into(),
        addresses: ["192.168.44.9", "2001:db8::9", "fd00::9"].map(|ip| ip.parse().unwrap()).to_vec(),
        bare: true,
        ..Host::default()
    };
    let settings = Settings { hosts: vec![host], domains: vec!["guest.lan".into()], ..Settings::default() };
    world.settings(settings);
    for name in ["camera", "camera.lan", "CAMERA.guest.lan"] {
        assert_eq!(records(&local(&mut world, name, Rtype::A))[0].len(), 1, "{name}");
        assert_eq!(records(&local(&mut world, name, Rtype::AAAA))[0].len(), 2, "{name}");
        assert_eq!(records(&local(&mut world, name, Rtype::ANY))[0].len(), 3, "{name}");
    }
    let nibbles: String =
        format!("{:032x}", 0x2001_0db8_u128 << 96 | 9).chars().rev().map(|c| format!("{c}.")).collect();
    let answer = local(&mut world, &format!("{nibbles}ip6.arpa"), Rtype::PTR);
    assert!(records(&answer)[0][0].ends_with("Camera.guest.lan."), "a public address has its name, too");
    let answer = local(&mut world, "nobody.guest.lan", Rtype::A);
    assert_eq!(rcode(&answer), Rcode::NXDOMAIN);
    assert!(records(&answer)[1][0].starts_with("guest.lan "));
    assert_eq!(records(&local(&mut world, "guest.lan", Rtype::SOA))[0].len(), 1);
}

#[test]
fn names_below_names_and_whole_names_are_fixed() {
    use crate::dnsd::engine::local::Subname;
    let mut world = house();
    let host = |name: &str, by_hand| Host {
        name: name.into(),
        addresses: vec!["192.168.42.4".parse().unwrap()],
        bare: true,
        by_hand,
        ..Host::default()
    };
    let sub = |host: &str, name: &str, ip: &str| Subname {
        host: host.into(),
        name: name.into(),
        address: ip.parse().unwrap(),
    };
    world.settings(Settings {
        groups: vec![group("", &["10.0.0.1"])],
        hosts: vec![host("xps", true), host("com", false)],
        subnames: vec![
            sub("xps", "www", "192.168.42.80"),
            sub("xps", "six", "fd00::80"),
            sub("com", "google", "192.168.42.4"),
        ],
        fixed: vec![
            ("cloud.example.org".into(), vec!["192.168.42.5".parse().unwrap()]),
            ("a.b.lan".into(), vec!["192.168.42.6".parse().unwrap()]),
        ],
        ..Settings::default()
    });
    for name in ["www.xps.lan", "WWW.xps"] {
        assert_eq!(addresses(&local(&mut world, name, Rtype::A)), [(80, 60)]);
        assert_eq!(rcode(&local(&mut world, name, Rtype::AAAA)), Rcode::NOERROR);
    }
    assert_eq!(records(&local(&mut world, "six.xps.lan", Rtype::AAAA))[0].len(), 1);
    assert_eq!(addresses(&local(&mut world, "google.com.lan", Rtype::A)), [(4, 60)]);
    assert!(world.query(&ask("google.com", Rtype::A)).is_none(), "a name that a client gave itself is no zone");
    assert_eq!(addresses(&local(&mut world, "cloud.example.org", Rtype::A)), [(5, 60)]);
    assert_eq!(rcode(&local(&mut world, "cloud.example.org", Rtype::HTTPS)), Rcode::NOERROR);
    assert!(world.query(&ask("www.example.org", Rtype::A)).is_none());
    assert_eq!(addresses(&local(&mut world, "a.b.lan", Rtype::A)), [(6, 60)]);
    assert_eq!(rcode(&local(&mut world, "b.lan", Rtype::A)), Rcode::NOERROR, "something is below it");
    assert_eq!(rcode(&local(&mut world, "c.lan", Rtype::A)), Rcode::NXDOMAIN);
}
