//! Scenarios of the uplink: delegated prefixes, addresses of its own, options of the lease, fixed addresses, a VLAN.
use super::*;
use crate::netconfigd::engine::Firewall;
use crate::perm::lease4::Route as LeaseRoute;

fn two_nics() -> Found {
    kernel(vec![nic(2, "uplink0", pci(3)), nic(3, "lan0", pci(4))])
}

fn with(delegations: &[(&str, bool)]) -> Wanted {
    let delegations = delegations.iter().map(|(net, valid)| (net.parse().unwrap(), *valid)).collect();
    let ipv6 = Ipv6 { delegations, local: vec!["fd12:3456:789a::/48".parse().unwrap()], ..Ipv6::default() };
    Wanted { ipv6: Some(ipv6), ..defaults() }
}

const SITE: &str = "unreachable fc00::/7 dev 1";

fn routes(found: &Found) -> Vec<String> {
    let words = |route: &Route| {
        let kind = if route.unreachable { "unreachable " } else { "" };
        let via = route.gateway.map_or_else(String::new, |gateway| format!(" via {gateway}"));
        format!("{kind}{}{via} dev {}", route.destination, route.index)
    };
    found.routes.iter().map(words).collect()
}

#[test]
fn a_delegation_gives_addresses_a_route_and_a_way_out() {
    let mut found = two_nics();
    settle(&with(&[("2001:db8:a::/56", true)]), &mut found);
    assert_eq!(nets(&found, 3), ["192.168.42.1/24", "2001:db8:a::1/64", "fd12:3456:789a::1/64"]);
    assert_eq!(routes(&found), ["unreachable 2001:db8:a::/56 dev 1", SITE]);
    let inside = &found.firewall.as_ref().unwrap().inside;
    assert_eq!(*inside, ["2001:db8:a::/56".parse().unwrap()], "our own prefix never leaves");
}

#[test]
fn a_provider_may_delegate_what_is_unique_to_its_site() {
    let mut found = two_nics();
    settle(&with(&[("fd77::/56", true)]), &mut found);
    assert_eq!(routes(&found), ["unreachable fd77::/56 dev 1"]);
}

#[test]
fn another_prefix_replaces_the_old_one_in_one_pass() {
    let mut found = two_nics();
    settle(&with(&[("2001:db8:a::/56", true)]), &mut found);
    let pass = settle(&with(&[("2001:db8:b::/60", true)]), &mut found);
    assert_eq!(nets(&found, 3), ["192.168.42.1/24", "fd12:3456:789a::1/64", "2001:db8:b::1/64"]);
    assert_eq!(routes(&found), [SITE, "unreachable 2001:db8:b::/60 dev 1"]);
    let kinds = pass.actions.iter().map(|action| match action {
        Action::Firewall(_) => 'f',
        Action::AddAddress(_) => 'a',
        Action::AddRoute(_) => 'r',
        Action::DeleteRoute(_) => 'R',
        Action::DeleteAddress { .. } => 'A',
        _ => '?',
    });
    assert_eq!(kinds.collect::<String>(), "farRA", "{:#?}", pass.actions);
}

#[test]
fn a_prefix_that_ran_out_keeps_its_address_but_nothing_leaves_from_it() {
    let mut found = two_nics();
    settle(&with(&[("2001:db8:a::/56", true)]), &mut found);
    let pass = settle(&with(&[("2001:db8:a::/56", false)]), &mut found);
    assert_eq!(pass.actions.len(), 2, "the ruleset and the address's attribute: {:#?}", pass.actions);
    let address = found.addresses.iter().find(|address| address.net.to_string() == "2001:db8:a::1/64").unwrap();
    assert!(address.deprecated);
    assert!(found.firewall.as_ref().unwrap().inside.is_empty());
    settle(&with(&[("2001:db8:a::/56", true)]), &mut found);
    assert!(found.addresses.iter().all(|address| !address.deprecated));
}

