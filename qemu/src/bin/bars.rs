//! `make bench`, its end: holds what the benchmarks have left in `target/bench` against the bars.
#![forbid(unsafe_code)]
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use qemu::bars::{Verdict, all, table};
use serde_json::{Value, json};
use weir::error::{Context, Error, Result};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bars: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every bar that was measured is held. Writes `bench.json` and `bench.md` beside what it reads.
fn run() -> Result<bool> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "target/bench".into()));
    let bars = all();
    let mut results = BTreeMap::new();
    for bar in &bars {
        let path = folder.join(&bar.bench).with_extension("json");
        if results.contains_key(&bar.bench) || !path.exists() {
            continue;
        }
        let text = std::fs::read_to_string(&path).cannot_file("read", &path)?;
        let value: Value = serde_json::from_str(text.trim())
            .map_err(|error| Error::new(format!("{}: {error}", path.display())).next("run the benchmark again"))?;
        results.insert(bar.bench.clone(), value);
    }
    let text = table(&bars, &results);
    let rows: Vec<Value> = bars
        .iter()
        .map(|bar| {
            let measured = results.get(&bar.bench).and_then(|of| bar.find(of));
            let verdict = format!("{:?}", bar.judge(measured)).to_lowercase();
            json!({"what": bar.what, "unit": bar.unit, "most": bar.most, "least": bar.least, "repeats": bar.repeats,
                "measured": measured, "verdict": verdict})
        })
        .collect();
    let whole = json!({"bars": rows, "results": results});
    for (name, text) in [("bench.md", &text), ("bench.json", &format!("{whole}\n"))] {
        let path = folder.join(name);
        std::fs::write(&path, text).cannot_file("write", &path)?;
    }
    eprint!("{text}");
    println!("{whole}");
    let held = |bar: &qemu::bars::Bar| {
        let verdict = bar.judge(results.get(&bar.bench).and_then(|of| bar.find(of)));
        !matches!(verdict, Verdict::Broken | Verdict::Worse)
    };
    Ok(bars.iter().all(held))
}
