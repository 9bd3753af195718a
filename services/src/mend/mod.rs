//! `services mend PARTITION FOLDER`: a `/perm` that the kernel does not mount is made anew, after what can be read of it has
//! been saved. PID 1 starts it at the boot, before the services, with a limit of time; its last line is `done: ...`, or
//! says why everything is left as it is.
//!
//! 1. A process of its own, which may do nothing else, reads what `ext4-view` can read (`reader`, `view`), what matters most
//!    first, into memory: 16 MiB at most.
//! 2. That is written to a place on the partition that holds nothing but zeros and will not be overwritten, where there is
//!    one; then the mark ([`layout::mending`]) to the first sector.
//! 3. An empty filesystem is laid over the old one (`/etc/perm.runs`, which the image's maker has made), mounted at FOLDER,
//!    filled, unmounted.
//! 4. The mark goes. Until then PID 1 does not mount it, and a cut anywhere leads here again, to step 3.
//!
//! Nothing is touched that is somebody else's filesystem, or an ext4 of a newer version. A disk that takes no writes ends
//! the attempt; the next boot makes the next one.
mod foreign;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod lay;
mod reader;
mod saved;
#[cfg(test)]
mod tests;
mod view;

use layout::mending::{BYTES, Mark};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::resource::{Resource, setrlimit};
use saved::Saved;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The empty filesystem, in the root.
const FRESH: &str = "/etc/perm.runs";
/// How long reading may take, and how long a reader that was killed may hold its pipe.
const PATIENCE: Duration = Duration::from_secs(8);
const KILLED: Duration = Duration::from_secs(1);
/// Who reads: nobody.
const NOBODY: u32 = 65_534;
/// Bytes of address space for the reader: the image, the budget and room to work.
const READERS_MEMORY: u64 = 160 << 20;
/// What of the old filesystem is kept as it was, for who wants to know how it broke.
const FIRST_BLOCKS: usize = 64 << 10;

/// The words after `mend`.
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.collect();
    let result = match &words[..] {
        [word] if word == "read" => read(),
        [partition, folder] => mend(Path::new(partition), Path::new(folder)),
        _ => Err("usage: services mend PARTITION FOLDER".into()),
    };
    match result {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn size(file: &File) -> Result<u64, String> {
    (&*file).seek(SeekFrom::End(0)).map_err(|error| error.to_string())
}

/// The reader's own process: its standard input is the partition.
fn read() -> Result<String, String> {
    // Without the limit it would still be bounded by what it looks at.
    let _ = setrlimit(Resource::RLIMIT_AS, READERS_MEMORY, READERS_MEMORY);
    let words = |error: std::io::Error| error.to_string();
    let partition = File::from(std::io::stdin().as_fd().try_clone_to_owned().map_err(words)?);
    let fresh = lay::Empty::open(Path::new(FRESH)).ok();
    let mut out = BufWriter::new(std::io::stdout());
    let room = size(&partition)?;
    reader::read(&partition, room, fresh.as_ref().and_then(lay::Empty::numbers), &mut out).map_err(words)?;
    out.flush().map_err(words)?;
    // Behind the stream's end nobody listens.
    Ok(String::new())
}

fn mend(path: &Path, folder: &Path) -> Result<String, String> {
    let at = |error: std::io::Error| format!("{}: {error}", path.display());
    let open = || File::options().read(true).write(true).open(path);
    let partition = open().map_err(at)?;
    let room = size(&partition)?;
    // Before anything is touched.
    let empty = lay::Empty::open(Path::new(FRESH))?;
    let mut sector = [0; BYTES];
    // One that cannot be read is written, or the disk is no use.
    let _ = partition.read_exact_at(&mut sector, 0);
    let saved = match Mark::read(&sector) {
        Some(mark) => {
            println!("it was being made anew when the machine stopped: once more");
            lay::kept(&partition, &mark)
        }
        None => {
            foreign::look(&partition, room)?;
            let saved = collect(path)?;
            let stream = with_report(&partition, &saved).map_err(at)?;
            lay::keep(&partition, room, &stream).map_err(at)?;
            Saved::read(&stream)
        }
    };
    lay::lay(&partition, room, &empty).map_err(|why| format!("{}: {why}", path.display()))?;
    // The kernel mounts nothing that is open for writing.
    drop(partition);
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(path), folder, Some("ext4"), flags, None::<&str>)
        .map_err(|error| format!("the new filesystem cannot be mounted: {error}"))?;
    let filled = lay::fill(&saved, folder);
    let left = umount2(folder, MntFlags::empty());
    let dropped = filled.map_err(|error| format!("the new filesystem cannot be filled: {error}"))?;
    left.map_err(|error| format!("the new filesystem cannot be left: {error}"))?;
    open().and_then(|partition| lay::unmark(&partition)).map_err(at)?;
    Ok(format!("done: made anew, {}", counted(&saved, dropped)))
}

