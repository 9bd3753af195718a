//! A new table out of the one before and what is new: written while it is made, so that only what is new and what was are in
//! memory.
use super::hash::{AT, BELOW, KIND};
use super::table::{BUCKETS, Listed, MARK, MOST_MARKS, Table};
use super::{MOST_NAMES, Marks};
use flate2::Crc;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The rules of a list: its number in the new table, and its keys in order.
#[derive(Debug)]
pub struct Fresh {
    /// The number.
    pub list: usize,
    /// The keys, of which none comes twice.
    pub keys: Vec<u64>,
}

/// What stays of a table, and what comes to it.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The table before.
    pub before: &'a Table,
    /// The new number of each of its lists; none for one that goes.
    pub moved: Vec<Option<usize>>,
    /// What is new.
    pub fresh: Vec<Fresh>,
    /// The lists of the new table.
    pub lists: Vec<Listed>,
}

/// Writes the table over the one before, whole: a reader has the old one or the new one.
///
/// # Errors
/// When there are too many names, the disk is full or broken: the old one is still there.
pub fn write(plan: &Plan<'_>, path: &Path) -> io::Result<usize> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a file without a folder"))?;
    fs::create_dir_all(folder)?;
    let temporary = path.with_extension("new");
    let written =
        File::options().write(true).create(true).truncate(true).mode(0o640).open(&temporary).and_then(|file| {
            let mut output = Output { file: BufWriter::with_capacity(64 << 10, file), sum: Crc::new() };
            let names = merge(plan, &mut output)?;
            let file = output.file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            Ok(names)
        });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    let names = written?;
    File::open(folder)?.sync_all()?;
    Ok(names)
}

struct Output {
    file: BufWriter<File>,
    sum: Crc,
}

impl Output {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.file.write_all(bytes)
    }
}

fn merge(plan: &Plan<'_>, output: &mut Output) -> io::Result<usize> {
    let before: Vec<[Marks; 2]> =
        plan.before.said().iter().map(|both| both.map(|marks| marks.moved(&plan.moved))).collect();
    let mut old = plan.before.each().peekable();
    let mut fresh: Vec<(usize, std::iter::Peekable<std::slice::Iter<'_, u64>>)> =
        plan.fresh.iter().map(|fresh| (fresh.list, fresh.keys.iter().peekable())).collect();
    let (mut marks, mut numbers) = (Vec::new(), HashMap::new());
    let (mut counts, mut names) = (vec![0u32; BUCKETS], 0usize);
    loop {
        let heads = fresh.iter_mut().filter_map(|(_, keys)| keys.peek().map(|key| **key & !KIND));
        let Some(key) = heads.chain(old.peek().map(|(key, _)| *key)).min() else { break };
        let mut said = [Marks::default(); 2];
        if let Some((_, number)) = old.next_if(|(old, _)| *old == key) {
            said = before.get(number).copied().unwrap_or_default();
        }
        for (list, keys) in &mut fresh {
            while let Some(rule) = keys.next_if(|rule| **rule & !KIND == key) {
                let its = Marks::of_kind(*rule, *list);
                for (bit, marks) in [AT, BELOW].into_iter().zip(&mut said) {
                    if rule & bit != 0 {
                        *marks = marks.and(its);
                    }
                }
            }
        }
        if said.iter().all(Marks::is_empty) {
            continue;
        }
        names += 1;
        if names > MOST_NAMES {
            return Err(io::Error::other(format!("all lists together have more than {MOST_NAMES} names")));
        }
        let number = *numbers.entry(said).or_insert_with(|| {
            marks.push(said);
            marks.len() - 1
        });
        if marks.len() > MOST_MARKS {
            return Err(io::Error::other("the lists cross each other in too many ways"));
        }
        output.put(&(key << 16 | number as u64).to_le_bytes())?;
        if let Some(count) = counts.get_mut((key >> 48) as usize) {
            *count += 1;
        }
    }
    for count in &counts {
        output.put(&count.to_le_bytes())?;
    }
    for word in marks.iter().flatten().flat_map(Marks::words) {
        output.put(&word.to_le_bytes())?;
    }
    let lists = serde_json::to_vec(&plan.lists).map_err(io::Error::other)?;
    output.put(&lists)?;
    let sum = output.sum.sum() as usize;
    for number in [names, marks.len(), lists.len(), sum] {
        output.put(&(number as u32).to_le_bytes())?;
    }
    output.put(MARK)?;
    Ok(names)
}
