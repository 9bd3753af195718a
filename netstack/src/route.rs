//! Routes as rtnetlink describes them.
use crate::address::{family, ip, octets};
use crate::netlink::builder::{Builder, Message, attributes, u32_at};
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// Destination; `0.0.0.0/0` or `::/0` is the default route.
    pub destination: IpNet,
    /// Next hop; none = on the link.
    pub gateway: Option<IpAddr>,
    /// Interface that it leaves by.
    pub interface: Option<u32>,
    /// Source address that the router itself prefers on it.
    pub source: Option<IpAddr>,
    /// Who made it: `RTPROT_KERNEL` 2, `RTPROT_BOOT` 3, `RTPROT_STATIC` 4, `RTPROT_DHCP` 16.
    pub protocol: u8,
    /// `RT_SCOPE_UNIVERSE` 0, `RT_SCOPE_LINK` 253, `RT_SCOPE_HOST` 254.
    pub scope: u8,
    /// `RT_TABLE_MAIN` 254, `RT_TABLE_LOCAL` 255.
    pub table: u32,
    /// `RTN_UNICAST` 1, `RTN_LOCAL` 2, `RTN_UNREACHABLE` 7, ...
    pub kind: u8,
    /// Metric; 0 reads as none.
    pub metric: u32,
}

/// `RTPROT_DHCP`: made from a lease.
pub const RTPROT_DHCP: u8 = 16;

impl Route {
    /// A unicast route of the main table; scope follows from whether there is a gateway.
    pub fn new(destination: IpNet, interface: u32, gateway: Option<IpAddr>, protocol: u8) -> Route {
        let on_link = gateway.is_none() && matches!(destination, IpNet::V4(_));
        Route {
            destination,
            gateway,
            interface: Some(interface),
            source: None,
            protocol,
            scope: if on_link { libc::RT_SCOPE_LINK } else { libc::RT_SCOPE_UNIVERSE },
            table: u32::from(libc::RT_TABLE_MAIN),
            kind: libc::RTN_UNICAST,
            metric: 0,
        }
    }

    /// Answers what goes to `destination`, and to no longer prefix within it, with "unreachable".
    pub fn unreachable(destination: IpNet, protocol: u8) -> Route {
        let scope = libc::RT_SCOPE_UNIVERSE;
        Route { interface: None, scope, kind: libc::RTN_UNREACHABLE, ..Route::new(destination, 0, None, protocol) }
    }

    pub(crate) fn parse(message: &Message<'_>) -> Option<Route> {
        if message.kind != libc::RTM_NEWROUTE {
            return None;
        }
        let &[family, length, _, _, table, protocol, scope, kind, ..] = message.payload else { return None };
        let any = if i32::from(family) == libc::AF_INET {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        let mut route = Route {
            destination: IpNet::new(any, 0).ok()?,
            gateway: None,
            interface: None,
            source: None,
            protocol,
            scope,
            table: u32::from(table),
            kind,
            metric: 0,
        };
        for (attribute, value) in attributes(message.payload.get(12..)?) {
            match attribute {
                libc::RTA_DST => route.destination = IpNet::new(ip(family, value)?, length).ok()?,
                libc::RTA_GATEWAY => route.gateway = ip(family, value),
                libc::RTA_OIF => route.interface = u32_at(value, 0),
                libc::RTA_PREFSRC => route.source = ip(family, value),
                libc::RTA_TABLE => route.table = u32_at(value, 0)?,
                libc::RTA_PRIORITY => route.metric = u32_at(value, 0)?,
                _ => (),
            }
        }
        Some(route)
    }

    /// The rtmsg and its attributes.
    pub(crate) fn write(&self, builder: &mut Builder) {
        let table = u8::try_from(self.table).unwrap_or(libc::RT_TABLE_UNSPEC);
        let length = self.destination.prefix_len();
        let network = self.destination.network();
        builder.raw(&[family(&network), length, 0, 0, table, self.protocol, self.scope, self.kind]).raw(&[0; 4]);
        if length > 0 {
            builder.bytes(libc::RTA_DST, &octets(&network));
        }
        if let Some(gateway) = &self.gateway {
            builder.bytes(libc::RTA_GATEWAY, &octets(gateway));
        }
        if let Some(interface) = self.interface {
            builder.u32(libc::RTA_OIF, interface);
        }
        if let Some(source) = &self.source {
            builder.bytes(libc::RTA_PREFSRC, &octets(source));
        }
        if self.metric != 0 {
            builder.u32(libc::RTA_PRIORITY, self.metric);
        }
        builder.u32(libc::RTA_TABLE, self.table);
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.destination)?;
        self.gateway.map_or(Ok(()), |gateway| write!(f, " via {gateway}"))
    }
}
