//! The slot on files that lie as the partitions do; who may sign.
use super::memory::{self, Trial};
use super::slot::Target;
use super::{floor, keys};
use crate::house::House;
use crate::update::{Manifest, PARTS, Part, hex};
use layout::{BOOT, Extent, FAT_MARK, Slot, initrd_of, kernel_of, sums, sums_of};
use qemu::Folder;
use ring::digest::{SHA256, digest};
use std::fs::File;
use std::os::unix::fs::FileExt;

fn house(folder: &Folder) -> House {
    for name in ["run/updated", "etc/update-keys", "perm/update-keys"] {
        std::fs::create_dir_all(folder.0.join(name)).unwrap();
    }
    House::open(["--root".into(), folder.0.clone().into_os_string()].into_iter()).unwrap()
}

/// Partitions as PID 1 hands them over.
fn hand_over(folder: &Folder, mark: &[u8]) -> (File, File) {
    let file = |name: &str, bytes: u64| {
        let path = folder.0.join("run/updated").join(name);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
        file.set_len(bytes).unwrap();
        file
    };
    let (boot, root) = (file("boot", BOOT.bytes()), file("root", 1 << 20));
    boot.write_all_at(mark, 3).unwrap();
    for slot in Slot::ALL {
        boot.write_all_at(&[7; sums::BYTES], sums_of(slot).offset()).unwrap();
    }
    std::fs::write(folder.0.join("run/updated/slot"), "b").unwrap();
    (boot, root)
}

fn manifest(contents: &[&[u8]; 3]) -> Manifest {
    let part = |(name, bytes): (&&str, &&[u8])| Part {
        name: (*name).to_owned(),
        bytes: bytes.len() as u64,
        sha256: hex(digest(&SHA256, bytes).as_ref()),
    };
    let parts = PARTS.iter().zip(contents).map(part).collect();
    Manifest { version: "1".into(), commit: None, made: 1, machine: crate::update::MACHINE.into(), parts }
}

fn at(file: &File, extent: Extent, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, extent.offset()).unwrap();
    bytes
}

#[test]
fn a_slot_loses_its_sums_first_and_has_them_last() {
    let folder = Folder::new();
    let (house, (boot, root)) = (house(&folder), hand_over(&folder, &FAT_MARK));
    // Of the one before, which was longer.
    boot.write_all_at(&[9; 2_000], kernel_of(Slot::B).offset()).unwrap();
    let contents: [&[u8]; 3] = [&[1; 1_000], &[2; 512], &[3; 300_000]];
    let target = Target::open(&house).unwrap();
    assert_eq!(target.slot, Slot::B);
    assert_eq!(at(&boot, sums_of(Slot::B), sums::BYTES), [7; sums::BYTES], "what is refused costs nothing");
    target.write(0, 0, &[1]).unwrap();
    assert_eq!(at(&boot, sums_of(Slot::B), sums::BYTES), [0; sums::BYTES], "GRUB starts nothing half written");
    for (part, bytes) in contents.iter().enumerate() {
        for (number, piece) in bytes.chunks(700).enumerate() {
            target.write(part, (number * 700) as u64, piece).unwrap();
        }
    }
    assert_eq!(at(&boot, sums_of(Slot::B), 4), [0; 4]);
    target.seal(&manifest(&contents)).unwrap();
    let sums = sums::of(Slot::B, contents[0], contents[1]).unwrap();
    assert_eq!(at(&boot, sums_of(Slot::B), sums::BYTES), sums);
    assert_eq!(at(&boot, kernel_of(Slot::B), 1_024), [contents[0], &[0; 24]].concat(), "filled up with zeros");
    assert_eq!(at(&boot, initrd_of(Slot::B), 512), contents[1]);
    assert_eq!(at(&boot, sums_of(Slot::A), sums::BYTES), [7; sums::BYTES], "the other slot is not touched");

    root.write_all_at(b"X", 200_000).unwrap();
    let why = Target::open(&house).unwrap().seal(&manifest(&contents)).unwrap_err();
    assert!(why.contains("slot b does not hold the root.squashfs that was written"), "{why}");
    assert_eq!(at(&boot, sums_of(Slot::B), sums::BYTES), [0; sums::BYTES], "and so it is not started");
}

#[test]
fn a_machine_without_a_slot_says_so() {
    let folder = Folder::new();
    let house = house(&folder);
    assert!(Target::open(&house).unwrap_err().contains("no slot for updates"));
    let (boot, _root) = hand_over(&folder, b"mkfs.fat");
    assert!(Target::open(&house).unwrap_err().contains("not weir's"));
    assert_eq!(at(&boot, sums_of(Slot::B), sums::BYTES), [7; sums::BYTES], "somebody else's is not touched");
}

#[test]
fn who_may_sign_is_read_anew_and_the_image_says_how_old_is_too_old() {
    let folder = Folder::new();
    let house = house(&folder);
    assert!(keys(&house).is_empty());
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    std::fs::write(folder.0.join("etc/update-keys/0.pub"), format!("{}\n", pair.pk.to_base64())).unwrap();
    std::fs::write(folder.0.join("perm/update-keys/mine.pub"), pair.pk.to_box().unwrap().into_string()).unwrap();
    std::fs::write(folder.0.join("perm/update-keys/rubbish.pub"), [0xff; 90]).unwrap();
    std::fs::write(folder.0.join("perm/update-keys/notes.txt"), pair.pk.to_base64()).unwrap();
    assert_eq!(keys(&house).len(), 2);
    assert_eq!(floor(&house), 0);
    let version = File::create(folder.0.join("etc/version")).unwrap();
    version.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000)).unwrap();
    assert_eq!(floor(&house), 1_800_000_000);
}

#[test]
fn what_was_no_good_is_remembered_and_the_list_has_an_end() {
    let folder = Folder::new();
    let house = house(&folder);
    let trial = |number: usize| Trial { manifest: format!("{number:064x}"), slot: "b".into(), worked: true };
    assert!(!memory::settle(&house, Slot::A, true), "nothing was tried");
    for number in 0..40 {
        memory::begin(&house, &trial(number)).unwrap();
        assert!(!memory::settle(&house, Slot::B, false), "it runs, and is judged later");
        assert_eq!(memory::trial(&house), Some(trial(number)));
        assert!(memory::settle(&house, Slot::A, true));
    }
    let known = memory::refused(&house);
    assert_eq!((known.len(), known.last()), (32, Some(&trial(39).manifest)));
    memory::begin(&house, &trial(50)).unwrap();
    assert!(!memory::settle(&house, Slot::B, true), "it has stayed");
    assert_eq!((memory::trial(&house), memory::refused(&house)), (None, known));
}
