//! The flags of dhcp4, router7's, and what it takes from interfaces.json. `client.json` is in `wishes`.
use crate::house::{Failure, House};
use crate::perm::Mac;
use crate::perm::interfaces::{self, Source};
use lexopt::Arg;

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `-interface`: the uplink.
    pub interface: String,
    /// `-state_dir`: the folder above `wire`, as it is named on the router.
    pub state: String,
}

impl Config {
    /// Reads the flags.
    ///
    /// # Errors
    /// Names the flag and its value.
    pub fn read(house: &House) -> Result<Config, Failure> {
        let mut config = Config { interface: "uplink0".to_owned(), state: "/perm/dhcp4".to_owned() };
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
}

/// What interfaces.json says of the uplink. What is wrong there is said and passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uplink {
    /// The hardware address that it is to take.
    pub spoofed: Option<Mac>,
    /// IPv4 is configured by hand, or comes with a PPPoE session.
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
        Uplink { spoofed: entry.spoof_hardware_addr, fixed: entry.gateway.is_some() || entry.pppoe.is_some() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Config, String> {
        let house = House::open(words.iter().map(Into::into)).unwrap();
        Config::read(&house).map_err(|failure| failure.to_string())
    }

    #[test]
    fn router7s_flags() {
        let config = read(&["-interface=wan0", "--root", "/x", "-state_dir", "/perm/other"]).unwrap();
        assert_eq!((config.interface.as_str(), config.state.as_str()), ("wan0", "/perm/other"));
        assert_eq!(read(&[]).unwrap().interface, "uplink0");
    }

    #[test]
    fn a_wrong_flag_is_named_with_its_value() {
        assert!(read(&["-interface", "a/b"]).unwrap_err().contains("\"a/b\""));
        assert!(read(&["-interfaces", "a"]).unwrap_err().contains("interfaces"));
        assert!(read(&["-interface"]).is_err());
        assert!(read(&["stray"]).unwrap_err().contains("stray"));
    }
}
