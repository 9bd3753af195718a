//! The journal: what every service and the kernel have said, over boots, in two files in turn.
//!
//! A file is text. `# boot ID WALL` begins what one boot has said, `# at WALL MS` says what the wall clock read at a moment
//! of that boot, and each line is `MS NAME TEXT`. A batch is appended with one write; a cut leaves at most half a line.
use crate::perm::WallTime;
use netstack::time::Instant;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::engine::Line;

const FILE: &str = "journal";
const BEFORE: &str = "journal.1";
/// Bytes of a file, of which there are two.
const LARGEST: u64 = 512 << 10;
/// Lines and bytes that are shown of a boot.
const SHOWN: (usize, usize) = (200, 96 << 10);

/// The files.
pub struct Journal {
    folder: PathBuf,
    boot: String,
    file: Option<File>,
    size: u64,
    begun: bool,
}

impl Journal {
    /// In a folder; `boot` is the kernel's name of this boot. Nothing is opened before there is something to write.
    pub fn new(folder: PathBuf, boot: String) -> Journal {
        Journal { folder, boot, file: None, size: 0, begun: false }
    }

    /// Appends a batch, and waits until it is on the disk.
    ///
    /// # Errors
    /// When the disk does not take it; what was written of it may be there.
    pub fn append(&mut self, lines: &[Line], lost: u64, wall: WallTime, now: Instant) -> io::Result<()> {
        let mut text = format!("# at {wall} {}\n", now.as_millis());
        for line in lines {
            let clean: String = line.line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            text.push_str(&format!("{} {} {clean}\n", line.t_ms, line.name));
        }
        if lost > 0 {
            text.push_str(&format!("{} logd {lost} lines more were said than are kept\n", now.as_millis()));
        }
        let result = self.write(&text, wall);
        if result.is_err() {
            self.file = None;
        }
        result
    }

    fn write(&mut self, text: &str, wall: WallTime) -> io::Result<()> {
        if self.file.is_none() {
            let file = OpenOptions::new().create(true).append(true).open(self.folder.join(FILE))?;
            self.size = file.metadata()?.len();
            self.file = Some(file);
        }
        if self.size > 0 && self.size + text.len() as u64 > LARGEST {
            fs::rename(self.folder.join(FILE), self.folder.join(BEFORE))?;
            let file = OpenOptions::new().create(true).append(true).open(self.folder.join(FILE))?;
            File::open(&self.folder)?.sync_all()?;
            (self.file, self.size, self.begun) = (Some(file), 0, false);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        // A line that a cut has halved ends here.
        let head = if self.begun { String::new() } else { format!("\n# boot {} {wall}\n", self.boot) };
        let bytes = [head.as_bytes(), text.as_bytes()].concat();
        file.write_all(&bytes)?;
        file.sync_data()?;
        (self.size, self.begun) = (self.size + bytes.len() as u64, true);
        Ok(())
    }

    /// The last lines that a service, or `kernel`, has said in the boot before this one.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn last_boot(&self, name: &str) -> io::Result<Vec<(u64, String)>> {
        let mut all = Vec::new();
        for file in [BEFORE, FILE] {
            match File::open(self.folder.join(file)) {
                Ok(file) => drop(file.take(2 * LARGEST).read_to_end(&mut all)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(said(&String::from_utf8_lossy(&all), &self.boot, name))
    }
}

fn said(text: &str, present: &str, name: &str) -> Vec<(u64, String)> {
    let boot_of = |line: &str| line.strip_prefix("# boot ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    let last = text.lines().filter_map(boot_of).rfind(|boot| boot != present);
    let Some(last) = last else { return Vec::new() };
    let (mut within, mut lines) = (false, Vec::new());
    for line in text.lines() {
        if let Some(boot) = boot_of(line) {
            within = boot == last;
        } else if within && !line.starts_with('#') {
            let mut parts = line.splitn(3, ' ');
            let whole = (|| Some((parts.next()?.parse().ok()?, parts.next()?, parts.next()?)))();
            lines.extend(whole.filter(|(_, whose, _)| *whose == name).map(|(at, _, text)| (at, text.to_owned())));
        }
    }
    let mut size = 0;
    let fits = |line: &&(u64, String)| {
        size += line.1.len() + 64;
        size <= SHOWN.1
    };
    let count = lines.iter().rev().take(SHOWN.0).take_while(fits).count();
    lines.split_off(lines.len() - count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;
    use proptest::prelude::*;

    fn line(t_ms: u64, name: &str, text: &str) -> Line {
        Line { name: name.into(), t_ms, stream: "err".into(), line: text.into() }
    }

    fn texts(found: io::Result<Vec<(u64, String)>>) -> Vec<String> {
        found.unwrap().into_iter().map(|(at, text)| format!("{at} {text}")).collect()
    }

    #[test]
    fn the_boot_before_is_read_after_a_cut() {
        let folder = Folder::new();
        let (wall, now) = (WallTime::from_unix(1_800_000_000), Instant::from_secs(9));
        let mut first = Journal::new(folder.0.clone(), "a".into());
        assert_eq!(texts(first.last_boot("dnsd")), [""; 0]);
        first.append(&[line(1, "dnsd", "one"), line(2, "dhcp4", "two")], 0, wall, now).unwrap();
        first.append(&[line(3, "dnsd", "three\n# boot x y")], 7, wall, now).unwrap();
        let path = folder.0.join(FILE);
        let whole = fs::read(&path).unwrap();
        for cut in [0, 1, 5] {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let mut second = Journal::new(folder.0.clone(), "b".into());
            assert_eq!(texts(second.last_boot("dnsd")), ["1 one", "3 three # boot x y"]);
            second.append(&[line(1, "dnsd", "later")], 0, wall, now).unwrap();
            assert_eq!(texts(second.last_boot("dnsd")), ["1 one", "3 three # boot x y"]);
            assert_eq!(texts(Journal::new(folder.0.clone(), "c".into()).last_boot("dnsd")), ["1 later"]);
        }
        assert_eq!(texts(first.last_boot("dnsd")), ["1 later"], "a is the present one");
    }

    #[test]
    fn two_files_in_turn_never_more_than_a_mebibyte() {
        let folder = Folder::new();
        let (wall, now) = (WallTime::from_unix(0), Instant::from_secs(9));
        let mut journal = Journal::new(folder.0.clone(), "a".into());
        for round in 0..40 {
            let lines: Vec<Line> = (0..60).map(|at| line(round * 60 + at, "dnsd", &"x".repeat(900))).collect();
            journal.append(&lines, 0, wall, now).unwrap();
            let size: u64 =
                fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
            assert!(size <= 1 << 20, "{size}");
        }
        let found = Journal::new(folder.0.clone(), "b".into()).last_boot("dnsd").unwrap();
        assert!(found.len() > 90 && found.len() <= 200 && found.last().unwrap().0 == 2_399, "{}", found.len());
    }

    proptest! {
        #[test]
        fn any_file_is_read(text in "(\n|# boot [ab] 1\n|# at|[0-9]{1,30} dnsd .{0,9}\n|.{0,9}){0,20}") {
            let _ = said(&text, "a", "dnsd");
        }
    }
}
