//! The one table of services: who runs as whom, with which capabilities, and who is told when which file changes.
//!
//! Data only. PID 1 applies it before exec and routes every change notice by it; the `services` binary lists it.
//! A row says everything a service may do that an empty process could not.
#![forbid(unsafe_code)]
pub mod calls;
pub mod names;
pub mod places;

/// A Linux capability, by its number in `linux/capability.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// Read every file and enter every folder.
    DacReadSearch = 2,
    /// Bind a UDP or TCP port below 1024.
    NetBindService = 10,
    /// Configure interfaces, addresses, routes, nftables and `net.*` sysctls.
    NetAdmin = 12,
    /// Open a packet socket.
    NetRaw = 13,
    /// Set the wall clock and the battery clock.
    SysTime = 25,
}

/// What a service finds on descriptor 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// `/dev/null`.
    Null,
    /// The serial console, opened for it by PID 1 (read and write, not blocking).
    Console,
}

/// What a service may ask of PID 1 on `/run/init.sock`; each level includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Control {
    /// Nothing: the connection is closed.
    None,
    /// `list`, `logs` and `journal`.
    Read,
    /// Also `trial`, `commit` and `back`.
    Update,
    /// Everything: also `start`, `stop`, `restart`, `signal`, `reboot`, `poweroff`.
    Full,
}

/// One service of the router.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Its word on the command line of `services`, its folder under `/perm`, its name everywhere.
    pub name: &'static str,
    /// User id and group id; also the owner of `/perm/NAME`.
    pub uid: u32,
    /// Capabilities it keeps, in its bounding, permitted, effective, inheritable and ambient sets.
    pub capabilities: &'static [Capability],
    /// Services whose folder under `/perm` it reads: it joins their group.
    pub reads: &'static [&'static str],
    /// Files whose change is told to it by `SIGUSR1`. A path under `/perm/NAME/` has NAME as its one writer.
    pub watches: &'static [&'static str],
    /// Descriptor 0.
    pub stdin: Stdin,
    /// Its rights on PID 1's control socket.
    pub control: Control,
    /// Services that it may ask things of, on their sockets.
    pub asks: &'static [&'static str],
    /// Folders in memory that are its own, besides which it has none.
    pub run: &'static [&'static str],
}

/// Leases that dhcp4d has given.
pub const LEASES: &str = "/perm/dhcp4d/leases.json";
/// The same as they were given, record by record.
pub const LEASE_LOG: &str = "/perm/dhcp4d/leases.log";
/// Names and fixed entries of devices, and when each was first seen.
pub const KNOWN_DEVICES: &str = "/perm/deviced/devices.json";
/// The lease that dhcp4 holds on the uplink.
pub const LEASE4: &str = "/perm/dhcp4/wire/lease.json";
/// What the uplink's PPPoE session has brought, in the form of [`LEASE4`]. In memory, because nobody else sees into the
/// folder that holds the password.
pub const LEASE_PPPOE: &str = "/run/pppoe/lease.json";
/// What dhcp6 holds: delegated prefixes and the uplink's addresses.
pub const LEASE6: &str = "/perm/dhcp6/lease.json";
/// The LAN's own prefix, made once (RFC 4193).
pub const ULA: &str = "/perm/radvd/ula.json";
/// Prefixes that hosts of the LANs may still hold.
pub const ANNOUNCED: &str = "/perm/radvd/announced.json";
/// The last interfaces.json that was applied in full.
pub const GOOD_INTERFACES: &str = "/perm/netconfigd/interfaces.json";

/// Every device at home.
pub const DEVICES: &str = "/run/deviced/devices.json";

/// What time it is by whom, and whether the clock is right.
pub const CLOCK: &str = "/run/ntpd/state.json";

