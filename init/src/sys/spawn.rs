//! Starting a service: `vfork` without its traps, then the rights of the row, then exec.
//!
//! The child borrows PID 1's memory (no page tables to copy: a fork costs more than all the rest) on a stack of its
//! own while PID 1 stands still. So it allocates nothing, and makes raw system calls only: the C library's `setuid`
//! would signal PID 1's other threads.
use std::ffi::{CStr, c_char, c_void};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// Everything the child needs, made before it exists.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The program.
    pub program: &'a CStr,
    /// Its words, the program's name first.
    pub words: &'a [&'a CStr],
    /// Its whole environment.
    pub environment: &'a [&'a CStr],
    /// Become descriptors 0, 1, 2, 3. Each must be above 3 here.
    pub descriptors: [RawFd; 4],
    /// User and group id.
    pub uid: u32,
    /// Supplementary groups.
    pub groups: &'a [u32],
    /// Capabilities that stay, one bit each.
    pub capabilities: u64,
    /// Limit of open descriptors.
    pub files: u64,
}

/// Why a service could not be started: at which step, with which error.
#[derive(Debug)]
pub struct Failed {
    /// The step's name.
    pub step: &'static str,
    /// The error number.
    pub error: i32,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.step, std::io::Error::from_raw_os_error(self.error))
    }
}

/// The child's steps, by the number it leaves behind when one fails.
const STEPS: [&str; 11] = [
    "clone",
    "session",
    "descriptors",
    "limits",
    "bounding set",
    "groups",
    "uid",
    "capabilities",
    "ambient set",
    "signals",
    "exec",
];

/// Room for the child: it calls nothing deep.
const STACK: usize = 32 * 1024;

/// What parent and child share while the parent stands still.
struct Shared<'a> {
    plan: &'a Plan<'a>,
    words: [*const c_char; 8],
    environment: [*const c_char; 4],
    step: AtomicI32,
    error: AtomicI32,
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Starts the program; returns its pid once the exec has happened.
///
/// # Errors
/// The step that failed in the child, which is then gone and collected.
pub fn spawn(plan: &Plan<'_>) -> Result<i32, Failed> {
    let mut shared = Shared {
        plan,
        words: [std::ptr::null(); 8],
        environment: [std::ptr::null(); 4],
        step: AtomicI32::new(0),
        error: AtomicI32::new(0),
    };
    // The last pointer of each stays null, as exec wants it.
    for (slot, word) in shared.words[..7].iter_mut().zip(plan.words) {
        *slot = word.as_ptr();
    }
    for (slot, word) in shared.environment[..3].iter_mut().zip(plan.environment) {
        *slot = word.as_ptr();
    }
    let mut stack = vec![0u128; STACK / 16];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack grows down from its aligned end and, like `shared`, outlives the child's use of our memory:
    // CLONE_VFORK returns only after the child's exec or exit.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len()).cast::<c_void>();
        libc::clone(child, top, flags, (&raw const shared).cast_mut().cast())
    };
    if pid < 0 {
        return Err(Failed { step: STEPS[0], error: last_error() });
    }
    match shared.error.load(Relaxed) {
        0 => Ok(pid),
        error => {
            // SAFETY: the child has already exited, so this does not block; no memory is passed.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
            let step = usize::try_from(shared.step.load(Relaxed)).unwrap_or(0);
            Err(Failed { step: STEPS.get(step).copied().unwrap_or("start"), error })
        }
    }
}

fn last_error() -> i32 {
    // SAFETY: the C library's errno is always there.
    unsafe { *libc::__errno_location() }
}

/// One raw system call; `Err` is the error number.
fn call(number: libc::c_long, arguments: [usize; 5]) -> Result<(), i32> {
    let [a, b, c, d, e] = arguments;
    // SAFETY: callers pass numbers, or addresses of values that live until the call returns.
    let result = unsafe { libc::syscall(number, a, b, c, d, e) };
    if result < 0 { Err(last_error()) } else { Ok(()) }
}

