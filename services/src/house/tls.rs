//! TLS (RFC 8446, RFC 5246) over sockets that nothing waits for: whoever owns the event loop says when there is something
//! to do, and what was received lies in memory then.
//!
//! A certificate is judged by the wall clock: before that is right, nobody can be believed, but by who must not wait for it
//! ([`Authorities::lasting`]).
use crate::perm::json::Refusal;
use netstack::event::{Interest, Loop, Token};
use netstack::time::Instant;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

mod clock;

/// Bytes that may wait to be sent, and that may be received and not taken.
const LARGEST: usize = 256 << 10;
/// Bytes that are received in one turn; the socket is told to be ready again for the rest.
const AT_ONCE: usize = 64 << 10;
/// Sessions that may be taken up again.
const SESSIONS: usize = 64;

/// Whose certificates are believed.
#[derive(Debug, Clone)]
pub struct Authorities(Arc<ClientConfig>);

/// Whether a file of a person's own authorities can be used.
///
/// # Errors
/// Names the file and what in it is no certificate.
pub fn check_authorities(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    Authorities::new(bytes).map(drop).map_err(|words| Refusal::field(path, "the file", words))
}

impl Authorities {
    /// Those of the internet (Mozilla's list), and the certificates of a person's own in a PEM file.
    ///
    /// # Errors
    /// Says what in the file is no certificate.
    pub fn new(own: &[u8]) -> Result<Authorities, String> {
        let mut config = Authorities::config(roots(own)?)?;
        // Connections are hours apart: nothing of one is kept for the next.
        config.resumption = Resumption::disabled();
        Ok(Authorities(Arc::new(config)))
    }

    /// The same for connections that come again soon: what was agreed on one serves the next (RFC 8446, section 2.2). Unless
    /// the clock is right, a certificate's times count only as far as they are over for certain.
    ///
    /// # Errors
    /// The same.
    pub fn lasting(own: &[u8], clock_is_right: bool) -> Result<Authorities, String> {
        let roots = roots(own)?;
        let mut config = Authorities::config(roots.clone())?;
        if !clock_is_right {
            let judge =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(config.crypto_provider()));
            let judge = judge.build().map_err(|error| error.to_string())?;
            let unsure = clock::Unsure::new(judge, clock::made());
            config.dangerous().set_certificate_verifier(Arc::new(unsure));
        }
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Authorities(Arc::new(config)))
    }

    fn config(roots: RootCertStore) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

// Mozilla's list, and a person's own.
fn roots(own: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let before = roots.len();
    for (at, certificate) in CertificateDer::pem_slice_iter(own).enumerate() {
        let added = certificate.map_err(|error| error.to_string());
        let added = added.and_then(|found| roots.add(found).map_err(|error| error.to_string()));
        added.map_err(|error| format!("certificate {}: {error}", at + 1))?;
    }
    if roots.len() == before && !own.trim_ascii().is_empty() {
        return Err("has no certificate (PEM)".to_owned());
    }
    Ok(roots)
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It can say and hear more.
    Open,
    /// The other side has said that this was all.
    Ended,
    /// It was cut: there may have been more.
    Cut,
}

/// One connection, of either side.
#[derive(Debug)]
pub struct Tls {
    stream: TcpStream,
    token: Token,
    session: Connection,
    until: Instant,
    received: Vec<u8>,
    interest: Interest,
    met: bool,
}

