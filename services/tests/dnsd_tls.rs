//! dnsd and upstreams that are asked over TLS: Debian's unbound and Knot Resolver, and servers of the test's own that fail
//! in every way a certificate or a connection can.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use base64ct::{Base64, Encoding};
use common::{Child, Namespace, Root, Services};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};

const FIRST: &str = "10.1.0.1";
const SECOND: &str = "10.1.0.2";
const NAME: &str = "dns.example";
const RIGHT: &str = r#"{"right":true}"#;

/// An authority that dnsd is told to believe, or not.
struct Authority(CertifiedIssuer<'static, KeyPair>);

struct Certificate {
    der: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        pem("CERTIFICATE", self.0.der())
    }

    /// A certificate for a name or an address, between two years.
    fn vouches(&self, name: &str, years: (i32, i32)) -> Certificate {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        let key = KeyPair::generate().unwrap();
        Certificate { der: params.signed_by(&key, &self.0).unwrap().der().clone(), key }
    }
}

impl Certificate {
    fn config(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], key);
        Arc::new(config.unwrap())
    }
}

fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", Base64::encode_string(der))
}

struct Bed {
    router: Namespace,
    lan: Namespace,
    internet: Namespace,
    root: Root,
}

impl Bed {
    fn new(config: &str, authority: &Authority) -> Bed {
        let (router, lan, internet, root) = (Namespace::new(), Namespace::new(), Namespace::new(), Root::new());
        router.veth("uplink0", &internet, "isp");
        router.veth("lan0", &lan, "eth0");
        for address in [FIRST, SECOND, "10.1.0.3"] {
            internet.ip(&format!("addr add {address}/24 dev isp"));
        }
        router.ip("addr add 10.1.0.9/24 dev uplink0");
        router.ip("addr add 192.168.42.1/24 dev lan0");
        lan.ip("addr add 192.168.42.7/24 dev eth0");
        let interfaces =
            r#"{"interfaces":[{"name":"uplink0","dns":["10.1.0.1"]},{"name":"lan0","addr":"192.168.42.1/24"}]}"#;
        root.write("/perm/interfaces.json", interfaces);
        root.write("/perm/dnsd/config.json", config);
        root.write("/perm/dnsd/ca.pem", authority.pem());
        root.write("/run/ntpd/state.json", RIGHT);
        Bed { router, lan, internet, root }
    }

    fn dnsd(&self) -> Child {
        let mut dnsd = self.router.service("dnsd", &self.root, &[]);
        dnsd.wait_for("ready");
        dnsd
    }

    fn dig(&self, words: &str) -> String {
        let fixed = ["@192.168.42.1", "+tries=1", "+timeout=9"];
        let words: Vec<&str> = fixed.into_iter().chain(words.split_whitespace()).collect();
        self.lan.output("dig", &words)
    }

    fn gives(&self, name: &str) {
        let answer = self.dig(&format!("+short {name}"));
        assert_eq!(answer.trim(), "198.51.100.7", "{name}");
    }

    fn refuses(&self, name: &str) {
        let answer = self.dig(name);
        assert!(answer.contains("status: SERVFAIL") && answer.contains("EDE: 22"), "{name}: {answer}");
    }

    /// Writes a certificate and its key where a program of Debian's can read them.
    fn files(&self, certificate: &Certificate) -> [String; 2] {
        self.root.write("/tmp/cert.pem", pem("CERTIFICATE", &certificate.der));
        self.root.write("/tmp/key.pem", pem("PRIVATE KEY", &certificate.key.serialize_der()));
        ["/tmp/cert.pem", "/tmp/key.pem"].map(|path| self.root.path(path).to_str().unwrap().to_owned())
    }

    /// unbound, which listens for TLS and nothing else.
    fn unbound(&self, address: &str, certificate: &Certificate) -> Child {
        let [cert, key] = self.files(certificate);
        let text = format!(
            "server:\n interface: {address}@853\n tls-service-pem: \"{cert}\"\n tls-service-key: \"{key}\"\n \
             access-control: 0.0.0.0/0 allow\n do-daemonize: no\n chroot: \"\"\n username: \"\"\n directory: \"/\"\n \
             pidfile: \"\"\n use-syslog: no\n verbosity: 1\n num-threads: 1\n module-config: \"iterator\"\n \
             local-zone: \"example.com.\" redirect\n local-data: \"example.com. 300 A 198.51.100.7\"\n\
             remote-control:\n control-enable: no\n"
        );
        self.root.write("/tmp/unbound.conf", text);
        let config = self.root.path("/tmp/unbound.conf");
        let mut unbound = self.internet.spawn("unbound", &["-d", "-c", config.to_str().unwrap()]);
        unbound.wait_for("start of service");
        unbound
    }

