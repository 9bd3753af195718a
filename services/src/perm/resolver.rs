//! `/perm/dnsd/config.json`: whom dnsd asks, what it says itself, and whom it refuses, as a person writes it; and its
//! checked form.
use super::file;
use super::json::{self, Refusal};
use super::upstream::{Server, Upstream, cannot_be_asked};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// The port of DNS.
pub const PORT: u16 = 53;
/// The domain of a LAN that has no other.
pub const DOMAIN: &str = "lan";
/// router7's upstreams, asked only when nobody has named any.
const PUBLIC: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8844)),
];
/// More servers of one kind are not asked.
const MOST_SERVERS: usize = 8;
/// Domains with servers of their own.
const MOST_DOMAINS: usize = 24;
/// Names with fixed addresses, and addresses of one.
const MOST_NAMES: usize = 1_000;
const MOST_ADDRESSES: usize = 16;
/// Domains that may lead into the house.
const MOST_ALLOWED: usize = 100;
/// Domains whose names are not judged by DNSSEC.
const MOST_EXEMPT: usize = 100;
/// Questions a second that one client may ask, with four times as many at once.
const RATE: u32 = 1_000;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    upstreams: Option<Vec<String>>,
    bootstrap: Option<Vec<String>>,
    domains: Option<BTreeMap<String, Vec<String>>>,
    names: Option<BTreeMap<String, Vec<String>>>,
    lan_domains: Option<BTreeMap<String, String>>,
    rebind_allow: Option<Vec<String>>,
    rate_limit: Option<u32>,
    keep_cache: Option<bool>,
    dnssec: Option<bool>,
    dnssec_exempt: Option<Vec<String>>,
}

/// What is in force. Every name is lower-case, without a dot at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// Servers to be asked instead of those of the leases; empty = those of the leases.
    pub upstreams: Vec<Upstream>,
    /// Servers that are asked for the addresses of those written by name, and for nothing else.
    pub bootstrap: Vec<Server>,
    /// Domains with servers of their own.
    pub domains: Vec<(String, Vec<Server>)>,
    /// Names with fixed addresses: a single label is one of the house, another stands for itself.
    pub names: Vec<(String, Vec<IpAddr>)>,
    /// The domain of a LAN, by its interface, where it is not [`DOMAIN`].
    pub lan_domains: BTreeMap<String, String>,
    /// Domains whose names may have private addresses.
    pub rebind_allow: Vec<String>,
    /// Questions a second that one client may ask; 0 = without a limit.
    pub rate_limit: u32,
    /// Whether the cache is kept over a restart.
    pub keep_cache: bool,
    /// Whether answers are judged by DNSSEC.
    pub dnssec: bool,
    /// Domains whose names are not (RFC 7646).
    pub dnssec_exempt: Vec<String>,
}

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver {
            upstreams: Vec::new(),
            bootstrap: Vec::new(),
            domains: Vec::new(),
            names: Vec::new(),
            lan_domains: BTreeMap::new(),
            rebind_allow: Vec::new(),
            rate_limit: RATE,
            keep_cache: false,
            dnssec: false,
            dnssec_exempt: Vec::new(),
        }
    }
}

impl Resolver {
    /// Reads the file that is in force under a root; the defaults when there is none.
    ///
    /// # Errors
    /// Names file, line, field and value.
    pub fn read(root: &Path) -> Result<Resolver, Refusal> {
        let path = file::in_force(root, rights::RESOLVER);
        let bytes = file::read(&path).map_err(|error| Refusal::field(&path, "the file", error))?;
        bytes.map_or_else(|| Ok(Resolver::default()), |bytes| Resolver::parse(&path, &bytes))
    }

