//! The test bed of one service: the namespaces and children of `qemu`, and a root folder for the service under test.
//!
//! ```no_run
//! let (router, lan, root) = (Namespace::new(), Namespace::new(), Root::new());
//! router.veth("lan0", &lan, "eth0");
//! router.ip("addr add 192.168.42.1/24 dev lan0");
//! let mut dhcp4d = router.service("dhcp4d", &root, &[]);
//! dhcp4d.wait_for("ready");
//! ```
// Each test file compiles this module for itself and uses a part of it; a helper fails by panicking, as a test does.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub use qemu::child::{Child, PATIENCE};
pub use qemu::namespace::Namespace;

pub mod authority;
pub mod family;
pub mod house;
pub mod ruleset;

use qemu::Folder;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// Services run in a namespace.
pub trait Services {
    /// Starts one of our services inside, with `--root`.
    fn service(&self, name: &str, root: &Root, flags: &[&str]) -> Child;
}

impl Services for Namespace {
    fn service(&self, name: &str, root: &Root, flags: &[&str]) -> Child {
        let folder = root.0.to_str().unwrap();
        let program = env!("CARGO_BIN_EXE_services");
        let words: Vec<&str> = [name, "--root", folder].into_iter().chain(flags.iter().copied()).collect();
        match std::env::var("WEIR_STRACE") {
            // `make rights-check`: the tracer is the child's child, so that signals reach the service.
            Ok(traces) => {
                static NEXT: AtomicU32 = AtomicU32::new(0);
                let number = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
                let file = format!("{traces}/{name}.{}.{}", number.0, number.1);
                let traced = ["-D", "-f", "-qq", "-X", "raw", "-o", &file, program];
                self.spawn("strace", &[&traced[..], &words].concat()).named(name)
            }
            Err(_) => self.spawn(program, &words).named(name),
        }
    }
}

/// A service's root folder (`--root`) with an empty `perm`, gone with the value.
pub struct Root(pub PathBuf, Folder);

impl Root {
    /// A new, empty one.
    pub fn new() -> Root {
        let folder = Folder::new();
        for name in ["perm", "run", "etc", "tmp"] {
            std::fs::create_dir_all(folder.0.join(name)).unwrap();
        }
        Root(folder.0.clone(), folder)
    }

    /// A path as it is named on the router, under this root.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.0.join(absolute.trim_start_matches('/'))
    }

    /// Writes a file, with its folders.
    pub fn write(&self, absolute: &str, text: impl AsRef<[u8]>) {
        let path = self.path(absolute);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Writes dhcp6's lease: a delegated prefix that is valid for so many seconds from now on.
    pub fn write_lease6(&self, prefix: &str, valid: u32) {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let now = netstack::time::Instant::now().as_millis();
        let text = format!(
            r#"{{"valid_until":"2030-01-01T00:00:00Z","prefixes":null,"dns":null,
            "stamp":{{"boot":"{}","boottime_ms":{now},"wall":"2026-01-01T00:00:00Z"}},
            "delegations":[{{"iaid":1,"prefix":"{prefix}","preferred":{valid},"valid":{valid}}}],
            "addresses":[{{"iaid":2,"address":"2001:db8:1::9","preferred":3600,"valid":3600}}]}}"#,
            boot.trim()
        );
        self.write("/perm/dhcp6/lease.json", text);
    }

    /// Reads a file as text; empty when there is none.
    pub fn read(&self, absolute: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(absolute)).unwrap_or_default()).into_owned()
    }
}
