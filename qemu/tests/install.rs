//! A weir that was started from a stick puts itself onto a disk of the machine, and is the same router there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use layout::{BOOT, LEAST_SECTORS, SECTOR, Slot};
use qemu::bed::Bed;
use qemu::browser::Browser;
use qemu::disk::Disk;
use qemu::namespace::Namespace;
use qemu::router::Router;
use qemu::step;
use serde_json::Value;
use std::fs::File;
use std::path::Path;
use weir::machine::{Bus, Firmware};

const PASSWORD: &str = "correct horse battery";

const INTERFACES: &str = r#"{"interfaces":[{"hardware_addr":"52:54:00:77:00:01","name":"uplink0"},
    {"hardware_addr":"52:54:00:77:00:02","name":"lan0","addr":"10.7.7.1/24"}]}"#;

/// A disk of this many sectors with nothing on it but these bytes.
fn blank(folder: &Path, name: &str, sectors: u64, marks: &[(u64, &[u8])]) -> Disk {
    let path = folder.join(name);
    File::create(&path).unwrap().set_len(sectors * SECTOR).unwrap();
    let disk = Disk::at(&path);
    marks.iter().for_each(|(place, bytes)| disk.overwrite(*place, bytes));
    disk
}

/// The name that the machine has given to the disk of this size, from the console's list.
fn name_of(list: &str, size: &str) -> String {
    let line = list.lines().find(|line| line.contains(&format!(" {size}): "))).unwrap_or_else(|| panic!("{list}"));
    line.split_whitespace().next().unwrap().to_owned()
}

