//! `weir run`: the router in front of you, in QEMU, without root.
//!
//! Both NICs are joined to QEMU's user-mode networks. On the uplink QEMU plays the internet provider. On the LAN side
//! QEMU is a client at 192.168.42.254 that passes on what arrives at a few ports of the host. The disk is kept between
//! runs: all but its `/perm` is refreshed.
use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use layout::{DISK_SECTORS, SECTOR};

use crate::copy::{Image, Perm};
use crate::error::{Context, Error, Result};
use crate::machine::{Board, Bus, Disk, Firmware, Forward, LAN_MAC, Machine, Nic, Serial, Transport, UPLINK_MAC};
use crate::perm::Item;
use crate::target::Target;
use crate::{copy, disk, keyboard, perm};

/// What to run and how.
#[derive(Debug, Clone)]
pub struct Order {
    /// The folder that `weir image` filled.
    pub image: PathBuf,
    /// Where the disk is kept between runs.
    pub state: PathBuf,
    /// Port of the host that leads to the router's name server.
    pub dns_port: u16,
    /// Port of the host that leads to the router's web server.
    pub web_port: u16,
    /// Memory of the machine.
    pub memory_mib: u32,
    /// Its main board.
    pub board: Board,
    /// What starts it.
    pub firmware: Firmware,
    /// Where its disk is plugged in, if not where the board has it.
    pub bus: Option<Bus>,
    /// More words for the kernel command line.
    pub append: Option<String>,
}

/// Runs the machine until it is switched off.
///
/// # Errors
/// When a port is taken, the image is missing, or QEMU cannot be run.
pub fn run(order: &Order) -> Result<ExitStatus> {
    ports_are_free(order)?;
    fs::create_dir_all(&order.state).cannot_file("make", &order.state)?;
    let disk = order.state.join("disk.img");
    let lock = lock(order)?;
    let first = prepare_disk(order, &disk)?;

    let machine = machine(order, &disk);
    welcome(order, &disk, first);
    let status = keyboard::attend(&machine.command(), &order.state);
    let status = status.map_err(|error| error.next("install qemu-system-x86 (make deps does)"))?;
    drop(lock);
    eprintln!("\nweir run: the machine is off; its /perm stays in {}", disk.display());
    Ok(status)
}

fn machine(order: &Order, disk: &Path) -> Machine {
    let forward = |transport, host_port, guest: &str| Forward { transport, host_port, guest: guest.into() };
    let lan = Nic::user_lan(vec![
        forward(Transport::Udp, order.dns_port, "192.168.42.1:53"),
        forward(Transport::Tcp, order.dns_port, "192.168.42.1:53"),
        forward(Transport::Tcp, order.web_port, "192.168.42.1:80"),
    ]);
    let machine = Machine::of_image(&order.image)
        .board(order.board)
        .firmware(order.firmware)
        .memory_mib(order.memory_mib)
        .disk(Disk::raw(disk))
        .nic(Nic::user_uplink())
        .nic(lan)
        .serial(Serial::StdioWithMonitor);
    let machine = match order.bus {
        Some(bus) => machine.bus(bus),
        None => machine,
    };
    match &order.append {
        Some(words) => machine.append(words),
        None => machine,
    }
}

/// Makes the disk at the first run, else puts the newest system on it; says whether it was the first run.
fn prepare_disk(order: &Order, path: &Path) -> Result<bool> {
    let image = Image::open(&order.image.join("disk.img"))?;
    let quiet = &mut |_, _| ();
    if path.exists() {
        let file = File::options().read(true).write(true).open(path).cannot_file("open", path)?;
        let sectors = file.metadata().cannot_file("look at", path)?.len() / SECTOR;
        let mut target = Target::new(file, path);
        if copy::table_on(&target, sectors).is_none_or(|table| !table.is_ours()) {
            return Err(Error::new(format!("{} does not have weir's partitions", path.display()))
                .next(format!("delete it (what its router has stored is lost): rm {}", path.display())));
        }
        image.copy(&mut target, sectors, Perm::Kept, quiet)?;
        return Ok(false);
    }
    let (interfaces, filesystem) = (order.state.join("interfaces.json"), order.state.join("disk.perm"));
    fs::write(&interfaces, interfaces_json()).cannot_file("write", &interfaces)?;
    let item = Item::File { name: "/interfaces.json".into(), source: interfaces };
    perm::make(&filesystem, &[item], 0)?;
    // It appears whole or not at all.
    let partial = path.with_extension("part");
    let file = File::options().create(true).truncate(true).read(true).write(true).open(&partial);
    let file = file.cannot_file("write", &partial)?;
    file.set_len(DISK_SECTORS * SECTOR).cannot_file("write", &partial)?;
    let mut target = Target::new(file, &partial);
    image.copy(&mut target, DISK_SECTORS, Perm::Fresh, quiet)?;
    disk::put_perm(&mut target, &filesystem)?;
    drop(fs::remove_file(&filesystem));
    fs::rename(&partial, path).cannot_file("write", path)?;
    Ok(true)
}

