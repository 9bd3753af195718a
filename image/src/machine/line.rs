//! From a machine to QEMU's arguments.
use std::ffi::OsString;
use std::path::Path;

use super::{Board, Bus, Cache, Disk, Firmware, Format, Mac, Machine, Nic, Serial, Transport};

/// PCI slots of the devices; NICs follow each other from `SLOT_FIRST_NIC` on.
const SLOT_DISK: u8 = 0x3;
const SLOT_WATCHDOG: u8 = 0x6;
const SLOT_RNG: u8 = 0x7;
const SLOT_FIRST_NIC: u8 = 0x10;

/// What Debian's package ovmf brings.
const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

impl Machine {
    /// QEMU's arguments.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut line = Line::default();
        line.option("-nodefaults", "").option("-no-user-config", "").option("-display", "none");
        let kvm = !self.icount && std::env::var_os("WEIR_KVM").is_some_and(|value| value == "1");
        line.option("-accel", if kvm { "kvm" } else { "tcg,thread=single" });
        line.option(
            "-machine",
            match self.board {
                Board::Virtio if self.bus != Some(Bus::Ahci) && self.more.is_empty() => "q35,sata=off",
                Board::Virtio | Board::Q35 => "q35",
                Board::Pc => "pc",
            },
        );
        line.option("-smp", &self.cpus.to_string()).option("-m", &self.memory_mib.to_string());
        line.option("-boot", "menu=off").option("-action", "watchdog=reset");
        if self.icount {
            line.option("-icount", "shift=0,sleep=on");
        }
        if let Some(clock) = &self.clock {
            line.option("-rtc", &format!("base={clock}"));
        }
        if self.no_reboot {
            line.option("-no-reboot", "");
        }
        self.firmware_arguments(&mut line);
        self.disk_arguments(&mut line);
        for (number, nic) in self.nics.iter().enumerate() {
            let rom = match (self.netboot && number == 0, self.rom) {
                (false, _) => "romfile=",
                (true, true) => "bootindex=0",
                (true, false) => "romfile=,bootindex=0",
            };
            nic_arguments(&mut line, number, nic, rom);
        }
        if let Some(path) = &self.record {
            let rest = ",maxlen=128";
            line.joined(
                "-object",
                &[Part::Text("filter-dump,id=record,netdev=net0,file="), Part::Path(path), Part::Text(rest)],
            );
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

    fn firmware_arguments(&self, line: &mut Line) {
        match self.firmware {
            Firmware::Kernel => {
                line.path("-kernel", &self.kernel).path("-initrd", &self.initrd);
                line.option("-append", &self.append.join(" "));
            }
            Firmware::Bios => {}
            Firmware::Uefi => {
                for (unit, path, rest) in [(0, OVMF_CODE, "readonly=on"), (1, OVMF_VARS, "snapshot=on")] {
                    line.option("-drive", &format!("if=pflash,format=raw,unit={unit},file={path},{rest}"));
                }
            }
        }
    }

    fn disk_arguments(&self, line: &mut Line) {
        for (port, disk) in (1..).zip(&self.more) {
            drive(line, disk, &format!("disk{port}"));
            line.option("-device", &format!("ide-hd,drive=disk{port},bus=ide.{port}"));
        }
        let Some(disk) = &self.disk else { return };
        drive(line, disk, "disk");
        let by_board = if self.board == Board::Q35 { Bus::Ahci } else { Bus::Virtio };
        let first = if self.firmware == Firmware::Kernel { "" } else { ",bootindex=1" };
        match self.bus.unwrap_or(by_board) {
            Bus::Virtio => line.device(&format!("virtio-blk-pci,drive=disk{first}"), SLOT_DISK),
            Bus::Ahci => line.option("-device", &format!("ide-hd,drive=disk,bus=ide.0{first}")),
            Bus::Nvme => line.device(&format!("nvme,drive=disk,serial=weir{first}"), SLOT_DISK),
            Bus::Usb => {
                line.device("qemu-xhci,id=xhci", SLOT_DISK);
                line.option("-device", &format!("usb-storage,drive=disk,bus=xhci.0{first}"))
            }
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

fn drive(line: &mut Line, disk: &Disk, name: &str) {
    let rest = format!(
        ",if=none,id={name},format={},cache={},snapshot={}",
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
}

fn nic_arguments(line: &mut Line, number: usize, nic: &Nic, rom: &str) {
    let (netdev, mac) = match nic {
        Nic::User { mac, network, forwards } => {
            // QEMU's network of its own has no way to the IPv6 internet, and says so at every packet.
            let mut text = format!("user,id=net{number},ipv6=off");
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
        Nic::Datagrams { local, remote, mac } => {
            let text = format!("dgram,id=net{number},local.type=unix,remote.type=unix");
            let paths =
                [Part::Text(",local.path="), Part::Path(local), Part::Text(",remote.path="), Part::Path(remote)];
            line.joined("-netdev", &[&[Part::Text(&text)][..], &paths].concat());
            return card(line, number, mac, rom);
        }
    };
    line.option("-netdev", &netdev);
    card(line, number, mac, rom);
}

fn card(line: &mut Line, number: usize, mac: &Mac, rom: &str) {
    let slot = SLOT_FIRST_NIC + u8::try_from(number).unwrap_or(0);
    line.device(&format!("virtio-net-pci,netdev=net{number},mac={mac},{rom}"), slot);
}

/// A piece of one option's value; a path may hold commas, which QEMU wants doubled.
#[derive(Clone, Copy)]
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
    use crate::machine::{Forward, LAN_MAC};

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
    fn more_disks_are_on_ports_of_their_own() {
        let machine = Machine::new("k", "i").disk(Disk::raw("stick")).bus(Bus::Usb).firmware(Firmware::Bios);
        let text = text(&machine.another_disk(Disk::raw("a")).another_disk(Disk::raw("b")));
        assert!(
            text.contains("-machine q35 ") && text.contains("usb-storage,drive=disk,bus=xhci.0,bootindex=1"),
            "{text}"
        );
        assert!(
            text.contains("ide-hd,drive=disk1,bus=ide.1") && text.contains("ide-hd,drive=disk2,bus=ide.2"),
            "{text}"
        );
    }

    #[test]
    fn a_firmware_starts_the_disk_without_our_help() {
        let machine = Machine::new("k", "i").disk(Disk::raw("d")).bus(Bus::Usb).firmware(Firmware::Uefi);
        let text = text(&machine);
        assert!(!text.contains("-kernel") && !text.contains("-append"), "{text}");
        assert!(
            text.contains("if=pflash,format=raw,unit=0")
                && text.contains("usb-storage,drive=disk,bus=xhci.0,bootindex=1")
        );
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
