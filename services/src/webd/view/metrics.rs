//! Values out of a page of metrics (Prometheus' exposition format, as our own services write it).
use std::collections::BTreeMap;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Value<'a> {
    /// Its labels.
    pub labels: BTreeMap<&'a str, String>,
    /// Its value.
    pub value: f64,
}

/// Every value of a metric.
pub fn of<'a>(page: &'a str, name: &str) -> Vec<Value<'a>> {
    page.lines().filter_map(|line| parse(line.strip_prefix(name)?)).collect()
}

/// The one value of a metric without labels.
pub fn one(page: &str, name: &str) -> Option<f64> {
    of(page, name).into_iter().find(|found| found.labels.is_empty()).map(|found| found.value)
}

fn parse(rest: &str) -> Option<Value<'_>> {
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    if let Some(inner) = rest.strip_prefix('{') {
        let mut left = inner;
        loop {
            let (name, after) = left.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(name, value);
            match after.strip_prefix(',') {
                Some(more) => left = more,
                None => {
                    rest = after.strip_prefix('}')?;
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ')?.split(' ').next()?.parse().ok()?;
    Some(Value { labels, value })
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Exposition;

    #[test]
    fn what_is_written_is_read() {
        let mut page = Exposition::default();
        page.metric("a", "gauge", "An a.").value("a", &[], 7).value("a", &[("b", "x\"\\\n"), ("c", "")], 0.5);
        page.metric("ab", "gauge", "Another.").value("ab", &[], 9);
        let page = String::from_utf8(page.into_bytes()).unwrap();
        assert_eq!(one(&page, "a"), Some(7.0));
        let all = of(&page, "a");
        assert_eq!((all.len(), all[1].labels["b"].as_str(), all[1].value), (2, "x\"\\\n", 0.5));
        for line in ["a{", "a{b=\"", "a{b=\"c\"", "a x", "a"] {
            assert!(of(line, "a").is_empty(), "{line}");
        }
    }
}
