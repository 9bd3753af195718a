//! Scenarios: facts against the rules, and rounds against a clock that the test turns.
use super::config::{Portal, Settings};
use super::engine::facts::{Delegated, Disk, Facts, Local, Neighbour, Port, Source, Uplink};
use super::engine::graph::State;
use super::engine::round::{Ask, Got, LIMIT, Outcome, Page, Plan, Round, Way};
use super::engine::rules::{Level, RULES};
use super::engine::tools::{Tool, Wanted};
use super::engine::{Engine, Verdict};
use super::page;
use crate::perm::WallTime;
use jiff::tz::TimeZone;
use netstack::time::Instant;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// 2026-11-26 12:03 UTC.
const NOON: i64 = 1_795_694_580;
const GATEWAY: &str = "203.0.113.1";

fn ip<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn wall(minutes: i64) -> WallTime {
    WallTime::from_nanos((NOON + minutes * 60) * 1_000_000_000)
}

fn got() -> Option<Result<Got, String>> {
    Some(Ok(Got { took: Duration::from_millis(3), from: None }))
}

fn silent<T>() -> Option<Result<T, String>> {
    Some(Err("no answer within 2500 ms".into()))
}

fn portal() -> Portal {
    Settings::default().portal.unwrap()
}

/// All is well, over both families.
fn well() -> Facts {
    let uplink = Uplink {
        index: 2,
        up: true,
        carrier: true,
        running: true,
        mtu: 1_500,
        addresses: vec![ip("203.0.113.9"), ip("2001:db8:1::9")],
        ..Uplink::default()
    };
    let local = Local {
        interface: "uplink0".into(),
        uplink: Some(uplink),
        renew4: Some(wall(30)),
        route4: true,
        route6: true,
        gateway4: Some(ip(GATEWAY)),
        gateway6: Some(ip("fe80::1")),
        neighbour4: Neighbour::There,
        neighbour6: Neighbour::There,
        delegated: Delegated::InForce,
        built: Some(wall(-10_000)),
        disk: Some(Disk { free: 50 << 20, size: 60 << 20, files: Some(16_000), ..Disk::default() }),
        memory: Some((30_000, 60_000)),
        connections: Some((12, 8_192)),
        ..Local::default()
    };
    let mut facts = Facts { local, ..Facts::default() };
    let outside = &mut facts.outside;
    (outside.gateway4, outside.gateway6, outside.routers) = (got(), got(), got());
    outside.targets = ["1.1.1.1", "2620:fe::fe"].map(|target| (ip(target), got())).to_vec();
    outside.servers = ["192.0.2.53:53", "192.0.2.54:53"].map(|server| (ip(server), got())).to_vec();
    outside.house = vec![got()];
    outside.names = vec!["a.example".into(), "b.example".into()];
    outside.sites = [Way::V4, Way::Lan6, Way::Uplink6].map(|way| (0, way, got())).to_vec();
    let page = Page { status: 200, location: String::new(), text: "success".into() };
    outside.portal = Some((portal(), Some(Ok(page))));
    (outside.big.size, outside.big.asked, outside.big.passed) = (1_500, 2, 2);
    facts
}

fn judged(facts: &Facts) -> Verdict {
    Engine::default().judge(Instant::from_secs(100), wall(0), &TimeZone::UTC, facts)
}

fn nobody(facts: &mut Facts) {
    let outside = &mut facts.outside;
    (outside.gateway4, outside.gateway6, outside.routers) = (silent(), silent(), silent());
    outside.targets.iter_mut().for_each(|(_, tried)| *tried = silent());
    outside.servers.iter_mut().for_each(|(_, tried)| *tried = silent());
    outside.house = vec![silent()];
    outside.sites.clear();
    outside.portal = Some((portal(), None));
    outside.big = Default::default();
}

