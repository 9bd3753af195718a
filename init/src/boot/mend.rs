//! A `/perm` that the kernel does not mount is made anew by a program of the root, which saves what can be read of it. PID 1
//! starts it and waits, but not for long: after that the LAN is served from memory, as it would be without it.
use super::disk::Disk;
use super::perm::{self, Perm};
use crate::clock;
use crate::console::Console;
use crate::lines::{Line, Lines};
use crate::sys::{self, Plan};
use crate::watchdog::Watchdog;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, pipe2};
use std::ffi::CString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// With a slow start before it the LAN is still served within a minute.
const LIMIT_MS: u64 = 25_000;
/// Where the new filesystem is filled.
const FOLDER: &str = "/run/mend";
/// What the program's last line begins with when all went well.
const DONE: &str = "done: ";
/// Bytes of a line that are shown.
const LINE: usize = 200;
const FILES: u64 = 64;

/// Makes it anew and mounts it, with the last good copy of what could not be read; or leaves memory as it is.
pub fn mend(disk: &Disk, perm: Perm, console: &Console, watchdog: &mut Watchdog) -> Perm {
    let device = disk.partition(4);
    console.say(format_args!("perm: saving what can be read on {device}"));
    let done = start(&format!("/dev/{device}")).and_then(|(pid, pipe)| {
        let done = wait(pipe, console, watchdog);
        if done.is_err() {
            // It is collected with the orphans. One that hangs in the kernel holds nothing that we need.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        done
    });
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

fn start(device: &str) -> Result<(i32, File), String> {
    let pipe = || -> nix::Result<(File, OwnedFd)> {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((File::from(ours), theirs))
    };
    let (ours, theirs) = pipe().map_err(|error| format!("pipe: {error}"))?;
    let null =
        File::options().read(true).write(true).open("/dev/null").map_err(|error| format!("/dev/null: {error}"))?;
    let device = CString::new(device).map_err(|_| "a name with a NUL".to_owned())?;
    let folder = CString::new(FOLDER).map_err(|_| "a name with a NUL".to_owned())?;
    let plan = Plan {
        program: c"/bin/services",
        words: &[c"services", c"mend", device.as_c_str(), folder.as_c_str()],
        environment: &[],
        descriptors: [null.as_raw_fd(), theirs.as_raw_fd(), theirs.as_raw_fd(), null.as_raw_fd()],
        uid: 0,
        groups: &[],
        capabilities: RIGHTS.iter().fold(0, |bits, number| bits | 1u64 << *number),
        files: FILES,
    };
    let pid = sys::spawn(&plan).map_err(|failed| failed.to_string())?;
    Ok((pid, ours))
}

/// Capabilities by their numbers: CHOWN, DAC_OVERRIDE, FOWNER and FSETID to give files their owners, KILL, SETGID and SETUID
/// to become nobody for the reading, SYS_ADMIN to mount.
const RIGHTS: [u8; 8] = [0, 1, 3, 4, 5, 6, 7, 21];

/// Shows its lines until the last.
fn wait(mut pipe: File, console: &Console, watchdog: &mut Watchdog) -> Result<String, String> {
    let (until, mut last, mut lines) = (clock::now() + LIMIT_MS, None::<String>, Lines::new(LINE));
    loop {
        let left = until.saturating_sub(clock::now());
        if left == 0 {
            return Err("it takes too long".into());
        }
        let events = PollFlags::POLLIN;
        let mut waits = [PollFd::new(pipe.as_fd(), events), PollFd::new(watchdog.timer().as_fd(), events)];
        // An interrupted wait is a short one.
        let _ = poll(&mut waits, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        let hungry = waits.get(1).and_then(PollFd::any).unwrap_or(false);
        if hungry {
            watchdog.feed();
        }
        let mut buffer = [0; 512];
        match pipe.read(&mut buffer) {
            Ok(0) => return Err(last.unwrap_or_else(|| "it ended without a word".to_owned())),
            Ok(count) => {
                let mut done = None;
                lines.feed(buffer.get(..count).unwrap_or_default(), &mut |line: Line<'_>| {
                    let (Line::Whole(text) | Line::Cut(text)) = line;
                    let text: String =
                        String::from_utf8_lossy(text).chars().filter(|letter| !letter.is_control()).collect();
                    match text.strip_prefix(DONE) {
                        Some(what) => done = Some(what.to_owned()),
                        None => {
                            if let Some(before) = last.replace(text) {
                                console.say(format_args!("perm: {before}"));
                            }
                        }
                    }
                });
                if let Some(done) = done {
                    if let Some(before) = last {
                        console.say(format_args!("perm: {before}"));
                    }
                    return Ok(done);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}
