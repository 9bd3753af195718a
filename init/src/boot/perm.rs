//! `/perm`: ext4 where there is one, memory where there is none. It never stops the router.
use super::mounts::virtual_one;
use super::superblock;
use crate::console::Console;
use layout::mending::{BYTES, Mark};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Where `/perm` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Perm {
    /// An ext4 partition.
    Ext4,
    /// The same, made anew in this boot, and what became of the files.
    Mended(String),
    /// A tmpfs, and why.
    Memory(String),
}

impl Perm {
    /// Whether what is written there stays.
    pub fn on_disk(&self) -> bool {
        !matches!(self, Perm::Memory(_))
    }
}

const MEMORY: Option<&str> = Some("mode=0755,size=8m,nr_inodes=1k");
const FLAGS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC).union(MsFlags::MS_NOATIME);

/// Mounts `/perm` on the root that is being built: from the device, by its name under `/dev`, or from memory; and whether
/// the filesystem there is damaged.
pub fn attach(device: Result<String, String>, console: &Console) -> (Perm, bool) {
    let mut damaged = false;
    let mounted = device.and_then(|name| {
        let path = format!("/dev/{name}");
        damaged = is_half(&path);
        if damaged {
            return Err(format!("ext4 on {path} was not made to its end"));
        }
        let mounted = ext4(&path, "/root/perm").or_else(|error| {
            if error != Errno::EBADMSG || !superblock::mend(&path).unwrap_or(false) {
                return Err(error);
            }
            console.say(format_args!("perm: the superblock on {path} was half written"));
            ext4(&path, "/root/perm")
        });
        mounted.map(|()| path.clone()).map_err(|error| {
            damaged = is_damage(error);
            reason(error, &path)
        })
    });
    match mounted {
        Ok(path) => {
            console.say(format_args!("perm (ext4) on {path}"));
            (Perm::Ext4, damaged)
        }
        Err(why) => (memory("/root/perm", why, console), damaged),
    }
}

fn ext4(path: &str, on: &str) -> nix::Result<()> {
    mount(Some(path), on, Some("ext4"), FLAGS, Some("errors=remount-ro"))
}

/// A filesystem that is being made anew has a mark before it.
fn is_half(path: &str) -> bool {
    let mut sector = [0; BYTES];
    File::open(path).and_then(|device| device.read_exact_at(&mut sector, 0)).is_ok() && Mark::read(&sector).is_some()
}

/// What the kernel says of a filesystem that is not one, or not whole. Without memory, say, nothing is known of it.
fn is_damage(error: Errno) -> bool {
    matches!(error, Errno::EINVAL | Errno::EUCLEAN | Errno::EIO | Errno::EBADMSG)
}

/// Puts a filesystem that was made anew into the place of the one in memory.
///
/// # Errors
/// In words; then memory stays.
pub fn take(device: &str) -> Result<(), String> {
    let path = format!("/dev/{device}");
    if is_half(&path) {
        return Err(format!("ext4 on {path} was not made to its end"));
    }
    umount2("/perm", MntFlags::empty()).map_err(|error| format!("/perm in memory: {error}"))?;
    ext4(&path, "/perm").map_err(|error| {
        // It was there a moment ago: who has no memory for this has none for anything.
        let _ = virtual_one("tmpfs", "/perm", FLAGS, MEMORY);
        reason(error, &path)
    })
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
    if let Err(trouble) = virtual_one("tmpfs", on, FLAGS, MEMORY) {
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
