//! The values of a server's options: each checked, what is wrong passed over and named.
use super::message::usable;
use crate::perm::lease4::Route;
use ipnet::Ipv4Net;
use netstack::wire::dhcpv4::Message;
use std::net::Ipv4Addr;

/// Servers remembered of one option.
const MOST_SERVERS: usize = 8;
/// Routes remembered of one lease.
const MOST_ROUTES: usize = 64;
/// Bounds of an interface's MTU in bytes (RFC 2132, section 5.1, allows 68; RFC 791 wants every host to take 576).
const MTU: std::ops::RangeInclusive<u16> = 576..=u16::MAX;
/// Longest name, in bytes.
const LONGEST_NAME: usize = 253;

/// Routes of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routes {
    /// They come from option 121, which wins over options 3 and 33 (RFC 3442).
    pub classless: bool,
    /// Gateway of the default route, of option 121.
    pub default: Option<Ipv4Addr>,
    /// All others.
    pub others: Vec<Route>,
}

/// The options of one message.
pub struct Values<'a, 'b> {
    /// The message.
    pub message: &'a Message<'b>,
    /// What was passed over, and why.
    pub ignored: &'a mut Vec<String>,
}

impl Values<'_, '_> {
    fn refuse(&mut self, code: u8, value: &[u8], why: &str) {
        let hex: String = value.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.ignored.push(format!("option {code} ({hex}): {why}"));
    }

    /// A number of four bytes, an address as well.
    pub fn number(&mut self, code: u8, accept: impl Fn(u32) -> bool) -> Option<u32> {
        let value = self.message.option(code)?;
        let number = value.as_slice().try_into().map(u32::from_be_bytes).ok().filter(|number| accept(*number));
        if number.is_none() {
            self.refuse(code, &value, if value.len() == 4 { "not a value that makes sense" } else { "wrong length" });
        }
        number
    }

    /// Addresses that hosts can have.
    pub fn addresses(&mut self, code: u8) -> Vec<Ipv4Addr> {
        let Some(value) = self.message.option(code) else { return Vec::new() };
        let (addresses, rest) = value.as_chunks::<4>();
        if !rest.is_empty() {
            self.refuse(code, &value, "wrong length");
            return Vec::new();
        }
        let mut all: Vec<Ipv4Addr> = addresses.iter().map(|octets| Ipv4Addr::from(*octets)).collect();
        all.retain(|address| usable(*address));
        all.truncate(MOST_SERVERS);
        if all.is_empty() {
            self.refuse(code, &value, "no address that can be used");
        }
        all
    }

    /// A host or domain name.
    pub fn text(&mut self, code: u8) -> String {
        let Some(value) = self.message.option(code) else { return String::new() };
        let end = value.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        let clean = value[..end].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        if !clean || end > LONGEST_NAME {
            self.refuse(code, &value, "not a name");
            return String::new();
        }
        String::from_utf8_lossy(&value[..end]).into_owned()
    }

    /// Option 26; 0 when there is none.
    pub fn mtu(&mut self) -> u32 {
        let Some(value) = self.message.option(26) else { return 0 };
        let mtu = value.as_slice().try_into().map(u16::from_be_bytes).ok().filter(|mtu| MTU.contains(mtu));
        if mtu.is_none() {
            self.refuse(26, &value, "not an MTU from 576 on");
        }
        mtu.map_or(0, u32::from)
    }

    /// Option 121, else option 33.
    pub fn routes(&mut self) -> Option<Routes> {
        if let Some(value) = self.message.option(121) {
            match classless(&value) {
                Some(routes) => return Some(routes),
                None => self.refuse(121, &value, "malformed"),
            }
        }
        let value = self.message.option(33)?;
        let (pairs, rest) = value.as_chunks::<8>();
        if !rest.is_empty() {
            self.refuse(33, &value, "wrong length");
            return None;
        }
        let others = pairs.iter().take(MOST_ROUTES).filter_map(|&[a, b, c, d, e, f, g, h]| {
            let destination = classful(Ipv4Addr::new(a, b, c, d))?;
            Some(Route { destination, gateway: Ipv4Addr::new(e, f, g, h) })
        });
        Some(Routes { classless: false, default: None, others: others.collect() })
    }
}

/// Each route: length of the prefix, as many bytes of it as that needs, the gateway (RFC 3442).
fn classless(mut value: &[u8]) -> Option<Routes> {
    let mut routes = Routes { classless: true, ..Routes::default() };
    if value.is_empty() {
        return None;
    }
    while let [length, rest @ ..] = value {
        let (prefix, rest) = rest.split_at_checked(usize::from(length.div_ceil(8)))?;
        let (gateway, rest) = rest.split_first_chunk::<4>()?;
        let mut octets = [0; 4];
        octets.get_mut(..prefix.len())?.copy_from_slice(prefix);
        let destination = Ipv4Net::new(Ipv4Addr::from(octets), *length).ok()?.trunc();
        let gateway = Ipv4Addr::from(*gateway);
        if *length == 0 {
            routes.default = routes.default.or(Some(gateway).filter(|gateway| usable(*gateway)));
        } else if routes.others.len() < MOST_ROUTES && (usable(gateway) || gateway.is_unspecified()) {
            routes.others.push(Route { destination, gateway });
        }
        value = rest;
    }
    Some(routes)
}

/// The network of an address's class, or the host (RFC 2132, section 5.8); the default route is not allowed there.
fn classful(address: Ipv4Addr) -> Option<Ipv4Net> {
    let length = match address.octets()[0] {
        _ if !usable(address) => return None,
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    };
    let network = Ipv4Net::new(address, length).ok()?;
    Ipv4Net::new(address, if network.network() == address { length } else { 32 }).ok()
}
