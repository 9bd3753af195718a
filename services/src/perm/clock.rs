//! What ntpd says of the clock, for who only wants to know whether to believe it: `/run/ntpd/state.json`.
use super::file;
use serde::Deserialize;
use std::path::Path;

/// Of ntpd's words the one that others act by.
#[derive(Debug, Deserialize)]
struct State {
    right: bool,
}

/// Whether servers that were believed have set the clock; `None` where ntpd has not said, or not so that it is understood.
pub fn is_right(root: &Path) -> Option<bool> {
    let path = root.join(rights::CLOCK.trim_start_matches('/'));
    let bytes = file::read(&path).ok().flatten()?;
    serde_json::from_slice(&bytes).ok().map(|state: State| state.right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    #[test]
    fn only_ntpds_own_words_count() {
        let folder = Folder::new();
        let path = folder.0.join("run/ntpd/state.json");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert_eq!(is_right(&folder.0), None);
        for (text, right) in [
            (r#"{"right":true,"source":"192.0.2.1"}"#, Some(true)),
            (r#"{"right":false}"#, Some(false)),
            (r#"{"right":1}"#, None),
            ("{", None),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(is_right(&folder.0), right, "{text}");
        }
    }
}
