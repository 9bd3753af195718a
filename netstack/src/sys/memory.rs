//! The C library's heap.

/// Returns free pages of the heap to the kernel.
pub fn trim() {
    // SAFETY: malloc_trim touches free memory only, and takes its own locks.
    unsafe { libc::malloc_trim(0) };
}
