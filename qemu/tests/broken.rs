//! Updates that are signed by the right key and no good: each is tried once, and the old slot serves the LAN again, with
//! nobody's help.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::initramfs::Initramfs;
use qemu::router::Router;
use qemu::step;
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

/// Sends it, sees it tried and left, and the LAN served from slot a.
fn is_left(updates: &Updates, router: &mut Router, what: &str, parts: &Parts, signs: &[&str]) {
    step(what);
    let file = updates.update("broken", &updates.key, parts, now());
    let (ok, said) = updates.send(&file, &[]);
    assert!(ok && said.contains("has it in slot b and starts it"), "{said}");
    router.wait_for("slot b is on trial");
    for sign in signs {
        router.wait_for(sign);
    }
    router.wait_for("root a (squashfs)");
    router.wait_ready();
    router.wait_for("slot b has not stood its trial");
    is_served(updates);
    updates.wants(router, "a");
    router.command_until("log updated", |said| said.contains("that one is not taken any more"));
    let (ok, said) = updates.send(&file, &[]);
    assert!(!ok && said.contains("was no good"), "{said}");
}

const TAKEN: &str = "slot b was not ready in its last boots: taking slot a";

#[test]
fn what_is_no_good_is_left_again_and_the_lan_is_served() {
    let updates = Updates::new();
    let (_isp, _page) = (updates.bed.serve_isp(), updates.bed.serve_page());
    let mut router = updates.start();
    router.wait_for("root a (squashfs)");
    router.wait_ready();
    is_served(&updates);
    let good = Parts::new();
    let folder = &updates.bed.folder.0;

    let parts = Parts { root: vec![0; good.root.len()], ..good.clone() };
    is_left(
        &updates,
        &mut router,
        "a root of zeros",
        &parts,
        &["slot b is on trial and has no root (no squashfs): back to the other one", TAKEN],
    );
    let parts = Parts { kernel: hanging_kernel(&good), ..good.clone() };
    is_left(&updates, &mut router, "a kernel that hangs before PID 1", &parts, &["starting the slot on trial", TAKEN]);
    let parts = Parts { initrd: hanging_init(folder), ..good.clone() };
    is_left(&updates, &mut router, "a PID 1 that hangs", &parts, &["PID 1 stands still", TAKEN]);
    let parts = Parts { root: root_with(folder, &good, "dnsd", ""), ..good.clone() };
    let signs = ["root b (squashfs)", "this slot was not ready on its last try", TAKEN];
    is_left(&updates, &mut router, "a dnsd that is never ready", &parts, &signs);
    let parts = Parts { root: root_with(folder, &good, "dnsd", "write(3, \"ready\\n\", 6);"), ..good.clone() };
    let signs = ["root b (squashfs)", "weir: ready in ", "this slot is no good: back to the other one", TAKEN];
    is_left(&updates, &mut router, "a dnsd that is ready and answers nobody", &parts, &signs);

    // It throws the lease away, and asks for no other.
    let lease = "/perm/dhcp4/wire/lease.json";
    let main = format!("unlink(\"{lease}\"); write(3, \"{lease}\\nready\\n\", {});", lease.len() + 7);
    router.command_until("diag", |said| !said.contains("broken"));
    let parts = Parts { root: root_with(folder, &good, "dhcp4", &main), ..good };
    is_left(&updates, &mut router, "one that loses the internet", &parts, &signs);
    assert!(!router.console().contains("no kexec"), "the boot loader had to do it");
}
