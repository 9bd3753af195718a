//! `weir write`: a disk or stick becomes a router's. What is on it is looked at first, and asked about before it is lost.
use std::fs::{self, OpenOptions};
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use layout::gpt::Table;
use layout::{LEAST_SECTORS, PERM, SECTOR};
use nix::fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise};
use nix::unistd::{Whence, lseek};

use crate::copy::{Image, Perm, table_on};
use crate::error::{Context, Error, Result};
use crate::target::Target;

/// What to write where.
#[derive(Debug, Clone)]
pub struct Order {
    /// The disk, or a file in the place of one.
    pub disk: PathBuf,
    /// `disk.img`.
    pub image: PathBuf,
    /// `/perm` is made anew even if there is one.
    pub erase: bool,
    /// Nothing is asked.
    pub yes: bool,
}

/// What is on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// Nothing that anybody would miss.
    Blank,
    /// weir's or router7's partitions, with a `/perm` or without.
    Ours { perm: bool },
    /// Somebody else's; in words.
    Foreign(String),
}

/// Writes the image and reads it back.
///
/// # Errors
/// When the disk is in use, too small, somebody else's and nobody said yes, or fails.
pub fn write(order: &Order) -> Result<()> {
    let image = Image::open(&order.image)?;
    let (mut target, sectors) = open(&order.disk)?;
    let found = look(&target, sectors);
    let perm = if found == (Found::Ours { perm: true }) && !order.erase { Perm::Kept } else { Perm::Fresh };
    let name = order.disk.display();
    eprintln!("weir write: {name}, {} MB: {}", sectors * SECTOR / 1_000_000, words(&found, perm));
    if let Some(loss) = loss(&found, perm)
        && !order.yes
    {
        ask(&order.disk, &loss)?;
    }
    let mut progress = Progress::new("writing");
    image.copy(&mut target, sectors, perm, &mut |done, total| progress.show(done, total))?;
    // What is compared shall come from the disk.
    let _ = posix_fadvise(target.file(), 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    let mut progress = Progress::new("comparing");
    image.compare(&target, sectors, perm, &mut |done, total| progress.show(done, total))?;
    eprintln!("weir write: {name} is a router's: {} KB were written, everything was read back", target.written / 1000);
    Ok(())
}

/// Opens a whole disk that nobody uses; its sectors.
fn open(path: &Path) -> Result<(Target, u64)> {
    let name = path.display();
    let metadata = fs::metadata(path)
        .cannot_file("find", path)
        .map_err(|error| error.next("lsblk lists disks; a file in the place of one is made by: truncate -s 2G FILE"))?;
    let device = metadata.file_type().is_block_device();
    if device {
        let folder = format!(
            "/sys/dev/block/{}:{}",
            nix::sys::stat::major(metadata.rdev()),
            nix::sys::stat::minor(metadata.rdev())
        );
        whole_disk(path, Path::new(&folder))?;
    } else if !metadata.is_file() {
        return Err(Error::new(format!("{name} is neither a disk nor a file")).next("lsblk lists disks"));
    }
    // The kernel gives a disk away once: nobody has mounted it or a part of it.
    let exclusive = if device { OFlag::O_EXCL.bits() } else { 0 };
    let file = OpenOptions::new().read(true).write(true).custom_flags(exclusive).open(path);
    let file = file.cannot_file("open", path).map_err(|error| match used_by(path) {
        Some(users) => Error::new(format!("{name} is in use: {users}")).next("unmount it, then try again"),
        None => error.next("writing to a disk needs root; a disk in use (mounted, swap, RAID, LVM) is not written"),
    })?;
    let bytes = u64::try_from(lseek(&file, 0, Whence::SeekEnd).cannot_file("measure", path)?).unwrap_or(0);
    let sectors = bytes / SECTOR;
    if sectors < LEAST_SECTORS {
        let (have, least) = (bytes / 1_000_000, LEAST_SECTORS * SECTOR / 1_000_000 + 1);
        return Err(Error::new(format!("{name} has {have} MB, too few: a router needs {least}"))
            .next("take a larger disk or stick"));
    }
    Ok((Target::new(file, path), sectors))
}

fn whole_disk(path: &Path, folder: &Path) -> Result<()> {
    let name = path.display();
    if folder.join("partition").exists() {
        return Err(Error::new(format!("{name} is one partition")).next("name the whole disk, such as /dev/sdb"));
    }
    let size = fs::read_to_string(folder.join("queue/logical_block_size")).unwrap_or_default();
    if !matches!(size.trim(), "" | "512") {
        return Err(Error::new(format!(
            "{name} has sectors of {} bytes; its firmware would not find 512",
            size.trim()
        ))
        .next("take another disk, or format this one to sectors of 512 bytes (nvme format does)"));
    }
    Ok(())
}

/// Mounts whose device begins with the disk's name.
fn used_by(path: &Path) -> Option<String> {
    let disk = fs::canonicalize(path).ok()?.to_string_lossy().into_owned();
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mounts = mounts.lines().filter(|line| line.starts_with(&disk));
    let users: Vec<String> = mounts.map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" on ")).collect();
    (!users.is_empty()).then(|| users.join(", "))
}

