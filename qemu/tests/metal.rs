//! The disk starts by itself, whatever firmware, bus or damage; it takes a router7's place; its `/perm` grows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use layout::gpt::{self, Table};
use layout::{BOOT, DISK_SECTORS, GRUBENV, PERM, ROOT_A, SECTOR, Slot, initrd_of, kernel_of, sums, sums_of};
use qemu::bed::{Bed, PAGE, WAN};
use qemu::disk::Disk;
use qemu::router::Router;
use qemu::step;
use std::process::Command;
use weir::machine::{Bus, Firmware};

/// A disk of its own, whose kernel is told what an emulator on a busy host needs.
fn copy(bed: &Bed) -> Disk {
    let disk = Disk::copy(&bed.folder.0);
    disk.set_environment(&[("words", "no_timer_check")]);
    disk
}

fn start(bed: &Bed, disk: &Disk, firmware: Firmware, bus: Bus) -> Router {
    Router::boot_with(bed, disk, |machine| machine.firmware(firmware).bus(bus))
}

/// Starts it from a BIOS; what it said until it was ready.
fn started(bed: &Bed, disk: &Disk) -> (Router, String) {
    let mut router = start(bed, disk, Firmware::Bios, Bus::Virtio);
    let said = router.wait_for("weir: ready in ");
    (router, said)
}

/// Waits until GRUB's environment says this of slot and tries.
fn counts(router: &mut Router, disk: &Disk, slot: &str, tries: &str) {
    router.command_until("status", |_| {
        let environment = disk.environment();
        environment.is_some_and(|found| found.get("slot") == Some(slot) && found.get("tries") == Some(tries))
    });
}

#[test]
fn every_firmware_starts_it_from_every_bus() {
    let bed = Bed::new();
    let disk = copy(&bed);
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        for bus in [Bus::Virtio, Bus::Ahci, Bus::Nvme, Bus::Usb] {
            step(&format!("{firmware:?}, {bus:?}"));
            let mut router = start(&bed, &disk, firmware, bus);
            router.wait_for("root a (squashfs)");
            assert_eq!(disk.environment().unwrap().get("tries"), Some("2"), "a try was taken off before");
            router.wait_ready();
            counts(&mut router, &disk, "a", "3");
            router.press("\rpoweroff\r");
            router.wait_off();
        }
    }
    assert_eq!(disk.faults(), None);
}

#[test]
fn a_damaged_slot_is_passed_over() {
    let bed = Bed::new();
    let disk = copy(&bed);
    let place = |extent: layout::Extent| BOOT.offset() + extent.offset();
    let (kernel, initrd, sums) = (place(kernel_of(Slot::A)), place(initrd_of(Slot::A)), place(sums_of(Slot::A)));
    for (what, at) in [
        ("kernel", kernel + 1_234_567),
        ("initramfs", initrd + 700_001),
        ("runs of the sums", sums + 33),
        ("list of the sums", sums + 1024 + 500),
    ] {
        step(&format!("one bit of the {what} of slot a is flipped"));
        disk.flip(at);
        let (mut router, said) = started(&bed, &disk);
        assert!(said.contains("slot a is damaged: taking slot b") && said.contains("root b (squashfs)"), "{said}");
        router.command("status");
        router.cut();
        assert_eq!(disk.environment().unwrap().get("tries"), Some("3"), "damage costs no try");
        disk.flip(at);
    }

    step("the root of slot a is gone");
    let root = disk.bytes(ROOT_A.offset(), 4096);
    disk.overwrite(ROOT_A.offset(), &[0; 4096]);
    let (router, said) = started(&bed, &disk);
    assert!(said.contains("NO ROOT a") && said.contains("root b (squashfs)"), "{said}");
    router.cut();
    disk.overwrite(ROOT_A.offset(), &root);

    step("the sums of both slots are gone: what is there is tried");
    for slot in Slot::ALL {
        disk.overwrite(place(sums_of(slot)), &[0xff; sums::BYTES]);
    }
    let (_router, said) = started(&bed, &disk);
    assert!(said.contains("both slots are damaged: trying slot a all the same"), "{said}");
    assert!(said.contains("root a (squashfs)"), "{said}");
}

