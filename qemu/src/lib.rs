//! The test bed: the router as a virtual machine between an internet provider and a LAN, each a network namespace with
//! real programs in it. Tests look from outside: what the LAN gets, what the provider sees, what the console says.
//!
//! A helper fails by panicking, as a test does. Nothing here sleeps: everything is awaited, with a limit that only ends
//! a hang. Needs root, or a user namespace in which the tests are root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod bars;
pub mod bed;
pub mod bench_dhcp;
pub mod bench_dns;
pub mod bottleneck;
pub mod browser;
pub mod child;
pub mod concentrator;
pub mod disk;
pub mod forward;
pub mod frames;
pub mod initramfs;
pub mod lan;
pub mod namespace;
pub mod packets;
pub mod peer;
pub mod plugin;
pub mod power_cut;
pub mod provider6;
pub mod qmp;
pub mod router;
pub mod spoiled;
pub mod stream;
pub mod switch;
pub mod updates;
pub mod volatile;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The folder with the images under test: `target/appliance`, or what `WEIR_IMAGES` names.
pub fn images() -> PathBuf {
    let folder = std::env::var_os("WEIR_IMAGES").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/appliance"));
    assert!(folder.join("disk.img").exists(), "{} holds no disk.img: run 'make image' first", folder.display());
    folder
}

/// A folder for one test, gone with the value.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new, empty one.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        sweep();
        let path = std::env::temp_dir().join(format!("weir-bed-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// A file in it, as text for a command line.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A leftover in the temporary folder is no reason to fail a test that passed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Removes the folders of tests that were killed: their number names a process that is gone.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix("weir-bed-").and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Another test may be sweeping, too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A steady line of what a test does.
pub fn step(text: &str) {
    eprintln!("--> {text}");
}
