//! Each service's folder under `/perm`: there, and its own.
use super::perm::{self, Perm};
use crate::console::Console;
use nix::unistd::{Gid, Uid, fchownat};
use rights::Service;
use std::fs::{DirBuilder, Permissions, set_permissions, symlink_metadata};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

const MODE: u32 = 0o750;

/// Makes every folder of the table. A filesystem that cannot take them is given up for one in memory.
pub fn prepare(perm: Perm, console: &Console) -> Perm {
    let damage = every_folder(console);
    match (perm, damage) {
        (Perm::Ext4, Some(why)) => {
            let memory = perm::give_up(format!("/perm cannot be written: {why}"), console);
            every_folder(console);
            memory
        }
        (perm, _) => perm,
    }
}

/// Says every trouble; returns the one that means the filesystem is no use.
fn every_folder(console: &Console) -> Option<Error> {
    let mut damage = None;
    for service in rights::SERVICES {
        let path = Path::new("/perm").join(service.name);
        if let Err(error) = folder(&path, service) {
            console.say(format_args!("{}: {error}", path.display()));
            if matches!(error.raw_os_error(), Some(libc::EIO | libc::EUCLEAN | libc::EROFS | libc::EBADMSG)) {
                damage = Some(error);
            }
        }
    }
    damage
}

fn folder(path: &Path, service: &Service) -> Result<()> {
    match symlink_metadata(path) {
        Ok(there) if !there.is_dir() => Err(Error::other("not a folder")),
        Ok(there) => {
            if (there.uid(), there.gid()) != (service.uid, service.uid) {
                // A router7's folder belongs to root, with all that is in it.
                own_all(path, service.uid)?;
            }
            if there.mode() & 0o7777 != MODE { set_permissions(path, Permissions::from_mode(MODE)) } else { Ok(()) }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            DirBuilder::new().mode(MODE).create(path)?;
            own(path, service.uid)
        }
        Err(error) => Err(error),
    }
}

/// What a folder holds first, the folder itself last: so a cut on the way is made good at the next boot.
fn own_all(top: &Path, id: u32) -> Result<()> {
    let mut waiting = vec![top.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            own(&entry.path(), id)?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    own(top, id)
}

/// A symbolic link is given, not what it points at.
fn own(path: &Path, id: u32) -> Result<()> {
    let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
    Ok(fchownat(nix::fcntl::AT_FDCWD, path, Some(Uid::from_raw(id)), Some(Gid::from_raw(id)), flags)?)
}
