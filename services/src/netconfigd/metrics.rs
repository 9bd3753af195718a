//! What netconfigd shows at `/metrics`: router7's series by their names, and what it counts besides.
use super::engine::Subject;
use super::ruleset::{DROPS, RULE, TRAFFIC};
use super::totals::Totals;
use crate::metrics::Exposition;
use crate::perm::Mac;
use netstack::conntrack;
use netstack::link::Link;
use netstack::nft::Count;
use netstack::qdisc::Qdisc;
use netstack::wireguard::Device;
use std::collections::BTreeMap;

mod lines;

/// router7's port.
pub const PORT: u16 = 8066;
/// router7's names of what is counted.
const FORWARD: &str = "filter_forward";
const LOCAL: [&str; 2] = ["filter_input", "filter_output"];

/// What the kernel shows beside its counters.
#[derive(Debug, Default)]
pub struct Lines {
    /// Every link.
    pub links: Vec<Link>,
    /// WireGuard interfaces.
    pub tunnels: Vec<Device>,
    /// What queues.
    pub queues: Vec<Qdisc>,
}

/// The page. Devices are called by `names`.
pub fn page(totals: &Totals, shown: &Lines, names: &BTreeMap<Mac, String>) -> Vec<u8> {
    let mut page = Exposition::default();
    let forwarded = [false, true].map(|ipv6| totals.traffic.of(Subject::Family(ipv6)));
    let local = LOCAL.iter().zip(TRAFFIC).map(|(name, (ipv4, ipv6))| (*name, [totals.of(ipv4), totals.of(ipv6)]));
    for (name, [ipv4, ipv6]) in [(FORWARD, forwarded)].into_iter().chain(local) {
        let counts = [("ipv4", ipv4), ("ipv6", ipv6)];
        let (packets, bytes) = (format!("nftables_{name}_packets"), format!("nftables_{name}_bytes"));
        page.metric(&packets, "counter", &format!("Packets that passed {name}."));
        for (family, count) in &counts {
            page.value(&packets, &[("family", family)], count.packets);
        }
        page.metric(&bytes, "counter", &format!("Bytes that passed {name}."));
        for (family, count) in &counts {
            page.value(&bytes, &[("family", family)], count.bytes);
        }
    }
    page.metric("weir_dropped_packets_total", "counter", "Packets that the firewall refused, by cause.");
    for name in DROPS {
        let cause = name.trim_start_matches("drop_");
        page.value("weir_dropped_packets_total", &[("cause", cause)], totals.of(name).packets);
    }
    let (packets, bytes) = ("weir_rule_packets_total", "weir_rule_bytes_total");
    page.metric(
        packets,
        "counter",
        "Packets that a rule of firewall.json decided: each begins a connection, or tries to.",
    );
    for (rule, count) in totals.under(RULE) {
        page.value(packets, &[("rule", rule)], count.packets);
    }
    page.metric(bytes, "counter", "Bytes of them.");
    for (rule, count) in totals.under(RULE) {
        page.value(bytes, &[("rule", rule)], count.bytes);
    }
    devices(&mut page, totals, names);
    if let Ok((used, most)) = conntrack::usage() {
        page.metric("weir_connections", "gauge", "Connections that the kernel remembers.");
        page.value("weir_connections", &[], used);
        page.metric("weir_connections_limit", "gauge", "Connections that it can remember.");
        page.value("weir_connections_limit", &[], most);
    }
    page.metric("weir_connections_offloaded", "gauge", "Connections that pass by the firewall on the fast path.");
    page.value("weir_connections_offloaded", &[], totals.traffic.offloaded());
    interfaces(&mut page, &shown.links);
    lines::tunnels(&mut page, &shown.tunnels);
    lines::queues(&mut page, &shown.queues, &shown.links);
    page.into_bytes()
}

fn devices(page: &mut Exposition, totals: &Totals, names: &BTreeMap<Mac, String>) {
    let (sums, _) = totals.traffic.sums();
    let each = |page: &mut Exposition, name: &str, value: fn(Count) -> u64| {
        for (subject, count) in sums {
            let (mac, direction) = match subject {
                Subject::Family(_) => continue,
                Subject::To(mac) => (mac, "in"),
                Subject::From(mac) => (mac, "out"),
            };
            let address = mac.map_or_else(String::new, |mac| mac.to_string());
            let device = mac.and_then(|mac| names.get(&mac)).map_or("", String::as_str);
            let labels = [("device", device), ("hardware_addr", &address), ("direction", direction)];
            page.value(name, &labels, value(*count));
        }
    };
    let (packets, bytes) = ("weir_device_packets_total", "weir_device_bytes_total");
    page.metric(packets, "counter", "Forwarded packets to (in) and from (out) a device of a LAN.");
    each(page, packets, |count| count.packets);
    page.metric(bytes, "counter", "Bytes of them, from the network header on.");
    each(page, bytes, |count| count.bytes);
}

fn interfaces(page: &mut Exposition, links: &[Link]) {
    type Value = fn(&Link) -> u64;
    let all: [(&str, &str, Value); 8] = [
        ("receive_bytes", "Bytes that came in.", |link| link.statistics.received.bytes),
        ("receive_packets", "Packets that came in.", |link| link.statistics.received.packets),
        ("receive_errors", "Packets that came in damaged.", |link| link.statistics.received.errors),
        ("receive_dropped", "Packets that came in and found no room.", |link| link.statistics.received.dropped),
        ("transmit_bytes", "Bytes that went out.", |link| link.statistics.sent.bytes),
        ("transmit_packets", "Packets that went out.", |link| link.statistics.sent.packets),
        ("transmit_errors", "Packets that could not be sent.", |link| link.statistics.sent.errors),
        ("transmit_dropped", "Packets that found no room to be sent.", |link| link.statistics.sent.dropped),
    ];
    for (name, help, value) in all {
        let name = format!("weir_interface_{name}_total");
        page.metric(&name, "counter", help);
        for link in links.iter().filter(|link| !link.loopback) {
            page.value(&name, &[("interface", &link.name)], value(link));
        }
    }
    page.metric("weir_interface_up", "gauge", "1 when it is switched on and has a carrier.");
    for link in links.iter().filter(|link| !link.loopback) {
        page.value("weir_interface_up", &[("interface", &link.name)], u8::from(link.up && link.running));
    }
}
