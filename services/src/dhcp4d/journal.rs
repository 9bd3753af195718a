//! leases.log: every promise is on the disk before it leaves, one `fdatasync` for all that wait.
//!
//! The file's room is filled with zeros ahead of its records, so that a commit overwrites blocks that are there: the disk
//! then has the data to write and no metadata. When records of the past outweigh those of the present, the present is
//! written to a new file piece by piece between the turns, and takes the old one's place.
//!
//! A disk that refuses does not stop the service: see [`Journal::commit`].
use super::background::{Background, Task};
use super::engine::{Cursor, Engine};
use crate::perm::WallTime;
use crate::perm::lease_log::{Entry, MAGIC};
use netstack::time::Instant;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Room is made so many bytes at a time.
const STEP: u64 = 64 << 10;
/// A log is made anew when it is larger than this and than [`OUTWEIGHED`] times its last beginning.
const SMALL: u64 = 1 << 20;
const OUTWEIGHED: u64 = 4;
/// Records written between two turns.
const PIECE: usize = 256;
/// When what the disk has refused is tried again: at the next promise after this, and without one after that.
const SOON: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(60);
/// The wall clock may run this far from boot time before it counts as set anew, in nanoseconds.
const DRIFT: i64 = 1_000_000_000;

/// A log in the making.
#[derive(Debug)]
struct Successor {
    file: File,
    end: u64,
    cursor: Cursor,
    syncing: bool,
}

/// The log.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// None while the disk refuses.
    file: Option<File>,
    end: u64,
    room: u64,
    /// Its size when it was made.
    beginning: u64,
    waiting: Vec<u8>,
    boot: String,
    wall_at_zero: WallTime,
    /// Sums of the leases.json that may lie beside it.
    sums: [u64; 2],
    refused: Option<Instant>,
    successor: Option<Successor>,
    /// Commits that reached the disk.
    pub commits: u64,
}

/// What the wall clock read when the boot clock stood at 0.
pub fn wall_at_zero(now: Instant, wall: WallTime) -> WallTime {
    wall.shifted(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX).saturating_neg())
}

impl Journal {
    /// Goes on with a file whose records end at `end`; without one, the first commit makes it.
    pub fn new(
        path: PathBuf,
        boot: String,
        wall_at_zero: WallTime,
        sums: [u64; 2],
        found: Option<(File, u64)>,
    ) -> Journal {
        let end = found.as_ref().map_or(0, |(_, end)| *end);
        let room = found.as_ref().and_then(|(file, _)| file.metadata().ok()).map_or(0, |data| data.len());
        let mut journal = Journal {
            path,
            file: found.map(|(file, _)| file),
            end,
            room,
            beginning: end.min(SMALL),
            waiting: Vec::new(),
            boot,
            wall_at_zero,
            sums,
            refused: None,
            successor: None,
            commits: 0,
        };
        if journal.file.is_some() {
            journal.append(&journal.clock());
        }
        journal
    }

    fn clock(&self) -> Entry {
        Entry::Clock { boot: self.boot.clone(), wall: self.wall_at_zero }
    }

    /// What the wall clock read at the boot clock's zero, as the files have it: the same while the clocks go together.
    pub fn wall_at_zero(&self) -> WallTime {
        self.wall_at_zero
    }

    /// Looks at the clocks; says whether the wall clock was set anew.
    pub fn follow_clock(&mut self, now: Instant, wall: WallTime) -> bool {
        let at_zero = wall_at_zero(now, wall);
        let is_set = at_zero.nanos_from(self.wall_at_zero).saturating_abs() > DRIFT;
        if is_set {
            self.wall_at_zero = at_zero;
            self.append(&self.clock());
        }
        is_set
    }

    /// Adds a record to what waits.
    pub fn append(&mut self, entry: &Entry) {
        if let Entry::File(sum) = entry
            && self.sums[1] != *sum
        {
            self.sums = [self.sums[1], *sum];
        }
        entry.write(&mut self.waiting);
    }

    /// The leases.json that lies beside the log has this sum, whatever was to take its place: without that word two files that
    /// a cut kept from their place would make the one before them look like somebody else's, whose word counts.
    pub fn lies_beside(&mut self, sum: u64) {
        if self.sums[1] != sum {
            self.append(&Entry::File(sum));
        }
    }

    /// The leases.json that was announced last did not take its place.
    pub fn stays_beside(&mut self) {
        self.lies_beside(self.sums[0]);
    }

    /// When [`Journal::commit`] is wanted although nothing is promised.
    pub fn deadline(&self) -> Option<Instant> {
        self.refused.map(|at| at + RETRY)
    }

