//! Addresses on interfaces as rtnetlink describes them.
use crate::netlink::builder::{Builder, Message, attributes, u32_at};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Since Linux 5.18; an older kernel passes over it.
const IFA_PROTO: u16 = 11;

/// One address on one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    /// The interface.
    pub index: u32,
    /// The address itself (`IFA_LOCAL`).
    pub ip: IpAddr,
    /// Prefix length: 0 to 32, or 0 to 128.
    pub prefix: u8,
    /// `IFA_F_TENTATIVE`: IPv6 duplicate detection is not done, it cannot be bound yet.
    pub tentative: bool,
    /// `IFA_F_PERMANENT`: its valid lifetime has no end.
    pub permanent: bool,
    /// `IFA_F_DEPRECATED`: its preferred lifetime is over, it is no source for new connections (IPv6 only).
    pub deprecated: bool,
    /// Who made it (`IFA_PROTO`): 0 nobody said, 1 to 3 the kernel, else as [`crate::route::Route::protocol`].
    pub protocol: u8,
    /// `RT_SCOPE_*`.
    pub scope: u8,
}

impl Address {
    /// A permanent address as one would write it down.
    pub fn new(index: u32, ip: IpAddr, prefix: u8) -> Address {
        let scope = libc::RT_SCOPE_UNIVERSE;
        Address { index, ip, prefix, tentative: false, permanent: true, deprecated: false, protocol: 0, scope }
    }

    /// Equal in what a person chooses: interface, address, prefix length.
    pub fn same(&self, other: &Address) -> bool {
        (self.index, self.ip, self.prefix) == (other.index, other.ip, other.prefix)
    }

    pub(crate) fn parse(message: &Message<'_>) -> Option<Address> {
        if message.kind != libc::RTM_NEWADDR {
            return None;
        }
        let &[family, prefix, flags, scope, ..] = message.payload else { return None };
        let mut flags = u32::from(flags);
        let (mut address, mut local, mut protocol) = (None, None, 0);
        for (kind, value) in attributes(message.payload.get(8..)?) {
            match kind {
                libc::IFA_ADDRESS => address = ip(family, value),
                libc::IFA_LOCAL => local = ip(family, value),
                IFA_PROTO => protocol = value.first().copied().unwrap_or_default(),
                libc::IFA_FLAGS => flags = u32_at(value, 0)?,
                _ => (),
            }
        }
        Some(Address {
            index: u32_at(message.payload, 4)?,
            ip: local.or(address)?,
            prefix,
            tentative: flags & libc::IFA_F_TENTATIVE != 0,
            permanent: flags & libc::IFA_F_PERMANENT != 0,
            deprecated: flags & libc::IFA_F_DEPRECATED != 0,
            protocol,
            scope,
        })
    }

    /// The ifaddrmsg and its attributes.
    pub(crate) fn write(&self, builder: &mut Builder) {
        let family = family(&self.ip);
        builder.raw(&[family, self.prefix, libc::IFA_F_PERMANENT as u8, self.scope]).raw(&self.index.to_ne_bytes());
        let bytes = octets(&self.ip);
        builder.bytes(libc::IFA_LOCAL, &bytes).bytes(libc::IFA_ADDRESS, &bytes);
        if self.protocol != 0 {
            builder.u8(IFA_PROTO, self.protocol);
        }
        if self.ip.is_ipv6() {
            // ifa_cacheinfo: preferred and valid lifetime, two time stamps that the kernel fills.
            let preferred = if self.deprecated { 0 } else { u32::MAX };
            let lifetimes: Vec<u8> = [preferred, u32::MAX, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
            builder.bytes(libc::IFA_CACHEINFO, &lifetimes);
        }
        if let IpAddr::V4(ip) = self.ip
            && self.prefix <= 30
        {
            let broadcast = u32::from(ip) | u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
            builder.bytes(libc::IFA_BROADCAST, &broadcast.to_be_bytes());
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

/// `AF_INET` or `AF_INET6` as the one byte that rtnetlink wants.
pub(crate) fn family(ip: &IpAddr) -> u8 {
    if ip.is_ipv4() { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 }
}

/// The address's bytes in network order.
pub(crate) fn octets(ip: &IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The address that an attribute of a message of this family holds.
pub(crate) fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?))),
        libc::AF_INET6 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?))),
        _ => None,
    }
}
