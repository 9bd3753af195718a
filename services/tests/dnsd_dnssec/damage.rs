//! Zones, and what is wrong with each.

/// A signed zone's records, each as its words: owner, TTL, class, type, data.
pub struct Records(pub Vec<Vec<String>>);

impl Records {
    /// Of a file that has one record a line.
    pub fn read(text: &str) -> Records {
        let lines = text.lines().map(|line| line.split(';').next().unwrap_or_default());
        Records(
            lines
                .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
                .filter(|line| line.len() > 4)
                .collect(),
        )
    }

    pub fn text(&self) -> String {
        self.0.iter().map(|words| words.join(" ") + "\n").collect()
    }

    fn remove(&mut self, label: &str, rtype: &str) {
        let before = self.0.len();
        self.0.retain(|words| !is(words, label, rtype));
        assert!(self.0.len() < before, "no {label} {rtype}");
    }

    // Has records written otherwise.
    fn change(&mut self, label: &str, rtype: &str, change: impl Fn(&mut Vec<String>)) {
        let found: Vec<_> = self.0.iter_mut().filter(|words| is(words, label, rtype)).collect();
        assert!(!found.is_empty(), "no {label} {rtype}");
        found.into_iter().for_each(change);
    }

    fn copy(&mut self, label: &str, rtype: &str, change: impl Fn(&mut Vec<String>)) {
        let mut new: Vec<_> = self.0.iter().filter(|words| is(words, label, rtype)).cloned().collect();
        new.iter_mut().for_each(change);
        self.0.extend(new);
    }
}

// Whether a record has this first label ("" = any) and type; signatures are written as `RRSIG/A`, `RRSIG/` is any.
fn is(words: &[String], label: &str, rtype: &str) -> bool {
    let first = words[0].split('.').next().unwrap_or_default();
    let fits = match rtype.split_once('/') {
        Some((kind, covered)) => words[3] == kind && (covered.is_empty() || words[4] == covered),
        None => words[3] == rtype,
    };
    fits && (label.is_empty() || first == label)
}

// Another letter in the middle of a base64 text.
fn spoil(words: &mut [String]) {
    let last = words.last_mut().unwrap();
    let middle = last.len() / 2;
    let other = if last.as_bytes()[middle] == b'A' { "B" } else { "A" };
    last.replace_range(middle..=middle, other);
}

pub struct Damage {
    /// Its name below `example.`.
    pub name: &'static str,
    pub algorithm: &'static str,
    /// Words for dnssec-signzone.
    pub sign: &'static [&'static str],
    /// What is done to the signed zone.
    pub edit: fn(&mut Records),
    /// The kinds of digest that its parent has (dnssec-dsfromkey's numbers), and what is done to these records.
    pub digests: &'static [&'static str],
    pub delegation: fn(&mut [String]),
    pub signed: bool,
}

fn zone(name: &'static str) -> Damage {
    Damage {
        name,
        algorithm: "ECDSAP256SHA256",
        sign: &[],
        edit: |_| (),
        digests: &["-2"],
        delegation: |_| (),
        signed: true,
    }
}

fn edit(name: &'static str, edit: fn(&mut Records)) -> Damage {
    Damage { edit, ..zone(name) }
}

const NSEC3: &[&str] = &["-3", "-", "-H", "0"];

fn edit3(name: &'static str, edit: fn(&mut Records)) -> Damage {
    Damage { edit, sign: NSEC3, ..zone(name) }
}

