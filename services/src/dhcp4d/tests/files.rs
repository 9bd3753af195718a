//! The files: what is promised outlives every end; damage, edits by hand, disks that refuse, logs made anew.
use super::super::background::Background;
use super::super::journal::Journal;
use super::super::snapshot::Snapshot;
use super::*;
use crate::perm::lease_log::{Client6, Entry, Given6, MAGIC, Records};
use netstack::event::{Loop, Token};
use std::path::PathBuf;

struct Files {
    folder: Folder,
    boot: &'static str,
}

impl Files {
    fn new() -> Files {
        Files { folder: Folder::new(), boot: "first" }
    }

    fn log(&self) -> PathBuf {
        self.folder.0.join("leases.log")
    }

    fn json(&self) -> PathBuf {
        self.folder.0.join("leases.json")
    }

    /// A start at a moment.
    fn start(&self, now: Instant, wall: WallTime) -> (Scene, Journal, bool) {
        let mut scene = Scene::with(Subnet::new(SERVER, 16));
        scene.now = now;
        let clock = Clock { boot: self.boot.into(), now, wall };
        let (journal, stale) = recovery::recover(&self.log(), &self.json(), &clock, &mut scene.engine);
        (scene, journal, stale)
    }

    fn obstacle(&self, name: &str) -> PathBuf {
        // A folder in the temporary file's place makes the write fail as a full disk would.
        let path = self.folder.0.join(name);
        std::fs::create_dir(&path).unwrap();
        path
    }
}

/// A promise that reaches the disk.
fn promise(scene: &mut Scene, journal: &mut Journal, number: u8, host: u8) -> bool {
    assert_eq!(scene.request(mac(number), lan(host)), Some(lan(host)));
    let changed = std::mem::take(&mut scene.output.changed);
    changed.iter().for_each(|address| journal.append(&scene.engine.entry(*address)));
    journal.commit(scene.now, &scene.engine)
}

#[test]
fn what_is_committed_is_there_after_a_kill_and_after_another_boot() {
    let mut files = Files::new();
    let (mut scene, mut journal, _) = files.start(BEGIN, WALL);
    for number in 1..=20 {
        assert!(promise(&mut scene, &mut journal, number, 100 + number));
    }
    assert!(promise(&mut scene, &mut journal, 1, 150), "it moves");
    let before = scene.leases();
    drop(journal);
    // Killed: no leases.json was written. The same boot, whose wall clock was set meanwhile.
    let (again, journal, stale) = files.start(scene.now + Duration::from_secs(10), WallTime::from_unix(7));
    assert!(stale && journal.has_file());
    assert_eq!(again.leases(), before, "by the boot's own clock");
    drop(journal);
    // Another boot, five minutes later by the wall clock.
    files.boot = "second";
    let (mut after, journal, _) = files.start(Instant::from_secs(5), WALL.after(Duration::from_secs(300)));
    drop(journal);
    assert_eq!(after.leases().len(), 20);
    assert_eq!(after.request(mac(99), lan(102)), None);
    after.pass(901);
    assert_eq!(after.request(mac(99), lan(102)), Some(lan(102)), "900 s were left of it");
}

