//! What sets clocks: the kernel's discipline (adjtimex) and the battery clock (linux/rtc.h).
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// `struct rtc_time`: C's broken-down time in UTC.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct RtcTime {
    pub second: libc::c_int,
    pub minute: libc::c_int,
    pub hour: libc::c_int,
    pub day: libc::c_int,
    /// January is 0.
    pub month: libc::c_int,
    /// Since 1900.
    pub year: libc::c_int,
    pub weekday: libc::c_int,
    pub day_of_year: libc::c_int,
    pub daylight: libc::c_int,
}

nix::ioctl_write_ptr!(rtc_set_time, b'p', 0x0a, RtcTime);

/// Writes the battery clock.
pub fn rtc_set(device: impl AsFd, time: &RtcTime) -> io::Result<()> {
    // SAFETY: the call reads the one structure that it is given, laid out as the kernel's.
    unsafe { rtc_set_time(device.as_fd().as_raw_fd(), std::ptr::from_ref(time)) }?;
    Ok(())
}

/// Hands the kernel's phase-locked loop what the clock is behind, in nanoseconds, half a second at most; its time
/// constant is a logarithm, 0 to 10; the error at most and as it is estimated, in microseconds.
pub fn discipline(offset: i64, constant: i64, error: (i64, i64)) -> io::Result<()> {
    // SAFETY: all zeroes are a valid timex, as it holds integers only.
    let mut words: libc::timex = unsafe { std::mem::zeroed() };
    words.modes = libc::ADJ_OFFSET
        | libc::ADJ_STATUS
        | libc::ADJ_TIMECONST
        | libc::ADJ_NANO
        | libc::ADJ_MAXERROR
        | libc::ADJ_ESTERROR;
    words.status = libc::STA_PLL;
    (words.offset, words.constant, words.maxerror, words.esterror) = (offset, constant, error.0, error.1);
    // SAFETY: the call reads and writes the one structure that it is given.
    if unsafe { libc::adjtimex(&raw mut words) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
