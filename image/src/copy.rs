//! `disk.img` onto a disk of any size: a file that `weir run` keeps, a stick, an SSD.
//!
//! What holds data is copied, and of that only what differs is written. The partition table is made for the disk's own
//! size and comes last: who pulls the plug before has what was there, or a disk that does not start.
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use layout::gpt::{self, Table};
use layout::{BIOS, BOOT, PERM, PERM_BYTES, ROOT_A, ROOT_B, SECTOR, SPARE};
use nix::unistd::{Whence, lseek};

use crate::disk;
use crate::error::{Context, Error, Result};
use crate::target::Target;

/// Copied and compared at once.
const AT_ONCE: u64 = 1 << 20;

/// What becomes of `/perm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Perm {
    /// It stays as it is, with the spare copies beside it.
    Kept,
    /// The image's, empty.
    Fresh,
}

/// A run of bytes, equal in the image and on the disk.
type Run = (u64, u64);

/// An image that is being copied.
#[derive(Debug)]
pub struct Image {
    file: File,
    path: std::path::PathBuf,
}

impl Image {
    /// Opens `disk.img`.
    ///
    /// # Errors
    /// When it is not there, or is none.
    pub fn open(path: &Path) -> Result<Self> {
        let hint = "build the image: make image";
        let file = File::open(path).cannot_file("read", path).map_err(|error| error.next(hint))?;
        let mut primary = vec![0; usize::try_from(gpt::SECTORS * SECTOR).unwrap_or(0)];
        let read = file.read_exact_at(&mut primary, gpt::PRIMARY * SECTOR);
        if read.is_ok()
            && Table::read_primary(&primary).is_some_and(|table| table.is_ours() && table.partition(6).is_some())
        {
            return Ok(Self { file, path: path.to_owned() });
        }
        Err(Error::new(format!("{} is no disk image of weir's", path.display())).next(hint))
    }

    /// The runs that are to be equal, in the order in which they are written.
    fn runs(&self, perm: Perm) -> Result<Vec<Run>> {
        let mut runs = self.data((ROOT_A.offset(), ROOT_A.bytes()))?;
        runs.extend(self.data((ROOT_B.offset(), ROOT_B.bytes()))?);
        runs.push((BOOT.offset(), BOOT.bytes()));
        if perm == Perm::Fresh {
            runs.extend([(SPARE.offset(), SPARE.bytes()), (PERM.offset(), PERM_BYTES)]);
        }
        runs.push((BIOS.offset(), BIOS.bytes()));
        Ok(runs)
    }

    /// The parts of a run that are no holes.
    fn data(&self, (first, length): Run) -> Result<Vec<Run>> {
        let end = first + length;
        let seek = |at: u64, whence| lseek(&self.file, i64::try_from(at).unwrap_or(i64::MAX), whence);
        let (mut runs, mut at) = (Vec::new(), first);
        while at < end {
            let begin = match seek(at, Whence::SeekData) {
                Ok(begin) => u64::try_from(begin).unwrap_or(end).min(end),
                // There is no data behind this.
                Err(nix::errno::Errno::ENXIO) => break,
                Err(error) => return Err(error).cannot_file("read", &self.path),
            };
            let stop = seek(begin, Whence::SeekHole).cannot_file("read", &self.path)?;
            at = u64::try_from(stop).unwrap_or(end).min(end);
            if at > begin {
                runs.push((begin, at - begin));
            }
        }
        Ok(runs)
    }

    /// Makes the disk, of this many sectors, a disk of weir's. `progress` hears of bytes done and bytes in all.
    ///
    /// # Errors
    /// When the image cannot be read or the disk not written.
    pub fn copy(
        &self,
        target: &mut Target,
        sectors: u64,
        perm: Perm,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        let runs = self.runs(perm)?;
        self.each(&runs, progress, |offset, bytes| target.put(offset, bytes))?;
        target.sync()?;
        // The boot sector's code is of no use without a table, and the other way round.
        disk::table(target, sectors, &table_for(target, sectors, perm))?;
        target.put(0, &self.boot_code()?)?;
        target.sync()
    }

    /// Reads everything back, and says where it is not what it should be.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&self, target: &Target, sectors: u64, perm: Perm, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let wrong = |offset: u64| {
            Error::new(format!("the disk does not hold at byte {offset} what was written there"))
                .next("take another disk or stick: this one is failing")
        };
        let same = |offset: u64, bytes: &[u8]| match target.get(offset, bytes.len())? == bytes {
            true => Ok(()),
            false => Err(wrong(offset)),
        };
        self.each(&self.runs(perm)?, progress, same)?;
        let primary = target.get(gpt::PRIMARY * SECTOR, usize::try_from(gpt::SECTORS * SECTOR).unwrap_or(0))?;
        let backup = target.get(gpt::backup(sectors) * SECTOR, primary.len())?;
        let read = Table::read_primary(&primary);
        if read.is_none() || read != Table::read_backup(&backup, sectors) {
            return Err(wrong(SECTOR));
        }
        same(0, &self.boot_code()?)
    }

    /// Everything that a disk gets, in parts of at most so many bytes; the boot sector's code apart.
    ///
    /// # Errors
    /// When the image cannot be read, and what `each` has.
    pub fn each_run(&self, perm: Perm, most: usize, mut each: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        self.each(&self.runs(perm)?, &mut |_, _| (), |place, bytes| {
            let parts = (place..).step_by(most).zip(bytes.chunks(most));
            parts.into_iter().try_for_each(|(place, part)| each(place, part))
        })
    }

    /// The code of the boot sector.
    ///
    /// # Errors
    /// When the image cannot be read.
    pub fn boot_code(&self) -> Result<Vec<u8>> {
        let mut code = vec![0; 440];
        self.file.read_exact_at(&mut code, 0).cannot_file("read", &self.path)?;
        Ok(code)
    }

    fn each(
        &self,
        runs: &[Run],
        progress: &mut dyn FnMut(u64, u64),
        mut each: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let total: u64 = runs.iter().map(|(_, length)| length).sum();
        let (mut done, mut buffer) = (0, Vec::new());
        for (first, length) in runs {
            let mut at = 0;
            while at < *length {
                let now = AT_ONCE.min(length - at);
                buffer.resize(usize::try_from(now).unwrap_or(0), 0);
                self.file.read_exact_at(&mut buffer, first + at).cannot_file("read", &self.path)?;
                each(first + at, &buffer)?;
                at += now;
                done += now;
                progress(done, total);
            }
        }
        Ok(())
    }
}

