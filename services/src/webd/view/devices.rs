//! Who is at home.
use super::metrics;
use crate::webd::look::Facts;
use crate::webd::snapshot::Said;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Seen within this time a device counts as here.
const HERE: Duration = Duration::from_secs(300);

/// Every device, those that are here first, then by name.
pub fn devices(facts: &Facts, said: &Said) -> Value {
    let mut traffic: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for found in metrics::of(&said.netconfigd, "weir_device_bytes_total") {
        let label = |name: &str| found.labels.get(name).map(String::as_str).unwrap_or_default();
        let sums = traffic.entry(label("hardware_addr").to_owned()).or_default();
        match label("direction") {
            "in" => sums.0 = found.value as u64,
            _ => sums.1 = found.value as u64,
        }
    }
    let rows = facts.devices.iter().flatten().map(|device| {
        let mac = device.hardware_addr.to_string();
        let sums = traffic.get(&mac).copied();
        let here = facts.wall().since(device.last_seen) < HERE;
        let row = json!({
            "hardware_addr": mac,
            "name": device.name,
            "own_name": device.dhcp_name,
            "given_name": device.override_name,
            "fixed_name": device.fixed_name,
            "vendor": device.vendor,
            "interface": device.interface,
            "ipv4": device.ipv4,
            "ipv6": device.ipv6,
            "here": here,
            "first_seen": device.first_seen,
            "last_seen": device.last_seen,
            "seen_s": facts.wall().since(device.last_seen).as_secs(),
            "reserved": facts.reserved.contains(&mac),
            "received_bytes": sums.map(|sums| sums.0),
            "sent_bytes": sums.map(|sums| sums.1),
        });
        ((!here, device.name.is_empty(), device.name.clone(), mac), row)
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut missing = said.missing.clone();
    missing.retain(|name| *name == "netconfigd");
    if facts.devices.is_none() {
        missing.push("deviced");
    }
    json!({"devices": rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>(), "missing": missing})
}
