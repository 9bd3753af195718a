//! Updates that are signed by the right key and no good: each is tried once, and the old slot serves the LAN again, with
//! nobody's help.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::initramfs::Initramfs;
use qemu::updates::{Parts, Updates, now};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a program that needs nothing.
fn compile(folder: &Path, name: &str, source: &str) -> PathBuf {
    let (from, to) = (folder.join(format!("{name}.c")), folder.join(name));
    std::fs::write(&from, source).unwrap();
    let status = Command::new("gcc").args(["-Os", "-static", "-s", "-o"]).arg(&to).arg(&from).status();
    assert!(status.expect("gcc").success(), "{source}");
    to
}

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

/// A root in which one service is another program: what follows is its `main`, and never returns.
fn root_with(folder: &Path, parts: &Parts, service: &str, main: &str) -> Vec<u8> {
    let program = compile(
        folder,
        service,
        &format!(
            "#include <string.h>\n#include <unistd.h>\n\
             int main(int count, char **words) {{\n\
             if (count > 1 && !strcmp(words[1], \"{service}\")) {{ {main} for (;;) pause(); }}\n\
             execv(\"/bin/real\", words);\nreturn 1;\n}}\n"
        ),
    );
    let (packed, tree, image) = (folder.join("root.old"), folder.join("root"), folder.join("root.new"));
    std::fs::write(&packed, &parts.root).unwrap();
    let run = |command: &mut Command| {
        let output = command.output().expect("squashfs-tools");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    // Of the one before.
    let _ = std::fs::remove_dir_all(&tree);
    run(Command::new("unsquashfs").arg("-d").arg(&tree).arg(&packed));
    std::fs::rename(tree.join("bin/services"), tree.join("bin/real")).unwrap();
    std::fs::copy(program, tree.join("bin/services")).unwrap();
    run(Command::new("mksquashfs").arg(&tree).arg(&image).args(["-comp", "zstd", "-all-root", "-noappend", "-quiet"]));
    std::fs::read(image).unwrap()
}

/// The LAN has addresses and names.
fn is_served(updates: &Updates) {
    let (_client, lease) = updates.bed.lease("laptop");
    assert!(lease.contains("192.168.42."), "{lease}");
    assert_eq!(updates.bed.dig(&["localhost"]), "127.0.0.1");
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
