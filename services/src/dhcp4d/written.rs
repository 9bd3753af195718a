//! `/perm/dhcp4d/config.json`: what a person may say of the networks that dhcp4d serves. All of it is optional.
use super::engine::host_label;
use super::engine::options::seconds;
use super::engine::pool::Subnet;
use super::engine::table::Reservation;
use crate::perm::Mac;
use crate::perm::json::{self, Refusal, or_zero};
use crate::perm::server6::Dhcpv6;
use ipnet::Ipv4Net;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

/// Lengths of a lease that make sense, in seconds: a minute to a month.
const PERIODS: std::ops::RangeInclusive<u64> = 60..=2_592_000;
/// The domain of a LAN when nobody has said another.
const DOMAIN: &str = "lan";
/// Reservations of a network, and networks behind relays.
const MOST: usize = 1_024;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Written {
    /// LANs of interfaces.json, by their names.
    #[serde(deserialize_with = "or_zero")]
    pub lans: Vec<Network>,
    /// Networks behind relays.
    #[serde(deserialize_with = "or_zero")]
    pub relayed: Vec<Network>,
}

/// One network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// The LAN's interface.
    pub name: Option<String>,
    /// Nothing is served on this LAN.
    pub off: bool,
    /// The network behind the relay.
    pub network: Option<Ipv4Net>,
    /// The LAN by which the relay is reached.
    pub via: Option<String>,
    /// First and last address that may be given.
    pub pool: Option<[Ipv4Addr; 2]>,
    /// Length of a lease.
    pub lease_seconds: Option<u64>,
    /// Option 3 (and, behind a relay, the address that is nobody else's).
    pub router: Option<Ipv4Addr>,
    /// Option 6.
    pub dns: Option<Vec<Ipv4Addr>>,
    /// Option 15.
    pub domain: Option<String>,
    /// Option 119.
    pub search: Option<Vec<String>>,
    /// Option 26.
    pub mtu: Option<u16>,
    /// Option 42.
    pub ntp: Option<Vec<Ipv4Addr>>,
    /// Option 2: seconds east of UTC.
    pub time_offset: Option<i32>,
    /// Option 43, in hexadecimal digits.
    pub vendor: Option<String>,
    /// Option 66, and the next server.
    pub boot_server: Option<Ipv4Addr>,
    /// Option 67, and the header's file.
    pub boot_file: Option<String>,
    /// Option 114.
    pub captive_portal: Option<String>,
    /// Option 121, besides the default route.
    pub routes: Option<Vec<Route>>,
    /// Option 108, where PREF64 is announced.
    pub ipv6_only_seconds: Option<u32>,
    /// Addresses kept for devices.
    pub reservations: Vec<Kept>,
    /// What DHCPv6 says on the LAN.
    pub dhcpv6: Option<Dhcpv6>,
}

/// A route that clients are told of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Where to.
    pub destination: Ipv4Net,
    /// Next hop.
    pub gateway: Ipv4Addr,
}

/// An address kept for a device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The device's hardware address.
    #[serde(default)]
    pub hardware_addr: Option<Mac>,
    /// Or its identifier (option 61 with its type), in hexadecimal digits.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The address.
    pub addr: Ipv4Addr,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
}

/// A field and what is wrong with it.
pub type Wrong = (String, String);

impl Written {
    /// What the file's bytes say.
    ///
    /// # Errors
    /// Names file, line, field and value.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Written, Refusal> {
        let written: Written = json::parse(path, bytes)?;
        let refusal = |(field, words): Wrong| Refusal::field(path, &field, words).at(bytes);
        if written.relayed.len() > MOST {
            return Err(refusal(("relayed".into(), format!("more than {MOST} networks"))));
        }
        for (list, networks) in [("lans", &written.lans), ("relayed", &written.relayed)] {
            for (at, network) in networks.iter().enumerate() {
                let named = |(field, words): Wrong| refusal((format!("{list}[{at}].{field}"), words));
                network.check(list == "relayed").map_err(named)?;
                let same = |other: &Network| (&other.name, other.network) == (&network.name, network.network);
                if networks[..at].iter().any(same) {
                    let field = if list == "lans" { "name" } else { "network" };
                    return Err(named((field.into(), "an earlier entry has it, too".into())));
                }
            }
        }
        Ok(written)
    }

    /// What is said of a LAN.
    pub fn of_lan(&self, name: &str) -> Network {
        let found = self.lans.iter().find(|network| network.name.as_deref() == Some(name));
        found.cloned().unwrap_or_default()
    }
}

