//! The flag of dhcp4d, router7's, and what it takes from interfaces.json and its own config.json.
use super::engine::Settings;
use super::engine::pool::Subnet;
use super::six;
use super::written::{Network, Written, Wrong};
use crate::house::{Failure, House};
use crate::perm::file;
use crate::perm::interfaces::{self, Interfaces, Source};
use crate::perm::json::Refusal;
use crate::perm::stamp::Clock;
use lexopt::Arg;
use std::path::Path;

/// The first LAN.
const LAN: &str = "lan0";

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `-interface`: the one LAN that is served.
    pub only: Option<String>,
    complaints: Vec<String>,
}

/// What is served, and whether nobody has said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Every network.
    pub nets: Vec<Settings>,
    /// There is no interfaces.json: lan0 is a guess.
    pub guessed: bool,
    /// What DHCPv6 says on each LAN.
    pub six: Vec<six::Net>,
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
            let Arg::Long("interface") = flag else {
                return Err(Failure::new(format!("flags: {}", flag.unexpected())));
            };
            let value = flags.value().map_err(Failure::during("flags"))?;
            let name = value.into_string().map_err(|value| Failure::new(format!("flags: {value:?} is not UTF-8")))?;
            if !(1..=15).contains(&name.len()) || name.contains(['/', '\0']) {
                return Err(Failure::new(format!("-interface: {name:?} is not an interface name")));
            }
            only = Some(name);
        }
        Ok(Config { only, complaints: Vec::new() })
    }

    /// Every network by the files; what is wrong is said when it is new.
    pub fn wanted(&mut self, house: &House) -> Wanted {
        let mut complaints = Vec::new();
        let loaded = interfaces::load(house.root());
        if let Source::LastGood(refusal) | Source::Default(Some(refusal)) = &loaded.source {
            complaints.push(refusal.to_string());
        }
        let path = file::in_force(house.root(), rights::SERVER4);
        let written = match file::read(&path) {
            Ok(None) => Ok(Written::default()),
            Ok(Some(bytes)) => Written::parse(&path, &bytes),
            Err(error) => Err(Refusal::field(&path, "the file", error)),
        };
        let written = written.unwrap_or_else(|refusal| {
            complaints.push(format!("{refusal}: it counts as empty"));
            Written::default()
        });
        let (mut nets, wrong) = networks(&loaded.interfaces, &written, has_pref64(house));
        complaints.extend(wrong.into_iter().map(|(field, words)| format!("{}: {field}: {words}", path.display())));
        let mut six = six::nets(house.root(), &loaded.interfaces, &written, &Clock::read(), &mut complaints);
        if let Some(only) = &self.only {
            nets.retain(|settings| settings.interface == *only);
            six.retain(|net| net.interface == *only);
        }
        if nets.is_empty() && six.is_empty() {
            complaints.push("no LAN has an IPv4 address: nothing is served".into());
        }
        for settings in nets.iter().filter(|settings| settings.subnet.size() == 0) {
            let (interface, own) = (&settings.interface, settings.identifier);
            complaints
                .push(format!("interfaces.json: the network of {interface}'s address {own} has no address to give"));
        }
        for complaint in complaints.iter().filter(|complaint| !self.complaints.contains(complaint)) {
            log::warn!("{complaint}");
        }
        self.complaints = complaints;
        Wanted { nets, guessed: loaded.source == Source::Default(None), six }
    }
}

// Whether radvd announces NAT64's prefix: a host that gives IPv4 up needs it (RFC 8925, section 3.3).
fn has_pref64(house: &House) -> bool {
    let bytes = file::read(&file::in_force(house.root(), rights::RADVD)).ok().flatten().unwrap_or_default();
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    value.get("pref64").is_some_and(serde_json::Value::is_string)
}

/// Every network, and what does not fit interfaces.json.
fn networks(interfaces: &Interfaces, written: &Written, pref64: bool) -> (Vec<Settings>, Vec<Wrong>) {
    let (mut nets, mut wrong) = (Vec::new(), Vec::new());
    let lans = interfaces.lans();
    for name in &lans {
        let Some((own, prefix)) = interfaces.ipv4_of(name) else { continue };
        let network = written.of_lan(name);
        if network.off {
            continue;
        }
        let at = written.lans.iter().position(|one| one.name.as_deref() == Some(name)).unwrap_or_default();
        let plain = Subnet::new(own, prefix);
        let (subnet, kept) = match network.subnet(plain) {
            Ok(subnet) => (subnet, network.kept()),
            Err((field, words)) => {
                wrong.push((format!("lans[{at}].{field}"), words));
                let kept = network.kept().into_iter().filter(|one| plain.holds(one.address));
                (plain, kept.collect())
            }
        };
        nets.push(Settings { reservations: kept, ..settings(name, own, subnet, &network, pref64, false) });
    }
    for (at, network) in written.lans.iter().enumerate() {
        let name = network.name.as_deref().unwrap_or_default();
        if !lans.contains(&name) {
            wrong.push((format!("lans[{at}].name"), format!("{name:?} is no LAN of interfaces.json")));
        }
    }
    for (at, network) in written.relayed.iter().enumerate() {
        let via = network.via.as_deref().unwrap_or(LAN);
        let (Some(net), Some(router)) = (network.network, network.router) else { continue };
        let own = interfaces.ipv4_of(via).filter(|_| lans.contains(&via));
        match (own, network.subnet(Subnet::new(router, net.prefix_len()))) {
            (Some((own, _)), Ok(subnet)) => nets.push(settings(via, own, subnet, network, pref64, true)),
            (None, _) => wrong.push((format!("relayed[{at}].via"), format!("{via:?} is no LAN with an IPv4 address"))),
            (_, Err((field, words))) => wrong.push((format!("relayed[{at}].{field}"), words)),
        }
    }
    (nets, wrong)
}

