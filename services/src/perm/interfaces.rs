//! `/perm/interfaces.json`: which NIC is what (router7's keys), its checked form, and what stands in for it when it
//! is missing or wrong.
use super::json::{self, Refusal, or_zero};
use super::{Mac, file};
use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Deserializer, de::Error};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// The file as a person writes it, with each value checked as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Interfaces {
    /// Physical and virtual interfaces.
    #[serde(deserialize_with = "or_zero")]
    pub interfaces: Vec<Interface>,
    /// Bridges over them.
    #[serde(deserialize_with = "or_zero")]
    pub bridges: Vec<Bridge>,
    /// Not router7's: names of interfaces that are left to others; `docker*` means every name that begins so.
    #[serde(deserialize_with = "or_zero")]
    pub ignore: Vec<String>,
}

/// One interface: how it is recognised, and what it becomes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Recognised by this address first.
    #[serde(deserialize_with = "optional")]
    pub hardware_addr: Option<Mac>,
    /// The address it is given; also recognises it once given.
    #[serde(deserialize_with = "optional")]
    pub spoof_hardware_addr: Option<Mac>,
    /// The name it is given; recognises it when no address does.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// Address with prefix length, host bits kept.
    #[serde(deserialize_with = "optional")]
    pub addr: Option<IpNet>,
    /// Further addresses.
    #[serde(deserialize_with = "or_zero")]
    pub extra_addrs: Vec<IpNet>,
    /// Static routes over it.
    #[serde(deserialize_with = "or_zero")]
    pub extra_routes: Vec<Route>,
    /// In bytes; 0 leaves it as it is, else 68 to 65,535.
    #[serde(deserialize_with = "mtu")]
    pub mtu: u32,
    /// Forward error correction: empty or rs, baser, llrs, auto, none, off in any case.
    #[serde(deserialize_with = "fec")]
    pub fec: String,
    /// Not router7's: the interface whose cable carries this one's frames, tagged with `vlan_id`.
    #[serde(deserialize_with = "or_zero")]
    pub parent: String,
    /// Not router7's: a LAN whose hosts reach the internet and nothing else.
    #[serde(deserialize_with = "or_zero")]
    pub guest: bool,
    /// Not router7's: VLAN number, 1 to 4094; 0 = not a VLAN.
    #[serde(deserialize_with = "vlan_id")]
    pub vlan_id: u16,
    /// Not router7's: the uplink's IPv4 gateway, with a fixed `addr`. dhcp4 then rests.
    #[serde(deserialize_with = "optional")]
    pub gateway: Option<Ipv4Addr>,
    /// Not router7's: the uplink's IPv6 gateway. dhcp6 then rests.
    #[serde(deserialize_with = "optional")]
    pub gateway6: Option<Ipv6Addr>,
    /// Not router7's: prefixes that are routed to the uplink without DHCPv6, /64 or shorter. dhcp6 then rests.
    #[serde(deserialize_with = "or_zero")]
    pub delegated_prefixes: Vec<Ipv6Net>,
    /// Not router7's: DNS servers reached by the uplink, before those of a lease.
    #[serde(deserialize_with = "or_zero")]
    pub dns: Vec<IpAddr>,
    /// Not router7's: the uplink is a session over its cable or VLAN (RFC 2516). dhcp4 then rests.
    #[serde(deserialize_with = "or_zero")]
    pub pppoe: Option<Pppoe>,
}

/// How a PPPoE session is asked for. The password is in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Pppoe {
    /// Who we are to the provider, 1 to 255 bytes.
    #[serde(deserialize_with = "label")]
    pub username: String,
    /// The service that is wanted, at most 255 bytes; empty = any.
    #[serde(deserialize_with = "label")]
    pub service: String,
    /// The one concentrator that is wanted, at most 255 bytes; empty = the first to answer.
    #[serde(deserialize_with = "label")]
    pub ac_name: String,
}

/// A static route.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Route {
    /// Destination network.
    pub destination: IpNet,
    /// Next hop; none = on the link.
    #[serde(default, deserialize_with = "optional")]
    pub gateway: Option<IpAddr>,
}

/// A bridge and its ports.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Bridge {
    /// Its name.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// Its ports; the first one's address becomes the bridge's own.
    #[serde(deserialize_with = "or_zero")]
    pub interface_hardware_addrs: Vec<Mac>,
    /// Not router7's: it speaks the spanning tree protocol.
    #[serde(deserialize_with = "or_zero")]
    pub stp: bool,
    /// Not router7's: it keeps VLANs apart.
    #[serde(deserialize_with = "or_zero")]
    pub vlan_filtering: bool,
}

