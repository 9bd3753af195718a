//! The root: a slot's SquashFS, and the step out of the initramfs into it.
use super::disk::Disk;
use super::mounts::{ROOT, shift};
use crate::console::Console;
use crate::{kmsg, sys};
use layout::Slot;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::File;
use std::path::Path;

/// A SquashFS that rode in an initramfs (network boot).
const CARRIED: &str = "/root.squashfs";

/// Mounts the SquashFS that rode in the initramfs; false when there is none, or when it is no use.
pub fn from_initramfs(console: &Console) -> bool {
    let Ok(image) = File::open(CARRIED) else { return false };
    let result = behind_loop(&image).and_then(|device| mount_squashfs(&device));
    match &result {
        Ok(()) => console.say("root (squashfs) in memory"),
        Err(why) => console.say(format_args!("root in memory: {why}")),
    }
    result.is_ok()
}

fn behind_loop(image: &File) -> Result<String, String> {
    let words = |error: std::io::Error| format!("loop device: {error}");
    let control = File::options().read(true).write(true).open("/dev/loop-control").map_err(words)?;
    let path = format!("/dev/loop{}", sys::loop_free(&control).map_err(words)?);
    let device = File::open(&path).map_err(words)?;
    sys::loop_attach(&device, image).map_err(words)?;
    Ok(path)
}

/// Mounts the wanted slot, or the other one when that cannot be mounted. A slot on trial, which `tried` tells, is no good
/// without its own root, and nobody would judge it on the other one's: then there is none.
pub fn from_disk(
    disk: &Disk,
    wanted: Slot,
    tried: impl Fn() -> bool,
    console: &Console,
) -> Result<Option<Slot>, String> {
    for slot in [wanted, wanted.other()] {
        let device = format!("/dev/{}", disk.partition(slot.partition()));
        match mount_squashfs(&device) {
            Ok(()) => {
                console.say(format_args!("root {} (squashfs) on {device}", slot.letter()));
                return Ok(Some(slot));
            }
            Err(why) if slot == wanted && tried() => {
                // Printed by the kernel, at once: the console's own buffer would go with the machine.
                let slot = slot.letter();
                kmsg::write(&format!(
                    "<0>weir: slot {slot} is on trial and has no root ({why}): back to the other one"
                ));
                return Ok(None);
            }
            Err(why) => console.say(format_args!("NO ROOT {} on {device}: {why}", slot.letter())),
        }
    }
    Err(format!("neither slot of {} can be mounted", disk.name))
}

fn mount_squashfs(device: &str) -> Result<(), String> {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some(device), ROOT, Some("squashfs"), flags, None::<&str>).map_err(|error| match error {
        nix::errno::Errno::EINVAL => "no squashfs".to_owned(),
        error => error.to_string(),
    })?;
    // An image without our program is as good as none, and the other slot may have one.
    match std::fs::symlink_metadata(Path::new(ROOT).join("bin/services")) {
        Ok(_) => Ok(()),
        Err(error) => {
            let _ = umount2(ROOT, MntFlags::MNT_DETACH);
            Err(format!("/bin/services: {error}"))
        }
    }
}

/// Leaves the initramfs for the new root; the kernel's filesystems come along.
pub fn switch() -> Result<(), String> {
    for path in ["/dev", "/proc", "/sys"] {
        shift(path, &format!("{ROOT}{path}"))?;
    }
    forget_initramfs();
    let words = |error: nix::Error| format!("switching root: {error}");
    nix::unistd::chdir(ROOT).map_err(words)?;
    shift(".", "/")?;
    nix::unistd::chroot(".").map_err(words)?;
    nix::unistd::chdir("/").map_err(words)
}

/// Gives the memory of the initramfs's files back; what is open or running stays until it is not.
fn forget_initramfs() {
    for entry in std::fs::read_dir("/modules").into_iter().flatten().flatten() {
        let _ = std::fs::remove_file(entry.path());
    }
    for entry in std::fs::read_dir("/").into_iter().flatten().flatten() {
        // Refuses folders, and so all that is mounted.
        let _ = std::fs::remove_file(entry.path());
    }
}
