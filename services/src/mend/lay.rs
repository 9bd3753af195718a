//! What is written: the copy of what was saved, the mark, the empty filesystem, the files.
use super::saved::{About, Saved};
use super::view::SUPERBLOCK;
use layout::mending::{BYTES, Mark};
use layout::runs::{Piece, Runs};
use layout::{PERM_BYTES, crc32};
use std::fs::{DirBuilder, File, Permissions, set_permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

const PAGE: u64 = 4096;
/// Places that are looked at for the copy, from the end of the partition on.
const TRIES: u64 = 64;

/// The empty filesystem, its offsets counted from the partition's first byte. It is read piece by piece: its journal is
/// larger than what a small machine has to spare.
#[derive(Debug)]
pub struct Empty {
    path: PathBuf,
    /// The piece with the superblock.
    first: Option<Piece>,
}

impl Empty {
    /// Looks at all its sums.
    ///
    /// # Errors
    /// In words, when it is not there or damaged.
    pub fn open(path: &Path) -> Result<Empty, String> {
        let mut empty = Empty { path: path.to_owned(), first: None };
        let mut first = None;
        empty.each(|piece| {
            if piece.places.contains(&0) {
                first = Some(piece);
            }
            Ok(())
        })?;
        empty.first = first;
        Ok(empty)
    }

    /// Hands over each piece.
    fn each(&self, mut take: impl FnMut(Piece) -> Result<(), String>) -> Result<(), String> {
        let words = |why: &dyn std::fmt::Display| format!("{}: {why}", self.path.display());
        let file = File::open(&self.path).map_err(|error| words(&error))?;
        let mut runs = Runs::open(io::BufReader::new(file)).map_err(|damage| words(&damage))?;
        while let Some(piece) = runs.piece().map_err(|damage| words(&damage))? {
            take(piece)?;
        }
        Ok(())
    }

    /// Its superblock and the descriptor of its first group.
    pub fn numbers(&self) -> Option<(&[u8], &[u8])> {
        let at = |first: usize, length: usize| self.first.as_ref()?.bytes.get(first..first + length);
        Some((at(SUPERBLOCK, SUPERBLOCK)?, at(4096, 64)?))
    }
}

/// Keeps the stream on the partition, where a place behind the new filesystem holds nothing but zeros, and writes the mark.
/// Without such a place only memory has it, and a cut from here on leaves what the spare partition has.
///
/// # Errors
/// The disk's.
pub fn keep(partition: &File, room: u64, stream: &[u8]) -> io::Result<()> {
    let length = (stream.len() as u64).next_multiple_of(PAGE);
    let last = (room / PAGE * PAGE).checked_sub(length);
    let places = (0..TRIES).filter_map(|back| last?.checked_sub(back * length)).take_while(|at| *at >= PERM_BYTES);
    let mut there = vec![0; length as usize];
    let mut is_free =
        |at: &u64| partition.read_exact_at(&mut there, *at).is_ok() && there.iter().all(|byte| *byte == 0);
    let place = places.into_iter().find(|at| is_free(at));
    let mark = match place {
        Some(offset) => {
            partition.write_all_at(stream, offset)?;
            partition.sync_all()?;
            Mark { offset, length: stream.len() as u64, sum: crc32(stream) }
        }
        None => Mark::default(),
    };
    partition.write_all_at(&mark.sector(), 0)?;
    partition.sync_all()
}

/// What the mark leads to; nothing when it is not there, or not as it was.
pub fn kept(partition: &File, mark: &Mark) -> Saved {
    // Three times what is ever kept: one that says more is not ours.
    let length = usize::try_from(mark.length).ok().filter(|length| *length as u64 <= 3 * super::reader::BUDGET);
    let mut stream = vec![0; length.unwrap_or(0)];
    let read = partition.read_exact_at(&mut stream, mark.offset);
    if read.is_ok() && crc32(&stream) == mark.sum { Saved::read(&stream) } else { Saved::default() }
}

/// Lays the empty filesystem down; the mark stays.
///
/// # Errors
/// In words: the disk's, or the partition is too small.
pub fn lay(partition: &File, room: u64, empty: &Empty) -> Result<(), String> {
    if room < PERM_BYTES {
        return Err("the partition is too small".into());
    }
    empty.each(|Piece { places, bytes }| {
        for place in places {
            let spared = (BYTES as u64).saturating_sub(place).min(bytes.len() as u64);
            let rest = bytes.get(spared as usize..).unwrap_or_default();
            partition.write_all_at(rest, place + spared).map_err(|error| error.to_string())?;
        }
        Ok(())
    })?;
    partition.sync_all().map_err(|error| error.to_string())
}

/// Puts everything into the mounted filesystem; how many files found no room.
///
/// # Errors
/// The first that is not for want of room.
pub fn fill(saved: &Saved, folder: &Path) -> io::Result<usize> {
    let mut dropped = 0;
    let make = |path: &Path| DirBuilder::new().recursive(true).mode(0o755).create(path);
    for (about, bytes) in &saved.files {
        let path = folder.join(&about.path);
        if let Some(parent) = path.parent() {
            make(parent)?;
        }
        let written = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        match written.and_then(|mut file| file.write_all(bytes)) {
            Ok(()) => give(&path, about)?,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                // Half a file is worse than none.
                std::fs::remove_file(&path)?;
                dropped += 1;
            }
            Err(error) => return Err(error),
        }
    }
    for about in &saved.folders {
        let path = folder.join(&about.path);
        make(&path)?;
        // Its access list was not saved: where there was one the mode says so, and the boot makes both anew.
        let mode = if about.mode & 0o1000 == 0 { about.mode } else { 0o750 };
        give(&path, &About { mode, ..about.clone() })?;
    }
    // The filesystem as a whole: each file by itself would take a commit of the journal.
    nix::unistd::syncfs(File::open(folder)?)?;
    Ok(dropped)
}

fn give(path: &Path, about: &About) -> io::Result<()> {
    chown(path, Some(about.uid), Some(about.gid))?;
    set_permissions(path, Permissions::from_mode(about.mode))
}

/// Takes the mark away: from now on it is a `/perm` like any other.
///
/// # Errors
/// The disk's.
pub fn unmark(partition: &File) -> io::Result<()> {
    partition.write_all_at(&[0; BYTES], 0)?;
    partition.sync_all()
}
