//! `/perm/dyndns/state.json`: what was published, so that a boot publishes nothing anew; and who must not be asked again.
use crate::perm::WallTime;
use crate::perm::json::or_zero;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// One row a record.
    #[serde(deserialize_with = "or_zero")]
    pub records: Vec<Row>,
}

/// A record as it was left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// For who reads the file.
    #[serde(deserialize_with = "or_zero")]
    pub record: String,
    /// Which entry of dyndns.json it was.
    #[serde(deserialize_with = "or_zero")]
    pub sum: String,
    /// The address that it has; empty when none was published.
    #[serde(deserialize_with = "or_zero")]
    pub address: String,
    /// When that was said last.
    #[serde(deserialize_with = "or_zero")]
    pub published: WallTime,
    /// Why it is not asked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forbidden: Option<String>,
}

impl Row {
    /// Address and time, where there is one.
    pub fn published(&self) -> Option<(IpAddr, WallTime)> {
        Some((self.address.parse().ok()?, self.published))
    }
}
