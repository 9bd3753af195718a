//! `weir restore`: a backup into a new folder, or its configuration into a running router.
use std::fs::{self, File};
use std::io;
use std::path::Path;

use services::check::known;
use services::restore::{Entry, read};

use crate::apply::{self, Target};
use crate::error::{Context, Error, Result};
use crate::scratch::Scratch;

/// Unpacks a backup, weir's or router7's, into a folder that is made for it: for `weir image --perm`, or to look at.
///
/// # Errors
/// When the folder exists, the backup is broken, or an entry is none that belongs into a folder: nothing is left then.
pub fn unpack(backup: &Path, folder: &Path) -> Result<()> {
    fs::create_dir(folder).cannot_file("make", folder)?;
    let count = unpacked(backup, folder, |_| true);
    if count.is_err() {
        drop(fs::remove_dir_all(folder));
    }
    eprintln!("weir restore: {} files in {}", count?, folder.display());
    Ok(())
}

/// Sends the files of a backup that a person writes to a router, as `weir apply` does: leases and keys are the router's own.
///
/// # Errors
/// Those of [`unpack`] and of [`apply::apply`].
pub fn send(target: &Target, backup: &Path, confirm: Option<u64>) -> Result<()> {
    let scratch = Scratch::new("restore")?;
    unpacked(backup, scratch.path(), |name| known(name).is_some())?;
    apply::apply(target, scratch.path(), confirm)
}

fn unpacked(backup: &Path, folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<usize> {
    let file = File::open(backup).cannot_file("read", backup)?;
    let mut count = 0;
    let all = read(io::BufReader::new(file), |entry| {
        let (Entry::Folder(path) | Entry::File(path, _)) = &entry;
        let at = folder.join(path);
        let done = match entry {
            Entry::Folder(_) => fs::create_dir_all(&at),
            Entry::File(path, content) if path.to_str().is_some_and(&wanted) => {
                count += 1;
                // `create_new`: a name that comes twice is no backup's.
                fs::create_dir_all(at.parent().unwrap_or(folder))
                    .and_then(|()| File::create_new(&at))
                    .and_then(|mut file| io::copy(content, &mut file).map(drop))
            }
            Entry::File(..) => Ok(()),
        };
        done.map_err(|error| error.to_string())
    });
    all.map_err(|why| {
        Error::new(format!("{}: {why}", backup.display())).next("take another backup; nothing was restored")
    })?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn tar(words: &[&str]) {
        assert!(Command::new("tar").args(words).status().unwrap().success(), "tar {words:?}");
    }

    #[test]
    fn a_backup_becomes_a_folder_and_a_hostile_one_nothing() {
        let scratch = Scratch::new("restore-test").unwrap();
        let at = |name: &str| scratch.path().join(name);
        let text = |name: &str| at(name).to_str().unwrap().to_owned();
        fs::create_dir_all(at("perm/dhcp4d")).unwrap();
        fs::write(at("perm/interfaces.json"), r#"{"interfaces":[]}"#).unwrap();
        fs::write(at("perm/dhcp4d/leases.json"), "[]").unwrap();
        tar(&["czf", &text("good.tar.gz"), "-C", &text("perm"), "."]);
        unpack(&at("good.tar.gz"), &at("new")).unwrap();
        assert_eq!(fs::read_to_string(at("new/dhcp4d/leases.json")).unwrap(), "[]");
        assert!(unpack(&at("good.tar.gz"), &at("new")).is_err(), "it exists");
        let folder = at("wanted");
        fs::create_dir(&folder).unwrap();
        assert_eq!(unpacked(&at("good.tar.gz"), &folder, |name| known(name).is_some()).unwrap(), 1);
        assert!(folder.join("interfaces.json").is_file() && !folder.join("dhcp4d/leases.json").exists());

        // What GNU tar makes of links, names from the root, and the same name twice.
        std::os::unix::fs::symlink("/etc", at("perm/radvd")).unwrap();
        tar(&["czf", &text("link.tar.gz"), "-C", &text("perm"), "."]);
        tar(&["czPf", &text("root.tar.gz"), &text("perm/interfaces.json")]);
        fs::remove_file(at("perm/radvd")).unwrap();
        tar(&[
            "czf",
            &text("twice.tar.gz"),
            "-C",
            &text("perm"),
            "interfaces.json",
            "interfaces.json",
            "--hard-dereference",
        ]);
        for (name, why) in [
            ("link", "radvd: it is a link".to_owned()),
            ("root", format!("{}: it would leave the folder", text("perm/interfaces.json"))),
            ("twice", "interfaces.json: File exists".to_owned()),
        ] {
            let error = unpack(&at(&format!("{name}.tar.gz")), &at("bad")).unwrap_err().to_string();
            assert!(error.contains(&why), "{name}: {error}");
            assert!(!at("bad").exists(), "{name}");
        }
    }
}
