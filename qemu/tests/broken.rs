//! Updates that are signed by the right key and no good: each is tried once, and the old slot serves the LAN again, with
//! nobody's help.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::initramfs::Initramfs;
use qemu::spoiled::{compile, is_served, root_with};
use qemu::updates::{Parts, Updates, now};
use std::path::Path;

/// A kernel that stops at its first instruction; the boot loader and kexec enter it at different places.
fn hanging_kernel(parts: &Parts) -> Vec<u8> {
    let mut kernel = parts.kernel.clone();
    let proper = (usize::from(kernel[0x1f1]) + 1) * 512;
    for entry in [proper, proper + 0x200] {
        // cli; hlt; jmp to hlt
        kernel[entry..entry + 4].copy_from_slice(&[0xfa, 0xf4, 0xeb, 0xfd]);
    }
    kernel
}

/// A PID 1 that opens the watchdog, as ours does first of all, and then stands still.
fn hanging_init(folder: &Path) -> Vec<u8> {
    let program = compile(
        folder,
        "init",
        "#include <fcntl.h>\n#include <stdio.h>\n#include <sys/mount.h>\n#include <unistd.h>\n\
         int main(void) {\n\
         mount(\"dev\", \"/dev\", \"devtmpfs\", 0, 0);\n\
         int dog = open(\"/dev/watchdog0\", O_WRONLY), port = open(\"/dev/ttyS0\", O_WRONLY | O_NOCTTY);\n\
         dprintf(port, dog < 0 ? \"no dog\\n\" : \"PID 1 stands still\\n\");\n\
         for (;;) pause();\n}\n",
    );
    let mut initramfs = Initramfs::default();
    initramfs.file("/init", 0o755, &std::fs::read(program).unwrap());
    initramfs.finish()
}

const TAKEN: &str = "slot b was not ready in its last boots: taking slot a";
/// What the console says of a root that is mounted, is served from, and is judged to be no good.
const JUDGED: [&str; 4] =
    ["root b (squashfs)", "weir: ready in ", "this slot is no good: back to the other one", TAKEN];

/// Sends what `make` makes of the good parts, sees it tried and left, and the LAN served from slot a.
fn is_left(make: impl Fn(&Path, Parts) -> Parts, signs: &[&str]) {
    let updates = Updates::new();
    let (_isp, _page) = (updates.bed.serve_isp(), updates.bed.serve_page());
    let mut router = updates.start();
    router.wait_for("root a (squashfs)");
    router.wait_ready();
    is_served(&updates);
    // So it has to work in the new one.
    router.command_until("diag", |said| said.contains("The internet works"));
    let parts = make(&updates.bed.folder.0, Parts::new());
    let file = updates.update("broken", &updates.key, &parts, now());
    let (ok, said) = updates.send(&file, &[]);
    assert!(ok && said.contains("has it in slot b and starts it"), "{said}");
    router.wait_for("slot b is on trial");
    router.wait_for("kexec: slot b is loaded\n");
    for sign in signs {
        router.wait_for(sign);
    }
    router.wait_for("root a (squashfs)");
    router.wait_ready();
    router.wait_for("slot b has not stood its trial");
    is_served(&updates);
    updates.wants(&mut router, "a");
    router.command_until("log updated", |said| said.contains("that one is not taken any more"));
    let (ok, said) = updates.send(&file, &[]);
    assert!(!ok && said.contains("was no good"), "{said}");
}

#[test]
fn a_kernel_that_hangs_before_pid_1() {
    is_left(|_, good| Parts { kernel: hanging_kernel(&good), ..good }, &["starting the slot on trial", TAKEN]);
}

#[test]
fn a_pid_1_that_hangs() {
    is_left(|folder, good| Parts { initrd: hanging_init(folder), ..good }, &["PID 1 stands still", TAKEN]);
}

#[test]
fn a_dnsd_that_is_never_ready() {
    let signs = ["root b (squashfs)", "this slot was not ready on its last try", TAKEN];
    is_left(|folder, good| Parts { root: root_with(folder, &good, "dnsd", ""), ..good }, &signs);
}

#[test]
fn a_dnsd_that_is_ready_and_answers_nobody() {
    let main = "write(3, \"ready\\n\", 6);";
    is_left(|folder, good| Parts { root: root_with(folder, &good, "dnsd", main), ..good }, &JUDGED);
}

#[test]
fn a_dhcp4_that_loses_the_internet() {
    // It throws the lease away, and asks for no other.
    let lease = "/perm/dhcp4/wire/lease.json";
    let main = format!("unlink(\"{lease}\"); write(3, \"{lease}\\nready\\n\", {});", lease.len() + 7);
    is_left(|folder, good| Parts { root: root_with(folder, &good, "dhcp4", &main), ..good }, &JUDGED);
}
