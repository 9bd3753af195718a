//! POSIX access lists, as much of them as a shared folder needs.
use std::ffi::CString;
use std::io::{Error, Result};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `struct posix_acl_xattr_header` and its entries: tag, permissions, id.
fn shared_with(id: u32) -> Vec<u8> {
    const VERSION: u32 = 2;
    const NOBODY: u32 = u32::MAX;
    const ALL: u16 = 7;
    const SEE: u16 = 5;
    // Owner, the one named user, the group, the mask over these two, everybody else.
    let entries = [(1u16, ALL, NOBODY), (2, ALL, id), (4, SEE, NOBODY), (0x10, ALL, NOBODY), (0x20, 0, NOBODY)];
    let entry = |(tag, permissions, id): (u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    std::iter::once(VERSION.to_le_bytes().to_vec()).chain(entries.map(entry)).flatten().collect()
}

/// Lets one more user make files in a folder whose owner may all and whose group may look.
///
/// # Errors
/// When the filesystem has no access lists, or refuses.
pub fn share(folder: &Path, id: u32) -> Result<()> {
    let path = CString::new(folder.as_os_str().as_bytes())?;
    let list = shared_with(id);
    // SAFETY: both strings end with a zero byte and the list is as long as is said; the kernel only reads them.
    let done = unsafe {
        libc::setxattr(path.as_ptr(), c"system.posix_acl_access".as_ptr(), list.as_ptr().cast(), list.len(), 0)
    };
    if done == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_kernel_takes_the_list() {
        let folder = std::env::temp_dir().join(format!("weir-shared-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o1770)).unwrap();
        let id = nix::unistd::getuid().as_raw();
        let done = share(&folder, id);
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode() & 0o7777;
        std::fs::remove_dir(&folder).unwrap();
        done.unwrap();
        // The mask shows as the group's bits.
        assert_eq!(mode, 0o1770);
    }
}
