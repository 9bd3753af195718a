//! A full line both ways, with and without shaping: what a small packet waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, SERVER, WAN};
use qemu::bottleneck::Bottleneck;
use qemu::child::Child;
use qemu::disk::Disk;
use qemu::router::Router;
use qemu::step;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// The line, in bits per second, and its queue: three tenths of a second.
const LINE: u64 = 22_000_000;
const ROOM: usize = 825_000;
const SHAPED: &str = "20 Mbit/s";
/// Probes of one measurement, and the pause between them.
const PROBES: usize = 150;
const PAUSE: Duration = Duration::from_millis(20);

/// Median of the time that a datagram takes there and back; one that is lost counts as the longest.
fn median(bed: &Bed) -> Duration {
    let client = bed.lan.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    client.connect((SERVER, 7)).unwrap();
    client.set_read_timeout(Some(PAUSE)).unwrap();
    let begin = Instant::now();
    let mut times = vec![Duration::MAX; PROBES];
    let mut buffer = [0; 8];
    // Answers may be longer under way than the pause: each carries its probe's number and time.
    for at in 0..PROBES as u32 + 50 {
        if (at as usize) < PROBES {
            let sent = begin.elapsed().as_micros() as u32;
            client.send(&[at.to_be_bytes(), sent.to_be_bytes()].concat()).unwrap();
        }
        let until = begin.elapsed() + PAUSE;
        while let Some(left) = until.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
            client.set_read_timeout(Some(left)).unwrap();
            if client.recv(&mut buffer).is_ok() {
                let word = |from: usize| u32::from_be_bytes(buffer[from..from + 4].try_into().unwrap());
                let took = begin.elapsed().saturating_sub(Duration::from_micros(word(4).into()));
                times[word(0) as usize] = took;
            }
        }
    }
    times.sort();
    times[PROBES / 2]
}

/// Four streams each way, for longer than anything here takes.
fn load(bed: &Bed) -> Child {
    let words = ["--client", SERVER, "--bidir", "--parallel", "4", "--time", "600", "--forceflush"];
    let mut load = bed.lan.spawn("iperf3", &words);
    // The streams have found the line's limit.
    load.wait_until("the fifth second", |line| line.contains("SUM") && line.contains("4.00-5"));
    load
}

fn loaded(bed: &Bed, line: &Bottleneck) -> (Duration, [u64; 2]) {
    let mut load = load(bed);
    let before = line.passed();
    let (begin, found) = (Instant::now(), median(bed));
    let millis = u64::try_from(begin.elapsed().as_millis()).unwrap();
    let rate = [0, 1].map(|way| (line.passed()[way] - before[way]) * 8 / millis);
    load.kill();
    (found, rate)
}

#[test]
fn a_full_line_does_not_delay_small_packets_when_it_is_shaped() {
    let bed = Bed::new();
    let _isp = bed.serve_isp();
    // The provider's line, in the place of a cable.
    bed.machine.ip("link set c-uplink nomaster");
    bed.machine.ip("link add near type veth peer name far");
    bed.machine.ip("link set near master br-uplink up");
    bed.machine.ip("link set far up");
    // Whole frames with their sums: what the host leaves to its hardware would pass as one large one.
    for (place, port) in [(&bed.machine, "near"), (&bed.isp, "wan0")] {
        place.output("ethtool", &["-K", port, "tx", "off", "tso", "off", "gso", "off"]);
    }
    let line = Bottleneck::between(&bed.machine, ["far", "c-uplink"], LINE, ROOM);
    let echo = bed.isp.run(|| UdpSocket::bind((SERVER, 7))).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 8];
        while let Ok((length, from)) = echo.recv_from(&mut buffer) {
            let _ = echo.send_to(&buffer[..length], from);
        }
    });
    let mut server = bed.isp.spawn("iperf3", &["--server", "--bind", SERVER, "--forceflush"]);
    server.wait_for("listening");
    let disk = Disk::copy(&bed.folder.0);
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    router.command_until("status", |text| text.contains(WAN));
    let (_client, _) = bed.lease("laptop");

    let idle = median(&bed);
    let (bloated, rate) = loaded(&bed, &line);
    step(&format!("idle {idle:?}; loaded {bloated:?} with {rate:?} kbit/s up and down"));
    server.wait_for("listening");

    let text = format!("{{\"up\":\"{SHAPED}\",\"down\":\"{SHAPED}\"}}");
    let said = router.command(&format!("apply\rshaping.json\r{text}\r.\r"));
    assert!(said.contains("kept"), "{said}");
    router.command_until("log netconfigd", |log| log.contains("lan0: downloads shaped to 20 Mbit/s"));
    let (shaped, shaped_rate) = loaded(&bed, &line);
    step(&format!("shaped {shaped:?} with {shaped_rate:?} kbit/s"));
    let metrics = bed.download("http://192.168.42.1:8066/metrics");
    for line in metrics.lines().filter(|line| line.starts_with("weir_shaper")) {
        eprintln!("    {line}");
    }

    let (bloat, added) = (bloated.saturating_sub(idle), shaped.saturating_sub(idle));
    assert!(bloat >= Duration::from_millis(40), "the line is not full: {bloat:?}");
    assert!(added <= Duration::from_millis(10), "shaped, a packet waits {added:?} more than on an idle line");
    for way in [0, 1] {
        assert!(shaped_rate[way] * 2 >= rate[way], "the line is no longer used: {shaped_rate:?} kbit/s");
    }

    step("without the file it is as before");
    let said = router.command("apply\rshaping.json\r{}\r.\r");
    assert!(said.contains("kept"), "{said}");
    router.command_until("log netconfigd", |log| log.contains("lan0: not shaped any more"));
}
