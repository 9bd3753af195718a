//! A `/perm` that the kernel does not mount is made anew by a program of the root, which saves what can be read of it. PID 1
//! starts it and waits, but not for long: after that the LAN is served from memory, as it would be without it.
use super::disk::Disk;
use super::perm::{self, Perm};
use crate::console::Console;
use crate::helper::Helper;
use crate::watchdog::Watchdog;
use std::path::Path;

/// With a slow start before it the LAN is still served within a minute.
const LIMIT_MS: u64 = 25_000;
/// Where the new filesystem is filled.
const FOLDER: &str = "/run/mend";

/// Makes it anew and mounts it, with the last good copy of what could not be read; or leaves memory as it is.
pub fn mend(disk: &Disk, perm: Perm, console: &Console, watchdog: &mut Watchdog) -> Perm {
    let device = disk.partition(4);
    console.say(format_args!("perm: saving what can be read on {device}"));
    let helper = Helper::start(&["mend", &format!("/dev/{device}"), FOLDER]);
    let done = helper
        .and_then(|helper| helper.wait(LIMIT_MS, watchdog, &mut |line| console.say(format_args!("perm: {line}"))));
    let taken = done.and_then(|what| perm::take(&device).map(|()| what));
    match taken {
        Ok(what) => {
            console.say(format_args!("perm (ext4) on /dev/{device}: {what}"));
            match crate::disk::bring_back(disk, Path::new("/perm")) {
                Ok(0) => {}
                Ok(count) => console.say(format_args!("perm: {count} files from the last good copy")),
                Err(error) => console.say(format_args!("the spare partition of {}: {error}", disk.name)),
            }
            Perm::Mended(what)
        }
        Err(why) => {
            console.say(format_args!("NO PERM: it could not be made anew: {why}"));
            perm
        }
    }
}
