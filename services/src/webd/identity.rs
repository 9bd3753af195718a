//! Who the router is where TLS is spoken: by a person's own certificate (`/perm/tls/cert.pem` and `key.pem`), else by one that
//! it has made itself and keeps in `/perm/webd/tls.pem`, key and certificate in one file so that no power cut parts them.
//!
//! Looked at when somebody comes and something may have changed, so that neither the boot nor an idle router pays for it.
use crate::house::House;
use crate::house::pair::Pair;
use crate::perm::file;
use base64ct::{Base64, Encoding};
use netstack::time::Instant;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

const OWN: &str = "/perm/webd/tls.pem";
const MODE: u32 = 0o600;
/// Bytes of a file: a chain of several certificates, with words between them.
const LARGEST: u64 = 128 << 10;
const DAY: u64 = 86_400;
/// What of an own certificate's life lies before its making, for clocks that are a little behind; how long it is good for in
/// all, as long as a device lets one be that is trusted by hand (825 days); when another one is made before its end.
const BEFORE: u64 = DAY;
const LIFE: u64 = 825 * DAY;
const EARLY: u64 = 30 * DAY;
/// How long what was found holds while nothing is known to have changed: dates go by, and the clock may be set.
const HOLDS: Duration = Duration::from_secs(3_600);
/// Names in a certificate.
const MOST: usize = 64;

/// What was found last.
#[derive(Debug, Default)]
pub struct Identity {
    pair: Option<Pair>,
    until: Option<Instant>,
    /// What was wrong with a person's own, which is said once.
    said: String,
}

impl Identity {
    /// Something may have changed: the files, the names, the addresses.
    pub fn outdated(&mut self) {
        self.until = None;
    }

