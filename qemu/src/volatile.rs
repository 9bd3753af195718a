//! A disk with a cache that forgets: an NBD server (the protocol's fixed newstyle, simple replies) which keeps what was
//! written and not flushed in memory only. When the power goes, a random part of that is on the disk and the rest is not,
//! in any order, as a drive's own cache would have it; what was flushed is there.
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a drive writes whole or not at all.
const SECTOR: usize = 512;
/// A cache has an end: beyond it the oldest writes reach the disk.
const CACHE: usize = 32 << 20;
/// No request of QEMU's is larger.
const LARGEST: usize = 32 << 20;

const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const ANSWER_MAGIC: u32 = 0x6744_6698;
/// Fixed newstyle, and no zeros behind the export's size.
const HANDSHAKE: u16 = 1 | 2;
/// It has flags, and takes flushes.
const EXPORT: u16 = 1 | 4;

/// A repeatable source of chance (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(pub u64);

impl Chance {
    /// The next number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

struct Cached {
    offset: u64,
    bytes: Vec<u8>,
}

struct State {
    file: File,
    bytes: u64,
    /// Written and not flushed, the oldest first.
    cache: Vec<Cached>,
    cached: usize,
    /// The power goes at the next flush of something, which then is not done.
    armed: bool,
    /// The power is gone: nobody is answered any more.
    dead: bool,
}

/// The disk. Its machine reaches it by [`Volatile::url`].
pub struct Volatile {
    state: Arc<(Mutex<State>, Condvar)>,
    socket: PathBuf,
}

/// What became of the unflushed writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Sectors that had been written and not flushed, each counted as often as it was written.
    pub at_risk: usize,
    /// Those of them that the disk has.
    pub kept: usize,
}

fn lock(state: &(Mutex<State>, Condvar)) -> MutexGuard<'_, State> {
    state.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)?;
        let end = offset + bytes.len() as u64;
        for write in &self.cache {
            let (from, to) = (write.offset.max(offset), (write.offset + write.bytes.len() as u64).min(end));
            if from < to {
                let length = (to - from) as usize;
                let (here, there) = ((from - offset) as usize, (from - write.offset) as usize);
                bytes[here..here + length].copy_from_slice(&write.bytes[there..there + length]);
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        self.cached += bytes.len();
        self.cache.push(Cached { offset, bytes });
        while self.cached > CACHE {
            let oldest = self.cache.remove(0);
            self.cached -= oldest.bytes.len();
            self.file.write_all_at(&oldest.bytes, oldest.offset)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.cached = 0;
        self.cache.drain(..).try_for_each(|write| self.file.write_all_at(&write.bytes, write.offset))
    }

    /// Keeps a random part: of each sector of each write with the same chance, in a random order, so that of two writes of
    /// one sector either may be the last.
    fn lose(&mut self, chance: &mut Chance) -> io::Result<Cut> {
        // From nothing to nearly everything.
        let kept_of_8 = chance.below(8);
        let whole = chance.below(2) == 0;
        self.cached = 0;
        let mut pieces: Vec<(u64, Vec<u8>)> = Vec::new();
        for write in self.cache.drain(..) {
            let size = if whole { write.bytes.len() } else { SECTOR };
            let places = (write.offset..).step_by(size);
            pieces.extend(places.zip(write.bytes.chunks(size)).map(|(place, piece)| (place, piece.to_vec())));
        }
        let sectors = |pieces: &[(u64, Vec<u8>)]| pieces.iter().map(|(_, piece)| piece.len().div_ceil(SECTOR)).sum();
        let at_risk = sectors(&pieces);
        pieces.retain(|_| chance.below(8) < kept_of_8);
        for last in (1..pieces.len()).rev() {
            pieces.swap(last, chance.below(last as u64 + 1) as usize);
        }
        let kept = sectors(&pieces);
        pieces.into_iter().try_for_each(|(place, piece)| self.file.write_all_at(&piece, place))?;
        Ok(Cut { at_risk, kept })
    }
}

impl Volatile {
    /// Serves the disk in this file, in which is what is really on it; the socket lies beside it.
    ///
    /// # Panics
    /// When the file or the socket cannot be opened.
    pub fn serve(path: &Path) -> Volatile {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let bytes = file.metadata().unwrap().len();
        let state = State { file, bytes, cache: Vec::new(), cached: 0, armed: false, dead: false };
        let (state, socket) = (Arc::new((Mutex::new(state), Condvar::new())), path.with_extension("nbd"));
        // Of the boot before.
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            // One machine has it, once.
            if let Ok((stream, _)) = listener.accept() {
                let _ = converse(&stream, &served);
                // After a cut the machine hears nothing, not even the end, until it is gone itself.
                let mut rest = [0; 4096];
                while lock(&served).dead && matches!((&stream).read(&mut rest), Ok(1..)) {}
            }
        });
        Volatile { state, socket }
    }

    /// As QEMU's `file=` takes it.
    pub fn url(&self) -> PathBuf {
        format!("nbd+unix:///?socket={}", self.socket.display()).into()
    }

    /// The power goes, at the next flush when there is one by then: what was to be flushed is what is at risk. After that
    /// nothing is answered, and nothing reaches the disk.
    pub fn freeze(&self, patience: Duration) {
        let mut state = lock(&self.state);
        state.armed = true;
        let waited = self.state.1.wait_timeout_while(state, patience, |state| !state.dead);
        waited.unwrap_or_else(PoisonError::into_inner).0.dead = true;
    }

    /// What the disk has when the power comes back.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn settle(self, chance: &mut Chance) -> Cut {
        let mut state = lock(&self.state);
        state.dead = true;
        state.lose(chance).unwrap()
    }
}

