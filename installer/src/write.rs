//! Writing the disk, and reading it back. What lies there already is not written again; the partition table comes last:
//! who pulls the plug before has what was there, or a disk that does not start.
use layout::gpt::{self, Table};
use layout::runs::{Piece, Runs};
use layout::{SECTOR, crc32};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::fs::File;
use std::io::{Error, Read};
use std::os::unix::fs::FileExt;

use crate::disks;

/// What is to be written, piece by piece.
pub trait Pieces {
    /// The next piece; none at the end.
    ///
    /// # Errors
    /// In words: it is damaged, or cannot be read.
    fn piece(&mut self) -> Result<Option<Piece>, String>;
}

impl<R: Read> Pieces for Runs<R> {
    fn piece(&mut self) -> Result<Option<Piece>, String> {
        Runs::piece(self).map_err(|damage| format!("what was loaded {damage}"))
    }
}

/// What is equal in pieces of this size is left alone.
const BLOCK: usize = 4096;

/// What is written where.
#[derive(Debug)]
pub struct Job<'a> {
    /// The disk.
    pub target: &'a File,
    /// Its size.
    pub sectors: u64,
    /// `/perm` is left alone.
    pub keeps_perm: bool,
    /// Bytes of all pieces, each as often as it has places.
    pub total: u64,
}

/// Reads everything once, so that nothing is begun with what is damaged; the bytes in all their places.
///
/// # Errors
/// What is damaged.
pub fn measure(pieces: &mut impl Pieces) -> Result<u64, String> {
    let mut total = 0;
    while let Some(piece) = pieces.piece()? {
        total += (piece.bytes.len() * piece.places.len()) as u64;
    }
    Ok(total)
}

