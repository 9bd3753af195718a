//! Scenarios: an interfaces.json, a lease and a small kernel; what is planned, and that it ends where it should.
mod lines;
mod wan;

use super::engine::{
    Action, Address, Bus, FROM_FILE, FROM_LEASE, Found, Ipv6, Link, Plan, Route, Wanted, bus_of, plan, ready,
};
use crate::perm::interfaces::Interfaces;
use crate::perm::{Mac, json, lease4};
use std::net::Ipv4Addr;
use std::path::Path;

fn pci(slot: u32) -> Option<Bus> {
    Some(bus_of(Path::new(&format!("/sys/devices/pci0000:00/0000:00:{slot:02x}.0/virtio0")), 0))
}

fn usb() -> Option<Bus> {
    Some(bus_of(Path::new("/sys/devices/pci0000:00/0000:00:01.2/usb1/1-1/1-1:1.0"), 0))
}

fn nic(index: u32, name: &str, bus: Option<Bus>) -> Link {
    let mac = Some(Mac([2, 0, 0, 0, 0, index as u8]));
    let (name, permanent) = (name.into(), mac);
    Link {
        index,
        name,
        mac,
        permanent,
        mtu: 1500,
        up: false,
        master: None,
        vlan: None,
        bridge: None,
        kind: None,
        ours: false,
        ppp: false,
        nic: true,
        bus,
    }
}

fn kernel(nics: Vec<Link>) -> Found {
    let lo = Link { mac: None, nic: false, ..nic(1, "lo", None) };
    Found { links: [vec![lo], nics].concat(), ..Found::default() }
}

fn file(text: &str) -> Wanted {
    let interfaces = json::parse(Path::new("interfaces.json"), text.as_bytes()).unwrap();
    Wanted { interfaces, memory_kib: 64 << 10, ..Wanted::default() }
}

fn defaults() -> Wanted {
    Wanted { interfaces: Interfaces::defaults(), memory_kib: 64 << 10, ..Wanted::default() }
}

fn lease(address: [u8; 4], length: u8, router: Option<[u8; 4]>) -> Option<lease4::Checked> {
    Some(lease4::Checked {
        address: (address.into(), length),
        router: router.map(Ipv4Addr::from),
        dns: Vec::new(),
        mtu: None,
        routes: Vec::new(),
    })
}

/// Plans and applies until nothing is left to do; the first plan. Fails when it does not settle.
fn settle(wanted: &Wanted, found: &mut Found) -> Plan {
    let first = plan(wanted, found);
    let mut next = first.clone();
    for _ in 0..3 {
        for action in &next.actions {
            if let Action::Rename { to, .. } = action {
                assert!(found.links.iter().all(|link| link.name != *to), "{to} is taken: {:#?}", next.actions);
            }
            found.took(action);
            let index = 100 + found.links.len() as u32;
            match action {
                Action::AddBridge { name, mac } => {
                    let bridge = Some(netstack::link::Bridge::default());
                    found.links.push(Link { mac: *mac, nic: false, bridge, ..nic(index, name, None) });
                }
                Action::AddVlan { name, over, number } => {
                    found.links.push(Link { nic: false, vlan: Some((*over, *number)), ..nic(index, name, None) });
                }
                Action::AddLink { name, kind } => {
                    let kind = Some((*kind).to_owned());
                    let made = Link { mac: None, nic: false, kind: kind.clone(), ours: true, ..nic(index, name, None) };
                    found.links.push(made);
                    if kind.as_deref() == Some("wireguard") {
                        found.tunnels.push(lines::blank(index, name));
                    }
                }
                _ => {}
            }
        }
        next = plan(wanted, found);
        if next.actions.is_empty() {
            return first;
        }
    }
    panic!("does not settle: {next:#?}");
}

fn names(found: &Found) -> Vec<(u32, &str)> {
    found.links.iter().map(|link| (link.index, link.name.as_str())).collect()
}

fn nets(found: &Found, index: u32) -> Vec<String> {
    found.addresses.iter().filter(|address| address.index == index).map(|address| address.net.to_string()).collect()
}

