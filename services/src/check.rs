//! A person's files checked together, by the very code that reads them: on the router before they are tried, on the host
//! before they are sent.
use crate::house::pair::{self, Pair};
use crate::house::tls;
use crate::perm::firewall::Rules;
use crate::perm::forwardings::Forwardings;
use crate::perm::interfaces::Interfaces;
use crate::perm::json::Refusal;
use crate::perm::resolver::Resolver;
use crate::perm::shaping::Shaping;
use crate::perm::wireguard::Tunnels;
use crate::perm::{levels, schedule, ula};
use crate::{
    captured, deviced, dhcp4, dhcp4d, dhcp6, diagd, dnsd, dyndns, listd, logd, netconfigd, ntpd, pppoe, radvd,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Files by their names under `/perm`, such as `interfaces.json` and `radvd/config.json`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A file's name on the router, when it is one that a person writes.
pub fn known(name: &str) -> Option<&'static str> {
    rights::WRITTEN.iter().copied().find(|path| path.strip_prefix("/perm/") == Some(name))
}

/// Everything that is wrong with them, alone and together: file, line, field, value, a line each. `zone` knows the rule of
/// a time zone by its name. What is absent holds as it does when the router finds no such file; what depends on leases is
/// not asked.
pub fn check(files: &Files, zone: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut wrong: Vec<Refusal> = Vec::new();
    let (mut interfaces, mut forwardings, mut rules) =
        (Interfaces::defaults(), Forwardings::default(), Rules::default());
    for (name, bytes) in files {
        let path = Path::new(name);
        let Some(known) = known(name) else {
            wrong.push(Refusal::field(path, "the file", "is none that weir reads"));
            continue;
        };
        let result = match known {
            rights::INTERFACES => Interfaces::parse(path, bytes).map(|read| interfaces = read),
            rights::FORWARDINGS => Forwardings::parse(path, bytes).map(|read| forwardings = read),
            rights::FIREWALL => Rules::parse(path, bytes).map(|read| rules = read),
            rights::TIME => schedule::parse(path, bytes, &zone).map(drop),
            rights::CLIENT4 => dhcp4::check(path, bytes),
            rights::CLIENT6 => dhcp6::check(path, bytes),
            rights::RADVD => radvd::check(path, bytes),
            rights::WIREGUARD => Tunnels::parse(path, bytes).map(|mut read| wrong.append(&mut read.refused)),
            rights::SHAPING => Shaping::parse(path, bytes).map(|mut read| wrong.append(&mut read.refused)),
            rights::RESOLVER => Resolver::parse(path, bytes).map(drop),
            rights::DIAGNOSIS => diagd::check(path, bytes),
            rights::PREFIXES => ula::parse(path, bytes).map(drop),
            rights::PPPOE_SECRET => pppoe::check(path, bytes),
            rights::AUTHORIZED_KEYS => captured::check(path, bytes),
            rights::TIME_SERVERS => ntpd::check(path, bytes),
            rights::SYSLOG => logd::check(path, bytes),
            rights::DYNDNS => dyndns::check(path, bytes).map(|mut refused| wrong.append(&mut refused)),
            rights::BLOCKLISTS => listd::check(path, bytes).map(|mut refused| wrong.append(&mut refused)),
            rights::LISTD_CA => tls::check_authorities(path, bytes),
            rights::LOG_LEVELS => levels::parse(path, bytes).map(drop),
            rights::DNSD_CA => tls::check_authorities(path, bytes),
            rights::ROOT_KEY => dnsd::check_root_key(path, bytes),
            rights::DYNDNS_CA => tls::check_authorities(path, bytes),
            rights::TLS_CERTIFICATE => pair::chain(path, bytes).map(drop),
            rights::MQTT => deviced::check(path, bytes),
            // Only beside an interfaces.json, which may come after it.
            rights::SERVER4 => Ok(()),
            // Only beside its certificate.
            rights::TLS_KEY => identity(files),
            _ => Ok(()),
        };
        wrong.extend(result.err());
    }
    wrong.append(&mut forwardings.refused);
    wrong.append(&mut rules.refused);
    if let Some(config) = files.get("dhcp4d/config.json") {
        match dhcp4d::check(Path::new("dhcp4d/config.json"), config, &interfaces) {
            Ok(mut refused) => wrong.append(&mut refused),
            Err(refusal) => wrong.push(refusal),
        }
    }
    let bytes = |name: &str| files.get(name).map(Vec::as_slice).unwrap_or_default();
    let (of_forwardings, of_rules) = netconfigd::check(interfaces, &forwardings, &rules);
    for (name, refused) in [("portforwardings.json", of_forwardings), ("firewall.json", of_rules)] {
        for (entry, field, words) in refused {
            wrong.push(Refusal::field(Path::new(name), &format!("{entry}.{field}"), words).at(bytes(name)));
        }
    }
    wrong.iter().map(ToString::to_string).collect()
}

