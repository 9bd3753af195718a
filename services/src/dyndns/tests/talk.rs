use super::super::engine::http::Answer;
use super::super::engine::kept::Kept;
use super::super::engine::provider::{Ask, Said};
use super::super::engine::{Action, Counts, Engine, Event, Now};
use super::config::records;
use crate::house::random::Random;
use crate::perm::WallTime;
use netstack::time::Instant;
use proptest::prelude::*;
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;
const DYNDNS2: &str =
    r#"{"dyndns2":{"server":"dyn.example","username":"me","password":"pw"},"record_name":"a.example"}"#;
const CLOUDFLARE: &str =
    r#"{"cloudflare":{"api_token":"t"},"zone":"b.net","record_name":"a.b.net","record_ttl_seconds":300}"#;

/// The engine and a provider that answers by a rule, in seconds of virtual time.
struct Play {
    engine: Engine,
    now: u64,
    entries: String,
    asked: Vec<(u64, String)>,
    said: Vec<String>,
    kept: Kept,
}

impl Play {
    fn new(entries: &str) -> Play {
        Play::again(entries, Kept::default(), 1_000)
    }

    fn again(entries: &str, kept: Kept, now: u64) -> Play {
        let engine = Engine::new(Instant::from_secs(now), kept.clone(), Random::from_seed(7));
        let mut play = Play { engine, now, entries: entries.into(), asked: vec![], said: vec![], kept };
        play.happens(Event::Clock(true), &mut |_| None);
        play.happens(Event::Records(records(entries)), &mut |_| None);
        play
    }

