//! The rules of the house, held by reading the tree: licences, sources, known faults and number of crates; length of
//! files; where `unsafe` may stand; who may import whom; no test that sleeps or is left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const ALLOWED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
    "Unlicense",
    "BSL-1.0",
    // Data: the list of authorities.
    "CDLA-Permissive-2.0",
    // LLVM's fuzzer, in no program but `make fuzz`.
    "NCSA",
];
const REFUSED: &[&str] = &["tokio", "async-std", "aws-lc-sys", "aws-lc-rs", "openssl-sys", "openssl"];
/// What runs on the router.
const ROUTER: &[&str] = &["init", "services", "netstack", "layout", "rights", "installer"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn metadata() -> Value {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let words =
        ["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform=x86_64-unknown-linux-gnu"];
    let output = Command::new(cargo).args(words).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn packages(metadata: &Value) -> BTreeMap<&str, &Value> {
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|package| (package["id"].as_str().unwrap(), package)).collect()
}

/// `A OR B`, `A AND B`, `A/B`, with parentheses: whether it can be satisfied with what is allowed.
fn acceptable(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    expression
        .split(" AND ")
        .all(|all| all.split(" OR ").any(|one| ALLOWED.contains(&one.trim().trim_end_matches(" WITH LLVM-exception"))))
}

#[test]
fn every_crate_has_a_licence_we_take_and_comes_from_the_registry() {
    let metadata = metadata();
    for package in packages(&metadata).values() {
        let (name, licence) = (package["name"].as_str().unwrap(), package["license"].as_str().unwrap_or("none"));
        assert!(acceptable(licence), "{name}: licence {licence}");
        assert!(!REFUSED.contains(&name), "{name} is not to be used");
        if let Some(source) = package["source"].as_str() {
            assert!(source.starts_with("registry+"), "{name} comes from {source}");
        }
    }
}

/// The numbers of a version, without what is said after them.
fn numbers(version: &str) -> Vec<u64> {
    let plain = version.split(['-', '+']).next().unwrap();
    plain.split('.').map(|number| number.parse().unwrap()).collect()
}

#[test]
fn no_locked_crate_has_a_known_fault() {
    let known = std::fs::read_to_string(root().join(".ci/advisories")).unwrap();
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let value = |part: &str, key: &str| -> Option<String> {
        let line = part.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
        Some(line?.trim_end_matches('"').to_owned())
    };
    let mut checked = 0;
    for part in lock.split("[[package]]").skip(1) {
        let (name, version) = (value(part, "name").unwrap(), value(part, "version").unwrap());
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let Some(row) = known.lines().map(words).find(|row| row.first() == Some(&name)) else { continue };
        assert!(numbers(&version) >= numbers(&row[1]), "{name} {version} has {}", row[2..].join(", "));
        checked += 1;
    }
    assert!(checked > 0, "nothing was compared");
    let says = known.lines().find(|line| line.contains("advisory-db")).unwrap();
    eprintln!("{checked} locked crates once had a fault and have it no more. {}", says.trim_start_matches("# "));
}

/// What `cargo tree` says is compiled for the router, to a depth. `cargo metadata` also counts what a feature that is named
/// weakly (`ssh-key?/alloc`) would bring if it were asked for.
fn compiled(depth: &str) -> BTreeSet<String> {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    // Normal dependencies only: neither those of tests nor those of build scripts.
    let words = ["tree", "--locked", "--offline", "--edges=normal", "--prefix=none", "--no-dedupe", "--format={p}"];
    let mut command = Command::new(cargo);
    command.args(words).args(["--target=x86_64-unknown-linux-gnu", "--depth", depth]).current_dir(root());
    command.args(ROUTER.iter().flat_map(|name| ["--package", name]));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let crates = text.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    crates.filter(|line| !line.is_empty() && !ROUTER.iter().any(|ours| line.starts_with(&format!("{ours} ")))).collect()
}

#[test]
fn few_crates_run_on_the_router() {
    let (direct, all) = (compiled("1"), compiled("99"));
    eprintln!("{} direct, {} in all", direct.len(), all.len());
    assert!(direct.iter().any(|line| line.starts_with("nix ")) && direct.len() <= 30, "{direct:?}");
    assert!(all.len() > direct.len() && all.len() <= 110, "{all:?}");
}

fn sources() -> Vec<(String, String)> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    let rust = names.lines().filter(|name| name.ends_with(".rs"));
    rust.filter_map(|name| Some((name.to_owned(), std::fs::read_to_string(root().join(name)).ok()?))).collect()
}

#[test]
fn files_are_short_and_unsafe_stands_in_sys_only() {
    let sources = sources();
    assert!(sources.len() > 20, "git lists the sources");
    for (name, text) in &sources {
        let lines = text.lines().count();
        assert!(lines <= 800, "{name} has {lines} lines");
        if name.contains("src/sys/") {
            continue;
        }
        let found = text.lines().find(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.contains("unsafe {")
                || code.contains("unsafe fn")
                || code.contains("unsafe impl")
                || code.contains("allow(unsafe_code)")
        });
        // This file names what it looks for.
        assert!(found.is_none() || name == "qemu/tests/house.rs", "{name}: {found:?}");
    }
}

#[test]
fn no_service_imports_another() {
    let services: Vec<&str> = rights::SERVICES.iter().map(|service| service.name).collect();
    for (name, text) in sources() {
        let Some(own) = services.iter().find(|service| name.starts_with(&format!("services/src/{service}/"))) else {
            continue;
        };
        for other in services.iter().filter(|other| *other != own) {
            assert!(!text.contains(&format!("crate::{other}::")), "{name} imports {other}");
        }
    }
}

#[test]
fn no_test_is_left_out_and_none_sleeps() {
    for (name, text) in sources() {
        // This file names what it looks for.
        let sleeps = name.contains("tests") && name != "qemu/tests/house.rs" && text.contains("thread::sleep");
        assert!(!sleeps, "{name} sleeps where it could await");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("#[ignore")), "{name} leaves a test out");
    }
}

#[test]
fn the_tests_that_the_conformance_table_names_exist() {
    let table = std::fs::read_to_string(root().join("docs/CONFORMANCE.md")).unwrap();
    let code: String = sources().into_iter().map(|(_, text)| text).collect();
    // Names of tests are sentences; other words in backticks are not.
    let named = table.split('`').skip(1).step_by(2).filter(|word| word.matches('_').count() > 1 && !word.contains('/'));
    let named: BTreeSet<&str> = named.collect();
    assert!(named.len() > 40, "{} names", named.len());
    for name in named {
        assert!(code.contains(&format!("fn {name}(")), "{name} is no test");
    }
}
