//! A LAN client reaches the internet through weir: the whole way, on one machine, then once more after a power cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, ISP, NAME, PAGE, SERVER, WAN};
use qemu::disk::Disk;
use qemu::lan::ROUTER;
use qemu::packets::Asker;
use qemu::router::{Router, rows};
use qemu::step;
use qemu::stream::Download;
use std::net::Ipv4Addr;

#[test]
fn a_lan_client_reaches_the_internet() {
    let bed = Bed::new();
    let mut isp = bed.serve_isp();
    let mut http = bed.serve_page();
    let disk = Disk::copy(&bed.folder.0);

    step("boot; a DISCOVER and a query at the instant of the ready line, each sent once");
    bed.lan.ip("addr add 192.168.42.200/24 dev eth0");
    bed.lan.ip("route add 255.255.255.255/32 dev eth0");
    let asker = bed.lan.run(|| Asker::open(Ipv4Addr::new(192, 168, 42, 1)));
    let mut router = Router::boot(&bed, &disk);
    let ready = router.wait_ready();
    let (offered, answer) = asker.ask_both_once("localhost");
    eprintln!("{ready}; offered {offered}");
    assert!(offered.octets().starts_with(&[192, 168, 42]), "{offered}");
    assert_eq!(answer[3] & 0x0f, 0, "the query was answered with an error");
    assert_eq!(&answer[answer.len() - 4..], [127, 0, 0, 1], "localhost");
    drop(asker);
    bed.lan.ip("addr flush dev eth0 scope global");

    step("lease, name, page through NAT");
    router.command_until("status", |text| text.contains(WAN));
    let lease = bed.reach_the_internet("laptop");
    assert!(http.wait_for("/page").contains(WAN), "the server must see the router's address");
    isp.wait_for("DHCPACK");

    step("the leased host's name and its reverse");
    let address = lease.split_whitespace().nth(1).and_then(|text| text.split('/').next()).unwrap();
    bed.dig_until(&["laptop.lan"], address);
    assert_eq!(bed.dig(&["laptop"]), address);
    assert_eq!(bed.dig(&["-x", address]), "laptop.lan.");

    step("new connections from the WAN are refused, to the router and to the LAN");
    bed.isp.ip(&format!("route add 192.168.42.0/24 via {WAN}"));
    let mut web = bed.lan.spawn("busybox", &["httpd", "-f", "-vv", "-p", &format!("{address}:80"), "-h", "/"]);
    for target in [format!("http://{address}/"), format!("http://{ROUTER}:53/"), format!("http://{WAN}:53/")] {
        bed.isp.fails("curl", &["--silent", "--max-time", "3", &target]);
    }
    for target in [WAN, ROUTER] {
        bed.isp.fails("dig", &["+tries=1", "+time=3", &format!("@{target}"), "localhost"]);
    }
    // The control: the same server answers inside the LAN, and has heard of nobody else.
    bed.lan.output("curl", &["--silent", "--head", "--max-time", "60", &format!("http://{address}/")]);
    let first = web.wait_for("url:");
    assert!(first.contains(address), "a stranger reached the LAN: {first}");
    drop(web);
    bed.isp.ip("route del 192.168.42.0/24");

    step("the console's help and status");
    let transcript = [router.command("help"), router.command("status"), router.command("leases")].join("\n\n");
    eprintln!("{transcript}");
    for word in ["status", "log NAME", "addresses", "routes", "leases", "dmesg", "restart NAME", "reboot", "poweroff"] {
        assert!(transcript.contains(word), "help without {word}");
    }
    assert!(transcript.contains("laptop") && transcript.contains("ext4"), "{transcript}");
    assert!(router.command("routes").contains(ISP));
    assert!(router.command("addresses").contains("192.168.42.1/24"));
    assert!(router.command("log dhcp4").contains(WAN));
    assert!(router.command("dmesg").contains("Run /init as init process"));
    assert!(router.command("no such thing").contains("no command"));

    step("the diagnosis: nobody outside knows the usual names here; those that are there do");
    let alone = router.command("diag");
    eprintln!("{alone}");
    assert!(
        alone.contains(&format!("The provider's gateway {ISP} is there, and nothing behind it answers")),
        "{alone}"
    );
    assert!(alone.lines().any(|line| line.starts_with("NO ") && line.contains(" tcp4: www.google.ch:80, ")), "{alone}");
    let config = format!(
        r#"{{"names":["{NAME}"],"ping":["{SERVER}"],"portal":"http://{NAME}/page","portal_answer":"{}"}}"#,
        PAGE.trim()
    );
    assert!(router.command(&format!("apply\rdiagd/config.json\r{config}\r.\r")).contains("kept"));
    let works = "The internet works over IPv4; the provider offers no IPv6.";
    eprintln!("{}", router.command_until("diag", |text| text.contains(works)));
    assert!(router.command("log diagd").contains(works));
    assert!(router.command(&format!("ping {NAME}")).contains("5 of 5 came back"));
    assert!(router.command(&format!("trace {SERVER}")).contains(&format!(" 1  {SERVER}  ")));
    let names = router.command(&format!("dns {NAME}"));
    assert!(names.contains(&format!("{ISP:<24}A    {SERVER}, ")), "{names}");
    let health = bed.download("http://192.168.42.1:7733/health.json");
    assert!(health.starts_with("{\"first_error\":\"\",") && health.contains(works), "{health}");
    bed.isp.fails("curl", &["--silent", "--max-time", "3", &format!("http://{WAN}:7733/health.json")]);

    step("SIGKILL of each service in turn, with a download going on and the page loading all the while");
    let before = rows(&router.command("status"));
    assert_eq!(before.len(), rights::SERVICES.len(), "{before:?}");
    let mut download = Download::begin(&bed);
    assert_eq!(download.seen_as(), WAN);
    let url = format!("http://{SERVER}/page");
    let script = format!("while curl --silent --fail --max-time 60 {url}; do :; done; echo the page failed");
    let mut loading = bed.lan.spawn("sh", &["-c", &script]);
    for old in &before {
        // PID 1 says so, and not the console: its own last echo may die with it.
        router.press(&format!("\rsignal {} KILL\r", old.name));
        router.wait_for(&format!("{} died", old.name));
        router.wake();
        download.go_on();
        let new = router.service_until(&old.name, |new| new.state == "running" && new.pid != old.pid);
        assert_eq!(new.restarts, old.restarts + 1, "{new:?}");
        download.go_on();
        for _ in 0..3 {
            loading.wait_for(PAGE.trim());
        }
        eprintln!("    {}: back as {}, both go on", new.name, new.pid.unwrap());
    }
    step("a service that ends with 0 is started again, too");
    let old = router.service_until("dnsd", |_| true);
    assert!(router.command("signal dnsd TERM").contains("dnsd has been sent TERM"));
    router.service_until("dnsd", |new| new.state == "running" && new.pid != old.pid);
    assert!(!loading.lines().iter().any(|line| line.contains("failed")), "the page stopped loading");
    download.go_on();
    drop((loading, download));
    bed.reach_the_internet("laptop");

    step("the power is cut; the same again, and the lease is remembered");
    router.cut();
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    router.command_until("leases", |text| text.contains(address));
    router.command_until("status", |text| text.contains(WAN));
    let again = bed.reach_the_internet("laptop");
    assert!(again.contains(address), "{again}, not {address}");

    step("an orderly power-off leaves /perm clean");
    router.press("\rpoweroff\r");
    router.wait_off();
    assert_eq!(disk.faults(), None);
}
