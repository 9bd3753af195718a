//! The filter, run by an interpreter of our own: each row lets its call through and nothing else gets through.
use super::*;
use rights::SERVICES;
use rights::calls::CALLS;

/// What the program says of a call, and after how many instructions.
fn run(program: &[Instruction], architecture: u32, number: u32, arguments: [u64; 6]) -> (u32, usize) {
    let (mut at, mut a, mut count) = (0, 0, 0);
    loop {
        let step = program[at];
        count += 1;
        at += 1;
        match u32::from(step.code) {
            0x20 => {
                a = match step.k {
                    NUMBER => number,
                    ARCHITECTURE => architecture,
                    offset => {
                        assert_eq!(offset % 8, 0, "only the lower half");
                        arguments[(offset - ARGUMENTS) as usize / 8] as u32
                    }
                }
            }
            0x54 => a &= step.k,
            0x05 => at += step.k as usize,
            0x15 => at += usize::from(if a == step.k { step.jt } else { step.jf }),
            0x35 => at += usize::from(if a >= step.k { step.jt } else { step.jf }),
            0x45 => at += usize::from(if a & step.k != 0 { step.jt } else { step.jf }),
            0x06 => return (step.k, count),
            other => panic!("{other:#x}"),
        }
    }
}

fn says(service: &str, name: &str, arguments: [u64; 6]) -> u32 {
    let number = (0..600).find(|number| rights::names::name(*number) == Some(name)).unwrap();
    run(&program(rights::service(service).unwrap()), X86_64, number, arguments).0
}

/// Arguments that fit a row, or with `wrong` fit all its tests but that one.
fn fitting(call: &Call, wrong: Option<usize>) -> [u64; 6] {
    let mut arguments = [0; 6];
    for (at, test) in call.tests.iter().enumerate() {
        let spoiled = wrong == Some(at);
        match *test {
            Test::Is(number, _, values) => {
                arguments[usize::from(number)] = if spoiled { 0xb } else { values[0].into() }
            }
            Test::Has(number, bits) => arguments[usize::from(number)] = if spoiled { 0 } else { bits.into() },
            Test::Lacks(number, bits) => arguments[usize::from(number)] = if spoiled { bits.into() } else { 0 },
        }
    }
    arguments
}

#[test]
fn every_call_is_made_by_whom_a_row_names_and_by_nobody_else() {
    for service in SERVICES {
        let program = program(service);
        for call in CALLS {
            let (found, _) = run(&program, X86_64, call.number, fitting(call, None));
            let wanted = match call.then {
                Then::Made => libc::SECCOMP_RET_ALLOW,
                Then::Fails(error) => libc::SECCOMP_RET_ERRNO | u32::from(error),
            };
            let wanted = if call.who.has(service) { wanted } else { libc::SECCOMP_RET_TRAP };
            assert_eq!(found, wanted, "{} {} {:?}", service.name, call.name, call.tests);
            for at in 0..call.tests.len() {
                let (found, _) = run(&program, X86_64, call.number, fitting(call, Some(at)));
                assert_eq!(found, libc::SECCOMP_RET_TRAP, "{} {} {:?}", service.name, call.name, call.tests);
            }
        }
        let listed: Vec<u32> = calls(service).map(|call| call.number).collect();
        for number in (0..1024).chain([0x4000_0000, 0x4000_0001, u32::MAX]).filter(|number| !listed.contains(number)) {
            let (found, _) = run(&program, X86_64, number, [0; 6]);
            assert_eq!(found, libc::SECCOMP_RET_TRAP, "{} {number}", service.name);
        }
    }
}

#[test]
fn each_row_alone_lets_its_call_through() {
    for service in SERVICES {
        for call in calls(service) {
            let mut others: Vec<&Call> =
                calls(service).filter(|other| other.number == call.number && !std::ptr::eq(*other, call)).collect();
            others.sort_by_key(|call| call.number);
            let without = verdict(&others);
            let (found, _) = run(&without, X86_64, call.number, fitting(call, None));
            assert_eq!(found, libc::SECCOMP_RET_TRAP, "{}: {} {:?} is not needed", service.name, call.name, call.tests);
        }
    }
}

#[test]
fn another_architecture_is_stopped_at_once() {
    let program = program(rights::service("dnsd").unwrap());
    assert_eq!(run(&program, 0x4000_0003, 1, [0; 6]).0, libc::SECCOMP_RET_KILL_PROCESS);
}

#[test]
fn what_matters_most_is_refused() {
    // Frames and raw packets are for who has a reason.
    assert_eq!(says("dnsd", "socket", [17, 3, 0, 0, 0, 0]), libc::SECCOMP_RET_TRAP);
    assert_eq!(says("dhcp4", "socket", [17, 3 | 0o2_000_000, 0, 0, 0, 0]), libc::SECCOMP_RET_ALLOW);
    assert_eq!(says("dhcp4", "socket", [2, 3, 255, 0, 0, 0]), libc::SECCOMP_RET_TRAP);
    assert_eq!(says("webd", "socket", [16, 3, 12, 0, 0, 0]), libc::SECCOMP_RET_TRAP);
    // No memory becomes code, no process is made.
    assert_eq!(says("webd", "mmap", [0, 4096, 7, 0, 0, 0]), libc::SECCOMP_RET_TRAP);
    assert_eq!(says("webd", "mprotect", [0, 4096, 5, 0, 0, 0]), libc::SECCOMP_RET_TRAP);
    assert_eq!(says("dhcp4d", "clone", [17, 0, 0, 0, 0, 0]), libc::SECCOMP_RET_TRAP);
    assert_eq!(says("webd", "clone", [0x1_0000, 0, 0, 0, 0, 0]), libc::SECCOMP_RET_TRAP);
    assert_eq!(says("dhcp4d", "clone3", [1, 2, 3, 4, 5, 6]), libc::SECCOMP_RET_ERRNO | 38);
    // The upper half of an integer argument is not the kernel's to see either.
    assert_eq!(says("console", "ioctl", [0, 0xffff_ffff_0000_5401, 0, 0, 0, 0]), libc::SECCOMP_RET_ALLOW);
    assert_eq!(says("console", "ioctl", [0, 0x5412, 0, 0, 0, 0]), libc::SECCOMP_RET_TRAP);
}

#[test]
fn a_call_is_found_soon_and_programs_are_short() {
    for service in SERVICES {
        let program = program(service);
        let most = (0..512).map(|number| run(&program, X86_64, number, [0; 6]).1).max().unwrap();
        assert!(program.len() <= 260 && most <= 40, "{}: {} instructions, {most} at most", service.name, program.len());
    }
}
