//! Where the log is sent: gokrazy's `/perm/remote_syslog/target`, `HOST:PORT` for UDP, or `tcp://HOST:PORT`.
use crate::perm::file;
use crate::perm::json::Refusal;
use crate::perm::place::{Host, Place};
use std::path::Path;

/// Bytes of the file.
const LONGEST: u64 = 1_024;
/// Where nothing else is said (RFC 5426; by TCP it is as usual, though nobody has assigned it).
const PORT: u16 = 514;

/// A place to send to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// By TCP, with the length before each message (RFC 6587, section 3.4.1); else by UDP (RFC 5426).
    pub tcp: bool,
    /// Its address, or its name in lower case.
    pub host: Host,
    /// Its port.
    pub port: u16,
}

/// Understands the file's text; an empty one is no target.
fn parse(text: &str) -> Result<Option<Target>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || format!("{text:?} is neither HOST:PORT nor tcp://HOST:PORT");
    let (tcp, rest) = match text.split_once("://") {
        Some(("tcp", rest)) => (true, rest),
        Some(("udp", rest)) => (false, rest),
        Some(_) => return Err(wrong()),
        None => (false, text),
    };
    let Place { host, port } = Place::parse(rest, PORT).ok_or_else(wrong)?;
    Ok(Some(Target { tcp, host, port }))
}

/// Whether the file can be used.
///
/// # Errors
/// Names file and value.
pub fn check(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    parse(&String::from_utf8_lossy(bytes)).map(drop).map_err(|words| Refusal::field(path, "the file", words))
}

/// Reads what holds now.
///
/// # Errors
/// What is wrong with it, in a line.
pub fn read(root: &Path) -> Result<Option<Target>, String> {
    let path = file::in_force(root, rights::SYSLOG);
    let said = |words: String| Refusal::field(&path, "the file", words).to_string();
    let bytes = file::read_up_to(&path, LONGEST).map_err(|error| said(error.to_string()))?;
    parse(&String::from_utf8_lossy(&bytes.unwrap_or_default())).map_err(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_target() {
        let at = |text: &str| Host::At(text.parse().unwrap());
        let named = Host::Named("logs.example.net".into());
        for (text, tcp, host, port) in [
            ("192.0.2.1:5140\n", false, at("192.0.2.1"), 5_140),
            ("192.0.2.1", false, at("192.0.2.1"), 514),
            ("tcp://[2001:db8::1]:601", true, at("2001:db8::1"), 601),
            ("2001:db8::1", false, at("2001:db8::1"), 514),
            ("[2001:db8::1]", false, at("2001:db8::1"), 514),
            (" udp://Logs.Example.net:514", false, named.clone(), 514),
            ("logs.example.net", false, named, 514),
        ] {
            assert_eq!(parse(text), Ok(Some(Target { tcp, host, port })), "{text}");
        }
        assert_eq!(parse(" \n"), Ok(None));
        for wrong in ["tls://a:1", "a:0", "a:b", "1.2.3:514", "[::1", "[::1]x", "a b", "http://a", ":514", "a:99999"] {
            assert!(parse(wrong).is_err_and(|words| words.contains(wrong)), "{wrong}");
        }
    }
}
