//! QEMU's plugin that counts executed instructions.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir::error::{Context, Error, Result};

/// Builds the counting plugin from `qemu/plugin/icount.c`.
///
/// # Errors
/// When there is no compiler or it refuses.
pub fn compile(folder: &Path) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin/icount.c");
    let plugin = folder.join("icount.so");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden", "-o"]);
    let status = gcc.arg(&plugin).arg(&source).status().cannot(|| "run gcc".into());
    let status = status.map_err(|error| error.next("install gcc (make deps does)"))?;
    if status.success() {
        return Ok(plugin);
    }
    Err(Error::new(format!("gcc refused {}", source.display())))
}

/// The kernel's functions by address, from its System.map; the kernel has to be started with `nokaslr`.
#[derive(Debug)]
pub struct Functions(BTreeMap<u64, String>);

impl Functions {
    /// Reads the text of a System.map; lines of another form are no functions.
    pub fn of_map(text: &str) -> Functions {
        let function = |line: &str| {
            let [address, kind, name] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
            let address = u64::from_str_radix(address, 16).ok()?;
            kind.eq_ignore_ascii_case("t").then(|| (address, name.to_owned()))
        };
        Functions(text.lines().filter_map(function).collect())
    }

    /// Sums up the lines of the plugin, "ADDRESS COUNT", by function.
    pub fn sum(&self, blocks: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for line in blocks.lines() {
            let number = |text| u64::from_str_radix(text, 16).ok();
            let Some((address, count)) = line.split_once(' ').and_then(|(a, b)| Some((number(a)?, number(b)?))) else {
                continue;
            };
            let name = self.0.range(..=address).next_back().map_or("?", |(_, name)| name);
            *sums.entry(name.to_owned()).or_default() += count;
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_summed_up_by_function() {
        let functions = Functions::of_map("10 T first\n20 t second\n28 d datum\nrubbish\n");
        let sums = functions.sum("12 3\n1f 1\n2a 10\n8 1\nrubbish\n");
        assert_eq!(sums, BTreeMap::from([("first".into(), 4), ("second".into(), 16), ("?".into(), 1)]));
    }

    #[test]
    fn the_plugin_compiles_without_a_warning() {
        let folder = crate::Folder::new();
        assert!(compile(&folder.0).unwrap().is_file());
    }
}
