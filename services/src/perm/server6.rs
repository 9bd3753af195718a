//! What `/perm/dhcp4d/config.json` says of DHCPv6 on a LAN: dhcp4d serves by it, radvd tells hosts that somebody does.
use super::file;
use super::json::{self, or_zero};
use serde::Deserialize;
use std::net::Ipv6Addr;
use std::path::Path;

/// `dhcpv6` of a LAN; all of it is optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dhcpv6 {
    /// Nobody is answered.
    pub off: bool,
    /// Addresses are given, not configuration alone.
    pub addresses: bool,
    /// Preferred lifetime of an address; its valid one is twice as long.
    pub lease_seconds: Option<u64>,
    /// Option 23, in place of the router.
    pub dns: Option<Vec<Ipv6Addr>>,
    /// Options 31 and 56.
    pub ntp: Option<Vec<Ipv6Addr>>,
}

/// What hosts of a LAN are told of it (RFC 4861, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// M: addresses are to be had.
    pub managed: bool,
    /// O: other configuration is.
    pub other: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Lan {
    name: Option<String>,
    off: bool,
    dhcpv6: Option<Dhcpv6>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Lans {
    #[serde(deserialize_with = "or_zero")]
    lans: Vec<Lan>,
}

/// The file under a root, for who only wants to know the flags. What cannot be read counts as empty, as it does for dhcp4d,
/// which complains of it.
#[derive(Default)]
pub struct Served(Lans);

impl Served {
    /// Reads it.
    pub fn read(root: &Path) -> Served {
        let path = file::in_force(root, rights::SERVER4);
        let bytes = file::read(&path).ok().flatten().unwrap_or_default();
        Served(json::parse(&path, &bytes).unwrap_or_default())
    }

    /// The flags of a LAN.
    pub fn flags(&self, lan: &str) -> Flags {
        let found = self.0.lans.iter().find(|one| one.name.as_deref() == Some(lan));
        let wanted = found.and_then(|one| one.dhcpv6.clone()).unwrap_or_default();
        let off = wanted.off || found.is_some_and(|one| one.off);
        Flags { managed: !off && wanted.addresses, other: !off }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    #[test]
    fn a_lan_is_served_unless_somebody_says_no() {
        let folder = Folder::new();
        let flags = |text: &str| {
            std::fs::create_dir_all(folder.0.join("perm/dhcp4d")).unwrap();
            std::fs::write(folder.0.join("perm/dhcp4d/config.json"), text).unwrap();
            let served = Served::read(&folder.0);
            ["lan0", "lan1"].map(|lan| served.flags(lan)).map(|Flags { managed, other }| (managed, other))
        };
        assert_eq!(flags("{}"), [(false, true); 2]);
        assert_eq!(flags("no json"), [(false, true); 2]);
        let text = r#"{"lans":[{"name":"lan0","mtu":1400,"dhcpv6":{"addresses":true}},{"name":"lan1","off":true}]}"#;
        assert_eq!(flags(text), [(true, true), (false, false)]);
        let text = r#"{"lans":[{"name":"lan1","dhcpv6":{"off":true,"addresses":true}}]}"#;
        assert_eq!(flags(text), [(false, true), (false, false)]);
    }
}
