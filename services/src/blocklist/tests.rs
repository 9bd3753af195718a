//! Lists of every form, and the table against a reference that compares names as text.
use super::hash::{AT, BELOW, EXCEPT, IMPORTANT};
use super::merge::{Fresh, Plan, write};
use super::rules::{Counts, Reader, own};
use super::*;
use crate::perm::file::tests::Folder;
use proptest::prelude::*;
use std::path::Path;

fn wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

fn keys(text: &str) -> (Vec<u64>, Counts) {
    let mut reader = Reader::default();
    reader.read(text.as_bytes(), 1_000).unwrap();
    reader.finish(1_000).unwrap()
}

fn listed(name: &str) -> Listed {
    Listed { name: name.into(), url: format!("https://lists.example/{name}"), ..Listed::default() }
}

/// A table of these lists, the first of which is a person's own.
fn table(path: &Path, lists: &[&str]) -> Table {
    let fresh = lists.iter().enumerate().map(|(list, text)| Fresh { list, keys: keys(text).0 }).collect();
    let names = (0..lists.len()).map(|at| listed(&format!("l{at}"))).collect();
    write(&Plan { before: &Table::default(), moved: vec![], fresh, lists: names }, path).unwrap();
    Table::read(path).unwrap().unwrap()
}

#[test]
fn every_form_of_a_line() {
    let folder = Folder::new();
    let table = table(
        &folder.0.join("table"),
        &["\u{feff}! adguard\r\n[Adblock Plus 2.0]\n||ads.example^\n||*.below.example^\n|only.example^|\n\
          @@||good.ads.example^\n||hard.example^$important\n@@||firm.hard.example^$important\n||zip^\n\
          # hosts\n0.0.0.0 Host.Example host2.example # both\n127.0.0.1 localhost\n::1 localhost.localdomain\n\
          :: six.example\n192.0.2.1 machine.example\n0.0.0.0 0.0.0.0\nplain.example.\n*.wild.example\n.dot.example\n\
          word\n/ads[0-9]+/\nexample.org##.banner\n||third.example^$third-party\n||path.example/ads.js\n\
          ||part*.example^\nünï.example\n192.0.2.7\nno list at all\nlast.example"],
    );
    let verdict = |name: &str| table.marks(&wire(name)).verdict(!0);
    let blocked = Verdict::Blocked(0);
    for (name, want) in [
        ("ads.example", blocked),
        ("a.b.ads.example", blocked),
        ("xads.example", Verdict::Free),
        ("good.ads.example", Verdict::Excepted),
        ("x.good.ads.example", Verdict::Excepted),
        ("below.example", Verdict::Free),
        ("x.below.example", blocked),
        ("only.example", blocked),
        ("x.only.example", Verdict::Free),
        ("x.hard.example", blocked),
        ("firm.hard.example", Verdict::Excepted),
        ("file.zip", blocked),
        ("host.example", blocked),
        ("host2.example", blocked),
        ("x.host.example", Verdict::Free),
        ("six.example", blocked),
        ("plain.example", blocked),
        ("wild.example", blocked),
        ("x.wild.example", blocked),
        ("x.dot.example", blocked),
        ("last.example", blocked),
        ("machine.example", Verdict::Free),
        ("localhost.localdomain", Verdict::Free),
        ("localhost", Verdict::Free),
        ("third.example", Verdict::Free),
        ("path.example", Verdict::Free),
        ("example", Verdict::Free),
        ("", Verdict::Free),
    ] {
        assert_eq!(verdict(name), want, "{name}");
    }
}

#[test]
fn what_is_passed_over_is_counted_and_what_is_no_list_is_refused() {
    let (_, counts) =
        keys("||a.example^\n/re/\nb.example\n||c.example^$client=x\n<p>\n! comment\n\n0.0.0.0 localhost\n");
    assert_eq!(counts, Counts { rules: 2, others: 3, rubbish: 1 });
    let refused = |bytes: &[u8]| {
        let mut reader = Reader::default();
        reader.read(bytes, 1_000).and_then(|()| reader.finish(1_000)).unwrap_err()
    };
    let expressions: String = (0..10_000).map(|n| format!("/^ad{n}[a-z]+\\.(com|net)$/\n")).collect();
    assert!(refused(expressions.as_bytes()).contains("no name in it (10000 lines of another kind"));
    assert!(refused(b"<html>\n<head>\n<title>Sign in</title>\n<p>hotel.example\n").contains("no name in it"));
    assert!(refused(b"hotel.example\n<html>\n<b>\n").contains("it is no list: 2 lines say nothing, 1 do"));
    assert!(refused(b"").contains("no name in it"));
    let many: String = (0..2_000).map(|n| format!("n{n}.example\n")).collect();
    assert_eq!(refused(many.as_bytes()), "it has more than 1000 names");
    let few: String = (0..9_000).map(|n| format!("n{}.example\n", n % 900)).collect();
    assert_eq!(keys(&few).0.len(), 900, "a name that is said ten times is one");
    // A line without an end costs no memory and spoils nothing.
    let mut reader = Reader::default();
    for _ in 0..1_000 {
        reader.read(&[b'a'; 1_000], 10).unwrap();
    }
    reader.read(b"\nfine.example\n", 10).unwrap();
    assert_eq!(reader.finish(10).unwrap().1, Counts { rules: 1, others: 1, rubbish: 0 });
}