/// Where the interfaces in force come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `/perm/interfaces.json`.
    File,
    /// The last good copy, because the file was refused.
    LastGood(Refusal),
    /// The defaults: there is no file, or it was refused and there is no good copy.
    Default(Option<Refusal>),
}

/// The interfaces in force and where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What holds. From [`Source::Default`] its entries carry no hardware address: netconfigd assigns them by bus order.
    pub interfaces: Interfaces,
    /// Where it comes from.
    pub source: Source,
    /// The bytes of `/perm/interfaces.json` when it holds, to be kept as its good copy; else empty.
    pub bytes: Vec<u8>,
    /// Whether it is a candidate that nobody has kept yet.
    pub on_trial: bool,
}

/// The interface towards the internet.
pub const UPLINK: &str = "uplink0";
/// What carries the frames of an uplink over PPPoE: the NIC or VLAN that the uplink's entry describes.
pub const CARRIER: &str = "uplink0-eth";
/// What PPPoE leaves of an Ethernet frame of 1,500 bytes for PPP's payload (RFC 2516, section 7).
pub const PPPOE_MTU: u32 = 1_492;
/// Bytes that PPPoE and PPP put before the payload.
const PPPOE_HEADERS: u32 = 8;
/// The LAN's address when nobody has said another.
pub const DEFAULT_LAN: (Ipv4Addr, u8) = (Ipv4Addr::new(192, 168, 42, 1), 24);

impl Interfaces {
    /// Without a file: uplink0 and lan0 by bus order, lan0 with [`DEFAULT_LAN`].
    pub fn defaults() -> Interfaces {
        let lan = ipnet::Ipv4Net::new(DEFAULT_LAN.0, DEFAULT_LAN.1).ok().map(IpNet::V4);
        let named = |name: &str, addr| Interface { name: name.into(), addr, ..Interface::default() };
        Interfaces { interfaces: vec![named("uplink0", None), named("lan0", lan)], ..Interfaces::default() }
    }

