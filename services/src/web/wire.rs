//! What a connection goes over: TCP as it is, or TLS (RFC 8446, RFC 5246) on it. Nothing here waits, and nothing grows: of
//! what is said [`WAITING`] bytes lie here at most, of what is heard a record.
use netstack::event::Interest;
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

/// Bytes that may wait to be taken by a client of TLS.
const WAITING: usize = 32 << 10;
/// Bytes of records that are read in one turn without anything being said in them.
const AT_ONCE: usize = 64 << 10;

/// One connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    session: Option<Box<ServerConnection>>,
}

impl Wire {
    /// As it is.
    pub fn plain(stream: TcpStream) -> Wire {
        Wire { stream, session: None }
    }

    /// With a handshake before anything is said.
    ///
    /// # Errors
    /// When the configuration is none.
    pub fn secure(stream: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Wire> {
        let mut session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        session.set_buffer_limit(Some(WAITING));
        Ok(Wire { stream, session: Some(Box::new(session)) })
    }

    /// What the event loop watches.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether nobody on the way can read it.
    pub fn is_secure(&self) -> bool {
        self.session.is_some()
    }

    /// What to wait for in order to hear more: a handshake also has things to say.
    pub fn hearing(&self) -> Interest {
        if self.is_out() { Interest::READ } else { Interest::BOTH }
    }

    /// Whether all that was said has left.
    pub fn is_out(&self) -> bool {
        self.session.as_ref().is_none_or(|session| !session.wants_write())
    }

    /// Sends what waits; whether that was all.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn flush(&mut self) -> io::Result<bool> {
        let Wire { stream, session: Some(session) } = self else { return Ok(true) };
        while session.wants_write() {
            match session.write_tls(stream) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// This was all that we say. What is still coming is not waited for.
    pub fn end(&mut self) {
        if let Some(session) = &mut self.session {
            session.send_close_notify();
            let _ = self.flush();
        }
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.session.is_none() {
            return self.stream.read(buffer);
        }
        let mut heard = 0;
        loop {
            let Wire { stream, session: Some(session) } = self else { return Ok(0) };
            match session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                said => return said,
            }
            if heard >= AT_ONCE {
                // The loop tells again that there is more.
                return Err(ErrorKind::WouldBlock.into());
            }
            match session.read_tls(stream) {
                Ok(0) => return Ok(0),
                Ok(count) => heard += count,
                Err(error) => {
                    self.flush()?;
                    return Err(error);
                }
            }
            let met = session.process_new_packets().map_err(io::Error::other);
            // Also the alert that says why it is over.
            let said = self.flush();
            met?;
            said?;
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return self.stream.write(bytes) };
        let taken = session.writer().write(bytes)?;
        let out = self.flush()?;
        match taken {
            0 if !out => Err(ErrorKind::WouldBlock.into()),
            0 => self.session.as_mut().map_or(Ok(0), |session| session.writer().write(bytes)),
            taken => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Wire::flush(self).map(drop)
    }
}
