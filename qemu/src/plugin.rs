//! QEMU's plugin that counts executed instructions.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_compiles_without_a_warning() {
        let folder = crate::Folder::new();
        assert!(compile(&folder.0).unwrap().is_file());
    }
}
