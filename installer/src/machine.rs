//! The machine around us: what the kernel has to show, the drivers that came as modules, and the way out.
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use std::convert::Infallible;
use std::fs::File;

const MODULES: &str = "/modules";

/// Mounts what the kernel has to show and loads the drivers; what did not work, in words.
pub fn prepare() -> Vec<String> {
    let mut troubles = Vec::new();
    for (kind, on) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
        match mount(Some(kind), on, Some(kind), MsFlags::MS_NOSUID, None::<&str>) {
            // The kernel was there before us.
            Ok(()) | Err(nix::errno::Errno::EBUSY) => {}
            Err(error) => troubles.push(format!("{kind} on {on}: {error}")),
        }
    }
    // Our lines and the kernel's would mix; it still prints its panics.
    let _ = std::fs::write("/proc/sys/kernel/printk", "1");
    for name in std::fs::read_to_string(format!("{MODULES}/order")).unwrap_or_default().split_ascii_whitespace() {
        let path = format!("{MODULES}/{name}");
        let loaded = File::open(&path)
            .map_err(|error| error.to_string())
            .and_then(|file| finit_module(&file, c"", ModuleInitFlags::empty()).map_err(|error| error.to_string()));
        if let Err(why) = loaded {
            troubles.push(format!("{path}: {why}"));
        }
    }
    troubles
}

/// Brings everything onto the disks and restarts the machine.
pub fn restart() -> ! {
    nix::unistd::sync();
    let failed: nix::Result<Infallible> = nix::sys::reboot::reboot(nix::sys::reboot::RebootMode::RB_AUTOBOOT);
    // PID 1 ends: the kernel panics, and restarts the machine because of panic=.
    eprintln!("installer: cannot restart: {failed:?}");
    std::process::exit(1)
}
