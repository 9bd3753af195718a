//! The kernel's own filesystems, and the two that live in memory.
use crate::console::Console;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

const SAFE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// Where the new root is built before the switch.
pub const ROOT: &str = "/root";

/// Mounts a filesystem that has no device.
pub fn virtual_one(kind: &str, on: &str, flags: MsFlags, options: Option<&str>) -> Result<(), String> {
    match mount(Some(kind), on, Some(kind), flags, options) {
        // The kernel, or whoever made the initramfs, was there before us.
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(error) => Err(format!("{kind} on {on}: {error}")),
    }
}

/// Makes a folder of the initramfs; that it is there already is the usual case.
fn folder(path: &str) {
    let _ = std::fs::create_dir(path);
}

/// devtmpfs, with the nodes of all devices found so far.
pub fn dev() -> Result<(), String> {
    folder("/dev");
    virtual_one("devtmpfs", "/dev", MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, Some("mode=0755"))
}

/// `/proc` and `/sys`.
pub fn proc_and_sys() -> Result<(), String> {
    folder("/proc");
    folder("/sys");
    folder(ROOT);
    virtual_one("proc", "/proc", SAFE | MsFlags::MS_NOEXEC, None)?;
    virtual_one("sysfs", "/sys", SAFE | MsFlags::MS_NOEXEC, None)
}

/// `/run` (PID 1's alone) and `/tmp`, small, on the new root.
pub fn volatile(console: &Console) {
    let run = virtual_one("tmpfs", "/root/run", SAFE | MsFlags::MS_NOEXEC, Some("mode=0755,size=1m,nr_inodes=256"));
    let tmp = virtual_one("tmpfs", "/root/tmp", SAFE | MsFlags::MS_NOEXEC, Some("mode=1777,size=4m,nr_inodes=1k"));
    for trouble in [run, tmp].into_iter().filter_map(Result::err) {
        console.say(trouble);
    }
}

/// Moves a mounted tree.
pub fn shift(from: &str, to: &str) -> Result<(), String> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .map_err(|error| format!("moving {from} to {to}: {error}"))
}
