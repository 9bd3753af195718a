//! Scenarios: a client's messages and minutes against the engine. Answers are read by an independent decoder.
use super::message::Query;
use super::*;
use crate::perm::lease6::FOREVER;
use dhcproto::v6::{self, DhcpOption, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder};
use netstack::wire::dhcpv6::Option6;
use proptest::prelude::*;

const SERVER: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
const HOST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfd12, 0x3456, 0x789a, 0, 0, 0, 0, 1);
const A: &str = "2001:db8:a::/64";
const B: &str = "2001:db8:b::/64";
const ULA: &str = "fd12:3456:789a::/64";

fn client(number: u8) -> Vec<u8> {
    vec![0, 3, 0, 1, 2, 0, 0, 0, 9, number]
}

/// What is said of an address: itself, preferred and valid lifetime.
type Told = (Ipv6Addr, u32, u32);

/// An answer in the decoder's words.
#[derive(Debug)]
struct Heard {
    kind: MessageType,
    options: v6::DhcpOptions,
    promises: bool,
}

impl Heard {
    fn ia(&self) -> v6::IANA {
        let Some(DhcpOption::IANA(ia)) = self.options.get(OptionCode::IANA) else { panic!("no IA_NA in {self:?}") };
        ia.clone()
    }

    fn told(&self) -> Vec<Told> {
        let ia = self.ia();
        let all = ia.opts.iter().filter_map(|option| match option {
            DhcpOption::IAAddr(one) => Some((one.addr, one.preferred_life, one.valid_life)),
            _ => None,
        });
        all.collect()
    }

    /// The address within a prefix.
    fn in_net(&self, prefix: &str) -> Option<Told> {
        let prefix: Ipv6Net = prefix.parse().unwrap();
        self.told().into_iter().find(|told| prefix.contains(&told.0))
    }

    fn status(&self) -> Option<v6::Status> {
        self.options.iter().find_map(|option| match option {
            DhcpOption::StatusCode(status) => Some(status.status),
            _ => None,
        })
    }

    fn ia_status(&self) -> Option<v6::Status> {
        self.ia().opts.iter().find_map(|option| match option {
            DhcpOption::StatusCode(status) => Some(status.status),
            _ => None,
        })
    }

    fn has(&self, code: OptionCode) -> bool {
        self.options.get(code).is_some()
    }
}

struct Scene {
    engine: Engine,
    now: Instant,
    output: Output,
}

impl Scene {
    /// A LAN on which addresses are given, with these prefixes and what is left of them in seconds.
    fn new(prefixes: &[(&str, u32)]) -> Scene {
        let engine = Engine { duid: SERVER.to_vec(), ..Engine::default() };
        let mut scene = Scene { engine, now: Instant::from_secs(50), output: Output::default() };
        scene.serve(prefixes, true);
        scene
    }

