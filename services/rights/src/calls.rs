//! Which system calls a service may make, each with a word on why. What no row lists ends the service, which says its name.
//!
//! Some rows look at arguments as well, as far as they are numbers: the filter runs in the kernel and follows no pointer.
use crate::Service;
use crate::names::number;

/// Whom a row is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Every service.
    All,
    /// Every service but these.
    But(&'static [&'static str]),
    /// These.
    Only(&'static [&'static str]),
}

impl Who {
    /// Whether a service is one of them.
    pub fn has(&self, service: &Service) -> bool {
        match self {
            Who::All => true,
            Who::But(names) => !names.contains(&service.name),
            Who::Only(names) => names.contains(&service.name),
        }
    }
}

/// What must hold for an argument, counted from 0; of it the lower 32 bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// With this mask it is one of these.
    Is(u8, u32, &'static [u32]),
    /// It has one of these bits.
    Has(u8, u32),
    /// It has none of them.
    Lacks(u8, u32),
}

/// What becomes of a call that a row lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is made.
    Made,
    /// It fails with this error number, whatever its arguments are: the caller has another way.
    Fails(u16),
}

/// A system call that some may make; of several rows with the same one, one has to fit.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The kernel's name.
    pub name: &'static str,
    /// Its number.
    pub number: u32,
    /// Who may.
    pub who: Who,
    /// All of which must hold.
    pub tests: &'static [Test],
    /// What becomes of it.
    pub then: Then,
    /// What for.
    pub why: &'static str,
}

const fn call(name: &'static str, who: Who, why: &'static str) -> Call {
    Call { name, number: number(name), who, tests: &[], then: Then::Made, why }
}

const fn when(name: &'static str, tests: &'static [Test], who: Who, why: &'static str) -> Call {
    Call { name, number: number(name), who, tests, then: Then::Made, why }
}

use Test::{Has, Is, Lacks};
use Who::{All, But, Only};

/// All 32 bits of an argument.
const WHOLE: u32 = u32::MAX;
/// `SOCK_TYPE_MASK`: without `SOCK_CLOEXEC` and `SOCK_NONBLOCK`.
const KIND: u32 = 0xf;
const STREAM: Test = Is(1, KIND, &[1]);
const DATAGRAM: Test = Is(1, KIND, &[2]);
const RAW: Test = Is(1, KIND, &[3]);
/// `AF_INET` and `AF_INET6`.
const INTERNET: Test = Is(0, WHOLE, &[2, 10]);
const NETLINK: Test = Is(0, WHOLE, &[16]);
/// `PROT_EXEC`.
const EXECUTABLE: u32 = 4;

/// Those that are asked on `/run/NAME.sock`.
const ASKED: Who = Only(&["captured", "configd", "deviced", "diagd", "dnsd", "logd", "ntpd", "webd"]);
/// Those that have files of their own, of which each is replaced whole.
const WRITERS: Who = But(&["backupd", "console", "panel"]);
/// Those that are connected to, on a socket of either kind.
const SERVERS: Who = But(&["console", "dhcp4", "dhcp6", "panel", "pppoe", "radvd"]);
/// Those that have a thread besides their first.
const THREADS: Who = Only(&["dhcp4d", "dnsd"]);

