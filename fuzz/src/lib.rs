//! Any bytes at every parser and engine that hears strangers: one table of targets, for `make fuzz`, which looks for bytes
//! that none of them can bear, and for `make test`, which shows each target its corpus.
//!
//! The corpus of a target is the folder `fuzz/corpus/NAME`: seeds made of real packets and files, and whatever once led to a
//! fault. A target with the messages of real servers in `corpus/` is shown those too.
#![forbid(unsafe_code)]
#[path = "../../image/src/recover"]
mod recover {
    #[allow(dead_code, missing_docs)]
    pub mod dhcp;
    #[allow(dead_code)]
    pub mod tftp;
    /// What `dhcp` asks of its neighbour.
    pub mod script {
        pub const NAME: &str = "weir.ipxe";
    }
}
mod recovering;

use std::io;
use std::path::{Path, PathBuf};

/// A name and what is done with the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Targets whose seeds are also in `corpus/`, in which folder.
const REAL: &[(&str, &str)] = &[
    ("dhcpv4", "dhcpv4"),
    ("dhcp4_message", "dhcpv4"),
    ("dhcpv6", "dhcpv6"),
    ("dhcp6_message", "dhcpv6"),
    ("ndisc", "ndisc"),
];

/// Every target.
pub fn targets() -> Vec<Target> {
    [netstack::hostile::TARGETS, services::hostile::TARGETS, recovering::TARGETS].concat()
}

/// The folders of a target's corpus; the first is its own.
pub fn folders(name: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let real = REAL.iter().filter(|(target, _)| *target == name).map(|(_, folder)| root.join("../corpus").join(folder));
    [root.join("corpus").join(name)].into_iter().chain(real).collect()
}

/// What is in them, by its path.
///
/// # Errors
/// When there is no such folder.
pub fn corpus(name: &str) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut all = Vec::new();
    for folder in folders(name) {
        let entries = std::fs::read_dir(&folder)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.display())))?;
        for entry in entries {
            let path = entry?.path();
            let bytes = std::fs::read(&path)?;
            all.push((path, bytes));
        }
    }
    all.sort();
    Ok(all)
}
