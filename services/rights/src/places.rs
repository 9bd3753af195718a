//! Which files and which TCP ports a service may reach, beyond what is its own: for Landlock, which holds whoever a service
//! becomes. Within these places the modes of the files decide.
use crate::calls::Who::{self, All, But, Only};
use crate::{NODES, Service};

/// A file, or a folder with all that is in it.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Its name on the router.
    pub path: &'static str,
    /// Whether it may be changed, or only read.
    pub change: bool,
    /// Who may.
    pub who: Who,
    /// What for.
    pub why: &'static str,
}

const fn read(path: &'static str, who: Who, why: &'static str) -> Place {
    Place { path, change: false, who, why }
}

const fn change(path: &'static str, who: Who, why: &'static str) -> Place {
    Place { path, change: true, who, why }
}

/// Besides these a service changes `/perm/NAME`, its folders in `/run`, and its devices ([`NODES`]).
pub const PLACES: &[Place] = &[
    read(
        "/perm",
        But(&["panel"]),
        "files are replaced, so that the folder has to be named; the modes keep what is secret",
    ),
    change("/perm", Only(&["configd"]), "what a person writes"),
    read("/run", All, "what others tell; their sockets"),
    read("/proc", All, "the boot's number; memory, connections and settings of the kernel's"),
    change("/proc/sys/net", Only(&["netconfigd"]), "settings of the network"),
    read("/sys", Only(&["diagd", "netconfigd"]), "where a NIC is plugged in; its speed"),
    read(
        "/etc",
        Only(&["configd", "deviced", "diagd", "netconfigd", "updated", "webd"]),
        "makers of devices, time zones, the version, keys of updates",
    ),
    change("/tmp", Only(&["netconfigd"]), "resolv.conf"),
    read("/dev/urandom", But(&["backupd", "configd", "console", "panel", "updated"]), "seeds"),
    change("/run/updated/boot", Only(&["updated"]), "the boot partition"),
    change("/run/updated/root", Only(&["updated"]), "the slot that is not running"),
];

/// TCP ports on which services listen.
pub const LISTENS: &[(&str, &[u16])] = &[
    ("backupd", &[8077]),
    ("captured", &[5022, 5023]),
    ("dhcp4d", &[8067]),
    // 0: a connection from one of several addresses.
    ("diagd", &[0, 7733]),
    ("dnsd", &[53, 8053]),
    ("dyndns", &[8054]),
    ("listd", &[8057]),
    ("logd", &[8056]),
    ("netconfigd", &[8066]),
    ("ntpd", &[8055]),
    ("updated", &[8078]),
    ("webd", &[80, 443]),
];

/// To which TCP ports services connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connects {
    /// To none.
    None,
    /// To these.
    To(&'static [u16]),
    /// To any: a person writes which.
    Any,
}

/// Those that connect to any port.
const FREE: &[&str] = &["deviced", "diagd", "dnsd", "dyndns", "listd", "logd"];

/// To which ports a service connects.
pub fn connects(service: &Service) -> Connects {
    match service.name {
        // Everybody's metrics, backupd's backups and updated's updates.
        "webd" => Connects::To(&[8066, 8067, 8053, 7733, 5023, 8054, 8055, 8056, 8057, 8077, 8078]),
        // netconfigd's page of counters.
        "console" => Connects::To(&[8066]),
        name if FREE.contains(&name) => Connects::Any,
        _ => Connects::None,
    }
}

/// The ports on which a service listens.
pub fn listens(service: &Service) -> &'static [u16] {
    LISTENS.iter().find(|(name, _)| *name == service.name).map_or(&[], |(_, ports)| ports)
}

/// The rows that hold for a service.
pub fn places(service: &Service) -> impl Iterator<Item = &'static Place> {
    PLACES.iter().filter(move |place| place.who.has(service))
}

/// The devices of a service.
pub fn nodes(service: &Service) -> impl Iterator<Item = &'static str> {
    NODES.iter().filter(move |(_, name)| *name == service.name).map(|(node, _)| *node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{METRICS, SERVICES, service};

    #[test]
    fn every_row_says_why_and_names_services() {
        for place in PLACES {
            assert!(place.path.starts_with('/') && !place.why.is_empty(), "{}", place.path);
            if let Who::Only(names) | Who::But(names) = place.who {
                assert!(!names.is_empty() && names.iter().all(|name| service(name).is_some()), "{}", place.path);
            }
        }
        assert!(LISTENS.iter().map(|(name, _)| name).chain(FREE).all(|name| service(name).is_some()));
    }

    #[test]
    fn metrics_are_served_and_gathered() {
        let webd = service("webd").unwrap();
        let Connects::To(ports) = connects(webd) else { panic!("webd connects to {:?}", connects(webd)) };
        for (name, port) in METRICS {
            assert!(listens(service(name).unwrap()).contains(port), "{name} {port}");
            assert!(ports.contains(port), "{name} {port}");
        }
    }

    #[test]
    fn only_configd_changes_what_is_not_its_own_under_perm() {
        for service in SERVICES {
            let perm = places(service).any(|place| place.change && place.path.starts_with("/perm"));
            assert_eq!(perm, service.name == "configd", "{}", service.name);
        }
    }
}
