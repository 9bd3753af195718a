//! What webd keeps: the hash of the password, the sum of the token and those of the sessions, in files of its own.
use super::sessions::{Sessions, from_hex, hex};
use crate::house::House;
use crate::password::{self, SALT};
use crate::perm::{WallTime, file};
use blake2::digest::Digest;
use netstack::time::Instant;
use std::io;
use std::path::Path;

const PASSWORD: &str = "/perm/webd/password";
const TOKEN: &str = "/perm/webd/token";
const SESSIONS: &str = "/perm/webd/nobackup/sessions";
/// Since when the first visit is open, in milliseconds of boot time.
pub const VISIT: &str = "/run/webd/visit";
/// Stands for a password that was forgotten, so that gokrazy's is not taken over again.
const NONE: &str = "none\n";
/// Where gokrazy has it, as it is typed.
const GOKRAZY: &str = "/perm/gokr-pw.txt";
const LARGEST: u64 = 4_096;
const OWN: u32 = 0o600;

/// Both, as far as there are any.
#[derive(Debug, Default)]
pub struct Secrets {
    password: Option<String>,
    token: Option<[u8; 32]>,
    /// There was no file of a password: not even a damaged one.
    fresh: bool,
    /// Nor was there one of gokrazy's: nobody has ever said a password.
    unset: bool,
}

impl Secrets {
    /// Reads them.
    pub fn open(house: &House) -> Secrets {
        let mut secrets = Secrets::default();
        match text(&house.path(PASSWORD)) {
            Some(kept) if kept == NONE => secrets.unset = true,
            Some(kept) => match password::parse(&kept) {
                Ok(_) => secrets.password = Some(kept),
                Err(why) => log::error!("{PASSWORD}: {why}: there is no password; set one at the console"),
            },
            None => secrets.fresh = true,
        }
        secrets.token = text(&house.path(TOKEN)).and_then(|kept| from_hex(kept.trim()));
        secrets
    }

    /// Takes a gokrazy password over where there was none yet; from then on its file means nothing. Takes a hash's time.
    pub fn take_over(&mut self, house: &House) {
        if !std::mem::take(&mut self.fresh) {
            return;
        }
        let Some(plain) = text(&house.path(GOKRAZY)) else {
            self.unset = true;
            return;
        };
        match self.set(house, plain.trim()) {
            Ok(()) => {
                log::info!("the password of {GOKRAZY} is the router's from now on; that file means nothing any more")
            }
            Err(why) => log::error!("{GOKRAZY}: {why}"),
        }
    }

    /// Keeps another password.
    ///
    /// # Errors
    /// When the disk or the kernel's random numbers refuse; the old one holds then.
    pub fn set(&mut self, house: &House, password: &str) -> Result<(), String> {
        if password.is_empty() {
            return Err("an empty password is none".into());
        }
        let kept = password::hash(password, random::<SALT>()?)?;
        write(&house.path(PASSWORD), &kept)?;
        self.password = Some(kept);
        self.unset = false;
        Ok(())
    }

    /// Forgets password and token; from now on the first visit is open, as `/run/webd/visit` says.
    ///
    /// # Errors
    /// When the disk refuses: then they still hold.
    pub fn forget(&mut self, house: &House) -> Result<(), String> {
        match std::fs::remove_file(house.path(TOKEN)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(format!("{TOKEN}: {error}")),
            _ => {}
        }
        write(&house.path(PASSWORD), NONE)?;
        (self.password, self.token, self.fresh, self.unset) = (None, None, false, true);
        let now = Instant::now().as_millis().to_string();
        file::replace(&house.path(VISIT), now.as_bytes()).map(drop).map_err(|error| format!("{VISIT}: {error}"))
    }

    /// Makes a token, of which only the sum is kept; the one before ends.
    ///
    /// # Errors
    /// As [`Secrets::set`].
    pub fn make_token(&mut self, house: &House) -> Result<String, String> {
        let token = hex(&random::<32>()?);
        let sum = sum(&token);
        write(&house.path(TOKEN), &hex(&sum))?;
        self.token = Some(sum);
        Ok(token)
    }

    /// Whether this is the password; none when there is none. Takes a hash's time.
    pub fn is_password(&self, password: &str) -> Option<bool> {
        let kept = self.password.as_ref()?;
        let right = password::is_right(kept, password);
        Some(right.unwrap_or_else(|why| {
            log::error!("{PASSWORD}: {why}");
            false
        }))
    }

