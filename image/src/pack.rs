//! `weir image`: everything that a router is booted from, out of a kernel and two binaries.
//!
//! The same inputs give the same bytes: all times are `SOURCE_DATE_EPOCH`, all identifiers are fixed, all orders sorted.
use std::fs;
use std::path::{Path, PathBuf};

use crate::disk::System;
use crate::error::{Context, Error, Result};
use crate::perm::Item;
use crate::scratch::Scratch;
use crate::{disk, initrd, manifest, perm, sbom, squashfs, update};

/// Files that `weir image` leaves in the output folder, and that the manifest describes.
pub const FILES: [&str; 9] = [
    "vmlinuz",
    "initrd.img",
    "root.squashfs",
    "disk.img",
    "install.img",
    "bin/init",
    "bin/services",
    "bin/installer",
    sbom::FILE,
];

/// What to pack and where to put it.
#[derive(Debug, Clone)]
pub struct Order {
    /// Where the images go; the router's binaries are in its `bin/`.
    pub output: PathBuf,
    /// The folder of the built kernel: `vmlinuz` and, if there are any, modules.
    pub kernel: PathBuf,
    /// An interfaces.json for `/perm`.
    pub interfaces: Option<PathBuf>,
    /// A folder whose files go into `/perm`.
    pub perm: Option<PathBuf>,
    /// A file whose first line becomes the router's password.
    pub password: Option<PathBuf>,
    /// Public keys of minisign's: who may sign updates for this image.
    pub update_keys: Vec<PathBuf>,
    /// A secret key of minisign's that signs an update.
    pub sign: Option<PathBuf>,
    /// The time that everything carries, in seconds since 1970.
    pub epoch: u32,
    /// The commit that is built, if known.
    pub commit: Option<String>,
}

/// The version of weir that this tool belongs to.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Packs everything and says on standard error what it made.
///
/// # Errors
/// When something is missing, broken or cannot be written.
pub fn pack(order: &Order) -> Result<()> {
    let output = &order.output;
    let [init, services, installer] = ["bin/init", "bin/services", "bin/installer"].map(|name| output.join(name));
    for binary in [&init, &services, &installer] {
        if !binary.is_file() {
            return Err(Error::new(format!("{} is not there", binary.display())).next("build it: make build"));
        }
    }
    let mut items = perm_items(order)?;
    let scratch = Scratch::new("password")?;
    if let Some(path) = &order.password {
        let made = password_items(path, &scratch)?;
        items.retain(|item| made.iter().all(|other| other.name() != item.name()));
        items.extend(made);
    }

    let kernel = order.kernel.join("vmlinuz");
    let hint = "build it: kernel-config/build.sh prints the kernel's folder as its last line; give it with --kernel";
    let kernel = fs::read(&kernel).cannot_file("read", &kernel).map_err(|error| error.next(hint))?;
    write(output, "vmlinuz", &kernel)?;

    let version = match &order.commit {
        Some(commit) => format!("{VERSION}\n{commit}\n"),
        None => format!("{VERSION}\n"),
    };
    let signer = order.sign.as_deref().map(update::Signer::open).transpose()?;
    let mut more = update::trusted(&order.update_keys, signer.as_ref())?;
    more.push(("etc/perm.runs".to_owned(), perm::empty(order.epoch)?));
    let (initrd, root) = std::thread::scope(|scope| {
        let initrd = scope.spawn(|| initrd::pack(&init, &order.kernel, order.epoch));
        let root = squashfs::pack(&services, &version, &more, order.epoch);
        (initrd.join().unwrap_or_else(|_| Err(Error::new("the packer of the initramfs crashed"))), root)
    });
    let (initrd, root) = (initrd?, root?);
    write(output, "initrd.img", &initrd)?;
    // The initramfs of a machine that is installed from the network: `weir recover` puts before it what it writes.
    write(output, "install.img", &initrd::pack(&installer, &order.kernel, order.epoch)?)?;
    write(output, "root.squashfs", &root)?;

    let system = System { kernel: &kernel, initrd: &initrd, root: &root };
    make_disk(&output.join("disk.img"), &system, &items, order.epoch)?;
    report(output, "disk.img")?;

    if let Some(signer) = signer {
        let made = update::sign(&signer, &system, order.commit.as_deref(), order.epoch.into())?;
        write(output, update::FILE, &made)?;
    }
    write(output, sbom::FILE, sbom::of(output, &order.kernel, VERSION)?.as_bytes())?;
    let manifest = manifest::describe(output, &FILES, VERSION, order.commit.as_deref(), order.epoch)?;
    write(output, "manifest.json", manifest.as_bytes())
}

