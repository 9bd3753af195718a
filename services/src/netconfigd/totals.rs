//! Counts that go on over restarts and reboots: what the kernel counts since its start, on top of what was counted
//! before. Kept in `/perm/netconfigd/counters.json`, once a minute and at an orderly end.
use super::engine::{Subject, Sums, Traffic};
use crate::perm::Mac;
use crate::perm::file;
use crate::perm::json::{self, Refusal, or_zero};
use netstack::nft::Count;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "/perm/netconfigd/counters.json";

/// Counts by name.
pub type Counts = BTreeMap<String, Count>;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    /// The boot in which it was written.
    #[serde(deserialize_with = "or_zero")]
    boot: String,
    /// Sums of all time: packets, bytes.
    #[serde(deserialize_with = "or_zero")]
    total: BTreeMap<String, (u64, u64)>,
    /// What of it the kernel held.
    #[serde(deserialize_with = "or_zero")]
    kernel: BTreeMap<String, (u64, u64)>,
    /// Sums of all time that are made of connections.
    #[serde(deserialize_with = "or_zero")]
    forwarded: BTreeMap<String, (u64, u64)>,
    /// What of it belonged to connections that stood.
    #[serde(deserialize_with = "or_zero")]
    standing: BTreeMap<String, (u64, u64)>,
}

/// Sums of all time.
#[derive(Debug, Default)]
pub struct Totals {
    path: PathBuf,
    boot: String,
    /// Counted before the kernel's counters began.
    before: Counts,
    /// What the kernel held last.
    kernel: Counts,
    /// What is counted by connections.
    pub traffic: Traffic,
}

/// Subjects by name; what has a name that is none is left out.
fn sums(all: BTreeMap<String, (u64, u64)>) -> Sums {
    all.into_iter().filter_map(|(name, (packets, bytes))| Some((subject(&name)?, Count { packets, bytes }))).collect()
}

fn subject(name: &str) -> Option<Subject> {
    let device = |text: &str| if text == "other" { Some(None) } else { text.parse().ok().map(Some) };
    match name.split_once(' ') {
        None => ["forward4", "forward6"].iter().position(|family| *family == name).map(|at| Subject::Family(at == 1)),
        Some(("to", text)) => device(text).map(Subject::To),
        Some(("from", text)) => device(text).map(Subject::From),
        Some(_) => None,
    }
}

fn name(subject: &Subject) -> String {
    let device = |mac: &Option<Mac>| mac.map_or_else(|| "other".to_owned(), |mac| mac.to_string());
    match subject {
        Subject::Family(ipv6) => if *ipv6 { "forward6" } else { "forward4" }.to_owned(),
        Subject::To(mac) => format!("to {}", device(mac)),
        Subject::From(mac) => format!("from {}", device(mac)),
    }
}

impl Totals {
    /// Reads what was kept; a file that is refused counts as none and is complained of.
    pub fn open(root: &Path, boot: &str) -> (Totals, Option<Refusal>) {
        let path = root.join(FILE.trim_start_matches('/'));
        let read = || match file::read(&path).map_err(|error| Refusal::field(&path, "the file", error))? {
            Some(bytes) => json::parse::<Kept>(&path, &bytes),
            None => Ok(Kept::default()),
        };
        let (kept, refusal) = read().map_or_else(|refusal| (Kept::default(), Some(refusal)), |kept| (kept, None));
        let counts = |all: BTreeMap<String, (u64, u64)>| -> Counts {
            all.into_iter().map(|(name, (packets, bytes))| (name, Count { packets, bytes })).collect()
        };
        let (mut before, mut kernel) = (counts(kept.total), Counts::new());
        let same_boot = kept.boot == boot;
        let standing = if same_boot { sums(kept.standing) } else { Sums::new() };
        let traffic = Traffic::new(sums(kept.forwarded), &standing);
        if same_boot {
            // The kernel still holds its part, and has gone on counting.
            kernel = counts(kept.kernel);
            for (name, count) in &mut before {
                let held = kernel.get(name).copied().unwrap_or_default();
                count.packets = count.packets.saturating_sub(held.packets);
                count.bytes = count.bytes.saturating_sub(held.bytes);
            }
        }
        (Totals { path, boot: boot.to_owned(), before, kernel, traffic }, refusal)
    }

