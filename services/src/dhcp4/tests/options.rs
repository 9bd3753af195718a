//! What is told and asked, and what the options of an answer become.
use super::*;
use crate::perm::lease4::{Lease4, Route};

/// What lease.json says of an ACK with these options; and what was passed over.
fn file(options: &[(u8, &[u8])]) -> (Lease4, Vec<String>) {
    let answer = Answer::parse(&written(5, 1, MAC, ADDRESS, options)).unwrap();
    (answer.lease.unwrap().file(WallTime::from_unix(0)), answer.ignored)
}

fn route(net: &str, gateway: [u8; 4]) -> Route {
    Route { destination: net.parse().unwrap(), gateway: gateway.into() }
}

#[test]
fn classless_routes_win_over_the_router_and_static_routes() {
    let classless: &[u8] = &[0, 10, 0, 0, 1, 12, 172, 31, 10, 0, 0, 2, 32, 192, 0, 2, 9, 0, 0, 0, 0];
    let (lease, ignored) = file(&[(3, &[10, 0, 0, 9]), (33, &[192, 0, 2, 0, 10, 0, 0, 3]), (121, classless)]);
    assert_eq!((lease.router.as_str(), ignored), ("10.0.0.1", vec![]));
    assert_eq!(lease.routes, [route("172.16.0.0/12", [10, 0, 0, 2]), route("192.0.2.9/32", [0, 0, 0, 0])]);
    let (lease, _) = file(&[(3, &[10, 0, 0, 9]), (121, &[8, 10, 10, 0, 0, 2])]);
    assert_eq!(lease.router, "", "no default route among them, so there is none");
    // Option 33: a class's network, or a host; never the default route.
    let (lease, _) = file(&[
        (3, &[10, 0, 0, 9]),
        (33, &[192, 0, 2, 0, 10, 0, 0, 3, 192, 0, 2, 7, 10, 0, 0, 3, 0, 0, 0, 0, 10, 0, 0, 3]),
    ]);
    assert_eq!(lease.router, "10.0.0.9");
    assert_eq!(lease.routes, [route("192.0.2.0/24", [10, 0, 0, 3]), route("192.0.2.7/32", [10, 0, 0, 3])]);
}

#[test]
fn what_is_malformed_is_named_and_the_next_best_counts() {
    for (code, value) in [
        (121u8, &[33u8, 1, 2, 3, 4, 5, 10, 0, 0, 1][..]),
        (121, &[24, 10, 0, 0, 10, 0, 0]),
        (121, &[]),
        (121, &[24]),
        (26, &[1, 244]),
        (26, &[5]),
        (1, &[255, 0, 255, 0]),
        (1, &[0, 0, 0, 0]),
        (1, &[255, 255, 255]),
        (6, &[1, 2, 3]),
        (6, &[0, 0, 0, 0]),
        (15, b"a b"),
        (51, &[0, 0, 0, 0]),
        (58, &[0, 1, 0, 0]),
        (33, &[1, 2, 3, 4]),
    ] {
        let (lease, ignored) = file(&[(3, &[10, 0, 0, 9]), (code, value)]);
        assert_eq!(lease.router, "10.0.0.9", "option {code}");
        assert!(ignored.len() == 1 && ignored[0].contains(&format!("option {code} ")), "{ignored:?}");
    }
    // Twice is one long one (RFC 3396), of a length that is none.
    let (lease, ignored) = file(&[(1, &[255, 255, 255, 0]), (1, &[255, 255, 0, 0])]);
    assert_eq!((lease.subnet_mask.as_str(), ignored.len()), ("255.0.0.0", 1), "the class's");
}

#[test]
fn all_that_a_provider_says_is_written_down_and_kept_when_a_renewal_leaves_it_out() {
    let options: &[(u8, &[u8])] = &[
        (26, &[5, 212]),
        (15, b"isp.example"),
        (12, b"cpe-7"),
        (42, &[10, 0, 0, 3]),
        (51, &[0, 0, 14, 16]),
        (54, &[10, 0, 0, 1]),
    ];
    let (lease, ignored) = file(options);
    assert_eq!((lease.mtu, lease.domain.as_str(), lease.hostname.as_str()), (1_492, "isp.example", "cpe-7"));
    assert_eq!((lease.ntp, ignored), (vec![Ipv4Addr::new(10, 0, 0, 3)], vec![]));
    let mut scene = Scene::linked();
    scene.receive(&written(2, scene.xid(), MAC, ADDRESS, options));
    scene.receive(&written(5, scene.xid(), MAC, ADDRESS, options));
    scene.pass(Duration::from_secs(1_800));
    assert_eq!(scene.engine.state(), State::Renewing);
    scene.receive(&written(5, scene.xid(), MAC, ADDRESS, &[(54, &[10, 0, 0, 1])]));
    let lease = scene.obtained[1].file(WallTime::from_unix(0));
    assert_eq!((lease.mtu, lease.domain.as_str(), lease.ntp.len()), (1_492, "isp.example", 1));
}