/// What became of the files, for a person.
fn counted(saved: &Saved, dropped: usize) -> String {
    // Two of them are the report itself.
    let count = saved.files.iter().filter(|(about, _)| !about.path.starts_with(reader::REPORT)).count();
    let lost = saved.lost.len() + dropped;
    let rest = if lost == 0 && saved.whole { "nothing is known to be lost".into() } else { format!("{lost} lost") };
    format!("{count} files saved, {rest}; see /perm/{}/report", reader::REPORT)
}

/// Runs the reader, and takes what it says before it ends, dies or is out of time.
fn collect(path: &Path) -> Result<Saved, String> {
    let words = |error: std::io::Error| format!("the reader: {error}");
    let theirs = File::open(path).map_err(words)?;
    let mut command = Command::new("/proc/self/exe");
    command.args(["mend", "read"]).env_clear().stdin(theirs).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child: Child = command.uid(NOBODY).gid(NOBODY).spawn().map_err(words)?;
    let Some(mut pipe) = child.stdout.take() else { return Err("the reader has no pipe".into()) };
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (ended, end) = channel();
    let ours = Arc::clone(&heard);
    std::thread::spawn(move || {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(count) = pipe.read(&mut chunk) {
            let mut heard = ours.lock().unwrap_or_else(PoisonError::into_inner);
            // Lines and lost ones come on top of the budget.
            if count == 0 || heard.len() as u64 > reader::BUDGET + reader::BUDGET / 2 {
                break;
            }
            heard.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
        let _ = ended.send(());
    });
    if end.recv_timeout(PATIENCE).is_err() {
        println!("reading takes too long: what was read until now has to do");
        let _ = child.kill();
        let _ = end.recv_timeout(KILLED);
    }
    // Not waited for: who hangs in the kernel would hang us.
    let _ = child.try_wait();
    let heard = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Saved::read(&heard))
}

/// What was saved as a stream again, with a report for people and the old first blocks.
fn with_report(partition: &File, saved: &Saved) -> std::io::Result<Vec<u8>> {
    let mut first = vec![0; FIRST_BLOCKS];
    // Unreadable ones are zeros.
    for (at, block) in (0..).step_by(4096).zip(first.chunks_mut(4096)) {
        let _ = partition.read_exact_at(block, at);
    }
    let mut report = "This /perm was damaged and has been made anew.\n".to_owned();
    for (about, bytes) in &saved.files {
        report.push_str(&format!("saved  /perm/{} ({} bytes)\n", about.path, bytes.len()));
    }
    for (path, why) in &saved.lost {
        report.push_str(&format!("lost   /perm/{}: {}\n", path.trim_start_matches('/').escape_debug(), why));
    }
    if !saved.whole {
        report.push_str("Reading ended before its end: there may have been more.\n");
    }
    let about = |path: String, mode| saved::About { path, mode, uid: 0, gid: 0 };
    let ours = |name: &str| about(format!("{}/{name}", reader::REPORT), 0o600);
    let mut stream = Vec::new();
    let folders = saved.folders.iter().cloned().chain([about(reader::REPORT.into(), 0o755)]);
    for folder in folders {
        saved::write(&mut stream, &saved::Head::Folder(folder), b"")?;
    }
    let made = [(ours("report"), report.into_bytes()), (ours("first-blocks"), first)];
    for (about, bytes) in saved.files.iter().chain(&made) {
        saved::write(&mut stream, &saved::file(about.clone(), bytes), bytes)?;
    }
    for (path, why) in &saved.lost {
        let lost = saved::Head::Lost { path: path.clone(), why: why.clone() };
        saved::write(&mut stream, &lost, b"")?;
    }
    if saved.whole {
        saved::write(&mut stream, &saved::Head::End, b"")?;
    }
    Ok(stream)
}
