//! From the first instruction to a root with `/perm`: what happens once, in order, before the first service.
pub mod disk;
pub mod erase;
mod folders;
mod mend;
mod modules;
mod mounts;
mod perm;
pub mod random;
mod root;
mod superblock;
mod uevent;

use crate::cmdline::{PermWord, Words};
use crate::console::Console;
use crate::watchdog::Watchdog;
use disk::Disk;
use layout::Slot;
pub use perm::Perm;
use std::fs::File;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::Path;

/// A machine that has its root and its `/perm`.
#[derive(Debug)]
pub struct Booted {
    /// The command line's words.
    pub words: Words,
    /// The console.
    pub console: Console,
    /// The watchdog, armed.
    pub watchdog: Watchdog,
    /// Which slot the root came from; none when it rode in an initramfs.
    pub slot: Option<Slot>,
    /// The disk that it, or only `/perm`, came from.
    pub disk: Option<Disk>,
    /// Where `/perm` is.
    pub perm: Perm,
}

/// Boots.
///
/// # Errors
/// In words, when there is no way to a root. The console, when there is one, has then said more.
pub fn boot() -> Result<Booted, String> {
    // devtmpfs first, because the watchdog's node is in it.
    let dev = mounts::dev();
    let mut watchdog = Watchdog::open().map_err(|error| format!("watchdog timer: {error}"))?;
    reserve_descriptors().map_err(|error| format!("/dev/null: {error}"))?;
    let proc_sys = mounts::proc_and_sys();
    // The kernel's lines and ours would mix; it still prints its panics.
    let _ = std::fs::write("/proc/sys/kernel/printk", "1");
    let console = Console::open();
    for trouble in [dev, proc_sys].into_iter().filter_map(Result::err) {
        console.say(trouble);
    }
    watchdog.complain(&console);

    let words = Words::parse(&std::fs::read_to_string("/proc/cmdline").unwrap_or_default());
    for word in &words.unknown {
        console.say(format_args!("ignored: {word}"));
    }
    modules::load_in_background(&console);

    let (slot, disk) = match root::from_initramfs(&console) {
        // All is in memory: a disk is used for /perm when it is there already, and not waited for.
        true => (None, disk::scan(&words).map(|found| found.disk)),
        false => {
            let disk = uevent::wait_for_disk(&words, &console, &mut watchdog)?;
            let wanted = words.slot.unwrap_or_default();
            let tried = || crate::disk::Count::open(&disk).is_ok_and(|count| count.ends_with(wanted));
            let Some(slot) = root::from_disk(&disk, wanted, tried, &console)? else {
                watchdog.stop();
                crate::shutdown::restart();
            };
            (Some(slot), Some(disk))
        }
    };
    let (mut perm, damaged) = attach_perm(&words, disk.as_ref(), &console);
    let copies = || disk.as_ref().map_or(Ok(()), crate::disk::forget);
    erase::when_wished(Path::new("/root/perm"), copies, &console);
    help_out(&mut perm, &words, disk.as_ref(), "/root/perm", &console);
    mounts::volatile(&console);
    root::switch()?;
    // Only what is weir's own: another device, named by hand, is its owner's.
    let mut mendable = disk.as_ref().filter(|disk| words.perm.is_none() && disk.has_perm);
    if damaged && let Some(disk) = mendable.take() {
        perm = mend::mend(disk, perm, &console, &mut watchdog);
    }
    let attached = perm.clone();
    perm = folders::prepare(perm, &console);
    if perm != attached {
        help_out(&mut perm, &words, disk.as_ref(), "/perm", &console);
        if let Some(disk) = mendable {
            perm = mend::mend(disk, perm, &console, &mut watchdog);
        }
        perm = folders::prepare(perm, &console);
    }
    if let Perm::Mended(what) = &perm {
        // For diagd; without it, it says nothing.
        let _ = std::fs::write("/run/mended", format!("{what}\n"));
    }
    if let (Some(disk), Some(slot)) = (&disk, slot) {
        folders::hand_over(disk, slot.other(), &console);
    }
    set_hostname();
    random::begin();
    Ok(Booted { words, console, watchdog, slot, disk, perm })
}

/// Takes descriptors 0 to 3, so that none of PID 1's own can collide with those of a service being started.
fn reserve_descriptors() -> std::io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    let mut last = null;
    while last.as_raw_fd() <= 3 {
        let next = last.try_clone()?;
        // Kept open for ever, on purpose. (`try_clone` never gives a number below 3.)
        let _ = last.into_raw_fd();
        last = next;
    }
    Ok(())
}

fn attach_perm(words: &Words, disk: Option<&Disk>, console: &Console) -> (Perm, bool) {
    let device = match (&words.perm, disk) {
        (Some(PermWord::Memory), _) => Err("weir.perm=memory".to_owned()),
        (Some(PermWord::Device(name)), _) => Ok(name.clone()),
        (None, Some(disk)) if disk.has_perm => Ok(disk.partition(4)),
        (None, Some(disk)) => Err(format!("no partition 4 on {}", disk.name)),
        (None, None) => Err("no disk".to_owned()),
    };
    perm::attach(device, console)
}

/// Fills a `/perm` in memory with the last good copy, unless memory is what was asked for.
fn help_out(perm: &mut Perm, words: &Words, disk: Option<&Disk>, path: &str, console: &Console) -> bool {
    let (Perm::Memory(why), Some(disk)) = (&mut *perm, disk) else { return false };
    if words.perm == Some(PermWord::Memory) {
        return false;
    }
    match crate::disk::bring_back(disk, Path::new(path)) {
        Ok(0) => false,
        Ok(count) => {
            console.say(format_args!("perm: the last good copy of {count} files, from the spare partition"));
            why.push_str("; on the last good copy");
            true
        }
        Err(error) => {
            console.say(format_args!("the spare partition of {}: {error}", disk.name));
            false
        }
    }
}

/// The machine's name, which dhcp4 sends to the ISP: `/perm/hostname` when it holds one label, else `weir`.
fn set_hostname() {
    let text = std::fs::read_to_string("/perm/hostname").unwrap_or_default();
    let name = if is_label(text.trim()) { text.trim() } else { "weir" };
    // A machine without a name routes as well.
    let _ = nix::unistd::sethostname(name);
}

/// RFC 1123: letters, digits and inner hyphens, 63 at most.
fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::is_label;

    #[test]
    fn host_names() {
        for good in ["weir", "router7", "a", "A-1", &"x".repeat(63)] {
            assert!(is_label(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a.b", "a b", "ü", &"x".repeat(64)] {
            assert!(!is_label(bad), "{bad}");
        }
    }
}