#[test]
fn without_a_file_the_bus_decides() {
    let mut found = kernel(vec![nic(2, "eth0", usb()), nic(3, "eth1", pci(4)), nic(4, "eth2", pci(3))]);
    settle(&defaults(), &mut found);
    assert_eq!(names(&found), [(1, "lo"), (2, "eth0"), (3, "lan0"), (4, "uplink0")]);
    assert_eq!(nets(&found, 3), ["192.168.42.1/24"]);
    assert!(found.links.iter().all(|link| link.up == (link.index != 2)), "{found:#?}");
    assert!(ready(&defaults(), &found));
}

#[test]
fn one_nic_is_the_lan_until_a_second_comes() {
    let mut found = kernel(vec![nic(2, "eth0", pci(3))]);
    settle(&defaults(), &mut found);
    assert_eq!(names(&found), [(1, "lo"), (2, "lan0")]);
    found.links.push(nic(3, "eth0", usb()));
    settle(&defaults(), &mut found);
    assert_eq!(names(&found), [(1, "lo"), (2, "uplink0"), (3, "lan0")]);
    assert_eq!((nets(&found, 2), nets(&found, 3)), (vec![], vec!["192.168.42.1/24".into()]));
}

#[test]
fn what_the_file_no_longer_says_of_a_link_is_undone() {
    let mut found = kernel(vec![nic(2, "eth0", None), nic(3, "eth1", None)]);
    let said = r#"{"interfaces":[
        {"name":"lan0","hardware_addr":"02:00:00:00:00:02","spoof_hardware_addr":"06:00:00:00:00:02","mtu":1400},
        {"name":"dmz","hardware_addr":"02:00:00:00:00:03","spoof_hardware_addr":"06:00:00:00:00:03","mtu":1400,
         "extra_routes":[{"destination":"10.9.0.0/16"}]}]}"#;
    settle(&file(said), &mut found);
    assert_eq!((found.links[2].mtu, found.links[2].mac), (1_400, Some(Mac([6, 0, 0, 0, 0, 3]))));
    assert_eq!(found.routes.len(), 1);
    let mut wanted = file(r#"{"interfaces":[{"name":"lan0","hardware_addr":"02:00:00:00:00:02"}]}"#);
    wanted.before = Some(file(said).interfaces);
    // It is found by the address that it has, or by its name.
    settle(&wanted, &mut found);
    for link in &found.links[1..] {
        assert_eq!((link.mtu, link.mac), (1_500, link.permanent), "{}", link.name);
    }
    assert_eq!(found.routes, []);
}

#[test]
fn no_nic_no_harm() {
    let mut found = kernel(Vec::new());
    let first = settle(&defaults(), &mut found);
    assert_eq!((first.uplink, first.missing), (None, vec!["uplink0".into(), "lan0".into()]));
    assert!(!ready(&defaults(), &found));
    found.links.push(nic(2, "eth0", pci(3)));
    settle(&defaults(), &mut found);
    assert!(ready(&defaults(), &found));
}

#[test]
fn nothing_is_open_before_the_ruleset() {
    let wanted = Wanted { lease: lease([10, 0, 0, 9], 24, Some([10, 0, 0, 1])), ..defaults() };
    let first = settle(&wanted, &mut kernel(vec![nic(2, "eth0", pci(3)), nic(3, "eth1", pci(4))]));
    let ruleset = first.actions.iter().position(|action| matches!(action, Action::Firewall(_))).unwrap();
    let opening = first.actions.iter().position(|action| action.wants_firewall(first.uplink)).unwrap();
    assert!(ruleset < opening, "{:#?}", first.actions);
    let guarded = first.actions.iter().filter(|action| action.wants_firewall(first.uplink)).count();
    assert_eq!(guarded, 6, "two sysctls, up, an address, two routes: {:#?}", first.actions);
}

const SWAP: &str = r#"{"interfaces":[
    {"hardware_addr":"02:00:00:00:00:02","name":"lan0","addr":"192.168.42.1/24"},
    {"hardware_addr":"02:00:00:00:00:03","name":"uplink0"}]}"#;