/// Makes a disk: table, boot loader, the system in both slots, `/perm` with `items`. It appears whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn make_disk(path: &Path, system: &System<'_>, items: &[Item], epoch: u32) -> Result<()> {
    let filesystem = path.with_extension("perm");
    let partial = path.with_extension("part");
    let made = perm::make(&filesystem, items, epoch).and_then(|()| disk::make(&partial, system, &filesystem, epoch));
    drop(fs::remove_file(&filesystem));
    if let Err(error) = made {
        drop(fs::remove_file(&partial));
        return Err(error);
    }
    fs::rename(&partial, path).cannot_file("write", path)
}

fn perm_items(order: &Order) -> Result<Vec<Item>> {
    let mut items = match &order.perm {
        Some(folder) => perm::items_of(folder)?,
        None => Vec::new(),
    };
    if let Some(path) = &order.interfaces {
        check_interfaces(path)?;
        let name = "/interfaces.json".to_owned();
        items.retain(|item| !matches!(item, Item::File { name: other, .. } if *other == name));
        items.push(Item::File { name, source: path.clone() });
    }
    Ok(items)
}

/// The file that webd keeps: a hash, with a salt of its own each time.
fn password_items(path: &Path, scratch: &Scratch) -> Result<[Item; 2]> {
    let text = fs::read_to_string(path).cannot_file("read", path)?;
    let password = text.lines().next().unwrap_or_default();
    let mut salt = [0; services::password::SALT];
    let random = Path::new("/dev/urandom");
    let read = fs::File::open(random).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut salt));
    read.cannot_file("read", random)?;
    let hash = services::password::fit(password).and_then(|()| services::password::hash(password, salt));
    let hash = hash.map_err(|why| Error::new(format!("{}: {why}", path.display())))?;
    let source = scratch.path().join("hash");
    fs::write(&source, hash).cannot_file("write", &source)?;
    let folder = Item::Folder { name: "/webd".into() };
    Ok([folder, Item::File { name: "/webd/password".into(), source }])
}

/// Refuses what is not JSON or has no list of interfaces; what the list says is checked by the router itself.
fn check_interfaces(path: &Path) -> Result<()> {
    let text = fs::read_to_string(path).cannot_file("read", path)?;
    let hint = r#"it looks like {"interfaces":[{"hardware_addr":"52:54:00:77:00:01","name":"uplink0"}]}"#;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Error::new(format!("{} is not JSON: {error}", path.display())).next(hint))?;
    if value.get("interfaces").is_some_and(serde_json::Value::is_array) {
        return Ok(());
    }
    Err(Error::new(format!("{}: there is no list \"interfaces\"", path.display())).next(hint))
}

fn write(folder: &Path, name: &str, content: &[u8]) -> Result<()> {
    let path = folder.join(name);
    let partial = folder.join(format!("{name}.part"));
    fs::write(&partial, content).cannot_file("write", &partial)?;
    fs::rename(&partial, &path).cannot_file("write", &path)?;
    report(folder, name)
}

