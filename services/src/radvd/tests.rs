//! Scenarios: files, links, solicitations and minutes against the engine, and what hosts then hear.
use super::engine::{Action, Engine, Event, Link, Memory, Settings};
use crate::house::random::Random;
use crate::perm::WallTime;
use crate::perm::announced::Announced;
use crate::perm::lease6::{FOREVER, Timed};
use crate::perm::stamp::Clock;
use ipnet::Ipv6Net;
use netstack::time::Instant;
use netstack::wire::ndisc::{ALL_NODES, Advertisement, Item, Prefix};
use proptest::prelude::*;
use std::net::Ipv6Addr;
use std::time::Duration;

const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x42);
const A: &str = "2001:db8:a::/56";
const B: &str = "2001:db8:b::/56";
const ULA: &str = "fd12:3456:789a::/48";

/// One LAN with a host that hears everything.
struct Scene {
    engine: Engine,
    clock: Clock,
    /// The file as it was last written.
    file: Announced,
    writes: u32,
    heard: Vec<(Instant, Ipv6Addr, Advertisement)>,
    said: Vec<String>,
}

fn net(text: &str) -> Ipv6Net {
    text.parse().unwrap()
}

impl Scene {
    fn boot(name: &str, file: Announced) -> Scene {
        let clock = Clock { boot: name.into(), now: Instant::from_secs(5), wall: WallTime::from_unix(1_700_000_000) };
        let engine = Engine::new(Memory::new(file.clone(), &clock), Random::from_seed(7));
        Scene { engine, clock, file, writes: 0, heard: Vec::new(), said: Vec::new() }
    }

    /// A scene in which the LAN is up, the uplink has a default route and the first three have been heard.
    fn settled(prefixes: &[(&str, u32)]) -> Scene {
        let mut scene = Scene::boot("first", Announced::default());
        scene.configure(prefixes);
        scene.event(Event::DefaultRoute(true));
        scene.link();
        scene.pass(120);
        scene.heard.clear();
        scene
    }

    fn event(&mut self, event: Event) {
        for action in self.engine.handle(&self.clock, event) {
            match action {
                Action::Remember(file) => {
                    self.file = file;
                    self.writes += 1;
                }
                Action::Say(text) => self.said.push(text),
                Action::Send { lan, to, message } => {
                    assert_eq!(lan, "lan0");
                    let heard = Advertisement::parse(&message, ROUTER, 255).expect("an advertisement");
                    // What hosts hold is on the disk.
                    for prefix in prefixes(&heard).iter().filter(|prefix| prefix.valid > 0) {
                        let known = |known: &&crate::perm::announced::Prefix| known.prefix == prefix.prefix;
                        let known = self.file.prefixes.iter().find(known).expect("announced and not written down");
                        assert!(known.valid >= prefix.valid && known.stale_for.is_none(), "{known:?}");
                    }
                    self.heard.push((self.clock.now, to, heard));
                }
            }
        }
    }

    /// Prefixes with their lifetime in seconds from now; the own one has none.
    fn configure(&mut self, delegated: &[(&str, u32)]) {
        let timed = |(text, valid): &(&str, u32)| Timed::new(net(text), self.clock.now, valid / 2, *valid);
        let all: Vec<_> = delegated.iter().chain(&[(ULA, FOREVER)]).map(timed).collect();
        let first =
            |prefix: &Timed<Ipv6Net>| Timed { value: Ipv6Net::new(prefix.value.network(), 64).unwrap(), ..*prefix };
        let prefixes = all.iter().map(first).collect();
        let settings = Settings { name: "lan0".into(), prefixes, routes: all, ..Settings::default() };
        self.event(Event::Configured(vec![settings]));
    }

    fn link(&mut self) {
        self.event(Event::Link("lan0", Some(Link { mac: [2, 0, 0, 0, 0, 1], mtu: 1_500, address: ROUTER })));
    }

    fn ask(&mut self, host: u16) {
        self.event(Event::Solicited("lan0", Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, host)));
    }

    /// Lets so many seconds pass.
    fn pass(&mut self, seconds: u64) {
        let end = self.clock.now + Duration::from_secs(seconds);
        while let Some(at) = self.engine.deadline().filter(|at| *at <= end) {
            assert!(at >= self.clock.now || self.clock.now <= end, "time goes backwards");
            self.clock.now = self.clock.now.max(at);
            self.event(Event::Timeout);
            assert!(self.engine.deadline() != Some(at) || at > self.clock.now, "the engine spins");
        }
        self.clock.now = end;
    }

    fn last(&self) -> &Advertisement {
        &self.heard.last().expect("something was heard").2
    }
}

