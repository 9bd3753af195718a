//! `make bench-boot`: how long from power-on to ready, counted rather than timed.
//!
//! The machine runs with one instruction = one nanosecond (`-icount shift=0,sleep=on`), one CPU, both NICs, a disk that is
//! fresh each time. PID 1 says at ready what the time-stamp counter was at its start and now, which under icount is
//! nanoseconds since power-on, firmware and all; idle time (a disk, a timer) counts as real time. A plugin counts the
//! instructions executed up to the same two points: that figure repeats, or the boot waits for a clock.
#![forbid(unsafe_code)]
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use qemu::plugin;
use serde_json::json;
use weir::error::{Context, Error, Result};
use weir::machine::{Board, Disk, Firmware, Machine, Nic, Plugin, QEMU, Serial};

const HELP: &str = "\
bench_boot [--machine virtio|q35|pc] [--firmware bios|uefi] [--boots N] [--memory MIB] [--append WORDS] [--image DIR] [--console]
      --machine q35   the disk on AHCI, five empty ports beside it; without it virtio and no AHCI
      --firmware NAME it starts the disk by itself, GRUB and sums and all; without it QEMU loads the kernel
      --boots N       5: the median is told
      --memory MIB    256
      --append WORDS  more words for the kernel command line
      --image DIR     target/appliance
      --console       print the console of the first boot
The last line of standard output is one JSON object.
";

/// A boot that takes longer than this has failed.
const LIMIT: Duration = Duration::from_secs(120);
/// A larger spread of the instruction count means that something on the way waits for a clock.
const SPREAD_PERCENT: f64 = 1.0;

struct Order {
    board: Board,
    firmware: Firmware,
    boots: usize,
    memory_mib: u32,
    append: Option<String>,
    image: PathBuf,
    console: bool,
}

/// What one boot was measured to be; times in ns since power-on.
#[derive(Debug, Clone, Copy)]
struct Boot {
    init_ns: u64,
    ready_ns: u64,
    init_instructions: u64,
    ready_instructions: u64,
    available_kib: u64,
}

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-boot: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    let Some(order) = order().map_err(|error| Error::new(error.to_string()).next("--help shows what can be said"))?
    else {
        return Ok(());
    };
    let folder = order.image.with_file_name("bench");
    fs::create_dir_all(&folder).cannot_file("make", &folder)?;
    let plugin = plugin::compile(&folder)?;
    let mut boots = Vec::new();
    for number in 1..=order.boots {
        let began = Instant::now();
        let boot = boot(&order, &plugin, &folder.join("count"), number == 1)?;
        eprintln!(
            "bench-boot: {number}/{}: init {:.1} ms, ready {:.1} ms, {:.3} M instructions ({:.3} M before init); {:.1} s here",
            order.boots,
            ms(boot.init_ns),
            ms(boot.ready_ns),
            millions(boot.ready_instructions),
            millions(boot.init_instructions),
            began.elapsed().as_secs_f64()
        );
        boots.push(boot);
    }
    report(&order, &boots)
}

fn order() -> std::result::Result<Option<Order>, lexopt::Error> {
    use lexopt::prelude::*;
    let image = PathBuf::from("target/appliance");
    let mut order = Order {
        board: Board::Virtio,
        firmware: Firmware::Kernel,
        boots: 5,
        memory_mib: 256,
        append: None,
        image,
        console: false,
    };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("machine") => order.board = arguments.value()?.parse()?,
            Long("firmware") => order.firmware = arguments.value()?.parse()?,
            Long("boots") => order.boots = arguments.value()?.parse::<usize>()?.max(1),
            Long("memory") => order.memory_mib = arguments.value()?.parse()?,
            Long("append") => order.append = Some(arguments.value()?.string()?),
            Long("image") => order.image = arguments.value()?.into(),
            Long("console") => order.console = true,
            Long("help") | Short('h') => {
                print!("{HELP}");
                return Ok(None);
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(order))
}

