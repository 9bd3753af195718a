use super::super::config::{Owner, Provider, Record, Records};
use std::path::Path;

pub fn parse(text: &str) -> Result<Records, String> {
    Records::parse(Path::new("dyndns.json"), text.as_bytes()).map_err(|refusal| refusal.to_string())
}

/// The records of a file without a fault.
pub fn records(entries: &str) -> Vec<Record> {
    let read = parse(&format!("{{\"records\":[{entries}]}}")).unwrap();
    assert!(read.refused.is_empty(), "{:?}", read.refused);
    read.records
}

#[test]
fn router7s_file_and_every_other_provider() {
    let all = records(
        r#"{"cloudflare":{"api_token":"t0k"},"zone":"zekjur.net","record_name":"dyndns.zekjur.net","record_ttl_seconds":300},
        {"RFC2136":{"server":"ns.example.net","key_name":"home.","key":"MDEyMzQ1Njc4OWFiY2RlZg=="},"zone":"Example.net.",
         "record_name":"NAS.example.net.","type":"AAAA","device":"nas","suffix":"::1:2:3:4"},
        {"dyndns2":{"server":"[2001:db8::1]:8443","username":"me","password":"p:w"},"record_name":"*.home.example"},
        {"desec":{"token":"t"},"record_name":"me.dedyn.io","type":"aaaa","device":"02:00:5e:10:00:07","lan":"office"},
        {"duckdns":{"token":"t"},"record_name":"me","private":true}"#,
    );
    let said: Vec<String> = all.iter().map(|record| format!("{record} at {}", record.server.host)).collect();
    assert_eq!(
        said,
        [
            "dyndns.zekjur.net A (cloudflare) at api.cloudflare.com",
            "nas.example.net AAAA (rfc2136) at ns.example.net",
            "*.home.example A (dyndns2) at 2001:db8::1",
            "me.dedyn.io AAAA (desec) at update.dedyn.io",
            "me.duckdns.org A (duckdns) at www.duckdns.org",
        ]
    );
    assert_eq!((all[0].ttl, all[0].server.port, all[1].server.port, all[2].server.port), (300, 443, 53, 8443));
    assert_eq!(all[1].provider, Provider::Update { key_name: "home".into(), key: b"0123456789abcdef".to_vec() });
    assert!(matches!(all[1].owner, Owner::Machine { suffix: Some(0x1_0002_0003_0004), .. }), "{:?}", all[1].owner);
    assert!(all[4].private && !all[0].private);
    assert!(parse("{}").unwrap().records.is_empty() && parse(r#"{"records":null}"#).unwrap().records.is_empty());
}

#[test]
fn what_is_wrong_is_named_and_the_others_hold() {
    for (entry, said) in [
        (r#"{"record_name":"a.b"}"#, "records[0].provider: 0 providers"),
        (r#"{"desec":{"token":"t"},"duckdns":{"token":"t"},"record_name":"a"}"#, "records[0].provider: 2 providers"),
        (r#"{"desec":{"token":""},"record_name":"a.b"}"#, "records[0].desec.token: is not 1 to"),
        (r#"{"desec":{"token":"hunter2\r\nX: y"},"record_name":"a.b"}"#, "records[0].desec.token: is not 1 to"),
        (r#"{"desec":{"token":"t"},"record_name":"a b"}"#, "records[0].record_name: \"a b\" is no name"),
        (r#"{"desec":{"token":"t"}}"#, "records[0].record_name: \"\" is no name"),
        (r#"{"desec":{"token":7},"record_name":"a.b"}"#, "records[0].desec.token: invalid type"),
        (r#"{"desec":{"token":"t","server":"a:b"},"record_name":"a.b"}"#, "records[0].desec.server: \"a:b\""),
        (r#"{"cloudflare":{"api_token":"t"},"record_name":"a.b"}"#, "records[0].zone: \"\" is not the zone of a.b"),
        (r#"{"cloudflare":{"api_token":"t"},"record_name":"xa.b","zone":"a.b"}"#, "records[0].zone: \"a.b\""),
        (
            r#"{"rfc2136":{"server":"n","key_name":"k","key":"hunter2"},"record_name":"a.b","zone":"b"}"#,
            "records[0].rfc2136.key: is not 16",
        ),
        (
            r#"{"rfc2136":{"server":"n","algorithm":"hmac-md5"},"record_name":"a.b","zone":"b"}"#,
            "records[0].rfc2136.algorithm: \"hmac-md5\"",
        ),
        (r#"{"dyndns2":{"username":"u","password":"p"},"record_name":"a.b"}"#, "records[0].dyndns2.server: \"\""),
        (
            r#"{"dyndns2":{"server":"s","path":"x?y","username":"u","password":"p"},"record_name":"a.b"}"#,
            "records[0].dyndns2.path: \"x?y\"",
        ),
        (
            r#"{"dyndns2":{"server":"s","username":"u:v","password":"p"},"record_name":"a.b"}"#,
            "records[0].dyndns2.username: \"u:v\"",
        ),
        (
            r#"{"duckdns":{"token":"t"},"record_name":"a.example"}"#,
            "records[0].record_name: \"a.example\" is no name of duckdns",
        ),
        (r#"{"desec":{"token":"t"},"record_name":"a.b","type":"MX"}"#, "records[0].type: \"MX\""),
        (
            r#"{"desec":{"token":"t"},"record_name":"a.b","device":"nas"}"#,
            "records[0].device: has an address of its own",
        ),
        (r#"{"desec":{"token":"t"},"record_name":"a.b","lan":"lan1"}"#, "records[0].lan: \"lan1\""),
        (
            r#"{"desec":{"token":"t"},"record_name":"a.b","type":"AAAA","suffix":"2001:db8::1"}"#,
            "records[0].suffix: \"2001:db8::1\"",
        ),
        (
            r#"{"desec":{"token":"t"},"record_name":"a.b","record_ttl_seconds":100000}"#,
            "records[0].record_ttl_seconds: 100000",
        ),
    ] {
        let good = r#"{"desec":{"token":"t"},"record_name":"good.example"}"#;
        let read = parse(&format!("{{\"records\":[{entry},{good}]}}")).unwrap();
        let refused: Vec<String> = read.refused.iter().map(ToString::to_string).collect();
        assert!(refused.len() == 1 && refused[0].contains(said), "{entry}: {refused:?}");
        assert!(!refused[0].contains("hunter2"), "a secret is not repeated");
        assert_eq!(read.records.len(), 1, "{entry}");
    }
    let twice = r#"{"desec":{"token":"t"},"record_name":"a.b"}"#;
    let read = parse(&format!("{{\"records\":[{twice},{twice}]}}")).unwrap();
    assert!(read.refused[0].to_string().contains("a.b A stands here twice"), "{:?}", read.refused);
    let many = vec![twice; 65].join(",");
    assert!(parse(&format!("{{\"records\":[{many}]}}")).unwrap_err().contains("records: 65 are written, 64"));
}
