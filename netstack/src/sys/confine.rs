//! What a process gives away for good: system calls (seccomp) and files, ports and neighbours (Landlock, linux/landlock.h).
use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

/// The kernel's name of a call, by its number.
pub type Name = fn(u32) -> Option<&'static str>;

/// Who is stopped, and the names of its calls.
static STOPPED: OnceLock<(&'static str, Name)> = OnceLock::new();

/// The status of a process that was stopped: 128 and the signal's number, as shells have it.
const STATUS: libc::c_int = 128 + libc::SIGSYS;

/// The beginning of `siginfo_t` for `SIGSYS` (`_sigsys`), which libc does not name.
#[repr(C)]
struct Refused {
    signal: libc::c_int,
    error: libc::c_int,
    code: libc::c_int,
    address: *const libc::c_void,
    call: libc::c_int,
}

/// From now on a call that the filter traps is told on descriptor 2 and ends the process.
///
/// # Errors
/// When the kernel does not take the handler.
pub fn tell_refused_call(who: &'static str, name: Name) -> io::Result<()> {
    let _ = STOPPED.set((who, name));
    // SAFETY: all zeroes are a valid sigaction; its mask is empty then.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = refused as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `action` is whole, and its handler makes only calls that a handler may make.
    let result = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Runs as a signal handler: nothing here allocates, locks or panics.
extern "C" fn refused(_: libc::c_int, info: *const Refused, _: *const libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel hands over a siginfo_t, which begins like this for SIGSYS.
    let number = unsafe { (*info).call }.cast_unsigned();
    let (who, name) = STOPPED.get().map_or(("?", None), |(who, name)| (*who, name(number)));
    let mut line = Line { bytes: [0; 160], length: 0 };
    for part in [who, ": error: the system call ", name.unwrap_or("unknown"), " ("] {
        line.add(part.as_bytes());
    }
    line.number(number);
    line.add(b") is not in its table of rights\n");
    // SAFETY: the bytes are the line's own; write and _exit are async-signal-safe.
    unsafe {
        libc::write(2, line.bytes.as_ptr().cast(), line.length);
        libc::_exit(STATUS);
    }
}

/// A line without an allocation; what does not fit is left out.
struct Line {
    bytes: [u8; 160],
    length: usize,
}

impl Line {
    fn add(&mut self, part: &[u8]) {
        for (place, byte) in self.bytes.iter_mut().skip(self.length).zip(part) {
            *place = *byte;
            self.length += 1;
        }
    }

    fn number(&mut self, number: u32) {
        let mut digits = [0; 10];
        let (mut rest, mut at) = (number, digits.len());
        while at > 0 && (rest > 0 || at == digits.len()) {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.add(&digits[at..]);
    }
}

/// Nothing that this process starts can have more rights than it has.
///
/// # Errors
/// Never, since Linux 3.5.
pub fn no_new_rights() -> io::Result<()> {
    // SAFETY: the call takes numbers only.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Every system call of every thread goes through this classic BPF program from now on.
///
/// # Errors
/// When the kernel knows no seccomp, or refuses the program.
pub fn filter_calls(program: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program, which lives as long as the call, and does not write to it.
    let result = unsafe {
        let flags = libc::SECCOMP_FILTER_FLAG_TSYNC;
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter)
    };
    match result {
        0 => Ok(()),
        // The number of a thread that has another filter.
        1.. => Err(io::Error::other("a thread has a filter of its own")),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `struct landlock_ruleset_attr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Handled {
    /// `LANDLOCK_ACCESS_FS_*` that are refused unless a rule allows them.
    pub files: u64,
    /// `LANDLOCK_ACCESS_NET_*`, likewise.
    pub ports: u64,
    /// `LANDLOCK_SCOPE_*`: what does not leave the domain.
    pub scopes: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// `struct landlock_net_port_attr`.
#[repr(C)]
struct NetPort {
    allowed: u64,
    port: u64,
}

/// The version of Landlock that the kernel has.
///
/// # Errors
/// When it has none, or it is not switched on.
pub fn landlock_version() -> io::Result<u32> {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the kernel wants no structure.
    let result =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<Handled>(), 0usize, VERSION) };
    u32::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// A new ruleset.
///
/// # Errors
/// When the kernel does not know all that shall be handled.
pub fn landlock_ruleset(handled: &Handled) -> io::Result<OwnedFd> {
    // SAFETY: `handled` is valid for its size for the whole call, which only reads it.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::from_ref(handled), size_of_val(handled), 0)
    };
    let number = i32::try_from(result).ok().filter(|number| *number >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Allows something for a file, or a folder and all that is in it.
///
/// # Errors
/// When something was allowed that is not handled, or means nothing for a file.
pub fn landlock_path(ruleset: impl AsFd, place: impl AsFd, allowed: u64) -> io::Result<()> {
    const PATH_BENEATH: libc::c_int = 1;
    let rule = PathBeneath { allowed, parent: place.as_fd().as_raw_fd() };
    add_rule(ruleset, PATH_BENEATH, &rule)
}

/// Allows something for a TCP port.
///
/// # Errors
/// When something was allowed that is not handled.
pub fn landlock_port(ruleset: impl AsFd, port: u16, allowed: u64) -> io::Result<()> {
    const NET_PORT: libc::c_int = 2;
    add_rule(ruleset, NET_PORT, &NetPort { allowed, port: port.into() })
}

fn add_rule<T>(ruleset: impl AsFd, kind: libc::c_int, rule: &T) -> io::Result<()> {
    let ruleset = ruleset.as_fd().as_raw_fd();
    // SAFETY: `rule` is the structure of its kind, and lives as long as the call, which only reads it.
    let result = unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, kind, std::ptr::from_ref(rule), 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// From now on the ruleset holds for this thread and all that it starts.
///
/// # Errors
/// Without [`no_new_rights`], or after sixteen rulesets.
pub fn landlock_restrict(ruleset: impl AsFd) -> io::Result<()> {
    // SAFETY: the call takes numbers only.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_fd().as_raw_fd(), 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn a_line_is_cut_and_a_number_is_whole() {
        for (number, text) in [(0, "0"), (59, "59"), (u32::MAX, "4294967295")] {
            let mut line = Line { bytes: [0; 160], length: 0 };
            line.number(number);
            assert_eq!(&line.bytes[..line.length], text.as_bytes());
        }
        let mut line = Line { bytes: [0; 160], length: 0 };
        line.add(&[b'a'; 159]);
        line.add(b"bc");
        assert_eq!((line.length, line.bytes[159]), (160, b'b'));
    }
}
