//! The only place with `unsafe` in PID 1: the calls that `nix` lacks or wraps in a way that PID 1 cannot use.
#![allow(unsafe_code)]

pub mod access_list;
mod ioctl;
pub mod kexec;
mod reap;
mod spawn;
mod tsc;

pub use ioctl::{
    SEED, credit_random, loop_attach, loop_free, resize_ext4, resize_partition, watchdog_stop, watchdog_timeout,
};
pub use reap::{childless, collect, peek};
pub use spawn::{Plan, spawn};
pub use tsc::{mark_ready, mark_start, tsc};
