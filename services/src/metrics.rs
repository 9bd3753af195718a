//! The text that Prometheus reads (exposition format 0.0.4).
use std::fmt::{Display, Write};

/// `Content-Type` of it.
pub const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of metrics in the making.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Begins a metric: `kind` is `counter` or `gauge`.
    pub fn metric(&mut self, name: &str, kind: &str, help: &str) -> &mut Exposition {
        // Writing to memory cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self
    }

    /// A value of it, with labels.
    pub fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) -> &mut Exposition {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"");
            for letter in text.chars() {
                match letter {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    letter => self.0.push(letter),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
        self
    }

    /// The whole page.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut page = Exposition::default();
        page.metric("a", "gauge", "An a.").value("a", &[], 7).value("a", &[("b", "x\"\\\n"), ("c", "d")], 8);
        let want = "# HELP a An a.\n# TYPE a gauge\na 7\na{b=\"x\\\"\\\\\\n\",c=\"d\"} 8\n";
        assert_eq!(String::from_utf8(page.into_bytes()).unwrap(), want);
    }
}
