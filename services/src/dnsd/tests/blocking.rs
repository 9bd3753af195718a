//! Names that are not answered: by list, for whom, when, and what it costs.
use super::*;
use crate::blocklist::merge::{Fresh, Plan, write};
use crate::blocklist::rules::{Reader, own};
use crate::blocklist::{Listed, Table};
use crate::dnsd::engine::blocking::{Listing, Wanted, Whom};
use crate::perm::Mac;
use crate::perm::blocklists::Answer;
use crate::perm::file::tests::Folder;
use domain::base::Name;
use domain::base::iana::ExtendedErrorCode;
use domain::base::opt::ExtendedError;
use domain::rdata::Cname;

const TABLET: Mac = Mac([2, 0, 0x5e, 0x10, 0, 7]);

fn url(name: &str) -> String {
    format!("https://lists.example/{name}")
}

/// A table of a person's own names and of lists, each by its name.
fn table(block: &[&str], allow: &[&str], lists: &[(&str, &str)]) -> Table {
    let folder = Folder::new();
    let path = folder.0.join("table");
    let mut fresh = vec![Fresh { list: 0, keys: own(block.iter().copied(), allow.iter().copied()) }];
    let mut names = vec![Listed::default()];
    for (name, text) in lists {
        let mut reader = Reader::default();
        reader.read(text.as_bytes(), 1_000).unwrap();
        fresh.push(Fresh { list: names.len(), keys: reader.finish(1_000).unwrap().0 });
        names.push(Listed { name: (*name).into(), url: url(name), ..Listed::default() });
    }
    write(&Plan { before: &Table::default(), moved: vec![], fresh, lists: names }, &path).unwrap();
    Table::read(&path).unwrap().unwrap()
}

fn listing(name: &str, answer: Answer, whom: Option<Vec<Whom>>) -> Listing {
    Listing { name: name.into(), url: url(name), answer, whom }
}

fn world(wanted: Wanted, table: Table) -> World {
    let mut world = World::new(&[]);
    world.settings(Settings {
        groups: vec![group("", &["10.0.0.1"]), group("corp.example", &["10.1.0.53"])],
        blocking: wanted,
        ..Settings::default()
    });
    world.engine.set_table(Some(table));
    world
}

fn is_blocked(answer: &super::Answer) -> bool {
    let opt = answer.opt().unwrap();
    let mut errors = opt.opt().iter::<ExtendedError<_>>().map(Result::unwrap);
    errors.any(|error| error.code() == ExtendedErrorCode::BLOCKED)
}

fn counted(world: &World, list: &str) -> u64 {
    world.engine.blocker().counts().iter().find(|(name, _)| name == list).map_or(0, |(_, count)| *count)
}

fn usual() -> (Wanted, Table) {
    let lists = vec![
        listing("ads", Answer::Zero, None),
        listing("gone", Answer::NxDomain, None),
        listing("hard", Answer::Refused, None),
    ];
    let wanted = Wanted { lists, own: Answer::NxDomain, ..Wanted::default() };
    let table = table(
        &["mine.example"],
        &["good.ads.example"],
        &[
            ("ads", "||ads.example^\n||tracker.example^\n@@||fine.tracker.example^\n||corp.example^\n||lan^"),
            ("gone", "gone.example"),
            ("hard", "hard.example"),
        ],
    );
    (wanted, table)
}

#[test]
fn a_listed_name_is_answered_as_its_list_says_and_nobody_is_asked() {
    let (wanted, table) = usual();
    let mut world = world(wanted, table);
    let mut ask_for = |name: &str, rtype| world.query(&ask(name, rtype)).unwrap();
    let answer = ask_for("X.ADS.example", Rtype::A);
    assert_eq!(
        (rcode(&answer), records(&answer)[0].clone()),
        (Rcode::NOERROR, vec!["X.ADS.example 10 0.0.0.0".to_owned()])
    );
    assert!(is_blocked(&answer));
    assert_eq!(records(&ask_for("ads.example", Rtype::AAAA))[0], ["ads.example 10 ::"]);
    let answer = ask_for("ads.example", Rtype::HTTPS);
    assert_eq!((rcode(&answer), records(&answer)[0].len(), records(&answer)[1].len()), (Rcode::NOERROR, 0, 1));
    let answer = ask_for("gone.example", Rtype::A);
    assert_eq!((rcode(&answer), records(&answer)[1].len(), is_blocked(&answer)), (Rcode::NXDOMAIN, 1, true));
    let answer = ask_for("hard.example", Rtype::A);
    assert_eq!((rcode(&answer), is_blocked(&answer)), (Rcode::REFUSED, true));
    assert_eq!(rcode(&ask_for("sub.mine.example", Rtype::A)), Rcode::NXDOMAIN);
    assert_eq!(rcode(&world.query(&ask("gone.example", Rtype::A).edns(None)).unwrap()), Rcode::NXDOMAIN);
    assert!(world.asked.is_empty());
    let counts = ["own", "ads", "gone", "hard"].map(|list| counted(&world, list));
    assert_eq!((counts, world.engine.counters().blocked), ([1, 3, 2, 1], 7));
}

