//! `weir report`: from the serial log of a board, when each stage of its boot first spoke.
//!
//! Where the log has a time before each line, as `ts`, tio, grabserial and others put it there, times count from the first
//! line. Otherwise the kernel's own stamps and PID 1's count, from the kernel's start on; firmware and loader have none.
use std::fmt::Write as _;

/// A stage, and what it says first, whoever made it; any of these.
const STAGES: [(&str, &[&str]); 6] = [
    ("firmware", &["coreboot-", "SeaBIOS (version", "PC Engines", "BdsDxe:", "UEFI firmware"]),
    (
        "loader",
        &[
            "GRUB loading",
            "Welcome to GRUB",
            "weir: slot ",
            "Booting `",
            "iPXE 1",
            "iPXE initialising",
            "BdsDxe: starting",
        ],
    ),
    ("kernel", &["Linux version ", "Decompressing Linux", "] Command line: "]),
    // Known by its stamp.
    ("PID 1", &[]),
    ("link up", &["Link is Up", "link becomes ready", "Link is up"]),
    ("ready", &["weir: ready in "]),
];
/// What names a board: behind these words, up to a comma or the line's end.
const BOARDS: [&str; 2] = ["DMI: ", "PC Engines "];
const DAY: f64 = 86_400.0;
/// How far into a line its time may stand, behind a date.
const HEAD: usize = 32;

/// What a log says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// The board's name, where the log has it.
    pub board: Option<String>,
    /// Whether times count from the log's first line; else from the kernel's start.
    pub stamped: bool,
    /// For each of firmware, loader, kernel, PID 1, link up and ready: seconds, where they are known; and whether it spoke.
    pub stages: [(Option<f64>, bool); 6],
}

/// Reads a log: of its boots the first that got ready, or the last.
pub fn read(log: &str) -> Report {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let stamps = lines.iter().filter(|line| stamp(line).is_some()).count();
    let mut report = Report { stamped: stamps > lines.len() / 2, ..Report::default() };
    let (mut first, mut before, mut days) = (None, 0.0, 0.0);
    for line in lines {
        let (time, text) = match stamp(line).filter(|_| report.stamped) {
            Some((time, text)) => {
                // Past midnight, unless the log is of one who turned his clock back.
                if time + days + DAY / 2.0 < before {
                    days += DAY;
                }
                before = time + days;
                (Some(before - *first.get_or_insert(before)), text)
            }
            None => (None, line),
        };
        report.line(time, &plain(text));
        if report.stages[5].1 {
            break;
        }
    }
    report
}

impl Report {
    fn line(&mut self, time: Option<f64>, text: &str) {
        for words in BOARDS {
            if let Some(at) = text.find(words).filter(|_| self.board.is_none()) {
                let rest = text.get(at + words.len()..).unwrap_or_default();
                let name = rest.split([',', '/']).next().unwrap_or_default().trim();
                let name = if words.starts_with("DMI") { name.to_owned() } else { format!("{words}{name}") };
                self.board = Some(name).filter(|name| name.len() < 60);
            }
        }
        // What the firmware says after the kernel has begun is not a firmware's.
        for (at, (_, words)) in STAGES.iter().enumerate() {
            let is_it = match at {
                3 => pid1(text).is_some(),
                _ => words.iter().any(|words| text.contains(words)),
            };
            let later = self.stages.iter().skip(at + 1).take(3).any(|(_, spoke)| *spoke) && at < 3;
            if is_it && !self.stages[at].1 && !later {
                let own = if self.stamped { None } else { own(at, text) };
                self.stages[at] = (time.or(own), true);
            }
        }
        // A kernel that is silent has begun where its own clock says 0.
        if let Some(own) = pid1(text).filter(|_| !self.stages[2].1) {
            let begun = if self.stamped { time.map(|now| now - own) } else { Some(0.0) };
            self.stages[2] = (begun.filter(|begun| *begun >= 0.0), true);
        }
    }

