//! What the ruleset depends on. It matches by name, so it holds for an interface that comes later.
use super::UPLINK;
use crate::perm::interfaces::Interfaces;

/// The policy: everything but the uplink's side in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firewall {
    /// Names of LANs, sorted, beside every `lan*`.
    pub lans: Vec<String>,
}

impl Firewall {
    /// Every interface that a person has named is a LAN, but for `lo` and `uplink*`.
    pub fn of(interfaces: &Interfaces) -> Firewall {
        let names = interfaces.interfaces.iter().map(|entry| &entry.name);
        let names = names.chain(interfaces.bridges.iter().map(|bridge| &bridge.name));
        let is_lan = |name: &&String| *name != "lo" && !name.starts_with("uplink") && !name.starts_with("lan");
        let mut lans: Vec<String> = names.filter(is_lan).cloned().collect();
        lans.sort();
        lans.dedup();
        Firewall { lans }
    }

    /// The interface towards the internet.
    pub fn uplink(&self) -> &'static str {
        UPLINK
    }
}
