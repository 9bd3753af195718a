//! `grubenv`, GRUB's 1,024 bytes of variables: which slot is booted, and how often it may still fail.
//!
//! `slot` is the slot that is wanted. `tries` is how many boots of it may yet end without `weir: ready`; GRUB takes one off
//! before each boot, and takes the other slot when none is left. `words` are more words for the kernel. Variables that
//! nobody here knows are kept.
use crate::Slot;

/// Bytes of a block.
pub const BYTES: usize = 1024;
/// How many boots may fail, one after the other.
pub const TRIES: &str = "3";

const HEAD: &str = "# GRUB Environment Block\n";
/// One sector: the half behind it is filling only, so a write that is cut is whole or did not happen.
const ROOM: usize = 512;

/// The variables of a block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    variables: Vec<(String, String)>,
}

impl Environment {
    /// What a new disk has.
    pub fn new(slot: Slot) -> Environment {
        let mut new = Environment::default();
        new.set("slot", slot.letter());
        new.set("tries", TRIES);
        new
    }

    /// Reads a block; `None` when GRUB would not take it.
    pub fn read(block: &[u8]) -> Option<Environment> {
        let text = block.get(..BYTES)?.strip_prefix(HEAD.as_bytes())?;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"));
        let variable = |line: &[u8]| {
            let (name, value) = std::str::from_utf8(line).ok()?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        Some(Environment { variables: lines.filter_map(variable).collect() })
    }

    /// A variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Sets a variable, which has to fit into the sector with the others: else nothing changes, and the answer is false.
    pub fn set(&mut self, name: &str, value: &str) -> bool {
        let mut after = self.variables.clone();
        match after.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => after.push((name.to_owned(), value.to_owned())),
        }
        let length: usize = after.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        // A backslash or a new line would have to be written otherwise.
        let fits = HEAD.len() + length <= ROOM && !name.is_empty() && !value.contains(['\\', '\n']);
        if fits {
            self.variables = after;
        }
        fits
    }

    /// The block as GRUB reads and rewrites it.
    pub fn block(&self) -> [u8; BYTES] {
        let lines = self.variables.iter().map(|(name, value)| format!("{name}={value}\n"));
        let text: String = std::iter::once(HEAD.to_owned()).chain(lines).collect();
        let mut block = [b'#'; BYTES];
        for (place, byte) in block.iter_mut().zip(text.bytes()) {
            *place = byte;
        }
        block
    }

    /// What starts a slot once: unless it serves, the next start is the other one's again.
    #[must_use]
    pub fn trial(&self, slot: Slot) -> Environment {
        let mut after = self.clone();
        after.set("slot", slot.letter());
        after.set("tries", "1");
        after
    }

    /// What is to be written once the machine, which GRUB started from `booted`, serves; `None` when nothing is.
    ///
    /// The slot that was wanted has its count back. When the other one runs because none was left, that is the wanted one
    /// from now on; when it runs for another reason, a damaged sum, or as a trial, nothing is touched.
    pub fn served(&self, booted: Slot) -> Option<Environment> {
        let mut after = self.clone();
        let used_up = self.get("tries") == Some("0");
        if self.get("slot").and_then(Slot::of).unwrap_or_default() != booted {
            if !used_up {
                return None;
            }
            after.set("slot", booted.letter());
        }
        after.set("tries", TRIES);
        (after != *self).then_some(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_back_and_what_is_none_is_refused() {
        let mut environment = Environment::new(Slot::B);
        assert!(environment.set("words", "console=ttyS0,9600 a=b"));
        let block = environment.block();
        assert!(block.starts_with(b"# GRUB Environment Block\nslot=b\ntries=3\nwords=console=ttyS0,9600 a=b\n#"));
        assert!(block[512..].iter().all(|byte| *byte == b'#'));
        assert_eq!(Environment::read(&block), Some(environment.clone()));
        assert!(!environment.set("words", &"x".repeat(500)) && !environment.set("words", "a\nb"));
        assert_eq!(environment.get("words"), Some("console=ttyS0,9600 a=b"));
        for wrong in [&block[..1023], &[0; 1024], &[b'#'; 1024]] {
            assert_eq!(Environment::read(wrong), None);
        }
        let mut rubbish = [0xff; 1024];
        rubbish[..HEAD.len()].copy_from_slice(HEAD.as_bytes());
        assert_eq!(Environment::read(&rubbish), Some(Environment::default()));
    }

    fn of(slot: &str, tries: &str) -> Environment {
        let mut environment = Environment::default();
        environment.set("slot", slot);
        environment.set("tries", tries);
        environment
    }

    #[test]
    fn the_count_comes_back() {
        assert_eq!(of("a", "3").served(Slot::A), None);
        for left in ["2", "1", "0", "", "x"] {
            assert_eq!(of("a", left).served(Slot::A), Some(of("a", "3")), "{left}");
        }
    }

    #[test]
    fn who_had_to_help_out_is_wanted_from_now_on() {
        assert_eq!(of("a", "0").served(Slot::B), Some(of("b", "3")));
        // Its sums are wrong, or the other one is on trial.
        assert_eq!(of("a", "2").served(Slot::B), None);
    }

    #[test]
    fn a_slot_on_trial_is_started_once() {
        assert_eq!(of("a", "3").trial(Slot::B), of("b", "1"));
        // GRUB takes the one try; it serves, or the other one does.
        assert_eq!(of("b", "0").served(Slot::B), Some(of("b", "3")));
        assert_eq!(of("b", "0").served(Slot::A), Some(of("a", "3")));
    }

    #[test]
    fn others_variables_are_kept() {
        let mut environment = of("a", "1");
        environment.set("trial", "7");
        assert_eq!(environment.served(Slot::A).unwrap().get("trial"), Some("7"));
    }
}
