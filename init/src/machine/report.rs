//! What PID 1 tells about itself and its services.
use super::Machine;
use crate::boot::Perm;
use crate::clock;
use layout::Slot;
use nix::sys::statvfs::{FsFlags, statvfs};
use rights::SERVICES;
use serde_json::{Value, json};

impl Machine {
    /// The answer to `list`.
    pub(super) fn list(&self) -> String {
        let now = clock::now();
        let rows = SERVICES.iter().zip(self.supervisor.rows());
        let services: Vec<Value> = rows
            .map(|(service, row)| {
                json!({
                    "name": service.name,
                    "state": row.state().word(),
                    "ready": row.ready_at.is_some(),
                    "pid": row.pid.unwrap_or(0),
                    "uptime_ms": row.pid.map_or(0, |_| now.saturating_sub(row.started_at)),
                    "restarts": row.restarts,
                    "sick": row.is_sick(),
                    "last_exit": row.last_exit,
                    "memory_kib": row.pid.map_or(0, private_kib),
                })
            })
            .collect();
        let answer = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_ms": now,
            "ready_ms": self.ready_ms,
            "perm": self.perm_word(),
            "slot": self.slot.map_or("memory", |slot| slot.letter()),
            "trial": self.on_trial,
            "left": self.left.map(Slot::letter),
            "services": services,
        });
        format!("{answer}\n")
    }

    fn perm_word(&self) -> String {
        match &self.perm {
            Perm::Memory(why) => format!("memory: {why}"),
            Perm::Ext4 | Perm::Mended(_) => {
                let frozen = statvfs("/perm").is_ok_and(|state| state.flags().contains(FsFlags::ST_RDONLY));
                // The kernel does this at the first error that it finds on the disk.
                match &self.perm {
                    _ if frozen => "ext4, read-only after an error".into(),
                    Perm::Mended(what) => format!("ext4, {what}"),
                    _ => "ext4".into(),
                }
            }
        }
    }
}

/// A process's own memory: resident, and shared with no file.
fn private_kib(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let mut pages = text.split_ascii_whitespace().skip(1).map_while(|field| field.parse::<u64>().ok());
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    resident.saturating_sub(shared) * 4
}

/// The benchmark's line.
pub(super) fn bench(init_tsc: u64, ready_tsc: u64) -> String {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let (total, available) = (meminfo(&text, "MemTotal:"), meminfo(&text, "MemAvailable:"));
    format!("weir: bench init_tsc={init_tsc} ready_tsc={ready_tsc} mem_total_kib={total} mem_available_kib={available}")
}

fn meminfo(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::meminfo;

    #[test]
    fn memory() {
        let text = "MemTotal:         223344 kB\nMemFree:          1 kB\nMemAvailable:     198765 kB\n";
        assert_eq!(meminfo(text, "MemTotal:"), 223_344);
        assert_eq!(meminfo(text, "MemAvailable:"), 198_765);
        assert_eq!(meminfo("", "MemTotal:"), 0);
    }
}
