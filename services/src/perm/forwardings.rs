//! `/perm/portforwardings.json`: what the internet may reach at home (router7's keys; more of our own).
//!
//! An entry that is refused is left out by itself, with a line that names it; all others apply.
use super::entries::{Device, Item, Right, Wrong, described, each, located, optional, parse, protocols, range};
use super::file;
use super::json::{self, Refusal, or_zero};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::Deserialize;
use serde_json::Value;
use std::net::Ipv6Addr;
use std::path::Path;

/// Ports of all entries together whose number changes on the way: each takes an element of a map.
const MOST_MOVED: usize = 65_536;

/// The file, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forwardings {
    /// IPv4 port forwardings, one for each protocol of an entry.
    pub forwards: Vec<Forward>,
    /// IPv6 pinholes, one for each protocol of an entry.
    pub pinholes: Vec<Pinhole>,
    /// Entries that are left out, and why.
    pub refused: Vec<Refusal>,
}

/// An IPv4 port forwarding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Which entry it is, as errors name it.
    pub entry: String,
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u8,
    /// First and last port from outside.
    pub ports: (u16, u16),
    /// Where it leads.
    pub to: Device,
    /// First and last port there: as many as outside, or one for all.
    pub to_ports: (u16, u16),
    /// From where it may be used; `None` = from everywhere.
    pub source: Option<Ipv4Net>,
}

/// An opening for connections to a host's own IPv6 address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinhole {
    /// Which entry it is, as errors name it.
    pub entry: String,
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u8,
    /// First and last port.
    pub ports: (u16, u16),
    /// The host's LAN.
    pub lan: String,
    /// The lower 64 bits of the host's address, or the device whose they are.
    pub host: Host,
    /// From where it may be used; `None` = from everywhere.
    pub source: Option<Ipv6Net>,
}

/// Who is meant by a pinhole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// Whose address ends so in every prefix; the upper 64 bits are zero.
    Suffix(Ipv6Addr),
    /// A device whose address comes from its hardware address (RFC 4291, appendix A).
    Device(Device),
}

impl Forwardings {
    /// Whether any entry means a device by its lease.
    pub fn names_devices(&self) -> bool {
        let by_lease = |device: &Device| !matches!(device, Device::Address(_));
        self.forwards.iter().any(|forward| by_lease(&forward.to))
            || self.pinholes.iter().any(|pinhole| matches!(&pinhole.host, Host::Device(_)))
    }

