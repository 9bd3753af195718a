//! When things go wrong: the LAN is served all the same, and the console says what is the matter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, NAME, PAGE, SERVER, WAN};
use qemu::disk::Disk;
use qemu::lan::ROUTER;
use qemu::router::Router;
use qemu::step;

fn reaches_the_internet(bed: &Bed, router: &mut Router) {
    router.command_until("status", |text| text.contains(WAN));
    bed.lease("laptop");
    assert_eq!(bed.dig(&[NAME]), SERVER);
    assert_eq!(bed.download(&format!("http://{SERVER}/page")), PAGE);
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
    assert_eq!(bed.dig(&["laptop.lan"]), address);

    step("the provider comes; the router gets its lease by itself and routes");
    let _isp = bed.serve_isp();
    let _http = bed.serve_page();
    reaches_the_internet(&bed, &mut router);
}

#[test]
fn a_full_disk_is_said_aloud_and_nothing_is_half_written() {
    let bed = Bed::new();
    let disk = Disk::copy(&bed.folder.0);
    step("a first boot makes the folders, then /perm is filled to the last block");
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    router.press("\rpoweroff\r");
    router.wait_off();
    disk.perm(|part| {
        let blocks = std::process::Command::new("dumpe2fs").args(["-h", part]).output().unwrap();
        let text = String::from_utf8_lossy(&blocks.stdout).into_owned();
        let free: u64 =
            text.lines().find_map(|line| line.strip_prefix("Free blocks:")).unwrap().trim().parse().unwrap();
        let big = format!("{part}.big");
        // A little is left for the file's own block list.
        std::fs::write(&big, vec![1; ((free - 8) * 4096) as usize]).unwrap();
        let output = std::process::Command::new("debugfs")
            .args(["-w", "-R", &format!("write {big} big"), part])
            .output()
            .unwrap();
        std::fs::remove_file(&big).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    step("leases are given all the same");
    let (_client, _lease) = bed.lease("laptop");
    let log = router.command_until("log dhcp4d", |log| log.contains("No space left"));
    eprintln!("{log}");
    router.press("\rpoweroff\r");
    router.wait_off();
    let leases = disk.read("dhcp4d/leases.json");
    let text = leases.split_once('[').map(|(_, rest)| format!("[{rest}"));
    if let Some(text) = text {
        serde_json::from_str::<serde_json::Value>(&text).expect("leases.json is half-written");
    }
}

#[test]
fn a_panic_of_pid_1_brings_the_machine_back() {
    let bed = Bed::new();
    let disk = Disk::copy(&bed.folder.0);
    step("PID 1 panics after ready; the kernel starts again by itself");
    let mut router = Router::boot_with(&bed, &disk, |machine| machine.append("weir.test=panic-after-ready"));
    router.wait_ready();
    router.wait_ready();
}

#[test]
fn a_hang_of_pid_1_brings_the_machine_back() {
    let bed = Bed::new();
    let disk = Disk::copy(&bed.folder.0);
    step("PID 1 hangs after ready; nobody feeds the watchdog, which starts the machine again");
    let mut router = Router::boot_with(&bed, &disk, |machine| machine.append("weir.test=hang-after-ready"));
    router.wait_ready();
    router.wait_ready();
}
