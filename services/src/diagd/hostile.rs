//! What name and web servers may answer, for `fuzz/`.
use super::sockets;

/// A name server's answer.
pub fn answer(bytes: &[u8], id: u16, ipv6: bool) {
    let _ = sockets::answer(bytes, id, ipv6);
}

/// A web server's.
pub fn page(bytes: &[u8]) {
    let _ = sockets::page(bytes);
}
