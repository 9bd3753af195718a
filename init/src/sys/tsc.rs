//! The time-stamp counter, and two marks that an instruction-counting emulator can see.
use core::arch::asm;

/// The processor's time-stamp counter: with one instruction counted as 1 ns, the nanoseconds since power-on.
pub fn tsc() -> u64 {
    // SAFETY: every x86-64 processor has rdtsc, and PID 1 runs where nothing forbids it to user space.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Marks PID 1's first instructions: a no-op whose operand reads "WEI0", which a QEMU plugin counts from.
pub fn mark_start() {
    // SAFETY: an eight-byte no-op; it touches neither memory, registers nor flags.
    unsafe { asm!(".byte 0x0f,0x1f,0x84,0x00,0x57,0x45,0x49,0x30", options(nomem, nostack, preserves_flags)) };
}

/// Marks the ready line: a no-op whose operand reads "WEI1", which a QEMU plugin counts up to.
pub fn mark_ready() {
    // SAFETY: an eight-byte no-op; it touches neither memory, registers nor flags.
    unsafe { asm!(".byte 0x0f,0x1f,0x84,0x00,0x57,0x45,0x49,0x31", options(nomem, nostack, preserves_flags)) };
}