    /// The entry of an interface by name.
    pub fn named(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    /// The entry of the interface towards the internet.
    pub fn uplink(&self) -> Option<&Interface> {
        self.named(UPLINK)
    }

    /// Names of the LANs, in the file's order: every interface but the uplinks, tunnels, `lo`, and those that only carry
    /// a VLAN.
    pub fn lans(&self) -> Vec<&str> {
        let names = self.interfaces.iter().filter(|entry| !self.is_carrier(entry)).map(|entry| entry.name.as_str());
        names.filter(|name| *name != "lo" && !name.starts_with("uplink") && !name.starts_with("wg")).collect()
    }

    /// Whether an interface is left to others.
    pub fn ignores(&self, name: &str) -> bool {
        self.ignore.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == pattern,
        })
    }

    /// Whether a bridge has this name.
    fn is_bridge(&self, name: &str) -> bool {
        self.bridges.iter().any(|bridge| bridge.name == name)
    }

    /// Whether an entry has nothing of its own to say: its cable carries the tagged frames of another entry.
    pub fn is_carrier(&self, entry: &Interface) -> bool {
        let bare = entry.addr.is_none() && entry.extra_addrs.is_empty();
        bare && self.interfaces.iter().any(|other| other.parent == entry.name)
    }

    /// The IPv4 address and prefix length of an interface, from `addr` or the first IPv4 of `extra_addrs`.
    pub fn ipv4_of(&self, name: &str) -> Option<(Ipv4Addr, u8)> {
        let interface = self.named(name)?;
        interface.addr.iter().chain(&interface.extra_addrs).find_map(|net| match net {
            IpNet::V4(net) => Some((net.addr(), net.prefix_len())),
            IpNet::V6(_) => None,
        })
    }

    /// Reads one file; `None` when there is none.
    ///
    /// # Errors
    /// Names file, line, field and value.
    pub fn read(path: &Path) -> Result<Option<Interfaces>, Refusal> {
        Ok(Self::read_with_bytes(path)?.map(|(interfaces, _)| interfaces))
    }

    // What one entry's fields say to each other and to other entries; what is wrong as (field, words).
    fn check(&self, entry: &Interface) -> Result<(), (&'static str, String)> {
        if entry.parent.is_empty() != (entry.vlan_id == 0) {
            let words = "parent and vlan_id go together: one is missing";
            return Err((if entry.vlan_id == 0 { "vlan_id" } else { "parent" }, words.into()));
        }
        if let Some(pppoe) = &entry.pppoe {
            if pppoe.username.is_empty() {
                return Err(("pppoe.username", "\"\" is nobody".into()));
            }
            if entry.gateway.is_some() {
                return Err(("gateway", "a PPPoE session has none".into()));
            }
            if entry.mtu != 0 && !(1_280..=1_500).contains(&entry.mtu) {
                return Err(("mtu", format!("{} is not 1280 to 1500, as a PPPoE session may have", entry.mtu)));
            }
        }
        if entry.name == CARRIER {
            return Err(("name", format!("{CARRIER:?} is the name of what carries an uplink over PPPoE")));
        }
        if entry.vlan_id != 0 {
            match self.named(&entry.parent) {
                None => return Err(("parent", format!("{:?} is the name of no entry", entry.parent))),
                Some(parent) if parent.vlan_id != 0 => {
                    return Err(("parent", format!("{:?} is a VLAN itself", entry.parent)));
                }
                Some(_) => {}
            }
            let same = |other: &&Interface| (&other.parent, other.vlan_id) == (&entry.parent, entry.vlan_id);
            if self.interfaces.iter().filter(same).count() > 1 {
                return Err((
                    "vlan_id",
                    format!("{} is the number of another VLAN of {}, too", entry.vlan_id, entry.parent),
                ));
            }
            if entry.hardware_addr.is_some() {
                return Err(("hardware_addr", "a VLAN has its parent's, or spoof_hardware_addr".into()));
            }
        }
        let of_uplink = [
            ("gateway", entry.gateway.is_some()),
            ("gateway6", entry.gateway6.is_some()),
            ("delegated_prefixes", !entry.delegated_prefixes.is_empty()),
            ("dns", !entry.dns.is_empty()),
            ("pppoe", entry.pppoe.is_some()),
        ];
        if let Some((field, _)) = of_uplink.iter().find(|(_, said)| *said && entry.name != UPLINK) {
            return Err((field, format!("only {UPLINK} has one, not {:?}", entry.name)));
        }
        if entry.guest && !self.lans().contains(&entry.name.as_str()) {
            return Err(("guest", format!("{:?} is no LAN", entry.name)));
        }
        let mut nets = entry.addr.iter().chain(&entry.extra_addrs);
        if entry.gateway.is_some() && !nets.any(|net| matches!(net, IpNet::V4(_))) {
            return Err(("gateway", "without an IPv4 address in addr or extra_addrs".into()));
        }
        if let Some(net) = entry.delegated_prefixes.iter().find(|net| net.prefix_len() > 64) {
            return Err(("delegated_prefixes", format!("{net} is longer than /64")));
        }
        Ok(())
    }

    /// What the file's bytes say.
    ///
    /// # Errors
    /// Names file, line, field and value.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Interfaces, Refusal> {
        let mut interfaces: Interfaces = json::parse(path, bytes)?;
        for (at, interface) in interfaces.interfaces.iter().enumerate() {
            let wrong = |(field, words): (&str, String)| {
                Refusal::field(path, &format!("interfaces[{at}].{field}"), words).at(bytes)
            };
            interfaces.check(interface).map_err(wrong)?;
            let before = &interfaces.interfaces[..at];
            if before.iter().any(|other| other.name == interface.name) {
                return Err(wrong(("name", format!("{:?} is the name of an earlier entry, too", interface.name))));
            }
            // A bridge is recognised by its name.
            let by_mac = |entry: &&Interface| entry.hardware_addr.is_some() && !interfaces.is_bridge(&entry.name);
            let same = |other: &&Interface| by_mac(other) && other.hardware_addr == interface.hardware_addr;
            if let Some(other) = before.iter().find(same).filter(|_| by_mac(&interface)) {
                let mac = interface.hardware_addr.map(|mac| mac.to_string()).unwrap_or_default();
                return Err(wrong(("hardware_addr", format!("{mac} is that of {:?}, too", other.name))));
            }
            if interfaces.ignores(&interface.name) {
                return Err(wrong(("name", format!("{:?} is among those that are left to others", interface.name))));
            }
        }
        for (at, bridge) in interfaces.bridges.iter().enumerate() {
            let wrong = |words: String| Refusal::field(path, &format!("bridges[{at}].name"), words).at(bytes);
            if interfaces.bridges[..at].iter().any(|other| other.name == bridge.name) {
                return Err(wrong(format!("{:?} is the name of an earlier bridge, too", bridge.name)));
            }
            if interfaces.ignores(&bridge.name) {
                return Err(wrong(format!("{:?} is among those that are left to others", bridge.name)));
            }
        }
        interfaces.part_pppoe();
        Ok(interfaces)
    }

    // An uplink over PPPoE is two interfaces: the session, and the NIC or VLAN that carries it.
    fn part_pppoe(&mut self) {
        let Some(at) = self.interfaces.iter().position(|entry| entry.pppoe.is_some()) else { return };
        let session = &mut self.interfaces[at];
        // A session larger than usual wants larger frames (RFC 4638).
        let mtu = if session.mtu > PPPOE_MTU { session.mtu + PPPOE_HEADERS } else { 0 };
        let carrier = Interface {
            name: CARRIER.into(),
            hardware_addr: session.hardware_addr.take(),
            spoof_hardware_addr: session.spoof_hardware_addr.take(),
            parent: std::mem::replace(&mut session.parent, CARRIER.into()),
            vlan_id: std::mem::take(&mut session.vlan_id),
            fec: std::mem::take(&mut session.fec),
            mtu,
            ..Interface::default()
        };
        for below in self.interfaces.iter_mut().filter(|entry| mtu > 0 && entry.name == carrier.parent) {
            below.mtu = below.mtu.max(mtu);
        }
        self.interfaces.insert(at, carrier);
    }

    fn read_with_bytes(path: &Path) -> Result<Option<(Interfaces, Vec<u8>)>, Refusal> {
        let bytes = file::read(path).map_err(|error| Refusal::field(path, "the file", error))?;
        bytes.map(|bytes| Ok((Interfaces::parse(path, &bytes)?, bytes))).transpose()
    }
}

