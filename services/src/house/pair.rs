//! A certificate and its key, of a server of ours: read from PEM (RFC 7468), and asked what it is good for. No I/O, no clock.
use crate::perm::json::Refusal;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, ServerSessionMemoryCache};
use rustls::{CertificateError, Error, RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Sessions that are remembered, so that a page's next connection costs no signature.
const REMEMBERED: usize = 64;

/// A certificate, with those between it and its authority, and the key that fits.
#[derive(Debug)]
pub struct Pair {
    chain: Vec<CertificateDer<'static>>,
    config: Arc<ServerConfig>,
}

impl Pair {
    /// Reads both, from files of these names.
    ///
    /// # Errors
    /// Names the file: it holds no certificate or no key, is damaged, or they do not fit each other.
    pub fn read(certificate: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<Pair, Refusal> {
        let chain = chain(certificate.0, certificate.1)?;
        let found = PrivateKeyDer::from_pem_slice(key.1).map_err(|error| {
            // Its words must not repeat what may be a key.
            let words = if matches!(error, rustls::pki_types::pem::Error::NoItemsFound) {
                "has no private key (PEM)"
            } else {
                "is damaged (PEM)"
            };
            Refusal::field(key.0, "the file", words)
        })?;
        let config = config(chain.clone(), found).map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                Refusal::field(key.0, "the key", format!("does not fit the certificate in {}", certificate.0.display()))
            }
            error => Refusal::field(key.0, "the key", error),
        })?;
        Ok(Pair { chain, config: Arc::new(config) })
    }

    /// For rustls.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// The certificate itself, in DER.
    pub fn certificate(&self) -> &[u8] {
        self.chain.first().map_or(&[], |first| first)
    }

    /// Whether its dates are good at a moment of the wall clock; in words why not.
    pub fn is_good(&self, seconds: u64) -> Result<(), &'static str> {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let Some(Ok(certificate)) = self.chain.first().map(ParsedCertificate::try_from) else {
            return Err("is damaged");
        };
        let algorithms = ring::default_provider().signature_verification_algorithms.all;
        // Whoever has signed it is not our question: its dates are looked at first.
        let found =
            verify_server_cert_signed_by_trust_anchor(&certificate, &RootCertStore::empty(), &[], now, algorithms);
        match found {
            Err(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
                Err("has expired")
            }
            Err(Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            )) => Err("is not valid yet"),
            _ => Ok(()),
        }
    }

    /// Whether it speaks for a name or an address.
    pub fn is_for(&self, name: &str) -> bool {
        let certificate = self.chain.first().and_then(|first| ParsedCertificate::try_from(first).ok());
        let name = ServerName::try_from(name);
        certificate.zip(name.ok()).is_some_and(|(certificate, name)| verify_server_name(&certificate, &name).is_ok())
    }
}

/// The certificates in a file.
///
/// # Errors
/// Says which of them is damaged, or that there is none.
pub fn chain(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let mut chain = Vec::new();
    for (at, found) in CertificateDer::pem_slice_iter(bytes).enumerate() {
        let damaged = || Refusal::field(path, &format!("certificate {}", at + 1), "is damaged");
        let found = found.map_err(|_| damaged())?;
        ParsedCertificate::try_from(&found).map_err(|_| damaged())?;
        chain.push(found);
    }
    if chain.is_empty() { Err(Refusal::field(path, "the file", "has no certificate (PEM)")) } else { Ok(chain) }
}

fn config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, Error> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key)?;
    config.session_storage = ServerSessionMemoryCache::new(REMEMBERED);
    config.send_tls13_tickets = 1;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn made(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", key.serialized_der()))
    }

    fn pem(label: &str, der: &[u8]) -> String {
        use base64ct::{Base64, Encoding};
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", Base64::encode_string(der))
    }

    fn read(certificate: &str, key: &str) -> Result<Pair, String> {
        let files = (Path::new("tls/cert.pem"), Path::new("tls/key.pem"));
        Pair::read((files.0, certificate.as_bytes()), (files.1, key.as_bytes())).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn what_does_not_fit_or_is_damaged_is_refused_by_file_and_field() {
        let ((certificate, key), (other, _)) = (made(&["weir.example"]), made(&["weir.example"]));
        let pair = read(&certificate, &key).unwrap();
        assert!(pair.is_for("weir.example") && !pair.is_for("example") && !pair.is_for("192.0.2.1"));
        assert!(made(&["192.0.2.1", "fd00::1"]).0.len() > 100);
        let middle = certificate.len() / 2;
        let damaged = format!("{}A{}", &certificate[..middle], &certificate[middle..]);
        let no_der = pem("CERTIFICATE", b"no DER");
        for (certificate, key, said) in [
            (&other, &key, "tls/key.pem: the key: does not fit the certificate in tls/cert.pem"),
            (&key, &key, "tls/cert.pem: the file: has no certificate (PEM)"),
            (&certificate, &certificate, "tls/key.pem: the file: has no private key (PEM)"),
            (&no_der, &key, "tls/cert.pem: certificate 1: is damaged"),
            (&damaged, &key, "tls/cert.pem: certificate 1: is damaged"),
            (&certificate, &pem("PRIVATE KEY", b"no DER"), "tls/key.pem: the key: "),
            (&certificate, &key.replace("-----END", "--END"), "tls/key.pem: the file: is damaged (PEM)"),
        ] {
            let refused = read(certificate, key).unwrap_err();
            assert!(refused.starts_with(said), "{refused}");
        }
    }

    #[test]
    fn its_dates_are_judged_by_the_clock_that_is_given() {
        let (certificate, key) = made(&["weir.example"]);
        let pair = read(&certificate, &key).unwrap();
        let (begin, end) = (1_767_225_600, 1_798_761_600);
        assert_eq!(pair.is_good(0), Err("is not valid yet"));
        assert_eq!(pair.is_good(begin - 1), Err("is not valid yet"));
        assert_eq!((pair.is_good(begin), pair.is_good(end)), (Ok(()), Ok(())));
        assert_eq!(pair.is_good(end + 1), Err("has expired"));
    }
}