fn settings(
    interface: &str,
    own: std::net::Ipv4Addr,
    subnet: Subnet,
    network: &Network,
    pref64: bool,
    relayed: bool,
) -> Settings {
    Settings {
        interface: interface.to_owned(),
        identifier: own,
        subnet,
        relayed,
        period: network.period(),
        values: network.values(subnet, own, pref64),
        boot: network.boot(own),
        reservations: network.kept(),
    }
}

/// What is wrong with the bytes of config.json beside an interfaces.json.
///
/// # Errors
/// Names file, line, field and value of what makes the whole file unusable.
pub fn check(path: &Path, bytes: &[u8], interfaces: &Interfaces) -> Result<Vec<Refusal>, Refusal> {
    let written = Written::parse(path, bytes)?;
    let (_, wrong) = networks(interfaces, &written, false);
    Ok(wrong.into_iter().map(|(field, words)| Refusal::field(path, &field, words).at(bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;
    use std::ffi::OsString;
    use std::net::Ipv4Addr;

    fn house(folder: &Folder, flags: &[&str]) -> House {
        let root = [OsString::from("--root"), folder.0.clone().into()];
        House::open(root.into_iter().chain(flags.iter().map(Into::into))).unwrap()
    }

    fn wanted(folder: &Folder, flags: &[&str]) -> Vec<(String, Ipv4Addr, u32, bool)> {
        let house = house(folder, flags);
        let wanted = Config::read(&house).unwrap().wanted(&house);
        let row = |one: Settings| (one.interface, one.subnet.mask(), one.subnet.size(), one.relayed);
        wanted.nets.into_iter().map(row).collect()
    }

    #[test]
    fn the_flag() {
        let folder = Folder::new();
        assert_eq!(Config::read(&house(&folder, &[])).unwrap().only, None);
        assert_eq!(Config::read(&house(&folder, &["-interface", "lan1"])).unwrap().only.as_deref(), Some("lan1"));
        for (flags, named) in [(["-interface", "0123456789abcdef"], "0123456789abcdef"), (["-x", "y"], "x")] {
            assert!(Config::read(&house(&folder, &flags)).unwrap_err().to_string().contains(named));
        }
    }

    #[test]
    fn every_lan_with_its_mask_and_what_is_behind_relays() {
        let folder = Folder::new();
        let of_24 = Ipv4Addr::from([255, 255, 255, 0]);
        assert_eq!(wanted(&folder, &[]), [("lan0".into(), of_24, 230, false)]);
        std::fs::create_dir_all(folder.0.join("perm/dhcp4d")).unwrap();
        let file = r#"{"interfaces":[{"name":"uplink0","addr":"192.0.2.9/24"},{"name":"lan0","addr":"10.1.2.65/28"},
            {"name":"lan1","addr":"fd00::1/64"},{"name":"guest","addr":"10.5.0.1/22"},{"name":"off","addr":"10.6.0.1/24"},
            {"name":"wg0","addr":"10.7.0.1/24"}]}"#;
        std::fs::write(folder.0.join("perm/interfaces.json"), file).unwrap();
        let config = r#"{"lans":[{"name":"off","off":true},{"name":"lan7"}],
            "relayed":[{"network":"10.9.0.0/24","router":"10.9.0.1","via":"guest"},
            {"network":"10.10.0.0/24","router":"10.10.0.1","via":"lan1"}]}"#;
        std::fs::write(folder.0.join("perm/dhcp4d/config.json"), config).unwrap();
        let want = [
            ("lan0".into(), Ipv4Addr::from([255, 255, 255, 240]), 13, false),
            ("guest".into(), Ipv4Addr::from([255, 255, 252, 0]), 920, false),
            ("guest".into(), of_24, 230, true),
        ];
        assert_eq!(wanted(&folder, &[]), want);
        assert_eq!(wanted(&folder, &["-interface=lan0"]), want[..1]);
        let interfaces = interfaces::load(&folder.0).interfaces;
        let wrong = check(Path::new("config.json"), config.as_bytes(), &interfaces).unwrap();
        let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        assert!(lines.len() == 2 && lines[0].contains("lans[1].name: \"lan7\""), "{lines:?}");
        assert!(lines[1].contains("relayed[1].via: \"lan1\""), "{lines:?}");
    }
}
