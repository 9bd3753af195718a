//! `services install`: a weir that runs, from a stick say, puts itself onto another disk of the machine. PID 1 starts it for
//! whoever asks (`{"op":"disks"}`, `{"op":"install"}`), with the rights that it takes, for as long as it takes; no service
//! has them.
//!
//! - `services install list RUNNING`: one line of JSON, the disks and what is on each.
//! - `services install to DISK OVER RUNNING SLOT`: writes the slot that runs into both slots of DISK, the boot loader and an
//!   empty `/perm`, and reads every byte back; then the partition table, which makes a disk of it; then all of `/perm`.
//!   OVER is what the asker has been told is on DISK: when something else is, nothing is touched.
//! - `services install again DISK`: `/perm` once more, at the orderly end, so that nothing is lost that was said meanwhile.
//!
//! It says how far it is, a line each; the last one is `done: ...`, or why not.
mod mirror;
mod source;
#[cfg(test)]
mod tests;

use installer::disks::{self, Disk, Holds};
use installer::write::{Job, measure};
use installer::{contents, sys};
use layout::{LEAST_SECTORS, PERM, SECTOR, Slot, partition_of, perm_last};
use mirror::Copied;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use source::Source;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

/// Where the new `/perm` is filled.
const FOLDER: &str = "/run/install";
/// Bytes of a block of `/perm`.
const BLOCK: u64 = 4096;

/// The words after `install`.
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<String> = words.filter_map(|word| word.into_string().ok()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["list", running] => Ok(list(&disks::found(), running, &look).to_string()),
        ["to", disk, over, running, slot] => to(disk, over, running, slot),
        ["again", disk] => fill(disk).map(|copied| format!("done: /perm on {disk} is as it was left: {copied}")),
        _ => Err("usage: services install list RUNNING | to DISK OVER RUNNING SLOT | again DISK".into()),
    };
    match result {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// What is on a disk, in words.
fn look(disk: &Disk) -> String {
    match File::open(format!("/dev/{}", disk.name)) {
        Ok(file) => contents::of(disk, &file, &disks::starts(&disk.name)),
        Err(error) => format!("nothing that can be read ({error})"),
    }
}

/// The disks, for the one who is to choose.
fn list(found: &[Disk], running: &str, look: &dyn Fn(&Disk) -> String) -> serde_json::Value {
    let disks: Vec<serde_json::Value> = found
        .iter()
        .map(|disk| {
            serde_json::json!({
                "name": disk.name,
                "model": disk.model,
                "bytes": disk.sectors * SECTOR,
                "removable": disk.removable,
                "words": disk.to_string(),
                "over": look(disk),
                "refused": refused(disk, running),
            })
        })
        .collect();
    serde_json::json!({"running": running, "disks": disks})
}

/// Why a disk is not taken, whatever is on it.
fn refused(disk: &Disk, running: &str) -> Option<String> {
    if disk.name == running {
        return Some("weir runs from it".into());
    }
    if disk.sectors < LEAST_SECTORS {
        return Some(format!("it is too small: weir wants {} MB", LEAST_SECTORS * SECTOR / 1_000_000));
    }
    (disk.holds == Holds::Unreadable).then(|| "it cannot be read: it is failing, or locked".into())
}

/// The disk, when it may be taken: it holds what the asker was told.
fn chosen<'a>(
    found: &'a [Disk],
    name: &str,
    over: &str,
    running: &str,
    look: &dyn Fn(&Disk) -> String,
) -> Result<&'a Disk, String> {
    let names: Vec<&str> = found.iter().map(|disk| &*disk.name).collect();
    let disk = found.iter().find(|disk| disk.name == name);
    let disk = disk.ok_or_else(|| format!("there is no disk {name:?}; there are: {}", names.join(", ")))?;
    if let Some(why) = refused(disk, running) {
        return Err(format!("{disk}: {why}"));
    }
    match look(disk) {
        there if there == over => Ok(disk),
        there if there.is_empty() => Err(format!("{disk} is empty, and not what was said ({over}): look again")),
        there => Err(format!("{disk} holds {there}: say so to lose it")),
    }
}