/// How the internet is, in a word and a sentence.
pub const VERDICT: &str = "/run/diagd/state.json";
/// The lights of a PC Engines APU, from left to right.
pub const LIGHTS: [&str; 3] = [
    "/sys/class/leds/apu:green:1/brightness",
    "/sys/class/leds/apu:green:2/brightness",
    "/sys/class/leds/apu:green:3/brightness",
];
/// Where its button may be; the kernel numbers such devices as it finds them.
pub const BUTTONS: [&str; 4] = ["/dev/input/event0", "/dev/input/event1", "/dev/input/event2", "/dev/input/event3"];

/// Which NIC is what.
pub const INTERFACES: &str = "/perm/interfaces.json";
/// What the internet may reach at home.
pub const FORWARDINGS: &str = "/perm/portforwardings.json";
/// Rules of a person's own.
pub const FIREWALL: &str = "/perm/firewall.json";
/// Where the clock on the wall hangs.
pub const TIME: &str = "/perm/time.json";
/// What dhcp4 and dhcp6 tell and ask the provider.
pub const CLIENT4: &str = "/perm/dhcp4/client.json";
/// The same for DHCPv6.
pub const CLIENT6: &str = "/perm/dhcp6/client.json";
/// What router advertisements say besides.
pub const RADVD: &str = "/perm/radvd/config.json";
/// The LANs' own prefixes, by hand.
pub const PREFIXES: &str = "/perm/radvd/prefixes.json";
/// What dhcp4d tells and keeps for whom.
pub const SERVER4: &str = "/perm/dhcp4d/config.json";
/// Where leases are told to a broker (router7's).
pub const MQTT: &str = "/perm/dhcp4d/mqtt-broker.txt";
/// Whom dnsd asks, what it says itself, and whom it refuses.
pub const RESOLVER: &str = "/perm/dnsd/config.json";
/// Authorities whose certificates dnsd believes besides the internet's.
pub const DNSD_CA: &str = "/perm/dnsd/ca.pem";
/// The root's keys, where a person does not believe those that are built in.
pub const ROOT_KEY: &str = "/perm/dnsd/root.key";
/// Names that are not answered: whose lists of them, for whom and when.
pub const BLOCKLISTS: &str = "/perm/blocklists.json";
/// Authorities whose certificates listd believes besides the internet's.
pub const LISTD_CA: &str = "/perm/listd/ca.pem";
/// All lists as one table. In no backup: it is made anew.
pub const BLOCK_TABLE: &str = "/perm/listd/nobackup/table";
/// Whom diagd asks on the internet.
pub const DIAGNOSIS: &str = "/perm/diagd/config.json";
/// Whom ntpd asks for the time.
pub const TIME_SERVERS: &str = "/perm/ntpd/config.json";
/// WireGuard interfaces and their private keys.
pub const WIREGUARD: &str = "/perm/wireguard.json";
/// How fast the uplink is.
pub const SHAPING: &str = "/perm/shaping.json";
/// The password of the uplink's PPPoE session.
pub const PPPOE_SECRET: &str = "/perm/pppoe/secret.json";
/// Who may look on by SSH.
pub const AUTHORIZED_KEYS: &str = "/perm/authorized_keys";
/// Where the log is sent (gokrazy's).
pub const SYSLOG: &str = "/perm/remote_syslog/target";
/// How much each service says.
pub const LOG_LEVELS: &str = "/perm/log.json";
/// Names on the internet, and the tokens by which they are changed (router7's).
pub const DYNDNS: &str = "/perm/dyndns.json";
/// Authorities whose certificates are believed besides the internet's.
pub const DYNDNS_CA: &str = "/perm/dyndns/ca.pem";
/// A person's own certificate for the page, with those between it and its authority.
pub const TLS_CERTIFICATE: &str = "/perm/tls/cert.pem";
/// The key that fits it.
pub const TLS_KEY: &str = "/perm/tls/key.pem";
/// Every file that a person writes: configd keeps them, wherever they are.
pub const WRITTEN: &[&str] = &[
    INTERFACES,
    FORWARDINGS,
    FIREWALL,
    TIME,
    WIREGUARD,
    SHAPING,
    CLIENT4,
    CLIENT6,
    RADVD,
    PREFIXES,
    PPPOE_SECRET,
    SERVER4,
    MQTT,
    RESOLVER,
    DNSD_CA,
    ROOT_KEY,
    BLOCKLISTS,
    LISTD_CA,
    DIAGNOSIS,
    AUTHORIZED_KEYS,
    TIME_SERVERS,
    SYSLOG,
    DYNDNS,
    DYNDNS_CA,
    LOG_LEVELS,
    TLS_CERTIFICATE,
    TLS_KEY,
];
/// What is copied into the spare partition besides [`WRITTEN`], for the day on which `/perm` cannot be mounted: without it
/// a LAN would lose addresses, names or its prefix, or the router its password.
pub const SPARED: &[&str] = &[
    "/perm/hostname",
    LEASES,
    LEASE4,
    LEASE6,
    "/perm/dhcp6/duid",
    ULA,
    ANNOUNCED,
    GOOD_INTERFACES,
    KNOWN_DEVICES,
    "/perm/webd/password",
    "/perm/webd/token",
];
/// Those of them that hold a secret, and the group that may read it besides configd, to which it belongs.
pub const SECRETS: &[(&str, u32)] = &[(WIREGUARD, KEYS), (PPPOE_SECRET, PPPOE), (DYNDNS, DYNDNS_GROUP), (TLS_KEY, TLS)];
/// The group of the private keys. That of netconfigd's folder would not do: others read there.
pub const KEYS: u32 = 180;
/// The group of the key of a person's certificate. That of webd's folder would not do: configd has no business there.
pub const TLS: u32 = 181;
/// pppoe and its folder's group, in which there is nobody else but configd.
const PPPOE: u32 = 110;
/// dyndns and its folder's group, likewise.
const DYNDNS_GROUP: u32 = 118;
/// diagd, whose group alone may open ping sockets (`net.ipv4.ping_group_range`), so that it needs no CAP_NET_RAW.
pub const DIAGD: u32 = 111;
/// Who is in a group that is no folder's.
pub const MEMBERS: &[(u32, &[&str])] = &[(KEYS, &["netconfigd", "configd"]), (TLS, &["webd", "configd"])];
/// The services without which the LAN has no addresses, no names or no way out: one that cannot stay up has PID 1 take the
/// other slot.
pub const CORE: &[&str] = &["netconfigd", "dhcp4d", "radvd", "dnsd"];
/// The service that writes the slot that is not running.
pub const UPDATER: &str = "updated";
/// Device nodes, and files of the kernel's that stand for devices, that belong to a service, by its name.
pub const NODES: &[(&str, &str)] = &[
    ("/dev/ppp", "pppoe"),
    ("/dev/rtc0", "ntpd"),
    (LIGHTS[0], "panel"),
    (LIGHTS[1], "panel"),
    (LIGHTS[2], "panel"),
    (BUTTONS[0], "panel"),
    (BUTTONS[1], "panel"),
    (BUTTONS[2], "panel"),
    (BUTTONS[3], "panel"),
];
/// Files of gokrazy's that are a service's alone, by its name: others may not read them any more.
pub const INHERITED: &[(&str, &str)] = &[("/perm/gokr-pw.txt", "webd")];
/// Where services show their metrics: ports of private addresses and of loopback, under `/metrics`.
pub const METRICS: &[(&str, u16)] = &[
    ("netconfigd", 8066),
    ("dhcp4d", 8067),
    ("dnsd", 8053),
    ("diagd", 7733),
    ("captured", 5023),
    ("dyndns", 8054),
    ("ntpd", 8055),
    ("logd", 8056),
    ("listd", 8057),
    ("backupd", 8077),
];
/// The interfaces.json that the kernel's network was last made to say. Like the kernel's state it ends with the boot.
pub const APPLIED: &str = "/run/netconfigd/interfaces.json";
/// Candidates of files that a person writes, while they are on trial, by their names under `/perm`.
pub const TRIED: &str = "/run/try/now";

