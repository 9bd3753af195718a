//! What was promised, as the files say at the start: leases.log to its last whole record; leases.json where there is no
//! log, where a person has edited it, or where the log is damaged.
use super::engine::Engine;
use super::engine::table::{Record, stamp};
use super::journal::{Journal, wall_at_zero};
use super::snapshot::PIECE;
use crate::perm::lease_log::{Client6, End, Entry, Given, Given6, MAGIC, Records, Sum};
use crate::perm::leases::{self, Lease};
use crate::perm::stamp::Clock;
use crate::perm::{Mac, WallTime};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::net::Ipv4Addr;
use std::path::Path;

/// No log is larger, in bytes; what is, is refused rather than read.
const LARGEST: u64 = 256 << 20;

/// A lease of the log and the wall clock at the zero of its boot's clock; none when it is of this boot.
type Found = BTreeMap<Ipv4Addr, (Given, Option<WallTime>)>;

#[derive(Default)]
struct Log {
    found: Found,
    /// The same of DHCPv6.
    found6: BTreeMap<Client6, (Given6, Option<WallTime>)>,
    sums: [u64; 2],
    /// Something was promised after leases.json was written last.
    behind: bool,
    /// The file and where its records end, when it can be gone on with.
    file: Option<(File, u64)>,
    damaged: bool,
}

/// Fills the engine and opens the log. Says also whether leases.json has to be written anew.
pub fn recover(log: &Path, json: &Path, clock: &Clock, engine: &mut Engine) -> (Journal, bool) {
    let mut past = read(log, &clock.boot);
    let zero = wall_at_zero(clock.now, clock.wall);
    let sum = sum(json);
    let is_ours = sum.is_some_and(|sum| past.sums.contains(&sum));
    // What is longer than a piece may have changed while it was being written.
    let behind = past.behind || past.found.len() > PIECE;
    let mut stale = sum.is_none_or(|sum| past.sums[1] != sum) || past.damaged || behind;
    let mut changed = past.file.is_none();
    let mut records: BTreeMap<Ipv4Addr, (Record, bool)> = BTreeMap::new();
    for (address, (given, of)) in std::mem::take(&mut past.found) {
        let shift = of.map_or(0, |of| of.nanos_from(zero));
        let (_, mut record) = Record::of(given);
        record.expiry = record.expiry.map(|expiry| expiry.saturating_add(shift));
        record.last_ack = record.last_ack.saturating_add(shift);
        records.insert(address, (record, of.is_some()));
    }
    if !is_ours || past.damaged {
        let edited = past.file.is_some() && sum.is_some() && !is_ours && !past.damaged;
        match written(json) {
            Some(written) => {
                if edited {
                    log::info!("{}: was written by somebody else: what it says counts", json.display());
                }
                changed |= merge(written, zero, &mut records, edited);
            }
            // Nothing can be taken from it.
            None => changed = true,
        }
        stale = true;
    }
    for (address, (mut record, foreign)) in records {
        if foreign {
            engine.cut(clock.now, address, &mut record);
        } else {
            record.last_ack = record.last_ack.min(stamp(clock.now));
        }
        if let Err(words) = engine.restore(address, record) {
            log::warn!("left out: {words}");
            changed = true;
        }
    }
    for (mut given, of) in std::mem::take(&mut past.found6).into_values() {
        given.expiry = given.expiry.saturating_add(of.map_or(0, |of| of.nanos_from(zero)));
        if !engine.six.restore(clock.now, given, of.is_some()) {
            log::warn!("left out: an address of DHCPv6 for which there is no room");
            changed = true;
        }
    }
    // A log that does not say what holds is made anew by the first commit.
    let file = past.file.filter(|_| !changed && !past.damaged);
    let mut journal = Journal::new(log.to_owned(), clock.boot.clone(), zero, past.sums, file);
    if let Some(sum) = sum {
        journal.lies_beside(sum);
    }
    (journal, stale)
}

