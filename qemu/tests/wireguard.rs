//! Tunnels of the whole machine to Debian's wireguard-go: by name, both ways, peers that come and go, and everything
//! through one of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, NAME, PAGE, SERVER, WAN};
use qemu::child::Child;
use qemu::disk::Disk;
use qemu::peer::{Keys, Peer};
use qemu::router::Router;
use qemu::step;
use weir::machine::{LAN_MAC, UPLINK_MAC};

const INSIDE: &str = "10.77.0.2";

fn interfaces(everything: bool) -> String {
    let routes = if everything { r#","extra_routes":[{"destination":"0.0.0.0/0"}]"# } else { "" };
    format!(
        "{{\"interfaces\":[\n{{\"name\":\"uplink0\",\"hardware_addr\":\"{UPLINK_MAC}\"}},\n{{\"name\":\"lan0\",\
         \"hardware_addr\":\"{LAN_MAC}\",\"addr\":\"192.168.42.1/24\"}},\n\
         {{\"name\":\"wg0\",\"addr\":\"10.77.0.1/24\"{routes}}}]}}"
    )
}

/// The router's file: the first peer is asked at its name, the others come to the router.
fn tunnels(router: &Keys, first: &Peer, allowed: &str, others: &str) -> String {
    format!(
        "{{\"interfaces\":[{{\"name\":\"wg0\",\"port\":51820,\n\"private_key\":\"{}\",\"peers\":[\n\
         {{\"public_key\":\"{}\",\"endpoint\":\"{NAME}:51820\",\n\"persistent_keepalive\":1,\
         \"allowed_ips\":[{allowed}]}}{others}]}}]}}",
        router.private, first.keys.public
    )
}

fn apply(router: &mut Router, files: &[(&str, String)]) {
    let file = |(name, text): &(&str, String)| format!("{name}\r{}\r.\r", text.replace('\n', "\r"));
    let said = router.command(&format!("apply\r{}", files.iter().map(file).collect::<String>()));
    assert!(said.contains("kept"), "{said}");
}

/// Numbers of the answers so far.
fn answers(ping: &Child) -> Vec<u32> {
    let number = |line: String| line.split("seq=").nth(1)?.split(' ').next()?.parse().ok();
    ping.lines().into_iter().filter_map(number).collect()
}

/// Waits for two more answers; none may be missing.
fn goes_on(ping: &mut Child) {
    let last = answers(ping).last().copied().unwrap();
    ping.wait_for(&format!("seq={} ", last + 2));
    let all = answers(ping);
    let missing = all.windows(2).find(|pair| pair[1] != pair[0] + 1);
    assert!(missing.is_none(), "answers are missing: {all:?}");
}

#[test]
fn peers_come_and_go_while_another_is_spoken_to() {
    let bed = Bed::new();
    let (first, second, keys) = (Peer::new(&bed, 1, "10.77.0.2/32"), Peer::new(&bed, 2, "10.77.0.3/32"), Keys::new());
    let _isp = bed.serve_isp_with(WAN, &[&format!("--host-record=wg.example.net,{}", first.address)]);
    let mut page = bed.serve_page();
    first.knows(&keys, "10.77.0.1/32,192.168.42.0/24", None);
    second.knows(&keys, "10.77.0.1/32", Some(&format!("{WAN}:51820")));
    let with = |allowed: &str, others: &str| tunnels(&keys, &first, allowed, others).replace(NAME, "wg.example.net");
    let one = "\"10.77.0.2/32\"";

    step("one boot brings the tunnel up, its peer found by name");
    let disk = Disk::copy(&bed.folder.0);
    disk.write("interfaces.json", interfaces(false).as_bytes());
    disk.write("wireguard.json", with(one, "").as_bytes());
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    let (_client, _) = bed.lease("laptop");
    let mut ping = bed.lan.spawn("busybox", &["ping", INSIDE]);
    ping.wait_for("seq=");
    goes_on(&mut ping);

    step("a second peer is added, reaches the router by its WAN address, and is removed");
    let other = format!(",\n{{\"public_key\":\"{}\",\"allowed_ips\":[\"10.77.0.3/32\"]}}", second.keys.public);
    apply(&mut router, &[("wireguard.json", with(one, &other))]);
    second.host.output("busybox", &["ping", "-c", "2", "-W", "60", "10.77.0.1"]);
    goes_on(&mut ping);
    let metrics = bed.download("http://192.168.42.1:8066/metrics");
    let series = format!("weir_wireguard_receive_bytes_total{{interface=\"wg0\",peer=\"{}\"}}", second.keys.public);
    assert!(metrics.contains(&series), "{metrics}");
    apply(&mut router, &[("wireguard.json", with(one, ""))]);
    let removed = format!("peer {} removed", second.keys.public);
    router.command_until("log netconfigd", |log| log.contains(&removed));
    second.host.fails("busybox", &["ping", "-c", "2", "-W", "2", "10.77.0.1"]);
    goes_on(&mut ping);

    step("netconfigd is killed: it finds everything as it is to be");
    router.press("\rsignal netconfigd KILL\r");
    router.wait_for("netconfigd died");
    router.wake();
    router.service_until("netconfigd", |row| row.state == "running" && row.restarts == 1);
    goes_on(&mut ping);
    let log = router.command("log netconfigd");
    let touched = log.matches(&first.keys.public).count();
    assert_eq!(touched, 2, "made, and told its place, by the first netconfigd: {log}");

    step("everything through the tunnel: its own packets go by the uplink, and nothing else");
    bed.isp.ip(&format!("route add 192.168.42.0/24 via {}", first.address));
    apply(
        &mut router,
        &[("interfaces.json", interfaces(true)), ("wireguard.json", with("\"10.77.0.2/32\",\"0.0.0.0/0\"", ""))],
    );
    let routes = router.command_until("routes", |text| text.contains(&first.address));
    let defaults: Vec<&str> =
        routes.lines().filter(|line| line.contains("default") || line.contains("0.0.0.0/0")).collect();
    assert!(defaults.len() == 1 && defaults[0].contains("wg0"), "{routes}");
    assert_eq!(bed.download(&format!("http://{SERVER}/page")), PAGE);
    assert!(page.wait_for("/page").contains("192.168.42."), "it came by the uplink");
    goes_on(&mut ping);

    step("the private key is nobody else's, though the file was open to everybody");
    router.press("\rpoweroff\r");
    router.wait_off();
    assert_eq!(disk.owner("wireguard.json"), "0640 108 180");
    assert_eq!(disk.faults(), None);
}