/// Every service, in the order in which PID 1 starts them (all at once; the order carries no meaning).
pub const SERVICES: &[Service] = &[
    Service {
        name: "netconfigd",
        uid: 101,
        capabilities: &[Capability::NetAdmin],
        reads: &["dhcp4", "dhcp6", "radvd", "dhcp4d"],
        watches: &[
            INTERFACES,
            FORWARDINGS,
            FIREWALL,
            TIME,
            WIREGUARD,
            SHAPING,
            PREFIXES,
            LEASE4,
            LEASE_PPPOE,
            LEASE6,
            ULA,
            ANNOUNCED,
            LEASES,
            DEVICES,
        ],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &[],
        run: &["/run/netconfigd"],
    },
    Service {
        name: "configd",
        uid: 108,
        capabilities: &[],
        reads: &["dhcp4", "dhcp6", "radvd", "pppoe", "dhcp4d", "dyndns"],
        watches: &[],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &[],
        run: &["/run/configd", "/run/try"],
    },
    Service {
        name: "dhcp4",
        uid: 102,
        capabilities: &[Capability::NetBindService, Capability::NetRaw],
        reads: &["netconfigd"],
        watches: &[APPLIED, CLIENT4],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &[],
        run: &[],
    },
    Service {
        name: "pppoe",
        uid: PPPOE,
        capabilities: &[Capability::NetAdmin, Capability::NetRaw],
        reads: &["netconfigd"],
        watches: &[APPLIED, PPPOE_SECRET],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &[],
        run: &["/run/pppoe"],
    },
    Service {
        name: "dhcp6",
        uid: 106,
        capabilities: &[Capability::NetBindService],
        reads: &["netconfigd"],
        watches: &[APPLIED, CLIENT6],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &[],
        run: &[],
    },
    Service {
        name: "radvd",
        uid: 107,
        capabilities: &[Capability::NetRaw],
        reads: &["netconfigd", "dhcp6", "dnsd", "dhcp4d"],
        watches: &[APPLIED, RADVD, RESOLVER, PREFIXES, LEASE6, SERVER4],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &[],
        run: &[],
    },
    Service {
        name: "dhcp4d",
        uid: 103,
        capabilities: &[Capability::NetBindService, Capability::NetRaw],
        reads: &["netconfigd", "radvd", "dhcp6"],
        watches: &[APPLIED, SERVER4, RADVD, PREFIXES, ULA, LEASE6],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &[],
        run: &[],
    },
    Service {
        name: "deviced",
        uid: 109,
        capabilities: &[],
        reads: &["netconfigd", "dhcp4d"],
        watches: &[APPLIED, LEASE_LOG, MQTT],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &[],
        run: &["/run/deviced"],
    },
    Service {
        name: "dnsd",
        uid: 104,
        capabilities: &[Capability::NetBindService],
        reads: &["netconfigd", "dhcp4", "dhcp6", "dhcp4d", "listd"],
        watches: &[
            APPLIED,
            RESOLVER,
            DNSD_CA,
            ROOT_KEY,
            CLOCK,
            LEASE4,
            LEASE_PPPOE,
            LEASE6,
            LEASES,
            DEVICES,
            BLOCKLISTS,
            BLOCK_TABLE,
            TIME,
        ],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &[],
        run: &["/run/dnsd"],
    },
    Service {
        name: "diagd",
        uid: DIAGD,
        capabilities: &[],
        reads: &["netconfigd", "dhcp4", "dhcp6", "dnsd"],
        watches: &[APPLIED, DIAGNOSIS, RESOLVER, TIME, LEASE4, LEASE_PPPOE, LEASE6],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &[],
        run: &["/run/diagd"],
    },
    Service {
        name: "webd",
        uid: 115,
        capabilities: &[Capability::NetBindService],
        // diagd's group may send echoes as well.
        reads: &["netconfigd", "dhcp4", "dhcp6", "dhcp4d", "dnsd", "diagd"],
        watches: &[TLS_CERTIFICATE, TLS_KEY],
        stdin: Stdin::Null,
        control: Control::Full,
        asks: &["captured", "configd", "deviced", "diagd", "dnsd"],
        run: &["/run/webd"],
    },
    Service {
        name: "backupd",
        uid: 116,
        capabilities: &[Capability::DacReadSearch],
        reads: &[],
        watches: &[],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &["webd"],
        run: &[],
    },
    Service {
        name: "captured",
        uid: 117,
        capabilities: &[Capability::NetRaw],
        reads: &["netconfigd"],
        watches: &[APPLIED, AUTHORIZED_KEYS],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &[],
        run: &["/run/captured"],
    },
    Service {
        name: "dyndns",
        uid: DYNDNS_GROUP,
        capabilities: &[],
        reads: &[],
        watches: &[DYNDNS, DYNDNS_CA, CLOCK, DEVICES],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &[],
        run: &[],
    },
    Service {
        name: "listd",
        uid: 121,
        capabilities: &[],
        reads: &[],
        watches: &[BLOCKLISTS, LISTD_CA, CLOCK],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &[],
        run: &[],
    },
    Service {
        name: "ntpd",
        uid: 112,
        capabilities: &[Capability::NetBindService, Capability::SysTime],
        reads: &["netconfigd", "dhcp4", "dhcp6"],
        watches: &[APPLIED, TIME_SERVERS, LEASE4, LEASE_PPPOE, LEASE6],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &[],
        run: &["/run/ntpd"],
    },
    Service {
        name: "logd",
        uid: 113,
        capabilities: &[],
        reads: &[],
        watches: &[SYSLOG, CLOCK],
        stdin: Stdin::Null,
        control: Control::Read,
        asks: &[],
        run: &["/run/logd"],
    },
    Service {
        name: UPDATER,
        uid: 120,
        capabilities: &[],
        reads: &[],
        watches: &[],
        stdin: Stdin::Null,
        control: Control::Update,
        asks: &["webd", "diagd"],
        run: &["/run/updated"],
    },
    Service {
        name: "panel",
        uid: 119,
        capabilities: &[],
        reads: &[],
        watches: &[VERDICT],
        stdin: Stdin::Null,
        control: Control::None,
        asks: &["webd"],
        run: &[],
    },
    Service {
        name: "console",
        uid: 105,
        capabilities: &[],
        reads: &["dhcp4", "dhcp4d", "dhcp6"],
        watches: &[],
        stdin: Stdin::Console,
        control: Control::Full,
        asks: &["configd", "deviced", "diagd", "ntpd", "logd", "webd", "captured"],
        run: &[],
    },
];

