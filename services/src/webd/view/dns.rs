//! Names: what dnsd counts.
use super::metrics;
use crate::webd::snapshot::Said;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The document.
pub fn dns(said: &Said) -> Value {
    let page = said.dnsd.as_str();
    if page.is_empty() {
        return json!({"missing": ["dnsd"]});
    }
    let one = |name: &str| metrics::one(page, name).unwrap_or_default() as u64;
    let by_upstream = |name: &str| -> BTreeMap<String, f64> {
        let found = metrics::of(page, name).into_iter();
        found.filter_map(|found| Some((found.labels.get("upstream")?.clone(), found.value))).collect()
    };
    let (asked, replies) = (by_upstream("dns_upstream"), by_upstream("weir_dns_upstream_replies_total"));
    let (rtt, alive) = (by_upstream("weir_dns_upstream_rtt_seconds"), by_upstream("weir_dns_upstream_alive"));
    let upstreams = asked.iter().filter(|(address, _)| *address != "local").map(|(address, asked)| {
        json!({
            "address": address,
            "asked": *asked as u64,
            "replies": replies.get(address).copied().unwrap_or_default() as u64,
            "rtt_ms": rtt.get(address).map(|seconds| (seconds * 100_000.0).round() / 100.0),
            "alive": alive.get(address).copied().unwrap_or_default() > 0.0,
        })
    });
    json!({
        "queries": one("dns_queries"),
        "local": asked.get("local").copied().unwrap_or_default() as u64,
        "cache_hits": one("weir_dns_cache_hits_total"),
        "cache_stale": one("weir_dns_cache_stale_total"),
        "cache_misses": one("weir_dns_cache_misses_total"),
        "prefetched": one("weir_dns_prefetched_total"),
        "failures": one("weir_dns_failures_total"),
        "refused_rebinding": one("weir_dns_rebind_refused_total"),
        "refused_rate": one("weir_dns_rate_limited_total"),
        "cache_answers": one("weir_dns_cache_answers"),
        "cache_bytes": one("weir_dns_cache_bytes"),
        "upstreams": upstreams.collect::<Vec<_>>(),
        "names": said.names.get("names").cloned().unwrap_or_else(|| json!([])),
        "missing": [],
    })
}
