//! The ext4 filesystem of `/perm`, as it leaves the workshop.
//!
//! mke2fs makes it empty and debugfs puts files in, in the order of their names, so that neither root nor a mount is
//! needed and the same files give the same bytes.
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use layout::PERM_BYTES;
use layout::runs::{self, LONGEST};

use crate::error::{Context, Error, Result};
use crate::scratch::Scratch;

/// UUID of the filesystem, and the seed of its folders' hashes: fixed, or no two images would be equal.
const UUID: &str = "60c24cc1-f3f9-427a-8199-d4a87fb60104";

/// Bytes of a block.
const BLOCK: usize = 4096;

/// A file or folder to put into `/perm`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// A folder, mode 0755.
    Folder {
        /// Its path from `/perm` on, e.g. `/dhcp4d`.
        name: String,
    },
    /// A file, mode 0644.
    File {
        /// Its path from `/perm` on.
        name: String,
        /// Where its content is.
        source: PathBuf,
    },
}

impl Item {
    /// Its path from `/perm` on.
    pub fn name(&self) -> &str {
        match self {
            Self::Folder { name } | Self::File { name, .. } => name,
        }
    }
}

/// Everything in a folder, parents before children, in the order of the names.
///
/// # Errors
/// When it cannot be read, or holds what has no place in `/perm`.
pub fn items_of(folder: &Path) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    walk(folder, "", &mut items)?;
    items.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(items)
}

fn walk(folder: &Path, under: &str, items: &mut Vec<Item>) -> Result<()> {
    for entry in fs::read_dir(folder).cannot_file("read", folder)? {
        let entry = entry.cannot_file("read", folder)?;
        let path = entry.path();
        let kind = entry.file_type().cannot_file("look at", &path)?;
        let name = format!("{under}/{}", entry.file_name().to_string_lossy());
        if name.contains(['"', '\n']) {
            return Err(Error::new(format!("{name:?} cannot be a name in /perm")).next("rename the file"));
        }
        if kind.is_dir() {
            items.push(Item::Folder { name: name.clone() });
            walk(&path, &name, items)?;
        } else if kind.is_file() {
            items.push(Item::File { name, source: path });
        } else {
            return Err(Error::new(format!("{} is neither a file nor a folder", path.display()))
                .next("leave it out: /perm holds files and folders only"));
        }
    }
    Ok(())
}

/// Writes the filesystem to `image` (replaced if it exists) with `items` in it, all owned by root and dated `time`.
///
/// # Errors
/// When e2fsprogs is missing or fails.
pub fn make(image: &Path, items: &[Item], time: u32) -> Result<()> {
    let file = File::create(image).cannot_file("write", image)?;
    file.set_len(PERM_BYTES).cannot_file("write", image)?;
    drop(file);
    let extended = format!("hash_seed={UUID},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard");
    let mut mke2fs = tool("mke2fs", time);
    mke2fs.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "16384", "-L", "perm"]);
    mke2fs.args(["-O", "64bit,^resize_inode,meta_bg,metadata_csum", "-J", "size=16", "-U", UUID, "-E", &extended]);
    finish(mke2fs.arg(image).stdin(Stdio::null()), "")?;
    if items.is_empty() {
        return Ok(());
    }
    let mut script = String::new();
    for item in items {
        let (name, mode) = match item {
            Item::Folder { name } => {
                let _ = writeln!(script, "mkdir \"{name}\"");
                (name, "040755")
            }
            Item::File { name, source } => {
                let source = fs::canonicalize(source).cannot_file("find", source)?;
                let _ = writeln!(script, "write \"{}\" \"{name}\"", source.display());
                (name, "0100644")
            }
        };
        let _ = writeln!(script, "sif \"{name}\" mode {mode}");
        for field in ["uid", "gid"] {
            let _ = writeln!(script, "sif \"{name}\" {field} 0");
        }
        for field in ["atime", "ctime", "mtime", "crtime"] {
            let _ = writeln!(script, "sif \"{name}\" {field} @{time}");
        }
        for field in ["atime_extra", "ctime_extra", "mtime_extra", "crtime_extra"] {
            let _ = writeln!(script, "sif \"{name}\" {field} 0");
        }
    }
    finish(tool("debugfs", time).args(["-w", "-f", "-"]).arg(image), &script)
}

