//! The disks of the machine, and what is on each.
use layout::SECTOR;
use layout::gpt::{self, Table};
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const BLOCK: &str = "/sys/block";
/// How often the kernel is asked for disks, and how long none that is new must come.
const LOOK: Duration = Duration::from_millis(200);
const QUIET: Duration = Duration::from_secs(3);
/// The longest wait for the first one.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where partition tables and most filesystems begin: zeros there, and nobody has anything on the disk.
const BEGINNING: usize = 1 << 20;

/// What is on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// weir's partitions or router7's, which lie alike.
    Ours,
    /// Nothing.
    Nothing,
    /// Something of somebody else's.
    Others,
    /// It cannot be read.
    Unreadable,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its name under `/dev`.
    pub name: String,
    /// What it calls itself; empty when it does not.
    pub model: String,
    /// Its size.
    pub sectors: u64,
    /// A stick or a card: it may be pulled out.
    pub removable: bool,
    /// What is on it.
    pub holds: Holds,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, model) = (&self.name, &self.model);
        let tenths = self.sectors * SECTOR / 100_000_000;
        let model = if model.is_empty() { String::new() } else { format!("{model}, ") };
        write!(f, "{name} ({model}{}.{} GB)", tenths / 10, tenths % 10)
    }
}

/// The disks, when the last one has come; or as soon as the one of this name is there.
pub fn wait(wanted: Option<&str>) -> Vec<Disk> {
    let begun = Instant::now();
    let (mut names, mut since) = (Vec::new(), begun);
    loop {
        let now = names_in(Path::new(BLOCK));
        if now != names {
            (names, since) = (now, Instant::now());
        }
        let is_there = wanted.is_some_and(|wanted| names.iter().any(|name| name == wanted));
        let settled = wanted.is_none() && !names.is_empty() && since.elapsed() >= QUIET;
        if is_there || settled || begun.elapsed() >= PATIENCE {
            return look_at(&names);
        }
        std::thread::sleep(LOOK);
    }
}

/// The disks that are there now.
pub fn found() -> Vec<Disk> {
    look_at(&names_in(Path::new(BLOCK)))
}

/// A disk's size in sectors; 0 when there is none.
pub fn sectors(name: &str) -> u64 {
    read(Path::new(BLOCK), name, "size").parse().unwrap_or(0)
}

/// First sectors of a disk's partitions, as the kernel knows them.
pub fn starts(name: &str) -> Vec<u64> {
    let entries = std::fs::read_dir(Path::new(BLOCK).join(name)).into_iter().flatten().flatten();
    let start = |path: std::path::PathBuf| std::fs::read_to_string(path.join("start")).ok()?.trim().parse().ok();
    let mut starts: Vec<u64> = entries.filter_map(|entry| start(entry.path())).collect();
    starts.sort_unstable();
    starts
}

fn look_at(names: &[String]) -> Vec<Disk> {
    names.iter().filter_map(|name| look(Path::new(BLOCK), Path::new("/dev"), name)).collect()
}

/// Disks that can be written to; not what is in memory, nor a card's hidden parts.
fn names_in(block: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(block).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let number = |name: &str, file: &str| read(block, name, file).parse::<u64>().unwrap_or(0);
    names.retain(|name| {
        let kinds = ["loop", "ram", "zram", "sr", "dm-", "md", "fd", "nbd"];
        !kinds.iter().any(|kind| name.starts_with(kind))
            && !(name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb")))
            && number(name, "size") > 0
            && number(name, "ro") == 0
    });
    names.sort_unstable();
    names
}

fn read(block: &Path, name: &str, file: &str) -> String {
    std::fs::read_to_string(block.join(name).join(file)).unwrap_or_default().trim().to_owned()
}

fn look(block: &Path, dev: &Path, name: &str) -> Option<Disk> {
    let sectors = read(block, name, "size").parse().ok()?;
    let model = read(block, name, "device/model").split_whitespace().collect::<Vec<_>>().join(" ");
    let removable = read(block, name, "removable") == "1";
    let holds = File::open(dev.join(name)).map_or(Holds::Unreadable, |file| holds(&file, sectors));
    Some(Disk { name: name.to_owned(), model, sectors, removable, holds })
}

fn holds(disk: &File, sectors: u64) -> Holds {
    if table(disk, sectors).is_some_and(|table| table.is_ours()) {
        return Holds::Ours;
    }
    let mut beginning = vec![0; BEGINNING.min(usize::try_from(sectors * SECTOR).unwrap_or(BEGINNING))];
    match disk.read_exact_at(&mut beginning, 0) {
        Ok(()) if beginning.iter().all(|byte| *byte == 0) => Holds::Nothing,
        Ok(()) => Holds::Others,
        Err(_) => Holds::Unreadable,
    }
}

/// The partition table of a disk, the first copy or else the second.
pub fn table(disk: &File, sectors: u64) -> Option<Table> {
    let mut bytes = vec![0; usize::try_from(gpt::SECTORS * SECTOR).ok()?];
    let first = disk.read_exact_at(&mut bytes, gpt::PRIMARY * SECTOR).ok().and_then(|()| Table::read_primary(&bytes));
    first.or_else(|| {
        disk.read_exact_at(&mut bytes, gpt::backup(sectors) * SECTOR).ok()?;
        Table::read_backup(&bytes, sectors)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::tests::Folder;

    #[test]
    fn only_disks_are_disks_and_each_says_what_is_on_it() {
        let folder = Folder::new("disks");
        let (block, dev) = (folder.0.join("block"), folder.0.join("dev"));
        std::fs::create_dir_all(&dev).unwrap();
        let sectors = layout::DISK_SECTORS;
        let disk = |name: &str, sectors: u64, ro: &str| {
            let at = block.join(name).join("device");
            std::fs::create_dir_all(&at).unwrap();
            std::fs::write(block.join(name).join("size"), format!("{sectors}\n")).unwrap();
            std::fs::write(block.join(name).join("ro"), ro).unwrap();
            std::fs::write(block.join(name).join("removable"), "1\n").unwrap();
            std::fs::write(at.join("model"), "Ultra  Fit \n").unwrap();
        };
        for (name, sectors, ro) in [("sda", sectors, "0"), ("sdb", 0, "0"), ("sdc", 9, "1"), ("loop0", 9, "0")] {
            disk(name, sectors, ro);
        }
        disk("mmcblk0boot0", 9, "0");
        disk("mmcblk0", 9, "0");
        assert_eq!(names_in(&block), ["mmcblk0", "sda"]);

        let file = File::create(dev.join("sda")).unwrap();
        file.set_len(sectors * SECTOR).unwrap();
        let found = look(&block, &dev, "sda").unwrap();
        assert_eq!((found.holds, found.removable, found.sectors), (Holds::Nothing, true, sectors));
        assert_eq!(found.to_string(), "sda (Ultra Fit, 1.3 GB)");
        file.write_all_at(b"\xeb\x58\x90", 0).unwrap();
        assert_eq!(look(&block, &dev, "sda").unwrap().holds, Holds::Others);
        let table = Table::fresh(sectors);
        file.write_all_at(&table.backup_bytes(sectors), gpt::backup(sectors) * SECTOR).unwrap();
        assert_eq!(look(&block, &dev, "sda").unwrap().holds, Holds::Ours, "by the second copy");
        assert_eq!(look(&block, &dev, "mmcblk0").unwrap().holds, Holds::Unreadable);
    }
}
