//! Against the real kernel, in a namespace of the test's own.
use super::*;
use crate::testing::in_namespace;
use ipnet::IpNet;
use std::net::IpAddr;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn a_bridge_with_addresses_and_routes_comes_and_goes() {
    in_namespace(|| {
        let mut monitor = Monitor::with_routes().unwrap();
        let mut netlink = Netlink::route().unwrap();
        let mac = [2, 0, 0, 0, 0, 7];
        netlink.change(Change::AddBridge("br9".into(), Some(mac))).unwrap();
        let link = netlink.links().unwrap().into_iter().find(|link| link.name == "br9").unwrap();
        assert_eq!((link.mac, link.kind.as_deref(), link.up), (Some(mac), Some("bridge"), false));

        let address = Address::new(link.index, ip("192.168.42.1"), 24);
        let mut route = Route::new(net("0.0.0.0/0"), link.index, Some(ip("192.168.42.254")), crate::route::RTPROT_DHCP);
        route.source = Some(ip("192.168.42.1"));
        let refused = netlink
            .apply(&[
                Change::Rename(link.index, "lan0".into()),
                Change::Mtu(link.index, 1400),
                Change::Up(link.index, true),
                Change::ReplaceAddress(address),
                Change::ReplaceAddress(Address::new(link.index, ip("fd00::1"), 64)),
                Change::ReplaceRoute(route.clone()),
            ])
            .unwrap();
        assert_eq!(refused, []);
        let lan = netlink.links().unwrap().into_iter().find(|link| link.name == "lan0").unwrap();
        assert_eq!((lan.index, lan.mtu, lan.up), (link.index, 1400, true));
        let addresses = netlink.addresses().unwrap();
        assert!(addresses.iter().any(|found| found.same(&address) && found.permanent), "{addresses:?}");
        assert!(addresses.iter().any(|found| found.ip == ip("fd00::1")), "{addresses:?}");
        assert!(netlink.routes().unwrap().contains(&route), "{:?}", netlink.routes());
        let changes = monitor.drain();
        assert!(changes.links && changes.addresses && changes.routes);
        assert!(!monitor.drain().any());

        netlink.change(Change::DeleteRoute(route.clone())).unwrap();
        netlink.change(Change::DeleteAddress(address)).unwrap();
        assert!(!netlink.routes().unwrap().contains(&route));
        netlink.change(Change::DeleteLink(link.index)).unwrap();
        assert!(netlink.links().unwrap().iter().all(|link| link.name != "lan0"));
    });
}

#[test]
fn a_refusal_names_the_change_and_does_not_stop_the_others() {
    in_namespace(|| {
        let mut netlink = Netlink::route().unwrap();
        let lo = netlink.links().unwrap().into_iter().find(|link| link.loopback).unwrap();
        let refused = netlink
            .apply(&[
                Change::Mtu(9999, 1400),
                Change::Up(lo.index, true),
                Change::DeleteAddress(Address::new(lo.index, ip("10.0.0.1"), 8)),
            ])
            .unwrap();
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused[0].to_string().starts_with("interface 9999 mtu 1400: "), "{}", refused[0]);
        assert!(refused[1].to_string().starts_with("delete address 10.0.0.1/8"), "{}", refused[1]);
        assert!(netlink.links().unwrap().iter().any(|link| link.loopback && link.up));
    });
}

#[test]
fn an_interface_that_waits_for_a_login_counts_as_one_without_carrier() {
    in_namespace(|| {
        let mut netlink = Netlink::route().unwrap();
        let lo = |netlink: &mut Netlink| netlink.links().unwrap().into_iter().find(|link| link.loopback).unwrap();
        let index = lo(&mut netlink).index;
        netlink.change(Change::Up(index, true)).unwrap();
        assert!(lo(&mut netlink).running);
        for dormant in [true, false] {
            netlink.change(Change::Dormant(index, dormant)).unwrap();
            assert_eq!(lo(&mut netlink).running, !dormant);
        }
    });
}
