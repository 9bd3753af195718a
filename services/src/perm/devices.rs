//! `/run/deviced/devices.json`: every device at home, kept by deviced and read by all who show or name one.
//!
//! It lies in memory and begins anew with each boot; what a person has fixed and when a device was first seen is kept
//! under `/perm/deviced`.
use super::json::{self, Refusal, or_zero};
use super::{Mac, WallTime, file};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// One device, known by its hardware address on one LAN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its hardware address, lower-case with colons.
    pub hardware_addr: Mac,
    /// The LAN's interface on which it was seen last.
    #[serde(default, deserialize_with = "or_zero")]
    pub interface: String,
    /// The name that holds: fixed before overridden before its own; empty when it has none. One DNS label, lower-case.
    #[serde(default, deserialize_with = "or_zero")]
    pub name: String,
    /// What it calls itself when it asks for an address.
    #[serde(default, deserialize_with = "or_zero")]
    pub dhcp_name: String,
    /// The name that was given to its lease.
    #[serde(default, deserialize_with = "or_zero")]
    pub override_name: String,
    /// The name that a person has fixed to the hardware address.
    #[serde(default, deserialize_with = "or_zero")]
    pub fixed_name: String,
    /// Who made its network interface, by the first half of its hardware address; empty when unknown.
    #[serde(default, deserialize_with = "or_zero")]
    pub vendor: String,
    /// The addresses of its leases that have not run out, then others that it was seen to use.
    #[serde(default, deserialize_with = "or_zero")]
    pub ipv4: Vec<Ipv4Addr>,
    /// Global and unique local addresses that it was seen to use.
    #[serde(default, deserialize_with = "or_zero")]
    pub ipv6: Vec<Ipv6Addr>,
    /// When it was first seen, over all boots.
    #[serde(default, deserialize_with = "or_zero")]
    pub first_seen: WallTime,
    /// When it was last seen.
    #[serde(default, deserialize_with = "or_zero")]
    pub last_seen: WallTime,
}

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Devices {
    /// Every device, by hardware address.
    #[serde(default, deserialize_with = "or_zero")]
    pub devices: Vec<Device>,
}

/// Reads the table under a root; `None` when deviced has not written it yet.
///
/// # Errors
/// When the file cannot be read or is no table of devices.
pub fn read(root: &Path) -> Result<Option<Devices>, Refusal> {
    let path = root.join(rights::DEVICES.trim_start_matches('/'));
    let bytes = file::read(&path).map_err(|error| Refusal::field(&path, "the file", error))?;
    bytes.map(|bytes| json::parse(&path, &bytes)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    #[test]
    fn what_is_written_is_read() {
        let folder = Folder::new();
        assert_eq!(read(&folder.0).unwrap(), None);
        let device = Device {
            hardware_addr: "02:00:5e:10:00:07".parse().unwrap(),
            interface: "lan0".to_owned(),
            name: "camera".to_owned(),
            dhcp_name: "ESP_1234".to_owned(),
            override_name: String::new(),
            fixed_name: "camera".to_owned(),
            vendor: "Example".to_owned(),
            ipv4: vec![Ipv4Addr::new(192, 168, 42, 7)],
            ipv6: vec!["2001:db8::7".parse().unwrap()],
            first_seen: WallTime::from_unix(1_700_000_000),
            last_seen: WallTime::from_unix(1_800_000_000),
        };
        let devices = Devices { devices: vec![device] };
        let path = folder.0.join("run/deviced/devices.json");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, serde_json::to_vec(&devices).unwrap()).unwrap();
        assert_eq!(read(&folder.0).unwrap(), Some(devices));
        std::fs::write(&path, r#"{"devices":[{"hardware_addr":"02:00:5e:10:00:07","ipv4":null}]}"#).unwrap();
        assert_eq!(read(&folder.0).unwrap().unwrap().devices[0].name, "");
    }
}
