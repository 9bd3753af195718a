//! The last control packets on the disk, for whoever asks after a reboot why it came to that: written once in a while and
//! at an orderly stop, as wireshark reads them.
use super::client::View;
use super::ring::Ring;
use super::wish::Wish;
use crate::house::House;
use crate::perm::file;
use netstack::capture::Filter;
use netstack::time::Instant;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

/// What asks for them, instead of an address.
pub const LAST_BOOT: &str = "--last-boot";
/// This boot's, and those of the boot before.
const NOW: &str = "/perm/captured/last.pcapng";
const BEFORE: &str = "/perm/captured/before.pcapng";
/// In memory, so it is there only after our first start since power-on.
const MARK: &str = "/run/captured/started";
/// Packets, and bytes of them.
const PACKETS: u64 = 2_000;
const BYTES: usize = 512 << 10;
/// A disk of flash is written to no more often than this.
const OFTEN: Duration = Duration::from_secs(600);

/// The two files.
#[derive(Debug)]
pub struct Kept {
    now: PathBuf,
    before: PathBuf,
    /// How many packets there had been when it was written last.
    written: u64,
    at: Instant,
    complained: bool,
}

impl Kept {
    /// What this boot has not written is the boot's before.
    pub fn open(house: &House, now: Instant) -> Kept {
        let kept =
            Kept { now: house.path(NOW), before: house.path(BEFORE), written: 0, at: now + OFTEN, complained: false };
        let mark = house.path(MARK);
        if !mark.exists() {
            match fs::rename(&kept.now, &kept.before) {
                Err(error) if error.kind() != ErrorKind::NotFound => log::warn!("{BEFORE}: {error}"),
                _ => {}
            }
            if let Err(error) = fs::write(&mark, b"") {
                log::warn!("{}: {error}", mark.display());
            }
        }
        kept
    }

    /// When [`Kept::write`] is wanted; never while nothing has come.
    pub fn deadline(&self, ring: &Ring) -> Option<Instant> {
        (ring.next() > self.written).then_some(self.at)
    }

    /// Writes the last packets, if there are some that are not on the disk.
    pub fn write(&mut self, now: Instant, ring: &Ring) {
        self.at = now + OFTEN;
        if ring.next() <= self.written {
            return;
        }
        match file::replace_with(&self.now, &last(ring), 0o600) {
            Ok(_) => (self.written, self.complained) = (ring.next(), false),
            // Said once; the next try may fare better.
            Err(error) if !std::mem::replace(&mut self.complained, true) => log::warn!("{NOW}: {error}"),
            Err(_) => {}
        }
    }

    /// Those of the boot before.
    ///
    /// # Errors
    /// In words, when there are none.
    pub fn before(&self) -> Result<File, String> {
        File::open(&self.before).map_err(|error: io::Error| match error.kind() {
            ErrorKind::NotFound => "nothing was kept in the boot before this one".to_owned(),
            _ => format!("{BEFORE}: {error}"),
        })
    }
}

/// A file of the last packets.
fn last(ring: &Ring) -> Vec<u8> {
    let mut from = ring.next().saturating_sub(PACKETS);
    let (mut sizes, mut number) = (Vec::new(), from);
    while let Some((found, _, _, packet)) = ring.from(number) {
        sizes.push((found, packet.bytes.len()));
        number = found + 1;
    }
    let mut held = 0;
    for (number, size) in sizes.iter().rev() {
        held += size;
        if held > BYTES {
            from = number + 1;
            break;
        }
    }
    let mut bytes = Vec::new();
    let mut view = View::begin(Wish { filter: Filter::Control, address: None }, ring, &mut bytes);
    view.skip_to(from);
    while view.fill(ring, &mut bytes, usize::MAX) {}
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::ring::Packet;
    use super::*;
    use crate::perm::file::tests::Folder;

    fn house(folder: &Folder) -> House {
        fs::create_dir_all(folder.0.join("run/captured")).unwrap();
        House::open(["--root".into(), folder.0.clone().into_os_string()].into_iter()).unwrap()
    }

    fn packet(at: u64, length: usize) -> Packet {
        Packet { at, original: length, bytes: vec![7; length].into() }
    }

    #[test]
    fn the_last_two_thousand_and_no_more_than_half_a_megabyte() {
        let mut ring = Ring::new(4 << 20);
        for at in 0..5_000 {
            ring.push("lan0", packet(at, 100));
        }
        // Head, one interface, and 32 bytes around each packet.
        let bytes = last(&ring);
        assert_eq!((bytes.len() - 28 - 40) / 132, 2_000);
        for at in 0..2_000 {
            ring.push("lan0", packet(at, 1_400));
        }
        let bytes = last(&ring);
        assert!(bytes.len() > 500_000 && bytes.len() < BYTES + (64 << 10), "{}", bytes.len());
    }

    #[test]
    fn a_boot_finds_what_the_one_before_has_left() {
        let folder = Folder::new();
        let (now, mut ring) = (Instant::from_secs(1_000), Ring::new(4 << 20));
        let mut first = Kept::open(&house(&folder), now);
        assert!(first.before().is_err_and(|words| words.contains("nothing was kept")));
        assert_eq!(first.deadline(&ring), None, "an idle router writes nothing");
        ring.push("lan0", packet(1, 100));
        assert_eq!(first.deadline(&ring), Some(now + OFTEN));
        first.write(now, &ring);
        assert_eq!(first.deadline(&ring), None);
        // Another life in the same boot is no boot.
        assert!(Kept::open(&house(&folder), now).before().is_err());
        fs::remove_dir_all(folder.0.join("run")).unwrap();
        let second = Kept::open(&house(&folder), now);
        assert_eq!(second.before().unwrap().metadata().unwrap().len(), 28 + 40 + 132);
        fs::remove_dir_all(folder.0.join("run")).unwrap();
        let third = Kept::open(&house(&folder), now);
        assert!(third.before().is_ok(), "a boot in which nothing came leaves the last that did");
    }
}