#[test]
fn all_is_well() {
    let verdict = judged(&well());
    assert_eq!((verdict.level, verdict.sentence.as_str()), (Level::Fine, "The internet works over IPv4 and IPv6."));
    assert_eq!((verdict.first_error.as_str(), verdict.findings.len()), ("", 0));
    let mut facts = well();
    (facts.local.route6, facts.local.delegated) = (false, Delegated::Never);
    facts.outside.targets.pop();
    facts.outside.sites.truncate(1);
    let verdict = judged(&facts);
    assert_eq!(verdict.sentence, "The internet works over IPv4; the provider offers no IPv6.");
    assert_eq!(verdict.first_error, "", "what is not offered is not missed");
    facts.local.wants_ipv6 = Some(true);
    let verdict = judged(&facts);
    assert!(verdict.sentence.contains("no router of the provider announces itself on uplink0"), "{verdict:?}");
    assert!(verdict.first_error.starts_with("ra6/uplink0: "), "{}", verdict.first_error);
    facts.local.wants_ipv6 = Some(false);
    let verdict = judged(&facts);
    assert_eq!((verdict.sentence.as_str(), verdict.first_error.as_str()), ("The internet works over IPv4.", ""));
    assert_eq!(verdict.graph.children.len(), 1, "router7's -ipv6=false has no IPv6 branches");
}

#[test]
fn where_nothing_answers_nobody_says_that_the_internet_is_there() {
    let mut facts = well();
    nobody(&mut facts);
    (facts.outside.gateway4, facts.outside.gateway6) = (got(), got());
    let verdict = judged(&facts);
    let sentences: Vec<&str> = verdict.findings.iter().map(|finding| finding.sentence.as_str()).collect();
    assert!(sentences.iter().any(|sentence| sentence.ends_with(": names cannot be looked up.")), "{sentences:?}");
    assert!(!sentences.iter().any(|sentence| sentence.contains("internet is there")), "{sentences:?}");
}