/// Asks the router's page; the answer, whatever its status.
fn ask(lan: &Namespace, words: &[&str], path: &str) -> Value {
    let user = format!("gokrazy:{PASSWORD}");
    let fixed = ["--silent", "--show-error", "--max-time", "60", "-u", &user];
    let text = lan.output("curl", &[&fixed[..], words, &[&format!("http://10.7.7.1/api/{path}")]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

/// Starts the machine from this disk alone, on AHCI.
fn alone(bed: &Bed, disk: &Disk, firmware: Firmware) -> Router {
    let mut router = Router::boot_with(bed, disk, |machine| machine.firmware(firmware).bus(Bus::Ahci));
    router.wait_for("perm (ext4) on /dev/sda4");
    router.wait_ready();
    router
}

#[test]
fn from_the_stick_to_the_disks_of_the_machine() {
    let bed = Bed::new();
    let stick = Disk::copy(&bed.folder.0);
    stick.set_environment(&[("words", "no_timer_check")]);
    stick.write("interfaces.json", INTERFACES.as_bytes());
    let empty = blank(&bed.folder.0, "empty", 8 << 20, &[]);
    let small = blank(&bed.folder.0, "small", LEAST_SECTORS / 2, &[]);
    let table = [&[0, 0, 0, 0, 7][..], &[0; 3], &2048u32.to_le_bytes(), &4096u32.to_le_bytes()].concat();
    let ntfs: &[(u64, &[u8])] = &[(446, &table), (510, b"\x55\xaa"), (2048 * SECTOR, b"\xeb\x52\x90NTFS    ")];
    let windows = blank(&bed.folder.0, "windows", 6 << 20, ntfs);
    let before = windows.bytes(0, 4 << 20);
    let plugged = |disk: &Disk| weir::machine::Disk::raw(&disk.path);

    step("a router on a stick, beside three disks");
    let mut router = Router::boot_with(&bed, &stick, |machine| {
        let machine = machine.firmware(Firmware::Bios).bus(Bus::Usb);
        [&empty, &small, &windows].into_iter().fold(machine, |machine, disk| machine.another_disk(plugged(disk)))
    });
    router.wait_ready();
    let (laptop, lease) = bed.lease("laptop");
    assert!(lease.contains("10.7.7."), "{lease}");
    let list = router.command("install");
    let [empty_name, small_name, windows_name, stick_name] =
        ["4.2 GB", "0.6 GB", "3.2 GB", "1.3 GB"].map(|size| name_of(&list, size));
    assert!(list.contains(": empty (it is too small: weir wants 1224 MB)"), "{list}");
    assert!(list.contains(": weir (weir runs from it)") && list.contains(": NTFS (Windows)"), "{list}");

    step("what is not taken, and what is not taken by a mere yes");
    assert!(router.command(&format!("install {stick_name}")).contains("nothing has changed: "));
    assert!(router.command(&format!("install {small_name}")).contains("it is too small"));
    router.press(&format!("install {windows_name}\r"));
    let asked = router.wait_for(&format!("type {windows_name} to do it: "));
    assert!(asked.contains("on it is NTFS (Windows): ALL OF IT WILL BE LOST"), "{asked}");
    router.press("yes\r");
    router.wait_for("nothing has changed");
    assert!(windows.bytes(0, 4 << 20) == before, "somebody's Windows was touched");

    step("onto the empty disk");
    router.press(&format!("install {empty_name}\r"));
    router.wait_for("it is empty.\n");
    router.wait_for("type yes to do it: ");
    router.press("yes\r");
    let said = router.wait_for(&format!("weir is on {empty_name}, every byte checked, with /perm as it is"));
    let (writing, checking) = (format!("writing {empty_name}: 100 %"), format!("checking {empty_name}: 100 %"));
    assert!(said.contains(&writing) && said.contains(&checking), "{said}");

    step("over somebody's Windows by the page, from who knows what it is");
    router.press("\rpassword\r");
    router.wait_for("it is not shown): ");
    router.press(&format!("{PASSWORD}\r"));
    router.wait_for("again: ");
    router.press(&format!("{PASSWORD}\r"));
    router.wait_for("done");
    let disks = ask(&bed.lan, &[], "disks");
    let found = disks["disks"].as_array().unwrap().iter().find(|disk| disk["name"] == *windows_name).unwrap().clone();
    assert_eq!((&found["over"], &found["refused"]), (&"NTFS (Windows)".into(), &Value::Null), "{disks}");
    let token = ask(&bed.lan, &[], "session")["token"].as_str().unwrap().to_owned();
    let word = format!("X-Weir-Token: {token}");
    // PID 1 has begun it; that it does not take the disk is the installation's own word.
    let body = serde_json::json!({"disk": windows_name, "over": ""}).to_string();
    assert_eq!(ask(&bed.lan, &["-H", &word, "-d", &body], "install")["ok"], true);
    router.wait_for(&format!("not installed on {windows_name}: "));
    router.wait_for("holds NTFS (Windows): say so to lose it");
    assert!(windows.bytes(0, 4 << 20) == before, "somebody's Windows was touched");
    let browser = Browser::open(&bed.lan, &bed.folder.0);
    browser.go("http://10.7.7.1/");
    browser.fill("#password", PASSWORD);
    browser.press("Log in");
    browser.wait("!!document.querySelector('#hero')");
    browser.run("location.hash = '#system'");
    browser.click("#install");
    let offered = browser.wait("[...document.querySelectorAll('[name=disk] option')].map(one => one.innerText)");
    assert!(!offered.to_string().contains("0.6 GB"), "it is too small: {offered}");
    browser.fill("[name=disk]", &windows_name);
    browser.press("Write it");
    browser.wait_for(&format!("On it is NTFS (Windows). Type {windows_name} to lose it."));
    browser.fill("[name=lose]", &windows_name);
    browser.press("Write it");
    let done = format!("weir is on {windows_name}, every byte checked");
    browser.wait(&format!("(document.querySelector('.log') || {{innerText: ''}}).innerText.includes('{done}')"));
    router.wait_for(&format!("installed on {windows_name}\n"));
    drop(browser);

    step("what is acknowledged after that is there as well");
    drop(laptop);
    let (_phone, _) = bed.lease("phone");
    router.command_until("leases", |text| text.contains("phone"));
    router.press("\rpoweroff\r");
    let ending = router.wait_for(&format!("/perm on {windows_name} is as it was left"));
    assert!(ending.contains(&format!("/perm on {empty_name} is as it was left")), "{ending}");
    router.wait_off();

    for (disk, firmware) in [(&empty, Firmware::Bios), (&windows, Firmware::Uefi)] {
        step(&format!("each disk alone is the same router: {firmware:?}"));
        assert_eq!(disk.faults(), None);
        assert_eq!(disk.environment().unwrap().get("words"), Some("no_timer_check"));
        let slots = Slot::ALL.map(|slot| disk.bytes(slot.root().offset(), 1 << 20));
        assert!(slots[0] == slots[1] && slots[0] == stick.bytes(Slot::A.root().offset(), 1 << 20));
        assert!(disk.bytes(BOOT.offset(), 1 << 20) == stick.bytes(BOOT.offset(), 1 << 20), "FAT's own sectors");
        assert_eq!(disk.read("interfaces.json"), stick.read("interfaces.json"));
        let mut router = alone(&bed, disk, firmware);
        router.command_until("addresses", |text| text.contains("10.7.7.1/24"));
        assert!(router.command("leases").contains("phone"));
        router.command_until("status", |text| text.contains("/perm  ext4"));
        assert!(!router.console().contains("perm has grown"), "it had its full size from the beginning");
        // configd may write where a person's files lie.
        assert!(router.command("lan 10.8.8.1/24").contains("lan0 has 10.8.8.1/24"));
        router.cut();
    }

    step("stick and disk together: what was started is what runs");
    let mut router = Router::boot_with(&bed, &stick, |machine| {
        machine.firmware(Firmware::Bios).bus(Bus::Usb).another_disk(plugged(&empty))
    });
    router.wait_ready();
    let list = router.command("install");
    assert!(list.contains("sda (QEMU HARDDISK, 4.2 GB): weir\n"), "{list}");
    assert!(list.contains("1.3 GB): weir (weir runs from it)"), "{list}");
}
