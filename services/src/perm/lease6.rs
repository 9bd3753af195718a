//! `/perm/dhcp6/lease.json`: what dhcp6 holds, with router7's keys and, beside them, lifetimes that survive a reboot.
use super::json::{self, Refusal, or_zero};
use super::stamp::{Clock, Stamp};
use super::{WallTime, file};
use ipnet::Ipv6Net;
use netstack::time::Instant;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::net::Ipv6Addr;
use std::path::Path;
use std::time::Duration;

/// A lifetime without end (RFC 9915, section 7.7), in seconds.
pub const FOREVER: u32 = u32::MAX;
/// Preferred and valid lifetime, in seconds, of a prefix that router7 wrote down without any.
const ROUTER7: (u32, u32) = (1_800, 7_200);

/// The file. Lifetimes are seconds from `stamp` on; 0 = run out, [`FOREVER`] = without end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lease6 {
    /// When it is to be renewed (now + T1).
    #[serde(deserialize_with = "or_zero")]
    pub valid_until: WallTime,
    /// The delegated prefixes whose valid lifetime had not run out; null when there is none.
    pub prefixes: Option<Vec<GoNet>>,
    /// DNS servers in the server's order; null when there is none.
    pub dns: Option<Vec<String>>,
    /// When the lifetimes below were counted. Absent in router7's files.
    #[serde(deserialize_with = "or_zero", skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Stamp>,
    /// Every prefix of the last delegation, also one that has run out since.
    #[serde(deserialize_with = "or_zero")]
    pub delegations: Vec<Delegation>,
    /// Every address of the last binding for the uplink.
    #[serde(deserialize_with = "or_zero")]
    pub addresses: Vec<Held>,
    /// DUID of the server that gave them, in hexadecimal; empty when unknown.
    #[serde(deserialize_with = "or_zero")]
    pub server: String,
    /// Domain search list.
    #[serde(deserialize_with = "or_zero")]
    pub search: Vec<String>,
    /// Time servers.
    #[serde(deserialize_with = "or_zero")]
    pub ntp: Vec<Ipv6Addr>,
}

/// A delegated prefix as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// Number of its IA_PD.
    pub iaid: u32,
    /// The prefix, host bits zero.
    pub prefix: Ipv6Net,
    /// In seconds.
    pub preferred: u32,
    /// In seconds.
    pub valid: u32,
}

/// An address of the uplink as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Number of its IA_NA.
    pub iaid: u32,
    /// The address.
    pub address: Ipv6Addr,
    /// In seconds.
    pub preferred: u32,
    /// In seconds.
    pub valid: u32,
}

/// A network as Go writes `net.IPNet`: `{"IP":"2001:db8::","Mask":"<base64>"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoNet(pub Ipv6Net);

/// Something with lifetimes, by boot time; [`Instant::NEVER`] = without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timed<T> {
    /// The prefix or the address.
    pub value: T,
    /// End of the preferred lifetime.
    pub preferred_until: Instant,
    /// End of the valid lifetime; past = run out, nothing else has come since.
    pub valid_until: Instant,
}

/// A lease whose texts were checked and whose lifetimes were brought to the present.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// Delegated prefixes, none longer than /64 and none within another.
    pub delegations: Vec<Timed<Ipv6Net>>,
    /// Addresses of the uplink.
    pub addresses: Vec<Timed<Ipv6Addr>>,
    /// DNS servers; what is not an IPv6 address is left out.
    pub dns: Vec<Ipv6Addr>,
}

impl<T> Timed<T> {
    /// From lifetimes in seconds that began at `start`.
    pub fn new(value: T, start: Instant, preferred: u32, valid: u32) -> Timed<T> {
        let end = |seconds: u32| match seconds {
            FOREVER => Instant::NEVER,
            _ => start + Duration::from_secs(seconds.into()),
        };
        Timed { value, preferred_until: end(preferred.min(valid)), valid_until: end(valid) }
    }

    /// Whether its valid lifetime runs.
    pub fn is_valid(&self, now: Instant) -> bool {
        now < self.valid_until
    }

    /// Whether its preferred lifetime runs.
    pub fn is_preferred(&self, now: Instant) -> bool {
        now < self.preferred_until
    }
}

/// Whole seconds left until `end`; [`FOREVER`] for [`Instant::NEVER`].
pub fn seconds_left(end: Instant, now: Instant) -> u32 {
    if end == Instant::NEVER {
        return FOREVER;
    }
    u32::try_from((end - now).as_secs()).unwrap_or(FOREVER - 1).min(FOREVER - 1)
}

impl Lease6 {
    /// Brings the lifetimes to the present.
    pub fn check(&self, clock: &Clock) -> Checked {
        let (start, age) = self.stamp.as_ref().map_or((clock.now, Duration::ZERO), |stamp| stamp.since(clock));
        let aged = |seconds: u32| match seconds {
            FOREVER => FOREVER,
            _ => seconds.saturating_sub(u32::try_from(age.as_secs()).unwrap_or(u32::MAX)),
        };
        let mut delegations: Vec<Timed<Ipv6Net>> = Vec::new();
        let of_router7 = self.prefixes.iter().flatten().map(|net| (net.0, ROUTER7.0, ROUTER7.1));
        let ours = self
            .delegations
            .iter()
            .map(|delegation| (delegation.prefix, aged(delegation.preferred), aged(delegation.valid)));
        let all: Vec<_> = if self.stamp.is_none() { of_router7.collect() } else { ours.collect() };
        for (prefix, preferred, valid) in all {
            let prefix = prefix.trunc();
            let overlaps = |other: &Timed<Ipv6Net>| other.value.contains(&prefix) || prefix.contains(&other.value);
            if prefix.prefix_len() <= 64 && !delegations.iter().any(overlaps) {
                delegations.push(Timed::new(prefix, start, preferred, valid));
            }
        }
        let held = |held: &Held| Timed::new(held.address, start, aged(held.preferred), aged(held.valid));
        Checked {
            delegations,
            addresses: self.addresses.iter().map(held).collect(),
            dns: self.dns.iter().flatten().filter_map(|text| text.parse().ok()).collect(),
        }
    }
}