/// One cause each, its rule, its sentence's beginning, how bad it is, and the graph's first error.
#[test]
fn each_cause_has_its_sentence() {
    use Level::{Broken, Note, Trouble};
    type Damage = fn(&mut Facts);
    let table: &[(&str, Damage, Level, &str, &str)] = &[
        ("uplink", |facts| facts.local.uplink = None, Broken, "There is no uplink0", "link/uplink0: there is no such"),
        (
            "carrier",
            |facts| {
                facts.local.uplink.as_mut().unwrap().carrier = false;
                nobody(facts);
            },
            Broken,
            "uplink0 has had no carrier since 12:03: its cable is unplugged",
            "link/uplink0: no carrier",
        ),
        (
            "connections",
            |facts| {
                facts.local.connections = Some((8_190, 8_192));
                nobody(facts);
            },
            Broken,
            "The table of connections is full (8190 of 8192) since 12:03: new ones are refused.",
            "ping4: $default-gateway: no answer",
        ),
        (
            "memory",
            |facts| facts.local.memory = Some((2_000, 60_000)),
            Trouble,
            "Memory is short since 12:03: 1 of 58",
            "",
        ),
        (
            "address",
            |facts| {
                facts.local.uplink.as_mut().unwrap().addresses.clear();
                (facts.local.renew4, facts.local.route4, facts.local.gateway4) = (None, false, None);
                nobody(facts);
            },
            Broken,
            "The provider's DHCP server has not answered since 12:03: uplink0 has no address.",
            "dhcp4: no lease",
        ),
        (
            "address",
            |facts| {
                facts.local.uplink.as_mut().unwrap().addresses.clear();
                (facts.local.renew4, facts.local.source) = (None, Source::Pppoe);
                nobody(facts);
            },
            Broken,
            "The provider has opened no PPPoE session since 12:03",
            "dhcp4: no session",
        ),
        (
            "lease",
            |facts| facts.local.renew4 = Some(wall(-3)),
            Trouble,
            "The provider's DHCP server has not answered since 12:00; the last configuration is still in use.",
            "",
        ),
        (
            "route",
            |facts| {
                (facts.local.route4, facts.local.gateway4) = (false, None);
                nobody(facts);
            },
            Broken,
            "Nobody has told uplink0 a gateway: there is no way out.",
            "ping4: $default-gateway: there is no default route",
        ),
        (
            "clock",
            |facts| facts.local.built = Some(wall(24 * 60)),
            Trouble,
            "The clock is wrong: it says 2026-11-26 12:03, before this image was made (2026-11-27 12:03);",
            "",
        ),
        (
            "clock",
            |facts| facts.local.built = Some(wall(-40 * 365 * 1_440)),
            Trouble,
            "The clock is wrong: it says",
            "",
        ),
        (
            "time",
            |facts| facts.local.clock_right = Some(false),
            Note,
            "The internet works, but no time server that could be believed has answered since the boot:",
            "",
        ),
        (
            "gateway",
            |facts| {
                facts.local.neighbour4 = Neighbour::Gone;
                nobody(facts);
            },
            Broken,
            "The provider's gateway 203.0.113.1 does not answer since 12:03, not even ARP.",
            "ping4: $default-gateway: no answer within 2500 ms",
        ),
        (
            "beyond",
            |facts| {
                nobody(facts);
                facts.outside.gateway4 = got();
            },
            Broken,
            "The provider's gateway 203.0.113.1 is there, and nothing behind it answers since 12:03",
            "tcp4: a.example:80, b.example:80: a.example and its like have no address",
        ),
        (
            "portal",
            |facts| {
                let page = Page { status: 302, location: "http://wifi.example/login".into(), text: String::new() };
                facts.outside.portal = Some((portal(), Some(Ok(page))));
            },
            Broken,
            "A captive portal stands before the internet: http://detectportal.firefox.com/success.txt is answered by \
             sending us to http://wifi.example/login.",
            "portal: http://detectportal.firefox.com/success.txt: status 302 http://wifi.example/login",
        ),
        (
            "dnsd",
            |facts| {
                facts.outside.house = vec![silent()];
                facts.outside.sites.clear();
                facts.outside.portal = Some((portal(), None));
            },
            Broken,
            "The router's own name server does not answer since 12:03, and those it asks do",
            "tcp4: ",
        ),
        (
            "dns",
            |facts| {
                facts.outside.house = vec![silent()];
                facts.outside.servers.iter_mut().for_each(|(_, tried)| *tried = silent());
                facts.outside.sites.clear();
                facts.outside.portal = Some((portal(), None));
            },
            Broken,
            "None of the name servers 192.0.2.53 and 192.0.2.54 answers since 12:03: the internet is there, its names",
            "tcp4: ",
        ),
        (
            "hosts",
            |facts| {
                facts.outside.sites = vec![(0, Way::V4, silent()), (1, Way::V4, silent())];
                facts.outside.portal = Some((portal(), silent()));
            },
            Broken,
            "Names are found, and none of a.example and b.example takes a connection on port 80 since 12:03.",
            "tcp4: a.example:80, b.example:80: no answer",
        ),
        (
            "mtu",
            |facts| (facts.outside.big.passed, facts.outside.big.largest) = (0, Some(1_400)),
            Trouble,
            "Packets of 1500 bytes are lost on the way without a word, those of 1400 get through since 12:03: \
             \"mtu\": 1400 for uplink0 in interfaces.json helps.",
            "mtu: 1500: is lost, 1400 get through",
        ),
        ("disk", |facts| facts.local.disk.as_mut().unwrap().free = 4_096, Trouble, "/perm is full since 12:03;", ""),
        (
            "disk",
            |facts| facts.local.disk.as_mut().unwrap().read_only = true,
            Trouble,
            "/perm takes nothing any more",
            "",
        ),
        ("disk", |facts| facts.local.disk.as_mut().unwrap().memory = true, Trouble, "/perm is in memory only", ""),
        (
            "disk",
            |facts| facts.local.disk.as_mut().unwrap().mended = true,
            Note,
            "/perm was damaged and has been made",
            "",
        ),
        (
            "ipv6",
            |facts| {
                facts.local.neighbour6 = Neighbour::Gone;
                (facts.outside.gateway6, facts.outside.routers) = (silent(), silent());
                facts.outside.targets[1].1 = silent();
                facts.outside.sites.truncate(1);
            },
            Trouble,
            "IPv6 does not work, IPv4 does: nothing in the internet answers since 12:03; its gateway fe80::1 does not \
             answer, either.",
            "ra6/uplink0: ",
        ),
        (
            "server",
            |facts| facts.outside.servers[0].1 = silent(),
            Trouble,
            "The name server 192.0.2.53 does not answer since 12:03; names are asked of 192.0.2.54.",
            "",
        ),
        (
            "duplex",
            |facts| {
                let port = Port { name: "lan0".into(), speed: Some(10), half_duplex: true, ..Port::default() };
                facts.local.ports = vec![port];
            },
            Trouble,
            "lan0 runs at 10 Mbit/s, half duplex since 12:03",
            "",
        ),
        (
            "nat",
            |facts| facts.local.uplink.as_mut().unwrap().addresses[0] = ip("100.64.1.2"),
            Note,
            "The internet works, but uplink0 has 100.64.1.2, which the provider shares among customers (CGNAT);",
            "",
        ),
        (
            "nat",
            |facts| facts.local.uplink.as_mut().unwrap().addresses[0] = ip("192.168.1.2"),
            Note,
            "The internet works, but uplink0 has the private address 192.168.1.2: another router",
            "",
        ),
    ];
    for (rule, damage, level, begin, first) in table {
        let mut facts = well();
        damage(&mut facts);
        let verdict = judged(&facts);
        let worst = verdict.findings.iter().find(|finding| finding.level == verdict.level);
        assert_eq!(worst.map(|finding| finding.rule), Some(*rule), "{verdict:#?}");
        assert!(verdict.sentence.starts_with(begin), "{rule}: {}", verdict.sentence);
        assert_eq!(verdict.level, *level, "{}", verdict.sentence);
        let fits =
            if first.is_empty() { verdict.first_error.is_empty() } else { verdict.first_error.starts_with(first) };
        let ipv6 = *rule == "ipv6" && verdict.first_error.starts_with("ping6gw: ");
        assert!(fits || ipv6, "{rule}: {}", verdict.first_error);
        assert_eq!(
            *level == Level::Broken,
            verdict.level == Level::Broken && !verdict.first_error.is_empty(),
            "{rule}"
        );
    }
    let tested = |rule: &&str| table.iter().any(|row| row.0 == *rule) || ["flapping", "errors"].contains(rule);
    assert!(RULES.iter().map(|(rule, _)| rule).all(tested), "a rule without a case");
}

