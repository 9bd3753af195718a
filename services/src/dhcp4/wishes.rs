//! `client.json`: what a provider wants to be told and asked, as a person writes it, and its checked form.
use crate::perm::file;
use crate::perm::json::{self, Refusal, or_zero};
use serde::Deserialize;
use std::path::Path;

/// Asked for in every message. 121 stands before 3 and 33, as RFC 3442 wants it.
const REQUEST: &[u8] = &[1, 121, 3, 6, 12, 15, 26, 33, 42, 51, 54, 58, 59];
/// Options that the client itself writes, or that are no options.
const RESERVED: &[u8] = &[0, 12, 50, 51, 52, 53, 54, 55, 60, 61, 77, 255];
/// Bytes that one option holds.
const LONGEST: usize = 255;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
struct Written {
    /// Option 12; absent = the host's name, empty = none.
    hostname: Option<String>,
    /// Option 61: `hex:` and digits, or text, which gets the type 0 before it.
    client_id: Option<String>,
    #[serde(deserialize_with = "or_zero")]
    vendor_class: String,
    #[serde(deserialize_with = "or_zero")]
    user_class: String,
    #[serde(deserialize_with = "or_zero")]
    options: Vec<Raw>,
    request: Option<Vec<u8>>,
}

/// An option as it goes on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Raw {
    code: u8,
    #[serde(default)]
    hex: String,
}

/// What is told and asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// Option 12; empty = left out.
    pub hostname: String,
    /// Option 61; `None` = of the hardware address.
    pub client_id: Option<Vec<u8>>,
    /// Option 60; empty = left out.
    pub vendor_class: String,
    /// Option 77, one class; empty = left out.
    pub user_class: String,
    /// Further options.
    pub options: Vec<(u8, Vec<u8>)>,
    /// Option 55.
    pub request: Vec<u8>,
}

impl Wishes {
    /// Without a file.
    pub fn defaults(hostname: &str) -> Wishes {
        Wishes {
            hostname: hostname.to_owned(),
            client_id: None,
            vendor_class: String::new(),
            user_class: String::new(),
            options: Vec::new(),
            request: REQUEST.to_vec(),
        }
    }

    /// Reads the file; the defaults when there is none. `hostname` is the host's own.
    ///
    /// # Errors
    /// Names file, line, field and value.
    pub fn read(path: &Path, hostname: &str) -> Result<Wishes, Refusal> {
        let bytes = file::read(path).map_err(|error| Refusal::field(path, "the file", error))?;
        bytes.map_or_else(|| Ok(Wishes::defaults(hostname)), |bytes| Wishes::parse(path, &bytes, hostname))
    }

    /// What the file's bytes say.
    ///
    /// # Errors
    /// Names file, line, field and value.
    pub fn parse(path: &Path, bytes: &[u8], hostname: &str) -> Result<Wishes, Refusal> {
        let refuse = |field: &str, words: String| Err(Refusal::field(path, field, words).at(bytes));
        let written: Written = json::parse(path, bytes)?;
        let mut wishes = Wishes::defaults(written.hostname.as_deref().unwrap_or(hostname));
        for (field, text) in [
            ("hostname", &wishes.hostname),
            ("vendor_class", &written.vendor_class),
            ("user_class", &written.user_class),
        ] {
            if text.len() >= LONGEST {
                return refuse(field, format!("{} bytes are too long, {} at most", text.len(), LONGEST - 1));
            }
        }
        if let Some(text) = &written.client_id {
            let id = match text.strip_prefix("hex:") {
                Some(digits) => bytes_of(digits),
                None => Some([&[0], text.as_bytes()].concat()),
            };
            match id.filter(|id| (2..=LONGEST).contains(&id.len())) {
                Some(id) => wishes.client_id = Some(id),
                None => {
                    return refuse("client_id", format!("{text:?} is not text, or hex: and digits, of 2 to 255 bytes"));
                }
            }
        }
        for (at, option) in written.options.iter().enumerate() {
            if RESERVED.contains(&option.code) {
                return refuse(&format!("options[{at}].code"), format!("{} is not to be set here", option.code));
            }
            match bytes_of(&option.hex).filter(|value| value.len() <= LONGEST) {
                Some(value) => wishes.options.push((option.code, value)),
                None => {
                    return refuse(
                        &format!("options[{at}].hex"),
                        format!("{:?} is not up to 255 bytes in hex", option.hex),
                    );
                }
            }
        }
        if let Some(request) = written.request {
            if request.is_empty() || request.len() > LONGEST || request.contains(&0) || request.contains(&255) {
                return refuse("request", format!("{request:?} is not a list of 1 to 255 option codes"));
            }
            wishes.request = request;
        }
        (wishes.vendor_class, wishes.user_class) = (written.vendor_class, written.user_class);
        Ok(wishes)
    }
}

/// Hexadecimal digits, with or without colons between bytes.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    fn read(text: &str) -> Result<Wishes, String> {
        let folder = Folder::new();
        let path = folder.0.join("client.json");
        std::fs::write(&path, text).unwrap();
        Wishes::read(&path, "weir").map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn what_is_not_said_keeps_its_default() {
        assert_eq!(read("{}").unwrap(), Wishes::defaults("weir"));
        let wishes = read(
            r#"{"hostname":"","client_id":"hex:00:01:ff","vendor_class":"isp","user_class":"home",
            "options":[{"code":125,"hex":"0a0b"}],"request":[1,3]}"#,
        )
        .unwrap();
        let want = Wishes {
            hostname: String::new(),
            client_id: Some(vec![0, 1, 255]),
            vendor_class: "isp".into(),
            user_class: "home".into(),
            options: vec![(125, vec![10, 11])],
            request: vec![1, 3],
        };
        assert_eq!(wishes, want);
        assert_eq!(read(r#"{"client_id":"me"}"#).unwrap().client_id, Some(b"\0me".to_vec()));
    }

    #[test]
    fn a_refusal_names_field_and_value() {
        let long = "x".repeat(255);
        for (text, field, value) in [
            (r#"{"client_id":"hex:0"}"#.to_owned(), "client_id", "hex:0"),
            (r#"{"client_id":""}"#.to_owned(), "client_id", "\"\""),
            (r#"{"options":[{"code":53,"hex":"01"}]}"#.to_owned(), "options[0].code", "53"),
            (r#"{"options":[{"code":9,"hex":"xy"}]}"#.to_owned(), "options[0].hex", "xy"),
            (r#"{"options":[{"code":300}]}"#.to_owned(), "options[0].code", "300"),
            (r#"{"request":[]}"#.to_owned(), "request", "[]"),
            (format!(r#"{{"vendor_class":"{long}"}}"#), "vendor_class", "255"),
        ] {
            let words = read(&text).unwrap_err();
            assert!(words.contains("client.json") && words.contains(field) && words.contains(value), "{words}");
        }
    }
}
