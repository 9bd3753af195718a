//! What a machine that is being installed tells: a line of JSON in a datagram to everybody, as it has no address yet.
use std::fmt;

use serde_json::Value;

/// The port that it is sent to.
pub const PORT: u16 = 7774;

/// A machine's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It looks for its disk, or writes, or checks: in words.
    Busy(String),
    /// It is installed and starts from its disk.
    Done(String),
    /// It is not: why, and what to do.
    Failed(String),
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Told::Busy(words) => f.write_str(words),
            Told::Done(words) => write!(f, "DONE: {words}"),
            Told::Failed(words) => write!(f, "FAILED: {words}"),
        }
    }
}

/// Reads a datagram: which machine, and its word. None for what is no such line.
pub fn parse(bytes: &[u8]) -> Option<([u8; 6], Told)> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let mut mac = [0; 6];
    let mut parts = text("mac")?.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    // What anybody may send is shown as text and nothing else.
    let words: String = text("words")?.chars().filter(|letter| !letter.is_control()).take(300).collect();
    let told = match text("state")? {
        "busy" => Told::Busy(words),
        "done" => Told::Done(words),
        "failed" => Told::Failed(words),
        _ => return None,
    };
    parts.next().is_none().then_some((mac, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_rubbish_is_not() {
        let line = br#"{"mac":"02:00:00:00:00:07","state":"busy","words":"writing sda: 40 %\u001b[2J"}"#;
        assert_eq!(parse(line), Some(([2, 0, 0, 0, 0, 7], Told::Busy("writing sda: 40 %[2J".into()))));
        for wrong in [
            &b"{}"[..],
            b"",
            br#"{"mac":"02:00:00:00:00","state":"busy","words":"a"}"#,
            br#"{"mac":"02:00:00:00:00:07:08","state":"busy","words":"a"}"#,
            br#"{"mac":"02:00:00:00:00:07","state":"fine","words":"a"}"#,
        ] {
            assert_eq!(parse(wrong), None);
        }
    }
}
