//! The surroundings: a provider and a LAN, joined to the two taps of the machine.
use crate::Folder;
use crate::child::Child;
use crate::namespace::Namespace;
use std::fs::File;
use std::net::Ipv4Addr;

/// The provider's own address, DHCP and name server.
pub const ISP: &str = "203.0.113.1";
/// The first address that the provider gives.
pub const WAN: &str = "203.0.113.50";
/// A server somewhere on the internet.
pub const SERVER: &str = "198.51.100.10";
/// Its name, and the page that it serves.
pub const NAME: &str = "www.example.com";
/// The page's text.
pub const PAGE: &str = "the page from the other side\n";

/// Three namespaces: the provider's, the LAN's, and the one in which QEMU finds its taps.
pub struct Bed {
    /// The provider and everything behind it.
    pub isp: Namespace,
    /// The LAN: one host with `eth0`.
    pub lan: Namespace,
    /// Taps `uplink` and `lan`, each on a bridge with a cable to its side.
    pub machine: Namespace,
    /// Files of the test.
    pub folder: Folder,
}

/// Ten addresses behind the first.
fn last(first: &str) -> Ipv4Addr {
    (u32::from(first.parse::<Ipv4Addr>().unwrap()) + 10).into()
}

impl Bed {
    /// Lays the cables; nobody serves anything yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Bed {
        if let Err(error) = File::options().read(true).write(true).open("/dev/net/tun") {
            panic!("/dev/net/tun: {error}: the tests want it open to them (mode 0666), or to be run by root");
        }
        let bed =
            Bed { isp: Namespace::new(), lan: Namespace::new(), machine: Namespace::new(), folder: Folder::new() };
        bed.cable("uplink", &bed.isp, "wan0");
        bed.cable("lan", &bed.lan, "eth0");
        bed.isp.ip(&format!("addr add {ISP}/24 dev wan0"));
        bed.isp.ip(&format!("addr add {SERVER}/32 dev lo"));
        bed
    }

    /// Lays a cable from a tap of the machine to a port of a host.
    pub fn cable(&self, tap: &str, host: &Namespace, port: &str) {
        let (bridge, cable) = (format!("br-{tap}"), format!("c-{tap}"));
        self.machine.ip(&format!("link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"));
        self.machine.ip(&format!("tuntap add dev {tap} mode tap"));
        self.machine.veth(&cable, host, port);
        for part in [tap, &cable] {
            self.machine.ip(&format!("link set {part} master {bridge} up"));
        }
        self.machine.ip(&format!("link set {bridge} up"));
    }

    /// Starts the provider's dnsmasq: DHCP with [`WAN`] and what follows, DNS with [`NAME`].
    pub fn serve_isp(&self) -> Child {
        self.serve_isp_with(WAN, &[])
    }

    /// The same, with another first address of the same network, of which it knows no leases, and further words for
    /// dnsmasq.
    pub fn serve_isp_with(&self, first: &str, further: &[&str]) -> Child {
        let leases = self.folder.file(&format!("isp.leases.{first}"));
        let mut child = self.isp.spawn(
            "dnsmasq",
            &[
                further,
                &[
                    "--keep-in-foreground",
                    "--conf-file=/dev/null",
                    // Keeps its user and groups: in a user namespace it cannot change them.
                    "--user=root",
                    "--group=",
                    "--pid-file=",
                    "--log-facility=-",
                    "--log-dhcp",
                    "--log-queries",
                    "--no-resolv",
                    "--no-hosts",
                    "--no-ping",
                    "--interface=wan0",
                    "--bind-interfaces",
                    "--dhcp-authoritative",
                    "--dhcp-sequential-ip",
                    &format!("--dhcp-range={first},{},255.255.255.0,1h", last(first)),
                    &format!("--dhcp-option=option:router,{ISP}"),
                    &format!("--dhcp-option=option:dns-server,{ISP}"),
                    &format!("--dhcp-leasefile={leases}"),
                    &format!("--host-record={NAME},{SERVER}"),
                    "--local-ttl=60",
                ],
            ]
            .concat(),
        );
        child.wait_for("DHCP, IP range");
        child
    }

    /// Starts a real HTTP server on [`SERVER`] that serves [`PAGE`] as `/page`; its lines name who asked.
    pub fn serve_page(&self) -> Child {
        let home = self.folder.0.join("www");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("page"), PAGE).unwrap();
        let home = home.to_str().unwrap().to_owned();
        self.isp.spawn("busybox", &["httpd", "-f", "-vv", "-p", &format!("{SERVER}:80"), "-h", &home])
    }

    /// Waits until the LAN's host has a lease, a name and the page, as any client would; the line of its lease.
    pub fn reach_the_internet(&self, hostname: &str) -> String {
        let (_client, lease) = self.lease(hostname);
        assert!(lease.contains("/24 router 192.168.42.1 dns 192.168.42.1 domain lan for 1200"), "{lease}");
        assert_eq!(self.dig(&[NAME]), SERVER);
        assert_eq!(self.download(&format!("http://{SERVER}/page")), PAGE);
        lease
    }
}
