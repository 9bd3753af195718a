//! A kernel made fit for kexec: the purgatory's sum goes over the file, and not over all the memory that the kernel is
//! unpacked into.
//!
//! `kexec_file_load` sets aside `init_size` bytes of the kernel's header, and its purgatory, between the two kernels, sums
//! every one of them, zeros and all: 22 MB of 5, most of the time that an update interrupts. So the kernel is put into
//! another one that says it needs no more than its own bytes. Its first instructions (`sys::kexec`) give the header its
//! number back, move the kernel to where it would like to lie, and start it. Whether that place is free is seen to here.
use crate::sys::kexec::{ENTRY, GIGABYTES, TABLES, shim};

/// The kernel proper begins after the shim's page tables.
const PAYLOAD: usize = TABLES + (2 + GIGABYTES) * PAGE;
const PAGE: usize = 0x1000;
/// `setup_sects`, `header`, `pref_address`, `init_size` of the boot protocol.
const SETUP_SECTORS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const PREFERRED: usize = 0x258;
const INIT_SIZE: usize = 0x260;
/// What kexec itself puts beside kernel and initramfs, and what is lost by its roundings up to 2 MiB.
const BESIDE: u64 = 8 << 20;

/// The kernel in its wrapping.
///
/// `iomem` is `/proc/iomem` as root reads it; `beside` the bytes of the initramfs.
///
/// # Errors
/// In words, when it is no kernel that is known, or when the memory is not as it must be.
pub fn wrap(kernel: &[u8], beside: u64, iomem: &str) -> Result<Vec<u8>, &'static str> {
    let header = Header::of(kernel).ok_or("its header is unknown")?;
    let (setup, payload) = kernel.split_at_checked(header.setup).ok_or("it is cut")?;
    let words = payload.len().div_ceil(8);
    let length = (PAYLOAD + words * 8).next_multiple_of(PAGE);
    if !room(iomem, header.place, u64::from(header.size), length as u64 + beside + BESIDE) {
        return Err("the memory is laid out otherwise");
    }
    let needs = u32::try_from(length).map_err(|_| "it is too large")?;
    let mut wrapped = setup.to_vec();
    wrapped.get_mut(INIT_SIZE..INIT_SIZE + 4).ok_or("it is cut")?.copy_from_slice(&needs.to_le_bytes());
    wrapped.extend(header.place.to_le_bytes());
    wrapped.extend((words as u64).to_le_bytes());
    wrapped.extend(header.size.to_le_bytes());
    let start = setup.len();
    wrapped.resize(start + ENTRY, 0);
    wrapped.extend(shim());
    wrapped.resize(start + PAYLOAD, 0);
    wrapped.extend(payload);
    wrapped.resize(start + length, 0);
    Ok(wrapped)
}

/// What counts of the boot protocol's header.
struct Header {
    /// Bytes before the kernel proper.
    setup: usize,
    /// Where it would like to lie.
    place: u64,
    /// What it needs there to be unpacked.
    size: u32,
}

impl Header {
    fn of(kernel: &[u8]) -> Option<Header> {
        if kernel.get(MAGIC..MAGIC + 4)? != b"HdrS" {
            return None;
        }
        let setup = (usize::from(*kernel.get(SETUP_SECTORS)?).max(1) + 1) * 512;
        let place = u64::from_le_bytes(kernel.get(PREFERRED..PREFERRED + 8)?.try_into().ok()?);
        let size = u32::from_le_bytes(kernel.get(INIT_SIZE..INIT_SIZE + 4)?.try_into().ok()?);
        Some(Header { setup, place, size })
    }
}

/// Whether `size` bytes at `place` are memory, and `above` bytes higher up as well, in one piece: kexec takes the highest
/// place, so what it holds lies there and not where the kernel goes. And whether the shim's page tables reach everything.
fn room(iomem: &str, place: u64, size: u64, above: u64) -> bool {
    let Some(end) = place.checked_add(size) else { return false };
    let region = |line: &str| {
        let (range, what) = line.split_once(" : ")?;
        let (first, last) = range.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        // What lies inside of another stands behind blanks, which are no digits.
        (what == "System RAM").then_some((number(first)?, number(last)? + 1))
    };
    let regions: Vec<(u64, u64)> = iomem.lines().filter_map(region).collect();
    let is_memory = regions.iter().any(|(from, to)| *from <= place && end <= *to);
    let is_above = regions.iter().any(|(from, to)| to.saturating_sub((*from).max(end)) >= above);
    let reached = regions.iter().all(|(_, to)| *to <= (GIGABYTES as u64) << 30);
    is_memory && is_above && reached
}

#[cfg(test)]
mod tests {
    use super::*;

    const IOMEM: &str = "00000000-00000fff : Reserved\n00001000-0009fbff : System RAM\n000f0000-000fffff : System ROM\n\
                         00100000-0ffdbfff : System RAM\n  03000000-03ffffff : Kernel code\nfffc0000-ffffffff : Reserved\n";

    fn kernel() -> Vec<u8> {
        let mut kernel = vec![0; 1024];
        kernel[SETUP_SECTORS] = 1;
        kernel[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        kernel[PREFERRED..PREFERRED + 8].copy_from_slice(&0x100_0000_u64.to_le_bytes());
        kernel[INIT_SIZE..INIT_SIZE + 4].copy_from_slice(&22_000_000_u32.to_le_bytes());
        kernel.extend([7; 10_001]);
        kernel
    }

    #[test]
    fn the_kernel_lies_whole_behind_the_shim_which_knows_its_numbers() {
        let wrapped = wrap(&kernel(), 1 << 20, IOMEM).unwrap();
        let inner = &wrapped[1024..];
        assert_eq!(wrapped[INIT_SIZE..INIT_SIZE + 4], u32::try_from(inner.len()).unwrap().to_le_bytes());
        assert_eq!(inner[..8], 0x100_0000_u64.to_le_bytes());
        assert_eq!(inner[8..16], 1_251_u64.to_le_bytes());
        assert_eq!(inner[16..20], 22_000_000_u32.to_le_bytes());
        assert_eq!(inner[ENTRY..ENTRY + shim().len()], *shim());
        assert!(ENTRY + shim().len() <= TABLES);
        assert_eq!(inner[PAYLOAD..PAYLOAD + 10_001], [7; 10_001]);
        assert!(inner[PAYLOAD + 10_001..].iter().all(|byte| *byte == 0));
        assert_eq!(wrapped[..INIT_SIZE], kernel()[..INIT_SIZE]);
    }

    #[test]
    fn without_room_or_a_kernel_it_stays_as_it_is() {
        let small = IOMEM.replace("0ffdbfff", "027fffff");
        let elsewhere = IOMEM.replace("00100000-", "02000000-");
        let huge = format!("{IOMEM}100000000-10ffffffff : System RAM\n");
        for iomem in [&small, &elsewhere, &huge, ""] {
            assert_eq!(wrap(&kernel(), 1 << 20, iomem), Err("the memory is laid out otherwise"), "{iomem}");
        }
        for (bytes, why) in [
            (&kernel()[..600], "its header is unknown"),
            (b"", "its header is unknown"),
            (&[0; 4096], "its header is unknown"),
            (&kernel()[..700], "it is cut"),
        ] {
            assert_eq!(wrap(bytes, 0, IOMEM), Err(why));
        }
    }
}