#[test]
fn a_slot_that_does_not_get_ready_is_given_up() {
    let bed = Bed::new();
    let disk = copy(&bed);
    step("the environment is rubbish: slot a all the same, and a new environment");
    disk.overwrite(BOOT.offset() + GRUBENV.offset(), &[0x5a; 1024]);
    let (mut router, said) = started(&bed, &disk);
    assert!(said.contains("root a (squashfs)"), "{said}");
    counts(&mut router, &disk, "a", "3");
    router.cut();

    step("slot a's initramfs holds no program: three panics, then slot b, which is wanted from now on");
    disk.set_environment(&[("words", "no_timer_check")]);
    let kernel = std::fs::read(qemu::images().join("vmlinuz")).unwrap();
    let sums = sums::of(Slot::A, &kernel, &[0; 512]).unwrap();
    disk.overwrite(BOOT.offset() + sums_of(Slot::A).offset(), &sums);
    disk.overwrite(BOOT.offset() + initrd_of(Slot::A).offset(), &[0; 512]);
    let (mut router, said) = started(&bed, &disk);
    assert_eq!(said.matches("Kernel panic").count(), 3, "{said}");
    assert!(said.contains("slot a was not ready in its last boots: taking slot b"), "{said}");
    assert!(said.contains("root b (squashfs)"), "{said}");
    counts(&mut router, &disk, "b", "3");
    assert_eq!(disk.environment().unwrap().get("words"), Some("no_timer_check"), "the others stay");
}

/// Boots until `/perm` has its full size; the disk is off afterwards.
fn grows(bed: &Bed, disk: &Disk, sectors: u64, what: &str) {
    step(what);
    let (mut router, _) = started(bed, disk);
    router.wait_for("perm has grown to 3137 MB");
    router.press("\rpoweroff\r");
    router.wait_off();
    is_grown(disk, sectors, what);
}

fn is_grown(disk: &Disk, sectors: u64, what: &str) {
    let copy = usize::try_from(gpt::SECTORS * SECTOR).unwrap();
    let grown = Table::fresh(sectors);
    assert!(disk.bytes(SECTOR, copy) == grown.primary_bytes(sectors), "{what}: the first table");
    assert!(disk.bytes(gpt::backup(sectors) * SECTOR, copy) == grown.backup_bytes(sectors), "{what}: the second");
    assert_eq!(disk.faults(), None, "{what}");
    let blocks = (layout::perm_last(sectors) + 1 - PERM.first) * SECTOR / 4096;
    assert_eq!(disk.blocks(), blocks, "{what}");
}

#[test]
fn perm_grows_to_the_disk_wherever_a_cut_falls() {
    const LARGE: u64 = 4 << 21;
    let bed = Bed::new();
    let fresh = || {
        let disk = copy(&bed);
        disk.enlarge(LARGE * SECTOR);
        disk
    };
    let (small, grown) = (Table::fresh(DISK_SECTORS), Table::fresh(LARGE));
    grows(&bed, &fresh(), LARGE, "a disk of 4 GiB");
    let output = Command::new("/usr/sbin/sgdisk").arg("-v").arg(bed.folder.0.join("disk.img")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("No problems found"), "{said}");

    let disk = fresh();
    disk.overwrite(gpt::backup(LARGE) * SECTOR, &grown.backup_bytes(LARGE));
    grows(&bed, &disk, LARGE, "cut between the tables");

    let disk = fresh();
    disk.overwrite(gpt::backup(LARGE) * SECTOR, &grown.backup_bytes(LARGE));
    let torn = [&grown.primary_bytes(LARGE)[..512], &small.primary_bytes(DISK_SECTORS)[512..]].concat();
    disk.overwrite(SECTOR, &torn);
    grows(&bed, &disk, LARGE, "cut within the first table: the second one counts");

    let disk = fresh();
    disk.overwrite(gpt::backup(LARGE) * SECTOR, &grown.backup_bytes(LARGE));
    disk.overwrite(SECTOR, &grown.primary_bytes(LARGE));
    grows(&bed, &disk, LARGE, "cut between table and filesystem");

    step("cut at the ready line, again and again, while it grows");
    let disk = fresh();
    for _ in 0..3 {
        let (router, _) = started(&bed, &disk);
        router.cut();
    }
    let (mut router, _) = started(&bed, &disk);
    router.command_until("status", |_| disk.blocks() > 700_000);
    router.press("\rpoweroff\r");
    router.wait_off();
    is_grown(&disk, LARGE, "after cuts");
}