#[test]
fn hosts_that_may_still_hold_a_prefix_can_be_told() {
    let mut found = two_nics();
    settle(&with(&[("2001:db8:a::/56", true)]), &mut found);
    let mut wanted = with(&[("2001:db8:b::/56", true)]);
    let announced = ["2001:db8:a::/64", "2001:db8:b::/64"].map(|net| ("lan0".to_owned(), net.parse().unwrap()));
    wanted.ipv6.as_mut().unwrap().announced = announced.to_vec();
    settle(&wanted, &mut found);
    assert_eq!(routes(&found), [SITE, "2001:db8:a::/64 dev 3", "unreachable 2001:db8:b::/56 dev 1"]);
    wanted.ipv6.as_mut().unwrap().announced.clear();
    settle(&wanted, &mut found);
    assert_eq!(routes(&found), [SITE, "unreachable 2001:db8:b::/56 dev 1"]);
}

#[test]
fn an_unchanged_renewal_changes_nothing_and_an_unreadable_one_neither() {
    let mut found = two_nics();
    let mut wanted = with(&[("2001:db8:a::/56", true)]);
    settle(&wanted, &mut found);
    assert_eq!(plan(&wanted, &found).actions, []);
    wanted.ipv6 = None;
    // The ruleset cannot vouch for a prefix that it does not know; addresses and routes stay.
    let actions = plan(&wanted, &found).actions;
    assert!(matches!(actions[..], [Action::Firewall(_)]), "{actions:#?}");
}

#[test]
fn addresses_of_others_stay() {
    let mut found = two_nics();
    let foreign = Address::new(3, "2001:db8:ffff::9/64".parse().unwrap(), 0);
    found.addresses.push(foreign.clone());
    settle(&with(&[("2001:db8:a::/56", true)]), &mut found);
    settle(&with(&[]), &mut found);
    assert_eq!(nets(&found, 3), ["2001:db8:ffff::9/64", "192.168.42.1/24", "fd12:3456:789a::1/64"]);
    assert_eq!(routes(&found), [SITE]);
}

#[test]
fn a_64_goes_to_lan0_alone_and_needs_no_unreachable_route() {
    let text = r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","hardware_addr":"02:00:00:00:00:03"},
        {"name":"guest","hardware_addr":"02:00:00:00:00:04"}]}"#;
    let nics = || kernel(vec![nic(2, "eth0", pci(3)), nic(3, "eth1", pci(4)), nic(4, "eth2", pci(5))]);
    let mut found = nics();
    let small = Wanted { interfaces: file(text).interfaces, ..with(&[("2001:db8:a::/64", true)]) };
    settle(&small, &mut found);
    assert_eq!(nets(&found, 3), ["2001:db8:a::1/64", "fd12:3456:789a::1/64"]);
    assert_eq!(nets(&found, 4).len(), 1, "of our own prefix");
    assert_eq!(routes(&found), [SITE]);
    let large = Wanted { interfaces: file(text).interfaces, ..with(&[("2001:db8:a::/56", true)]) };
    let mut found = nics();
    settle(&large, &mut found);
    assert_eq!((nets(&found, 3).len(), nets(&found, 4).len()), (2, 2));
    assert_ne!(nets(&found, 3)[0], nets(&found, 4)[0]);
}

#[test]
fn the_uplinks_own_address_is_deprecated_in_time_and_replaced() {
    let own = |address: &str, preferred| {
        let addresses = vec![(address.parse().unwrap(), preferred)];
        Wanted { ipv6: Some(Ipv6 { addresses, ..Ipv6::default() }), ..defaults() }
    };
    let mut found = two_nics();
    settle(&own("2001:db8::9", true), &mut found);
    assert_eq!(nets(&found, 2), ["2001:db8::9/128"]);
    settle(&own("2001:db8::9", false), &mut found);
    assert!(found.addresses.iter().any(|address| address.index == 2 && address.deprecated));
    settle(&own("2001:db8::10", true), &mut found);
    assert_eq!(nets(&found, 2), ["2001:db8::10/128"]);
}

