//! Descriptors that came with a message.
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Takes ownership of a descriptor that the kernel has just put into this process with a message, and of which nobody
/// else knows yet.
pub fn own(number: RawFd) -> OwnedFd {
    // SAFETY: by the caller's contract it is open and nobody else's.
    unsafe { OwnedFd::from_raw_fd(number) }
}
