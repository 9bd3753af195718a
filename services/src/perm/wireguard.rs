//! `/perm/wireguard.json`: WireGuard interfaces and their peers (router7's keys; `preshared_key` and
//! `persistent_keepalive` besides). Nothing here repeats a secret, not even a wrong one.
//!
//! An interface or peer that is refused is left out by itself, with a line that names it; all others apply.
use super::entries::{Wrong, each, is_host_name, located};
use super::file;
use super::json::{self, Refusal, or_zero};
use ipnet::IpNet;
use netstack::wireguard::{Key, Secret};
use serde::Deserialize;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;

/// Networks that one peer may have: they fit one message to the kernel.
const MOST_NETWORKS: usize = 1_000;
/// Peers of all interfaces together.
const MOST_PEERS: usize = 4_096;

/// The file, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tunnels {
    /// The interfaces that apply.
    pub tunnels: Vec<Tunnel>,
    /// Names of interfaces that do not, as far as they can be read: what stands of these is left alone.
    pub left_out: Vec<String>,
    /// Entries that are left out, and why.
    pub refused: Vec<Refusal>,
}

/// A WireGuard interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Its name.
    pub name: String,
    /// Its private key.
    pub key: Secret,
    /// The UDP port that it listens on; 0 = the kernel picks one.
    pub port: u16,
    /// Its peers.
    pub peers: Vec<Peer>,
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Which entry it is, as errors name it.
    pub entry: String,
    /// Who it is.
    pub key: Key,
    /// A further secret between the two.
    pub preshared: Option<Secret>,
    /// Where it is to be asked; `None` = it comes to us.
    pub endpoint: Option<Endpoint>,
    /// What may come from it, and is sent to it.
    pub allowed: Vec<IpNet>,
    /// Seconds between packets that keep a path open; 0 = none are sent.
    pub keepalive: u16,
}

/// Where a peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// At this address.
    At(SocketAddr),
    /// At the address that this name has, at this port.
    Named(String, u16),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    #[serde(deserialize_with = "or_zero")]
    interfaces: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WrittenTunnel {
    #[serde(deserialize_with = "or_zero")]
    name: String,
    #[serde(deserialize_with = "or_zero")]
    private_key: String,
    #[serde(deserialize_with = "or_zero")]
    port: u16,
    #[serde(deserialize_with = "or_zero")]
    peers: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WrittenPeer {
    #[serde(deserialize_with = "or_zero")]
    public_key: String,
    #[serde(deserialize_with = "or_zero")]
    preshared_key: String,
    #[serde(deserialize_with = "or_zero")]
    endpoint: String,
    #[serde(deserialize_with = "or_zero")]
    allowed_ips: Vec<String>,
    #[serde(deserialize_with = "or_zero")]
    persistent_keepalive: u16,
}

impl Tunnels {
    /// What the file's bytes say.
    ///
    /// # Errors
    /// When they are not of this form; a wrong entry is no error.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Tunnels, Refusal> {
        let written: Written = json::parse(path, bytes)?;
        let name = |value: &Value| value.get("name").and_then(Value::as_str).map(str::to_owned);
        let names: Vec<String> = written.interfaces.iter().filter_map(name).collect();
        let (mut refused, mut of_peers, mut before, mut count) =
            (Vec::new(), Vec::new(), Vec::<(String, u16)>::new(), 0);
        let tunnels = each(path, "interfaces", written.interfaces, &mut refused, |place, entry: &WrittenTunnel| {
            let tunnel = tunnel(entry, &before)?;
            before.push((tunnel.name.clone(), tunnel.port));
            let mut known: Vec<Peer> = Vec::new();
            let peers = format!("{place}.peers");
            each(path, &peers, entry.peers.clone(), &mut of_peers, |place, entry: &WrittenPeer| {
                let peer = peer(place, entry, &known)?;
                count += 1;
                if count > MOST_PEERS {
                    return Err(("public_key", format!("there are more than {MOST_PEERS} peers")));
                }
                known.push(peer);
                Ok(vec![()])
            });
            Ok(vec![Tunnel { peers: known, ..tunnel }])
        });
        refused.append(&mut of_peers);
        let left_out = names.into_iter().filter(|name| tunnels.iter().all(|tunnel| tunnel.name != *name)).collect();
        Ok(Tunnels { tunnels, left_out, refused: located(refused, bytes) })
    }
}

