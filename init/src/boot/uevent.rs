//! Waiting for the boot disk: by the kernel's own word (uevents), never by polling.
use super::disk::{self, Disk};
use crate::clock;
use crate::cmdline::Words;
use crate::console::Console;
use crate::watchdog::Watchdog;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// How often the console hears that we wait.
const SAY_EVERY_MS: u64 = 10_000;

/// The boot disk, now or as soon as it is there.
pub fn wait_for_disk(words: &Words, console: &Console, watchdog: &mut Watchdog) -> Result<Disk, String> {
    let scan = || disk::scan(words);
    if let Some(found) = scan().filter(|found| found.settles_ms == 0) {
        return Ok(found.disk);
    }
    // Listening begins before the second look, so that no disk can slip in between.
    let events = listen().map_err(|error| format!("no boot disk, and no uevents to wait for one: {error}"))?;
    let mut found = scan();
    let began = clock::now();
    let mut since = found.is_some().then_some(began);
    let mut say = began + SAY_EVERY_MS;
    loop {
        let now = clock::now();
        let settled = found.as_ref().zip(since).map(|(found, since)| since + found.settles_ms);
        if let Some(found) = &found
            && settled.is_some_and(|at| at <= now)
        {
            if found.settles_ms >= disk::OTHER_SETTLES_MS {
                console.say(format_args!("the disk that this was started from is not there: {}", found.disk.name));
            }
            return Ok(found.disk.clone());
        }
        if say <= now {
            say = now + SAY_EVERY_MS;
            let wanted = words.disk.as_deref().unwrap_or("a disk with weir's partitions");
            console.say(format_args!("waiting for {wanted}"));
        }
        let next = settled.map_or(say, |at| at.min(say)).saturating_sub(now);
        if turn(&events, watchdog, next) {
            found = scan();
            since = found.is_some().then(|| since.unwrap_or_else(clock::now));
        }
    }
}

fn listen() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let kind = SockType::Datagram;
    let events = socket(AddressFamily::Netlink, kind, flags, SockProtocol::NetlinkKObjectUEvent)?;
    bind(events.as_raw_fd(), &NetlinkAddr::new(0, 1))?;
    Ok(events)
}

/// One turn of the waiting loop; true when the disks may have changed.
fn turn(events: &OwnedFd, watchdog: &mut Watchdog, wait_ms: u64) -> bool {
    let mut waits =
        [PollFd::new(events.as_fd(), PollFlags::POLLIN), PollFd::new(watchdog.timer().as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(wait_ms).unwrap_or(PollTimeout::MAX);
    // An interrupted wait is a short one.
    let _ = poll(&mut waits, timeout);
    let ready = |wait: &PollFd<'_>| wait.any().unwrap_or(false);
    let (news, hungry) = (ready(&waits[0]), ready(&waits[1]));
    if hungry {
        watchdog.feed();
    }
    news && drain(events)
}

/// Reads all that is queued; true when a block device was among it, or when events were lost.
fn drain(events: &OwnedFd) -> bool {
    let mut changed = false;
    let mut buffer = [0u8; 8192];
    loop {
        match recv(events.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => changed |= is_block(buffer.get(..length).unwrap_or_default()),
            Err(nix::errno::Errno::ENOBUFS) => changed = true,
            Err(_) => return changed,
        }
    }
}

/// Whether a uevent is about a block device.
fn is_block(event: &[u8]) -> bool {
    event.split(|byte| *byte == 0).any(|field| field == b"SUBSYSTEM=block")
}

#[cfg(test)]
mod tests {
    use super::is_block;

    #[test]
    fn only_block_devices_count() {
        assert!(is_block(b"add@/devices/x/sda\0ACTION=add\0DEVPATH=/devices/x/sda\0SUBSYSTEM=block\0SEQNUM=7\0"));
        assert!(!is_block(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=net\0"));
        assert!(!is_block(b""));
    }
}