    fn serve(&mut self, prefixes: &[(&str, u32)], addresses: bool) {
        let timed = |(text, left): &(&str, u32)| {
            Timed::new(text.parse().unwrap(), self.now, if *left == FOREVER { FOREVER } else { left / 2 }, *left)
        };
        self.engine.serve(vec![Net {
            interface: "lan0".into(),
            prefixes: prefixes.iter().map(timed).collect(),
            addresses,
            period: 1_800,
            dns: vec![ROUTER],
            search: b"\x04home\x07example\x00".to_vec(),
            ntp: vec![ROUTER],
        }]);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn say(&mut self, kind: Kind, options: &[Option6]) -> Option<Heard> {
        let bytes = dhcpv6::emit(kind, 0x00ab_cdef, options);
        let query = Query::parse(&bytes)?;
        let before = self.output.changed.len();
        self.engine.receive(self.now, "lan0", HOST, &query, &mut self.output);
        let reply = self.output.replies.pop()?;
        assert!(self.output.replies.is_empty() && reply.to == HOST && reply.interface == "lan0");
        assert!(reply.promises || self.output.changed.len() == before, "what changes is promised");
        let message = v6::Message::decode(&mut Decoder::new(&reply.emit())).unwrap();
        assert_eq!(message.xid(), [0xab, 0xcd, 0xef]);
        let options = message.opts().clone();
        assert!(matches!(options.get(OptionCode::ServerId), Some(DhcpOption::ServerId(duid)) if duid[..] == SERVER));
        Some(Heard { kind: message.msg_type(), options, promises: reply.promises })
    }

    /// A client's message about one IA_NA with these addresses; `to_us` names the server.
    fn about(&mut self, number: u8, kind: Kind, addresses: &[Ipv6Addr], to_us: bool) -> Option<Heard> {
        let inner: Vec<Option6> = addresses.iter().map(|one| dhcpv6::address(*one, (0, 0))).collect();
        let mut options = vec![(code::CLIENT_ID, client(number))];
        if to_us {
            options.push((code::SERVER_ID, SERVER.to_vec()));
        }
        options.push(dhcpv6::association(code::IA_NA, 1, (0, 0), &inner));
        self.say(kind, &options)
    }

    /// Four messages; the addresses.
    fn lease(&mut self, number: u8) -> Vec<Told> {
        let offered = self.about(number, Kind::Solicit, &[], false).unwrap();
        assert!(offered.kind == MessageType::Advertise && !offered.promises);
        let addresses: Vec<Ipv6Addr> = offered.told().iter().map(|told| told.0).collect();
        let given = self.about(number, Kind::Request, &addresses, true).unwrap();
        assert!(given.kind == MessageType::Reply && given.told() == offered.told());
        given.told()
    }
}

fn addresses(told: &[Told]) -> Vec<Ipv6Addr> {
    told.iter().map(|told| told.0).collect()
}

#[test]
fn configuration_alone_is_told_to_who_asks() {
    let mut scene = Scene::new(&[(ULA, FOREVER)]);
    scene.serve(&[(ULA, FOREVER)], false);
    let heard = scene.say(Kind::InformationRequest, &[]).unwrap();
    assert_eq!((heard.kind, heard.promises), (MessageType::Reply, false));
    assert!(!heard.has(OptionCode::ClientId));
    let Some(DhcpOption::DomainNameServers(dns)) = heard.options.get(OptionCode::DomainNameServers) else {
        panic!("{heard:?}")
    };
    assert_eq!(dns[..], [ROUTER]);
    let Some(DhcpOption::DomainSearchList(names)) = heard.options.get(OptionCode::DomainSearchList) else {
        panic!("{heard:?}")
    };
    assert_eq!(names[0].to_string().trim_end_matches('.'), "home.example");
    assert!(heard.has(OptionCode::NtpServer));
    // The decoder has no types for these.
    let words = format!("{:?}", heard.options);
    assert!(
        words.contains("code: 31, data: [253, 18, ") && words.contains("code: 32, data: [0, 0, 14, 16]"),
        "{words}"
    );
    // Who says what it wants gets that; who names another server, or wants leases, gets nothing.
    let wanted = [(code::CLIENT_ID, client(1)), (code::ORO, vec![0, 24])];
    let heard = scene.say(Kind::InformationRequest, &wanted).unwrap();
    assert!(heard.has(OptionCode::ClientId) && heard.has(OptionCode::DomainSearchList));
    assert!(!heard.has(OptionCode::DomainNameServers) && !heard.has(OptionCode::NtpServer));
    assert!(scene.say(Kind::InformationRequest, &[(code::SERVER_ID, client(2))]).is_none());
    let ia = dhcpv6::association(code::IA_NA, 1, (0, 0), &[]);
    assert!(scene.say(Kind::InformationRequest, &[ia]).is_none());
    // Addresses are refused in words, so that the client is content with the rest.
    let refused = scene.about(1, Kind::Solicit, &[], false).unwrap();
    assert_eq!((refused.kind, refused.ia_status()), (MessageType::Advertise, Some(v6::Status::NoAddrsAvail)));
    assert!(refused.has(OptionCode::DomainNameServers) && scene.output.changed.is_empty());
}

#[test]
fn four_messages_give_an_address_of_every_prefix_and_two_do_where_the_client_wants() {
    let mut scene = Scene::new(&[(A, 7_200), (ULA, FOREVER)]);
    let told = scene.lease(1);
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|told| (told.1, told.2) == (1_800, 3_600)), "{told:?}");
    assert_eq!(scene.output.changed.len(), 1);
    assert!(scene.output.news[0].contains(&told[0].0.to_string()), "{:?}", scene.output.news);
    let own = told[0].0.segments();
    assert_eq!(
        (own[..4].to_vec(), own[4..].to_vec()),
        (vec![0x2001, 0xdb8, 0xa, 0], told[1].0.segments()[4..].to_vec())
    );
    let other = scene.lease(2);
    assert_ne!(told[0].0, other[0].0);
    let rapid = [
        (code::CLIENT_ID, client(3)),
        (code::RAPID_COMMIT, Vec::new()),
        dhcpv6::association(code::IA_NA, 1, (0, 0), &[]),
    ];
    let heard = scene.say(Kind::Solicit, &rapid).unwrap();
    assert!(heard.kind == MessageType::Reply && heard.has(OptionCode::RapidCommit) && heard.promises);
    assert_eq!((heard.ia().t1, heard.ia().t2), (900, 1_440));
    assert_eq!(scene.engine.entries().count(), 3);
}

