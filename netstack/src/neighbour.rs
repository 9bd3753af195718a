//! Neighbours as rtnetlink describes them: whose hardware address answers for an address.
use crate::address::ip;
use crate::netlink::builder::{Message, attributes, u16_at, u32_at};
use std::net::IpAddr;

/// An address on a link and the hardware address behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The link.
    pub interface: u32,
    /// The address.
    pub address: IpAddr,
    /// The hardware address that answers for it.
    pub mac: [u8; 6],
    /// It has just been heard of: not an entry that only waits to be checked or forgotten.
    pub alive: bool,
}

impl Neighbour {
    /// `None` for one that has not answered, and for what is no Ethernet.
    pub(crate) fn parse(message: &Message<'_>) -> Option<Neighbour> {
        if message.kind != libc::RTM_NEWNEIGH {
            return None;
        }
        // ndmsg: family, padding, index, state, flags, type.
        let family = *message.payload.first()?;
        let interface = u32_at(message.payload, 4)?;
        let state = u16_at(message.payload, 8)?;
        let (mut address, mut mac) = (None, None);
        for (attribute, value) in attributes(message.payload.get(12..)?) {
            match attribute {
                libc::NDA_DST => address = ip(family, value),
                libc::NDA_LLADDR => mac = value.try_into().ok(),
                _ => (),
            }
        }
        let alive = state & libc::NUD_REACHABLE != 0;
        Some(Neighbour { interface, address: address?, mac: mac?, alive })
    }
}