    /// What the file's bytes say.
    ///
    /// # Errors
    /// The same.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Resolver, Refusal> {
        let written: Written = json::parse(path, bytes)?;
        let refuse = |(field, words): (String, String)| Refusal::field(path, &field, words).at(bytes);
        check(written).map_err(refuse)
    }

    /// The servers that are asked: the file's, those that are written by name at the addresses that `resolve` knows; else
    /// interfaces.json's, else those of the leases, else public ones; never ourselves. Who wants one over TLS gets no other
    /// in its place.
    pub fn asked(
        &self,
        fixed: &[IpAddr],
        leased: impl Iterator<Item = IpAddr>,
        ours: &[IpAddr],
        resolve: impl Fn(&str) -> Option<IpAddr>,
    ) -> Vec<Server> {
        let asked = |address: &IpAddr| !ours.contains(address) && !cannot_be_asked(*address);
        let at_port = |address| Server::from(SocketAddr::new(address, PORT));
        let at = |upstream: &Upstream| match upstream {
            Upstream::At(server) => Some(server.clone()),
            Upstream::Named { name, port } => {
                let address = SocketAddr::new(resolve(name)?, *port);
                Some(Server { address, proves: Some(Arc::clone(name)) })
            }
        };
        let named = self.upstreams.iter().filter_map(at).filter(|server| !ours.contains(&server.address.ip()));
        let mut servers: Vec<Server> = named.collect();
        if self.upstreams.iter().any(Upstream::is_secure) {
            return servers;
        }
        if servers.is_empty() {
            servers.extend(fixed.iter().copied().filter(asked).map(at_port));
        }
        if servers.is_empty() {
            servers.extend(leased.filter(asked).map(at_port));
        }
        if servers.is_empty() {
            servers.extend(PUBLIC.map(at_port));
        }
        servers.truncate(MOST_SERVERS);
        servers
    }

    /// Whether anybody is asked over TLS.
    pub fn wants_tls(&self) -> bool {
        let of_domains = self.domains.iter().flat_map(|(_, servers)| servers).chain(&self.bootstrap);
        self.upstreams.iter().any(Upstream::is_secure) || of_domains.into_iter().any(Server::is_secure)
    }

    /// The domain of a LAN.
    pub fn domain_of(&self, interface: &str) -> &str {
        self.lan_domains.get(interface).map_or(DOMAIN, String::as_str)
    }
}

// A refusal is the field and what is wrong with it.
type Wrong = (String, String);

fn check(written: Written) -> Result<Resolver, Wrong> {
    let mut resolver = Resolver {
        rate_limit: written.rate_limit.unwrap_or(RATE),
        keep_cache: written.keep_cache.unwrap_or(false),
        dnssec: written.dnssec.unwrap_or(false),
        upstreams: upstreams("upstreams", &written.upstreams.unwrap_or_default())?,
        bootstrap: servers("bootstrap", &written.bootstrap.unwrap_or_default())?,
        ..Resolver::default()
    };
    let by_name = resolver.upstreams.iter().position(|upstream| upstream.server().is_none());
    if let Some(at) = by_name.filter(|_| resolver.bootstrap.is_empty()) {
        return Err((
            format!("upstreams[{at}]"),
            "is written by name: bootstrap has to say who is asked for it".to_owned(),
        ));
    }
    let domains = written.domains.unwrap_or_default();
    few("domains", domains.len(), MOST_DOMAINS)?;
    for (name, addresses) in &domains {
        let field = format!("domains.{name}");
        let servers = servers(&field, addresses)?;
        if servers.is_empty() {
            return Err((field, "[]: names no server".to_owned()));
        }
        resolver.domains.push((domain(&field, name)?, servers));
    }
    let names = written.names.unwrap_or_default();
    few("names", names.len(), MOST_NAMES)?;
    for (name, addresses) in &names {
        let field = format!("names.{name}");
        few(&field, addresses.len(), MOST_ADDRESSES)?;
        let mut checked = Vec::new();
        for (at, text) in addresses.iter().enumerate() {
            let address =
                text.parse::<IpAddr>().map_err(|_| (format!("{field}[{at}]"), format!("{text:?} is no address")))?;
            checked.push(address);
        }
        let name = domain(&field, name)?;
        if name == "localhost" || name.ends_with(".localhost") {
            return Err((field, format!("{name:?} is this machine, whoever asks (RFC 6761)")));
        }
        resolver.names.push((name, checked));
    }
    for (interface, text) in written.lan_domains.unwrap_or_default() {
        let checked = domain(&format!("lan_domains.{interface}"), &text)?;
        resolver.lan_domains.insert(interface, checked);
    }
    let allowed = written.rebind_allow.unwrap_or_default();
    few("rebind_allow", allowed.len(), MOST_ALLOWED)?;
    for (at, text) in allowed.iter().enumerate() {
        resolver.rebind_allow.push(domain(&format!("rebind_allow[{at}]"), text)?);
    }
    let exempt = written.dnssec_exempt.unwrap_or_default();
    few("dnssec_exempt", exempt.len(), MOST_EXEMPT)?;
    for (at, text) in exempt.iter().enumerate() {
        resolver.dnssec_exempt.push(domain(&format!("dnssec_exempt[{at}]"), text)?);
    }
    Ok(resolver)
}

