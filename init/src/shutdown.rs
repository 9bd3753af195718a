//! The last steps, when no service lives any more.
use crate::boot::disk::Disk;
use crate::boot::{Perm, random};
use crate::console::Console;
use crate::control::End;
use crate::helper::Helper;
use crate::watchdog::Watchdog;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::reboot::{RebootMode, reboot};

/// For the last copy of `/perm` on a disk that weir was installed on.
const COPY_MS: u64 = 30_000;

/// Writes everything out, leaves `/perm` clean, and ends the machine. `installed` are disks that weir was put on in
/// this boot: what was said since then goes there as well.
pub fn finish(
    end: End,
    perm: &Perm,
    disk: Option<&Disk>,
    installed: &[String],
    console: &Console,
    watchdog: &mut Watchdog,
) -> ! {
    for name in installed {
        let helper = Helper::start(&["install", "again", name]);
        match helper.and_then(|helper| helper.wait(COPY_MS, watchdog, &mut |line| console.say(line))) {
            Ok(what) => console.say(what),
            Err(why) => console.say(format_args!("/perm on {name} is as it was installed, and no newer: {why}")),
        }
    }
    if perm.on_disk() {
        if let Some(disk) = disk {
            crate::disk::copy(disk, console);
        }
        random::keep();
        nix::unistd::sync();
        if let Err(error) = leave_perm() {
            console.say(format_args!("/perm: {error}"));
        }
    }
    nix::unistd::sync();
    if end == End::Trial {
        // It is left running: the next kernel's PID 1 has its whole time.
        watchdog.feed();
        // Without a loaded kernel this comes back, and the boot loader has its turn.
        let _ = reboot(RebootMode::RB_KEXEC);
    }
    watchdog.stop();
    if end == End::PowerOff {
        let _ = reboot(RebootMode::RB_POWER_OFF);
    }
    restart()
}

/// The way out that is always there: the firmware, or the kernel's panic over a dead PID 1.
pub fn restart() -> ! {
    nix::unistd::sync();
    let _ = reboot(RebootMode::RB_AUTOBOOT);
    std::process::exit(1)
}

fn leave_perm() -> Result<(), Errno> {
    umount2("/perm", MntFlags::empty()).or_else(|_| {
        // Something holds it; read-only is as clean.
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, "/perm", None::<&str>, flags, None::<&str>)
    })
}