#[test]
fn another_prefix_takes_the_place_of_the_old_one_at_the_next_renewal() {
    let mut scene = Scene::new(&[(A, 7_200), (ULA, FOREVER)]);
    let told = scene.lease(1);
    scene.pass(900);
    scene.serve(&[(B, 7_200), (ULA, FOREVER)], true);
    let heard = scene.about(1, Kind::Renew, &addresses(&told), true).unwrap();
    let (old, new) = (heard.in_net(A).unwrap(), heard.in_net(B).unwrap());
    assert_eq!((old.1, old.2), (0, 0));
    assert_eq!((new.1, new.2), (1_800, 3_600));
    assert_eq!(new.0.segments()[4..], old.0.segments()[4..]);
    assert_eq!(heard.in_net(ULA).unwrap().0, told[1].0);
    // T1 is that of what lives.
    assert_eq!(heard.ia().t1, 900);
    // A REQUEST for what is gone sends the client back to the beginning, a CONFIRM says so.
    let request = scene.about(1, Kind::Request, &[old.0], true).unwrap();
    assert_eq!(request.ia_status(), Some(v6::Status::NotOnLink));
    for (address, status) in [(old.0, v6::Status::NotOnLink), (new.0, v6::Status::Success)] {
        assert_eq!(scene.about(1, Kind::Confirm, &[address], false).unwrap().status(), Some(status));
    }
    assert!(scene.about(1, Kind::Confirm, &[], false).is_none());
}

#[test]
fn no_lifetime_is_longer_than_the_prefixs() {
    let mut scene = Scene::new(&[(A, 1_000)]);
    let told = scene.lease(1);
    assert_eq!((told[0].1, told[0].2), (500, 1_000));
    scene.pass(600);
    // Deprecated: what is there may be used to its end, and nobody begins with it.
    let heard = scene.about(1, Kind::Renew, &addresses(&told), true).unwrap();
    assert_eq!(heard.told(), [(told[0].0, 0, 400)]);
    let heard = scene.about(2, Kind::Solicit, &[], false).unwrap();
    assert_eq!(heard.ia_status(), Some(v6::Status::NoAddrsAvail));
    scene.pass(400);
    let heard = scene.about(1, Kind::Renew, &addresses(&told), true).unwrap();
    assert_eq!(heard.told(), [(told[0].0, 0, 0)]);
}

#[test]
fn before_a_prefix_is_known_nobody_loses_what_it_has() {
    let mut scene = Scene::new(&[]);
    let address = "2001:db8:a::1234:5678".parse().unwrap();
    for (kind, to_us) in [(Kind::Renew, true), (Kind::Rebind, false), (Kind::Confirm, false)] {
        assert!(scene.about(1, kind, &[address], to_us).is_none(), "{kind:?}");
    }
    assert_eq!(scene.about(1, Kind::Solicit, &[], false).unwrap().ia_status(), Some(v6::Status::NoAddrsAvail));
}

#[test]
fn a_client_that_is_not_known_keeps_what_nobody_else_has() {
    let mut scene = Scene::new(&[(A, 7_200)]);
    let address: Ipv6Addr = "2001:db8:a::1234:5678".parse().unwrap();
    let heard = scene.about(1, Kind::Rebind, &[address], false).unwrap();
    assert_eq!(addresses(&heard.told()), [address]);
    let heard = scene.about(2, Kind::Rebind, &[address], false).unwrap();
    assert_eq!(heard.told().iter().find(|told| told.0 == address).unwrap().2, 0);
    assert!(heard.told().iter().any(|told| told.0 != address && told.2 == 3_600), "another in its place");
    let router = "2001:db8:a::1".parse().unwrap();
    let heard = scene.about(3, Kind::Rebind, &[router], false).unwrap();
    assert_eq!(heard.told().iter().find(|told| told.0 == router).unwrap().2, 0);
}

