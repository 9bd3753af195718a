//! `/perm/dyndns.json`, as a person writes it (router7's form, and what is beyond it), and its checked form.
use crate::perm::entries::{self, Device, Wrong, is_host_name};
use crate::perm::json::{self, Refusal, or_zero};
use crate::perm::place::Place;
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::net::Ipv6Addr;
use std::path::Path;

/// Records of one file.
const MOST: usize = 64;
/// Bytes of a token, a password, a path.
const LONGEST: usize = 512;
/// A day: no record stays longer in a cache.
const LONGEST_TTL: u32 = 86_400;
const HTTPS: u16 = 443;
const DNS: u16 = 53;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    #[serde(deserialize_with = "or_zero")]
    records: Vec<Value>,
}

/// One entry of `records`, as it is written. Kept whole, so that a changed entry is known from an old one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Entry {
    #[serde(deserialize_with = "or_zero")]
    cloudflare: Option<Token>,
    #[serde(deserialize_with = "or_zero")]
    rfc2136: Option<Update>,
    #[serde(deserialize_with = "or_zero")]
    dyndns2: Option<Account>,
    #[serde(deserialize_with = "or_zero")]
    desec: Option<Token>,
    #[serde(deserialize_with = "or_zero")]
    duckdns: Option<Token>,
    #[serde(deserialize_with = "or_zero")]
    zone: String,
    #[serde(deserialize_with = "or_zero")]
    record_name: String,
    #[serde(deserialize_with = "or_zero")]
    record_ttl_seconds: u32,
    #[serde(deserialize_with = "or_zero")]
    r#type: String,
    #[serde(deserialize_with = "or_zero")]
    device: String,
    #[serde(deserialize_with = "or_zero")]
    suffix: String,
    #[serde(deserialize_with = "or_zero")]
    lan: String,
    #[serde(deserialize_with = "or_zero")]
    private: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Token {
    #[serde(alias = "token", deserialize_with = "or_zero")]
    api_token: String,
    #[serde(deserialize_with = "or_zero")]
    server: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Update {
    #[serde(deserialize_with = "or_zero")]
    server: String,
    #[serde(deserialize_with = "or_zero")]
    key_name: String,
    #[serde(deserialize_with = "or_zero")]
    key: String,
    #[serde(deserialize_with = "or_zero")]
    algorithm: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Account {
    #[serde(deserialize_with = "or_zero")]
    server: String,
    #[serde(deserialize_with = "or_zero")]
    path: String,
    #[serde(deserialize_with = "or_zero")]
    username: String,
    #[serde(deserialize_with = "or_zero")]
    password: String,
}

/// Where a record is published, and by which words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// Cloudflare's interface, version 4.
    Cloudflare {
        /// What lets us in.
        token: String,
    },
    /// RFC 2136, signed with HMAC-SHA256 (RFC 8945).
    Update {
        /// The key's name.
        key_name: String,
        /// The key itself.
        key: Vec<u8>,
    },
    /// The protocol of dyndns.org, which most providers speak.
    Dyndns2 {
        /// What comes before the `?`.
        path: String,
        /// Who we are.
        username: String,
        /// And what proves it.
        password: String,
    },
    /// deSEC's update address.
    Desec {
        /// What lets us in.
        token: String,
    },
    /// DuckDNS.
    Duckdns {
        /// What lets us in.
        token: String,
    },
}

impl Provider {
    /// The word by which the file knows it.
    pub fn word(&self) -> &'static str {
        match self {
            Provider::Cloudflare { .. } => "cloudflare",
            Provider::Update { .. } => "rfc2136",
            Provider::Dyndns2 { .. } => "dyndns2",
            Provider::Desec { .. } => "desec",
            Provider::Duckdns { .. } => "duckdns",
        }
    }
}

/// Whose address it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The router's own.
    Router,
    /// A machine's: the LAN's prefix and the second half of the address.
    Machine {
        /// The LAN; none = where the device is, else lan0.
        lan: Option<String>,
        /// The lower 64 bits, by a person's word; else those that follow from the hardware address.
        suffix: Option<u64>,
        /// Who it is; a name is looked up.
        device: Option<Device>,
    },
}

