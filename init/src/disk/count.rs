//! `grubenv`: GRUB has taken a try off the slot's count before it started it; the slot serves, so it gets it back.
use crate::boot::disk::Disk;
use layout::environment::{BYTES, Environment};
use layout::{FAT_MARK, GRUBENV, Slot};
use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::FileExt;

/// Where FAT's boot sector has the name of who made it.
const MARK_AT: u64 = 3;

/// The boot partition, in which the count lies.
#[derive(Debug)]
pub struct Count {
    partition: File,
}

impl Count {
    /// Opens it.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(disk: &Disk) -> Result<Count> {
        let partition = File::options().read(true).write(true).open(format!("/dev/{}", disk.partition(1)))?;
        Ok(Count { partition })
    }

    /// Gives the slot that serves its tries back, in place, when that changes anything; a slot on trial gets none. Says
    /// what was on trial and has not stayed. A disk without a name has this one from then on.
    ///
    /// # Errors
    /// The disk's.
    pub fn put_back(&self, booted: Slot, name: [u8; 8]) -> Result<Option<Slot>> {
        let Some(block) = self.block()? else { return Ok(None) };
        let before = Environment::read(&block);
        let trial = before.as_ref().and_then(Environment::on_trial);
        let mut after = match &before {
            Some(environment) => environment.served(booted).unwrap_or_else(|| environment.clone()),
            // GRUB cannot use it, nor write it anew.
            None => Environment::new(booted),
        };
        if trial != Some(booted) {
            after.give_id(name);
        }
        if before.as_ref() != Some(&after) {
            self.write(&after)?;
        }
        Ok(trial.filter(|trial| *trial != booted))
    }

    /// Has GRUB start a slot once. The machine is to be restarted then.
    ///
    /// # Errors
    /// When the boot loader is another one, or the disk refuses.
    pub fn begin_trial(&self, slot: Slot) -> Result<()> {
        self.write(&self.ours()?.unwrap_or_else(|| Environment::new(slot.other())).trial(slot))
    }

    /// The one start of the slot on trial is made without GRUB.
    ///
    /// # Errors
    /// As above.
    pub fn trial_has_begun(&self) -> Result<()> {
        self.write(&self.known()?.begun())
    }

    /// The slot that runs was judged to be good.
    ///
    /// # Errors
    /// As above.
    pub fn commit(&self, booted: Slot) -> Result<()> {
        self.write(&self.ours()?.unwrap_or_else(|| Environment::new(booted)).committed(booted))
    }

    /// Which slot is on trial; none when the disk does not say.
    pub fn on_trial(&self) -> Option<Slot> {
        self.known().ok().and_then(|environment| environment.on_trial())
    }

    /// Has GRUB take the other slot from now on, unless that one gets its one try and is not ready.
    ///
    /// # Errors
    /// As above; when there is no room to remember it; when the other slot's image has not stood its trial.
    pub fn leave(&self, booted: Slot) -> Result<()> {
        let known = self.known()?;
        let other = booted.other();
        if known.lost() == Some(other) {
            return Err(Error::other(format!("what is in slot {} has not stood its trial", other.letter())));
        }
        self.write(&known.leaving(booted).ok_or_else(|| Error::other("grubenv is full"))?)
    }

    /// The slot that was left; none when the disk does not say.
    pub fn left(&self) -> Option<Slot> {
        self.known().ok().and_then(|environment| environment.left())
    }

    /// That a slot was left is forgotten.
    ///
    /// # Errors
    /// As above.
    pub fn recover(&self) -> Result<()> {
        self.write(&self.known()?.recovered())
    }

    /// Whether this slot is on trial and has had its one start.
    pub fn ends_with(&self, slot: Slot) -> bool {
        self.known().is_ok_and(|environment| environment.ends_with(slot))
    }

    /// The disk's name; empty when it has none, or has another boot loader.
    pub fn id(&self) -> String {
        self.known().map(|environment| environment.id().to_owned()).unwrap_or_default()
    }

    /// The kernel's command line of a slot on trial, as GRUB would make it.
    ///
    /// # Errors
    /// As above.
    pub fn command_line(&self, slot: Slot) -> Result<String> {
        Ok(self.known()?.command_line(slot))
    }

    fn known(&self) -> Result<Environment> {
        self.ours()?.ok_or_else(|| Error::other("grubenv is damaged"))
    }

    /// What our own boot loader knows; none when it is rubbish.
    fn ours(&self) -> Result<Option<Environment>> {
        let block = self.block()?.ok_or_else(|| Error::other("there is no boot loader of weir's"))?;
        Ok(Environment::read(&block))
    }

    /// The block of our own boot partition; none on somebody else's, where nothing is known to be at that place.
    fn block(&self) -> Result<Option<[u8; BYTES]>> {
        let mut mark = [0; FAT_MARK.len()];
        self.partition.read_exact_at(&mut mark, MARK_AT)?;
        let mut block = [0; BYTES];
        self.partition.read_exact_at(&mut block, GRUBENV.offset())?;
        Ok((mark == FAT_MARK).then_some(block))
    }

    fn write(&self, environment: &Environment) -> Result<()> {
        self.partition.write_all_at(&environment.block(), GRUBENV.offset())?;
        self.partition.sync_all()
    }
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

    const NAME: [u8; 8] = [7; 8];

    fn block(file: &File) -> [u8; BYTES] {
        let mut block = [0; BYTES];
        file.read_exact_at(&mut block, GRUBENV.offset()).unwrap();
        block
    }

    #[test]
    fn a_count_is_put_back_and_rubbish_made_good_on_our_own_disk_only() {
        let named = |slot| {
            let mut new = Environment::new(slot);
            new.give_id(NAME);
            new.block()
        };
        let fresh = named(Slot::B);
        let mut counted = Environment::new(Slot::B);
        counted.set("tries", "1");
        for (name, before) in [("counted", &counted.block()[..]), ("rubbish", &[0x5a; BYTES])] {
            let ours = partition(name, &FAT_MARK, before);
            let ours = Count { partition: ours };
            assert_eq!(ours.put_back(Slot::B, NAME).unwrap(), None);
            assert!(block(&ours.partition) == fresh, "{name}");
            let foreign = Count { partition: partition(name, b"mkfs.fat", before) };
            foreign.put_back(Slot::B, NAME).unwrap();
            assert!(foreign.begin_trial(Slot::A).is_err() && foreign.commit(Slot::A).is_err(), "{name}");
            assert_eq!(block(&foreign.partition)[..], before[..], "{name}");
            ours.begin_trial(Slot::A).unwrap();
            ours.trial_has_begun().unwrap();
            let trial = Environment::read(&block(&ours.partition)).unwrap();
            assert_eq!((trial.get("slot"), trial.get("tries"), ours.on_trial()), (Some("a"), Some("0"), Some(Slot::A)));
            assert_eq!(ours.put_back(Slot::A, NAME).unwrap(), None);
            assert_eq!(ours.on_trial(), Some(Slot::A), "that it serves is no verdict");
            assert_eq!(ours.put_back(Slot::B, NAME).unwrap(), Some(Slot::A), "it has not stayed");
            let after = Environment::read(&block(&ours.partition)).unwrap();
            assert_eq!((after.get("slot"), after.lost()), (Some("b"), Some(Slot::A)), "{name}");
            assert!(ours.leave(Slot::B).is_err() && block(&ours.partition) == after.block(), "there is no refuge");
            ours.begin_trial(Slot::A).unwrap();
            ours.commit(Slot::A).unwrap();
            assert!(block(&ours.partition) == named(Slot::A) && ours.id() == "0707070707070707", "{name}");
            assert_eq!(foreign.id(), "");
            ours.leave(Slot::A).unwrap();
            assert_eq!(ours.left(), Some(Slot::A));
            ours.recover().unwrap();
            let after = Environment::read(&block(&ours.partition)).unwrap();
            assert_eq!((after.get("slot"), after.get("tries"), after.left()), (Some("b"), Some("1"), None));
            assert!(foreign.leave(Slot::A).is_err() && foreign.recover().is_err());
        }
    }
}
