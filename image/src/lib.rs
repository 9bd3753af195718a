//! The host tool of weir as a library: packing images and describing the machine that runs them.
//!
//! `weir image` ([`pack`]) turns a kernel and the router's two binaries into `vmlinuz`, `initrd.img`, `root.squashfs` and
//! `disk.img`; `weir run` ([`run`]) boots them in QEMU with their console at hand ([`keyboard`]); `weir apply` ([`apply`]) types there. The test bed and the benchmarks use [`machine`].
#![forbid(unsafe_code)]

pub mod apply;
pub mod capture;
pub mod check;
pub mod copy;
pub mod cpio;
pub mod disk;
pub mod error;
pub mod fat;
pub mod grub;
pub mod initrd;
pub mod keyboard;
pub mod machine;
pub mod manifest;
pub mod oui;
pub mod pack;
pub mod perm;
pub mod recover;
pub mod report;
pub mod restore;
pub mod rights;
pub mod run;
pub mod sbom;
pub mod scratch;
pub mod send;
pub mod squashfs;
pub mod target;
pub mod update;
pub mod write;
pub mod zones;
