//! `grubenv`, GRUB's 1,024 bytes of variables: which slot is booted, and how often it may still fail.
//!
//! `slot` is the slot that is wanted. `tries` is how many boots of it may yet end without `weir: ready`; GRUB takes one off
//! before each boot, and takes the other slot when none is left. `words` are more words for the kernel. `trial` is a slot
//! that holds a new image which nobody has judged yet, `lost` one whose image has not stood its trial, `left` one that was
//! left because a core service was sick in it. `id` is the disk's own name, by which PID 1 finds the disk that GRUB was on
//! among several of weir's. Variables that nobody here knows are kept.

use crate::Slot;

/// Bytes of a block.
pub const BYTES: usize = 1024;
/// How many boots may fail, one after the other.
pub const TRIES: &str = "3";

/// What the kernel is always told, by the boot loader and by kexec: its consoles (of two words for one port the first
/// counts), that the second partition table counts when the first one is damaged, to restart after a panic, and that the
/// watchdog watches on while kexec goes from one kernel to the next.
pub const WORDS: &str = "console=tty0 console=ttyS0,115200 gpt panic=3 watchdog.stop_on_reboot=0";

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

    fn remove(&mut self, name: &str) {
        self.variables.retain(|(known, _)| known != name);
    }

    /// The disk's own name; empty while it has none.
    pub fn id(&self) -> &str {
        self.get("id").unwrap_or_default()
    }

    /// Gives the disk a name of these bytes, unless it has one.
    pub fn give_id(&mut self, bytes: [u8; 8]) {
        if self.id().is_empty() {
            self.set("id", &format!("{:016x}", u64::from_be_bytes(bytes)));
        }
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

    /// What starts a slot once: unless it is judged to be good, the next start is the other one's again.
    #[must_use]
    pub fn trial(&self, slot: Slot) -> Environment {
        let mut after = self.clone();
        after.set("slot", slot.letter());
        after.set("tries", "1");
        after.set("trial", slot.letter());
        // It is judged anew.
        if after.lost() == Some(slot) {
            after.remove("lost");
        }
        after
    }

    /// The slot on trial has had its one start, or will have it without the boot loader.
    #[must_use]
    pub fn begun(&self) -> Environment {
        let mut after = self.clone();
        after.set("tries", "0");
        after
    }

    /// The slot that is on trial.
    pub fn on_trial(&self) -> Option<Slot> {
        self.get("trial").and_then(Slot::of)
    }

    /// The slot whose image has not stood its trial: it is started no more, unless it is tried again.
    pub fn lost(&self) -> Option<Slot> {
        self.get("lost").and_then(Slot::of)
    }

    /// The slot that was left because a core service was sick in it.
    pub fn left(&self) -> Option<Slot> {
        self.get("left").and_then(Slot::of)
    }

    /// What leaves a slot because a core service is sick in it: the other one is wanted, and when it is not ready at its
    /// one try this one has its turn again. `None` when there is no room to remember that by.
    pub fn leaving(&self, slot: Slot) -> Option<Environment> {
        let mut after = self.clone();
        after.remove("trial");
        let other = slot.other().letter();
        let said = after.set("slot", other) && after.set("tries", "1") && after.set("left", slot.letter());
        said.then_some(after)
    }

    /// That a slot was left is forgotten.
    #[must_use]
    pub fn recovered(&self) -> Environment {
        let mut after = self.clone();
        after.remove("left");
        after
    }

    /// Whether this slot is on trial and has had its one start: whatever restarts the machine now ends in the other one.
    pub fn ends_with(&self, slot: Slot) -> bool {
        self.on_trial() == Some(slot) && self.get("slot") == Some(slot.letter()) && self.get("tries") == Some("0")
    }

    /// The slot that runs is the wanted one from now on, with all its tries; nobody is on trial.
    #[must_use]
    pub fn committed(&self, booted: Slot) -> Environment {
        let mut after = self.clone();
        after.set("slot", booted.letter());
        after.set("tries", TRIES);
        after.remove("trial");
        after
    }

    /// What is to be written once the machine, which GRUB started from `booted`, serves; `None` when nothing is.
    ///
    /// The slot that was wanted has its count back, unless it is on trial: then [`Environment::committed`] does that. When
    /// the other one runs because none was left, or because the one on trial has not stayed, that is the wanted one from
    /// now on; when it runs for another reason, a damaged sum, nothing is touched.
    pub fn served(&self, booted: Slot) -> Option<Environment> {
        let used_up = self.get("tries") == Some("0");
        let wanted = self.get("slot").and_then(Slot::of).unwrap_or_default() == booted;
        let after = match self.on_trial() {
            Some(trial) if trial == booted => return None,
            Some(trial) => {
                let mut after = self.committed(booted);
                // Without room for this nothing else fails.
                after.set("lost", trial.letter());
                after
            }
            None if wanted || used_up => self.committed(booted),
            None => return None,
        };
        (after != *self).then_some(after)
    }

    /// The kernel's command line, as the boot loader makes it, for a slot that may not be started once more.
    pub fn command_line(&self, slot: Slot) -> String {
        let words = self.get("words").unwrap_or_default();
        let line = format!("{words} {WORDS} weir.slot={} weir.tries=0 weir.id={}", slot.letter(), self.id());
        line.trim_start().to_owned()
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
    fn a_slot_on_trial_is_started_once_and_stays_by_a_verdict_only() {
        let trial = of("a", "3").trial(Slot::B);
        assert_eq!((trial.get("slot"), trial.get("tries"), trial.on_trial()), (Some("b"), Some("1"), Some(Slot::B)));
        // GRUB takes the one try, or kexec does.
        let begun = trial.begun();
        assert_eq!(begun.get("tries"), Some("0"));
        assert!(begun.ends_with(Slot::B) && !begun.ends_with(Slot::A) && !trial.ends_with(Slot::B));
        assert!(!of("b", "0").ends_with(Slot::B), "nobody tries it");
        assert_eq!(begun.served(Slot::B), None, "that it serves is not enough");
        assert_eq!(begun.committed(Slot::B), of("b", "3"));
        for at in [&begun, &trial] {
            let after = at.served(Slot::A).unwrap();
            assert_eq!(after.lost(), Some(Slot::B));
            let mut lost = of("a", "3");
            lost.set("lost", "b");
            assert_eq!(after, lost, "it was not good, or damaged, or never started");
            assert_eq!(after.trial(Slot::B), trial, "whoever tries it again");
        }
    }

    #[test]
    fn a_slot_with_a_sick_service_is_left_for_one_try_of_the_other_one() {
        let left = of("a", "3").leaving(Slot::A).unwrap();
        assert_eq!((left.get("slot"), left.get("tries"), left.left()), (Some("b"), Some("1"), Some(Slot::A)));
        let served = left.begun().served(Slot::B).unwrap();
        assert_eq!((served.get("tries"), served.left(), served.recovered()), (Some("3"), Some(Slot::A), of("b", "3")));
        let back = left.begun().served(Slot::A).unwrap();
        assert_eq!((back.get("slot"), back.left()), (Some("a"), Some(Slot::A)), "it was never ready");
        let mut full = of("a", "3");
        full.set("words", &"x".repeat(ROOM - HEAD.len() - "words=\nslot=a\ntries=3\n".len()));
        assert_eq!(full.leaving(Slot::A), None);
    }

    #[test]
    fn the_command_line_is_the_boot_loaders() {
        let mut environment = of("b", "1");
        assert_eq!(environment.command_line(Slot::B), format!("{WORDS} weir.slot=b weir.tries=0 weir.id="));
        environment.set("words", "nosmp");
        environment.give_id([0, 0, 0, 0, 0, 0, 0xab, 0xcd]);
        environment.give_id([7; 8]);
        let id = "000000000000abcd";
        assert_eq!(environment.command_line(Slot::A), format!("nosmp {WORDS} weir.slot=a weir.tries=0 weir.id={id}"));
    }

    #[test]
    fn others_variables_are_kept() {
        let mut environment = of("a", "1");
        environment.set("mine", "7");
        assert_eq!(environment.served(Slot::A).unwrap().get("mine"), Some("7"));
    }
}
