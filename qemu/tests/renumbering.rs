//! IPv6 through the whole machine: a delegated prefix, a power cut with another prefix behind it, a clock that is decades
//! off, the farewell before a power-off; and an uplink over a VLAN.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, PAGE, WAN};
use qemu::child::Child;
use qemu::disk::Disk;
use qemu::provider6::{Offer, kea, radvd};
use qemu::router::Router;
use qemu::step;

/// A server on the IPv6 internet.
const SERVER: &str = "2001:db8:ffff::1";
const A: &str = "2001:db8:a000::";
const B: &str = "2001:db8:b000::";
const TIMES: [u32; 4] = [1_000, 1_600, 2_000, 3_000];

/// The provider's side of IPv6, and the LAN host's news of addresses and routes.
struct Internet {
    _radvd: Child,
    _page: Child,
    news: Child,
}

impl Internet {
    fn new(bed: &Bed) -> Internet {
        bed.isp.run(|| std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")).unwrap();
        bed.isp.ip("addr add 2001:db8:1::1/64 dev wan0");
        bed.isp.ip(&format!("addr add {SERVER}/128 dev lo"));
        // Kea takes an interface as it is when it starts.
        let deadline = std::time::Instant::now() + qemu::child::PATIENCE;
        while !bed.isp.ip("-6 addr show dev wan0 tentative").trim().is_empty() {
            assert!(std::time::Instant::now() < deadline, "wan0 stays tentative");
        }
        let home = bed.folder.0.join("www6");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("page"), PAGE).unwrap();
        let address = format!("[{SERVER}]:80");
        let words = ["httpd", "-f", "-vv", "-p", &address, "-h", home.to_str().unwrap()];
        Internet {
            _radvd: radvd(&bed.isp, "wan0", &bed.folder.0),
            _page: bed.isp.spawn("busybox", &words),
            news: bed.lan.spawn("ip", &["-6", "-o", "monitor", "address", "route"]),
        }
    }

    /// Waits for an address of the LAN's host in a prefix.
    fn address(&mut self, stem: &str, deprecated: bool) {
        self.news.wait_until(&format!("{stem}, deprecated {deprecated}"), |line| {
            line.contains(&format!("inet6 {stem}"))
                && !line.contains("Deleted")
                && !line.contains("tentative")
                && line.contains("deprecated") == deprecated
        });
    }
}

/// The provider routes a pool to the router.
fn route(bed: &Bed, router: &mut Router, pool: &str) {
    let addresses = router.command_until("addresses", |text| text.contains("fe80::"));
    let uplink = addresses.split("uplink0").nth(1).unwrap();
    let address = uplink.split_whitespace().find(|word| word.starts_with("fe80::")).unwrap().split('/').next().unwrap();
    bed.isp.ip(&format!("-6 route replace {pool}/40 via {address} dev wan0"));
}

/// Loads the page; the host may not have heard of its router yet.
fn page(bed: &Bed) -> String {
    let deadline = std::time::Instant::now() + qemu::child::PATIENCE;
    while !bed.lan.ip("-6 route show default").contains("default") {
        assert!(std::time::Instant::now() < deadline, "the LAN's host has no default route");
    }
    bed.lan.output(
        "curl",
        &[
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "60",
            "--retry",
            "5",
            "--retry-all-errors",
            &format!("http://[{SERVER}]/page"),
        ],
    )
}

/// Valid lifetime of a prefix in rdisc6's words.
fn valid(bed: &Bed, stem: &str) -> Option<u32> {
    let heard = bed.lan.output("rdisc6", &["-1", "-w", "60000", "eth0"]);
    let mut lines = heard.lines().skip_while(|line| !line.contains(&format!(" Prefix                   : {stem}")));
    let line = lines.find(|line| line.contains("Valid time"))?;
    line.split(':').nth(1)?.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_power_cut_with_another_prefix_and_another_century_behind_it() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    let mut internet = Internet::new(&bed);
    let disk = Disk::copy(&bed.folder.0);
    let first = kea(&bed.isp, "wan0", &bed.folder.0, &Offer { pool: A, times: TIMES }, 1);

    step("a prefix is delegated; the LAN's host makes an address in it and loads a page");
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    internet.address("2001:db8:a0", false);
    route(&bed, &mut router, A);
    assert_eq!(page(&bed), PAGE);
    router.command_until("log radvd", |text| text.contains("2001:db8:a0"));

    step("the power is cut; the provider has another prefix when it is back, and the clock says 1999");
    router.cut();
    drop(first);
    let _second = kea(&bed.isp, "wan0", &bed.folder.0, &Offer { pool: B, times: TIMES }, 2);
    let mut router = Router::boot_with(&bed, &disk, |machine| machine.clock("1999-01-01T00:00:00"));
    router.wait_ready();
    internet.address("2001:db8:a0", true);
    internet.address("2001:db8:b0", false);
    route(&bed, &mut router, B);
    assert_eq!(page(&bed), PAGE);
    assert_eq!(valid(&bed, "2001:db8:a0"), Some(0), "the old prefix is still taken back");

    step("nobody delegates after another cut: what was stored is in use from the first second, in 2060 as well");
    router.cut();
    drop(_second);
    let mut router = Router::boot_with(&bed, &disk, |machine| machine.clock("2060-01-01T00:00:00"));
    router.wait_ready();
    router.command_until("addresses", |text| text.contains("2001:db8:b0"));
    let left = valid(&bed, "2001:db8:b0").expect("the stored prefix is not announced");
    assert!((1..=3_000).contains(&left), "{left}");
    assert_eq!(valid(&bed, "2001:db8:a0"), Some(0));
    assert_eq!(page(&bed), PAGE);

    step("before a power-off the LAN is told that its router goes");
    router.press("\rpoweroff\r");
    router.wait_off();
    internet.news.wait_for("Deleted default via fe80::");
    assert_eq!(disk.faults(), None);
}

#[test]
fn an_uplink_over_a_vlan() {
    let bed = Bed::new();
    let disk = Disk::copy(&bed.folder.0);
    disk.write(
        "interfaces.json",
        br#"{"interfaces":[{"hardware_addr":"52:54:00:77:00:01","name":"wan"},
        {"hardware_addr":"52:54:00:77:00:02","name":"lan0","addr":"192.168.42.1/24"},
        {"name":"uplink0","parent":"wan","vlan_id":7}]}"#,
    );
    // The switch in between counts what comes tagged and what does not.
    let rules = "add table bridge seen; add chain bridge seen in { type filter hook prerouting priority 0; };
        add rule bridge seen in ether type vlan vlan id 7 ip protocol udp counter comment \"tagged\";
        add rule bridge seen in iifname uplink ether type ip counter comment \"bare\"";
    bed.machine.output("nft", &[rules]);
    step("dhcp4's messages leave with tag 7, and nothing leaves without");
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    let addresses = router.command("addresses");
    assert!(addresses.contains("uplink0") && addresses.contains("wan"), "{addresses}");
    router.command_until("log dhcp4", |text| text.contains("looking for a server"));
    let seen = || bed.machine.output("nft", &["list", "table", "bridge", "seen"]);
    let deadline = std::time::Instant::now() + qemu::child::PATIENCE;
    while seen().contains("counter packets 0 bytes 0 comment \"tagged\"") {
        assert!(std::time::Instant::now() < deadline, "{}", seen());
        // A look at the router takes a moment of the machine's time.
        router.command("status");
    }
    assert!(seen().contains("counter packets 0 bytes 0 comment \"bare\""), "{}", seen());
    let (_client, lease) = bed.lease("laptop");
    assert!(!lease.contains(WAN), "{lease}");
}