    /// Knot Resolver, likewise.
    fn kresd(&self, address: &str, certificate: &Certificate) -> Child {
        let [cert, key] = self.files(certificate);
        let text = format!(
            "net.listen('{address}', 853, {{ kind = 'tls' }})\nnet.tls('{cert}', '{key}')\nlog_level('info')\n\
             policy.add(policy.suffix(policy.ANSWER({{ [kres.type.A] = {{ rdata = kres.str2ip('198.51.100.7'), ttl = 300 }} \
             }}), {{ todname('example.com.') }}))\ntrust_anchors.remove('.')\nevent.after(0, function () \
             io.stderr:write('listens\\n') end)\n"
        );
        self.root.write("/tmp/kresd.conf", text);
        let (config, work) = (self.root.path("/tmp/kresd.conf"), self.root.path("/tmp/kresd"));
        std::fs::create_dir_all(&work).unwrap();
        let words = ["-n", "-c", config.to_str().unwrap(), work.to_str().unwrap()];
        let mut kresd = self.internet.spawn("kresd", &words);
        kresd.wait_for("listens");
        kresd
    }

    /// A server of the test's own.
    fn scripted(&self, address: &'static str, config: Arc<ServerConfig>, script: fn(&Met, &mut Talk)) -> Arc<Met> {
        let listener = self.internet.run(move || TcpListener::bind((address, 853)).unwrap());
        let met = Arc::new(Met::default());
        let seen = Arc::clone(&met);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, config) = (Arc::clone(&seen), Arc::clone(&config));
                std::thread::spawn(move || {
                    let session = ServerConnection::new(config).unwrap();
                    let mut talk = Talk(StreamOwned::new(session, stream.unwrap()));
                    seen.connections.lock().unwrap().push(None);
                    if talk.0.conn.complete_io(&mut talk.0.sock).is_ok() {
                        seen.connections.lock().unwrap().push(talk.0.conn.handshake_kind());
                        script(&seen, &mut talk);
                    }
                });
            }
        });
        met
    }
}

/// What a server of the test's own has seen.
#[derive(Default)]
struct Met {
    /// A `None` for each connection, then what kind of handshake came to its end.
    connections: Mutex<Vec<Option<HandshakeKind>>>,
    /// Lengths of the questions.
    lengths: Mutex<Vec<usize>>,
}

impl Met {
    fn kinds(&self) -> Vec<HandshakeKind> {
        self.connections.lock().unwrap().iter().flatten().copied().collect()
    }

    fn questions(&self) -> usize {
        self.lengths.lock().unwrap().len()
    }
}

struct Talk(StreamOwned<ServerConnection, TcpStream>);

impl Talk {
    /// The next question; none at the end.
    fn question(&mut self, met: &Met) -> Option<Vec<u8>> {
        let mut length = [0; 2];
        self.0.read_exact(&mut length).ok()?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.0.read_exact(&mut message).ok()?;
        met.lengths.lock().unwrap().push(message.len());
        Some(message)
    }

    fn answer(&mut self, query: &[u8]) {
        let end = query.iter().skip(12).position(|byte| *byte == 0).map_or(query.len(), |at| 12 + at + 5);
        let mut answer = vec![query[0], query[1], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        answer.extend_from_slice(&query[12..end]);
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 198, 51, 100, 7]);
        let _ = self.0.write_all(&[&(answer.len() as u16).to_be_bytes()[..], &answer].concat());
    }
}

/// Answers whatever comes.
fn honest(met: &Met, talk: &mut Talk) {
    while let Some(query) = talk.question(met) {
        talk.answer(&query);
    }
}

const LONG: (i32, i32) = (2000, 2100);