fn prefixes(heard: &Advertisement) -> Vec<Prefix> {
    heard.items.iter().filter_map(|item| if let Item::Prefix(prefix) = item { Some(*prefix) } else { None }).collect()
}

/// Preferred and valid lifetime of a prefix's first /64.
fn lifetimes(heard: &Advertisement, prefix: &str) -> Option<(u32, u32)> {
    let prefix = prefixes(heard).into_iter().find(|found| found.prefix.network() == net(prefix).network())?;
    assert!(prefix.on_link && prefix.autonomous && prefix.prefix.prefix_len() == 64);
    Some((prefix.preferred, prefix.valid))
}

#[test]
fn the_first_three_come_soon_and_then_one_or_more_a_minute() {
    let mut scene = Scene::boot("first", Announced::default());
    scene.configure(&[(A, 3_600)]);
    scene.event(Event::DefaultRoute(true));
    scene.pass(30);
    assert!(scene.heard.is_empty(), "without a link");
    scene.link();
    scene.pass(600);
    let times: Vec<Duration> = scene.heard.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert_eq!(scene.heard[0].0, Instant::from_secs(35), "the first at once");
    assert!(times[..2].iter().all(|time| *time <= Duration::from_secs(16)), "{times:?}");
    let (least, most) = (Duration::from_secs(20), Duration::from_secs(60));
    assert!(times[2..].iter().all(|time| (least..=most).contains(time)), "{times:?}");
    assert!(times[2..].iter().any(|time| *time != times[2]), "no jitter");
    assert!(scene.heard.iter().all(|(_, to, _)| *to == ALL_NODES));
}

#[test]
fn a_host_hears_all_that_it_needs() {
    let scene = Scene::settled(&[(A, 86_400)]);
    let mut scene = scene;
    scene.pass(60);
    let heard = scene.last();
    assert_eq!((heard.hop_limit, heard.managed, heard.other_config, heard.router_lifetime), (64, false, false, 1_800));
    assert_eq!(lifetimes(heard, A), Some((2_700, 5_400)), "RFC 9096's longest");
    assert_eq!(lifetimes(heard, ULA), Some((2_700, 5_400)));
    for item in [
        Item::Rdnss(vec![ROUTER], 1_800),
        Item::Dnssl(vec!["lan".into()], 1_200),
        Item::Mtu(1_500),
        Item::SourceLink([2, 0, 0, 0, 0, 1]),
        Item::Route(net(A), 5_400),
        Item::Route(net(ULA), 5_400),
    ] {
        assert!(heard.items.contains(&item), "no {item:?} in {heard:#?}");
    }
}

#[test]
fn lifetimes_count_down_and_a_prefix_that_ran_out_is_taken_back() {
    let mut scene = Scene::settled(&[(A, 600)]);
    scene.pass(60);
    let (preferred, valid) = lifetimes(scene.last(), A).unwrap();
    assert!((60..180).contains(&preferred) && (360..480).contains(&valid), "{preferred} {valid}");
    scene.heard.clear();
    let out = Instant::from_secs(605);
    scene.pass((out - scene.clock.now).as_secs() + 3);
    let (at, _, heard) = scene.heard.iter().find(|(_, _, heard)| lifetimes(heard, A) == Some((0, 0))).unwrap();
    assert!(*at >= out && *at - out <= Duration::from_secs(3), "{at:?}");
    assert!(heard.items.contains(&Item::Route(net(A), 0)));
    assert_eq!(heard.router_lifetime, 0, "nothing is left that the internet knows");
    assert!(lifetimes(heard, ULA).unwrap().0 > 0, "the LAN keeps its own");
    // It returns at once when it is given again.
    scene.pass(100);
    scene.heard.clear();
    scene.configure(&[(A, 600)]);
    scene.pass(3);
    assert_eq!((lifetimes(scene.last(), A), scene.last().router_lifetime), (Some((300, 600)), 1_800));
}

