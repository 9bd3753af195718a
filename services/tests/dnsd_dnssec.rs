//! dnsd judging by DNSSEC beside Debian's unbound, both before one authoritative server (nsd) with a tree of seventy zones
//! that bind's tools have signed, most of them damaged, each in its way: every verdict and every code is the same, but for one that
//! an RFC wants otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;
#[path = "dnsd_dnssec/damage.rs"]
mod damage;

use common::{Child, Namespace, PATIENCE, Root, Services};
use damage::{Damage, Records, zones};
use domain::base::iana::{Rcode, Rtype};
use domain::base::opt::ExtendedError;
use domain::base::{Message, MessageBuilder, Name};
use std::fmt::Write as _;
use std::net::UdpSocket;

const OURS: &str = "192.168.42.1";
const THEIRS: &str = "192.168.42.2";

/// Of two digests the newer one is wrong. RFC 4509 3 has the older one, SHA-1, ignored then, as bind does; unbound takes it.
const OLDER_DIGEST: &str = "dsbetter";

/// What is asked of each zone, and what for.
const QUESTIONS: [(&str, Rtype); 17] = [
    ("www", Rtype::A),
    ("www", Rtype::TXT),
    ("www", Rtype::AAAA),
    ("", Rtype::SOA),
    ("", Rtype::MX),
    ("", Rtype::DNSKEY),
    ("", Rtype::DS),
    ("nobody", Rtype::A),
    ("zzz.nobody", Rtype::A),
    ("x.wild", Rtype::A),
    ("y.x.wild", Rtype::AAAA),
    ("ent", Rtype::A),
    ("alias", Rtype::A),
    ("alias", Rtype::AAAA),
    ("x.tree", Rtype::A),
    ("nobody.tree", Rtype::A),
    ("aaa", Rtype::DS),
];

const PLAIN: &str = "$TTL 3600\n@ SOA ns.example. hostmaster.example. 1 3600 600 86400 300\n@ NS ns.example.\n\
    www A 198.51.100.1\nwww TXT \"Some Text\"\nother A 198.51.100.2\n*.wild A 198.51.100.3\na.ent A 198.51.100.4\n\
    alias CNAME WWW\ntree DNAME forest\nx.forest A 198.51.100.5\n";

struct Bed {
    router: Namespace,
    lan: Namespace,
    internet: Namespace,
    root: Root,
}

