//! Against a server of the same library with an authority of the test's own: what matters is who is believed, and that
//! nothing waits.
use super::*;
use netstack::event::Event;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// An authority's certificate in PEM, and a server's configuration that it vouches for.
fn authority(names: &[&str]) -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    (pem(issuer.der()), Arc::new(config))
}

fn pem(der: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", Base64::encode_string(der))
}

/// Serves one connection: reads until there is a line, says it a thousand times over, and closes, with a word or without.
fn server(config: Arc<ServerConfig>, clean: bool) -> (SocketAddr, JoinHandle<io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            rustls::Stream::new(&mut session, &mut stream).read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        rustls::Stream::new(&mut session, &mut stream).write_all(&line.repeat(1_000))?;
        if clean {
            session.send_close_notify();
        }
        while session.wants_write() {
            session.write_tls(&mut stream)?;
        }
        Ok(())
    });
    (address, serving)
}

/// Connects, says a line and listens until the end.
fn talk(authorities: &Authorities, to: SocketAddr, name: &str, patience: Duration) -> io::Result<(Flow, Vec<u8>)> {
    let mut turn = Loop::new().unwrap();
    let mut events = Vec::new();
    let mut tls = Tls::connect(&turn, Token(1), authorities, to, name, Instant::now() + patience)?;
    tls.write(b"hello, it is me\n")?;
    loop {
        let flow = tls.turn(&turn, Instant::now())?;
        if flow != Flow::Open {
            return Ok((flow, std::mem::take(tls.received())));
        }
        turn.wait(Some(tls.deadline()), &mut events)?;
        assert!(events.iter().all(|event| matches!(event, Event::Ready { token: Token(1), .. } | Event::Timeout)));
    }
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn who_is_vouched_for_is_heard_to_the_end() {
    let (own, config) = authority(&["dyn.example.net", "127.0.0.1"]);
    let authorities = Authorities::new(own.as_bytes()).unwrap();
    for (name, clean, end) in [("dyn.example.net", true, Flow::Ended), ("127.0.0.1", false, Flow::Cut)] {
        let (to, serving) = server(Arc::clone(&config), clean);
        let (flow, heard) = talk(&authorities, to, name, LONG).unwrap();
        assert_eq!((flow, heard), (end, b"hello, it is me\n".repeat(1_000)));
        serving.join().unwrap().unwrap();
    }
}

#[test]
fn another_name_and_an_unknown_authority_are_not_believed() {
    let (own, config) = authority(&["dyn.example.net"]);
    let (known, internet) = (Authorities::new(own.as_bytes()).unwrap(), Authorities::new(b"").unwrap());
    for (authorities, name, said) in
        [(&known, "www.example.net", "NotValidForName"), (&internet, "dyn.example.net", "UnknownIssuer")]
    {
        let (to, serving) = server(Arc::clone(&config), true);
        let error = talk(authorities, to, name, LONG).unwrap_err().to_string();
        assert!(error.contains(said) || error.contains("not valid for name"), "{error}");
        // Nothing of what was to be said has been said, and the server is told why.
        assert!(serving.join().unwrap().unwrap_err().to_string().contains("alert"));
    }
}

#[test]
fn who_is_silent_or_talks_rubbish_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authorities = Authorities::new(b"").unwrap();
    let to = listener.local_addr().unwrap();
    let error = talk(&authorities, to, "example.net", Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let rubbish = thread::spawn(move || {
        // The one before waits in the queue.
        let _silent = listener.accept().unwrap();
        listener.accept().unwrap().0.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    assert!(talk(&authorities, to, "example.net", LONG).unwrap_err().to_string().contains("corrupt message"));
    rubbish.join().unwrap();
    assert!(talk(&authorities, to, "no name at all", LONG).is_err());
}

#[test]
fn a_file_of_certificates_is_read_or_refused_in_words() {
    let (one, _) = authority(&["a.example"]);
    let (two, _) = authority(&["b.example"]);
    assert!(Authorities::new(format!("# ours\n{one}\n{two}").as_bytes()).is_ok());
    assert!(Authorities::new(b" \n").is_ok());
    for (text, said) in [
        ("nonsense", "has no certificate"),
        (&one.replace("-----END CERTIFICATE-----", ""), "certificate 1: "),
        (&pem(b"no DER"), "certificate 1: "),
    ] {
        let error = Authorities::new(text.as_bytes()).unwrap_err();
        assert!(error.starts_with(said), "{error}");
    }
}
