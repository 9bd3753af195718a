//! The table of blocked names, read beside all else: a million names take a while, and meanwhile questions are answered.
use crate::blocklist::Table;
use netstack::event::{Interest, Loop, Token};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// Which file it was: another one has another number, length or time.
type Stamp = (u64, u64, i64, i64);

struct Reading {
    done: UnixStream,
    table: Receiver<io::Result<Option<Table>>>,
}

/// Who reads it.
pub struct Loader {
    path: PathBuf,
    /// The file that was read last; none when there was none.
    last: Option<Stamp>,
    reading: Option<Reading>,
    /// It has changed again.
    again: bool,
}

impl Loader {
    /// Of a file.
    pub fn new(path: PathBuf) -> Loader {
        Loader { path, last: None, reading: None, again: false }
    }

    /// Looks whether there is another file than before, and begins to read it. Whether there is none at all.
    ///
    /// # Errors
    /// When no thread or descriptor is given.
    pub fn look(&mut self, turn: &Loop, token: Token) -> io::Result<bool> {
        if self.reading.is_some() {
            self.again = true;
            return Ok(false);
        }
        let stamp = stamp(&self.path);
        if stamp == self.last {
            return Ok(stamp.is_none());
        }
        self.last = stamp;
        if stamp.is_none() {
            return Ok(true);
        }
        let (done, mut said) = UnixStream::pair()?;
        done.set_nonblocking(true)?;
        turn.add(&done, token, Interest::READ)?;
        let (give, table) = channel();
        let path = self.path.clone();
        thread::Builder::new().name("table".into()).spawn(move || {
            // Nobody listens any more only where all ends.
            let _ = give.send(Table::read(&path));
            let _ = said.write_all(b".");
        })?;
        self.reading = Some(Reading { done, table });
        Ok(false)
    }

    /// Its token is ready: what was read, where that is over.
    pub fn ready(&mut self) -> Option<Result<Option<Table>, String>> {
        let reading = self.reading.as_mut()?;
        match reading.done.read(&mut [0; 8]) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return None;
            }
            _ => {}
        }
        let table = reading.table.try_recv().unwrap_or_else(|_| Err(io::Error::other("was not read")));
        self.reading = None;
        Some(table.map_err(|error| format!("{}: {error}", self.path.display())))
    }

    /// Whether it has changed while it was read.
    pub fn is_behind(&mut self) -> bool {
        std::mem::take(&mut self.again)
    }

    /// The table is not held any more: it is to be read even if it is the same.
    pub fn forget(&mut self) {
        self.last = None;
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let about = fs::metadata(path).ok()?;
    Some((about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
}
