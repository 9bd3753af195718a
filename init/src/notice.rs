//! What a service writes on descriptor 3, and what follows from it by the table.
use rights::Service;

/// Bytes of a notice, at most.
pub const NOTICE_BYTES: usize = 512;

/// A line on descriptor 3, understood.
#[derive(Debug, PartialEq, Eq)]
pub enum Notice<'a> {
    /// The next packet will be answered.
    Ready,
    /// This file has been replaced by the one service that may.
    Changed(&'a str),
    /// Nothing that this service may say; why.
    Refused(&'static str),
}

/// Judges a line that `announcer` wrote.
pub fn judge<'a>(announcer: &Service, line: &'a [u8]) -> Notice<'a> {
    match std::str::from_utf8(line) {
        Ok("ready") => Notice::Ready,
        Ok(path) if !path.starts_with('/') => Notice::Refused("neither ready nor a path"),
        Ok(path) => match rights::writer(path) {
            Some(owner) if owner.name == announcer.name => Notice::Changed(path),
            _ => Notice::Refused("not in its own folder"),
        },
        Err(_) => Notice::Refused("not text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_speaks_for_its_own_folder_only() {
        let dhcp4 = rights::service("dhcp4").unwrap();
        assert_eq!(judge(dhcp4, b"ready"), Notice::Ready);
        assert_eq!(judge(dhcp4, rights::LEASE4.as_bytes()), Notice::Changed(rights::LEASE4));
        for bad in [
            "",
            "Ready",
            "ready ",
            "/perm/dhcp4d/leases.json",
            "/perm/interfaces.json",
            "/perm/",
            "/etc/passwd",
            "perm/dhcp4/x",
            "/perm/dhcp4x/a",
        ] {
            assert!(matches!(judge(dhcp4, bad.as_bytes()), Notice::Refused(_)), "{bad}");
        }
        assert!(matches!(judge(dhcp4, b"/perm/dhcp4/\xff"), Notice::Refused(_)));
    }
}
