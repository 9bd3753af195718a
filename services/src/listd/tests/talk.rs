use super::super::engine::{Action, Ask, Counts, Engine, Event, Fetched, Kept, Now};
use crate::blocklist::merge::write;
use crate::blocklist::rules::{Counts as Rules, own};
use crate::blocklist::{Table, Verdict, hash};
use crate::house::random::Random;
use crate::perm::WallTime;
use crate::perm::blocklists::Blocklists;
use crate::perm::file::tests::Folder;
use netstack::time::Instant;
use std::path::Path;
use std::time::Duration;

const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;
const TWO: &str = r#"{"lists":[{"name":"ads","url":"https://lists.example/ads"},
    {"name":"bad","url":"https://lists.example/bad","hours":6}]}"#;

/// What a server says: names and ETag, that nothing has changed, or nothing.
enum Said {
    List(&'static [&'static str], &'static str),
    Same,
    Nothing,
    Busy(u64),
}

/// The engine, its table on a disk, and a server that answers by a rule, in seconds of virtual time.
struct Play {
    engine: Engine,
    now: u64,
    file: Blocklists,
    folder: Folder,
    asked: Vec<(u64, Ask)>,
    said: Vec<String>,
    kept: Kept,
    keys: Vec<u64>,
    full: bool,
    builds: usize,
}

fn file(text: &str) -> Blocklists {
    Blocklists::parse(Path::new("blocklists.json"), text.as_bytes()).unwrap()
}

impl Play {
    fn new(text: &str) -> Play {
        let engine = Engine::new(Instant::from_secs(1_000), Kept::default(), Random::from_seed(7));
        let mut play = Play {
            engine,
            now: 1_000,
            file: Blocklists::default(),
            folder: Folder::new(),
            asked: vec![],
            said: vec![],
            kept: Kept::default(),
            keys: vec![],
            full: false,
            builds: 0,
        };
        play.happens(Event::Clock(true), &mut |_| Said::Nothing);
        play.write(text, &mut |_| Said::Nothing);
        play
    }

    fn write(&mut self, text: &str, server: &mut dyn FnMut(&Ask) -> Said) {
        self.file = file(text);
        self.happens(Event::File(self.file.clone()), server);
    }

    /// Another life, with what is on the disk.
    fn reborn(&mut self, now: u64, server: &mut dyn FnMut(&Ask) -> Said) {
        self.now = now;
        self.engine = Engine::new(Instant::from_secs(now), self.kept.clone(), Random::from_seed(8));
        let lists = self.table().lists().to_vec();
        self.happens(Event::Table(lists), server);
        self.happens(Event::Clock(true), server);
        self.happens(Event::File(self.file.clone()), server);
    }

    fn table(&self) -> Table {
        Table::read(&self.folder.0.join("table")).unwrap().unwrap_or_default()
    }

