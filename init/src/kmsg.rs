//! The kernel's log, read record by record from `/dev/kmsg`.
use crate::rings::{Ring, Stream};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// An open kernel log.
#[derive(Debug)]
pub struct Kmsg {
    file: File,
}

impl Kmsg {
    /// Opens it at its oldest record.
    ///
    /// # Errors
    /// When there is none.
    pub fn open() -> std::io::Result<Kmsg> {
        let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
        Ok(Kmsg { file: File::options().read(true).custom_flags(flags).open("/dev/kmsg")? })
    }

    /// Reads at most so many records into the ring.
    pub fn read(&mut self, ring: &mut Ring, most: usize) {
        let mut buffer = [0u8; 8192];
        for _ in 0..most {
            match self.file.read(&mut buffer) {
                Ok(length) => {
                    if let Some((t_ms, text)) = parse(buffer.get(..length).unwrap_or_default()) {
                        ring.push(t_ms, Stream::Kernel, text);
                    }
                }
                // The kernel overwrote what we had not read; the next read goes on behind the gap.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(_) => return,
            }
        }
    }
}

impl AsFd for Kmsg {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Milliseconds and text of a record: `6,339,5140900,-;text`, then lines of properties.
fn parse(record: &[u8]) -> Option<(u64, &[u8])> {
    let mut halves = record.splitn(2, |byte| *byte == b';');
    let prefix = std::str::from_utf8(halves.next()?).ok()?;
    let text = halves.next()?.split(|byte| *byte == b'\n').next()?;
    let micros: u64 = prefix.split(',').nth(2)?.parse().ok()?;
    Some((micros / 1000, text))
}

/// One line into the kernel's log, for what no ring of ours would survive.
pub fn write(line: &str) {
    if let Ok(mut file) = File::options().write(true).open("/dev/kmsg") {
        // There is nobody left to tell.
        let _ = file.write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn records() {
        let record = b"6,339,5140900,-;NET: Registered; family\n SUBSYSTEM=net\n DEVICE=+x\n";
        assert_eq!(parse(record), Some((5140, b"NET: Registered; family".as_slice())));
        assert_eq!(parse(b"4,1,0,c,caller=T1;x\n"), Some((0, b"x".as_slice())));
        for bad in [b"".as_slice(), b";", b"6,339;x", b"6,1,abc,-;x", b"\xff,1,2;x"] {
            assert_eq!(parse(bad), None);
        }
    }
}