/// The table on a disk, if it is one that can be relied upon.
pub fn table_on(target: &Target, sectors: u64) -> Option<Table> {
    let bytes = usize::try_from(gpt::SECTORS * SECTOR).ok()?;
    let primary = target.get(gpt::PRIMARY * SECTOR, bytes).ok().and_then(|bytes| Table::read_primary(&bytes));
    primary.or_else(|| {
        let backup = target.get(gpt::backup(sectors) * SECTOR, bytes).ok()?;
        Table::read_backup(&backup, sectors)
    })
}

/// weir's table for this disk.
fn table_for(target: &Target, sectors: u64, perm: Perm) -> Table {
    let old = table_on(target, sectors).filter(|_| perm == Perm::Kept);
    Table::keeping(old.as_ref(), sectors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::tests::disk;
    use crate::scratch::Scratch;
    use layout::LEAST_SECTORS;
    use std::fs::OpenOptions;
    use std::os::unix::fs::MetadataExt;

    fn blank(scratch: &Scratch, name: &str, sectors: u64) -> Target {
        let path = scratch.path().join(name);
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(&path).unwrap();
        file.set_len(sectors * SECTOR).unwrap();
        Target::new(file, &path)
    }

    #[test]
    fn a_larger_disk_is_written_sparsely_and_read_back() {
        let scratch = Scratch::new("copy").unwrap();
        let image = Image::open(&disk(&scratch, "disk.img", b"a root")).unwrap();
        let sectors = 8 << 21;
        let mut target = blank(&scratch, "target", sectors);
        let mut heard = (0, 0);
        image.copy(&mut target, sectors, Perm::Fresh, &mut |done, total| heard = (done, total)).unwrap();
        assert!(heard.0 == heard.1 && heard.0 > 100 << 20, "{heard:?}");
        assert!(target.written < 2 << 20 && target.file().metadata().unwrap().blocks() < 4096, "{}", target.written);
        assert_eq!(table_on(&target, sectors), Some(Table::fresh(sectors)));
        assert_eq!(target.get(PERM.offset() + 50_000, 1).unwrap(), [7]);
        image.compare(&target, sectors, Perm::Fresh, &mut |_, _| ()).unwrap();

        target.put(ROOT_B.offset() + 2, b"X").unwrap();
        let error = image.compare(&target, sectors, Perm::Fresh, &mut |_, _| ()).unwrap_err().to_string();
        assert!(error.contains(&format!("byte {}", ROOT_B.offset())) && error.contains("what to do"), "{error}");
        let written = target.written;
        image.copy(&mut target, sectors, Perm::Fresh, &mut |_, _| ()).unwrap();
        assert_eq!(target.written - written, 4096, "only what differs");
    }

    #[test]
    fn what_was_there_is_overwritten_and_perm_kept() {
        let scratch = Scratch::new("copy-keep").unwrap();
        let image = Image::open(&disk(&scratch, "disk.img", b"a root")).unwrap();
        let sectors = LEAST_SECTORS;
        let mut target = blank(&scratch, "target", sectors);
        // Of another system whose fourth partition has one sector more.
        disk::table(&mut target, sectors, &Table::fresh(sectors).with_perm_to(sectors - 34)).unwrap();
        target.put(BOOT.offset() + 30_000, &[0xee; 4096]).unwrap();
        target.put(PERM.offset() + 50_000, b"leases").unwrap();
        target.put(SPARE.offset(), b"a copy").unwrap();
        image.copy(&mut target, sectors, Perm::Kept, &mut |_, _| ()).unwrap();
        image.compare(&target, sectors, Perm::Kept, &mut |_, _| ()).unwrap();
        assert_eq!(target.get(BOOT.offset() + 30_000, 4096).unwrap(), [0; 4096]);
        assert_eq!(target.get(PERM.offset() + 50_000, 6).unwrap(), b"leases");
        assert_eq!(target.get(SPARE.offset(), 6).unwrap(), b"a copy");
        assert_eq!(table_on(&target, sectors).unwrap().partition(4), Some((PERM.first, sectors - 34)));
        image.copy(&mut target, sectors, Perm::Fresh, &mut |_, _| ()).unwrap();
        assert_eq!(target.get(SPARE.offset(), 6).unwrap(), [0; 6]);
    }

    #[test]
    fn only_an_image_is_copied() {
        let scratch = Scratch::new("copy-none").unwrap();
        let path = scratch.path().join("disk.img");
        assert!(Image::open(&path).unwrap_err().to_string().contains("make image"));
        std::fs::write(&path, vec![0; 1 << 20]).unwrap();
        assert!(Image::open(&path).unwrap_err().to_string().contains("no disk image"));
    }
}
