//! Lists as people publish them, line by line: hosts files, names, and AdGuard's rules as far as they are about names. A
//! line tells by itself which it is, so that one reader reads them all. Work and memory of a line are bounded.
//!
//! - `0.0.0.0 NAME NAME` (also `127.0.0.1`, `::`, `::1`): these names.
//! - `NAME`: this name. `*.NAME`, `.NAME`: this name and all below it.
//! - `||NAME^`: this name and all below it; `||*.NAME^` what is below; `|NAME^` this name. `@@` before: an exception;
//!   `$important` behind: over exceptions.
//!
//! What else AdGuard knows (regular expressions, paths, what is hidden on a page, other modifiers) is passed over: done as if
//! it were something else, it would block what nobody meant.
use super::hash::{AT, BELOW, EXCEPT, IMPORTANT, of_text};
use std::net::IpAddr;

/// A longer line is no rule.
const LONGEST_LINE: usize = 1_024;
/// Names of a line of a hosts file.
const MOST_OF_A_LINE: usize = 64;
/// Names that a hosts file has for the machine itself.
const OF_THE_MACHINE: [&[u8]; 2] = [b"localhost.localdomain", b"localhost4.localdomain4"];

/// What was read of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rules that hold.
    pub rules: u64,
    /// Lines that say something that cannot be done with names alone.
    pub others: u64,
    /// Lines that say nothing that could be understood.
    pub rubbish: u64,
}

impl Counts {
    /// Whether this can have been a list at all.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self) -> Result<(), String> {
        let Counts { rules, others, rubbish } = self;
        if *rules == 0 {
            return Err(format!("there is no name in it ({others} lines of another kind, {rubbish} of none)"));
        }
        if rubbish > rules {
            return Err(format!("it is no list: {rubbish} lines say nothing, {rules} do"));
        }
        Ok(())
    }
}

/// A list that comes in pieces.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    // The rest of a line that is too long.
    skips: bool,
    keys: Vec<u64>,
    counts: Counts,
    sorted: usize,
}

