//! Whom to ask: what a person has written, else the leases' time servers, filled up with the pool's.
use super::engine::MOST;
use crate::perm::interfaces::Interfaces;
use crate::perm::json::{self, Refusal, or_zero};
use crate::perm::lease4::{self, Lease4};
use crate::perm::{entries, file, lease6};
use serde::Deserialize;
use std::net::IpAddr;
use std::path::Path;

/// The volunteers' servers, <https://www.ntppool.org>; the third has IPv6 addresses as well.
const POOL: [&str; MOST] = ["0.pool.ntp.org", "1.pool.ntp.org", "2.pool.ntp.org", "3.pool.ntp.org"];

/// `config.json`, as a person writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    /// Addresses or names, four at most; none = as the provider says.
    #[serde(deserialize_with = "or_zero")]
    servers: Vec<String>,
}

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// By their addresses.
    pub addresses: Vec<IpAddr>,
    /// By name, in lower case, behind the others.
    pub names: Vec<String>,
}

impl Wanted {
    fn parse(path: &Path, bytes: &[u8]) -> Result<Wanted, Refusal> {
        let written: Written = json::parse(path, bytes)?;
        let mut wanted = Wanted::default();
        if written.servers.len() > MOST {
            let words = format!("{} are written, {MOST} is the most", written.servers.len());
            return Err(Refusal::field(path, "servers", words).at(bytes));
        }
        for (at, text) in written.servers.iter().enumerate() {
            match text.parse::<IpAddr>() {
                Ok(address) if !address.is_unspecified() && !address.is_multicast() => wanted.addresses.push(address),
                Err(_) if entries::is_host_name(text) => wanted.names.push(text.to_ascii_lowercase()),
                _ => {
                    let words = format!("{text:?} is neither the address nor the name of a server");
                    return Err(Refusal::field(path, &format!("servers[{at}]"), words).at(bytes));
                }
            }
        }
        Ok(wanted)
    }

    /// Reads what holds now. What cannot be read counts as not there, and is said.
    pub fn read(root: &Path, interfaces: &Interfaces) -> (Wanted, Vec<String>) {
        let mut complaints = Vec::new();
        let path = file::in_force(root, rights::TIME_SERVERS);
        let written = match file::read(&path) {
            Ok(None) => Wanted::default(),
            Ok(Some(bytes)) => Wanted::parse(&path, &bytes).unwrap_or_else(|refusal| {
                complaints.push(refusal.to_string());
                Wanted::default()
            }),
            Err(error) => {
                complaints.push(format!("{}: {error}", path.display()));
                Wanted::default()
            }
        };
        if written != Wanted::default() {
            return (written, complaints);
        }
        let under = |absolute: &str| root.join(absolute.trim_start_matches('/'));
        let path = under(lease4::in_force(interfaces));
        // Whose files these are says what is wrong with them.
        let lease4 = file::read(&path).ok().flatten().and_then(|bytes| json::parse::<Lease4>(&path, &bytes).ok());
        let lease6 = lease6::read_raw(&under(rights::LEASE6)).ok().flatten();
        let of_4 = lease4.map(|lease| lease.ntp).unwrap_or_default().into_iter().map(IpAddr::V4);
        let of_6 = lease6.map(|lease| lease.ntp).unwrap_or_default().into_iter().map(IpAddr::V6);
        let mut addresses: Vec<IpAddr> = of_4.chain(of_6).filter(|address| !address.is_unspecified()).collect();
        addresses.truncate(MOST);
        let names = POOL.iter().skip(addresses.len()).map(|name| (*name).to_owned()).collect();
        (Wanted { addresses, names }, complaints)
    }
}

/// Whether `config.json` can be used.
///
/// # Errors
/// Names file, field and value.
pub fn check(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    Wanted::parse(path, bytes).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    fn parse(text: &str) -> Result<Wanted, String> {
        Wanted::parse(Path::new("config.json"), text.as_bytes()).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn what_a_person_may_write() {
        let wanted = parse(r#"{"Servers":["ntp.Example.net","192.0.2.7","2001:db8::7"]}"#).unwrap();
        assert_eq!(wanted.addresses, ["192.0.2.7".parse::<IpAddr>().unwrap(), "2001:db8::7".parse().unwrap()]);
        assert_eq!(wanted.names, ["ntp.example.net"]);
        assert_eq!(parse(r#"{"servers":null}"#), Ok(Wanted::default()));
        for (text, said) in [
            (r#"{"servers":["a","1.2.3"]}"#, "config.json:1:17: servers[1]: \"1.2.3\" is neither"),
            (r#"{"servers":["0.0.0.0"]}"#, "servers[0]: \"0.0.0.0\""),
            (r#"{"servers":["a","b","c","d","e"]}"#, "servers: 5 are written, 4 is the most"),
            (r#"{"servers":7}"#, "servers: invalid type"),
        ] {
            assert!(parse(text).is_err_and(|error| error.contains(said)), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn a_person_comes_before_the_leases_and_these_before_the_pool() {
        let folder = Folder::new();
        let write = |name: &str, text: &str| file::replace(&folder.0.join(name), text.as_bytes()).unwrap();
        let read = || Wanted::read(&folder.0, &Interfaces::defaults());
        assert_eq!(read().0.names, POOL);
        write("perm/dhcp4/wire/lease.json", r#"{"client_ip":"","ntp":["192.0.2.1","0.0.0.0"]}"#);
        write("perm/dhcp6/lease.json", r#"{"ntp":["2001:db8::1"]}"#);
        let (wanted, complaints) = read();
        assert_eq!(wanted.addresses, ["192.0.2.1".parse::<IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]);
        assert_eq!(
            (wanted.names.as_slice(), complaints.len()),
            (&["2.pool.ntp.org".to_owned(), POOL[3].to_owned()][..], 0)
        );
        write("perm/ntpd/config.json", r#"{"servers":["192.0.2.9"]}"#);
        let by_hand = read().0;
        assert_eq!((by_hand.addresses.len(), by_hand.names.len()), (1, 0));
        write("perm/ntpd/config.json", "{");
        let (again, complaints) = read();
        assert_eq!((again, complaints.len()), (wanted, 1));
    }
}
