//! leases.json: read once at start, replaced durably before any ACK that it backs leaves.
//!
//! When the disk refuses, leases hold from memory: it is said aloud, once, and tried with every change and each minute.
use super::engine::Engine;
use crate::perm::WallTime;
use crate::perm::leases::{self, Lease};
use netstack::time::Instant;
use std::path::PathBuf;
use std::time::Duration;

const RETRY: Duration = Duration::from_secs(60);
/// The wall clock may run this far from boot time before it counts as set anew.
const DRIFT: i64 = 1_000_000_000;

/// The file and the clock by which its times are written.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    epoch: Instant,
    wall_at_epoch: WallTime,
    refused: bool,
    retry: Option<Instant>,
}

impl Store {
    /// `now` and `wall` are the two clocks' readings at one moment, the one at which the engine was made.
    pub fn new(path: PathBuf, now: Instant, wall: WallTime) -> Store {
        Store { path, epoch: now, wall_at_epoch: wall, refused: false, retry: None }
    }

    /// Hands the file's leases to the engine. A file that cannot be read is put aside, not overwritten: it may hold
    /// static leases that a person wrote.
    pub fn load(&self, engine: &mut Engine) {
        match leases::read(&self.path) {
            Ok(leases) => {
                for refusal in engine.load(leases, self.wall_at_epoch) {
                    log::warn!("{}: left out: {refusal}", self.path.display());
                }
            }
            Err(refusal) => {
                let aside = self.path.with_extension("json.refused");
                log::error!("{refusal}: starting without leases, the file is kept as {}", aside.display());
                if let Err(error) = std::fs::rename(&self.path, &aside) {
                    log::error!("{}: {error}", aside.display());
                }
            }
        }
    }

    /// Writes all leases; says whether the file was replaced, so that its readers are to be told.
    pub fn write(&mut self, now: Instant, wall: WallTime, engine: &Engine) -> bool {
        let leases = engine.leases(self.at_epoch(now, wall));
        self.replace(now, &leases)
    }

    /// When the leases are to be written again although nothing has changed.
    pub fn deadline(&self) -> Option<Instant> {
        self.retry
    }

    // Kept while the clocks go together, so that an untouched record is written with the same bytes each time.
    fn at_epoch(&mut self, now: Instant, wall: WallTime) -> WallTime {
        let elapsed = i64::try_from((now - self.epoch).as_nanos()).unwrap_or(i64::MAX);
        let at_epoch = wall.shifted(elapsed.saturating_neg());
        if at_epoch.nanos_from(self.wall_at_epoch).saturating_abs() > DRIFT {
            self.wall_at_epoch = at_epoch;
        }
        self.wall_at_epoch
    }

    fn replace(&mut self, now: Instant, leases: &[Lease]) -> bool {
        match leases::write(&self.path, leases) {
            Ok(replaced) => {
                if std::mem::take(&mut self.refused) {
                    log::info!("{}: written again", self.path.display());
                }
                self.retry = None;
                replaced
            }
            Err(error) => {
                if !std::mem::replace(&mut self.refused, true) {
                    log::error!("{}: {error}: leases are only in memory until it can be written", self.path.display());
                }
                self.retry = Some(now + RETRY);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp4d::engine::pool::Subnet;
    use crate::perm::file::tests::Folder;

    const WALL: WallTime = WallTime::from_unix(1_800_000_000);
    const FILE: &str = r#"[{"num":7,"addr":"192.168.42.9","hardware_addr":"02:00:00:00:00:01","hostname":"xps","expiry":"2027-01-15T08:10:00Z"}]"#;

    fn scene(folder: &Folder) -> (Engine, Store) {
        let now = Instant::from_secs(100);
        let engine = Engine::new(now, Some(Subnet::new([192, 168, 42, 1].into(), 24)));
        (engine, Store::new(folder.0.join("leases.json"), now, WALL))
    }

    #[test]
    fn an_untouched_record_keeps_its_bytes_until_the_clock_is_set() {
        let folder = Folder::new();
        std::fs::write(folder.0.join("leases.json"), FILE).unwrap();
        let (mut engine, mut store) = scene(&folder);
        store.load(&mut engine);
        let later = Instant::from_millis(160_003);
        assert!(store.write(later, WALL.after(Duration::from_secs(60)), &engine), "router7's file in our words");
        assert!(!store.write(later, WALL.after(Duration::from_secs(60)), &engine));
        let text = std::fs::read_to_string(folder.0.join("leases.json")).unwrap();
        assert!(text.contains("\"expiry\": \"2027-01-15T08:10:00Z\"") && text.contains("\"num\": 7"), "{text}");
        assert!(store.write(later, WALL.after(Duration::from_secs(86_400)), &engine), "NTP has set the clock");
    }

    #[test]
    fn a_file_that_is_no_list_of_leases_is_put_aside() {
        let folder = Folder::new();
        std::fs::write(folder.0.join("leases.json"), "[{\"addr\": 7}]").unwrap();
        let (mut engine, store) = scene(&folder);
        store.load(&mut engine);
        assert_eq!(engine.leases(WALL), Vec::new());
        assert!(folder.0.join("leases.json.refused").exists() && !folder.0.join("leases.json").exists());
    }

    #[test]
    fn a_full_disk_is_tried_again() {
        let folder = Folder::new();
        std::fs::write(folder.0.join("leases.json"), FILE).unwrap();
        let (mut engine, mut store) = scene(&folder);
        store.load(&mut engine);
        // A folder in the temporary file's place makes the write fail as a full disk would.
        std::fs::create_dir(folder.0.join(".leases.json.new")).unwrap();
        let now = Instant::from_secs(200);
        assert!(!store.write(now, WALL, &engine));
        assert_eq!(store.deadline(), Some(now + RETRY));
        std::fs::remove_dir(folder.0.join(".leases.json.new")).unwrap();
        assert!(store.write(now + RETRY, WALL, &engine));
        assert_eq!(store.deadline(), None);
    }
}
