//! Block lists: what listd makes of other people's lists and dnsd asks for every name. No I/O but that of the one file.
//!
//! A rule of a list is a name's hash and four bits ([`rules`]): whether it means the name itself, what is below it, an
//! exception, and whether it holds over exceptions. Many lists become one table ([`table`]): sorted hashes, each with the
//! number of what the lists say of it, 8 bytes a name. A name is looked up with each domain above it ([`Table::marks`]);
//! which lists count for whom is decided afterwards ([`Marks::verdict`]), so that one table serves all clients.
pub mod hash;
pub mod marks;
pub mod merge;
pub mod rules;
pub mod table;
#[cfg(test)]
mod tests;

pub use marks::{Marks, Verdict};
pub use table::{Listed, Table};

/// Lists that there may be, a bit each; the first is a person's own names.
pub const MOST_LISTS: usize = 32;
/// The list of a person's own names: its number, and its name in counters.
pub const OWN: usize = 0;
/// See [`OWN`].
pub const OWN_NAME: &str = "own";
/// Names of all lists together.
pub const MOST_NAMES: usize = 2_000_000;
