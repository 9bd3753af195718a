//! The flags of dhcp6, its client.json, and what it takes from interfaces.json.
use super::message::For;
use crate::house::{Failure, House};
use crate::perm::Mac;
use crate::perm::file;
use crate::perm::interfaces::{self, Source};
use crate::perm::json::{self, Refusal};
use ipnet::Ipv6Net;
use lexopt::Arg;
use serde::Deserialize;
use std::path::Path;

/// IA_PDs that can be asked for.
const MOST_HINTS: usize = 8;

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `-interface`: the uplink.
    pub interface: String,
    /// `-state_dir`: the folder of its files, as it is named on the router.
    pub state: String,
}

impl Config {
    /// Reads the flags.
    ///
    /// # Errors
    /// Names the flag and its value.
    pub fn read(house: &House) -> Result<Config, Failure> {
        let mut config = Config { interface: "uplink0".to_owned(), state: "/perm/dhcp6".to_owned() };
        let mut flags = house.flags();
        while let Some(flag) = flags.next().map_err(Failure::during("flags"))? {
            let target = match flag {
                Arg::Long("interface") => &mut config.interface,
                Arg::Long("state_dir") => &mut config.state,
                other => return Err(Failure::new(format!("flags: {}", other.unexpected()))),
            };
            let value = flags.value().map_err(Failure::during("flags"))?;
            *target = value.into_string().map_err(|value| Failure::new(format!("flags: {value:?} is not UTF-8")))?;
        }
        if !(1..=15).contains(&config.interface.len()) || config.interface.contains(['/', '\0']) {
            return Err(Failure::new(format!("-interface: {:?} is not an interface name", config.interface)));
        }
        Ok(config)
    }

    /// A file of the state folder, as it is named on the router.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.state.trim_end_matches('/'))
    }
}

/// What interfaces.json says of the uplink. What is wrong there is said and passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uplink {
    /// The hardware address that it is to take.
    pub spoofed: Option<Mac>,
    /// What carries it, whose hardware address names us where it has none (a PPPoE session); else empty.
    pub carrier: String,
    /// IPv6 is configured by hand.
    pub fixed: bool,
}

impl Uplink {
    /// Reads the entry of an interface.
    pub fn read(house: &House, interface: &str) -> Uplink {
        let loaded = interfaces::load(house.root());
        if let Source::LastGood(refusal) | Source::Default(Some(refusal)) = &loaded.source {
            log::warn!("{refusal}");
        }
        let Some(entry) = loaded.interfaces.named(interface) else { return Uplink::default() };
        let fixed = entry.gateway6.is_some() || !entry.delegated_prefixes.is_empty();
        Uplink { spoofed: entry.spoof_hardware_addr, carrier: entry.parent.clone(), fixed }
    }
}

/// `client.json`: what a provider wants to be asked for. Missing fields keep these defaults.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Wishes {
    /// One IA_PD each, with the prefix or (`::/56`) the length that one would like; empty = one without a wish.
    pub prefix_hints: Vec<Ipv6Net>,
    /// Whether an address for the uplink is asked for.
    pub request_addresses: bool,
    /// Whether servers may answer a SOLICIT with the lease at once.
    pub rapid_commit: bool,
}

impl Default for Wishes {
    fn default() -> Wishes {
        Wishes { prefix_hints: Vec::new(), request_addresses: true, rapid_commit: true }
    }
}

impl Wishes {
    /// Reads the file; the defaults when there is none.
    ///
    /// # Errors
    /// Names file, line, field and value.
    pub fn read(path: &Path) -> Result<Wishes, Refusal> {
        let bytes = file::read(path).map_err(|error| Refusal::field(path, "the file", error))?;
        bytes.map_or_else(|| Ok(Wishes::default()), |bytes| Wishes::parse(path, &bytes))
    }

    /// What the file's bytes say.
    ///
    /// # Errors
    /// Names file, line, field and value.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Wishes, Refusal> {
        let wishes: Wishes = json::parse(path, bytes)?;
        if wishes.prefix_hints.len() > MOST_HINTS {
            let words = format!("{} are too many, {MOST_HINTS} at most", wishes.prefix_hints.len());
            return Err(Refusal::field(path, "prefix_hints", words).at(bytes));
        }
        if let Some(net) = wishes.prefix_hints.iter().find(|net| !(8..=64).contains(&net.prefix_len())) {
            return Err(Refusal::field(path, "prefix_hints", format!("{net} is not a /8 to /64")).at(bytes));
        }
        Ok(wishes)
    }

    /// Whether a kind of lease is wanted at all.
    pub fn want(&self, is_for: For) -> bool {
        is_for == For::Prefix || self.request_addresses
    }

    /// Every association: what for, its number, and a wish. `iaid` is the IA_NA's; router7 begins IA_PDs with 1.
    pub fn associations(&self, iaid: u32) -> Vec<(For, u32, Option<Ipv6Net>)> {
        let address = self.request_addresses.then_some((For::Address, iaid, None));
        let hints = self.prefix_hints.iter().map(|net| Some(net.trunc()));
        let hints: Vec<Option<Ipv6Net>> = if self.prefix_hints.is_empty() { vec![None] } else { hints.collect() };
        address
            .into_iter()
            .chain(hints.into_iter().zip(1..).map(|(hint, number)| (For::Prefix, number, hint)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    fn wishes(text: &str) -> Result<Wishes, String> {
        let folder = Folder::new();
        let path = folder.0.join("client.json");
        std::fs::write(&path, text).unwrap();
        Wishes::read(&path).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn wishes_have_defaults_and_refusals_name_field_and_value() {
        assert_eq!(wishes("{}").unwrap(), Wishes::default());
        let two = wishes(r#"{"prefix_hints":["::/56","2001:db8::/60"],"request_addresses":false}"#).unwrap();
        let all = two.associations(7);
        assert_eq!(all.iter().map(|(_, number, _)| *number).collect::<Vec<_>>(), [1, 2]);
        for (text, value) in [
            (r#"{"prefix_hints":["::/72"]}"#, "::/72"),
            (r#"{"prefix_hints":["x"]}"#, "x"),
            (r#"{"rapid_commit":3}"#, "3"),
        ] {
            let words = wishes(text).unwrap_err();
            assert!(words.contains("client.json") && words.contains(value), "{words}");
        }
    }

    #[test]
    fn a_wrong_flag_is_named_with_its_value() {
        let read = |words: &[&str]| {
            let house = House::open(words.iter().map(Into::into)).unwrap();
            Config::read(&house).map_err(|failure| failure.to_string())
        };
        assert_eq!(read(&["-interface=wan0"]).unwrap().interface, "wan0");
        assert_eq!(read(&[]).unwrap().path("duid"), "/perm/dhcp6/duid");
        assert!(read(&["-interface", "a/b"]).unwrap_err().contains("\"a/b\""));
        assert!(read(&["stray"]).unwrap_err().contains("stray"));
    }
}
