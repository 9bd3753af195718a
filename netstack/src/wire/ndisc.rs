//! Router solicitations and advertisements (RFC 4861, sections 4.1, 4.2 and 4.6) with the options of RFC 4191, 8106,
//! 8781 and 8910. smoltcp's advertisement holds one prefix and none of these options.
//!
//! Messages are those of a raw ICMPv6 socket: from the type byte on. The kernel fills and checks the checksum.
use ipnet::Ipv6Net;
use std::net::Ipv6Addr;

/// ICMPv6 type of a router solicitation.
pub const SOLICITATION: u8 = 133;
/// ICMPv6 type of a router advertisement.
pub const ADVERTISEMENT: u8 = 134;
/// The hop limit that proves that no router has forwarded the packet.
pub const HOP_LIMIT: u8 = 255;
/// Every host of a link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Every router of a link.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// Bytes of a solicitation and of an advertisement before their options.
const FIXED: (usize, usize) = (8, 16);
const SOURCE_LINK: u8 = 1;
const PREFIX: u8 = 3;
const MTU: u8 = 5;
const ROUTE: u8 = 24;
const RDNSS: u8 = 25;
const DNSSL: u8 = 31;
const CAPTIVE_PORTAL: u8 = 37;
const PREF64: u8 = 38;
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;
const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;
/// Prefix lengths of PREF64 by their code (RFC 8781, section 4).
const PREF64_LENGTHS: [u8; 6] = [96, 64, 56, 48, 40, 32];

/// Prefix information (RFC 4861, section 4.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// Host bits zero.
    pub prefix: Ipv6Net,
    /// L: addresses in it are on this link.
    pub on_link: bool,
    /// A: hosts may make themselves addresses in it (RFC 4862).
    pub autonomous: bool,
    /// Valid lifetime in seconds; `u32::MAX` = without end.
    pub valid: u32,
    /// Preferred lifetime in seconds; `u32::MAX` = without end.
    pub preferred: u32,
}

/// An option of an advertisement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Prefix information.
    Prefix(Prefix),
    /// Route information (RFC 4191, section 2.3) of medium preference: a prefix reached by this router, lifetime in
    /// seconds.
    Route(Ipv6Net, u32),
    /// DNS servers (RFC 8106, section 5.1) and their lifetime in seconds.
    Rdnss(Vec<Ipv6Addr>, u32),
    /// Search list (RFC 8106, section 5.2) and its lifetime in seconds.
    Dnssl(Vec<String>, u32),
    /// MTU of the link, in bytes.
    Mtu(u32),
    /// The router's hardware address.
    SourceLink([u8; 6]),
    /// NAT64's prefix (RFC 8781), of length 96, 64, 56, 48, 40 or 32, and its lifetime, 0 to 65,528 seconds.
    Pref64(Ipv6Net, u32),
    /// Where a captive portal's API is (RFC 8910).
    CaptivePortal(String),
}

/// A router advertisement of medium preference.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advertisement {
    /// Cur Hop Limit for hosts; 0 = not said.
    pub hop_limit: u8,
    /// M: addresses by DHCPv6.
    pub managed: bool,
    /// O: other configuration by DHCPv6.
    pub other_config: bool,
    /// Seconds for which the router is a default router; 0 = it is none.
    pub router_lifetime: u16,
    /// Options in their order.
    pub items: Vec<Item>,
}

/// A router solicitation that a router has to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solicitation {
    /// Who asks; unspecified when it has no address yet.
    pub source: Ipv6Addr,
}

impl Solicitation {
    /// Checks a message as RFC 4861, section 6.1.1, has it; `None` is to be dropped in silence.
    pub fn parse(bytes: &[u8], source: Ipv6Addr, hop_limit: u8) -> Option<Solicitation> {
        let valid = bytes.len() >= FIXED.0 && bytes[0] == SOLICITATION && bytes[1] == 0 && hop_limit == HOP_LIMIT;
        let options = if valid { options(&bytes[FIXED.0..])? } else { return None };
        let unspecified = source.is_unspecified();
        if unspecified && options.iter().any(|(kind, _)| *kind == SOURCE_LINK) {
            return None;
        }
        (unspecified || !source.is_multicast()).then_some(Solicitation { source })
    }
}

/// Every option as (type, value); `None` when one has length 0 or does not fit.
fn options(mut bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut all = Vec::new();
    while let [kind, length, ..] = bytes {
        let (option, rest) = bytes.split_at_checked(usize::from(*length) * 8)?;
        all.push((*kind, option.get(2..)?));
        bytes = rest;
    }
    bytes.is_empty().then_some(all)
}

impl Advertisement {
    /// Checks a message as RFC 4861, section 6.1.2, has it. Options that are unknown or malformed within are left out.
    pub fn parse(bytes: &[u8], source: Ipv6Addr, hop_limit: u8) -> Option<Advertisement> {
        let valid = bytes.len() >= FIXED.1 && bytes[0] == ADVERTISEMENT && bytes[1] == 0 && hop_limit == HOP_LIMIT;
        if !valid || !source.is_unicast_link_local() {
            return None;
        }
        let options = options(&bytes[FIXED.1..])?;
        Some(Advertisement {
            hop_limit: bytes[4],
            managed: bytes[5] & MANAGED != 0,
            other_config: bytes[5] & OTHER != 0,
            router_lifetime: u16::from_be_bytes([bytes[6], bytes[7]]),
            items: options.into_iter().filter_map(|(kind, value)| item(kind, value)).collect(),
        })
    }