#[test]
fn names_are_swapped() {
    let mut found = kernel(vec![nic(2, "uplink0", pci(3)), nic(3, "lan0", pci(4))]);
    found.addresses.push(Address::new(3, "192.168.42.1/24".parse().unwrap(), FROM_FILE));
    settle(&file(SWAP), &mut found);
    assert_eq!(names(&found), [(1, "lo"), (2, "lan0"), (3, "uplink0")]);
    assert_eq!((nets(&found, 2), nets(&found, 3)), (vec!["192.168.42.1/24".into()], vec![]));
}

#[test]
fn who_holds_a_wanted_name_steps_aside() {
    let mut found = kernel(vec![nic(2, "eth0", pci(3)), nic(9, "lan0", pci(4))]);
    found.addresses.push(Address::new(9, "192.168.42.1/24".parse().unwrap(), FROM_FILE));
    let first = settle(&file(SWAP), &mut found);
    assert_eq!(names(&found), [(1, "lo"), (2, "lan0"), (9, "free9")]);
    assert_eq!(first.missing, ["uplink0"]);
    assert!(nets(&found, 9).is_empty());
}

#[test]
fn a_hardware_address_beats_a_name_and_a_spoofed_one_is_known_again() {
    let wanted = file(
        r#"{"interfaces":[
        {"hardware_addr":"02:00:00:00:00:03","spoof_hardware_addr":"02:00:00:00:00:aa","name":"uplink0","mtu":1492},
        {"hardware_addr":"02:00:00:00:00:99","name":"eth0","addr":"10.1.0.1/24","extra_addrs":["fd00::1/64"]}]}"#,
    );
    let mut found = kernel(vec![nic(2, "eth0", None), nic(3, "eth1", None)]);
    let first = settle(&wanted, &mut found);
    assert_eq!(names(&found), [(1, "lo"), (2, "eth0"), (3, "uplink0")]);
    assert_eq!(nets(&found, 2), ["10.1.0.1/24", "fd00::1/64"]);
    let (mac, up) = (
        first.actions.iter().position(|action| matches!(action, Action::SetMac { .. })),
        first.actions.iter().position(|action| *action == Action::Up { index: 3 }),
    );
    assert!(mac < up && mac.is_some());
    assert_eq!(found.links[2].mtu, 1492);
}

