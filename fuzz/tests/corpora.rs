//! Every target bears its corpus: the seeds, and all that was once too much for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::Path;

#[test]
fn every_target_bears_its_corpus() {
    let (mut shown, mut faults) = (0, Vec::new());
    for (name, run) in fuzz::targets() {
        let corpus = fuzz::corpus(name).unwrap();
        assert!(!corpus.is_empty(), "{name} has no seed");
        for (path, bytes) in corpus {
            shown += 1;
            if catch_unwind(|| run(&bytes)).is_err() {
                faults.push(path.clone());
            }
            // Cut short and with a bit turned it is met as well.
            let mut turned = bytes.clone();
            if let Some(byte) = turned.get_mut(bytes.len() / 3) {
                *byte ^= 0x10;
            }
            if catch_unwind(|| (run(&bytes[..bytes.len() / 2]), run(&turned))).is_err() {
                faults.push(path.with_extension("damaged"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    eprintln!("{shown} inputs, {} targets", fuzz::targets().len());
}

#[test]
fn every_corpus_has_its_target() {
    let names: BTreeSet<String> = fuzz::targets().iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names.len(), fuzz::targets().len(), "a name stands twice");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let found = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(found.collect::<BTreeSet<_>>(), names);
}
