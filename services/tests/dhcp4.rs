//! dhcp4 against a real server: Debian's dnsmasq, in a network namespace as the provider.
#![allow(clippy::unwrap_used)] // a helper of a test fails by panicking

mod common;

use common::{Child, Namespace, Root, Services};

const SERVER: &str = "203.0.113.1";
const LEASE: &str = "/perm/dhcp4/wire/lease.json";
const ACK: &str = "/perm/dhcp4/wire/ack";

/// The provider: `isp0` with dnsmasq on it, cabled to `uplink0`.
struct Scene {
    isp: Namespace,
    router: Namespace,
    root: Root,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { isp: Namespace::new(), router: Namespace::new(), root: Root::new() };
        scene.router.veth("uplink0", &scene.isp, "isp0");
        scene.isp.ip(&format!("addr add {SERVER}/24 dev isp0"));
        scene
    }

    /// dnsmasq with a pool and what else is said; leases of two minutes, its shortest.
    fn dnsmasq(&self, pool: &str, words: &[&str]) -> Child {
        let range = format!("--dhcp-range={pool},255.255.255.0,2m");
        let leases = format!("--dhcp-leasefile={}", self.root.path("/tmp/dnsmasq.leases").display());
        let mut all =
            vec!["--keep-in-foreground", "--user=root", "--group=", "--conf-file=/dev/null", "--port=0", "--log-dhcp"];
        all.extend(["--log-facility=-", "--interface=isp0", "--dhcp-authoritative", "--no-ping", "--pid-file"]);
        all.extend([range.as_str(), leases.as_str()]);
        all.extend(words);
        let mut dnsmasq = self.isp.spawn("dnsmasq", &all);
        dnsmasq.wait_for("DHCP, IP range");
        dnsmasq
    }

    fn dhcp4(&self) -> Child {
        let mut dhcp4 = self.router.service("dhcp4", &self.root, &[]);
        dhcp4.wait_for("ready");
        dhcp4
    }

    /// What netconfigd does with the lease; its address.
    fn apply(&self) -> String {
        let text = self.root.read(LEASE);
        let address = text.split("\"client_ip\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
        self.router.ip("addr flush dev uplink0");
        self.router.ip(&format!("addr add {address}/24 dev uplink0"));
        address
    }
}