    fn happens(&mut self, event: Event, provider: &mut dyn FnMut(&str) -> Option<(u16, &'static str)>) {
        let now = Now { at: Instant::from_secs(self.now), wall: WallTime::from_unix(1_700_000_000 + self.now as i64) };
        let mut actions = std::collections::VecDeque::from(self.engine.handle(now, event));
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Ask(_, Ask::Https(request)) => {
                    let text = String::from_utf8(request).unwrap();
                    self.asked.push((self.now, text.clone()));
                    let event = match provider(&text) {
                        Some((status, body)) => {
                            Event::Answer(Said::Http(Answer { status, retry_after: None, body: body.into() }))
                        }
                        None => Event::Failed("it does not answer".into()),
                    };
                    actions.extend(self.engine.handle(now, event));
                }
                Action::Ask(_, Ask::Dns(message)) => panic!("{message:?}"),
                Action::HangUp => {}
                Action::Keep => self.kept = self.engine.kept(),
                Action::Say(words) | Action::Complain(words) => self.said.push(words),
            }
        }
    }

    fn addresses(&mut self, addresses: &[&str], provider: &mut dyn FnMut(&str) -> Option<(u16, &'static str)>) {
        let all = addresses.iter().map(|text| text.parse().map_err(|_| format!("{text} is none"))).collect();
        self.happens(Event::Addresses(all), provider);
    }

    /// Time passes, deadline by deadline.
    fn pass(&mut self, seconds: u64, provider: &mut dyn FnMut(&str) -> Option<(u16, &'static str)>) {
        let end = self.now + seconds;
        let mut steps = 0;
        while let Some(at) = self.engine.deadline().filter(|at| *at <= Instant::from_secs(end)) {
            self.now = self.now.max(at.as_nanos().div_ceil(1_000_000_000));
            self.happens(Event::Time, provider);
            steps += 1;
            assert!(steps < 100_000, "it turns without end");
        }
        self.now = end;
    }
}

#[test]
fn an_address_is_told_once_and_after_a_boot_not_again() {
    let mut good = |_: &str| Some((200, "good 203.0.113.9"));
    let mut play = Play::new(DYNDNS2);
    play.addresses(&["203.0.113.9"], &mut good);
    let (_, request) = &play.asked[0];
    assert!(
        request.starts_with("GET /nic/update?hostname=a.example&myip=203.0.113.9 HTTP/1.1\r\nHost: dyn.example\r\n")
    );
    assert!(request.contains("\r\nAuthorization: Basic bWU6cHc=\r\n"), "{request}");
    assert_eq!(play.said, ["a.example A (dyndns2) is 203.0.113.9"]);
    play.pass(20 * DAY, &mut good);
    assert_eq!(play.asked.len(), 1, "nothing has changed");
    let mut next = Play::again(DYNDNS2, play.kept.clone(), 10);
    // By now's clock, which has gone on.
    next.now = play.now;
    next.addresses(&["203.0.113.9"], &mut good);
    assert_eq!(next.asked.len(), 0, "known from before the boot");
    next.pass(26 * DAY, &mut good);
    assert_eq!(next.asked.len(), 1, "said again before it is forgotten");
    next.addresses(&["203.0.113.10"], &mut good);
    next.pass(MINUTE, &mut good);
    assert_eq!(next.asked.len(), 2);
    assert_eq!(next.engine.counts(), Counts { published: 2, later: 0, refused: 0 });
    // An entry that was changed is another one.
    let mut changed = Play::again(&DYNDNS2.replace("pw", "px"), play.kept, 10);
    changed.addresses(&["203.0.113.9"], &mut good);
    assert_eq!(changed.asked.len(), 1);
}

#[test]
fn a_line_that_comes_and_goes_is_not_told_each_time() {
    let mut good = |_: &str| Some((200, "good"));
    let mut play = Play::new(DYNDNS2);
    play.addresses(&["203.0.113.1"], &mut good);
    for at in 0..600 {
        play.addresses(&[&format!("203.0.113.{}", 2 + at % 7)], &mut good);
        play.pass(1, &mut good);
    }
    assert_eq!(play.asked.len(), 1, "none has stayed for 5 seconds");
    for at in 0..60 {
        play.addresses(&[&format!("203.0.113.{}", 2 + at % 7)], &mut good);
        play.pass(10, &mut good);
    }
    assert!((8..=12).contains(&play.asked.len()), "once a minute: {}", play.asked.len());
    play.addresses(&["none"], &mut good);
    play.pass(DAY, &mut good);
    let before = play.asked.len();
    play.pass(DAY, &mut good);
    assert_eq!(play.asked.len(), before, "without an address there is nothing to tell");
}

#[test]
fn a_provider_in_trouble_for_a_week_is_asked_less_and_less_and_then_told() {
    let mut trouble = |_: &str| Some((500, "<html>oops</html>"));
    let mut play = Play::new(DYNDNS2);
    play.addresses(&["203.0.113.9"], &mut trouble);
    play.pass(7 * DAY, &mut trouble);
    let gaps: Vec<u64> = play.asked.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps.iter().all(|gap| (MINUTE..=HOUR + HOUR / 8).contains(gap)), "{gaps:?}");
    assert!((140..=190).contains(&play.asked.len()), "{} questions in a week", play.asked.len());
    assert_eq!(play.said.len(), 1, "said once: {:?}", play.said);
    play.pass(2 * HOUR, &mut |_| None);
    assert_eq!(play.said.len(), 2, "gone is something else than in trouble");
    play.pass(2 * HOUR, &mut |_| Some((200, "good")));
    assert_eq!(play.said[2], "a.example A (dyndns2) is 203.0.113.9");
    assert_eq!(play.engine.settled(), Some(true));
}

