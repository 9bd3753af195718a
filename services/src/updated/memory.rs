//! What is remembered from boot to boot, in `/perm/updated/`: which update is on trial (`trial.json`), and which were no
//! good (`refused.json`).
use crate::house::House;
use crate::perm::file;
use layout::Slot;
use serde::{Deserialize, Serialize};
use std::io;

const TRIAL: &str = "/perm/updated/trial.json";
const REFUSED: &str = "/perm/updated/refused.json";
/// So many are remembered: the newest.
const MOST: usize = 32;

/// An update on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// SHA-256 of its manifest's line.
    pub manifest: String,
    /// The letter of its slot.
    pub slot: String,
    /// Whether the internet worked before.
    pub worked: bool,
}

/// Writes down what is to be tried now.
///
/// # Errors
/// The disk's.
pub fn begin(house: &House, trial: &Trial) -> io::Result<()> {
    let bytes = serde_json::to_vec(trial).unwrap_or_default();
    file::replace(&house.path(TRIAL), &bytes).map(drop)
}

/// What is on trial; none when nothing is, or when the file is damaged.
pub fn trial(house: &House) -> Option<Trial> {
    let bytes = file::read(&house.path(TRIAL)).ok()??;
    serde_json::from_slice(&bytes).ok()
}

/// Nothing is on trial any more.
pub fn end(house: &House) {
    // One that stays is taken for what it is at the next start.
    let _ = std::fs::remove_file(house.path(TRIAL));
}

/// What was no good, the newest last.
pub fn refused(house: &House) -> Vec<String> {
    let bytes = file::read(&house.path(REFUSED)).ok().flatten();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Looks at what was on trial when another slot than its own runs: it was no good, and is remembered. Says whether there
/// was such a one. One whose slot runs is kept while `judged` is false.
pub fn settle(house: &House, running: Slot, judged: bool) -> bool {
    let Some(trial) = trial(house) else { return false };
    let failed = Slot::of(&trial.slot) != Some(running);
    if failed {
        let mut known = refused(house);
        known.retain(|other| *other != trial.manifest);
        known.push(trial.manifest);
        known.drain(..known.len().saturating_sub(MOST));
        let bytes = serde_json::to_vec(&known).unwrap_or_default();
        if let Err(error) = file::replace(&house.path(REFUSED), &bytes) {
            log::warn!("{REFUSED}: {error}");
        }
    }
    if failed || judged {
        end(house);
    }
    failed
}