fn read(path: &Path, boot: &str) -> Log {
    let opened = File::options().read(true).write(true).open(path).and_then(|file| {
        let mut bytes = Vec::new();
        (&file).take(LARGEST).read_to_end(&mut bytes)?;
        Ok((file, bytes))
    });
    let (file, bytes) = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Log::default(),
        Err(error) => {
            log::error!("{}: {error}: starting with what leases.json says", path.display());
            return Log { damaged: true, ..Log::default() };
        }
    };
    let Some(body) = bytes.strip_prefix(MAGIC) else {
        let aside = path.with_extension("log.refused");
        let kept = std::fs::rename(path, &aside);
        let words = kept.map_or_else(|error: io::Error| error.to_string(), |()| format!("kept as {}", aside.display()));
        log::error!("{}: is no log of leases, {words}: starting with what leases.json says", path.display());
        return Log { damaged: true, ..Log::default() };
    };
    let mut log = Log::default();
    let mut records = Records::new(body);
    // Boots in the order in which they were met, and to which each record belongs.
    let (mut clocks, mut of): (Vec<(String, WallTime)>, usize) = (Vec::new(), 0);
    let mut places: HashMap<Ipv4Addr, usize> = HashMap::new();
    let mut places6: BTreeMap<Client6, usize> = BTreeMap::new();
    let mut count = 0u64;
    for entry in records.by_ref() {
        count += 1;
        match &entry {
            Entry::Given(_) | Entry::Gone(_) => log.behind = true,
            // The one before the last lies there as before, though another one was to take its place.
            Entry::File(sum) => log.behind &= log.sums[0] == *sum && log.sums[1] != *sum,
            Entry::Clock { .. } | Entry::Given6(_) | Entry::Gone6(_) => {}
        }
        match entry {
            Entry::Clock { boot, wall } => {
                of = clocks.iter().position(|(known, _)| *known == boot).unwrap_or(clocks.len());
                match clocks.get_mut(of) {
                    Some(known) => known.1 = wall,
                    None => clocks.push((boot, wall)),
                }
            }
            Entry::Given(given) => {
                places.insert(given.addr, of);
                log.found.insert(given.addr, (given, None));
            }
            Entry::Gone(address) => drop(log.found.remove(&address)),
            Entry::Given6(given) => {
                places6.insert(given.client.clone(), of);
                log.found6.insert(given.client.clone(), (given, None));
            }
            Entry::Gone6(client) => drop(log.found6.remove(&client)),
            Entry::File(sum) if log.sums[1] != sum => log.sums = [log.sums[1], sum],
            Entry::File(_) => {}
        }
    }
    // None when it is of this boot, else what the wall clock read at the zero of its own.
    let clock_of = |place: Option<&usize>| {
        let of = place.and_then(|place| clocks.get(*place));
        let same = of.is_some_and(|(name, _)| name == boot && !boot.is_empty());
        (!same).then(|| of.map(|(_, wall)| *wall).unwrap_or_default())
    };
    for (address, (_, clock)) in &mut log.found {
        *clock = clock_of(places.get(address));
    }
    for (client, (_, clock)) in &mut log.found6 {
        *clock = clock_of(places6.get(client));
    }
    log.damaged = records.end() == End::Damaged;
    if log.damaged {
        let place = MAGIC.len() + records.used;
        log::error!("{}: damaged at byte {place}: the {count} records before it are good and hold", path.display());
    }
    log.file = Some((file, (MAGIC.len() + records.used) as u64));
    log
}

/// The leases of leases.json. A file that cannot be read is put aside, not overwritten: it may hold static leases that a
/// person wrote.
fn written(path: &Path) -> Option<Vec<Lease>> {
    match leases::read(path) {
        Ok(leases) => Some(leases),
        Err(refusal) => {
            let aside = path.with_extension("json.refused");
            log::error!("{refusal}: left out, the file is kept as {}", aside.display());
            if let Err(error) = std::fs::rename(path, &aside) {
                log::error!("{}: {error}", aside.display());
            }
            None
        }
    }
}

fn sum(path: &Path) -> Option<u64> {
    let read = || -> io::Result<u64> {
        let mut file = File::open(path)?;
        let (mut sum, mut bytes) = (Sum::default(), vec![0; 64 << 10]);
        loop {
            match file.read(&mut bytes)? {
                0 => return Ok(sum.0),
                length => sum.add(&bytes[..length]),
            }
        }
    };
    match read() {
        Ok(sum) => Some(sum),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            log::error!("{}: {error}", path.display());
            None
        }
    }
}

/// Takes from leases.json what it knows better. With `edited`, static leases that it no longer has are gone. Says whether
/// anything is another now.
fn merge(written: Vec<Lease>, zero: WallTime, records: &mut BTreeMap<Ipv4Addr, (Record, bool)>, edited: bool) -> bool {
    /// A second: the log is more exact than the file.
    const MUCH: i64 = 1_000_000_000;
    let mut changed = false;
    if edited {
        let before = records.len();
        records
            .retain(|address, (record, _)| record.expiry.is_some() || written.iter().any(|one| one.addr == *address));
        changed |= records.len() != before;
    }
    for lease in written {
        let mac: Mac = match lease.hardware_addr.parse() {
            Ok(mac) => mac,
            Err(words) => {
                log::warn!("leases.json: left out: {}: hardware_addr: {words}", lease.addr);
                continue;
            }
        };
        let record = record(&lease, mac, zero);
        if let Some((known, _)) = records.get_mut(&lease.addr)
            && known.client.mac == mac
        {
            let names = (record.hostname.clone(), record.name_override.clone());
            if edited && (&known.hostname, &known.name_override) != (&names.0, &names.1) {
                (known.hostname, known.name_override) = names;
                changed = true;
            }
            let later = record.last_ack > known.last_ack.saturating_add(MUCH);
            if known.expiry.is_none() != record.expiry.is_none() || later {
                known.expiry = record.expiry;
                known.last_ack = known.last_ack.max(record.last_ack);
                changed = true;
            }
            continue;
        }
        let better = |known: &Record| record.expiry.is_none() || record.last_ack > known.last_ack.saturating_add(MUCH);
        if records.get(&lease.addr).is_none_or(|(known, _)| better(known)) {
            records.insert(lease.addr, (record, true));
            changed = true;
        }
    }
    changed
}

fn record(lease: &Lease, mac: Mac, zero: WallTime) -> Record {
    let expiry = (!lease.is_static()).then(|| lease.expiry.nanos_from(zero));
    // The name of a static lease is a person's word and stays as it is written.
    let hostname = match expiry {
        None => lease.hostname.clone(),
        Some(_) => super::engine::host_label(lease.hostname.as_bytes()).unwrap_or_default(),
    };
    Record {
        client: super::engine::table::Client { mac, id: Box::default() },
        hostname: hostname.into(),
        name_override: lease.hostname_override.clone().into(),
        expiry,
        last_ack: lease.last_ack.nanos_from(zero),
    }
}
