//! What logd shows at `/metrics`.
use super::engine::Counts;
use crate::metrics::Exposition;

/// The page.
pub fn page(counts: &Counts) -> Vec<u8> {
    let mut page = Exposition::default();
    for (name, help, value) in [
        ("weir_log_lines_total", "Lines of services and of the kernel.", counts.lines),
        ("weir_log_repeated_lines_total", "Those of them that only repeated the one before.", counts.repeated),
        ("weir_log_sent_lines_total", "Lines that a receiver was sent.", counts.sent),
    ] {
        page.metric(name, "counter", help).value(name, &[], value);
    }
    let lost = "weir_log_lost_lines_total";
    page.metric(lost, "counter", "Lines that were too many, for the journal or for a receiver that was gone.");
    for (what, count) in [("journal", counts.lost_journal), ("receiver", counts.lost_receiver)] {
        page.value(lost, &[("to", what)], count);
    }
    page.into_bytes()
}