impl Job<'_> {
    /// Makes the disk hold it all.
    ///
    /// # Errors
    /// In words.
    pub fn write(&self, pieces: &mut impl Pieces, progress: &mut dyn FnMut(u64)) -> Result<(), String> {
        // Found before anything is changed: who keeps /perm keeps its length as well.
        let old = disks::table(self.target, self.sectors).filter(|_| self.keeps_perm);
        let table = Table::keeping(old.as_ref(), self.sectors);
        let mut code = None;
        self.each(pieces, progress, |place, bytes| {
            if place == 0 {
                code = Some(bytes.to_vec());
                return Ok(());
            }
            self.put(place, bytes)
        })?;
        self.sync()?;
        self.put(gpt::backup(self.sectors) * SECTOR, &table.backup_bytes(self.sectors))?;
        self.put(gpt::PRIMARY * SECTOR, &table.primary_bytes(self.sectors))?;
        self.put(gpt::PROTECTIVE.start as u64, &gpt::protective(self.sectors))?;
        // The boot sector's code is of no use without a table, and the other way round.
        code.map_or(Ok(()), |code| self.put(0, &code))?;
        self.sync()
    }

    /// Reads everything back from the disk itself.
    ///
    /// # Errors
    /// The first place that does not hold what was written.
    pub fn check(&self, pieces: &mut impl Pieces, progress: &mut dyn FnMut(u64)) -> Result<(), String> {
        // The kernel's memory of what was written is no proof.
        posix_fadvise(self.target, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
            .map_err(|error| format!("the disk: {error}"))?;
        let wrong = |place: u64| {
            format!("the disk does not hold at byte {place} what was written there: it is failing, take another one")
        };
        self.each(pieces, progress, |place, bytes| {
            let mut there = vec![0; bytes.len()];
            self.target.read_exact_at(&mut there, place).map_err(|error| at("read", place, &error))?;
            if crc32(&there) == crc32(bytes) && there == bytes { Ok(()) } else { Err(wrong(place)) }
        })?;
        disks::table(self.target, self.sectors).filter(Table::is_ours).map(drop).ok_or_else(|| wrong(SECTOR))
    }

    fn each(
        &self,
        pieces: &mut impl Pieces,
        progress: &mut dyn FnMut(u64),
        mut each: impl FnMut(u64, &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let (mut done, mut told) = (0, 0);
        while let Some(piece) = pieces.piece()? {
            let Piece { places, bytes } = &piece;
            for place in piece.places_beside_perm(self.keeps_perm) {
                each(place, bytes)?;
            }
            done += (bytes.len() * places.len()) as u64;
            let percent = done * 100 / self.total.max(1);
            if percent >= told + 10 {
                told = percent / 10 * 10;
                progress(told);
            }
        }
        Ok(())
    }

    fn put(&self, place: u64, bytes: &[u8]) -> Result<(), String> {
        let mut there = vec![0; bytes.len()];
        self.target.read_exact_at(&mut there, place).map_err(|error| at("read", place, &error))?;
        let mut offset = place;
        for (new, old) in bytes.chunks(BLOCK).zip(there.chunks(BLOCK)) {
            if new != old {
                self.target.write_all_at(new, offset).map_err(|error| at("write", offset, &error))?;
            }
            offset += new.len() as u64;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), String> {
        self.target.sync_all().map_err(|error| format!("the disk did not take it: {error}"))
    }
}

fn at(verb: &str, place: u64, error: &Error) -> String {
    format!("cannot {verb} the disk at byte {place}: {error}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use layout::runs::{MAGIC, finish, push};
    use layout::{BOOT, PERM, ROOT_A, ROOT_B, SPARE};
    use std::path::PathBuf;

    /// A folder that is gone at the end.
    pub struct Folder(pub PathBuf);

    impl Folder {
        pub fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("weir-installer-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const SECTORS: u64 = layout::LEAST_SECTORS;

    fn disk(folder: &Folder) -> File {
        let file = File::options().create_new(true).read(true).write(true).open(folder.0.join("disk")).unwrap();
        file.set_len(SECTORS * SECTOR).unwrap();
        file
    }

    fn runs() -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        push(&mut bytes, &[ROOT_A.offset(), ROOT_B.offset()], &[5; 9_000]);
        push(&mut bytes, &[BOOT.offset()], &[0; 20_000]);
        push(&mut bytes, &[PERM.offset()], b"new");
        push(&mut bytes, &[SPARE.offset()], b"new");
        push(&mut bytes, &[0], &[0xeb; 440]);
        finish(&mut bytes);
        bytes
    }

    fn open(bytes: &[u8]) -> Runs<&[u8]> {
        Runs::open(bytes).unwrap()
    }

    fn read(file: &File, place: u64) -> [u8; 3] {
        let mut bytes = [0; 3];
        file.read_exact_at(&mut bytes, place).unwrap();
        bytes
    }

    #[test]
    fn a_disk_is_written_and_checked() {
        let (folder, bytes) = (Folder::new("write"), runs());
        let target = disk(&folder);
        target.write_all_at(b"old", BOOT.offset() + 9).unwrap();
        let total = measure(&mut open(&bytes)).unwrap();
        assert_eq!(total, 18_000 + 20_000 + 6 + 440);
        let job = Job { target: &target, sectors: SECTORS, keeps_perm: false, total };
        let mut told = Vec::new();
        job.write(&mut open(&bytes), &mut |percent| told.push(percent)).unwrap();
        assert_eq!(told, [40, 90, 100]);
        assert_eq!((read(&target, ROOT_B.offset() + 8_997), read(&target, BOOT.offset() + 9)), ([5; 3], [0; 3]));
        assert_eq!((&read(&target, PERM.offset()), read(&target, 437)), (b"new", [0xeb; 3]));
        assert_eq!(disks::table(&target, SECTORS), Some(Table::fresh(SECTORS)));
        job.check(&mut open(&bytes), &mut |_| ()).unwrap();

        target.write_all_at(b"X", ROOT_B.offset() + 4_100).unwrap();
        let why = job.check(&mut open(&bytes), &mut |_| ()).unwrap_err();
        assert!(why.contains(&format!("byte {}", ROOT_B.offset())) && why.contains("another one"), "{why}");
    }

    #[test]
    fn a_perm_that_is_kept_stays_byte_for_byte_and_as_long() {
        let (folder, bytes) = (Folder::new("keep"), runs());
        let target = disk(&folder);
        let table = Table::fresh(SECTORS).with_perm_to(SECTORS - 34);
        target.write_all_at(&table.primary_bytes(SECTORS), SECTOR).unwrap();
        target.write_all_at(b"old", PERM.offset()).unwrap();
        target.write_all_at(b"old", SPARE.offset()).unwrap();
        let job = Job { target: &target, sectors: SECTORS, keeps_perm: true, total: 1 };
        job.write(&mut open(&bytes), &mut |_| ()).unwrap();
        job.check(&mut open(&bytes), &mut |_| ()).unwrap();
        assert_eq!((&read(&target, PERM.offset()), &read(&target, SPARE.offset())), (b"old", b"old"));
        assert_eq!(disks::table(&target, SECTORS).unwrap().partition(4), Some((PERM.first, SECTORS - 34)));
    }

    #[test]
    fn what_is_damaged_is_not_begun_with_and_a_disk_that_ends_is_named() {
        let (folder, mut bytes) = (Folder::new("damage"), runs());
        bytes[60] ^= 1;
        assert!(measure(&mut open(&bytes)).is_err());
        let target = disk(&folder);
        target.set_len(ROOT_B.offset() + 5_000).unwrap();
        let job = Job { target: &target, sectors: SECTORS, keeps_perm: false, total: 1 };
        let why = job.write(&mut open(&runs()), &mut |_| ()).unwrap_err();
        assert!(why.contains(&format!("cannot read the disk at byte {}", ROOT_B.offset())), "{why}");
    }
}
