//! The flags of diagd, and `config.json`: whom it asks on the internet, as a person writes it; and its checked form.
use crate::house::{Failure, House};
use crate::perm::file;
use crate::perm::interfaces::UPLINK;
use crate::perm::json::{self, Refusal};
use crate::perm::resolver::is_label;
use lexopt::Arg;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// Names, and addresses, of one file.
const MOST: usize = 8;
/// Bytes of a URL, and of an answer that is compared.
const LONGEST: usize = 256;
/// Who is asked when nobody has said: router7's, and two that have nothing to do with it.
const NAMES: [&str; 3] = ["www.google.ch", "www.wikipedia.org", "www.debian.org"];
/// Two that answer echoes for everybody, in both families.
const TARGETS: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)),
    IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9)),
    IpAddr::V6(Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111)),
    IpAddr::V6(Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe)),
];
/// What browsers ask for the same purpose, and what they are answered.
const PORTAL: (&str, &str) = ("http://detectportal.firefox.com/success.txt", "success");

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    names: Option<Vec<String>>,
    ping: Option<Vec<IpAddr>>,
    portal: Option<String>,
    portal_answer: Option<String>,
    ipv6: Option<bool>,
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Hosts of which one shall take a connection on port 80.
    pub names: Vec<String>,
    /// Addresses of which one shall send an echo back.
    pub targets: Vec<IpAddr>,
    /// A page that is as it is everywhere but behind a captive portal.
    pub portal: Option<Portal>,
    /// Whether there shall be IPv6; none = when the provider has offered it.
    pub ipv6: Option<bool>,
}

/// A page over plain HTTP, and how its text begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portal {
    /// As it was written.
    pub url: String,
    /// Name or address of the host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What is asked for there.
    pub path: String,
    /// The text's beginning; empty = none is wanted (status 204).
    pub answer: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            names: NAMES.map(str::to_owned).to_vec(),
            targets: TARGETS.to_vec(),
            portal: portal(PORTAL.0, PORTAL.1.to_owned()).ok().flatten(),
            ipv6: None,
        }
    }
}

impl Settings {
    /// Reads the file that is in force under a root; the defaults when there is none.
    ///
    /// # Errors
    /// Names file, line, field and value.
    pub fn read(root: &Path) -> Result<Settings, Refusal> {
        let path = file::in_force(root, rights::DIAGNOSIS);
        let bytes = file::read(&path).map_err(|error| Refusal::field(&path, "the file", error))?;
        bytes.map_or_else(|| Ok(Settings::default()), |bytes| Settings::parse(&path, &bytes))
    }

    /// What the file's bytes say.
    ///
    /// # Errors
    /// The same.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Settings, Refusal> {
        let written: Written = json::parse(path, bytes)?;
        let refuse = |(field, words): (&str, String)| Refusal::field(path, field, words).at(bytes);
        check(written).map_err(refuse)
    }
}

// A refusal is the field and what is wrong with it.
fn check(written: Written) -> Result<Settings, (&'static str, String)> {
    let usual = Settings::default();
    let few = |field, count: usize| match count {
        0..=MOST => Ok(()),
        _ => Err((field, format!("{count} are more than {MOST}"))),
    };
    let names = written.names.unwrap_or(usual.names);
    few("names", names.len())?;
    if let Some(wrong) = names.iter().find(|name| !is_host(name)) {
        return Err(("names", format!("{wrong:?} is no name of a host")));
    }
    let targets = written.ping.unwrap_or(usual.targets);
    few("ping", targets.len())?;
    if let Some(wrong) = targets.iter().find(|target| target.is_unspecified() || target.is_multicast()) {
        return Err(("ping", format!("{wrong} is nobody's address")));
    }
    let url = written.portal.unwrap_or_else(|| PORTAL.0.to_owned());
    let answer = written.portal_answer.unwrap_or_else(|| if url == PORTAL.0 { PORTAL.1.into() } else { String::new() });
    if answer.len() > LONGEST {
        return Err(("portal_answer", format!("{} bytes are more than {LONGEST}", answer.len())));
    }
    let portal = portal(&url, answer).map_err(|words| ("portal", words))?;
    Ok(Settings { names, targets, portal, ipv6: written.ipv6 })
}

