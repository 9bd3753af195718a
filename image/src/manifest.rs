//! `manifest.json`: what was built, and for each file its size and SHA-256.
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Context, Result};

/// Describes `files`, given by their names in `folder`.
///
/// # Errors
/// When one cannot be read.
pub fn describe(folder: &Path, files: &[&str], version: &str, commit: Option<&str>, epoch: u32) -> Result<String> {
    let mut described = Map::new();
    for name in files {
        let path = folder.join(name);
        let (bytes, sha256) = sum(&path).cannot_file("read", &path)?;
        described.insert((*name).into(), json!({"bytes": bytes, "sha256": sha256}));
    }
    let mut manifest = Map::new();
    manifest.insert("version".into(), version.into());
    if let Some(commit) = commit {
        manifest.insert("commit".into(), commit.into());
    }
    manifest.insert("source_date_epoch".into(), epoch.into());
    manifest.insert("files".into(), described.into());
    Ok(format!("{:#}\n", Value::from(manifest)))
}

fn sum(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        bytes += count as u64;
    }
    Ok((bytes, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn sizes_and_sums_are_right() {
        let scratch = Scratch::new("manifest").unwrap();
        std::fs::write(scratch.path().join("a"), "abc").unwrap();
        let manifest: Value =
            serde_json::from_str(&describe(scratch.path(), &["a"], "0.1.0", Some("c0ffee"), 5).unwrap()).unwrap();
        assert_eq!(manifest["files"]["a"]["bytes"], 3);
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(manifest["files"]["a"]["sha256"], abc);
        assert_eq!((&manifest["version"], &manifest["commit"]), (&"0.1.0".into(), &"c0ffee".into()));
    }
}
