//! `grubenv`: GRUB has taken a try off the slot's count before it started it; the slot serves, so it gets it back.
use crate::boot::disk::Disk;
use layout::environment::{BYTES, Environment};
use layout::{FAT_MARK, GRUBENV, Slot};
use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::FileExt;

/// Where FAT's boot sector has the name of who made it.
const MARK_AT: u64 = 3;

/// Writes the extent in place, when it says something else than it should.
pub fn put_back(disk: &Disk, booted: Slot) -> Result<()> {
    let file = File::options().read(true).write(true).open(format!("/dev/{}", disk.partition(1)))?;
    put_back_in(&file, booted)
}

/// Has GRUB start the other slot once. The machine is to be restarted then.
///
/// # Errors
/// When the boot loader is another one, or the disk refuses.
pub fn begin_trial(disk: &Disk, booted: Slot) -> Result<()> {
    let file = File::options().read(true).write(true).open(format!("/dev/{}", disk.partition(1)))?;
    begin_trial_in(&file, booted.other())
}

fn begin_trial_in(partition: &File, slot: Slot) -> Result<()> {
    let block = block_of(partition)?.ok_or_else(|| Error::other("there is no boot loader of weir's"))?;
    let before = Environment::read(&block).unwrap_or_else(|| Environment::new(slot.other()));
    partition.write_all_at(&before.trial(slot).block(), GRUBENV.offset())?;
    partition.sync_all()
}

/// The block of our own boot partition; none on somebody else's, where nothing is known to be at that place.
fn block_of(partition: &File) -> Result<Option<[u8; BYTES]>> {
    let mut mark = [0; FAT_MARK.len()];
    partition.read_exact_at(&mut mark, MARK_AT)?;
    let mut block = [0; BYTES];
    partition.read_exact_at(&mut block, GRUBENV.offset())?;
    Ok((mark == FAT_MARK).then_some(block))
}

fn put_back_in(partition: &File, booted: Slot) -> Result<()> {
    let Some(block) = block_of(partition)? else { return Ok(()) };
    let after = match Environment::read(&block) {
        Some(environment) => environment.served(booted),
        // GRUB cannot use it, nor write it anew.
        None => Some(Environment::new(booted)),
    };
    if let Some(after) = after {
        partition.write_all_at(&after.block(), GRUBENV.offset())?;
        partition.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(name: &str, mark: &[u8], block: &[u8]) -> File {
        let path = std::env::temp_dir().join(format!("weir-count-{}-{name}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.set_len(4 << 20).unwrap();
        file.write_all_at(mark, MARK_AT).unwrap();
        file.write_all_at(block, GRUBENV.offset()).unwrap();
        file
    }

    fn block(file: &File) -> [u8; BYTES] {
        let mut block = [0; BYTES];
        file.read_exact_at(&mut block, GRUBENV.offset()).unwrap();
        block
    }

    #[test]
    fn a_count_is_put_back_and_rubbish_made_good_on_our_own_disk_only() {
        let fresh = Environment::new(Slot::B).block();
        let mut counted = Environment::new(Slot::B);
        counted.set("tries", "1");
        for (name, before) in [("counted", &counted.block()[..]), ("rubbish", &[0x5a; BYTES])] {
            let ours = partition(name, &FAT_MARK, before);
            put_back_in(&ours, Slot::B).unwrap();
            assert!(block(&ours) == fresh, "{name}");
            let foreign = partition(name, b"mkfs.fat", before);
            put_back_in(&foreign, Slot::B).unwrap();
            assert_eq!(block(&foreign)[..], before[..], "{name}");
            assert!(begin_trial_in(&foreign, Slot::A).is_err() && block(&foreign)[..] == before[..], "{name}");
            begin_trial_in(&ours, Slot::A).unwrap();
            let trial = Environment::read(&block(&ours)).unwrap();
            assert_eq!((trial.get("slot"), trial.get("tries")), (Some("a"), Some("1")), "{name}");
        }
    }
}