/// Boots once; leaves no process behind.
fn boot(order: &Order, plugin: &Path, count: &Path, first: bool) -> Result<Boot> {
    drop(fs::remove_file(count));
    let plugin =
        Plugin { path: plugin.to_owned(), arguments: vec![("out".into(), count.to_string_lossy().into_owned())] };
    let mut machine = Machine::of_image(&order.image)
        .board(order.board)
        .firmware(order.firmware)
        .memory_mib(order.memory_mib)
        .append("weir.bench")
        .disk(Disk::throw_away(disk_of(order, count)?))
        .nic(Nic::user_uplink())
        .nic(Nic::user_lan(Vec::new()))
        .serial(Serial::Stdio)
        .no_reboot(true)
        .icount(true)
        .plugin(plugin);
    if let Some(words) = &order.append {
        machine = machine.append(words);
    }
    let mut command = machine.command();
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = command.spawn().cannot(|| format!("run {QEMU}"));
    let mut guest = Guest(child.map_err(|error| error.next("install qemu-system-x86 (make deps does)"))?);
    let lines = read_lines(&mut guest.0);

    let mut console = Vec::new();
    let measured = watch(&lines, &mut console);
    drop(guest);
    let counted = fs::read_to_string(count).unwrap_or_default();
    if order.console && first || measured.is_err() {
        for line in &console {
            eprintln!("  | {line}");
        }
    }
    let line = measured?;
    let missing = || Error::new(format!("a figure is missing in {line:?} or {counted:?}"));
    let of = |text: &str, key: &str| figure(text, key).ok_or_else(missing);
    Ok(Boot {
        init_ns: of(&line, "init_tsc")?,
        ready_ns: of(&line, "ready_tsc")?,
        init_instructions: of(&counted, "init")?,
        ready_instructions: of(&counted, "ready")?,
        available_kib: of(&line, "mem_available_kib")?,
    })
}

/// The image's disk; for a firmware a copy of it, by which GRUB tells the kernel what QEMU otherwise would.
fn disk_of(order: &Order, beside: &Path) -> Result<PathBuf> {
    let image = order.image.join("disk.img");
    if order.firmware == Firmware::Kernel {
        return Ok(image);
    }
    let copy = qemu::disk::Disk::copy_of(&image, &beside.with_file_name("disk.img"));
    let words = format!("weir.bench {}", order.append.as_deref().unwrap_or_default());
    copy.set_environment(&[("words", words.trim())]);
    Ok(copy.path)
}

/// Kills the machine when it goes out of scope.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn read_lines(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(std::io::Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
    }
    lines
}

/// Waits for the line with the figures.
fn watch(lines: &Receiver<String>, console: &mut Vec<String>) -> Result<String> {
    let end = Instant::now() + LIMIT;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let found = line.contains("weir: bench ");
                console.push(line.clone());
                if found {
                    return Ok(line);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(Error::new(format!("not ready after {} s; its console is above", LIMIT.as_secs())));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::new("QEMU ended before the router was ready; its console is above"));
            }
        }
    }
}

/// The number after `key=`.
fn figure(text: &str, key: &str) -> Option<u64> {
    text.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

fn report(order: &Order, boots: &[Boot]) -> Result<()> {
    let of = |value: fn(&Boot) -> u64| median(boots.iter().map(value).collect());
    let counts: Vec<u64> = boots.iter().map(|boot| boot.ready_instructions).collect();
    let (least, most) = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
    let spread = 100.0 * (millions(most) - millions(least)) / millions(least).max(1e-6);
    eprintln!("bench-boot: the instruction count spreads over {spread:.3} %");
    if spread > SPREAD_PERCENT {
        eprintln!("bench-boot: WARNING: more than {SPREAD_PERCENT} %: something on the boot path waits for a clock");
    }
    let bytes = |name: &str| {
        let path = order.image.join(name);
        fs::metadata(&path).map(|metadata| metadata.len()).cannot_file("look at", &path)
    };
    let [kernel, initrd, root] = [bytes("vmlinuz")?, bytes("initrd.img")?, bytes("root.squashfs")?];
    let total_kib = u64::from(order.memory_mib) * 1024;
    println!(
        "{}",
        json!({
            "power_on_to_init_ms": ms(of(|boot| boot.init_ns)),
            "init_to_ready_ms": ms(of(|boot| boot.ready_ns - boot.init_ns)),
            "power_on_to_ready_ms": ms(of(|boot| boot.ready_ns)),
            "instructions_to_ready": of(|boot| boot.ready_instructions),
            "guest_used_kib": total_kib.saturating_sub(of(|boot| boot.available_kib)),
            "kernel_bytes": kernel,
            "initrd_bytes": initrd,
            "root_bytes": root,
            "image_bytes": kernel + initrd + root,
        })
    );
    Ok(())
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// Nanoseconds as milliseconds, to a hundredth.
#[expect(clippy::cast_precision_loss, reason = "shown to a hundredth of a millisecond")]
fn ms(ns: u64) -> f64 {
    (ns / 10_000) as f64 / 100.0
}

#[expect(clippy::cast_precision_loss, reason = "shown to three digits after the point")]
fn millions(count: u64) -> f64 {
    count as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_their_whole_name() {
        let line = "[    0.6] weir: bench init_tsc=500 ready_tsc=600 mem_total_kib=1 mem_available_kib=2";
        assert_eq!(figure(line, "ready_tsc"), Some(600));
        assert_eq!(figure("icount init=3 ready=4", "init"), Some(3));
        assert_eq!(figure(line, "tsc"), None);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![9, 1, 5]), 5);
        assert_eq!(median(vec![]), 0);
    }
}