/// What holds under a root: the file, else its last good copy, else the defaults.
pub fn load(root: &Path) -> Loaded {
    let path = |absolute: &str| -> PathBuf { root.join(absolute.trim_start_matches('/')) };
    let instead = |interfaces, source| Loaded { interfaces, source, bytes: Vec::new(), on_trial: false };
    let file = file::in_force(root, rights::INTERFACES);
    let on_trial = file != path(rights::INTERFACES);
    match Interfaces::read_with_bytes(&file) {
        Ok(Some((interfaces, bytes))) => Loaded { interfaces, source: Source::File, bytes, on_trial },
        Ok(None) => instead(Interfaces::defaults(), Source::Default(None)),
        Err(refusal) => match Interfaces::read(&path(rights::GOOD_INTERFACES)) {
            Ok(Some(interfaces)) => instead(interfaces, Source::LastGood(refusal)),
            _ => instead(Interfaces::defaults(), Source::Default(Some(refusal))),
        },
    }
}

// An empty text is the same as none, as in Go.
fn optional<'de, D: Deserializer<'de>, T: std::str::FromStr>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let kind = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
        let example = match kind {
            "Mac" => "a MAC address such as 02:73:53:00:ca:fe",
            "IpNet" => "an address with prefix length such as 192.168.42.1/24",
            _ => "an IP address",
        };
        D::Error::custom(format!("{text:?} is not {example}"))
    })
}

// IFNAMSIZ is 16 with the terminating zero; the kernel refuses '/', white space, "." and "..".
fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let length = (1..=15).contains(&text.len());
    if length
        && text != "."
        && text != ".."
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':')
    {
        return Ok(text);
    }
    Err(D::Error::custom(format!("{text:?} is not an interface name (1 to 15 letters without space, / and :)")))
}

fn mtu<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let mtu = Option::<u32>::deserialize(deserializer)?.unwrap_or_default();
    if mtu == 0 || (68..=65_535).contains(&mtu) {
        return Ok(mtu);
    }
    Err(D::Error::custom(format!("{mtu} is not an MTU (68 to 65535, or 0 to leave it)")))
}

// A tag of RFC 2516 and a name of PAP are longer only in theory; what cannot be seen is a slip of the hand.
fn label<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    if text.len() <= 255 && !text.chars().any(char::is_control) {
        return Ok(text);
    }
    Err(D::Error::custom(format!("{text:?} has more than 255 bytes, or a control character")))
}

