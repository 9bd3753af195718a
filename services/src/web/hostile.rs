//! What browsers may say, for `fuzz/`.
use super::Request;
use super::connection::Takes;
use super::request::{asked, end_of_head};
use std::net::IpAddr;

/// A request as it is read, for who takes all that can be taken; and what is made of it.
pub(crate) fn read(bytes: &[u8]) -> Option<Request> {
    let takes = Takes { any_method: false, body: 9_999, sent: &["/update/root", "/a"] };
    let (request, _) = asked(bytes, (IpAddr::from([192, 168, 42, 7]), false), takes)?.ok()?;
    Some(request)
}

/// A request.
pub fn request(bytes: &[u8]) {
    for any_method in [false, true] {
        let takes = Takes { any_method, body: 99, sent: &["/a"] };
        match asked(bytes, (IpAddr::from([192, 168, 42, 7]), false), takes) {
            Some(Ok((request, _))) => {
                assert!(end_of_head(bytes) <= bytes.len());
                let _ = (request.is_for_us(), request.value("a"), request.field("a"), request.header("host"));
            }
            Some(Err(refused)) => assert!(!refused.bytes(true).is_empty()),
            None => {}
        }
    }
}
