//! Network interfaces as rtnetlink describes them.
use crate::netlink::builder::{Message, attributes, text, u32_at};

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
    /// `IFF_LOWER_UP`: has carrier.
    pub running: bool,
    /// In bytes.
    pub mtu: u32,
    /// `bridge`, `vlan`, ...; none for a physical interface.
    pub kind: Option<String>,
    /// The bridge that it is a port of.
    pub master: Option<u32>,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
}

const IFLA_PERM_ADDRESS: u16 = 54;

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
        for (kind, value) in attributes(message.payload.get(16..)?) {
            match kind {
                libc::IFLA_IFNAME => link.name = text(value),
                libc::IFLA_ADDRESS => link.mac = mac(value),
                IFLA_PERM_ADDRESS => link.permanent_mac = mac(value),
                libc::IFLA_MTU => link.mtu = u32_at(value, 0)?,
                libc::IFLA_MASTER => link.master = u32_at(value, 0),
                libc::IFLA_LINKINFO => {
                    link.kind =
                        attributes(value).find(|(kind, _)| *kind == libc::IFLA_INFO_KIND).map(|(_, value)| text(value));
                }
                _ => (),
            }
        }
        Some(link)
    }
}

fn mac(value: &[u8]) -> Option<[u8; 6]> {
    value.try_into().ok().filter(|mac| *mac != [0; 6])
}
