//! GRUB, twice: for a BIOS, written by hand into its own partition, and for UEFI, a file. Both read one `grub.cfg`.
//!
//! `grub-mkimage` only puts modules together; nothing is probed and nothing installed on this machine.
use std::fs;
use std::path::Path;
use std::process::Command;

use layout::{BIOS, SECTOR, Slot, initrd_of, kernel_of, sums_of};

use crate::error::{Context, Error, Result};
use crate::scratch::Scratch;

const FOLDER: &str = "/usr/lib/grub";
/// What both need.
const MODULES: [&str; 15] = [
    "part_gpt",
    "fat",
    "linux",
    "loadenv",
    "normal",
    "test",
    "configfile",
    "boot",
    "hashsum",
    "gcry_crc",
    "echo",
    "serial",
    "terminal",
    "keystatus",
    "reboot",
];
/// Of a boot sector: code ends here, the disk's signature and its table follow.
const CODE: usize = 440;

/// The boot loader, ready to be written.
#[derive(Debug, Clone)]
pub struct Grub {
    /// For sector 0, without its table.
    pub sector: Vec<u8>,
    /// For [`BIOS`].
    pub core: Vec<u8>,
    /// `EFI/BOOT/BOOTX64.EFI`.
    pub efi: Vec<u8>,
    /// `grub/grub.cfg`.
    pub config: String,
}

impl Grub {
    /// Puts it together from Debian's modules.
    ///
    /// # Errors
    /// When GRUB is not installed, or is not as it was.
    pub fn make() -> Result<Self> {
        let scratch = Scratch::new("grub")?;
        let bios = mkimage(&scratch, "i386-pc", &["-p", "(,gpt1)/grub", "biosdisk"])?;
        let efi = mkimage(&scratch, "x86_64-efi", &["-p", "/grub"])?;
        let sector = Path::new(FOLDER).join("i386-pc/boot.img");
        let sector = fs::read(&sector).cannot_file("read", &sector).map_err(|error| error.next(HINT))?;
        Ok(Self { sector: boot_sector(sector)?, core: core(bios)?, efi, config: config() })
    }
}

const HINT: &str = "install grub-pc-bin, grub-efi-amd64-bin and grub-common (make deps does)";

fn mkimage(scratch: &Scratch, format: &str, words: &[&str]) -> Result<Vec<u8>> {
    let path = scratch.path().join(format);
    let mut command = Command::new("grub-mkimage");
    command.args(["-O", format, "-o"]).arg(&path).args(words).args(MODULES);
    let output = command.output().cannot(|| "run grub-mkimage".into()).map_err(|error| error.next(HINT))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::new(format!("grub-mkimage for {format} failed: {said}")).next(HINT));
    }
    fs::read(&path).cannot_file("read", &path)
}

/// Tells the first sector where the second stage begins.
fn boot_sector(mut sector: Vec<u8>) -> Result<Vec<u8>> {
    const CORE_AT: usize = 0x5c;
    /// A jump that is taken for floppy disks only, and for some BIOS's mistake on all others: left out, as GRUB's installer does.
    const DRIVE_CHECK: usize = 0x66;
    if sector.len() != SECTOR as usize {
        return Err(Error::new("GRUB's boot.img is not one sector"));
    }
    sector[CORE_AT..CORE_AT + 8].copy_from_slice(&BIOS.first.to_le_bytes());
    sector[DRIVE_CHECK..DRIVE_CHECK + 2].fill(0x90);
    sector.truncate(CODE);
    Ok(sector)
}

/// Tells the second stage where the rest of it lies: right behind its first sector.
fn core(mut core: Vec<u8>) -> Result<Vec<u8>> {
    const REST: std::ops::Range<usize> = 0x1f4..0x1fc;
    const LENGTH: std::ops::Range<usize> = 0x1fc..0x1fe;
    core.resize(core.len().next_multiple_of(SECTOR as usize), 0);
    let rest = u16::try_from(core.len() / SECTOR as usize - 1).ok().filter(|_| core.len() as u64 <= BIOS.bytes());
    let rest = rest.ok_or_else(|| Error::new("GRUB does not fit into its partition"))?;
    core[REST].copy_from_slice(&(BIOS.first + 1).to_le_bytes());
    core[LENGTH].copy_from_slice(&rest.to_le_bytes());
    Ok(core)
}

/// `grub.cfg` with the places of this layout.
fn config() -> String {
    let mut text = include_str!("grub.cfg").to_owned();
    for slot in Slot::ALL {
        let sums = sums_of(slot).first;
        let whole = |extent: layout::Extent| format!("{}+{}", extent.first, extent.sectors);
        for (name, value) in [
            ("RUNS", format!("{sums}+2")),
            ("LIST", format!("{}+1", sums + 2)),
            ("KERNEL", whole(kernel_of(slot))),
            ("INITRD", whole(initrd_of(slot))),
        ] {
            text = text.replace(&format!("@{name}_{}@", slot.letter()), &value);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_each_time_and_in_their_places() {
        let (first, second) = (Grub::make().unwrap(), Grub::make().unwrap());
        assert!(first.core == second.core && first.efi == second.efi, "grub-mkimage is not reproducible");
        assert_eq!(first.sector.len(), CODE);
        assert_eq!(first.core[0x1f4..0x1fc], 2049_u64.to_le_bytes());
        assert!(!first.config.contains('@'), "{}", first.config);
        let line = format!("$words {} weir.slot=$1 weir.tries=$tries weir.id=$id;", layout::environment::WORDS);
        assert!(first.config.contains(&line), "kexec gives the same words: {line}");
        assert!(first.config.contains("2056+2") && first.config.contains("2066+1"));
    }

    #[test]
    fn the_script_is_one_that_grub_understands() {
        let scratch = Scratch::new("grub-check").unwrap();
        let path = scratch.path().join("grub.cfg");
        fs::write(&path, config()).unwrap();
        let output = Command::new("grub-script-check").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
