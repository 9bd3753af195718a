//! WireGuard's peers and what waits for the line.
use crate::metrics::Exposition;
use netstack::link::Link;
use netstack::qdisc::{Counts, Qdisc};
use netstack::wireguard::{Device, Peer};

/// Peers by interface and public key.
pub fn tunnels(page: &mut Exposition, devices: &[Device]) {
    type Value = fn(&Peer) -> u64;
    let all: [(&str, &str, &str, Value); 3] = [
        ("receive_bytes_total", "counter", "Bytes that came from a WireGuard peer.", |peer| peer.received),
        ("transmit_bytes_total", "counter", "Bytes that went to a WireGuard peer.", |peer| peer.sent),
        (
            "latest_handshake_seconds",
            "gauge",
            "When a WireGuard peer last agreed on keys, in seconds since 1970; 0 = never.",
            |peer| peer.handshake.as_secs(),
        ),
    ];
    for (name, kind, help, value) in all.into_iter().filter(|_| !devices.is_empty()) {
        let name = format!("weir_wireguard_{name}");
        page.metric(&name, kind, help);
        for device in devices {
            for peer in &device.peers {
                page.value(&name, &[("interface", &device.name), ("peer", &peer.key.to_string())], value(peer));
            }
        }
    }
}

/// Queues that we have made, by interface.
pub fn queues(page: &mut Exposition, queues: &[Qdisc], links: &[Link]) {
    type Value = fn(&Counts) -> u64;
    let all: [(&str, &str, &str, Value); 4] = [
        ("sent_bytes_total", "counter", "Bytes that a shaper has sent.", |counts| counts.bytes),
        ("sent_packets_total", "counter", "Packets that a shaper has sent.", |counts| counts.packets.into()),
        ("dropped_packets_total", "counter", "Packets that a shaper has dropped.", |counts| counts.drops.into()),
        ("backlog_bytes", "gauge", "Bytes that wait in a shaper.", |counts| counts.backlog.into()),
    ];
    let ours: Vec<&Qdisc> = queues.iter().filter(|queue| queue.is_ours()).collect();
    let name_of = |queue: &Qdisc| links.iter().find(|link| link.index == queue.index).map(|link| link.name.as_str());
    for (name, kind, help, value) in all.into_iter().filter(|_| !ours.is_empty()) {
        let name = format!("weir_shaper_{name}");
        page.metric(&name, kind, help);
        for queue in &ours {
            page.value(&name, &[("interface", name_of(queue).unwrap_or_default())], value(&queue.counts));
        }
    }
    if !ours.is_empty() {
        page.metric("weir_shaper_rate_bits", "gauge", "Bits per second that a shaper lets through.");
    }
    for queue in ours {
        let rate = queue.cake.map_or(0, |cake| cake.rate * 8);
        page.value("weir_shaper_rate_bits", &[("interface", name_of(queue).unwrap_or_default())], rate);
    }
}
