//! A trial in virtual time, and its files over ends of every kind.
use super::engine::{Engine, Order, Request};
use super::files::Store;
use crate::check::Files;
use crate::perm::file::tests::Folder;
use netstack::time::Instant;
use std::fs;

fn at(seconds: u64) -> Instant {
    Instant::from_secs(seconds)
}

fn ask(engine: &Engine, seconds: u64, line: &str) -> Result<Order, String> {
    engine.order(at(seconds), Request::parse(line.as_bytes())?)
}

fn files(text: &str) -> Files {
    [("interfaces.json".to_owned(), text.as_bytes().to_vec()), ("radvd/config.json".to_owned(), b"{}".to_vec())].into()
}

#[test]
fn one_trial_at_a_time_with_an_end() {
    let mut engine = Engine::default();
    let attempt = r#"{"op":"try","files":{"a":"b"},"confirm":60}"#;
    let Ok(Order::Try(_, confirm)) = ask(&engine, 0, attempt) else { panic!() };
    assert_eq!(engine.deadline(), None);
    engine.begun(at(0), vec!["a".into()], confirm);
    assert!(ask(&engine, 10, attempt).unwrap_err().contains("a is on trial for 50 s more"));
    assert_eq!(ask(&engine, 59, r#"{"op":"keep"}"#), Ok(Order::Keep));
    assert!(!engine.is_over(at(59)) && engine.is_over(at(60)));
    engine.ended();
    for op in ["keep", "revert"] {
        assert!(ask(&engine, 61, &format!(r#"{{"op":"{op}"}}"#)).unwrap_err().contains("nothing is on trial"));
    }
    assert!(matches!(ask(&engine, 61, r#"{"op":"try","files":{"a":"b"}}"#), Ok(Order::Apply(_))));
}

#[test]
fn a_wrong_request_has_its_answer() {
    let engine = Engine::default();
    for (line, words) in [
        ("", "the request"),
        ("[]", "the request"),
        (r#"{"op":"format"}"#, "unknown variant `format`"),
        (r#"{"op":"try"}"#, "no file"),
        (r#"{"op":"try","files":{"a":7}}"#, "invalid type"),
        (r#"{"op":"try","files":{"a":""},"confirm":4}"#, "4 is not 5 to 3600 seconds"),
        (r#"{"op":"keep","now":true}"#, "unknown field `now`"),
    ] {
        let said = ask(&engine, 0, line).unwrap_err();
        assert!(said.contains(words), "{line}: {said}");
    }
}

#[test]
fn a_trial_leaves_nothing_and_a_promise_is_kept_over_a_cut() {
    let folder = Folder::new();
    let store = Store::new(&folder.0);
    fs::create_dir_all(folder.0.join("run/try")).unwrap();
    fs::create_dir_all(folder.0.join("perm/radvd")).unwrap();
    let kept = folder.0.join("perm/interfaces.json");
    fs::write(&kept, "old").unwrap();
    store.place(&files("new")).unwrap();
    assert_eq!(fs::read_to_string(crate::perm::file::in_force(&folder.0, rights::INTERFACES)).unwrap(), "new");
    assert_eq!(store.tried().unwrap(), files("new"));
    assert_eq!(store.withdraw().unwrap(), ["interfaces.json", "radvd/config.json"]);
    assert_eq!(crate::perm::file::in_force(&folder.0, rights::INTERFACES), kept);
    assert_eq!(store.withdraw().unwrap(), [""; 0]);
    assert_eq!(fs::read_dir(folder.0.join("run/try")).unwrap().count(), 0);

    // A cut between the promise and the copies, and in the middle of them.
    store.promise(&files("new")).unwrap();
    assert_eq!(fs::read_to_string(&kept).unwrap(), "old");
    let obstacle = folder.0.join("perm/radvd/.config.json.new");
    fs::create_dir(&obstacle).unwrap();
    assert!(store.finish().is_err());
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(store.finish().unwrap(), ["interfaces.json", "radvd/config.json"]);
    assert_eq!(store.standing(), files("new"));
    assert_eq!(store.finish().unwrap(), [""; 0]);
    // A damaged one is passed over, and a name that is none of ours.
    for text in ["{", r#"{"../../etc/passwd":"x"}"#] {
        fs::write(folder.0.join("perm/configd/keep.json"), text).unwrap();
        assert_eq!(store.finish().unwrap(), [""; 0]);
    }
}