/// Every row.
pub const CALLS: &[Call] = &[
    // Bytes.
    call("read", All, "what a file, a timer or a signal holds"),
    call("write", All, "the log; PID 1's line"),
    call("writev", Only(&["dnsd", "dyndns", "listd", "webd"]), "records of TLS"),
    call("pread64", Only(&["deviced", "updated"]), "parts of the list of makers; the slot, read back"),
    call("pwrite64", Only(&["dhcp4d", "updated"]), "the record of leases; the slot"),
    call("lseek", All, "where in a file it is"),
    call("close", All, "descriptors"),
    when(
        "fcntl",
        &[Is(1, WHOLE, &[1, 2, 3, 4, 1030])],
        All,
        "flags of descriptors; one more of the same (F_DUPFD_CLOEXEC)",
    ),
    // Files; which ones is Landlock's.
    call("openat", All, "files"),
    call("openat2", Only(&["backupd"]), "files, without following a link"),
    call("statx", All, "whether a file is there, how long it is"),
    call("newfstatat", Only(&["backupd", "configd", "updated"]), "a folder that is walked through"),
    call("getdents64", Only(&["backupd", "configd", "updated"]), "what a folder holds"),
    call("readlink", Only(&["dnsd", "netconfigd", "ntpd"]), "the bus of a NIC; how old the program is"),
    call("statfs", Only(&["diagd", "webd"]), "how full /perm is"),
    call("mkdir", WRITERS, "folders of its own"),
    call("rename", WRITERS, "a new file in the old one's place"),
    call("unlink", WRITERS, "what is not wanted any more"),
    call("unlinkat", Only(&["configd"]), "a trial that is over"),
    call("fsync", But(&["backupd", "console", "panel"]), "files that outlast a power cut"),
    call("fdatasync", Only(&["dhcp4d", "logd"]), "records that outlast a power cut"),
    call("fadvise64", Only(&["updated"]), "the slot is read back from the disk, not from memory"),
    call("chmod", ASKED, "everybody may knock at its socket"),
    call("fchmod", Only(&["configd"]), "secrets"),
    call("fchown", Only(&["configd"]), "secrets"),
    // Memory. None is ever executable that was not when the program began.
    when("mmap", &[Lacks(2, EXECUTABLE)], All, "memory"),
    when("mprotect", &[Lacks(2, EXECUTABLE)], All, "memory"),
    call("munmap", All, "memory"),
    call("mremap", All, "memory"),
    call("brk", All, "memory"),
    call("madvise", Only(&["dhcp4d", "dnsd", "webd"]), "memory that is given back"),
    call("memfd_create", Only(&["captured"]), "packets as a file, for who has asked"),
    call("getrandom", All, "keys of its tables"),
    // The event loop.
    call("epoll_create1", All, "the event loop"),
    call("epoll_ctl", All, "the event loop"),
    call("epoll_wait", All, "the event loop"),
    call("timerfd_create", All, "the event loop"),
    call("timerfd_settime", All, "the event loop"),
    call("signalfd4", All, "the event loop"),
    call("rt_sigprocmask", All, "signals are read there"),
    call("poll", Only(&["console", "webd"]), "a connection within the router"),
    call("clock_gettime", All, "the time, on machines whose processor's clock is not good enough"),
    call("restart_syscall", All, "a wait that a debugger has interrupted"),
    // Sockets.
    when(
        "socket",
        &[Is(0, WHOLE, &[1]), STREAM],
        But(&["dhcp4", "dhcp4d", "dhcp6", "dyndns", "listd", "netconfigd", "pppoe", "radvd"]),
        "asking another service, or being asked",
    ),
    when("socket", &[INTERNET, STREAM], But(&["configd", "dhcp4", "dhcp6", "panel", "pppoe", "radvd"]), "TCP"),
    when(
        "socket",
        &[INTERNET, DATAGRAM, Is(2, WHOLE, &[0, 17])],
        Only(&[
            "deviced",
            "dhcp4",
            "dhcp4d",
            "dhcp6",
            "diagd",
            "dnsd",
            "dyndns",
            "listd",
            "logd",
            "netconfigd",
            "ntpd",
            "updated",
        ]),
        "UDP",
    ),
    when("socket", &[INTERNET, DATAGRAM, Is(2, WHOLE, &[1, 58])], Only(&["diagd", "webd"]), "echoes"),
    when("socket", &[Is(0, WHOLE, &[10]), RAW, Is(2, WHOLE, &[58])], Only(&["radvd"]), "router advertisements"),
    when("socket", &[Is(0, WHOLE, &[17])], Only(&["captured", "dhcp4", "dhcp4d", "pppoe"]), "frames"),
    when("socket", &[Is(0, WHOLE, &[24])], Only(&["pppoe"]), "the session, in the kernel"),
    when("socket", &[NETLINK, Is(2, WHOLE, &[0])], But(&["configd", "logd", "panel"]), "interfaces and addresses"),
    when("socket", &[NETLINK, Is(2, WHOLE, &[12])], Only(&["netconfigd"]), "rules and connections"),
    when("socket", &[NETLINK, Is(2, WHOLE, &[16])], Only(&["netconfigd"]), "WireGuard; what NICs can do"),
    call("socketpair", THREADS, "word from the other thread"),
    call("bind", But(&["panel"]), "sockets"),
    call("listen", SERVERS, "sockets"),
    call("accept4", SERVERS, "sockets"),
    call("connect", But(&["captured", "configd", "dhcp4", "dhcp4d", "dhcp6", "radvd"]), "sockets"),
    call(
        "shutdown",
        But(&["configd", "console", "deviced", "dhcp4", "dhcp6", "panel", "pppoe", "radvd"]),
        "the end of a connection",
    ),
    call("sendto", All, "messages"),
    call("recvfrom", All, "messages"),
    call(
        "recvmsg",
        Only(&[
            "backupd", "captured", "console", "dhcp4", "dhcp4d", "diagd", "panel", "pppoe", "radvd", "updated", "webd",
        ]),
        "messages with what the kernel knows of them; descriptors",
    ),
    call("sendmsg", Only(&["captured"]), "a descriptor, for who has asked"),
    call("recvmmsg", Only(&["dnsd"]), "many questions at once"),
    call("sendmmsg", Only(&["dnsd"]), "many answers at once"),
    call("setsockopt", But(&["configd"]), "sockets"),
    call(
        "getsockopt",
        Only(&["captured", "configd", "console", "deviced", "diagd", "dnsd", "logd", "ntpd", "webd"]),
        "who asks; whether a connection stands",
    ),
    call("getuid", ASKED, "whether it is itself who asks"),
    when(
        "ioctl",
        &[Is(1, WHOLE, &[0x5421])],
        But(&["dhcp4", "dhcp6", "pppoe", "radvd"]),
        "sockets that nothing waits for (FIONBIO)",
    ),
    // Devices.
    when("ioctl", &[Is(1, WHOLE, &[0x5401, 0x5402])], Only(&["console"]), "the terminal's mode (TCGETS, TCSETS)"),
    when(
        "ioctl",
        &[Is(1, WHOLE, &[0xc004_743e, 0x8004_7437, 0x4004_7438, 0x4004_743a, 0x7439, 0x4008_744b])],
        Only(&["pppoe"]),
        "the kernel's PPP",
    ),
    when("ioctl", &[Is(1, WHOLE, &[0x4024_700a])], Only(&["ntpd"]), "the battery clock (RTC_SET_TIME)"),
    call("clock_adjtime", Only(&["ntpd"]), "the clock's rate"),
    call("clock_settime", Only(&["ntpd"]), "the clock"),
    call("uname", Only(&["dhcp4", "dnsd", "logd", "webd"]), "the router's name"),
    // Threads.
    Call {
        then: Then::Fails(38),
        ..call("clone3", THREADS, "its arguments cannot be looked at: ENOSYS leads to clone")
    },
    when("clone", &[Has(0, 0x1_0000)], THREADS, "a thread (CLONE_THREAD), never a process"),
    call("set_robust_list", THREADS, "a thread's beginning"),
    call("rseq", THREADS, "a thread's beginning"),
    call("sched_getaffinity", THREADS, "how many heaps are worth while"),
    when("prctl", &[Is(0, WHOLE, &[15])], THREADS, "a thread's name"),
    call("sched_yield", THREADS, "waiting for each other, when it is not for long"),
    call("exit", THREADS, "a thread's end"),
    // The end.
    call("futex", All, "what the C library does once, as before it unwinds; one thread that waits for another"),
    call("exit_group", All, "the end"),
    call("sigaltstack", All, "the end"),
    call("rt_sigreturn", All, "a fault that is told before it ends the service"),
    call("rt_sigaction", All, "a fault that is told before it ends the service"),
    call("getpid", All, "whose answer from the kernel it is; abort"),
    call("gettid", All, "abort"),
    when("tgkill", &[Is(2, WHOLE, &[6])], All, "abort (SIGABRT)"),
];

