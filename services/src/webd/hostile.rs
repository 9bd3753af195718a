//! What browsers may want, for `fuzz/`.
use super::route::Route;
use super::sessions::Sessions;
use netstack::time::Instant;

/// A request, as far as what is to be done; and a file of sessions.
pub fn route(bytes: &[u8]) {
    if let Some(request) = crate::web::hostile::read(bytes) {
        match Route::of(&request) {
            Ok(route) => drop(route.needs()),
            Err((status, _)) => assert!((400..600).contains(&status), "{status}"),
        }
    }
    let _ = Sessions::read(&String::from_utf8_lossy(bytes), Instant::from_secs(9), 1_800_000_000, "", [7; 32]);
}