#[test]
fn options_of_the_lease_become_routes_and_an_mtu() {
    let mut wanted = defaults();
    wanted.lease = lease([10, 0, 0, 9], 24, Some([10, 0, 0, 1]));
    let held = wanted.lease.as_mut().unwrap();
    held.mtu = Some(1492);
    let route = |net: &str, gateway: [u8; 4]| LeaseRoute { destination: net.parse().unwrap(), gateway: gateway.into() };
    held.routes = vec![
        route("172.16.0.0/12", [10, 0, 0, 2]),
        route("10.9.0.0/16", [0; 4]),
        route("192.0.2.0/24", [100, 64, 0, 1]),
    ];
    let mut found = two_nics();
    settle(&wanted, &mut found);
    let want = [
        "10.0.0.1/32 dev 2",
        "172.16.0.0/12 via 10.0.0.2 dev 2",
        "10.9.0.0/16 dev 2",
        "100.64.0.1/32 dev 2",
        "192.0.2.0/24 via 100.64.0.1 dev 2",
        "0.0.0.0/0 via 10.0.0.1 dev 2",
    ];
    assert_eq!(routes(&found), want);
    assert_eq!(found.links[1].mtu, 1492);
    wanted.lease.as_mut().unwrap().mtu = Some(576);
    settle(&wanted, &mut found);
    assert_eq!(found.links[1].mtu, 1492, "IPv6 would be switched off");
    assert!(wanted.passed_over()[0].contains("576"));
}

#[test]
fn fixed_addresses_need_no_lease_and_make_an_old_one_stale() {
    let mut found = two_nics();
    let leased = Wanted { lease: lease([10, 0, 0, 9], 24, Some([10, 0, 0, 1])), ..defaults() };
    settle(&leased, &mut found);
    let fixed = file(
        r#"{"interfaces":[{"name":"lan0","addr":"192.168.42.1/24"},{"name":"uplink0","addr":"203.0.113.9/24","extra_addrs":["2001:db8::9/64"],
        "gateway":"203.0.113.1","gateway6":"fe80::1","delegated_prefixes":["2001:db8:a::/56"]}]}"#,
    );
    let fixed = Wanted { lease: leased.lease, ..fixed };
    settle(&fixed, &mut found);
    assert_eq!(nets(&found, 2), ["203.0.113.9/24", "2001:db8::9/64"]);
    assert_eq!(routes(&found), ["0.0.0.0/0 via 203.0.113.1 dev 2", "::/0 via fe80::1 dev 2"]);
}

const TAGGED: &str = r#"{"interfaces":[{"hardware_addr":"02:00:00:00:00:02","name":"wan"},
    {"hardware_addr":"02:00:00:00:00:03","name":"lan0","addr":"192.168.42.1/24"},
    {"name":"uplink0","parent":"wan","vlan_id":7}]}"#;

#[test]
fn an_uplink_over_a_vlan_takes_the_name_of_a_nic_that_had_it() {
    // The NIC that carries it is still called uplink0, as without the VLAN.
    let mut found = kernel(vec![nic(2, "uplink0", pci(3)), nic(3, "lan0", pci(4))]);
    let wanted = Wanted { lease: lease([10, 0, 0, 9], 24, Some([10, 0, 0, 1])), ..file(TAGGED) };
    assert!(settle(&wanted, &mut found).wants_another());
    let vlan = found.links.iter().find(|link| link.name == "uplink0").unwrap();
    assert_eq!((vlan.vlan, vlan.up), (Some((2, 7)), true));
    assert_eq!(nets(&found, vlan.index), ["10.0.0.9/24"]);
    assert_eq!((found.links[1].name.as_str(), found.links[1].up), ("wan", true));
    let lans = Firewall::of(&wanted).lans;
    assert!(lans.iter().all(|lan| lan.name.starts_with("lan")), "what carries a VLAN is no LAN: {lans:?}");

    let other = Wanted { lease: wanted.lease, ..file(&TAGGED.replace("\"vlan_id\":7", "\"vlan_id\":8")) };
    settle(&other, &mut found);
    let vlans: Vec<_> = found.links.iter().filter_map(|link| link.vlan).collect();
    assert_eq!(vlans, [(2, 8)]);
}

