//! What comes out the same each time (instructions, bytes, memory) has not grown by over 5 % without somebody saying so in
//! `qemu/bars.json`. The bars themselves are `make bench`'s.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use qemu::bars::all;
use std::path::Path;
use std::process::Command;

#[test]
fn what_repeats_is_what_was_written_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_bench_boot")).args(["--boots", "1"]).current_dir(root).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let results: serde_json::Value =
        serde_json::from_str(String::from_utf8_lossy(&output.stdout).lines().last().unwrap()).unwrap();
    let mut seen = 0;
    for bar in all().iter().filter(|bar| bar.bench == "boot") {
        let Some(before) = bar.repeats else { continue };
        let measured = bar.find(&results).unwrap_or_else(|| panic!("{} is not in {results}", bar.figure));
        eprintln!("{}: {measured} {}, {before} written down", bar.what, bar.unit);
        assert!(
            !bar.worse(measured),
            "{}: {measured} {} is over 5 % more than {before}; if that is meant, write {measured} into qemu/bars.json",
            bar.what,
            bar.unit
        );
        seen += 1;
    }
    assert!(seen >= 3, "{results}");
}
