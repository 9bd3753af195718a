//! What the boot disk is owed once the router serves: the boot loader's count comes back, `/perm` grows.
mod count;
mod grow;

pub use count::begin_trial;

use crate::boot::disk::Disk;
use crate::console::Console;
use layout::Slot;

/// Sees to the disk in a thread, because a disk may take its time. Nothing waits for it, and every step of it may be cut
/// off: the next boot takes it again. `booted` is the slot that GRUB has started; without its word nobody has counted.
pub fn settle_in_background(disk: &Disk, booted: Option<Slot>, on_disk: bool) {
    let disk = disk.clone();
    let thread = std::thread::Builder::new().stack_size(128 * 1024).spawn(move || {
        let console = Console::open();
        if let Some(slot) = booted
            && let Err(error) = count::put_back(&disk, slot)
        {
            console.say(format_args!("the count of tries on {}: {error}", disk.name));
        }
        if on_disk {
            match grow::grow(&disk) {
                Ok(Some(bytes)) => console.say(format_args!("perm has grown to {} MB", bytes / 1_000_000)),
                Ok(None) => {}
                Err(error) => console.say(format_args!("perm on {} could not grow: {error}", disk.name)),
            }
        }
    });
    if let Err(error) = thread {
        Console::open().say(format_args!("the disk is not seen to: {error}"));
    }
}
