//! The FAT of partition 1, made in one go with every file in a place of its own, which neither mkfs nor mtools promise.
//!
//! FAT16 with clusters of 2 KiB; two equal tables; the data begins at [`FAT_DATA`]. All files are contiguous.
use layout::{BOOT, Extent, FAT_DATA, FAT_MARK, LOADER, SECTOR};

use crate::error::{Error, Result};

/// Sectors in a cluster; of a table, of the root folder.
const CLUSTER: u64 = 4;
const TABLE: u64 = 200;
const ROOT: u64 = 32;
const CLUSTER_BYTES: usize = (CLUSTER * SECTOR) as usize;
/// What ends a chain of clusters.
const END: u16 = 0xffff;
const FOLDER: u8 = 0x10;
const FILE: u8 = 0x20;
const LONG_NAME: u8 = 0x0f;

/// Bytes for a place of the partition, counted from its beginning.
pub type Piece = (u64, Vec<u8>);

/// A filesystem that is being filled.
#[derive(Debug)]
pub struct Fat {
    pieces: Vec<Piece>,
    table: Vec<u16>,
    next: u64,
    time: (u16, u16),
}

/// A folder that is being filled: its entries so far.
#[derive(Debug, Default)]
pub struct Folder {
    entries: Vec<u8>,
    short_names: u32,
}

impl Fat {
    /// An empty one, with all its files dated `epoch`, in seconds since 1970.
    pub fn new(epoch: u32) -> Self {
        let table = vec![0; usize::try_from(TABLE * SECTOR / 2).unwrap_or(0)];
        Self { pieces: Vec::new(), table, next: LOADER.first, time: dos_time(epoch) }
    }

    /// Puts a file of `size` bytes at a place of its own, filled up with zeros.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn place(&mut self, folder: &mut Folder, name: &str, extent: Extent, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 > extent.bytes() {
            return Err(Error::new(format!("{name}: {} bytes are more than its {}", bytes.len(), extent.bytes())));
        }
        let cluster = self.chain(extent.first, extent.bytes());
        self.pieces.push((extent.offset(), bytes.to_vec()));
        folder.add(name, FILE, cluster, u32::try_from(extent.bytes()).unwrap_or(u32::MAX), self.time);
        Ok(())
    }

    /// Puts a file of the boot loader behind the others.
    ///
    /// # Errors
    /// When there is no room left.
    pub fn add(&mut self, folder: &mut Folder, name: &str, bytes: &[u8]) -> Result<()> {
        let first = self.room(bytes.len(), name)?;
        let cluster = self.chain(first, bytes.len() as u64);
        self.pieces.push((first * SECTOR, bytes.to_vec()));
        folder.add(name, FILE, cluster, u32::try_from(bytes.len()).unwrap_or(u32::MAX), self.time);
        Ok(())
    }

    /// Puts a filled folder into another; `None` is the root.
    ///
    /// # Errors
    /// When there is no room left.
    pub fn folder(&mut self, parent: &mut Folder, name: &str, filled: Folder) -> Result<()> {
        let first = self.room(CLUSTER_BYTES, name)?;
        let cluster = self.chain(first, CLUSTER_BYTES as u64);
        // Every folder here is one below the root, whose cluster is said to be 0, or is given its parent's afterwards.
        let mut bytes = entry(*b".          ", FOLDER, cluster, 0, self.time).to_vec();
        bytes.extend(entry(*b"..         ", FOLDER, 0, 0, self.time));
        bytes.extend(filled.entries);
        if bytes.len() > CLUSTER_BYTES {
            return Err(Error::new(format!("too many files in {name}")));
        }
        // The folders in it say which cluster they are in.
        for at in (64..bytes.len()).step_by(32).filter(|at| bytes.get(at + 11) == Some(&FOLDER)) {
            let inner = u16::from_le_bytes([bytes[at + 26], bytes[at + 27]]);
            let place = (FAT_DATA + (u64::from(inner) - 2) * CLUSTER) * SECTOR;
            if let Some((_, inside)) = self.pieces.iter_mut().find(|(offset, _)| *offset == place) {
                inside[32 + 26..32 + 28].copy_from_slice(&cluster.to_le_bytes());
            }
        }
        self.pieces.push((first * SECTOR, bytes));
        parent.add(name, FOLDER, cluster, 0, self.time);
        Ok(())
    }

    /// The pieces of the partition; all else in it is zero.
    ///
    /// # Errors
    /// When the root folder is full.
    pub fn finish(mut self, root: Folder) -> Result<Vec<Piece>> {
        let mut root = [volume(self.time).to_vec(), root.entries].concat();
        if root.len() as u64 > ROOT * SECTOR {
            return Err(Error::new("too many files in the root folder"));
        }
        self.table[0] = 0xfff8;
        self.table[1] = END;
        let table: Vec<u8> = self.table.iter().flat_map(|cluster| cluster.to_le_bytes()).collect();
        let first = FAT_DATA - ROOT - 2 * TABLE;
        self.pieces.push((0, boot_sector(u16::try_from(first).unwrap_or(0)).to_vec()));
        self.pieces.push((first * SECTOR, table.clone()));
        self.pieces.push(((first + TABLE) * SECTOR, table));
        root.resize(usize::try_from(ROOT * SECTOR).unwrap_or(0), 0);
        self.pieces.push(((FAT_DATA - ROOT) * SECTOR, root));
        Ok(self.pieces)
    }

    fn room(&mut self, bytes: usize, name: &str) -> Result<u64> {
        let first = self.next;
        self.next += (bytes as u64).max(1).div_ceil(CLUSTER * SECTOR) * CLUSTER;
        if self.next > LOADER.first + LOADER.sectors {
            return Err(Error::new(format!("no room for {name} beside the kernels")));
        }
        Ok(first)
    }

    /// Marks the clusters of a run of sectors as one file's; the number of the first.
    fn chain(&mut self, first: u64, bytes: u64) -> u16 {
        let cluster = u16::try_from((first - FAT_DATA) / CLUSTER + 2).unwrap_or(END);
        let count = u16::try_from(bytes.max(1).div_ceil(CLUSTER * SECTOR)).unwrap_or(0);
        for one in cluster..cluster + count {
            self.table[usize::from(one)] = if one + 1 == cluster + count { END } else { one + 1 };
        }
        cluster
    }
}

