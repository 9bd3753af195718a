//! What ntpd shows at `/metrics`.
use super::engine::Report;
use crate::metrics::Exposition;

/// Questions of the LAN, by what came of them.
#[derive(Debug, Default)]
pub struct Counts {
    /// Answered.
    pub answered: u64,
    /// Of those who ask too often, and of strangers.
    pub refused: u64,
}

/// The page.
pub fn page(report: &Report, counts: &Counts) -> Vec<u8> {
    let mut page = Exposition::default();
    for (name, help, value) in [
        (
            "weir_clock_right",
            "1 once the clock was set by servers that were believed.",
            f64::from(u8::from(report.right)),
        ),
        ("weir_clock_offset_seconds", "What the clock was behind when it was looked at last.", report.offset),
        ("weir_clock_uncertainty_seconds", "How wrong that may have been.", report.uncertainty),
        (
            "weir_clock_stratum",
            "Hands through which the time has come; 16 when it is not known.",
            f64::from(report.stratum),
        ),
    ] {
        page.metric(name, "gauge", help).value(name, &[], value);
    }
    let believed = "weir_clock_server_believed";
    page.metric(believed, "gauge", "1 where a time server was believed last time.");
    for server in &report.servers {
        page.value(believed, &[("server", &server.address)], u8::from(server.believed));
    }
    let questions = "weir_clock_questions_total";
    page.metric(questions, "counter", "Questions of the LAN for the time, by what came of them.");
    for (result, count) in [("answered", counts.answered), ("refused", counts.refused)] {
        page.value(questions, &[("result", result)], count);
    }
    page.into_bytes()
}
