//! What is sent to the machine besides the kernel: `disk.img` in pieces, before the initramfs that writes them.
use std::collections::BTreeMap;

use layout::runs::{self, LONGEST};
use sha2::{Digest, Sha256};

use crate::copy::{Image, Perm};
use crate::cpio::Archive;
use crate::error::Result;

/// The name of the pieces in the initramfs.
const RUNS: &str = "install.runs";

/// The initramfs of an installation. The pieces' archive comes first and as it is: behind a packed one the kernel would take
/// it for more of that.
///
/// # Errors
/// When the image cannot be read.
pub fn initramfs(image: &Image, installer: &[u8]) -> Result<Vec<u8>> {
    let mut archive = Archive::new(0);
    archive.file(RUNS, 0o600, &pieces(image)?);
    let mut bytes = archive.finish();
    bytes.extend_from_slice(installer);
    Ok(bytes)
}

/// Both slots hold the same in a new image: what is equal is sent once.
fn pieces(image: &Image) -> Result<Vec<u8>> {
    let mut found: Vec<(Vec<u64>, Vec<u8>)> = Vec::new();
    let mut known: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    image.each_run(Perm::Fresh, LONGEST, |place, bytes| {
        let sum: [u8; 32] = Sha256::digest(bytes).into();
        match known.get(&sum).and_then(|at| found.get_mut(*at)) {
            // A run of zeros may come more often than a piece has places.
            Some((places, _)) if places.len() < 8 => places.push(place),
            _ => {
                known.insert(sum, found.len());
                found.push((vec![place], bytes.to_vec()));
            }
        }
        Ok(())
    })?;
    let mut bytes = runs::MAGIC.to_vec();
    for (places, piece) in &found {
        runs::push(&mut bytes, places, piece);
    }
    runs::push(&mut bytes, &[0], &image.boot_code()?);
    runs::finish(&mut bytes);
    Ok(bytes)
}