fn report(folder: &Path, name: &str) -> Result<()> {
    let path = folder.join(name);
    let bytes = fs::metadata(&path).cannot_file("look at", &path)?.len();
    eprintln!("weir image: {:>10} bytes  {}", bytes, path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn order(scratch: &Scratch, output: &str) -> Order {
        let output = scratch.path().join(output);
        fs::create_dir_all(output.join("bin")).unwrap();
        fs::write(output.join("bin/init"), "PID 1").unwrap();
        fs::write(output.join("bin/installer"), "the installer").unwrap();
        fs::write(output.join("bin/services"), "services").unwrap();
        fs::write(output.join(sbom::CRATES), "adler2 v2.0.1 MIT\n").unwrap();
        let kernel = scratch.path().join("kernel");
        fs::create_dir_all(&kernel).unwrap();
        fs::write(kernel.join("vmlinuz"), "a kernel").unwrap();
        let commit = Some("c0ffee".into());
        let (interfaces, perm, password, update_keys, sign) = (None, None, None, Vec::new(), None);
        Order { output, kernel, interfaces, perm, password, update_keys, sign, epoch: 1_700_000_000, commit }
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes() {
        let scratch = Scratch::new("pack").unwrap();
        let interfaces = scratch.path().join("interfaces.json");
        fs::write(&interfaces, r#"{"interfaces":[]}"#).unwrap();
        let manifests = ["a", "b"].map(|output| {
            let order = Order { interfaces: Some(interfaces.clone()), ..order(&scratch, output) };
            pack(&order).unwrap();
            fs::read_to_string(order.output.join("manifest.json")).unwrap()
        });
        assert_eq!(manifests[0], manifests[1]);
        for name in FILES {
            assert!(manifests[0].contains(&format!("\"{name}\"")), "{}", manifests[0]);
        }
    }

    /// What the tools of Debian say of the images.
    #[test]
    fn the_tools_of_others_find_no_fault() {
        let scratch = Scratch::new("pack-tools").unwrap();
        let order = order(&scratch, "out");
        pack(&order).unwrap();
        let run = |tool: &str, arguments: &[&str], file: &str| {
            let output = Command::new(tool).args(arguments).arg(order.output.join(file)).output();
            let output = output.unwrap_or_else(|error| panic!("{tool} (make deps installs it): {error}"));
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{tool}: {said}{}", String::from_utf8_lossy(&output.stderr));
            said
        };
        let table = run("/usr/sbin/sgdisk", &["-v"], "disk.img");
        assert!(table.contains("No problems found"), "{table}");
        let root = run("unsquashfs", &["-lls"], "root.squashfs");
        assert!(root.contains("-rwxr-xr-x root/root"), "{root}");
        for folder in ["dev", "proc", "sys", "run", "tmp", "perm", "etc", "root"] {
            assert!(root.contains(&format!("squashfs-root/{folder}\n")), "{folder} is missing: {root}");
        }
    }

    #[test]
    fn a_password_is_packed_as_its_hash() {
        let scratch = Scratch::new("pack-password").unwrap();
        let file = scratch.path().join("password.txt");
        let order = Order { password: Some(file.clone()), ..order(&scratch, "out") };
        fs::write(&file, "short\n").unwrap();
        assert!(pack(&order).unwrap_err().to_string().contains("password.txt: a password has 8"));
        fs::write(&file, "correct horse\n").unwrap();
        let items = password_items(&file, &scratch).unwrap();
        let Item::File { name, source } = &items[1] else { panic!("{items:?}") };
        let kept = fs::read_to_string(source).unwrap();
        assert_eq!(name, "/webd/password");
        assert_eq!(services::password::is_right(&kept, "correct horse"), Ok(true));
        pack(&order).unwrap();
    }

    #[test]
    fn broken_interfaces_are_refused_with_their_place() {
        let scratch = Scratch::new("pack-broken").unwrap();
        let interfaces = scratch.path().join("interfaces.json");
        let order = Order { interfaces: Some(interfaces.clone()), ..order(&scratch, "out") };
        fs::write(&interfaces, "{\"interfaces\":\n[,]}").unwrap();
        let error = pack(&order).unwrap_err().to_string();
        assert!(error.contains("line 2 column 2") && error.contains("what to do"), "{error}");
        fs::write(&interfaces, "{}").unwrap();
        assert!(pack(&order).unwrap_err().to_string().contains("no list \"interfaces\""));
    }

    #[test]
    fn a_missing_kernel_says_how_to_get_one() {
        let scratch = Scratch::new("pack-kernel").unwrap();
        let order = order(&scratch, "out");
        fs::remove_file(order.kernel.join("vmlinuz")).unwrap();
        assert!(pack(&order).unwrap_err().to_string().contains("kernel-config/build.sh"));
    }
}
