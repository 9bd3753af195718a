//! Real filesystems, made by mke2fs, damaged in many ways.
use super::lay::{self, Empty};
use super::saved::Saved;
use super::{foreign, reader, with_report};
use layout::mending::{BYTES, Mark};
use layout::runs;
use proptest::prelude::*;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const WEIRS: &[&str] = &["-b", "4096", "-O", "64bit,^resize_inode,meta_bg,metadata_csum", "-J", "size=4"];
const ROUTER7S: &[&str] = &["-b", "4096"];
const SMALL_BLOCKS: &[&str] = &["-b", "1024"];
const FILES: [(&str, &[u8]); 3] = [
    ("interfaces.json", b"{\"interfaces\":[]}"),
    ("dhcp4d/leases.json", b"[{\"hostname\":\"laptop\"}]"),
    ("radvd/announced.json", b"{}"),
];

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("weir-mend-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// A filesystem of this many MiB with [`FILES`] in it.
    fn make(&self, name: &str, words: &[&str], mib: u64) -> File {
        let path = self.0.join(name);
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
        file.set_len(mib << 20).unwrap();
        let tool = |name: &str, words: &[&str]| {
            let output = Command::new(name)
                .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
                .args(words)
                .arg(&path)
                .output()
                .unwrap();
            assert!(output.status.success(), "{name} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        tool("mke2fs", &[&["-q", "-F", "-t", "ext4", "-U", "60c24cc1-f3f9-427a-8199-d4a87fb60104"], words].concat());
        let mut script = String::new();
        for (path, bytes) in FILES {
            let source = self.0.join("source");
            fs::write(&source, bytes).unwrap();
            if let Some((folder, _)) = path.split_once('/') {
                script.push_str(&format!("mkdir {folder}\n"));
            }
            tool("debugfs", &["-w", "-R", script.trim_end()].map(|word| if word.is_empty() { "pwd" } else { word }));
            script.clear();
            tool("debugfs", &["-w", "-R", &format!("write {} {path}", source.display())]);
            tool("debugfs", &["-w", "-R", &format!("sif {path} uid 107")]);
        }
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read(file: &File) -> Saved {
    read_with(file, None)
}

fn read_with(file: &File, fresh: Option<reader::Fresh<'_>>) -> Saved {
    let mut stream = Vec::new();
    reader::read(file, file.metadata().unwrap().len(), fresh, &mut stream).unwrap();
    Saved::read(&stream)
}

fn names(saved: &Saved) -> Vec<&str> {
    let mut names: Vec<&str> = saved.files.iter().map(|(about, _)| about.path.as_str()).collect();
    names.sort_unstable();
    names
}

fn assert_all(saved: &Saved, what: &str) {
    for (path, bytes) in FILES {
        let found = saved.files.iter().find(|(about, _)| about.path == path);
        let (about, found) = found.unwrap_or_else(|| panic!("{what}: {path} is lost: {:?}", saved.lost));
        assert!(found == bytes && about.uid == 107 && about.mode & 0o400 != 0, "{what}: {path}: {about:?}");
    }
}

fn spoil(file: &File, at: u64, length: usize) {
    file.write_all_at(&vec![0xa5; length], at).unwrap();
}

#[test]
fn whole_ones_are_read_whoever_made_them() {
    let folder = Folder::new("whole");
    for (what, words, mib) in [("weir's", WEIRS, 64), ("router7's", ROUTER7S, 300), ("1 KiB", SMALL_BLOCKS, 20)] {
        let saved = read(&folder.make("fs", words, mib));
        assert_all(&saved, what);
        assert!(saved.whole && saved.lost.is_empty(), "{what}: {:?}", saved.lost);
        let folders: Vec<&str> = saved.folders.iter().map(|about| about.path.as_str()).collect();
        assert!(folders.contains(&"dhcp4d") && folders.contains(&"radvd"), "{what}: {folders:?}");
    }
}

#[test]
fn a_superblock_that_is_gone_is_found_elsewhere() {
    let folder = Folder::new("superblock");
    for (what, words, mib) in [("weir's", WEIRS, 300), ("router7's", ROUTER7S, 300), ("1 KiB", SMALL_BLOCKS, 20)] {
        let file = folder.make("fs", words, mib);
        spoil(&file, 1024, 1024);
        assert_all(&read(&file), what);
    }
    // A single group has no copy; an empty one, which has the same numbers, does.
    let empty = folder.make("empty", WEIRS, 64);
    let mut block = [0; 8192];
    empty.read_exact_at(&mut block, 0).unwrap();
    for mib in [64, 100, 300] {
        let file = folder.make("fs", WEIRS, mib);
        for group in [0, 1, 3, 5, 7] {
            spoil(&file, group * (32_768 << 12) + 1024 * u64::from(group == 0), 1024);
        }
        file.set_len(mib << 20).unwrap();
        assert!(read(&file).files.is_empty(), "nothing says what it is");
        assert_all(&read_with(&file, Some((&block[1024..2048], &block[4096..4160]))), &format!("{mib} MiB"));
    }
}

#[test]
fn a_group_descriptor_or_the_journal_may_be_damaged() {
    let folder = Folder::new("descriptor");
    for (what, words, mib) in [("weir's", WEIRS, 64), ("grown", WEIRS, 300), ("router7's", ROUTER7S, 300)] {
        let file = folder.make("fs", words, mib);
        // The count of free blocks: its sum is wrong, the rest is not.
        spoil(&file, 4096 + 0xc, 2);
        assert_all(&read(&file), what);
        let file = folder.make("fs", words, mib);
        // The journal's inode is the eighth; the first table of inodes is where the descriptor says.
        let mut table = [0; 4];
        file.read_exact_at(&mut table, 4096 + 8).unwrap();
        spoil(&file, u64::from(u32::from_le_bytes(table)) * 4096 + 7 * 256, 256);
        assert_all(&read(&file), what);
    }
}

#[test]
fn a_folder_that_is_lost_does_not_take_the_others_with_it() {
    let folder = Folder::new("folder");
    let file = folder.make("fs", WEIRS, 64);
    let image = fs::read(folder.0.join("fs")).unwrap();
    let name = b"leases.json";
    let at = image.windows(name.len()).position(|window| window == name).unwrap();
    spoil(&file, at as u64 / 4096 * 4096, 4096);
    let saved = read(&file);
    assert_eq!(names(&saved), ["interfaces.json", "radvd/announced.json"]);
    assert!(saved.lost.iter().any(|(path, _)| path.starts_with("dhcp4d")), "{:?}", saved.lost);
    let report = Saved::read(&with_report(&file, &saved).unwrap());
    let (_, text) = report.files.iter().find(|(about, _)| about.path == "mended/report").unwrap();
    let text = String::from_utf8_lossy(text);
    assert!(text.contains("saved  /perm/interfaces.json") && text.contains("lost   /perm/dhcp4d"), "{text}");
    assert!(report.files.iter().any(|(about, bytes)| about.path == "mended/first-blocks" && bytes.len() == 65_536));
}

#[test]
fn somebody_elses_and_a_newer_one_are_left_alone() {
    let folder = Folder::new("foreign");
    let file = folder.make("fs", ROUTER7S, 64);
    let room = 64 << 20;
    foreign::look(&file, room).unwrap();
    for (at, magic) in [(0, &b"LUKS\xba\xbe"[..]), (0, b"XFSB"), (0x1_0040, b"_BHRfS_M"), (3, b"NTFS    ")] {
        file.set_len(0).unwrap();
        file.set_len(room).unwrap();
        foreign::look(&file, room).unwrap();
        file.write_all_at(magic, at).unwrap();
        assert!(foreign::look(&file, room).unwrap_err().contains("another kind"));
    }
    // A feature of tomorrow, with the sum that belongs to it.
    let file = folder.make("fs", ROUTER7S, 64);
    let mut sb = [0; 1024];
    file.read_exact_at(&mut sb, 1024).unwrap();
    sb[0x63] |= 0x40;
    file.write_all_at(&sb, 1024).unwrap();
    foreign::look(&file, room).unwrap();
    let sum = super::view::crc32c(!0, &sb[..0x3fc]);
    sb[0x3fc..].copy_from_slice(&sum.to_le_bytes());
    file.write_all_at(&sb, 1024).unwrap();
    assert!(foreign::look(&file, room).unwrap_err().contains("newer version (features 0x40000000)"));
}

/// A file of runs with nothing but a new beginning.
fn empty(folder: &Path) -> Empty {
    let mut bytes = runs::MAGIC.to_vec();
    runs::push(&mut bytes, &[0], &[7; 8192]);
    runs::push(&mut bytes, &[40 << 20], &[0; 4096]);
    runs::finish(&mut bytes);
    let path = folder.join("runs");
    fs::write(&path, bytes).unwrap();
    Empty::open(&path).unwrap()
}

#[test]
fn what_was_saved_outlives_a_cut_and_the_mark_says_so() {
    let folder = Folder::new("cut");
    let file = folder.make("fs", WEIRS, 80);
    let (room, saved) = (80 << 20, read(&file));
    let stream = with_report(&file, &saved).unwrap();
    spoil(&file, room - 4096, 4096);
    lay::keep(&file, room, &stream).unwrap();
    let empty = empty(&folder.0);
    lay::lay(&file, room, &empty).unwrap();

    let mut sector = [0; BYTES];
    file.read_exact_at(&mut sector, 0).unwrap();
    let mark = Mark::read(&sector).expect("the empty filesystem has taken the mark away");
    assert!(
        mark.offset >= layout::PERM_BYTES && mark.offset + mark.length <= room - 4096,
        "only zeros are overwritten"
    );
    assert_all(&lay::kept(&file, &mark), "after a cut");
    file.write_all_at(b"x", mark.offset + 10).unwrap();
    assert_eq!(lay::kept(&file, &mark), Saved::default(), "what is not as it was does not count");
    lay::unmark(&file).unwrap();
    file.read_exact_at(&mut sector, 0).unwrap();
    assert_eq!(Mark::read(&sector), None);
    let mut byte = [0];
    file.read_exact_at(&mut byte, 512).unwrap();
    assert_eq!(byte, [7]);

    // No room behind: only memory has it. Too small: nothing is touched.
    let small = folder.make("fs", WEIRS, 64);
    lay::keep(&small, 64 << 20, &stream).unwrap();
    small.read_exact_at(&mut sector, 0).unwrap();
    assert_eq!(Mark::read(&sector), Some(Mark::default()));
    assert!(lay::lay(&small, 60 << 20, &empty).is_err());
}

#[test]
fn files_are_put_back_with_their_modes_and_owners() {
    let folder = Folder::new("fill");
    let saved = read(&folder.make("fs", ROUTER7S, 64));
    let to = folder.0.join("perm");
    assert_eq!(lay::fill(&saved, &to).unwrap(), 0);
    for (path, bytes) in FILES {
        use std::os::unix::fs::MetadataExt;
        assert!(fs::read(to.join(path)).unwrap() == bytes, "{path}");
        assert_eq!(fs::metadata(to.join(path)).unwrap().uid(), 107);
    }
    // The same again, as after a cut.
    assert_eq!(lay::fill(&saved, &to).unwrap(), 0);
}

static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rubbish where the filesystem keeps its own things: never a panic, and never a byte that was not there.
    #[test]
    fn whatever_is_turned_round(damage in prop::collection::vec((0_u64..400 * 4096, any::<[u8; 4]>()), 1..40), first in 0_u64..3) {
        let image = IMAGE.get_or_init(|| {
            let folder = Folder::new("random");
            drop(folder.make("fs", &["-b", "4096", "-N", "64", "-J", "size=4"], 24));
            fs::read(folder.0.join("fs")).unwrap()
        });
        let folder = Folder::new(&format!("random-{:?}", std::thread::current().id()));
        let path = folder.0.join("fs");
        fs::write(&path, image).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        for (at, bytes) in &damage {
            // Some of them all over, some in the first blocks.
            let at = if first == 0 { *at } else { at % (first * 8192) };
            file.write_all_at(bytes, at).unwrap();
        }
        let _ = foreign::look(&file, 24 << 20);
        let saved = read(&file);
        prop_assert!(saved.whole);
        let bytes: usize = saved.files.iter().map(|(_, bytes)| bytes.len()).sum();
        prop_assert!(bytes as u64 <= reader::BUDGET);
    }
}
