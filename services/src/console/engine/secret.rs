//! A password typed twice, of which nothing is shown.
use std::fmt;

/// Bytes that are taken; what is longer is no password anyway.
const MOST: usize = 256;

/// What a key amounted to.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nothing more.
    Nothing,
    /// The first time is over; it is asked for again.
    Again,
    /// The same twice.
    Same(String),
    /// Given up; why.
    Not(&'static str),
}

/// A password in the making.
#[derive(Default, PartialEq, Eq)]
pub struct Secret {
    first: Option<Vec<u8>>,
    typed: Vec<u8>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Takes a byte.
    pub fn key(&mut self, byte: u8) -> Typed {
        match byte {
            b'\r' | b'\n' => self.enter(),
            0x03 => Typed::Not("nothing has changed"),
            0x15 => {
                self.typed.clear();
                Typed::Nothing
            }
            0x08 | 0x7f => {
                // A letter may be several bytes, of which all but the first begin with 10.
                while self.typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
                Typed::Nothing
            }
            _ if self.typed.len() < MOST => {
                self.typed.push(byte);
                Typed::Nothing
            }
            _ => Typed::Nothing,
        }
    }

    fn enter(&mut self) -> Typed {
        let typed = std::mem::take(&mut self.typed);
        match self.first.take() {
            None if typed.is_empty() => Typed::Not("nothing has changed"),
            None => {
                self.first = Some(typed);
                Typed::Again
            }
            Some(first) if first != typed => Typed::Not("these are two: nothing has changed"),
            Some(_) => match String::from_utf8(typed) {
                Ok(text) => Typed::Same(text),
                Err(_) => Typed::Not("this is no text (UTF-8): nothing has changed"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(text: &str) -> Vec<Typed> {
        let mut secret = Secret::default();
        text.bytes().map(|byte| secret.key(byte)).filter(|typed| *typed != Typed::Nothing).collect()
    }

    #[test]
    fn twice_the_same_or_not_at_all() {
        assert_eq!(types("grün\x7fx\rgrüx\r"), [Typed::Again, Typed::Same("grüx".into())]);
        assert_eq!(types("\u{fc}\x7fa\rb\x15a\r"), [Typed::Again, Typed::Same("a".into())]);
        assert!(matches!(types("a\rb\r")[..], [Typed::Again, Typed::Not(_)]));
        assert!(matches!(types("\r")[..], [Typed::Not(_)]));
        assert!(matches!(types("ab\x03")[..], [Typed::Not(_)]));
        assert!(matches!(types(&format!("{}\r{}\r", "x".repeat(300), "x".repeat(256)))[..], [_, Typed::Same(_)]));
    }
}