/// The rows that hold for a service.
pub fn calls(service: &Service) -> impl Iterator<Item = &'static Call> {
    CALLS.iter().filter(move |call| call.who.has(service))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SERVICES;

    #[test]
    fn every_row_says_why_and_names_services() {
        for call in CALLS {
            assert!(!call.why.is_empty(), "{}", call.name);
            assert_eq!(crate::names::name(call.number), Some(call.name));
            if let Who::Only(names) | Who::But(names) = call.who {
                assert!(!names.is_empty(), "{}", call.name);
                for name in names {
                    assert!(crate::service(name).is_some(), "{}: {name}", call.name);
                }
                assert!(names.is_sorted(), "{}: {names:?}", call.name);
            }
        }
    }

    #[test]
    fn nobody_may_become_another_or_look_into_one() {
        let never = [
            "execve",
            "execveat",
            "fork",
            "vfork",
            "ptrace",
            "process_vm_readv",
            "process_vm_writev",
            "pidfd_getfd",
            "kill",
            "tkill",
            "mount",
            "umount2",
            "pivot_root",
            "chroot",
            "unshare",
            "setns",
            "bpf",
            "perf_event_open",
            "keyctl",
            "io_uring_setup",
            "userfaultfd",
            "init_module",
            "finit_module",
            "kexec_load",
            "kexec_file_load",
            "reboot",
            "setuid",
            "setresuid",
            "setgroups",
            "capset",
            "mknod",
            "mknodat",
            "link",
            "linkat",
            "personality",
            "seccomp",
            "landlock_restrict_self",
            "open_by_handle_at",
            "fsopen",
            "move_mount",
            "open_tree",
            "iopl",
            "ioperm",
        ];
        for name in never {
            assert!(CALLS.iter().all(|call| call.name != name), "{name}");
            // Spelled as the kernel does.
            assert!(number(name) < 1024);
        }
    }

    #[test]
    fn no_row_is_covered_by_another() {
        for service in SERVICES {
            let rows: Vec<&Call> = calls(service).collect();
            for (at, call) in rows.iter().enumerate() {
                for other in rows.iter().skip(at + 1).filter(|other| other.number == call.number) {
                    assert!(!call.tests.is_empty() && !other.tests.is_empty(), "{}: {}", service.name, call.name);
                    assert_ne!(call.tests, other.tests, "{}: {}", service.name, call.name);
                }
            }
        }
    }
}
