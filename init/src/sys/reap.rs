//! Waiting for children. `nix` returns an error, and no pid, for a death by a real-time signal: a zombie for ever.

/// A child that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    /// Its process id, still taken until [`collect`].
    pub pid: i32,
    /// How it ended, for a person.
    pub how: How,
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It exited with this code.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            How::Code(code) => write!(f, "exit code {code}"),
            How::Signal(number) => match nix::sys::signal::Signal::try_from(*number) {
                Ok(signal) => write!(f, "signal {}", signal.as_str()),
                Err(_) => write!(f, "signal {number}"),
            },
        }
    }
}

/// Any child that has ended, left as a zombie so that its pid and process group cannot be taken by another.
pub fn peek() -> Option<Child> {
    // SAFETY: an all-zero siginfo_t is valid; the kernel fills it.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` outlives the call.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) };
    if result != 0 {
        return None;
    }
    // SAFETY: waitid has filled the SIGCHLD fields, or left all zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    let how = if info.si_code == libc::CLD_EXITED { How::Code(status) } else { How::Signal(status) };
    (pid > 0).then_some(Child { pid, how })
}

/// Whether there is no child left at all, alive or dead.
pub fn childless() -> bool {
    // SAFETY: an all-zero siginfo_t is valid; the kernel fills it.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` outlives the call.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) };
    result != 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD)
}

/// Removes the zombie.
pub fn collect(pid: i32) {
    // SAFETY: no status is asked for, so no memory is touched.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
}
