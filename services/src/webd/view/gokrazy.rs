//! gokrazy's overview for programs, by its keys.
use crate::webd::look::Facts;
use crate::webd::snapshot::Said;
use serde_json::{Value, json};

/// The overview. `build` is the image's date.
pub fn overview(facts: &Facts, said: &Said, build: &str) -> Value {
    let rows = said.init["services"].as_array().cloned().unwrap_or_default();
    let services = rows.iter().map(|row| {
        let up = row["uptime_ms"].as_u64().unwrap_or_default();
        let started = facts.wall().shifted(-i64::try_from(up.saturating_mul(1_000_000)).unwrap_or(i64::MAX));
        json!({
            "Stopped": row["state"] == "stopped",
            "StartTime": started,
            "Pid": row["pid"],
            "Path": format!("/user/{}", row["name"].as_str().unwrap_or_default()),
            "Args": null,
            "Diverted": "",
        })
    });
    let uplink = |index: u32| facts.links.iter().any(|link| link.index == index && link.name.starts_with("uplink"));
    let shown = facts.addresses.iter().filter(|address| !address.ip.is_loopback());
    let (public, private): (Vec<_>, Vec<_>) = shown.partition(|address| uplink(address.index));
    let texts = |addresses: Vec<&netstack::address::Address>| -> Vec<String> {
        addresses.iter().map(|address| address.ip.to_string()).collect()
    };
    let (total, free) = facts.perm;
    json!({
        "Services": services.collect::<Vec<_>>(),
        "PermDev": said.init["perm"],
        "PermUsed": total.saturating_sub(free),
        "PermAvail": free,
        "PermTotal": total,
        "PrivateAddrs": texts(private),
        "PublicAddrs": texts(public),
        "BuildTimestamp": build,
        "SBOMHash": "",
        "Meminfo": {"MemTotal": facts.memory.0, "MemAvailable": facts.memory.1},
        "Hostname": facts.hostname,
        "Model": "",
        "PermUUID": "",
        "EEPROM": null,
        "Kernel": format!("Linux {} (x86_64)", facts.kernel),
        "MountDevices": [],
    })
}
