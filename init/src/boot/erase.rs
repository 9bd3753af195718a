//! The factory reset: `/perm` is emptied before any service has started, because a person has said so in the boot before.
//!
//! The wish is a file, which goes last: a power cut on the way is made good at the next boot.
use crate::console::Console;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

const WISH: &str = "factory-reset";
/// What fsck puts there belongs to the filesystem.
const LOST: &str = "lost+found";

/// Writes the wish down, durably.
///
/// # Errors
/// In words, when the disk does not take it: then nothing will be erased.
pub fn wish(perm: &Path) -> Result<(), String> {
    let written = File::create(perm.join(WISH)).and_then(|file| file.sync_all()).and_then(|()| synced(perm));
    written.map_err(|error| format!("{}: {error}: nothing will be erased", perm.display()))
}

/// Empties the folder when that is wished, and says so. `copies` takes away what is kept of it elsewhere.
pub fn when_wished(perm: &Path, copies: impl FnOnce() -> io::Result<()>, console: &Console) {
    if !perm.join(WISH).is_file() {
        return;
    }
    match empty(perm, copies) {
        Ok(()) => console.say("factory reset: /perm is empty"),
        // The wish is still there: what could not go now is tried again at the next boot.
        Err(error) => console.say(format_args!("factory reset: {error}")),
    }
}

fn empty(perm: &Path, copies: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let mut trouble = None;
    for entry in fs::read_dir(perm)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if name == WISH || name == LOST {
            continue;
        }
        // A link is taken away, not what it points at.
        let gone = if entry.file_type()?.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match gone {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                trouble = trouble.or(Some(io::Error::new(error.kind(), format!("{}: {error}", path.display()))));
            }
            _ => {}
        }
    }
    if let Some(error) = trouble {
        return Err(error);
    }
    synced(perm)?;
    copies()?;
    fs::remove_file(perm.join(WISH))?;
    synced(perm)
}

fn synced(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_goes_but_only_when_it_is_wished() {
        let perm = std::env::temp_dir().join(format!("weir-erase-{}", std::process::id()));
        let outside = perm.with_extension("outside");
        for folder in ["webd", "dhcp4d/deep", "lost+found"] {
            fs::create_dir_all(perm.join(folder)).unwrap();
        }
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        for file in ["interfaces.json", "webd/password", "dhcp4d/deep/leases", "lost+found/#1"] {
            fs::write(perm.join(file), "x").unwrap();
        }
        std::os::unix::fs::symlink(&outside, perm.join("link")).unwrap();
        let console = Console::none();
        when_wished(&perm, || panic!("nobody has wished it"), &console);
        assert!(perm.join("webd/password").exists(), "nobody has wished it");
        wish(&perm).unwrap();
        when_wished(&perm, || Err(ErrorKind::StorageFull.into()), &console);
        assert!(perm.join(WISH).exists(), "a copy is left: once more at the next boot");
        when_wished(&perm, || Ok(()), &console);
        let left: Vec<_> = fs::read_dir(&perm).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lost+found"]);
        assert!(outside.join("kept").exists() && perm.join("lost+found/#1").exists());
        assert!(wish(&perm.join("nowhere")).unwrap_err().contains("nothing will be erased"));
        fs::remove_dir_all(&perm).unwrap();
        fs::remove_dir_all(&outside).unwrap();
    }
}
