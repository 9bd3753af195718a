//! `/tmp/resolv.conf`: the router resolves by its own dnsd.
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes the file where there is none, or a link in its place. A file that stands there belongs to whoever wrote it.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, server: IpAddr) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_symlink() => fs::remove_file(path)?,
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(format!("nameserver {server}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    #[test]
    fn writes_unless_a_file_stands_there() {
        let folder = Folder::new();
        let path = folder.0.join("resolv.conf");
        std::os::unix::fs::symlink("/proc/net/pnp", &path).unwrap();
        write(&path, IpAddr::from([192, 168, 42, 1])).unwrap();
        write(&path, IpAddr::from([10, 0, 0, 1])).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "nameserver 192.168.42.1\n");
    }
}
