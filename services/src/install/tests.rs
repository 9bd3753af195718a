//! The system that runs, as a file, put onto another file; and folders that are made equal.
use super::source::Source;
use super::{chosen, list, mirror};
use installer::disks::{Disk, Holds};
use installer::write::{Job, Pieces, measure};
use layout::environment::Environment;
use layout::gpt::{self, Table};
use layout::{
    BIOS, BOOT, DISK_SECTORS, FAT_MARK, GRUBENV, LEAST_SECTORS, LOADER, PERM, ROOT_A, ROOT_B, SECTOR, SPARE, Slot,
    initrd_of, kernel_of, runs, sums, sums_of,
};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A folder that is gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("weir-install-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn disk(&self, name: &str, sectors: u64) -> File {
        let file = File::options().create_new(true).read(true).write(true).open(self.0.join(name)).unwrap();
        file.set_len(sectors * SECTOR).unwrap();
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const KERNEL: &[u8] = &[0xaa; 5_000];
const INITRD: &[u8] = &[0xbb; 700_000];

fn extent(extent: layout::Extent) -> u64 {
    BOOT.offset() + extent.offset()
}

/// A weir that runs from slot b; slot a is another, older one.
fn running(folder: &Folder) -> File {
    let disk = folder.disk("running", DISK_SECTORS);
    let put = |place: u64, bytes: &[u8]| disk.write_all_at(bytes, place).unwrap();
    put(SECTOR, &Table::fresh(DISK_SECTORS).primary_bytes(DISK_SECTORS));
    put(0, &[0xeb; 440]);
    put(BIOS.offset(), &[1; 9_000]);
    put(BOOT.offset(), &[2; 512]);
    put(BOOT.offset() + 3, &FAT_MARK);
    put(extent(LOADER), &[3; 70_000]);
    put(extent(kernel_of(Slot::A)), &[9; 5_000]);
    put(extent(kernel_of(Slot::B)), KERNEL);
    put(extent(initrd_of(Slot::B)), INITRD);
    put(extent(sums_of(Slot::B)), &sums::of(Slot::B, KERNEL, INITRD).unwrap());
    let mut environment = Environment::new(Slot::B);
    environment.set("words", "console=ttyS0,9600");
    environment.set("tries", "2");
    put(extent(GRUBENV), &environment.block());
    put(ROOT_A.offset(), b"hsqs an old root");
    put(ROOT_B.offset(), b"hsqs");
    put(ROOT_B.offset() + 40, &600_001u64.to_le_bytes());
    put(ROOT_B.offset() + 599_998, b"end");
    disk
}

fn fresh(folder: &Folder) -> PathBuf {
    let mut bytes = runs::MAGIC.to_vec();
    runs::push(&mut bytes, &[1024, 32 << 20], b"an empty filesystem");
    runs::finish(&mut bytes);
    let path = folder.0.join("perm.runs");
    fs::write(&path, bytes).unwrap();
    path
}

fn bytes(disk: &File, place: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    disk.read_exact_at(&mut bytes, place).unwrap();
    bytes
}

#[test]
fn the_slot_that_runs_is_both_slots_of_the_new_disk() {
    let folder = Folder::new("source");
    let mut source = Source::open(running(&folder), DISK_SECTORS, Slot::B, &fresh(&folder)).unwrap();
    let target = folder.disk("target", LEAST_SECTORS + 99);
    for place in [SPARE.offset() + 9, extent(GRUBENV), PERM.offset() + 1024] {
        target.write_all_at(&[0xff; 512], place).unwrap();
    }
    let total = measure(&mut source).unwrap();
    let job = Job { target: &target, sectors: LEAST_SECTORS + 99, keeps_perm: false, total };
    source.rewind().unwrap();
    let mut told = 0;
    job.write(&mut source, &mut |percent| told = percent).unwrap();
    assert_eq!(told, 100);
    source.rewind().unwrap();
    job.check(&mut source, &mut |_| ()).unwrap();

    for slot in Slot::ALL {
        assert_eq!(bytes(&target, extent(kernel_of(slot)), KERNEL.len()), KERNEL);
        assert_eq!(bytes(&target, extent(initrd_of(slot)), INITRD.len()), INITRD);
        assert_eq!(bytes(&target, extent(sums_of(slot)), sums::BYTES), sums::of(slot, KERNEL, INITRD).unwrap());
        let root = slot.root().offset();
        assert_eq!((bytes(&target, root, 4), bytes(&target, root + 599_998, 3)), (b"hsqs".to_vec(), b"end".to_vec()));
    }
    assert_eq!((bytes(&target, 0, 440), bytes(&target, BIOS.offset(), 9_000)), (vec![0xeb; 440], vec![1; 9_000]));
    assert_eq!(
        (bytes(&target, BOOT.offset() + 3, 8), bytes(&target, extent(LOADER), 4)),
        (FAT_MARK.into(), vec![3; 4])
    );
    let environment = Environment::read(&bytes(&target, extent(GRUBENV), 1024)).unwrap();
    let said = ["slot", "tries", "words"].map(|name| environment.get(name).unwrap_or_default());
    assert_eq!(said, ["a", "3", "console=ttyS0,9600"]);
    assert_eq!(bytes(&target, PERM.offset() + 1024, 19), b"an empty filesystem");
    assert!(bytes(&target, SPARE.offset(), SPARE.bytes() as usize).iter().all(|byte| *byte == 0));
    let copy = bytes(&target, SECTOR, (gpt::SECTORS * SECTOR) as usize);
    assert_eq!(Table::read_primary(&copy), Some(Table::fresh(LEAST_SECTORS + 99)));
}

#[test]
fn what_is_damaged_is_not_passed_on() {
    let folder = Folder::new("damaged");
    let (disk, fresh) = (running(&folder), fresh(&folder));
    let open = |slot| Source::open(disk.try_clone().unwrap(), DISK_SECTORS, slot, &fresh).map(drop).unwrap_err();
    let turn = |place: u64, bytes: &[u8]| disk.write_all_at(bytes, place).unwrap();
    assert!(open(Slot::A).contains("no sums"));
    turn(extent(kernel_of(Slot::B)) + 17, b"X");
    assert!(open(Slot::B).contains("slot b is damaged"));
    turn(extent(kernel_of(Slot::B)) + 17, &[0xaa]);
    turn(ROOT_B.offset() + 40, &u64::MAX.to_le_bytes());
    assert!(open(Slot::B).contains("no root"));
    turn(ROOT_B.offset() + 40, &600_001u64.to_le_bytes());
    turn(BOOT.offset() + 3, b"mkfs.fat");
    assert!(open(Slot::B).contains("not laid out"));
    turn(BOOT.offset() + 3, &FAT_MARK);
    fs::write(&fresh, "x").unwrap();
    let mut source = Source::open(disk.try_clone().unwrap(), DISK_SECTORS, Slot::B, &fresh).unwrap();
    let all = std::iter::from_fn(|| source.piece().transpose()).find_map(Result::err);
    assert!(all.unwrap().contains("perm.runs"));
}

fn disk(name: &str, sectors: u64, holds: Holds) -> Disk {
    Disk { name: name.into(), model: "QEMU".into(), sectors, removable: false, holds }
}

#[test]
fn a_disk_is_taken_by_who_knows_what_is_on_it() {
    let found = [
        disk("sda", LEAST_SECTORS, Holds::Nothing),
        disk("sdb", LEAST_SECTORS, Holds::Others),
        disk("sdc", LEAST_SECTORS - 1, Holds::Nothing),
        disk("sdd", LEAST_SECTORS, Holds::Ours),
        disk("sde", LEAST_SECTORS, Holds::Unreadable),
    ];
    let look = |disk: &Disk| match disk.holds {
        Holds::Nothing => String::new(),
        Holds::Ours => "weir".into(),
        _ => "NTFS (Windows)".into(),
    };
    let taken = |name: &str, over: &str| chosen(&found, name, over, "sdd", &look).map(|disk| disk.name.clone());
    assert_eq!(taken("sda", ""), Ok("sda".into()));
    assert_eq!(taken("sdb", "NTFS (Windows)"), Ok("sdb".into()));
    for (name, over, why) in [
        ("sdb", "", "holds NTFS (Windows)"),
        ("sdb", "weir", "holds NTFS (Windows)"),
        ("sda", "weir", "look again"),
        ("sdc", "", "too small: weir wants 1224 MB"),
        ("sdd", "weir", "weir runs from it"),
        ("sde", "NTFS (Windows)", "cannot be read"),
        ("../sda", "", "there is no disk \"../sda\"; there are: sda, sdb, sdc, sdd, sde"),
    ] {
        let said = taken(name, over).unwrap_err();
        assert!(said.contains(why), "{name} {over}: {said}");
    }
    let told = list(&found, "sdd", &look);
    assert_eq!((&told["running"], &told["disks"][1]["over"]), (&"sdd".into(), &"NTFS (Windows)".into()));
    assert_eq!(told["disks"][0]["words"], "sda (QEMU, 1.2 GB)");
    assert!(told["disks"][0]["refused"].is_null() && told["disks"][3]["refused"] == "weir runs from it");
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_folder_is_made_to_hold_what_another_holds() {
    let folder = Folder::new("mirror");
    let (from, to) = (folder.0.join("from"), folder.0.join("to"));
    fs::create_dir_all(&to).unwrap();
    write(&from.join("dhcp4d/leases.json"), "[]", 0o640);
    write(&from.join("dhcp4d/deeper/er/x"), &"x".repeat(200_000), 0o600);
    write(&from.join("random.seed"), "secret", 0o600);
    write(&from.join("factory-reset"), "", 0o600);
    write(&from.join("a/random.seed"), "a file like any other", 0o600);
    symlink("dhcp4d/leases.json", from.join("link")).unwrap();
    fs::set_permissions(from.join("dhcp4d"), Permissions::from_mode(0o1770)).unwrap();
    // What is there is somebody else's, and of the wrong kind.
    write(&to.join("dhcp4d"), "a file", 0o600);
    write(&to.join("link/x"), "a folder", 0o600);
    write(&to.join("old/old"), "old", 0o600);
    write(&to.join("random.seed"), "its own", 0o600);

    let copied = mirror::copy(&from, &to).unwrap();
    assert_eq!(copied.to_string(), "3 files, 201 KB");
    mirror::check(&to, &copied).unwrap();
    let mode = |name: &str| fs::metadata(to.join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("dhcp4d/leases.json"), mode("dhcp4d")), (0o640, 0o750), "the boot sees to the access list");
    assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("dhcp4d/leases.json"));
    assert_eq!(fs::read_to_string(to.join("random.seed")).unwrap(), "its own");
    assert!(!to.join("old").exists() && !to.join("factory-reset").exists() && to.join("a/random.seed").exists());
    let modified = |folder: &Path| fs::metadata(folder.join("dhcp4d/leases.json")).unwrap().modified().unwrap();
    assert_eq!(modified(&from), modified(&to));

    // Once more, after something has happened.
    write(&from.join("dhcp4d/leases.json"), "[1]", 0o640);
    fs::remove_dir_all(from.join("a")).unwrap();
    let copied = mirror::copy(&from, &to).unwrap();
    assert_eq!(fs::read_to_string(to.join("dhcp4d/leases.json")).unwrap(), "[1]");
    assert!(!to.join("a").exists());
    fs::write(to.join("dhcp4d/deeper/er/x"), "x").unwrap();
    let why = mirror::check(&to, &copied).unwrap_err();
    assert!(why.contains("/perm/dhcp4d/deeper/er/x is not what was written"), "{why}");
}
