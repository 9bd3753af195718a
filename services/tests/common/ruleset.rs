//! Rulesets as `nft` lists them, beside this folder in `rulesets/`: read one before you change it.
use super::Namespace;
use std::path::Path;

/// Compares our table with a scenario's. `UPDATE=1` writes the scenario's file instead.
pub fn is(router: &Namespace, scenario: &str) {
    let listed = router.output("nft", &["-s", "list", "table", "inet", "weir"]);
    // What rules have filled in is no part of the scenario.
    let (mut filled, mut kept) = (false, String::new());
    for line in listed.lines() {
        let begins = line.contains("elements = {") && line.contains("ct count");
        if begins || filled {
            filled = !line.ends_with('}');
        } else {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    // A device's share follows from the machine's memory, which is not the scenario's.
    let mut parts = kept.split("ct count over ");
    let mut found = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|letter: char| letter.is_ascii_digit());
        found.push_str("ct count over SHARE");
        found.push_str(rest);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rulesets").join(scenario).with_extension("nft");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "{}; `UPDATE=1` writes what was found", path.display());
}
