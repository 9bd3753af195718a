//! What may be asked, for `fuzz/`.
use super::engine::{Engine, Request};
use netstack::time::Instant;

/// A request.
pub fn asked(bytes: &[u8]) {
    if let Ok(request) = Request::parse(bytes) {
        let _ = Engine::default().order(Instant::from_secs(1), request);
    }
}
