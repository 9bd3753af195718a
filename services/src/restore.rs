//! What is in a backup, weir's or router7's: every entry is looked at before it is handed over, so that nothing lands
//! where it does not belong.
use flate2::read::GzDecoder;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, EntryType};

/// Bytes of all files together, entries, and bytes of a name.
const LARGEST: u64 = 4 << 30;
const MOST: usize = 200_000;
const LONGEST: u64 = 4_096;

/// One entry, by its path under `/perm`.
pub enum Entry<'a> {
    /// A folder.
    Folder(PathBuf),
    /// A file and its content.
    File(PathBuf, &'a mut dyn Read),
}

/// Hands over every entry of a backup in its order.
///
/// # Errors
/// In words, with the entry's name: it would leave the folder (an absolute name, `..`), is a link, a device or something
/// else that a backup has not; the archive is broken, or larger than a router's disk; or what `take` says.
pub fn read(backup: impl Read, take: impl FnMut(Entry<'_>) -> Result<(), String>) -> Result<(), String> {
    read_up_to(backup, LARGEST, take)
}

/// The same where there is not as much room as on a disk: more than `largest` bytes in all are a broken backup.
///
/// # Errors
/// Those of [`read`].
pub fn read_up_to(
    backup: impl Read,
    largest: u64,
    mut take: impl FnMut(Entry<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let broken = |error: io::Error| format!("the backup is broken: {error}");
    let mut archive = Archive::new(GzDecoder::new(backup).take(largest));
    let mut long: Option<Vec<u8>> = None;
    let mut count = 0;
    // Raw: a name that is too long for its head is read here, so that nobody else reads one without end.
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        let name = match kind {
            EntryType::GNULongName | EntryType::XHeader => None,
            _ => Some(long.take().unwrap_or_else(|| entry.path_bytes().into_owned())),
        };
        count += 1;
        if count > MOST {
            return Err(format!("the backup has more than {MOST} entries"));
        }
        let Some(name) = name else {
            if entry.size() > LONGEST {
                return Err(format!("the backup has a name of {} bytes", entry.size()));
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(broken)?;
            let found = if kind == EntryType::XHeader { pax_path(&bytes) } else { Some(bytes) };
            long = found.map(|name| name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()).or(long);
            continue;
        };
        let shown = String::from_utf8_lossy(&name).escape_debug().to_string();
        let path = std::str::from_utf8(&name).map_err(|_| format!("{shown}: its name is no text"))?;
        let path = inside(Path::new(path)).ok_or_else(|| format!("{shown}: it would leave the folder"))?;
        let taken = match kind {
            // The folder itself, as `tar` writes it.
            EntryType::Directory if path.as_os_str().is_empty() => Ok(()),
            _ if path.as_os_str().is_empty() => Err("it has no name".into()),
            EntryType::Directory => take(Entry::Folder(path)),
            EntryType::Regular => take(Entry::File(path, &mut entry)),
            EntryType::Symlink | EntryType::Link => Err("it is a link".into()),
            EntryType::Char | EntryType::Block | EntryType::Fifo => Err("it is a device".into()),
            other => Err(format!("it is neither a file nor a folder (type {:?})", char::from(other.as_byte()))),
        };
        taken.map_err(|why| format!("{shown}: {why}"))?;
    }
    // To the sum behind the last entry.
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(broken)?;
    if rest.limit() == 0 {
        return Err(format!("the backup has more than {largest} bytes in it"));
    }
    Ok(())
}

/// The path that an entry has under its folder; none where it would leave it.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// The value of `path` in POSIX's extended head: records of a length, a space, key=value and a line's end.
fn pax_path(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut found = None;
    while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
        let record = bytes.get(space + 1..length.checked_sub(1)?)?;
        if let Some(value) = record.strip_prefix(b"path=") {
            found = Some(value.to_vec());
        }
        bytes = bytes.get(length..)?;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::io::Write;
    use tar::Header;

    /// An archive of one entry whose head says what it likes.
    fn archive(name: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
        let mut head = Header::new_ustar();
        head.as_mut_bytes()[..name.len()].copy_from_slice(name);
        head.set_entry_type(EntryType::new(kind));
        head.set_size(content.len() as u64);
        head.set_mode(0o644);
        let _ = head.set_link_name("/etc/passwd");
        head.set_cksum();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(head.as_bytes()).unwrap();
        gzip.write_all(content).unwrap();
        gzip.write_all(&vec![0; (512 - content.len() % 512) % 512 + 1_024]).unwrap();
        gzip.finish().unwrap()
    }

    fn names(backup: &[u8]) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        read(backup, |entry| {
            match entry {
                Entry::Folder(path) => names.push(format!("{}/", path.display())),
                Entry::File(path, content) => {
                    let mut text = String::new();
                    content.read_to_string(&mut text).map_err(|error| error.to_string())?;
                    names.push(format!("{}={text}", path.display()));
                }
            }
            Ok(())
        })?;
        Ok(names)
    }

    #[test]
    fn what_would_land_elsewhere_is_refused_by_its_name() {
        assert_eq!(names(&archive(b"./dhcp4d/leases.json", b'0', b"[]")).unwrap(), ["dhcp4d/leases.json=[]"]);
        assert_eq!(names(&archive(b"old", 0, b"x")).unwrap(), ["old=x"], "the type of long ago");
        assert_eq!(names(&archive(b"dhcp4d", b'5', b"")).unwrap(), ["dhcp4d/"]);
        for (name, kind, why) in [
            (&b"/etc/passwd"[..], b'0', "leave the folder"),
            (b"../init", b'0', "leave the folder"),
            (b"dhcp4d/../../init", b'0', "leave the folder"),
            (b"dhcp4d/..", b'5', "leave the folder"),
            (b"radvd", b'2', "a link"),
            (b"interfaces.json", b'1', "a link"),
            (b"sda", b'4', "a device"),
            (b"tty", b'3', "a device"),
            (b"pipe", b'6', "a device"),
            (b"sparse", b'S', "neither"),
            (b"a\xff", b'0', "no text"),
            (b".", b'0', "no name"),
        ] {
            let said = names(&archive(name, kind, b"")).unwrap_err();
            let shown = String::from_utf8_lossy(name).into_owned();
            assert!(said.starts_with(&format!("{shown}: ")) && said.contains(why), "{shown}: {said}");
        }
    }

    #[test]
    fn a_long_name_is_looked_at_as_any_other() {
        let chain = |kind: u8, content: &[u8]| {
            let mut bytes = Vec::new();
            for part in [archive(b"././@LongLink", kind, content), archive(b"short", b'0', b"x")] {
                let mut plain = Vec::new();
                GzDecoder::new(&part[..]).read_to_end(&mut plain).unwrap();
                bytes.extend_from_slice(&plain[..plain.len() - 1_024]);
            }
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(&bytes).unwrap();
            gzip.write_all(&[0; 1_024]).unwrap();
            gzip.finish().unwrap()
        };
        let long = "n".repeat(300);
        assert_eq!(names(&chain(b'L', format!("{long}\0").as_bytes())).unwrap(), [format!("{long}=x")]);
        assert!(names(&chain(b'L', b"/etc/cron.d/x\0")).unwrap_err().starts_with("/etc/cron.d/x: "));
        assert!(names(&chain(b'x', b"19 path=../../init\n")).unwrap_err().starts_with("../../init: "));
        assert!(names(&chain(b'L', &[b'n'; 5_000])).unwrap_err().contains("a name of 5000 bytes"));
    }

    #[test]
    fn what_is_broken_or_endless_is_said() {
        let whole = archive(b"a", b'0', &[b'x'; 2_000]);
        for cut in [0, 5, whole.len() / 2, whole.len() - 4] {
            assert!(names(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(names(b"no archive at all").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_met_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1_200), pax in "[0-9]{0,3} ?path=.{0,9}\n?") {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(&bytes).unwrap();
            let _ = names(&gzip.finish().unwrap());
            let _ = names(&archive(b"x", b'x', pax.as_bytes()));
            let _ = names(&bytes);
        }
    }
}
