//! LLVM's fuzzer at one target, which WEIR_TARGET names; the words of the command line are the fuzzer's. Without a name:
//! the names of all, each with the folders of its corpus.
#![no_main]
use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("WEIR_TARGET").unwrap_or_default();
    match fuzz::targets().into_iter().find(|(name, _)| *name == wanted) {
        Some((_, run)) => run,
        None => {
            for (name, _) in fuzz::targets() {
                let folders = fuzz::folders(name);
                let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
                println!("{name} {}", folders.join(" "));
            }
            std::process::exit(i32::from(!wanted.is_empty()));
        }
    }
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));
