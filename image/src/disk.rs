//! `disk.img`: partition table, boot loader, both slots, `/perm`; everything else is a hole in a sparse file.
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::Path;

use layout::gpt::{self, Table};
use layout::{BIOS, BOOT, DISK_SECTORS, GRUBENV, PERM, SECTOR, Slot};
use layout::{initrd_of, kernel_of, sums, sums_of};

use crate::error::{Context, Error, Result};
use crate::fat::{Fat, Folder, Piece};
use crate::grub::Grub;
use crate::target::Target;

/// What a router is started from.
#[derive(Debug, Clone, Copy)]
pub struct System<'a> {
    /// `vmlinuz`.
    pub kernel: &'a [u8],
    /// `initrd.img`.
    pub initrd: &'a [u8],
    /// `root.squashfs`.
    pub root: &'a [u8],
}

/// Writes the disk (replaced if it exists) with the system in both slots and the filesystem image `perm` in its place.
///
/// # Errors
/// When something does not fit or cannot be written.
pub fn make(path: &Path, system: &System<'_>, perm: &Path, epoch: u32) -> Result<()> {
    let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path);
    let file = file.cannot_file("write", path)?;
    file.set_len(DISK_SECTORS * SECTOR).cannot_file("write", path)?;
    let mut target = Target::new(file, path);
    let grub = Grub::make()?;
    table(&mut target, DISK_SECTORS, &Table::fresh(DISK_SECTORS))?;
    target.put(0, &grub.sector)?;
    target.put(BIOS.offset(), &grub.core)?;
    for (offset, bytes) in boot(&grub, system, epoch)? {
        target.put(BOOT.offset() + offset, &bytes)?;
    }
    for slot in Slot::ALL {
        let partition = slot.root();
        if system.root.len() as u64 > partition.bytes() {
            let bytes = system.root.len();
            return Err(Error::new(format!("the root filesystem, {bytes} bytes, does not fit into its partition")));
        }
        target.put(partition.offset(), system.root)?;
    }
    put_perm(&mut target, perm)
}

/// Puts a filesystem image into `/perm`'s place.
///
/// # Errors
/// When it does not fit, or cannot be read or written.
pub fn put_perm(target: &mut Target, perm: &Path) -> Result<()> {
    let mut source = File::open(perm).cannot_file("read", perm)?;
    if source.metadata().cannot_file("read", perm)?.len() > PERM.bytes() {
        return Err(Error::new(format!("{} does not fit into partition 4", perm.display())));
    }
    let mut buffer = vec![0; 1 << 20];
    let mut offset = PERM.offset();
    loop {
        let count = source.read(&mut buffer).cannot_file("read", perm)?;
        if count == 0 {
            return Ok(());
        }
        target.put(offset, &buffer[..count])?;
        offset += count as u64;
    }
}

/// Writes both copies of a table for a disk of this many sectors, and what protects them from those who know none.
///
/// # Errors
/// When it cannot be written.
pub fn table(target: &mut Target, sectors: u64, table: &Table) -> Result<()> {
    // In the order in which a running router grows it: at every moment one copy is whole.
    target.put(gpt::backup(sectors) * SECTOR, &table.backup_bytes(sectors))?;
    target.put(gpt::PRIMARY * SECTOR, &table.primary_bytes(sectors))?;
    target.put(gpt::PROTECTIVE.start as u64, &gpt::protective(sectors))
}

/// Partition 1: the boot loader's files, and both slots' kernels in their extents.
fn boot(grub: &Grub, system: &System<'_>, epoch: u32) -> Result<Vec<Piece>> {
    let mut fat = Fat::new(epoch);
    let mut root = Folder::default();
    fat.place(&mut root, "grubenv", GRUBENV, &layout::environment::Environment::new(Slot::A).block())?;
    for slot in Slot::ALL {
        let letter = slot.letter();
        let sums = sums::of(slot, system.kernel, system.initrd).map_err(|error| Error::new(error.to_string()))?;
        fat.place(&mut root, &format!("sums-{letter}"), sums_of(slot), &sums)?;
        fat.place(&mut root, &format!("vmlinuz-{letter}"), kernel_of(slot), system.kernel)?;
        fat.place(&mut root, &format!("initrd-{letter}"), initrd_of(slot), system.initrd)?;
    }
    let (mut inner, mut outer, mut config) = (Folder::default(), Folder::default(), Folder::default());
    fat.add(&mut inner, "BOOTX64.EFI", &grub.efi)?;
    fat.folder(&mut outer, "BOOT", inner)?;
    fat.folder(&mut root, "EFI", outer)?;
    fat.add(&mut config, "grub.cfg", grub.config.as_bytes())?;
    fat.folder(&mut root, "grub", config)?;
    fat.finish(root)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::{FileExt, MetadataExt};
    use std::path::PathBuf;

    pub fn system<'a>(root: &'a [u8]) -> System<'a> {
        System { kernel: b"a kernel", initrd: b"an initramfs", root }
    }

    /// A disk with this root and a `/perm` of rubbish.
    pub fn disk(scratch: &Scratch, name: &str, root: &[u8]) -> PathBuf {
        let (path, perm) = (scratch.path().join(name), scratch.path().join("perm"));
        let mut bytes = vec![0; 100_000];
        bytes[50_000] = 7;
        std::fs::write(&perm, bytes).unwrap();
        make(&path, &system(root), &perm, 1_700_000_000).unwrap();
        path
    }

    #[test]
    fn a_disk_is_sparse_and_reproducible_and_has_everything_in_its_place() {
        let scratch = Scratch::new("disk").unwrap();
        let paths = ["a", "b"].map(|name| disk(&scratch, name, b"a root"));
        let disk = File::open(&paths[0]).unwrap();
        let metadata = disk.metadata().unwrap();
        assert_eq!(metadata.len(), DISK_SECTORS * SECTOR);
        assert!(metadata.blocks() * 512 < 2 << 20, "{} blocks in use", metadata.blocks());
        let read = |path: &Path, offset, length| {
            let mut bytes = vec![0; length];
            File::open(path).unwrap().read_exact_at(&mut bytes, offset).unwrap();
            bytes
        };
        assert!(read(&paths[0], 0, 24 << 20) == read(&paths[1], 0, 24 << 20), "random bytes on the disk");
        let at = |offset, text: &[u8]| assert_eq!(read(&paths[0], offset, text.len()), text, "{offset}");
        at(PERM.offset() + 50_000, &[7]);
        for slot in Slot::ALL {
            at(slot.root().offset(), b"a root");
            at(BOOT.offset() + kernel_of(slot).offset(), b"a kernel");
            at(BOOT.offset() + initrd_of(slot).offset(), b"an initramfs");
        }
        at(BOOT.offset() + GRUBENV.offset(), b"# GRUB Environment Block\nslot=a\ntries=3\n#");
    }
}