    /// What the file's bytes say.
    ///
    /// # Errors
    /// When they are not of this form; a wrong entry is no error.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Forwardings, Refusal> {
        // Thousands of entries are read in one go; one by one only when that fails.
        match json::parse_right::<Written<Right<Entry>>>(bytes) {
            Some(written) => Ok(Forwardings::of(path, bytes, written)),
            None => Ok(Forwardings::of(path, bytes, json::parse::<Written<Value>>(path, bytes)?)),
        }
    }

    fn of<I: Item<Entry>>(path: &Path, bytes: &[u8], written: Written<I>) -> Forwardings {
        let (mut refused, mut moved) = (Vec::new(), 0);
        let forwards = each(path, "forwardings", written.forwardings, &mut refused, |place, entry: &Entry| {
            forwards(place, entry, &mut moved)
        });
        let pinholes = each(path, "pinholes", written.pinholes, &mut refused, pinholes);
        Forwardings { forwards, pinholes, refused: located(refused, bytes) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(bound = "I: Deserialize<'de>")]
struct Written<I> {
    #[serde(default = "Vec::new", deserialize_with = "or_zero")]
    forwardings: Vec<I>,
    #[serde(default = "Vec::new", deserialize_with = "or_zero")]
    pinholes: Vec<I>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    #[serde(deserialize_with = "or_zero")]
    name: String,
    #[serde(deserialize_with = "or_zero")]
    proto: String,
    #[serde(deserialize_with = "or_zero")]
    port: String,
    #[serde(deserialize_with = "or_zero")]
    dest_addr: String,
    #[serde(deserialize_with = "or_zero")]
    dest_port: String,
    #[serde(deserialize_with = "or_zero")]
    device: String,
    #[serde(deserialize_with = "or_zero")]
    suffix: String,
    #[serde(deserialize_with = "or_zero")]
    lan: String,
    #[serde(deserialize_with = "or_zero")]
    source: String,
}

/// A refusal of something that an entry says.
pub fn refusal(root: &Path, entry: &str, field: &str, words: &str) -> Refusal {
    Refusal::field(&file::in_force(root, rights::FORWARDINGS), &format!("{entry}.{field}"), words)
}

fn forwards(place: &str, entry: &Entry, moved: &mut usize) -> Result<Vec<Forward>, Wrong> {
    if !entry.suffix.is_empty() || !entry.lan.is_empty() {
        return Err(("suffix", "belongs to a pinhole, not to a forwarding".into()));
    }
    let ports = range("port", &entry.port)?;
    let to_ports = if entry.dest_port.is_empty() { ports } else { range("dest_port", &entry.dest_port)? };
    let count = |ports: (u16, u16)| usize::from(ports.1 - ports.0) + 1;
    if count(to_ports) != 1 && count(to_ports) != count(ports) {
        let words = format!("{:?} is neither one port nor as many as port {:?}", entry.dest_port, entry.port);
        return Err(("dest_port", words));
    }
    let to = match (entry.dest_addr.as_str(), entry.device.as_str()) {
        ("", "") => return Err(("dest_addr", "is missing".into())),
        (address, "") => Device::Address(parse("dest_addr", address, "an IPv4 address")?),
        ("", device) => Device::named(device),
        _ => return Err(("device", format!("{:?} and dest_addr {:?}: one of them", entry.device, entry.dest_addr))),
    };
    let protocols = protocols(&entry.proto)?;
    if to_ports != ports && count(to_ports) > 1 {
        *moved += count(ports) * protocols.len();
        if *moved > MOST_MOVED {
            return Err((
                "port",
                format!("more than {MOST_MOVED} ports are to change their number, with the entries before"),
            ));
        }
    }
    let source = optional("source", &entry.source, "an IPv4 network such as 198.51.100.0/24")?;
    let entry = described(place, &entry.name);
    let one = |protocol| Forward { entry: entry.clone(), protocol, ports, to: to.clone(), to_ports, source };
    Ok(protocols.into_iter().map(one).collect())
}

fn pinholes(place: &str, entry: &Entry) -> Result<Vec<Pinhole>, Wrong> {
    if !entry.dest_addr.is_empty() || !entry.dest_port.is_empty() {
        return Err(("dest_addr", "belongs to a forwarding; a pinhole changes neither address nor port".into()));
    }
    let ports = range("port", &entry.port)?;
    let host = match (entry.suffix.as_str(), entry.device.as_str()) {
        ("", "") => return Err(("suffix", "is missing".into())),
        (suffix, "") => {
            let address: Ipv6Addr = parse("suffix", suffix, "the end of an address such as ::1234:5678:9abc:def0")?;
            if address.segments()[..4] != [0; 4] || address.is_unspecified() {
                return Err(("suffix", format!("{suffix:?} is not the lower 64 bits of an address")));
            }
            Host::Suffix(address)
        }
        ("", device) => Host::Device(Device::named(device)),
        _ => return Err(("device", format!("{:?} and suffix {:?}: one of them", entry.device, entry.suffix))),
    };
    let source = optional("source", &entry.source, "an IPv6 network such as 2001:db8::/32")?;
    let lan = if entry.lan.is_empty() { "lan0".to_owned() } else { entry.lan.clone() };
    let protocols = protocols(&entry.proto)?;
    let entry = described(place, &entry.name);
    let one =
        |protocol| Pinhole { entry: entry.clone(), protocol, ports, lan: lan.clone(), host: host.clone(), source };
    Ok(protocols.into_iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Forwardings {
        Forwardings::parse(Path::new("/perm/portforwardings.json"), text.as_bytes()).unwrap()
    }

    fn refused(fields: &str) -> String {
        let all = of(&format!(r#"{{"forwardings":[{{"port":"1","dest_addr":"192.168.42.9"}},{{{fields}}}]}}"#));
        assert_eq!(all.forwards.len(), 1, "the other one applies");
        let name = |refusal: &Refusal| refusal.to_string().split_once("/perm/").unwrap().1.to_owned();
        let text: String = all.refused.iter().map(name).collect();
        // Where it stands depends on the entry's length.
        let (file, rest) = text.split_once(':').unwrap();
        let (place, words) = rest.split_once(": ").unwrap();
        assert!(place.starts_with("1:"), "{text}");
        format!("{file}: {words}")
    }

    #[test]
    fn reads_router7s_file() {
        let all = of(
            r#"{"Forwardings":[{"proto":"tcp,udp","port":"8080-8090","dest_addr":"192.168.42.2","dest_port":"80-90"},
            {"port":"22","dest_addr":"192.168.42.3","dest_port":"22","unknown":7}]}"#,
        );
        assert_eq!(all.refused, []);
        let short: Vec<_> = all.forwards.iter().map(|one| (one.protocol, one.ports, one.to_ports)).collect();
        assert_eq!(short, [(6, (8080, 8090), (80, 90)), (17, (8080, 8090), (80, 90)), (6, (22, 22), (22, 22))]);
    }

    #[test]
    fn a_wrong_entry_is_named_with_field_and_value() {
        let to = r#""dest_addr":"192.168.42.2""#;
        for (fields, words) in [
            (r#""port":"0""#, r#"forwardings[1].port: "0": "0" is not a port, 1 to 65535"#),
            (r#""port":"70000""#, r#"forwardings[1].port: "70000": "70000" is not a port, 1 to 65535"#),
            (r#""port":"80-20""#, r#"forwardings[1].port: "80-20" ends before it begins"#),
            (r#""port":"080""#, r#"forwardings[1].port: "080": "080" begins with 0, which may mean two numbers"#),
            (r#""port":"""#, r#"forwardings[1].port: "": "" is not a port, 1 to 65535"#),
            (r#""port":"+1""#, r#"forwardings[1].port: "+1": "+1" is not a port, 1 to 65535"#),
            (r#""port":80"#, "forwardings[1].port: invalid type: integer `80`, expected a string"),
            (
                r#""port":"80-90","dest_port":"1-5""#,
                r#"forwardings[1].dest_port: "1-5" is neither one port nor as many as port "80-90""#,
            ),
            (r#""port":"1","proto":"sctp""#, r#"forwardings[1].proto: "sctp" is neither tcp nor udp"#),
            (
                r#""port":"1","source":"x""#,
                r#"forwardings[1].source: "x" is not an IPv4 network such as 198.51.100.0/24"#,
            ),
            (
                r#""port":"1","device":"nas""#,
                r#"forwardings[1].device: "nas" and dest_addr "192.168.42.2": one of them"#,
            ),
        ] {
            assert_eq!(refused(&format!("{fields},{to}")), format!("portforwardings.json: {words}"));
        }
        assert_eq!(refused(r#""port":"1""#), "portforwardings.json: forwardings[1].dest_addr: is missing");
        let address = refused(r#""port":"1","dest_addr":"192.168.42""#);
        assert_eq!(address, r#"portforwardings.json: forwardings[1].dest_addr: "192.168.42" is not an IPv4 address"#);
    }

    #[test]
    fn devices_sources_and_pinholes() {
        let all = of(r#"{"forwardings":[{"name":"web","port":"443","device":"nas","source":"198.51.100.0/24"},
            {"port":"80","device":"02:00:00:00:00:07"}],
            "pinholes":[{"port":"443","suffix":"::1:2","proto":"udp"},{"port":"1-2","device":"nas","lan":"guest"},
            {"port":"443","suffix":"2001:db8::1"},{"port":"443","suffix":"::1","dest_port":"1"}]}"#);
        assert_eq!(all.forwards[0].to, Device::Named("nas".into()));
        assert_eq!(all.forwards[0].entry, "forwardings[0] (web)");
        assert!(matches!(all.forwards[1].to, Device::Hardware(_)));
        assert_eq!(all.pinholes.len(), 2);
        assert_eq!((all.pinholes[0].lan.as_str(), all.pinholes[1].lan.as_str()), ("lan0", "guest"));
        assert_eq!(all.refused.len(), 2, "{:?}", all.refused);
    }

    #[test]
    fn no_more_ports_are_moved_than_a_map_can_bear() {
        let entry = r#"{"proto":"tcp,udp","port":"1-30000","dest_addr":"192.168.42.2","dest_port":"10001-40000"}"#;
        let all = of(&format!(r#"{{"forwardings":[{entry},{entry},{{"port":"9","dest_addr":"192.168.42.2"}}]}}"#));
        assert_eq!((all.forwards.len(), all.refused.len()), (3, 1));
    }
}