#[test]
fn a_lease_without_end_is_never_renewed() {
    let mut scene = Scene::linked();
    scene.obtain(u32::MAX);
    scene.sent.clear();
    scene.pass(Duration::from_secs(40 * 365 * 86_400));
    assert!(scene.sent.is_empty() && scene.engine.state() == State::Bound);
}

#[test]
fn what_a_provider_wants_to_be_told_is_told_the_same_in_every_message() {
    let wishes = Wishes {
        hostname: "box".into(),
        client_id: Some(vec![0, 1, 2]),
        vendor_class: "isp".into(),
        user_class: "home".into(),
        options: vec![(125, vec![9])],
        request: vec![1, 3, 6],
    };
    let mut scene = Scene::with(None);
    scene.event(Event::Wishes(wishes));
    scene.event(Event::Link(Some(MAC)));
    scene.obtain(7_200);
    scene.pass(Duration::from_secs(7_000));
    let said = |message: &v4::Message, code: u8| {
        let bytes = dhcproto::Encodable::to_vec(message.opts()).unwrap();
        let at = bytes.windows(2).position(|pair| pair[0] == code)?;
        Some(bytes[at + 2..at + 2 + usize::from(bytes[at + 1])].to_vec())
    };
    let kinds: Vec<v4::MessageType> = scene.sent.iter().map(|(_, _, message)| kind(message)).collect();
    assert!(kinds.contains(&v4::MessageType::Discover) && kinds.len() > 5);
    for (_, _, message) in &scene.sent {
        let has = |code: OptionCode| message.opts().get(code).is_some();
        assert!(has(OptionCode::Hostname) && has(OptionCode::ClassIdentifier) && has(OptionCode::UserClass));
        let Some(DhcpOption::ClientIdentifier(id)) = message.opts().get(OptionCode::ClientIdentifier) else { panic!() };
        assert_eq!(id, &[0, 1, 2]);
        let Some(DhcpOption::ParameterRequestList(list)) = message.opts().get(OptionCode::ParameterRequestList) else {
            panic!()
        };
        assert_eq!(list.len(), 3);
        assert_eq!(said(message, 125), Some(vec![9]));
    }
    scene.event(Event::Release);
    let last = scene.last().2;
    assert!(
        last.opts().get(OptionCode::ClientIdentifier).is_some() && last.opts().get(OptionCode::UserClass).is_none()
    );
}

#[test]
fn a_modems_own_address_is_used_and_something_better_is_looked_for() {
    let modem = Ipv4Addr::new(192, 168, 100, 10);
    let mut scene = Scene::linked();
    scene.answer(2, modem, Ipv4Addr::new(192, 168, 100, 1), 60);
    scene.answer(5, modem, Ipv4Addr::new(192, 168, 100, 1), 60);
    assert_eq!(scene.obtained.len(), 1, "used");
    scene.pass(Duration::from_secs(15));
    let (_, _, message) = scene.last();
    assert_eq!((kind(message), requested(message)), (v4::MessageType::Discover, None));
    scene.answer(2, ADDRESS, SERVER, 7_200);
    scene.answer(5, ADDRESS, SERVER, 7_200);
    assert_eq!((scene.obtained.len(), scene.engine.state()), (2, State::Bound));
    // A long lease of that network is a network like any other.
    let mut scene = Scene::linked();
    scene.answer(2, modem, Ipv4Addr::new(192, 168, 100, 1), 86_400);
    scene.answer(5, modem, Ipv4Addr::new(192, 168, 100, 1), 86_400);
    scene.sent.clear();
    scene.pass(Duration::from_secs(3_600));
    assert!(scene.sent.is_empty());
}

#[test]
fn an_uplink_configured_by_hand_is_left_alone() {
    let mut scene = Scene::bound();
    scene.event(Event::Rest(true));
    scene.sent.clear();
    scene.pass(Duration::from_secs(100_000));
    assert!(scene.sent.is_empty() && scene.said.iter().any(|line| line.contains("resting")));
    scene.event(Event::Rest(false));
    assert_eq!(scene.sent.len(), 1);
}

/// Real servers' messages, and some made by hand of the fields that router7 reads.
#[test]
fn real_servers_are_understood_and_what_is_damaged_is_survived() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/dhcpv4");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (name, bytes) = (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap());
        let answer = Answer::parse(&bytes).unwrap_or_else(|| panic!("{name} is not understood"));
        assert_eq!(answer.lease.is_some(), !name.contains("nak"), "{name}");
        assert!(answer.ignored.is_empty(), "{name}: {:?}", answer.ignored);
        count += 1;
        let mut scene = Scene::with(None);
        scene.event(Event::Link(Some(answer.chaddr)));
        for at in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            damaged[4..8].copy_from_slice(&scene.xid().to_be_bytes());
            scene.receive(&damaged);
            scene.receive(&damaged[..at / 8]);
            scene.pass(Duration::from_secs(1));
        }
    }
    assert!(count >= 8, "{count}");
}