#[test]
fn what_is_given_back_or_found_in_use_is_free_or_nobodys() {
    let mut scene = Scene::new(&[(A, 7_200)]);
    let told = addresses(&scene.lease(1));
    let heard = scene.about(2, Kind::Release, &told, true).unwrap();
    assert_eq!((heard.status(), heard.ia_status()), (Some(v6::Status::Success), Some(v6::Status::NoBinding)));
    assert_eq!(scene.engine.entries().count(), 1, "only its owner gives it back");
    let heard = scene.about(1, Kind::Release, &told, true).unwrap();
    assert!(heard.status() == Some(v6::Status::Success) && !heard.has(OptionCode::IANA));
    assert_eq!(scene.engine.entries().count(), 0);
    assert!(matches!(scene.engine.entry(scene.output.changed.last().unwrap()), Entry::Gone6(_)));
    assert_eq!(addresses(&scene.lease(1)), told, "the same again");
    scene.about(1, Kind::Decline, &told, true).unwrap();
    let another = addresses(&scene.lease(1));
    assert_ne!(another, told);
}

#[test]
fn when_addresses_are_given_no_more_they_are_taken_back() {
    let mut scene = Scene::new(&[(A, 7_200)]);
    let told = scene.lease(1);
    scene.serve(&[(A, 7_200)], false);
    let heard = scene.about(1, Kind::Renew, &addresses(&told), true).unwrap();
    assert_eq!(heard.told(), [(told[0].0, 0, 0)]);
    assert!(!heard.promises);
}

#[test]
fn prefixes_are_refused_in_words() {
    let mut scene = Scene::new(&[(A, 7_200)]);
    let ask = |kind: Kind, server: bool| {
        let mut options = vec![(code::CLIENT_ID, client(1)), dhcpv6::association(code::IA_PD, 9, (0, 0), &[])];
        options.extend(server.then(|| (code::SERVER_ID, SERVER.to_vec())));
        (kind, options)
    };
    for ((kind, options), wanted) in
        [(ask(Kind::Solicit, false), v6::Status::NoPrefixAvail), (ask(Kind::Renew, true), v6::Status::NoBinding)]
    {
        let heard = scene.say(kind, &options).unwrap();
        let Some(DhcpOption::IAPD(pd)) = heard.options.get(OptionCode::IAPD) else { panic!("{heard:?}") };
        assert!(matches!(pd.opts.iter().next(), Some(DhcpOption::StatusCode(status)) if status.status == wanted));
    }
}

#[test]
fn what_is_no_message_for_us_is_met_with_silence() {
    let mut scene = Scene::new(&[(A, 7_200)]);
    let ia = || dhcpv6::association(code::IA_NA, 1, (0, 0), &[]);
    let own = || (code::SERVER_ID, SERVER.to_vec());
    let whose = || (code::CLIENT_ID, client(1));
    for (kind, options) in [
        (Kind::Solicit, vec![ia()]),
        (Kind::Solicit, vec![whose(), own(), ia()]),
        (Kind::Request, vec![whose(), ia()]),
        (Kind::Request, vec![whose(), (code::SERVER_ID, client(9)), ia()]),
        (Kind::Renew, vec![whose(), ia()]),
        (Kind::Rebind, vec![whose(), own(), ia()]),
        (Kind::Confirm, vec![whose(), own(), ia()]),
        (Kind::Release, vec![own(), ia()]),
        (Kind::Decline, vec![whose(), ia()]),
        (Kind::Solicit, vec![(code::CLIENT_ID, vec![0; 131]), ia()]),
        (Kind::Solicit, vec![(code::CLIENT_ID, vec![0, 1]), ia()]),
        (Kind::Advertise, vec![whose(), own()]),
        (Kind::Reply, vec![whose(), own()]),
        (Kind::Reconfigure, vec![whose(), own()]),
    ] {
        assert!(scene.say(kind, &options).is_none(), "{kind:?} {options:?}");
    }
    let query = Query::parse(&dhcpv6::emit(Kind::InformationRequest, 1, &[])).unwrap();
    scene.engine.receive(scene.now, "lan1", HOST, &query, &mut scene.output);
    scene.engine.duid.clear();
    scene.engine.receive(scene.now, "lan0", HOST, &query, &mut scene.output);
    assert!(scene.output.replies.is_empty(), "another LAN; no DUID yet");
}