    /// For a person, and the row of the table in docs/SPECIFICATION.md.
    pub fn text(&self, board: Option<&str>) -> String {
        let from =
            if self.stamped { "the log's first line" } else { "the kernel's start; the log has no times of its own" };
        let mut text = format!("times in seconds from {from}\n");
        let cell = |(time, spoke): &(Option<f64>, bool)| match (time, spoke) {
            (Some(time), _) => format!("{time:.1} s"),
            (None, true) => "no time".into(),
            (None, false) => "not in the log".into(),
        };
        for ((name, _), stage) in STAGES.iter().zip(&self.stages) {
            let _ = writeln!(text, "{name:>9}  {}", cell(stage));
        }
        let cells: Vec<String> = self.stages.iter().map(cell).collect();
        let board = board.or(self.board.as_deref()).unwrap_or("unknown board");
        let _ = writeln!(text, "\n| {board} | {} |", cells.join(" | "));
        text
    }
}

/// The time that the line itself says, from the kernel's start on.
fn own(stage: usize, text: &str) -> Option<f64> {
    match stage {
        5 => text.split("weir: ready in ").nth(1)?.split(' ').next()?.parse().ok(),
        3 => pid1(text),
        2 => Some(0.0),
        _ => kernel(text),
    }
}

/// The kernel's stamp, `[    1.234567] ...`.
fn kernel(text: &str) -> Option<f64> {
    text.trim_start().strip_prefix('[')?.split(']').next()?.trim().parse().ok()
}

/// PID 1's, `weir  1.344 ...`.
fn pid1(text: &str) -> Option<f64> {
    let words = text.get(text.find("weir ")? + 5..)?.trim_start();
    let number = words.split(' ').next()?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    number.split_once('.').filter(|(whole, rest)| digits(whole) && digits(rest) && rest.len() == 3)?;
    number.parse().ok()
}

/// Without what a terminal would take for itself.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\x1b' {
            // ESC [ ... letter.
            if letters.next() == Some('[') {
                letters.by_ref().find(|end| end.is_ascii_alphabetic());
            }
        } else if !letter.is_control() {
            out.push(letter);
        }
    }
    out
}

/// The time before a line, in seconds of some day or since some moment, and the rest of the line.
fn stamp(line: &str) -> Option<(f64, &str)> {
    clock(line).or_else(|| two_numbers(line)).or_else(|| since_1970(line))
}

/// `01:02:03`, with or without a fraction, a date before it and brackets around.
fn clock(line: &str) -> Option<(f64, &str)> {
    let bytes = line.as_bytes();
    let at = (0..HEAD.min(bytes.len())).find(|at| {
        let is = |offset: usize, wanted: fn(u8) -> bool| bytes.get(at + offset).copied().is_some_and(wanted);
        let digit = |offset| is(offset, |byte| byte.is_ascii_digit());
        let colon = |offset| is(offset, |byte| byte == b':');
        digit(0) && digit(1) && colon(2) && digit(3) && digit(4) && colon(5) && digit(6) && digit(7)
    })?;
    let date = |byte: &u8| byte.is_ascii_alphanumeric() || b" -/.[:,+".contains(byte);
    if !bytes.get(..at)?.iter().all(date) || at > 0 && bytes.get(at - 1).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let number = |from: usize| line.get(at + from..at + from + 2)?.parse::<f64>().ok();
    let rest = line.get(at + 8..)?;
    let fraction =
        rest.strip_prefix(['.', ',']).map_or(0, |digits| digits.bytes().take_while(u8::is_ascii_digit).count());
    let part: f64 = if fraction == 0 { 0.0 } else { format!("0.{}", rest.get(1..=fraction)?).parse().ok()? };
    let rest = rest.get(if fraction == 0 { 0 } else { fraction + 1 }..)?;
    let rest = rest.strip_prefix('Z').unwrap_or(rest).trim_start_matches([']', '|', ' ', '\t']);
    Some((number(0)? * 3600.0 + number(3)? * 60.0 + number(6)? + part, rest))
}

/// grabserial's `[1.234567 0.000012] `: since the start, and since the line before.
fn two_numbers(line: &str) -> Option<(f64, &str)> {
    let (head, rest) = line.strip_prefix('[')?.split_once(']')?;
    let (first, second) = head.trim().split_once(' ')?;
    second.trim().parse::<f64>().ok()?;
    Some((first.parse().ok()?, rest.trim_start()))
}