#[test]
fn what_is_let_through_or_chosen_by_a_person_is_asked() {
    let (wanted, table) = usual();
    let mut world = world(wanted, table);
    for (at, name) in
        ["x.good.ads.example", "fine.tracker.example", "a.corp.example", "sub.gone.example"].iter().enumerate()
    {
        assert!(world.query(&ask(name, Rtype::A)).is_none(), "{name}");
        assert_eq!(world.asked.len(), at + 1);
    }
    assert_eq!(world.engine.counters().excepted, 2);
    world.configure(&["10.0.0.1"], &[("nas", 9, None)]);
    assert_eq!(
        addresses(&world.query(&ask("nas.lan", Rtype::A)).unwrap()).len(),
        1,
        "the house's own names are no list's"
    );
    // The router itself has to find whoever it needs.
    let itself = Client::Udp { listener: 1, peer: "127.0.0.1:9".parse().unwrap() };
    assert!(world.query(&Ask { client: itself, ..ask("ads.example", Rtype::A) }).is_none());
}

#[test]
fn where_an_alias_leads_counts_as_well() {
    let (wanted, table) = usual();
    let mut world = world(wanted, table);
    let alias = |target: &'static str| {
        move |records: &mut AnswerBuilder<Buffer>| {
            let (name, to): (_, Name<Vec<u8>>) = (owner(records), target.parse().unwrap());
            records.push((name, Class::IN, Ttl::from_secs(300), Cname::new(to.clone()))).unwrap();
            records.push((to, Class::IN, Ttl::from_secs(300), A::from_octets(198, 51, 100, 1))).unwrap();
        }
    };
    assert!(world.query(&ask("metrics.shop.example", Rtype::A)).is_none());
    world.reply(Rcode::NOERROR, alias("Shop.Tracker.example"));
    let answer = world.late();
    assert_eq!((addresses(&answer).len(), is_blocked(&answer)), (1, true));
    assert_eq!(records(&answer)[0], ["metrics.shop.example 10 0.0.0.0"]);
    let again = world.query(&ask("metrics.shop.example", Rtype::A)).unwrap();
    assert_eq!((records(&again)[0][0].as_str(), world.asked.len()), ("metrics.shop.example 10 0.0.0.0", 1));
    assert!(world.query(&ask("www.shop.example", Rtype::A)).is_none());
    world.reply(Rcode::NOERROR, alias("fine.tracker.example"));
    assert_eq!(records(&world.late())[0].len(), 2);
    assert_eq!(counted(&world, "ads"), 2);
}

