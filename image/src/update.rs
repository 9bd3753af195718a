//! Updates on the host: keys, signing, and looking at what somebody else has signed.
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};
use services::update::{Incoming, MACHINE, MAGIC, Manifest, PARTS, Part};
use sha2::{Digest, Sha256};

use crate::disk::System;
use crate::error::{Context, Error, Result};
use crate::pack::VERSION;
use crate::squashfs::Extra;

/// The file that `weir image --sign` makes.
pub const FILE: &str = "weir.update";
/// Read at once.
const CHUNK: usize = 64 << 10;

/// Who signs.
#[derive(Debug)]
pub struct Signer {
    secret: SecretKey,
    public: PublicKey,
}

impl Signer {
    /// Reads a secret key of minisign's that has no password.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(path: &Path) -> Result<Signer> {
        let hint = "weir key FILE makes one; a key with a password is not taken";
        let text = fs::read_to_string(path).cannot_file("read", path).map_err(|error| error.next(hint))?;
        let read = SecretKeyBox::from_string(&text).and_then(SecretKeyBox::into_unencrypted_secret_key);
        let pair = read.and_then(|secret| Ok((PublicKey::from_secret_key(&secret)?, secret)));
        let (public, secret) = pair.cannot_file("use the key", path).map_err(|error| error.next(hint))?;
        Ok(Signer { secret, public })
    }
}

/// Makes a pair of keys.
///
/// # Errors
/// When a file is there already, or cannot be written.
pub fn make_key(path: &Path) -> Result<()> {
    let pair = KeyPair::generate_unencrypted_keypair().cannot(|| "make a key".into())?;
    let secret = pair.sk.to_box(Some("weir: signs updates; keep it secret")).cannot(|| "make a key".into())?;
    let public = pair.pk.to_box().cannot(|| "make a key".into())?;
    let beside = public_of(path);
    for (path, text, mode) in [(path, secret.into_string(), 0o600), (&*beside, public.into_string(), 0o644)] {
        let mut file = File::options();
        let file = file.write(true).create_new(true).mode(mode).open(path);
        let mut file = file.cannot_file("make", path).map_err(|error| error.next("say another name"))?;
        std::io::Write::write_all(&mut file, text.as_bytes()).cannot_file("write", path)?;
    }
    eprintln!("weir key: {} signs: weir image --sign {}", path.display(), path.display());
    eprintln!("weir key: {} goes into images that are to take its updates: weir image --update-key", beside.display());
    Ok(())
}

/// Where the public key of a secret one lies.
pub fn public_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// The keys that an image trusts, as files of its root.
///
/// # Errors
/// When one is no public key of minisign's.
pub fn trusted(paths: &[PathBuf], signer: Option<&Signer>) -> Result<Vec<Extra>> {
    let mut keys: Vec<String> = paths.iter().map(|path| public_key(path)).collect::<Result<_>>()?;
    keys.extend(signer.map(|signer| signer.public.to_base64()));
    keys.sort();
    keys.dedup();
    let file =
        |(number, key): (usize, String)| (format!("etc/update-keys/{number}.pub"), format!("{key}\n").into_bytes());
    Ok(keys.into_iter().enumerate().map(file).collect())
}

/// The base64 of a public key's file, which has a comment before it.
fn public_key(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).cannot_file("read", path)?;
    let key = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    match services::update::PublicKey::from_base64(key) {
        Ok(_) => Ok(key.to_owned()),
        Err(_) => Err(Error::new(format!("{} holds no public key of minisign's", path.display()))
            .next("it is the file that ends with .pub")),
    }
}