impl Folder {
    /// A name of capital letters as 8.3 goes as it is; any other gets one long name before a short one.
    fn add(&mut self, name: &str, kind: u8, cluster: u16, size: u32, time: (u16, u16)) {
        let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
        let plain = |part: &str, most| {
            part.len() <= most && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        };
        let mut short = [b' '; 11];
        if plain(stem, 8) && plain(extension, 3) {
            short[..stem.len()].copy_from_slice(stem.as_bytes());
            short[8..8 + extension.len()].copy_from_slice(extension.as_bytes());
        } else {
            self.short_names += 1;
            short[..8].copy_from_slice(format!("WEIR~{:03}", self.short_names).as_bytes());
            self.entries.extend(long_name(name, short));
        }
        self.entries.extend(entry(short, kind, cluster, size, time));
    }
}

fn entry(name: [u8; 11], kind: u8, cluster: u16, size: u32, (date, time): (u16, u16)) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[..11].copy_from_slice(&name);
    entry[11] = kind;
    for (at, value) in [(14, time), (16, date), (18, date), (22, time), (24, date), (26, cluster)] {
        entry[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    entry[28..].copy_from_slice(&size.to_le_bytes());
    entry
}

fn volume(time: (u16, u16)) -> [u8; 32] {
    const LABEL: u8 = 0x08;
    entry(*b"WEIR       ", LABEL, 0, 0, time)
}

/// One entry of a long name: 13 letters are enough here.
fn long_name(name: &str, short: [u8; 11]) -> [u8; 32] {
    const PLACES: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
    let mut entry = [0; 32];
    entry[0] = 0x41;
    entry[11] = LONG_NAME;
    entry[13] = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let letters = name.encode_utf16().chain([0]).chain(std::iter::repeat(END));
    for (place, letter) in PLACES.into_iter().zip(letters) {
        entry[place..place + 2].copy_from_slice(&letter.to_le_bytes());
    }
    entry
}

fn boot_sector(reserved: u16) -> [u8; 512] {
    let mut sector = [0; 512];
    let sectors = u32::try_from(BOOT.bytes() / SECTOR).unwrap_or(0);
    let fields: [(usize, &[u8]); 17] = [
        (0, &[0xeb, 0x3c, 0x90]),
        (3, &FAT_MARK),
        (11, &512_u16.to_le_bytes()),
        (13, &[CLUSTER as u8]),
        (14, &reserved.to_le_bytes()),
        (16, &[2]),
        (17, &512_u16.to_le_bytes()),
        (21, &[0xf8]),
        (22, &(TABLE as u16).to_le_bytes()),
        (24, &[63, 0, 255, 0]),
        (28, &(BOOT.first as u32).to_le_bytes()),
        (32, &sectors.to_le_bytes()),
        (36, &[0x80, 0, 0x29]),
        (39, b"weir"),
        (43, b"WEIR       "),
        (54, b"FAT16   "),
        (510, &[0x55, 0xaa]),
    ];
    for (at, bytes) in fields {
        sector[at..at + bytes.len()].copy_from_slice(bytes);
    }
    // A BIOS that starts this sector all the same: `int 18h`, the next device.
    sector[62..64].copy_from_slice(&[0xcd, 0x18]);
    sector
}

/// Date and time as FAT keeps them, from 1980 on.
fn dos_time(epoch: u32) -> (u16, u16) {
    let days = i64::from(epoch / 86_400);
    // Days from 1 March of year 0 (Howard Hinnant's calendar).
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let part = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * part + 2) / 5 + 1, if part < 10 { part + 3 } else { part - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    if year < 1980 {
        return (0x21, 0);
    }
    let second = epoch % 86_400;
    let date = (year - 1980) << 9 | month << 5 | day;
    let time = (second / 3_600) << 11 | (second / 60 % 60) << 5 | (second % 60 / 2);
    (u16::try_from(date).unwrap_or(0x21), u16::try_from(time).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::FileExt;
    use std::process::Command;

    #[test]
    fn the_tools_of_others_find_every_file_and_no_fault() {
        let mut fat = Fat::new(1_700_000_000);
        let mut root = Folder::default();
        fat.place(&mut root, "vmlinuz-a", layout::kernel_of(layout::Slot::A), b"a kernel").unwrap();
        let mut inner = Folder::default();
        fat.add(&mut inner, "BOOTX64.EFI", &[7; 5000]).unwrap();
        let mut outer = Folder::default();
        fat.folder(&mut outer, "BOOT", inner).unwrap();
        fat.folder(&mut root, "EFI", outer).unwrap();
        let scratch = Scratch::new("fat").unwrap();
        let path = scratch.path().join("fat");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(BOOT.bytes()).unwrap();
        for (offset, bytes) in fat.finish(root).unwrap() {
            file.write_all_at(&bytes, offset).unwrap();
        }
        let run = |tool: &str, words: &[&str]| {
            let output = Command::new(tool).args(words).output();
            let output = output.unwrap_or_else(|error| panic!("{tool} (make deps installs it): {error}"));
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{tool}: {said}{}", String::from_utf8_lossy(&output.stderr));
            (said, output.stdout)
        };
        let path = path.to_str().unwrap();
        let (said, _) = run("/usr/sbin/fsck.vfat", &["-n", "-v", path]);
        assert!(said.contains("5 files") && said.contains("FATs, 16 bit"), "{said}");
        let (said, _) = run("mdir", &["-i", path, "-/", "-b"]);
        assert_eq!(
            said.lines().collect::<Vec<_>>(),
            ["::/vmlinuz-a", "::/EFI/", "::/EFI/BOOT/", "::/EFI/BOOT/BOOTX64.EFI"]
        );
        assert_eq!(run("mtype", &["-i", path, "::/EFI/BOOT/BOOTX64.EFI"]).1, [7; 5000]);
        let kernel = run("mtype", &["-i", path, "::/vmlinuz-a"]).1;
        assert_eq!((kernel.len(), &kernel[..9]), (16 << 20, &b"a kernel\0"[..]));
        let (said, _) = run("mdir", &["-i", path, "::/"]);
        assert!(said.contains("2023-11-14  22:13"), "{said}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut fat = Fat::new(0);
        let mut root = Folder::default();
        assert!(fat.place(&mut root, "grubenv", layout::GRUBENV, &[0; 1025]).is_err());
        assert!(fat.add(&mut root, "large", &vec![0; 5 << 20]).unwrap_err().to_string().contains("large"));
        assert_eq!(dos_time(0), (0x21, 0));
    }
}
