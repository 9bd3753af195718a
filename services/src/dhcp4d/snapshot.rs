//! leases.json: router7's file, at most a second behind the log, written piece by piece between the turns, so that no
//! client waits for it; equal to the log after an orderly stop.
use super::background::{Background, Task};
use super::engine::table::Record;
use super::engine::{Cursor, Engine};
use super::journal::{Journal, sync_folder};
use crate::perm::lease_log::{Entry, Sum};
use crate::perm::leases::Lease;
use crate::perm::{WallTime, json};
use netstack::time::Instant;
use std::fs::File;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// Records written between two turns; more of them may change before the last is written.
pub const PIECE: usize = 128;
/// Leases whose file is written once a second at most; for each so many more a second less often.
const OF_A_SECOND: usize = 1_000;
/// When what the disk has refused is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// A file in the making.
#[derive(Debug)]
struct Successor {
    file: File,
    cursor: Cursor,
    sum: Sum,
    first: bool,
    syncing: bool,
}

/// The file.
#[derive(Debug)]
pub struct Snapshot {
    path: PathBuf,
    due: Option<Instant>,
    /// When it was begun last.
    begun: Option<Instant>,
    successor: Option<Successor>,
    refused: bool,
}

/// A record as the file has it.
pub fn lease(number: i64, addr: Ipv4Addr, record: &Record, wall_at_zero: WallTime) -> Lease {
    Lease {
        num: number,
        addr,
        hardware_addr: record.client.mac.to_string(),
        hostname: record.hostname.to_string(),
        hostname_override: record.name_override.to_string(),
        expiry: record.expiry.map_or_else(WallTime::default, |expiry| wall_at_zero.shifted(expiry)),
        last_ack: wall_at_zero.shifted(record.last_ack),
    }
}

// As serde would write it, in a third of the time: it is done for every lease once a second.
fn write_lease(bytes: &mut Vec<u8>, number: i64, addr: Ipv4Addr, record: &Record, wall_at_zero: WallTime) {
    let last = wall_at_zero.shifted(record.last_ack);
    let end = record.expiry.map_or_else(WallTime::default, |expiry| wall_at_zero.shifted(expiry));
    // Writing to memory cannot fail.
    let _ = write!(
        bytes,
        "\t{{\n\t\t\"num\": {number},\n\t\t\"addr\": \"{addr}\",\n\t\t\"hardware_addr\": \"{}\",\n\t\t\"hostname\": ",
        record.client.mac
    );
    write_text(bytes, &record.hostname);
    bytes.extend_from_slice(b",\n\t\t\"hostname_override\": ");
    write_text(bytes, &record.name_override);
    let _ = write!(bytes, ",\n\t\t\"expiry\": \"{end}\",\n\t\t\"last_ack\": \"{last}\"\n\t}}");
}

fn write_text(bytes: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')) {
        bytes.push(b'"');
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'"');
    } else {
        bytes.extend_from_slice(&json::write(&text));
    }
}

impl Snapshot {
    /// Of a file that says what holds.
    pub fn new(path: PathBuf) -> Snapshot {
        Snapshot { path, due: None, begun: None, successor: None, refused: false }
    }

    /// Something has changed: the file is written anew, unless it just was: then in a while.
    pub fn touch(&mut self, now: Instant, leases: usize) {
        let behind = Duration::from_millis((leases.max(OF_A_SECOND) as u64).saturating_mul(1_000) / OF_A_SECOND as u64);
        let due = self.begun.map_or(now, |begun| now.max(begun + behind));
        self.due.get_or_insert(due);
    }

