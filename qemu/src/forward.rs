//! A router between two cables whose ends we hold, and what each packet costs it: executed instructions, counted at the
//! emulator, so that neither an idle machine nor a busy host counts.
use crate::Folder;
use crate::frames::{Mac, is_load, neighbour, tcp_bytes};
use crate::initramfs::Initramfs;
use crate::namespace::Namespace;
use crate::plugin::Functions;
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use weir::machine::{Disk, Machine, Nic, Plugin, Serial};

/// The card at our end of each cable.
pub const OURS: [Mac; 3] = [[2, 0, 0, 0, 1, 0], [2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]];
/// The router's cards: uplink, LAN, and a second port of the LAN.
pub const ROUTERS: [weir::machine::Mac; 3] =
    [weir::machine::UPLINK_MAC, weir::machine::LAN_MAC, weir::machine::Mac([0x52, 0x54, 0, 0x77, 0, 3])];
/// Frames sent one after the other: how many come at once decides what each costs.
pub const BURST: usize = 64;
/// Frames on their way at most, so that none is lost.
const UNDER_WAY: u64 = 512;
/// In so long an idle router executes fewer instructions than this: its clock and little else.
const IDLE: (Duration, u64) = (Duration::from_millis(300), 1_000_000);
/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(120);

/// Our end of a cable.
pub struct Cable {
    socket: UnixDatagram,
    machine: PathBuf,
    /// Frames that have come, and bytes of TCP in them.
    seen: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

/// A running router and our ends of its cables.
pub struct Rig {
    qemu: Child,
    _network: Namespace,
    folder: Folder,
    said: Arc<(Mutex<String>, Condvar)>,
    /// In the order of [`ROUTERS`].
    pub cables: Vec<Cable>,
}

impl Rig {
    /// Boots an image with these files in `/perm` and waits until it is ready.
    pub fn boot(images: &Path, plugin: &Path, files: &[(&str, String)], append: &str) -> Rig {
        let folder = Folder::new();
        let disk = crate::disk::Disk::copy(&folder.0);
        for (name, text) in files {
            disk.write(name, text.as_bytes());
        }
        let machine = Machine::of_image(images).disk(Disk::throw_away(&disk.path)).append(append);
        Rig::start(machine, folder, plugin)
    }

    /// Boots the image's kernel with nothing in it but the programs and the commands of a shell, which end by saying what
    /// weir says when it is ready.
    pub fn boot_plain(images: &Path, plugin: &Path, commands: &str) -> Rig {
        let folder = Folder::new();
        let initrd = folder.0.join("plain.img");
        std::fs::write(&initrd, plain(commands)).unwrap();
        // The kernel has no interpreter of scripts: the shell is started as a program.
        let append = "nokaslr rdinit=/bin/busybox -- sh /start";
        Rig::start(Machine::new(images.join("vmlinuz"), initrd).append(append), folder, plugin)
    }