#[test]
fn a_gateway_that_only_forwards_is_no_fault() {
    let mut facts = well();
    facts.outside.gateway4 = silent();
    facts.local.neighbour4 = Neighbour::Unsure;
    let verdict = judged(&facts);
    assert_eq!(verdict.sentence, "The internet works over IPv4 and IPv6.");
    assert_eq!(verdict.first_error, "");
    // An error of the way is none of the gateway's, and the children of a failed node were not asked.
    nobody(&mut facts);
    let verdict = judged(&facts);
    assert_eq!(verdict.sentence, "The provider's gateway 203.0.113.1 does not answer since 12:03.");
    let gateway = &verdict.graph.children[0].children[0];
    assert_eq!(gateway.state, State::Failed);
    assert_eq!(gateway.children[0].status, "dependency ping4: $default-gateway failed");
}

#[test]
fn half_an_internet_is_said_to_be_half() {
    let mut facts = well();
    facts.outside.gateway4 = silent();
    facts.local.neighbour4 = Neighbour::Gone;
    facts.outside.targets[0].1 = silent();
    facts.outside.servers.clear();
    facts.outside.sites.remove(0);
    let verdict = judged(&facts);
    let begin = "IPv4 does not work, IPv6 does: the provider's gateway 203.0.113.1 does not answer";
    assert!(verdict.sentence.starts_with(begin), "{}", verdict.sentence);
}

