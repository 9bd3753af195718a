//! Files typed or pasted at the prompt: a name, the text, a line with a dot; an empty name ends.
use std::collections::BTreeMap;

/// Longest line, in bytes.
const LONGEST: usize = 4_096;
/// All files together, in bytes.
const MOST: usize = 1 << 20;

/// Said before the first name.
pub const HOW: &str =
    "each file: its name, its text, a line with a dot; an empty name ends; Ctrl-C forgets all\nfile: ";

/// What a byte amounted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pasted {
    /// Nothing more than its echo.
    Nothing,
    /// All files are here.
    Files(BTreeMap<String, String>),
    /// Given up; why.
    Not(String),
}

/// Files in the making.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Paste {
    /// How long the files are to be tried, in seconds; none = kept at once.
    pub confirm: Option<u64>,
    files: BTreeMap<String, String>,
    /// The file that is being typed.
    name: Option<String>,
    text: Vec<u8>,
    line: Vec<u8>,
    size: usize,
    after_return: bool,
}

impl Paste {
    /// None yet.
    pub fn new(confirm: Option<u64>) -> Paste {
        Paste { confirm, ..Paste::default() }
    }

    /// Takes one byte; its echo is appended to `echo`.
    pub fn key(&mut self, byte: u8, echo: &mut String) -> Pasted {
        let pair = std::mem::replace(&mut self.after_return, byte == b'\r') && byte == b'\n';
        match byte {
            _ if pair => Pasted::Nothing,
            0x03 => Pasted::Not("forgotten".into()),
            b'\r' | b'\n' => {
                echo.push('\n');
                let line = std::mem::take(&mut self.line);
                self.end_of_line(&line, echo)
            }
            0x08 | 0x7f => {
                if self.line.pop().is_some() {
                    echo.push_str("\x08 \x08");
                }
                Pasted::Nothing
            }
            _ if self.line.len() >= LONGEST => Pasted::Not(format!("a line has at most {LONGEST} bytes")),
            b'\t' | b' '..=b'~' | 0x80.. => {
                self.line.push(byte);
                // What is not ASCII cannot be shown byte by byte.
                echo.push(if byte.is_ascii() && byte != b'\t' { char::from(byte) } else { ' ' });
                Pasted::Nothing
            }
            _ => Pasted::Nothing,
        }
    }

    fn end_of_line(&mut self, line: &[u8], echo: &mut String) -> Pasted {
        let Some(name) = &self.name else {
            let name = String::from_utf8_lossy(line).trim().to_owned();
            if name.is_empty() {
                return Pasted::Files(std::mem::take(&mut self.files));
            }
            if crate::check::known(&name).is_none() {
                let names: Vec<&str> = rights::WRITTEN.iter().filter_map(|path| path.strip_prefix("/perm/")).collect();
                echo.push_str(&format!("there are: {}\nfile: ", names.join(", ")));
                return Pasted::Nothing;
            }
            self.name = Some(name);
            return Pasted::Nothing;
        };
        if line == b"." {
            let text = std::mem::take(&mut self.text);
            let Ok(text) = String::from_utf8(text) else { return Pasted::Not(format!("{name}: not UTF-8")) };
            self.files.insert(name.clone(), text);
            self.name = None;
            echo.push_str("file: ");
            return Pasted::Nothing;
        }
        // Hexadecimal digits behind `=`: bytes that a terminal would not pass on as they are.
        match line.strip_prefix(b"=") {
            Some(digits) => match bytes(digits) {
                Some(bytes) => self.text.extend(bytes),
                None => return Pasted::Not(format!("{name}: = and no hexadecimal digits behind it")),
            },
            None => {
                self.text.extend_from_slice(line);
                self.text.push(b'\n');
            }
        }
        self.size += line.len() + 1;
        if self.size > MOST { Pasted::Not(format!("more than {MOST} bytes")) } else { Pasted::Nothing }
    }
}

fn bytes(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paste(input: &[u8]) -> (Pasted, String) {
        let (mut paste, mut echo) = (Paste::new(None), String::new());
        for byte in input {
            let pasted = paste.key(*byte, &mut echo);
            if pasted != Pasted::Nothing {
                return (pasted, echo);
            }
        }
        (Pasted::Nothing, echo)
    }

    #[test]
    fn files_come_as_they_were() {
        let (pasted, echo) = paste(b"time.json\r{\"zone\":\r\n\t\"\xc3\xa9\"}\r.\rfirewall.json\n=7b7D\n.\n\n");
        let files = [("time.json", "{\"zone\":\n\t\"\u{e9}\"}\n"), ("firewall.json", "{}")];
        assert_eq!(pasted, Pasted::Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into()));
        assert!(echo.starts_with("time.json\n{\"zone\":\n"), "{echo:?}");
        assert!(paste(b"passwd\r").1.contains("there are: interfaces.json,"));
    }

    #[test]
    fn what_cannot_be_taken_is_said() {
        for (input, words) in [
            (&b"time.json\r{\x03"[..], "forgotten"),
            (b"time.json\r=7\r", "no hexadecimal digits"),
            (b"time.json\r\xff\r.\r", "not UTF-8"),
        ] {
            assert!(matches!(paste(input).0, Pasted::Not(why) if why.contains(words)), "{words}");
        }
        let long = [b"time.json\r".to_vec(), vec![b'x'; LONGEST + 1]].concat();
        assert!(matches!(paste(&long).0, Pasted::Not(_)));
        let much = [b"time.json\r".to_vec(), [vec![b'x'; 4_000], b"\r".to_vec()].concat().repeat(300)].concat();
        assert!(matches!(paste(&much).0, Pasted::Not(why) if why.contains("bytes")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(input in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = paste(&input);
        }
    }
}
