//! What iPXE is told to do: load the kernel and one initramfs, by HTTP where it can, else by TFTP.
use std::net::Ipv4Addr;

/// The script's file.
pub const NAME: &str = "boot.ipxe";
/// The kernel's.
pub const KERNEL: &str = "vmlinuz";
/// The initramfs's: PID 1 of the installation, and all that it writes.
pub const INITRD: &str = "install.img";
/// Where the files are by HTTP (router7's port).
pub const PORT: u16 = 7773;

/// The script, with words for the kernel. `initrd=` is for UEFI, where the kernel itself asks the firmware for the file.
pub fn script(server: Ipv4Addr, words: &str) -> String {
    let from = |scheme: &str| format!("{scheme}://{server}");
    let (http, tftp) = (format!("{}:{PORT}", from("http")), from("tftp"));
    format!(
        "#!ipxe\n\
         echo weir: loading the installation from {server}\n\
         kernel {http}/{KERNEL} initrd={INITRD} {words} || goto tftp\n\
         initrd --name {INITRD} {http}/{INITRD} || goto tftp\n\
         boot || goto failed\n\
         :tftp\n\
         echo weir: not by HTTP, so by TFTP, which takes longer\n\
         imgfree\n\
         kernel {tftp}/{KERNEL} initrd={INITRD} {words} || goto failed\n\
         initrd --name {INITRD} {tftp}/{INITRD} || goto failed\n\
         boot || goto failed\n\
         :failed\n\
         echo weir: this did not work; once more in 10 s\n\
         sleep 10\n\
         reboot\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_load_the_same() {
        let text = script(Ipv4Addr::new(10, 9, 0, 1), "panic=10 weir.disk=sda");
        assert!(text.starts_with("#!ipxe\n"));
        for way in ["http://10.9.0.1:7773/", "tftp://10.9.0.1/"] {
            assert!(
                text.contains(&format!("kernel {way}vmlinuz initrd=install.img panic=10 weir.disk=sda ||")),
                "{text}"
            );
            assert!(text.contains(&format!("initrd --name install.img {way}install.img ||")), "{text}");
        }
    }
}
