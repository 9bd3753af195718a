//! `/perm/dhcp4/wire/lease.json`: the configuration that dhcp4 obtained for the uplink (router7's keys).
use super::interfaces::Interfaces;
use super::json::{self, Refusal, or_zero};
use super::{WallTime, file};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::Path;

/// The uplink's DHCPv4 lease. Its end is not written: the configuration stays until another arrives.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lease4 {
    /// When it is to be renewed (now + T1), not when it runs out.
    #[serde(deserialize_with = "or_zero")]
    pub valid_until: WallTime,
    /// The uplink's address; empty text in a file without one.
    #[serde(deserialize_with = "or_zero")]
    pub client_ip: String,
    /// Dotted mask.
    #[serde(deserialize_with = "or_zero")]
    pub subnet_mask: String,
    /// Default gateway (of option 121 where there is one, else option 3); empty without one.
    #[serde(deserialize_with = "or_zero")]
    pub router: String,
    /// DNS servers in the server's order; null when there is none.
    pub dns: Option<Vec<String>>,
    /// Not router7's: the uplink's MTU in bytes (option 26); 0 = not said.
    #[serde(deserialize_with = "or_zero", skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// Not router7's: routes of options 121 and 33, without the default route: its gateway is `router`.
    #[serde(deserialize_with = "or_zero", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Not router7's: domain name (option 15).
    #[serde(deserialize_with = "or_zero", skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Not router7's: host name that the server gave (option 12).
    #[serde(deserialize_with = "or_zero", skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Not router7's: time servers (option 42).
    #[serde(deserialize_with = "or_zero", skip_serializing_if = "Vec::is_empty")]
    pub ntp: Vec<Ipv4Addr>,
}

/// A route that came with the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destination, host bits zero.
    pub destination: Ipv4Net,
    /// Next hop; 0.0.0.0 = on the link.
    pub gateway: Ipv4Addr,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A lease whose texts were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The uplink's address and its prefix length, 0 to 32.
    pub address: (Ipv4Addr, u8),
    /// Default gateway.
    pub router: Option<Ipv4Addr>,
    /// DNS servers; what is not an IPv4 address is left out.
    pub dns: Vec<Ipv4Addr>,
    /// MTU in bytes, 576 to 65,535.
    pub mtu: Option<u32>,
    /// Further routes.
    pub routes: Vec<Route>,
}

impl Lease4 {
    /// Checks each field; `file` is named in the refusal.
    ///
    /// # Errors
    /// When address or mask are missing or malformed, or the router is malformed.
    pub fn check(&self, file: &Path) -> Result<Checked, Refusal> {
        let address = |field: &str, text: &str| {
            text.parse::<Ipv4Addr>()
                .map_err(|_| Refusal::field(file, field, format!("{text:?} is not an IPv4 address")))
        };
        let mask = u32::from(address("subnet_mask", &self.subnet_mask)?);
        if mask.count_ones() != mask.leading_ones() {
            return Err(Refusal::field(file, "subnet_mask", format!("{:?} has holes", self.subnet_mask)));
        }
        Ok(Checked {
            address: (address("client_ip", &self.client_ip)?, mask.leading_ones() as u8),
            router: if self.router.is_empty() { None } else { Some(address("router", &self.router)?) },
            dns: self.dns.iter().flatten().filter_map(|text| text.parse().ok()).collect(),
            mtu: Some(self.mtu).filter(|mtu| (576..=65_535).contains(mtu)),
            routes: self.routes.clone(),
        })
    }
}

/// Where the uplink's configuration is: dhcp4's lease, or that of its PPPoE session.
pub fn in_force(interfaces: &Interfaces) -> &'static str {
    let session = interfaces.uplink().is_some_and(|uplink| uplink.pppoe.is_some());
    if session { rights::LEASE_PPPOE } else { rights::LEASE4 }
}

/// Reads and checks the lease; `None` when there is none yet.
///
/// # Errors
/// When the file cannot be read or is not a lease.
pub fn read(path: &Path) -> Result<Option<Checked>, Refusal> {
    match file::read(path) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => json::parse::<Lease4>(path, &bytes)?.check(path).map(Some),
        Err(error) => Err(Refusal::field(path, "the file", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_router7_wrote() {
        let text = br#"{"valid_until":"2018-05-18T23:46:04.429895261+02:00","client_ip":"85.195.207.62","subnet_mask":"255.255.255.128","router":"85.195.207.1","dns":["77.109.128.2","213.144.129.20"]}"#;
        let lease: Lease4 = json::parse(Path::new("lease.json"), text).unwrap();
        let checked = lease.check(Path::new("lease.json")).unwrap();
        assert_eq!(checked.address, (Ipv4Addr::new(85, 195, 207, 62), 25));
        assert_eq!(checked.router, Some(Ipv4Addr::new(85, 195, 207, 1)));
        assert_eq!(checked.dns.len(), 2);
    }

    #[test]
    fn a_refusal_names_the_field_and_the_value() {
        let lease = Lease4 { client_ip: "1.2.3.4".into(), subnet_mask: "255.0.255.0".into(), ..Lease4::default() };
        let error = lease.check(Path::new("lease.json")).unwrap_err().to_string();
        assert_eq!(error, "lease.json: subnet_mask: \"255.0.255.0\" has holes");
        assert!(Lease4::default().check(Path::new("x")).is_err());
    }
}
