//! The flags of radvd and the files that it reads: interfaces.json, the leases' prefixes, our own, and config.json.
use super::engine::Settings;
use crate::house::random::Random;
use crate::house::{Failure, House};
use crate::perm::interfaces::{self, Source};
use crate::perm::json::{self, Refusal};
use crate::perm::lease6::{FOREVER, Timed};
use crate::perm::resolver::Resolver;
use crate::perm::server6::{Flags, Served};
use crate::perm::stamp::Clock;
use crate::perm::ula::Ula;
use crate::perm::{delegation, file, ula};
use ipnet::Ipv6Net;
use lexopt::Arg;
use netstack::time::Instant;
use serde::Deserialize;
use std::net::Ipv6Addr;
use std::path::Path;
use std::time::Duration;

/// Lengths that NAT64's prefix may have (RFC 8781, section 4).
const PREF64_LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];
/// An option holds no longer text, in bytes.
const LONGEST_URI: usize = 1_000;
/// When what the disk refused is written again.
const RETRY: Duration = Duration::from_secs(60);

/// `config.json`, as a person writes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
struct Written {
    /// NAT64's prefix, such as `64:ff9b::/96`.
    pref64: Option<Ipv6Net>,
    /// URI of a captive portal's API.
    captive_portal: Option<String>,
}

/// Everything that a person and the other services have said.
#[derive(Debug)]
pub struct Config {
    /// `-interface`: the one LAN that is served.
    only: Option<String>,
    /// The prefix of our own while the disk does not take it, and when it is tried again.
    unwritten: Option<(Ipv6Net, Instant)>,
    complaints: Vec<String>,
}

impl Config {
    /// Reads the flags.
    ///
    /// # Errors
    /// Names the flag and its value.
    pub fn read(house: &House) -> Result<Config, Failure> {
        let mut only = None;
        let mut flags = house.flags();
        while let Some(flag) = flags.next().map_err(Failure::during("flags"))? {
            match flag {
                Arg::Long("interface") => {
                    let value = flags.value().map_err(Failure::during("flags"))?;
                    only = Some(value.into_string().map_err(|value| Failure::new(format!("-interface: {value:?}")))?);
                }
                other => return Err(Failure::new(format!("flags: {}", other.unexpected()))),
            }
        }
        Ok(Config { only, unwritten: None, complaints: Vec::new() })
    }

    /// When [`Config::settings`] is to be asked again although nothing has changed.
    pub fn deadline(&self) -> Option<Instant> {
        self.unwritten.map(|(_, at)| at)
    }

    /// Reads the files: every LAN and what is said on it. What is wrong is said once and passed over. Also whether the
    /// prefix of our own was written, so that its readers are to be told.
    pub fn settings(&mut self, house: &House, clock: &Clock, random: &mut Random) -> (Vec<Settings>, bool) {
        let mut complaints = Vec::new();
        let loaded = interfaces::load(house.root());
        if let Source::LastGood(refusal) | Source::Default(Some(refusal)) = &loaded.source {
            complaints.push(refusal.to_string());
        }
        let lans = loaded.interfaces.lans();
        let (delegated, refusal) = delegation::in_force(house.root(), &loaded.interfaces, clock);
        complaints.extend(refusal.map(|refusal| refusal.to_string()));
        let (own, made) = self.own(house, clock, random, &mut complaints);
        let own = own.into_iter().map(|net| Timed::new(net, clock.now, FOREVER, FOREVER));
        let all: Vec<Timed<Ipv6Net>> = delegated.into_iter().chain(own).collect();
        let written = written(&file::in_force(house.root(), rights::RADVD)).unwrap_or_else(|refusal| {
            complaints.push(refusal.to_string());
            Written::default()
        });
        let resolver = Resolver::read(house.root()).unwrap_or_else(|refusal| {
            complaints.push(refusal.to_string());
            Resolver::default()
        });
        let served = Served::read(house.root());
        let of_lan = |lan: &&str| {
            let Flags { managed, other } = served.flags(lan);
            Settings {
                name: (*lan).into(),
                domain: resolver.domain_of(lan).to_owned(),
                routes: all.clone(),
                managed,
                other_config: other,
                ..settings_of(&written)
            }
        };
        let mut settings: Vec<Settings> = lans.iter().map(of_lan).collect();
        for prefix in &all {
            let subnets = delegation::subnets(prefix.value, &lans);
            if subnets.len() < lans.len() {
                complaints.push(format!(
                    "{} is too small: {} of {} LANs have a /64",
                    prefix.value,
                    subnets.len(),
                    lans.len()
                ));
            }
            for subnet in subnets {
                let of_lan = settings.iter_mut().find(|settings| settings.name == subnet.lan);
                let Some(settings) = of_lan else { continue };
                settings.prefixes.push(Timed { value: subnet.prefix, ..*prefix });
            }
        }
        if let Some(only) = &self.only {
            settings.retain(|settings| settings.name == *only);
        }
        for complaint in complaints.iter().filter(|complaint| !self.complaints.contains(complaint)) {
            log::warn!("{complaint}");
        }
        self.complaints = complaints;
        (settings, made)
    }

