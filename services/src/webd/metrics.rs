//! The page of everybody's metrics, and what webd adds: what the processes use, and who did not answer.
use crate::metrics::Exposition;
use serde::Deserialize;
use std::collections::BTreeSet;

/// Passwords and tokens that were tried, by what came of it.
#[derive(Debug, Default)]
pub struct Counts {
    /// Right ones, of which so many were hashed.
    pub right: u64,
    /// Wrong ones.
    pub wrong: u64,
    /// Those that were not looked at.
    pub slowed: u64,
    /// Hashes that were made.
    pub hashed: u64,
}

impl Counts {
    /// The page of webd alone.
    pub fn page(&self) -> Vec<u8> {
        let mut page = Exposition::default();
        page.metric(
            "weir_password_checks_total",
            "counter",
            "Passwords and tokens that were tried, by what came of it.",
        );
        for (result, count) in [("right", self.right), ("wrong", self.wrong), ("slowed", self.slowed)] {
            page.value("weir_password_checks_total", &[("result", result)], count);
        }
        page.metric("weir_password_hashes_total", "counter", "Passwords that had to be hashed.");
        page.value("weir_password_hashes_total", &[], self.hashed);
        page.into_bytes()
    }
}

/// What PID 1 says of its services, as far as it is shown here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct List {
    uptime_ms: u64,
    services: Vec<Row>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    name: String,
    state: String,
    pid: u32,
    restarts: u64,
    memory_kib: u64,
}

/// Resident bytes and seconds of processor time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Usage {
    resident: u64,
    seconds: f64,
}

/// Everything on one page. A metric that two services give is the first one's.
pub fn together(list: &[u8], own: Vec<u8>, pages: &[(&str, Option<&[u8]>)]) -> Vec<u8> {
    let mut page = Exposition::default();
    page.metric("weir_metrics_up", "gauge", "1 where a service has answered with its metrics.");
    for (name, said) in pages {
        page.value("weir_metrics_up", &[("service", name)], u8::from(said.is_some()));
    }
    // Without PID 1, by hand, there is nothing to say of its services.
    let list: List = serde_json::from_slice(list).unwrap_or_default();
    processes(&mut page, &list, |pid| usage(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?));
    let mut together = page.into_bytes();
    let mut known = BTreeSet::from(["weir_metrics_up".to_owned()]);
    for text in std::iter::once(own.as_slice()).chain(pages.iter().filter_map(|(_, said)| *said)) {
        add(&mut together, &mut known, &String::from_utf8_lossy(text));
    }
    together
}

fn processes(page: &mut Exposition, list: &List, usage: impl Fn(u32) -> Option<Usage>) {
    if list.services.is_empty() {
        return;
    }
    page.metric("weir_uptime_seconds", "gauge", "Since power-on.");
    page.value("weir_uptime_seconds", &[], list.uptime_ms as f64 / 1_000.0);
    let used: Vec<Option<Usage>> =
        list.services.iter().map(|row| Some(row.pid).filter(|pid| *pid > 0).and_then(&usage)).collect();
    let mut each = |name: &str, kind: &str, help: &str, of: &dyn Fn(&Row, Option<Usage>) -> Option<f64>| {
        page.metric(name, kind, help);
        for (row, used) in list.services.iter().zip(&used) {
            if let Some(value) = of(row, *used) {
                page.value(name, &[("service", &row.name)], value);
            }
        }
    };
    each("weir_service_up", "gauge", "1 while a service runs and is ready.", &|row, _| {
        Some(f64::from(u8::from(row.state == "running")))
    });
    each("weir_service_restarts_total", "counter", "How often a service had to be started again.", &|row, _| {
        Some(row.restarts as f64)
    });
    each("weir_service_private_memory_bytes", "gauge", "Memory that is a service's alone.", &|row, _| {
        (row.pid > 0).then_some(row.memory_kib as f64 * 1_024.0)
    });
    each("weir_service_resident_memory_bytes", "gauge", "Memory of a service with what others share.", &|_, used| {
        used.map(|used| used.resident as f64)
    });
    each("weir_service_cpu_seconds_total", "counter", "Processor time of a service's present process.", &|_, used| {
        used.map(|used| used.seconds)
    });
}

