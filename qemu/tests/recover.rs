//! A machine that starts from the network is given weir by `weir recover`, and then starts from its disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use layout::gpt::Table;
use layout::{PERM, SECTOR};
use qemu::bed::Bed;
use qemu::child::Child;
use qemu::disk::Disk;
use qemu::router::Router;
use qemu::step;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use weir::machine::{Firmware, LAN_MAC, Mac, Machine, Nic};

/// What an emulator on a busy host needs.
const WORDS: &str = "no_timer_check";

/// `weir recover` on the LAN's host, where there is a client of somebody else's DHCP server as well.
fn serve(bed: &Bed, words: &[&str]) -> Child {
    let tool = qemu::images().join("bin/weir");
    let images = qemu::images();
    let fixed = ["recover", "--interface", "eth0", "--image", images.to_str().unwrap(), "--append", WORDS];
    let mut child = bed.lan.spawn(tool, &[&fixed[..], words].concat());
    child.wait_for("start the machine from the network");
    child
}

/// Starts a machine by its NIC; it ends where it would start anew.
fn netboot(bed: &Bed, disk: &Path, firmware: Firmware) -> Router {
    netboot_with(bed, disk, firmware, Nic::Tap { name: "lan".into(), mac: LAN_MAC }, true)
}

/// The same by another NIC, or without a ROM.
fn netboot_with(bed: &Bed, disk: &Path, firmware: Firmware, nic: Nic, rom: bool) -> Router {
    let disk = Disk::at(disk);
    Router::boot_with(bed, &disk, |machine| {
        let other = Machine::of_image(&qemu::images()).disk(weir::machine::Disk::raw(&disk.path));
        drop(machine);
        other.nic(nic).rom(rom).serial(weir::machine::Serial::Stdio).firmware(firmware).netboot(true).no_reboot(true)
    })
}

fn from_disk(bed: &Bed, disk: &Path, firmware: Firmware) -> Router {
    let disk = Disk::at(disk);
    disk.set_environment(&[("words", WORDS)]);
    Router::boot_with(bed, &disk, |machine| machine.firmware(firmware))
}

fn blank(bed: &Bed, name: &str, sectors: u64) -> PathBuf {
    let path = bed.folder.0.join(name);
    File::create(&path).unwrap().set_len(sectors * SECTOR).unwrap();
    path
}

fn bed() -> Bed {
    let bed = Bed::new();
    bed.lan.ip("addr add 192.168.77.1/24 dev eth0");
    bed
}

#[test]
fn an_empty_disk_gets_weir_by_bios_and_by_uefi() {
    let bed = bed();
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        step(&format!("{firmware:?}"));
        let path = blank(&bed, &format!("{firmware:?}"), 4 << 21);
        let mut host = serve(&bed, &[]);
        let mut machine = netboot(&bed, &path, firmware);
        host.wait_for("52:54:00:77:00:02 has 192.168.77.201 and loads boot.ipxe");
        host.wait_for("loading, 100 %");
        let said = machine.wait_for("weir: installed: weir is on vda, every byte checked; /perm is new");
        assert!(
            said.contains("writing vda (4.2 GB); /perm is made anew") && said.contains("checking vda: 100 %"),
            "{said}"
        );
        host.wait_for("DONE: weir is on vda");
        machine.wait_off();
        assert!(host.wait().success());
        let mut router = from_disk(&bed, &path, firmware);
        router.wait_for("root a (squashfs)");
        router.wait_for("perm (ext4)");
        router.wait_ready();
    }
}

#[test]
fn firmware_without_ipxe_loads_one_first() {
    let bed = bed();
    let path = blank(&bed, "own", 4 << 21);
    let mut host = serve(&bed, &[]);
    let nic = Nic::Tap { name: "lan".into(), mac: LAN_MAC };
    let mut machine = netboot_with(&bed, &path, Firmware::Uefi, nic, false);
    host.wait_for("52:54:00:77:00:02 has 192.168.77.201 and loads snponly.efi");
    host.wait_for("52:54:00:77:00:02 has 192.168.77.201 and loads boot.ipxe");
    machine.wait_for("weir: installed: weir is on vda, every byte checked; /perm is new");
    machine.wait_off();
    assert!(host.wait().success());
}

