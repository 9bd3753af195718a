//! The system that runs, as pieces for another disk: the boot loader, the slot that runs (into both slots there), and an
//! empty `/perm`. It is read from its disk as it goes, so that a small machine has room for it.
use installer::disks;
use installer::write::Pieces;
use layout::environment::{self, Environment};
use layout::runs::{Piece, Runs};
use layout::{
    BIOS, BOOT, FAT_DATA, FAT_MARK, GRUBENV, LOADER, PERM, ROOT_A, ROOT_B, SECTOR, SPARE, Slot, initrd_of, kernel_of,
    sums, sums_of,
};
use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The empty filesystem, in the root.
pub const FRESH: &str = "/etc/perm.runs";
/// Bytes of a piece.
const PIECE: u64 = 256 << 10;
/// The code in the disk's first sector.
const CODE: u64 = 440;
/// Where a SquashFS says how long it is, and its first bytes.
const ROOT_BYTES_AT: u64 = 40;
const ROOT_MAGIC: [u8; 4] = *b"hsqs";

/// Something that is written.
#[derive(Debug)]
enum Part {
    /// From a place of the running disk.
    Copy { from: u64, length: u64, to: Vec<u64> },
    /// What there is no such place for.
    Made { bytes: Vec<u8>, to: Vec<u64> },
}

/// The pieces.
#[derive(Debug)]
pub struct Source {
    disk: File,
    parts: Vec<Part>,
    fresh: PathBuf,
    /// The part, and how far it is.
    at: (usize, u64),
    perm: Option<Runs<BufReader<File>>>,
}

impl Source {
    /// Looks at the disk that weir runs from, and whether the slot is as its sums say.
    ///
    /// # Errors
    /// In words.
    pub fn open(disk: File, sectors: u64, slot: Slot, fresh: &Path) -> Result<Source, String> {
        let read = |place: u64, length: u64| read(&disk, place, length);
        if disks::table(&disk, sectors).is_none_or(|table| !table.is_ours())
            || read(BOOT.offset() + 3, FAT_MARK.len() as u64)? != FAT_MARK
        {
            return Err("it is not laid out as weir's disks are".into());
        }
        let extent = |extent: layout::Extent| BOOT.offset() + extent.offset();
        let sums = read(extent(sums_of(slot)), sums::BYTES as u64)?;
        let runs = Environment::read(&sums).ok_or("its slot has no sums")?;
        let run = |name: &str, room: u64| {
            let (first, count) = runs.get(name)?.split_once('+')?;
            let (first, count): (u32, u32) = (first.parse().ok()?, count.parse().ok()?);
            let (first, length) = (u64::from(first) * SECTOR, u64::from(count) * SECTOR);
            (length <= room).then(|| (BOOT.offset() + first, length))
        };
        let kernel = run("kernel", kernel_of(slot).bytes()).ok_or("its slot has no kernel")?;
        let initrd = run("initrd", initrd_of(slot).bytes()).ok_or("its slot has no initramfs")?;
        let (kernel_bytes, initrd_bytes) = (read(kernel.0, kernel.1)?, read(initrd.0, initrd.1)?);
        let of = |slot| sums::of(slot, &kernel_bytes, &initrd_bytes).map_err(|error| error.to_string());
        if of(slot)? != sums[..] {
            return Err(format!("slot {} is damaged: start the other one, or make the stick anew", slot.letter()));
        }
        let root = slot.root();
        let head = read(root.offset(), ROOT_BYTES_AT + 8)?;
        let bytes = head.last_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let bytes = bytes.filter(|bytes| head.starts_with(&ROOT_MAGIC) && *bytes <= root.bytes());
        let bytes = bytes.ok_or_else(|| format!("slot {} has no root", slot.letter()))?.next_multiple_of(4096);

        let mut parts = vec![
            Part::Copy { from: root.offset(), length: bytes, to: vec![ROOT_A.offset(), ROOT_B.offset()] },
            Part::Copy { from: BIOS.offset(), length: BIOS.bytes(), to: vec![BIOS.offset()] },
            Part::Copy { from: BOOT.offset(), length: FAT_DATA * SECTOR, to: vec![BOOT.offset()] },
            Part::Copy { from: extent(LOADER), length: LOADER.bytes(), to: vec![extent(LOADER)] },
        ];
        for (run, place) in [(kernel, kernel_of as fn(Slot) -> layout::Extent), (initrd, initrd_of)] {
            let to = Slot::ALL.iter().map(|slot| extent(place(*slot))).collect();
            parts.push(Part::Copy { from: run.0, length: run.1, to });
        }
        for slot in Slot::ALL {
            parts.push(Part::Made { bytes: of(slot)?.to_vec(), to: vec![extent(sums_of(slot))] });
        }
        // A count of its own, and the words for the kernel that somebody has said.
        let there = Environment::read(&read(extent(GRUBENV), environment::BYTES as u64)?);
        let mut environment = Environment::new(Slot::A);
        if let Some(words) = there.as_ref().and_then(|there| there.get("words")) {
            environment.set("words", words);
        }
        parts.push(Part::Made { bytes: environment.block().to_vec(), to: vec![extent(GRUBENV)] });
        let empty = vec![0; PIECE as usize];
        let places = (0..SPARE.bytes() / PIECE).map(|at| SPARE.offset() + at * PIECE).collect();
        parts.push(Part::Made { bytes: empty, to: places });
        parts.push(Part::Copy { from: 0, length: CODE, to: vec![0] });
        Ok(Source { disk, parts, fresh: fresh.to_owned(), at: (0, 0), perm: None })
    }

    /// From the first piece on again.
    ///
    /// # Errors
    /// None at present: what is wrong is said when it is read.
    pub fn rewind(&mut self) -> Result<(), String> {
        (self.at, self.perm) = ((0, 0), None);
        Ok(())
    }

    /// The empty `/perm`, whose places count from its partition's first byte.
    fn perm(&mut self) -> Result<Option<Piece>, String> {
        let words = |why: &dyn std::fmt::Display| format!("{}: {why}", self.fresh.display());
        let runs = match &mut self.perm {
            Some(runs) => runs,
            None => {
                let file = File::open(&self.fresh).map_err(|error| words(&error))?;
                self.perm.insert(Runs::open(BufReader::new(file)).map_err(|damage| words(&damage))?)
            }
        };
        let piece = runs.piece().map_err(|damage| words(&damage))?;
        Ok(piece.map(|Piece { places, bytes }| {
            let places = places.iter().map(|place| PERM.offset() + place).collect();
            Piece { places, bytes }
        }))
    }
}

impl Pieces for Source {
    fn piece(&mut self) -> Result<Option<Piece>, String> {
        let (part, done) = self.at;
        match self.parts.get(part) {
            None => self.perm(),
            Some(Part::Made { bytes, to }) => {
                self.at = (part + 1, 0);
                Ok(Some(Piece { places: to.clone(), bytes: bytes.clone() }))
            }
            Some(Part::Copy { from, length, to }) => {
                let now = PIECE.min(length - done);
                self.at = if done + now == *length { (part + 1, 0) } else { (part, done + now) };
                let places = to.iter().map(|place| place + done).collect();
                Ok(Some(Piece { places, bytes: read(&self.disk, from + done, now)? }))
            }
        }
    }
}

fn read(disk: &File, place: u64, length: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; usize::try_from(length).map_err(|error| error.to_string())?];
    disk.read_exact_at(&mut bytes, place).map_err(|error| format!("cannot be read at byte {place}: {error}"))?;
    Ok(bytes)
}
