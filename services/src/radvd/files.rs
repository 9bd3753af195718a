//! `announced.json`: written before hosts are told. What cannot be written is said aloud and tried again every minute.
use crate::perm::announced::{self, Announced};
use crate::perm::{file, json};
use netstack::time::Instant;
use std::path::{Path, PathBuf};
use std::time::Duration;

const RETRY: Duration = Duration::from_secs(60);

/// Where it is kept.
#[derive(Debug)]
pub struct Files {
    path: PathBuf,
    pending: Option<(Vec<u8>, Instant)>,
}

impl Files {
    /// Under a root; also what the file says. A damaged one is named and counts as none.
    pub fn open(root: &Path) -> (Files, Announced) {
        let found = announced::read(root).unwrap_or_else(|refusal| {
            log::warn!("{refusal}: starting without it");
            None
        });
        let path = root.join(rights::ANNOUNCED.trim_start_matches('/'));
        (Files { path, pending: None }, found.unwrap_or_default())
    }

    /// Writes; says whether the file was replaced, so that its readers are to be told.
    pub fn write(&mut self, now: Instant, announced: &Announced) -> bool {
        self.pending = Some((json::write(announced), now));
        self.retry(now)
    }

    /// When [`Files::retry`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.as_ref().map(|(_, at)| *at)
    }

    /// Writes what is pending, if its time has come; says whether the file was replaced.
    pub fn retry(&mut self, now: Instant) -> bool {
        let Some((bytes, at)) = self.pending.take() else { return false };
        if at <= now {
            match file::replace(&self.path, &bytes) {
                Ok(replaced) => return replaced,
                Err(error) => {
                    log::error!("{}: {error}: it is only in memory, next try in a minute", self.path.display());
                }
            }
        }
        self.pending = Some((bytes, if at <= now { now + RETRY } else { at }));
        false
    }
}
