//! A damaged ext4 as `ext4-view` can read it: with a superblock and group descriptors that have their sums, wherever on the
//! partition these were found, and in the one layout that it knows (weir's has its descriptors by meta groups).
use ext4_view::{Ext4, Ext4Read};
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Where the first superblock lies, and its length.
const PLACE: u64 = 1024;
pub const SUPERBLOCK: usize = 1024;
/// Groups that have copies of the superblock (sparse_super); a later one would be behind what a router's disk has.
const COPIES: [u64; 8] = [0, 1, 3, 5, 7, 9, 25, 27];
const JOURNAL_DIRTY: u32 = 4;
const META_BG: u32 = 0x10;
const WIDE: u32 = 0x80;
const SEED: u32 = 0x2000;
/// What `ext4-view` reads, with or without our help. Something else is a filesystem of a newer version.
const KNOWN: u32 = 0x0002 | JOURNAL_DIRTY | META_BG | 0x40 | WIDE | 0x200 | SEED;
const METADATA_CSUM: u32 = 0x400;
/// More than any disk of a router's has.
const MOST_GROUPS: u64 = 1 << 16;

/// CRC-32C, as ext4 counts it: begun with all ones, never turned round.
pub fn crc32c(mut sum: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
        }
    }
    sum
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// A superblock that can be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock(Vec<u8>);

impl Superblock {
    /// Takes bytes that have the magic and, where there is one, the sum, and that fit on so many bytes.
    pub fn read(bytes: &[u8], room: u64) -> Option<Superblock> {
        let sb = Superblock(bytes.get(..SUPERBLOCK)?.to_vec());
        let summed = !sb.has_sums() || crc32c(!0, sb.0.get(..0x3fc)?) == u32_at(&sb.0, 0x3fc);
        let shift = u32_at(&sb.0, 0x18);
        let plain = u16_at(&sb.0, 0x38) == 0xef53 && summed && shift <= 6 && u32_at(&sb.0, 0x20) != 0;
        let fits = || sb.blocks().checked_mul(sb.block()).is_some_and(|bytes| bytes <= room) && sb.groups() > 0;
        (plain && fits() && sb.groups() <= MOST_GROUPS).then_some(sb)
    }

    /// The features without which nobody may read it, and which we do not know.
    pub fn unknown(&self) -> u32 {
        self.features() & !KNOWN
    }

    fn features(&self) -> u32 {
        u32_at(&self.0, 0x60)
    }

    fn has_sums(&self) -> bool {
        u32_at(&self.0, 0x64) & METADATA_CSUM != 0
    }

    fn block(&self) -> u64 {
        1024 << u32_at(&self.0, 0x18)
    }

    fn blocks(&self) -> u64 {
        let high = if self.features() & WIDE == 0 { 0 } else { u64::from(u32_at(&self.0, 0x150)) };
        high << 32 | u64::from(u32_at(&self.0, 4))
    }

    fn first_block(&self) -> u64 {
        u64::from(u32_at(&self.0, 0x14))
    }

    fn per_group(&self) -> u64 {
        u64::from(u32_at(&self.0, 0x20)).max(1)
    }

    fn groups(&self) -> u64 {
        self.blocks().saturating_sub(self.first_block()).div_ceil(self.per_group())
    }

    fn descriptor(&self) -> usize {
        let size = usize::from(u16_at(&self.0, 0xfe));
        if self.features() & WIDE == 0 { 32 } else { size.clamp(64, 1024) }
    }

    /// Where the descriptors begin for who knows no meta groups.
    fn table(&self) -> u64 {
        (self.first_block() + 1) * self.block()
    }

    /// Where the copies of a group's descriptor lie, the first one first.
    fn places(&self, group: u64) -> Vec<u64> {
        let size = self.descriptor() as u64;
        let in_block = (self.block() / size).max(1);
        let (which, within) = (group / in_block, group % in_block * size);
        let begin = |group: u64| self.first_block() + group * self.per_group();
        let has_copy = |group: u64| COPIES.contains(&group);
        let blocks: Vec<u64> = if self.features() & META_BG == 0 || which < u64::from(u32_at(&self.0, 0x104)) {
            COPIES.iter().map(|copy| begin(*copy) + 1 + which).collect()
        } else {
            let first = which * in_block;
            let after = |group: u64| begin(group) + u64::from(has_copy(group));
            [first, first + 1, first + in_block - 1].map(after).to_vec()
        };
        blocks.into_iter().filter(|block| *block < self.blocks()).map(|block| block * self.block() + within).collect()
    }

    fn sum_of(&self, group: u64, descriptor: &[u8]) -> u16 {
        let stored = u32_at(&self.0, 0x270);
        let uuid = self.0.get(0x68..0x78).unwrap_or_default();
        let seed = if self.features() & SEED == 0 { crc32c(!0, uuid) } else { stored };
        let number = crc32c(seed, &(group as u32).to_le_bytes());
        let (head, tail) = descriptor.split_at_checked(0x1e).unwrap_or((descriptor, &[]));
        (crc32c(crc32c(crc32c(number, head), &[0, 0]), tail.get(2..).unwrap_or_default()) & 0xffff) as u16
    }