impl Reader {
    /// The next piece.
    ///
    /// # Errors
    /// When there are more than `most` names.
    pub fn read(&mut self, mut bytes: &[u8], most: usize) -> Result<(), String> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.append(&bytes[..end]);
            self.end_of_line();
            bytes = &bytes[end + 1..];
        }
        self.append(bytes);
        // Many a list says a name twice: what counts is how many there are.
        if self.keys.len() > most && self.keys.len() > self.sorted + self.sorted / 4 {
            self.keys.sort_unstable();
            self.keys.dedup();
            self.sorted = self.keys.len();
        }
        if self.keys.len() > most + most / 4 {
            return Err(format!("it has more than {most} names"));
        }
        Ok(())
    }

    /// That was all: the keys in order, none twice, and what was counted.
    ///
    /// # Errors
    /// When there are more than `most` names, or this was no list.
    pub fn finish(mut self, most: usize) -> Result<(Vec<u64>, Counts), String> {
        self.end_of_line();
        self.keys.sort_unstable();
        self.keys.dedup();
        self.keys.shrink_to_fit();
        self.counts.check()?;
        if self.keys.len() > most {
            return Err(format!("it has more than {most} names"));
        }
        Ok((self.keys, self.counts))
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > LONGEST_LINE {
            self.skips = true;
            self.line.clear();
        } else if !self.skips {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_of_line(&mut self) {
        if std::mem::take(&mut self.skips) {
            self.counts.others += 1;
        } else {
            let mut line = std::mem::take(&mut self.line);
            let before = self.keys.len();
            match rule(&mut line, &mut self.keys) {
                Read::Nothing => {}
                Read::Rule => self.counts.rules += (self.keys.len() - before) as u64,
                Read::Other => self.counts.others += 1,
                Read::Rubbish => self.counts.rubbish += 1,
            }
            line.clear();
            self.line = line;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    Nothing,
    Rule,
    Other,
    Rubbish,
}

fn rule(line: &mut [u8], keys: &mut Vec<u64>) -> Read {
    line.make_ascii_lowercase();
    let line = line.trim_ascii();
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    match line {
        [] | [b'!' | b'#' | b'[', ..] => return Read::Nothing,
        [b'/', ..] => return Read::Other,
        _ if holds(line, b"##") || holds(line, b"#@") || holds(line, b"#?") || holds(line, b"#$") => {
            return Read::Other;
        }
        _ => {}
    }
    let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (Some(first), second) = (words.next(), words.next()) else { return Read::Nothing };
    if second.is_none() {
        return single(first, keys);
    }
    let address = std::str::from_utf8(first).ok().and_then(|text| text.parse::<IpAddr>().ok());
    let Some(address) = address else { return Read::Rubbish };
    if !(address.is_unspecified() || address.is_loopback()) {
        // Somebody's own machines, not what is to be blocked.
        return Read::Other;
    }
    let before = keys.len();
    for name in second.into_iter().chain(words).take(MOST_OF_A_LINE) {
        if let Some(name) = domain(name, 2)
            && !OF_THE_MACHINE.contains(&name)
        {
            keys.push(of_text(name) | AT);
        }
    }
    if keys.len() > before { Read::Rule } else { Read::Other }
}

// A line of one word.
fn single(word: &[u8], keys: &mut Vec<u64>) -> Read {
    let (mut kind, word) = match word.strip_prefix(b"@@") {
        Some(rest) => (EXCEPT, rest),
        None => (0, word),
    };
    let (word, modifiers) = match word.iter().position(|byte| *byte == b'$') {
        Some(at) => (&word[..at], &word[at + 1..]),
        None => (word, &b""[..]),
    };
    for modifier in modifiers.split(|byte| *byte == b',').filter(|modifier| !modifier.is_empty()) {
        match modifier {
            b"important" => kind |= IMPORTANT,
            _ => return Read::Other,
        }
    }
    let bare = word.strip_suffix(b"|").unwrap_or(word);
    let bare = bare.strip_suffix(b"^").unwrap_or(bare);
    let (name, reach, least) = if let Some(name) = bare.strip_prefix(b"||") {
        match name.strip_prefix(b"*.") {
            Some(name) => (name, BELOW, 1),
            None => (name, AT | BELOW, 1),
        }
    } else if let Some(name) = bare.strip_prefix(b"|") {
        (name, AT, 2)
    } else if let Some(name) = bare.strip_prefix(b"*.").or_else(|| bare.strip_prefix(b".")) {
        (name, AT | BELOW, 2)
    } else {
        (bare, AT, 2)
    };
    if let Some(name) = domain(name, least) {
        keys.push(of_text(name) | kind | reach);
        return Read::Rule;
    }
    let is_marked = word.len() != name.len() || kind != 0;
    // Names in other letters, addresses, paths and patterns: of a kind, but not ours.
    let of_a_kind = name.iter().all(|byte| byte.is_ascii_graphic() || *byte >= 0x80) && holds(name, b".");
    if is_marked || (of_a_kind && std::str::from_utf8(name).is_ok() && !holds(name, b"<")) {
        Read::Other
    } else {
        Read::Rubbish
    }
}

/// A name of the DNS, without a dot at its end, of so many labels at least; no address.
fn domain(text: &[u8], least: usize) -> Option<&[u8]> {
    let name = text.strip_suffix(b".").unwrap_or(text);
    if name.len() > 253 {
        return None;
    }
    let (mut labels, mut is_number) = (0, true);
    for label in name.split(|byte| *byte == b'.') {
        let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if !(1..=63).contains(&label.len()) || !label.iter().all(letter) {
            return None;
        }
        labels += 1;
        is_number = label.iter().all(u8::is_ascii_digit);
    }
    (labels >= least && !is_number).then_some(name)
}

/// The keys of a person's own names, which mean what is below them as well: those that are blocked whatever exceptions
/// say, and those that are let through whatever anybody says.
pub fn own<'a>(block: impl Iterator<Item = &'a str>, allow: impl Iterator<Item = &'a str>) -> Vec<u64> {
    let key = |kind: u64| move |name: &str| of_text(name.as_bytes()) | kind | AT | BELOW | IMPORTANT;
    let mut keys: Vec<u64> = block.map(key(0)).chain(allow.map(key(EXCEPT))).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn holds(line: &[u8], what: &[u8]) -> bool {
    line.windows(what.len()).any(|part| part == what)
}