/// A key beside its certificate; one whose certificate is damaged is met there.
fn identity(files: &Files) -> Result<(), Refusal> {
    let [certificate, key] = ["tls/cert.pem", "tls/key.pem"];
    let (of, beside) = (Path::new(certificate), Path::new(key));
    let bytes = files.get(key).map(Vec::as_slice).unwrap_or_default();
    match files.get(certificate) {
        Some(found) if pair::chain(of, found).is_err() => Ok(()),
        Some(found) => Pair::read((of, found), (beside, bytes)).map(drop),
        None => Err(Refusal::field(beside, "the file", format!("has no certificate beside it ({certificate})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Vec<String> {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
        check(&files.collect(), |name| (name == "Europe/Zurich").then(|| "CET-1CEST,M3.5.0,M10.5.0/3".to_owned()))
    }

    #[test]
    fn files_are_checked_alone_and_together() {
        let lan = r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"10.0.0.1/24"}]}"#;
        let to = |address: &str| format!("{{\"forwardings\":[\n{{\"port\":\"80\",\"dest_addr\":\"{address}\"}}]}}");
        assert_eq!(of(&[("interfaces.json", lan), ("portforwardings.json", &to("10.0.0.9"))]), [""; 0]);
        let wrong = of(&[
            ("interfaces.json", lan),
            ("portforwardings.json", &to("192.168.42.9")),
            (
                "firewall.json",
                r#"{"rules":[{"name":"a","action":"refuse","lan":"lan7"},{"name":"b"},
                {"name":"c","action":"refuse","device":"unknown here"}]}"#,
            ),
            ("time.json", r#"{"zone":"Europe/Nowhere"}"#),
            ("radvd/config.json", r#"{"pref64":"64:ff9b::/97"}"#),
            ("dhcp4/client.json", r#"{"request":[]}"#),
            ("dhcp6/client.json", r#"{"prefix_hints":["::/72"]}"#),
            ("radvd/prefixes.json", "[{"),
            ("wireguard.json", r#"{"interfaces":[{"name":"wg0","private_key":"7"}]}"#),
            ("shaping.json", r#"{"up":"0Mbit","down":"20Mbit"}"#),
            ("dhcp4d/config.json", r#"{"lans":[{"name":"lan7"}]}"#),
            ("dhcp4d/mqtt-broker.txt", "nonsense"),
            ("dnsd/config.json", r#"{"upstreams":["dns.example"]}"#),
            ("diagd/config.json", r#"{"portal":"https://example.net/"}"#),
            ("authorized_keys", "# mine\nssh-rsa AAAA"),
            ("ntpd/config.json", r#"{"servers":["1.2.3"]}"#),
            ("remote_syslog/target", "tls://logs"),
            (
                "dyndns.json",
                r#"{"records":[{"cloudflare":{"api_token":"secret"},"zone":"example.net","record_name":"a.example.org"}]}"#,
            ),
            ("dyndns/ca.pem", "nonsense"),
            ("blocklists.json", r#"{"lists":[{"name":"a","url":"ftp://x"}]}"#),
            ("listd/ca.pem", "nonsense"),
            ("tls/cert.pem", "nonsense"),
            ("log.json", r#"{"dnsd":"loud"}"#),
            ("passwd", "root"),
        ]);
        for begin in [
            "portforwardings.json:2:26: forwardings[0].dest_addr: 192.168.42.9 is in no LAN",
            "firewall.json:1:47: rules[0] (a).lan: \"lan7\"",
            "firewall.json:1:55: rules[1]: missing field `action`",
            "time.json:1:9: zone: \"Europe/Nowhere\"",
            "radvd/config.json:1:11: pref64: 64:ff9b::/97",
            "dhcp4/client.json:1:12: request: []",
            "dhcp6/client.json:1:17: prefix_hints: ::/72",
            "radvd/prefixes.json:1:",
            "wireguard.json:1:44: interfaces[0].private_key: is no key",
            "shaping.json:1:7: up: \"0Mbit\"",
            "dhcp4d/config.json:1:18: lans[0].name: \"lan7\"",
            "dhcp4d/mqtt-broker.txt: the file: \"nonsense\"",
            "dnsd/config.json:1:15: upstreams[0]: \"dns.example\" is neither",
            "diagd/config.json:1:11: portal: \"https://example.net/\"",
            "authorized_keys: line 2: is no key",
            "ntpd/config.json:1:13: servers[0]: \"1.2.3\" is neither",
            "remote_syslog/target: the file: \"tls://logs\"",
            "dyndns.json:1:57: records[0].zone: \"example.net\" is not the zone of a.example.org",
            "log.json:1:9: dnsd: \"loud\" is none of",
            "dyndns/ca.pem: the file: has no certificate",
            "tls/cert.pem: the file: has no certificate",
            "blocklists.json:1:29: lists[0].url: \"ftp://x\" does not begin",
            "listd/ca.pem: the file: has no certificate",
            "passwd: the file: is none that weir reads",
        ] {
            assert_eq!(wrong.iter().filter(|line| line.starts_with(begin)).count(), 1, "{begin}: {wrong:#?}");
        }
        assert_eq!(wrong.len(), 24, "{wrong:#?}");
        assert_eq!(of(&[("time.json", r#"{"zone":"Europe/Zurich"}"#)]), [""; 0]);
    }

    #[test]
    fn whatever_is_damaged_has_its_line() {
        for path in rights::WRITTEN {
            let name = path.strip_prefix("/perm/").unwrap();
            for text in ["", "{", "7", "\u{feff}{}", "{\"rules\":7}x", "[[[[[["] {
                assert!(of(&[(name, text)]).iter().all(|line| line.starts_with(name)), "{name} {text}");
            }
            assert_eq!(of(&[(name, "{")]).len(), 1, "{name}");
        }
    }
}