    fn blocks(&self, name: &str) -> bool {
        let wire: Vec<u8> =
            name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).chain([0]).collect();
        matches!(self.table().marks(&wire).verdict(!0), Verdict::Blocked(_))
    }

    fn happens(&mut self, event: Event, server: &mut dyn FnMut(&Ask) -> Said) {
        let now = Now { at: Instant::from_secs(self.now), wall: WallTime::from_unix(1_800_000_000 + self.now as i64) };
        let mut actions = std::collections::VecDeque::from(self.engine.handle(now, event));
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Fetch(ask) => {
                    self.asked.push((self.now, ask.clone()));
                    let event = match server(&ask) {
                        Said::List(names, etag) => {
                            self.keys = names.iter().map(|name| hash::of_text(name.as_bytes()) | hash::AT).collect();
                            self.keys.sort_unstable();
                            let rules = Rules { rules: names.len() as u64, ..Rules::default() };
                            Event::Fresh(Fetched { etag: etag.into(), modified: String::new(), rules })
                        }
                        Said::Same => Event::Same,
                        Said::Nothing => Event::Failed("it does not answer".into(), None),
                        Said::Busy(seconds) => {
                            Event::Failed("it answers 429".into(), Some(Duration::from_secs(seconds)))
                        }
                    };
                    actions.extend(self.engine.handle(now, event));
                }
                Action::Build => {
                    self.builds += 1;
                    let built = self.build(now.wall);
                    actions.extend(self.engine.handle(now, Event::Built(built)));
                }
                Action::Remove => drop(std::fs::remove_file(self.folder.0.join("table"))),
                Action::HangUp => {}
                Action::Keep => self.kept = self.engine.kept(),
                Action::Say(words) | Action::Complain(words) => self.said.push(words),
            }
        }
    }

    fn build(&mut self, wall: WallTime) -> Result<usize, String> {
        let (keys, before) = (std::mem::take(&mut self.keys), self.table());
        let own = own(self.file.block.iter().map(String::as_str), self.file.allow.iter().map(String::as_str));
        self.engine.trust(Instant::from_secs(self.now), before.lists());
        if self.full {
            return Err("no space left on device".into());
        }
        write(&self.engine.plan(&before, own, keys, wall), &self.folder.0.join("table"))
            .map_err(|error| error.to_string())
    }

    fn pass(&mut self, seconds: u64, server: &mut dyn FnMut(&Ask) -> Said) {
        let end = self.now + seconds;
        let mut steps = 0;
        while let Some(at) = self.engine.deadline().filter(|at| *at <= Instant::from_secs(end)) {
            self.now = self.now.max(at.as_nanos().div_ceil(1_000_000_000));
            self.happens(Event::Time, server);
            steps += 1;
            assert!(steps < 10_000, "it turns without end");
        }
        self.now = end;
    }

    fn asked_for(&self, name: &str) -> usize {
        self.asked.iter().filter(|(_, ask)| ask.url.path == format!("/{name}")).count()
    }
}

fn usual(ask: &Ask) -> Said {
    match (ask.url.path.as_str(), ask.etag.as_str()) {
        ("/ads", "") => Said::List(&["a.example", "both.example"], "1"),
        ("/bad", "") => Said::List(&["b.example", "both.example"], "1"),
        _ => Said::Same,
    }
}

#[test]
fn lists_come_and_are_asked_for_again_by_their_hours() {
    let mut play = Play::new(TWO);
    play.pass(60, &mut usual);
    assert!(["a.example", "b.example", "both.example"].iter().all(|name| play.blocks(name)));
    assert_eq!(play.engine.counts(), Counts { fresh: 2, same: 0, failed: 2 });
    play.pass(10 * DAY, &mut usual);
    assert_eq!((play.asked_for("ads"), play.asked_for("bad") > 37), (1 + 1 + 9, true), "{}", play.asked_for("bad"));
    assert!(play.asked[4..].iter().all(|(_, ask)| ask.etag == "1"));
    assert_eq!(play.builds, 3, "what has not changed is not written");
    // Another life asks when it is time, not at once.
    let (asked, builds) = (play.asked.len(), play.builds);
    play.reborn(play.now + HOUR, &mut usual);
    play.pass(60, &mut usual);
    assert!(play.asked.len() <= asked + 1 && play.builds == builds && play.blocks("a.example"));
    // One that was switched off for a week asks at once.
    play.reborn(play.now + 7 * DAY, &mut usual);
    play.pass(60, &mut usual);
    assert!(play.asked.len() >= asked + 2);
}

#[test]
fn a_server_that_is_down_for_a_month_is_asked_seldom_and_its_list_holds() {
    let mut play = Play::new(TWO);
    play.pass(60, &mut usual);
    let (asked, said) = (play.asked.len(), play.said.len());
    play.pass(30 * DAY, &mut |ask| if ask.url.path == "/ads" { Said::Nothing } else { usual(ask) });
    let of_ads = play.asked[asked..].iter().filter(|(_, ask)| ask.url.path == "/ads").count();
    assert!((100..140).contains(&of_ads), "{of_ads} questions in a month");
    assert_eq!(play.said.len(), said + 1, "said once: {:?}", play.said);
    assert!(play.said[said].contains("ads (https://lists.example/ads): it does not answer; the one before holds"));
    assert!(play.blocks("a.example") && play.blocks("b.example"));
    let state = |play: &Play| play.engine.states().next().map(|state| state.is_right);
    assert_eq!(state(&play), Some(false));
    play.pass(7 * HOUR, &mut |ask| if ask.url.path == "/ads" { Said::List(&["new.example"], "2") } else { usual(ask) });
    assert!(play.blocks("new.example") && !play.blocks("a.example") && play.blocks("b.example"));
    assert_eq!((state(&play), play.said.last().map(String::as_str)), (Some(true), Some("ads is right again")));
}

