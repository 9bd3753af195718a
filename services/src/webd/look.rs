//! What files and the kernel say, gathered for the documents. Reads and nothing else; what cannot be read is said not to be.
use super::gate::Names;
use super::identity;
use crate::house::House;
use crate::perm::devices::{self, Device};
use crate::perm::interfaces::Interfaces;
use crate::perm::lease4::{self, Lease4};
use crate::perm::lease6;
use crate::perm::resolver::Resolver;
use crate::perm::stamp::Clock;
use crate::perm::{WallTime, file, json};
use netstack::address::Address;
use netstack::link::Link;
use netstack::netlink::Netlink;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// What there is to show.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The router's name.
    pub hostname: String,
    /// The kernel's release.
    pub kernel: String,
    /// Boot and wall time.
    pub clock: Clock,
    /// Every interface.
    pub links: Vec<Link>,
    /// Every address.
    pub addresses: Vec<Address>,
    /// The gateway towards the internet.
    pub gateway: Option<IpAddr>,
    /// What the interfaces are.
    pub interfaces: Interfaces,
    /// Whether a person has said so.
    pub is_written: bool,
    /// The uplink's lease.
    pub lease4: Option<Lease4>,
    /// What dhcp6 holds.
    pub lease6: Option<lease6::Checked>,
    /// Everybody at home; none while deviced has not said.
    pub devices: Option<Vec<Device>>,
    /// Hardware addresses with an address of their own in dhcp4d's file.
    pub reserved: BTreeSet<String>,
    /// Bytes of memory: in all, and to be had.
    pub memory: (u64, u64),
    /// Bytes of `/perm`: in all, and free.
    pub perm: (u64, u64),
}

impl Facts {
    /// As they are now.
    pub fn read(house: &House, netlink: &mut Netlink, gateway: Option<IpAddr>) -> Facts {
        let interfaces = Interfaces::read(&house.path(rights::APPLIED)).ok().flatten();
        let is_written = file::in_force(house.root(), rights::INTERFACES).is_file();
        let interfaces = interfaces.unwrap_or_else(Interfaces::defaults);
        let clock = Clock::read();
        let path = house.path(lease4::in_force(&interfaces));
        let lease4 = file::read(&path).ok().flatten().and_then(|bytes| json::parse(&path, &bytes).ok());
        Facts {
            hostname: hostname(),
            kernel: text("/proc/sys/kernel/osrelease"),
            links: netlink.links().unwrap_or_default(),
            addresses: netlink.addresses().unwrap_or_default(),
            gateway,
            lease4,
            lease6: lease6::read(&house.path(rights::LEASE6), &clock).ok().flatten(),
            devices: devices::read(house.root()).ok().flatten().map(|devices| devices.devices),
            reserved: reserved(house),
            memory: memory(),
            perm: perm(house),
            interfaces,
            is_written,
            clock,
        }
    }

    /// Now, on the wall.
    pub fn wall(&self) -> WallTime {
        self.clock.wall
    }
}

/// What the router is called, and the domains that its name server answers for.
pub fn names(house: &House) -> Names {
    let resolver = Resolver::read(house.root()).unwrap_or_default();
    let mut domains = vec![crate::perm::resolver::DOMAIN.to_owned()];
    domains.extend(resolver.lan_domains.into_values());
    Names { names: resolver.names.into_iter().map(|(name, _)| name).collect(), domains }
}

/// What its own certificate has to be for.
pub fn certified(house: &House, served: &[SocketAddr]) -> Vec<String> {
    let resolver = Resolver::read(house.root()).unwrap_or_default();
    identity::names(&hostname(), resolver.domain_of("lan0"), &resolver.names, served)
}

/// Seconds since 1970 by the clock, which says nothing true while it is before the image.
pub fn not_before_the_image() -> u64 {
    u64::try_from(WallTime::now().max(made()).unix()).unwrap_or_default()
}

/// When the image was made: the date of every file in it.
pub fn built() -> String {
    serde_json::to_value(made()).ok().and_then(|at| at.as_str().map(str::to_owned)).unwrap_or_default()
}

fn made() -> WallTime {
    let made = std::fs::metadata("/proc/self/exe").and_then(|found| found.modified()).ok();
    let since = made.and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    WallTime::from_nanos(i64::try_from(since.as_nanos()).unwrap_or_default())
}

fn hostname() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn reserved(house: &House) -> BTreeSet<String> {
    let path = file::in_force(house.root(), rights::SERVER4);
    let bytes = file::read(&path).ok().flatten().unwrap_or_default();
    let value: serde_json::Value = json::parse(&path, &bytes).unwrap_or_default();
    let lans = ["lans", "relayed"].into_iter().filter_map(|key| value[key].as_array()).flatten();
    let entries = lans.filter_map(|lan| lan["reservations"].as_array()).flatten();
    entries.filter_map(|entry| entry["hardware_addr"].as_str()).map(str::to_ascii_lowercase).collect()
}

fn memory() -> (u64, u64) {
    let all = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let of = |key: &str| {
        let line = all.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse::<u64>().ok());
        number.unwrap_or_default().saturating_mul(1_024)
    };
    (of("MemTotal:"), of("MemAvailable:"))
}

fn perm(house: &House) -> (u64, u64) {
    let found = nix::sys::statvfs::statvfs(&house.path("/perm"));
    found.map_or((0, 0), |found| {
        let size = found.fragment_size();
        (found.blocks().saturating_mul(size), found.blocks_available().saturating_mul(size))
    })
}