    /// The sessions of before that were begun with this password; `key` is random.
    pub fn sessions(&self, house: &House, now: Instant, key: [u8; 32]) -> Sessions {
        let kept = text(&house.path(SESSIONS)).unwrap_or_default();
        let password = self.password.as_deref().unwrap_or_default();
        Sessions::read(&kept, now, wall(), password, key)
    }

    /// Writes down what has changed of them. What the disk refuses lasts until the next restart.
    pub fn keep(&self, house: &House, now: Instant, sessions: &mut Sessions) {
        let password = self.password.as_deref().unwrap_or_default();
        if let Some(text) = sessions.text(now, wall(), password)
            && let Err(error) = write(&house.path(SESSIONS), &text)
        {
            log::error!("{error}");
        }
    }

    /// Whether there is a password.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Whether nobody has ever said a password. A damaged file is none, and still somebody's.
    pub fn is_unset(&self) -> bool {
        self.unset && self.password.is_none()
    }

    /// Whether this is the token.
    pub fn is_token(&self, token: &str) -> bool {
        self.token.is_some_and(|kept| password::equal(&sum(token), &kept))
    }
}

fn wall() -> u64 {
    u64::try_from(WallTime::now().unix()).unwrap_or_default()
}

/// A token has 256 random bits: nobody guesses it, so its sum may be a quick one.
fn sum(token: &str) -> [u8; 32] {
    blake2::Blake2s256::digest(token.as_bytes()).into()
}

/// So many random bytes of the kernel.
///
/// # Errors
/// When it has none.
pub fn random<const BYTES: usize>() -> Result<[u8; BYTES], String> {
    let mut bytes = [0; BYTES];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| io::Read::read_exact(&mut file, &mut bytes));
    read.map(|()| bytes).map_err(|error| format!("/dev/urandom: {error}"))
}

fn text(path: &Path) -> Option<String> {
    let bytes = file::read_up_to(path, LARGEST).unwrap_or_else(|error| {
        log::error!("{}: {error}", path.display());
        None
    });
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    file::replace_with(path, text.as_bytes(), OWN).map(drop).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    fn house(folder: &Folder) -> House {
        House::open(["--root".into(), folder.0.clone().into_os_string()].into_iter()).unwrap()
    }

    #[test]
    fn a_password_is_kept_as_its_hash_and_read_by_nobody() {
        use std::os::unix::fs::MetadataExt;
        let folder = Folder::new();
        let house = house(&folder);
        assert_eq!(Secrets::open(&house).is_password("correct horse"), None);
        Secrets::default().set(&house, "correct horse").unwrap();
        let path = house.path(PASSWORD);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(kept.starts_with("$argon2id$") && !kept.contains("horse"));
        let secrets = Secrets::open(&house);
        assert_eq!((secrets.is_password("correct horse"), secrets.is_password("x")), (Some(true), Some(false)));
        std::fs::write(&path, "damaged").unwrap();
        let mut secrets = Secrets::open(&house);
        std::fs::write(house.path(GOKRAZY), "old").unwrap();
        secrets.take_over(&house);
        assert_eq!(secrets.is_password("old"), None, "who damages the file gains nothing");
        assert!(!secrets.is_unset(), "not even a first password");
    }

    #[test]
    fn gokrazys_password_is_taken_over_once() {
        let folder = Folder::new();
        let house = house(&folder);
        std::fs::create_dir_all(folder.0.join("perm")).unwrap();
        let old = house.path(GOKRAZY);
        std::fs::write(&old, "old\n").unwrap();
        let open = || {
            let mut secrets = Secrets::open(&house);
            secrets.take_over(&house);
            secrets
        };
        assert_eq!(open().is_password("old"), Some(true), "short as it is");
        std::fs::write(&old, "another").unwrap();
        let secrets = open();
        assert_eq!((secrets.is_password("old"), secrets.is_password("another")), (Some(true), Some(false)));
    }

    #[test]
    fn a_token_ends_with_the_next_one() {
        let folder = Folder::new();
        let house = house(&folder);
        let mut secrets = Secrets::open(&house);
        assert!(!secrets.is_token(""));
        let first = secrets.make_token(&house).unwrap();
        assert!(secrets.is_token(&first) && Secrets::open(&house).is_token(&first));
        let second = secrets.make_token(&house).unwrap();
        assert!(!secrets.is_token(&first) && secrets.is_token(&second) && first.len() == 64);
        assert!(!std::fs::read_to_string(house.path(TOKEN)).unwrap().contains(&second));
    }
}