    /// The message's bytes, checksum left to the kernel.
    pub fn emit(&self) -> Vec<u8> {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.managed, MANAGED) | flag(self.other_config, OTHER);
        let [high, low] = self.router_lifetime.to_be_bytes();
        let mut bytes = vec![ADVERTISEMENT, 0, 0, 0, self.hop_limit, flags, high, low, 0, 0, 0, 0, 0, 0, 0, 0];
        for item in &self.items {
            let (kind, value) = value(item);
            let whole = (value.len() + 2).next_multiple_of(8);
            // An option that is too long for its length byte cannot be said.
            let Ok(length) = u8::try_from(whole / 8) else { continue };
            bytes.extend([kind, length]);
            bytes.extend(&value);
            bytes.resize(bytes.len() + whole - 2 - value.len(), 0);
        }
        bytes
    }
}

fn value(item: &Item) -> (u8, Vec<u8>) {
    let mut value = Vec::new();
    match item {
        Item::Prefix(prefix) => {
            let flags = if prefix.on_link { ON_LINK } else { 0 } | if prefix.autonomous { AUTONOMOUS } else { 0 };
            value.extend([prefix.prefix.prefix_len(), flags]);
            value.extend(prefix.valid.to_be_bytes());
            value.extend(prefix.preferred.to_be_bytes());
            value.extend([0; 4]);
            value.extend(prefix.prefix.network().octets());
            (PREFIX, value)
        }
        Item::Route(net, lifetime) => {
            let length = net.prefix_len();
            value.extend([length, 0]);
            value.extend(lifetime.to_be_bytes());
            let octets = usize::from(length.div_ceil(64)) * 8;
            value.extend(&net.network().octets()[..octets]);
            (ROUTE, value)
        }
        Item::Rdnss(servers, lifetime) => {
            value.extend([0; 2]);
            value.extend(lifetime.to_be_bytes());
            value.extend(servers.iter().flat_map(Ipv6Addr::octets));
            (RDNSS, value)
        }
        Item::Dnssl(names, lifetime) => {
            value.extend([0; 2]);
            value.extend(lifetime.to_be_bytes());
            for name in names {
                for label in name.split('.').filter(|label| (1..=63).contains(&label.len())) {
                    value.push(label.len() as u8);
                    value.extend(label.as_bytes());
                }
                value.push(0);
            }
            (DNSSL, value)
        }
        Item::Mtu(mtu) => {
            value.extend([0; 2]);
            value.extend(mtu.to_be_bytes());
            (MTU, value)
        }
        Item::SourceLink(mac) => (SOURCE_LINK, mac.to_vec()),
        Item::Pref64(net, lifetime) => {
            let code = PREF64_LENGTHS.iter().position(|length| *length == net.prefix_len()).unwrap_or_default();
            let scaled = (lifetime.div_ceil(8)).min(0x1fff) as u16;
            value.extend((scaled << 3 | code as u16).to_be_bytes());
            value.extend(&net.network().octets()[..12]);
            (PREF64, value)
        }
        Item::CaptivePortal(uri) => (CAPTIVE_PORTAL, uri.as_bytes().to_vec()),
    }
}

fn item(kind: u8, value: &[u8]) -> Option<Item> {
    let word = |at: usize| Some(u32::from_be_bytes(value.get(at..at + 4)?.try_into().ok()?));
    let net = |octets: &[u8], length: u8| {
        let mut address = [0; 16];
        let count = octets.len().min(16);
        address[..count].copy_from_slice(&octets[..count]);
        Ipv6Net::new(Ipv6Addr::from(address), length).ok().map(|net| net.trunc())
    };
    Some(match kind {
        SOURCE_LINK => Item::SourceLink(value.try_into().ok()?),
        MTU => Item::Mtu(word(2)?),
        PREFIX => Item::Prefix(Prefix {
            prefix: net(value.get(14..30)?, value[0])?,
            on_link: value[1] & ON_LINK != 0,
            autonomous: value[1] & AUTONOMOUS != 0,
            valid: word(2)?,
            preferred: word(6)?,
        }),
        ROUTE => Item::Route(net(value.get(6..)?, value[0])?, word(2)?),
        RDNSS => {
            let (servers, rest) = value.get(6..)?.as_chunks::<16>();
            let servers: Vec<_> = servers.iter().map(|octets| Ipv6Addr::from(*octets)).collect();
            (rest.is_empty() && !servers.is_empty()).then(|| word(2).map(|life| Item::Rdnss(servers, life)))??
        }
        DNSSL => Item::Dnssl(names(value.get(6..)?)?, word(2)?),
        PREF64 => {
            let scaled = u16::from_be_bytes(value.get(..2)?.try_into().ok()?);
            let length = *PREF64_LENGTHS.get(usize::from(scaled & 7))?;
            Item::Pref64(net(value.get(2..14)?, length)?, u32::from(scaled >> 3) * 8)
        }
        CAPTIVE_PORTAL => {
            let end = value.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            Item::CaptivePortal(String::from_utf8(value[..end].to_vec()).ok()?)
        }
        _ => return None,
    })
}

fn names(mut bytes: &[u8]) -> Option<Vec<String>> {
    let (mut names, mut name) = (Vec::new(), String::new());
    while let [length, rest @ ..] = bytes {
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        if *length > 63 {
            return None;
        }
        if label.is_empty() {
            // What follows the last name is padding of zeros.
            if !name.is_empty() {
                names.push(std::mem::take(&mut name));
            }
        } else {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(std::str::from_utf8(label).ok()?);
        }
        bytes = rest;
    }
    (name.is_empty() && !names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests;
