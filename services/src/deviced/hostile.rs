//! What a broker, other services and a damaged disk may say, for `fuzz/`.
use super::engine::kept;
use super::mqtt::codec;
use std::path::Path;

/// A broker's bytes.
pub fn mqtt(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some((_, length))) = codec::parse(rest) {
        assert!(length > 0 && length <= rest.len(), "{length} of {}", rest.len());
        rest = &rest[length..];
    }
}

/// Names and entries of devices.
pub fn kept(path: &Path, bytes: &[u8]) {
    let _ = crate::perm::json::parse::<kept::Known>(path, bytes);
}

/// A request.
pub fn asked(bytes: &[u8]) {
    let _ = serde_json::from_slice::<super::requests::Request>(bytes);
}