/// Reads the file; there are no tunnels when there is none.
///
/// # Errors
/// When it cannot be read or is not of this form; a wrong entry is no error.
pub fn read(root: &Path) -> Result<Tunnels, Refusal> {
    let path = file::in_force(root, rights::WIREGUARD);
    let bytes = file::read(&path).map_err(|error| Refusal::field(&path, "the file", error))?;
    bytes.map_or_else(|| Ok(Tunnels::default()), |bytes| Tunnels::parse(&path, &bytes))
}

fn secret(field: &'static str, text: &str) -> Result<Secret, Wrong> {
    let words =
        || format!("is no key: that is 32 bytes in base64, 43 letters and \"=\"; this has {} letters", text.len());
    text.parse().map_err(|_| (field, words()))
}

fn tunnel(entry: &WrittenTunnel, before: &[(String, u16)]) -> Result<Tunnel, Wrong> {
    let WrittenTunnel { name, private_key, port, .. } = entry;
    let fits = (1..=15).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
    if !fits || ["lo", ".", ".."].contains(&name.as_str()) || name.starts_with("uplink") || name.starts_with("lan") {
        return Err(("name", format!("{name:?} is no name for a WireGuard interface, such as wg0")));
    }
    if before.iter().any(|(other, _)| other == name) {
        return Err(("name", format!("{name:?} is the name of an earlier interface, too")));
    }
    if let Some((other, _)) = before.iter().find(|(_, other)| other == port && *port != 0) {
        return Err(("port", format!("{port} is the port of {other}, too")));
    }
    Ok(Tunnel { name: name.clone(), key: secret("private_key", private_key)?, port: *port, peers: Vec::new() })
}

fn peer(place: &str, entry: &WrittenPeer, before: &[Peer]) -> Result<Peer, Wrong> {
    let text = &entry.public_key;
    let wrong = || format!("{text:?} is no key: that is 32 bytes in base64, 43 letters and \"=\"");
    let key: Key = text.parse().map_err(|_| ("public_key", wrong()))?;
    if key.0 == [0; 32] {
        return Err(("public_key", format!("{text:?} is nobody's key")));
    }
    if let Some(other) = before.iter().find(|other| other.key == key) {
        return Err(("public_key", format!("{text:?} is the key of {}, too", other.entry)));
    }
    let preshared = &entry.preshared_key;
    let preshared = if preshared.is_empty() { None } else { Some(secret("preshared_key", preshared)?) };
    if entry.allowed_ips.len() > MOST_NETWORKS {
        return Err(("allowed_ips", format!("there are more than {MOST_NETWORKS}")));
    }
    let mut allowed = Vec::new();
    for text in &entry.allowed_ips {
        let net: IpNet =
            text.parse().map_err(|_| ("allowed_ips", format!("{text:?} is not a network such as 10.7.0.2/32")))?;
        let net = net.trunc();
        if let Some(other) = before.iter().find(|other| other.allowed.contains(&net)) {
            return Err(("allowed_ips", format!("{net} is led to {} already", other.entry)));
        }
        if !allowed.contains(&net) {
            allowed.push(net);
        }
    }
    let endpoint = endpoint(&entry.endpoint)?;
    Ok(Peer { entry: place.to_owned(), key, preshared, endpoint, allowed, keepalive: entry.persistent_keepalive })
}

