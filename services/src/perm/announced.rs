//! `/perm/radvd/announced.json`: the prefixes that hosts of a LAN may still hold, because radvd has announced them. Those
//! that are no longer in force are stale: radvd deprecates them, and netconfigd keeps a way to the hosts that use them.
use super::file;
use super::json::{self, Refusal, or_zero};
use super::stamp::Stamp;
use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Announced {
    /// When it was written.
    #[serde(deserialize_with = "or_zero")]
    pub stamp: Stamp,
    /// Every prefix once announced whose time is not over.
    #[serde(deserialize_with = "or_zero")]
    pub prefixes: Vec<Prefix>,
}

/// A prefix on a LAN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefix {
    /// The LAN.
    pub lan: String,
    /// As in its prefix information option.
    pub prefix: Ipv6Net,
    /// Its L flag.
    #[serde(default)]
    pub on_link: bool,
    /// Its A flag.
    #[serde(default)]
    pub autonomous: bool,
    /// The longest valid lifetime that hosts may have been told, in seconds.
    #[serde(default)]
    pub valid: u32,
    /// For a stale one: how long from `stamp` on it is still announced as such, in seconds. None: it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_for: Option<u32>,
}

/// Reads the file; `None` when there is none yet.
///
/// # Errors
/// When it cannot be read or is something else.
pub fn read(root: &Path) -> Result<Option<Announced>, Refusal> {
    let path = root.join(rights::ANNOUNCED.trim_start_matches('/'));
    match file::read(&path) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => json::parse(&path, &bytes).map(Some),
        Err(error) => Err(Refusal::field(&path, "the file", error)),
    }
}