fn few(field: &str, count: usize, most: usize) -> Result<(), Wrong> {
    if count <= most { Ok(()) } else { Err((field.to_owned(), format!("{count} are too many: {most} at most"))) }
}

fn upstreams(field: &str, texts: &[String]) -> Result<Vec<Upstream>, Wrong> {
    few(field, texts.len(), MOST_SERVERS)?;
    let one = |(at, text): (usize, &String)| {
        Upstream::parse(text).map_err(|words| (format!("{field}[{at}]"), format!("{text:?} {words}")))
    };
    texts.iter().enumerate().map(one).collect()
}

fn servers(field: &str, texts: &[String]) -> Result<Vec<Server>, Wrong> {
    let wrong = |at: usize, text: &String| (format!("{field}[{at}]"), format!("{text:?} has no address"));
    let each = upstreams(field, texts)?.into_iter().zip(texts).enumerate();
    each.map(|(at, (upstream, text))| upstream.server().cloned().ok_or_else(|| wrong(at, text))).collect()
}

/// A domain in lower case without a dot at its end.
fn domain(field: &str, text: &str) -> Result<String, Wrong> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.len() <= 253 && name.split('.').all(is_label) {
        return Ok(name);
    }
    Err((field.to_owned(), format!("{text:?} is no domain: labels of letters, digits, '-' and '_'")))
}