#[test]
fn a_changed_prefix_is_stale_for_as_long_as_hosts_may_hold_it() {
    let mut scene = Scene::settled(&[(A, 3_600)]);
    let changed = scene.clock.now;
    scene.configure(&[(B, 3_600)]);
    scene.pass(3);
    let (at, _, heard) = &scene.heard[0];
    assert!(*at - changed <= Duration::from_secs(3));
    assert_eq!(lifetimes(heard, A), Some((0, 0)));
    assert!(lifetimes(heard, B).unwrap().0 > 0);
    // Told 3,600 s at most.
    scene.pass(3_590);
    assert!(scene.heard.iter().all(|(_, _, heard)| lifetimes(heard, A) == Some((0, 0))));
    scene.configure(&[(B, 3_600)]);
    scene.pass(400);
    assert_eq!(lifetimes(scene.last(), A), None);
    assert!(scene.file.prefixes.iter().all(|known| known.prefix.network() != net(A).network()), "{:?}", scene.file);
}

#[test]
fn a_power_cut_in_between_changes_nothing() {
    let scene = Scene::settled(&[(A, 3_600)]);
    for again in ["second", "third"] {
        // Another prefix is there when the machine comes back, and once more.
        let mut later = Scene::boot(again, scene.file.clone());
        later.configure(&[(B, 3_600)]);
        later.link();
        let (at, _, heard) = later.heard[0].clone();
        assert_eq!((at, lifetimes(&heard, A)), (later.clock.now, Some((0, 0))), "in the first one");
        later.pass(3_000);
        let mut last = Scene::boot("last", later.file.clone());
        last.configure(&[(B, 3_600)]);
        last.link();
        last.pass(3_500);
        assert_eq!(lifetimes(&last.heard[0].2, A), Some((0, 0)));
        let stale = last.heard.iter().filter(|(_, _, heard)| lifetimes(heard, A) == Some((0, 0))).count();
        assert_eq!(stale, last.heard.len(), "its whole time again: nobody knows how long the power was off");
    }
    // The same prefix is not stale for a moment.
    let mut same = Scene::boot("second", scene.file);
    same.configure(&[(A, 1_800)]);
    same.link();
    assert!(same.heard.iter().all(|(_, _, heard)| lifetimes(heard, A).unwrap().0 > 0));
}

#[test]
fn a_restart_within_the_boot_goes_on_counting() {
    let mut scene = Scene::settled(&[(A, 3_600)]);
    scene.configure(&[(B, 7_200)]);
    scene.pass(3_000);
    let mut again = Scene::boot("first", scene.file.clone());
    again.clock.now = scene.clock.now;
    again.engine = Engine::new(Memory::new(scene.file.clone(), &again.clock), Random::from_seed(1));
    again.configure(&[(B, 7_200)]);
    again.link();
    assert_eq!(lifetimes(&again.heard[0].2, A), Some((0, 0)));
    again.pass(700);
    assert_eq!(lifetimes(again.last(), A), None);
}

#[test]
fn without_a_way_out_it_is_no_default_router() {
    let mut scene = Scene::settled(&[(A, 3_600)]);
    let lost = scene.clock.now;
    scene.event(Event::DefaultRoute(false));
    scene.pass(3);
    let (at, _, heard) = &scene.heard[0];
    assert!(*at - lost <= Duration::from_secs(3));
    assert_eq!(heard.router_lifetime, 0);
    assert!(lifetimes(heard, A).unwrap().0 > 0, "prefixes are still said");
    assert!(heard.items.iter().any(|item| matches!(item, Item::Route(prefix, 1..) if *prefix == net(A))), "and routes");
    scene.pass(60);
    scene.event(Event::DefaultRoute(true));
    scene.pass(3);
    assert_eq!(scene.last().router_lifetime, 1_800);
    // Without a provider at all the LAN has its own prefix and nothing leads out.
    let mut alone = Scene::settled(&[]);
    alone.pass(60);
    assert_eq!((alone.last().router_lifetime, prefixes(alone.last()).len()), (0, 1));
}

#[test]
fn a_solicitation_is_answered_to_the_host_within_half_a_second() {
    let mut scene = Scene::settled(&[(A, 3_600)]);
    let asked = scene.clock.now;
    scene.ask(7);
    scene.ask(7);
    scene.pass(1);
    let answers: Vec<_> = scene.heard.iter().filter(|(_, to, _)| *to != ALL_NODES).collect();
    let [(at, to, _)] = answers[..] else { panic!("{answers:?}") };
    assert!(*at - asked <= Duration::from_millis(500) && *to == Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 7));
}

