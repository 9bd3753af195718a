//! x
pub mod engine; pub mod message;
#[cfg(test)] mod tests;
use crate::house::{Failure, House};
/// r
pub fn run(_h: House) -> Result<(), Failure> { Ok(()) }
