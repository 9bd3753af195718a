//! An update: one file with kernel, initramfs and root, which says what it is and is signed by somebody the router trusts.
//!
//! ```text
//! weir update 1
//! {"version":"0.1.0","commit":"...","made":1800000000,"machine":"x86_64","parts":[{"name":"vmlinuz","bytes":...,"sha256":"..."},...]}
//! untrusted comment: ...          four lines: minisign's signature (Ed25519 over BLAKE2b-512) of the line above
//! RUQ...
//! trusted comment: ...
//! ...
//! the bytes of each part, in the order of the manifest, and nothing behind them
//! ```
//!
//! [`Incoming`] reads it as it comes, in whatever pieces, and gives each part's bytes away at once: nothing is held whole.
//! Nothing is given away before the signature was right; and nothing counts before [`Incoming::finish`] has said that every
//! part was whole and had its sum.
mod incoming;
mod manifest;
#[cfg(test)]
mod tests;

pub use incoming::{Incoming, MAGIC, Refusal, hex};
pub use manifest::{MACHINE, Manifest, PARTS, Part};
pub use minisign_verify::PublicKey;
