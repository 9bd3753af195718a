//! Certificates before the clock is right. Whoever sets it may have to be found by a name, and the name may have to be
//! asked for over TLS: a certificate's times are then held against it only as far as they are known to be over.
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Certificates of a chain that may disagree with the clock, each at either end of its time.
const MOST: usize = 16;

/// As webpki judges, at any moment that is not over for certain.
#[derive(Debug)]
pub struct Unsure {
    judge: Arc<WebPkiServerVerifier>,
    floor: UnixTime,
}

impl Unsure {
    /// `floor` has passed for certain.
    pub fn new(judge: Arc<WebPkiServerVerifier>, floor: UnixTime) -> Unsure {
        Unsure { judge, floor }
    }
}

/// When this program was made, which has passed for certain: images carry the time of their sources.
pub fn made() -> UnixTime {
    let made = std::env::current_exe().and_then(|path| path.metadata()?.modified());
    let since = made.ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    UnixTime::since_unix_epoch(since.unwrap_or(Duration::ZERO))
}

impl ServerCertVerifier for Unsure {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut at = if now.as_secs() < self.floor.as_secs() { self.floor } else { now };
        for _ in 0..MOST {
            let judged = self.judge.verify_server_cert(end_entity, intermediates, name, ocsp, at);
            let Err(Error::InvalidCertificate(why)) = &judged else { return judged };
            // The moment nearest to the clock's at which this certificate of the chain holds.
            let nearest = match why {
                CertificateError::NotValidYetContext { not_before, .. } => *not_before,
                CertificateError::ExpiredContext { not_after, .. } if not_after.as_secs() >= self.floor.as_secs() => {
                    *not_after
                }
                _ => return judged,
            };
            at = nearest;
        }
        Err(Error::InvalidCertificate(CertificateError::Expired))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}
