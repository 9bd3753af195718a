//! What dnsd shows at `/metrics`: router7's series by their names, and what it counts besides.
use super::engine::Engine;
use super::engine::validate::Validator;
use crate::metrics::Exposition;

/// router7's port.
pub const PORT: u16 = 8053;
/// router7's buckets of questions in a message.
const BUCKETS: u64 = 10;

/// The page.
pub fn page(engine: &Engine) -> Vec<u8> {
    let counters = engine.counters();
    let mut page = Exposition::default();
    page.metric("dns_queries", "counter", "Messages that came on port 53.").value("dns_queries", &[], counters.queries);
    page.metric("dns_upstream", "counter", "Questions by who was asked; local is what the house knows itself.");
    page.value("dns_upstream", &[("upstream", "local")], counters.local);
    let upstreams = engine.forward().upstreams();
    for upstream in upstreams {
        page.value("dns_upstream", &[("upstream", &upstream.server.to_string())], upstream.asked);
    }
    // Every message that is answered has one question.
    let (asked, none) = (counters.queries.saturating_sub(counters.malformed), counters.malformed);
    page.metric("dns_questions", "histogram", "Questions in a message.");
    for bucket in 0..BUCKETS {
        let count = if bucket == 0 { none } else { counters.queries };
        page.value("dns_questions_bucket", &[("le", &bucket.to_string())], count);
    }
    page.value("dns_questions_bucket", &[("le", "+Inf")], counters.queries);
    page.value("dns_questions_sum", &[], asked).value("dns_questions_count", &[], counters.queries);
    for (name, help, value) in [
        ("weir_dns_cache_hits_total", "Questions answered from the cache.", counters.hits),
        ("weir_dns_cache_stale_total", "Of these, with an answer that had run out.", counters.stale),
        ("weir_dns_cache_misses_total", "Questions for which somebody outside was asked.", counters.misses),
        ("weir_dns_prefetched_total", "Popular answers asked for before they ran out.", counters.prefetched),
        ("weir_dns_failures_total", "Questions that nobody could answer.", counters.failures),
        ("weir_dns_rebind_refused_total", "Answers refused because they led into the house.", counters.rebound),
        ("weir_dns_dnssec_doubted_total", "Bogus answers for which another upstream was asked.", counters.doubted),
        ("weir_dns_excepted_total", "Listed names that an exception let through.", counters.excepted),
        ("weir_dns_rate_limited_total", "Questions refused because the client asked too often.", counters.limited),
        ("weir_dns_strangers_total", "Messages of who does not belong to a LAN.", counters.strangers),
    ] {
        page.metric(name, "counter", help).value(name, &[], value);
    }
    let judged = "weir_dns_dnssec_total";
    page.metric(judged, "counter", "Answers judged by DNSSEC, by verdict.");
    for (verdict, value) in [("secure", counters.secure), ("insecure", counters.insecure), ("bogus", counters.bogus)] {
        page.value(judged, &[("verdict", verdict)], value);
    }
    page.metric("weir_dns_dnssec_known", "gauge", "Keys of zones and delegations that are remembered.");
    page.value("weir_dns_dnssec_known", &[], engine.validator().map_or(0, Validator::known));
    let (blocked, names) = ("weir_dns_blocked_total", "weir_dns_blocklist_names");
    page.metric(blocked, "counter", "Questions for names that a block list has, by the list.");
    for (list, count) in engine.blocker().counts() {
        page.value(blocked, &[("list", list)], *count);
    }
    if let Some(table) = engine.blocker().table() {
        page.metric(names, "gauge", "Names of all block lists in force.").value(names, &[], table.len());
    }
    let cache = engine.cache();
    page.metric("weir_dns_cache_answers", "gauge", "Answers in the cache.");
    page.value("weir_dns_cache_answers", &[], cache.len());
    page.metric("weir_dns_cache_bytes", "gauge", "What they take.").value("weir_dns_cache_bytes", &[], cache.bytes());
    page.metric("weir_dns_in_flight", "gauge", "Questions that are being asked.");
    page.value("weir_dns_in_flight", &[], engine.forward().in_flight());
    let answered = "weir_dns_upstream_replies_total";
    page.metric(answered, "counter", "Replies of an upstream.");
    for upstream in upstreams {
        page.value(answered, &[("upstream", &upstream.server.to_string())], upstream.answered);
    }
    let (rtt, alive) = ("weir_dns_upstream_rtt_seconds", "weir_dns_upstream_alive");
    page.metric(rtt, "gauge", "Smoothed time to its reply.");
    for upstream in upstreams {
        page.value(rtt, &[("upstream", &upstream.server.to_string())], upstream.rtt().as_secs_f64());
    }
    page.metric(alive, "gauge", "Whether it replies.");
    for upstream in upstreams {
        page.value(alive, &[("upstream", &upstream.server.to_string())], u8::from(upstream.is_alive()));
    }
    page.into_bytes()
}