#[test]
fn lists_come_go_and_are_renewed_by_themselves() {
    let folder = Folder::new();
    let path = folder.0.join("nobackup/table");
    let before = table(&path, &["mine.example", "||a.example^\n||both.example^", "||b.example^\n||both.example^"]);
    let of = |table: &Table, name: &str, lists: u32| table.marks(&wire(name)).verdict(lists);
    assert_eq!(of(&before, "both.example", !0), Verdict::Blocked(1));
    assert_eq!(of(&before, "both.example", 0b100), Verdict::Blocked(2));
    assert_eq!(of(&before, "a.example", 0b100), Verdict::Free);
    // The second list is new, the third becomes the second, and a person's own are others.
    let fresh = vec![
        Fresh { list: 0, keys: own(["x.example"].into_iter(), ["both.example"].into_iter()) },
        Fresh { list: 2, keys: keys("||new.example^").0 },
    ];
    let lists = vec![listed("l0"), listed("l2"), listed("l1")];
    write(&Plan { before: &before, moved: vec![None, None, Some(1)], fresh, lists: lists.clone() }, &path).unwrap();
    let after = Table::read(&path).unwrap().unwrap();
    for (name, want) in [
        ("mine.example", Verdict::Free),
        ("a.example", Verdict::Free),
        ("b.example", Verdict::Blocked(1)),
        ("new.example", Verdict::Blocked(2)),
        ("sub.x.example", Verdict::Blocked(0)),
        ("sub.both.example", Verdict::Excepted),
    ] {
        assert_eq!(of(&after, name, !0), want, "{name}");
    }
    assert_eq!((after.lists(), after.len()), (&lists[..], 4));
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "a temporary file is left");
    assert!(Table::read(&folder.0.join("none")).unwrap().is_none());
}

#[test]
fn a_damaged_table_is_refused_wherever_it_is_damaged() {
    let folder = Folder::new();
    let path = folder.0.join("table");
    table(
        &path,
        &["", "||a.example^\nb.example\nc.example"].map(|text| if text.is_empty() { "z.example" } else { text }),
    );
    let bytes = std::fs::read(&path).unwrap();
    let spoilt = folder.0.join("spoilt");
    let step = bytes.len() / 300;
    for at in (0..bytes.len()).step_by(step).chain(bytes.len() - 24..bytes.len()) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        std::fs::write(&spoilt, &damaged).unwrap();
        assert!(Table::read(&spoilt).is_err(), "{at}");
        std::fs::write(&spoilt, &bytes[..at]).unwrap();
        assert!(Table::read(&spoilt).is_err(), "cut at {at}");
    }
}

/// A rule as a reference keeps it.
type Rule = (usize, u64, String);

fn reference(rules: &[Rule], name: &str, lists: u32) -> Verdict {
    let of_list = |list: usize| lists >> list & 1 == 1;
    let fits = |kind: u64, rule: &str| {
        (kind & AT != 0 && name == rule) || (kind & BELOW != 0 && name.ends_with(&format!(".{rule}")))
    };
    let has = |want: u64| {
        let fit =
            |(list, kind, rule): &&Rule| of_list(*list) && kind & (EXCEPT | IMPORTANT) == want && fits(*kind, rule);
        rules.iter().filter(fit).map(|(list, ..)| *list).min()
    };
    if has(EXCEPT | IMPORTANT).is_some() {
        return Verdict::Excepted;
    }
    if let Some(list) = has(IMPORTANT) {
        return Verdict::Blocked(list);
    }
    if has(EXCEPT).is_some() {
        return Verdict::Excepted;
    }
    has(0).map_or(Verdict::Free, Verdict::Blocked)
}

fn line(kind: u64, name: &str) -> String {
    let except = if kind & EXCEPT != 0 { "@@" } else { "" };
    let reach = match kind & (AT | BELOW) {
        AT => "|",
        BELOW => "||*.",
        _ => "||",
    };
    format!("{except}{reach}{name}^{}\n", if kind & IMPORTANT != 0 { "$important" } else { "" })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_table_says_what_a_reference_says(
        rules in proptest::collection::vec((0usize..4, 1u64..16, "[ab]{1,2}(\\.[ab]){1,3}"), 1..60),
        names in proptest::collection::vec("[ab]{1,2}(\\.[ab]){0,4}", 40), lists: u32,
    ) {
        let folder = Folder::new();
        let rules: Vec<Rule> = rules.into_iter().map(|(list, kind, name)| (list, if kind & 3 == 0 { kind | 3 } else { kind }, name)).collect();
        let mut texts = vec![String::from("keep.example\n"); 4];
        rules.iter().for_each(|(list, kind, name)| texts[*list].push_str(&line(*kind, name)));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let table = table(&folder.0.join("table"), &texts);
        for name in &names {
            prop_assert_eq!(table.marks(&wire(name)).verdict(lists), reference(&rules, name, lists), "{} in {:?}", name, rules);
        }
    }

    #[test]
    fn any_bytes_are_met_in_any_pieces(bytes in proptest::collection::vec(any::<u8>(), 0..3_000), cut in 0usize..3_000) {
        let mut whole = Reader::default();
        whole.read(&bytes, 10_000).unwrap();
        let cut = cut.min(bytes.len());
        let mut parts = Reader::default();
        parts.read(&bytes[..cut], 10_000).unwrap();
        parts.read(&bytes[cut..], 10_000).unwrap();
        prop_assert_eq!(whole.finish(10_000), parts.finish(10_000));
    }

    #[test]
    fn lines_that_are_nearly_rules_are_met(lines in proptest::collection::vec("[@|*.^$,/#! a-c0-9:ü<-]{0,12}", 0..80)) {
        let mut reader = Reader::default();
        reader.read(lines.join("\n").as_bytes(), 1_000).unwrap();
        let _ = reader.finish(1_000);
    }

    #[test]
    fn any_name_is_looked_up(name in proptest::collection::vec(any::<u8>(), 0..300)) {
        let folder = Folder::new();
        let table = table(&folder.0.join("table"), &["a.example"]);
        let _ = table.marks(&name);
    }
}
