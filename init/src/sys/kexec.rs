//! Loading a kernel beside the running one, and the few instructions that run between the two.
use std::ffi::CStr;
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsRawFd;

/// Where the entry lies from the beginning of a 64-bit kernel (Linux's boot protocol), and so from the shim's.
pub const ENTRY: usize = 0x200;
/// Where the shim's page tables lie: one page of the fourth level, one of the third, and [`GIGABYTES`] of the second.
pub const TABLES: usize = 0x1000;
/// How much memory its page tables reach.
pub const GIGABYTES: usize = 64;

core::arch::global_asm!(
    ".pushsection .rodata",
    ".globl weir_shim, weir_shim_end",
    ".hidden weir_shim, weir_shim_end",
    "weir_shim:",
    // rsi: the kernel's boot parameters. The shim begins ENTRY bytes before: destination, length in words, init_size.
    "lea rbp, [rip + weir_shim - 0x200]",
    "cld",
    // The page tables that kexec left may lie where the kernel goes.
    "lea rdi, [rbp + 0x1000]",
    "lea rax, [rdi + 0x1003]",
    "mov [rdi], rax",
    "lea rax, [rdi + 0x2003]",
    "lea rbx, [rdi + 0x1000]",
    "mov ecx, 64",
    "2:",
    "mov [rbx], rax",
    "add rax, 0x1000",
    "add rbx, 8",
    "dec ecx",
    "jnz 2b",
    "lea rbx, [rdi + 0x2000]",
    "mov eax, 0x83",
    "mov ecx, 64 * 512",
    "3:",
    "mov [rbx], rax",
    "add rax, 0x200000",
    "add rbx, 8",
    "dec ecx",
    "jnz 3b",
    "mov cr3, rdi",
    // What the kernel needs to be unpacked, which nobody has summed.
    "mov eax, [rbp + 16]",
    "mov [rsi + 0x260], eax",
    "mov r11, rsi",
    "lea rsi, [rbp + 0x1000 + 66 * 0x1000]",
    "mov rdi, [rbp]",
    "lea rax, [rdi + 0x200]",
    "mov rcx, [rbp + 8]",
    "rep movsq",
    "mov rsi, r11",
    "jmp rax",
    "weir_shim_end:",
    ".popsection",
);

// SAFETY: they are the labels above; a byte is at the first, and of the second only the address is used.
unsafe extern "C" {
    static weir_shim: u8;
    static weir_shim_end: u8;
}

/// The instructions, for [`ENTRY`].
pub fn shim() -> &'static [u8] {
    let (first, end) = (&raw const weir_shim, &raw const weir_shim_end);
    // SAFETY: both labels are in read-only data of ours, the second behind the first, with nothing but the code between.
    unsafe { std::slice::from_raw_parts(first, end.addr() - first.addr()) }
}

/// `KEXEC_FILE_UNLOAD`.
const UNLOAD: libc::c_ulong = 1;

/// Forgets the kernel that was loaded.
pub fn kexec_unload() {
    // SAFETY: with this flag the kernel looks at no other argument. It cannot fail but for want of rights.
    unsafe { libc::syscall(libc::SYS_kexec_file_load, -1, -1, 0 as libc::c_ulong, 0 as libc::c_ulong, UNLOAD) };
}

/// Loads a kernel, to be started by `reboot(RB_KEXEC)`. The files must not be open for writing.
///
/// # Errors
/// The kernel's own: it was built without, it refuses this kernel, there is no memory.
pub fn kexec_file_load(kernel: &File, initrd: &File, line: &CStr) -> Result<()> {
    let line = line.to_bytes_with_nul();
    // SAFETY: two descriptors, and the line with its length; the kernel only reads them, during the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel.as_raw_fd(),
            initrd.as_raw_fd(),
            line.len() as libc::c_ulong,
            line.as_ptr(),
            0 as libc::c_ulong,
        )
    };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}