#[test]
fn unbound_and_knot_are_asked_over_tls_and_nobody_is_in_the_clear() {
    let authority = Authority::new();
    let certificate = authority.vouches(NAME, LONG);
    let bed = Bed::new(&format!(r#"{{"upstreams":["tls://{FIRST}#{NAME}"]}}"#), &authority);
    let clear = bed.internet.run(|| std::net::UdpSocket::bind((FIRST, 53)).unwrap());
    let dnsd = bed.dnsd();
    let mut unbound = bed.unbound(FIRST, &certificate);
    (0..5).for_each(|number| bed.gives(&format!("unbound{number}.example.com")));
    unbound.stop();
    drop(unbound);
    let _kresd = bed.kresd(SECOND, &certificate);
    bed.root.write("/perm/dnsd/config.json", format!(r#"{{"upstreams":["tls://{SECOND}#{NAME}"]}}"#));
    dnsd.signal("USR1");
    (0..5).for_each(|number| bed.gives(&format!("knot{number}.example.com")));
    let shown = bed.lan.output("curl", &["-s", "http://192.168.42.1:8053/metrics"]);
    assert!(shown.contains(&format!("weir_dns_upstream_alive{{upstream=\"tls://{SECOND}:853#{NAME}\"}} 1")), "{shown}");
    // interfaces.json names it for port 53: who wants TLS does not get that instead.
    clear.set_nonblocking(true).unwrap();
    assert!(clear.recv(&mut [0; 512]).is_err(), "something was asked in the clear");
}

#[test]
fn who_does_not_prove_who_it_is_hears_no_question() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let by_address = authority.vouches(SECOND, LONG);
    for (what, certificate, words) in [
        ("expired", authority.vouches(NAME, (2000, 2010)), "expired"),
        ("not yet valid", authority.vouches(NAME, (2090, 2100)), "not valid yet"),
        ("another's", authority.vouches("dns.example.net", LONG), "not valid for name"),
        ("an address's", authority.vouches(FIRST, LONG), "not valid for name"),
        ("a stranger's", stranger.vouches(NAME, LONG), "BadSignature"),
    ] {
        let bed = Bed::new(&format!(r#"{{"upstreams":["tls://{FIRST}#{NAME}"]}}"#), &authority);
        let met = bed.scripted(FIRST, certificate.config(), honest);
        let mut dnsd = bed.dnsd();
        bed.refuses("one.example.com");
        dnsd.wait_until(words, |line| line.contains(FIRST) && line.contains(words));
        assert!(met.questions() == 0 && !met.connections.lock().unwrap().is_empty(), "{what}");
        // Beside one that proves it, it costs nobody an answer.
        let good = bed.scripted(SECOND, by_address.config(), honest);
        let both = format!(r#"{{"upstreams":["tls://{FIRST}#{NAME}","tls://{SECOND}"]}}"#);
        bed.root.write("/perm/dnsd/config.json", both);
        dnsd.signal("USR1");
        (0..4).for_each(|number| bed.gives(&format!("n{number}.example.com")));
        assert_eq!((met.questions(), good.questions() >= 4), (0, true), "{what}");
    }
}

#[test]
fn one_that_speaks_no_tls_or_stalls_or_hangs_up_costs_nobody_an_answer() {
    let authority = Authority::new();
    let certificate = authority.vouches(NAME, LONG);
    for kind in ["clear", "stalls", "stalls after its hello", "hangs up", "closed"] {
        let both = format!(r#"{{"upstreams":["tls://{FIRST}#{NAME}","tls://{SECOND}#{NAME}"]}}"#);
        let bed = Bed::new(&both, &authority);
        let (told, comes) = mpsc::channel();
        if kind != "closed" {
            let listener = bed.internet.run(|| TcpListener::bind((FIRST, 853)).unwrap());
            let config = certificate.config();
            std::thread::spawn(move || {
                let mut held = Vec::new();
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let _ = told.send(());
                    match kind {
                        "clear" => drop(stream.write_all(b"\0\x0c\0\0\x81\x85\0\0\0\0\0\0\0\0")),
                        "stalls after its hello" => {
                            let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
                            let _ = session.read_tls(&mut stream);
                            let _ = session.process_new_packets();
                            let mut said = Vec::new();
                            let _ = session.write_tls(&mut said);
                            // The hello and not the certificate.
                            let _ = stream.write_all(said.get(..100).unwrap_or_default());
                        }
                        "hangs up" => continue,
                        _ => {}
                    }
                    held.push(stream);
                }
            });
        }
        let good = bed.scripted(SECOND, certificate.config(), honest);
        let _dnsd = bed.dnsd();
        (0..6).for_each(|number| bed.gives(&format!("n{number}.example.com")));
        assert!(good.questions() >= 6);
        assert!(kind == "closed" || comes.recv_timeout(common::PATIENCE).is_ok(), "{kind}: it was never asked");
    }
}

#[test]
fn one_connection_carries_many_questions_of_equal_length_and_a_session_is_taken_up_again() {
    let authority = Authority::new();
    let bed = Bed::new(&format!(r#"{{"upstreams":["tls://{FIRST}#{NAME}"]}}"#), &authority);
    // After nine it has enough, with a question on its way.
    let met = bed.scripted(FIRST, authority.vouches(NAME, LONG).config(), |met, talk| {
        for _ in 0..9 {
            let Some(query) = talk.question(met) else { return };
            talk.answer(&query);
        }
        talk.question(met);
        talk.0.conn.send_close_notify();
        let _ = talk.0.flush();
    });
    let _dnsd = bed.dnsd();
    for round in 0..6 {
        std::thread::scope(|scope| {
            for number in 0..3 {
                let bed = &bed;
                scope.spawn(move || bed.gives(&format!("n{round}{}{number}.example.com", "x".repeat(number * 9))));
            }
        });
    }
    let kinds = met.kinds();
    assert!(kinds.len() >= 2 && kinds.len() <= 6, "{kinds:?}");
    assert_eq!(kinds[0], HandshakeKind::Full);
    assert!(kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{kinds:?}");
    assert!(met.lengths.lock().unwrap().iter().all(|length| *length == 128));
}

#[test]
fn one_that_is_named_is_found_by_who_is_asked_for_nothing_else() {
    let authority = Authority::new();
    let config = format!(r#"{{"upstreams":["tls://{NAME}"],"bootstrap":["10.1.0.3"]}}"#);
    let bed = Bed::new(&config, &authority);
    let met = bed.scripted(SECOND, authority.vouches(NAME, LONG).config(), honest);
    let dnsmasq = |address: &str| {
        let host = format!("--address=/{NAME}/{address}");
        let words = [
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            "--log-facility=-",
            "--log-queries",
            "--user=root",
            "--group=",
            "--pid-file=",
            "--listen-address=10.1.0.3",
            &host,
        ];
        let mut dnsmasq = bed.internet.spawn("dnsmasq", &words);
        dnsmasq.wait_for("started");
        dnsmasq
    };
    let bootstrap = dnsmasq(SECOND);
    let mut dnsd = bed.dnsd();
    dnsd.wait_for("is at 10.1.0.2");
    (0..3).for_each(|number| bed.gives(&format!("n{number}.example.com")));
    // Its own name, asked for by a machine at home, is nothing that is asked aside.
    bed.gives(NAME);
    assert_eq!(met.questions(), 4);
    let asked: Vec<_> = bootstrap.lines().into_iter().filter(|line| line.contains("query[")).collect();
    assert!(!asked.is_empty() && asked.iter().all(|line| line.to_lowercase().contains(NAME)), "{asked:?}");
}

#[test]
fn before_the_clock_is_right_a_certificate_counts_unless_it_is_over_and_afterwards_by_its_times() {
    let authority = Authority::new();
    let config = format!(r#"{{"upstreams":["tls://{FIRST}#{NAME}"]}}"#);
    let bed = Bed::new(&config, &authority);
    std::fs::remove_file(bed.root.path("/run/ntpd/state.json")).unwrap();
    // Made "after" a clock that is behind.
    let met = bed.scripted(FIRST, authority.vouches(NAME, (2090, 2100)).config(), honest);
    let mut dnsd = bed.dnsd();
    bed.gives("one.example.com");
    bed.root.write("/run/ntpd/state.json", RIGHT);
    dnsd.signal("USR1");
    bed.refuses("two.example.com");
    dnsd.wait_for("not valid yet");
    assert_eq!(met.questions(), 1);
    // Over when this program was made is over, whatever the clock.
    let bed = Bed::new(&config, &authority);
    bed.root.write("/run/ntpd/state.json", r#"{"right":false}"#);
    let met = bed.scripted(FIRST, authority.vouches(NAME, (2000, 2010)).config(), honest);
    let mut dnsd = bed.dnsd();
    bed.refuses("one.example.com");
    dnsd.wait_for("expired");
    assert_eq!(met.questions(), 0);
}