/// `1764203523.123456 `.
fn since_1970(line: &str) -> Option<(f64, &str)> {
    let (head, rest) = line.trim_start_matches('[').split_once([' ', ']'])?;
    let time: f64 = head.parse().ok()?;
    (time > 1e9).then_some((time, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The console of an emulated machine, started by SeaBIOS, and by UEFI.
    const BIOS: &str = include_str!("../../corpus/serial/qemu-seabios.txt");
    const UEFI: &str = include_str!("../../corpus/serial/qemu-ovmf.txt");

    fn stamped(log: &str, mut stamp: impl FnMut(usize) -> String) -> String {
        log.lines().enumerate().map(|(at, line)| format!("{}{line}\n", stamp(at))).collect()
    }

    #[test]
    fn a_log_without_times_has_those_of_pid_1() {
        for log in [BIOS, UEFI] {
            let report = read(log);
            let [_, _, _, pid1, link, ready] = report.stages;
            assert!(!report.stamped && !link.1, "{report:?}");
            let (pid1, ready) = (pid1.0.unwrap(), ready.0.unwrap());
            assert!(pid1 > 0.1 && ready > pid1 && report.stages[2] == (Some(0.0), true), "{report:?}");
            assert!(report.text(None).contains("| unknown board | "), "{}", report.text(None));
        }
        assert!(read(UEFI).stages[0].1, "the firmware's own words are there, without a time");
    }

    #[test]
    fn every_kind_of_time_before_a_line_is_read() {
        let seconds = |at: usize| 86_390.0 + at as f64 * 2.5;
        let day = |at: f64| (at as u64 % 86_400 / 3600, at as u64 / 60 % 60, at % 60.0);
        let kinds: [&dyn Fn(usize) -> String; 5] = [
            &|at| {
                let (h, m, s) = day(seconds(at));
                format!("Nov 27 {h:02}:{m:02}:{s:06.3} ")
            },
            &|at| {
                let (h, m, s) = day(seconds(at));
                format!("2026-11-27T{h:02}:{m:02}:{s:06.3}Z ")
            },
            &|at| {
                let (h, m, s) = day(seconds(at));
                format!("[{h:02}:{m:02}:{s:06.3}] ")
            },
            &|at| format!("[{:.6} 0.000100] ", at as f64 * 2.5),
            &|at| format!("{:.6} ", 1_764_203_523.0 + at as f64 * 2.5),
        ];
        for kind in kinds {
            let log = stamped(UEFI, kind);
            let report = read(&log);
            let at = |words: &str| UEFI.lines().position(|line| line.contains(words)).unwrap() as f64 * 2.5;
            assert!(report.stamped, "{log}");
            let ready = report.stages[5].0.unwrap();
            assert!((ready - at("weir: ready in ")).abs() < 0.01, "{ready} {log}");
            assert!(report.stages[3].0.unwrap() < ready);
        }
    }

    #[test]
    fn a_boards_whole_log() {
        let log = "[0.000001 0.000001] PC Engines apu2\n[0.010000 0.01] coreboot build 20220420\n\
                   [1.500000 1.4] SeaBIOS (version rel-1.16.0.1)\n[4.250000 2.7] Welcome to GRUB!\n\
                   [5.000000 0.7] [    0.000000] Linux version 6.12\n[6.500000 1.5] weir  1.344 root a (squashfs) on /dev/sda2\n\
                   [7.000000 0.5] [    2.000000] igb 0000:01:00.0 uplink0: igb: uplink0 NIC Link is Up 1000 Mbps\n\
                   [8.125000 1.1] weir: ready in 3.388 s\n[9.0 0.9] weir: ready in 9.9 s\n";
        let report = read(log);
        let row = "\n| PC Engines apu2 | 0.0 s | 4.2 s | 5.0 s | 6.5 s | 7.0 s | 8.1 s |\n";
        assert!(report.text(None).ends_with(row), "{}", report.text(None));
        assert!(report.text(Some("APU2E4")).contains("| APU2E4 | 0.0 s"));
    }

    #[test]
    fn what_is_no_log_says_nothing() {
        for rubbish in ["", "weir", "[", "\x1b[", "12:34:5", "weir 1.x", "é12:34:56 é"] {
            let report = read(rubbish);
            assert!(report.stages.iter().all(|(time, _)| time.is_none()), "{rubbish}: {report:?}");
        }
    }
}
