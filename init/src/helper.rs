//! Programs of the root that do for PID 1 what takes root's rights and time: each has the rights that it is given, for as
//! long as it runs, and says how far it is, a line each. Its last line is `done: ...`, or why not.
use crate::clock;
use crate::lines::{Line, Lines};
use crate::sys::{self, Plan};
use crate::watchdog::Watchdog;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, pipe2};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Capabilities by their numbers: CHOWN, DAC_OVERRIDE, FOWNER and FSETID to give files their owners, KILL, SETGID and SETUID
/// to become nobody for what may be done by anybody, SYS_ADMIN to mount, SYS_RESOURCE to let a filesystem grow.
const RIGHTS: [u8; 9] = [0, 1, 3, 4, 5, 6, 7, 21, 24];
const FILES: u64 = 64;
/// Bytes of a line that are shown.
pub const LINE: usize = 300;
/// What the program's last line begins with when all went well.
const DONE: &str = "done: ";

/// A program that runs.
#[derive(Debug)]
pub struct Helper {
    /// Its process, and process group.
    pub pid: i32,
    /// What it says; not blocking.
    pub pipe: File,
    lines: Lines,
    /// How it went, once it has said so.
    done: Option<String>,
    last: Option<String>,
}

/// Starts `services` with these words, whose standard output is `out`.
///
/// # Errors
/// In words.
pub fn spawn(words: &[&str], out: BorrowedFd<'_>) -> Result<i32, String> {
    let null =
        File::options().read(true).write(true).open("/dev/null").map_err(|error| format!("/dev/null: {error}"))?;
    let words = std::iter::once(&"services").chain(words).map(|word| CString::new(*word));
    let words: Vec<CString> = words.collect::<Result<_, _>>().map_err(|_| "a word with a NUL".to_owned())?;
    let words: Vec<&CStr> = words.iter().map(CString::as_c_str).collect();
    let plan = Plan {
        program: c"/bin/services",
        words: &words,
        environment: &[],
        descriptors: [null.as_raw_fd(), out.as_raw_fd(), out.as_raw_fd(), null.as_raw_fd()],
        uid: 0,
        groups: &[],
        capabilities: RIGHTS.iter().fold(0, |bits, number| bits | 1u64 << *number),
        files: FILES,
    };
    sys::spawn(&plan).map_err(|failed| failed.to_string())
}

impl Helper {
    /// Starts `services` with these words.
    ///
    /// # Errors
    /// In words.
    pub fn start(words: &[&str]) -> Result<Helper, String> {
        let pipe = || -> nix::Result<(File, OwnedFd)> {
            let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
            fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            Ok((File::from(ours), theirs))
        };
        let (pipe, theirs) = pipe().map_err(|error| format!("pipe: {error}"))?;
        let pid = spawn(words, theirs.as_fd())?;
        Ok(Helper { pid, pipe, lines: Lines::new(LINE), done: None, last: None })
    }

    /// Reads once, and hands out each line but the last; false when there is nothing more to come, now or ever.
    pub fn read(&mut self, show: &mut dyn FnMut(&str)) -> Result<bool, std::io::Error> {
        let mut buffer = [0; 512];
        let Helper { pipe, lines, done, last, .. } = self;
        let count = pipe.read(&mut buffer)?;
        lines.feed(buffer.get(..count).unwrap_or_default(), &mut |line: Line<'_>| {
            let (Line::Whole(text) | Line::Cut(text)) = line;
            let text: String = String::from_utf8_lossy(text).chars().filter(|letter| !letter.is_control()).collect();
            match text.strip_prefix(DONE) {
                Some(what) => *done = Some(what.to_owned()),
                None => {
                    if let Some(before) = last.replace(text) {
                        show(&before);
                    }
                }
            }
        });
        if done.is_some()
            && let Some(before) = last.take()
        {
            show(&before);
        }
        Ok(count > 0)
    }

    /// How it went, when it says no more.
    ///
    /// # Errors
    /// Its last line, which is why not.
    pub fn end(&mut self) -> Result<String, String> {
        let why = self.last.take();
        self.done.take().ok_or_else(|| why.unwrap_or_else(|| "it ended without a word".to_owned()))
    }

    /// Shows its lines until the last, in the place of everything else that PID 1 does.
    ///
    /// # Errors
    /// Why it did not do it, or that it takes too long: then it is killed.
    pub fn wait(
        mut self,
        limit_ms: u64,
        watchdog: &mut Watchdog,
        show: &mut dyn FnMut(&str),
    ) -> Result<String, String> {
        let until = clock::now() + limit_ms;
        let done = loop {
            let left = until.saturating_sub(clock::now());
            if left == 0 {
                break Err("it takes too long".into());
            }
            let events = PollFlags::POLLIN;
            let mut waits = [PollFd::new(self.pipe.as_fd(), events), PollFd::new(watchdog.timer().as_fd(), events)];
            // An interrupted wait is a short one.
            let _ = poll(&mut waits, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
            let hungry = waits.get(1).and_then(PollFd::any).unwrap_or(false);
            if hungry {
                watchdog.feed();
            }
            match self.read(show) {
                Ok(true) if self.done.is_none() => {}
                Ok(_) => break self.end(),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => break Err(error.to_string()),
            }
        };
        if done.is_err() {
            // It is collected with the orphans. One that hangs in the kernel holds nothing that we need.
            let _ = killpg(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
        done
    }
}