/// An empty filesystem as the router carries it, to lay it over one that is damaged beyond repair: the blocks that are in
/// use, in runs whose places count from the partition's first byte.
///
/// # Errors
/// When e2fsprogs is missing or fails.
pub fn empty(time: u32) -> Result<Vec<u8>> {
    let scratch = Scratch::new("empty-perm")?;
    let path = scratch.path().join("perm");
    make(&path, &[], time)?;
    let image = fs::read(&path).cannot_file("read", &path)?;
    let block = |number: usize| image.get(number * BLOCK..(number + 1) * BLOCK);
    // One group: its descriptor is in block 1, and says where the map of its blocks is.
    let map = block(1).and_then(|descriptor| descriptor.get(..4)?.try_into().ok()).map_or(0, u32::from_le_bytes);
    let map = block(map as usize).ok_or_else(|| Error::new("the empty filesystem has no map of its blocks"))?;
    let used = |number: &usize| map.get(number / 8).is_some_and(|byte| byte >> (number % 8) & 1 == 1);
    let (mut bytes, mut at) = (runs::MAGIC.to_vec(), 0);
    while at < image.len() / BLOCK {
        // Zeros apart: they take no room.
        let is_zero = |number: usize| block(number).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
        let (most, zero) = (if used(&at) { LONGEST / BLOCK } else { 0 }, is_zero(at));
        let same = |number: &usize| used(number) && is_zero(*number) == zero;
        let count = (at..image.len() / BLOCK).take(most).take_while(same).count();
        if let Some(run) = image.get(at * BLOCK..(at + count) * BLOCK).filter(|run| !run.is_empty()) {
            runs::push(&mut bytes, &[(at * BLOCK) as u64], run);
        }
        at += count.max(1);
    }
    runs::finish(&mut bytes);
    Ok(bytes)
}

fn tool(name: &str, time: u32) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    // Debian keeps e2fsprogs where a user's PATH does not look.
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("E2FSPROGS_FAKE_TIME", time.max(1).to_string());
    command
}

/// Runs a tool with `input`. debugfs reports a failed request only on stderr, beside a greeting and an echo on stdout.
fn finish(command: &mut Command, input: &str) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let hint = "install e2fsprogs (make deps does)";
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().cannot(|| format!("run {name}")).map_err(|error| error.next(hint))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).cannot(|| format!("speak to {name}"))?;
    }
    let output = child.wait_with_output().cannot(|| format!("wait for {name}"))?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<&str> = complaints.lines().filter(|line| !line.starts_with("debugfs ")).collect();
    if output.status.success() && (name != "debugfs" || complaints.is_empty()) {
        return Ok(());
    }
    Err(Error::new(format!("{name} failed ({}): {}", output.status, complaints.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_one_laid_over_rubbish_is_whole() {
        let scratch = Scratch::new("perm-empty").unwrap();
        let path = scratch.path().join("perm");
        let bytes = empty(1_700_000_000).unwrap();
        assert!(bytes.len() < 100_000, "{}", bytes.len());
        let mut image = vec![0xa5; usize::try_from(PERM_BYTES).unwrap()];
        let mut runs = runs::Runs::open(&bytes[..]).unwrap();
        while let Some(piece) = runs.piece().unwrap() {
            let at = usize::try_from(piece.places[0]).unwrap();
            image[at..at + piece.bytes.len()].copy_from_slice(&piece.bytes);
        }
        fs::write(&path, image).unwrap();
        let checked = tool("e2fsck", 1).arg("-fn").arg(&path).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }

    #[test]
    fn the_same_files_give_the_same_clean_filesystem() {
        let scratch = Scratch::new("perm").unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir_all(at("tree/dhcp4d")).unwrap();
        fs::write(at("tree/interfaces.json"), "{}").unwrap();
        fs::write(at("tree/dhcp4d/leases.json"), vec![b'x'; 9000]).unwrap();
        let items = items_of(&at("tree")).unwrap();
        assert_eq!(
            items.iter().map(Item::name).collect::<Vec<_>>(),
            ["/dhcp4d", "/dhcp4d/leases.json", "/interfaces.json"]
        );
        make(&at("a"), &items, 1_700_000_000).unwrap();
        make(&at("b"), &items, 1_700_000_000).unwrap();
        assert!(fs::read(at("a")).unwrap() == fs::read(at("b")).unwrap());
        let check = tool("e2fsck", 1).arg("-fn").arg(at("a")).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        let stat = tool("debugfs", 1).args(["-R", "stat /dhcp4d/leases.json"]).arg(at("a")).output().unwrap();
        let stat = String::from_utf8_lossy(&stat.stdout).into_owned();
        assert!(stat.contains("Mode:  0644") && stat.contains("Size: 9000"), "{stat}");
    }

    #[test]
    fn a_link_has_no_place_in_perm() {
        let scratch = Scratch::new("perm-link").unwrap();
        std::os::unix::fs::symlink("x", scratch.path().join("link")).unwrap();
        let error = items_of(scratch.path()).unwrap_err().to_string();
        assert!(error.contains("neither a file nor a folder") && error.contains("what to do"), "{error}");
    }
}