/// The number of the kernel's log, behind those of the rows.
pub const KERNEL: usize = SERVICES.len();
/// The number of the log that tells how an installation goes.
pub const INSTALL: usize = KERNEL + 1;

/// The row of a service, by name.
pub fn service(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name == name)
}

/// The services that are told when `path` changes.
pub fn readers(path: &str) -> impl Iterator<Item = &'static Service> + '_ {
    SERVICES.iter().filter(move |service| service.watches.contains(&path))
}

/// The one service that may announce a change of `path`: configd where a person writes it, else the owner of the folder
/// that holds it.
pub fn writer(path: &str) -> Option<&'static Service> {
    if WRITTEN.contains(&path) {
        return service("configd");
    }
    let in_memory = SERVICES.iter().find(|service| service.run.iter().any(|folder| is_in(path, folder)));
    in_memory.or_else(|| service(path.strip_prefix("/perm/")?.split('/').next()?))
}

fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether somebody may ask things of a service: root, and who has it in its row.
pub fn may_ask(uid: u32, name: &str) -> bool {
    uid == 0 || SERVICES.iter().any(|service| service.uid == uid && service.asks.contains(&name))
}

/// The group that may read a file of [`SECRETS`].
pub fn secret_of(path: &str) -> Option<u32> {
    SECRETS.iter().find(|(secret, _)| *secret == path).map(|(_, group)| *group)
}

