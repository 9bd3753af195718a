//! Folders of every kind, packed and read again.
use super::archive::Archive;
use crate::perm::file::tests::Folder;
use crate::restore::{Entry, read};
use crate::web::{Flow, Source};
use std::collections::BTreeMap;
use std::fs;

fn pack(folder: &Folder) -> std::io::Result<Vec<u8>> {
    let mut archive = Archive::of(&folder.0)?;
    let mut bytes = Vec::new();
    loop {
        let mut piece = Vec::new();
        let more = archive.more(&mut piece)?;
        assert!(piece.len() < 400_000, "{} bytes in one piece", piece.len());
        bytes.append(&mut piece);
        if more == Flow::End {
            return Ok(bytes);
        }
    }
}

fn unpacked(backup: &[u8]) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    read(backup, |entry| {
        match entry {
            Entry::Folder(path) => found.insert(path.display().to_string(), None),
            Entry::File(path, content) => {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes).unwrap();
                found.insert(path.display().to_string(), Some(bytes))
            }
        };
        Ok(())
    })
    .unwrap();
    found
}

#[test]
fn files_of_every_length_come_back() {
    let folder = Folder::new();
    let mut want = BTreeMap::new();
    for length in [0, 1, 511, 512, 513, 32_767, 32_768, 32_769, 1_000_003] {
        // Nothing that gzip could make small.
        let mut random = crate::house::random::Random::from_seed(length as u64);
        let bytes: Vec<u8> = (0..length).map(|_| random.next_u32() as u8).collect();
        fs::write(folder.0.join(format!("f{length}")), &bytes).unwrap();
        want.insert(format!("f{length}"), Some(bytes));
    }
    assert!(unpacked(&pack(&folder).unwrap()) == want);
}

#[test]
fn what_has_no_place_in_a_backup_is_left_out() {
    let folder = Folder::new();
    for path in ["a/nobackup/deep", "srv", "dhcp4d", "b"] {
        fs::create_dir_all(folder.0.join(path)).unwrap();
    }
    // router7 leaves out all that comes after a file of this name, too.
    for path in ["a/nobackup/deep/x", "srv/x", "b/nobackup", "b/z", "dhcp4d/leases.json"] {
        fs::write(folder.0.join(path), "x").unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", folder.0.join("link")).unwrap();
    std::os::unix::fs::symlink("/etc", folder.0.join("a/etc")).unwrap();
    nix::unistd::mkfifo(&folder.0.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let long = format!("{}/{}", "d".repeat(180), "f".repeat(180));
    fs::create_dir(folder.0.join("d".repeat(180))).unwrap();
    fs::write(folder.0.join(&long), "long").unwrap();
    let found: Vec<String> = unpacked(&pack(&folder).unwrap()).into_keys().collect();
    assert_eq!(found, ["a", "b", "b/z", "d".repeat(180).as_str(), &long, "dhcp4d", "dhcp4d/leases.json"]);
}

#[test]
fn a_file_that_grows_is_cut_and_one_that_shrinks_breaks_it_off() {
    let folder = Folder::new();
    let path = folder.0.join("leases.log");
    for (length, whole) in [(3_000_000u64, true), (100, false)] {
        fs::write(&path, vec![b'x'; 2_000_000]).unwrap();
        let mut archive = Archive::of(&folder.0).unwrap();
        let mut bytes = Vec::new();
        assert_eq!(archive.more(&mut bytes).unwrap(), Flow::More, "over too early");
        fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        let mut result = Ok(Flow::More);
        while matches!(result, Ok(Flow::More)) {
            result = archive.more(&mut bytes);
        }
        assert_eq!(result.is_ok(), whole);
        if whole {
            assert_eq!(unpacked(&bytes)["leases.log"].as_ref().unwrap().len(), 2_000_000);
        }
    }
}