    // The prefixes of our own; where there is none, one is made and kept (RFC 4193, section 3.2).
    fn own(
        &mut self,
        house: &House,
        clock: &Clock,
        random: &mut Random,
        complaints: &mut Vec<String>,
    ) -> (Vec<Ipv6Net>, bool) {
        let (found, refusal) = ula::read(house.root());
        complaints.extend(refusal.map(|refusal| refusal.to_string()));
        if !found.is_empty() || file::in_force(house.root(), rights::PREFIXES).exists() {
            return (found, false);
        }
        let prefix = self.unwritten.map_or_else(|| make(random), |(prefix, _)| prefix);
        match file::replace(&house.path(rights::ULA), &json::write(&Ula { prefix })) {
            Ok(_) => {
                log::info!("{prefix} is the LAN's own prefix from now on");
                self.unwritten = None;
                (vec![prefix], true)
            }
            Err(error) => {
                complaints.push(format!("{}: {error}: {prefix} is only in memory, next try in a minute", rights::ULA));
                self.unwritten = Some((prefix, clock.now + RETRY));
                (vec![prefix], false)
            }
        }
    }
}

fn settings_of(written: &Written) -> Settings {
    Settings { pref64: written.pref64, captive_portal: written.captive_portal.clone(), ..Settings::default() }
}

/// fd00::/8, forty random bits.
fn make(random: &mut Random) -> Ipv6Net {
    let bits = u128::from(random.next_u32()) << 8 | u128::from(random.next_u32() & 0xff);
    Ipv6Net::new_assert(Ipv6Addr::from(0xfd << 120 | bits << 80), 48)
}

fn written(path: &Path) -> Result<Written, Refusal> {
    let bytes = file::read(path).map_err(|error| Refusal::field(path, "the file", error))?;
    let Some(bytes) = bytes else { return Ok(Written::default()) };
    parse(path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Written, Refusal> {
    let written: Written = json::parse(path, bytes)?;
    if let Some(prefix) = written.pref64.filter(|prefix| !PREF64_LENGTHS.contains(&prefix.prefix_len())) {
        return Err(
            Refusal::field(path, "pref64", format!("{prefix}: its length is none of 32, 40, 48, 56, 64, 96")).at(bytes)
        );
    }
    if let Some(uri) = written.captive_portal.as_ref().filter(|uri| uri.len() > LONGEST_URI || !uri.contains("://")) {
        return Err(Refusal::field(
            path,
            "captive_portal",
            format!("{uri:?} is not a URI of up to {LONGEST_URI} bytes"),
        )
        .at(bytes));
    }
    Ok(written)
}

/// Whether the bytes of config.json can be used.
///
/// # Errors
/// Names file, line, field and value.
pub fn check(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    parse(path, bytes).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    fn read(text: &str) -> Result<Written, String> {
        let folder = Folder::new();
        let path = folder.0.join("config.json");
        std::fs::write(&path, text).unwrap();
        written(&path).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_wrong_value_is_named_with_file_and_field() {
        let good = read(r#"{"pref64":"64:ff9b::/96","captive_portal":"https://example.org/"}"#).unwrap();
        assert_eq!(good.pref64.unwrap().prefix_len(), 96);
        assert_eq!(read("{}").unwrap(), Written::default());
        for (text, field) in [
            (r#"{"pref64":"64:ff9b::/97"}"#, "pref64"),
            (r#"{"pref64":"64:ff9b::"}"#, "pref64"),
            (r#"{"captive_portal":"nonsense"}"#, "captive_portal"),
        ] {
            let words = read(text).unwrap_err();
            assert!(words.contains("config.json") && words.contains(field), "{words}");
        }
    }

    #[test]
    fn a_prefix_is_made_once() {
        let folder = Folder::new();
        let house = House::open(["--root".into(), folder.0.clone().into()].into_iter()).unwrap();
        let mut random = Random::from_seed(1);
        let mut config = Config::read(&house).unwrap();
        let (settings, made) = config.settings(&house, &Clock::read(), &mut random);
        assert!(made);
        let [lan] = &settings[..] else { panic!("{settings:?}") };
        let prefix = lan.prefixes[0].value;
        assert_eq!(
            (prefix.network().octets()[0], prefix.prefix_len(), lan.routes[0].value.prefix_len()),
            (0xfd, 64, 48)
        );
        let (again, made) = config.settings(&house, &Clock::read(), &mut random);
        assert!(!made);
        assert_eq!(again[0].prefixes[0].value, prefix);
        // A full disk: the prefix stays the same until it can be kept.
        std::fs::remove_file(folder.0.join("perm/radvd/ula.json")).unwrap();
        let obstacle = folder.0.join("perm/radvd/.ula.json.new");
        std::fs::create_dir(&obstacle).unwrap();
        let first = config.settings(&house, &Clock::read(), &mut random).0[0].prefixes[0].value;
        assert!(config.deadline().is_some());
        std::fs::remove_dir(&obstacle).unwrap();
        let (kept, made) = config.settings(&house, &Clock::read(), &mut random);
        assert!(made && kept[0].prefixes[0].value == first && config.deadline().is_none());
    }
}
