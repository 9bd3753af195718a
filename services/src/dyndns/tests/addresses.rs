use super::super::addresses::Sight;
use super::config::records;
use crate::perm::devices::Devices;
use netstack::address::Address;
use netstack::link::Link;

fn sight(addresses: &[(u32, &str)]) -> Sight {
    let link = |index, name: &str| Link { index, name: name.into(), up: true, ..Link::default() };
    let devices = r#"{"devices":[{"hardware_addr":"02:00:5e:10:00:07","interface":"office","name":"nas"}]}"#;
    Sight {
        uplink: "uplink0".into(),
        links: vec![link(2, "uplink0"), link(3, "lan0"), link(4, "office")],
        addresses: addresses.iter().map(|(index, ip)| Address::new(*index, ip.parse().unwrap(), 64)).collect(),
        devices: serde_json::from_str::<Devices>(devices).unwrap(),
    }
}

fn of(sight: &Sight, rest: &str) -> Result<String, String> {
    let entry = format!(r#"{{"desec":{{"token":"t"}},"record_name":"a.example"{rest}}}"#);
    sight.of(&records(&entry)[0]).map(|address| address.to_string())
}

const V6: &str = r#","type":"AAAA""#;

#[test]
fn the_routers_own_addresses() {
    let all = sight(&[(2, "203.0.113.9"), (2, "203.0.113.10"), (2, "fe80::1"), (2, "fd00::9"), (2, "2001:db8:1::9")]);
    assert_eq!(of(&all, "").unwrap(), "203.0.113.9");
    assert_eq!(of(&all, V6).unwrap(), "2001:db8:1::9");
    let bare = sight(&[(2, "100.64.0.7"), (3, "192.168.42.1"), (3, "fd00::1"), (3, "2001:db8:a::1")]);
    assert!(of(&bare, "").unwrap_err().contains("100.64.0.7 is no address of the internet"));
    assert_eq!(of(&bare, r#","private":true"#).unwrap(), "100.64.0.7");
    assert_eq!(of(&bare, V6).unwrap(), "2001:db8:a::1", "any of its addresses is reached");
    let nothing = sight(&[]);
    assert_eq!(of(&nothing, "").unwrap_err(), "uplink0 has no IPv4 address");
    assert_eq!(of(&nothing, V6).unwrap_err(), "uplink0 and lan0 have no IPv6 address");
    let mut old = sight(&[(2, "2001:db8:1::9"), (2, "2001:db8:2::9")]);
    old.addresses[0].deprecated = true;
    assert_eq!(of(&old, V6).unwrap(), "2001:db8:2::9");
}

#[test]
fn a_machines_address_is_its_lans_prefix_and_its_own_half() {
    let all = sight(&[(3, "fd00:a::1"), (3, "2001:db8:a::1"), (4, "2001:db8:a:4::1")]);
    let of = |rest: &str| of(&all, &format!("{V6},{rest}"));
    assert_eq!(of(r#""device":"NAS""#).unwrap(), "2001:db8:a:4:0:5eff:fe10:7", "where it was seen");
    assert_eq!(of(r#""device":"02:00:5e:10:00:08""#).unwrap(), "2001:db8:a::5eff:fe10:8", "a stranger is in lan0");
    assert_eq!(of(r#""device":"nas","suffix":"::7""#).unwrap(), "2001:db8:a:4::7");
    assert_eq!(of(r#""device":"nas","lan":"lan0","suffix":"::7""#).unwrap(), "2001:db8:a::7");
    assert_eq!(of(r#""suffix":"::dead:beef""#).unwrap(), "2001:db8:a::dead:beef");
    assert_eq!(of(r#""device":"printer""#).unwrap_err(), "no device at home is \"printer\"");
    assert_eq!(of(r#""suffix":"::7","lan":"guest""#).unwrap_err(), "guest has no prefix of the internet");
}
