//! `top`: what each process costs, between two looks.
use super::answer::List;
use super::tables::{cell, clean};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// From one look to the next.
pub const PAUSE: Duration = Duration::from_secs(2);
/// Between the first two, of which only the second can be shown.
pub const FIRST: Duration = Duration::from_secs(1);

/// What the kernel says of processes at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// Nanoseconds since boot.
    pub at: u64,
    /// Processor time of each process that was asked about, in nanoseconds, by its number.
    pub used: BTreeMap<u32, u64>,
    /// Ticks of the processors: busy, and all.
    pub ticks: (u64, u64),
    /// Memory that can be had, and all of it, in KiB.
    pub memory: (u64, u64),
}

/// The table in the making.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Top {
    before: Option<Sample>,
    /// The services at the last look.
    pub list: List,
}

impl Top {
    /// The processes that are to be looked at.
    pub fn processes(&self) -> Vec<u32> {
        let services = self.list.services.iter().filter_map(|service| service.pid).filter(|pid| *pid != 0);
        std::iter::once(1).chain(services).collect()
    }

    /// Takes a look; from the second on there is a table.
    pub fn look(&mut self, sample: Sample) -> Option<String> {
        let before = self.before.replace(sample)?;
        let now = self.before.as_ref()?;
        let passed = now.at.saturating_sub(before.at).max(1);
        let share = |pid: u32| {
            let used = now.used.get(&pid)?.checked_sub(before.used.get(&pid).copied().unwrap_or_default())?;
            Some(used as f64 * 100.0 / passed as f64)
        };
        let (busy, all) = (now.ticks.0.saturating_sub(before.ticks.0), now.ticks.1.saturating_sub(before.ticks.1));
        let mut text = String::new();
        let busy = busy as f64 * 100.0 / all.max(1) as f64;
        let (free, total) = now.memory;
        let _ = writeln!(text, "processors {busy:.0} % busy, {} of {} MiB of memory free", free >> 10, total >> 10);
        let _ = writeln!(text, "\n{:<14}{:>7}{:>12}{:>14}{:>12}", "process", "pid", "processor", "in all", "memory");
        let mut rows: Vec<(f64, String)> = Vec::new();
        let services = self.list.services.iter();
        let services =
            services.map(|service| (service.name.as_str(), service.pid.unwrap_or_default(), service.memory_kib));
        for (name, pid, memory) in std::iter::once(("init", 1, None)).chain(services).filter(|(_, pid, _)| *pid != 0) {
            let used = now.used.get(&pid).copied().unwrap_or_default() as f64 / 1e9;
            let memory = memory.map_or("-".to_owned(), |kib| format!("{kib} KiB"));
            let share = share(pid).unwrap_or_default();
            let name = cell(&clean(name), 13);
            rows.push((share, format!("{name:<14}{pid:>7}{share:>10.1} %{used:>12.2} s{memory:>12}\n")));
        }
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        text.extend(rows.into_iter().map(|(_, row)| row));
        Some(text)
    }
}
