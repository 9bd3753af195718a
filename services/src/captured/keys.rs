//! Who may look on (`/perm/authorized_keys`, which a person writes), and who we are (`/perm/captured/host_key`).
use crate::house::House;
use crate::perm::file;
use crate::perm::json::Refusal;
use base64ct::{Base64, Encoding};
use std::io::Read;
use std::path::Path;
use sunset::packets::Ed25519PubKey;
use sunset::sshwire::Blob;
use sunset::{PubKey, SignKey};

const HOST_KEY: &str = "/perm/captured/host_key";
const LARGEST: u64 = 64 << 10;
/// Keys that are looked at.
const MOST: usize = 256;
const KIND: &str = "ssh-ed25519";

/// Public keys of who may look on, of 32 bytes each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorized(Vec<[u8; 32]>);

impl Authorized {
    /// Reads them: anew for each client, so that nothing has to be told.
    pub fn read(house: &House) -> Authorized {
        let path = file::in_force(house.root(), rights::AUTHORIZED_KEYS);
        let bytes = file::read_up_to(&path, LARGEST).unwrap_or_else(|error| {
            log::error!("{}: {error}", path.display());
            None
        });
        let keys = parse(&String::from_utf8_lossy(&bytes.unwrap_or_default()));
        Authorized(keys.into_iter().filter_map(Result::ok).take(MOST).collect())
    }

    /// Whether nobody may.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is one of them.
    pub fn has(&self, key: &PubKey<'_>) -> bool {
        matches!(key, PubKey::Ed25519(Ed25519PubKey { key: Blob(key) }) if self.0.contains(key))
    }
}

/// Whether every line of the file is understood.
///
/// # Errors
/// Names file and line.
pub fn check(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    let keys = parse(&String::from_utf8_lossy(bytes));
    if keys.len() > MOST {
        return Err(Refusal::field(path, "the file", format!("has more than {MOST} keys")));
    }
    keys.into_iter().find_map(Result::err).map_or(Ok(()), |number| {
        Err(Refusal::field(path, &format!("line {number}"), format!("is no key of type {KIND} without options")))
    })
}

/// The lines of sshd(8): options, type, key, comment; a line's number where it is none of ours. Only plain Ed25519 keys
/// count: one with options would be allowed more here than where it comes from.
fn parse(text: &str) -> Vec<Result<[u8; 32], usize>> {
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let key = |line: &str| line.strip_prefix(KIND)?.split_ascii_whitespace().next().and_then(blob);
    lines.map(|(at, line)| key(line).ok_or(at + 1)).collect()
}

/// RFC 8709: two strings, the type and the key.
fn blob(text: &str) -> Option<[u8; 32]> {
    let bytes = Base64::decode_vec(text).ok()?;
    let rest = bytes.strip_prefix(&[0, 0, 0, 11])?.strip_prefix(KIND.as_bytes())?;
    rest.strip_prefix(&[0, 0, 0, 32])?.try_into().ok()
}

/// Our key, made at the first start.
///
/// # Errors
/// In words, when the kernel has no random numbers. A disk that refuses is only logged: the key then ends with the process.
pub fn host_key(house: &House) -> Result<SignKey, String> {
    let path = house.path(HOST_KEY);
    let seed = match file::read_up_to(&path, LARGEST) {
        Ok(Some(bytes)) => match <[u8; 32]>::try_from(bytes) {
            Ok(seed) => Some(seed),
            Err(bytes) => {
                log::error!("{HOST_KEY}: {} bytes instead of 32: another one is made", bytes.len());
                None
            }
        },
        Ok(None) => None,
        Err(error) => return Err(format!("{HOST_KEY}: {error}")),
    };
    let seed = match seed {
        Some(seed) => seed,
        None => {
            let mut seed = [0; 32];
            let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed));
            read.map_err(|error| format!("/dev/urandom: {error}"))?;
            if let Err(error) = file::replace_with(&path, &seed, 0o600) {
                log::error!("{HOST_KEY}: {error}: the key is forgotten with the process");
            }
            seed
        }
    };
    Ok(SignKey::Ed25519(sunset::ed25519_dalek::SigningKey::from_bytes(&seed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    #[test]
    fn lines_are_keys_or_passed_over() {
        let wire = [&[0, 0, 0, 11][..], KIND.as_bytes(), &[0, 0, 0, 32], &[7; 32]].concat();
        let good = Base64::encode_string(&wire);
        let text = format!(
            "# mine\n\nssh-ed25519 {good} me@laptop\n  ssh-ed25519 {good}\nssh-rsa AAAA x\n\
             command=\"ls\" ssh-ed25519 {good}\nssh-ed25519 !\nssh-ed25519\nssh-ed25519 {}\n",
            Base64::encode_string(&wire[..50])
        );
        let (key, none) = (Ok([7; 32]), Err);
        assert_eq!(parse(&text), [key, key, none(5), none(6), none(7), none(8), none(9)]);
        let said = |text: &str| check(Path::new("authorized_keys"), text.as_bytes()).map_err(|why| why.to_string());
        assert!(said(&format!("ssh-ed25519 {good} a\n#")).is_ok());
        assert!(said(&text).unwrap_err().starts_with("authorized_keys: line 5: "), "{:?}", said(&text));
    }

    #[test]
    fn the_host_key_is_made_once_and_is_nobody_elses() {
        use std::os::unix::fs::MetadataExt;
        let folder = Folder::new();
        let house = House::open(["--root".into(), folder.0.clone().into_os_string()].into_iter()).unwrap();
        let public = |key: &SignKey| format!("{:?}", key.pubkey());
        let first = public(&host_key(&house).unwrap());
        assert_eq!(public(&host_key(&house).unwrap()), first);
        let path = house.path(HOST_KEY);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        std::fs::write(&path, "short").unwrap();
        assert_ne!(public(&host_key(&house).unwrap()), first);
        assert!(Authorized::read(&house).is_empty());
    }
}