/// Whether a text can be asked for as the name of a host.
pub fn is_host(name: &str) -> bool {
    name.len() <= 253 && name.strip_suffix('.').unwrap_or(name).split('.').all(is_label)
}

fn portal(url: &str, answer: String) -> Result<Option<Portal>, String> {
    if url.is_empty() {
        return Ok(None);
    }
    let wrong = || format!("{url:?} is not http://HOST/PATH: over TLS a captive portal cannot answer");
    let printable = url.len() <= LONGEST && url.bytes().all(|byte| byte.is_ascii_graphic());
    let rest = url.strip_prefix("http://").filter(|_| printable).ok_or_else(wrong)?;
    let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
        None => (place, 80),
    };
    if !is_host(host) || port == 0 {
        return Err(wrong());
    }
    let path = if path.is_empty() { "/" } else { path };
    Ok(Some(Portal { url: url.into(), host: host.into(), port, path: path.into(), answer }))
}

/// router7's flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags {
    /// `-interface`: the one towards the internet.
    pub interface: String,
    /// `-ipv6`: whether IPv6 counts at all.
    pub ipv6: bool,
}

impl Flags {
    /// Reads them.
    ///
    /// # Errors
    /// Names the flag and its value.
    pub fn read(house: &House) -> Result<Flags, Failure> {
        let mut read = Flags { interface: UPLINK.to_owned(), ipv6: true };
        let mut flags = house.flags();
        while let Some(flag) = flags.next().map_err(Failure::during("flags"))? {
            match flag {
                Arg::Long("interface") => {
                    let value = flags.value().map_err(Failure::during("flags"))?;
                    read.interface =
                        value.into_string().map_err(|value| Failure::new(format!("-interface: {value:?}")))?;
                }
                Arg::Long("ipv6") => {
                    let value = flags.optional_value().unwrap_or_else(|| "true".into());
                    let wrong = || Failure::new(format!("-ipv6: {value:?} is neither true nor false"));
                    read.ipv6 = value.to_str().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
                }
                other => return Err(Failure::new(format!("flags: {}", other.unexpected()))),
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Settings, String> {
        Settings::parse(Path::new("config.json"), text.as_bytes()).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(of("{}"), Ok(Settings::default()));
        assert_eq!(Settings::default().portal.unwrap().path, "/success.txt");
        let text = r#"{"names":["a.example."],"ping":["192.0.2.1"],"portal":"http://p.example:81","ipv6":false}"#;
        let settings = of(text).unwrap();
        let portal = settings.portal.unwrap();
        assert_eq!((portal.host.as_str(), portal.port, portal.path.as_str()), ("p.example", 81, "/"));
        assert_eq!((portal.answer.as_str(), settings.ipv6), ("", Some(false)));
        let none = of(r#"{"names":[],"ping":[],"portal":""}"#).unwrap();
        assert!(none.names.is_empty() && none.targets.is_empty() && none.portal.is_none());
    }

    #[test]
    fn a_refusal_names_field_and_value() {
        for (text, words) in [
            (r#"{"names":["a..b"]}"#, r#"config.json:1:10: names: "a..b" is no name"#),
            (r#"{"ping":["::"]}"#, "ping: :: is nobody's"),
            (r#"{"ping":["x"]}"#, "ping[0]"),
            (r#"{"portal":"https://a/"}"#, r#"portal: "https://a/" is not http"#),
            (r#"{"portal":"http://a:0/"}"#, "portal: "),
            (r#"{"portal":"http:///x"}"#, "portal: "),
            (r#"{"portal":"http://a/\r\nX: y"}"#, "portal: "),
            (r#"{"pings":[]}"#, "pings"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        let many = format!(r#"{{"names":[{}"a"]}}"#, r#""a","#.repeat(MOST));
        assert!(of(&many).unwrap_err().contains("names: 9 are more than 8"));
    }
}
