//! What dyndns shows at `/metrics`.
use super::engine::Engine;
use crate::metrics::Exposition;

/// The page.
pub fn page(engine: &Engine) -> Vec<u8> {
    let mut page = Exposition::default();
    let right = "weir_dyndns_record_right";
    page.metric(right, "gauge", "1 where the name has the address that it shall have.");
    for (record, is_right) in engine.states() {
        let labels = [("name", record.name.as_str()), ("type", record.kind()), ("provider", record.provider.word())];
        page.value(right, &labels, u8::from(is_right));
    }
    let counts = engine.counts();
    page.metric("weir_dyndns_updates_total", "counter", "What came of the questions to providers.");
    for (result, count) in [("published", counts.published), ("later", counts.later), ("refused", counts.refused)] {
        page.value("weir_dyndns_updates_total", &[("result", result)], count);
    }
    page.into_bytes()
}