    /// The superblock of an empty `/perm` of weir's, stretched over a partition of this many bytes: its numbers never change.
    pub fn of_fresh(fresh: &[u8], room: u64) -> Option<Superblock> {
        let mut sb = Superblock::read(fresh, room)?;
        let blocks = u32::try_from(room / sb.block()).ok()?;
        put(&mut sb.0, 4, &blocks.to_le_bytes());
        Some(sb.with_journal())
    }

    /// A copy is not brought up to date: it does not know whether the journal counts.
    fn with_journal(mut self) -> Superblock {
        let features = self.features() | JOURNAL_DIRTY;
        put(&mut self.0, 0x60, &features.to_le_bytes());
        self
    }

    /// As `ext4-view` wants it.
    fn plain(&self, journal: bool) -> Vec<u8> {
        let mut bytes = self.0.clone();
        let mut features = self.features() & !META_BG;
        if !journal {
            features &= !JOURNAL_DIRTY;
        }
        put(&mut bytes, 0x60, &features.to_le_bytes());
        let sum = crc32c(!0, bytes.get(..0x3fc).unwrap_or_default());
        put(&mut bytes, 0x3fc, &sum.to_le_bytes());
        bytes
    }
}

/// The superblocks on a partition that can be believed, the first one first; then, when it is given, that of an empty
/// `/perm`.
pub fn superblocks(partition: &File, room: u64, fresh: Option<&[u8]>) -> Vec<Superblock> {
    let mut found: Vec<Superblock> = Vec::new();
    let mut take = |sb: Option<Superblock>| found.extend(sb);
    let read = |at: u64| {
        let mut bytes = [0; SUPERBLOCK];
        partition.read_exact_at(&mut bytes, at).ok()?;
        Superblock::read(&bytes, room)
    };
    take(read(PLACE));
    // 4 KiB blocks have groups of 32,768 of them, blocks of 1 KiB of 8,192, and begin with block 1.
    for (size, per_group, first) in [(4096, 32_768, 0), (1024, 8192, 1)] {
        for group in COPIES.into_iter().skip(1) {
            take(read((group * per_group + first) * size).map(Superblock::with_journal));
        }
    }
    take(fresh.and_then(|fresh| Superblock::of_fresh(fresh, room)));
    found.dedup();
    found
}

/// The partition behind a superblock and descriptors that may lie elsewhere.
struct View {
    partition: File,
    superblock: Vec<u8>,
    table: u64,
    size: usize,
    descriptors: Vec<u8>,
}

impl Ext4Read for View {
    fn read(&mut self, start: u64, into: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync + 'static>> {
        if start == PLACE && into.len() == SUPERBLOCK {
            into.copy_from_slice(&self.superblock);
            return Ok(());
        }
        // Descriptors are read one by one, all else by the block.
        let at = start.checked_sub(self.table).and_then(|at| usize::try_from(at).ok());
        if let Some(there) = at.and_then(|at| self.descriptors.get(at..at + into.len()))
            && into.len() == self.size
        {
            into.copy_from_slice(there);
            return Ok(());
        }
        Ok(self.partition.read_exact_at(into, start)?)
    }
}

/// Opens the filesystem that this superblock describes; `None` when nothing of it can be read. `fresh` is the first
/// descriptor of an empty `/perm`.
pub fn open(partition: &File, sb: &Superblock, fresh: Option<&[u8]>) -> Option<Ext4> {
    let size = sb.descriptor();
    let mut descriptors = Vec::new();
    for group in 0..sb.groups() {
        let read = |at: &u64| {
            let mut bytes = vec![0; size];
            partition.read_exact_at(&mut bytes, *at).ok().map(|()| bytes)
        };
        let copies: Vec<Vec<u8>> = sb.places(group).iter().filter_map(read).collect();
        let right = |bytes: &&Vec<u8>| !sb.has_sums() || sb.sum_of(group, bytes) == u16_at(bytes, 0x1e);
        let fresh = fresh.filter(|bytes| group == 0 && bytes.len() == size).map(<[u8]>::to_vec);
        let mut best = copies.iter().find(right).cloned().or(fresh).or_else(|| copies.first().cloned())?;
        // One that is right nowhere may still say truly where its inodes are: these have sums of their own.
        let sum = sb.sum_of(group, &best);
        put(&mut best, 0x1e, &sum.to_le_bytes());
        descriptors.extend(best);
    }
    // A journal that is damaged itself is done without.
    [true, false].into_iter().find_map(|journal| {
        let partition = partition.try_clone().ok()?;
        let (superblock, table, descriptors) = (sb.plain(journal), sb.table(), descriptors.clone());
        let view = View { partition, superblock, table, size, descriptors };
        let ext4 = Ext4::load(Box::new(view)).ok()?;
        ext4.read_dir("/").ok().map(|_| ext4)
    })
}