/// One record that is to be kept right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// By whom.
    pub provider: Provider,
    /// Where it is told.
    pub server: Place,
    /// The zone, lower-case, without a dot at its end; empty where the provider needs none.
    pub zone: String,
    /// The whole name, likewise.
    pub name: String,
    /// Seconds; 0 = as the provider likes it.
    pub ttl: u32,
    /// AAAA, else A.
    pub ipv6: bool,
    /// Whose address.
    pub owner: Owner,
    /// Addresses that nobody on the internet can reach are published too.
    pub private: bool,
    /// A sum over the entry: equal only if nothing in it has changed.
    pub sum: String,
}

impl Record {
    /// `A`, `AAAA`.
    pub fn kind(&self) -> &'static str {
        if self.ipv6 { "AAAA" } else { "A" }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.name, self.kind(), self.provider.word())
    }
}

/// The file's records, and what of it is refused, each entry by itself.
#[derive(Debug, Default)]
pub struct Records {
    /// Those that hold.
    pub records: Vec<Record>,
    /// The others.
    pub refused: Vec<Refusal>,
}

impl Records {
    /// Understands the file's bytes.
    ///
    /// # Errors
    /// When the file as a whole is none.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Records, Refusal> {
        let written: Written = json::parse(path, bytes)?;
        if written.records.len() > MOST {
            let words = format!("{} are written, {MOST} is the most", written.records.len());
            return Err(Refusal::field(path, "records", words).at(bytes));
        }
        let mut refused = Vec::new();
        let mut records: Vec<Record> = Vec::new();
        let all = entries::each(path, "records", written.records, &mut refused, |_, entry: &Entry| {
            let record = checked(entry)?;
            if records.iter().any(|known| known.name == record.name && known.ipv6 == record.ipv6) {
                return Err(("record_name", format!("{} {} stands here twice", record.name, record.kind())));
            }
            records.push(record.clone());
            Ok(vec![record])
        });
        Ok(Records { records: all, refused: entries::located(refused, bytes) })
    }
}

fn name(field: &'static str, text: &str) -> Result<String, Wrong> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    // A wildcard is a name that may be published.
    let plain = name.strip_prefix("*.").unwrap_or(&name);
    if is_host_name(plain) && !plain.ends_with('.') { Ok(name) } else { Err((field, format!("{text:?} is no name"))) }
}

fn secret(field: &'static str, text: &str) -> Result<String, Wrong> {
    let fine = !text.is_empty() && text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
    // What is refused may be a password all the same: it is not repeated.
    if fine { Ok(text.to_owned()) } else { Err((field, format!("is not 1 to {LONGEST} visible characters"))) }
}

fn server(field: &'static str, text: &str, usual: Option<&str>, port: u16) -> Result<Place, Wrong> {
    let text = match (text, usual) {
        ("", Some(usual)) => usual,
        _ => text,
    };
    Place::parse(text, port).ok_or_else(|| (field, format!("{text:?} is neither HOST nor HOST:PORT")))
}

