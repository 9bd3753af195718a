//! The files under `/perm`: their types, and the one way to read and write them.
//!
//! Names, keys and meaning are router7's; what Go's reader accepts is accepted, what it would read back is written.
pub mod announced;
pub mod blocklists;
pub mod clock;
pub mod delegation;
pub mod devices;
pub mod duid;
pub mod entries;
pub mod file;
pub mod firewall;
pub mod forwardings;
pub mod interfaces;
pub mod json;
pub mod lease4;
pub mod lease6;
pub mod lease_log;
pub mod leases;
pub mod levels;
pub mod mac;
pub mod place;
pub mod resolver;
pub mod schedule;
pub mod server6;
pub mod shaping;
pub mod stamp;
pub mod time;
pub mod ula;
pub mod upstream;
pub mod wireguard;

pub use mac::Mac;
pub use time::WallTime;
