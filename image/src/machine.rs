//! A virtual machine as a QEMU command line.
//!
//! One description for `weir run`, the boot benchmark and the test bed. Everything that the guest can see is fixed:
//! the slots of its devices (so that the uplink is always the first NIC on the bus), the MAC addresses, one CPU.
//! QEMU's defaults (VGA, floppy, CD, option ROMs of the NICs) are left out: a router has none of them, and the firmware
//! would spend time on each.
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

/// The emulator that runs the machine.
pub const QEMU: &str = "qemu-system-x86_64";

/// PCI slots of the devices; NICs follow each other from `SLOT_FIRST_NIC` on.
const SLOT_DISK: u8 = 0x3;
const SLOT_WATCHDOG: u8 = 0x6;
const SLOT_RNG: u8 = 0x7;
const SLOT_FIRST_NIC: u8 = 0x10;

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

/// The first NIC on the bus: the uplink, if no interfaces.json says otherwise.
pub const UPLINK_MAC: Mac = Mac([0x52, 0x54, 0x00, 0x77, 0x00, 0x01]);
/// The second NIC on the bus: the LAN.
pub const LAN_MAC: Mac = Mac([0x52, 0x54, 0x00, 0x77, 0x00, 0x02]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The main board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// i440FX: quick to probe.
    Pc,
    /// Q35, with an AHCI controller and six ports, like a real board.
    Q35,
}

impl FromStr for Board {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pc" => Ok(Self::Pc),
            "q35" => Ok(Self::Q35),
            _ => Err("the machine is pc or q35".into()),
        }
    }
}

/// Where the disk is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// virtio-blk.
    Virtio,
    /// The first port of the board's AHCI controller (only [`Board::Q35`] has one).
    Ahci,
}

/// How the host treats what the guest writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// A flush of the guest is a flush on the host.
    Writeback,
    /// Flushes are ignored: fast, fine for a disk that is thrown away.
    Unsafe,
}

/// Format of the disk file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As it is.
    Raw,
    /// QEMU's own, e.g. an overlay on a raw image.
    Qcow2,
}

/// The machine's one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The image.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// What a flush means.
    pub cache: Cache,
    /// Throw away what the guest writes.
    pub snapshot: bool,
}

impl Disk {
    /// A raw image that keeps what is written.
    pub fn raw(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), format: Format::Raw, cache: Cache::Writeback, snapshot: false }
    }

    /// A raw image that stays as it is: writes go to a temporary file.
    pub fn throw_away(path: impl Into<PathBuf>) -> Self {
        Self { cache: Cache::Unsafe, snapshot: true, ..Self::raw(path) }
    }
}

/// Transport of a forwarded port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port of the host (on 127.0.0.1) that leads to a port of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// TCP or UDP.
    pub transport: Transport,
    /// Port on the host.
    pub host_port: u16,
    /// Address and port in the guest's network, e.g. `192.168.42.1:53`.
    pub guest: String,
}

/// A network card and what it is joined to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nic {
    /// QEMU's own little network in user mode: needs no rights.
    User {
        /// The card's address.
        mac: Mac,
        /// The network and QEMU's own address in it, if not 10.0.2.0/24 and 10.0.2.2.
        network: Option<(String, String)>,
        /// Ports of the host.
        forwards: Vec<Forward>,
    },
    /// A tap device of the network namespace that QEMU runs in.
    Tap {
        /// Its name.
        name: String,
        /// The card's address.
        mac: Mac,
    },
}

impl Nic {
    /// The uplink in user mode: QEMU's DHCP server and name server answer, as an internet provider would.
    pub fn user_uplink() -> Self {
        Self::User { mac: UPLINK_MAC, network: None, forwards: Vec::new() }
    }

    /// The LAN in user mode: QEMU is a client at 192.168.42.254 that passes on what arrives at ports of the host.
    pub fn user_lan(forwards: Vec<Forward>) -> Self {
        let network = Some(("192.168.42.0/24".into(), "192.168.42.254".into()));
        Self::User { mac: LAN_MAC, network, forwards }
    }
}

