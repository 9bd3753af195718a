//! JSON as Go reads it: keys match in any case, unknown keys are ignored, missing and null fields keep their zero.
//!
//! Keys are lower-cased in the text before serde sees it. ASCII lower-casing keeps every byte's place, so the line
//! and column of an error are those of the file as it was written.
mod locate;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use std::fmt;
use std::path::Path;

/// A refusal: file, place, field and value, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    file: String,
    /// Line and column, from 1 on, where they are known.
    place: Option<(usize, usize)>,
    /// The field's path in the file, or "the file".
    field: String,
    words: String,
}

impl Refusal {
    /// For a value that is well-formed JSON but not acceptable: `file`, `field` and words that contain the value.
    pub fn field(file: &Path, field: &str, words: impl fmt::Display) -> Refusal {
        let file = file.display().to_string();
        Refusal { file, place: None, field: field.to_owned(), words: words.to_string() }
    }

    /// The same, with the line and column where its field stands in the file's bytes.
    #[must_use]
    pub fn at(mut self, bytes: &[u8]) -> Refusal {
        self.place = self.place.or_else(|| locate::place(bytes, &self.field));
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { file, place, field, words } = self;
        match place {
            Some((line, column)) => write!(f, "{file}:{line}:{column}: {field}: {words}"),
            None => write!(f, "{file}: {field}: {words}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Parses `bytes`, read from `file`.
///
/// # Errors
/// Names the file, line, column, field and what was found there.
pub fn parse<T: DeserializeOwned>(file: &Path, bytes: &[u8]) -> Result<T, Refusal> {
    let mut text = bytes.to_vec();
    lower_keys(&mut text);
    let mut deserializer = serde_json::Deserializer::from_slice(&text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        let field = if field == "." { "the file".to_owned() } else { field };
        let words = error.inner().to_string();
        // serde_json ends with " at line L column C"; the place goes to the front, as compilers put it.
        let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
        let place = Some((error.inner().line(), error.inner().column()));
        Refusal { place, ..Refusal::field(file, &field, words) }
    })?;
    deserializer.end().map_err(|error| {
        let place = Some((error.line(), error.column()));
        Refusal { place, ..Refusal::field(file, "the file", "something stands behind its end") }
    })?;
    Ok(value)
}

/// The same for bytes that are hoped to be right; `None` when they are not, and [`parse`] can say why.
pub fn parse_right<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let mut text = bytes.to_vec();
    lower_keys(&mut text);
    serde_json::from_slice(&text).ok()
}

/// Serialises as Go does: `<`, `>` and `&` escaped.
pub fn write<T: serde::Serialize>(value: &T) -> Vec<u8> {
    escape(serde_json::to_vec(value).unwrap_or_default())
}

/// Serialises as Go's `MarshalIndent(v, "", "\t")` does.
#[cfg(test)]
pub fn write_indented<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, format);
    // Our types have string keys and write to memory: there is nothing that can fail.
    let _ = value.serialize(&mut serializer);
    escape(bytes)
}

/// `#[serde(deserialize_with)]`: null is the zero value.
///
/// # Errors
/// Those of the inner type.
pub fn or_zero<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

// The three bytes can stand in a JSON text only inside strings.
fn escape(bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.iter().any(|byte| matches!(byte, b'<' | b'>' | b'&')) {
        return bytes;
    }
    let mut escaped = Vec::with_capacity(bytes.len() + 64);
    for byte in bytes {
        match byte {
            b'<' | b'>' | b'&' => escaped.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => escaped.push(byte),
        }
    }
    escaped
}

// A key is a string that is followed by a colon.
fn lower_keys(text: &mut [u8]) {
    let mut rest = text;
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let inside = rest.split_at_mut(start + 1).1;
        let mut end = 0;
        while let Some(more) = inside[end..].iter().position(|byte| matches!(byte, b'"' | b'\\')) {
            end += more;
            if inside[end] == b'"' {
                break;
            }
            // A backslash and what it stands before.
            end = (end + 2).min(inside.len());
        }
        if inside.get(end) != Some(&b'"') {
            return;
        }
        let (string, behind) = inside.split_at_mut(end);
        let behind = behind.split_at_mut(1).1;
        if behind.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':') {
            string.make_ascii_lowercase();
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq, Default)]
    #[serde(default)]
    struct Sample {
        #[serde(deserialize_with = "or_zero")]
        name: String,
        #[serde(deserialize_with = "or_zero")]
        list: Vec<u8>,
    }

    fn read(text: &str) -> Result<Sample, String> {
        parse(Path::new("/perm/x.json"), text.as_bytes()).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn takes_what_go_takes() {
        let want = Sample { name: "Ä \"Name\":".into(), list: vec![1] };
        assert_eq!(read(r#"{"NAME" : "Ä \"Name\":", "List":[1], "other":{"Name":3}}"#), Ok(want));
        assert_eq!(read(r#"{"name":null,"list":null}"#), Ok(Sample::default()));
        assert_eq!(read("{}"), Ok(Sample::default()));
    }

    #[test]
    fn a_refusal_names_file_line_field_and_value() {
        let error = read("{\n \"name\": \"a\",\n \"List\": [1, \"two\"]\n}").unwrap_err();
        assert!(error.starts_with("/perm/x.json:3:"), "{error}");
        assert!(error.contains("list[1]") && error.contains("\"two\""), "{error}");
        assert!(read("").is_err());
        assert_eq!(read("{} x").unwrap_err(), "/perm/x.json:1:4: the file: something stands behind its end");
    }

    #[test]
    fn text_cut_anywhere_never_panics() {
        let text = br#"{"NAME":"a\"b\\","list":[1,2]}"#;
        for end in 0..text.len() {
            assert!(parse::<Sample>(Path::new("x"), &text[..end]).is_err());
        }
    }

    #[test]
    fn writes_as_go_writes() {
        assert_eq!(write(&"a<b>&"), br#""a\u003cb\u003e\u0026""#);
        assert_eq!(write_indented(&vec![1]), b"[\n\t1\n]");
    }
}