#[test]
fn since_when_stays_and_ends_and_is_logged_once() {
    let mut engine = Engine::default();
    let mut bad = well();
    bad.local.neighbour4 = Neighbour::Gone;
    nobody(&mut bad);
    let mut said = Vec::new();
    // An hour of it, twice, with a good minute between.
    for minute in 0..121 {
        let mut facts = if minute == 60 { well() } else { bad.clone() };
        facts.local.renew4 = Some(wall(minute as i64 + 30));
        let now = Instant::from_secs(minute * 60);
        let verdict = engine.judge(now, wall(minute as i64), &TimeZone::UTC, &facts);
        if engine.is_news(&verdict.sentence) {
            said.push(verdict.sentence);
        }
    }
    let gone = |since: &str| format!("The provider's gateway 203.0.113.1 does not answer since {since}, not even ARP.");
    assert_eq!(said, [gone("12:03"), "The internet works over IPv4 and IPv6.".into(), gone("13:04")]);
    // A clock that was never set names no time.
    let mut engine = Engine::default();
    let verdict = engine.judge(Instant::from_secs(9), WallTime::from_nanos(60_000_000_000), &TimeZone::UTC, &bad);
    assert_eq!(verdict.findings[1].sentence, "The provider's gateway 203.0.113.1 does not answer, not even ARP.");
    assert_eq!(verdict.findings[0].rule, "clock");
}

#[test]
fn a_link_that_flaps_is_named_until_ten_minutes_have_gone() {
    let mut engine = Engine::default();
    let mut facts = well();
    let mut judge = |engine: &mut Engine, seconds: u64, changes: u32| {
        facts.local.uplink.as_mut().unwrap().carrier_changes = changes;
        engine.judge(Instant::from_secs(seconds), wall(0), &TimeZone::UTC, &facts).sentence
    };
    let fine = "The internet works over IPv4 and IPv6.";
    assert_eq!(judge(&mut engine, 60, 2), fine, "those of the boot do not count");
    for at in 0..4 {
        engine.carrier(Instant::from_secs(70 + at), 3 + at as u32);
    }
    assert_eq!(judge(&mut engine, 100, 6), fine, "twice is an accident");
    let said = judge(&mut engine, 130, 8);
    let begin = "The cable of uplink0 loses its carrier again and again (3 times within 10 minutes)";
    assert!(said.starts_with(begin), "{said}");
    assert_eq!(judge(&mut engine, 130 + 601, 8), fine);
    // For ever, and the memory is bounded.
    for at in 0..1_000 {
        engine.carrier(Instant::from_secs(1_000 + at), 8 + at as u32);
    }
    assert!(judge(&mut engine, 2_000, 1_008).starts_with("The cable"));
    assert_eq!(judge(&mut engine, 2_010, 1), fine, "another interface has the name");
}

#[test]
fn damaged_packets_count_by_their_share_since_the_last_round() {
    let mut engine = Engine::default();
    let mut facts = well();
    let mut judge = |packets, errors| {
        facts.local.ports = vec![Port { name: "uplink0".into(), packets, errors, ..Port::default() }];
        engine.judge(Instant::from_secs(60), wall(0), &TimeZone::UTC, &facts).level
    };
    assert_eq!(judge(1_000, 900), Level::Fine, "what was before");
    assert_eq!(judge(1_000_000, 1_000), Level::Fine, "one in 10,000");
    assert_eq!(judge(1_010_000, 1_099), Level::Fine, "few");
    assert_eq!(judge(1_020_000, 1_200), Level::Trouble);
    assert_eq!(judge(5, 0), Level::Fine, "the counters have begun again");
}

fn plan() -> Plan {
    let settings = Settings::default();
    Plan {
        uplink: 2,
        mtu: 1_500,
        ipv4: true,
        ipv6: false,
        gateway4: Some(ip(GATEWAY)),
        targets: settings.targets,
        servers: vec![ip("192.0.2.53:53")],
        names: vec!["a.example".into(), "b.example".into()],
        portal: settings.portal,
        ..Plan::default()
    }
}

/// Plays a round against somebody who answers at once, or not at all; how long it took, and what was asked.
fn play(plan: Plan, answer: impl Fn(&Ask) -> Option<Outcome>) -> (super::engine::round::Outside, Duration, Vec<Ask>) {
    let start = Instant::from_secs(1_000);
    let (mut now, mut asked) = (start, Vec::new());
    let mut round = Round::new(now, plan);
    loop {
        loop {
            let asks = round.turn(now);
            if asks.is_empty() {
                break;
            }
            for (number, ask) in asks {
                if let Some(outcome) = answer(&ask) {
                    round.heard(now, number, outcome);
                }
                asked.push(ask);
            }
        }
        if round.is_over(now) {
            return (round.found(), now - start, asked);
        }
        assert!(round.deadline() > now, "no time passes");
        now = round.deadline();
    }
}

