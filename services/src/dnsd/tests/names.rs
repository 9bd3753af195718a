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
