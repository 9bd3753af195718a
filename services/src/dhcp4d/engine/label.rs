//! The host names that clients give themselves.

/// A host name as RFC 1123 allows one label of it: letters, digits and inner hyphens, 63 at most. The zero bytes with
/// which some clients end it are cut off.
pub fn host_label(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().rposition(|byte| *byte != 0)? + 1;
    let label = std::str::from_utf8(&bytes[..end]).ok()?;
    let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (inner && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')).then(|| label.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        assert_eq!(host_label(b"xps\0\0").as_deref(), Some("xps"));
        assert_eq!(host_label(b"My-PC2").as_deref(), Some("My-PC2"));
        for wrong in [&b""[..], b"\0", b"a b", b"a.b", b"-a", b"a-", b"\xff", b"a\"", &[b'a'; 64]] {
            assert_eq!(host_label(wrong), None, "{wrong:?}");
        }
    }
}
