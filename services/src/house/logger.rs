//! The log: lines on stderr, which PID 1 keeps. PID 1 stamps them, so they carry no time.
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::Write;
use std::sync::OnceLock;

struct Stderr {
    name: &'static str,
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // What a library has to say of a stranger's bytes is the stranger's to choose; who uses it says what matters.
        metadata.level() <= Level::Info && !metadata.target().starts_with("sunset")
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            let mark = match record.level() {
                Level::Error => "error: ",
                Level::Warn => "warning: ",
                _ => "",
            };
            let line = format!("{}: {mark}{}\n", self.name, record.args());
            // A log that cannot be written has nowhere to complain.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

/// Sends `log` to stderr, each line beginning with the service's name.
pub fn log_to_stderr(name: &'static str) {
    static LOGGER: OnceLock<Stderr> = OnceLock::new();
    let logger = LOGGER.get_or_init(|| Stderr { name });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}
