//! The table of all lists, in memory and on disk.
//!
//! The file: the entries (8 bytes each, in order), 65,536 counts of entries by the highest 16 bits of their keys (4 bytes
//! each), what lists say (32 bytes each: [`Marks`] of the name itself, then of what is below it), the lists (JSON), then the
//! numbers of entries, of marks and of the lists' bytes and a CRC-32 of all before (4 bytes each), and the mark `weirblk1`.
//! Numbers are little-endian. An entry is its key without those 16 bits and, in its lowest 16, the number of its marks.
use super::hash::{Hash, KIND};
use super::{MOST_LISTS, MOST_NAMES, Marks};
use crate::perm::WallTime;
use crate::perm::json::or_zero;
use flate2::Crc;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The end of the file.
pub const MARK: &[u8; 8] = b"weirblk1";
/// Places by the highest 16 bits of a key.
pub const BUCKETS: usize = 1 << 16;
/// Different things that lists may say of names.
pub const MOST_MARKS: usize = 1 << 16;
/// Numbers and mark at the end.
pub const TAIL: usize = 24;
/// Bytes of the lists' JSON.
const MOST_JSON: usize = 256 << 10;
/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// A list as it is in the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listed {
    /// A person's name for it.
    #[serde(deserialize_with = "or_zero")]
    pub name: String,
    /// Where it came from.
    #[serde(deserialize_with = "or_zero")]
    pub url: String,
    /// Its server's word for this state of it (`ETag`).
    #[serde(deserialize_with = "or_zero")]
    pub etag: String,
    /// The same by time (`Last-Modified`).
    #[serde(deserialize_with = "or_zero")]
    pub modified: String,
    /// When it was fetched; zero = never.
    #[serde(deserialize_with = "or_zero")]
    pub fetched: WallTime,
    /// Its rules.
    #[serde(deserialize_with = "or_zero")]
    pub rules: u64,
    /// Its lines that were passed over.
    #[serde(deserialize_with = "or_zero")]
    pub others: u64,
}

/// All lists, ready to be asked.
#[derive(Debug, Default)]
pub struct Table {
    entries: Vec<u64>,
    /// Where each bucket's entries end.
    ends: Vec<u32>,
    marks: Vec<[Marks; 2]>,
    lists: Vec<Listed>,
}

impl Table {
    /// The lists by their numbers.
    pub fn lists(&self) -> &[Listed] {
        &self.lists
    }

    /// Names in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// What lists say of a name, in wire form and lower case.
    pub fn marks(&self, name: &[u8]) -> Marks {
        let mut found = Marks::default();
        if self.entries.is_empty() {
            return found;
        }
        // Where each label starts; a name has at most 127.
        let (mut starts, mut count, mut at) = ([0u8; 128], 0, 0);
        while let Some(length) = name.get(at).map(|length| usize::from(*length)).filter(|length| *length > 0)
            && let Some(start) = starts.get_mut(count)
        {
            *start = at as u8;
            (count, at) = (count + 1, at + length + 1);
        }
        let mut hash = Hash::ROOT;
        for nth in (0..count).rev() {
            let start = usize::from(starts[nth]);
            let length = name.get(start).map_or(0, |length| usize::from(*length));
            hash = hash.below(name.get(start + 1..start + 1 + length).unwrap_or_default());
            if let Some([itself, below]) = self.find(hash.key()) {
                found = found.and(if nth == 0 { *itself } else { *below });
            }
        }
        found
    }

    fn find(&self, key: u64) -> Option<&[Marks; 2]> {
        let bucket = (key >> 48) as usize;
        let start = bucket.checked_sub(1).map_or(0, |before| self.ends[before]) as usize;
        let entries = self.entries.get(start..*self.ends.get(bucket)? as usize)?;
        let rest = key << 16 >> 16;
        let at = entries.partition_point(|entry| entry >> 16 < rest);
        let entry = entries.get(at).filter(|entry| *entry >> 16 == rest)?;
        self.marks.get((entry & 0xffff) as usize)
    }