impl Network {
    fn check(&self, relayed: bool) -> Result<(), Wrong> {
        let wrong = |field: &str, words: String| Err((field.to_owned(), words));
        match (relayed, &self.name, &self.network) {
            (false, None, _) => return wrong("name", "is missing: the LAN's interface".into()),
            (false, _, Some(net)) => {
                return wrong("network", format!("{net}: that of a LAN stands in interfaces.json"));
            }
            (true, _, None) => return wrong("network", "is missing, such as 10.9.0.0/22".into()),
            (true, Some(name), _) => return wrong("name", format!("{name:?}: only a LAN has one")),
            _ => {}
        }
        if relayed {
            let net = self.network.unwrap_or_default();
            match self.router {
                None => return wrong("router", "is missing: the router's address in that network".into()),
                Some(router) if !net.contains(&router) => return wrong("router", format!("{router} is not in {net}")),
                _ => {}
            }
            self.subnet(Subnet::new(self.router.unwrap_or(net.addr()), net.prefix_len()))?;
        } else if let Some(via) = &self.via {
            return wrong("via", format!("{via:?}: only a network behind a relay has one"));
        }
        if let Some(length) = self.lease_seconds.filter(|length| !PERIODS.contains(length)) {
            return wrong("lease_seconds", format!("{length} is not {} to {}", PERIODS.start(), PERIODS.end()));
        }
        for (field, list) in [("dns", &self.dns), ("ntp", &self.ntp)] {
            if list.as_ref().is_some_and(|list| list.len() > 16) {
                return wrong(field, "more than 16 addresses".into());
            }
        }
        if let Some(mtu) = self.mtu.filter(|mtu| *mtu < 576) {
            return wrong("mtu", format!("{mtu} is less than 576"));
        }
        let names = self.domain.iter().map(|name| ("domain", name));
        let names = names.chain(self.search.iter().flatten().map(|name| ("search", name)));
        for (field, name) in names {
            if wire_name(name).is_none() {
                return wrong(field, format!("{name:?} is not a domain name"));
            }
        }
        if self.search.as_ref().is_some_and(|names| names.len() > 16) {
            return wrong("search", "more than 16 names".into());
        }
        if let Some(text) = self.vendor.as_ref().filter(|text| hex(text).is_none_or(|bytes| bytes.len() > 255)) {
            return wrong("vendor", format!("{text:?} is not hexadecimal digits of 1 to 255 bytes"));
        }
        let texts = [("boot_file", &self.boot_file, 127), ("captive_portal", &self.captive_portal, 255)];
        for (field, text, longest) in texts {
            if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > longest || !text.is_ascii()) {
                return wrong(field, format!("is not 1 to {longest} letters"));
            }
        }
        if self.captive_portal.as_ref().is_some_and(|uri| !uri.contains("://")) {
            return wrong("captive_portal", "is not a URI".into());
        }
        if self.routes.as_ref().is_some_and(|routes| routes.len() > 64) {
            return wrong("routes", "more than 64".into());
        }
        if let Some(length) = self.ipv6_only_seconds.filter(|length| *length < 300) {
            return wrong("ipv6_only_seconds", format!("{length} is less than 300 (RFC 8925, MIN_V6ONLY_WAIT)"));
        }
        self.check_dhcpv6(relayed)?;
        self.check_kept()
    }

    fn check_dhcpv6(&self, relayed: bool) -> Result<(), Wrong> {
        let Some(wanted) = &self.dhcpv6 else { return Ok(()) };
        if relayed {
            return Err(("dhcpv6".into(), "is served on LANs only, not behind relays".into()));
        }
        if let Some(length) = wanted.lease_seconds.filter(|length| !PERIODS.contains(length)) {
            let words = format!("{length} is not {} to {}", PERIODS.start(), PERIODS.end());
            return Err(("dhcpv6.lease_seconds".into(), words));
        }
        for (field, list) in [("dns", &wanted.dns), ("ntp", &wanted.ntp)] {
            let list = list.as_deref().unwrap_or_default();
            if list.len() > 16 {
                return Err((format!("dhcpv6.{field}"), "more than 16 addresses".into()));
            }
            if let Some(at) = list.iter().position(|address| address.is_multicast() || address.is_unspecified()) {
                return Err((format!("dhcpv6.{field}[{at}]"), format!("{} is no server's address", list[at])));
            }
        }
        Ok(())
    }

    fn check_kept(&self) -> Result<(), Wrong> {
        if self.reservations.len() > MOST {
            return Err(("reservations".into(), format!("more than {MOST}")));
        }
        let mut seen = std::collections::BTreeSet::new();
        for (at, kept) in self.reservations.iter().enumerate() {
            let wrong = |field: &str, words: String| Err((format!("reservations[{at}].{field}"), words));
            match (&kept.hardware_addr, &kept.client_id) {
                (None, None) => return wrong("hardware_addr", "is missing, and so is client_id".into()),
                (_, Some(id)) if hex(id).is_none_or(|id| !(2..=255).contains(&id.len())) => {
                    return wrong("client_id", format!("{id:?} is not hexadecimal digits of 2 to 255 bytes"));
                }
                _ => {}
            }
            if !seen.insert(kept.addr) {
                return wrong("addr", format!("{} is kept for an earlier entry, too", kept.addr));
            }
            if let Some(name) = kept.name.as_ref().filter(|name| host_label(name.as_bytes()).is_none()) {
                return wrong("name", format!("{name:?} is not a host name"));
            }
        }
        Ok(())
    }

    /// The network with its pool, where one is said; what is wrong when they or the reservations do not fit.
    pub fn subnet(&self, subnet: Subnet) -> Result<Subnet, Wrong> {
        if let Some((at, kept)) = self.reservations.iter().enumerate().find(|(_, kept)| !subnet.holds(kept.addr)) {
            let words = format!("{} is no host's address of the network", kept.addr);
            return Err((format!("reservations[{at}].addr"), words));
        }
        match self.pool {
            None => Ok(subnet),
            Some([first, last]) => subnet.with_pool(first, last).ok_or_else(|| {
                ("pool".into(), format!("{first} to {last} is not within the network, or more than 65,536 addresses"))
            }),
        }
    }

    /// Reservations as the engine takes them.
    pub fn kept(&self) -> Vec<Reservation> {
        let one = |kept: &Kept| Reservation {
            address: kept.addr,
            mac: kept.hardware_addr,
            id: kept.client_id.as_deref().and_then(hex).map(Into::into),
            name: kept.name.clone(),
        };
        self.reservations.iter().map(one).collect()
    }

    /// Length of a lease.
    pub fn period(&self) -> Option<Duration> {
        self.lease_seconds.map(Duration::from_secs)
    }

    /// Where who boots from the network finds what.
    pub fn boot(&self, own: Ipv4Addr) -> Option<(Ipv4Addr, String)> {
        let file = self.boot_file.clone();
        (file.is_some() || self.boot_server.is_some())
            .then(|| (self.boot_server.unwrap_or(own), file.unwrap_or_default()))
    }

    /// Where names are looked for, in DNS's form: the search list, else the domain.
    pub fn search_list(&self) -> Vec<u8> {
        match &self.search {
            Some(names) => names.iter().filter_map(|name| wire_name(name)).flatten().collect(),
            None => wire_name(self.domain.as_deref().unwrap_or(DOMAIN)).unwrap_or_default(),
        }
    }

    /// Every option that a client may ask for, but for times. `own` is the router's address on the LAN; `pref64` says
    /// whether NAT64's prefix is announced.
    pub fn values(&self, subnet: Subnet, own: Ipv4Addr, pref64: bool) -> BTreeMap<u8, Vec<u8>> {
        let router = self.router.unwrap_or(own);
        let addresses = |list: &[Ipv4Addr]| list.iter().flat_map(Ipv4Addr::octets).collect::<Vec<u8>>();
        let list = |list: &Option<Vec<Ipv4Addr>>| list.as_deref().map(addresses);
        let domain = self.domain.as_deref().unwrap_or(DOMAIN);
        let routes = self.routes.as_ref().map(|routes| {
            let default = Route { destination: Ipv4Net::default(), gateway: router };
            routes.iter().chain([&default]).flat_map(Route::wire).collect()
        });
        let only = self.ipv6_only_seconds.filter(|_| pref64);
        let values = [
            (1, Some(subnet.mask().octets().to_vec())),
            (2, self.time_offset.map(|offset| offset.to_be_bytes().to_vec())),
            (3, Some(router.octets().to_vec())),
            (6, list(&self.dns).or_else(|| Some(own.octets().to_vec()))),
            (15, Some(domain.as_bytes().to_vec())),
            (26, self.mtu.map(|mtu| mtu.to_be_bytes().to_vec())),
            (42, list(&self.ntp)),
            (43, self.vendor.as_deref().and_then(hex)),
            (66, self.boot_server.map(|server| server.to_string().into_bytes())),
            (67, self.boot_file.clone().map(String::into_bytes)),
            (108, only.map(|length| seconds(Duration::from_secs(length.into())))),
            (114, self.captive_portal.clone().map(String::into_bytes)),
            (119, Some(self.search_list())),
            (121, routes),
        ];
        let filled = |(code, value): (u8, Option<Vec<u8>>)| Some((code, value.filter(|value| !value.is_empty())?));
        values.into_iter().filter_map(filled).collect()
    }
}

