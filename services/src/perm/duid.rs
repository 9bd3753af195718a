//! A DUID that is kept: raw bytes in a file, as router7 has its client's.
use super::file;
use std::path::Path;

/// Lengths of a DUID in bytes: a type and 1 to 128 more (RFC 9915, section 11.1).
pub const LENGTHS: std::ops::RangeInclusive<usize> = 3..=130;

/// The DUID of the file, as it is; else the one that `make` gives, kept before it is used. A disk that refuses does not
/// keep us from using it.
pub fn kept(path: &Path, make: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    match file::read(path) {
        Ok(Some(bytes)) if LENGTHS.contains(&bytes.len()) => return bytes,
        Ok(None) => {}
        Ok(Some(bytes)) => {
            log::warn!("{}: {} bytes are no DUID (3 to 130): another is made", path.display(), bytes.len());
        }
        Err(error) => log::warn!("{}: {error}: another is made", path.display()),
    }
    let duid = make();
    match file::replace(path, &duid) {
        Ok(_) => log::info!("{} made", path.display()),
        Err(error) => log::error!("{}: {error}: the DUID is only in memory", path.display()),
    }
    duid
}
