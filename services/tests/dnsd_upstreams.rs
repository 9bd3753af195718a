//! dnsd between upstreams that fail in every way, each scripted by the first label of the name that is asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, PATIENCE, Root, Services};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};

const GOOD: &str = "10.1.0.2";
const BAD: &str = "10.1.0.1";

struct Bed {
    router: Namespace,
    lan: Namespace,
    internet: Namespace,
    root: Root,
}

impl Bed {
    fn new(upstreams: &str) -> Bed {
        let (router, lan, internet, root) = (Namespace::new(), Namespace::new(), Namespace::new(), Root::new());
        router.veth("uplink0", &internet, "isp");
        router.veth("lan0", &lan, "eth0");
        for address in [BAD, GOOD] {
            internet.ip(&format!("addr add {address}/24 dev isp"));
        }
        router.ip("addr add 10.1.0.9/24 dev uplink0");
        router.ip("addr add 192.168.42.1/24 dev lan0");
        lan.ip("addr add 192.168.42.7/24 dev eth0");
        let interfaces = r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24"}]}"#;
        root.write("/perm/interfaces.json", interfaces);
        root.write("/perm/dnsd/config.json", format!("{{\"upstreams\":[{upstreams}]}}"));
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

    /// An upstream that answers as the name wants it; what it was asked by UDP, in the spelling it came in.
    fn scripted(&self, address: &'static str) -> Arc<Mutex<Vec<String>>> {
        let (udp, tcp) = self
            .internet
            .run(move || (UdpSocket::bind((address, 53)).unwrap(), TcpListener::bind((address, 53)).unwrap()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut buffer = [0; 1_500];
            while let Ok((length, peer)) = udp.recv_from(&mut buffer) {
                let query = &buffer[..length];
                log.lock().unwrap().push(name_of(query));
                for answer in by_udp(query) {
                    let _ = udp.send_to(&answer, peer);
                }
            }
        });
        std::thread::spawn(move || {
            let mut idle = Vec::new();
            for stream in tcp.incoming() {
                let mut stream = stream.unwrap();
                let query = framed(&mut stream);
                if query.is_empty() {
                    // Not needed any more.
                    continue;
                }
                let name = name_of(&query).to_lowercase();
                if name.starts_with("stall") {
                    // Half a length, and then nothing.
                    let _ = stream.write_all(&[0]);
                    idle.push(stream);
                } else if !name.starts_with("closes") {
                    let mut answer = answered(&query, 7);
                    if name.starts_with("lower") {
                        lower(&mut answer);
                    }
                    let length = (answer.len() as u16).to_be_bytes();
                    let _ = stream.write_all(&[&length[..], &answer].concat());
                }
            }
        });
        asked
    }
}

fn framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    if stream.read_exact(&mut length).is_err() {
        return Vec::new();
    }
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    message
}

fn question(query: &[u8]) -> &[u8] {
    let end = query.iter().skip(12).position(|byte| *byte == 0).map_or(query.len(), |at| 12 + at + 5);
    query.get(12..end).unwrap_or_default()
}

fn name_of(query: &[u8]) -> String {
    let (mut name, mut at) = (String::new(), 12);
    while let Some(&length) = query.get(at).filter(|length| **length > 0) {
        let label = query.get(at + 1..at + 1 + usize::from(length)).unwrap_or_default();
        name.push_str(&String::from_utf8_lossy(label));
        name.push('.');
        at += 1 + usize::from(length);
    }
    name
}

fn header(query: &[u8], flags: u8, rcode: u8, answers: u8) -> Vec<u8> {
    let mut answer = vec![query[0], query[1], 0x81 | flags, 0x80 | rcode, 0, 1, 0, answers, 0, 0, 0, 0];
    answer.extend_from_slice(question(query));
    answer
}

fn answered(query: &[u8], last: u8) -> Vec<u8> {
    let mut answer = header(query, 0, 0, 1);
    answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 198, 51, 100, last]);
    answer
}

fn lower(answer: &mut [u8]) {
    let length = question(answer).len();
    answer[12..12 + length - 4].make_ascii_lowercase();
}

/// What is sent for a name, by its first label; 7 is the last byte of what is true and 66 of what is not.
fn by_udp(query: &[u8]) -> Vec<Vec<u8>> {
    let name = name_of(query).to_lowercase();
    let mut forged = answered(query, 66);
    match name.split('.').next().unwrap_or_default().trim_end_matches(char::is_numeric) {
        "silent" => return vec![],
        "servfail" => return vec![header(query, 0, 2, 0)],
        "refused" => return vec![header(query, 0, 5, 0)],
        "formerr" if query[11] > 0 => {
            return vec![query[..2].iter().copied().chain([0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]).collect()];
        }
        "rubbish" => return vec![vec![0xff; 40], query[..2].to_vec(), vec![], query.to_vec()],
        "cut" | "stall" | "closes" => return vec![header(query, 2, 0, 0)],
        "promises" => forged[7] = 200,
        "otherid" => forged[1] ^= 1,
        "othername" => forged[14] ^= 1,
        "othertype" => {
            let at = 12 + question(query).len() - 3;
            forged[at] = 28;
        }
        "othercase" | "lower" => lower(&mut forged),
        "twice" => return vec![answered(query, 7), answered(query, 66)],
        _ => return vec![answered(query, 7)],
    }
    // A forgery, and the truth a little later where the name says so.
    if name.starts_with("other") { vec![forged, answered(query, 7)] } else { vec![forged] }
}