fn everybody(ask: &Ask) -> Option<Outcome> {
    Some(match ask {
        Ask::Echo { to, .. } => Outcome::Echo(to.ip()),
        Ask::Query { ipv6: false, .. } => Outcome::Addresses(vec![ip("198.51.100.10")]),
        Ask::Query { ipv6: true, .. } => Outcome::Addresses(vec![ip("2001:db8:ffff::1")]),
        Ask::Connect { .. } => Outcome::Connected,
        Ask::Page { .. } => Outcome::Page(Page { status: 200, location: String::new(), text: "success\n".into() }),
    })
}

#[test]
fn a_round_that_is_answered_waits_for_no_timer() {
    let mut plan = plan();
    (plan.ipv6, plan.gateway6, plan.sources) = (true, Some(ip("fe80::1")), [Some(ip("2001:db8:a::1")), None]);
    let (found, took, asked) = play(plan, everybody);
    assert_eq!(took, Duration::ZERO);
    assert!(asked.len() <= 24, "{asked:#?}");
    assert_eq!((found.big.asked, found.big.passed), (2, 2));
    assert!(found.sites.iter().any(|(_, way, tried)| *way == Way::Lan6 && matches!(tried, Some(Ok(_)))));
    assert!(!found.sites.iter().any(|(_, way, _)| *way == Way::Uplink6), "it has no address of its own");
    assert!(matches!(found.portal, Some((portal, Some(Ok(page)))) if portal.is(&page)));
    let scoped = |ask: &&Ask| matches!(ask, Ask::Echo { to: SocketAddr::V6(to), .. } if to.scope_id() == 2);
    assert_eq!(asked.iter().filter(scoped).count(), 2, "the gateway and all routers, on the uplink");
}

#[test]
fn a_round_that_nobody_answers_is_over_in_time_and_asks_little() {
    let (found, took, asked) = play(plan(), |_| None);
    assert_eq!(took, LIMIT);
    assert!(LIMIT < Duration::from_secs(3));
    // The gateway, two targets, a server for a name and for the portal's, three names: thrice each.
    assert_eq!(asked.len(), 24, "{asked:#?}");
    assert_eq!(found.gateway4, silent());
    assert!(found.sites.is_empty() && found.big.asked == 0);
    let (_, took, asked) = play(Plan::default(), everybody);
    assert_eq!((took, asked.len()), (Duration::ZERO, 0), "without a way out nobody is asked");
}

#[test]
fn one_that_answers_is_enough_and_a_lost_packet_is_no_fault() {
    let dead: IpAddr = ip("1.1.1.1");
    let lost = std::cell::Cell::new(0);
    let (found, took, _) = play(plan(), |ask| match ask {
        Ask::Echo { to, .. } if to.ip() == dead => None,
        // The first question to each server is lost.
        Ask::Query { server, .. } if server.port() == 53 && lost.get() < 4 => {
            lost.set(lost.get() + 1);
            None
        }
        ask => everybody(ask),
    });
    assert_eq!(took, Duration::from_millis(700));
    assert_eq!(found.targets.iter().filter(|(_, tried)| tried.is_none()).count(), 1, "not waited for");
    assert!(found.servers.iter().all(|(_, tried)| matches!(tried, Some(Ok(_)))));
}

#[test]
fn the_hole_is_measured_and_a_way_that_speaks_is_none() {
    let limit = |most: u16, speaks: bool| {
        play(plan(), move |ask| match ask {
            Ask::Echo { size: Some(size), .. } if *size > most => speaks.then(|| Outcome::TooBig(most.into())),
            ask => everybody(ask),
        })
    };
    let (found, took, _) = limit(1_450, false);
    assert_eq!((found.big.passed, found.big.largest, found.big.told), (0, Some(1_440), None));
    assert_eq!(took, LIMIT);
    let (found, took, _) = limit(1_450, true);
    assert_eq!((found.big.passed, found.big.told, took), (0, Some(1_450), Duration::ZERO));
    let (found, ..) = limit(100, false);
    assert_eq!((found.big.passed, found.big.largest), (0, None), "who answers no large echo says nothing of the way");
}

