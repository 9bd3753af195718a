//! Drivers whose probing would hold PID 1 back ride in the initramfs and are loaded beside everything else.
use crate::console::Console;
use nix::kmod::{ModuleInitFlags, finit_module};
use std::fs::File;

const FOLDER: &str = "/modules";

/// Loads the files that `/modules/order` names, one a line, in a thread: loading returns only after the probe.
pub fn load_in_background(console: &Console) {
    let Ok(order) = std::fs::read_to_string(format!("{FOLDER}/order")) else { return };
    let mut files = Vec::new();
    for name in order.split_ascii_whitespace() {
        // Opened here, because the root is another one soon.
        match File::open(format!("{FOLDER}/{name}")) {
            Ok(file) => files.push((name.to_owned(), file)),
            Err(error) => console.say(format_args!("module {name}: {error}")),
        }
    }
    let thread = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || {
        for (name, file) in files {
            if let Err(error) = finit_module(&file, c"", ModuleInitFlags::empty()) {
                Console::open().say(format_args!("module {name}: {error}"));
            }
        }
    });
    if let Err(error) = thread {
        console.say(format_args!("modules: {error}"));
    }
}