#[test]
fn one_that_fails_in_any_way_is_helped_by_the_other() {
    let bed = Bed::new("\"10.1.0.1\",\"10.1.0.2\"");
    let _scripted = bed.scripted(BAD);
    let words = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        "--log-facility=-",
        "--user=root",
        "--group=",
        "--pid-file=",
        "--address=/example.com/198.51.100.7",
        "--listen-address=10.1.0.2",
    ];
    let mut good = bed.internet.spawn("dnsmasq", &words);
    good.wait_for("started");
    let _dnsd = bed.dnsd();
    for kind in [
        "silent",
        "servfail",
        "refused",
        "rubbish",
        "promises",
        "otherid",
        "othername",
        "othertype",
        "stall",
        "closes",
        "twice",
        "formerr",
        "cut",
        "plain",
    ] {
        for number in 0..3 {
            let answer = bed.dig(&format!("+short {kind}{number}.example.com"));
            assert_eq!(answer.trim(), "198.51.100.7", "{kind}{number}");
        }
    }
}

#[test]
fn one_that_is_alone_is_not_believed_when_it_lies_and_is_when_it_only_limps() {
    let bed = Bed::new("\"10.1.0.1\"");
    let asked = bed.scripted(BAD);
    let _dnsd = bed.dnsd();
    for kind in ["otherid", "othername", "othertype", "othercase", "cut", "lower", "formerr", "plain", "twice"] {
        let answer = bed.dig(&format!("+short {kind}.example.com"));
        assert_eq!(answer.trim(), "198.51.100.7", "{kind}");
    }
    for kind in ["servfail", "refused", "promises", "closes"] {
        let answer = bed.dig(&format!("{kind}.example.com"));
        assert!(answer.contains("status: SERVFAIL"), "{kind}: {answer}");
    }
    for kind in ["silent", "rubbish", "stall"] {
        let answer = bed.dig(&format!("{kind}.example.com"));
        assert!(answer.contains("status: SERVFAIL") && answer.contains("EDE: 22"), "{kind}: {answer}");
    }
    let asked = asked.lock().unwrap();
    assert!(asked.iter().any(|name| *name != name.to_lowercase()), "letters are sent as capitals: {asked:?}");
}

#[test]
fn a_way_that_is_gone_and_comes_back_by_another_address_is_used_at_once() {
    let bed = Bed::new("\"10.1.0.1\"");
    let _scripted = bed.scripted(BAD);
    let _dnsd = bed.dnsd();
    let first = bed.dig("+short one.example.com");
    assert_eq!(first.trim(), "198.51.100.7");
    // The question is on its way when the address changes; the reply to the old one can never come.
    let socket = bed.lan.run(|| UdpSocket::bind("192.168.42.7:0")).unwrap();
    socket.connect("192.168.42.1:53").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    bed.router.ip("addr del 10.1.0.9/24 dev uplink0");
    let query = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03two\x07example\x03com\0\0\x01\0\x01";
    socket.send(query).unwrap();
    bed.router.ip("addr add 10.1.0.10/24 dev uplink0");
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    assert_eq!((answer[3] & 0xf, &answer[length - 4..length]), (0, &[198, 51, 100, 7][..]));
}

#[test]
fn without_descriptors_everybody_who_is_there_is_served() {
    let bed = Bed::new("\"10.1.0.1\"");
    let _scripted = bed.scripted(BAD);
    let folder = bed.root.0.to_str().unwrap().to_owned();
    let script = format!("ulimit -n 24; exec {} dnsd --root {folder}", env!("CARGO_BIN_EXE_services"));
    let mut dnsd = bed.router.spawn("sh", &["-c", &script]).named("dnsd");
    dnsd.wait_for("ready");
    let idle: Vec<_> = (0..40)
        .filter_map(|number| {
            let source = format!("192.168.42.{}", 100 + number);
            bed.lan.ip(&format!("addr add {source}/24 dev eth0"));
            bed.lan.run(|| TcpStream::connect("192.168.42.1:53")).ok()
        })
        .collect();
    dnsd.wait_for("cannot take a connection");
    for number in 0..20 {
        let answer = bed.dig(&format!("+short n{number}.example.com"));
        assert_eq!(answer.trim(), "198.51.100.7");
    }
    let before = dnsd.cpu_micros();
    let answer = bed.dig("+tcp +short n0.example.com");
    assert_eq!(answer.trim(), "198.51.100.7", "{} us", dnsd.cpu_micros() - before);
    drop(idle);
}