impl Bed {
    fn new() -> Bed {
        let (router, lan, internet, root) = (Namespace::new(), Namespace::new(), Namespace::new(), Root::new());
        router.veth("uplink0", &internet, "isp");
        router.veth("lan0", &lan, "eth0");
        internet.ip("addr add 10.1.0.2/24 dev isp");
        router.ip("addr add 10.1.0.9/24 dev uplink0");
        for address in [OURS, THEIRS] {
            router.ip(&format!("addr add {address}/24 dev lan0"));
        }
        lan.ip("addr add 192.168.42.7/24 dev eth0");
        root.write(
            "/perm/interfaces.json",
            r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24"}]}"#,
        );
        root.write("/perm/dnsd/config.json", r#"{"upstreams":["10.1.0.2"],"rate_limit":0,"dnssec":true}"#);
        root.write("/run/ntpd/state.json", r#"{"right":true}"#);
        Bed { router, lan, internet, root }
    }

    fn file(&self, name: &str) -> String {
        self.root.path(&format!("/tmp/{name}")).to_str().unwrap().to_owned()
    }

    /// Signs a zone; its records and the words of its delegation. `plain` has all but the keys.
    fn sign(&self, zone: &str, damage: &Damage, plain: &str) -> (Records, Vec<Vec<String>>) {
        let folder = self.file("");
        let words = ["-q", "-a", damage.algorithm, "-K", &folder, "-f", "KSK"];
        let bits: &[&str] = if damage.algorithm.starts_with("RSA") { &["-b", "2048"] } else { &[] };
        let key = self.internet.output("dnssec-keygen", &[&words, bits, &[zone]].concat());
        let key = self.file(key.trim());
        let (from, to) = (self.file("plain"), self.file("signed"));
        self.root.write("/tmp/plain", plain);
        match damage.sign {
            // bind's tool refuses what nobody should do.
            ["ldns", words @ ..] => {
                let words = [words, &["-o", zone, "-f", &to, &from, &key]].concat();
                self.root.write("/tmp/plain", format!("$ORIGIN {zone}\n{plain}"));
                self.internet.output("ldns-signzone", &words);
            }
            words => {
                let fixed = ["-q", "-S", "-P", "-z", "-O", "full", "-K", &folder, "-d", &folder, "-o", zone, "-f", &to];
                self.internet.output("dnssec-signzone", &[&fixed, words, &[&from]].concat());
            }
        }
        let mut records = Records::read(&self.root.read("/tmp/signed"));
        (damage.edit)(&mut records);
        let mut delegations = Vec::new();
        for kind in damage.digests {
            let kind: Vec<&str> = kind.split(' ').collect();
            let ds = self.internet.output("dnssec-dsfromkey", &[&kind[..], &[&key]].concat());
            let ds = ds.trim().replacen(" IN DS", " 3600 IN DS", 1);
            let mut ds: Vec<String> = ds.split_whitespace().map(str::to_owned).collect();
            (damage.delegation)(&mut ds);
            delegations.push(ds);
        }
        (records, delegations)
    }

    /// The tree below `example.`, `example.` and the root: signed, damaged and served.
    fn tree(&self, zones: &[Damage]) -> Child {
        let mut served: Vec<(String, String)> = Vec::new();
        let mut delegations: Vec<(String, String)> = Vec::new();
        let below = |delegations: &[(String, String)], zone: &str, others: &[String]| {
            let nearest = |child: &str| {
                let around = others.iter().filter(|other| child.ends_with(&format!(".{other}")));
                around.max_by_key(|other| other.len()).cloned()
            };
            let ours = delegations.iter().filter(|(child, _)| nearest(child).as_deref() == Some(zone));
            ours.map(|(_, text)| text.clone()).collect::<String>()
        };
        let mut names: Vec<String> = zones.iter().map(|zone| format!("{}.example.", zone.name)).collect();
        names.push("example.".into());
        for (damage, name) in zones.iter().zip(&names) {
            let out = if damage.name == "good3" { "out CNAME www.good.example.\n" } else { "" };
            let plain = format!("{PLAIN}{out}{}", below(&delegations, name, &names));
            let mut text = format!("{name} 3600 IN NS ns.example.\n");
            let plain = if damage.signed {
                let (records, ds) = self.sign(name, damage, &plain);
                ds.iter().for_each(|words| writeln!(text, "{}", words.join(" ")).unwrap());
                records.text()
            } else {
                plain
            };
            delegations.push((name.clone(), text));
            served.push((name.clone(), plain));
        }
        let whole = zones.iter().find(|zone| zone.name == "good").unwrap();
        let plain = format!("{PLAIN}ns A 10.1.0.2\n{}", below(&delegations, "example.", &names));
        let (records, ds) = self.sign("example.", whole, &plain);
        served.push(("example.".into(), records.text()));
        let plain = format!(
            "$TTL 3600\n. SOA ns.example. h.example. 1 3600 600 86400 300\n. NS ns.example.\nexample. NS ns.example.\n\
             ns.example. A 10.1.0.2\n{}\n",
            ds[0].join(" ")
        );
        let (records, anchor) = self.sign(".", whole, &plain);
        served.push((".".into(), records.text()));
        self.root.write("/perm/dnsd/root.key", anchor[0].join(" ") + "\n");
        let folder = self.file("");
        let mut conf = format!(
            "server:\n ip-address: 10.1.0.2\n zonesdir: \"{folder}\"\n database: \"\"\n pidfile: \"\"\n xfrdfile: \"{folder}/x\"\n \
             zonelistfile: \"{folder}/l\"\n username: \"\"\n rrl-ratelimit: 0\nremote-control:\n control-enable: no\n"
        );
        for (number, (name, text)) in served.iter().enumerate() {
            self.root.write(&format!("/tmp/zone{number}"), text);
            writeln!(conf, "zone:\n name: \"{name}\"\n zonefile: \"zone{number}\"").unwrap();
        }
        self.root.write("/tmp/nsd.conf", conf);
        let mut nsd = self.internet.spawn("nsd", &["-d", "-c", &self.file("nsd.conf")]);
        nsd.wait_for("nsd started");
        nsd
    }

    fn unbound(&self) -> Child {
        let anchor = self.root.path("/perm/dnsd/root.key");
        self.root.write(
            "/tmp/unbound.conf",
            format!(
                "server:\n interface: {THEIRS}\n access-control: 0.0.0.0/0 allow\n do-daemonize: no\n chroot: \"\"\n username: \"\"\n \
                 directory: \"/\"\n pidfile: \"\"\n use-syslog: no\n verbosity: 1\n num-threads: 1\n module-config: \"validator iterator\"\n \
                 trust-anchor-file: \"{}\"\n ede: yes\n trust-anchor-signaling: no\n aggressive-nsec: no\n \
                 prefetch-key: no\nremote-control:\n control-enable: no\nforward-zone:\n name: \".\"\n forward-addr: 10.1.0.2\n",
                anchor.display()
            ),
        );
        let mut unbound = self.router.spawn("unbound", &["-d", "-c", &self.file("unbound.conf")]);
        unbound.wait_for("start of service");
        unbound
    }

    fn dnsd(&self) -> Child {
        let mut dnsd = self.router.service("dnsd", &self.root, &[]);
        dnsd.wait_for("ready");
        dnsd
    }

    fn socket(&self) -> UdpSocket {
        let socket = self.lan.run(|| UdpSocket::bind("192.168.42.7:0")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }
}

/// Code, AD, and the extended error.
type Said = (Rcode, bool, Option<u16>);

fn ask(
    socket: &UdpSocket,
    server: &str,
    number: u16,
    name: &str,
    rtype: Rtype,
    (checking, dnssec_ok): (bool, bool),
) -> Message<Vec<u8>> {
    let mut builder = MessageBuilder::new_vec().question();
    builder.header_mut().set_id(number);
    builder.header_mut().set_rd(true);
    builder.header_mut().set_ad(true);
    builder.header_mut().set_cd(!checking);
    builder.push((name.parse::<Name<Vec<u8>>>().unwrap(), rtype)).unwrap();
    let mut builder = builder.additional();
    let set = builder.opt(|opt| {
        opt.set_udp_payload_size(1_232);
        opt.set_dnssec_ok(dnssec_ok);
        Ok(())
    });
    set.unwrap();
    let query = builder.finish();
    socket.send_to(&query, (server, 53)).unwrap();
    let mut buffer = [0; 4_096];
    loop {
        let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{server} {name} {rtype}: {error}"));
        if buffer[..2] == query[..2] {
            return Message::from_octets(buffer[..length].to_vec()).unwrap();
        }
    }
}

fn said(message: &Message<Vec<u8>>) -> Said {
    let error = message
        .opt()
        .and_then(|opt| opt.opt().iter::<ExtendedError<_>>().flatten().next().map(|error| error.code().to_int()));
    (message.header().rcode(), message.header().ad(), error)
}

fn verdict((rcode, secure, _): &Said) -> &'static str {
    match (*rcode, secure) {
        (Rcode::SERVFAIL, _) => "bogus",
        (_, true) => "secure",
        (_, false) => "insecure",
    }
}

#[test]
fn every_verdict_is_unbound_s() {
    let (bed, zones) = (Bed::new(), zones());
    let _nsd = bed.tree(&zones);
    let _unbound = bed.unbound();
    let _dnsd = bed.dnsd();
    let socket = bed.socket();
    let (mut number, mut other, mut met) = (0u16, Vec::new(), std::collections::BTreeMap::new());
    let mut damaged = std::collections::BTreeSet::new();
    for zone in &zones {
        for (label, rtype) in QUESTIONS {
            let dot = if label.is_empty() { "" } else { "." };
            let name = format!("{label}{dot}{}.example", zone.name);
            let mut asked = |server| {
                number = number.wrapping_add(1);
                said(&ask(&socket, server, number, &name, rtype, (true, number.is_multiple_of(3))))
            };
            let (ours, theirs) = (asked(OURS), asked(THEIRS));
            *met.entry(verdict(&theirs)).or_insert(0) += 1;
            if verdict(&theirs) == "bogus" {
                damaged.insert(zone.name);
            }
            if zone.name == OLDER_DIGEST && (label, rtype) != ("", Rtype::DS) {
                assert_eq!((verdict(&ours), verdict(&theirs)), ("bogus", "secure"), "{name} {rtype}");
            } else if (ours.0, verdict(&ours)) != (theirs.0, verdict(&theirs)) {
                other.push(format!("{name} {rtype}: ours {ours:?}, theirs {theirs:?}"));
            }
        }
    }
    eprintln!(
        "{} zones, {met:?}, {} with something bogus, {} judged otherwise",
        zones.len(),
        damaged.len(),
        other.len()
    );
    assert!(other.is_empty(), "{} differ:\n{}", other.len(), other.join("\n"));
    assert!(damaged.len() >= 30 && met["secure"] > 100 && met["insecure"] > 50, "{met:?} {damaged:?}");
}

#[test]
fn who_asks_gets_what_it_asks_for_and_the_clock_counts_once_it_is_right() {
    let bed = Bed::new();
    let kept = ["good", "expired", "sigspoilt", "unsigned", "good3"];
    let zones: Vec<Damage> = zones().into_iter().filter(|zone| kept.contains(&zone.name)).collect();
    let _nsd = bed.tree(&zones);
    // Between dnsd and the authority somebody who follows aliases and judges nothing.
    bed.internet.ip("addr add 10.1.0.3/24 dev isp");
    bed.root.write(
        "/tmp/recursive.conf",
        "server:\n interface: 10.1.0.3\n access-control: 0.0.0.0/0 allow\n do-daemonize: no\n chroot: \"\"\n username: \"\"\n \
         directory: \"/\"\n pidfile: \"\"\n use-syslog: no\n verbosity: 1\n num-threads: 1\n module-config: \"iterator\"\n\
         remote-control:\n control-enable: no\nforward-zone:\n name: \".\"\n forward-addr: 10.1.0.2\n",
    );
    let mut recursive = bed.internet.spawn("unbound", &["-d", "-c", &bed.file("recursive.conf")]);
    recursive.wait_for("start of service");
    let config = |more: &str| {
        let text = format!(r#"{{"upstreams":["10.1.0.3"],"rate_limit":0{more}}}"#);
        bed.root.write("/perm/dnsd/config.json", text);
    };
    config(r#","dnssec":true"#);
    bed.root.write("/run/ntpd/state.json", r#"{"right":false}"#);
    let mut dnsd = bed.dnsd();
    let socket = bed.socket();
    let mut number = 0;
    let mut asked = |name: &str, checking: bool, dnssec_ok: bool| {
        number += 1;
        let answer = ask(&socket, OURS, number, &format!("{name}.example"), Rtype::A, (checking, dnssec_ok));
        let types: Vec<Rtype> = answer.answer().unwrap().map(|record| record.unwrap().rtype()).collect();
        (said(&answer), types)
    };
    let (a, both) = (vec![Rtype::A], vec![Rtype::A, Rtype::RRSIG]);
    let (secure, plain) = ((Rcode::NOERROR, true, None), (Rcode::NOERROR, false, None));
    // The same by another hand.
    let kdig = |name: &str| bed.lan.output("kdig", &["@192.168.42.1", "+dnssec", &format!("{name}.example"), "A"]);
    for (name, lines) in [
        ("www.good", [";; Flags: qr rd ra ad;", "RRSIG"]),
        ("www.unsigned", [";; Flags: qr rd ra;", "198.51.100.1"]),
        ("www.sigspoilt", ["status: SERVFAIL", "EDE: 6 (DNSSEC Bogus)"]),
    ] {
        let heard = kdig(name);
        assert!(lines.iter().all(|line| heard.contains(line)), "{name}: {heard}");
    }
    for _ in 0..2 {
        // The second time from memory.
        assert_eq!(asked("www.good", true, true), (secure, both.clone()));
        assert_eq!(asked("www.good", true, false), (secure, a.clone()));
        assert_eq!(asked("www.good", false, true), (plain, both.clone()));
        assert_eq!(asked("www.good", false, false), (plain, a.clone()));
        assert_eq!(asked("www.unsigned", true, true), (plain, a.clone()));
        assert_eq!(asked("www.sigspoilt", true, true), ((Rcode::SERVFAIL, false, Some(6)), vec![]));
        assert_eq!(asked("www.sigspoilt", false, true), (plain, both.clone()));
        // As long as nobody knows what time it is.
        assert_eq!(asked("www.expired", true, false), (secure, a.clone()));
    }
    // An alias that leads through two zones.
    assert_eq!(asked("out.good3", true, false), (secure, vec![Rtype::CNAME, Rtype::A]));
    assert_eq!(asked("nobody.good", true, false), ((Rcode::NXDOMAIN, true, None), vec![]));
    bed.root.write("/run/ntpd/state.json", r#"{"right":true}"#);
    dnsd.signal("USR1");
    while asked("www.expired", true, false).0.1 {
        std::thread::yield_now();
    }
    assert_eq!(asked("www.expired", true, true), ((Rcode::SERVFAIL, false, Some(7)), vec![]));
    assert_eq!(asked("www.good", true, false), (secure, a.clone()));
    let metrics = bed.lan.output("curl", &["-s", &format!("http://{OURS}:8053/metrics")]);
    let bogus = metrics.lines().find(|line| line.starts_with("weir_dns_dnssec_total{verdict=\"bogus\"}"));
    assert!(bogus.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    // A person knows better, or wants none of it, or believes another root: then nothing is proven.
    config(r#","dnssec":true,"dnssec_exempt":["expired.example"]"#);
    dnsd.signal("USR1");
    while asked("www.expired", true, false) != (plain, a.clone()) {
        std::thread::yield_now();
    }
    assert_eq!(asked("www.good", true, false).0, secure);
    config("");
    dnsd.signal("USR1");
    while asked("www.good", true, false) != (plain, a.clone()) {
        std::thread::yield_now();
    }
    assert_eq!(asked("www.sigspoilt", true, false), (plain, a.clone()));
    bed.root.write("/perm/dnsd/root.key", format!(". DS 1 13 2 {}\n", "00".repeat(32)));
    config(r#","dnssec":true"#);
    dnsd.signal("USR1");
    while asked("www.good", true, false).0.0 == Rcode::NOERROR {
        std::thread::yield_now();
    }
    assert_eq!(asked("www.good", true, false).0, (Rcode::SERVFAIL, false, Some(9)));
    dnsd.wait_for("is refused by DNSSEC");
}