#[test]
fn who_forbids_is_obeyed_until_the_entry_changes() {
    for word in ["badauth", "abuse", "nohost", "notfqdn", "badagent", "numhost", "!donator"] {
        let mut forbids = |_: &str| Some((200, word));
        let mut play = Play::new(DYNDNS2);
        play.addresses(&["203.0.113.9"], &mut forbids);
        play.pass(30 * DAY, &mut forbids);
        play.addresses(&["203.0.113.10"], &mut forbids);
        play.pass(30 * DAY, &mut forbids);
        assert_eq!(play.asked.len(), 1, "{word}");
        assert!(play.said[0].contains("is not asked again before its entry"), "{:?}", play.said);
        let mut next = Play::again(DYNDNS2, play.kept.clone(), play.now);
        next.addresses(&["203.0.113.10"], &mut forbids);
        assert_eq!((next.asked.len(), next.engine.settled()), (0, Some(false)), "{word} is known after a boot");
        next.happens(Event::Records(records(&DYNDNS2.replace("pw", "px"))), &mut forbids);
        next.addresses(&["203.0.113.10"], &mut |_| Some((200, "good")));
        assert_eq!((next.asked.len(), next.engine.settled()), (1, Some(true)), "{word}");
    }
    // Their trouble is no misuse of ours: half an hour at least.
    let mut play = Play::new(DYNDNS2);
    play.addresses(&["203.0.113.9"], &mut |_| Some((200, "911")));
    play.pass(30 * MINUTE - 1, &mut |_| None);
    assert_eq!(play.asked.len(), 1);
    play.pass(10 * MINUTE, &mut |_| Some((200, "nochg 203.0.113.9")));
    assert_eq!(play.asked.len(), 2);
}