#[test]
fn from_memory_a_lease_is_for_five_minutes() {
    let mut scene = Scene::new(&[(A, 7_200)]);
    scene.lease(1);
    let query = Query::parse(&dhcpv6::emit(
        Kind::Rebind,
        1,
        &[(code::CLIENT_ID, client(1)), dhcpv6::association(code::IA_NA, 1, (0, 0), &[])],
    ));
    scene.engine.receive(scene.now, "lan0", HOST, &query.unwrap(), &mut scene.output);
    let mut reply = scene.output.replies.pop().unwrap();
    reply.shorten(300);
    assert!(reply.answered[0].addresses.iter().all(|told| (told.1, told.2) == (300, 300)));
}

#[test]
fn bindings_go_through_the_log() {
    let mut scene = Scene::new(&[(A, 7_200)]);
    let told = scene.lease(1);
    let given: Vec<Given6> = scene.engine.entries().collect();
    assert_eq!(scene.engine.addresses(scene.now, &given[0]), addresses(&told));
    let mut later = Scene::new(&[(A, 7_200)]);
    // Of another boot, whose clock was years ahead.
    let foreign = Given6 { expiry: i64::MAX - 5, ..given[0].clone() };
    assert!(later.engine.restore(later.now, foreign, true));
    assert_eq!(later.engine.entries().next().unwrap().expiry, end(later.now, 3_600));
    assert!(!later.engine.restore(later.now, given[0].clone(), false), "twice");
    assert_eq!(addresses(&later.lease(1)), addresses(&told));
}

fn messages() -> impl Strategy<Value = (u8, usize, u64, bool)> {
    (0u8..6, 0usize..8, 0u64..1_500, any::<bool>())
}

proptest! {
    /// Whoever asks for what and when: no address that lives goes to two clients.
    #[test]
    fn no_address_goes_to_two_clients(script in prop::collection::vec(messages(), 1..120)) {
        const KINDS: [(Kind, bool); 8] = [
            (Kind::Solicit, false), (Kind::Request, true), (Kind::Renew, true), (Kind::Rebind, false),
            (Kind::Release, true), (Kind::Decline, true), (Kind::Confirm, false), (Kind::Request, true),
        ];
        let mut scene = Scene::new(&[(A, 7_200), (ULA, FOREVER)]);
        let mut held: BTreeMap<Ipv6Addr, (u8, Instant)> = BTreeMap::new();
        for (number, kind, seconds, turn) in script {
            scene.pass(seconds);
            scene.serve(&[(if turn { A } else { B }, 7_200), (ULA, FOREVER)], true);
            let (kind, to_us) = KINDS[kind];
            // One asks for what another has.
            let named: Vec<Ipv6Addr> = match kind {
                Kind::Solicit | Kind::Request => Vec::new(),
                _ => held.iter().filter(|(_, (owner, _))| *owner == number || number == 0).map(|(one, _)| *one).take(4).collect(),
            };
            if matches!(kind, Kind::Release | Kind::Decline) {
                held.retain(|_, (owner, _)| *owner != number);
            }
            let Some(heard) = scene.about(number, kind, &named, to_us) else { continue };
            if heard.kind == MessageType::Advertise || !heard.has(OptionCode::IANA) {
                continue;
            }
            for (address, _, valid) in heard.told().into_iter().filter(|told| told.2 > 0) {
                let until = scene.now + Duration::from_secs(valid.into());
                let before = held.insert(address, (number, until));
                prop_assert!(before.is_none_or(|(owner, end)| owner == number || end <= scene.now), "{address}");
            }
        }
    }

    #[test]
    fn any_bytes_are_met_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 1u8..14) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        if let Some(query) = Query::parse(&bytes) {
            let mut scene = Scene::new(&[(A, 7_200)]);
            scene.engine.receive(scene.now, "lan0", HOST, &query, &mut scene.output);
            scene.output.replies.iter().for_each(|reply| drop(reply.emit()));
        }
    }
}