/// The signed update of a system that was made at `made`, in seconds since 1970.
///
/// # Errors
/// When it does not fit a router, or cannot be signed.
pub fn sign(signer: &Signer, system: &System<'_>, commit: Option<&str>, made: u64) -> Result<Vec<u8>> {
    let contents = [system.kernel, system.initrd, system.root];
    let part = |(name, bytes): (&&str, &&[u8])| Part {
        name: (*name).to_owned(),
        bytes: bytes.len() as u64,
        sha256: Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let manifest = Manifest {
        version: VERSION.to_owned(),
        commit: commit.map(str::to_owned),
        made,
        machine: MACHINE.to_owned(),
        parts: PARTS.iter().zip(&contents).map(part).collect(),
    };
    manifest.check().cannot(|| "make an update".into())?;
    let line = serde_json::to_string(&manifest).cannot(|| "make an update".into())?;
    let comment = format!("weir {VERSION}");
    let signature = minisign::sign(None, &signer.secret, line.as_bytes(), Some(&comment), Some("weir's update"));
    let signature = signature.cannot(|| "sign the update".into())?.into_string();
    Ok([MAGIC, line.as_bytes(), b"\n", signature.as_bytes(), &contents.concat()].concat())
}

/// Reads an update as a router does, and says what it is.
///
/// # Errors
/// Why a router that trusts these keys would not take it.
pub fn verify(path: &Path, keys: &[PathBuf]) -> Result<()> {
    let keys = keys.iter().map(|path| public_key(path)).collect::<Result<Vec<String>>>()?;
    if keys.is_empty() {
        return Err(Error::new("by whose key?").next("weir verify UPDATE --update-key KEY.pub"));
    }
    let keys = keys.iter().filter_map(|key| services::update::PublicKey::from_base64(key).ok()).collect();
    let mut incoming = Incoming::new(keys, 0);
    let mut file = File::open(path).cannot_file("read", path)?;
    let mut chunk = vec![0; CHUNK];
    let refused = |why: services::update::Refusal| {
        Error::new(format!("{}: {why}", path.display())).next("get it once more from whoever made it")
    };
    loop {
        let length = file.read(&mut chunk).cannot_file("read", path)?;
        if length == 0 {
            break;
        }
        incoming.take(&chunk[..length], &mut |_, _, _| Ok(())).map_err(refused)?;
    }
    let manifest = incoming.finish().map_err(refused)?;
    let commit = manifest.commit.as_deref().unwrap_or("unknown");
    println!(
        "weir {} (commit {commit}), made at {}, for {}: whole, and signed by that key",
        manifest.version, manifest.made, manifest.machine
    );
    for part in &manifest.parts {
        println!("{:>10} bytes  {}  {}", part.bytes, part.sha256, part.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn what_is_signed_is_verified_by_its_key_and_no_other() {
        let scratch = Scratch::new("update").unwrap();
        let [key, other] = ["key", "other"].map(|name| scratch.path().join(name));
        make_key(&key).unwrap();
        make_key(&other).unwrap();
        assert!(make_key(&key).unwrap_err().to_string().contains("another name"), "no key is overwritten");
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);

        let signer = Signer::open(&key).unwrap();
        let system = System { kernel: b"kernel", initrd: b"initramfs", root: &[7; 200_000] };
        let update = scratch.path().join(FILE);
        fs::write(&update, sign(&signer, &system, Some("c0ffee"), 1_800_000_000).unwrap()).unwrap();
        verify(&update, &[public_of(&other), public_of(&key)]).unwrap();
        let wrong = verify(&update, &[public_of(&other)]).unwrap_err().to_string();
        assert!(wrong.contains("signed by none of this router's keys"), "{wrong}");
        assert!(verify(&update, &[]).unwrap_err().to_string().contains("--update-key"));
        assert!(verify(&update, std::slice::from_ref(&key)).unwrap_err().to_string().contains("no public key"));
        let mut bytes = fs::read(&update).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&update, bytes).unwrap();
        let wrong = verify(&update, &[public_of(&key)]).unwrap_err().to_string();
        assert!(wrong.contains("root.squashfs is not what was signed"), "{wrong}");

        let keys = trusted(&[public_of(&key), public_of(&other)], Some(&signer)).unwrap();
        assert_eq!(keys.len(), 2, "each once");
        assert!(keys[0].0 == "etc/update-keys/0.pub" && keys[0].1.starts_with(b"RW"));
    }

    /// minisign itself, where there is one, agrees.
    #[test]
    fn the_keys_are_minisigns() {
        let scratch = Scratch::new("update-key").unwrap();
        let key = scratch.path().join("key");
        make_key(&key).unwrap();
        let text = fs::read_to_string(public_of(&key)).unwrap();
        assert!(text.starts_with("untrusted comment: ") && text.lines().count() == 2, "{text}");
        let system = System { kernel: b"k", initrd: b"i", root: b"r" };
        let bytes = sign(&Signer::open(&key).unwrap(), &system, None, 1).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (manifest, signature) = (text.lines().nth(1).unwrap(), text.lines().skip(2).take(4));
        let (file, beside) = (scratch.path().join("manifest"), scratch.path().join("manifest.minisig"));
        fs::write(&file, manifest).unwrap();
        fs::write(&beside, signature.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let mut minisign = std::process::Command::new("minisign");
        let output = minisign.args(["-V", "-m"]).arg(&file).arg("-p").arg(public_of(&key)).output();
        let output = output.expect("minisign (make deps installs it)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
