//! Documents of a router in several states.
use super::*;
use crate::perm::WallTime;
use crate::perm::devices::Device;
use crate::perm::interfaces::Interfaces;
use crate::perm::lease4::Lease4;
use crate::perm::stamp::Clock;
use crate::webd::history::Look;
use crate::webd::look::Facts;
use crate::webd::snapshot::Said;
use netstack::address::Address;
use netstack::link::Link;
use netstack::time::Instant;
use serde_json::json;
use std::collections::BTreeSet;

fn facts() -> Facts {
    let link = |index, name: &str| Link {
        index,
        name: name.into(),
        up: true,
        running: true,
        mac: Some([2, 0, 0, 0, 0, 7]),
        ..Link::default()
    };
    let device = |mac: &str, name: &str, seen: i64| Device {
        hardware_addr: mac.parse().unwrap(),
        name: name.into(),
        last_seen: WallTime::from_unix(seen),
        ..serde_json::from_value(json!({"hardware_addr": mac})).unwrap()
    };
    Facts {
        hostname: "weir".into(),
        kernel: "6.12".into(),
        clock: Clock { boot: "b".into(), now: Instant::from_secs(100), wall: WallTime::from_unix(1_800_000_000) },
        links: vec![link(2, "uplink0"), link(3, "lan0")],
        addresses: vec![
            Address::new(2, "203.0.113.50".parse().unwrap(), 24),
            Address::new(2, "fe80::1".parse().unwrap(), 64),
            Address::new(3, "192.168.42.1".parse().unwrap(), 24),
        ],
        gateway: Some("203.0.113.1".parse().unwrap()),
        interfaces: Interfaces::defaults(),
        is_written: false,
        lease4: Some(Lease4 { dns: Some(vec!["203.0.113.1".into()]), ..Lease4::default() }),
        lease6: None,
        devices: Some(vec![
            device("02:00:5e:10:00:09", "", 1_799_999_990),
            device("02:00:5e:10:00:08", "laptop", 1_700_000_000),
            device("02:00:5e:10:00:07", "camera", 1_799_999_990),
        ]),
        reserved: BTreeSet::from(["02:00:5e:10:00:07".to_owned()]),
        memory: (64, 32),
        perm: (100, 40),
    }
}

fn said() -> Said {
    Said {
        names: json!({"names": [{"name": "www.example.com.", "asked": 4}]}),
        init: json!({"version": "0.1.0", "uptime_ms": 5_000, "slot": "a", "perm": "ext4", "services": [
            {"name": "dnsd", "state": "running", "pid": 7, "uptime_ms": 4_000, "restarts": 0, "memory_kib": 900},
            {"name": "dhcp6", "state": "waiting", "pid": 0, "uptime_ms": 0, "restarts": 3, "memory_kib": 0}]}),
        diagd: json!({"level": "fine", "sentence": "The internet works.", "findings": []}),
        configd: json!({"ok": true, "trial": {"files": ["firewall.json"], "seconds_left": 41}}),
        netconfigd: "weir_device_bytes_total{device=\"camera\",hardware_addr=\"02:00:5e:10:00:07\",direction=\"in\"} 1200\nweir_device_bytes_total{device=\"camera\",hardware_addr=\"02:00:5e:10:00:07\",direction=\"out\"} 34\n".into(),
        dnsd: "dns_queries 10\ndns_upstream{upstream=\"local\"} 4\ndns_upstream{upstream=\"9.9.9.9:53\"} 6\nweir_dns_upstream_rtt_seconds{upstream=\"9.9.9.9:53\"} 0.0123\nweir_dns_upstream_alive{upstream=\"9.9.9.9:53\"} 1\nweir_dns_cache_hits_total 3\nweir_dns_blocked_total{list=\"own\"} 1\nweir_dns_blocked_total{list=\"ads\"} 2\nweir_dns_blocklist_names 900\n".into(),
        listd: "weir_blocklist_right{list=\"ads\"} 1\nweir_blocklist_right{list=\"new\"} 0\nweir_blocklist_rules{list=\"ads\"} 899\nweir_blocklist_checked_timestamp_seconds{list=\"ads\"} 1800000000\n".into(),
        missing: vec![],
    }
}

