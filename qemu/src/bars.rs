//! The bars of docs/SPECIFICATION.md that a benchmark measures (`qemu/bars.json`), and what was measured held against them.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

/// What a figure that repeats may grow by until somebody has to say that it is meant: 5 %.
const GROWTH: f64 = 1.05;

/// One promise.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bar {
    /// The benchmark, as in `make bench-NAME`.
    pub bench: String,
    /// Where the figure stands in the benchmark's JSON object (RFC 6901).
    pub figure: String,
    /// What it is, for a reader.
    pub what: String,
    /// What it counts.
    pub unit: String,
    /// It may not be more.
    pub most: Option<f64>,
    /// It may not be less.
    pub least: Option<f64>,
    /// The last figure that was written down, of one that comes out the same each time.
    pub repeats: Option<f64>,
    /// Others in the same run: name, and where their figure stands.
    #[serde(default)]
    pub peers: BTreeMap<String, String>,
}

/// What became of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within the bar.
    Held,
    /// Past the bar.
    Broken,
    /// Within the bar, but over 5 % more than was written down.
    Worse,
    /// Nobody has measured it.
    Unknown,
}

impl Bar {
    /// Holds what was measured against the bar.
    pub fn judge(&self, measured: Option<f64>) -> Verdict {
        let Some(measured) = measured else { return Verdict::Unknown };
        let past = self.most.is_some_and(|most| measured > most) || self.least.is_some_and(|least| measured < least);
        match past {
            true => Verdict::Broken,
            false if self.worse(measured) => Verdict::Worse,
            false => Verdict::Held,
        }
    }

    /// Whether a figure that repeats has grown by more than 5 %; never for another one.
    pub fn worse(&self, measured: f64) -> bool {
        self.repeats.is_some_and(|before| measured > before * GROWTH)
    }

    /// The figure in a benchmark's object.
    pub fn find(&self, results: &Value) -> Option<f64> {
        results.pointer(&self.figure)?.as_f64()
    }
}

/// The bars of the project.
///
/// # Panics
/// When `qemu/bars.json` is wrong, with its line.
pub fn all() -> Vec<Bar> {
    serde_json::from_str(include_str!("../bars.json")).unwrap_or_else(|error| panic!("qemu/bars.json: {error}"))
}

/// The table for people: each promise, its bar, what was measured, and what others needed in the same run.
pub fn table(bars: &[Bar], results: &BTreeMap<String, Value>) -> String {
    let mut text = String::from("| What | Unit | Bar | Measured | | Others |\n|---|---|---|---|---|---|\n");
    for bar in bars {
        let of = results.get(&bar.bench);
        let measured = of.and_then(|of| bar.find(of));
        let limit = match (bar.most, bar.least, bar.repeats) {
            (Some(most), ..) => format!("≤ {}", number(most)),
            (None, Some(least), _) => format!("≥ {}", number(least)),
            (None, None, Some(repeats)) => format!("{} + 5 %", number(repeats)),
            (None, None, None) => String::new(),
        };
        let verdict = match bar.judge(measured) {
            Verdict::Held => "",
            Verdict::Broken => "NOT HELD",
            Verdict::Worse => "over 5 % worse than written down",
            Verdict::Unknown => "",
        };
        let peer = |(name, place): (&String, &String)| {
            let figure = of.and_then(|of| of.pointer(place)?.as_f64())?;
            Some(format!("{name} {}", number(figure)))
        };
        let others: Vec<String> = bar.peers.iter().filter_map(peer).collect();
        let measured = measured.map_or_else(|| "not measured".into(), number);
        let _ = writeln!(
            text,
            "| {} | {} | {limit} | {measured} | {verdict} | {} |",
            bar.what,
            bar.unit,
            others.join(", ")
        );
    }
    text
}

/// Whole numbers whole, others to three digits.
fn number(value: f64) -> String {
    if value >= 100.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bar(text: Value) -> Bar {
        let mut whole = json!({"bench": "boot", "figure": "/a/b", "what": "a boot", "unit": "ms"});
        whole.as_object_mut().unwrap().extend(text.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn a_bar_is_held_up_to_itself() {
        let most = bar(json!({"most": 10}));
        assert_eq!(most.judge(Some(10.0)), Verdict::Held);
        assert_eq!(most.judge(Some(10.1)), Verdict::Broken);
        assert_eq!(most.judge(None), Verdict::Unknown);
        let least = bar(json!({"least": 10}));
        assert_eq!([least.judge(Some(10.0)), least.judge(Some(9.9))], [Verdict::Held, Verdict::Broken]);
    }

    #[test]
    fn what_repeats_may_grow_by_a_twentieth() {
        let bar = bar(json!({"most": 200, "repeats": 100}));
        assert_eq!(bar.judge(Some(105.0)), Verdict::Held);
        assert_eq!(bar.judge(Some(105.1)), Verdict::Worse);
        assert_eq!(bar.judge(Some(200.1)), Verdict::Broken);
    }

    #[test]
    fn the_table_says_what_was_measured_and_what_was_not() {
        let bars =
            [bar(json!({"most": 10, "peers": {"another": "/a/c", "nobody": "/a/d"}})), bar(json!({"figure": "/none"}))];
        let results = BTreeMap::from([("boot".to_owned(), json!({"a": {"b": 12.5, "c": 400}}))]);
        let table = table(&bars, &results);
        assert!(table.contains("| ≤ 10 | 12.500 | NOT HELD | another 400 |"), "{table}");
        assert!(table.contains("| not measured |  |  |"), "{table}");
    }

    #[test]
    fn every_bar_of_the_project_can_be_read() {
        let bars = all();
        assert!(bars.iter().all(|bar| bar.most.or(bar.least).or(bar.repeats).is_some()), "a row without a bar");
        assert!(bars.iter().all(|bar| ["boot", "forward", "lan"].contains(&bar.bench.as_str())));
    }
}
