//! The router at a glance: internet, addresses, services, the machine.
use crate::perm::interfaces::UPLINK;
use crate::perm::lease6::{FOREVER, seconds_left};
use crate::webd::history::{Look, rtt};
use crate::webd::look::Facts;
use crate::webd::snapshot::Said;
use ipnet::IpNet;
use netstack::link::Link;
use serde_json::{Value, json};
use std::net::IpAddr;

/// For anybody at home: whether the internet works, and nothing that is somebody's own.
pub fn health(said: &Said) -> Value {
    let (level, sentence) = verdict(said);
    json!({
        "level": level,
        "sentence": sentence,
        "uptime_ms": said.init["uptime_ms"],
        "services": services(said).iter().filter(|row| row["state"] != "running").count(),
        "missing": said.missing,
    })
}

/// The whole document.
pub fn status(facts: &Facts, said: &Said, now: Option<Look>) -> Value {
    let (level, sentence) = verdict(said);
    json!({
        "internet": {
            "level": level,
            "sentence": sentence,
            "findings": said.diagd.get("findings").cloned().unwrap_or_else(|| json!([])),
        },
        "traffic": now.map(|look| json!({"received": look.received, "sent": look.sent, "rtt_ms": rtt(look.rtt)})),
        "wan": wan(facts),
        "lans": lans(facts),
        "services": services(said),
        "router": {
            "name": facts.hostname,
            "version": said.init["version"],
            "kernel": facts.kernel,
            "slot": said.init["slot"],
            "perm": said.init["perm"],
            "uptime_ms": said.init["uptime_ms"],
            "ready_ms": said.init["ready_ms"],
            "time": facts.wall(),
            "memory": {"total": facts.memory.0, "available": facts.memory.1},
            "storage": {"total": facts.perm.0, "available": facts.perm.1},
            "interfaces_written": facts.is_written,
        },
        "trial": said.configd.get("trial").cloned().unwrap_or_default(),
        "missing": said.missing,
    })
}

/// diagd's level and sentence; what stands for them while it says nothing.
fn verdict(said: &Said) -> (String, String) {
    let text = |key: &str| said.diagd[key].as_str().map(str::to_owned);
    if let (Some(level), Some(sentence)) = (text("level"), text("sentence")) {
        return (level, sentence);
    }
    let why = match text("error") {
        Some(_) => "The router is taking its first look at the internet.",
        None => "diagd does not answer, so nobody knows whether the internet works.",
    };
    ("unknown".into(), why.into())
}

fn services(said: &Said) -> Vec<Value> {
    said.init["services"].as_array().cloned().unwrap_or_default()
}

fn wan(facts: &Facts) -> Value {
    let link = facts.links.iter().find(|link| link.name == UPLINK);
    let entry = facts.interfaces.uplink();
    let addresses = link.map(|link| addresses(facts, link)).unwrap_or_default();
    let lease = facts.lease4.as_ref();
    let fixed: Vec<IpAddr> = entry.map(|entry| entry.dns.clone()).unwrap_or_default();
    let dns4 = lease.and_then(|lease| lease.dns.clone()).unwrap_or_default();
    let lease6 = facts.lease6.as_ref();
    let dns6 = lease6.map(|lease| lease.dns.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap_or_default();
    let now = facts.clock.now;
    let valid = lease6.map(|lease| lease.delegations.iter().filter(|held| held.is_valid(now)).collect::<Vec<_>>());
    let prefixes = valid.unwrap_or_default().into_iter().map(|held| {
        let left = seconds_left(held.valid_until, now);
        json!({"prefix": held.value, "valid_s": (left != FOREVER).then_some(left)})
    });
    let how = match entry {
        Some(entry) if entry.pppoe.is_some() => "PPPoE",
        Some(entry) if entry.gateway.is_some() => "fixed",
        _ => "DHCP",
    };
    json!({
        "interface": UPLINK,
        "there": link.is_some(),
        "cable": link.is_some_and(|link| link.running),
        "hardware_addr": link.and_then(mac),
        "how": how,
        "addresses": addresses,
        "gateway": facts.gateway,
        "dns": fixed.iter().map(ToString::to_string).chain(dns4).chain(dns6).collect::<Vec<_>>(),
        "renew_at": lease.filter(|_| how != "fixed").map(|lease| lease.valid_until),
        "prefixes": prefixes.collect::<Vec<_>>(),
    })
}

fn lans(facts: &Facts) -> Vec<Value> {
    let lan = |name: &str| {
        let link = facts.links.iter().find(|link| link.name == name);
        json!({
            "interface": name,
            "cable": link.is_some_and(|link| link.running),
            "hardware_addr": link.and_then(mac),
            "guest": facts.interfaces.named(name).is_some_and(|entry| entry.guest),
            "addresses": link.map(|link| addresses(facts, link)).unwrap_or_default(),
        })
    };
    facts.interfaces.lans().into_iter().map(lan).collect()
}

fn mac(link: &Link) -> Option<String> {
    link.permanent_mac.or(link.mac).map(|mac| crate::perm::Mac(mac).to_string())
}

/// Those that a person would name: no link-local ones.
fn addresses(facts: &Facts, link: &Link) -> Vec<String> {
    let ours = facts.addresses.iter().filter(|address| address.index == link.index && !address.deprecated);
    let shown = ours.filter(|address| !matches!(address.ip, IpAddr::V6(ip) if ip.is_unicast_link_local()));
    shown.filter_map(|address| IpNet::new(address.ip, address.prefix).ok()).map(|net| net.to_string()).collect()
}
