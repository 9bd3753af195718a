//! The line to PID 1: one notice per line on the descriptor that it gave us.
use std::fs::File;
use std::io::Write;

/// Writes notices; without PID 1 `ready` goes to the log and file notices go nowhere.
#[derive(Debug)]
pub struct Notify {
    line: Option<File>,
    ready: bool,
}

impl Notify {
    /// The descriptor named by `WEIR_NOTIFY_FD`, when there is one and it is open.
    pub fn from_environment() -> Notify {
        let number = std::env::var("WEIR_NOTIFY_FD").ok().and_then(|text| text.parse().ok());
        let line = number.and_then(netstack::sys::inherited).map(File::from);
        Notify { line, ready: false }
    }

    /// Says `ready`, the first time only.
    pub fn ready(&mut self) {
        if std::mem::replace(&mut self.ready, true) {
            return;
        }
        if self.line.is_none() {
            log::info!("ready");
        }
        self.write("ready");
    }

    /// Says that a file was replaced.
    pub fn changed(&mut self, absolute: &str) {
        self.write(absolute);
    }

    fn write(&mut self, notice: &str) {
        let Some(line) = &mut self.line else { return };
        // One write per notice: a pipe keeps writes below PIPE_BUF whole.
        if let Err(error) = line.write_all(format!("{notice}\n").as_bytes()) {
            log::warn!("notice {notice:?} to PID 1: {error}");
        }
    }
}
