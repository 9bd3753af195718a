//! The filter of a service's system calls: a classic BPF program (linux/seccomp.h) made of its rows.
//!
//! The number is looked for by halves: the kernel tries a filter with every number when it takes it, so that a chain of a
//! hundred comparisons would cost each start as much as all the rest of it.
use netstack::confine::Instruction;
use nix::libc;
use rights::Service;
use rights::calls::{Call, Test, Then, calls};

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
/// `AUDIT_ARCH_X86_64`.
const X86_64: u32 = 0xc000_003e;

const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code: code as u16, jt, jf, k }
}

const fn load(offset: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

/// Skips `jt` instructions where the comparison holds, else `jf`.
const fn jump(how: u32, k: u32, jt: u8, jf: u8) -> Instruction {
    instruction(libc::BPF_JMP | how | libc::BPF_K, jt, jf, k)
}

const fn finish(verdict: u32) -> Instruction {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, verdict)
}

const TRAP: Instruction = finish(libc::SECCOMP_RET_TRAP);

/// The program of a service.
pub fn program(service: &'static Service) -> Vec<Instruction> {
    let mut rows: Vec<&Call> = calls(service).collect();
    rows.sort_by_key(|call| call.number);
    // What is done from each number on; neighbours that are treated alike are one.
    let mut ranges: Vec<(u32, Vec<Instruction>)> = vec![(0, vec![TRAP])];
    for rows in rows.chunk_by(|a, b| a.number == b.number) {
        let number = rows[0].number;
        add(&mut ranges, number, verdict(rows));
        add(&mut ranges, number + 1, vec![TRAP]);
    }
    let mut program = vec![
        load(ARCHITECTURE),
        jump(libc::BPF_JEQ, X86_64, 1, 0),
        finish(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
    ];
    program.extend(tree(&ranges));
    program
}

fn add(ranges: &mut Vec<(u32, Vec<Instruction>)>, number: u32, what: Vec<Instruction>) {
    if ranges.last().is_some_and(|(from, _)| *from == number) {
        ranges.pop();
    }
    let alike = |before: &[Instruction]| matches!((before, &what[..]), ([a], [b]) if a.k == b.k);
    if !ranges.last().is_some_and(|(_, before)| alike(before)) {
        ranges.push((number, what));
    }
}

/// What becomes of a call, by its rows: the first that fits decides.
fn verdict(rows: &[&Call]) -> Vec<Instruction> {
    let mut code = Vec::new();
    for row in rows {
        let then = match row.then {
            Then::Made => libc::SECCOMP_RET_ALLOW,
            Then::Fails(error) => libc::SECCOMP_RET_ERRNO | u32::from(error),
        };
        let parts: Vec<Vec<Instruction>> = row.tests.iter().map(test).collect();
        // Each test skips the next instruction where it holds; that one leads to the next row.
        let mut left: usize = parts.iter().map(|part| part.len() + 1).sum::<usize>() + 1;
        for part in parts {
            left -= part.len() + 1;
            code.extend(part);
            code.push(jump(libc::BPF_JA, left as u32, 0, 0));
        }
        code.push(finish(then));
        if row.tests.is_empty() {
            return code;
        }
    }
    code.push(TRAP);
    code
}

/// Falls over the next instruction where the test holds.
fn test(test: &Test) -> Vec<Instruction> {
    let argument = |number: u8| load(ARGUMENTS + 8 * u32::from(number));
    match *test {
        Test::Is(number, mask, values) => {
            let mut code = vec![argument(number)];
            if mask != u32::MAX {
                code.push(instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, mask));
            }
            let count = values.len();
            code.extend(
                values.iter().enumerate().map(|(at, value)| jump(libc::BPF_JEQ, *value, (count - at) as u8, 0)),
            );
            code
        }
        Test::Has(number, bits) => vec![argument(number), jump(libc::BPF_JSET, bits, 1, 0)],
        Test::Lacks(number, bits) => vec![argument(number), jump(libc::BPF_JSET, bits, 0, 1)],
    }
}

/// Looks for the range of a number.
fn tree(ranges: &[(u32, Vec<Instruction>)]) -> Vec<Instruction> {
    let [_, _, ..] = ranges else { return ranges.first().map(|(_, what)| what.clone()).unwrap_or_default() };
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let (from, low, high) = (high[0].0, tree(low), tree(high));
    let mut code = match u8::try_from(low.len()) {
        Ok(length) => vec![jump(libc::BPF_JGE, from, length, 0)],
        // Only this jump reaches so far.
        Err(_) => vec![jump(libc::BPF_JGE, from, 0, 1), jump(libc::BPF_JA, low.len() as u32, 0, 0)],
    };
    code.extend(low);
    code.extend(high);
    code
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
