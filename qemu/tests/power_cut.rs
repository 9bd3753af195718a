//! The power goes at random moments, and the disk loses what it was not told to keep. `make power-cut` does so a thousand
//! times; here it is as often as a test may take.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[test]
fn what_was_acknowledged_is_there_after_every_cut() {
    let cuts = std::env::var("WEIR_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let sum = qemu::power_cut::run(cuts, qemu::updates::now());
    println!("{sum:?}");
    assert!(sum.leases > 0 && sum.configurations > 0 && sum.at_risk > 0, "{sum:?}");
}