/// Where the serial port leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serial {
    /// Standard input and output.
    Stdio,
    /// The same, shared with QEMU's monitor: Ctrl-A X leaves, Ctrl-A C switches.
    StdioWithMonitor,
    /// A Unix socket that QEMU listens on; what is sent while nobody is connected is only in `log`.
    Unix {
        /// The socket.
        path: PathBuf,
        /// A file that gets everything the guest writes.
        log: Option<PathBuf>,
    },
    /// A file, output only.
    File(PathBuf),
}

/// A QEMU plugin with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// The shared object.
    pub path: PathBuf,
    /// `key=value` pairs.
    pub arguments: Vec<(String, String)>,
}

/// A machine, built up word by word; [`Machine::command`] makes the QEMU call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    kernel: PathBuf,
    initrd: PathBuf,
    append: Vec<String>,
    board: Board,
    bus: Option<Bus>,
    memory_mib: u32,
    cpus: u32,
    disk: Option<Disk>,
    nics: Vec<Nic>,
    serial: Serial,
    qmp: Option<PathBuf>,
    watchdog: bool,
    no_reboot: bool,
    icount: bool,
    plugin: Option<Plugin>,
}

impl Machine {
    /// A PC with 256 MB, one CPU, a watchdog, a random number generator, its console on standard output, no disk and no NIC.
    pub fn new(kernel: impl Into<PathBuf>, initrd: impl Into<PathBuf>) -> Self {
        Self {
            kernel: kernel.into(),
            initrd: initrd.into(),
            append: vec!["console=ttyS0".into()],
            board: Board::Pc,
            bus: None,
            memory_mib: 256,
            cpus: 1,
            disk: None,
            nics: Vec::new(),
            serial: Serial::Stdio,
            qmp: None,
            watchdog: true,
            no_reboot: false,
            icount: false,
            plugin: None,
        }
    }

    /// The machine of an image folder: its `vmlinuz` and `initrd.img`.
    pub fn of_image(folder: &Path) -> Self {
        Self::new(folder.join("vmlinuz"), folder.join("initrd.img"))
    }

    /// Adds words to the kernel command line, after `console=ttyS0`.
    #[must_use]
    pub fn append(mut self, words: impl Into<String>) -> Self {
        self.append.push(words.into());
        self
    }

    /// Chooses the main board.
    #[must_use]
    pub fn board(mut self, board: Board) -> Self {
        self.board = board;
        self
    }

    /// Chooses where the disk is plugged in; unsaid, it is AHCI on Q35 and virtio on PC.
    #[must_use]
    pub fn bus(mut self, bus: Bus) -> Self {
        self.bus = Some(bus);
        self
    }

    /// Memory in MiB.
    #[must_use]
    pub fn memory_mib(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// Number of CPUs.
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// Plugs in the disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disk = Some(disk);
        self
    }

    /// Adds a NIC behind those already there: the first is the uplink.
    #[must_use]
    pub fn nic(mut self, nic: Nic) -> Self {
        self.nics.push(nic);
        self
    }

    /// Leads the serial port somewhere.
    #[must_use]
    pub fn serial(mut self, serial: Serial) -> Self {
        self.serial = serial;
        self
    }

    /// Opens QEMU's control socket.
    #[must_use]
    pub fn qmp(mut self, path: impl Into<PathBuf>) -> Self {
        self.qmp = Some(path.into());
        self
    }

    /// With or without the hardware watchdog (with, unless said otherwise).
    #[must_use]
    pub fn watchdog(mut self, watchdog: bool) -> Self {
        self.watchdog = watchdog;
        self
    }

    /// QEMU ends where the machine would reset.
    #[must_use]
    pub fn no_reboot(mut self, no_reboot: bool) -> Self {
        self.no_reboot = no_reboot;
        self
    }

    /// One instruction takes one nanosecond; an idle guest waits in real time.
    #[must_use]
    pub fn icount(mut self, icount: bool) -> Self {
        self.icount = icount;
        self
    }

