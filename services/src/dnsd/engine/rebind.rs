//! Addresses of the house in answers of the world: a page whose name leads into the house could speak to what is there
//! with the browser's rights (DNS rebinding).
use domain::base::iana::Rtype;
use std::net::{Ipv4Addr, Ipv6Addr};

/// SvcParamKeys of addresses (RFC 9460 14.3.2).
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

/// Whether a record's data names an address of the house.
pub fn leads_into_the_house(rtype: Rtype, data: &[u8]) -> bool {
    match rtype {
        Rtype::A => data.first_chunk::<4>().is_some_and(is_ours4),
        Rtype::AAAA => data.first_chunk::<16>().is_some_and(is_ours6),
        Rtype::HTTPS | Rtype::SVCB => hints(data).unwrap_or(false),
        _ => false,
    }
}

fn is_ours4(bytes: &[u8; 4]) -> bool {
    let ip = Ipv4Addr::from(*bytes);
    let [a, b, ..] = *bytes;
    a == 0 || ip.is_loopback() || ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64)
}

fn is_ours6(bytes: &[u8; 16]) -> bool {
    let ip = Ipv6Addr::from(*bytes);
    // Mapped and translated addresses reach where the IPv4 address within does (RFC 4291, 6052).
    let inner = match ip.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            bytes.last_chunk::<4>().is_some_and(is_ours4)
        }
        _ => false,
    };
    inner || ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local()
}

// Priority, target (not compressed), then key, length and value of each parameter.
fn hints(data: &[u8]) -> Option<bool> {
    let (length, _) = super::name::measure(data.get(2..)?)?;
    let mut rest = data.get(2 + length..)?;
    while let &[k0, k1, l0, l1, ref values @ ..] = rest {
        let value = values.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
        let ours = match u16::from_be_bytes([k0, k1]) {
            IPV4_HINT => value.as_chunks::<4>().0.iter().any(is_ours4),
            IPV6_HINT => value.as_chunks::<16>().0.iter().any(is_ours6),
            _ => false,
        };
        if ours {
            return Some(true);
        }
        rest = values.get(value.len()..)?;
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_house_and_of_the_world() {
        for ip in ["10.1.2.3", "172.31.0.1", "192.168.42.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "0.0.0.0"] {
            assert!(leads_into_the_house(Rtype::A, &ip.parse::<Ipv4Addr>().unwrap().octets()), "{ip}");
        }
        for ip in ["9.9.9.9", "172.32.0.1", "100.128.0.1", "192.167.0.1"] {
            assert!(!leads_into_the_house(Rtype::A, &ip.parse::<Ipv4Addr>().unwrap().octets()), "{ip}");
        }
        for ip in ["::", "::1", "fd00::1", "fe80::1", "::ffff:192.168.0.1", "64:ff9b::10.0.0.1"] {
            assert!(leads_into_the_house(Rtype::AAAA, &ip.parse::<Ipv6Addr>().unwrap().octets()), "{ip}");
        }
        for ip in ["2001:db8::1", "::ffff:9.9.9.9", "64:ff9b::9.9.9.9"] {
            assert!(!leads_into_the_house(Rtype::AAAA, &ip.parse::<Ipv6Addr>().unwrap().octets()), "{ip}");
        }
        assert!(!leads_into_the_house(Rtype::TXT, &[10, 0, 0, 1]) && !leads_into_the_house(Rtype::A, &[10]));
    }

    #[test]
    fn hints_of_services_are_addresses_too() {
        let of = |parameters: &[u8]| leads_into_the_house(Rtype::HTTPS, &[b"\0\x01\x01a\0", parameters].concat());
        assert!(of(b"\0\x01\0\x02h2\0\x04\0\x08\x09\x09\x09\x09\x0a\0\0\x01"));
        assert!(!of(b"\0\x01\0\x02h2\0\x04\0\x04\x09\x09\x09\x09"));
        assert!(of(&[&b"\0\x06\0\x10\xfd"[..], &[0; 15]].concat()));
        for cut in [&b""[..], b"\0", b"\0\x04\0\x09\x0a\0\0\x01"] {
            assert!(!of(cut));
        }
    }
}
