//! `/perm/dhcp4d/leases.json`: what dhcp4d has promised to whom (router7's keys and indentation).
use super::json::{self, Refusal, or_zero};
use super::{WallTime, file};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::Path;

/// So large is the file with the leases of a few /16, in bytes.
const LARGEST: u64 = 64 << 20;

/// One record of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Offset of the address from the first of the pool (server address + 1); may lie outside the pool.
    #[serde(default, deserialize_with = "or_zero")]
    pub num: i64,
    /// The address.
    pub addr: Ipv4Addr,
    /// The client's hardware address, lower-case with colons.
    pub hardware_addr: String,
    /// What the client called itself, or the override.
    #[serde(default, deserialize_with = "or_zero")]
    pub hostname: String,
    /// A name given by a person, which wins.
    #[serde(default, deserialize_with = "or_zero")]
    pub hostname_override: String,
    /// End of the lease; the zero time makes it a static lease.
    #[serde(default, deserialize_with = "or_zero")]
    pub expiry: WallTime,
    /// When it was last acknowledged; a zero time reads as `expiry`.
    #[serde(default, deserialize_with = "or_zero")]
    pub last_ack: WallTime,
}

impl Lease {
    /// A static lease never runs out.
    pub fn is_static(&self) -> bool {
        self.expiry.is_zero()
    }

    /// Whether it has run out at `now`.
    pub fn expired(&self, now: WallTime) -> bool {
        !self.is_static() && now > self.expiry
    }
}

/// Reads all records; none when there is no file.
///
/// # Errors
/// When the file cannot be read or is not a list of leases.
pub fn read(path: &Path) -> Result<Vec<Lease>, Refusal> {
    let Some(bytes) = file::read_up_to(path, LARGEST).map_err(|error| Refusal::field(path, "the file", error))? else {
        return Ok(Vec::new());
    };
    let leases: Option<Vec<Lease>> = json::parse(path, &bytes)?;
    let mut leases = leases.unwrap_or_default();
    for lease in &mut leases {
        if lease.last_ack.is_zero() {
            lease.last_ack = lease.expiry;
        }
    }
    Ok(leases)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    const ROUTER7: &str = "[\n\t{\n\t\t\"num\": 2,\n\t\t\"addr\": \"192.168.42.4\",\n\t\t\"hardware_addr\": \"11:22:33:44:55:66\",\n\t\t\"hostname\": \"xps\",\n\t\t\"hostname_override\": \"\",\n\t\t\"expiry\": \"2020-05-01T10:00:00Z\",\n\t\t\"last_ack\": \"2020-05-01T09:40:00Z\"\n\t}\n]";

    #[test]
    fn reads_and_writes_router7s_bytes() {
        let folder = Folder::new();
        let path = folder.0.join("leases.json");
        std::fs::write(&path, ROUTER7).unwrap();
        let leases = read(&path).unwrap();
        assert_eq!(leases[0].addr, Ipv4Addr::new(192, 168, 42, 4));
        assert_eq!(json::write_indented(&leases), ROUTER7.as_bytes());
    }

    #[test]
    fn a_missing_last_ack_is_the_expiry() {
        let folder = Folder::new();
        let path = folder.0.join("leases.json");
        std::fs::write(&path, r#"[{"Addr":"10.0.0.2","hardware_addr":"a","expiry":"2020-05-01T10:00:00Z"}]"#).unwrap();
        let lease = &read(&path).unwrap()[0];
        assert_eq!(lease.last_ack, lease.expiry);
        assert!(lease.expired(WallTime::from_unix(1_700_000_000)));
    }
}