extern "C" fn child(argument: *mut c_void) -> libc::c_int {
    // SAFETY: `spawn` passes its `Shared`, which lives until this process has gone or called exec.
    let shared = unsafe { &*argument.cast::<Shared<'_>>() };
    let error = match become_service(shared) {
        Ok(()) => 0,
        Err(error) => error,
    };
    shared.error.store(if error == 0 { libc::EINVAL } else { error }, Relaxed);
    // SAFETY: ends the child only, without running anything of PID 1's.
    unsafe { libc::_exit(127) }
}

/// Runs in the child: returns only when a step failed.
fn become_service(shared: &Shared<'_>) -> Result<(), i32> {
    let plan = shared.plan;
    let step = |number| shared.step.store(number, Relaxed);

    step(1);
    call(libc::SYS_setsid, [0; 5])?;

    step(2);
    for (target, source) in plan.descriptors.iter().enumerate() {
        call(libc::SYS_dup3, [*source as usize, target, 0, 0, 0])?;
    }
    // All of PID 1's descriptors are close-on-exec; this is the second lock on that door.
    call(libc::SYS_close_range, [4, u32::MAX as usize, 0, 0, 0])?;

    step(3);
    limit(libc::RLIMIT_NOFILE, plan.files)?;
    limit(libc::RLIMIT_CORE, 0)?;

    step(4);
    for number in 0..64usize {
        if plan.capabilities >> number & 1 == 0
            && prctl(libc::PR_CAPBSET_DROP, number, 0).is_err_and(|error| error != libc::EINVAL)
        {
            return Err(libc::EPERM);
        }
    }

    step(5);
    call(libc::SYS_setgroups, [plan.groups.len(), plan.groups.as_ptr() as usize, 0, 0, 0])?;
    let id = plan.uid as usize;
    call(libc::SYS_setresgid, [id, id, id, 0, 0])?;

    step(6);
    prctl(libc::PR_SET_KEEPCAPS, 1, 0)?;
    call(libc::SYS_setresuid, [id, id, id, 0, 0])?;

    step(7);
    let part = |shift: u32| {
        let bits = (plan.capabilities >> shift) as u32;
        CapabilityData { effective: bits, permitted: bits, inheritable: bits }
    };
    let header = CapabilityHeader { version: 0x2008_0522, pid: 0 };
    let data = [part(0), part(32)];
    call(libc::SYS_capset, [(&raw const header) as usize, data.as_ptr() as usize, 0, 0, 0])?;

    step(8);
    for number in (0..64usize).filter(|number| plan.capabilities >> number & 1 == 1) {
        prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as usize, number)?;
    }
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)?;

    step(9);
    // Rust's start-up code ignores SIGPIPE, and exec keeps what is ignored; all else is back to default at exec.
    let default = [0u64; 4];
    call(libc::SYS_rt_sigaction, [libc::SIGPIPE as usize, default.as_ptr() as usize, 0, 8, 0])?;
    let bit = |signal: libc::c_int| 1u64 << (signal - 1);
    let blocked = bit(libc::SIGUSR1) | bit(libc::SIGUSR2) | bit(libc::SIGTERM);
    call(libc::SYS_rt_sigprocmask, [libc::SIG_SETMASK as usize, (&raw const blocked) as usize, 0, 8, 0])?;

    step(10);
    let (words, environment) = (shared.words.as_ptr() as usize, shared.environment.as_ptr() as usize);
    call(libc::SYS_execve, [plan.program.as_ptr() as usize, words, environment, 0, 0])
}

fn prctl(option: libc::c_int, second: usize, third: usize) -> Result<(), i32> {
    call(libc::SYS_prctl, [option as usize, second, third, 0, 0])
}

fn limit(which: libc::__rlimit_resource_t, most: u64) -> Result<(), i32> {
    let limit = [most, most];
    call(libc::SYS_prlimit64, [0, which as usize, limit.as_ptr() as usize, 0, 0])
}
