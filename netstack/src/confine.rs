//! What a process gives away for good: system calls (seccomp), and files, TCP ports and neighbours (Landlock).
//!
//! Both hold for whoever the process becomes and whatever it starts; neither can be taken back.
use crate::sys::confine as sys;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub use crate::sys::confine::{filter_calls, no_new_rights, tell_refused_call};
/// One instruction of a filter of calls.
pub type Instruction = libc::sock_filter;

/// What may be done with a file (linux/landlock.h).
mod file {
    pub const EXECUTE: u64 = 1;
    pub const WRITE: u64 = 1 << 1;
    pub const READ: u64 = 1 << 2;
    pub const TRUNCATE: u64 = 1 << 14;
    pub const DEVICE_CONTROL: u64 = 1 << 15;
}

/// What may be done with a folder.
mod folder {
    pub const READ: u64 = 1 << 3;
    pub const REMOVE_FOLDER: u64 = 1 << 4;
    pub const REMOVE_FILE: u64 = 1 << 5;
    pub const MAKE_DEVICE: u64 = 1 << 6 | 1 << 11;
    pub const MAKE_FOLDER: u64 = 1 << 7;
    pub const MAKE_FILE: u64 = 1 << 8;
    pub const MAKE_SOCKET: u64 = 1 << 9;
    pub const MAKE_PIPE: u64 = 1 << 10;
    pub const MAKE_LINK: u64 = 1 << 12;
    pub const REFER: u64 = 1 << 13;
}

const BIND: u64 = 1;
const CONNECT: u64 = 1 << 1;
/// Abstract Unix sockets and signals.
const SCOPES: u64 = 1 | 1 << 1;

/// All that the first version of Landlock knows, and what later ones have added.
const FILES: u64 = file::EXECUTE
    | file::WRITE
    | file::READ
    | folder::READ
    | folder::REMOVE_FOLDER
    | folder::REMOVE_FILE
    | folder::MAKE_DEVICE
    | folder::MAKE_FOLDER
    | folder::MAKE_FILE
    | folder::MAKE_SOCKET
    | folder::MAKE_PIPE
    | folder::MAKE_LINK;
/// What each further version added to files.
const SINCE: [(u32, u64); 3] = [(2, folder::REFER), (3, file::TRUNCATE), (5, file::DEVICE_CONTROL)];
const PORTS_SINCE: u32 = 4;
const SCOPES_SINCE: u32 = 6;

/// What is done with a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Files are read, folders listed.
    Read,
    /// Also written, made and removed: files, folders and sockets, but no devices, links or pipes.
    Change,
    /// A device: read, written and controlled (`ioctl`).
    Device,
}

/// Where a process may still go: nowhere, but for what is allowed here.
#[derive(Debug)]
pub struct Ruleset {
    fd: OwnedFd,
    handled: sys::Handled,
}

impl Ruleset {
    /// One that refuses every file, and, as far as the kernel knows how, every TCP port that is listened on, signals to
    /// others and abstract sockets of theirs; with `connects`, every TCP port that is connected to, too.
    ///
    /// # Errors
    /// When the kernel has no Landlock.
    pub fn new(connects: bool) -> io::Result<Ruleset> {
        let handled = handled(sys::landlock_version()?, connects);
        Ok(Ruleset { fd: sys::landlock_ruleset(&handled)?, handled })
    }

    /// Allows a file, or a folder with all that will ever be in it; the descriptor is of no further use, unless the kernel is
    /// to remember it. What is not there cannot be allowed, and is passed over.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn allow(&self, path: &Path, access: Access) -> io::Result<Option<File>> {
        let flags = libc::O_PATH | libc::O_CLOEXEC;
        let place: File = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(place) => place,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let rights = rights(access, place.metadata()?.is_dir()) & self.handled.files;
        sys::landlock_path(&self.fd, &place, rights)?;
        Ok(Some(place))
    }

    /// Allows to listen on a TCP port; 0 stands for any that the kernel picks.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn allow_listening(&self, port: u16) -> io::Result<()> {
        self.allow_port(port, BIND)
    }

    /// Allows to connect to a TCP port.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn allow_connecting(&self, port: u16) -> io::Result<()> {
        self.allow_port(port, CONNECT)
    }

    fn allow_port(&self, port: u16, what: u64) -> io::Result<()> {
        if self.handled.ports & what == 0 {
            return Ok(());
        }
        sys::landlock_port(&self.fd, port, what)
    }

    /// From now on it holds. Only for this thread and those that it starts: to be called before there are others.
    ///
    /// # Errors
    /// Without [`no_new_rights`].
    pub fn enforce(self) -> io::Result<()> {
        sys::landlock_restrict(&self.fd)
    }
}

/// What a kernel of this version of Landlock can refuse.
fn handled(version: u32, connects: bool) -> sys::Handled {
    let files = SINCE.iter().filter(|(since, _)| version >= *since).fold(FILES, |all, (_, added)| all | added);
    let ports = if connects { BIND | CONNECT } else { BIND };
    sys::Handled {
        files,
        ports: if version >= PORTS_SINCE { ports } else { 0 },
        scopes: if version >= SCOPES_SINCE { SCOPES } else { 0 },
    }
}

/// What an access means; for a file that is no folder, only what can be done with one.
fn rights(access: Access, is_folder: bool) -> u64 {
    let read = file::READ | if is_folder { folder::READ } else { 0 };
    let change = file::WRITE
        | file::TRUNCATE
        | if is_folder {
            folder::REMOVE_FOLDER
                | folder::REMOVE_FILE
                | folder::MAKE_FOLDER
                | folder::MAKE_FILE
                | folder::MAKE_SOCKET
                | folder::REFER
        } else {
            0
        };
    match access {
        Access::Read => read,
        Access::Change => read | change,
        Access::Device => read | change | file::DEVICE_CONTROL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_is_asked_for_what_it_knows() {
        assert_eq!(handled(1, true).files, (1 << 13) - 1);
        assert_eq!(handled(3, true).files, (1 << 15) - 1);
        let (third, fourth, sixth) = (handled(3, true), handled(4, false), handled(6, true));
        assert_eq!((third.ports, third.scopes), (0, 0));
        assert_eq!((fourth.ports, fourth.scopes), (BIND, 0));
        assert_eq!((sixth.files, sixth.ports, sixth.scopes), ((1 << 16) - 1, BIND | CONNECT, SCOPES));
    }

    #[test]
    fn a_file_is_not_given_what_only_folders_have() {
        let of_files = file::EXECUTE | file::WRITE | file::READ | file::TRUNCATE | file::DEVICE_CONTROL;
        for access in [Access::Read, Access::Change, Access::Device] {
            assert_eq!(rights(access, false) & !of_files, 0);
            for is_folder in [false, true] {
                assert_eq!(rights(access, is_folder) & (file::EXECUTE | folder::MAKE_DEVICE | folder::MAKE_LINK), 0);
            }
        }
        assert_eq!(rights(Access::Read, true) & (file::WRITE | folder::MAKE_FILE), 0);
    }
}
