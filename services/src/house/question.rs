//! A question to another service or PID 1, on its socket, and the lines of the answer.
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest line that is taken, in bytes.
const LONGEST: usize = 64 << 10;
/// How long a question may take to be taken.
const PATIENCE: Duration = Duration::from_secs(2);

/// A question that was asked.
#[derive(Debug)]
pub struct Question {
    /// The connection, to be waited for.
    pub stream: UnixStream,
    received: Vec<u8>,
    descriptor: Option<OwnedFd>,
}

impl Question {
    /// Connects and asks.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn ask(path: &Path, request: &str) -> io::Result<Question> {
        let mut stream = UnixStream::connect(path)?;
        // Most questions are a few hundred bytes and taken at once; a person's files are more.
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
        Ok(Question { stream, received: Vec::new(), descriptor: None })
    }

    /// Reads what has come, once; whole lines are appended to `lines`. `false` = the other side has closed.
    ///
    /// # Errors
    /// When the connection broke, or a line has no end.
    pub fn read(&mut self, lines: &mut Vec<Vec<u8>>) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        let count = match netstack::pass::receive(&self.stream, &mut bytes) {
            Ok((0, _)) => return Ok(false),
            Ok((count, descriptor)) => {
                self.descriptor = self.descriptor.take().or(descriptor);
                count
            }
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

    /// The descriptor that has come with the answer.
    pub fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptor.take()
    }
}
