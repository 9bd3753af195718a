//! Images that are no good, made of the one under test.
use crate::updates::{Parts, Updates};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a program that needs nothing.
///
/// # Panics
/// When gcc does not take it.
pub fn compile(folder: &Path, name: &str, source: &str) -> PathBuf {
    let (from, to) = (folder.join(format!("{name}.c")), folder.join(name));
    std::fs::write(&from, source).unwrap();
    let status = Command::new("gcc").args(["-Os", "-static", "-s", "-o"]).arg(&to).arg(&from).status();
    assert!(status.expect("gcc").success(), "{source}");
    to
}

/// A root in which one service is another program: what follows is its `main`, and never returns.
///
/// # Panics
/// When a tool of squashfs-tools fails.
pub fn root_with(folder: &Path, parts: &Parts, service: &str, main: &str) -> Vec<u8> {
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
///
/// # Panics
/// When it has not.
pub fn is_served(updates: &Updates) {
    let (_client, lease) = updates.bed.lease("laptop");
    assert!(lease.contains("192.168.42."), "{lease}");
    assert_eq!(updates.bed.dig(&["localhost"]), "127.0.0.1");
}