#[test]
fn a_lease_is_obtained_renewed_and_kept_when_the_server_dies() {
    let scene = Scene::new();
    let mut dnsmasq = scene.dnsmasq(
        "203.0.113.50,203.0.113.60",
        &["--dhcp-option=6,203.0.113.1,9.9.9.9", "--dhcp-option=58,2", "--dhcp-option=59,5"],
    );
    let mut dhcp4 = scene.dhcp4();
    dhcp4.wait_for("has 203.0.113.");
    // The file is there before the renewal that follows two seconds later is announced.
    dnsmasq.wait_for("DHCPACK");
    dhcp4.wait_for("renewing");
    let address = scene.apply();
    let text = scene.root.read(LEASE);
    assert!(
        text.contains(r#""subnet_mask":"255.255.255.0","router":"203.0.113.1","dns":["203.0.113.1","9.9.9.9"]"#),
        "{text}"
    );
    let ack = std::fs::read(scene.root.path(ACK)).unwrap();
    assert_eq!((ack[0], &ack[236..240]), (2, &[99, 130, 83, 99][..]), "a bare BOOTP message");

    // With the address on the interface, RENEWING's unicast REQUEST is answered: no REBINDING comes before the ACK.
    dhcp4.wait_for("has ");
    dhcp4.wait_for("renewing");
    let line = dhcp4.wait_until("an answer to the renewal", |line| line.contains("has ") || line.contains("REBINDING"));
    assert!(line.contains("has "), "{line}");
    dnsmasq.wait_for(&format!("DHCPREQUEST(isp0) {address}"));

    dnsmasq.kill();
    let before = scene.root.read(LEASE);
    dhcp4.wait_for("REBINDING");
    assert!(!before.is_empty());
    assert!(scene.root.read(LEASE).contains(&address), "kept");

    // Another server with other addresses, and the line comes back: asked at once, refused, another lease.
    let _dnsmasq = scene.dnsmasq("203.0.113.70,203.0.113.80", &[]);
    scene.isp.ip("link set isp0 down");
    dhcp4.wait_for("no carrier");
    scene.isp.ip("link set isp0 up");
    dhcp4.wait_for("asking for");
    dhcp4.wait_until("another lease", |line| line.contains("has 203.0.113.7") || line.contains("has 203.0.113.80"));
    assert!(dhcp4.stop().success());
}

#[test]
fn a_restart_asks_for_the_same_address_without_a_discover() {
    let scene = Scene::new();
    let mut dnsmasq = scene.dnsmasq("203.0.113.50,203.0.113.60", &[]);
    let mut dhcp4 = scene.dhcp4();
    let first = dhcp4.wait_for("has 203.0.113.");
    dhcp4.wait_for("written");
    dhcp4.kill();
    dnsmasq.wait_for("DHCPACK");
    let mut dhcp4 = scene.router.service("dhcp4", &scene.root, &[]);
    dhcp4.wait_for("asking for");
    let second = dhcp4.wait_for("has 203.0.113.");
    assert_eq!(first, second);
    let line = dnsmasq.wait_until("a message", |line| line.contains("DHCPREQUEST") || line.contains("DHCPDISCOVER"));
    assert!(line.contains("DHCPREQUEST"), "{line}");
}

#[test]
fn the_interface_may_come_late_be_renamed_and_take_another_address() {
    let scene = Scene { isp: Namespace::new(), router: Namespace::new(), root: Root::new() };
    scene.root.write(
        "/perm/interfaces.json",
        r#"{"interfaces":[{"name":"uplink0","spoof_hardware_addr":"02:73:53:00:ca:fe"}]}"#,
    );
    let mut dhcp4 = scene.dhcp4();
    scene.router.ip(&format!("link add eth7 type veth peer name isp0 netns {}", scene.isp.path()));
    scene.isp.ip(&format!("addr add {SERVER}/24 dev isp0"));
    scene.isp.ip("link set isp0 up");
    let mut dnsmasq = scene.dnsmasq("203.0.113.50,203.0.113.60", &[]);
    scene.router.ip("link set eth7 name uplink0");
    scene.router.ip("link set uplink0 address 02:73:53:00:ca:fe");
    scene.router.ip("link set uplink0 up");
    dhcp4.wait_for("has 203.0.113.");
    dnsmasq.wait_until("the spoofed address", |line| line.contains("DHCPACK") && line.contains("02:73:53:00:ca:fe"));

    // Gone and another in its place.
    scene.router.ip("link del uplink0");
    drop(dnsmasq);
    scene.router.veth("uplink0", &scene.isp, "isp0");
    scene.isp.ip(&format!("addr add {SERVER}/24 dev isp0"));
    let _dnsmasq = scene.dnsmasq("203.0.113.50,203.0.113.60", &[]);
    // The first REQUEST may have met no server yet; the retransmission does.
    dhcp4.wait_for("has 203.0.113.");
}

#[test]
fn release_gives_the_lease_back() {
    let scene = Scene::new();
    let mut dnsmasq = scene.dnsmasq("203.0.113.50,203.0.113.60", &[]);
    let mut dhcp4 = scene.dhcp4();
    dhcp4.wait_for("has 203.0.113.");
    dhcp4.wait_for("written");
    let address = scene.apply();
    dhcp4.signal("USR2");
    dhcp4.wait_for("given back");
    dnsmasq.wait_for(&format!("DHCPRELEASE(isp0) {address}"));
    assert!(!scene.root.path(ACK).exists() && scene.root.path(LEASE).exists());
}

#[test]
fn wrong_flags_are_named() {
    let (router, root) = (Namespace::new(), Root::new());
    let mut dhcp4 = router.service("dhcp4", &root, &["-interface", "a/b"]);
    dhcp4.wait_for("\"a/b\" is not an interface name");
    assert!(!dhcp4.wait().success());
}

/// ISC's dhcpd with leases of so many seconds.
fn dhcpd(scene: &Scene, times: &str) -> Child {
    let path = |name: &str| scene.root.path(&format!("/tmp/{name}")).to_str().unwrap().to_owned();
    let (conf, leases, pid) = (path("dhcpd.conf"), path("dhcpd.leases"), path("dhcpd.pid"));
    let text = format!(
        "authoritative; {times} option domain-name-servers 9.9.9.9; option interface-mtu 1492;
        option classless code 121 = array of unsigned integer 8;
        option classless 0, 203,0,113,1, 8, 10, 203,0,113,2;
        subnet 203.0.113.0 netmask 255.255.255.0 {{ range 203.0.113.50 203.0.113.60; }}"
    );
    std::fs::write(&conf, text).unwrap();
    std::fs::write(&leases, "").unwrap();
    let mut dhcpd = scene.isp.spawn("dhcpd", &["-4", "-f", "-d", "-cf", &conf, "-lf", &leases, "-pf", &pid, "isp0"]);
    dhcpd.wait_for("Server starting service");
    dhcpd
}

#[test]
fn isc_gives_and_renews_and_another_server_rebinds() {
    let scene = Scene::new();
    let times = "default-lease-time 600; option dhcp-renewal-time 2; option dhcp-rebinding-time 4;";
    let mut server = dhcpd(&scene, times);
    let mut dhcp4 = scene.dhcp4();
    dhcp4.wait_for("has 203.0.113.");
    dhcp4.wait_for("written");
    let text = scene.root.read(LEASE);
    let routes = r#""mtu":1492,"routes":[{"destination":"10.0.0.0/8","gateway":"203.0.113.2"}]"#;
    assert!(text.contains(r#""router":"203.0.113.1""#) && text.contains(routes), "{text}");
    let address = scene.apply();
    dhcp4.wait_for("renewing");
    dhcp4.wait_for(&format!("has {address}"));
    server.wait_for("DHCPREQUEST");
    drop(server);

    // Another server of another make, at another address, that knows nothing of us.
    scene.isp.ip("addr flush dev isp0");
    scene.isp.ip("addr add 203.0.113.3/24 dev isp0");
    let mut dnsmasq = scene.dnsmasq("203.0.113.50,203.0.113.60", &[]);
    dhcp4.wait_for("REBINDING");
    let line = dhcp4.wait_for(&format!("has {address}"));
    assert!(line.contains("from 203.0.113.3"), "{line}");
    dnsmasq.wait_for(&format!("DHCPACK(isp0) {address}"));
}

#[test]
fn past_its_end_a_lease_stays_and_a_server_with_another_subnet_is_taken() {
    let scene = Scene::new();
    let server = dhcpd(
        &scene,
        "default-lease-time 20; max-lease-time 20; option dhcp-renewal-time 1; option dhcp-rebinding-time 2;",
    );
    let mut dhcp4 = scene.dhcp4();
    dhcp4.wait_for("has 203.0.113.");
    dhcp4.wait_for("written");
    let address = scene.apply();
    drop(server);
    dhcp4.wait_for("has run out: its configuration stays");
    assert!(scene.root.read(LEASE).contains(&address));
    scene.isp.ip("addr flush dev isp0");
    scene.isp.ip("addr add 198.51.100.1/24 dev isp0");
    let _dnsmasq = scene.dnsmasq("198.51.100.50,198.51.100.60", &[]);
    dhcp4.wait_for("has 198.51.100.");
    dhcp4.wait_for("written");
    assert!(scene.root.read(LEASE).contains("\"client_ip\":\"198.51.100."));
}

#[test]
fn an_address_that_somebody_has_is_declined() {
    let scene = Scene::new();
    let thief = Namespace::new();
    // Behind the same switch as the provider.
    scene.isp.ip("addr flush dev isp0");
    scene.isp.ip("link set isp0 name port0");
    scene.isp.ip("link add isp0 type bridge forward_delay 0");
    scene.isp.veth("port1", &thief, "eth0");
    for port in ["port0", "port1"] {
        scene.isp.ip(&format!("link set {port} master isp0 up"));
    }
    scene.isp.ip("link set isp0 up");
    scene.isp.ip(&format!("addr add {SERVER}/24 dev isp0"));
    thief.ip("addr add 203.0.113.50/24 dev eth0");
    let mut dnsmasq = scene.dnsmasq("203.0.113.50,203.0.113.51", &["--dhcp-sequential-ip"]);
    let mut dhcp4 = scene.dhcp4();
    dhcp4.wait_for("has 203.0.113.50/24");
    dhcp4.wait_for("203.0.113.50 is used by");
    dnsmasq.wait_for("DHCPDECLINE(isp0) 203.0.113.50");
    dhcp4.wait_for("has 203.0.113.51/24");
    dhcp4.wait_for("written");
    assert!(scene.root.read(LEASE).contains("203.0.113.51"));
}

#[test]
fn a_provider_is_told_what_it_wants_to_be_told() {
    let scene = Scene::new();
    let client = "/perm/dhcp4/client.json";
    scene
        .root
        .write(client, r#"{"hostname":"box","vendor_class":"isp-modem","user_class":"home","client_id":"hex:00aabb"}"#);
    let mut dnsmasq = scene.dnsmasq("203.0.113.50,203.0.113.60", &[]);
    let mut dhcp4 = scene.dhcp4();
    dnsmasq.wait_for("vendor class: isp-modem");
    dnsmasq.wait_for("user class: home");
    dnsmasq.wait_for("client provides name: box");
    dhcp4.wait_for("has 203.0.113.");
    // What is wrong is named, and what held before holds.
    scene.root.write(client, r#"{"request":[0]}"#);
    dhcp4.signal("USR1");
    let line = dhcp4.wait_for("client.json");
    assert!(line.contains("request") && line.contains("[0]"), "{line}");
    // A fixed uplink is left alone.
    scene.root.write(
        "/perm/interfaces.json",
        r#"{"interfaces":[{"name":"uplink0","addr":"203.0.113.9/24","gateway":"203.0.113.1"}]}"#,
    );
    dhcp4.signal("USR1");
    dhcp4.wait_for("resting");
}
