//! Names: what dnsd counts, and how the lists are by listd.
use super::metrics;
use crate::blocklist::OWN_NAME;
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
    let by_upstream = |name: &str| -> BTreeMap<String, f64> { by(page, name, "upstream").into_iter().collect() };
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
    let blocked = by(page, "weir_dns_blocked_total", "list");
    let judged: BTreeMap<String, f64> = by(page, "weir_dns_dnssec_total", "verdict").into_iter().collect();
    let verdict = |name: &str| judged.get(name).copied().unwrap_or_default() as u64;
    json!({
        "queries": one("dns_queries"),
        "local": asked.get("local").copied().unwrap_or_default() as u64,
        "cache_hits": one("weir_dns_cache_hits_total"),
        "cache_stale": one("weir_dns_cache_stale_total"),
        "cache_misses": one("weir_dns_cache_misses_total"),
        "prefetched": one("weir_dns_prefetched_total"),
        "failures": one("weir_dns_failures_total"),
        "blocked": blocked.iter().map(|(_, count)| *count as u64).sum::<u64>(),
        "blocked_names": one("weir_dns_blocklist_names"),
        "excepted": one("weir_dns_excepted_total"),
        "blocklists": lists(&blocked, &said.listd),
        "dnssec": {
            "secure": verdict("secure"),
            "insecure": verdict("insecure"),
            "bogus": verdict("bogus"),
            "asked_again": one("weir_dns_dnssec_doubted_total"),
        },
        "refused_rebinding": one("weir_dns_rebind_refused_total"),
        "refused_rate": one("weir_dns_rate_limited_total"),
        "cache_answers": one("weir_dns_cache_answers"),
        "cache_bytes": one("weir_dns_cache_bytes"),
        "upstreams": upstreams.collect::<Vec<_>>(),
        "names": said.names.get("names").cloned().unwrap_or_else(|| json!([])),
        "missing": [],
    })
}

// A metric's values by a label, in the page's order.
fn by(page: &str, name: &str, label: &str) -> Vec<(String, f64)> {
    let found = metrics::of(page, name).into_iter();
    found.filter_map(|found| Some((found.labels.get(label)?.clone(), found.value))).collect()
}

// A person's own names first, then every list.
fn lists(blocked: &[(String, f64)], listd: &str) -> Vec<Value> {
    let count = |name: &str| blocked.iter().find(|(list, _)| list == name).map_or(0, |(_, count)| *count as u64);
    let value =
        |page: &[(String, f64)], name: &str| page.iter().find(|(list, _)| list == name).map_or(0.0, |(_, v)| *v);
    let rules = by(listd, "weir_blocklist_rules", "list");
    let checked = by(listd, "weir_blocklist_checked_timestamp_seconds", "list");
    let own = blocked.iter().filter(|(name, _)| name == OWN_NAME);
    let own = own.map(|(name, count)| json!({"name": name, "blocked": *count as u64}));
    let each = by(listd, "weir_blocklist_right", "list").into_iter().map(|(name, right)| {
        json!({
            "name": name,
            "blocked": count(&name),
            "rules": value(&rules, &name) as u64,
            "right": right > 0.0,
            "checked": value(&checked, &name) as i64,
        })
    });
    own.chain(each).collect()
}
