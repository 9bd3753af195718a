//! Scenarios: leases, neighbours and requests against the table.
use super::engine::{Engine, MOST, News, label};
use super::requests;
use super::tail::{Change, Lease, Tail};
use crate::perm::devices::Device;
use crate::perm::file::tests::Folder;
use crate::perm::lease_log::{Entry, Given, MAGIC};
use crate::perm::stamp::Clock;
use crate::perm::{Mac, WallTime};
use netstack::time::Instant;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const WALL: WallTime = WallTime::from_unix(1_800_000_000);

fn mac(number: u32) -> Mac {
    let [a, b, c, d] = number.to_be_bytes();
    Mac([2, 0, a, b, c, d])
}

fn lan(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 42, host)
}

fn after(seconds: u64) -> WallTime {
    WALL.after(Duration::from_secs(seconds))
}

fn lease(number: u32, host: u8, name: &str, at: WallTime) -> Lease {
    Lease {
        addr: lan(host),
        mac: mac(number),
        hostname: name.into(),
        name_override: String::new(),
        expiry: at.after(Duration::from_secs(1_200)),
        last_ack: at,
    }
}

fn give(engine: &mut Engine, lease: Lease) -> (Option<Lease>, News) {
    engine.lease(Change::Given(lease), |_| Some("lan0".into()), |_| "Maker".into())
}

fn hear(engine: &mut Engine, at: WallTime, number: u32, address: &str) -> News {
    engine.heard(at, "lan0", mac(number), address.parse::<IpAddr>().unwrap(), true, String::new)
}

fn ask(engine: &mut Engine, line: &str) -> Result<(), String> {
    requests::apply(engine, WALL, line.as_bytes(), |_| String::new())
}

fn device(engine: &Engine, number: u32, at: WallTime) -> Option<Device> {
    engine.table(at).devices.into_iter().find(|device| device.hardware_addr == mac(number))
}

#[test]
fn a_lease_and_what_the_neighbours_say_make_a_device() {
    let mut engine = Engine::default();
    let (told, news) = give(&mut engine, lease(1, 7, "XPS", WALL));
    assert!(told.is_some() && news == News { changed: true, new: true });
    assert_eq!(hear(&mut engine, after(5), 1, "2001:db8::7"), News { changed: true, new: false });
    assert!(!hear(&mut engine, after(5), 1, "fe80::7").changed, "every device has one of those");
    hear(&mut engine, after(5), 1, "fd00::7");
    hear(&mut engine, after(6), 1, "192.168.42.99");
    hear(&mut engine, after(6), 1, "192.168.42.7");
    let found = device(&engine, 1, after(10)).unwrap();
    assert_eq!((found.name.as_str(), found.dhcp_name.as_str(), found.vendor.as_str()), ("xps", "XPS", "Maker"));
    assert_eq!(
        (found.interface.as_str(), found.ipv4.clone()),
        ("lan0", vec![lan(7), lan(99)]),
        "the lease first, each once"
    );
    assert_eq!(found.ipv6, ["fd00::7", "2001:db8::7"].map(|address| address.parse::<std::net::Ipv6Addr>().unwrap()));
    assert_eq!((found.first_seen, found.last_seen), (WALL, after(6)));
    let later = device(&engine, 1, after(86_400 * 2)).unwrap();
    assert!(later.ipv4.is_empty() && later.ipv6.is_empty(), "all have run out: {later:?}");
}

#[test]
fn an_ack_is_told_once_and_a_log_read_again_tells_nothing() {
    let mut engine = Engine::default();
    assert!(give(&mut engine, lease(1, 7, "a", WALL)).0.is_some());
    assert!(
        give(&mut engine, lease(1, 7, "a", WALL.shifted(20_000))).0.is_none(),
        "the same, by a clock that has drifted"
    );
    let (told, news) = give(&mut engine, lease(1, 7, "a", after(600)));
    assert!(told.is_some() && !news.changed, "a renewal says nothing new of the device");
}

#[test]
fn an_address_that_goes_to_another_leaves_the_first() {
    let mut engine = Engine::default();
    give(&mut engine, lease(1, 7, "a", WALL));
    give(&mut engine, lease(2, 7, "b", after(10)));
    assert_eq!(device(&engine, 1, after(11)).unwrap().ipv4, Vec::<Ipv4Addr>::new());
    assert_eq!(device(&engine, 2, after(11)).unwrap().ipv4, [lan(7)]);
    assert!(engine.lease(Change::Gone(lan(7)), |_| None, |_| String::new()).1.changed);
    assert_eq!(device(&engine, 2, after(11)).unwrap().ipv4, Vec::<Ipv4Addr>::new());
}