#[test]
fn a_router7_becomes_a_weir_and_keeps_what_it_knew() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    let path = bed.folder.0.join("disk.img");
    let sectors = 2 << 21;
    step("a disk as router7 leaves it");
    std::fs::File::create(&path).unwrap().set_len(sectors * SECTOR).unwrap();
    let run = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).arg(&path).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let parts = ["-n1:8192:212991", "-t1:EF00", "-n2:212992:1236991", "-n3:1236992:2260991"];
    run("/usr/sbin/sgdisk", &[&["-a1"][..], &parts, &[&format!("-n4:2260992:{}", sectors - 35)]].concat());
    let disk = Disk::at(&path);
    disk.overwrite(0, &[0xfa; 440]);
    disk.overwrite(BOOT.offset(), &[0xee; 1 << 20]);
    disk.overwrite(ROOT_A.offset(), b"hsqs, but not weir's");
    let offset = format!("offset={}", PERM.offset());
    let size = format!("{}k", (sectors - 34 - PERM.first) / 8 * 4);
    let mut mke2fs = Command::new("/usr/sbin/mke2fs");
    let output = mke2fs.args(["-q", "-F", "-t", "ext4", "-E", &offset]).arg(&path).arg(size).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let interfaces = r#"{"interfaces":[{"hardware_addr":"52:54:00:77:00:01","name":"uplink0"},
        {"hardware_addr":"52:54:00:77:00:02","name":"lan0","addr":"192.168.77.1/24"}]}"#;
    disk.write("interfaces.json", interfaces.as_bytes());
    let forwards = r#"{"forwardings":[{"proto":"tcp","port":"8022","dest_addr":"192.168.77.23","dest_port":"22"}]}"#;
    disk.write("portforwardings.json", forwards.as_bytes());
    let leases = r#"[{"num":21,"addr":"192.168.77.23","hardware_addr":"02:00:00:00:00:23","hostname":"nas","hostname_override":"","expiry":"2099-01-01T00:00:00Z"}]"#;
    disk.write("dhcp4d/leases.json", leases.as_bytes());

    step("weir write: nothing is asked, because nothing is lost");
    let image = qemu::images().join("disk.img");
    weir::write::write(&weir::write::Order { disk: path.clone(), image, erase: false, yes: false }).unwrap();
    disk.set_environment(&[("words", "no_timer_check")]);

    let (mut router, said) = started(&bed, &disk);
    assert!(said.contains("root a (squashfs)") && said.contains("perm (ext4)"), "{said}");
    assert!(router.command("addresses").contains("192.168.77.1/24"));
    let known = router.command("leases");
    assert!(known.contains("nas") && known.contains("192.168.77.23"), "{known}");

    step("the forwarding leads to its device");
    router.command_until("status", |text| text.contains(WAN));
    bed.lan.ip("addr add 192.168.77.23/24 dev eth0");
    bed.lan.ip("route add default via 192.168.77.1");
    let home = bed.folder.0.join("www-lan");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("page"), PAGE).unwrap();
    let _server = bed.lan.spawn("busybox", &["httpd", "-f", "-p", "22", "-h", home.to_str().unwrap()]);
    let url = format!("http://{WAN}:8022/page");
    let retry = ["--retry", "20", "--retry-delay", "1", "--retry-connrefused", "--max-time", "60"];
    let page = bed.isp.output("curl", &[&["--silent", "--show-error", "--fail"][..], &retry, &[&url]].concat());
    assert_eq!(page, PAGE);
    router.press("\rpoweroff\r");
    router.wait_off();
    assert_eq!(disk.faults(), None);
}