#[test]
fn a_server_that_wants_to_be_left_alone_is() {
    let mut play = Play::new(r#"{"lists":[{"name":"ads","url":"https://lists.example/ads"}]}"#);
    play.pass(60, &mut |_| Said::Busy(5 * HOUR));
    let asked = play.asked.len();
    play.pass(5 * HOUR - 120, &mut |_| Said::Busy(1 << 40));
    assert_eq!(play.asked.len(), asked);
    play.pass(2 * DAY, &mut |_| Said::Busy(1 << 40));
    assert_eq!(play.asked.len(), asked + 2, "a day at most");
}

#[test]
fn a_person_changes_the_file_and_the_table_follows_at_once() {
    let mut play = Play::new(TWO);
    play.pass(60, &mut usual);
    let asked = play.asked.len();
    let changed = TWO.replace("\"lists\":[", r#""block":["mine.example"],"allow":["both.example"],"lists":["#);
    play.write(&changed, &mut usual);
    assert!(play.blocks("mine.example") && !play.blocks("both.example") && play.blocks("a.example"));
    assert_eq!(play.asked.len(), asked, "nobody is asked for that");
    // One goes, one comes; the other one is not fetched again.
    let swapped = r#"{"lists":[{"name":"new","url":"https://lists.example/new"},
        {"name":"bad","url":"https://lists.example/bad","hours":6}]}"#;
    play.write(swapped, &mut |_| Said::List(&["n.example"], "9"));
    assert!(play.blocks("n.example") && play.blocks("b.example") && !play.blocks("a.example"));
    assert_eq!((play.asked.len(), play.asked_for("new")), (asked + 1, 1));
    // The same list from elsewhere is another.
    play.write(&swapped.replace("/bad", "/worse"), &mut |_| Said::Nothing);
    assert!(!play.blocks("b.example") && play.blocks("n.example"));
    play.write("{}", &mut |_| Said::Nothing);
    assert!(!play.folder.0.join("table").exists());
}

#[test]
fn a_full_disk_leaves_the_table_before() {
    let mut play = Play::new(TWO);
    play.pass(60, &mut usual);
    play.full = true;
    play.pass(2 * DAY, &mut |_| Said::List(&["x.example"], "3"));
    assert!(play.blocks("a.example") && !play.blocks("x.example"));
    // Names of a person's own are tried again by themselves.
    let mine = TWO.replace("\"lists\":[", r#""block":["mine.example"],"lists":["#);
    play.write(&mine, &mut |_| Said::Same);
    assert!(!play.blocks("mine.example"));
    play.full = false;
    play.pass(700, &mut |_| Said::Same);
    assert!(play.blocks("mine.example") && play.blocks("a.example"));
    play.pass(DAY, &mut |_| Said::List(&["x.example"], "3"));
    assert!(play.blocks("x.example") && !play.blocks("a.example"));
}

#[test]
fn a_table_that_is_gone_is_fetched_anew() {
    let mut play = Play::new(TWO);
    play.pass(60, &mut usual);
    std::fs::remove_file(play.folder.0.join("table")).unwrap();
    // What is left is told no server to be here.
    play.pass(DAY, &mut |ask| {
        if ask.url.path == "/bad" && ask.etag == "1" { Said::List(&["c.example"], "2") } else { usual(ask) }
    });
    assert!(play.blocks("c.example") && play.blocks("a.example"));
}

#[test]
fn without_a_clock_nobody_is_asked_for_two_minutes() {
    let mut play = Play::new(TWO);
    play.engine = Engine::new(Instant::from_secs(1_000), Kept::default(), Random::from_seed(7));
    play.asked.clear();
    play.now = 1_000;
    play.happens(Event::File(file(TWO)), &mut usual);
    play.pass(119, &mut usual);
    assert!(play.asked.is_empty());
    play.pass(2, &mut usual);
    assert_eq!(play.asked.len(), 2);
}
