//! A provider's IPv6: router advertisements by Debian's radvd, and prefixes by its Kea or ISC dhcpd.
use crate::child::Child;
use crate::namespace::Namespace;
use std::path::Path;

/// What a server gives.
pub struct Offer<'a> {
    /// The pool of prefixes, a /40, of which each client gets a /56.
    pub pool: &'a str,
    /// T1, T2, preferred and valid lifetime, in seconds.
    pub times: [u32; 4],
}

/// The provider's own network towards the router; addresses come from it.
pub const NETWORK: &str = "2001:db8:1::/64";

/// Starts Kea on an interface, with its files in `folder`. Its DUID ends in `identity`.
pub fn kea(isp: &Namespace, interface: &str, folder: &Path, offer: &Offer, identity: u8) -> Child {
    let folder = folder.join(format!("kea{identity}"));
    std::fs::create_dir_all(&folder).unwrap();
    let folder = folder.to_str().unwrap();
    let file = format!("{folder}/kea.json");
    std::fs::write(&file, kea_text(interface, folder, offer, identity)).unwrap();
    let (pid, lock) = (format!("KEA_PIDFILE_DIR={folder}"), format!("KEA_LOCKFILE_DIR={folder}"));
    let mut kea = isp.spawn("env", &[&pid, &lock, "kea-dhcp6", "-c", &file]).named("kea");
    kea.wait_for("DHCP6_STARTED");
    kea
}

/// Kea's configuration.
pub fn kea_text(interface: &str, folder: &str, offer: &Offer, identity: u8) -> String {
    let [t1, t2, preferred, valid] = offer.times;
    let pool = offer.pool;
    format!(
        r#"{{"Dhcp6":{{"data-directory":"{folder}","interfaces-config":{{"interfaces":["{interface}"]}},
        "server-id":{{"type":"LL","htype":1,"identifier":"0200000000{identity:02x}","persist":false}},
        "lease-database":{{"type":"memfile","persist":false}},
        "renew-timer":{t1},"rebind-timer":{t2},"preferred-lifetime":{preferred},"valid-lifetime":{valid},
        "option-data":[{{"name":"dns-servers","data":"2001:db8:1::53"}},{{"name":"domain-search","data":"isp.example"}}],
        "subnet6":[{{"id":1,"subnet":"{NETWORK}","interface":"{interface}","rapid-commit":true,
          "pools":[{{"pool":"2001:db8:1::100-2001:db8:1::1ff"}}],
          "pd-pools":[{{"prefix":"{pool}","prefix-len":40,"delegated-len":56}}]}}],
        "loggers":[{{"name":"kea-dhcp6","output_options":[{{"output":"stdout"}}],"severity":"DEBUG","debuglevel":55}}]}}}}"#
    )
}

/// Starts ISC dhcpd on an interface, with its files in `folder`; its DUID is made anew each time.
pub fn dhcpd(isp: &Namespace, interface: &str, folder: &Path, offer: &Offer) -> Child {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let [t1, t2, preferred, valid] = offer.times;
    let first = offer.pool;
    let last = first.trim_end_matches("00::").to_owned() + "ff:ff00::";
    let text = format!(
        "default-lease-time {valid}; preferred-lifetime {preferred}; authoritative;
        option dhcp-renewal-time {t1}; option dhcp-rebinding-time {t2};
        option dhcp6.name-servers 2001:db8:1::53; option dhcp6.domain-search \"isp.example\";
        subnet6 {NETWORK} {{ range6 2001:db8:1::100 2001:db8:1::1ff; prefix6 {first} {last} /56; }}"
    );
    let (conf, leases, pid) = (path("dhcpd6.conf"), path("dhcpd6.leases"), path("dhcpd6.pid"));
    std::fs::write(&conf, text).unwrap();
    std::fs::write(&leases, "").unwrap();
    let mut dhcpd = isp.spawn("dhcpd", &["-6", "-f", "-d", "-cf", &conf, "-lf", &leases, "-pf", &pid, interface]);
    dhcpd.wait_for("Server starting service");
    dhcpd
}

/// Starts radvd on an interface: the provider is a default router, addresses are by DHCPv6.
pub fn radvd(isp: &Namespace, interface: &str, folder: &Path) -> Child {
    let (conf, pid) = (folder.join("isp-radvd.conf"), folder.join("isp-radvd.pid"));
    let text = format!(
        "interface {interface} {{ AdvSendAdvert on; AdvManagedFlag on; AdvOtherConfigFlag on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; }};"
    );
    std::fs::write(&conf, text).unwrap();
    let (conf, pid) = (conf.to_str().unwrap(), pid.to_str().unwrap());
    isp.spawn("radvd", &["-n", "-m", "stderr", "-C", conf, "-p", pid])
}
