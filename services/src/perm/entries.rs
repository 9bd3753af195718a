//! Lists of entries in files that a person writes: an entry that is refused is left out by itself, with a line that
//! names it; and what entries of several files say in the same words.
use super::Mac;
use super::json::Refusal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::path::Path;

/// What is wrong with an entry: field, words.
pub type Wrong = (&'static str, String);

/// A device at home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// Who has this address.
    Address(Ipv4Addr),
    /// Whose lease has this name.
    Named(String),
    /// Whose lease has this hardware address.
    Hardware(Mac),
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Device::Named(name) => write!(f, "{name:?}"),
            Device::Hardware(mac) => mac.fmt(f),
            Device::Address(address) => address.fmt(f),
        }
    }
}

impl Device {
    /// By its hardware address, or by its name.
    pub fn named(text: &str) -> Device {
        text.parse().map_or_else(|_| Device::Named(text.to_owned()), Device::Hardware)
    }
}

/// An entry of a list, as far as it was read.
pub trait Item<E> {
    /// What it says.
    ///
    /// # Errors
    /// When it is not of that form; names the field.
    fn read(self, path: &Path, place: &str) -> Result<E, Refusal>;
}

/// An entry of a file that was read in one go, since nothing is wrong with its form.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Right<E>(E);

impl<E> Item<E> for Right<E> {
    fn read(self, _: &Path, _: &str) -> Result<E, Refusal> {
        Ok(self.0)
    }
}

impl<E: DeserializeOwned> Item<E> for Value {
    fn read(self, path: &Path, place: &str) -> Result<E, Refusal> {
        serde_path_to_error::deserialize(self).map_err(|error| {
            let field = error.path().to_string();
            let field = if field == "." { place.to_owned() } else { format!("{place}.{field}") };
            Refusal::field(path, &field, error.inner())
        })
    }
}

/// What the entries of a list say; those that are refused are left out, each by itself.
pub fn each<T, E>(
    path: &Path,
    list: &str,
    entries: Vec<impl Item<E>>,
    refused: &mut Vec<Refusal>,
    mut check: impl FnMut(&str, &E) -> Result<Vec<T>, Wrong>,
) -> Vec<T> {
    let mut all = Vec::with_capacity(entries.len());
    for (at, item) in entries.into_iter().enumerate() {
        let place = [list, "[", &at.to_string(), "]"].concat();
        let wrong = |(field, words): Wrong| Refusal::field(path, &format!("{place}.{field}"), words);
        match item.read(path, &place).and_then(|entry| check(&place, &entry).map_err(wrong)) {
            Ok(some) => all.extend(some),
            Err(refusal) => refused.push(refusal),
        }
    }
    all
}

/// Refusals whose place in the file is looked up: each is a walk through the file.
const LOCATED: usize = 100;

/// Gives refusals their places in the file.
pub fn located(refused: Vec<Refusal>, bytes: &[u8]) -> Vec<Refusal> {
    let place = |(at, refusal): (usize, Refusal)| if at < LOCATED { refusal.at(bytes) } else { refusal };
    refused.into_iter().enumerate().map(place).collect()
}

/// How messages name an entry: by its place and the name that a person gave it.
pub fn described(place: &str, name: &str) -> String {
    if name.is_empty() { place.to_owned() } else { format!("{place} ({})", name.escape_debug()) }
}

/// Protocols by their names, `IPPROTO_*`; TCP where none is named.
///
/// # Errors
/// When it is another protocol.
pub fn protocols(text: &str) -> Result<Vec<u8>, Wrong> {
    let number = |word: &str| match word {
        "" | "tcp" => Ok(6),
        "udp" => Ok(17),
        _ => Err(("proto", format!("{word:?} is neither tcp nor udp"))),
    };
    let mut all = text.split(',').map(number).collect::<Result<Vec<u8>, Wrong>>()?;
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// `80` or `80-90`.
///
/// # Errors
/// When it is not ports, 1 to 65535, the smaller first.
pub fn range(field: &'static str, text: &str) -> Result<(u16, u16), Wrong> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |word: &str| {
        let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        if digits && word.len() > 1 && word.starts_with('0') {
            // router7 reads such a number in base 8.
            return Err((field, format!("{text:?}: {word:?} begins with 0, which may mean two numbers")));
        }
        let number = word.parse::<u16>().ok().filter(|number| digits && *number != 0);
        number.ok_or_else(|| (field, format!("{text:?}: {word:?} is not a port, 1 to 65535")))
    };
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err((field, format!("{text:?} ends before it begins")));
    }
    Ok((first, last))
}

/// A value of its own form; `what` says which.
///
/// # Errors
/// When it is not of that form.
pub fn parse<T: std::str::FromStr>(field: &'static str, text: &str, what: &str) -> Result<T, Wrong> {
    text.parse().map_err(|_| (field, format!("{text:?} is not {what}")))
}

/// The same; an empty text is none.
///
/// # Errors
/// When it is not of that form.
pub fn optional<T: std::str::FromStr>(field: &'static str, text: &str, what: &str) -> Result<Option<T>, Wrong> {
    if text.is_empty() { Ok(None) } else { parse(field, text, what).map(Some) }
}

/// Labels of letters, digits, `-` and `_`; the last one is no number, as in an address that was written wrongly.
pub fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(letter)
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}