    fn start(machine: Machine, folder: Folder, plugin: &Path) -> Rig {
        let network = Namespace::new();
        network.run(|| std::fs::write("/proc/sys/net/unix/max_dgram_qlen", "8192")).unwrap();
        let at = |name: String| folder.0.join(name);
        let counter = Plugin {
            path: plugin.to_owned(),
            arguments: ["ask", "out", "where"].map(|name| (name.into(), folder.file(name))).to_vec(),
        };
        let mut machine = machine.serial(Serial::Stdio).no_reboot(true).icount(true).plugin(counter);
        let mut cables = Vec::new();
        for (number, mac) in ROUTERS.into_iter().enumerate() {
            let (inside, outside) = (at(format!("n{number}")), at(format!("o{number}")));
            let path = outside.clone();
            let socket = network.run(move || UnixDatagram::bind(path)).unwrap();
            machine = machine.nic(Nic::Datagrams { local: inside.clone(), remote: outside, mac });
            cables.push(Cable { socket, machine: inside, seen: Arc::default(), bytes: Arc::default() });
        }
        let mut command = machine.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut qemu = network.run(move || command.spawn()).expect("QEMU starts");
        let said: Arc<(Mutex<String>, Condvar)> = Arc::default();
        let mut screen = qemu.stdout.take().unwrap();
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                heard.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
                heard.1.notify_all();
            }
        });
        // Nobody is at the third: two ends that both answered for every neighbour would confuse a bridge.
        for (cable, mac) in cables.iter().zip(OURS).take(2) {
            cable.attend(mac);
        }
        let rig = Rig { qemu, _network: network, folder, said, cables };
        rig.wait_for("weir: ready in ");
        rig
    }

    /// Waits until the console has said something.
    pub fn wait_for(&self, text: &str) {
        let end = Instant::now() + LIMIT;
        let mut said = self.said.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !said.contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the console never said {text:?}:\n{said}");
            said = self.said.1.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the router has nothing more to do of its own accord.
    pub fn wait_for_idle(&self) {
        let end = Instant::now() + LIMIT;
        let mut before = self.executed();
        loop {
            std::thread::sleep(IDLE.0);
            let now = self.executed();
            if now - before < IDLE.1 {
                return;
            }
            assert!(Instant::now() < end, "the router is never idle");
            before = now;
        }
    }

    /// Instructions executed so far.
    pub fn executed(&self) -> u64 {
        let mut text = String::new();
        UnixStream::connect(self.folder.0.join("ask")).unwrap().read_to_string(&mut text).unwrap();
        text.trim().parse().unwrap()
    }

    /// Instructions executed so far by function of the kernel.
    pub fn by_function(&self, functions: &Functions) -> BTreeMap<String, u64> {
        let mut text = String::new();
        UnixStream::connect(self.folder.0.join("where")).unwrap().read_to_string(&mut text).unwrap();
        functions.sum(&text)
    }

    /// Instructions from power-on to ready; wants `weir.bench` on the kernel's command line.
    pub fn executed_to_ready(&self) -> u64 {
        let text = std::fs::read_to_string(self.folder.0.join("out")).unwrap();
        text.trim().rsplit('=').next().unwrap().parse().unwrap()
    }

    /// Sends frames into one cable; each is waited for at the end of another. Whether all came.
    pub fn send(&self, from: usize, to: usize, frames: &[Vec<u8>]) -> bool {
        let (from, to) = (&self.cables[from], &self.cables[to]);
        let before = to.seen.load(Ordering::Acquire);
        for (number, frame) in frames.iter().enumerate() {
            from.put(frame);
            let sent = number as u64 + 1;
            if number % BURST == BURST - 1 && !to.wait(before + sent.saturating_sub(UNDER_WAY)) {
                return false;
            }
        }
        to.wait(before + frames.len() as u64)
    }

    /// Sends frames that may be lost; whether they came within a second.
    pub fn tries(&self, from: usize, to: usize, frames: &[Vec<u8>]) -> bool {
        let (from, to) = (&self.cables[from], &self.cables[to]);
        let before = to.seen.load(Ordering::Acquire);
        frames.iter().for_each(|frame| from.put(frame));
        to.wait_within(&to.seen, before + frames.len() as u64, Duration::from_secs(1))
    }

    /// Sends segments of one stream, which the router may put together: so many bytes of TCP have to come out.
    pub fn send_merged(&self, from: usize, to: usize, frames: &[Vec<u8>], bytes: u64) -> bool {
        let (from, to) = (&self.cables[from], &self.cables[to]);
        let before = to.bytes.load(Ordering::Acquire);
        frames.iter().for_each(|frame| from.put(frame));
        to.wait_for(&to.bytes, before + bytes)
    }

    /// Sends frames of which nothing comes out, as many at once as may be under way; waits until they have been looked at, by
    /// a frame that does.
    pub fn sink(&self, from: usize, frames: &[Vec<u8>], fence: (usize, &Vec<u8>)) -> bool {
        frames.chunks(UNDER_WAY as usize).all(|burst| {
            burst.iter().for_each(|frame| self.cables[from].put(frame));
            self.send(from, fence.0, std::slice::from_ref(fence.1))
        })
    }
}

/// An initramfs with busybox and commands for its shell in `/start`.
fn plain(commands: &str) -> Vec<u8> {
    let mut initramfs = Initramfs::default();
    initramfs.program("/bin/busybox");
    let start = format!("{commands}\necho weir: ready in 0 s\nexec busybox sleep 1000000\n");
    initramfs.file("/start", 0o644, start.as_bytes());
    initramfs.finish()
}

impl Drop for Rig {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Cable {
    fn put(&self, frame: &[u8]) {
        self.socket.send_to(frame, &self.machine).expect("the machine is at the other end");
    }

    /// Counts what comes and answers who asks for a neighbour, for as long as the machine runs.
    fn attend(&self, mac: Mac) {
        let (socket, machine) = (self.socket.try_clone().unwrap(), self.machine.clone());
        let (seen, bytes) = (Arc::clone(&self.seen), Arc::clone(&self.bytes));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                let frame = &buffer[..length];
                if is_load(frame) && frame[..6] == mac {
                    bytes.fetch_add(tcp_bytes(frame), Ordering::Release);
                    seen.fetch_add(1, Ordering::Release);
                } else if let Some(answer) = neighbour(frame, mac) {
                    let _ = socket.send_to(&answer, &machine);
                }
            }
        });
    }

    /// Waits until so many have come; whether they have.
    fn wait(&self, count: u64) -> bool {
        self.wait_for(&self.seen, count)
    }

    fn wait_for(&self, counter: &AtomicU64, count: u64) -> bool {
        self.wait_within(counter, count, Duration::from_secs(20))
    }

    fn wait_within(&self, counter: &AtomicU64, count: u64, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while counter.load(Ordering::Acquire) < count {
            if Instant::now() > end {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }
}
