//! What the boot disk is owed once the router serves: the boot loader's count comes back, `/perm` grows, and a copy of what
//! it holds is kept beside it.
mod count;
mod grow;
mod spare;

pub use count::Count;

use crate::boot::disk::Disk;
use crate::console::Console;
use layout::Slot;
pub use spare::{bring_back, forget};
use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// How long after a change the copy is written: a lease changes often, and a stick wears out.
pub const COPY_AFTER_MS: u64 = 5 * 60 * 1000;

/// One at a time: a disk may take its time.
static TURN: Mutex<()> = Mutex::new(());

/// Whether the count of this boot has been seen to.
static COUNTED: AtomicBool = AtomicBool::new(false);

/// Whether the count of this boot has been seen to: before, a trial that began would be taken for one that has ended.
pub fn is_counted() -> bool {
    COUNTED.load(Ordering::Acquire)
}

/// Sees to the disk in a thread. Nothing waits for it, and every step of it may be cut off: the next boot takes it again.
/// `booted` is the slot that GRUB has started; without its word nobody has counted.
pub fn settle_in_background(disk: &Disk, booted: Option<Slot>, on_disk: bool) {
    let disk = disk.clone();
    in_background(move |console| {
        if let Some(slot) = booted {
            match Count::open(&disk).and_then(|count| count.put_back(slot, random()?)) {
                Ok(Some(trial)) => console.say(format_args!("slot {} has not stood its trial", trial.letter())),
                Ok(None) => {}
                Err(error) => console.say(format_args!("the count of tries on {}: {error}", disk.name)),
            }
            COUNTED.store(true, Ordering::Release);
        }
        if on_disk {
            match grow::grow(&disk) {
                Ok(Some(bytes)) => console.say(format_args!("perm has grown to {} MB", bytes / 1_000_000)),
                Ok(None) => {}
                Err(error) => console.say(format_args!("perm on {} could not grow: {error}", disk.name)),
            }
            copy(&disk, console);
        }
    });
}

/// The core services are well again: that a slot was left for them is forgotten, in a thread.
pub fn recover_in_background(disk: &Disk) {
    let disk = disk.clone();
    in_background(move |console| {
        if let Err(error) = Count::open(&disk).and_then(|count| count.recover()) {
            console.say(format_args!("the boot loader's variables on {}: {error}", disk.name));
        }
    });
}

/// Eight bytes that nobody else has.
fn random() -> std::io::Result<[u8; 8]> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes the spare copy in a thread.
pub fn copy_in_background(disk: &Disk) {
    let disk = disk.clone();
    in_background(move |console| copy(&disk, console));
}

/// Writes the spare copy now; for the orderly end.
pub fn copy(disk: &Disk, console: &Console) {
    if let Err(error) = spare::keep(disk) {
        console.say(format_args!("the spare copy of perm on {}: {error}", disk.name));
    }
}

fn in_background(work: impl FnOnce(&Console) + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(128 * 1024).spawn(move || {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        work(&Console::open());
    });
    if let Err(error) = thread {
        Console::open().say(format_args!("the disk is not seen to: {error}"));
    }
}