#[test]
fn a_flood_of_solicitations_is_answered_by_few_messages() {
    let mut scene = Scene::settled(&[(A, 3_600)]);
    for host in 0..10_000 {
        scene.ask(host);
    }
    scene.pass(1);
    assert!((1..=10).contains(&scene.heard.len()), "{}", scene.heard.len());
    assert!(scene.heard.iter().any(|(_, to, _)| *to == ALL_NODES), "a crowd is answered by multicast");
    scene.heard.clear();
    // Hosts without an address ask for multicasts: no two within three seconds.
    for _ in 0..100 {
        scene.event(Event::Solicited("lan0", Ipv6Addr::UNSPECIFIED));
        scene.pass(1);
    }
    assert!(scene.heard.windows(2).all(|pair| pair[1].0 - pair[0].0 >= Duration::from_secs(3)));
    assert!(scene.heard.len() >= 20, "and they are answered");
}

#[test]
fn a_link_that_comes_back_is_told_at_once() {
    let mut scene = Scene::settled(&[(A, 3_600)]);
    scene.event(Event::Link("lan0", None));
    scene.pass(100);
    assert!(scene.heard.is_empty());
    scene.link();
    assert_eq!(scene.heard.len(), 1);
}

#[test]
fn farewell_is_said_before_a_power_off_and_to_a_lan_that_is_none_any_more() {
    let mut scene = Scene::settled(&[(A, 3_600)]);
    scene.event(Event::Farewell);
    assert_eq!((scene.heard.len(), scene.last().router_lifetime), (1, 0));
    let mut scene = Scene::settled(&[(A, 3_600)]);
    scene.event(Event::Configured(Vec::new()));
    assert_eq!((scene.heard.len(), scene.last().router_lifetime), (1, 0));
    assert!(scene.last().items.iter().all(|item| !matches!(item, Item::Prefix(prefix) if prefix.valid > 0)));
    scene.pass(1_000);
    assert_eq!(scene.heard.len(), 1);
}

#[test]
fn many_changes_fit_one_message() {
    let mut scene = Scene::settled(&[]);
    for number in 0..100 {
        scene.configure(&[(&format!("2001:db8:{number:x}::/56"), 3_600)]);
        scene.pass(10);
    }
    assert!(prefixes(scene.last()).len() <= 20 && scene.last().emit().len() <= 1_280);
    assert!(scene.file.prefixes.len() <= 20);
    assert_eq!(lifetimes(scene.last(), "2001:db8:62::/56"), Some((0, 0)), "the latest are kept");
}

#[test]
fn a_renewal_is_not_a_write() {
    let mut scene = Scene::settled(&[(A, 3_600)]);
    scene.writes = 0;
    for _ in 0..50 {
        scene.configure(&[(A, 3_600)]);
        scene.clock.now += Duration::from_millis(1_700);
    }
    assert_eq!(scene.writes, 0);
}

proptest! {
    #[test]
    fn whatever_happens_it_neither_spins_nor_forgets(steps in proptest::collection::vec((0u8..8, 0u64..900), 0..40)) {
        let mut scene = Scene::settled(&[(A, 1_200)]);
        for (what, seconds) in steps {
            match what {
                0 => scene.configure(&[(A, seconds as u32)]),
                1 => scene.configure(&[(B, seconds as u32)]),
                2 => scene.configure(&[(A, 900), (B, 900)]),
                3 => scene.event(Event::DefaultRoute(seconds % 2 == 0)),
                4 => scene.event(Event::Link("lan0", None)),
                5 => scene.link(),
                6 => scene.ask(seconds as u16),
                _ => scene.configure(&[]),
            }
            scene.pass(seconds / 8);
        }
        let multicasts: Vec<_> = scene.heard.iter().filter(|(_, to, _)| *to == ALL_NODES).collect();
        prop_assert!(multicasts.windows(2).all(|pair| pair[1].0 - pair[0].0 >= Duration::from_secs(3)));
    }
}

#[test]
fn hosts_hear_at_once_that_dhcpv6_has_something_for_them() {
    let mut scene = Scene::settled(&[]);
    let timed = Timed::new(net(ULA), scene.clock.now, FOREVER, FOREVER);
    let mut settings = Settings { name: "lan0".into(), routes: vec![timed], ..Settings::default() };
    for (managed, other_config) in [(false, true), (true, true), (false, false)] {
        (settings.managed, settings.other_config) = (managed, other_config);
        scene.event(Event::Configured(vec![settings.clone()]));
        scene.pass(3);
        assert_eq!((scene.last().managed, scene.last().other_config), (managed, other_config));
    }
}