fn sign(name: &'static str, sign: &'static [&'static str]) -> Damage {
    Damage { sign, ..zone(name) }
}

fn delegate(name: &'static str, digests: &'static [&'static str], delegation: fn(&mut [String])) -> Damage {
    Damage { digests, delegation, ..zone(name) }
}

fn by(name: &'static str, algorithm: &'static str) -> Damage {
    Damage { algorithm, ..zone(name) }
}

/// Every zone; a child comes before its parent.
pub fn zones() -> Vec<Damage> {
    vec![
        // Nothing wrong.
        zone("good"),
        edit3("good3", |_| ()),
        sign("salted", &["-3", "aabbccdd", "-H", "12"]),
        by("rsa256", "RSASHA256"),
        by("rsa512", "RSASHA512"),
        by("p384", "ECDSAP384SHA384"),
        by("ed25519", "ED25519"),
        delegate("sum384", &["-a SHA-384"], |_| ()),
        zone("far.off.away"),
        zone("child.parent"),
        zone("parent"),
        // Not signed, and that is proven.
        Damage { signed: false, ..zone("unsigned") },
        Damage { signed: false, digests: &[], ..zone("kid.optout") },
        Damage { digests: &[], ..sign("optout", &["-3", "-", "-H", "0", "-A"]) },
        Damage { signed: false, digests: &[], ..zone("kid.opted") },
        zone("near.opted"),
        sign("opted", &["-3", "-", "-H", "0", "-A"]),
        Damage { signed: false, digests: &[], ..zone("kid.closed") },
        sign("closed", NSEC3),
        Damage { digests: &[], ..zone("island") },
        delegate("newalgorithm", &["-2"], |ds| ds[5] = "200".into()),
        delegate("newdigest", &["-2"], |ds| ds[6] = "200".into()),
        sign("iterations", &["ldns", "-n", "-t", "151", "-s", "abcd"]),
        sign("lessiterations", &["-3", "-", "-H", "150"]),
        // Times.
        sign("expired", &["-s", "20250101000000", "-e", "20250201000000"]),
        sign("future", &["-s", "20900101000000", "-e", "20900201000000"]),
        edit("ageless", |zone| {
            zone.change("www", "RRSIG/A", |words| words.swap(8, 9));
        }),
        // Signatures.
        edit("sigspoilt", |zone| zone.change("www", "RRSIG/A", |words| spoil(words))),
        edit("siggone", |zone| zone.remove("www", "RRSIG/A")),
        edit("sigsgone", |zone| zone.remove("", "RRSIG/")),
        edit("sigmoved", |zone| {
            zone.remove("www", "RRSIG/A");
            zone.copy("other", "RRSIG/A", |words| words[0] = words[0].replacen("other", "www", 1));
        }),
        edit("sigsigner", |zone| zone.change("www", "RRSIG/A", |words| words[11] = "example.".into())),
        edit("sigbelow", |zone| zone.change("www", "RRSIG/A", |words| words[11] = words[0].clone())),
        edit("sigforeign", |zone| zone.change("www", "RRSIG/A", |words| words[11] = "good.example.".into())),
        edit("siglabels", |zone| zone.change("www", "RRSIG/A", |words| words[6] = "2".into())),
        edit("sigmorelabels", |zone| zone.change("www", "RRSIG/A", |words| words[6] = "4".into())),
        edit("sigalgorithm", |zone| zone.change("www", "RRSIG/A", |words| words[5] = "8".into())),
        edit("sigtag", |zone| zone.change("www", "RRSIG/A", |words| words[10] = "4711".into())),
        edit("sigttl", |zone| zone.change("www", "RRSIG/A", |words| words[7] = "7200".into())),
        edit("sigsmore", |zone| zone.copy("www", "RRSIG/A", |words| spoil(words))),
        edit("sigcname", |zone| zone.change("alias", "RRSIG/CNAME", |words| spoil(words))),
        edit("sigdname", |zone| zone.change("tree", "RRSIG/DNAME", |words| spoil(words))),
        edit("sigsoa", |zone| zone.change("", "RRSIG/SOA", |words| spoil(words))),
        edit("soagone", |zone| zone.remove("", "RRSIG/SOA")),
        // Data.
        edit("datachanged", |zone| zone.change("www", "A", |words| words[4] = "198.51.100.66".into())),
        edit("dataadded", |zone| zone.copy("www", "A", |words| words[4] = "198.51.100.66".into())),
        edit("datattl", |zone| {
            zone.change("www", "A", |words| words[1] = "86400".into());
            zone.change("www", "RRSIG/A", |words| words[1] = "86400".into());
        }),
        // Keys and what the parent says of them.
        delegate("dsspoilt", &["-2"], spoil),
        delegate("dstag", &["-2"], |ds| ds[4] = "4711".into()),
        delegate("dsalgorithm", &["-2"], |ds| ds[5] = "8".into()),
        delegate("dsold", &["-1"], |_| ()),
        delegate("dsmany", &["-2", "-a SHA-384"], |ds| {
            if ds[6] == "4" {
                spoil(ds);
            }
        }),
        delegate("dsbetter", &["-1", "-2"], |ds| {
            if ds[6] == "2" {
                spoil(ds);
            }
        }),
        edit("keygone", |zone| {
            zone.remove("", "DNSKEY");
            zone.remove("", "RRSIG/DNSKEY");
        }),
        edit("keysiggone", |zone| zone.remove("", "RRSIG/DNSKEY")),
        edit("keysigspoilt", |zone| zone.change("", "RRSIG/DNSKEY", |words| spoil(words))),
        edit("keyspoilt", |zone| zone.change("", "DNSKEY", |words| spoil(words))),
        edit("keynozone", |zone| zone.change("", "DNSKEY", |words| words[4] = "1".into())),
        edit("keyrevoked", |zone| zone.change("", "DNSKEY", |words| words[4] = "385".into())),
        edit("keyprotocol", |zone| zone.change("", "DNSKEY", |words| words[5] = "2".into())),
        // What says that there is nothing.
        edit("nsecgone", |zone| {
            zone.remove("", "NSEC");
            zone.remove("", "RRSIG/NSEC");
        }),
        edit("nsecsiggone", |zone| zone.remove("", "RRSIG/NSEC")),
        edit("nsecspoilt", |zone| zone.change("", "RRSIG/NSEC", |words| spoil(words))),
        edit("nsecone", |zone| {
            zone.remove("www", "NSEC");
            zone.remove("www", "RRSIG/NSEC");
        }),
        edit("nseclies", |zone| zone.change("www", "NSEC", |words| words.retain(|word| word != "A"))),
        edit("nsecapex", |zone| {
            let apex = |words: &Vec<String>| {
                words[0].starts_with("nsecapex.") && (is(words, "", "NSEC") || is(words, "", "RRSIG/NSEC"))
            };
            zone.0.retain(|words| !apex(words));
        }),
        edit3("nsec3gone", |zone| {
            zone.remove("", "NSEC3");
            zone.remove("", "RRSIG/NSEC3");
        }),
        edit3("nsec3siggone", |zone| zone.remove("", "RRSIG/NSEC3")),
        edit3("nsec3spoilt", |zone| zone.change("", "RRSIG/NSEC3", |words| spoil(words))),
        edit3("nsec3flag", |zone| zone.change("", "NSEC3", |words| words[5] = "1".into())),
    ]
}