    /// Whether the disk takes nothing.
    pub fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// Whether there is a log at all.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Brings what waits onto the disk; says whether it is there. When the disk refuses, that is said once; the whole log
    /// is then made anew as soon as it takes it.
    pub fn commit(&mut self, now: Instant, engine: &Engine) -> bool {
        let result = match (&self.file, self.refused) {
            (Some(_), _) if self.waiting.is_empty() => return true,
            (Some(_), _) => self.write(),
            (None, Some(at)) if now < at + SOON => {
                self.waiting.clear();
                return false;
            }
            (None, _) => self.renew(engine),
        };
        match result {
            Ok(()) => {
                self.commits += 1;
                if self.refused.take().is_some() {
                    log::info!("{}: written again", self.path.display());
                }
                true
            }
            Err(error) => {
                if self.refused.replace(now).is_none() {
                    log::error!(
                        "{}: {error}: leases are only in memory, and given for 5 minutes, until it can be written",
                        self.path.display()
                    );
                }
                // What a failed write has left behind is not known: the file is not gone on with.
                self.file = None;
                self.waiting.clear();
                self.abandon();
                false
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Err(io::Error::other("no log")) };
        let length = self.waiting.len() as u64;
        if self.end + length > self.room {
            self.room = make_room(file, self.end + length)?;
        }
        file.write_all_at(&self.waiting, self.end)?;
        file.sync_data()?;
        self.end += length;
        if let Some(successor) = &mut self.successor {
            // It may fail: then the old log just goes on.
            if successor.file.write_all_at(&self.waiting, successor.end).is_ok() {
                successor.end += length;
            } else {
                self.abandon();
            }
        }
        self.waiting.clear();
        Ok(())
    }

    /// Makes the whole log anew, now.
    fn renew(&mut self, engine: &Engine) -> io::Result<()> {
        self.abandon();
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut successor = self.begin(engine)?;
        while !self.piece(&mut successor, engine)? {}
        successor.file.sync_all()?;
        self.take_over(successor)
    }

    // Bindings of DHCPv6 are few: all go in at once.
    fn begin(&mut self, engine: &Engine) -> io::Result<Successor> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(self.temporary())?;
        let mut bytes = MAGIC.to_vec();
        self.clock().write(&mut bytes);
        self.sums.iter().for_each(|sum| Entry::File(*sum).write(&mut bytes));
        engine.six.entries().for_each(|given| Entry::Given6(given).write(&mut bytes));
        (&file).write_all(&bytes)?;
        Ok(Successor { file, end: bytes.len() as u64, cursor: Cursor::default(), syncing: false })
    }

    // Some more of what holds now; says whether that was all.
    fn piece(&self, successor: &mut Successor, engine: &Engine) -> io::Result<bool> {
        let mut bytes = Vec::with_capacity(PIECE * 100);
        let done = engine.walk(&mut successor.cursor, PIECE, |_, address, record| {
            Entry::Given(record.given(address)).write(&mut bytes);
        });
        successor.file.write_all_at(&bytes, successor.end)?;
        successor.end += bytes.len() as u64;
        if done {
            make_room(&successor.file, successor.end)?;
        }
        Ok(done)
    }

    fn take_over(&mut self, successor: Successor) -> io::Result<()> {
        // What was promised while it was brought onto the disk.
        successor.file.sync_data()?;
        let room = successor.file.metadata()?.len();
        std::fs::rename(self.temporary(), &self.path)?;
        // From here on the old file is nobody's, whatever else fails.
        self.room = room;
        self.end = successor.end;
        self.beginning = successor.end;
        self.file = Some(successor.file);
        self.waiting.clear();
        sync_folder(&self.path)
    }

    fn abandon(&mut self) {
        if self.successor.take().is_some() {
            // A leftover is overwritten next time.
            let _ = std::fs::remove_file(self.temporary());
        }
    }

    fn temporary(&self) -> PathBuf {
        self.path.with_file_name(".leases.log.new")
    }

    /// Whether [`Journal::work`] has something to do.
    pub fn has_work(&self) -> bool {
        let outweighed = self.file.is_some() && self.end > SMALL.max(self.beginning * OUTWEIGHED);
        self.successor.as_ref().map_or(outweighed, |successor| !successor.syncing)
    }

    /// A piece of making the log anew.
    pub fn work(&mut self, engine: &Engine, background: &Background) {
        let step = |journal: &mut Journal| -> io::Result<()> {
            let mut successor = match journal.successor.take() {
                Some(successor) => successor,
                None => journal.begin(engine)?,
            };
            if journal.piece(&mut successor, engine)? {
                let file = successor.file.try_clone()?;
                successor.syncing = true;
                background.start(Task::Log, move || file.sync_all());
            }
            journal.successor = Some(successor);
            Ok(())
        };
        if let Err(error) = step(self) {
            self.postpone(&error);
        }
    }

    /// The new log is on the disk.
    pub fn ended(&mut self, result: io::Result<()>) {
        let Some(successor) = self.successor.take().filter(|successor| successor.syncing) else { return };
        if let Err(error) = result.and_then(|()| self.take_over_between(successor)) {
            self.postpone(&error);
        }
    }

    // As take_over, but what waits was not promised yet and goes on waiting.
    fn take_over_between(&mut self, successor: Successor) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let result = self.take_over(successor);
        self.waiting = waiting;
        result
    }

    fn postpone(&mut self, error: &io::Error) {
        log::warn!("{}: {error}: it is not made anew yet", self.path.display());
        self.successor = None;
        let _ = std::fs::remove_file(self.temporary());
        // Not before it has grown by as much again.
        self.beginning = self.end;
    }

    /// The networks are others: whoever walks over them begins anew.
    pub fn restart(&mut self) {
        if self.successor.as_ref().is_some_and(|successor| !successor.syncing) {
            self.abandon();
        }
    }
}

// Zeros up to the next step beyond `wanted`; gives the file's size.
fn make_room(file: &File, wanted: u64) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let room = (wanted / STEP + 1) * STEP;
    if room > size {
        let zeros = vec![0; (room - size).min(STEP * 2) as usize];
        let mut at = size;
        while at < room {
            let part = (room - at).min(zeros.len() as u64);
            file.write_all_at(&zeros[..part as usize], at)?;
            at += part;
        }
    }
    Ok(room.max(size))
}

/// Makes a rename in a file's folder last.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
