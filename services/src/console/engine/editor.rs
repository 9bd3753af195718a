//! The line editor: bytes of a terminal in any order and quality → its echo and whole lines.
use std::collections::VecDeque;

/// Longest line, in bytes; what is typed beyond is answered by the bell.
pub const LONGEST: usize = 256;
/// Lines that arrow-up brings back.
const HISTORY: usize = 20;

/// What a byte amounted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// Nothing more than its echo.
    Nothing,
    /// A whole line.
    Line(String),
    /// Ctrl-C: the line was given up.
    Cancel,
}

/// Where in an escape sequence the last byte was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Escape {
    #[default]
    None,
    Begun,
    Bracket,
}

/// A line in the making, and those before it.
#[derive(Debug, Default)]
pub struct Editor {
    line: String,
    history: VecDeque<String>,
    /// How many lines back arrow-up has gone; 0 = the line in the making.
    back: usize,
    escape: Escape,
    after_return: bool,
}

impl Editor {
    /// Takes one byte; its echo is appended to `echo`.
    pub fn key(&mut self, byte: u8, echo: &mut String) -> Typed {
        // Terminals end a line by CR, LF or both.
        let pair = std::mem::replace(&mut self.after_return, byte == b'\r') && byte == b'\n';
        if pair {
            return Typed::Nothing;
        }
        match (self.escape, byte) {
            (Escape::Begun, b'[' | b'O') => {
                self.escape = Escape::Bracket;
                return Typed::Nothing;
            }
            (Escape::Bracket, b'0'..=b'?') => return Typed::Nothing,
            (Escape::Bracket, b'@'..=b'~') => {
                self.escape = Escape::None;
                match byte {
                    b'A' => self.recall(self.back + 1, echo),
                    b'B' => self.recall(self.back.saturating_sub(1), echo),
                    _ => {}
                }
                return Typed::Nothing;
            }
            _ => self.escape = Escape::None,
        }
        match byte {
            b'\r' | b'\n' => {
                echo.push('\n');
                return Typed::Line(self.finish());
            }
            0x03 => {
                echo.push_str("^C\n");
                self.line.clear();
                self.back = 0;
                return Typed::Cancel;
            }
            0x08 | 0x7f if self.line.pop().is_some() => echo.push_str("\x08 \x08"),
            0x15 => self.replace(String::new(), echo),
            0x1b => self.escape = Escape::Begun,
            b' '..=b'~' if self.line.len() >= LONGEST => echo.push('\x07'),
            b' '..=b'~' => {
                self.line.push(char::from(byte));
                echo.push(char::from(byte));
            }
            // Other control bytes, line noise and letters beyond ASCII mean nothing here.
            _ => {}
        }
        Typed::Nothing
    }

    fn finish(&mut self) -> String {
        self.back = 0;
        let line = std::mem::take(&mut self.line);
        if !line.trim().is_empty() && self.history.back() != Some(&line) {
            if self.history.len() == HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(line.clone());
        }
        line
    }

    fn recall(&mut self, back: usize, echo: &mut String) {
        if back > self.history.len() {
            return;
        }
        self.back = back;
        let line = if back == 0 { None } else { self.history.get(self.history.len() - back) };
        self.replace(line.cloned().unwrap_or_default(), echo);
    }

    fn replace(&mut self, line: String, echo: &mut String) {
        for _ in 0..self.line.len() {
            echo.push_str("\x08 \x08");
        }
        echo.push_str(&line);
        self.line = line;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(editor: &mut Editor, bytes: &[u8]) -> Vec<String> {
        let mut echo = String::new();
        let typed = bytes.iter().map(|byte| editor.key(*byte, &mut echo));
        let lines: Vec<_> = typed.collect();
        lines.into_iter().filter_map(|typed| if let Typed::Line(line) = typed { Some(line) } else { None }).collect()
    }

    #[test]
    fn edits_a_line() {
        let mut editor = Editor::default();
        assert_eq!(lines(&mut editor, b"helq\x7fp\r\n"), ["help"]);
        assert_eq!(lines(&mut editor, b"wrong\x15status\n"), ["status"]);
        assert_eq!(lines(&mut editor, b"gone\x03\r"), [""]);
        assert_eq!(lines(&mut editor, b"\xffa\xc3\xa9\x1b[5~b\r"), ["ab"]);
    }

    #[test]
    fn arrows_bring_lines_back() {
        let mut editor = Editor::default();
        lines(&mut editor, b"one\rtwo\r");
        assert_eq!(lines(&mut editor, b"\x1b[A\x1b[A\r"), ["one"]);
        assert_eq!(lines(&mut editor, b"\x1b[A\x1b[A\x1b[A\x1b[A\x1b[B\r"), ["two"]);
        assert_eq!(lines(&mut editor, b"\x1b[A\x1b[B\r"), [""]);
    }

    #[test]
    fn a_line_has_an_end() {
        let mut editor = Editor::default();
        let line = lines(&mut editor, &[&[b'x'; 1000][..], b"\r"].concat());
        assert_eq!(line[0].len(), LONGEST);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut editor = Editor::default();
            for line in lines(&mut editor, &bytes) {
                prop_assert!(line.len() <= LONGEST && line.is_ascii());
            }
        }
    }
}
