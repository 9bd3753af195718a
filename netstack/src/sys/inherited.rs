//! Descriptors that the parent process left open for us.
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Takes ownership of descriptor `number`, which the parent named to us; `None` when it is not open.
/// To be called once per number, before anything else could have been given that number.
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: fcntl(F_GETFD) reads a flag of a descriptor by number and touches no memory.
    let open = number > 2 && unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
    // SAFETY: the descriptor is open and, by the caller's contract, nobody else in this process owns it.
    open.then(|| unsafe { OwnedFd::from_raw_fd(number) })
}
