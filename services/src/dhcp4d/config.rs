//! The flag of dhcp4d, router7's, and what it takes from interfaces.json.
use super::engine::pool::Subnet;
use crate::house::{Failure, House};
use crate::perm::interfaces::{self, Source};
use lexopt::Arg;

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `-interface`: the LAN.
    pub interface: String,
}

impl Config {
    /// Reads the flags.
    ///
    /// # Errors
    /// Names the flag and its value.
    pub fn read(house: &House) -> Result<Config, Failure> {
        let mut config = Config { interface: "lan0".to_owned() };
        let mut flags = house.flags();
        while let Some(flag) = flags.next().map_err(Failure::during("flags"))? {
            let Arg::Long("interface") = flag else {
                return Err(Failure::new(format!("flags: {}", flag.unexpected())));
            };
            let value = flags.value().map_err(Failure::during("flags"))?;
            config.interface =
                value.into_string().map_err(|value| Failure::new(format!("flags: {value:?} is not UTF-8")))?;
        }
        if !(1..=15).contains(&config.interface.len()) || config.interface.contains(['/', '\0']) {
            return Err(Failure::new(format!("-interface: {:?} is not an interface name", config.interface)));
        }
        Ok(config)
    }
}

/// The LAN's address and network by interfaces.json, its last good copy or the defaults; none when it has no IPv4
/// address there. What is wrong is said.
pub fn subnet(house: &House, interface: &str) -> Option<Subnet> {
    let loaded = interfaces::load(house.root());
    if let Source::LastGood(refusal) | Source::Default(Some(refusal)) = &loaded.source {
        log::warn!("{refusal}");
    }
    let subnet = loaded.interfaces.ipv4_of(interface).map(|(address, prefix)| Subnet::new(address, prefix));
    match subnet {
        None => log::warn!("interfaces.json: {interface} has no IPv4 address: nothing is served"),
        Some(subnet) if subnet.size() == 0 => {
            log::warn!(
                "interfaces.json: the network of {interface}'s address {} has no address to give",
                subnet.server()
            );
        }
        Some(_) => {}
    }
    subnet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;
    use std::ffi::OsString;

    fn house(folder: &Folder, flags: &[&str]) -> House {
        let root = [OsString::from("--root"), folder.0.clone().into()];
        House::open(root.into_iter().chain(flags.iter().map(Into::into))).unwrap()
    }

    #[test]
    fn the_flag() {
        let folder = Folder::new();
        assert_eq!(Config::read(&house(&folder, &[])).unwrap().interface, "lan0");
        assert_eq!(Config::read(&house(&folder, &["-interface", "lan1"])).unwrap().interface, "lan1");
        for (flags, named) in [(["-interface", "0123456789abcdef"], "0123456789abcdef"), (["-x", "y"], "x")] {
            assert!(Config::read(&house(&folder, &flags)).unwrap_err().to_string().contains(named));
        }
    }

    #[test]
    fn the_subnet_is_that_of_the_file_with_its_mask() {
        let folder = Folder::new();
        let default = subnet(&house(&folder, &[]), "lan0").unwrap();
        assert_eq!((default.server(), default.mask()), ([192, 168, 42, 1].into(), [255, 255, 255, 0].into()));
        std::fs::create_dir_all(folder.0.join("perm")).unwrap();
        let file = r#"{"interfaces":[{"name":"lan0","addr":"10.1.2.65/28"},{"name":"lan1","addr":"fd00::1/64"}]}"#;
        std::fs::write(folder.0.join("perm/interfaces.json"), file).unwrap();
        let house = house(&folder, &[]);
        assert_eq!(subnet(&house, "lan0").unwrap().mask(), std::net::Ipv4Addr::from([255, 255, 255, 240]));
        assert_eq!(subnet(&house, "lan1"), None);
    }
}
