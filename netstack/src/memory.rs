//! Memory that is used now and then.
use crate::sys;

/// Gives the kernel back what was freed and what the C library keeps for later: for use after work that takes much and
/// comes rarely.
pub fn give_back() {
    sys::trim();
}
