//! A trial without the firmware: the other slot's kernel is loaded beside the running one, which goes on forwarding until
//! the last moment. Every sum is checked, as GRUB would.
mod image;

use crate::boot::disk::Disk;
use crate::console::Console;
use crate::disk::Count;
use crate::sys::kexec::{kexec_file_load, kexec_unload};
use layout::{SECTOR, Slot, crc32, sums, sums_of};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::ffi::CString;
use std::fs::File;
use std::io::{Error, Result, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// Does so in a thread. What it returns becomes readable, at its end, when that is over, well or not; without it the boot
/// loader starts the slot.
///
/// # Errors
/// When there is no pipe, or no thread.
pub fn load_in_background(disk: &Disk, slot: Slot) -> Result<File> {
    let (ours, theirs) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let disk = disk.clone();
    std::thread::Builder::new().stack_size(128 * 1024).spawn(move || {
        if let Err(error) = load(&disk, slot) {
            Console::open().say(format_args!("no kexec: {error}; the boot loader starts slot {}", slot.letter()));
        }
        drop(theirs);
    })?;
    Ok(File::from(ours))
}

/// Loads a slot that [`Count::begin_trial`] has put on trial, for `reboot(RB_KEXEC)`; from then on no boot loader starts
/// it any more.
///
/// # Errors
/// In words, why the boot loader has to do it.
fn load(disk: &Disk, slot: Slot) -> Result<()> {
    let partition = File::open(format!("/dev/{}", disk.partition(1)))?;
    let mut bytes = [0; sums::BYTES];
    partition.read_exact_at(&mut bytes, sums_of(slot).offset())?;
    let damaged = |what| Error::other(format!("slot {} has no whole {what}", slot.letter()));
    let runs = sums::read(slot, &bytes).ok_or_else(|| damaged("sums"))?;
    let read = |what, run: sums::Run| {
        let mut bytes = vec![0; usize::try_from(run.extent.sectors * SECTOR).map_err(Error::other)?];
        partition.read_exact_at(&mut bytes, run.extent.offset())?;
        if crc32(&bytes) == run.sum { Ok(bytes) } else { Err(damaged(what)) }
    };
    let count = Count::open(disk)?;
    let line = CString::new(count.command_line(slot)?)?;
    let initrd = in_memory(&read("initramfs", runs.initrd)?)?;
    let kernel = read("kernel", runs.kernel)?;
    let iomem = std::fs::read_to_string("/proc/iomem").unwrap_or_default();
    let (kernel, how) = match image::wrap(&kernel, runs.initrd.extent.sectors * SECTOR, &iomem) {
        Ok(wrapped) => (wrapped, String::new()),
        // It takes longer between the two kernels, and is as good.
        Err(why) => (kernel, format!(" as it is ({why}), which takes longer")),
    };
    kexec_file_load(&in_memory(&kernel)?, &initrd, &line)?;
    if let Err(error) = count.trial_has_begun() {
        // The boot loader would start it once more.
        kexec_unload();
        return Err(error);
    }
    Console::open().say(format_args!("kexec: slot {} is loaded{how}", slot.letter()));
    Ok(())
}

/// A file in memory that nobody has open for writing: the kernel would not read it.
fn in_memory(bytes: &[u8]) -> Result<File> {
    let mut file = File::from(memfd_create(c"trial", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
