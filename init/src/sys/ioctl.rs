//! The ioctls: the watchdog's timeout, a loop device for a SquashFS that rode in an initramfs, kept randomness, growth.
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsRawFd;

/// `_IOWR('W', 6, int)`.
const WDIOC_SETTIMEOUT: libc::c_ulong = 0xc004_5706;
/// `_IOR('W', 4, int)` (which reads all the same), and its `WDIOS_DISABLECARD`.
const WDIOC_SETOPTIONS: libc::c_ulong = 0x8004_5704;
const DISABLECARD: libc::c_int = 1;
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

/// Stops the watchdog.
///
/// # Errors
/// The driver's own, mostly that it cannot be stopped.
pub fn watchdog_stop(dog: &File) -> Result<()> {
    let options: libc::c_int = DISABLECARD;
    // SAFETY: the kernel reads one int, which outlives the call.
    let result = unsafe { libc::ioctl(dog.as_raw_fd(), WDIOC_SETOPTIONS, &raw const options) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
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

/// `_IO(0x12, 105)`, `BLKPG_RESIZE_PARTITION`, `_IOW('f', 16, __u64)`.
const BLKPG: libc::c_ulong = 0x1269;
const RESIZE_PARTITION: libc::c_int = 3;
const EXT4_RESIZE: libc::c_ulong = 0x4008_6610;

/// `struct blkpg_partition`.
#[repr(C)]
struct Partition {
    start: libc::c_longlong,
    length: libc::c_longlong,
    number: libc::c_int,
    names: [[u8; 64]; 2],
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct PartitionCall {
    operation: libc::c_int,
    flags: libc::c_int,
    length: libc::c_int,
    partition: *const Partition,
}

/// Tells the kernel how large a partition is, which may be in use; in bytes.
///
/// # Errors
/// The kernel's own: its beginning is elsewhere, or another partition is in the way.
pub fn resize_partition(disk: &File, number: i32, start: u64, length: u64) -> Result<()> {
    let size = |bytes| libc::c_longlong::try_from(bytes).map_err(Error::other);
    let partition = Partition { start: size(start)?, length: size(length)?, number, names: [[0; 64]; 2] };
    let call = PartitionCall {
        operation: RESIZE_PARTITION,
        flags: 0,
        length: std::mem::size_of::<Partition>() as libc::c_int,
        partition: &raw const partition,
    };
    // SAFETY: the kernel reads both structures, which outlive the call and are laid out as it has them.
    let result = unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG, &raw const call) };
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
