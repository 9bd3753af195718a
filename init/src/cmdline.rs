//! The `weir.*` words of the kernel's command line. None is needed; they change defaults.
use layout::Slot;

/// What a test asks PID 1 to do to itself, two seconds after ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// Panic: the kernel must restart the machine.
    Panic,
    /// Stop turning: the watchdog must restart the machine.
    Hang,
}

/// Where `/perm` shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermWord {
    /// A tmpfs.
    Memory,
    /// A partition, by its name under `/dev`.
    Device(String),
}

/// The words that were understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// `weir.tries=0` to `3`: from the boot loader, how often the slot may still be started after this; none: it does not matter.
    pub tries: Option<u8>,
    /// `weir.slot=a|b`: from the boot loader.
    pub slot: Option<Slot>,
    /// `weir.id=`: from the boot loader, the name of the disk that it was on; empty when that has none.
    pub id: Option<String>,
    /// `weir.disk=vda` or `/dev/vda`: this disk and no other, whatever its geometry.
    pub disk: Option<String>,
    /// `weir.perm=memory`, or a partition, instead of partition 4 of the boot disk.
    pub perm: Option<PermWord>,
    /// `weir.bench`: print the benchmark's line after ready.
    pub bench: bool,
    /// `weir.test=panic-after-ready|hang-after-ready`.
    pub trial: Option<Trial>,
    /// Words that begin with `weir.` and mean nothing; they are named and ignored.
    pub unknown: Vec<String>,
}

impl Words {
    /// Reads the whole command line. A word that comes twice counts as its last.
    pub fn parse(line: &str) -> Words {
        let mut words = Words::default();
        for word in line.split_ascii_whitespace().filter(|word| word.starts_with("weir.")) {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match (key, value) {
                ("weir.tries", "") => words.tries = None,
                ("weir.tries", left) if left.parse::<u8>().is_ok() => words.tries = left.parse().ok(),
                ("weir.slot", letter) if Slot::of(letter).is_some() => words.slot = Slot::of(letter),
                ("weir.id", id) if id.bytes().all(|byte| byte.is_ascii_hexdigit()) => words.id = Some(id.to_owned()),
                ("weir.perm", "memory") => words.perm = Some(PermWord::Memory),
                ("weir.perm", name) if device(name).is_some() => {
                    words.perm = device(name).map(PermWord::Device);
                }
                ("weir.disk", name) if device(name).is_some() => words.disk = device(name),
                ("weir.bench", "" | "1") => words.bench = true,
                ("weir.bench", "0") => words.bench = false,
                ("weir.test", "panic-after-ready") => words.trial = Some(Trial::Panic),
                ("weir.test", "hang-after-ready") => words.trial = Some(Trial::Hang),
                _ => words.unknown.push(word.to_owned()),
            }
        }
        words
    }
}

/// A name under `/dev`, with or without that prefix.
fn device(word: &str) -> Option<String> {
    let name = word.strip_prefix("/dev/").unwrap_or(word);
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_needed() {
        assert_eq!(Words::parse("console=ttyS0 quiet\n"), Words::default());
        assert_eq!(Words::parse(""), Words::default());
    }

    #[test]
    fn words_are_understood() {
        let words =
            Words::parse("weir.slot=b weir.disk=/dev/nvme0n1 weir.perm=sda4 weir.bench weir.test=panic-after-ready\n");
        assert_eq!(words.slot, Some(Slot::B));
        assert_eq!(words.disk.as_deref(), Some("nvme0n1"));
        assert_eq!(words.perm, Some(PermWord::Device("sda4".into())));
        assert!(words.bench);
        assert_eq!(words.trial, Some(Trial::Panic));
        assert!(words.unknown.is_empty());
        assert_eq!(Words::parse("weir.perm=memory").perm, Some(PermWord::Memory));
        assert_eq!(Words::parse("weir.id=00ab").id.as_deref(), Some("00ab"));
        assert_eq!(Words::parse("weir.id=").id.as_deref(), Some(""));
    }

    #[test]
    fn unknown_words_are_kept_for_naming() {
        let words = Words::parse("weir.slot=c weir.colour=blue weir.disk=../x weir.perm= weird=1");
        assert_eq!(words.unknown, ["weir.slot=c", "weir.colour=blue", "weir.disk=../x", "weir.perm="]);
        assert_eq!(words.slot, None);
    }
}
