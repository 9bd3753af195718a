//! What listd shows at `/metrics`.
use super::engine::Engine;
use crate::metrics::Exposition;

/// The page.
pub fn page(engine: &Engine) -> Vec<u8> {
    let mut page = Exposition::default();
    let (right, rules, checked) =
        ("weir_blocklist_right", "weir_blocklist_rules", "weir_blocklist_checked_timestamp_seconds");
    page.metric(right, "gauge", "1 where the list could be looked at when it was last tried.");
    for state in engine.states() {
        page.value(right, &[("list", state.name)], u8::from(state.is_right));
    }
    page.metric(rules, "gauge", "Rules of the list that are in force.");
    for state in engine.states() {
        page.value(rules, &[("list", state.name)], state.rules);
    }
    page.metric(checked, "gauge", "When the list was last known to be as its server has it; 0 = never.");
    for state in engine.states() {
        page.value(checked, &[("list", state.name)], state.checked);
    }
    let counts = engine.counts();
    page.metric("weir_blocklist_fetches_total", "counter", "What came of looking at lists.");
    for (result, count) in [("fresh", counts.fresh), ("same", counts.same), ("failed", counts.failed)] {
        page.value("weir_blocklist_fetches_total", &[("result", result)], count);
    }
    page.into_bytes()
}