impl Tls {
    /// Begins to connect to an address whose owner must prove to be `name` (a name or an address), with all to be done by
    /// `until`.
    ///
    /// # Errors
    /// When there is no way, no descriptor, or the name is none.
    pub fn connect(
        turn: &Loop,
        token: Token,
        authorities: &Authorities,
        to: SocketAddr,
        name: &str,
        until: Instant,
    ) -> io::Result<Tls> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(&authorities.0), name).map_err(io::Error::other)?;
        Tls::over(turn, token, netstack::connect::tcp(to)?, session.into(), until)
    }

    /// Puts a session, of a client or a server, on a stream that does not block.
    ///
    /// # Errors
    /// When the loop does not take it.
    pub fn over(
        turn: &Loop,
        token: Token,
        stream: TcpStream,
        mut session: Connection,
        until: Instant,
    ) -> io::Result<Tls> {
        session.set_buffer_limit(Some(LARGEST));
        let interest = Interest::BOTH;
        turn.add(&stream, token, interest)?;
        Ok(Tls { stream, token, session, until, received: Vec::new(), interest, met: false })
    }

    /// When [`Tls::turn`] is wanted at the latest.
    pub fn deadline(&self) -> Instant {
        self.until
    }

    /// Gives it more time, or less.
    pub fn set_deadline(&mut self, until: Instant) {
        self.until = until;
    }

    /// Something to say, as soon as the other side is known. It leaves with the next turn.
    ///
    /// # Errors
    /// When more waits to be said than may.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.session.writer().write(bytes) {
            Ok(taken) if taken == bytes.len() => Ok(()),
            Ok(_) => Err(io::Error::other(format!("more than {LARGEST} bytes wait to be sent"))),
            Err(error) => Err(error),
        }
    }

    /// This was all that we say.
    pub fn close(&mut self) {
        self.session.send_close_notify();
    }

    /// What has come and was not taken; whoever takes it empties it.
    pub fn received(&mut self) -> &mut Vec<u8> {
        &mut self.received
    }

    /// Moves what can be moved, either way.
    ///
    /// # Errors
    /// When the time is over, the other side cannot be believed, or the connection broke.
    pub fn turn(&mut self, turn: &Loop, now: Instant) -> io::Result<Flow> {
        if now >= self.until {
            return Err(ErrorKind::TimedOut.into());
        }
        let heard = self.hear();
        // Also the alert that tells the other side why it is not believed.
        let said = self.say();
        let flow = heard?;
        said?;
        self.watch(turn)?;
        Ok(flow)
    }

    /// Sends what can be sent at once.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn flush(&mut self, turn: &Loop) -> io::Result<()> {
        self.say()?;
        self.watch(turn)
    }

    /// Whether it is not known yet who the other side is.
    pub fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Whether anything has come from there.
    pub fn is_met(&self) -> bool {
        self.met
    }

    fn watch(&mut self, turn: &Loop) -> io::Result<()> {
        // As long as the connection is on its way only the socket knows when it is there.
        let interest = if self.session.wants_write() || !self.met { Interest::BOTH } else { Interest::READ };
        if interest != self.interest {
            turn.modify(&self.stream, self.token, interest)?;
            self.interest = interest;
        }
        Ok(())
    }

    fn say(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if waits(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn hear(&mut self) -> io::Result<Flow> {
        let mut heard = 0;
        while heard < AT_ONCE {
            let count = match self.session.read_tls(&mut self.stream) {
                Err(error) if waits(&error) => return Ok(Flow::Open),
                read => read?,
            };
            self.met |= count > 0;
            self.session.process_new_packets().map_err(io::Error::other)?;
            match self.take()? {
                Flow::Open if count == 0 => return Ok(Flow::Cut),
                Flow::Open => {}
                ended => return Ok(ended),
            }
            heard += count;
        }
        Ok(Flow::Open)
    }

    fn take(&mut self) -> io::Result<Flow> {
        let mut buffer = [0; 4096];
        loop {
            if self.received.len() > LARGEST {
                return Err(io::Error::other(format!("more than {LARGEST} bytes came")));
            }
            match self.session.reader().read(&mut buffer) {
                Ok(0) => return Ok(Flow::Ended),
                Ok(count) => self.received.extend(buffer.iter().take(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flow::Open),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Flow::Cut),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether this is no failure; a connection that is still on its way is none either.
fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected)
}

#[cfg(test)]
mod tests;