/// Reads and checks the lease; `None` when there is none yet.
///
/// # Errors
/// When the file cannot be read or is not a lease.
pub fn read(path: &Path, clock: &Clock) -> Result<Option<Checked>, Refusal> {
    Ok(read_raw(path)?.map(|lease| lease.check(clock)))
}

/// Reads the lease as it is written; `None` when there is none yet.
///
/// # Errors
/// When the file cannot be read or is not a lease.
pub fn read_raw(path: &Path) -> Result<Option<Lease6>, Refusal> {
    match file::read(path) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => json::parse(path, &bytes).map(Some),
        Err(error) => Err(Refusal::field(path, "the file", error)),
    }
}

#[derive(Serialize, Deserialize)]
struct Wire {
    // `json::parse` lower-cases keys; Go writes them so.
    #[serde(rename(serialize = "IP", deserialize = "ip"))]
    ip: String,
    #[serde(rename(serialize = "Mask", deserialize = "mask"))]
    mask: String,
}

impl Serialize for GoNet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire { ip: self.0.network().to_string(), mask: base64(&self.0.netmask().octets()) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for GoNet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GoNet, D::Error> {
        use serde::de::Error;
        let wire = Wire::deserialize(deserializer)?;
        let ip: Ipv6Addr =
            wire.ip.parse().map_err(|_| D::Error::custom(format!("{:?} is not an IPv6 address", wire.ip)))?;
        // 16 bytes are 22 letters and "==": the mask that is meant is the one that is written so.
        let length = (0..=128)
            .find(|length| Ipv6Net::new(ip, *length).is_ok_and(|net| base64(&net.netmask().octets()) == wire.mask));
        let length =
            length.ok_or_else(|| D::Error::custom(format!("{:?} is not an IPv6 mask in base64", wire.mask)))?;
        Ipv6Net::new(ip, length).map(GoNet).map_err(D::Error::custom)
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER7S: &[u8] = br#"{"valid_until":"2018-05-18T23:46:04.429895261+02:00","prefixes":[{"IP":"2a02:168:4a00::","Mask":"////////AAAAAAAAAAAAAA=="}],"dns":["2001:1620:2777:1::10"]}"#;

    fn clock(boot: &str, now: u64, wall: i64) -> Clock {
        Clock { boot: boot.into(), now: Instant::from_secs(now), wall: WallTime::from_unix(wall) }
    }

    fn net(text: &str) -> Ipv6Net {
        text.parse().unwrap()
    }

    #[test]
    fn reads_what_router7_wrote() {
        let lease: Lease6 = json::parse(Path::new("lease.json"), ROUTER7S).unwrap();
        let checked = lease.check(&clock("a", 10, 0));
        assert_eq!(checked.delegations, [Timed::new(net("2a02:168:4a00::/48"), Instant::from_secs(10), 1_800, 7_200)]);
        assert_eq!(checked.dns.len(), 1);
        let text = String::from_utf8(json::write(&lease)).unwrap();
        assert!(text.contains(r#""prefixes":[{"IP":"2a02:168:4a00::","Mask":"////////AAAAAAAAAAAAAA=="}]"#), "{text}");
        let text = String::from_utf8(ROUTER7S.to_vec()).unwrap().replace("AAA==", "AAB==");
        assert!(json::parse::<Lease6>(Path::new("x"), text.as_bytes()).is_err());
    }

    #[test]
    fn lifetimes_go_on_after_a_reboot() {
        let delegation = |prefix, valid| Delegation { iaid: 1, prefix: net(prefix), preferred: 600, valid };
        let lease = Lease6 {
            stamp: Some(clock("a", 1_000, 1_700_000_000).stamp()),
            delegations: vec![
                delegation("2001:db8::/56", 1_200),
                delegation("2001:db8:0:10::/60", 50),
                delegation("2001:db8:1::/56", FOREVER),
                delegation("2001:db8:2::/72", 1_200),
            ],
            ..Lease6::default()
        };
        let bytes = json::write(&lease);
        let lease: Lease6 = json::parse(Path::new("x"), &bytes).unwrap();
        let now = Instant::from_secs(3);
        let checked = lease.check(&clock("b", 3, 1_700_000_400));
        assert_eq!(checked.delegations.len(), 2, "one lies within another, one is longer than /64");
        assert_eq!(checked.delegations[0], Timed::new(net("2001:db8::/56"), now, 200, 800));
        assert_eq!(seconds_left(checked.delegations[1].valid_until, now), FOREVER);
        let later = lease.check(&clock("b", 3, 1_700_900_000));
        assert!(!later.delegations[0].is_valid(now), "run out, and still there");
        assert_eq!(later.delegations.len(), 2);
    }
}
