//! dnsd beside Debian's unbound, both before one authoritative server (nsd) with a signed zone of real-world shapes: ten
//! thousand questions of thirty types, and every answer has the same code and the same records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, PATIENCE, Root, Services};
use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name, ParsedName};
use domain::rdata::AllRecordData;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

const TYPES: [Rtype; 30] = [
    Rtype::A,
    Rtype::AAAA,
    Rtype::NS,
    Rtype::CNAME,
    Rtype::SOA,
    Rtype::MX,
    Rtype::TXT,
    Rtype::SRV,
    Rtype::PTR,
    Rtype::CAA,
    Rtype::TLSA,
    Rtype::SSHFP,
    Rtype::NAPTR,
    Rtype::LOC,
    Rtype::HINFO,
    Rtype::RP,
    Rtype::SVCB,
    Rtype::HTTPS,
    Rtype::DS,
    Rtype::DNSKEY,
    Rtype::NSEC3PARAM,
    Rtype::CDS,
    Rtype::CDNSKEY,
    Rtype::SPF,
    Rtype::OPENPGPKEY,
    Rtype::DNAME,
    Rtype::AFSDB,
    Rtype::KX,
    Rtype::CERT,
    Rtype::from_int(65_400),
];
/// Plain hosts besides the shapes.
const HOSTS: usize = 300;