#[test]
fn names_of_the_servers_help_when_dnsd_does_not() {
    let (found, ..) = play(plan(), |ask| match ask {
        Ask::Query { server, .. } if server.ip().is_loopback() => Some(Outcome::Failed("connection refused".into())),
        ask => everybody(ask),
    });
    assert!(found.house.iter().all(|tried| tried == &Some(Err("connection refused".into()))), "{:?}", found.house);
    assert!(matches!(found.sites.as_slice(), [(0, Way::V4, Some(Ok(_)))]));
}

#[test]
fn the_page_and_the_json_are_router7s_and_more() {
    let mut facts = well();
    let page = Page { status: 302, location: "http://x/<script>".into(), text: String::new() };
    facts.outside.portal = Some((portal(), Some(Ok(page))));
    let verdict = judged(&facts);
    let html = String::from_utf8(page::Page::Graph.show(&verdict).body).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("\u{2718} portal: ") && !html.contains("<script>"));
    assert!(html.contains("<li>\u{2714} dhcp4: lease valid until 12:33\n<ul>"), "{html}");
    let json: serde_json::Value = serde_json::from_str(&page::json(&verdict)).unwrap();
    assert_eq!(json["first_error"], verdict.first_error);
    assert_eq!((&json["level"], &json["findings"][0]["check"]), (&"broken".into(), &"portal".into()));
    assert_eq!(json["checks"]["children"][0]["children"][0]["name"], "ping4: $default-gateway");
    assert_eq!(page::json(&verdict).lines().count(), 1);
    let text = String::from_utf8(page::Page::Metrics.show(&verdict).body).unwrap();
    assert!(text.contains("\ndiagd_healthy 0\n") && text.contains("weir_diagnosis{check=\"portal\"} 3\n"), "{text}");
    let text = String::from_utf8(page::Page::Metrics.show(&judged(&well())).body).unwrap();
    assert!(text.contains("\ndiagd_healthy 1\n") && text.contains("\nweir_internet_works 1\n"), "{text}");
}

/// Plays a tool; its lines, and how long it took.
fn use_tool(line: &str, answer: impl Fn(&Ask) -> Option<Outcome>) -> (Vec<String>, Duration) {
    let start = Instant::from_secs(1_000);
    let wanted: Wanted = serde_json::from_str(line).unwrap();
    let mut tool = Tool::new(start, wanted, &[ip("192.0.2.53:53")]).unwrap();
    let (mut now, mut lines) = (start, Vec::new());
    for _ in 0..1_000 {
        for (number, ask) in tool.turn(now) {
            if let Some(outcome) = answer(&ask) {
                tool.heard(now + Duration::from_millis(2), number, outcome);
            }
        }
        lines.extend(tool.lines());
        if tool.is_over() {
            return (lines, now - start);
        }
        now = tool.deadline().max(now);
    }
    panic!("it does not end: {lines:#?}");
}