    /// When [`Snapshot::work`] is wanted next, unless it is at once.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.filter(|_| self.successor.is_none())
    }

    /// Whether it is wanted at once.
    pub fn has_work(&self) -> bool {
        self.successor.as_ref().is_some_and(|successor| !successor.syncing)
    }

    /// Whether the file is being brought onto the disk.
    pub fn is_syncing(&self) -> bool {
        self.successor.as_ref().is_some_and(|successor| successor.syncing)
    }

    /// Begins when it is due, or writes a piece.
    pub fn work(&mut self, now: Instant, engine: &Engine, journal: &mut Journal, background: &Background) {
        let is_due = self.due.is_some_and(|due| due <= now);
        if self.is_syncing() || (self.successor.is_none() && !is_due) {
            return;
        }
        if self.successor.is_none() {
            self.begun = Some(now);
        }
        match self.step(engine, journal.wall_at_zero()) {
            Ok(None) => {}
            Ok(Some((file, sum))) => {
                // The log knows the sum before the file has its name: so a file that somebody else has written is told.
                journal.append(&Entry::File(sum));
                journal.commit(now, engine);
                let (from, to) = (self.temporary(), self.path.clone());
                background.start(Task::File, move || {
                    file.sync_all()?;
                    std::fs::rename(from, &to)?;
                    sync_folder(&to)
                });
            }
            Err(error) => self.refuse(now, &error),
        }
    }

    fn step(&mut self, engine: &Engine, wall_at_zero: WallTime) -> io::Result<Option<(File, u64)>> {
        let mut successor = match self.successor.take() {
            Some(successor) => successor,
            None => {
                self.due = None;
                let file = File::options().write(true).create(true).truncate(true).open(self.temporary())?;
                Successor { file, cursor: Cursor::default(), sum: Sum::default(), first: true, syncing: false }
            }
        };
        let done = successor.piece(engine, wall_at_zero)?;
        if done {
            successor.syncing = true;
            let (file, sum) = (successor.file.try_clone()?, successor.sum.0);
            self.successor = Some(successor);
            return Ok(Some((file, sum)));
        }
        self.successor = Some(successor);
        Ok(None)
    }

    /// The file is replaced; says whether its readers are to be told.
    pub fn ended(&mut self, now: Instant, result: io::Result<()>) -> bool {
        if self.successor.take().is_none() {
            return false;
        }
        match result {
            Ok(()) => {
                if std::mem::take(&mut self.refused) {
                    log::info!("{}: written again", self.path.display());
                }
                true
            }
            Err(error) => {
                self.refuse(now, &error);
                false
            }
        }
    }

    fn refuse(&mut self, now: Instant, error: &io::Error) {
        if !std::mem::replace(&mut self.refused, true) {
            log::error!("{}: {error}: it stays as it was until it can be written", self.path.display());
        }
        self.successor = None;
        let _ = std::fs::remove_file(self.temporary());
        self.due = Some(now + RETRY);
    }

    /// The networks are others: whoever walks over them begins anew.
    pub fn restart(&mut self, now: Instant) {
        if self.has_work() {
            self.successor = None;
            self.due = Some(now);
        }
    }

    /// Writes the file now, to its end, if anything has changed; says whether it did.
    pub fn finish(&mut self, now: Instant, engine: &Engine, journal: &mut Journal) -> bool {
        if self.due.is_none() && self.successor.is_none() {
            return false;
        }
        self.successor = None;
        let wall_at_zero = journal.wall_at_zero();
        let result = (|| -> io::Result<()> {
            let (file, sum) = loop {
                if let Some(done) = self.step(engine, wall_at_zero)? {
                    break done;
                }
            };
            journal.append(&Entry::File(sum));
            journal.commit(now, engine);
            file.sync_all()?;
            std::fs::rename(self.temporary(), &self.path)?;
            sync_folder(&self.path)
        })();
        self.ended(now, result)
    }

    fn temporary(&self) -> PathBuf {
        self.path.with_file_name(".leases.json.new")
    }
}

impl Successor {
    fn piece(&mut self, engine: &Engine, wall_at_zero: WallTime) -> io::Result<bool> {
        let mut bytes = Vec::with_capacity(PIECE * 240);
        let mut first = self.first;
        let done = engine.walk(&mut self.cursor, PIECE, |number, address, record| {
            bytes.extend_from_slice(if first { b"[\n" } else { b",\n" });
            first = false;
            write_lease(&mut bytes, number, address, record, wall_at_zero);
        });
        self.first = first;
        if done {
            bytes.extend_from_slice(if first { b"[]" } else { b"\n]" });
        }
        self.sum.add(&bytes);
        self.file.write_all(&bytes)?;
        Ok(done)
    }
}
