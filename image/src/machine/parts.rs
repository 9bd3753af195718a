//! What a machine is put together from.
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

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
    /// Q35 without its AHCI controller: disk and NICs are virtio, nothing else is probed.
    Virtio,
    /// Q35 with an AHCI controller, the disk on the first of its six ports: like a real board.
    Q35,
    /// i440FX. Its ACPI tables compute the interrupt routing in a loop that costs the kernel 68 ms for every PCI device,
    /// as no real board does: not for measuring.
    Pc,
}

impl FromStr for Board {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "virtio" => Ok(Self::Virtio),
            "q35" => Ok(Self::Q35),
            "pc" => Ok(Self::Pc),
            _ => Err("the machine is virtio, q35 or pc".into()),
        }
    }
}

/// Where the disk is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// virtio-blk.
    Virtio,
    /// The first port of the board's AHCI controller, which [`Board::Virtio`] then has, too.
    Ahci,
    /// NVMe.
    Nvme,
    /// A stick on an xHCI controller.
    Usb,
}

impl FromStr for Bus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "virtio" => Ok(Self::Virtio),
            "ahci" => Ok(Self::Ahci),
            "nvme" => Ok(Self::Nvme),
            "usb" => Ok(Self::Usb),
            _ => Err("the disk's bus is virtio, ahci, nvme or usb".into()),
        }
    }
}

/// What starts the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// QEMU itself loads kernel and initramfs: the fastest.
    Kernel,
    /// SeaBIOS starts what is on the disk.
    Bios,
    /// OVMF, UEFI's firmware for QEMU, does.
    Uefi,
}

impl FromStr for Firmware {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::Kernel),
            "bios" => Ok(Self::Bios),
            "uefi" => Ok(Self::Uefi),
            _ => Err("the firmware is bios, uefi or none".into()),
        }
    }
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
    /// A pair of sockets (Unix, datagrams): each datagram is a frame. The card computes every checksum itself.
    Datagrams {
        /// Where QEMU receives.
        local: PathBuf,
        /// Where it sends to.
        remote: PathBuf,
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