/// The zone, unsigned, and every name that is asked for.
fn zone() -> (String, Vec<String>) {
    let mut text = "$ORIGIN shapes.example.\n$TTL 3600\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\n@ NS ns2\n\
        @ MX 10 mx.far\n@ TXT \"v=spf1 -all\"\n@ CAA 0 issue \"ca.example.net\"\nns A 198.51.100.53\nns2 AAAA 2001:db8::2\n"
        .to_owned();
    let mut names: Vec<String> = ["", "ns", "nobody", "a.b.nobody", "*"].map(str::to_owned).to_vec();
    let mut add = |owner: &str, data: &str| {
        writeln!(text, "{owner} {data}").unwrap();
        if !names.iter().any(|name| name == owner) {
            names.push(owner.to_owned());
        }
    };
    for number in 0..8 {
        add(&format!("chain{number}"), &format!("CNAME chain{}", number + 1));
    }
    add("chain8", "A 198.51.100.8");
    add("nowhere", "CNAME does.not.exist");
    add("round", "CNAME round");
    add("alias", "CNAME big");
    add(
        "big",
        &format!("TXT {}", (0..12).map(|at| format!("\"{at}{}\"", "x".repeat(240))).collect::<Vec<_>>().join(" ")),
    );
    (0..120).for_each(|last| add("many", &format!("A 198.51.100.{last}")));
    (0..60).for_each(|last| add("many", &format!("AAAA 2001:db8::{last:x}")));
    (0..16).for_each(|number| add("mail", &format!("MX {number} mx{number}.far")));
    add("*.wild", "A 198.51.100.1");
    add("*.wild", "TXT \"any\"");
    add("real.wild", "A 198.51.100.2");
    add("below.empty.between", "A 198.51.100.3");
    add("tree", "DNAME elsewhere");
    add("leaf.elsewhere", "A 198.51.100.4");
    add("_sip._udp", "SRV 1 2 5060 host1");
    add("_dns.host1", "SVCB 1 host1 alpn=h2 port=853 ipv4hint=198.51.100.9");
    add("host1", "HTTPS 1 . alpn=h2,h3 ipv4hint=198.51.100.1 ipv6hint=2001:db8::1");
    add("_443._tcp.host1", "TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    add("host1", "SSHFP 4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    add("host1", "LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m");
    add("host1", "HINFO \"amd64\" \"linux\"");
    add("host1", "RP person.example.net. host2");
    add("host1", "CERT 1 12345 8 AQPSKmynfzW4");
    add("host1", "AFSDB 1 host2");
    add("host1", "KX 10 host2");
    add("host1", "OPENPGPKEY AQPSKmynfzW4");
    add("host1", "TYPE65400 \\# 4 0A000001");
    add("enum", "NAPTR 100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:info@example.com!\" .");
    add("9.8", "PTR host1");
    add("MiXeD.CaSe", "A 198.51.100.5");
    add("dot\\.in.label", "A 198.51.100.6");
    add("byte\\200\\000", "A 198.51.100.7");
    add(&"l".repeat(63), "A 198.51.100.8");
    add(&vec!["l".repeat(60); 3].join("."), "A 198.51.100.9");
    add("child", "NS ns.child");
    add("ns.child", "A 198.51.100.54");
    add("secure", "DS 12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    add("secure", "NS ns.child");
    for number in 0..HOSTS {
        add(&format!("host{number}"), &format!("A 198.51.100.{}", number % 250));
        if number % 2 == 0 {
            add(&format!("host{number}"), &format!("AAAA 2001:db8::{number:x}"));
        }
    }
    // What a delegation answers depends on who is beyond it, and nobody is.
    names.retain(|name| !name.ends_with("child") && name != "secure" && name != "*.wild");
    names.extend(
        ["x.wild", "y.z.wild", "leaf.tree", "x.leaf.tree", "empty.between", "between", "x.real.wild"]
            .map(str::to_owned),
    );
    (text, names)
}

struct Bed {
    router: Namespace,
    lan: Namespace,
    root: Root,
    _internet: Namespace,
    _nsd: Child,
    _unbound: Child,
}

impl Bed {
    fn new(zone: &str) -> Bed {
        let (router, lan, internet, root) = (Namespace::new(), Namespace::new(), Namespace::new(), Root::new());
        router.veth("uplink0", &internet, "isp");
        router.veth("lan0", &lan, "eth0");
        internet.ip("addr add 10.1.0.2/24 dev isp");
        router.ip("addr add 10.1.0.9/24 dev uplink0");
        for address in ["192.168.42.1/24", "192.168.42.2/24"] {
            router.ip(&format!("addr add {address} dev lan0"));
        }
        lan.ip("addr add 192.168.42.7/24 dev eth0");
        let file = |name: &str| root.path(&format!("/tmp/{name}")).to_str().unwrap().to_owned();
        let folder = root.path("/tmp").to_str().unwrap().to_owned();
        root.write("/tmp/plain", zone);
        for kind in [&["-f", "KSK"][..], &[]] {
            let words = ["-q", "-a", "ECDSAP256SHA256", "-K", &folder];
            internet.output("dnssec-keygen", &[&words, kind, &["shapes.example"]].concat());
        }
        let words = [
            "-S",
            "-q",
            "-3",
            "abcd",
            "-K",
            &folder,
            "-d",
            &folder,
            "-o",
            "shapes.example",
            "-f",
            &file("signed"),
            &file("plain"),
        ];
        internet.output("dnssec-signzone", &words);
        root.write(
            "/tmp/nsd.conf",
            format!(
                "server:\n ip-address: 10.1.0.2\n zonesdir: \"{folder}\"\n database: \"\"\n pidfile: \"\"\n xfrdfile: \"{folder}/x\"\n \
                 zonelistfile: \"{folder}/l\"\n username: \"\"\n rrl-ratelimit: 0\n minimal-responses: no\nremote-control:\n \
                 control-enable: no\nzone:\n name: \"shapes.example\"\n zonefile: \"signed\"\n"
            ),
        );
        let mut nsd = internet.spawn("nsd", &["-d", "-c", &file("nsd.conf")]);
        nsd.wait_for("nsd started");
        root.write(
            "/tmp/unbound.conf",
            "server:\n interface: 192.168.42.2\n access-control: 0.0.0.0/0 allow\n do-daemonize: no\n chroot: \"\"\n username: \"\"\n \
             directory: \"/\"\n pidfile: \"\"\n use-syslog: no\n verbosity: 1\n num-threads: 1\n module-config: \"iterator\"\n\
             remote-control:\n control-enable: no\nforward-zone:\n name: \".\"\n forward-addr: 10.1.0.2\n",
        );
        let mut unbound = router.spawn("unbound", &["-d", "-c", &file("unbound.conf")]);
        unbound.wait_for("start of service");
        root.write(
            "/perm/interfaces.json",
            r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24"}]}"#,
        );
        root.write("/perm/dnsd/config.json", r#"{"upstreams":["10.1.0.2"],"rate_limit":0}"#);
        // unbound has .2: what is bound first stays bound, and dnsd says so and serves the other.
        Bed { router, lan, root, _internet: internet, _nsd: nsd, _unbound: unbound }
    }
}

/// An answer as it is compared: its code, whether it is cut, its records without their TTLs, whether an SOA says why not.
type Said = (Rcode, BTreeSet<String>, bool);

fn said(message: &Message<Vec<u8>>) -> Said {
    let (_, answer, authority, _) = message.sections().unwrap();
    let records = answer.into_records::<AllRecordData<_, ParsedName<_>>>().map(Result::unwrap);
    let text = |owner: String, rest: String| format!("{} {rest}", owner.to_lowercase());
    let records: BTreeSet<String> = records
        .map(|record| text(record.owner().to_string(), format!("{} {}", record.rtype(), record.data())))
        .collect();
    let is_negative = records.is_empty();
    let soa = authority.map(Result::unwrap).any(|record| record.rtype() == Rtype::SOA);
    (message.header().rcode(), records, is_negative && soa)
}

fn ask(socket: &UdpSocket, lan: &Namespace, server: &'static str, query: &[u8]) -> Message<Vec<u8>> {
    socket.send_to(query, (server, 53)).unwrap();
    let mut buffer = [0; 4_096];
    let answer = loop {
        let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{server}: {error}"));
        if buffer[..2] == query[..2] {
            break Message::from_octets(buffer[..length].to_vec()).unwrap();
        }
    };
    assert!(answer.as_slice().len() <= 1_232, "{server} sends {} bytes", answer.as_slice().len());
    if !answer.header().tc() {
        return answer;
    }
    let mut stream = lan.run(move || TcpStream::connect((server, 53))).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[&(query.len() as u16).to_be_bytes(), query].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    Message::from_octets(message).unwrap()
}

#[test]
fn ten_thousand_answers_are_those_of_unbound() {
    let (zone, names) = zone();
    let bed = Bed::new(&zone);
    let mut dnsd = bed.router.service("dnsd", &bed.root, &[]);
    dnsd.wait_for("ready");
    let socket = bed.lan.run(|| UdpSocket::bind("192.168.42.7:0")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut asked, mut records, mut other) = (0u32, 0, Vec::new());
    for name in &names {
        let full = if name.is_empty() { "shapes.example".to_owned() } else { format!("{name}.shapes.example") };
        let full: Name<Vec<u8>> = full.parse().unwrap_or_else(|error| panic!("{full}: {error}"));
        for rtype in TYPES {
            asked += 1;
            let mut builder = MessageBuilder::new_vec().question();
            builder.header_mut().set_id(asked as u16);
            builder.header_mut().set_rd(true);
            builder.push((full.clone(), rtype)).unwrap();
            let mut builder = builder.additional();
            let set = builder.opt(|opt| {
                opt.set_udp_payload_size(1_232);
                opt.set_dnssec_ok(asked.is_multiple_of(2));
                Ok(())
            });
            set.unwrap();
            let query = builder.finish();
            let ours = said(&ask(&socket, &bed.lan, "192.168.42.1", &query));
            let theirs = said(&ask(&socket, &bed.lan, "192.168.42.2", &query));
            records += ours.1.len();
            if ours != theirs {
                other.push(format!("{full} {rtype}\n ours   {ours:?}\n theirs {theirs:?}"));
            }
        }
    }
    eprintln!("{asked} questions, {records} records, {} answered otherwise", other.len());
    assert!(asked >= 10_000 && records > 1_000, "{asked} questions, {records} records");
    assert!(
        other.is_empty(),
        "{} differ:\n{}",
        other.len(),
        other.iter().take(12).cloned().collect::<Vec<_>>().join("\n")
    );
}