fn look(target: &Target, sectors: u64) -> Found {
    const EXT4_MAGIC: [u8; 2] = [0x53, 0xef];
    let get = |offset, length| target.get(offset, length).unwrap_or_default();
    if let Some(table) = table_on(target, sectors) {
        if table.is_ours() {
            let fits = table.partition(4).is_some_and(|(_, last)| last < sectors);
            return Found::Ours { perm: fits && get(PERM.offset() + 1080, 2) == EXT4_MAGIC };
        }
        return Found::Foreign(partitions(&table));
    }
    let head = get(0, 1 << 20);
    if head.iter().all(|byte| *byte == 0) {
        return Found::Blank;
    }
    let old = head.get(510..512) == Some(&[0x55, 0xaa]);
    Found::Foreign(
        if old { "partitions or a filesystem of the old kind" } else { "something without partitions" }.into(),
    )
}

fn partitions(table: &Table) -> String {
    let sizes = (1..=128).filter_map(|number| {
        let (first, last) = table.partition(number)?;
        Some(format!("{number}: {} MB", (last + 1).saturating_sub(first) * SECTOR / 1_000_000))
    });
    format!("partitions of another system ({})", sizes.collect::<Vec<_>>().join(", "))
}

fn words(found: &Found, perm: Perm) -> String {
    match (found, perm) {
        (Found::Blank, _) => "it is blank".into(),
        (Found::Ours { .. }, Perm::Kept) => "a router's; its /perm stays as it is".into(),
        (Found::Ours { perm: true }, Perm::Fresh) => "a router's; its /perm is made anew (--erase)".into(),
        (Found::Ours { perm: false }, Perm::Fresh) => "a router's without a /perm that could be kept".into(),
        (Found::Foreign(what), _) => format!("it holds {what}"),
    }
}

/// What would be lost, if anything.
fn loss(found: &Found, perm: Perm) -> Option<String> {
    match found {
        Found::Ours { perm: true } if perm == Perm::Fresh => Some("its configuration and leases".into()),
        // A damaged one may be all that somebody has.
        Found::Ours { perm: false } => Some("what its /perm may still hold".into()),
        Found::Foreign(what) => Some(what.clone()),
        Found::Blank | Found::Ours { .. } => None,
    }
}

