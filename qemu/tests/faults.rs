//! When things go wrong: the LAN is served all the same, and the console says what is the matter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use layout::{PERM, SPARE};
use qemu::bed::{Bed, WAN};
use qemu::disk::Disk;
use qemu::lan::ROUTER;
use qemu::router::Router;
use qemu::step;

fn reaches_the_internet(bed: &Bed, router: &mut Router) {
    router.command_until("status", |text| text.contains(WAN));
    bed.reach_the_internet("laptop");
}

/// What a person has written, in a form that no default has.
const INTERFACES: &str = r#"{"interfaces":[{"hardware_addr":"52:54:00:77:00:01","name":"uplink0"},
    {"hardware_addr":"52:54:00:77:00:02","name":"lan0","addr":"192.168.42.1/24","extra_addrs":["10.9.8.7/24"]}]}"#;

/// What is damaged, and how.
type Damage<'a> = (&'a str, &'a dyn Fn(&Disk));

fn off(mut router: Router) {
    router.press("\rpoweroff\r");
    router.wait_off();
}

/// A disk with a file of a person's, a lease and its spare copy.
fn lived_in(bed: &Bed) -> Disk {
    let disk = Disk::copy(&bed.folder.0);
    disk.write("interfaces.json", INTERFACES.as_bytes());
    let mut router = Router::boot(bed, &disk);
    router.wait_ready();
    bed.lease("laptop");
    off(router);
    disk
}

/// Configuration, lease and name are there.
fn as_before(bed: &Bed, router: &mut Router) {
    assert!(router.command("addresses").contains("10.9.8.7/24"));
    assert!(router.command("leases").contains("laptop"));
    assert_eq!(bed.dig(&["laptop.lan"]).split('.').count(), 4);
}

#[test]
fn without_a_perm_that_can_be_used_the_lan_is_served_from_memory() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    let _http = bed.serve_page();
    let disk = Disk::copy(&bed.folder.0);
    let serves = |why: &str| {
        let before = disk.bytes(PERM.offset(), 128 << 10);
        let mut router = Router::boot(&bed, &disk);
        let boot = router.wait_for("weir: ready in ");
        assert!(boot.contains("NO PERM") && boot.contains(why), "the console must say it aloud:\n{boot}");
        assert!(router.command("status").contains("memory"));
        reaches_the_internet(&bed, &mut router);
        router.cut();
        assert!(disk.bytes(PERM.offset(), 128 << 10) == before, "{why}: it was touched");
    };
    step("/perm is a filesystem of a newer version");
    disk.add_feature(0x4000_0000);
    serves("ext4 of a newer version");
    step("/perm is of another kind");
    disk.overwrite(PERM.offset(), b"XFSB");
    serves("a filesystem of another kind, XFS");
}

#[test]
fn a_perm_beyond_repair_is_made_anew() {
    let bed = Bed::new();
    let disk = Disk::copy(&bed.folder.0);
    let rubbish: Vec<u8> = (0..1_u32 << 22).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (what, bytes) in [("never formatted", vec![0; 1 << 22]), ("rubbish", rubbish)] {
        step(&format!("/perm is {what}"));
        disk.overwrite(PERM.offset(), &bytes);
        let mut router = Router::boot(&bed, &disk);
        let boot = router.wait_for("weir: ready in ");
        assert!(boot.contains("made anew, 0 files saved"), "{boot}");
        assert!(router.command("status").contains("ext4, made anew"));
        bed.lease("laptop");
        off(router);
        assert_eq!(disk.faults(), None);
        assert!(disk.read("dhcp4d/leases.json").is_some_and(|text| text.contains("laptop")));
    }
}

