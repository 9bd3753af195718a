//! The power goes at random moments, and the disk loses what it was not told to keep. `make power-cut` does so a thousand
//! times; here it is as often as two minutes hold, a hundred times at most.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

#[test]
fn what_was_acknowledged_is_there_after_every_cut() {
    let sum = qemu::power_cut::run(100, Some(Duration::from_secs(120)), qemu::updates::now());
    println!("{sum:?}");
    assert!(sum.leases > 0 && sum.configurations > 0 && sum.at_risk > 0, "{sum:?}");
}
