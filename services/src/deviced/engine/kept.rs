//! `/perm/deviced/devices.json`: what of a device has to outlive the boot.
use crate::perm::json::{self, Refusal, or_zero};
use crate::perm::{Mac, WallTime, file};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its hardware address.
    pub hardware_addr: Mac,
    /// The name that it was given.
    #[serde(default, deserialize_with = "or_zero")]
    pub name: String,
    /// The name that is fixed to it.
    #[serde(default, deserialize_with = "or_zero")]
    pub fixed_name: String,
    /// When it was first seen.
    #[serde(default, deserialize_with = "or_zero")]
    pub first_seen: WallTime,
    /// When it was last seen, by the hour.
    #[serde(default, deserialize_with = "or_zero")]
    pub last_seen: WallTime,
}

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Every device.
    #[serde(default, deserialize_with = "or_zero")]
    pub devices: Vec<Kept>,
}

/// Reads it; nothing when there is no file. One that cannot be read is put aside, not overwritten.
///
/// # Errors
/// When it cannot be read or is no such file.
pub fn read(path: &Path) -> Result<Known, Refusal> {
    let bytes = file::read(path).map_err(|error| Refusal::field(path, "the file", error))?;
    let parsed = bytes.map(|bytes| json::parse(path, &bytes)).transpose();
    if parsed.is_err() {
        // It stays where it is if that fails, and is overwritten.
        let _ = std::fs::rename(path, path.with_extension("json.refused"));
    }
    Ok(parsed?.unwrap_or_default())
}