#[test]
fn a_list_holds_for_whom_it_is_meant() {
    let at = |who: Whom| vec![who];
    let tablet = Whom { macs: Some(vec![TABLET]), ..Whom::default() };
    let guests = Whom { lan: Some("guest".into()), ..Whom::default() };
    let some = Whom { net: Some("192.168.42.64/26".parse().unwrap()), ..Whom::default() };
    let wanted = Wanted {
        lists: vec![
            listing("social", Answer::Zero, Some(at(tablet.clone()))),
            listing("guests", Answer::Zero, Some(at(guests))),
            listing("net", Answer::Zero, Some(at(some))),
            listing("nobody", Answer::Zero, Some(vec![])),
            listing("all", Answer::Zero, None),
        ],
        exempt: vec![Whom { net: Some("192.168.42.9/32".parse().unwrap()), ..Whom::default() }],
        lans: vec![("guest".into(), "192.168.44.0/24".parse().unwrap())],
        hardware: vec![("192.168.42.7".parse().unwrap(), TABLET)],
        names_devices: true,
        ..Wanted::default()
    };
    let lists = ["social", "guests", "net", "nobody", "all"].map(|name| (name, format!("||{name}.example^")));
    let lists: Vec<(&str, &str)> = lists.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let mut world = world(wanted, table(&["own.example"], &[], &lists));
    let mut of = |peer: &str| {
        let client = Client::Udp { listener: 1, peer: peer.parse().unwrap() };
        let names = ["social", "guests", "net", "nobody", "all", "own"];
        let blocked = names.iter().filter(|name| {
            let answer = world.query(&Ask { client, ..ask(&format!("www.{name}.example"), Rtype::A) });
            answer.is_some_and(|answer| is_blocked(&answer))
        });
        blocked.copied().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of("192.168.42.7:1"), "social all own");
    assert_eq!(of("192.168.42.8:1"), "all own");
    assert_eq!(of("192.168.42.70:1"), "net all own");
    assert_eq!(of("192.168.42.9:1"), "", "exempt");
    assert_eq!(of("192.168.44.9:1"), "guests all own");
    assert_eq!(of("[fe80::7]:1"), "all own");
    let fe80: IpAddr = "fe80::7".parse().unwrap();
    assert!(world.engine.wonders(fe80) && !world.engine.wonders("127.0.0.1".parse().unwrap()));
    world.engine.neighbours([(fe80, TABLET, "guest".to_owned())].into_iter());
    assert!(!world.engine.wonders(fe80));
    let client = Client::Tcp { stream: 5, peer: fe80 };
    for name in ["social.example", "guests.example"] {
        assert!(is_blocked(&world.query(&Ask { client, ..ask(name, Rtype::A) }).unwrap()), "{name}");
    }
}

#[test]
fn one_client_s_answer_is_not_anothers() {
    let tablet = Whom { net: Some("192.168.42.7/32".parse().unwrap()), ..Whom::default() };
    let wanted = Wanted { lists: vec![listing("social", Answer::NxDomain, Some(vec![tablet]))], ..Wanted::default() };
    let mut world = world(wanted.clone(), table(&[], &[], &[("social", "||social.example^\n||cdn.example^")]));
    let (tablet, other) = (ask("social.example", Rtype::A), ask("social.example", Rtype::A).from(8, 1));
    assert!(is_blocked(&world.query(&tablet).unwrap()));
    assert!(world.query(&other).is_none());
    world.reply(Rcode::NOERROR, |records| a(records, 300, 5));
    assert_eq!(addresses(&world.late()), [(5, 300)]);
    assert!(is_blocked(&world.query(&tablet).unwrap()), "also where it is remembered for the other");
    assert_eq!(addresses(&world.query(&other).unwrap()), [(5, 300)]);
    // Both wait for a name whose answer leads there.
    let both = [ask("alias.example", Rtype::A), ask("alias.example", Rtype::A).from(8, 1)];
    assert!(both.iter().all(|ask| world.query(ask).is_none()));
    world.reply(Rcode::NOERROR, |records| {
        let (name, to): (_, Name<Vec<u8>>) = (owner(records), "cdn.example".parse().unwrap());
        records.push((name, Class::IN, Ttl::from_secs(300), Cname::new(to))).unwrap();
    });
    let codes: Vec<_> = std::mem::take(&mut world.answers).iter().map(|(_, answer)| rcode(answer)).collect();
    assert_eq!(codes, [Rcode::NXDOMAIN, Rcode::NOERROR]);
    // Its hours are over.
    let over = Wanted { lists: vec![listing("social", Answer::NxDomain, Some(vec![]))], ..wanted };
    world.settings(Settings { groups: vec![group("", &["10.0.0.1"])], blocking: over, ..Settings::default() });
    assert_eq!(addresses(&world.query(&tablet).unwrap()), [(5, 300)]);
}

#[test]
fn a_new_table_holds_at_once_and_counts_go_on() {
    let (wanted, first) = usual();
    let mut world = world(wanted, first);
    world.fill("new.example", 300);
    assert!(world.query(&ask("gone.example", Rtype::A)).is_some());
    world.engine.set_table(Some(table(&[], &[], &[("gone", "gone.example\nnew.example"), ("ads", "other.example")])));
    assert!(is_blocked(&world.query(&ask("new.example", Rtype::A)).unwrap()));
    assert_eq!((counted(&world, "gone"), counted(&world, "ads")), (2, 0));
    world.engine.set_table(None);
    assert_eq!(addresses(&world.query(&ask("new.example", Rtype::A)).unwrap()), [(1, 300)]);
    // A list of the same name from elsewhere is none of a person's.
    let other = Listing { url: "https://other.example/".into(), ..listing("gone", Answer::Zero, None) };
    let wanted = Wanted { lists: vec![other], ..Wanted::default() };
    world.settings(Settings { groups: vec![group("", &["10.0.0.1"])], blocking: wanted, ..Settings::default() });
    world.engine.set_table(Some(table(&[], &[], &[("gone", "new.example")])));
    assert_eq!(addresses(&world.query(&ask("new.example", Rtype::A)).unwrap()), [(1, 300)]);
}