impl Route {
    // RFC 3442: the prefix's length, as many of its bytes as are not zero by that, the gateway.
    fn wire(&self) -> Vec<u8> {
        let prefix = self.destination.prefix_len();
        let octets = self.destination.network().octets();
        let mut bytes = vec![prefix];
        bytes.extend_from_slice(&octets[..usize::from(prefix.div_ceil(8))]);
        bytes.extend_from_slice(&self.gateway.octets());
        bytes
    }
}

/// A domain name in DNS form.
fn wire_name(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for label in name.trim_end_matches('.').split('.') {
        host_label(label.as_bytes())?;
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    (bytes.len() <= 255).then_some(bytes)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b':' | b' ')).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let whole = !digits.is_empty() && digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    if whole { digits.chunks(2).map(pair).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Written, String> {
        Written::parse(Path::new("config.json"), text.as_bytes()).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn everything_has_its_option() {
        let written = parse(
            r#"{"lans":[{"name":"lan0","pool":["10.0.0.10","10.0.0.20"],"lease_seconds":86400,"router":"10.0.0.2",
            "dns":["9.9.9.9","1.1.1.1"],"domain":"home.example","search":["a.example","b"],"mtu":1400,"ntp":["10.0.0.3"],
            "time_offset":-3600,"vendor":"01:04:ff","boot_server":"10.0.0.4","boot_file":"pxe.0",
            "captive_portal":"https://a/","routes":[{"destination":"10.8.0.0/13","gateway":"10.0.0.5"}],
            "ipv6_only_seconds":1800,"reservations":[{"client_id":"ff00","addr":"10.0.0.9","name":"nas"}]}]}"#,
        );
        let lan = written.unwrap().of_lan("lan0");
        let subnet = lan.subnet(Subnet::new([10, 0, 0, 1].into(), 24)).unwrap();
        assert_eq!(subnet.size(), 11);
        let values = lan.values(subnet, [10, 0, 0, 1].into(), true);
        let want: [(u8, &[u8]); 14] = [
            (1, &[255, 255, 255, 0]),
            (2, &[0xff, 0xff, 0xf1, 0xf0]),
            (3, &[10, 0, 0, 2]),
            (6, &[9, 9, 9, 9, 1, 1, 1, 1]),
            (15, b"home.example"),
            (26, &[5, 120]),
            (42, &[10, 0, 0, 3]),
            (43, &[1, 4, 255]),
            (66, b"10.0.0.4"),
            (67, b"pxe.0"),
            (108, &[0, 0, 7, 8]),
            (114, b"https://a/"),
            (119, b"\x01a\x07example\x00\x01b\x00"),
            (121, &[13, 10, 8, 10, 0, 0, 5, 0, 10, 0, 0, 2]),
        ];
        let found: Vec<(u8, &[u8])> = values.iter().map(|(code, value)| (*code, value.as_slice())).collect();
        assert_eq!(found, want);
        assert!(!lan.values(subnet, [10, 0, 0, 1].into(), false).contains_key(&108), "without PREF64 nobody is told");
        assert_eq!(lan.kept()[0].id.as_deref(), Some(&[0xff, 0][..]));
    }

    #[test]
    fn refusals_name_field_and_value() {
        for (text, begin) in [
            (r#"{"lans":[{}]}"#, "lans[0].name: is missing"),
            (r#"{"lans":[{"name":"a"},{"name":"a"}]}"#, "lans[1].name: an earlier"),
            (r#"{"lans":[{"name":"a","leases":7}]}"#, "lans[0].leases: unknown field"),
            (r#"{"lans":[{"name":"a","lease_seconds":7}]}"#, "lans[0].lease_seconds: 7 is not 60"),
            (r#"{"lans":[{"name":"a","domain":"a b"}]}"#, "lans[0].domain: \"a b\" is not"),
            (r#"{"lans":[{"name":"a","vendor":"0"}]}"#, "lans[0].vendor: \"0\" is not"),
            (r#"{"lans":[{"name":"a","mtu":60}]}"#, "lans[0].mtu: 60 is less"),
            (r#"{"lans":[{"name":"a","via":"b"}]}"#, "lans[0].via: \"b\""),
            (r#"{"lans":[{"name":"a","ipv6_only_seconds":1}]}"#, "lans[0].ipv6_only_seconds: 1 is less"),
            (
                r#"{"lans":[{"name":"a","reservations":[{"addr":"10.0.0.1"}]}]}"#,
                "lans[0].reservations[0].hardware_addr",
            ),
            (r#"{"lans":[{"name":"a","dhcpv6":{"adresses":true}}]}"#, "lans[0].dhcpv6.adresses: unknown field"),
            (r#"{"lans":[{"name":"a","dhcpv6":{"lease_seconds":9}}]}"#, "lans[0].dhcpv6.lease_seconds: 9 is not 60"),
            (r#"{"lans":[{"name":"a","dhcpv6":{"dns":["ff02::1"]}}]}"#, "lans[0].dhcpv6.dns[0]: ff02::1 is no"),
            (
                r#"{"relayed":[{"network":"10.9.0.0/24","router":"10.9.0.1","dhcpv6":{}}]}"#,
                "relayed[0].dhcpv6: is served on LANs",
            ),
            (r#"{"relayed":[{"via":"lan0"}]}"#, "relayed[0].network: is missing"),
            (r#"{"relayed":[{"network":"10.9.0.0/24"}]}"#, "relayed[0].router: is missing"),
            (r#"{"relayed":[{"network":"10.9.0.0/24","router":"10.8.0.1"}]}"#, "relayed[0].router: 10.8.0.1 is not in"),
            (
                r#"{"relayed":[{"network":"10.9.0.0/24","router":"10.9.0.1","pool":["10.9.0.9","10.9.1.1"]}]}"#,
                "relayed[0].pool: 10.9.0.9 to",
            ),
        ] {
            let words = parse(text).unwrap_err();
            let (place, words) = words.split_once(": ").unwrap();
            assert!(place.starts_with("config.json:1:") && words.starts_with(begin), "{place} {words}");
        }
        assert_eq!(parse("{}").unwrap(), Written::default());
    }
}
