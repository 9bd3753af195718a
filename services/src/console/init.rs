//! One conversation with PID 1 or configd: a question, and the lines of its answer.
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest line that is taken, in bytes.
const LONGEST: usize = 64 << 10;
/// How long a question may take to be taken.
const PATIENCE: Duration = Duration::from_secs(2);

/// An open conversation.
pub struct Init {
    /// The connection, to be waited for.
    pub stream: UnixStream,
    received: Vec<u8>,
}

impl Init {
    /// Connects and asks.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn ask(path: &Path, request: &str) -> io::Result<Init> {
        let mut stream = UnixStream::connect(path)?;
        // Most questions are a few hundred bytes and taken at once; a person's files are more.
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
        Ok(Init { stream, received: Vec::new() })
    }

    /// Reads what has come, once; whole lines are appended to `lines`. `false` = PID 1 has closed.
    ///
    /// # Errors
    /// When the connection broke, or a line has no end.
    pub fn read(&mut self, lines: &mut Vec<Vec<u8>>) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        let count = match self.stream.read(&mut bytes) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(error) => return Err(error),
        };
        for piece in bytes[..count].split_inclusive(|byte| *byte == b'\n') {
            self.received.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                lines.push(std::mem::take(&mut self.received));
            }
        }
        if self.received.len() > LONGEST {
            return Err(io::Error::other(format!("a line of more than {LONGEST} bytes")));
        }
        Ok(true)
    }
}
