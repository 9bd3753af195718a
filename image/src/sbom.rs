//! `sbom.cdx.json`: what the image is made of, as CycloneDX 1.5 has it: the crates under what runs on the router, the kernel
//! and the boot loader, each with version and licence. The same inputs give the same bytes.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::error::{Context, Result};

/// The file's name in the output folder.
pub const FILE: &str = "sbom.cdx.json";
/// What `image/build.sh` has cargo list, a line each: `NAME vVERSION LICENCES`.
pub const CRATES: &str = "crates.txt";

/// Describes the image. `crates` is what cargo listed, `kernel` and `grub` are versions, where they are known.
fn describe(crates: &str, kernel: Option<&str>, grub: Option<&str>, version: &str) -> String {
    let listed: BTreeSet<(&str, &str, &str)> = crates.lines().filter_map(package).collect();
    let mut components: Vec<Value> = listed
        .iter()
        // Before it was SPDX's, a slash stood for OR.
        .map(|(name, version, licences)| component("library", "cargo", name, version, &licences.replace('/', " OR ")))
        .collect();
    let linux = |version| component("operating-system", "generic", "linux", version, "GPL-2.0-only");
    components.extend(kernel.map(linux));
    components.extend(grub.map(|version| component("firmware", "deb/debian", "grub2", version, "GPL-3.0-or-later")));
    let made = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {
            "component": {"type": "firmware", "name": "weir", "version": version},
        },
        "components": components,
    });
    format!("{made:#}\n")
}

/// The list of what lies in `output` and of the kernel in its folder.
///
/// # Errors
/// When the list of crates is not there, or cannot be read.
pub fn of(output: &Path, kernel: &Path, version: &str) -> Result<String> {
    let list = output.join(CRATES);
    let crates = fs::read_to_string(&list).cannot_file("read", &list).map_err(|error| error.next("make router"))?;
    // A kernel of one's own may have no word of itself.
    let config = fs::read_to_string(kernel.join("config")).unwrap_or_default();
    Ok(describe(&crates, linux(&config), debian("grub-pc-bin").as_deref(), version))
}

/// `NAME vVERSION [(PATH)] LICENCES`; none for what is no package of others.
fn package(line: &str) -> Option<(&str, &str, &str)> {
    let line = line.trim_end_matches("(*)").trim();
    let (name, rest) = line.split_once(" v")?;
    let (version, licences) = rest.split_once(' ').unwrap_or((rest, ""));
    // Our own have a path.
    (!licences.starts_with('(')).then_some((name, version, licences))
}

fn component(kind: &str, source: &str, name: &str, version: &str, licence: &str) -> Value {
    json!({
        "type": kind, "name": name, "version": version,
        "purl": format!("pkg:{source}/{name}@{}", escaped(version)),
        "licenses": [{"expression": licence}],
    })
}

/// The version that a kernel's configuration begins with: `# Linux/x86 6.12.1 Kernel Configuration`.
fn linux(config: &str) -> Option<&str> {
    config.lines().take(4).find_map(|line| line.strip_prefix("# Linux/x86 ")?.strip_suffix(" Kernel Configuration"))
}

/// The few letters of versions that a package URL wants escaped.
fn escaped(version: &str) -> String {
    version.replace('%', "%25").replace('+', "%2B").replace(':', "%3A").replace('~', "%7E")
}

fn debian(package: &str) -> Option<String> {
    let output = Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_kernel_and_loader_are_named_once_and_our_own_are_not() {
        let list = "adler2 v2.0.1 0BSD OR MIT OR Apache-2.0\nzstd-sys v2.1.3+zstd.1.5.7 MIT/Apache-2.0\n\
                    adler2 v2.0.1 0BSD OR MIT OR Apache-2.0 (*)\nnetstack v0.1.0 (/weir/netstack) Apache-2.0\n";
        let made = describe(list, linux("#\n# Linux/x86 6.12.9 Kernel Configuration\n"), None, "0.1.0");
        let made: Value = serde_json::from_str(&made).unwrap();
        let names: Vec<&str> =
            made["components"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["adler2", "zstd-sys", "linux"]);
        let zstd = &made["components"][1];
        assert_eq!(zstd["purl"], "pkg:cargo/zstd-sys@2.1.3%2Bzstd.1.5.7");
        assert_eq!(zstd["licenses"][0]["expression"], "MIT OR Apache-2.0");
    }
}