#[test]
fn two_machines_at_once_are_both_installed() {
    let bed = bed();
    for command in ["tuntap add dev lan2 mode tap", "link set lan2 master br-lan up"] {
        bed.machine.ip(command);
    }
    let paths = ["one", "two"].map(|name| blank(&bed, name, 4 << 21));
    let nics = [("lan", LAN_MAC), ("lan2", Mac([0x52, 0x54, 0, 0x77, 0, 3]))];
    let mut host = serve(&bed, &[]);
    let mut machines: Vec<Router> = paths
        .iter()
        .zip(nics)
        .map(|(path, (tap, mac))| {
            let machine = netboot_with(&bed, path, Firmware::Bios, Nic::Tap { name: tap.into(), mac }, true);
            // Whichever is first is not done before the other one has begun.
            host.wait_for(&format!("{mac} has 192.168.77.20"));
            machine
        })
        .collect();
    for machine in &mut machines {
        machine.wait_for("weir: installed: weir is on vda, every byte checked; /perm is new");
        machine.wait_off();
    }
    assert!(host.wait().success(), "it ends with the last of them");
    let roots = paths.map(|path| Disk::at(&path).bytes(layout::ROOT_A.offset(), 1 << 20));
    assert!(roots[0] == roots[1] && roots[0].starts_with(b"hsqs"));
}

#[test]
fn what_was_in_perm_stays_and_somebody_elses_disk_is_left_alone() {
    let bed = bed();
    step("a disk whose /perm is to stay, and whose system is gone");
    let kept = Disk::copy(&bed.folder.0);
    let interfaces = r#"{"interfaces":[{"name":"lan0","addr":"192.168.77.9/24"}]}"#;
    kept.write("interfaces.json", interfaces.as_bytes());
    for partition in [layout::BOOT, layout::ROOT_A, layout::ROOT_B] {
        kept.overwrite(partition.offset(), &[0; 4096]);
    }
    let mut host = serve(&bed, &[]);
    let mut machine = netboot(&bed, &kept.path, Firmware::Bios);
    machine.wait_for("weir: installed: weir is on vda, every byte checked; /perm was kept");
    machine.wait_off();
    assert!(host.wait().success());
    let mut router = from_disk(&bed, &kept.path, Firmware::Bios);
    router.wait_ready();
    assert!(!router.console().contains("NO PERM"));
    assert_eq!(kept.read("interfaces.json").as_deref(), Some(interfaces));
    router.cut();

    step("a disk of another system");
    let path = blank(&bed, "windows", 4 << 21);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    file.write_all_at(b"\xeb\x58\x90MSDOS5.0", 0).unwrap();
    let mut host = serve(&bed, &[]);
    let mut machine = netboot(&bed, &path, Firmware::Bios);
    machine
        .wait_for("weir: NOT INSTALLED: something of another system is on every disk: vda (4.2 GB); say weir recover");
    host.wait_for("not installed");
    assert!(!host.wait().success());
    machine.cut();
    let mut beginning = [0; 4096];
    file.read_exact_at(&mut beginning, 0).unwrap();
    assert!(beginning.starts_with(b"\xeb\x58\x90MSDOS5.0") && beginning[11..].iter().all(|byte| *byte == 0));

    step("the same, asked for, with a backup for /perm; the cable is cut while it writes");
    let backup = bed.folder.file("backup.tar.gz");
    std::fs::write(bed.folder.0.join("hostname"), "from-backup\n").unwrap();
    bed.lan.output("tar", &["-C", bed.folder.0.to_str().unwrap(), "-czf", &backup, "hostname"]);
    let mut host = serve(&bed, &["--disk", "vda", "--overwrite", "--backup", &backup]);
    let mut machine = netboot(&bed, &path, Firmware::Bios);
    machine.wait_for("writing vda (4.2 GB); /perm is made anew");
    bed.machine.ip("link set lan down");
    machine.wait_for("weir: installed: weir is on vda, every byte checked; /perm is new");
    machine.wait_off();
    host.kill();
    bed.machine.ip("link set lan up");
    let mut sectors = vec![0; 34 * 512];
    file.read_exact_at(&mut sectors, 512).unwrap();
    assert_eq!(Table::read_primary(&sectors).unwrap().partition(4).unwrap().0, PERM.first);
    let mut router = from_disk(&bed, &path, Firmware::Bios);
    router.wait_ready();
    assert!(!router.console().contains("NO PERM"));
    assert_eq!(Disk::at(&path).read("hostname").as_deref(), Some("from-backup\n"));
}