#[test]
fn fixed_comes_before_given_before_its_own_and_is_kept() {
    let mut engine = Engine::default();
    let mut named = lease(1, 7, "study", WALL);
    named.name_override = "study".into();
    give(&mut engine, lease(1, 7, "xps", WALL));
    give(&mut engine, named);
    let name = |engine: &Engine| device(engine, 1, WALL).unwrap().name;
    assert_eq!((name(&engine).as_str(), device(&engine, 1, WALL).unwrap().dhcp_name.as_str()), ("study", "xps"));
    ask(&mut engine, r#"{"op":"rename","hardware_addr":"02:00:00:00:00:01","name":"Den"}"#).unwrap();
    assert_eq!(name(&engine), "den");
    ask(&mut engine, r#"{"op":"fix","hardware_addr":"02:00:00:00:00:01","name":"nas"}"#).unwrap();
    assert_eq!(name(&engine), "nas");
    let mut again = Engine::default();
    again.load(engine.known());
    give(&mut again, lease(1, 7, "xps", after(60)));
    let found = device(&again, 1, after(60)).unwrap();
    assert_eq!((found.name.as_str(), found.override_name.as_str(), found.first_seen), ("nas", "den", WALL));
    ask(&mut again, r#"{"op":"fix","hardware_addr":"02:00:00:00:00:01","name":""}"#).unwrap();
    ask(&mut again, r#"{"op":"rename","hardware_addr":"02:00:00:00:00:01","name":""}"#).unwrap();
    assert_eq!(name(&again), "xps");
    ask(&mut again, r#"{"op":"forget","hardware_addr":"02:00:00:00:00:01"}"#).unwrap();
    assert!(again.known().devices.is_empty());
}

#[test]
fn what_is_asked_wrongly_is_refused_in_words() {
    let mut engine = Engine::default();
    ask(&mut engine, r#"{"op":"fix","hardware_addr":"02:00:00:00:00:02","name":"nas"}"#).unwrap();
    for (line, word) in [
        (r#"{"op":"rename","hardware_addr":"02:00:00:00:00:09","name":"a"}"#, "never seen"),
        (r#"{"op":"rename","hardware_addr":"02:00:00:00:00:02","name":"a b"}"#, "\"a b\""),
        (r#"{"op":"fix","hardware_addr":"02:00:00:00:00:03","name":"nas"}"#, "another device"),
        (r#"{"op":"fix","hardware_addr":"7","name":"nas"}"#, "\"7\""),
        (r#"{"op":"forget","hardware_addr":"02:00:00:00:00:09"}"#, "never seen"),
        (r#"{"op":"explode"}"#, "explode"),
        ("{", "EOF"),
    ] {
        let words = ask(&mut engine, line).unwrap_err();
        assert!(words.contains(word), "{line}: {words}");
    }
    assert_eq!(label("A-b2").as_deref(), Some("a-b2"));
    assert!([" ", "", "-a", "a.b", "ü"].iter().all(|name| label(name).is_none()));
}

#[test]
fn the_table_is_bounded_and_a_fixed_name_stays() {
    let mut engine = Engine::default();
    ask(&mut engine, r#"{"op":"fix","hardware_addr":"02:00:00:00:00:00","name":"nas"}"#).unwrap();
    for number in 1..=MOST as u32 + 50 {
        hear(&mut engine, after(u64::from(number)), number, "192.168.42.9");
    }
    assert_eq!(engine.len(), MOST);
    assert!(device(&engine, 0, WALL).is_some(), "it has a fixed name");
    assert!(device(&engine, 51, WALL).is_none() && device(&engine, 52, WALL).is_some(), "the oldest went");
    for host in 0..=255u32 {
        hear(&mut engine, after(100_000), 52, &format!("2001:db8::{host:x}"));
    }
    assert_eq!(device(&engine, 52, after(100_000)).unwrap().ipv6.len(), 8);
}

fn entry(number: u8) -> Entry {
    Entry::Given(Given {
        addr: lan(number),
        mac: mac(number.into()),
        id: Vec::new(),
        hostname: format!("d{number}"),
        name_override: String::new(),
        expiry: Some(1_300_000_000_000),
        last_ack: 100_000_000_000,
    })
}

#[test]
fn the_log_is_followed_over_a_torn_end_and_a_new_one() {
    let folder = Folder::new();
    let path = folder.0.join("leases.log");
    let mut tail = Tail::new(path.clone());
    let read = |tail: &mut Tail| {
        let mut found = Vec::new();
        tail.read(Instant::from_secs(200), WALL, |change| found.push(change));
        found
    };
    assert!(read(&mut tail).is_empty(), "there is none yet");
    let mut bytes = MAGIC.to_vec();
    Entry::Clock { boot: Clock::read().boot, wall: WallTime::from_unix(0) }.write(&mut bytes);
    entry(7).write(&mut bytes);
    let first = bytes.len();
    entry(8).write(&mut bytes);
    std::fs::write(&path, &bytes[..first + 9]).unwrap();
    let [Change::Given(given)] = &read(&mut tail)[..] else { panic!("one record is whole") };
    assert_eq!((given.addr, given.last_ack), (lan(7), WALL.shifted(-100_000_000_000)), "by this boot's clock");
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(read(&mut tail).len(), 1);
    assert!(read(&mut tail).is_empty());
    // Made anew: without the first.
    let mut bytes = MAGIC.to_vec();
    entry(8).write(&mut bytes);
    std::fs::write(folder.0.join("new"), &bytes).unwrap();
    std::fs::rename(folder.0.join("new"), &path).unwrap();
    let found = read(&mut tail);
    assert!(matches!(&found[0], Change::Given(given) if given.addr == lan(8)), "{found:?}");
    assert_eq!(found[1..], [Change::Gone(lan(7))]);
}

proptest! {
    /// Whatever is heard and promised, in whatever order: one entry a device, an address leased to one of them.
    #[test]
    fn the_table_stays_whole(script in prop::collection::vec((0u32..12, 0u8..6, 0u8..4, 0u64..4_000), 1..200)) {
        let mut engine = Engine::default();
        let mut at = WALL;
        for (number, host, what, wait) in script {
            at = at.after(Duration::from_secs(wait));
            match what {
                0 => drop(give(&mut engine, lease(number, host, "n", at))),
                1 => drop(hear(&mut engine, at, number, "2001:db8::1")),
                2 => drop(engine.lease(Change::Gone(lan(host)), |_| None, |_| String::new())),
                _ => drop(engine.forget(mac(number))),
            }
            let table = engine.table(at).devices;
            let leased: Vec<Ipv4Addr> = table.iter().flat_map(|device| device.ipv4.clone()).collect();
            let distinct: std::collections::BTreeSet<_> = leased.iter().collect();
            prop_assert_eq!(distinct.len(), leased.len());
        }
    }
}