fn vlan_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let number = Option::<u16>::deserialize(deserializer)?.unwrap_or_default();
    if number <= 4_094 {
        return Ok(number);
    }
    Err(D::Error::custom(format!("{number} is not a VLAN number (1 to 4094)")))
}

fn fec<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default().to_ascii_lowercase();
    if ["", "rs", "baser", "llrs", "auto", "none", "off"].contains(&text.as_str()) {
        return Ok(text);
    }
    Err(D::Error::custom(format!("{text:?} is none of rs, baser, llrs, auto, none, off")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    const ROUTER7: &str = r#"{"interfaces":[
        {"hardware_addr":"02:73:53:00:ca:fe","spoof_hardware_addr":"","name":"uplink0"},
        {"hardware_addr":"02:73:53:00:b0:0c","name":"lan0","addr":"192.168.42.1/24","extra_addrs":null,
         "extra_routes":[{"destination":"2a02:168:4a00:22::/64","gateway":"fe80::1"}],"mtu":1492,"fec":"RS"}],
        "bridges":[{"name":"br0","interface_hardware_addrs":["02:73:53:00:b0:0c"]}]}"#;

    fn with(text: &str) -> (Folder, Loaded) {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("perm/netconfigd")).unwrap();
        std::fs::write(folder.0.join("perm/interfaces.json"), text).unwrap();
        let loaded = load(&folder.0);
        (folder, loaded)
    }

    #[test]
    fn reads_router7s_file() {
        let (_folder, loaded) = with(ROUTER7);
        assert_eq!(loaded.source, Source::File);
        let lan = loaded.interfaces.named("lan0").unwrap();
        assert_eq!((lan.mtu, lan.fec.as_str()), (1492, "rs"));
        assert_eq!(loaded.interfaces.ipv4_of("lan0"), Some((Ipv4Addr::new(192, 168, 42, 1), 24)));
        assert_eq!(loaded.interfaces.bridges[0].interface_hardware_addrs.len(), 1);
    }

    #[test]
    fn a_fixed_uplink_over_a_vlan() {
        let (_folder, loaded) = with(
            r#"{"interfaces":[{"name":"wan","hardware_addr":"02:73:53:00:ca:fe"},{"name":"lan0"},{"name":"wg0"},
            {"name":"uplink0","parent":"wan","vlan_id":7,"addr":"203.0.113.9/24","gateway":"203.0.113.1",
             "gateway6":"fe80::1","delegated_prefixes":["2001:db8::/56"],"dns":["9.9.9.9"]}]}"#,
        );
        assert_eq!(loaded.source, Source::File);
        assert_eq!(loaded.interfaces.lans(), ["lan0"]);
        assert_eq!(loaded.interfaces.uplink().unwrap().vlan_id, 7);
    }

    #[test]
    fn an_uplink_over_pppoe_is_a_session_and_its_carrier() {
        let (_folder, loaded) = with(
            r#"{"interfaces":[{"name":"wan","hardware_addr":"02:73:53:00:ca:fe"},{"name":"lan0"},
            {"name":"uplink0","parent":"wan","vlan_id":7,"spoof_hardware_addr":"02:73:53:00:00:01","mtu":1500,
             "pppoe":{"username":"a@isp","service":null}}]}"#,
        );
        assert_eq!(loaded.source, Source::File);
        let interfaces = loaded.interfaces;
        assert_eq!(interfaces.lans(), ["lan0"]);
        let (uplink, carrier) = (interfaces.uplink().unwrap(), interfaces.named(CARRIER).unwrap());
        assert_eq!((uplink.parent.as_str(), uplink.vlan_id, uplink.spoof_hardware_addr), (CARRIER, 0, None));
        assert_eq!((carrier.parent.as_str(), carrier.vlan_id, carrier.mtu), ("wan", 7, 1508));
        assert_eq!((interfaces.named("wan").unwrap().mtu, carrier.pppoe.is_some()), (1508, false));
        assert!(carrier.spoof_hardware_addr.is_some() && interfaces.is_carrier(carrier));
    }

    #[test]
    fn without_a_file_the_defaults_hold() {
        let folder = Folder::new();
        let loaded = load(&folder.0);
        assert_eq!(loaded.source, Source::Default(None));
        assert_eq!(loaded.interfaces.ipv4_of("lan0"), Some(DEFAULT_LAN));
    }

    #[test]
    fn a_wrong_file_is_named_and_the_good_copy_holds() {
        let (folder, loaded) = with("{\"interfaces\":[\n{\"name\":\"lan0\",\n\"addr\":\"192.168.42.1\"}]}");
        let Source::Default(Some(refusal)) = loaded.source else { panic!("{:?}", loaded.source) };
        let text = refusal.to_string();
        assert!(text.contains("perm/interfaces.json:3:"), "{text}");
        assert!(text.contains("interfaces[0].addr") && text.contains("\"192.168.42.1\""), "{text}");
        std::fs::write(folder.0.join("perm/netconfigd/interfaces.json"), ROUTER7).unwrap();
        let loaded = load(&folder.0);
        assert!(matches!(loaded.source, Source::LastGood(_)));
        assert_eq!(loaded.interfaces.interfaces.len(), 2);
    }

    #[test]
    fn wrong_values_are_refused() {
        for (field, value) in [
            ("hardware_addr", "\"02:73\""),
            ("mtu", "12"),
            ("mtu", "\"1500\""),
            ("fec", "\"x\""),
            ("name", "\"a/b\""),
            ("name", "\"\""),
            ("name", "\"0123456789abcdef\""),
            ("extra_addrs", "[\"10.0.0.1/33\"]"),
        ] {
            let name = if field == "name" { "" } else { "\"name\":\"a\"," };
            let (_folder, loaded) = with(&format!("{{\"interfaces\":[{{{name}\"{field}\":{value}}}]}}"));
            let Source::Default(Some(refusal)) = loaded.source else { panic!("{field} {value} was taken") };
            assert!(refusal.to_string().contains(field), "{refusal}");
        }
        for (field, text) in [
            ("interfaces[0].vlan_id", r#"{"name":"uplink0","parent":"wan"}"#),
            ("interfaces[0].vlan_id", r#"{"name":"uplink0","parent":"wan","vlan_id":4095},{"name":"wan"}"#),
            ("interfaces[0].parent", r#"{"name":"uplink0","parent":"wan","vlan_id":7}"#),
            (
                "interfaces[0].vlan_id",
                r#"{"name":"a","parent":"b","vlan_id":7},{"name":"c","parent":"b","vlan_id":7},{"name":"b"}"#,
            ),
            ("interfaces[0].gateway", r#"{"name":"uplink0","gateway":"203.0.113.1"}"#),
            (
                "interfaces[1].hardware_addr",
                r#"{"name":"a","hardware_addr":"02:73:53:00:ca:fe"},{"name":"b","hardware_addr":"02:73:53:00:CA:FE"}"#,
            ),
            ("interfaces[0].gateway6", r#"{"name":"lan0","gateway6":"fe80::1"}"#),
            ("interfaces[0].delegated_prefixes", r#"{"name":"uplink0","delegated_prefixes":["2001:db8::/65"]}"#),
            ("interfaces[0].pppoe", r#"{"name":"lan0","pppoe":{"username":"a"}}"#),
            ("interfaces[0].pppoe.username", r#"{"name":"uplink0","pppoe":{}}"#),
            ("interfaces[0].pppoe.service", r#"{"name":"uplink0","pppoe":{"username":"a","service":"\n"}}"#),
            ("interfaces[0].mtu", r#"{"name":"uplink0","mtu":9000,"pppoe":{"username":"a"}}"#),
            (
                "interfaces[0].gateway",
                r#"{"name":"uplink0","addr":"192.0.2.2/24","gateway":"192.0.2.1","pppoe":{"username":"a"}}"#,
            ),
            ("interfaces[0].name", r#"{"name":"uplink0-eth"}"#),
        ] {
            let (_folder, loaded) = with(&format!("{{\"interfaces\":[{text}]}}"));
            let Source::Default(Some(refusal)) = loaded.source else { panic!("{text} was taken") };
            assert!(refusal.to_string().contains(field), "{refusal}");
        }
        for (field, text) in [
            ("interfaces[1].name", r#"{"interfaces":[{"name":"a"},{"name":"a"}]}"#),
            ("interfaces[0].name", r#"{"interfaces":[{"name":"docker7"}],"ignore":["docker*"]}"#),
            ("bridges[1].name", r#"{"bridges":[{"name":"a"},{"name":"a"}]}"#),
            ("bridges[0].name", r#"{"bridges":[{"name":"a"}],"ignore":["a"]}"#),
        ] {
            let (_folder, loaded) = with(text);
            let Source::Default(Some(refusal)) = loaded.source else { panic!("{text} was taken") };
            assert!(refusal.to_string().contains(field), "{refusal}");
        }
    }
}