fn ask(disk: &Path, loss: &str) -> Result<()> {
    let name = disk.display();
    let refused = || Error::new(format!("{name} is left as it was: {loss} would be lost"));
    if !std::io::stdin().is_terminal() {
        return Err(refused().next("if that may be, say it: weir write --yes"));
    }
    eprint!("weir write: {loss}: lost for good. Type yes to go on: ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).cannot(|| "hear an answer".into())?;
    if answer.trim() == "yes" { Ok(()) } else { Err(refused()) }
}

/// A line that is written over on a terminal, and every tenth elsewhere.
struct Progress {
    what: &'static str,
    shown: u64,
    terminal: bool,
}

impl Progress {
    fn new(what: &'static str) -> Self {
        Self { what, shown: u64::MAX, terminal: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, done: u64, total: u64) {
        let percent = done * 100 / total.max(1);
        let step = if self.terminal { percent } else { percent / 10 * 10 };
        if step == self.shown {
            return;
        }
        self.shown = step;
        let end = if self.terminal && done < total { "\r" } else { "\n" };
        eprint!("weir write: {} {step:3} %{end}", self.what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::tests::disk;
    use crate::scratch::Scratch;
    use layout::DISK_SECTORS;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    fn order(scratch: &Scratch, bytes: u64) -> Order {
        let disk = scratch.path().join("target");
        File::create(&disk).unwrap().set_len(bytes).unwrap();
        Order { disk, image: scratch.path().join("disk.img"), erase: false, yes: false }
    }

    fn byte(order: &Order, offset: u64) -> u8 {
        let mut byte = [0];
        File::open(&order.disk).unwrap().read_exact_at(&mut byte, offset).unwrap();
        byte[0]
    }

    fn set(order: &Order, offset: u64, bytes: &[u8]) {
        OpenOptions::new().write(true).open(&order.disk).unwrap().write_all_at(bytes, offset).unwrap();
    }

    #[test]
    fn a_blank_disk_is_written_at_once_and_a_router_keeps_its_perm() {
        let scratch = Scratch::new("write").unwrap();
        disk(&scratch, "disk.img", b"a root");
        let order = order(&scratch, DISK_SECTORS * SECTOR * 2);
        write(&order).unwrap();
        assert_eq!(byte(&order, PERM.offset() + 50_000), 7);

        // The image's /perm is rubbish here, so it takes a word before it is overwritten.
        let refused = write(&order).unwrap_err().to_string();
        assert!(refused.contains("would be lost") && refused.contains("--yes"), "{refused}");
        set(&order, PERM.offset() + 1080, &[0x53, 0xef]);
        set(&order, PERM.offset() + 50_000, &[9]);
        write(&order).unwrap();
        assert_eq!(byte(&order, PERM.offset() + 50_000), 9, "kept");
        let erase = Order { erase: true, ..order.clone() };
        assert!(write(&erase).unwrap_err().to_string().contains("configuration and leases would be lost"));
        write(&Order { yes: true, ..erase }).unwrap();
        assert_eq!(byte(&order, PERM.offset() + 50_000), 7, "made anew");
    }

    #[test]
    fn somebody_elses_disk_takes_a_word() {
        let scratch = Scratch::new("write-foreign").unwrap();
        disk(&scratch, "disk.img", b"a root");
        let order = order(&scratch, DISK_SECTORS * SECTOR);
        set(&order, 510, &[0x55, 0xaa]);
        let refused = write(&order).unwrap_err().to_string();
        assert!(refused.contains("of the old kind would be lost"), "{refused}");
        set(&order, 510, &[0, 0]);
        let mut sgdisk = std::process::Command::new("/usr/sbin/sgdisk");
        assert!(sgdisk.args(["-n", "1:2048:+300M"]).arg(&order.disk).output().unwrap().status.success());
        let refused = write(&order).unwrap_err().to_string();
        assert!(refused.contains("another system (1: 314 MB)"), "{refused}");
        assert_eq!(byte(&order, layout::ROOT_A.offset()), 0, "nothing was written");
        write(&Order { yes: true, ..order }).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_named_with_a_way_out() {
        let scratch = Scratch::new("write-not").unwrap();
        disk(&scratch, "disk.img", b"a root");
        let small = order(&scratch, 512 << 20);
        let said = write(&small).unwrap_err().to_string();
        assert!(said.contains("has 536 MB, too few: a router needs 1225"), "{said}");
        let said = write(&Order { disk: scratch.path().join("none"), ..small.clone() }).unwrap_err().to_string();
        assert!(said.contains("lsblk"), "{said}");
        let said = write(&Order { disk: scratch.path().to_owned(), ..small }).unwrap_err().to_string();
        assert!(said.contains("neither a disk nor a file"), "{said}");
        fs::write(scratch.path().join("partition"), "1").unwrap();
        let said = whole_disk(Path::new("/dev/sdx1"), scratch.path()).unwrap_err().to_string();
        assert!(said.contains("one partition") && said.contains("whole disk"), "{said}");
        fs::remove_file(scratch.path().join("partition")).unwrap();
        fs::create_dir(scratch.path().join("queue")).unwrap();
        fs::write(scratch.path().join("queue/logical_block_size"), "4096\n").unwrap();
        assert!(whole_disk(Path::new("/dev/sdx"), scratch.path()).unwrap_err().to_string().contains("4096 bytes"));
    }
}
