//! Starting one service of the table: its pipes, its rights, its words.
use crate::console;
use crate::sys::{self, Plan};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use rights::{Service, Stdin};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

/// Open descriptors that a service may have: room for many clients, not for a leak without end.
const FILES: u64 = 4096;

/// A service that has just been started.
#[derive(Debug)]
pub struct Started {
    /// Its process and process group.
    pub pid: i32,
    /// Our ends of its descriptors 1, 2 and 3, not blocking.
    pub pipes: [File; 3],
}

/// Starts it.
///
/// # Errors
/// In words, the step that failed.
pub fn start(service: &Service, null: &File) -> Result<Started, String> {
    let pipe = || -> nix::Result<(File, OwnedFd)> {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((File::from(ours), theirs))
    };
    let pipes = (|| Ok((pipe()?, pipe()?, pipe()?)))();
    let ((out, out_end), (err, err_end), (notices, notices_end)) =
        pipes.map_err(|error: nix::Error| format!("pipe: {error}"))?;
    let console = match service.stdin {
        Stdin::Null => None,
        // A machine without a console has a console service that reads nothing.
        Stdin::Console => console::open().ok(),
    };
    let name = CString::new(service.name).map_err(|_| "a name with a NUL".to_owned())?;
    let groups = rights::groups(service);
    let plan = Plan {
        program: c"/bin/services",
        words: &[c"services", name.as_c_str(), c"--root", c"/"],
        environment: &[c"WEIR_NOTIFY_FD=3"],
        descriptors: [
            console.as_ref().unwrap_or(null).as_raw_fd(),
            out_end.as_raw_fd(),
            err_end.as_raw_fd(),
            notices_end.as_raw_fd(),
        ],
        uid: service.uid,
        groups: &groups,
        capabilities: service.capabilities.iter().fold(0, |bits, capability| bits | 1u64 << *capability as u8),
        files: FILES,
    };
    let pid = sys::spawn(&plan).map_err(|failed| failed.to_string())?;
    Ok(Started { pid, pipes: [out, err, notices] })
}
