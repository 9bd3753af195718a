//! `weir check`: a folder laid out like `/perm`, checked by the code that the router reads it with.
use std::path::Path;

use services::check::{self, Files};

use crate::error::{Context, Error, Result};
use crate::zones;

/// No file of a person's is larger, in bytes.
const LARGEST: u64 = 8 << 20;

/// Reads the files that weir reads from a folder.
///
/// # Errors
/// When one of them cannot be read, or there is none.
pub fn files_of(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    for name in rights::WRITTEN.iter().filter_map(|path| path.strip_prefix("/perm/")) {
        let path = folder.join(name);
        if !path.exists() {
            continue;
        }
        if std::fs::metadata(&path).cannot_file("look at", &path)?.len() > LARGEST {
            return Err(Error::new(format!("{} is larger than {LARGEST} bytes", path.display())));
        }
        files.insert(name.to_owned(), std::fs::read(&path).cannot_file("read", &path)?);
    }
    if files.is_empty() {
        let names: Vec<&str> = rights::WRITTEN.iter().filter_map(|path| path.strip_prefix("/perm/")).collect();
        let words = format!("{} holds no file that weir reads", folder.display());
        return Err(
            Error::new(words).next(format!("give a folder laid out like /perm; weir reads {}", names.join(", ")))
        );
    }
    Ok(files)
}

/// Checks a folder and says on standard error which files were read.
///
/// # Errors
/// Every fault, a line each: file, line, field, value.
pub fn check(folder: &Path) -> Result<()> {
    let files = files_of(folder)?;
    for name in files.keys() {
        eprintln!("weir check: {}", folder.join(name).display());
    }
    let wrong = check::check(&files, zones::rule);
    if wrong.is_empty() {
        eprintln!("weir check: all is well");
        return Ok(());
    }
    Err(Error::new(wrong.join("\n"))
        .next("mend these places and check again; docs/CONFIGURATION.md describes every field"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::fs;

    #[test]
    fn a_folder_is_checked_as_the_router_would() {
        let scratch = Scratch::new("check").unwrap();
        let folder = scratch.path();
        let said = || check(folder).unwrap_err().to_string();
        assert!(said().contains("holds no file that weir reads") && said().contains("radvd/config.json"));
        fs::write(folder.join("time.json"), r#"{"zone":"Europe/Zurich"}"#).unwrap();
        fs::write(folder.join("leases.json"), "no business of ours").unwrap();
        check(folder).unwrap();
        fs::create_dir(folder.join("radvd")).unwrap();
        fs::write(folder.join("radvd/config.json"), "{\n\"pref64\": \"64:ff9b::/97\"}").unwrap();
        fs::write(folder.join("firewall.json"), r#"{"rules":[{"name":"a","action":"deny"}]}"#).unwrap();
        assert!(said().contains("radvd/config.json:2:11: pref64: 64:ff9b::/97"), "{}", said());
        assert!(said().contains("firewall.json:1:32: rules[0].action: unknown variant `deny`"), "{}", said());
    }
}
