//! `/etc/oui`: who made a network interface, from the IEEE's lists as Debian has them (package ieee-data), packed so that
//! the router looks a maker up without reading the whole. `services/src/deviced/oui.rs` describes the file.
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use crate::error::{Context, Result};

/// Where Debian has the lists.
pub const FOLDER: &str = "/usr/share/ieee-data";
const FILES: [&str; 4] = ["oui.csv", "mam.csv", "oui36.csv", "iab.csv"];
/// Digits of a block's assignment and the bytes in which the router finds it.
const KINDS: [(usize, usize); 3] = [(6, 3), (7, 4), (9, 5)];
/// Names are cut to so many bytes: they are to be recognised, not to be sued.
const LONGEST: usize = 32;
/// What says nothing of whose it is.
const FORMS: [&str; 24] = [
    "inc",
    "co",
    "ltd",
    "llc",
    "gmbh",
    "corp",
    "corporation",
    "limited",
    "company",
    "ag",
    "bv",
    "b.v",
    "s.a",
    "sa",
    "srl",
    "s.r.l",
    "s.p.a",
    "spa",
    "kg",
    "oy",
    "ab",
    "a/s",
    "pty",
    "incorporated",
];

/// Reads the lists of a folder and packs them.
///
/// # Errors
/// When one is missing.
pub fn file(folder: &Path) -> Result<Vec<u8>> {
    let mut blocks: [BTreeMap<Vec<u8>, String>; 3] = Default::default();
    for name in FILES {
        let path = folder.join(name);
        let text = fs::read(&path).cannot_file("read", &path).map_err(|error| error.next("make deps installs it"))?;
        for fields in records(&String::from_utf8_lossy(&text)).into_iter().skip(1) {
            let [_, assignment, maker, ..] = &fields[..] else { continue };
            let kind = KINDS.iter().position(|(digits, _)| assignment.len() == *digits);
            let maker = short(maker);
            if let Some((kind, prefix)) = kind.and_then(|kind| Some((kind, prefix(assignment, KINDS[kind].1)?)))
                && !maker.is_empty()
            {
                blocks[kind].entry(prefix).or_insert(maker);
            }
        }
    }
    Ok(packed(&blocks))
}

fn packed(blocks: &[BTreeMap<Vec<u8>, String>; 3]) -> Vec<u8> {
    let mut bytes = b"weiroui1".to_vec();
    for kind in blocks {
        bytes.extend_from_slice(&(kind.len() as u32).to_le_bytes());
    }
    let (mut names, mut places): (Vec<u8>, HashMap<&str, u32>) = (Vec::new(), HashMap::new());
    for (prefix, name) in blocks.iter().flatten() {
        let place = *places.entry(name).or_insert_with(|| {
            let place = names.len() as u32;
            names.push(name.len() as u8);
            names.extend_from_slice(name.as_bytes());
            place
        });
        bytes.extend_from_slice(prefix);
        bytes.extend_from_slice(&place.to_le_bytes()[..3]);
    }
    bytes.append(&mut names);
    bytes
}

fn prefix(assignment: &str, bytes: usize) -> Option<Vec<u8>> {
    let number = u64::from_str_radix(assignment, 16).ok()?;
    let shifted = number << (8 * bytes - 4 * assignment.len());
    Some(shifted.to_be_bytes()[8 - bytes..].to_vec())
}

/// The name without its legal form and with single spaces.
fn short(name: &str) -> String {
    let plain = |word: &str| word.trim_matches(|letter: char| matches!(letter, '.' | ',' | '(' | ')')).to_lowercase();
    let spaced = name.replace(',', " ");
    let mut words: Vec<&str> = spaced.split_whitespace().collect();
    while words.len() > 1
        && words.last().is_some_and(|word| plain(word).is_empty() || FORMS.contains(&plain(word).as_str()))
    {
        words.pop();
    }
    let mut text = words.join(" ");
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.trim_end().to_owned()
}

/// The records of a CSV (RFC 4180).
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut fields, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                fields.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut fields));
            }
            '\r' if !quoted => {}
            letter => field.push(letter),
        }
    }
    if !field.is_empty() || !fields.is_empty() {
        fields.push(field);
        records.push(fields);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makers_are_shortened_and_blocks_sorted() {
        assert_eq!(short("HUAWEI TECHNOLOGIES CO.,LTD"), "HUAWEI TECHNOLOGIES");
        assert_eq!(short("Apple, Inc."), "Apple");
        assert_eq!(
            short("  AVM   Audiovisuelles Marketing und Computersysteme GmbH "),
            "AVM Audiovisuelles Marketing und"
        );
        assert_eq!(short("Co"), "Co");
        assert_eq!(records("a,\"b, \"\"c\"\"\"\r\nd,e"), [["a", "b, \"c\""], ["d", "e"]]);
        assert_eq!(prefix("70B3D5123", 5), Some(vec![0x70, 0xb3, 0xd5, 0x12, 0x30]));
        let mut blocks: [BTreeMap<Vec<u8>, String>; 3] = Default::default();
        blocks[0].insert(vec![2, 0, 0], "A".into());
        blocks[0].insert(vec![1, 0, 0], "B".into());
        blocks[2].insert(vec![1, 0, 0, 0, 0x10], "A".into());
        let want =
            b"weiroui1\x02\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0\0\0\x02\0\0\x02\0\0\x01\0\0\0\x10\x02\0\0\x01B\x01A";
        assert_eq!(packed(&blocks), want);
    }

    #[test]
    fn debians_lists_are_read() {
        let bytes = file(Path::new(FOLDER)).unwrap();
        let count = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert!(count(8) > 30_000 && count(12) > 3_000 && count(16) > 5_000, "{} bytes", bytes.len());
        assert!(bytes.windows(6).any(|part| part == b"\x05Apple"));
        eprintln!("{} bytes", bytes.len());
    }
}