fn to(name: &str, over: &str, running: &str, slot: &str) -> Result<String, String> {
    let slot = Slot::of(slot).ok_or_else(|| format!("{slot:?} is no slot"))?;
    let found = disks::found();
    let disk = chosen(&found, name, over, running, &look)?;
    let from = File::open(format!("/dev/{running}")).map_err(|error| format!("/dev/{running}: {error}"))?;
    let mut source = Source::open(from, disks::sectors(running), slot, Path::new(source::FRESH))
        .map_err(|why| format!("{running}, from which weir runs: {why}"))?;
    println!("writing {disk} from slot {} of {running}", slot.letter());
    write(disk, &mut source)?;
    let copied = fill(name)?;
    Ok(format!(
        "done: weir is on {name}, every byte checked, with /perm as it is ({copied}). To run from it: poweroff, \
         take out what it was started from, switch on"
    ))
}

/// Everything but what is in `/perm`.
fn write(disk: &Disk, source: &mut Source) -> Result<(), String> {
    let name = &disk.name;
    let at = |error: std::io::Error| format!("/dev/{name}: {error}");
    let exclusive = nix::fcntl::OFlag::O_EXCL.bits();
    // Nobody else's while it is being written: the kernel refuses one of which a partition is in use.
    let target = File::options().read(true).write(true).custom_flags(exclusive).open(format!("/dev/{name}"));
    let target = target.map_err(at)?;
    let total = measure(source)?;
    let job = Job { target: &target, sectors: disk.sectors, keeps_perm: false, total };
    source.rewind()?;
    job.write(source, &mut |percent| println!("writing {name}: {percent} %"))?;
    source.rewind()?;
    job.check(source, &mut |percent| println!("checking {name}: {percent} %"))?;
    drop(target);
    let again = File::open(format!("/dev/{name}")).and_then(|disk| sys::reread_partitions(&disk));
    again.map_err(|error| format!("/dev/{name}: the kernel does not take the new partitions: {error}"))?;
    let device = format!("/dev/{}", partition_of(name, 4));
    mounted(&device, MsFlags::empty(), |folder| {
        let blocks = (perm_last(disk.sectors) + 1 - PERM.first) * SECTOR / BLOCK;
        // Else the next boot does it, and what is in /perm may have room all the same.
        if let Err(error) = File::open(folder).and_then(|folder| sys::resize_ext4(&folder, blocks)) {
            println!("{device} grows at its first start: {error}");
        }
        Ok(())
    })
}

/// Makes the new `/perm` hold what the running one holds, and reads that back.
fn fill(name: &str) -> Result<Copied, String> {
    let device = format!("/dev/{}", partition_of(name, 4));
    let from = Path::new("/perm");
    let copied = mounted(&device, MsFlags::empty(), |folder| mirror::copy(from, folder))?;
    // The kernel's memory of what was written is no proof.
    let forgotten = File::open(&device).map_err(|error| error.to_string()).and_then(|partition| {
        posix_fadvise(&partition, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).map_err(|error| error.to_string())
    });
    forgotten.map_err(|error| format!("{device}: {error}"))?;
    mounted(&device, MsFlags::MS_RDONLY, |folder| mirror::check(folder, &copied))?;
    Ok(copied)
}

/// Does something with a partition that is mounted meanwhile.
fn mounted<T>(device: &str, more: MsFlags, work: impl FnOnce(&Path) -> Result<T, String>) -> Result<T, String> {
    let folder = Path::new(FOLDER);
    std::fs::create_dir_all(folder).map_err(|error| format!("{FOLDER}: {error}"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME | more;
    mount(Some(device), folder, Some("ext4"), flags, None::<&str>)
        .map_err(|error| format!("{device} cannot be mounted: {error}"))?;
    let done = work(folder);
    let left = umount2(folder, MntFlags::empty());
    let done = done?;
    left.map_err(|error| format!("{device} cannot be left: {error}"))?;
    Ok(done)
}