#[test]
fn ping_trace_and_dns_end_by_themselves() {
    let (lines, took) = use_tool(r#"{"op":"ping","target":"a.example"}"#, everybody);
    assert_eq!(lines[0], "a.example is 198.51.100.10");
    assert_eq!(
        (lines[1].as_str(), lines.last().unwrap().as_str()),
        ("198.51.100.10 answers after 2.0 ms", "5 of 5 came back")
    );
    assert_eq!(took, Duration::from_secs(5));
    let (lines, _) = use_tool(r#"{"op":"ping","target":"192.0.2.1"}"#, |_| None);
    assert_eq!(lines, ["no answer", "no answer", "no answer", "no answer", "no answer", "0 of 5 came back"]);
    let (lines, took) = use_tool(r#"{"op":"ping","target":"a.example"}"#, |_| None);
    assert_eq!((lines.len(), took), (1, Duration::from_secs(4)));
    assert!(lines[0].contains("no answer from the router's own name server"), "{lines:?}");

    let way = |ask: &Ask| match ask {
        Ask::Echo { hops: 2, .. } => None,
        Ask::Echo { hops, .. } if *hops < 4 => Some(Outcome::Expired(ip(&format!("10.0.0.{hops}")))),
        ask => everybody(ask),
    };
    let (lines, took) = use_tool(r#"{"op":"trace","target":"198.51.100.10"}"#, way);
    let want = [" 1  10.0.0.1  2.0 ms", " 2  no answer", " 3  10.0.0.3  2.0 ms", " 4  198.51.100.10  2.0 ms"];
    assert_eq!((lines.as_slice(), took), (&want.map(str::to_owned)[..], Duration::from_secs(1)));
    let (lines, _) = use_tool(r#"{"op":"trace","target":"192.0.2.1"}"#, |_| None);
    assert_eq!(lines.len(), 5, "a way that is silent is not followed for ever");

    let (lines, took) = use_tool(r#"{"op":"dns","name":"a.example"}"#, |ask| match ask {
        Ask::Query { server, .. } if !server.ip().is_loopback() => None,
        ask => everybody(ask),
    });
    assert_eq!(took, Duration::from_secs(4));
    assert_eq!(lines[0], "this router             A    198.51.100.10, 2.0 ms");
    assert_eq!(lines[3], "192.0.2.53              AAAA no answer");
    for wrong in [r#"{"op":"ping","target":"-x y"}"#, r#"{"op":"dns","name":"a..b"}"#] {
        let wanted = serde_json::from_str(wrong).unwrap();
        assert!(Tool::new(Instant::default(), wanted, &[]).is_err(), "{wrong}");
    }
    assert!(serde_json::from_str::<Wanted>(r#"{"op":"ping"}"#).is_err());
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Echo(ip("192.0.2.1"))),
        any::<u32>().prop_map(Outcome::TooBig),
        Just(Outcome::Expired(ip("192.0.2.1"))),
        Just(Outcome::Addresses(vec![])),
        Just(Outcome::Addresses(vec![ip("2001:db8::1"), ip("192.0.2.1")])),
        Just(Outcome::NoSuchName),
        Just(Outcome::Connected),
        any::<u16>().prop_map(|status| Outcome::Page(Page { status, ..Page::default() })),
        Just(Outcome::Failed("x".into())),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_a_round_ends_and_is_judged(
        news in proptest::collection::vec((0u32..80, 0u64..400, any_outcome()), 0..80),
        ipv6: bool,
    ) {
        let mut plan = plan();
        (plan.ipv6, plan.gateway6, plan.sources) = (ipv6, Some(ip("fe80::1")), [Some(ip("2001:db8::1")), None]);
        let start = Instant::from_secs(5);
        let mut now = start;
        let mut round = Round::new(now, plan);
        let mut count = 0;
        for (number, later, outcome) in news {
            count += round.turn(now).len();
            now += Duration::from_millis(later);
            round.heard(now, number, outcome);
        }
        count += round.turn(now).len();
        prop_assert!(count < 200, "{}", count);
        prop_assert!(round.is_over(start + LIMIT));
        let mut facts = well();
        facts.outside = round.found();
        let verdict = judged(&facts);
        prop_assert!(!verdict.sentence.contains('{'), "{}", verdict.sentence);
        prop_assert!(!page::json(&verdict).is_empty());
    }

    #[test]
    fn whatever_comes_a_tool_ends(
        news in proptest::collection::vec((0u32..40, 0u64..1_500, any_outcome()), 0..200),
        what in prop_oneof![Just("ping"), Just("trace")],
    ) {
        let wanted = serde_json::from_str(&format!(r#"{{"op":"{what}","target":"a.example"}}"#)).unwrap();
        let mut now = Instant::from_secs(5);
        let mut tool = Tool::new(now, wanted, &[]).unwrap();
        let mut lines = 0;
        for (number, later, outcome) in news {
            let _ = tool.turn(now);
            now += Duration::from_millis(later);
            tool.heard(now, number, outcome);
            lines += tool.lines().len();
        }
        prop_assert!(lines < 100, "{}", lines);
    }
}