    /// Loads a plugin.
    #[must_use]
    pub fn plugin(mut self, plugin: Plugin) -> Self {
        self.plugin = Some(plugin);
        self
    }

    /// The call, ready to be spawned.
    pub fn command(&self) -> Command {
        let mut command = Command::new(QEMU);
        command.args(self.arguments());
        command
    }

    /// QEMU's arguments.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut line = Line::default();
        line.option("-nodefaults", "").option("-no-user-config", "").option("-display", "none");
        let kvm = !self.icount && std::env::var_os("WEIR_KVM").is_some_and(|value| value == "1");
        line.option("-accel", if kvm { "kvm" } else { "tcg,thread=single" });
        line.option(
            "-machine",
            match self.board {
                Board::Pc => "pc",
                Board::Q35 => "q35",
            },
        );
        line.option("-smp", &self.cpus.to_string()).option("-m", &self.memory_mib.to_string());
        line.option("-boot", "menu=off").option("-action", "watchdog=reset");
        if self.icount {
            line.option("-icount", "shift=0,sleep=on");
        }
        if self.no_reboot {
            line.option("-no-reboot", "");
        }
        line.path("-kernel", &self.kernel).path("-initrd", &self.initrd);
        line.option("-append", &self.append.join(" "));
        self.disk_arguments(&mut line);
        for (number, nic) in self.nics.iter().enumerate() {
            nic_arguments(&mut line, number, nic);
        }
        line.option("-object", "rng-random,id=rng0,filename=/dev/urandom");
        line.device("virtio-rng-pci,rng=rng0", SLOT_RNG);
        if self.watchdog {
            line.device("i6300esb", SLOT_WATCHDOG);
        }
        self.serial_arguments(&mut line);
        if let Some(path) = &self.qmp {
            line.joined("-qmp", &[Part::Text("unix:"), Part::Path(path), Part::Text(",server=on,wait=off")]);
        }
        if let Some(plugin) = &self.plugin {
            let rest: String = plugin.arguments.iter().map(|(key, value)| format!(",{key}={value}")).collect();
            line.joined("-plugin", &[Part::Text("file="), Part::Path(&plugin.path), Part::Text(&rest)]);
        }
        line.words
    }

    fn disk_arguments(&self, line: &mut Line) {
        let Some(disk) = &self.disk else { return };
        let rest = format!(
            ",if=none,id=disk,format={},cache={},snapshot={}",
            match disk.format {
                Format::Raw => "raw",
                Format::Qcow2 => "qcow2",
            },
            match disk.cache {
                Cache::Writeback => "writeback",
                Cache::Unsafe => "unsafe",
            },
            if disk.snapshot { "on" } else { "off" }
        );
        line.joined("-drive", &[Part::Text("file="), Part::Path(&disk.path), Part::Text(&rest)]);
        let by_board = if self.board == Board::Q35 { Bus::Ahci } else { Bus::Virtio };
        match self.bus.unwrap_or(by_board) {
            Bus::Virtio => line.device("virtio-blk-pci,drive=disk", SLOT_DISK),
            Bus::Ahci => line.option("-device", "ide-hd,drive=disk,bus=ide.0"),
        };
    }

    fn serial_arguments(&self, line: &mut Line) {
        match &self.serial {
            Serial::Stdio => line.option("-serial", "stdio"),
            Serial::StdioWithMonitor => line.option("-serial", "mon:stdio"),
            Serial::File(path) => line.joined("-serial", &[Part::Text("file:"), Part::Path(path)]),
            Serial::Unix { path, log } => {
                let mut parts = vec![Part::Text("socket,id=serial0,server=on,wait=off,path="), Part::Path(path)];
                if let Some(log) = log {
                    parts.extend([Part::Text(",logfile="), Part::Path(log)]);
                }
                line.joined("-chardev", &parts).option("-serial", "chardev:serial0")
            }
        };
    }
}

