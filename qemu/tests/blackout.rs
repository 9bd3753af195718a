//! How long the LAN is without the internet while an update is tried: the other slot's kernel is started by kexec, and
//! packets go through the machine all the while. Counted in the guest's time, one instruction a nanosecond.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, SERVER};
use qemu::disk::Disk;
use qemu::router::Router;
use qemu::step;
use qemu::updates::ask_the_bed;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use weir::machine::Firmware;

const PORT: u16 = 9_999;
/// What the design allows.
const BAR_US: u64 = 1_500_000;

/// When packets to [`PORT`] went out of the uplink, in microseconds of the guest.
fn sent(pcap: &[u8]) -> Vec<u64> {
    let (mut at, mut sent) = (24, Vec::new());
    let number = |at: usize| Some(u32::from_le_bytes(pcap.get(at..at + 4)?.try_into().ok()?));
    while let (Some(seconds), Some(micros), Some(length)) = (number(at), number(at + 4), number(at + 8)) {
        let frame = pcap.get(at + 16..at + 16 + length as usize).unwrap_or_default();
        // Ethernet, IPv4 without options, UDP, the destination's port. QEMU before 8.0 leaves virtio's header before it.
        let ours = |frame: &[u8]| {
            frame.get(12..15) == Some(&[8, 0, 0x45])
                && frame.get(23) == Some(&17)
                && frame.get(36..38) == Some(&PORT.to_be_bytes())
        };
        if [0, 10, 12].iter().any(|header| frame.get(*header..).is_some_and(ours)) {
            sent.push(u64::from(seconds) * 1_000_000 + u64::from(micros));
        }
        at += 16 + length as usize;
    }
    sent
}

#[test]
fn a_trial_interrupts_for_no_longer_than_the_design_allows() {
    let bed = Bed::new();
    let (_isp, _page) = (bed.serve_isp(), bed.serve_page());
    bed.lan.ip("addr add 192.168.42.50/24 dev eth0");
    bed.lan.ip("route add default via 192.168.42.1");
    let disk = Disk::copy(&bed.folder.0);
    disk.set_environment(&[("words", "no_timer_check")]);
    ask_the_bed(&disk);
    let record = bed.folder.0.join("uplink.pcap");
    let mut router =
        Router::boot_with(&bed, &disk, |machine| machine.firmware(Firmware::Bios).icount(true).record(&record));
    router.wait_for("root a (squashfs)");
    router.wait_ready();

    step("packets go through, and back");
    let server = bed.isp.run(|| UdpSocket::bind((SERVER, PORT))).unwrap();
    let client = bed.lan.run(|| UdpSocket::bind("192.168.42.50:0")).unwrap();
    client.connect((SERVER, PORT)).unwrap();
    // This is the pace: the next one goes when its answer is there, or after this.
    client.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let (over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut packet = [0; 64];
            while !over.load(Ordering::Relaxed) {
                if let Ok((length, peer)) = server.recv_from(&mut packet) {
                    let _ = server.send_to(&packet[..length], peer);
                }
            }
        });
        scope.spawn(|| {
            let mut packet = [0; 64];
            while !over.load(Ordering::Relaxed) {
                let _ = client.send(b"blackout");
                if client.recv(&mut packet).is_ok() {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        // Its end is the threads' end, whatever fails here.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _over = Over(&over);
        let flows = |router: &mut Router, wanted: u64| {
            let before = answered.load(Ordering::Relaxed);
            router.command_until("status", |_| answered.load(Ordering::Relaxed) > before + wanted);
        };
        flows(&mut router, 20);

        step("the other slot is tried, is good, and stays");
        router.press("\rtrial\r");
        router.wait_for("slot b is on trial");
        router.wait_for("kexec: slot b is loaded\n");
        router.wait_for("root b (squashfs)");
        let ready = router.wait_ready();
        println!("the second kernel: {ready}");
        router.wait_for("slot b is good and stays");
        flows(&mut router, 20);
    });
    assert!(!router.console().contains("no kexec"), "the boot loader had to do it");
    let environment = disk.environment().unwrap();
    assert_eq!(
        (environment.get("slot"), environment.get("tries"), environment.get("trial")),
        (Some("b"), Some("3"), None)
    );

    let sent = sent(&std::fs::read(&record).unwrap());
    let blackout = sent.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    println!("blackout: {}.{:03} s of the guest's time", blackout / 1_000_000, blackout / 1_000 % 1_000);
    assert!(blackout > 100_000, "nothing was interrupted: was that a trial?");
    assert!(blackout <= BAR_US, "{blackout} us");
}