/// Of `/proc/PID/stat` (proc(5)): the fields after the name, which may hold anything.
fn usage(stat: &str) -> Option<Usage> {
    // The kernel's clock tick and page, which are the same on every x86-64.
    const TICKS: f64 = 100.0;
    const PAGE: u64 = 4_096;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at - 3).and_then(|field| field.parse::<u64>().ok());
    let ticks = number(14)?.saturating_add(number(15)?);
    Some(Usage { resident: number(24)?.saturating_mul(PAGE), seconds: ticks as f64 / TICKS })
}

/// Adds the metrics of a page that are not there yet, each with its lines.
fn add(together: &mut Vec<u8>, known: &mut BTreeSet<String>, page: &str) {
    let mut current = (String::new(), false);
    let mut found = Vec::new();
    for line in page.lines() {
        let comment = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        let name = match comment {
            Some(rest) => rest.split(' ').next().unwrap_or_default(),
            None => line.split(['{', ' ']).next().unwrap_or_default(),
        };
        // The buckets of a histogram have its name and more.
        let same = match comment {
            Some(_) => name == current.0,
            None => name.starts_with(&current.0) && !current.0.is_empty(),
        };
        if !same {
            current = (name.to_owned(), !name.is_empty() && !known.contains(name));
            found.push(current.0.clone());
        }
        if current.1 {
            together.extend_from_slice(line.as_bytes());
            together.push(b'\n');
        }
    }
    known.extend(found);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn pages_become_one_and_a_metric_stands_there_once() {
        let first = b"# HELP a An a.\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2\n# HELP b B.\n# TYPE b histogram\nb_bucket{le=\"1\"} 3\nb_sum 3\n";
        let second = b"# HELP c C.\n# TYPE c gauge\nc 5\n# HELP a An a.\n# TYPE a gauge\na 9\n# HELP ab A.\n# TYPE ab gauge\nab 7\n";
        let page = text(together(b"", Vec::new(), &[("one", Some(first)), ("two", Some(second)), ("three", None)]));
        assert!(
            page.contains("b_sum 3\n# HELP c C.\n# TYPE c gauge\nc 5\n# HELP ab A.\n# TYPE ab gauge\nab 7\n"),
            "{page}"
        );
        assert!(page.contains("weir_metrics_up{service=\"two\"} 1\nweir_metrics_up{service=\"three\"} 0\n"), "{page}");
        assert!(!page.contains("a 9") && page.matches("# TYPE a ").count() == 1, "{page}");
    }

    #[test]
    fn processes_are_shown_by_their_services() {
        let list =
            br#"{"uptime_ms":1500,"services":[{"name":"dnsd","state":"running","pid":7,"restarts":2,"memory_kib":3},
            {"name":"dhcp4","state":"waiting","pid":0,"restarts":1,"memory_kib":0}]}"#;
        let list: List = serde_json::from_slice(list).unwrap();
        let mut page = Exposition::default();
        processes(&mut page, &list, |_| Some(Usage { resident: 8_192, seconds: 0.25 }));
        let page = text(page.into_bytes());
        for line in [
            "weir_uptime_seconds 1.5",
            "weir_service_up{service=\"dhcp4\"} 0",
            "weir_service_restarts_total{service=\"dnsd\"} 2",
            "weir_service_private_memory_bytes{service=\"dnsd\"} 3072",
            "weir_service_resident_memory_bytes{service=\"dnsd\"} 8192",
            "weir_service_cpu_seconds_total{service=\"dnsd\"} 0.25",
        ] {
            assert!(page.contains(&format!("{line}\n")), "{line}: {page}");
        }
        assert!(!page.contains("bytes{service=\"dhcp4\"}") && !page.contains("cpu_seconds_total{service=\"dhcp4\"}"));
    }

    #[test]
    fn usage_is_read_past_any_name() {
        let stat = format!("7 (a) b (c) S {} 25 50 {} 11 9", "1 ".repeat(10).trim(), "2 ".repeat(8).trim());
        assert_eq!(usage(&stat), Some(Usage { resident: 11 * 4_096, seconds: 0.75 }));
        assert_eq!(usage("7 (a"), None);
        assert!(usage(&std::fs::read_to_string("/proc/self/stat").unwrap()).unwrap().resident > 100_000);
    }
}
