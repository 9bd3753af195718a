//! `/perm`: ext4 where there is one, memory where there is none. It never stops the router.
use super::mounts::virtual_one;
use crate::console::Console;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Where `/perm` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Perm {
    /// An ext4 partition.
    Ext4,
    /// A tmpfs, and why.
    Memory(String),
}

const FLAGS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC).union(MsFlags::MS_NOATIME);

/// Mounts `/perm` on the root that is being built: from the device, by its name under `/dev`, or from memory.
pub fn attach(device: Result<String, String>, console: &Console) -> Perm {
    let mounted = device.and_then(|name| {
        let path = format!("/dev/{name}");
        let options = Some("errors=remount-ro");
        match mount(Some(path.as_str()), "/root/perm", Some("ext4"), FLAGS, options) {
            Ok(()) => Ok(path),
            Err(error) => Err(reason(error, &path)),
        }
    });
    match mounted {
        Ok(path) => {
            console.say(format_args!("perm (ext4) on {path}"));
            Perm::Ext4
        }
        Err(why) => memory("/root/perm", why, console),
    }
}

/// What a person can do something about.
fn reason(error: Errno, path: &str) -> String {
    match error {
        Errno::ENOENT | Errno::ENXIO => format!("{path} is not there"),
        Errno::EINVAL => format!("no ext4 on {path}"),
        Errno::EUCLEAN | Errno::EIO | Errno::EBADMSG => format!("ext4 on {path} is damaged ({error})"),
        error => format!("{path}: {error}"),
    }
}

fn memory(on: &str, why: String, console: &Console) -> Perm {
    console.say(format_args!("NO PERM: {why}: serving from memory, nothing will be kept"));
    if let Err(trouble) = virtual_one("tmpfs", on, FLAGS, Some("mode=0755,size=8m,nr_inodes=1k")) {
        console.say(trouble);
    }
    Perm::Memory(why)
}

/// Gives up a mounted `/perm` that turned out to be damaged. Nobody has a file open there yet.
pub fn give_up(why: String, console: &Console) -> Perm {
    if umount2("/perm", MntFlags::empty()).is_err() {
        let _ = umount2("/perm", MntFlags::MNT_DETACH);
    }
    memory("/perm", why, console)
}
