//! A virtual machine as a QEMU command line.
//!
//! One description for `weir run`, the boot benchmark and the test bed. Everything that the guest can see is fixed:
//! the slots of its devices (so that the uplink is always the first NIC on the bus), the MAC addresses, one CPU.
//! QEMU's defaults (VGA, floppy, CD, option ROMs of the NICs) are left out: a router has none of them, and the firmware
//! would spend time on each.
mod line;
mod parts;

use std::path::{Path, PathBuf};
use std::process::Command;

pub use parts::{
    Board, Bus, Cache, Disk, Firmware, Format, Forward, LAN_MAC, Mac, Nic, Plugin, Serial, Transport, UPLINK_MAC,
};

/// The emulator that runs the machine.
pub const QEMU: &str = "qemu-system-x86_64";

/// A machine, built up word by word; [`Machine::command`] makes the QEMU call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    kernel: PathBuf,
    initrd: PathBuf,
    append: Vec<String>,
    firmware: Firmware,
    clock: Option<String>,
    board: Board,
    bus: Option<Bus>,
    memory_mib: u32,
    cpus: u32,
    disk: Option<Disk>,
    more: Vec<Disk>,
    nics: Vec<Nic>,
    serial: Serial,
    qmp: Option<PathBuf>,
    watchdog: bool,
    no_reboot: bool,
    netboot: bool,
    rom: bool,
    icount: bool,
    plugin: Option<Plugin>,
    record: Option<PathBuf>,
}

impl Machine {
    /// A machine with 256 MB, one CPU, a watchdog, a random number generator, its console on standard output, no disk and no NIC.
    pub fn new(kernel: impl Into<PathBuf>, initrd: impl Into<PathBuf>) -> Self {
        Self {
            kernel: kernel.into(),
            initrd: initrd.into(),
            append: vec!["console=ttyS0".into()],
            firmware: Firmware::Kernel,
            clock: None,
            board: Board::Virtio,
            bus: None,
            memory_mib: 256,
            cpus: 1,
            disk: None,
            more: Vec::new(),
            nics: Vec::new(),
            serial: Serial::Stdio,
            qmp: None,
            watchdog: true,
            no_reboot: false,
            netboot: false,
            rom: true,
            icount: false,
            plugin: None,
            record: None,
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

    /// Lets a firmware start what is on the disk: kernel, initramfs and command line of this machine then go unused.
    #[must_use]
    pub fn firmware(mut self, firmware: Firmware) -> Self {
        self.firmware = firmware;
        self
    }

    /// Chooses the main board.
    #[must_use]
    pub fn board(mut self, board: Board) -> Self {
        self.board = board;
        self
    }

    /// Chooses where the disk is plugged in; unsaid, it is AHCI on [`Board::Q35`], else virtio.
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

    /// Plugs in one more disk, at the next of the AHCI controller's ports from the second on; up to five.
    #[must_use]
    pub fn another_disk(mut self, disk: Disk) -> Self {
        self.more.push(disk);
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

    /// The firmware starts the machine from its first NIC, by the ROM that QEMU has for it; the disk comes after it.
    #[must_use]
    pub fn netboot(mut self, netboot: bool) -> Self {
        self.netboot = netboot;
        self
    }

    /// Records what passes the first NIC into a file (pcap), stamped with the guest's clock.
    #[must_use]
    pub fn record(mut self, path: impl Into<PathBuf>) -> Self {
        self.record = Some(path.into());
        self
    }

    /// Whether [`Machine::netboot`] is done by QEMU's ROM, an iPXE (it is, unless said otherwise), or by the firmware's own
    /// PXE, which only UEFI has.
    #[must_use]
    pub fn rom(mut self, rom: bool) -> Self {
        self.rom = rom;
        self
    }

    /// One instruction takes one nanosecond; an idle guest waits in real time.
    #[must_use]
    pub fn icount(mut self, icount: bool) -> Self {
        self.icount = icount;
        self
    }

    /// Sets the clock on the board at start, such as `1999-01-01T00:00:00`; unsaid, it is the host's.
    #[must_use]
    pub fn clock(mut self, clock: impl Into<String>) -> Self {
        self.clock = Some(clock.into());
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
}
