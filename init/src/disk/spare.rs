//! The last good copy of configuration, leases and prefixes in the spare partition: for the day on which `/perm` cannot be
//! mounted. It is written from a healthy `/perm` only, and only when something differs.
use crate::boot::disk::Disk;
use layout::spare::{Copy, HALF, newest};
use layout::{SECTOR, SPARE};
use std::fs::File;
use std::io::{Read, Result};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

/// A larger file is not a person's, and is left out.
const LONGEST: u64 = HALF as u64 / 2;
const PERM: &str = "/perm";

/// The partition, where the disk has it in its place.
fn partition(disk: &Disk, write: bool) -> Option<File> {
    let name = disk.partition(6);
    let attribute = |what: &str| -> Option<u64> {
        std::fs::read_to_string(format!("/sys/class/block/{name}/{what}")).ok()?.trim().parse().ok()
    };
    let ours = attribute("start")? == SPARE.first && attribute("size")? == SPARE.bytes() / SECTOR;
    ours.then(|| File::options().read(true).write(write).open(format!("/dev/{name}")).ok())?
}

fn paths() -> impl Iterator<Item = &'static str> {
    rights::WRITTEN.iter().chain(rights::SPARED).copied()
}

/// Writes a copy of `/perm`, if it differs from the newest.
pub fn keep(disk: &Disk) -> Result<()> {
    match partition(disk, true) {
        Some(partition) => keep_in(&partition, Path::new(PERM)),
        // A router7's disk: it has none.
        None => Ok(()),
    }
}

fn keep_in(partition: &File, perm: &Path) -> Result<()> {
    let mut files = Vec::new();
    for path in paths() {
        let mut bytes = Vec::new();
        let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(below(perm, path));
        if file.and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes)).is_ok() && bytes.len() as u64 <= LONGEST
        {
            files.push((path.to_owned(), bytes));
        }
    }
    let (old, half) = both(partition)?;
    let mut copy = Copy { number: old.as_ref().map_or(0, |old| old.number), files };
    if copy.files.is_empty() || old.is_some_and(|old| old.bytes() == copy.bytes()) {
        return Ok(());
    }
    copy.number += 1;
    partition.write_all_at(&copy.bytes(), (half * HALF) as u64)?;
    partition.sync_all()
}

fn both(partition: &File) -> Result<(Option<Copy>, usize)> {
    let mut halves = [vec![0; HALF], vec![0; HALF]];
    for (place, half) in halves.iter_mut().enumerate() {
        partition.read_exact_at(half, (place * HALF) as u64)?;
    }
    let [first, second] = &halves;
    Ok(newest([first, second]))
}

/// Takes both copies away, for a factory reset.
pub fn forget(disk: &Disk) -> Result<()> {
    partition(disk, true).map_or(Ok(()), |partition| forget_in(&partition))
}

fn forget_in(partition: &File) -> Result<()> {
    for half in 0..2 {
        partition.write_all_at(&vec![0; HALF], (half * HALF) as u64)?;
    }
    partition.sync_all()
}

/// Puts the newest copy's files into a `/perm` that lacks them, wherever it is being built; how many these were.
pub fn bring_back(disk: &Disk, perm: &Path) -> Result<usize> {
    match partition(disk, false) {
        Some(partition) => bring_back_from(&partition, perm),
        None => Ok(0),
    }
}

fn bring_back_from(partition: &File, perm: &Path) -> Result<usize> {
    let (Some(copy), _) = both(partition)? else { return Ok(0) };
    let mut count = 0;
    for (path, bytes) in copy.files {
        // Nothing else has ever been kept; whose it is, and who may read it, is seen to afterwards.
        if !paths().any(|known| known == path) {
            continue;
        }
        let secret = rights::secret_of(&path).is_some();
        let path = below(perm, &path);
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        }
        let mut file = File::options();
        file.write(true).create_new(true).mode(if secret { 0o600 } else { 0o644 });
        match file.open(path) {
            Ok(mut file) => std::io::Write::write_all(&mut file, &bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
        count += 1;
    }
    Ok(count)
}

fn below(perm: &Path, path: &str) -> std::path::PathBuf {
    perm.join(path.strip_prefix(PERM).unwrap_or(path).trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_comes_back_and_only_what_differs_is_written() {
        let folder = std::env::temp_dir().join(format!("weir-spare-{}", std::process::id()));
        let (perm, again) = (folder.join("perm"), folder.join("again"));
        std::fs::create_dir_all(perm.join("dhcp4d")).unwrap();
        std::fs::create_dir_all(&again).unwrap();
        std::fs::write(perm.join("interfaces.json"), "{}").unwrap();
        std::fs::write(perm.join("dhcp4d/leases.json"), "[]").unwrap();
        std::fs::write(perm.join("something"), "else").unwrap();
        let path = folder.join("partition");
        let partition = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        partition.set_len(SPARE.bytes()).unwrap();
        assert_eq!(bring_back_from(&partition, &again).unwrap(), 0);

        keep_in(&partition, &perm).unwrap();
        let first = both(&partition).unwrap();
        assert_eq!((first.0.as_ref().unwrap().number, first.1), (1, 1));
        keep_in(&partition, &perm).unwrap();
        assert_eq!(both(&partition).unwrap(), first, "nothing differs");
        std::fs::write(perm.join("interfaces.json"), "{ }").unwrap();
        keep_in(&partition, &perm).unwrap();
        assert_eq!(both(&partition).unwrap().1, 0, "the halves take turns");

        assert_eq!(bring_back_from(&partition, &again).unwrap(), 2);
        assert_eq!(std::fs::read_to_string(again.join("interfaces.json")).unwrap(), "{ }");
        assert_eq!(std::fs::read_to_string(again.join("dhcp4d/leases.json")).unwrap(), "[]");
        std::fs::write(again.join("interfaces.json"), "newer").unwrap();
        std::fs::remove_file(again.join("dhcp4d/leases.json")).unwrap();
        assert_eq!(bring_back_from(&partition, &again).unwrap(), 1, "only what is missing");
        assert_eq!(std::fs::read_to_string(again.join("interfaces.json")).unwrap(), "newer");
        forget_in(&partition).unwrap();
        assert_eq!(bring_back_from(&partition, &folder).unwrap(), 0, "erased is erased");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
