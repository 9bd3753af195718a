//! The cache kept over a restart, in `/perm/dnsd/cache`: a line of JSON that says when, then the engine's bytes.
use super::engine::{Engine, kept};
use crate::house::House;
use crate::perm::file;
use crate::perm::stamp::{Clock, Stamp};

const FILE: &str = "/perm/dnsd/cache";

/// Writes it down; what cannot be written is asked for again after the restart.
pub fn write(house: &House, engine: &Engine) {
    let clock = Clock::read();
    let mut bytes = serde_json::to_vec(&clock.stamp()).unwrap_or_default();
    bytes.push(b'\n');
    bytes.extend_from_slice(&kept::write(engine.cache(), clock.now));
    let path = house.path(FILE);
    if let Err(error) = file::replace(&path, &bytes) {
        log::warn!("{}: {error}; the cache is not kept", path.display());
    }
}

/// Reads it back, when there is one that can be believed.
pub fn read(house: &House, engine: &mut Engine) {
    let path = house.path(FILE);
    let bytes = match file::read(&path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return,
        Err(error) => return log::warn!("{}: {error}; the cache begins empty", path.display()),
    };
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let stamp = parts.next().and_then(|line| serde_json::from_slice::<Stamp>(line).ok());
    let (Some(stamp), Some(kept)) = (stamp, parts.next()) else {
        return log::warn!("{}: is no cache; it begins empty", path.display());
    };
    let clock = Clock::read();
    let (then, passed) = stamp.since(&clock);
    let seconds = clock.now.since(then).as_secs() + passed.as_secs();
    let count = engine.restore(clock.now, kept, u32::try_from(seconds).unwrap_or(u32::MAX));
    log::info!("{count} answers of before");
}
