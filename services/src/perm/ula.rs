//! The LAN's own IPv6 prefixes: `/perm/radvd/prefixes.json` (router7's: networks as Go writes them), else the one that
//! radvd has made (RFC 4193) and keeps in `/perm/radvd/ula.json`.
use super::json::{self, Refusal};
use super::{file, lease6::GoNet};
use ipnet::Ipv6Net;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// `ula.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ula {
    /// A /48 in fd00::/8.
    pub prefix: Ipv6Net,
}

/// The prefixes in force under a root; none before radvd has made one. What cannot be read is complained of.
pub fn read(root: &Path) -> (Vec<Ipv6Net>, Option<Refusal>) {
    match by_hand(root) {
        Ok(Some(nets)) => return (nets, None),
        Ok(None) => {}
        Err(refusal) => return (read_ula(root).unwrap_or_default().into_iter().collect(), Some(refusal)),
    }
    match read_ula(root) {
        Ok(net) => (net.into_iter().collect(), None),
        Err(refusal) => (Vec::new(), Some(refusal)),
    }
}

fn by_hand(root: &Path) -> Result<Option<Vec<Ipv6Net>>, Refusal> {
    let path = file::in_force(root, rights::PREFIXES);
    let bytes = file::read(&path).map_err(|error| Refusal::field(&path, "the file", error))?;
    bytes.map(|bytes| parse(&path, &bytes)).transpose()
}

/// What the bytes of prefixes.json say.
///
/// # Errors
/// Names file, line, field and value.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Ipv6Net>, Refusal> {
    Ok(json::parse::<Vec<GoNet>>(path, bytes)?.iter().map(|net| net.0.trunc()).collect())
}

/// The kept prefix; `None` before one was made.
///
/// # Errors
/// When the file cannot be read or holds anything but a /48 in fd00::/8.
pub fn read_ula(root: &Path) -> Result<Option<Ipv6Net>, Refusal> {
    let Some(Ula { prefix }) = read_one(root, rights::ULA)? else { return Ok(None) };
    if prefix.prefix_len() != 48 || prefix.network().octets()[0] != 0xfd {
        return Err(Refusal::field(Path::new(rights::ULA), "prefix", format!("{prefix} is not a /48 in fd00::/8")));
    }
    Ok(Some(prefix.trunc()))
}

fn read_one<T: DeserializeOwned>(root: &Path, absolute: &str) -> Result<Option<T>, Refusal> {
    let path = root.join(absolute.trim_start_matches('/'));
    match file::read(&path) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => json::parse(&path, &bytes).map(Some),
        Err(error) => Err(Refusal::field(&path, "the file", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    #[test]
    fn router7s_file_comes_first() {
        let folder = Folder::new();
        assert_eq!(read(&folder.0), (Vec::new(), None));
        let radvd = folder.0.join("perm/radvd");
        std::fs::create_dir_all(&radvd).unwrap();
        let ula: Ipv6Net = "fd12:3456:789a::/48".parse().unwrap();
        std::fs::write(radvd.join("ula.json"), json::write(&Ula { prefix: ula })).unwrap();
        assert_eq!(read(&folder.0), (vec![ula], None));
        std::fs::write(radvd.join("prefixes.json"), r#"[{"IP":"fdaa::","Mask":"//////////8AAAAAAAAAAA=="}]"#).unwrap();
        assert_eq!(read(&folder.0), (vec!["fdaa::/64".parse().unwrap()], None));
        std::fs::write(radvd.join("prefixes.json"), "[{").unwrap();
        let (nets, refusal) = read(&folder.0);
        assert_eq!(nets, [ula]);
        assert!(refusal.unwrap().to_string().contains("prefixes.json"));
    }

    #[test]
    fn what_is_not_ours_to_use_is_refused() {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("perm/radvd")).unwrap();
        for wrong in ["2001:db8::/48", "fd00::/8", "fd12:3456:789a::/64"] {
            std::fs::write(folder.0.join("perm/radvd/ula.json"), format!("{{\"prefix\":\"{wrong}\"}}")).unwrap();
            let words = read(&folder.0).1.unwrap().to_string();
            assert!(words.contains("prefix") && words.contains(wrong), "{words}");
        }
    }
}