#[test]
fn what_can_be_read_of_a_damaged_perm_is_in_the_new_one() {
    let bed = Bed::new();
    let disk = lived_in(&bed);
    // The spare copy would do as well: without it only what was read can be there.
    disk.overwrite(SPARE.offset(), &vec![0; SPARE.bytes() as usize]);
    let table = |disk: &Disk| {
        let place = disk.bytes(PERM.offset() + 4096 + 8, 4);
        PERM.offset() + u64::from(u32::from_le_bytes(place.try_into().unwrap())) * 4096
    };
    let damages: [Damage<'_>; 3] = [
        ("a group descriptor", &|disk| disk.overwrite(PERM.offset() + 4096 + 0xc, &[0xa5; 2])),
        ("the journal's inode", &|disk| disk.overwrite(table(disk) + 7 * 256, &[0xa5; 256])),
        ("the superblock", &|disk| disk.overwrite(PERM.offset() + 1024, &[0xa5; 1024])),
    ];
    for (what, damage) in damages {
        step(&format!("{what} is damaged"));
        damage(&disk);
        let mut router = Router::boot(&bed, &disk);
        let boot = router.wait_for("weir: ready in ");
        assert!(
            boot.contains("NO PERM") && boot.contains("made anew") && boot.contains("nothing is known to be lost"),
            "{boot}"
        );
        assert!(router.command("status").contains("ext4, made anew"));
        as_before(&bed, &mut router);
        router.command_until("diag", |text| text.contains("/perm was damaged"));
        off(router);
        assert_eq!(disk.faults(), None, "{what}");
        assert!(disk.read("mended/report").is_some_and(|text| text.contains("saved  /perm/interfaces.json")));
        disk.overwrite(SPARE.offset(), &vec![0; SPARE.bytes() as usize]);
    }

    step("the machine stops while it is being made anew: what was saved is used again");
    damages[0].1(&disk);
    disk.enlarge(2 << 30);
    let mut router = Router::boot(&bed, &disk);
    router.wait_for("perm: saving what can be read");
    router.cut();
    let marked = layout::mending::Mark::read(&disk.bytes(PERM.offset(), 512)).is_some();
    eprintln!("cut {}", if marked { "while it was being made" } else { "before or after" });
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    as_before(&bed, &mut router);
    off(router);
    assert_eq!(disk.faults(), None);
}

#[test]
fn a_superblock_of_which_one_sector_was_written_costs_nothing() {
    let bed = Bed::new();
    let disk = lived_in(&bed);
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    router.cut();
    // When it was last written.
    disk.flip(PERM.offset() + 1024 + 0x30);
    let mut router = Router::boot(&bed, &disk);
    let boot = router.wait_for("weir: ready in ");
    assert!(boot.contains("was half written") && !boot.contains("NO PERM"), "{boot}");
    as_before(&bed, &mut router);
    off(router);
    assert_eq!(disk.faults(), None);
}

#[test]
fn where_nothing_can_be_read_the_last_good_copy_is_in_the_new_one() {
    let bed = Bed::new();
    let disk = lived_in(&bed);
    step("/perm is damaged beyond reading: configuration and lease are there all the same");
    disk.spoil(0xa5);
    let mut router = Router::boot(&bed, &disk);
    let boot = router.wait_for("weir: ready in ");
    assert!(boot.contains("made anew, 0 files saved") && boot.contains("files from the last good copy"), "{boot}");
    as_before(&bed, &mut router);
    off(router);
    assert_eq!(disk.read("interfaces.json").as_deref(), Some(INTERFACES));
    let copies = [0, 1].map(|half| SPARE.offset() + half * layout::spare::HALF as u64);
    let copies = copies.map(|at| layout::spare::Copy::read(&disk.bytes(at, layout::spare::HALF)));
    assert!(copies.iter().flatten().count() > 0);

    step("a disk that does not take a write: memory with the last good copy, and it is said aloud");
    disk.spoil(0xa5);
    let broken = disk.refusing(PERM.first);
    let mut router = Router::boot(&bed, &broken);
    let said = router.wait_for("weir: ready in ");
    assert!(said.contains("could not be made anew") && said.contains("rror"), "{said}");
    assert!(router.command("status").contains("on the last good copy"));
    as_before(&bed, &mut router);
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
    assert_eq!(names, ["duid", "leases.json", "leases.log"]);
    assert_eq!(disk.faults(), None);
}