#[test]
fn neither_a_checked_hit_nor_a_blocked_name_allocates() {
    let (wanted, table) = usual();
    let mut world = world(wanted, table);
    world.fill("www.example.com", 300);
    let mut out = Vec::with_capacity(512);
    for name in ["www.example.com", "x.ads.example", "gone.example", "hard.example"] {
        let message = ask(name, Rtype::A).message(7);
        let client = ask(name, Rtype::A).client;
        let (engine, now) = (&mut world.engine, world.now);
        assert!(engine.query(now, client, &message, &mut out), "{name}");
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                assert!(engine.query(now, client, &message, &mut out));
            }
        });
        assert_eq!(counted.count_total, 0, "{name}");
    }
}

/// Nanoseconds of this thread's processor time.
fn worked() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// The least of many rounds: what else the processor did is not in it.
fn each(mut work: impl FnMut()) -> u64 {
    let round = |work: &mut dyn FnMut()| {
        let before = worked();
        (0..2_000).for_each(|_| work());
        (worked() - before) / 2_000
    };
    (0..30).map(|_| round(&mut work)).min().unwrap()
}

#[test]
fn a_hit_that_is_checked_against_a_million_names_costs_half_a_microsecond_more_at_most() {
    let folder = Folder::new();
    let path = folder.0.join("table");
    let key = |n: u32| crate::blocklist::hash::of_text(format!("n{n}.ads{}.example", n % 1_000).as_bytes()) | 3;
    let mut keys: Vec<u64> = (0..1_000_000).map(key).collect();
    keys.sort_unstable();
    let (lists, fresh) = (vec![Listed::default()], vec![Fresh { list: 0, keys }]);
    write(&Plan { before: &Table::default(), moved: vec![], fresh, lists }, &path).unwrap();
    let mut world = world(Wanted::default(), table(&[], &[], &[]));
    world.engine.set_table(None);
    let mut out = Vec::with_capacity(512);
    let names: Vec<String> = (0..200).map(|n| format!("www.host{n}.shop{n}.example.com")).collect();
    names.iter().for_each(|name| world.fill(name, 3_000));
    let client = ask("x", Rtype::A).client;
    let messages = |names: &[String]| names.iter().map(|name| ask(name, Rtype::A).message(7)).collect::<Vec<_>>();
    let mut cost = |world: &mut World, messages: &[Vec<u8>]| {
        let (engine, now, mut at) = (&mut world.engine, world.now, 0);
        each(|| {
            at = (at + 1) % messages.len();
            assert!(engine.query(now, client, &messages[at], &mut out));
        })
    };
    let hits = messages(&names);
    let plain = cost(&mut world, &hits);
    world.engine.set_table(Table::read(&path).unwrap());
    let checked = cost(&mut world, &hits);
    let listed: Vec<String> = (0..5_000).map(|n| format!("x.n{}.ads{}.example", n * 199, n * 199 % 1_000)).collect();
    let blocked = cost(&mut world, &messages(&listed));
    let unknown =
        |n: u32| [&[5][..], format!("www{}", n % 10 + 10).as_bytes(), &[7], b"example", &[3], b"com", &[0]].concat();
    let unknown: Vec<Vec<u8>> = (0..100).map(unknown).collect();
    let (blocker, mut at) = (world.engine.blocker(), 0);
    let look = each(|| {
        at = (at + 1) % unknown.len();
        assert_eq!(blocker.marks(&unknown[at], None), None);
    });
    println!(
        "a hit {plain} ns, checked {checked}; a blocked name {blocked} ns; looking up a name of three labels {look} ns"
    );
    assert!(checked <= plain + 500, "{plain} and {checked} ns");
    assert!(blocked <= plain + 4_000, "{plain} and {blocked} ns");
}
