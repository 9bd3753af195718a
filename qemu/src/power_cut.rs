//! The power goes, again and again, while the router gives leases, changes its configuration and takes updates; its disk
//! then has a random part of what was not flushed (`volatile`). Whatever somebody was told is done has to be there at the
//! next boot, and every boot has to serve.
use crate::disk::Disk;
use crate::router::Router;
use crate::updates::{Parts, Updates, now};
use crate::volatile::{Chance, Cut, Volatile};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use weir::machine::{Firmware, LAN_MAC, UPLINK_MAC};

/// Clients that come again and again, each time with another name.
const CLIENTS: usize = 60;
/// How long is waited for a flush, at which most is at risk.
const FLUSH: Duration = Duration::from_secs(2);
/// The longest that the power stays after ready, in milliseconds; longer in a round with an update.
const LONGEST: u64 = 2_500;
const LONGEST_OF_UPDATE: u64 = 20_000;

/// What is told of one thing, and what it may be.
#[derive(Debug, Clone, Copy, Default)]
struct Fact {
    /// The newest that was acknowledged.
    acknowledged: u64,
    /// The newest that was asked for.
    asked: u64,
}

/// What the whole run saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Boots that were looked at.
    pub boots: u32,
    /// Cuts before the router was ready.
    pub early: u32,
    /// Cuts while an update was sent or tried.
    pub in_updates: u32,
    /// Updates that stayed.
    pub updates: u32,
    /// Leases that were acknowledged.
    pub leases: u64,
    /// Configurations that were acknowledged.
    pub configurations: u64,
    /// Sectors that were written and not flushed when the power went, and those of them that were on the disk after it.
    pub at_risk: usize,
    /// See there.
    pub kept: usize,
    /// Superblocks of `/perm` of which one sector was written.
    pub half_superblocks: u32,
}

struct Run {
    updates: Updates,
    update: PathBuf,
    socket: UdpSocket,
    chance: Chance,
    clients: Mutex<[Fact; CLIENTS]>,
    addresses: Fact,
    sum: Sum,
    /// How long the last boot took.
    boot: Duration,
}

/// Cuts the power so often, or for so long; whatever is lost, or does not boot, is a panic.
///
/// # Panics
/// See there.
pub fn run(cuts: u32, limit: Option<Duration>, seed: u64) -> Sum {
    let mut run = Run::new(seed);
    let begun = Instant::now();
    let mut done = 0;
    while done < cuts && limit.is_none_or(|limit| begun.elapsed() < limit) {
        let kind = run.chance.below(10);
        crate::step(&format!("seed {seed}, cut {} of {cuts}: {:?}", done + 1, run.sum));
        match kind {
            0 | 1 => run.cut_early(),
            2..=4 => run.cut_late(true),
            _ => run.cut_late(false),
        }
        done += 1;
    }
    let (mut router, _disk) = run.boot();
    run.verify(&mut router);
    assert_eq!(run.sum.boots + run.sum.early, done + 1);
    run.sum
}

