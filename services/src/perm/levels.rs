//! `/perm/log.json`: how much each service says. A service reads it when it starts.
use super::file;
use super::json::{self, Refusal};
use log::LevelFilter;
use std::collections::BTreeMap;
use std::path::Path;

/// Understands the file's bytes: a service's name and `error`, `warning`, `info` or `none`.
///
/// # Errors
/// Names file, field and value.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, LevelFilter>, Refusal> {
    let written: BTreeMap<String, String> = json::parse(path, bytes)?;
    let mut levels = BTreeMap::new();
    for (name, word) in written {
        if rights::service(&name).is_none() {
            return Err(Refusal::field(path, &name, "is the name of no service").at(bytes));
        }
        let level = match word.as_str() {
            "none" => LevelFilter::Off,
            "error" => LevelFilter::Error,
            "warning" => LevelFilter::Warn,
            "info" => LevelFilter::Info,
            _ => {
                let words = format!("{word:?} is none of none, error, warning, info");
                return Err(Refusal::field(path, &name, words).at(bytes));
            }
        };
        levels.insert(name, level);
    }
    Ok(levels)
}

/// What a service may say; all of it where nobody has said otherwise.
///
/// # Errors
/// What is wrong with the file, in a line: then all of it.
pub fn of(root: &Path, name: &str) -> Result<LevelFilter, String> {
    let path = file::in_force(root, rights::LOG_LEVELS);
    let bytes = file::read(&path).map_err(|error| format!("{}: {error}", path.display()))?.unwrap_or_default();
    if bytes.is_empty() {
        return Ok(LevelFilter::Info);
    }
    let levels = parse(&path, &bytes).map_err(|refusal| refusal.to_string())?;
    Ok(levels.get(name).copied().unwrap_or(LevelFilter::Info))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    #[test]
    fn each_service_says_as_much_as_it_shall() {
        let folder = Folder::new();
        assert_eq!(of(&folder.0, "dnsd"), Ok(LevelFilter::Info));
        let path = folder.0.join("perm/log.json");
        file::replace(&path, br#"{"dnsd":"warning","DHCP4":"none"}"#).unwrap();
        for (name, level) in [("dnsd", LevelFilter::Warn), ("dhcp4", LevelFilter::Off), ("radvd", LevelFilter::Info)] {
            assert_eq!(of(&folder.0, name), Ok(level));
        }
        for (text, said) in [
            (r#"{"nobody":"info"}"#, "log.json:1:11: nobody: is the name of no service"),
            (r#"{"dnsd":"loud"}"#, "dnsd: \"loud\" is none of"),
            (r#"{"dnsd":7}"#, "dnsd: invalid type"),
            ("[", "log.json:1:"),
        ] {
            file::replace(&path, text.as_bytes()).unwrap();
            assert!(
                of(&folder.0, "dnsd").is_err_and(|words| words.contains(said)),
                "{text}: {:?}",
                of(&folder.0, "dnsd")
            );
        }
    }
}
