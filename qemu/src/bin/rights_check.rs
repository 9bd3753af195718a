//! Whether every row of the table of system calls is needed: `rights_check FOLDER` reads what strace has written there of
//! the services while their tests ran (`make rights-check`), and names the rows that no scenario has made use of.
//!
//! A service that makes a call without a row ends by it. So a row whose call is made in a scenario cannot be taken away
//! without that scenario's failing, and one whose call is made in none can.
#![forbid(unsafe_code)]
use rights::calls::{CALLS, Call, Test, Then};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

/// Calls that no scenario makes on demand, and what makes them then.
const ELSEWHERE: &[(&str, &str)] = &[
    ("clock_gettime", "a machine whose processor's clock is not good enough"),
    ("restart_syscall", "a debugger"),
    ("rt_sigreturn", "a fault"),
    ("rt_sigaction", "a fault"),
    ("gettid", "abort"),
    ("tgkill", "abort"),
    ("futex", "two threads at the same instant"),
    ("sched_yield", "two threads at the same instant"),
    ("clock_adjtime", "qemu/tests/clock.rs"),
    ("clock_settime", "qemu/tests/clock.rs"),
];
/// Services that run in the machine only.
const IN_THE_MACHINE: &[(&str, &str)] = &[("pppoe", "qemu/tests/pppoe.rs")];

/// What a service has called, with its arguments as numbers, each combination once.
type Made = BTreeMap<String, BTreeSet<(String, Vec<u64>)>>;

fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: rights_check FOLDER");
        return ExitCode::from(2);
    };
    let made = match read(&folder) {
        Ok(made) => made,
        Err(error) => {
            eprintln!("{folder}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut idle = 0;
    for call in CALLS {
        let elsewhere = ELSEWHERE.iter().any(|(name, _)| *name == call.name);
        let who: Vec<&str> = rights::SERVICES.iter().filter(|row| call.who.has(row)).map(|row| row.name).collect();
        let without: Vec<&str> = who.iter().filter(|name| !is_made(&made, name, call)).copied().collect();
        let machine = |name: &&str| IN_THE_MACHINE.iter().any(|(other, _)| other == name);
        let words = format!("{} {:?}", call.name, call.tests);
        if without.len() == who.len() && !elsewhere && !who.iter().all(machine) && !is_of_the_clock(call) {
            println!("nobody has made use of {words}: {}", call.why);
            idle += 1;
        } else if !without.is_empty() && without.len() < who.len() {
            println!("{words}: not seen of {}", without.join(", "));
        }
    }
    println!("{} services, {} rows, {idle} without use", made.len(), CALLS.len());
    if idle == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The battery clock, which only a machine has: qemu/tests/clock.rs.
fn is_of_the_clock(call: &Call) -> bool {
    call.name == "ioctl" && call.tests.contains(&Test::Is(1, u32::MAX, &[0x4024_700a]))
}

fn is_made(made: &Made, service: &str, call: &Call) -> bool {
    let Some(all) = made.get(service) else { return false };
    let fits = |arguments: &[u64]| {
        call.tests.iter().all(|test| {
            let argument = |at: u8| arguments.get(usize::from(at)).copied().unwrap_or_default() as u32;
            match *test {
                Test::Is(at, mask, values) => values.contains(&(argument(at) & mask)),
                Test::Has(at, bits) => argument(at) & bits != 0,
                Test::Lacks(at, bits) => argument(at) & bits == 0,
            }
        })
    };
    all.iter().any(|(name, arguments)| name == call.name && (matches!(call.then, Then::Fails(_)) || fits(arguments)))
}

/// Each file is a process, called as its service and a number; what it did before the filter was there does not count.
fn read(folder: &str) -> std::io::Result<Made> {
    let mut made = Made::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().split('.').next().unwrap_or_default().to_owned();
        let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned();
        let all = made.entry(name).or_default();
        // "PID  name(0x1, 0x2) = 0x3", as `strace -f -X raw` writes it.
        let calls = text
            .lines()
            .filter_map(|line| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').split_once('('));
        for (name, rest) in calls.skip_while(|(name, _)| *name != "seccomp").skip(1) {
            let mut arguments: Vec<u64> = rest.split([',', ')']).take(6).map(|word| number(word.trim())).collect();
            // strace names this call's arguments, and has the flags behind the stack.
            if let Some(flags) = rest.split("flags=").nth(1).filter(|_| name == "clone") {
                arguments = vec![number(flags.split([',', ')']).next().unwrap_or_default())];
            }
            all.insert((name.to_owned(), arguments));
        }
    }
    Ok(made)
}

/// What is no number (a string, a structure) is none that a row looks at. strace writes some numbers as `0x2|0x80800`.
fn number(word: &str) -> u64 {
    word.split('|').map(part).fold(0, |all, part| all | part)
}

fn part(word: &str) -> u64 {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap_or_default(),
        None => word.parse::<i64>().map(i64::cast_unsigned).unwrap_or_default(),
    }
}
