//! The zones that never leave the house: special-use names and the reverse zones of private addresses.
//! RFC 6303, 6761, 6762, 7686, 7793, 8375, 9462 and 9476.
use super::name::Labels;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a name belongs to, when it is ours to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// `lan.` and below.
    Lan,
    /// `localhost.` and below.
    Localhost,
    /// A zone without names; the number is how many labels its own name has.
    Empty(usize),
    /// The reverse zone of private addresses.
    Reverse(Reverse),
}

/// A name in a reverse tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reverse {
    /// How many labels the name of the private zone around it has; `None` outside of any.
    pub apex: Option<usize>,
    /// What it says of an address.
    pub spelt: Spelt,
}

/// How much of an address a reverse name spells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelt {
    /// All of it.
    Whole(IpAddr),
    /// Its beginning.
    Part,
    /// Something else.
    Not,
}

/// The zone of a name, by its labels; `None` when it is to be asked outside. A reverse name outside of private
/// zones comes with its address: a LAN may have public ones.
pub fn zone(labels: &Labels<'_>) -> Option<Zone> {
    let top = labels.right(0)?;
    // Most names end here: no special zone has a name of another length.
    match top.len() {
        3 if is(top, b"lan") => Some(Zone::Lan),
        3 if is(top, b"alt") => Some(Zone::Empty(1)),
        4 if is(top, b"arpa") => arpa(labels),
        4 if is(top, b"test") => Some(Zone::Empty(1)),
        5 if is(top, b"local") || is(top, b"onion") => Some(Zone::Empty(1)),
        7 if is(top, b"invalid") => Some(Zone::Empty(1)),
        9 if is(top, b"localhost") => Some(Zone::Localhost),
        _ => None,
    }
}

fn is(label: &[u8], lower: &[u8]) -> bool {
    label.eq_ignore_ascii_case(lower)
}

fn arpa(labels: &Labels<'_>) -> Option<Zone> {
    let second = labels.right(1)?;
    if is(second, b"home") || is(second, b"resolver") {
        return Some(Zone::Empty(2));
    }
    let reverse = if is(second, b"in-addr") {
        reverse4(labels)
    } else if is(second, b"ip6") {
        reverse6(labels)
    } else {
        return None;
    };
    let ours = reverse.apex.is_some() || matches!(reverse.spelt, Spelt::Whole(_));
    ours.then_some(Zone::Reverse(reverse))
}

fn reverse4(labels: &Labels<'_>) -> Reverse {
    let mut octets = [0u8; 4];
    let spelt = labels.count().saturating_sub(2);
    let mut read = 0;
    while read < spelt.min(4)
        && let Some(octet) = labels.right(2 + read).and_then(decimal)
    {
        octets[read] = octet;
        read += 1;
    }
    let depth = private4(&octets[..read]);
    Reverse {
        apex: depth.map(|depth| depth + 2),
        spelt: match (read, spelt) {
            (4, 4) => Spelt::Whole(IpAddr::V4(Ipv4Addr::from(octets))),
            _ if read == spelt => Spelt::Part,
            _ => Spelt::Not,
        },
    }
}

// How many octets the private zone around an address, or its beginning, has.
fn private4(octets: &[u8]) -> Option<usize> {
    match octets {
        [0 | 10 | 127, ..] => Some(1),
        [172, 16..=31, ..] | [192, 168, ..] | [169, 254, ..] | [100, 64..=127, ..] => Some(2),
        [192, 0, 2, ..] | [198, 51, 100, ..] | [203, 0, 113, ..] => Some(3),
        [255, 255, 255, 255] => Some(4),
        _ => None,
    }
}

fn reverse6(labels: &Labels<'_>) -> Reverse {
    let mut nibbles = [0u8; 32];
    let spelt = labels.count().saturating_sub(2);
    let mut read = 0;
    while read < spelt.min(32)
        && let Some(nibble) = labels.right(2 + read).and_then(hexadecimal)
    {
        nibbles[read] = nibble;
        read += 1;
    }
    let depth = private6(&nibbles[..read]);
    let address = nibbles.iter().fold(0u128, |address, nibble| address << 4 | u128::from(*nibble));
    Reverse {
        apex: depth.map(|depth| depth + 2),
        spelt: match (read, spelt) {
            (32, 32) => Spelt::Whole(IpAddr::V6(Ipv6Addr::from_bits(address))),
            _ if read == spelt => Spelt::Part,
            _ => Spelt::Not,
        },
    }
}

fn private6(nibbles: &[u8]) -> Option<usize> {
    match nibbles {
        // Unique local addresses: both halves of fc00::/7, though only fd00::/8 is in use.
        [0xf, 0xc | 0xd, ..] => Some(2),
        [0xf, 0xe, 0x8..=0xb, ..] => Some(3),
        [2, 0, 0, 1, 0, 0xd, 0xb, 8, ..] => Some(8),
        [zeros @ .., 0 | 1] if nibbles.len() == 32 && zeros.iter().all(|nibble| *nibble == 0) => Some(32),
        _ => None,
    }
}