/// The groups that a service joins: those of the folders that it reads, which have their services' numbers, and those of
/// the secrets that it is told.
pub fn groups(service: &Service) -> Vec<u32> {
    let folders = service.reads.iter().filter_map(|name| self::service(name)).map(|row| row.uid);
    let secrets = MEMBERS.iter().filter(|(_, names)| names.contains(&service.name)).map(|(group, _)| *group);
    folders.chain(secrets).collect()
}

/// Services in whose folders a person's files lie, so that configd may put them there.
pub fn has_written(service: &Service) -> bool {
    let folder = format!("/perm/{}", service.name);
    WRITTEN.iter().any(|path| is_in(path, &folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_uids_are_unique_and_not_root() {
        for (i, a) in SERVICES.iter().enumerate() {
            assert_ne!(a.uid, 0, "{} would be root", a.name);
            for b in &SERVICES[i + 1..] {
                assert_ne!(a.name, b.name);
                assert_ne!(a.uid, b.uid, "{} and {}", a.name, b.name);
            }
        }
    }

    #[test]
    fn who_watches_a_file_may_read_its_folder() {
        for service in SERVICES {
            // Who may see /perm may see what a person has written there, and all may see what lies in memory.
            let owned = |path: &str| path.split('/').nth(2).and_then(super::service).is_some();
            let open = |path: &&&str| path.starts_with("/run/") || path.matches('/').count() == 2 || !owned(path);
            for path in service.watches.iter().filter(|path| !open(path)) {
                let owner = super::service(path.split('/').nth(2).unwrap()).unwrap();
                assert!(
                    owner.name == service.name || service.reads.contains(&owner.name),
                    "{} is told of {path} but cannot read {}'s folder",
                    service.name,
                    owner.name
                );
            }
        }
    }

    #[test]
    fn every_file_has_one_writer() {
        for path in SERVICES.iter().flat_map(|service| service.watches) {
            assert!(writer(path).is_some(), "{path}");
        }
        assert_eq!(writer(INTERFACES).unwrap().name, "configd");
        assert_eq!(writer(RADVD).unwrap().name, "configd");
        assert_eq!(writer(ULA).unwrap().name, "radvd");
        assert_eq!(writer(APPLIED).unwrap().name, "netconfigd");
        assert!(writer("/run/netconfigdx/a").is_none() && writer("/run/init.sock").is_none());
        assert!(may_ask(105, "configd") && !may_ask(104, "configd") && may_ask(0, "configd"));
    }

    #[test]
    fn a_secret_is_read_by_who_watches_it_and_configd_alone() {
        for (path, group) in SECRETS {
            assert!(WRITTEN.contains(path) && secret_of(path) == Some(*group), "{path}");
            for service in SERVICES {
                let may = service.uid == *group || groups(service).contains(group);
                assert_eq!(may, service.name == "configd" || service.watches.contains(path), "{} {path}", service.name);
            }
        }
        assert_eq!(secret_of(INTERFACES), None);
        assert!(MEMBERS.iter().all(|(_, names)| names.iter().all(|name| service(name).is_some())));
        assert!(NODES.iter().chain(INHERITED).all(|(_, name)| service(name).is_some()));
        assert!(METRICS.iter().all(|(name, _)| service(name).is_some()));
    }

    #[test]
    fn what_is_read_exists() {
        for service in SERVICES {
            for name in service.reads {
                assert!(super::service(name).is_some(), "{} reads unknown {name}", service.name);
            }
        }
    }
}
