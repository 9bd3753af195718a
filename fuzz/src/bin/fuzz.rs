//! LLVM's fuzzer at one target, which WEIR_TARGET names; the words of the command line are the fuzzer's. Without a name:
//! the names of all, each with the folders of its corpus.
#![no_main]
use std::sync::LazyLock;

static TARGET: LazyLock<Option<fuzz::Target>> = LazyLock::new(|| {
    let wanted = std::env::var("WEIR_TARGET").unwrap_or_default();
    fuzz::targets().into_iter().find(|(name, _)| *name == wanted)
});

libfuzzer_sys::fuzz_target!(
    init: {
        if TARGET.is_none() {
            for (name, _) in fuzz::targets() {
                let folders: Vec<_> = fuzz::folders(name).iter().map(|path| path.display().to_string()).collect();
                println!("{name} {}", folders.join(" "));
            }
            std::process::exit(i32::from(std::env::var_os("WEIR_TARGET").is_some()));
        }
    },
    |bytes: &[u8]| {
        if let Some((_, run)) = *TARGET {
            run(bytes);
        }
    }
);