    /// What the kernel holds now. Less than last time means that it began anew.
    pub fn observe(&mut self, now: Counts) {
        for (name, last) in &self.kernel {
            let current = now.get(name).copied().unwrap_or_default();
            if current.packets < last.packets || current.bytes < last.bytes {
                let before = self.before.entry(name.clone()).or_default();
                before.packets += last.packets;
                before.bytes += last.bytes;
            }
        }
        self.kernel = now;
    }

    /// The sum of all time.
    pub fn of(&self, name: &str) -> Count {
        let part = |counts: &Counts| counts.get(name).copied().unwrap_or_default();
        let (before, kernel) = (part(&self.before), part(&self.kernel));
        Count { packets: before.packets + kernel.packets, bytes: before.bytes + kernel.bytes }
    }

    /// What counts under names that begin so and that the kernel has now: the rest of the name, and the sum.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, Count)> + 'a {
        self.kernel.keys().filter_map(move |name| Some((name.strip_prefix(prefix)?, self.of(name))))
    }

    /// Forgets what counted under names that begin so and that the kernel has no more: their rules are gone.
    pub fn prune(&mut self, prefix: &str) {
        let kernel = &self.kernel;
        self.before.retain(|name, _| !name.starts_with(prefix) || kernel.contains_key(name));
    }

    /// Writes the file when it differs.
    ///
    /// # Errors
    /// When the disk is full or broken; the old file is then still whole.
    pub fn keep(&self) -> io::Result<bool> {
        let pair = |count: Count| (count.packets, count.bytes);
        let names = self.before.keys().chain(self.kernel.keys());
        let named = |sums: &Sums| sums.iter().map(|(subject, count)| (name(subject), pair(*count))).collect();
        let (forwarded, standing) = self.traffic.sums();
        let kept = Kept {
            boot: self.boot.clone(),
            total: names.map(|name| (name.clone(), pair(self.of(name)))).collect(),
            kernel: self.kernel.iter().map(|(name, count)| (name.clone(), pair(*count))).collect(),
            forwarded: named(forwarded),
            standing: named(standing),
        };
        file::replace(&self.path, &json::write(&kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    #[test]
    fn subjects_have_names() {
        let mac = Some(Mac([2, 0, 0, 0, 0, 7]));
        for one in
            [Subject::Family(false), Subject::Family(true), Subject::To(mac), Subject::From(mac), Subject::To(None)]
        {
            assert_eq!(subject(&name(&one)), Some(one));
        }
        for wrong in ["", "forward5", "to", "to x", "by 02:00:00:00:00:07"] {
            assert_eq!(subject(wrong), None, "{wrong}");
        }
    }

    fn counts(packets: u64) -> Counts {
        [("input4".to_owned(), Count { packets, bytes: packets * 100 })].into()
    }

    #[test]
    fn sums_go_on_over_restarts_reboots_and_a_table_that_was_taken_away() {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("perm/netconfigd")).unwrap();
        let open = |boot: &str| Totals::open(&folder.0, boot).0;
        let mut totals = open("one");
        totals.observe(counts(5));
        assert_eq!(totals.of("input4"), Count { packets: 5, bytes: 500 });
        assert!(totals.keep().unwrap() && !totals.keep().unwrap());
        // A restart: the kernel went on.
        let mut totals = open("one");
        totals.observe(counts(8));
        assert_eq!(totals.of("input4").packets, 8);
        // The table is gone and made anew.
        totals.observe(counts(2));
        assert_eq!(totals.of("input4").packets, 10);
        totals.keep().unwrap();
        let mut totals = open("one");
        totals.observe(counts(3));
        assert_eq!(totals.of("input4").packets, 11);
        totals.keep().unwrap();
        // A reboot.
        let mut totals = open("two");
        assert_eq!(totals.of("input4").packets, 11);
        totals.observe(counts(1));
        assert_eq!(totals.of("input4"), Count { packets: 12, bytes: 1_200 });
        assert_eq!(totals.of("output4"), Count::default());
    }

    #[test]
    fn a_damaged_file_is_said_and_counts_as_none() {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("perm/netconfigd")).unwrap();
        std::fs::write(folder.0.join("perm/netconfigd/counters.json"), b"{\"total\":7}").unwrap();
        let (totals, refusal) = Totals::open(&folder.0, "one");
        assert!(refusal.unwrap().to_string().contains("counters.json:1:"));
        assert_eq!(totals.of("input4"), Count::default());
    }
}
