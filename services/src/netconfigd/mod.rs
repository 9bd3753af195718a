//! stub
use crate::house::{Failure, House};
mod engine;
#[cfg(test)]
mod tests;

/// Runs the service.
pub fn run(_house: House) -> Result<(), Failure> {
    Ok(())
}
