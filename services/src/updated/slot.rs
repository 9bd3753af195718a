//! The slot that is not running, as PID 1 has handed it over: written in place, read back, and only then given its sums.
use crate::house::House;
use crate::update::{Manifest, hex};
use layout::sums;
use layout::{BOOT, Extent, FAT_MARK, SECTOR, Slot, initrd_of, kernel_of, sums_of};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use ring::digest::{Context, SHA256};
use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Where PID 1 says which partitions, and which slot.
const FOLDER: &str = "/run/updated";
/// Where FAT's boot sector has the name of who made it.
const MARK_AT: u64 = 3;
/// Read at once.
const CHUNK: usize = 256 << 10;

/// The slot.
#[derive(Debug)]
pub struct Target {
    boot: File,
    root: File,
    /// It has no sums any more.
    begun: Cell<bool>,
    /// Which.
    pub slot: Slot,
}

impl Target {
    /// Opens what PID 1 has handed over. Nothing is written yet: until the first byte the slot is what it was.
    ///
    /// # Errors
    /// In words: there is none, or it is not laid out as weir's.
    pub fn open(house: &House) -> Result<Target, String> {
        let path = |name: &str| house.path(&format!("{FOLDER}/{name}"));
        let letter = std::fs::read_to_string(path("slot")).unwrap_or_default();
        let slot = Slot::of(letter.trim())
            .ok_or("this machine has no slot for updates: it does not run from a disk of weir's")?;
        let open = |name: &str| {
            let file = File::options().read(true).write(true).open(path(name));
            file.map_err(|error| format!("the {name} partition: {error}"))
        };
        let (boot, root) = (open("boot")?, open("root")?);
        let mut mark = [0; FAT_MARK.len()];
        boot.read_exact_at(&mut mark, MARK_AT).map_err(|error| format!("the boot partition: {error}"))?;
        if mark != FAT_MARK {
            return Err(
                "the boot partition is not weir's: install it anew, /perm stays (weir write, weir recover)".into()
            );
        }
        Ok(Target { boot, root, begun: Cell::new(false), slot })
    }

    /// Takes the slot's sums away: GRUB does not start what is being written.
    fn begin(&self) -> Result<(), String> {
        if !self.begun.get() {
            self.put(&self.boot, sums_of(self.slot).offset(), &[0; sums::BYTES])?;
            self.sync()?;
            self.begun.set(true);
        }
        Ok(())
    }

    /// Bytes of a part, by its number in the manifest, at their place in it. The first ones cost the slot its sums.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, part: usize, offset: u64, bytes: &[u8]) -> Result<(), String> {
        self.begin()?;
        match part {
            0 => self.put(&self.boot, kernel_of(self.slot).offset() + offset, bytes),
            1 => self.put(&self.boot, initrd_of(self.slot).offset() + offset, bytes),
            _ => self.put(&self.root, offset, bytes),
        }
    }

    fn put(&self, file: &File, place: u64, bytes: &[u8]) -> Result<(), String> {
        file.write_all_at(bytes, place).map_err(|error| format!("slot {}: {error}", self.slot.letter()))
    }

    fn sync(&self) -> Result<(), String> {
        let synced = self.boot.sync_all().and_then(|()| self.root.sync_all());
        synced.map_err(|error| format!("slot {}: {error}", self.slot.letter()))
    }

    /// Everything was written: brings it onto the disk, reads it back from there, and gives the slot its sums.
    ///
    /// # Errors
    /// The disk's, or what it does not hold although it was written.
    pub fn seal(&self, manifest: &Manifest) -> Result<(), String> {
        let [kernel, initrd, root] = manifest.parts.as_slice() else { return Err("a manifest of other parts".into()) };
        self.begin()?;
        // Up to whole sectors, as the sums count them.
        for (extent, part) in [(kernel_of(self.slot), kernel), (initrd_of(self.slot), initrd)] {
            let rest = part.bytes.next_multiple_of(SECTOR) - part.bytes;
            self.put(&self.boot, extent.offset() + part.bytes, &vec![0; usize::try_from(rest).unwrap_or(0)])?;
        }
        self.sync()?;
        for file in [&self.boot, &self.root] {
            // The kernel's memory of what was written is no proof.
            let forgotten = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
            forgotten.map_err(|error| format!("slot {}: {error}", self.slot.letter()))?;
        }
        let (kernel, initrd) =
            (self.read(kernel_of(self.slot), kernel.bytes)?, self.read(initrd_of(self.slot), initrd.bytes)?);
        let sum = |bytes: &[u8]| hex(ring::digest::digest(&SHA256, bytes).as_ref());
        let found = [sum(&kernel), sum(&initrd), self.root_sum(root.bytes)?];
        for (part, found) in manifest.parts.iter().zip(found) {
            if !found.eq_ignore_ascii_case(&part.sha256) {
                return Err(format!(
                    "slot {} does not hold the {} that was written: the disk is failing",
                    self.slot.letter(),
                    part.name
                ));
            }
        }
        let sums = sums::of(self.slot, &kernel, &initrd).map_err(|error| error.to_string())?;
        self.put(&self.boot, sums_of(self.slot).offset(), &sums)?;
        self.sync()
    }

    fn read(&self, extent: Extent, length: u64) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; usize::try_from(length.min(BOOT.bytes())).unwrap_or(0)];
        self.boot.read_exact_at(&mut bytes, extent.offset()).map_err(|error| format!("the boot partition: {error}"))?;
        Ok(bytes)
    }

    fn root_sum(&self, length: u64) -> Result<String, String> {
        let (mut sum, mut at, mut chunk) = (Context::new(&SHA256), 0, vec![0; CHUNK]);
        while at < length {
            let now = usize::try_from(length - at).unwrap_or(CHUNK).min(CHUNK);
            let part = chunk.get_mut(..now).unwrap_or_default();
            self.root.read_exact_at(part, at).map_err(|error| format!("the root partition: {error}"))?;
            sum.update(part);
            at += now as u64;
        }
        Ok(hex(sum.finish().as_ref()))
    }
}