#[test]
fn cloudflare_is_asked_for_what_it_has_before_it_is_told() {
    let zones = r#"{"success":true,"result":[{"id":"z1","name":"b.net"}]}"#;
    let mut asked = Vec::new();
    let mut there = |request: &str| {
        asked.push(request.split("\r\n").next().unwrap().to_owned());
        Some((
            200,
            if request.contains("dns_records?") {
                r#"{"success":true,"result":[{"id":"r1","type":"A","name":"a.b.net","content":"203.0.113.1"}]}"#
            } else if request.starts_with("GET") {
                zones
            } else {
                r#"{"success":true,"result":{"id":"r1"}}"#
            },
        ))
    };
    let mut play = Play::new(CLOUDFLARE);
    play.addresses(&["203.0.113.9"], &mut there);
    assert_eq!(play.engine.settled(), Some(true));
    let body = &play.asked[2].1;
    let json: serde_json::Value = serde_json::from_str(body.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(json, serde_json::json!({"type": "A", "name": "a.b.net", "content": "203.0.113.9", "ttl": 300}));
    play.addresses(&["203.0.113.1"], &mut there);
    play.pass(MINUTE, &mut there);
    assert_eq!(
        asked,
        [
            "GET /client/v4/zones?name=b.net HTTP/1.1",
            "GET /client/v4/zones/z1/dns_records?type=A&name=a.b.net HTTP/1.1",
            "PATCH /client/v4/zones/z1/dns_records/r1 HTTP/1.1",
            "GET /client/v4/zones?name=b.net HTTP/1.1",
            "GET /client/v4/zones/z1/dns_records?type=A&name=a.b.net HTTP/1.1",
        ],
        "what is right already is left as it is"
    );
    let mut empty =
        |request: &str| Some((200, if request.contains("zones?") { zones } else { r#"{"success":true,"result":[]}"# }));
    let mut play = Play::new(CLOUDFLARE);
    play.addresses(&["203.0.113.9"], &mut empty);
    assert!(play.asked[2].1.starts_with("POST /client/v4/zones/z1/dns_records HTTP/1.1"));
    // A token that is wrong: after an hour, and less and less often.
    let mut no =
        |_: &str| Some((403, r#"{"success":false,"errors":[{"code":9109,"message":"Invalid access token"}]}"#));
    let mut play = Play::new(CLOUDFLARE);
    play.addresses(&["203.0.113.9"], &mut no);
    play.pass(7 * DAY, &mut no);
    assert!((8..=14).contains(&play.asked.len()), "{}", play.asked.len());
    assert!(play.said.len() == 1 && play.said[0].contains("Invalid access token"), "{:?}", play.said);
}

#[test]
fn the_simple_ones_leave_the_other_family_alone() {
    let entries = r#"{"desec":{"token":"t"},"record_name":"a.dedyn.io"},
        {"desec":{"token":"t"},"record_name":"a.dedyn.io","type":"AAAA"},
        {"duckdns":{"token":"t"},"record_name":"a"},{"duckdns":{"token":"t"},"record_name":"a","type":"AAAA"}"#;
    let mut good = |request: &str| Some((200, if request.contains("duckdns") { "OK" } else { "good" }));
    let mut play = Play::new(entries);
    play.addresses(&["203.0.113.9", "2001:db8::9", "203.0.113.9", "2001:db8::9"], &mut good);
    let lines: Vec<&str> = play.asked.iter().map(|(_, text)| text.split(" HTTP").next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "GET /?hostname=a.dedyn.io&myipv4=203.0.113.9&myipv6=preserve",
            "GET /?hostname=a.dedyn.io&myipv4=preserve&myipv6=2001%3Adb8%3A%3A9",
            "GET /update?domains=a&token=t&ip=203.0.113.9",
            "GET /update?domains=a&token=t&ipv6=2001%3Adb8%3A%3A9",
        ]
    );
    assert_eq!(play.engine.settled(), Some(true));
    assert!(play.asked[0].1.contains("\r\nAuthorization: Token t\r\n"));
    let mut play = Play::new(r#"{"duckdns":{"token":"t"},"record_name":"a"}"#);
    play.addresses(&["203.0.113.9"], &mut |_| Some((200, "KO")));
    play.pass(HOUR - 1, &mut |_| None);
    assert_eq!((play.asked.len(), play.engine.settled()), (1, Some(false)));
}

#[test]
fn nobody_is_asked_before_the_clock_is_right_unless_it_never_is() {
    let mut good = |_: &str| Some((200, "good"));
    let mut play = Play::new(DYNDNS2);
    play.happens(Event::Clock(false), &mut good);
    play.addresses(&["203.0.113.9"], &mut good);
    play.pass(119, &mut good);
    assert_eq!(play.asked.len(), 0);
    play.pass(1, &mut good);
    assert_eq!(play.asked.len(), 1);
}

#[test]
fn what_a_new_address_makes_useless_is_dropped() {
    let mut play = Play::new(DYNDNS2);
    let now = Now { at: Instant::from_secs(play.now), wall: WallTime::from_unix(1_700_000_000) };
    let begun = play.engine.handle(now, Event::Addresses(vec![Ok("203.0.113.1".parse().unwrap())]));
    assert!(matches!(begun.as_slice(), [Action::Ask(..)]), "{begun:?}");
    assert_eq!(play.engine.deadline(), None, "an answer is waited for");
    let moved = play.engine.handle(now, Event::Addresses(vec![Ok("203.0.113.2".parse().unwrap())]));
    assert_eq!(moved, [Action::HangUp]);
    // The answer that comes all the same is nobody's.
    let late = Event::Answer(Said::Http(Answer { status: 200, retry_after: None, body: b"good".to_vec() }));
    assert_eq!(play.engine.handle(now, late), []);
    assert_eq!(play.engine.deadline(), Some(Instant::from_secs(play.now) + Duration::from_secs(60)));
    play.pass(MINUTE, &mut |_| Some((200, "good")));
    assert!(play.asked[0].1.contains("myip=203.0.113.2"));
    assert!(!play.entries.is_empty());
}

proptest! {
    #[test]
    fn any_answer_is_met_and_none_is_success_by_chance(status in 0_u16..700, body: String, choice in 0_usize..3) {
        let entries = [DYNDNS2, CLOUDFLARE, r#"{"duckdns":{"token":"t"},"record_name":"a"}"#];
        prop_assume!(!["good", "nochg", "OK"].iter().any(|word| body.trim_start().starts_with(word)));
        let body: &'static str = Box::leak(body.into_boxed_str());
        let mut play = Play::new(entries[choice]);
        play.addresses(&["203.0.113.9"], &mut |_| Some((status, body)));
        prop_assert_eq!(play.engine.settled(), Some(false));
        prop_assert!(play.said.iter().all(|words| words.len() < 1_000 && !words.contains('\n')));
    }
}
