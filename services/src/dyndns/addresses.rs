//! Which address a record shall have, out of those that the kernel has and the devices at home.
use super::config::{Owner, Record};
use crate::perm::Mac;
use crate::perm::devices::Devices;
use crate::perm::entries::Device;
use netstack::address::Address;
use netstack::link::Link;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The LAN of who is in none that is known.
const LAN: &str = "lan0";

/// What is looked at.
#[derive(Debug, Default)]
pub struct Sight {
    /// The interface towards the internet.
    pub uplink: String,
    /// Interfaces.
    pub links: Vec<Link>,
    /// Their addresses.
    pub addresses: Vec<Address>,
    /// Who is at home.
    pub devices: Devices,
}

impl Sight {
    /// The address of a record.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn of(&self, record: &Record) -> Result<IpAddr, String> {
        let address = match &record.owner {
            Owner::Router if record.ipv6 => {
                // Where the provider gives the uplink none, any address of the router's is reached as well.
                let own = self.global6(&self.uplink).or_else(|| self.global6(LAN));
                own.map(IpAddr::V6).ok_or_else(|| format!("{} and {LAN} have no IPv6 address", self.uplink))?
            }
            Owner::Router => {
                let first = self.on(&self.uplink).find_map(|address| match address.ip {
                    IpAddr::V4(ip) => Some(ip),
                    IpAddr::V6(_) => None,
                });
                first.map(IpAddr::V4).ok_or_else(|| format!("{} has no IPv4 address", self.uplink))?
            }
            Owner::Machine { lan, suffix, device } => {
                self.machine(lan.as_deref(), *suffix, device.as_ref()).map(IpAddr::V6)?
            }
        };
        match address {
            IpAddr::V4(ip) if !record.private && is_inner(ip) => Err(format!(
                "{ip} is no address of the internet: the provider shares one among several (see \"private\")"
            )),
            address => Ok(address),
        }
    }

    fn on(&self, name: &str) -> impl Iterator<Item = &Address> {
        let index = self.links.iter().find(|link| link.name == name).map(|link| link.index);
        let usable = |address: &&Address| !address.tentative && !address.deprecated;
        self.addresses.iter().filter(move |address| Some(address.index) == index).filter(usable)
    }

    /// The first global IPv6 address of an interface; one that the provider has given comes before a temporary one.
    fn global6(&self, name: &str) -> Option<Ipv6Addr> {
        self.on(name).find_map(|address| match address.ip {
            // 2000::/3 is what the internet has.
            IpAddr::V6(ip) if ip.octets().first().is_some_and(|byte| byte & 0xe0 == 0x20) => Some(ip),
            _ => None,
        })
    }

    fn machine(&self, lan: Option<&str>, suffix: Option<u64>, device: Option<&Device>) -> Result<Ipv6Addr, String> {
        let known = device.and_then(|device| {
            self.devices.devices.iter().find(|known| match device {
                Device::Named(name) => known.name == *name,
                Device::Hardware(mac) => known.hardware_addr == *mac,
                Device::Address(address) => known.ipv4.contains(address),
            })
        });
        let suffix = match (suffix, device) {
            (Some(suffix), _) => suffix,
            (None, Some(Device::Hardware(mac))) => eui64(*mac),
            (None, Some(device)) => {
                let known = known.ok_or_else(|| format!("no device at home is {device}"))?;
                eui64(known.hardware_addr)
            }
            (None, None) => return Err("it is nobody's".to_owned()),
        };
        let seen = known.map(|known| known.interface.as_str()).filter(|name| !name.is_empty());
        let lan = lan.or(seen).unwrap_or(LAN);
        let prefix = self.global6(lan).ok_or_else(|| format!("{lan} has no prefix of the internet"))?;
        Ok(Ipv6Addr::from(u128::from(prefix) >> 64 << 64 | u128::from(suffix)))
    }
}

/// The half of an address that follows from a hardware address (RFC 4291, appendix A).
fn eui64(Mac([a, b, c, d, e, f]): Mac) -> u64 {
    u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// Addresses that nobody on the internet reaches.
fn is_inner(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || (a == 100 && b & 0xc0 == 64)
}