#[test]
fn a_new_lease_in_the_same_subnet() {
    let mut wanted = file(r#"{"interfaces":[{"name":"uplink0","addr":"192.168.100.2/24"},{"name":"lan0"}]}"#);
    wanted.lease = lease([85, 195, 207, 62], 25, Some([85, 195, 207, 1]));
    let mut found = kernel(vec![nic(2, "uplink0", None), nic(3, "lan0", None)]);
    settle(&wanted, &mut found);
    assert_eq!(nets(&found, 2), ["192.168.100.2/24", "85.195.207.62/25"]);
    wanted.lease = lease([85, 195, 207, 70], 25, Some([85, 195, 207, 1]));
    let again = settle(&wanted, &mut found);
    assert_eq!(nets(&found, 2), ["192.168.100.2/24", "85.195.207.70/25"]);
    assert_eq!(again.actions.len(), 5, "an address, two routes, then the old address's end: {:#?}", again.actions);
    assert!(matches!(again.actions[0], Action::AddAddress { .. }));
    assert!(matches!(again.actions[3], Action::DeleteAddress { .. }));
    assert!(matches!(again.actions[4], Action::Forget { .. }));
    let default = found.routes.iter().find(|route| route.destination.prefix_len() == 0).unwrap();
    assert_eq!(default.source, Some(Ipv4Addr::new(85, 195, 207, 70).into()));
    assert_eq!((found.routes.len(), default.protocol), (2, FROM_LEASE));
}

#[test]
fn another_gateway_leaves_no_route_behind_and_no_lease_keeps_all() {
    let mut wanted = defaults();
    wanted.lease = lease([10, 0, 0, 9], 24, Some([10, 0, 0, 1]));
    let mut found = kernel(vec![nic(2, "eth0", pci(3)), nic(3, "eth1", pci(4))]);
    settle(&wanted, &mut found);
    wanted.lease = lease([100, 64, 0, 9], 32, Some([100, 64, 0, 1]));
    settle(&wanted, &mut found);
    let destinations: Vec<String> = found.routes.iter().map(|route| route.destination.to_string()).collect();
    assert_eq!(destinations, ["100.64.0.1/32", "0.0.0.0/0"]);
    let before = found.clone();
    wanted.lease = None;
    assert_eq!(plan(&wanted, &found).actions, []);
    assert_eq!(found, before);
    wanted.lease = lease([100, 64, 0, 9], 32, None);
    settle(&wanted, &mut found);
    assert_eq!(found.routes, []);
}

#[test]
fn routes_of_the_file_come_and_go_and_others_stay() {
    let text = r#"{"interfaces":[{"name":"lan0","addr":"10.0.0.1/24","extra_routes":[
        {"destination":"2a02:168:4a00:22::/64","gateway":"fe80::1"},{"destination":"10.9.0.0/16","gateway":""}]}]}"#;
    let mut found = kernel(vec![nic(2, "lan0", None)]);
    let foreign = Route {
        destination: "10.8.0.0/16".parse().unwrap(),
        gateway: None,
        index: 2,
        source: None,
        protocol: 3,
        unreachable: false,
    };
    found.routes.push(foreign.clone());
    settle(&file(text), &mut found);
    assert_eq!(found.routes.len(), 3);
    settle(&file(r#"{"interfaces":[{"name":"lan0","addr":"10.0.0.1/24"}]}"#), &mut found);
    assert_eq!(found.routes, [foreign]);
}

#[test]
fn a_bridge_takes_its_ports_and_the_lans_name() {
    let wanted = file(
        r#"{"interfaces":[{"hardware_addr":"02:00:00:00:00:02","name":"uplink0"},{"hardware_addr":"02:00:00:00:00:03","name":"lan0","addr":"192.168.42.1/24"}],
        "bridges":[{"name":"lan0","interface_hardware_addrs":["02:00:00:00:00:03","02:00:00:00:00:04"]}]}"#,
    );
    let mut found = kernel(vec![nic(2, "eth0", pci(3)), nic(3, "lan0", pci(4)), nic(4, "eth2", pci(5))]);
    let first = settle(&wanted, &mut found);
    assert!(first.wants_another());
    let bridge = found.links.iter().find(|link| link.name == "lan0").unwrap();
    assert_eq!((bridge.mac, bridge.up), (Some(Mac([2, 0, 0, 0, 0, 3])), true));
    assert_eq!(nets(&found, bridge.index), ["192.168.42.1/24"]);
    for port in &found.links[2..4] {
        assert!(port.up && port.master == Some(bridge.index), "{port:?}");
    }
    assert_eq!(found.links[1].name, "uplink0");
}

#[test]
fn an_interface_that_was_switched_off_is_switched_on_again() {
    let mut found = kernel(vec![nic(2, "eth0", pci(3)), nic(3, "eth1", pci(4))]);
    let wanted = Wanted { lease: lease([10, 0, 0, 9], 24, Some([10, 0, 0, 1])), ..defaults() };
    settle(&wanted, &mut found);
    found.links[1].up = false;
    found.routes.clear();
    let again = settle(&wanted, &mut found);
    assert_eq!(again.actions.len(), 3, "{:#?}", again.actions);
}

#[test]
fn a_named_interface_is_a_lan_unless_it_is_an_uplink() {
    let wanted = file(
        r#"{"interfaces":[{"name":"uplink0"},{"name":"uplink1"},{"name":"lan0"},{"name":"wg0"}],"bridges":[{"name":"guest"}]}"#,
    );
    let lans = super::engine::Firewall::of(&wanted).lans;
    assert_eq!(lans.iter().map(|lan| lan.name.as_str()).collect::<Vec<_>>(), ["guest", "lan0", "wg0"]);
}