fn converse(mut stream: &UnixStream, shared: &(Mutex<State>, Condvar)) -> io::Result<()> {
    if !greet(stream, lock(shared).bytes)? {
        return Ok(());
    }
    loop {
        let mut head = [0; 28];
        stream.read_exact(&mut head)?;
        let offset = u64::from_be_bytes(head[16..24].try_into().unwrap());
        let length = u32::from_be_bytes(head[24..28].try_into().unwrap()) as usize;
        if head[..4] != REQUEST_MAGIC.to_be_bytes() || length > LARGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut answer = ANSWER_MAGIC.to_be_bytes().to_vec();
        answer.extend([0; 4]);
        answer.extend(&head[8..16]);
        let mut bytes = vec![0; if head[7] < 2 { length } else { 0 }];
        if head[7] == 1 {
            stream.read_exact(&mut bytes)?;
        }
        let mut state = lock(shared);
        if head[7] == 3 && state.armed && !state.cache.is_empty() {
            state.dead = true;
            shared.1.notify_all();
        }
        if state.dead {
            return Ok(());
        }
        match head[7] {
            0 => {
                state.read(offset, &mut bytes)?;
                answer.extend(bytes);
            }
            1 => state.write(offset, bytes)?,
            3 => state.flush()?,
            // It goes, or wants what nobody has offered.
            _ => return Ok(()),
        }
        // Still locked: who was told has it, also when the power goes at this moment.
        stream.write_all(&answer)?;
    }
}

