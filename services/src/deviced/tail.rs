//! Follows dhcp4d's log: whole at first and whenever it was made anew, else what has come since.
use crate::perm::lease_log::{Entry, MAGIC, Records};
use crate::perm::stamp::Clock;
use crate::perm::{Mac, WallTime};
use netstack::time::Instant;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Bytes that are looked at in one go.
const PIECE: usize = 256 << 10;

/// A lease by the clock on the wall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its address.
    pub addr: Ipv4Addr,
    /// Whose it is.
    pub mac: Mac,
    /// What the device calls itself, or the override.
    pub hostname: String,
    /// A name given by a person.
    pub name_override: String,
    /// Its end; zero for a static lease.
    pub expiry: WallTime,
    /// When it was acknowledged.
    pub last_ack: WallTime,
}

impl Lease {
    /// Whether it has run out.
    pub fn expired(&self, wall: WallTime) -> bool {
        !self.expiry.is_zero() && self.expiry < wall
    }
}

/// What the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A lease was given, or its record was changed.
    Given(Lease),
    /// An address is nobody's.
    Gone(Ipv4Addr),
}

/// The log and how far it was read.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    inode: u64,
    offset: u64,
    /// What the wall clock read at the zero of the boot clock of what is read now.
    zero: WallTime,
    boot: String,
    known: BTreeSet<Ipv4Addr>,
}

impl Tail {
    /// Nothing read yet.
    pub fn new(path: PathBuf) -> Tail {
        let boot = Clock::read().boot;
        Tail { path, inode: 0, offset: 0, zero: WallTime::default(), boot, known: BTreeSet::new() }
    }

    /// Hands over all that is new. What cannot be read now is read next time.
    pub fn read(&mut self, now: Instant, wall: WallTime, mut each: impl FnMut(Change)) {
        let Ok(mut file) = File::open(&self.path) else { return };
        let Ok(inode) = file.metadata().map(|data| data.ino()) else { return };
        let anew = inode != self.inode;
        if anew {
            (self.inode, self.offset) = (inode, MAGIC.len() as u64);
        }
        // Of this boot the present clock knows best, whatever the log says.
        let present = wall.shifted(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX).saturating_neg());
        let mut found = BTreeSet::new();
        let mut bytes = vec![0; PIECE];
        loop {
            if file.seek(SeekFrom::Start(self.offset)).is_err() {
                break;
            }
            let length = fill(&mut file, &mut bytes);
            let mut records = Records::new(&bytes[..length]);
            for entry in records.by_ref() {
                match entry {
                    Entry::Clock { boot, wall } => self.zero = if boot == self.boot { present } else { wall },
                    Entry::Given(given) => {
                        found.insert(given.addr);
                        each(Change::Given(Lease {
                            addr: given.addr,
                            mac: given.mac,
                            hostname: given.hostname,
                            name_override: given.name_override,
                            expiry: given.expiry.map_or_else(WallTime::default, |expiry| self.zero.shifted(expiry)),
                            last_ack: moment(self.zero.shifted(given.last_ack)),
                        }));
                    }
                    Entry::Gone(address) => {
                        found.remove(&address);
                        self.known.remove(&address);
                        each(Change::Gone(address));
                    }
                    // Who has which address of IPv6 is seen on the LAN itself.
                    Entry::File(_) | Entry::Given6(_) | Entry::Gone6(_) => {}
                }
            }
            self.offset += records.used as u64;
            if records.used == 0 {
                break;
            }
        }
        if anew {
            // What the new log does not know any more.
            let gone: Vec<Ipv4Addr> = self.known.difference(&found).copied().collect();
            gone.into_iter().for_each(|address| each(Change::Gone(address)));
            self.known = found;
        } else {
            self.known.append(&mut found);
        }
    }
}

// router7's static leases were never acknowledged: such a moment is none.
fn moment(wall: WallTime) -> WallTime {
    if wall.unix() < 0 { WallTime::default() } else { wall }
}

fn fill(file: &mut File, bytes: &mut [u8]) -> usize {
    let mut length = 0;
    while length < bytes.len() {
        match file.read(&mut bytes[length..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => length += count,
        }
    }
    length
}