#[test]
fn what_dhcpv6_has_given_is_there_after_a_kill_another_boot_and_in_a_log_made_anew() {
    let mut files = Files::new();
    let (mut scene, mut journal, _) = files.start(BEGIN, WALL);
    let given = |number: u8| Given6 {
        client: Client6 { lan: "lan0".into(), duid: vec![0, 3, 0, 1, number], iaid: 7 },
        iid: 0x7000_0000 + u64::from(number),
        expiry: super::super::engine::table::stamp(BEGIN) + 1_000_000_000_000,
    };
    assert!(scene.engine.six.restore(BEGIN, given(1), false));
    assert!(journal.commit(BEGIN, &scene.engine), "the log is made, with what there is");
    for number in 2..=3 {
        journal.append(&Entry::Given6(given(number)));
    }
    journal.append(&Entry::Gone6(given(2).client));
    assert!(journal.commit(BEGIN, &scene.engine));
    drop(journal);
    let (again, journal, _) = files.start(BEGIN + Duration::from_secs(10), WallTime::from_unix(7));
    assert_eq!(again.engine.six.entries().collect::<Vec<_>>(), [given(1), given(3)]);
    drop(journal);
    // Another boot, five minutes later by the wall clock, and a disk that fails: the log is made anew of what is known.
    files.boot = "second";
    let now = Instant::from_secs(5);
    let (after, mut journal, _) = files.start(now, WALL.after(Duration::from_secs(300)));
    let left = super::super::engine::table::stamp(now) + 700_000_000_000;
    assert!(after.engine.six.entries().all(|given| given.expiry == left));
    std::fs::remove_file(files.log()).unwrap();
    drop(journal);
    journal = Journal::new(files.log(), "second".into(), ZERO, [0; 2], None);
    assert!(journal.commit(now, &after.engine));
    let (anew, ..) = files.start(now, WALL);
    assert_eq!(anew.engine.six.entries().count(), 2);
}

#[test]
fn a_record_cut_in_half_costs_what_was_never_acknowledged() {
    let files = Files::new();
    let (mut scene, mut journal, _) = files.start(BEGIN, WALL);
    for number in 1..=5 {
        promise(&mut scene, &mut journal, number, 100 + number);
    }
    drop(journal);
    let bytes = std::fs::read(files.log()).unwrap();
    let mut records = Records::new(&bytes[MAGIC.len()..]);
    while records.next().is_some() {}
    let end = MAGIC.len() + records.used;
    for cut in [end - 1, end - 20] {
        std::fs::write(files.log(), &bytes[..cut]).unwrap();
        let (mut after, mut journal, _) = files.start(BEGIN + Duration::from_secs(9), WALL);
        assert_eq!(after.leases().len(), 4, "cut at {cut}");
        assert!(!journal.has_file(), "it is made anew");
        assert!(promise(&mut after, &mut journal, 7, 77));
        drop(journal);
        let (whole, ..) = files.start(BEGIN + Duration::from_secs(9), WALL);
        assert_eq!(whole.leases().len(), 5);
    }
    std::fs::write(files.log(), b"nonsense").unwrap();
    let (nothing, ..) = files.start(BEGIN, WALL);
    assert!(nothing.leases().is_empty());
    assert!(files.folder.0.join("leases.log.refused").exists(), "kept for whoever can read it");
}

/// Runs the file's writer to its end.
fn write(scene: &Scene, journal: &mut Journal, files: &Files) -> bool {
    let mut snapshot = Snapshot::new(files.json());
    snapshot.touch(scene.now, scene.engine.len());
    snapshot.finish(scene.now, &scene.engine, journal)
}

#[test]
fn leases_json_is_router7s_and_an_edit_by_hand_counts() {
    let files = Files::new();
    let (mut scene, mut journal, _) = files.start(BEGIN, WALL);
    for number in 1..=3 {
        promise(&mut scene, &mut journal, number, 100 + number);
    }
    assert!(write(&scene, &mut journal, &files));
    let text = std::fs::read(files.json()).unwrap();
    assert_eq!(text, json::write_indented(&scene.leases()), "byte for byte");
    drop(journal);
    let later = BEGIN + Duration::from_secs(60);
    let (same, journal, stale) = files.start(later, WALL.after(Duration::from_secs(60)));
    assert!(!stale && journal.has_file() && same.leases() == scene.leases());
    drop(journal);
    // A person makes one lease static, gives another a name and adds a third.
    let mut leases = scene.leases();
    leases[0].expiry = WallTime::default();
    leases[1].hostname_override = "study".into();
    leases[1].hostname = "study".into();
    leases.push(record(mac(9), lan(250), WallTime::default()));
    std::fs::write(files.json(), json::write_indented(&leases)).unwrap();
    let (edited, mut journal, _) = files.start(later, WALL.after(Duration::from_secs(60)));
    let of = |scene: &Scene, number| scene.record(mac(number)).unwrap();
    assert!(of(&edited, 1).is_static() && of(&edited, 9).is_static());
    assert_eq!((of(&edited, 2).hostname_override.as_str(), of(&edited, 3)), ("study", of(&scene, 3)));
    // And takes the static ones away again.
    assert!(journal.commit(later, &edited.engine));
    assert!(write(&edited, &mut journal, &files));
    drop(journal);
    let leases: Vec<Lease> = edited.leases().into_iter().filter(|lease| !lease.is_static()).collect();
    std::fs::write(files.json(), json::write_indented(&leases)).unwrap();
    let (gone, ..) = files.start(later, WALL.after(Duration::from_secs(60)));
    assert!(gone.record(mac(9)).is_none() && gone.record(mac(1)).is_none() && gone.leases().len() == 2);
    // Something is promised and the power goes before the file is written: it is behind, and is written.
    let now = WALL.after(Duration::from_secs(60));
    let (all, mut journal, _) = files.start(later, now);
    journal.commit(later, &all.engine);
    write(&all, &mut journal, &files);
    drop(journal);
    let (.., stale) = files.start(later, now);
    assert!(!stale, "nothing was promised since");
    let (mut more, mut journal, _) = files.start(later, now);
    promise(&mut more, &mut journal, 4, 104);
    drop(journal);
    let (_, _, stale) = files.start(later, now);
    assert!(stale);
}