fn nic_arguments(line: &mut Line, number: usize, nic: &Nic) {
    let (netdev, mac) = match nic {
        Nic::User { mac, network, forwards } => {
            let mut text = format!("user,id=net{number}");
            if let Some((network, host)) = network {
                text += &format!(",net={network},host={host}");
            }
            for forward in forwards {
                let transport = match forward.transport {
                    Transport::Tcp => "tcp",
                    Transport::Udp => "udp",
                };
                text += &format!(",hostfwd={transport}:127.0.0.1:{}-{}", forward.host_port, forward.guest);
            }
            (text, mac)
        }
        Nic::Tap { name, mac } => (format!("tap,id=net{number},ifname={name},script=no,downscript=no"), mac),
    };
    line.option("-netdev", &netdev);
    let slot = SLOT_FIRST_NIC + u8::try_from(number).unwrap_or(0);
    line.device(&format!("virtio-net-pci,netdev=net{number},mac={mac},romfile="), slot);
}

/// A piece of one option's value; a path may hold commas, which QEMU wants doubled.
enum Part<'a> {
    Text(&'a str),
    Path(&'a Path),
}

#[derive(Default)]
struct Line {
    words: Vec<OsString>,
}

impl Line {
    fn option(&mut self, option: &str, value: &str) -> &mut Self {
        self.words.push(option.into());
        if !value.is_empty() {
            self.words.push(value.into());
        }
        self
    }

    fn path(&mut self, option: &str, path: &Path) -> &mut Self {
        self.words.push(option.into());
        self.words.push(path.into());
        self
    }

    fn device(&mut self, device: &str, slot: u8) -> &mut Self {
        self.option("-device", &format!("{device},addr={slot:#x}"))
    }

    fn joined(&mut self, option: &str, parts: &[Part<'_>]) -> &mut Self {
        let mut value = String::new();
        for part in parts {
            match part {
                Part::Text(text) => value += text,
                Part::Path(path) => value += &path.to_string_lossy().replace(',', ",,"),
            }
        }
        self.option(option, &value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(machine: &Machine) -> String {
        machine.arguments().iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_uplink_comes_first_on_the_bus() {
        let machine = Machine::new("k", "i").nic(Nic::user_uplink()).nic(Nic::Tap { name: "lan".into(), mac: LAN_MAC });
        let text = text(&machine);
        assert!(text.contains("netdev=net0,mac=52:54:00:77:00:01,romfile=,addr=0x10"), "{text}");
        assert!(text.contains("-netdev tap,id=net1,ifname=lan"), "{text}");
        assert!(text.contains("netdev=net1,mac=52:54:00:77:00:02,romfile=,addr=0x11"), "{text}");
    }

    #[test]
    fn a_comma_in_a_path_is_doubled() {
        let text = text(&Machine::new("k", "i").disk(Disk::throw_away("a,b.img")));
        assert!(text.contains("file=a,,b.img,if=none,id=disk,format=raw,cache=unsafe,snapshot=on"), "{text}");
        assert!(text.contains("virtio-blk-pci"), "{text}");
    }

    #[test]
    fn q35_has_its_disk_on_ahci_unless_told_otherwise() {
        let machine = Machine::new("k", "i").board(Board::Q35).disk(Disk::raw("d"));
        assert!(text(&machine).contains("ide-hd,drive=disk,bus=ide.0"));
        assert!(text(&machine.bus(Bus::Virtio)).contains("virtio-blk-pci"));
    }

    #[test]
    fn forwards_and_words_are_passed_on() {
        let forward = Forward { transport: Transport::Udp, host_port: 5300, guest: "192.168.42.1:53".into() };
        let machine = Machine::new("k", "i").append("weir.bench").icount(true).nic(Nic::user_lan(vec![forward]));
        let text = text(&machine);
        assert!(text.contains("hostfwd=udp:127.0.0.1:5300-192.168.42.1:53"), "{text}");
        assert!(text.contains("-append console=ttyS0 weir.bench"), "{text}");
        assert!(text.contains("-icount shift=0,sleep=on"), "{text}");
    }
}
