//! `/perm/firewall.json`: rules of a person's own, asked before those that weir has by itself.
//!
//! Not router7's, so a key that is unknown is refused: misspelt, it would make a rule hold for more than was meant. A rule
//! that is refused is left out by itself.
use super::entries::{Device, Wrong, described, each, located, parse, protocols, range};
use super::file;
use super::json::{self, Refusal, or_zero};
use super::schedule::Schedule;
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

/// Rules of one file. A packet that begins a connection is asked them one after the other.
const MOST: usize = 1_000;
/// Letters of a name, which stands in the ruleset as well.
const NAME: usize = 40;

/// The file, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// In the file's order: the first that fits decides.
    pub rules: Vec<Rule>,
    /// Whether established connections may pass by the rules, where the kernel can do it.
    pub offload: bool,
    /// Entries that are left out, and why.
    pub refused: Vec<Refusal>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { rules: Vec::new(), offload: true, refused: Vec::new() }
    }
}

/// Which way a connection is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From a LAN to the internet.
    #[default]
    Out,
    /// From the internet to a LAN, after a port forwarding has led it there.
    In,
    /// From a LAN to a LAN.
    Across,
    /// From a LAN to the router itself. Asking for addresses and names is never refused.
    Router,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Connections may be begun.
    Allow,
    /// They may not, and those that are open end.
    Refuse,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which entry it is, as errors name it.
    pub entry: String,
    /// Its name, and that of its counter: letters, digits, `-` and `_`.
    pub name: String,
    /// What is done.
    pub verdict: Verdict,
    /// Which way the connection is begun.
    pub direction: Direction,
    /// Whom at home it is about.
    pub who: Who,
    /// The LAN that the one at home is in; empty = any.
    pub lan: String,
    /// Who is at the other end.
    pub remote: Option<IpNet>,
    /// `IPPROTO_TCP`, `IPPROTO_UDP`; none = every protocol.
    pub protocols: Vec<u8>,
    /// First and last port of the one who answers.
    pub ports: Option<(u16, u16)>,
    /// When it holds; always without one.
    pub schedule: Option<Schedule>,
}

/// Whom at home a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Everyone.
    All,
    /// A device, by its lease or its hardware address.
    Device(Device),
    /// Who has an address in this network.
    Net(IpNet),
    /// Whose IPv6 address ends so; the upper 64 bits are zero.
    Suffix(Ipv6Addr),
}

impl Rules {
    /// Whether any rule means a device by its name, so that the leases count.
    pub fn names_devices(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.who, Who::Device(_)))
    }

    /// Whether any rule holds only at times.
    pub fn have_schedules(&self) -> bool {
        self.rules.iter().any(|rule| rule.schedule.is_some())
    }

    /// What the file's bytes say.
    ///
    /// # Errors
    /// When they are not of this form; a wrong entry is no error.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Rules, Refusal> {
        let written: Written = json::parse(path, bytes)?;
        let (mut refused, mut names) = (Vec::new(), BTreeSet::new());
        let rules = each(path, "rules", written.rules, &mut refused, |place, entry: &Entry| {
            let rule = rule(place, entry)?;
            if names.len() >= MOST {
                return Err(("name", format!("is that of more than {MOST} rules")));
            }
            if !names.insert(rule.name.clone()) {
                return Err(("name", format!("{:?} is the name of an earlier rule, too", rule.name)));
            }
            Ok(vec![rule])
        });
        Ok(Rules { rules, offload: written.offload.unwrap_or(true), refused: located(refused, bytes) })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    #[serde(deserialize_with = "or_zero")]
    rules: Vec<Value>,
    offload: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    action: Verdict,
    #[serde(default)]
    direction: Direction,
    #[serde(default, deserialize_with = "or_zero")]
    device: String,
    #[serde(default, deserialize_with = "or_zero")]
    address: String,
    #[serde(default, deserialize_with = "or_zero")]
    suffix: String,
    #[serde(default, deserialize_with = "or_zero")]
    lan: String,
    #[serde(default, deserialize_with = "or_zero")]
    remote: String,
    #[serde(default, deserialize_with = "or_zero")]
    proto: String,
    #[serde(default, deserialize_with = "or_zero")]
    port: String,
    #[serde(default, deserialize_with = "or_zero")]
    schedule: Option<Schedule>,
}

/// A refusal of something that an entry says.
pub fn refusal(root: &Path, entry: &str, field: &str, words: &str) -> Refusal {
    Refusal::field(&file::in_force(root, rights::FIREWALL), &format!("{entry}.{field}"), words)
}

fn rule(place: &str, entry: &Entry) -> Result<Rule, Wrong> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let name = &entry.name;
    if name.is_empty() || name.len() > NAME || !name.bytes().all(letter) {
        let words = format!("{name:?} is not 1 to {NAME} letters a to z, digits, - and _, by which it is counted");
        return Err(("name", words));
    }
    let (who, remote) = (who(entry)?, optional_net("remote", &entry.remote)?);
    let family = |net: &IpNet| net.addr().is_ipv6();
    let at_home = match &who {
        Who::Net(net) => Some(("address", family(net))),
        Who::Suffix(_) => Some(("suffix", true)),
        Who::All | Who::Device(_) => None,
    };
    if let (Some((field, at_home)), Some(remote)) = (at_home, &remote)
        && at_home != family(remote)
    {
        return Err((field, format!("and remote {:?} are not of one family", entry.remote)));
    }
    let ports = if entry.port.is_empty() { None } else { Some(range("port", &entry.port)?) };
    let any = ports.is_none() && entry.proto.is_empty();
    Ok(Rule {
        entry: described(place, name),
        name: name.clone(),
        verdict: entry.action,
        direction: entry.direction,
        who,
        lan: entry.lan.clone(),
        remote,
        protocols: if any { Vec::new() } else { protocols(&entry.proto)? },
        ports,
        schedule: entry.schedule,
    })
}