impl Run {
    fn new(seed: u64) -> Run {
        let updates = Updates::new();
        let lan = &updates.bed.lan;
        lan.ip("addr add 192.168.42.254/24 dev eth0");
        lan.ip("route add default dev eth0");
        let socket = lan.run(|| UdpSocket::bind("0.0.0.0:68")).unwrap();
        socket.set_broadcast(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        Run {
            update: updates.update("update", &updates.key, &Parts::new(), now()),
            updates,
            socket,
            chance: Chance(seed),
            clients: Mutex::new([Fact::default(); CLIENTS]),
            addresses: Fact::default(),
            sum: Sum::default(),
            boot: Duration::from_secs(5),
        }
    }

    fn start(&self) -> (Router, Volatile) {
        let volatile = Volatile::serve(&self.updates.disk.path);
        let disk = Disk::at(&volatile.url());
        (Router::boot_with(&self.updates.bed, &disk, |machine| machine.firmware(Firmware::Bios)), volatile)
    }

    fn boot(&mut self) -> (Router, Volatile) {
        let begin = Instant::now();
        let (mut router, volatile) = self.start();
        router.wait_ready();
        self.boot = begin.elapsed();
        self.sum.boots += 1;
        (router, volatile)
    }

    fn cut(&mut self, router: Router, volatile: Volatile) {
        volatile.freeze(FLUSH);
        router.cut();
        let Cut { at_risk, kept } = volatile.settle(&mut self.chance);
        self.sum.at_risk += at_risk;
        self.sum.kept += kept;
    }

    /// Somewhere on the way to ready.
    fn cut_early(&mut self) {
        let (mut router, volatile) = self.start();
        let limit = Duration::from_millis(self.chance.below(self.boot.as_millis() as u64 + 1));
        router.wait_up_to("weir: ready in ", limit);
        self.sum.early += 1;
        self.cut(router, volatile);
    }

    /// At some time after ready, with everything that goes on then.
    fn cut_late(&mut self, update: bool) {
        let (mut router, volatile) = self.boot();
        self.verify(&mut router);
        let longest = if update { LONGEST_OF_UPDATE } else { LONGEST };
        let end = Instant::now() + Duration::from_millis(self.chance.below(longest));
        let sender = update.then(|| self.send());
        let (over, clients) = (AtomicBool::new(false), self.chance.below(u64::MAX));
        let mut addresses = self.addresses;
        let leases = std::thread::scope(|scope| {
            let leases = scope.spawn(|| self.ask_for_leases(&over, Chance(clients)));
            while Instant::now() < end {
                addresses.asked += 1;
                router.press(&format!("\rapply\rinterfaces.json\r{}\r.\r\r", interfaces(addresses.asked)));
                let left = end.saturating_duration_since(Instant::now());
                // The whole answer: what is older would be of the one before.
                if router.wait_up_to("\nkept\n", left).is_some() {
                    addresses.acknowledged = addresses.asked;
                }
            }
            // Nothing is acknowledged from then on.
            volatile.freeze(FLUSH);
            over.store(true, Ordering::Relaxed);
            leases.join().unwrap()
        });
        self.sum.leases += leases;
        self.sum.configurations += addresses.acknowledged.saturating_sub(self.addresses.acknowledged);
        self.addresses = addresses;
        if let Some(mut sender) = sender {
            self.sum.in_updates += 1;
            self.sum.updates += u32::from(router.console().contains("is good and stays"));
            // It may have come to its end.
            let _ = sender.kill();
            let _ = sender.wait();
        }
        self.cut(router, volatile);
    }

    /// `weir update` on the LAN's host, whatever it comes to.
    fn send(&self) -> std::process::Child {
        let mut tool = self.updates.sender(&self.update, &["--again"]);
        tool.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.updates.bed.lan.run(move || tool.spawn()).unwrap()
    }

    /// Clients come in a random order until it is over; how many were acknowledged.
    fn ask_for_leases(&self, over: &AtomicBool, mut chance: Chance) -> u64 {
        let mut count = 0;
        let mut answer = [0; 1_500];
        while !over.load(Ordering::Relaxed) {
            let client = chance.below(CLIENTS as u64) as usize;
            let facts = || self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            let mut fact = facts()[client];
            fact.asked += 1;
            facts()[client] = fact;
            let message = request(client, fact.asked);
            self.socket.send_to(&message, "255.255.255.255:67").unwrap();
            while let Ok(length) = self.socket.recv(&mut answer) {
                if length > 243 && answer[4..8] == message[4..8] && answer[240..243] == [53, 1, 5] {
                    fact.acknowledged = fact.asked;
                    facts()[client] = fact;
                    count += 1;
                    break;
                }
            }
        }
        count
    }

    /// Whatever was acknowledged is there, or what came after it.
    fn verify(&mut self, router: &mut Router) {
        let mut clients = *self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let leases = router.command("leases");
        for (client, fact) in clients.iter_mut().enumerate() {
            let address = format!("192.168.42.{} ", 100 + client);
            let row = leases.lines().find(|line| line.contains(&address));
            let number = row.and_then(|row| row.split_once('-')?.1.split(' ').next()?.parse().ok()).unwrap_or(0);
            assert!(
                (fact.acknowledged..=fact.asked).contains(&number),
                "{address}: {fact:?}, and is {number}:\n{leases}"
            );
            fact.acknowledged = number;
        }
        *self.clients.lock().unwrap_or_else(PoisonError::into_inner) = clients;
        let Fact { acknowledged, asked } = self.addresses;
        let found = |said: &str| (acknowledged..=asked).rev().find(|number| said.contains(&address(*number)));
        let addresses = router.command_until("addresses", |said| found(said).is_some() || acknowledged == 0);
        let number = found(&addresses).unwrap_or(0);
        assert!(number >= acknowledged, "{addresses}");
        self.addresses.acknowledged = number;
        let console = router.console();
        assert!(!console.contains("NO PERM"), "/perm was lost:\n{}", router.command("dmesg"));
        self.sum.half_superblocks += u32::from(console.contains("was half written"));
        assert!(self.updates.disk.environment().is_some(), "the boot loader's count was lost");
    }
}

/// The second address of lan0 says which configuration it is.
fn address(number: u64) -> String {
    format!("10.{}.{}.1/24", number / 250 % 250, number % 250)
}

fn interfaces(number: u64) -> String {
    let extra = address(number);
    format!(
        "{{\"interfaces\":[{{\"name\":\"uplink0\",\"hardware_addr\":\"{UPLINK_MAC}\"}},{{\"name\":\"lan0\",\
         \"hardware_addr\":\"{LAN_MAC}\",\"addr\":\"192.168.42.1/24\",\"extra_addrs\":[\"{extra}\"]}}]}}"
    )
}

/// A client's REQUEST for its own address, with a name that says which of its requests it is (RFC 2131, INIT-REBOOT).
fn request(client: usize, number: u64) -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0, 7, client as u8];
    message.extend((number as u16).to_be_bytes());
    message.extend([0, 0, 0x80, 0]);
    message.resize(28, 0);
    message.extend([2, 7, 0, 0, 0, client as u8]);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, 3, 50, 4, 192, 168, 42, 100 + client as u8]);
    let name = format!("c{client}-{number}");
    message.extend([12, name.len() as u8]);
    message.extend(name.as_bytes());
    message.push(255);
    message
}
