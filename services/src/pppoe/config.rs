//! What a person has written: the uplink's entry in interfaces.json, and the password in `secret.json`.
use super::engine::Settings;
use crate::house::House;
use crate::perm::file;
use crate::perm::interfaces::{self, PPPOE_MTU, Source};
use crate::perm::json::{self, Refusal};
use serde::Deserialize;
use std::path::Path;

/// A session that is wanted, and over which interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What carries it.
    pub carrier: String,
    /// What is wanted of it.
    pub settings: Settings,
}

/// `secret.json`.
#[derive(Deserialize)]
struct Secret {
    password: String,
}

/// The password in the bytes of `secret.json`.
///
/// # Errors
/// Names file, line and field; never the password.
pub fn password(path: &Path, bytes: &[u8]) -> Result<String, Refusal> {
    // What serde says of a wrong value has the value in it.
    let shape: serde_json::Value = json::parse(path, bytes)?;
    let password = shape.get("password").ok_or_else(|| Refusal::field(path, "password", "is missing").at(bytes))?;
    let text = password.as_str().ok_or_else(|| Refusal::field(path, "password", "is no text").at(bytes))?;
    if text.len() > 255 || text.contains('\0') {
        return Err(Refusal::field(path, "password", "has more than 255 bytes, or a zero among them").at(bytes));
    }
    json::parse::<Secret>(path, bytes).map(|secret| secret.password)
}

/// What holds now; nothing when the uplink is no PPPoE session. What is wrong is said, and `before` is kept where it can be.
pub fn read(house: &House, before: Option<&Wanted>) -> Option<Wanted> {
    let loaded = interfaces::load(house.root());
    if let Source::LastGood(refusal) | Source::Default(Some(refusal)) = &loaded.source {
        log::warn!("{refusal}");
    }
    let uplink = loaded.interfaces.uplink()?;
    let pppoe = uplink.pppoe.clone()?;
    let path = file::in_force(house.root(), rights::PPPOE_SECRET);
    let found = file::read(&path).map_err(|error| Refusal::field(&path, "the file", error));
    let password = match found.and_then(|bytes| bytes.map(|bytes| password(&path, &bytes)).transpose()) {
        Ok(Some(password)) => password,
        Ok(None) => {
            log::warn!("{} is missing: the password is taken to be empty", rights::PPPOE_SECRET);
            String::new()
        }
        Err(refusal) => {
            log::warn!("{refusal}; what held before holds");
            before.map(|before| before.settings.password.clone()).unwrap_or_default()
        }
    };
    let mtu = if uplink.mtu == 0 { PPPOE_MTU } else { uplink.mtu };
    Some(Wanted {
        carrier: uplink.parent.clone(),
        settings: Settings {
            username: pppoe.username,
            password,
            service: pppoe.service,
            ac_name: pppoe.ac_name,
            mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    #[test]
    fn a_refusal_never_says_the_password() {
        let read = |text: &str| password(Path::new("secret.json"), text.as_bytes()).map_err(|why| why.to_string());
        assert_eq!(read(r#"{"Password":"hunter2"}"#), Ok("hunter2".into()));
        assert_eq!(read(r#"{"password":""}"#), Ok(String::new()));
        for (text, words) in [
            (r#"{"password":7331}"#.to_owned(), "secret.json:1:13: password: is no text"),
            (r#"{"pass":"hunter2"}"#.to_owned(), "secret.json: password: is missing"),
            (format!("{{\"password\":\"{}\"}}", "hunter2".repeat(40)), "password: has more than 255 bytes"),
            (r#"["hunter2"]"#.to_owned(), "password: is missing"),
            (r#"{"password":"hunter2"#.to_owned(), "secret.json:1:"),
        ] {
            let why = read(&text).unwrap_err();
            assert!(why.contains(words) && !why.contains("hunter2") && !why.contains("7331"), "{why}");
        }
    }

    #[test]
    fn what_is_wanted_is_read_from_both_files() {
        let folder = Folder::new();
        let house = House::open(["--root".into(), folder.0.clone().into()].into_iter()).unwrap();
        assert_eq!(read(&house, None), None);
        std::fs::create_dir_all(folder.0.join("perm/pppoe")).unwrap();
        let text = r#"{"interfaces":[{"name":"uplink0","mtu":1500,"pppoe":{"username":"a@isp","ac_name":"x"}}]}"#;
        std::fs::write(folder.0.join("perm/interfaces.json"), text).unwrap();
        let wanted = read(&house, None).unwrap();
        assert_eq!((wanted.settings.password.as_str(), wanted.settings.mtu), ("", 1500));
        assert_eq!((wanted.carrier.as_str(), wanted.settings.ac_name.as_str()), ("uplink0-eth", "x"));
        let secret = folder.0.join("perm/pppoe/secret.json");
        std::fs::write(&secret, r#"{"password":"p"}"#).unwrap();
        let wanted = read(&house, None).unwrap();
        assert_eq!(wanted.settings.password, "p");
        std::fs::write(&secret, r#"{"password":"#).unwrap();
        assert_eq!(read(&house, Some(&wanted)).unwrap(), wanted, "the password of before");
    }
}
