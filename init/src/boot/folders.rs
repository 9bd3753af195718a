//! Each service's folder under `/perm`: there, and its own.
use super::disk::Disk;
use super::perm::{self, Perm};
use crate::console::Console;
use crate::sys;
use layout::Slot;
use nix::unistd::{Gid, Uid, fchownat};
use rights::Service;
use std::fs::{DirBuilder, Metadata, Permissions, set_permissions, symlink_metadata};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

const MODE: u32 = 0o750;
/// Of a folder into which configd may put files: it may take away only its own. The group's bits are those of the access
/// list's mask.
const SHARED: u32 = 0o1770;

/// Makes every folder of the table. A filesystem that cannot take them is given up for one in memory.
pub fn prepare(perm: Perm, console: &Console) -> Perm {
    let damage = every_folder(console);
    match (perm, damage) {
        (perm, Some(why)) if perm.on_disk() => {
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
            damage = damage.or(Some(error).filter(is_damage));
        }
        if rights::SERVICES.iter().any(|other| other.asks.contains(&service.name)) {
            // Where everybody looks for it; it lies in the service's own folder.
            let _ = symlink(format!("{}/sock", service.name), format!("/run/{}.sock", service.name));
        }
        for path in service.run {
            if let Err(error) = in_memory(Path::new(path), service.uid) {
                console.say(format_args!("{path}: {error}"));
            }
        }
    }
    for (node, name) in rights::NODES {
        // A kernel without the driver has no node; the service says what it misses.
        let _ = rights::service(name).map(|service| own(Path::new(node), service.uid));
    }
    for (path, name) in rights::INHERITED {
        let path = Path::new(path);
        if let (Some(service), Ok(there)) = (rights::service(name), symlink_metadata(path))
            && let Err(error) = conceal(path, &there, service.uid, service.uid)
        {
            console.say(format_args!("{}: {error}", path.display()));
        }
    }
    // After the folders: a router7's files in them have just been given to their services.
    if let Some(configd) = rights::service("configd")
        && let Err(error) = written(configd)
    {
        console.say(format_args!("/perm: {error}"));
        damage = damage.or(Some(error).filter(is_damage));
    }
    damage
}

/// Gives the slot that is not running to the service that writes it: its root's partition and the boot partition, under
/// names in the service's own folder, and the slot's letter.
pub fn hand_over(disk: &Disk, idle: Slot, console: &Console) {
    let Some(service) = rights::service(rights::UPDATER) else { return };
    let Some(folder) = service.run.first().map(Path::new) else { return };
    let give = |name: &str, partition: u32| -> Result<()> {
        let node = Path::new("/dev").join(disk.partition(partition));
        own(&node, service.uid)?;
        symlink(node, folder.join(name))
    };
    let done = give("boot", 1)
        .and_then(|()| give("root", idle.partition()))
        .and_then(|()| std::fs::write(folder.join("slot"), idle.letter()));
    if let Err(error) = done {
        console.say(format_args!("no slot for updates: {error}"));
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EUCLEAN | libc::EROFS | libc::EBADMSG))
}

/// `/perm` itself, and what a person has written, belong to configd.
fn written(configd: &Service) -> Result<()> {
    let files = rights::WRITTEN.iter().map(Path::new);
    // A folder that is no service's is the person's as well: gokrazy's remote_syslog.
    let is_service = |path: &&Path| rights::SERVICES.iter().any(|service| path.ends_with(service.name));
    let folders = files.clone().filter_map(Path::parent).filter(|path| !is_service(path));
    for path in folders.chain(files) {
        let secret = path.to_str().and_then(rights::secret_of);
        match symlink_metadata(path) {
            Ok(there) if let Some(group) = secret => conceal(path, &there, configd.uid, group)?,
            Ok(there) if there.uid() != configd.uid => own(path, configd.uid)?,
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A secret is configd's, and its readers' group may read it; a router7's was open to everybody.
fn conceal(path: &Path, there: &Metadata, owner: u32, group: u32) -> Result<()> {
    const READ: u32 = 0o640;
    if there.is_file() && (there.uid(), there.gid(), there.mode() & 0o7777) != (owner, group, READ) {
        set_permissions(path, Permissions::from_mode(0o600))?;
        give(path, owner, group)?;
        set_permissions(path, Permissions::from_mode(READ))?;
    }
    Ok(())
}

fn in_memory(path: &Path, id: u32) -> Result<()> {
    DirBuilder::new().mode(0o755).create(path)?;
    own(path, id)
}

fn folder(path: &Path, service: &Service) -> Result<()> {
    match symlink_metadata(path) {
        Ok(there) if !there.is_dir() => Err(Error::other("not a folder")),
        Ok(there) => {
            if (there.uid(), there.gid()) != (service.uid, service.uid) {
                // A router7's folder belongs to root, with all that is in it.
                own_all(path, service.uid)?;
            }
            let mode = if rights::has_written(service) { SHARED } else { MODE };
            if there.mode() & 0o7777 != mode { open_to(path, service, mode) } else { Ok(()) }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            DirBuilder::new().mode(MODE).create(path)?;
            own(path, service.uid)?;
            if rights::has_written(service) { open_to(path, service, SHARED) } else { Ok(()) }
        }
        Err(error) => Err(error),
    }
}

fn open_to(path: &Path, service: &Service, mode: u32) -> Result<()> {
    set_permissions(path, Permissions::from_mode(mode))?;
    match rights::service("configd").filter(|_| rights::has_written(service)) {
        Some(configd) => sys::access_list::share(path, configd.uid),
        None => Ok(()),
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

fn own(path: &Path, id: u32) -> Result<()> {
    give(path, id, id)
}

/// A symbolic link is given, not what it points at.
fn give(path: &Path, user: u32, group: u32) -> Result<()> {
    let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
    Ok(fchownat(nix::fcntl::AT_FDCWD, path, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)), flags)?)
}