fn checked(entry: &Entry) -> Result<Record, Wrong> {
    let Entry { cloudflare, rfc2136, dyndns2, desec, duckdns, .. } = entry;
    let count = usize::from(cloudflare.is_some())
        + usize::from(rfc2136.is_some())
        + usize::from(dyndns2.is_some())
        + usize::from(desec.is_some())
        + usize::from(duckdns.is_some());
    if count != 1 {
        let words = format!("{count} providers, one is wanted: cloudflare, rfc2136, dyndns2, desec or duckdns");
        return Err(("provider", words));
    }
    let mut full = name("record_name", &entry.record_name)?;
    let mut zone = if entry.zone.is_empty() { String::new() } else { name("zone", &entry.zone)? };
    let (provider, server) = if let Some(given) = cloudflare {
        let token = secret("cloudflare.api_token", &given.api_token)?;
        let place = server("cloudflare.server", &given.server, Some("api.cloudflare.com"), HTTPS)?;
        (Provider::Cloudflare { token }, place)
    } else if let Some(given) = rfc2136 {
        if !matches!(given.algorithm.to_ascii_lowercase().as_str(), "" | "hmac-sha256" | "hmac-sha256.") {
            return Err(("rfc2136.algorithm", format!("{:?} is not hmac-sha256", given.algorithm)));
        }
        let key_name = name("rfc2136.key_name", &given.key_name)?;
        let key = Base64::decode_vec(&given.key).ok().filter(|key| (16..=LONGEST).contains(&key.len()));
        let key = key.ok_or(("rfc2136.key", format!("is not 16 to {LONGEST} bytes in base64")))?;
        (Provider::Update { key_name, key }, server("rfc2136.server", &given.server, None, DNS)?)
    } else if let Some(given) = dyndns2 {
        let path = if given.path.is_empty() { "/nic/update".to_owned() } else { given.path.clone() };
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
        if !path.starts_with('/') || path.len() > LONGEST || !path.bytes().all(plain) {
            return Err(("dyndns2.path", format!("{path:?} is no path, without what follows a ?")));
        }
        let username = secret("dyndns2.username", &given.username)?;
        if username.contains(':') {
            return Err(("dyndns2.username", format!("{username:?} has a colon, which ends a name")));
        }
        let password = secret("dyndns2.password", &given.password)?;
        (Provider::Dyndns2 { path, username, password }, server("dyndns2.server", &given.server, None, HTTPS)?)
    } else if let Some(given) = desec {
        let token = secret("desec.token", &given.api_token)?;
        (Provider::Desec { token }, server("desec.server", &given.server, Some("update.dedyn.io"), HTTPS)?)
    } else {
        let given = duckdns.clone().unwrap_or_default();
        let token = secret("duckdns.token", &given.api_token)?;
        if !full.contains('.') {
            full.push_str(".duckdns.org");
        }
        let label = full.strip_suffix(".duckdns.org").filter(|label| !label.contains('.'));
        label.ok_or_else(|| ("record_name", format!("{full:?} is no name of duckdns.org")))?;
        (Provider::Duckdns { token }, server("duckdns.server", &given.server, Some("www.duckdns.org"), HTTPS)?)
    };
    if matches!(provider, Provider::Cloudflare { .. } | Provider::Update { .. }) {
        let within = full == zone || full.strip_suffix(&zone).is_some_and(|rest| rest.ends_with('.'));
        if zone.is_empty() || !within {
            return Err(("zone", format!("{zone:?} is not the zone of {full}")));
        }
    } else {
        zone.clear();
    }
    if entry.record_ttl_seconds > LONGEST_TTL {
        return Err(("record_ttl_seconds", format!("{} is more than {LONGEST_TTL}", entry.record_ttl_seconds)));
    }
    let ipv6 = match entry.r#type.as_str() {
        "" | "A" | "a" => false,
        "AAAA" | "aaaa" => true,
        other => return Err(("type", format!("{other:?} is neither A nor AAAA"))),
    };
    let owner = owner(entry, ipv6)?;
    // Who has written it, in whatever order.
    let sum = sum(&serde_json::to_vec(entry).unwrap_or_default());
    let Entry { record_ttl_seconds: ttl, private, .. } = *entry;
    Ok(Record { provider, server, zone, name: full, ttl, ipv6, owner, private, sum })
}

fn owner(entry: &Entry, ipv6: bool) -> Result<Owner, Wrong> {
    let device = (!entry.device.is_empty()).then(|| Device::named(&entry.device.to_ascii_lowercase()));
    if device.is_none() && entry.suffix.is_empty() {
        return match entry.lan.as_str() {
            "" => Ok(Owner::Router),
            lan => Err(("lan", format!("{lan:?} says where a device or a suffix is, and there is none"))),
        };
    }
    let field = if device.is_some() { "device" } else { "suffix" };
    if !ipv6 {
        return Err((field, "has an address of its own with type AAAA only: in IPv4 all have the router's".into()));
    }
    let wrong = || ("suffix", format!("{:?} is not the second half of an address, such as ::1:2:3:4", entry.suffix));
    let suffix = match entry.suffix.as_str() {
        "" => None,
        text => Some(u128::from(text.parse::<Ipv6Addr>().map_err(|_| wrong())?)),
    };
    let suffix = suffix.map(|suffix| u64::try_from(suffix).ok().filter(|suffix| *suffix != 0).ok_or_else(wrong));
    let lan = (!entry.lan.is_empty()).then(|| entry.lan.clone());
    Ok(Owner::Machine { lan, suffix: suffix.transpose()?, device })
}

/// Sixteen bytes of a hash in hexadecimal.
fn sum(bytes: &[u8]) -> String {
    use blake2::digest::Digest;
    blake2::Blake2s256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
