//! The documents that programs and the page are given, made of what services, files and the kernel say. No I/O.
mod devices;
mod dns;
mod gokrazy;
mod metrics;
mod status;
#[cfg(test)]
mod tests;

pub use devices::devices;
pub use dns::dns;
pub use gokrazy::overview;
pub use status::{health, status};