/// interfaces.json as it is read: an uplink over PPPoE is two entries.
fn pppoe(more: &str) -> Wanted {
    let text = format!(
        r#"{{"interfaces":[{{"name":"uplink0"{more},"pppoe":{{"username":"a"}}}},{{"name":"lan0","addr":"192.168.42.1/24"}}]}}"#
    );
    let interfaces = Interfaces::parse(Path::new("interfaces.json"), text.as_bytes()).unwrap();
    Wanted { interfaces, memory_kib: 64 << 10, ..Wanted::default() }
}

/// What the service pppoe makes.
fn session(index: u32, name: &str) -> Link {
    Link { mac: None, ppp: true, nic: false, ..nic(index, name, None) }
}

#[test]
fn a_session_is_the_uplink_and_the_nic_below_it_has_another_name() {
    // The NIC was the uplink until now, with a lease.
    let mut found = two_nics();
    settle(&Wanted { lease: lease([203, 0, 113, 50], 24, Some([203, 0, 113, 1])), ..defaults() }, &mut found);
    assert_eq!(nets(&found, 2), ["203.0.113.50/24"]);

    let first = settle(&pppoe(r#","mtu":1500"#), &mut found);
    assert_eq!(first.missing, [""; 0], "the session comes when its service makes it");
    assert_eq!(names(&found)[1..], [(2, "uplink0-eth"), (3, "lan0")]);
    assert_eq!((nets(&found, 2).len(), found.links[1].mtu), (0, 1508));

    found.links.push(session(9, "uplink0"));
    let mut wanted = pppoe(r#","mtu":1500"#);
    let everything = LeaseRoute { destination: "0.0.0.0/0".parse().unwrap(), gateway: Ipv4Addr::UNSPECIFIED };
    let read = lease([198, 51, 100, 7], 32, None).unwrap();
    wanted.lease = Some(lease4::Checked { mtu: Some(1454), routes: vec![everything], ..read });
    let plan = settle(&wanted, &mut found);
    assert_eq!((plan.uplink, nets(&found, 9)), (Some(9), vec!["198.51.100.7/32".to_owned()]));
    assert_eq!(routes(&found), ["0.0.0.0/0 dev 9"], "there is no gateway on a line with two ends");
    let link = found.links.iter().find(|link| link.index == 9).unwrap();
    assert_eq!((link.mtu, link.up), (1454, true), "what was agreed on, not what was wished");
    assert_eq!(Firewall::of(&wanted).lans.len(), 1, "the NIC below is no LAN");

    // And back: the session's name is needed for the NIC before its service has taken it away.
    settle(&defaults(), &mut found);
    assert_eq!(names(&found)[1..], [(2, "uplink0"), (3, "lan0"), (9, "free9")]);
    assert!(nets(&found, 9).is_empty());
}

#[test]
fn a_strangers_nic_makes_way_for_the_session() {
    let mut found = kernel(vec![nic(2, "eth0", pci(3)), nic(3, "lan0", pci(4)), nic(4, "uplink0", None)]);
    settle(&pppoe(r#","hardware_addr":"02:00:00:00:00:02""#), &mut found);
    assert_eq!(names(&found)[1..], [(2, "uplink0-eth"), (3, "lan0"), (4, "free4")]);
}

#[test]
fn a_tunnel_takes_the_place_of_a_sessions_default_route() {
    let mut wanted = pppoe("");
    wanted.interfaces.interfaces.extend(
        file(r#"{"interfaces":[{"name":"wg0","extra_routes":[{"destination":"0.0.0.0/0"}]}]}"#).interfaces.interfaces,
    );
    let everything = LeaseRoute { destination: "0.0.0.0/0".parse().unwrap(), gateway: Ipv4Addr::UNSPECIFIED };
    let read = lease([198, 51, 100, 7], 32, None).unwrap();
    wanted.lease = Some(lease4::Checked { routes: vec![everything], ..read });
    let mut found = two_nics();
    found.links.push(session(9, "uplink0"));
    settle(&wanted, &mut found);
    assert_eq!(routes(&found), [""; 0], "nothing goes by the uplink but what a peer's endpoint needs");
}
