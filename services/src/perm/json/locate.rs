//! Where a field stands in a JSON text, by its path: `interfaces[1].addr`.

/// Nesting that is followed; what lies deeper is not found.
const DEEPEST: usize = 64;

/// A step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

/// Line and column, from 1 on, of the value at `path`, or of the innermost value around it that is there. `None` when
/// nothing of it is there. What stands in parentheses behind a step is no part of it.
pub fn place(text: &[u8], path: &str) -> Option<(usize, usize)> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.space();
    let mut found = None;
    for step in steps(path)? {
        if !scanner.enter(&step).unwrap_or(false) {
            break;
        }
        found = Some(scanner.at);
    }
    let before = text.get(..found?)?;
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    Some((line, column))
}

fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut all = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (number, behind) = inner.split_once(']')?;
            all.push(Step::Item(number.parse().ok()?));
            // A name that a person gave the entry, for readers of the message.
            rest = match behind.strip_prefix(" (") {
                Some(name) => name.rsplit_once(").").map_or("", |(_, field)| field),
                None => behind.strip_prefix('.').unwrap_or(behind),
            };
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            all.push(Step::Key(&rest[..end]));
            rest = rest[end..].strip_prefix('.').unwrap_or(&rest[end..]);
        }
    }
    Some(all)
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn skip(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek()? == byte).then(|| self.at += 1)?;
        self.space();
        Some(())
    }

    /// From the beginning of a value to that of the one inside it; where it is not there, false.
    fn enter(&mut self, step: &Step<'_>) -> Option<bool> {
        let (open, close) = match step {
            Step::Key(_) => (b'{', b'}'),
            Step::Item(_) => (b'[', b']'),
        };
        let mut scan = Scanner { text: self.text, at: self.at };
        scan.skip(open)?;
        let mut number = 0;
        while scan.peek()? != close {
            let is_it = match step {
                Step::Item(wanted) => *wanted == number,
                Step::Key(wanted) => {
                    let key = scan.string()?;
                    scan.skip(b':')?;
                    key.eq_ignore_ascii_case(wanted.as_bytes())
                }
            };
            if is_it {
                self.at = scan.at;
                return Some(true);
            }
            scan.value()?;
            scan.space();
            if scan.peek()? == b',' {
                scan.skip(b',')?;
            }
            number += 1;
        }
        Some(false)
    }

    /// Goes behind a string; its bytes as they stand.
    fn string(&mut self) -> Option<&'a [u8]> {
        let start = self.at + 1;
        (self.peek()? == b'"').then_some(())?;
        self.at = start;
        while self.peek()? != b'"' {
            self.at += if self.peek()? == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        let text: &'a [u8] = self.text;
        text.get(start..self.at - 1)
    }

    /// Goes behind a value.
    fn value(&mut self) -> Option<()> {
        let mut depth = 0;
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                byte if byte.is_ascii_whitespace() && depth > 0 => self.at += 1,
                _ => {
                    let begun = self.at;
                    while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
                        self.at += 1;
                    }
                    (self.at > begun).then_some(())?;
                }
            }
            if depth == 0 || depth > DEEPEST {
                return (depth == 0).then_some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &[u8] =
        b"{\"a\": {\"x\\\"\": [1, {\"y\":null}], \"n\": -1.5e3},\n \"List\": [ {\"port\": \"1\"},\n  {\"port\" : 2}]}";

    #[test]
    fn finds_fields_by_their_path() {
        for (path, found) in [
            ("list", Some((2, 10))),
            ("list[1]", Some((3, 3))),
            ("list[1].port", Some((3, 13))),
            ("list[1] (my web).port", Some((3, 13))),
            ("list[0].nothing", Some((2, 12))),
            ("list[7]", Some((2, 10))),
            ("a.n", Some((1, 37))),
            ("nothing", None),
            ("the file", None),
            ("list[x]", None),
        ] {
            assert_eq!(place(TEXT, path), found, "{path}");
        }
    }

    #[test]
    fn text_cut_anywhere_is_met_without_panic() {
        for end in 0..TEXT.len() {
            let _ = place(&TEXT[..end], "list[1].port");
        }
    }

    proptest! {
        #[test]
        fn any_text_and_path_are_met_without_panic(text in proptest::collection::vec(any::<u8>(), 0..80), path in "[a-c\\[\\]. ()0-9]{0,20}") {
            let _ = place(&text, &path);
        }
    }
}
