//! What providers may answer, for `fuzz/`.
use super::config::Records;
use super::engine::http;
use super::engine::update::Update;
use crate::perm::WallTime;
use std::net::IpAddr;
use std::path::Path;

/// A web server's answer, whole and not yet.
pub fn http(bytes: &[u8]) {
    for ended in [false, true] {
        if let Ok(Some(answer)) = http::parse(bytes, ended) {
            assert!(answer.body.len() <= bytes.len());
            let _ = super::engine::provider::shown(&answer.body);
            let _ = super::engine::provider::status(&answer);
        }
    }
}

/// A name server's answer to a signed update.
pub fn update(bytes: &[u8]) {
    let text = br#"{"records":[{"cloudflare":{"api_token":"t"},"zone":"example.net","record_name":"a.example.net"}]}"#;
    let Ok(records) = Records::parse(Path::new("dyndns.json"), text) else { return };
    let Some(record) = records.records.first() else { return };
    let wall = WallTime::from_nanos(1_800_000_000_000_000_000);
    let id = bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    if let Ok((update, _)) = Update::begin(record, ("k.", &[7; 32]), IpAddr::from([192, 0, 2, 1]), wall, id) {
        let _ = update.answered(bytes, wall);
    }
}
