//! What was said before a power cut, in the machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::Bed;
use qemu::disk::Disk;
use qemu::router::Router;
use qemu::step;

/// Seconds since power-on, as `status` tells it.
fn uptime(status: &str) -> u32 {
    let words = status.split(", up ").nth(1).unwrap_or_default().split(", ").next().unwrap_or_default();
    let numbers: Vec<u32> = words.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.iter().fold(0, |sum, number| sum * 60 + number)
}

#[test]
fn the_journal_of_the_boot_before_a_power_cut() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    let disk = Disk::copy(&bed.folder.0);

    step("a boot that lives for longer than a batch waits");
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    assert_eq!(router.command("log dhcp4 --last-boot"), "");
    let said = router.command_until("log dhcp4", |text| text.contains("203.0.113."));
    router.command_until("status", |text| uptime(text) >= 40);

    step("the power is cut; the next boot knows what was said");
    router.cut();
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    let kept = router.command("log dhcp4 --last-boot");
    let texts = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.contains("dhcp4: ")).map(str::to_owned).collect()
    };
    assert!(!texts(&said).is_empty() && texts(&kept).starts_with(&texts(&said)), "{said}\n---\n{kept}");
    assert!(router.command("log kernel --last-boot").contains("devtmpfs: initialized"));

    step("an orderly stop keeps the last words as well");
    // logd begins to listen a second after its start.
    router.command_until("status", |text| uptime(text) >= 5);
    router.press("\rpoweroff\r");
    router.wait_off();
    assert!(disk.read("logd/journal").unwrap().matches("# boot ").count() >= 2);
    assert_eq!(disk.faults(), None);
}