#[test]
fn the_status_has_what_a_person_asks_for() {
    let status = status(&facts(), &said(), Some(Look { received: 10, sent: 5, rtt: Some(1.234) }));
    assert_eq!(status["internet"]["sentence"], "The internet works.");
    assert_eq!(status["wan"]["addresses"], json!(["203.0.113.50/24"]), "no link-local ones");
    assert_eq!((&status["wan"]["how"], &status["wan"]["dns"][0]), (&json!("DHCP"), &json!("203.0.113.1")));
    assert_eq!(status["lans"][0]["addresses"], json!(["192.168.42.1/24"]));
    assert_eq!(status["traffic"]["rtt_ms"], json!(1.23));
    assert_eq!(status["trial"]["seconds_left"], 41);
    assert_eq!(status["router"]["slot"], "a");
}

#[test]
fn who_is_down_is_said() {
    let silent = Said { missing: vec!["init", "diagd"], ..Said::default() };
    let status = status(&facts(), &silent, None);
    assert_eq!(status["missing"], json!(["init", "diagd"]));
    assert_eq!(status["internet"]["level"], "unknown");
    assert!(status["internet"]["sentence"].as_str().unwrap().contains("diagd does not answer"));
    assert_eq!((status["services"].as_array().unwrap().len(), &status["trial"]), (0, &json!(null)));
    let early = Said { diagd: json!({"error": "the first look is not over yet"}), ..said() };
    assert!(health(&early)["sentence"].as_str().unwrap().contains("first look"));
    assert_eq!(dns(&silent), json!({"missing": ["dnsd"]}));
    let nobody = Facts { devices: None, ..facts() };
    assert_eq!(devices(&nobody, &silent)["missing"], json!(["deviced"]));
}

#[test]
fn health_tells_nothing_that_is_somebodys_own() {
    let health = health(&said());
    assert_eq!((&health["level"], &health["services"]), (&json!("fine"), &json!(1)));
    assert!(!health.to_string().contains("203.0.113"));
}

#[test]
fn devices_that_are_here_come_first_with_their_traffic() {
    let devices = devices(&facts(), &said());
    let names: Vec<_> =
        devices["devices"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["camera", "", "laptop"]);
    let camera = &devices["devices"][0];
    assert_eq!(
        (&camera["received_bytes"], &camera["sent_bytes"], &camera["reserved"]),
        (&json!(1_200), &json!(34), &json!(true))
    );
    assert_eq!(
        (&devices["devices"][1]["received_bytes"], &devices["devices"][2]["here"]),
        (&json!(null), &json!(false))
    );
}

#[test]
fn names_and_their_servers() {
    let dns = dns(&said());
    assert_eq!((&dns["queries"], &dns["local"], &dns["cache_hits"]), (&json!(10), &json!(4), &json!(3)));
    assert_eq!((&dns["blocked"], &dns["blocked_names"]), (&json!(3), &json!(900)));
    assert_eq!(
        dns["blocklists"],
        json!([{"name": "own", "blocked": 1}, {"name": "ads", "blocked": 2, "rules": 899, "right": true, "checked": 1_800_000_000},
            {"name": "new", "blocked": 0, "rules": 0, "right": false, "checked": 0}])
    );
    assert_eq!(dns["names"], json!([{"name": "www.example.com.", "asked": 4}]));
    assert_eq!(
        dns["upstreams"],
        json!([{"address": "9.9.9.9:53", "asked": 6, "replies": 0, "rtt_ms": 12.3, "alive": true}])
    );
}

#[test]
fn gokrazys_keys_are_there() {
    let overview = overview(&facts(), &said(), "2026-11-26T00:00:00Z");
    assert_eq!(overview["PublicAddrs"][0], "203.0.113.50");
    assert_eq!(overview["PrivateAddrs"], json!(["192.168.42.1"]));
    assert_eq!(
        (&overview["Services"][0]["Path"], &overview["Services"][0]["Stopped"]),
        (&json!("/user/dnsd"), &json!(false))
    );
    assert_eq!((&overview["BuildTimestamp"], &overview["PermUsed"]), (&json!("2026-11-26T00:00:00Z"), &json!(60)));
}
