//! Names below a machine's own, which it has asked for by `/dyndns`, kept in `/perm/dnsd/subnames.json`.
use super::engine::local::Subname;
use crate::perm::file;
use crate::perm::json::{self, Refusal, or_zero};
use crate::perm::resolver::is_label;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::Path;

/// Where they are kept.
pub const FILE: &str = "/perm/dnsd/subnames.json";
/// Names below one machine's, and of all.
const MOST_OF_ONE: usize = 32;
const MOST: usize = 512;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    #[serde(default, deserialize_with = "or_zero")]
    subnames: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    host: String,
    name: String,
    address: IpAddr,
}

/// Reads the file; none when there is none.
///
/// # Errors
/// Names file, line and field.
pub fn read(path: &Path) -> Result<Vec<Subname>, Refusal> {
    let bytes = file::read(path).map_err(|error| Refusal::field(path, "the file", error))?;
    let written: Written = bytes.map_or_else(|| Ok(Written::default()), |bytes| json::parse(path, &bytes))?;
    let rows = written.subnames.into_iter().filter(|row| is_label(&row.host) && is_label(&row.name)).take(MOST);
    Ok(rows.map(|row| Subname { host: row.host, name: row.name, address: row.address }).collect())
}

/// The file's bytes.
pub fn write(subnames: &[Subname]) -> Vec<u8> {
    let row = |sub: &Subname| Row { host: sub.host.clone(), name: sub.name.clone(), address: sub.address };
    json::write(&Written { subnames: subnames.iter().map(row).collect() })
}

/// Gives a name below `host` an address, instead of the one it had; says whether that changed anything.
///
/// # Errors
/// Says what is wrong with it.
pub fn set(subnames: &mut Vec<Subname>, host: &str, name: &str, address: IpAddr) -> Result<bool, String> {
    if !is_label(name) {
        return Err(format!("host={name:?} is no label of letters, digits, '-' and '_'"));
    }
    let (host, name) = (host.to_ascii_lowercase(), name.to_ascii_lowercase());
    if let Some(known) = subnames.iter_mut().find(|sub| sub.host == host && sub.name == name) {
        return Ok(std::mem::replace(&mut known.address, address) != address);
    }
    if subnames.len() >= MOST || subnames.iter().filter(|sub| sub.host == host).count() >= MOST_OF_ONE {
        return Err("there are too many names already".to_owned());
    }
    subnames.push(Subname { host, name, address });
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    #[test]
    fn set_changed_bounded_and_read_again() {
        let mut subnames = Vec::new();
        let ip = |last: u8| IpAddr::from([192, 168, 42, last]);
        assert_eq!(set(&mut subnames, "Xps", "WWW", ip(1)), Ok(true));
        assert_eq!(set(&mut subnames, "xps", "www", ip(1)), Ok(false));
        assert_eq!(set(&mut subnames, "xps", "www", ip(2)), Ok(true));
        assert!(set(&mut subnames, "xps", "a.b", ip(2)).is_err());
        for number in 1..32 {
            assert_eq!(set(&mut subnames, "xps", &format!("n{number}"), ip(3)), Ok(true));
        }
        assert!(set(&mut subnames, "xps", "more", ip(2)).is_err());
        assert_eq!(set(&mut subnames, "other", "more", "fd00::1".parse().unwrap()), Ok(true));
        let folder = Folder::new();
        let path = folder.0.join("subnames.json");
        assert_eq!(read(&path).unwrap(), []);
        std::fs::write(&path, write(&subnames)).unwrap();
        assert_eq!(read(&path).unwrap(), subnames);
        std::fs::write(&path, "{\"subnames\":7}").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("subnames.json:1:"));
    }
}
