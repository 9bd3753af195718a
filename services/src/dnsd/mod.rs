//! stub
mod engine;
use crate::house::{Failure, House};

/// Runs the service.
pub fn run(_house: House) -> Result<(), Failure> {
    Ok(())
}