/// The two NICs of the machine in router7's format.
fn interfaces_json() -> String {
    format!(
        r#"{{
  "interfaces": [
    {{"hardware_addr": "{UPLINK_MAC}", "name": "uplink0"}},
    {{"hardware_addr": "{LAN_MAC}", "name": "lan0", "addr": "192.168.42.1/24"}}
  ]
}}
"#
    )
}

/// Two machines on one disk would ruin it.
fn lock(order: &Order) -> Result<File> {
    let path = order.state.join("lock");
    let file = File::create(&path).cannot_file("write", &path)?;
    file.try_lock().map_err(|_| {
        Error::new(format!("another weir run uses {}", order.state.display()))
            .next("leave it (Ctrl-A X), or give this one its own folder: --state DIR")
    })?;
    Ok(file)
}

fn ports_are_free(order: &Order) -> Result<()> {
    let busy = |transport: &str, port: u16, flag: &str, error: std::io::Error| {
        Error::new(format!("{transport} port {port} of 127.0.0.1 cannot be used: {error}")).next(format!(
            "stop what uses it (ss -lnp 'sport = :{port}' names it), or choose another: make run ARGS=\"{flag} {}\"",
            port.wrapping_add(1)
        ))
    };
    let at = |port| ("127.0.0.1", port);
    TcpListener::bind(at(order.dns_port)).map_err(|error| busy("TCP", order.dns_port, "--dns-port", error))?;
    UdpSocket::bind(at(order.dns_port)).map_err(|error| busy("UDP", order.dns_port, "--dns-port", error))?;
    TcpListener::bind(at(order.web_port)).map_err(|error| busy("TCP", order.web_port, "--web-port", error))?;
    Ok(())
}

fn welcome(order: &Order, disk: &Path, first: bool) {
    let state = if first { "new" } else { "kept, with the newest system" };
    eprintln!("weir run: disk {} ({state}); a fresh start: rm {}", disk.display(), disk.display());
    eprintln!("  the console is this terminal: Enter for a prompt, `help` there; Ctrl-A X leaves");
    eprintln!("  in another terminal:");
    eprintln!("    dig @127.0.0.1 -p {} example.com        # the router's name server, from its LAN", order.dns_port);
    eprintln!("    dig @127.0.0.1 -p {} +tcp example.com   # the same by TCP", order.dns_port);
    eprintln!(
        "    http://127.0.0.1:{}/                     # its page: a password first, then everything",
        order.web_port
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::FileExt;

    fn order(scratch: &Scratch) -> Order {
        let (image, state) = (scratch.path().join("image"), scratch.path().join("run"));
        fs::create_dir_all(&image).unwrap();
        fs::create_dir_all(&state).unwrap();
        let (dns_port, web_port, memory_mib) = (0, 0, 256);
        let (board, firmware, bus) = (Board::Virtio, Firmware::Kernel, None);
        Order { image, state, dns_port, web_port, memory_mib, board, firmware, bus, append: None }
    }

    #[test]
    fn a_port_in_use_is_named_with_a_way_out() {
        let scratch = Scratch::new("run-port").unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let web_port = taken.local_addr().unwrap().port();
        let error = ports_are_free(&Order { web_port, ..order(&scratch) }).unwrap_err().to_string();
        assert!(error.contains(&format!("port {web_port}")) && error.contains("--web-port"), "{error}");
    }

    #[test]
    fn one_machine_at_a_time() {
        let scratch = Scratch::new("run-lock").unwrap();
        let order = order(&scratch);
        let first = lock(&order).unwrap();
        assert!(lock(&order).unwrap_err().to_string().contains("--state"));
        drop(first);
        lock(&order).unwrap();
    }

    #[test]
    fn the_disk_is_kept_and_its_system_refreshed() {
        let scratch = Scratch::new("run-disk").unwrap();
        let order = order(&scratch);
        let path = order.state.join("disk.img");
        let missing = prepare_disk(&order, &path).unwrap_err().to_string();
        assert!(missing.contains("make image"), "{missing}");
        disk::tests::disk(&scratch, "image/disk.img", b"root 1");
        assert!(prepare_disk(&order, &path).unwrap());
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let read = |offset| {
            let mut bytes = [0; 6];
            file.read_exact_at(&mut bytes, offset).unwrap();
            bytes
        };
        file.write_all_at(b"leases", layout::PERM.offset() + 4096).unwrap();
        disk::tests::disk(&scratch, "image/disk.img", b"root 2");
        assert!(!prepare_disk(&order, &path).unwrap());
        assert_eq!(read(layout::ROOT_A.offset()), *b"root 2");
        assert_eq!(read(layout::PERM.offset() + 4096), *b"leases");
        file.write_all_at(&[0; 1 << 16], 0).unwrap();
        file.set_len(1 << 30).unwrap();
        let foreign = prepare_disk(&order, &path).unwrap_err().to_string();
        assert!(foreign.contains("does not have weir's partitions") && foreign.contains("rm "), "{foreign}");
    }

    #[test]
    fn the_interfaces_are_router7s_json() {
        let value: serde_json::Value = serde_json::from_str(&interfaces_json()).unwrap();
        assert_eq!(value["interfaces"][1]["addr"], "192.168.42.1/24");
        assert_eq!(value["interfaces"][0]["hardware_addr"], "52:54:00:77:00:01");
    }
}
