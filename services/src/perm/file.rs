//! Files replaced whole: a reader sees the old bytes or the new ones, after a power cut as well.
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// No configuration or state file is larger, in bytes; what is, is refused rather than read.
pub const LARGEST: u64 = 8 << 20;

/// Where a file that a person writes is read from: what is on trial comes before what is kept.
pub fn in_force(root: &Path, absolute: &str) -> PathBuf {
    let under = |folder: &str, name: &str| root.join(folder.trim_start_matches('/')).join(name);
    let tried = absolute.strip_prefix("/perm/").map(|name| under(rights::TRIED, name));
    tried.filter(|tried| tried.is_file()).unwrap_or_else(|| under("/", absolute.trim_start_matches('/')))
}

/// Reads a file; `None` when there is none.
///
/// # Errors
/// When it cannot be read, or is larger than [`LARGEST`].
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    read_up_to(path, LARGEST)
}

/// Reads a file that may be larger or must be smaller than others; `None` when there is none.
///
/// # Errors
/// When it cannot be read, or is larger.
pub fn read_up_to(path: &Path, largest: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::other(format!("larger than {largest} bytes")));
    }
    Ok(Some(bytes))
}

/// Replaces a file whole and durably: temporary file in the same folder, fsync, rename, fsync of the folder.
/// Says whether the bytes changed; equal bytes are not written again.
///
/// # Errors
/// When the disk is full or broken: the old file is then still there, whole, and no temporary file is left.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    replace_for(path, bytes, None)
}

/// The same; with a group, that group may read it and nobody else.
///
/// # Errors
/// Those of [`replace`], and when we are not in that group.
pub fn replace_for(path: &Path, bytes: &[u8], group: Option<u32>) -> io::Result<bool> {
    replace_as(path, bytes, if group.is_some() { 0o600 } else { 0o644 }, group)
}

/// The same, with a mode, which is the file's before there is anything in it.
///
/// # Errors
/// Those of [`replace`].
pub fn replace_with(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    replace_as(path, bytes, mode, None)
}

fn replace_as(path: &Path, bytes: &[u8], mode: u32, group: Option<u32>) -> io::Result<bool> {
    if let Ok(Some(old)) = read(path)
        && old == bytes
    {
        return Ok(false);
    }
    let folder = path.parent().ok_or_else(|| io::Error::other("a file without a folder"))?;
    fs::create_dir_all(folder)?;
    let name = path.file_name().ok_or_else(|| io::Error::other("a path without a name"))?;
    // One writer per file, so one fixed name: what a cut left behind is overwritten next time.
    let mut temporary = folder.join(".");
    temporary.as_mut_os_string().push(name);
    temporary.as_mut_os_string().push(".new");
    let written = write_synced(&temporary, bytes, mode, group).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // The first error is the one to tell; a leftover is overwritten next time.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(folder)?.sync_all()?;
    Ok(true)
}

fn write_synced(path: &Path, bytes: &[u8], mode: u32, group: Option<u32>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    if let Some(group) = group {
        // Before there is anything to read in it, whatever an earlier life has left.
        file.set_permissions(Permissions::from_mode(0o600))?;
        fchown(&file, None, Some(group))?;
        file.set_permissions(Permissions::from_mode(0o640))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A folder for one test, gone with the value.
    pub struct Folder(pub PathBuf);

    impl Folder {
        pub fn new() -> Folder {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("weir-test-{}-{number}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn replaces_whole_and_says_whether_it_changed() {
        let folder = Folder::new();
        let path = folder.0.join("a/b.json");
        assert_eq!(read(&path).unwrap(), None);
        assert!(replace(&path, b"one").unwrap());
        assert!(!replace(&path, b"one").unwrap());
        assert!(replace(&path, b"two").unwrap());
        assert_eq!(read(&path).unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "a temporary file is left");
    }

    #[test]
    fn a_secret_is_its_groups_alone() {
        use std::os::unix::fs::MetadataExt;
        let folder = Folder::new();
        let path = folder.0.join("secret.json");
        fs::write(folder.0.join(".secret.json.new"), "left by a cut, and readable").unwrap();
        let own = nix::unistd::getgid().as_raw();
        assert!(replace_for(&path, b"one", Some(own)).unwrap());
        let there = fs::metadata(&path).unwrap();
        assert_eq!((there.mode() & 0o7777, there.gid()), (0o640, own));
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_no_other() {
        let folder = Folder::new();
        let path = folder.0.join("b.json");
        replace(&path, b"old").unwrap();
        // A folder in the temporary file's place makes the write fail as a full disk would.
        fs::create_dir(folder.0.join(".b.json.new")).unwrap();
        assert!(replace(&path, b"new").is_err());
        assert_eq!(read(&path).unwrap().as_deref(), Some(&b"old"[..]));
    }
}
