//! Keys of WireGuard, and their form in base64 (RFC 4648, section 4).
use std::fmt;
use std::str::FromStr;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes of a key, and letters of its text.
pub const LENGTH: usize = 32;
const TEXT: usize = 44;

/// A peer's public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; LENGTH]);

/// A private or preshared key: nothing shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; LENGTH]);

/// A text that is no key; what it was is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoKey;

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(TEXT);
        for group in self.0.chunks(3) {
            let bits = group.iter().enumerate().fold(0, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
            for at in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
                text.push(if at > group.len() { '=' } else { char::from(letter) });
            }
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Key, NoKey> {
        decode(text).map(Key)
    }
}

impl FromStr for Secret {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Secret, NoKey> {
        decode(text).map(Secret)
    }
}

/// 43 letters and `=`; the last letter's two spare bits are zero.
fn decode(text: &str) -> Result<[u8; LENGTH], NoKey> {
    let letters = text.strip_suffix('=').filter(|_| text.len() == TEXT).ok_or(NoKey)?;
    let mut key = [0; LENGTH];
    let (mut bits, mut held, mut at) = (0u32, 0, 0);
    for letter in letters.bytes() {
        let value = LETTERS.iter().position(|known| *known == letter).ok_or(NoKey)?;
        bits = bits << 6 | value as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            *key.get_mut(at).ok_or(NoKey)? = (bits >> held) as u8;
            bits &= (1 << held) - 1;
            at += 1;
        }
    }
    if at == LENGTH && bits == 0 { Ok(key) } else { Err(NoKey) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_whole_keys_are_taken() {
        let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let key: Key = text.parse().unwrap();
        assert_eq!((key.0[31], key.to_string().as_str()), (31, text));
        for wrong in
            ["", "AAAA", &text[1..], &text.replace('=', "A"), &text.replace("8=", "9="), &text.replace('A', "-")]
        {
            assert_eq!(wrong.parse::<Key>(), Err(NoKey), "{wrong}");
        }
        assert_eq!(format!("{:?}", Secret(key.0)), "(secret)");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes: [u8; LENGTH]) {
            prop_assert_eq!(Key(bytes).to_string().parse(), Ok(Key(bytes)));
        }

        #[test]
        fn any_text_is_met(text in ".{40,48}") {
            let _ = text.parse::<Key>();
        }
    }
}
