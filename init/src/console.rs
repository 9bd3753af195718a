//! Lines for whoever watches the console: few, short, and never waited for.
use crate::clock;
use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// `/dev/console`, not blocking: a stalled console loses lines.
#[derive(Debug)]
pub struct Console {
    file: Option<File>,
    broken: Cell<bool>,
}

/// Opens the console for reading and writing, as PID 1 writes to it and as a service gets it.
///
/// # Errors
/// When there is none.
pub fn open() -> std::io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    File::options().read(true).write(true).custom_flags(flags).open("/dev/console")
}

impl Console {
    /// Without a console, lines go nowhere.
    pub fn open() -> Console {
        Console { file: open().ok(), broken: Cell::new(false) }
    }

    /// One that says nothing.
    #[cfg(test)]
    pub fn none() -> Console {
        Console { file: None, broken: Cell::new(false) }
    }

    /// One line with the kernel's clock.
    pub fn say(&self, text: impl std::fmt::Display) {
        let now = clock::now();
        self.line(format_args!("weir {:>2}.{:03} {text}", now / 1000, now % 1000));
    }

    /// One line as it is.
    pub fn line(&self, text: impl std::fmt::Display) {
        // After half a line, the next one begins on a new one.
        let start = if self.broken.get() { "\n" } else { "" };
        let line = format!("{start}{text}\n");
        let written = self.file.as_ref().map(|mut file| file.write(line.as_bytes()));
        let whole = match written {
            Some(Ok(bytes)) if bytes > 0 => bytes == line.len(),
            _ => !self.broken.get(),
        };
        self.broken.set(!whole);
    }
}