    /// Whether it has to be looked at before somebody is served.
    pub fn is_outdated(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    /// Looks: what holds from now on; none when there is neither a person's nor can one be made. `wall` is the clock's
    /// reading in seconds since 1970, never before the image was made.
    pub fn look(&mut self, house: &House, now: Instant, wall: u64, names: &[String]) -> Option<&Pair> {
        self.until = Some(now + HOLDS);
        let said = match theirs(house, wall) {
            Ok(Some(pair)) => {
                self.said.clear();
                self.pair = Some(pair);
                return self.pair.as_ref();
            }
            Ok(None) => String::new(),
            Err(said) => said,
        };
        if self.said != said {
            if !said.is_empty() {
                log::error!("{said}; the router's own certificate is used");
            }
            self.said = said;
        }
        self.pair = own(house, wall, names).map_err(|error| log::error!("{OWN}: {error}")).ok();
        self.pair.as_ref()
    }

    /// The certificate in PEM, for who wants to trust it.
    pub fn certificate(&self) -> Option<String> {
        self.pair.as_ref().map(|pair| pem("CERTIFICATE", pair.certificate()))
    }
}

/// A person's own, when there is one that is good.
fn theirs(house: &House, wall: u64) -> Result<Option<Pair>, String> {
    let paths = [rights::TLS_CERTIFICATE, rights::TLS_KEY].map(|path| file::in_force(house.root(), path));
    let mut files = Vec::new();
    for path in &paths {
        let read = file::read_up_to(path, LARGEST);
        files.push(read.map_err(|error| format!("{}: the file: {error}", path.display()))?);
    }
    let [certificate, key] = paths;
    let missing = |path: &Path| Err(format!("{}: the file: is missing", path.display()));
    let (cert, secret) = match files.as_slice() {
        [None, None] => return Ok(None),
        [Some(cert), Some(secret)] => (cert, secret),
        [None, _] => return missing(&certificate),
        _ => return missing(&key),
    };
    let pair = Pair::read((&certificate, cert), (&key, secret)).map_err(|refusal| refusal.to_string())?;
    let good = pair.is_good(wall);
    good.map(|()| Some(pair)).map_err(|why| format!("{}: certificate 1: {why}", certificate.display()))
}

/// Our own, made anew when it is not there, is damaged, or is [`is_due`].
fn own(house: &House, wall: u64, names: &[String]) -> Result<Pair, String> {
    let path = house.path(OWN);
    let parse = |bytes: &[u8]| Pair::read((&path, bytes), (&path, bytes)).map_err(|refusal| refusal.to_string());
    let kept = file::read_up_to(&path, LARGEST).map_err(|error| error.to_string())?;
    if let Some(kept) = kept {
        let why = match parse(&kept) {
            Ok(pair) => match is_due(&pair, wall, names) {
                None => return Ok(pair),
                Some(why) => why,
            },
            Err(why) => why,
        };
        log::info!("another certificate is made: {why}");
    }
    let made = make(wall, names)?;
    // One that cannot be kept is good enough until the end of this process.
    if let Err(error) = file::replace_with(&path, made.as_bytes(), MODE) {
        log::error!("{}: {error}", path.display());
    }
    parse(made.as_bytes())
}

/// Why an own certificate does not do any more.
fn is_due(pair: &Pair, wall: u64, names: &[String]) -> Option<String> {
    // One from a future in which the clock was wrong is not good yet.
    let dates = pair.is_good(wall).and_then(|()| pair.is_good(wall + EARLY).map_err(|_| "has not long to go"));
    let missing = || names.iter().find(|name| !pair.is_for(name)).map(|name| format!("it is not for {name}"));
    dates.err().map(|why| format!("the one before {why}")).or_else(missing)
}

/// Key and certificate in PEM.
fn make(wall: u64, names: &[String]) -> Result<String, String> {
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let mut params = CertificateParams::new(names).map_err(|error| error.to_string())?;
    let begin = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(wall.saturating_sub(BEFORE));
    params.not_before = begin;
    params.not_after = begin + Duration::from_secs(LIFE);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("weir", String::as_str));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
    Ok(pem("PRIVATE KEY", key.serialized_der()) + &pem("CERTIFICATE", certificate.der()))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = Base64::encode_string(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// What a browser may call us: our name alone and in the domain of lan0, the names that our name server has from a person and
/// that lead to us, the addresses. Link-local ones cannot be said in an address line.
pub fn names(hostname: &str, domain: &str, fixed: &[(String, Vec<IpAddr>)], served: &[SocketAddr]) -> Vec<String> {
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    let addresses: Vec<IpAddr> = served.iter().map(SocketAddr::ip).filter(usable).collect();
    let label = hostname.split('.').next().filter(|label| !label.is_empty()).unwrap_or("weir").to_ascii_lowercase();
    let mut names = vec![format!("{label}.{domain}"), label];
    let ours = |known: &&(String, Vec<IpAddr>)| known.1.iter().any(|address| addresses.contains(address));
    names.extend(fixed.iter().filter(ours).map(|(name, _)| name.clone()));
    names.extend(addresses.iter().map(IpAddr::to_string));
    let mut unique = Vec::new();
    for name in names {
        let speakable = rustls::pki_types::ServerName::try_from(name.as_str()).is_ok();
        if speakable && !unique.contains(&name) && unique.len() < MOST {
            unique.push(name);
        }
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;
    use std::os::unix::fs::MetadataExt;

    const NOW: u64 = 1_795_000_000;

    struct Bench {
        folder: Folder,
        house: House,
        identity: Identity,
        names: Vec<String>,
        wall: u64,
        now: Instant,
    }

    impl Bench {
        fn new() -> Bench {
            let folder = Folder::new();
            let house = House::open(["--root".into(), folder.0.clone().into_os_string()].into_iter()).unwrap();
            let names = vec!["weir.lan".to_owned(), "weir".into(), "192.168.42.1".into()];
            Bench { folder, house, identity: Identity::default(), names, wall: NOW, now: Instant::from_secs(1) }
        }

        fn after(&mut self, seconds: u64) -> &mut Bench {
            self.wall += seconds;
            self.now += Duration::from_secs(seconds);
            self
        }

        /// The certificate, as one who comes would meet it.
        fn met(&mut self) -> Vec<u8> {
            if self.identity.is_outdated(self.now) {
                self.identity.look(&self.house, self.now, self.wall, &self.names).unwrap();
            }
            let pair = self.identity.pair.as_ref().unwrap();
            assert_eq!(pair.is_good(self.wall), Ok(()));
            assert!(self.names.iter().all(|name| pair.is_for(name)));
            pair.certificate().to_vec()
        }

        fn put(&self, name: &str, text: &str) {
            std::fs::create_dir_all(self.folder.0.join("perm/tls")).unwrap();
            std::fs::write(self.folder.0.join("perm/tls").join(name), text).unwrap();
        }
    }

    #[test]
    fn its_own_is_made_once_kept_from_others_and_renewed_in_time() {
        let mut bench = Bench::new();
        let first = bench.met();
        assert_eq!(std::fs::metadata(bench.house.path(OWN)).unwrap().mode() & 0o777, 0o600);
        bench.identity = Identity::default();
        assert_eq!(bench.met(), first, "a restart makes no other");
        let mut made = vec![first];
        // Three years, a look a day.
        for _ in 0..3 * 365 {
            let met = bench.after(DAY).met();
            if made.last() != Some(&met) {
                made.push(met);
            }
        }
        assert_eq!(made.len(), 2, "825 days are good for 794");
        bench.identity.outdated();
        bench.names.push("10.0.0.1".into());
        assert_ne!(Some(&bench.met()), made.last(), "another address");
        std::fs::write(bench.house.path(OWN), "damaged").unwrap();
        bench.identity.outdated();
        assert!(!bench.met().is_empty());
    }

    #[test]
    fn a_clock_that_was_wrong_leaves_no_certificate_that_nobody_believes() {
        for wrong in [1_600_000_000, NOW - 400 * DAY, NOW + 70 * 365 * DAY] {
            let mut bench = Bench::new();
            bench.wall = wrong;
            let first = bench.met();
            bench.wall = NOW;
            // Not a word that the clock was set is waited for longer than an hour.
            bench.now += HOLDS;
            let then = bench.met();
            // What was made a year too early still does.
            assert_eq!(first == then, wrong == NOW - 400 * DAY, "{wrong}");
        }
    }

    #[test]
    fn a_persons_own_comes_first_and_a_bad_one_costs_nobody_the_page() {
        let mut bench = Bench::new();
        let own = bench.met();
        let other = make(NOW, &bench.names).unwrap();
        let (key, certificate) = other.split_at(other.find("-----BEGIN CERTIFICATE").unwrap());
        bench.put("cert.pem", certificate);
        bench.identity.outdated();
        assert_eq!(bench.met(), own, "without a key");
        assert!(bench.identity.said.contains("tls/key.pem: the file: is missing"), "{}", bench.identity.said);
        bench.put("key.pem", &make(NOW, &bench.names).unwrap());
        bench.identity.outdated();
        assert_eq!(bench.met(), own, "with another's");
        assert!(bench.identity.said.contains("tls/key.pem: the key: does not fit"), "{}", bench.identity.said);
        bench.put("key.pem", key);
        bench.identity.outdated();
        assert_ne!(bench.met(), own);
        assert!(bench.identity.said.is_empty());
        bench.after(LIFE).met();
        assert!(bench.identity.said.ends_with("cert.pem: certificate 1: has expired"), "{}", bench.identity.said);
    }

    #[test]
    fn every_name_that_leads_here_and_no_other() {
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        let fixed = [("home.example".to_owned(), vec![at("10.0.0.1")]), ("nas".into(), vec![at("10.0.0.9")])];
        let served: Vec<SocketAddr> =
            ["127.0.0.1:80", "10.0.0.1:80", "[fd00::1]:80", "[fe80::1]:80", "10.0.0.1:443", "[::1]:80"]
                .map(|text| text.parse().unwrap())
                .into();
        let found = names("Weir.example", "lan", &fixed, &served);
        assert_eq!(found, ["weir.lan", "weir", "home.example", "10.0.0.1", "fd00::1"]);
        assert_eq!(names("", "lan", &[], &[]), ["weir.lan", "weir"]);
        assert!(make(NOW, &names("a b", "lan", &[], &[])).is_ok());
    }
}
