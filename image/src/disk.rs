//! `disk.img`: a partition table, the root in slot A, `/perm`; everything else is a hole in a sparse file.
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use gpt::partition_types::{EFI, LINUX_FS, LINUX_ROOT_X64, Type};

use crate::error::{Context, Error, Result};
use crate::geometry::{DISK_GUID, DISK_SECTORS, PARTITIONS, PERM, ROOT_A, Role, SECTOR};

/// Zeros in runs of this size are left out of a sparse file.
const HOLE: usize = 4096;

/// Writes the disk (replaced if it exists) with `root` in slot A and the filesystem image `perm` in its place.
///
/// # Errors
/// When something does not fit or cannot be written.
pub fn make(path: &Path, root: &[u8], perm: &Path) -> Result<()> {
    let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path);
    let file = file.cannot_file("write", path)?;
    file.set_len(DISK_SECTORS * SECTOR).cannot_file("write", path)?;
    let file = write_table(file).cannot(|| format!("write the partition table of {}", path.display()))?;
    check_root_fits(root)?;
    write_sparse(&mut &root[..], &file, ROOT_A.offset()).cannot_file("write", path)?;
    let mut source = File::open(perm).cannot_file("read", perm)?;
    let written = write_sparse(&mut source, &file, PERM.offset()).cannot_file("write", path)?;
    if written > PERM.bytes() {
        return Err(Error::new(format!("{} does not fit into partition 4", perm.display())));
    }
    Ok(())
}

/// Puts a new root into slot A of an existing disk and leaves all else as it is.
///
/// # Errors
/// When `path` is not a disk of weir, or cannot be written.
pub fn replace_root(path: &Path, root: &[u8]) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path).cannot_file("open", path)?;
    check_table(&file, path)?;
    check_root_fits(root)?;
    file.write_all_at(root, ROOT_A.offset()).cannot_file("write", path)
}

fn check_root_fits(root: &[u8]) -> Result<()> {
    if root.len() as u64 > ROOT_A.bytes() {
        return Err(Error::new(format!("the root filesystem, {} bytes, does not fit into partition 2", root.len())));
    }
    Ok(())
}

fn check_table(file: &File, path: &Path) -> Result<()> {
    let ours = gpt::GptConfig::new().writable(false).open_from_device(file).is_ok_and(|disk| {
        PARTITIONS.iter().zip(disk.partitions().values()).filter(|(want, have)| want.first == have.first_lba).count()
            == PARTITIONS.len()
    });
    if ours {
        return Ok(());
    }
    Err(Error::new(format!("{} does not have weir's partitions", path.display()))
        .next(format!("delete it (what its router has stored is lost): rm {}", path.display())))
}

fn kind(role: Role, name: &str) -> Type {
    match (role, name == ROOT_A.name) {
        (Role::Boot, _) => EFI,
        (Role::Root, true) => LINUX_ROOT_X64,
        _ => LINUX_FS,
    }
}

fn write_table(mut file: File) -> std::result::Result<File, Box<dyn std::error::Error>> {
    gpt::mbr::ProtectiveMBR::with_lb_size(u32::try_from(DISK_SECTORS - 1)?).overwrite_lba0(&mut file)?;
    let config = gpt::GptConfig::new().writable(true);
    let mut disk = config.create_from_device(file, Some(DISK_GUID.parse()?))?;
    let mut table = BTreeMap::new();
    for (number, partition) in (1_u32..).zip(&PARTITIONS) {
        let guid = format!("{}{number:02x}", &DISK_GUID[..DISK_GUID.len() - 2]);
        let entry = gpt::partition::Partition {
            part_type_guid: kind(partition.role, partition.name),
            part_guid: guid.parse()?,
            first_lba: partition.first,
            last_lba: partition.last,
            flags: 0,
            name: partition.name.into(),
        };
        table.insert(number, entry);
    }
    disk.update_partitions(table)?;
    Ok(disk.write()?)
}

/// Copies `source` to `offset`, leaving holes where it is zero; says how many bytes it read.
fn write_sparse(source: &mut impl Read, file: &File, offset: u64) -> std::io::Result<u64> {
    let mut buffer = vec![0; 256 * HOLE];
    let mut done = 0;
    loop {
        let mut filled = 0;
        while filled < buffer.len() {
            match source.read(&mut buffer[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        for (number, piece) in buffer[..filled].chunks(HOLE).enumerate() {
            if piece.iter().any(|byte| *byte != 0) {
                file.write_all_at(piece, offset + done + (number * HOLE) as u64)?;
            }
        }
        done += filled as u64;
        if filled < buffer.len() {
            return Ok(done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_disk_is_sparse_and_reproducible_and_its_root_can_be_replaced() {
        let scratch = Scratch::new("disk").unwrap();
        let at = |name: &str| scratch.path().join(name);
        let mut perm = vec![0; 100_000];
        perm[50_000] = 7;
        std::fs::write(at("perm"), perm).unwrap();
        for name in ["a", "b"] {
            make(&at(name), b"first root", &at("perm")).unwrap();
        }
        let disk = File::open(at("a")).unwrap();
        let metadata = disk.metadata().unwrap();
        assert_eq!(metadata.len(), DISK_SECTORS * SECTOR);
        assert!(metadata.blocks() * 512 < 1 << 20, "{} blocks in use", metadata.blocks());

        let head = |name: &str| {
            let mut bytes = vec![0; 64 * 512];
            File::open(at(name)).unwrap().read_exact(&mut bytes).unwrap();
            bytes
        };
        assert!(head("a") == head("b"), "random bytes in the partition table");
        let byte = |offset| {
            let mut byte = [0];
            disk.read_exact_at(&mut byte, offset).unwrap();
            byte[0]
        };
        assert_eq!(byte(PERM.offset() + 50_000), 7);
        replace_root(&at("a"), b"second root").unwrap();
        assert_eq!(byte(ROOT_A.offset()), b's');
        assert_eq!(byte(PERM.offset() + 50_000), 7);
    }

    #[test]
    fn a_foreign_disk_is_left_alone() {
        let scratch = Scratch::new("foreign").unwrap();
        let path = scratch.path().join("disk");
        std::fs::write(&path, vec![0; 1 << 20]).unwrap();
        let error = replace_root(&path, b"root").unwrap_err().to_string();
        assert!(error.contains("does not have weir's partitions") && error.contains("rm "), "{error}");
        assert!(std::fs::read(&path).unwrap().iter().all(|byte| *byte == 0));
    }
}
