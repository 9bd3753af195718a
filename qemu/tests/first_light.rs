//! A LAN client reaches the internet through weir: the whole way, on one machine, then once more after a power cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, ISP, NAME, PAGE, SERVER, WAN};
use qemu::disk::Disk;
use qemu::lan::ROUTER;
use qemu::packets::Asker;
use qemu::router::Router;
use qemu::step;
use std::net::Ipv4Addr;

/// The page by the server's address, as the LAN's host downloads it.
fn page(bed: &Bed) -> String {
    bed.download(&format!("http://{SERVER}/page"))
}

/// Lease, name and page, as any client would have them.
fn reaches_the_internet(bed: &Bed) -> String {
    let (_client, lease) = bed.lease("laptop");
    assert!(lease.contains("/24 router 192.168.42.1 dns 192.168.42.1 domain lan for 1200"), "{lease}");
    assert_eq!(bed.dig(&[NAME]), SERVER);
    assert_eq!(page(bed), PAGE);
    lease
}

fn services(router: &mut Router) -> Vec<(String, u32)> {
    let status = router.command("status");
    let rows = status.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, _state, pid) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
        rights::service(name).map(|_| (name.to_owned(), pid))
    });
    rows.collect()
}

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
    let lease = reaches_the_internet(&bed);
    assert!(http.wait_for("/page").contains(WAN), "the server must see the router's address");
    isp.wait_for("DHCPACK");

    step("the leased host's name and its reverse");
    let address = lease.split_whitespace().nth(1).and_then(|text| text.split('/').next()).unwrap();
    assert_eq!(bed.dig(&["laptop.lan"]), address);
    assert_eq!(bed.dig(&["laptop"]), address);
    assert_eq!(bed.dig(&["-x", address]), "laptop.lan.");

    step("new connections from the WAN are refused, to the router and to the LAN");
    bed.isp.ip(&format!("route add 192.168.42.0/24 via {WAN}"));
    let _web = bed.lan.spawn("busybox", &["httpd", "-f", "-p", &format!("{address}:80"), "-h", "/"]);
    for target in [format!("http://{address}/"), format!("http://{ROUTER}:53/"), format!("http://{WAN}:53/")] {
        let command = format!("! curl --silent --max-time 3 {target}");
        bed.isp.output("sh", &["-c", &command]);
    }
    let query = format!("! dig +short +tries=1 +time=3 @{WAN} localhost");
    bed.isp.output("sh", &["-c", &query]);
    // The control: the same server answers inside the LAN.
    assert_ne!(bed.lan.output("curl", &["--silent", "--head", "--max-time", "10", &format!("http://{address}/")]), "");
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

    step("SIGKILL of each service in turn, with the page loading all the while");
    let before = services(&mut router);
    assert_eq!(before.len(), rights::SERVICES.len(), "{before:?}");
    let url = format!("http://{SERVER}/page");
    let script = format!("while curl --silent --fail --max-time 20 {url}; do :; done; echo the page failed");
    let mut loading = bed.lan.spawn("sh", &["-c", &script]);
    for (name, pid) in &before {
        if name == "console" {
            continue;
        }
        // KILL takes it by surprise; after TERM it ends in order, with exit code 0, and is wanted back all the same.
        let signal = if name == "dhcp4" { "TERM" } else { "KILL" };
        router.command(&format!("signal {name} {signal}"));
        router.command_until("status", |text| {
            text.lines().any(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                words.first() == Some(&name.as_str()) && words[1] == "running" && words[2] != pid.to_string()
            })
        });
        loading.wait_for(PAGE.trim());
        eprintln!("    {name}: back, the page goes on loading");
    }
    router.press("\rsignal console KILL\r");
    router.wait_for("KILL");
    let after = router.command("status");
    assert!(after.contains("console"), "{after}");
    loading.wait_for(PAGE.trim());
    assert!(!loading.lines().iter().any(|line| line.contains("failed")), "the page stopped loading");
    drop(loading);
    reaches_the_internet(&bed);

    step("the power is cut; the same again, and the lease is remembered");
    router.cut();
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    assert!(router.command("leases").contains(address), "the lease is forgotten");
    router.command_until("status", |text| text.contains(WAN));
    let again = reaches_the_internet(&bed);
    assert!(again.contains(address), "{again}, not {address}");

    step("an orderly power-off leaves /perm clean");
    router.press("\rpoweroff\r");
    router.wait_off();
    let (code, text) = disk.check();
    assert_eq!(code, Some(0), "{text}");
}
