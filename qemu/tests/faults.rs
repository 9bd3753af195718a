//! When things go wrong: the LAN is served all the same, and the console says what is the matter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, WAN};
use qemu::disk::Disk;
use qemu::lan::ROUTER;
use qemu::router::Router;
use qemu::step;

fn reaches_the_internet(bed: &Bed, router: &mut Router) {
    router.command_until("status", |text| text.contains(WAN));
    bed.reach_the_internet("laptop");
}

#[test]
fn without_perm_the_lan_is_served_from_memory() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    let _http = bed.serve_page();
    let disk = Disk::copy(&bed.folder.0);
    for (what, byte) in [("unformatted", 0), ("damaged", 0xa5)] {
        step(&format!("/perm is {what}"));
        disk.spoil(byte);
        let mut router = Router::boot(&bed, &disk);
        let boot = router.wait_for("weir: ready in ");
        assert!(boot.contains("NO PERM"), "the console must say it aloud:\n{boot}");
        assert!(router.command("status").contains("memory"));
        reaches_the_internet(&bed, &mut router);
    }
}

#[test]
fn a_damaged_perm_is_stood_in_for_by_its_last_good_copy() {
    let bed = Bed::new();
    let disk = Disk::copy(&bed.folder.0);
    let interfaces = r#"{"interfaces":[{"hardware_addr":"52:54:00:77:00:01","name":"uplink0"},
        {"hardware_addr":"52:54:00:77:00:02","name":"lan0","addr":"192.168.42.1/24","extra_addrs":["10.9.8.7/24"]}]}"#;
    step("a file of a person's, and a lease");
    disk.write("interfaces.json", interfaces.as_bytes());
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    bed.lease("laptop");
    router.press("\rpoweroff\r");
    router.wait_off();

    step("/perm is damaged: both are there all the same, and it is said aloud");
    disk.spoil(0xa5);
    let helped = |router: &mut Router| {
        let said = router.wait_for("weir: ready in ");
        assert!(said.contains("NO PERM") && said.contains("the last good copy of"), "{said}");
        assert!(router.command("status").contains("on the last good copy"));
        assert!(router.command("addresses").contains("10.9.8.7/24"));
        assert!(router.command("leases").contains("laptop"));
    };
    let mut router = Router::boot(&bed, &disk);
    helped(&mut router);
    router.press("\rpoweroff\r");
    router.wait_off();

    step("a second copy is cut off in the middle: the first one counts");
    let halves = [0, 1].map(|half| layout::SPARE.offset() + half * layout::spare::HALF as u64);
    let copies = halves.map(|at| layout::spare::Copy::read(&disk.bytes(at, layout::spare::HALF)));
    let newest = usize::from(copies[1].as_ref().map(|copy| copy.number) > copies[0].as_ref().map(|copy| copy.number));
    let copy = copies[newest].as_ref().unwrap();
    let next = layout::spare::Copy { number: copy.number + 1, files: copy.files.clone() }.bytes();
    disk.overwrite(halves[1 - newest], &next[..next.len() / 2]);
    disk.overwrite(halves[1 - newest] + next.len() as u64 / 2, &vec![0; next.len() / 2]);
    let mut router = Router::boot(&bed, &disk);
    helped(&mut router);
}

#[test]
fn a_wrong_interfaces_file_is_named_and_the_last_good_one_holds() {
    let bed = Bed::new();
    let disk = Disk::copy(&bed.folder.0);
    let good = r#"{"interfaces":[{"hardware_addr":"52:54:00:77:00:01","name":"uplink0"},
        {"hardware_addr":"52:54:00:77:00:02","name":"lan0","addr":"192.168.42.1/24","extra_addrs":["10.9.8.7/24"]}]}"#;
    step("a good file is applied, and kept");
    disk.write("interfaces.json", good.as_bytes());
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    assert!(router.command("addresses").contains("10.9.8.7/24"));
    router.press("\rpoweroff\r");
    router.wait_off();

    step("a wrong one is refused by file, line, field and value; the good copy holds");
    disk.write("interfaces.json", good.replace("\"192.168.42.1/24\"", "\"192.168.42.1\"").as_bytes());
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    let log = router.command_until("log netconfigd", |log| log.contains("interfaces.json"));
    for part in ["interfaces.json:2:", "interfaces[1].addr", "\"192.168.42.1\""] {
        // The console folds long lines: compare without white space.
        let squeeze = |text: &str| text.split_whitespace().collect::<String>();
        assert!(squeeze(&log).contains(&squeeze(part)), "{part} is not in:\n{log}");
    }
    assert!(router.command("addresses").contains("10.9.8.7/24"));
    let (_client, lease) = bed.lease("laptop");
    assert!(lease.contains(ROUTER), "{lease}");
}

#[test]
fn without_a_provider_the_lan_is_served() {
    let bed = Bed::new();
    let disk = Disk::copy(&bed.folder.0);
    step("nobody answers on the uplink; 64 MB of memory");
    let mut router = Router::boot_with(&bed, &disk, |machine| machine.memory_mib(64));
    router.wait_ready();
    let (_client, lease) = bed.lease("laptop");
    let address = lease.split_whitespace().nth(1).and_then(|text| text.split('/').next()).unwrap();
    bed.dig_until(&["laptop.lan"], address);

    step("the provider comes; the router gets its lease by itself and routes");
    let _isp = bed.serve_isp();
    let _http = bed.serve_page();
    reaches_the_internet(&bed, &mut router);
}

#[test]
fn a_full_disk_is_said_aloud_and_nothing_is_half_written() {
    let bed = Bed::new();
    let disk = Disk::copy(&bed.folder.0);
    step("a first boot gives a lease, then /perm is filled to the last block");
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    bed.lease("first");
    router.press("\rpoweroff\r");
    router.wait_off();
    disk.fill();

    step("leases are given all the same");
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    bed.lan.ip("link set eth0 address 02:00:00:00:00:02");
    let (_client, lease) = bed.lease("second");
    assert!(lease.contains(ROUTER), "{lease}");
    let log = router.command_until("log dhcp4d", |log| log.contains("No space left"));
    eprintln!("{log}");
    assert_eq!(bed.dig(&["first.lan"]).split('.').count(), 4, "the first lease is forgotten");

    step("after a power cut the old leases are there, whole, and nothing else");
    router.cut();
    let disk = disk.settled();
    let text = disk.read("dhcp4d/leases.json").expect("leases.json is lost");
    let leases: serde_json::Value = serde_json::from_str(&text).expect("leases.json is half-written");
    assert_eq!(leases[0]["hostname"], "first", "{text}");
    let mut names = disk.list("dhcp4d");
    names.sort();
    assert_eq!(names, ["leases.json", "leases.log"]);
    assert_eq!(disk.faults(), None);
}