/// Whether a text is one label that any program can ask for.
pub fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Resolver, String> {
        Resolver::parse(Path::new("config.json"), text.as_bytes()).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        let resolver = of(r#"{"upstreams":["9.9.9.9","[2620:fe::fe]:5353","2620:fe::9"],
            "domains":{"Corp.Example.":["10.1.0.53"]},"names":{"NAS":["192.168.42.9","fd00::9"],"x.example.com":[]},
            "lan_domains":{"guest":"guest.lan"},"rebind_allow":["plex.direct"],"rate_limit":0,"keep_cache":true}"#);
        let resolver = resolver.unwrap();
        let texts = |servers: &[Server]| servers.iter().map(Server::to_string).collect::<Vec<_>>();
        assert_eq!(
            texts(&resolver.asked(&[], [].into_iter(), &[], |_| None)),
            ["9.9.9.9:53", "[2620:fe::fe]:5353", "[2620:fe::9]:53"]
        );
        assert_eq!(
            (resolver.domains[0].0.as_str(), texts(&resolver.domains[0].1)),
            ("corp.example", vec!["10.1.0.53:53".into()])
        );
        assert_eq!(
            resolver.names[0],
            ("nas".into(), vec!["192.168.42.9".parse().unwrap(), "fd00::9".parse().unwrap()])
        );
        assert_eq!((resolver.domain_of("guest"), resolver.domain_of("lan0")), ("guest.lan", "lan"));
        assert_eq!(
            (resolver.rebind_allow, resolver.rate_limit, resolver.keep_cache),
            (vec!["plex.direct".into()], 0, true)
        );
        let judged = of(r#"{"dnssec":true,"dnssec_exempt":["Corp.Example."]}"#).unwrap();
        assert_eq!((judged.dnssec, judged.dnssec_exempt), (true, vec!["corp.example".into()]));
        assert_eq!(of("{}"), Ok(Resolver::default()));
        assert_eq!(of(r#"{"upstreams":null}"#), Ok(Resolver::default()));
    }

    #[test]
    fn who_wants_tls_never_gets_anybody_without() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let asked = |resolver: &Resolver, ours: &[IpAddr], known: Option<IpAddr>| {
            let leased = [ip("10.0.0.53")].into_iter();
            let servers =
                resolver.asked(&[ip("10.0.0.54")], leased, ours, |name| known.filter(|_| name == "dns.example"));
            servers.iter().map(Server::to_string).collect::<Vec<_>>()
        };
        let at = of(r#"{"upstreams":["tls://9.9.9.9#dns.quad9.net"]}"#).unwrap();
        assert_eq!(asked(&at, &[], None), ["tls://9.9.9.9:853#dns.quad9.net"]);
        assert_eq!(asked(&at, &[ip("9.9.9.9")], None), [""; 0]);
        let named = of(r#"{"upstreams":["tls://DNS.example"],"bootstrap":["9.9.9.9"]}"#).unwrap();
        assert_eq!(asked(&named, &[], None), [""; 0], "as long as its address is not known");
        assert_eq!(asked(&named, &[], Some(ip("192.0.2.1"))), ["tls://192.0.2.1:853#dns.example"]);
        let plain = of(r#"{"upstreams":["9.9.9.9"]}"#).unwrap();
        assert_eq!(asked(&plain, &[ip("9.9.9.9")], None), ["10.0.0.54:53"]);
    }

    #[test]
    fn refusals_name_field_and_value() {
        for (text, words) in [
            (r#"{"upstreams":["9.9.9.9","x"]}"#, "config.json:1:25: upstreams[1]: \"x\" is neither"),
            (r#"{"upstreams":["0.0.0.0"]}"#, "upstreams[0]: \"0.0.0.0\" cannot be asked"),
            (r#"{"upstreams":["fe80::1"]}"#, "cannot be asked"),
            (r#"{"domains":{"a b":["1.2.3.4"]}}"#, "domains.a b: \"a b\" is no domain"),
            (r#"{"upstreams":["tls://dns.example"]}"#, "upstreams[0]: is written by name: bootstrap"),
            (r#"{"upstreams":["tls://x"]}"#, "upstreams[0]: \"tls://x\" names neither"),
            (r#"{"bootstrap":["tls://dns.example"]}"#, "bootstrap[0]: \"tls://dns.example\" has no address"),
            (r#"{"domains":{"a":["tls://dns.example"]}}"#, "domains.a[0]: \"tls://dns.example\" has no address"),
            (r#"{"domains":{"a":[]}}"#, "domains.a: []: names no server"),
            (r#"{"names":{"a":["300.1.1.1"]}}"#, "names.a[0]: \"300.1.1.1\" is no address"),
            (r#"{"names":{"localhost":["1.1.1.1"]}}"#, "names.localhost: "),
            (r#"{"names":{"":["1.1.1.1"]}}"#, "is no domain"),
            (r#"{"lan_domains":{"lan0":"."}}"#, "lan_domains.lan0: \".\" is no domain"),
            (r#"{"dnssec_exempt":["."]}"#, "dnssec_exempt[0]: \".\" is no domain"),
            (r#"{"dnssec":"yes"}"#, "dnssec: "),
            (r#"{"rebind_alow":[]}"#, "unknown field `rebind_alow`"),
            (r#"{"rate_limit":-1}"#, "rate_limit: "),
            (
                r#"{"upstreams":["1.1.1.1","1.1.1.1","1.1.1.1","1.1.1.1","1.1.1.1","1.1.1.1","1.1.1.1","1.1.1.1","1.1.1.1"]}"#,
                "9 are too many",
            ),
        ] {
            let refusal = of(text).unwrap_err();
            assert!(refusal.contains(words), "{text}: {refusal}");
        }
    }
}