fn who(entry: &Entry) -> Result<Who, Wrong> {
    match (entry.device.as_str(), entry.address.as_str(), entry.suffix.as_str()) {
        ("", "", "") => Ok(Who::All),
        (device, "", "") => Ok(Who::Device(Device::named(device))),
        ("", address, "") => net("address", address).map(Who::Net),
        ("", "", suffix) => self::suffix(suffix).map(Who::Suffix),
        _ => Err(("device", "address and suffix: one of them".into())),
    }
}

/// The lower 64 bits of an address.
fn suffix(text: &str) -> Result<Ipv6Addr, Wrong> {
    let address: Ipv6Addr = parse("suffix", text, "the end of an address such as ::1234:5678:9abc:def0")?;
    if address.segments()[..4] != [0; 4] || address.is_unspecified() {
        return Err(("suffix", format!("{text:?} is not the lower 64 bits of an address")));
    }
    Ok(address)
}

/// A network, or an address alone.
fn net(field: &'static str, text: &str) -> Result<IpNet, Wrong> {
    let alone = text.parse::<IpAddr>().map(IpNet::from);
    let net = alone.or_else(|_| text.parse::<IpNet>());
    let words = || format!("{text:?} is neither an address nor a network such as 198.51.100.0/24");
    net.map(|net| net.trunc()).map_err(|_| (field, words()))
}

fn optional_net(field: &'static str, text: &str) -> Result<Option<IpNet>, Wrong> {
    if text.is_empty() { Ok(None) } else { net(field, text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Rules {
        Rules::parse(Path::new("firewall.json"), text.as_bytes()).unwrap()
    }

    #[test]
    fn reads_a_file() {
        let rules = of(r#"{"rules":[
            {"name":"tablet-at-night","action":"refuse","device":"tablet",
             "schedule":{"days":"mon-fri","from":"21:00","to":"07:00"}},
            {"name":"print","action":"allow","direction":"across","lan":"guest","remote":"192.168.42.9","port":"631"},
            {"name":"nas6","action":"allow","direction":"in","suffix":"::7","proto":"udp","port":"1-9",
             "remote":"2001:db8::/32"}]}"#);
        assert_eq!(rules.refused, []);
        let [night, print, nas] = rules.rules.as_slice() else { panic!("{rules:?}") };
        assert_eq!((&night.who, night.verdict), (&Who::Device(Device::Named("tablet".into())), Verdict::Refuse));
        assert_eq!((night.protocols.as_slice(), night.ports), (&[][..], None));
        assert_eq!((print.protocols.as_slice(), print.ports), (&[6][..], Some((631, 631))));
        assert_eq!(print.remote, Some("192.168.42.9/32".parse().unwrap()));
        assert_eq!((nas.protocols.as_slice(), nas.direction), (&[17][..], Direction::In));
        assert!(rules.names_devices() && rules.have_schedules());
        assert_eq!(of("{}"), Rules::default());
    }

    #[test]
    fn a_wrong_rule_is_named_with_line_field_and_value() {
        let good = r#"{"rules":[{"name":"a","action":"refuse"},"#;
        for (entry, words) in [
            (r#"{"action":"refuse"}"#, "rules[1]: missing field `name`"),
            (r#"{"name":"b"}"#, "rules[1]: missing field `action`"),
            (r#"{"name":"b c","action":"allow"}"#, r#"rules[1].name: "b c" is not 1 to 40 letters"#),
            (r#"{"name":"a","action":"allow"}"#, r#"rules[1].name: "a" is the name of an earlier rule, too"#),
            (r#"{"name":"b","action":"drop"}"#, "rules[1].action: unknown variant `drop`"),
            (r#"{"name":"b","action":"allow","prot":"udp"}"#, "rules[1].prot: unknown field `prot`"),
            (r#"{"name":"b","action":"allow","direction":"up"}"#, "rules[1].direction: unknown variant `up`"),
            (r#"{"name":"b","action":"allow","address":"x"}"#, r#"rules[1].address: "x" is neither an address"#),
            (r#"{"name":"b","action":"allow","suffix":"2001:db8::1"}"#, "is not the lower 64 bits"),
            (r#"{"name":"b","action":"allow","suffix":"::1","remote":"9.9.9.9"}"#, "rules[1].suffix: and remote"),
            (r#"{"name":"b","action":"allow","device":"x","suffix":"::1"}"#, "rules[1].device: address and suffix"),
            (r#"{"name":"b","action":"allow","port":"0"}"#, "rules[1].port: \"0\": \"0\" is not a port"),
            (
                r#"{"name":"b","action":"allow","schedule":{"from":"25:00"}}"#,
                r#"rules[1].schedule.from: "25:00" is not a time"#,
            ),
        ] {
            let rules = of(&format!("{good}\n{entry}]}}"));
            assert_eq!(rules.rules.len(), 1, "the other one holds");
            let said = rules.refused[0].to_string();
            assert!(said.starts_with("firewall.json:2:") && said.contains(words), "{said}");
        }
        let unknown = Rules::parse(Path::new("firewall.json"), br#"{"rule":[]}"#).unwrap_err().to_string();
        assert!(unknown.contains("unknown field `rule`"), "{unknown}");
    }

    #[test]
    fn there_is_an_end() {
        let rules: Vec<String> = (0..=MOST).map(|at| format!(r#"{{"name":"r{at}","action":"allow"}}"#)).collect();
        let rules = of(&format!(r#"{{"rules":[{}]}}"#, rules.join(",")));
        assert_eq!((rules.rules.len(), rules.refused.len()), (MOST, 1));
    }
}