fn decimal(label: &[u8]) -> Option<u8> {
    // "07" and "+7" are other names than "7".
    let plain = label.iter().all(u8::is_ascii_digit) && (label.len() == 1 || label.first() != Some(&b'0'));
    std::str::from_utf8(label).ok().filter(|_| plain)?.parse().ok()
}

fn hexadecimal(label: &[u8]) -> Option<u8> {
    let &[digit] = label else { return None };
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dnsd::engine::name::from_labels;

    fn of(text: &str) -> Option<Zone> {
        let labels: Vec<&[u8]> = text.split('.').filter(|label| !label.is_empty()).map(str::as_bytes).collect();
        zone(&Labels::of(&from_labels(&labels).unwrap()))
    }

    fn whole(apex: Option<usize>, address: &str) -> Option<Zone> {
        Some(Zone::Reverse(Reverse { apex, spelt: Spelt::Whole(address.parse().unwrap()) }))
    }

    #[test]
    fn special_names_are_ours_and_others_are_not() {
        assert_eq!(of("LAN"), Some(Zone::Lan));
        assert_eq!(of("a.b.lan"), Some(Zone::Lan));
        assert_eq!(of("x.localhost"), Some(Zone::Localhost));
        for one in ["printer.local", "a.test", "x.invalid", "y.onion", "z.alt"] {
            assert_eq!(of(one), Some(Zone::Empty(1)), "{one}");
        }
        assert_eq!(of("tv.home.arpa"), Some(Zone::Empty(2)));
        assert_eq!(of("_dns.resolver.arpa"), Some(Zone::Empty(2)));
        for outside in ["", "com", "example.com", "xlan", "lan.com", "arpa", "e164.arpa", "ip6.arpa", "in-addr.arpa"] {
            assert_eq!(of(outside), None, "{outside}");
        }
    }

    #[test]
    fn private_reverse_names_are_ours() {
        assert_eq!(of("1.42.168.192.in-addr.arpa"), whole(Some(4), "192.168.42.1"));
        assert_eq!(of("9.0.31.172.IN-ADDR.ARPA"), whole(Some(4), "172.31.0.9"));
        assert_eq!(of("1.0.0.10.in-addr.arpa"), whole(Some(3), "10.0.0.1"));
        assert_eq!(of("1.2.0.192.in-addr.arpa"), whole(Some(5), "192.0.2.1"));
        assert_eq!(of("255.255.255.255.in-addr.arpa"), whole(Some(6), "255.255.255.255"));
        assert_eq!(of("8.8.8.8.in-addr.arpa"), whole(None, "8.8.8.8"));
        let part = Some(Zone::Reverse(Reverse { apex: Some(4), spelt: Spelt::Part }));
        assert_eq!(of("168.192.in-addr.arpa"), part);
        assert_eq!(of("42.168.192.in-addr.arpa"), part);
        let not = Some(Zone::Reverse(Reverse { apex: Some(4), spelt: Spelt::Not }));
        assert_eq!(of("b._dns-sd._udp.0.42.168.192.in-addr.arpa"), not);
        assert_eq!(of("5.1.42.168.192.in-addr.arpa"), not);
        assert_eq!(of("01.42.168.192.in-addr.arpa"), not);
        for outside in ["192.in-addr.arpa", "32.172.in-addr.arpa", "8.8.in-addr.arpa", "256.10x.in-addr.arpa"] {
            assert_eq!(of(outside), None, "{outside}");
        }
    }

    #[test]
    fn private_reverse_names_of_ipv6_are_ours() {
        let spell = |address: &str| {
            let bits = address.parse::<Ipv6Addr>().unwrap().to_bits();
            let nibbles: Vec<_> = (0..32).map(|at| format!("{:x}", bits >> (4 * at) & 15)).collect();
            format!("{}.ip6.arpa", nibbles.join("."))
        };
        for (address, apex) in [
            ("::1", Some(34)),
            ("::", Some(34)),
            ("fd00::5", Some(4)),
            ("fe80::1", Some(5)),
            ("febf::1", Some(5)),
            ("2001:db8::1", Some(10)),
            ("2001:4860::8888", None),
        ] {
            assert_eq!(of(&spell(address)), whole(apex, address), "{address}");
        }
        assert_eq!(of("d.F.ip6.arpa"), Some(Zone::Reverse(Reverse { apex: Some(4), spelt: Spelt::Part })));
        assert_eq!(of("8.b.d.0.1.0.0.2.ip6.arpa"), Some(Zone::Reverse(Reverse { apex: Some(10), spelt: Spelt::Part })));
        assert_eq!(of("0.0.ip6.arpa"), None);
        assert_eq!(of("f.ip6.arpa"), None);
    }
}
