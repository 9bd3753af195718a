//! A device of the LAN is reached from outside, by its name, in the whole machine; and what was counted is still known
//! after a power-off.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, PAGE, WAN};
use qemu::disk::Disk;
use qemu::namespace::Namespace;
use qemu::router::Router;
use qemu::step;

const FORWARDED: &str = r#"nftables_filter_forward_packets{family="ipv4"}"#;

fn load(host: &Namespace, url: &str) -> String {
    let retry = ["--retry", "5", "--retry-all-errors"];
    let words = ["--silent", "--show-error", "--fail", "--max-time", "60"];
    host.output("curl", &[&words[..], &retry[..], &[url]].concat())
}

fn forwarded(bed: &Bed) -> u64 {
    let page = load(&bed.lan, "http://192.168.42.1:8066/metrics");
    let line = page.lines().find(|line| line.starts_with(FORWARDED)).unwrap_or_else(|| panic!("{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_device_is_reached_by_name_and_counts_survive_a_power_off() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    let disk = Disk::copy(&bed.folder.0);
    let text = r#"{"forwardings":[{"port":"8080","device":"laptop","dest_port":"80","name":"web"},{"port":"0"}]}"#;
    disk.write("portforwardings.json", text.as_bytes());

    step("the device has no lease yet; the wrong entry is named");
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    let log = router.command_until("log netconfigd", |text| text.contains("forwardings[0] (web).device"));
    assert!(log.contains("forwardings[1].port"), "{log}");

    step("it gets one: it is reached from outside and from inside");
    let (_client, _) = bed.lease("laptop");
    let home = bed.folder.0.join("www-lan");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("page"), PAGE).unwrap();
    let _server = bed.lan.spawn("busybox", &["httpd", "-f", "-p", "80", "-h", home.to_str().unwrap()]);
    router.command_until("log netconfigd", |text| text.contains("port forwardings: 1"));
    let url = format!("http://{WAN}:8080/page");
    assert_eq!(load(&bed.isp, &url), PAGE);
    assert_eq!(load(&bed.lan, &url), PAGE);

    step("what was forwarded is counted, and still known after a power-off");
    let counted = forwarded(&bed);
    assert!(counted >= 16, "{counted}");
    router.press("\rpoweroff\r");
    router.wait_off();
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    assert!(forwarded(&bed) >= counted);
    assert_eq!(load(&bed.isp, &url), PAGE, "the lease is remembered");
}
