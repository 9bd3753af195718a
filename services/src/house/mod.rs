//! What every service is given at start: its folders, its flags, its line to PID 1, its log.
pub mod admission;
pub mod asking;
pub mod door;
mod logger;
pub mod names;
mod notify;
pub mod pair;
pub mod private;
pub mod question;
pub mod questions;
pub mod random;
pub mod rarely;
pub mod requests;
pub mod sandbox;
pub mod shown;
#[allow(dead_code, reason = "what a client does not use is a server's")]
pub mod tls;
pub mod way;

pub use logger::log_to_stderr;
pub use notify::Notify;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why a service ends. PID 1 starts it again; the text is for the log.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// A failure in words: what was tried, on what, and why it did not work.
    pub fn new(text: impl Into<String>) -> Failure {
        Failure(text.into())
    }

    /// Puts what was tried before an error's own words; for `map_err`.
    pub fn during<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Failure {
        move |error| Failure(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure(error.to_string())
    }
}

/// A service's surroundings. Every path it touches is made here, under its root.
#[derive(Debug)]
pub struct House {
    root: PathBuf,
    flags: Vec<OsString>,
    notify: Notify,
}

impl House {
    /// Reads `--root DIR` (default `/`) and keeps the other words for the service's own [`House::flags`].
    ///
    /// # Errors
    /// When `--root` has no value.
    pub fn open(words: impl Iterator<Item = OsString>) -> Result<House, Failure> {
        let mut root = PathBuf::from("/");
        let mut flags = Vec::new();
        let mut words = words;
        while let Some(word) = words.next() {
            if word == "--root" {
                root = words.next().map(PathBuf::from).ok_or_else(|| Failure::new("--root wants a folder"))?;
            } else if let Some(value) = word.to_str().and_then(|word| word.strip_prefix("--root=")) {
                root = PathBuf::from(value);
            } else {
                flags.push(word);
            }
        }
        Ok(House { root, flags, notify: Notify::from_environment() })
    }

    /// The root under which `perm`, `run`, `etc` and `tmp` lie; `/` on the router.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path as it is named on the router (`/perm/interfaces.json`), under this service's root.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The flags of the service itself. router7's single-dash form (`-interface=lan0`) is taken as well.
    pub fn flags(&self) -> lexopt::Parser {
        lexopt::Parser::from_args(self.flags.iter().map(|flag| match flag.to_str() {
            Some(text) if text.len() > 2 && text.starts_with('-') && !text.starts_with("--") => {
                OsString::from(format!("-{text}"))
            }
            _ => flag.clone(),
        }))
    }

    /// Tells PID 1, once, that the next packet will be answered.
    pub fn ready(&mut self) {
        self.notify.ready();
    }

    /// Tells PID 1 that this service has replaced a file, by its name on the router (`/perm/NAME/...`).
    pub fn changed(&mut self, absolute: &str) {
        self.notify.changed(absolute);
    }
}
