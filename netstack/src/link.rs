//! Network interfaces as rtnetlink describes them.
use crate::netlink::builder::{Message, attributes, text, u16_at, u32_at};

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// The kernel's number for it.
    pub index: u32,
    /// Its present name.
    pub name: String,
    /// Its present hardware address; none when it has none or all zero.
    pub mac: Option<[u8; 6]>,
    /// The address burnt into it, when the driver tells.
    pub permanent_mac: Option<[u8; 6]>,
    /// `IFF_UP`: switched on.
    pub up: bool,
    /// `IFF_LOWER_UP` and not dormant (RFC 2863, section 3.1.12): has carrier, and whoever has to log in has done so.
    pub running: bool,
    /// In bytes.
    pub mtu: u32,
    /// `bridge`, `vlan`, ...; none for a physical interface.
    pub kind: Option<String>,
    /// The bridge that it is a port of.
    pub master: Option<u32>,
    /// The interface that carries its frames and its VLAN number, when it is a VLAN.
    pub vlan: Option<(u32, u16)>,
    /// Whether it speaks the spanning tree protocol and whether it filters VLANs, when it is a bridge.
    pub bridge: Option<Bridge>,
    /// Whether [`crate::netlink::Change::AddLink`] made it: it carries that change's mark.
    pub ours: bool,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
    /// How often carrier came or went; tells of a flap between two looks.
    pub carrier_changes: u32,
    /// The last router advertisement's M flag: addresses by DHCPv6 (RFC 4861, section 4.2).
    pub managed: bool,
    /// Its O flag: other configuration by DHCPv6.
    pub other_config: bool,
    /// What it has carried since it was made.
    pub statistics: Statistics,
}

/// Options of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bridge {
    /// It speaks the spanning tree protocol (IEEE 802.1D).
    pub stp: bool,
    /// It keeps VLANs apart (IEEE 802.1Q).
    pub vlan_filtering: bool,
}

impl Bridge {
    fn parse(info: &[u8]) -> Bridge {
        let data = attributes(info).find(|(kind, _)| *kind == libc::IFLA_INFO_DATA);
        let mut bridge = Bridge::default();
        for (kind, value) in attributes(data.map(|(_, data)| data).unwrap_or_default()) {
            match kind {
                IFLA_BR_STP_STATE => bridge.stp = u32_at(value, 0).unwrap_or_default() != 0,
                IFLA_BR_VLAN_FILTERING => bridge.vlan_filtering = value.first().is_some_and(|on| *on != 0),
                _ => (),
            }
        }
        bridge
    }
}

/// Counts of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// What came in.
    pub received: Carried,
    /// What went out.
    pub sent: Carried,
}

/// Counts of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Carried {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Packets that were damaged or could not be sent.
    pub errors: u64,
    /// Packets that found no room.
    pub dropped: u64,
}

impl Statistics {
    // struct rtnl_link_stats64: each figure for what came in, then for what went out.
    fn parse(value: &[u8]) -> Statistics {
        let figure = |at: usize| {
            let bytes = value.get(at * 8..at * 8 + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_ne_bytes)
        };
        let direction = |at| Carried {
            packets: figure(at),
            bytes: figure(2 + at),
            errors: figure(4 + at),
            dropped: figure(6 + at),
        };
        Statistics { received: direction(0), sent: direction(1) }
    }
}

/// `IFLA_GROUP` of a link that we have made: the mark comes with the link and goes with it, whoever asks for it.
pub(crate) const OURS: u32 = 0x7765_6972;
/// Within `IFLA_INFO_DATA` of a bridge.
pub(crate) const IFLA_BR_STP_STATE: u16 = 5;
pub(crate) const IFLA_BR_VLAN_FILTERING: u16 = 7;
/// `IFLA_OPERSTATE`: carrier is there, but something has yet to happen before packets get through; all is well.
pub(crate) const IF_OPER_DORMANT: u8 = 5;
pub(crate) const IF_OPER_UP: u8 = 6;
const IFLA_STATS64: u16 = 23;
const IFLA_PERM_ADDRESS: u16 = 54;
/// Within `IFLA_INFO_DATA` of a VLAN.
pub(crate) const IFLA_VLAN_ID: u16 = 1;
/// `IFLA_INET6_FLAGS` within `AF_INET6` within `IFLA_AF_SPEC`, and what the kernel notes there of an advertisement.
const IFLA_INET6_FLAGS: u16 = 1;
const IF_RA_OTHERCONF: u32 = 0x80;
const IF_RA_MANAGED: u32 = 0x40;

impl Link {
    pub(crate) fn parse(message: &Message<'_>) -> Option<Link> {
        if message.kind != libc::RTM_NEWLINK {
            return None;
        }
        let index = u32_at(message.payload, 4)?;
        let flags = u32_at(message.payload, 8)? as i32;
        let mut link = Link {
            index,
            up: flags & libc::IFF_UP != 0,
            running: flags & libc::IFF_LOWER_UP != 0,
            loopback: flags & libc::IFF_LOOPBACK != 0,
            ..Link::default()
        };
        let (mut carrier, mut vlan_id) = (None, None);
        for (kind, value) in attributes(message.payload.get(16..)?) {
            match kind {
                libc::IFLA_LINK => carrier = u32_at(value, 0),
                libc::IFLA_IFNAME => link.name = text(value),
                libc::IFLA_ADDRESS => link.mac = mac(value),
                IFLA_PERM_ADDRESS => link.permanent_mac = mac(value),
                libc::IFLA_OPERSTATE => link.running &= value.first() != Some(&IF_OPER_DORMANT),
                libc::IFLA_MTU => link.mtu = u32_at(value, 0)?,
                libc::IFLA_CARRIER_CHANGES => link.carrier_changes = u32_at(value, 0)?,
                libc::IFLA_AF_SPEC => {
                    let flags = ipv6_flags(value).unwrap_or_default();
                    link.managed = flags & IF_RA_MANAGED != 0;
                    link.other_config = flags & IF_RA_OTHERCONF != 0;
                }
                IFLA_STATS64 => link.statistics = Statistics::parse(value),
                libc::IFLA_GROUP => link.ours = u32_at(value, 0) == Some(OURS),
                libc::IFLA_MASTER => link.master = u32_at(value, 0),
                libc::IFLA_LINKINFO => {
                    link.kind =
                        attributes(value).find(|(kind, _)| *kind == libc::IFLA_INFO_KIND).map(|(_, value)| text(value));
                    vlan_id = vlan_number(value);
                    link.bridge = (link.kind.as_deref() == Some("bridge")).then(|| Bridge::parse(value));
                }
                _ => (),
            }
        }
        if link.kind.as_deref() == Some("vlan") {
            link.vlan = carrier.zip(vlan_id);
        }
        Some(link)
    }
}

fn ipv6_flags(families: &[u8]) -> Option<u32> {
    let (_, ipv6) = attributes(families).find(|(family, _)| i32::from(*family) == libc::AF_INET6)?;
    let (_, flags) = attributes(ipv6).find(|(kind, _)| *kind == IFLA_INET6_FLAGS)?;
    u32_at(flags, 0)
}

fn vlan_number(info: &[u8]) -> Option<u16> {
    let (_, data) = attributes(info).find(|(kind, _)| *kind == libc::IFLA_INFO_DATA)?;
    let (_, number) = attributes(data).find(|(kind, _)| *kind == IFLA_VLAN_ID)?;
    u16_at(number, 0)
}

fn mac(value: &[u8]) -> Option<[u8; 6]> {
    value.try_into().ok().filter(|mac| *mac != [0; 6])
}
