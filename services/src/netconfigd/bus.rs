//! Where a NIC sits: sysfs, which is the kernel's and lies under no root.
use super::engine::{Bus, bus_of};
use std::fs;
use std::path::Path;

/// The place of a network interface on the machine's buses; `None` for one that is no device (a bridge, a veth).
pub fn of(name: &str) -> Option<Bus> {
    let folder = Path::new("/sys/class/net").join(name);
    let device = fs::canonicalize(folder.join("device")).ok()?;
    let port = fs::read_to_string(folder.join("dev_port")).ok();
    Some(bus_of(&device, port.and_then(|text| text.trim().parse().ok()).unwrap_or_default()))
}