fn endpoint(text: &str) -> Result<Option<Endpoint>, Wrong> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || ("endpoint", format!("{text:?} is neither ADDRESS:PORT, [ADDRESS]:PORT nor NAME:PORT"));
    if let Ok(at) = text.parse::<SocketAddr>() {
        return if at.port() == 0 { Err(wrong()) } else { Ok(Some(Endpoint::At(at))) };
    }
    let (name, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|port: &u16| *port != 0).ok_or_else(wrong)?;
    if is_host_name(name) { Ok(Some(Endpoint::Named(name.to_ascii_lowercase(), port))) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn of(text: &str) -> Tunnels {
        let text = text.replace("KEY", KEY).replace("OTHER", OTHER);
        Tunnels::parse(Path::new("wireguard.json"), text.as_bytes()).unwrap()
    }

    fn refused(all: &Tunnels) -> Vec<String> {
        all.refused.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reads_router7s_file_and_more() {
        let all = of(r#"{"Interfaces":[{"name":"wg0","private_key":"KEY","port":51820,"peers":[
            {"public_key":"OTHER","endpoint":"[::1]:12345","allowed_ips":["fe80::1/64"],"unknown":1},
            {"public_key":"KEY","endpoint":"Home.example.net:51820","allowed_ips":null,"preshared_key":"OTHER",
             "persistent_keepalive":25}]},{"name":"wg1","private_key":"KEY","peers":null}]}"#);
        assert_eq!((refused(&all), all.left_out.len()), (vec![], 0));
        let [first, second] = &all.tunnels[0].peers[..] else { panic!("{all:?}") };
        assert_eq!(first.endpoint, Some(Endpoint::At("[::1]:12345".parse().unwrap())));
        assert_eq!(first.allowed, ["fe80::/64".parse().unwrap()]);
        assert_eq!(second.endpoint, Some(Endpoint::Named("home.example.net".into(), 51820)));
        assert_eq!((second.keepalive, second.preshared.is_some(), first.preshared.is_some()), (25, true, false));
        assert_eq!((all.tunnels[1].name.as_str(), all.tunnels[1].port), ("wg1", 0));
        let root = crate::perm::file::tests::Folder::new();
        assert_eq!(read(&root.0), Ok(Tunnels::default()));
    }

    #[test]
    fn a_wrong_peer_is_named_and_the_others_apply() {
        for (peer, words) in [
            (r#""public_key":"abc""#, r#"public_key: "abc" is no key"#),
            (r#""public_key":"""#, r#"public_key: "" is no key"#),
            (r#""public_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=""#, "nobody's key"),
            (r#""public_key":"KEY""#, "the key of interfaces[0].peers[0], too"),
            (r#""public_key":"OTHER","allowed_ips":["10.7.0.9/24"]"#, "10.7.0.0/24 is led to interfaces[0].peers[0]"),
            (r#""public_key":"OTHER","allowed_ips":["10.7.0.0"]"#, r#"allowed_ips: "10.7.0.0" is not a network"#),
            (r#""public_key":"OTHER","endpoint":"home""#, r#"endpoint: "home" is neither"#),
            (r#""public_key":"OTHER","endpoint":"home:0""#, "is neither"),
            (r#""public_key":"OTHER","endpoint":"192.0.2.300:1""#, "is neither"),
            (r#""public_key":"OTHER","endpoint":"2001:db8::1:51820""#, "is neither"),
            (r#""public_key":"OTHER","persistent_keepalive":65536"#, "persistent_keepalive: invalid value"),
            (r#""public_key":"OTHER","preshared_key":"hidden""#, "preshared_key: is no key: that is 32 bytes"),
        ] {
            let all = of(&format!(
                r#"{{"interfaces":[{{"name":"wg0","private_key":"KEY","peers":[
                {{"public_key":"KEY","allowed_ips":["10.7.0.0/24"]}},{{{peer}}}]}}]}}"#
            ));
            let lines = refused(&all);
            assert_eq!((all.tunnels[0].peers.len(), lines.len(), all.left_out.len()), (1, 1, 0), "{peer}: {lines:?}");
            assert!(
                lines[0].starts_with("wireguard.json:2:") || lines[0].starts_with("wireguard.json:3:"),
                "{lines:?}"
            );
            let words = words.replace("KEY", KEY);
            assert!(lines[0].contains("interfaces[0].peers[1].") && lines[0].contains(&words), "{lines:?}");
            assert!(!lines[0].contains("hidden"), "{lines:?}");
        }
    }

    #[test]
    fn a_wrong_interface_is_named_and_its_secret_is_not() {
        for (entry, words) in [
            (r#""name":"wg1","private_key":"hidden""#, "private_key: is no key"),
            (r#""name":"wg0","private_key":"KEY""#, r#"name: "wg0" is the name of an earlier"#),
            (r#""name":"lan0","private_key":"KEY""#, r#"name: "lan0" is no name"#),
            (r#""name":"","private_key":"KEY""#, "is no name"),
            (r#""name":"wg1","private_key":"KEY","port":51820"#, "port: 51820 is the port of wg0, too"),
            (r#""name":"wg1","private_key":"KEY","port":-1"#, "port: invalid value"),
            (r#""name":"wg1","private_key":7"#, "private_key: invalid type"),
        ] {
            let all =
                of(&format!(r#"{{"interfaces":[{{"name":"wg0","private_key":"KEY","port":51820}},{{{entry}}}]}}"#));
            let lines = refused(&all);
            assert_eq!((all.tunnels.len(), lines.len()), (1, 1), "{entry}");
            assert!(lines[0].contains("interfaces[1].") && lines[0].contains(words), "{lines:?}");
            assert!(!lines[0].contains("hidden") && !lines[0].contains(KEY), "{lines:?}");
            assert_eq!(all.left_out.contains(&"wg1".to_owned()), entry.contains("wg1"));
        }
    }
}