#[test]
fn what_two_cuts_kept_from_its_place_makes_no_edit_of_what_lies_there() {
    let mut files = Files::new();
    let (mut scene, mut journal, _) = files.start(BEGIN, WALL);
    promise(&mut scene, &mut journal, 1, 101);
    assert!(write(&scene, &mut journal, &files));
    for (boot, name) in [("second", "study"), ("third", "attic"), ("fourth", "shed")] {
        for address in scene.engine.rename(scene.now, mac(1), name) {
            journal.append(&scene.engine.entry(address));
        }
        assert!(journal.commit(scene.now, &scene.engine), "it is acknowledged");
        // A new leases.json is announced, and the power goes before it has its name.
        journal.append(&Entry::File(name.len() as u64));
        assert!(journal.commit(scene.now, &scene.engine));
        drop(journal);
        files.boot = boot;
        let stale;
        (scene, journal, stale) = files.start(BEGIN, WALL);
        assert_eq!(scene.record(mac(1)).unwrap().hostname_override, name);
        assert!(stale, "the file is behind");
    }
}

#[test]
fn leases_json_is_written_between_the_turns_and_left_alone_while_it_is_synced() {
    let files = Files::new();
    let (mut scene, mut journal, _) = files.start(BEGIN, WALL);
    let mut turn = Loop::new().unwrap();
    let mut background = Background::open(&turn, Token(1)).unwrap();
    let mut snapshot = Snapshot::new(files.json());
    for round in 1..=20u8 {
        for number in 0..200 {
            scene.say(
                &Words::new(REQUEST, Mac([2, 0, 0, 0, round, number])).requested([192, 168, round, number].into()),
            );
        }
        snapshot.touch(scene.now, scene.engine.len());
        scene.pass(3_600);
        // Turns go on while the disk is at it.
        let mut replaced = false;
        while !replaced {
            snapshot.work(scene.now, &scene.engine, &mut journal, &background);
            snapshot.work(scene.now, &scene.engine, &mut journal, &background);
            if snapshot.is_syncing() {
                let mut events = Vec::new();
                turn.wait(None, &mut events).unwrap();
                snapshot.work(scene.now, &scene.engine, &mut journal, &background);
                for (_, result) in background.ended() {
                    result.unwrap();
                    replaced |= snapshot.ended(scene.now, Ok(()));
                }
            }
        }
        assert_eq!(std::fs::read(files.json()).unwrap(), json::write_indented(&scene.leases()), "round {round}");
    }
}

#[test]
fn a_file_that_is_no_list_of_leases_is_put_aside() {
    let files = Files::new();
    std::fs::write(files.json(), "[{\"addr\": 7}]").unwrap();
    let (scene, ..) = files.start(BEGIN, WALL);
    assert!(scene.leases().is_empty());
    assert!(files.folder.0.join("leases.json.refused").exists() && !files.json().exists());
}

