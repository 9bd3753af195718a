//! dhcp6 against real servers: Debian's Kea and ISC dhcpd, in a network namespace as the provider.
#![allow(clippy::unwrap_used)] // a helper of a test fails by panicking

mod common;

use common::{Child, Namespace, Root, Services};
use qemu::provider6::{Offer, dhcpd, kea};

const LEASE: &str = "/perm/dhcp6/lease.json";
const KEA: &str = "2001:db8:a000::";
const ISC: &str = "2001:db8:b000::";
/// T1, T2, preferred and valid lifetime: renewals come soon, the end never.
const RENEWED: [u32; 4] = [2, 3_000, 3_600, 7_200];

/// The provider: `isp0`, cabled to `uplink0`.
struct Scene {
    isp: Namespace,
    router: Namespace,
    root: Root,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { isp: Namespace::new(), router: Namespace::new(), root: Root::new() };
        // Neighbour discovery's wait for duplicates would only cost time here.
        for host in [&scene.isp, &scene.router] {
            host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")).unwrap();
        }
        scene.router.veth("uplink0", &scene.isp, "isp0");
        scene.isp.ip("addr add 2001:db8:1::1/64 dev isp0");
        scene
    }

    fn dhcp6(&self) -> Child {
        let mut dhcp6 = self.router.service("dhcp6", &self.root, &[]);
        dhcp6.wait_for("ready");
        dhcp6
    }

    /// Waits until a prefix of the pool is held, and returns it.
    fn holds(&self, dhcp6: &mut Child, pool: &str) -> String {
        let pool = pool.trim_end_matches("00::");
        let line =
            dhcp6.wait_until(&format!("a prefix of {pool}"), |line| line.contains(": has ") && line.contains(pool));
        let words = line.split([' ', ',']).find(|word| word.starts_with(pool)).unwrap();
        dhcp6.wait_for("lease.json written");
        assert!(self.root.read(LEASE).contains(words), "{}", self.root.read(LEASE));
        words.to_owned()
    }
}

#[test]
fn kea_gives_renews_and_another_server_takes_over() {
    let scene = Scene::new();
    let mut first = kea(&scene.isp, "isp0", &scene.root.path("/tmp"), &Offer { pool: KEA, times: RENEWED }, 1);
    let mut dhcp6 = scene.dhcp6();
    let prefix = scene.holds(&mut dhcp6, KEA);
    first.wait_for("SOLICIT");
    let text = scene.root.read(LEASE);
    assert!(text.contains("\"dns\":[\"2001:db8:1::53\"]") && text.contains("\"search\":[\"isp.example\"]"), "{text}");
    assert!(text.contains("\"address\":\"2001:db8:1::1"), "{text}");
    dhcp6.wait_for("renewing");
    assert_eq!(scene.holds(&mut dhcp6, KEA), prefix);
    first.wait_for("RENEW");

    // The server is replaced by one of another make, with other prefixes, while the line is down.
    drop(first);
    let mut second = dhcpd(&scene.isp, "isp0", &scene.root.path("/tmp"), &Offer { pool: ISC, times: RENEWED });
    scene.isp.ip("link set isp0 down");
    scene.isp.ip("link set isp0 up");
    dhcp6.wait_for(&format!("asking for {prefix} again"));
    second.wait_for("Rebind");
    scene.holds(&mut dhcp6, ISC);
    assert!(dhcp6.stop().success());
}

#[test]
fn isc_gives_and_renews_and_a_restart_keeps_the_prefix() {
    let scene = Scene::new();
    let mut server = dhcpd(&scene.isp, "isp0", &scene.root.path("/tmp"), &Offer { pool: ISC, times: RENEWED });
    let mut dhcp6 = scene.dhcp6();
    let prefix = scene.holds(&mut dhcp6, ISC);
    dhcp6.wait_for("renewing");
    server.wait_for("Renew message");
    assert_eq!(scene.holds(&mut dhcp6, ISC), prefix);
    let duid = std::fs::read(scene.root.path("/perm/dhcp6/duid")).unwrap();

    // The power is cut.
    dhcp6.kill();
    let mut dhcp6 = scene.router.service("dhcp6", &scene.root, &[]);
    dhcp6.wait_for("lease.json written");
    dhcp6.wait_for(&format!("asking for {prefix} again"));
    server.wait_for("Rebind message");
    assert_eq!(scene.holds(&mut dhcp6, ISC), prefix);
    assert_eq!(std::fs::read(scene.root.path("/perm/dhcp6/duid")).unwrap(), duid);
    assert!(!server.lines().iter().any(|line| line.contains("Release message")), "a restart gives nothing back");

    // Given back by hand.
    dhcp6.signal("USR2");
    dhcp6.wait_for("given back");
    server.wait_for("Release message");
    dhcp6.wait_for("lease.json written");
    assert!(!scene.root.read(LEASE).contains(&prefix));
}

#[test]
fn a_server_that_is_gone_loses_nothing_before_the_end_of_its_leases() {
    let scene = Scene::new();
    let server = kea(&scene.isp, "isp0", &scene.root.path("/tmp"), &Offer { pool: KEA, times: [1, 2, 6, 8] }, 1);
    let mut dhcp6 = scene.dhcp6();
    let prefix = scene.holds(&mut dhcp6, KEA);
    drop(server);
    dhcp6.wait_for("rebinding");
    assert!(scene.root.read(LEASE).contains(&prefix));
    dhcp6.wait_for(&format!("{prefix} has run out"));
    dhcp6.wait_for("lease.json written");
    let text = scene.root.read(LEASE);
    assert!(
        text.contains("\"prefixes\":null")
            && text.contains(&format!("\"prefix\":\"{prefix}\",\"preferred\":0,\"valid\":0")),
        "{text}"
    );
    dhcp6.wait_for("looking for a server");
    // It is back, with other prefixes.
    let _server =
        kea(&scene.isp, "isp0", &scene.root.path("/tmp"), &Offer { pool: "2001:db8:c000::", times: RENEWED }, 2);
    scene.holds(&mut dhcp6, "2001:db8:c000::");
    assert!(!scene.root.read(LEASE).contains(&prefix), "the old one is history");
}

#[test]
fn a_fixed_uplink_is_not_asked_about() {
    let scene = Scene::new();
    let text = r#"{"interfaces":[{"name":"uplink0","gateway6":"fe80::1"},{"name":"lan0"}]}"#;
    scene.root.write("/perm/interfaces.json", text);
    let mut dhcp6 = scene.router.service("dhcp6", &scene.root, &[]);
    dhcp6.wait_for("resting");
    let _server = kea(&scene.isp, "isp0", &scene.root.path("/tmp"), &Offer { pool: KEA, times: RENEWED }, 1);
    scene.root.write("/perm/interfaces.json", text.replace("\"gateway6\":\"fe80::1\"", "\"mtu\":1500"));
    dhcp6.signal("USR1");
    scene.holds(&mut dhcp6, KEA);
}