    /// Every key with what is said of it, in order.
    pub fn each(&self) -> impl Iterator<Item = (u64, usize)> + '_ {
        let mut bucket = 0;
        self.entries.iter().enumerate().map(move |(at, entry)| {
            while self.ends.get(bucket).is_some_and(|end| at >= *end as usize) {
                bucket += 1;
            }
            (((bucket as u64) << 48) | entry >> 16, (entry & 0xffff) as usize)
        })
    }

    /// What [`Table::each`] has the numbers of.
    pub fn said(&self) -> &[[Marks; 2]] {
        &self.marks
    }

    /// Reads a table; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or is something else. Nothing is believed before its sum was seen.
    pub fn read(path: &Path) -> io::Result<Option<Table>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        let wrong = |words: &str| io::Error::other(format!("is no table of names: {words}"));
        let body = length.checked_sub(TAIL as u64).ok_or_else(|| wrong("it is too short"))?;
        let mut tail = [0; TAIL];
        file.seek(SeekFrom::Start(body))?;
        file.read_exact(&mut tail)?;
        let number =
            |at: usize| tail.get(at..at + 4).and_then(|word| word.first_chunk()).map_or(0, |w| u32::from_le_bytes(*w));
        let [entries, marks, json, sum] = [0, 4, 8, 12].map(|at| number(at) as usize);
        if !tail.ends_with(MARK) {
            return Err(wrong("its mark is another"));
        }
        if entries > MOST_NAMES || marks > MOST_MARKS || json > MOST_JSON {
            return Err(wrong("it is too large"));
        }
        if (entries * 8 + BUCKETS * 4 + marks * 32 + json) as u64 != body {
            return Err(wrong("its length is another"));
        }
        file.seek(SeekFrom::Start(0))?;
        let mut input = Summed { file, sum: Crc::new(), buffer: vec![0; CHUNK] };
        let mut table =
            Table { entries: Vec::with_capacity(entries), ends: Vec::with_capacity(BUCKETS), ..Table::default() };
        input.each(entries, |word| table.entries.push(u64::from_le_bytes(*word)))?;
        let mut end = 0u32;
        input.each(BUCKETS, |word| {
            end = end.saturating_add(u32::from_le_bytes(*word));
            table.ends.push(end);
        })?;
        table.marks.reserve_exact(marks);
        input.each(marks, |word: &[u8; 32]| {
            let words = word.as_chunks::<4>().0;
            let four = |at: usize| {
                Marks::of_words(std::array::from_fn(|nth| words.get(at + nth).map_or(0, |w| u32::from_le_bytes(*w))))
            };
            table.marks.push([four(0), four(4)]);
        })?;
        let mut text = Vec::with_capacity(json);
        input.each(json, |byte: &[u8; 1]| text.extend_from_slice(byte))?;
        if input.sum.sum() as usize != sum {
            return Err(wrong("it is damaged"));
        }
        table.lists = serde_json::from_slice(&text).map_err(|error| wrong(&error.to_string()))?;
        table.check().map_err(wrong)?;
        Ok(Some(table))
    }

    // What the sum cannot tell: that whoever wrote it knew how.
    fn check(&self) -> Result<(), &'static str> {
        if self.lists.len() > MOST_LISTS {
            return Err("it has too many lists");
        }
        if self.ends.last().is_none_or(|end| *end as usize != self.entries.len()) {
            return Err("its counts do not fit");
        }
        let mut start = 0;
        for end in self.ends.iter().map(|end| *end as usize) {
            let entries = self.entries.get(start..end).ok_or("its counts do not fit")?;
            if !entries.is_sorted_by(|one, other| one >> 16 < other >> 16) {
                return Err("it is not in order");
            }
            start = end;
        }
        if self.entries.iter().any(|entry| (entry & 0xffff) as usize >= self.marks.len() || entry >> 16 & KIND != 0) {
            return Err("an entry is none");
        }
        Ok(())
    }
}

struct Summed {
    file: File,
    sum: Crc,
    buffer: Vec<u8>,
}

impl Summed {
    fn each<const SIZE: usize>(&mut self, count: usize, mut take: impl FnMut(&[u8; SIZE])) -> io::Result<()> {
        let mut left = count * SIZE;
        while left > 0 {
            // CHUNK is a multiple of every size that is read.
            let length = left.min(CHUNK);
            let part = self.buffer.get_mut(..length).unwrap_or_default();
            self.file.read_exact(part)?;
            self.sum.update(part);
            part.as_chunks::<SIZE>().0.iter().for_each(&mut take);
            left -= length;
        }
        Ok(())
    }
}
