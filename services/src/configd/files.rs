//! Where candidates and files lie. A trial begins and ends by one rename; what is to be kept is promised in one file first.
use crate::check::Files;
use crate::perm::{file, json};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const PROMISE: &str = "/perm/configd/keep.json";

/// The folders.
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Under a root.
    pub fn new(root: &Path) -> Store {
        Store { root: root.to_owned() }
    }

    fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    fn tried_folder(&self) -> PathBuf {
        self.path(rights::TRIED)
    }

    /// Puts candidates in force, all at once.
    ///
    /// # Errors
    /// When memory is full; nothing is in force then.
    pub fn place(&self, files: &Files) -> io::Result<()> {
        let (now, next) = (self.tried_folder(), self.tried_folder().with_file_name("next"));
        remove(&next)?;
        for (name, bytes) in files {
            let path = next.join(name);
            fs::create_dir_all(path.parent().unwrap_or(&next))?;
            match readers(name) {
                Some(group) => file::replace_for(&path, bytes, Some(group)).map(drop)?,
                None => fs::write(path, bytes)?,
            }
        }
        fs::rename(next, now)
    }

    /// The candidates in force.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn tried(&self) -> io::Result<Files> {
        let folder = self.tried_folder();
        let mut files = Files::new();
        for name in names() {
            if let Some(bytes) = file::read(&folder.join(name))? {
                files.insert(name.to_owned(), bytes);
            }
        }
        Ok(files)
    }

    /// Takes them away, all at once; which they were.
    ///
    /// # Errors
    /// When they cannot be taken away.
    pub fn withdraw(&self) -> io::Result<Vec<String>> {
        let names: Vec<String> = self.tried()?.into_keys().collect();
        let (now, last) = (self.tried_folder(), self.tried_folder().with_file_name("last"));
        remove(&last)?;
        match fs::rename(now, &last) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => remove(&last)?,
        }
        Ok(names)
    }

    /// The files as they are kept; one that cannot be read is none.
    pub fn standing(&self) -> Files {
        let read = |name: &str| Some((name.to_owned(), file::read(&self.path("/perm").join(name)).ok()??));
        names().filter_map(read).collect()
    }

    /// Promises to keep files: from here on a power cut keeps them as well.
    ///
    /// # Errors
    /// When the disk is full or broken: nothing has changed then.
    pub fn promise(&self, files: &Files) -> io::Result<()> {
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).map_err(io::Error::other);
        let files =
            files.iter().map(|(name, bytes)| Ok((name, text(bytes)?))).collect::<io::Result<BTreeMap<_, _>>>()?;
        file::replace(&self.path(PROMISE), &json::write(&files)).map(drop)
    }

    /// Does what is promised; which files that were.
    ///
    /// # Errors
    /// When the disk is full or broken: to be tried again.
    pub fn finish(&self) -> io::Result<Vec<String>> {
        let promise = self.path(PROMISE);
        let Some(bytes) = file::read(&promise)? else { return Ok(Vec::new()) };
        // It was written whole; what cannot be read any more is nobody's promise.
        let files: BTreeMap<String, String> = json::parse(&promise, &bytes).unwrap_or_else(|refusal| {
            log::error!("{refusal}; it is passed over");
            BTreeMap::new()
        });
        let known: Vec<(String, String)> =
            files.into_iter().filter(|(name, _)| crate::check::known(name).is_some()).collect();
        for (name, text) in &known {
            file::replace_for(&self.path("/perm").join(name), text.as_bytes(), readers(name))?;
        }
        fs::remove_file(&promise)?;
        Ok(known.into_iter().map(|(name, _)| name).collect())
    }
}

/// chown(2): the group that a file has already.
const AS_IT_IS: u32 = u32::MAX;

/// The group that alone may read a secret, by its name under `/perm`. Run alone, without PID 1's half of the rights, we
/// are in no such group and need none.
fn readers(name: &str) -> Option<u32> {
    let group = rights::secret_of(&format!("/perm/{name}"))?;
    let configd = rights::service("configd").map(|configd| configd.uid);
    let own = nix::unistd::getuid().as_raw();
    Some(if configd == Some(own) { group } else { AS_IT_IS })
}

fn names() -> impl Iterator<Item = &'static str> {
    rights::WRITTEN.iter().filter_map(|path| path.strip_prefix("/perm/"))
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
