//! Updates, right and wrong, in pieces of every size.
use super::incoming::hex;
use super::*;
use minisign::KeyPair;
use proptest::prelude::*;
use ring::digest::{SHA256, digest};
use std::sync::LazyLock;

const MADE: u64 = 1_800_000_000;

struct Signed {
    key: PublicKey,
    bytes: Vec<u8>,
    contents: [Vec<u8>; 3],
}

fn keys() -> (KeyPair, PublicKey) {
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    let public = PublicKey::from_base64(&pair.pk.to_base64()).unwrap();
    (pair, public)
}

fn manifest(contents: &[Vec<u8>; 3]) -> Manifest {
    let part = |(name, bytes): (&&str, &Vec<u8>)| Part {
        name: (*name).to_owned(),
        bytes: bytes.len() as u64,
        sha256: hex(digest(&SHA256, bytes).as_ref()),
    };
    let parts = PARTS.iter().zip(contents).map(part).collect();
    Manifest { version: "0.1.0".into(), commit: None, made: MADE, machine: MACHINE.into(), parts }
}

fn signed(pair: &KeyPair, line: &str, contents: &[Vec<u8>; 3]) -> Vec<u8> {
    let signature = minisign::sign(None, &pair.sk, line.as_bytes(), Some("weir 0.1.0"), None).unwrap();
    [MAGIC, line.as_bytes(), b"\n", signature.into_string().as_bytes(), &contents.concat()].concat()
}

fn contents() -> [Vec<u8>; 3] {
    [b"a kernel".to_vec(), b"an initramfs".to_vec(), (0..3_000u32).map(|at| at as u8).collect()]
}

fn change(edit: impl FnOnce(&mut Manifest)) -> Signed {
    let (pair, key) = keys();
    let contents = contents();
    let mut manifest = manifest(&contents);
    edit(&mut manifest);
    let bytes = signed(&pair, &serde_json::to_string(&manifest).unwrap(), &contents);
    Signed { key, bytes, contents }
}

static GOOD: LazyLock<Signed> = LazyLock::new(|| change(|_| ()));

/// What came out, and the end.
fn read(bytes: &[u8], key: &PublicKey, floor: u64, pieces: usize) -> Result<[Vec<u8>; 3], Refusal> {
    let mut out: [Vec<u8>; 3] = Default::default();
    let mut incoming = Incoming::new(vec![keys().1, key.clone()], floor);
    for piece in bytes.chunks(pieces.max(1)) {
        incoming.take(piece, &mut |part, offset, bytes| {
            assert_eq!(offset, out[part].len() as u64);
            out[part].extend_from_slice(bytes);
            Ok(())
        })?;
    }
    incoming.finish().map(|manifest| assert_eq!(manifest.version, "0.1.0"))?;
    Ok(out)
}

#[test]
fn in_pieces_of_every_size_the_parts_come_out() {
    for pieces in [1, 2, 7, 100, 1_000, 100_000] {
        assert_eq!(read(&GOOD.bytes, &GOOD.key, MADE, pieces).as_ref(), Ok(&GOOD.contents), "{pieces}");
    }
}

#[test]
fn whoever_is_not_trusted_gets_nothing_written() {
    let mut incoming = Incoming::new(vec![keys().1], 0);
    let mut written = 0;
    let result = incoming.take(&GOOD.bytes, &mut |_, _, bytes| {
        written += bytes.len();
        Ok(())
    });
    assert_eq!((result, written), (Err(Refusal::Signature), 0));
    assert_eq!(incoming.finish(), Err(Refusal::Signature), "it stays so");
    assert!(matches!(read(&GOOD.bytes, &GOOD.key, MADE + 1, 99), Err(Refusal::Old { floor, .. }) if floor == MADE + 1));
}

