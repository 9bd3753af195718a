//! Randomness kept from boot to boot in `/perm/random.seed`, as router7's randomd does: a machine without a generator of
//! its own has enough from the first moment. A boot without it works as well.
use crate::sys::{self, SEED};
use std::fs::{File, Permissions};
use std::io::{Read, Result, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

const PATH: &str = "/perm/random.seed";

/// Credits what the last boot left, and leaves something else at once: what has been used once is not used again after a
/// power cut.
pub fn begin() {
    let Some(seed) = left() else { return };
    let credited = File::options().write(true).open("/dev/urandom").and_then(|pool| sys::credit_random(&pool, seed));
    if credited.is_ok() {
        keep();
    }
}

/// Leaves some for the next boot. Nothing is waited for: the kernel writes it to the disk within half a minute.
pub fn keep() {
    let mut seed = [0; SEED];
    // This one refuses where urandom would take a second to gather what a young machine has not got.
    let source = File::options().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/random");
    if source.and_then(|mut file| file.read_exact(&mut seed)).is_ok() {
        let _ = leave(&seed);
    }
}

/// Only a whole one counts: a file of another length is somebody else's, or was cut.
fn left() -> Option<[u8; SEED]> {
    let mut bytes = Vec::new();
    File::open(PATH).and_then(|file| file.take(SEED as u64 + 1).read_to_end(&mut bytes)).ok()?;
    let seed: [u8; SEED] = bytes.try_into().ok()?;
    // What a disk's fault or a forgotten write leaves is no randomness.
    (seed != [0; SEED]).then_some(seed)
}

// In place: there is no moment without a whole file.
fn leave(seed: &[u8; SEED]) -> Result<()> {
    let mut file = File::options().write(true).create(true).truncate(false).mode(0o600).open(PATH)?;
    // Whoever knows it knows what the kernel is told.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(seed)?;
    file.set_len(SEED as u64)
}
