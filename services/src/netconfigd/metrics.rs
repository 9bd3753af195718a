//! What netconfigd shows at `/metrics`: router7's series by their names, and what it counts besides.
use super::ruleset::{DROPS, RULE, TRAFFIC};
use super::totals::Totals;
use crate::metrics::Exposition;
use netstack::conntrack;
use netstack::link::Link;
use netstack::qdisc::Qdisc;
use netstack::wireguard::Device;

mod lines;

/// router7's port.
pub const PORT: u16 = 8066;
/// router7's names of what is counted, in the order of [`TRAFFIC`].
const ROUTER7: [&str; 3] = ["filter_forward", "filter_input", "filter_output"];

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

/// The page.
pub fn page(totals: &Totals, shown: &Lines) -> Vec<u8> {
    let mut page = Exposition::default();
    for (name, (ipv4, ipv6)) in ROUTER7.iter().zip(TRAFFIC) {
        let counts = [("ipv4", totals.of(ipv4)), ("ipv6", totals.of(ipv6))];
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
    if let Ok((used, most)) = conntrack::usage() {
        page.metric("weir_connections", "gauge", "Connections that the kernel remembers.");
        page.value("weir_connections", &[], used);
        page.metric("weir_connections_limit", "gauge", "Connections that it can remember.");
        page.value("weir_connections_limit", &[], most);
    }
    interfaces(&mut page, &shown.links);
    lines::tunnels(&mut page, &shown.tunnels);
    lines::queues(&mut page, &shown.queues, &shown.links);
    page.into_bytes()
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