#[test]
fn a_manifest_that_fits_no_router_is_named() {
    let words = |edit: fn(&mut Manifest)| {
        let Signed { key, bytes, .. } = change(edit);
        read(&bytes, &key, 0, 50).unwrap_err().to_string()
    };
    assert!(words(|manifest| manifest.machine = "arm64".into()).contains("machine: it is for \"arm64\""));
    assert!(words(|manifest| manifest.parts.swap(0, 1)).contains("parts: "));
    assert!(words(|manifest| manifest.parts[1].bytes = 17 << 20).contains("initrd.img: bytes: 17825792"));
    assert!(words(|manifest| manifest.parts[2].bytes = 0).contains("root.squashfs: bytes: 0"));
    assert!(words(|manifest| manifest.parts[0].sha256 = "abc".into()).contains("vmlinuz: sha256"));
    assert!(words(|manifest| manifest.parts[0].sha256 = "0".repeat(64)).contains("vmlinuz is not what was signed"));
    assert!(words(|manifest| manifest.version = "x".repeat(5_000)).contains("longer than 4096"));
    let (pair, key) = keys();
    let bytes = signed(&pair, "{\"version\":7}", &contents());
    assert!(read(&bytes, &key, 0, 50).unwrap_err().to_string().contains("line 1 column"));
}

#[test]
fn cut_turned_or_longer_it_is_refused() {
    let Signed { bytes, key, .. } = &*GOOD;
    let head = bytes.len() - 3_000;
    for end in (0..bytes.len()).filter(|end| *end < head + 40 || end % 97 == 0) {
        assert!(read(&bytes[..end], key, 0, 1_000).is_err(), "cut at {end}");
        let mut turned = bytes.clone();
        turned[end] ^= 1;
        let result = read(&turned, key, 0, 1_000);
        // The first comment of minisign's is signed by nobody.
        let line = turned[..end].iter().filter(|byte| **byte == b'\n').count();
        assert!(result.is_err() || (line == 2 && result.as_ref() == Ok(&GOOD.contents)), "turned at {end}");
    }
    assert_eq!(read(&[&bytes[..], b"x"].concat(), key, 0, 1_000), Err(Refusal::Long));
    assert_eq!(read(b"PK\x03\x04", key, 0, 1), Err(Refusal::Foreign));
    assert_eq!(read(b"", key, 0, 1), Err(Refusal::Cut(0)));
}

#[test]
fn what_never_ends_takes_no_memory() {
    let mut known = Incoming::new(vec![GOOD.key.clone()], 0);
    known.take(&GOOD.bytes, &mut |_, _, _| Ok(())).unwrap();
    let identity = known.identity().to_owned();
    assert_eq!(identity.len(), 64);
    let mut known = Incoming::new(vec![GOOD.key.clone()], 0).without(vec![identity]);
    assert_eq!(known.take(&GOOD.bytes, &mut |_, _, _| panic!("nothing is written")), Err(Refusal::Known));

    let mut incoming = Incoming::new(vec![GOOD.key.clone()], 0);
    let mut sink = |_: usize, _: u64, _: &[u8]| Ok(());
    incoming.take(MAGIC, &mut sink).unwrap();
    let result = (0..100).find_map(|_| incoming.take(&[b'x'; 1_000], &mut sink).err());
    assert!(matches!(result, Some(Refusal::Manifest(_))));
    let result = Incoming::new(vec![], 0).take(&[MAGIC, b"{}\n", &[b'x'; 2_000]].concat(), &mut sink);
    assert_eq!(result, Err(Refusal::Signature));
    let full = Incoming::new(vec![GOOD.key.clone()], 0).take(&GOOD.bytes, &mut |_, _, _| Err("no space".into()));
    assert_eq!(full, Err(Refusal::Sink("no space".into())));
}

proptest! {
    #[test]
    fn any_bytes_are_met_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), pieces in 1usize..50) {
        let bytes = [MAGIC, &bytes[..]].concat();
        prop_assert!(read(&bytes, &GOOD.key, 0, pieces).is_err());
    }
}
