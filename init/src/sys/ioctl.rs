//! Four ioctls: the watchdog's timeout, a loop device for a SquashFS that rode in an initramfs, and kept randomness.
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsRawFd;

/// `_IOWR('W', 6, int)`.
const WDIOC_SETTIMEOUT: libc::c_ulong = 0xc004_5706;
/// `_IOW('R', 3, int[2])`.
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
const LOOP_SET_FD: libc::c_ulong = 0x4c00;
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4c82;

/// Sets the watchdog's timeout; returns what the hardware took, in seconds.
///
/// # Errors
/// The driver's own, mostly that it cannot be set.
pub fn watchdog_timeout(dog: &File, seconds: i32) -> Result<i32> {
    let mut seconds: libc::c_int = seconds;
    // SAFETY: the kernel reads and writes one int, which outlives the call.
    let result = unsafe { libc::ioctl(dog.as_raw_fd(), WDIOC_SETTIMEOUT, &raw mut seconds) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(seconds) }
}

/// The number of a free loop device, from `/dev/loop-control`.
///
/// # Errors
/// The driver's own.
pub fn loop_free(control: &File) -> Result<i32> {
    // SAFETY: this request takes no argument and touches no memory of ours.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

/// Puts a file behind a loop device, read-only when the file was opened so.
///
/// # Errors
/// The driver's own.
pub fn loop_attach(device: &File, file: &File) -> Result<()> {
    // SAFETY: the argument is a descriptor by value; the kernel takes its own reference.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_FD, file.as_raw_fd()) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

/// Bytes of randomness that are kept from boot to boot.
pub const SEED: usize = 512;

/// `struct rand_pool_info`.
#[repr(C)]
struct Pool {
    bits: libc::c_int,
    size: libc::c_int,
    bytes: [u8; SEED],
}

/// Hands the kernel randomness that nobody else knows: every bit of it counts.
///
/// # Errors
/// The kernel's own.
pub fn credit_random(random: &File, bytes: [u8; SEED]) -> Result<()> {
    let pool = Pool { bits: SEED as libc::c_int * 8, size: SEED as libc::c_int, bytes };
    // SAFETY: the kernel reads the head of the structure, then as many bytes behind it as the head says there are.
    let result = unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY, &raw const pool) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}