/// The options; false when the peer goes.
fn greet(mut stream: &UnixStream, bytes: u64) -> io::Result<bool> {
    stream.write_all(b"NBDMAGIC")?;
    stream.write_all(&OPTION_MAGIC.to_be_bytes())?;
    stream.write_all(&HANDSHAKE.to_be_bytes())?;
    stream.read_exact(&mut [0; 4])?;
    loop {
        let mut head = [0; 16];
        stream.read_exact(&mut head)?;
        let option = u32::from_be_bytes(head[8..12].try_into().unwrap());
        let length = u32::from_be_bytes(head[12..16].try_into().unwrap()) as usize;
        if head[..8] != OPTION_MAGIC.to_be_bytes() || length > LARGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.read_exact(&mut vec![0; length])?;
        let reply = |kind: u32, data: &[u8]| {
            let mut reply = REPLY_MAGIC.to_be_bytes().to_vec();
            reply.extend(option.to_be_bytes());
            reply.extend(kind.to_be_bytes());
            reply.extend((data.len() as u32).to_be_bytes());
            reply.extend(data);
            reply
        };
        let export = [&bytes.to_be_bytes()[..], &EXPORT.to_be_bytes()].concat();
        match option {
            // The export by name: no reply, only what it is.
            1 => {
                stream.write_all(&export)?;
                return Ok(true);
            }
            2 => return stream.write_all(&reply(1, &[])).map(|()| false),
            // To see it, or to have it.
            6 | 7 => {
                stream.write_all(&reply(3, &[&[0, 0], &export[..]].concat()))?;
                stream.write_all(&reply(1, &[]))?;
                if option == 7 {
                    return Ok(true);
                }
            }
            _ => stream.write_all(&reply(0x8000_0001, &[]))?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Folder;

    fn disk(folder: &Folder) -> (PathBuf, Volatile) {
        let path = folder.0.join("disk");
        File::create(&path).unwrap().set_len(64 << 10).unwrap();
        let disk = Volatile::serve(&path);
        (path, disk)
    }

    #[test]
    fn what_was_flushed_is_there_and_the_rest_is_chance() {
        let (mut none, mut all, mut some) = (0, 0, 0);
        for seed in 0..200 {
            let folder = Folder::new();
            let (path, disk) = disk(&folder);
            let mut state = lock(&disk.state);
            state.write(0, vec![1; 4096]).unwrap();
            state.flush().unwrap();
            state.write(1024, vec![2; 4096]).unwrap();
            state.write(1024, vec![3; 4096]).unwrap();
            let mut seen = [0; 2048];
            state.read(512, &mut seen).unwrap();
            assert_eq!((seen[0], seen[511], seen[512], seen[2047]), (1, 1, 3, 3), "the newest is read");
            drop(state);
            let cut = disk.settle(&mut Chance(seed));
            assert_eq!(cut.at_risk, 16);
            let bytes = std::fs::read(path).unwrap();
            assert_eq!(bytes[..1024], [1; 1024]);
            assert!(bytes[1024..5120].chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
            match bytes[1024..5120].iter().filter(|byte| **byte == 3).count() {
                0 => none += 1,
                4096 => all += 1,
                _ => some += 1,
            }
        }
        assert!(none > 10 && all > 10 && some > 10, "{none} {all} {some}");
    }

    #[test]
    fn a_client_gets_what_it_wrote_and_after_a_cut_nothing() {
        let folder = Folder::new();
        let (path, disk) = disk(&folder);
        let mut stream = UnixStream::connect(path.with_extension("nbd")).unwrap();
        stream.read_exact(&mut [0; 18]).unwrap();
        stream.write_all(&[0, 0, 0, 3]).unwrap();
        stream.write_all(b"IHAVEOPT\0\0\0\x01\0\0\0\0").unwrap();
        let mut export = [0; 10];
        stream.read_exact(&mut export).unwrap();
        assert_eq!(export, [0, 0, 0, 0, 0, 1, 0, 0, 0, 5]);
        let timid = stream.try_clone().unwrap();
        let mut ask = |kind: u8, offset: u64, length: u32, bytes: &[u8]| {
            let mut request = REQUEST_MAGIC.to_be_bytes().to_vec();
            request.extend([0, 0, 0, kind, 0, 0, 0, 0, 0, 0, 0, 9]);
            request.extend(offset.to_be_bytes());
            request.extend(length.to_be_bytes());
            request.extend(bytes);
            stream.write_all(&request).unwrap();
            let mut answer = vec![0; 16 + if kind == 0 { length as usize } else { 0 }];
            stream.read_exact(&mut answer).map(|()| answer.split_off(16))
        };
        assert_eq!(ask(1, 512, 512, &[7; 512]).unwrap(), [0; 0]);
        assert_eq!(ask(0, 0, 1024, &[]).unwrap(), [[0; 512], [7; 512]].concat());
        assert!(std::fs::read(&path).unwrap().iter().all(|byte| *byte == 0));
        ask(3, 0, 0, &[]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap()[512..1024], [7; 512]);
        ask(1, 512, 512, &[8; 512]).unwrap();
        disk.freeze(Duration::ZERO);
        timid.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(ask(3, 0, 0, &[]).is_err(), "the power is gone");
        assert_eq!(std::fs::read(&path).unwrap()[512..1024], [7; 512]);
    }
}
