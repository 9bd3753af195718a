//! The two ioctls of an installation.
#![allow(unsafe_code)]
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsRawFd;

/// `_IO(0x12, 95)`.
const BLKRRPART: libc::c_ulong = 0x125f;
/// `_IOW('f', 16, __u64)`.
const EXT4_RESIZE: libc::c_ulong = 0x4008_6610;

/// Has the kernel read a disk's partition table anew.
///
/// # Errors
/// The kernel's own: a partition of the disk is in use.
pub fn reread_partitions(disk: &File) -> Result<()> {
    // SAFETY: this request takes no argument and touches no memory of ours.
    let result = unsafe { libc::ioctl(disk.as_raw_fd(), BLKRRPART) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

/// Grows a mounted ext4, by a descriptor of anything on it, to this many of its blocks.
///
/// # Errors
/// The kernel's own.
pub fn resize_ext4(mounted: &File, blocks: u64) -> Result<()> {
    // SAFETY: the kernel reads one number of 64 bits, which outlives the call.
    let result = unsafe { libc::ioctl(mounted.as_raw_fd(), EXT4_RESIZE, &raw const blocks) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}