#[test]
fn a_disk_that_refuses_is_said_and_tried_again() {
    let files = Files::new();
    let (mut scene, mut journal, _) = files.start(BEGIN, WALL);
    let obstacle = files.obstacle(".leases.log.new");
    assert!(!promise(&mut scene, &mut journal, 1, 101));
    assert!(journal.is_refused());
    assert_eq!(journal.deadline(), Some(scene.now + Duration::from_secs(60)));
    assert!(!promise(&mut scene, &mut journal, 2, 102));
    std::fs::remove_dir(obstacle).unwrap();
    scene.pass(3);
    assert!(promise(&mut scene, &mut journal, 3, 103), "it takes all that was promised meanwhile");
    assert!(!journal.is_refused() && journal.deadline().is_none());
    drop(journal);
    let (after, ..) = files.start(scene.now, WALL);
    assert_eq!(after.leases().len(), 3);
}

#[test]
fn a_log_made_anew_between_the_turns_loses_nothing() {
    let files = Files::new();
    let (mut scene, mut journal, _) = files.start(BEGIN, WALL);
    let mut turn = Loop::new().unwrap();
    let mut background = Background::open(&turn, Token(1)).unwrap();
    for number in 2..=200 {
        promise(&mut scene, &mut journal, number, number);
    }
    let mut made = 0;
    let mut host = 0u8;
    while made < 2 {
        // Renewals until the past outweighs the present, and while the new log is made.
        host = if host < 200 { host.max(1) + 1 } else { 2 };
        let (address, words) = (lan(host), Words::new(REQUEST, mac(host)).requested(lan(host)));
        scene.say(&words).unwrap();
        for _ in 0..200 {
            journal.append(&scene.engine.entry(address));
        }
        assert!(journal.commit(scene.now, &scene.engine));
        scene.pass(1);
        let inode = |path: PathBuf| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
        let before = inode(files.log());
        if journal.has_work() {
            while journal.has_work() {
                journal.work(&scene.engine, &background);
            }
            // One more while the disk is at it.
            scene.say(&Words::new(REQUEST, mac(250)).requested(Ipv4Addr::new(192, 168, 7, made + 1))).unwrap();
            let changed = std::mem::take(&mut scene.output.changed);
            changed.iter().for_each(|address| journal.append(&scene.engine.entry(*address)));
            assert!(journal.commit(scene.now, &scene.engine));
            let mut events = Vec::new();
            turn.wait(None, &mut events).unwrap();
            background.ended().into_iter().for_each(|(_, result)| journal.ended(result));
            assert_ne!(inode(files.log()), before, "another file has its place");
            made += 1;
        }
    }
    assert!(std::fs::metadata(files.log()).unwrap().len() < 1 << 20);
    let mut whole: Vec<Lease> = scene.leases();
    drop(journal);
    let (after, ..) = files.start(scene.now, WALL);
    let mut found = after.leases();
    whole.sort_by_key(|lease| lease.addr);
    found.sort_by_key(|lease| lease.addr);
    assert_eq!(found, whole);
}

proptest! {
    /// Whatever bytes the log ends with: what stood before them holds, and the service goes on.
    #[test]
    fn any_bytes_behind_the_log(tail in prop::collection::vec(any::<u8>(), 0..80)) {
        let files = Files::new();
        let mut bytes = MAGIC.to_vec();
        Entry::Clock { boot: "first".into(), wall: ZERO }.write(&mut bytes);
        let mut scene = Scene::new();
        scene.request(mac(1), lan(9));
        scene.engine.entry(lan(9)).write(&mut bytes);
        bytes.extend(&tail);
        std::fs::write(files.log(), &bytes).unwrap();
        let (mut after, mut journal, _) = files.start(BEGIN, WALL);
        prop_assert_eq!(after.leases(), scene.leases());
        prop_assert!(promise(&mut after, &mut journal, 2, 10));
        drop(journal);
        prop_assert_eq!(files.start(BEGIN, WALL).0.leases().len(), 2);
    }
}
