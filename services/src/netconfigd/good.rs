//! Good copies of files that a person writes: what was last read well holds when the file is refused, over reboots too.
use crate::perm::file;
use crate::perm::firewall::Rules;
use crate::perm::forwardings::Forwardings;
use crate::perm::json::Refusal;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

type CanBeRead = fn(&Path, &[u8]) -> bool;

/// The files that have one here, and whether they can be read. That of interfaces.json is kept once it was applied in full.
const FILES: [(&str, CanBeRead); 2] = [
    (rights::FORWARDINGS, |path, bytes| Forwardings::parse(path, bytes).is_ok()),
    (rights::FIREWALL, |path, bytes| Rules::parse(path, bytes).is_ok()),
];

fn copy(root: &Path, absolute: &str) -> PathBuf {
    let name = absolute.rsplit('/').next().unwrap_or_default();
    root.join("perm/netconfigd").join(name)
}

/// What the file in force says, by default when there is none; when it is refused, what its good copy says; `None` when
/// that says nothing either. Bytes that could be read are added to `well`, for [`keep`].
pub fn read<T: Default>(
    root: &Path,
    absolute: &str,
    parse: fn(&Path, &[u8]) -> Result<T, Refusal>,
    well: &mut Vec<Vec<u8>>,
    complaints: &mut Vec<String>,
) -> Option<T> {
    let mut read = |path: &Path| match file::read(path) {
        Ok(bytes) => bytes.map(|bytes| parse(path, &bytes).inspect(|_| well.push(bytes))).transpose(),
        Err(error) => Err(Refusal::field(path, "the file", error)),
    };
    match read(&file::in_force(root, absolute)) {
        Ok(said) => Some(said.unwrap_or_default()),
        Err(refusal) => {
            let good = read(&copy(root, absolute)).ok().flatten();
            let holds = if good.is_some() { "the last good copy" } else { "what it said before" };
            complaints.push(format!("{refusal}; {holds} holds"));
            good
        }
    }
}

/// Keeps what stands in the files and can be read, as is known of what was read `well`; what is on trial does not. The copy
/// of a file that is gone goes.
///
/// # Errors
/// When the disk is full or broken; the copy of before is then still whole.
pub fn keep(root: &Path, well: &[Vec<u8>]) -> io::Result<()> {
    for (absolute, can_be_read) in FILES {
        let (path, copy) = (root.join(absolute.trim_start_matches('/')), copy(root, absolute));
        match (file::read(&path)?, file::read(&copy)?) {
            (Some(now), Some(good)) if good == now => {}
            (Some(now), _) if !well.contains(&now) && !can_be_read(&path, &now) => {}
            (Some(now), _) => drop(file::replace(&copy, &now)?),
            (None, Some(_)) => fs::remove_file(&copy)?,
            (None, None) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    #[test]
    fn what_was_read_well_holds_when_the_file_is_refused_and_goes_with_it() {
        let folder = Folder::new();
        fs::create_dir_all(folder.0.join("perm/netconfigd")).unwrap();
        let path = folder.0.join("perm/portforwardings.json");
        let ports = |complaints: &mut Vec<String>| {
            let read = read(&folder.0, rights::FORWARDINGS, Forwardings::parse, &mut Vec::new(), complaints);
            read.map(|read| read.forwards.len())
        };
        let mut complaints = Vec::new();
        assert_eq!(ports(&mut complaints), Some(0));
        fs::write(&path, r#"{"forwardings":[{"port":"80","dest_addr":"192.168.42.7"}]}"#).unwrap();
        keep(&folder.0, &[]).unwrap();
        fs::write(&path, r#"{"forwardings":[{"port":"#).unwrap();
        keep(&folder.0, &[]).unwrap();
        assert_eq!((ports(&mut complaints), complaints.len()), (Some(1), 1));
        assert!(complaints[0].contains("portforwardings.json:1:") && complaints[0].contains("good copy"));
        // What a person has taken away does not come back with the next mistake.
        fs::remove_file(&path).unwrap();
        keep(&folder.0, &[]).unwrap();
        fs::write(&path, "{").unwrap();
        keep(&folder.0, &[]).unwrap();
        assert_eq!(ports(&mut complaints), None);
        assert!(complaints[1].contains("before"));
    }
}
